package sqlane_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// declared is what Go files declare: "pool.Pool.Acquire" is a method, "pool.conn.mu" a field.
type declared struct {
	names map[string]bool
	// locks are the fields and variables that are locks, and starts the functions that start a goroutine.
	locks, starts map[string]bool
}

// declarations reads the packages of the directories, those below them included.
func declarations(t *testing.T, dirs ...string) declared {
	t.Helper()
	d := declared{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, dir := range dirs {
		require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir() && (e.Name() == "testdata" || strings.HasPrefix(e.Name(), "_")):
				return filepath.SkipDir
			case e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err == nil {
				d.file(file)
			}
			return err
		}))
	}
	return d
}

func (d declared) file(file *ast.File) {
	pkg := file.Name.Name + "."
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			name := pkg + receiver(decl) + decl.Name.Name
			d.names[name] = true
			if decl.Body != nil && startsGoroutine(decl.Body) {
				d.starts[name] = true
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					d.names[pkg+spec.Name.Name] = true
					d.members(pkg+spec.Name.Name+".", spec.Type)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						d.names[pkg+name.Name] = true
						d.members(pkg+name.Name+".", spec.Type)
						if isLock(spec.Type) {
							d.locks[pkg+name.Name] = true
						}
					}
					for i, value := range spec.Values {
						if literal, ok := value.(*ast.CompositeLit); ok {
							d.members(pkg+spec.Names[i].Name+".", literal.Type)
						}
					}
				}
			}
		}
	}
}

// members notes the fields of a struct and the methods of an interface.
func (d declared) members(of string, expr ast.Expr) {
	switch expr := expr.(type) {
	case *ast.StructType:
		for _, field := range expr.Fields.List {
			for _, name := range field.Names {
				d.names[of+name.Name] = true
				if isLock(field.Type) {
					d.locks[of+name.Name] = true
				}
			}
		}
	case *ast.InterfaceType:
		for _, method := range expr.Methods.List {
			for _, name := range method.Names {
				d.names[of+name.Name] = true
			}
		}
	}
}

func receiver(decl *ast.FuncDecl) string {
	if decl.Recv == nil {
		return ""
	}
	expr := decl.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	if index, ok := expr.(*ast.IndexExpr); ok {
		expr = index.X
	}
	return expr.(*ast.Ident).Name + "."
}

func isLock(expr ast.Expr) bool {
	of, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := of.X.(*ast.Ident)
	return ok && from.Name == "sync" && slices.Contains([]string{"Mutex", "RWMutex", "Once", "Cond"}, of.Sel.Name)
}

func startsGoroutine(body *ast.BlockStmt) (starts bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			starts = true
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Go" || f.Sel.Name == "AfterFunc") {
				starts = true
			}
		}
		return true
	})
	return starts
}

// product is what a program is linked with, and what its tests are.
var product = []string{"pool", "pool/debug", "native", "dberr", "dqlite", "migrate", "pooltest", "repo", "internal/arguments", "internal/bridge", "internal/lane", "internal/plans", "internal/request", "internal/scan", "internal/sqlite", "internal/tap", "internal/watch", "internal/wire"}

var codeSpan = regexp.MustCompile("`([^`\n]+)`")

func TestWhatTheArchitectureNamesExists(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	all := declarations(t, product...)
	paths, names := 0, 0
	for _, span := range codeSpan.FindAllStringSubmatch(string(text), -1) {
		if name := span[1]; strings.Contains(name, "/") || strings.HasSuffix(name, ".go") {
			paths++
			info, err := os.Stat(name)
			require.NoError(t, err)
			require.Equal(t, strings.HasSuffix(name, "/"), info.IsDir(), "%s: a folder ends with a slash", name)
		} else {
			names++
			require.True(t, all.names[name], "%s is declared nowhere", name)
		}
	}
	require.Greater(t, paths, 40)
	require.Greater(t, names, 60)
}

func TestTheArchitectureNamesEveryLockAndGoroutine(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	all := declarations(t, product...)
	require.Greater(t, len(all.locks), 15)
	require.Greater(t, len(all.starts), 8)
	named := func(name string) bool { return strings.Contains(string(text), "`"+name+"`") }
	for _, name := range slices.Sorted(maps.Keys(all.locks)) {
		require.True(t, named(name), "%s is a lock: say in ARCHITECTURE.md what it guards and where it stands in the order", name)
	}
	for _, name := range slices.Sorted(maps.Keys(all.starts)) {
		require.True(t, named(name), "%s starts a goroutine: say in ARCHITECTURE.md which, who owns it and how it ends", name)
	}
}

// TestImportsPointDownwards: the table of the floors is in their order.
func TestImportsPointDownwards(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	_, table, _ := strings.Cut(string(text), "\n## The floors\n")
	table, _, _ = strings.Cut(table, "\nBelow all of it")
	const module = "github.com/sqlane/sqlane/"
	floor := map[string]int{}
	for n, line := range strings.Split(table, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, span := range codeSpan.FindAllStringSubmatch(cells[2], -1) {
			floor[module+strings.TrimSuffix(span[1], "/")] = n
		}
	}
	for _, dir := range product {
		require.Contains(t, floor, module+dir)
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		from, listed := floor[words[0]]
		for _, imported := range words[1:] {
			if to, ok := floor[imported]; ok && listed {
				require.Greater(t, to, from, "%s imports %s", words[0], imported)
			}
		}
	}
}
