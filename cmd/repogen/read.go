package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sqlcPackage is what a repository is made from.
type sqlcPackage struct {
	name       string
	local      string // what the repository calls it
	importPath string
	imports    []imported
	queries    []query
}

// imported is one import that the queries' signatures need.
type imported struct {
	name string // as the signatures say it
	path string
}

// query is one method of the Querier interface.
type query struct {
	name    string
	doc     []string
	params  []param // without the context
	result  string  // "" if the query only fails or not
	reads   bool
	imports map[string]bool // the package names its signature says
}

type param struct{ name, kind string }

// read parses the sqlc package in a directory.
func read(dir string) (*sqlcPackage, error) {
	files, err := parse(dir)
	if err != nil {
		return nil, err
	}
	p := &sqlcPackage{name: files[0].Name.Name, local: files[0].Name.Name}
	if taken[p.local] || declared[p.local] || predeclared(p.local) {
		p.local = "sqlcgen"
	}
	if p.name == "main" || p.name == "_" {
		return nil, fmt.Errorf("%s: package %s cannot be imported; give it another name in sqlc.yaml", dir, p.name)
	}
	texts := make(map[string]string) // SQL by query name
	var querier *ast.InterfaceType
	var from *ast.File
	for _, f := range files {
		if f.Name.Name != p.name {
			return nil, fmt.Errorf("%s holds two packages, %s and %s; point -gen at sqlc's output alone", dir, p.name, f.Name.Name)
		}
		for _, spec := range specs(f) {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				addText(texts, s)
			case *ast.TypeSpec:
				if i, ok := s.Type.(*ast.InterfaceType); ok && s.Name.Name == "Querier" && s.TypeParams == nil {
					querier, from = i, f
				} else if ok && s.Name.Name == "DBTX" && !declares(i, "ExecContext") {
					return nil, fmt.Errorf("%s: DBTX is not that of database/sql; leave sql_package out of sqlc.yaml", dir)
				}
			}
		}
	}
	if querier == nil {
		return nil, fmt.Errorf("package %s in %s has no interface Querier; set emit_interface: true in sqlc.yaml", p.name, dir)
	}
	err = p.addQueries(querier, texts)
	if err == nil {
		err = p.addImports(from)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return p, nil
}

func parse(dir string) ([]*ast.File, error) {
	entries, _ := os.ReadDir(dir) // without any the caller says what to do
	var files []*ast.File
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".go" || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.ParseComments)
		if err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			return nil, errors.New(first)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no Go files; run sqlc generate first", dir)
	}
	return files, nil
}

func declares(i *ast.InterfaceType, method string) bool {
	return slices.ContainsFunc(i.Methods.List, func(m *ast.Field) bool { return len(m.Names) == 1 && m.Names[0].Name == method })
}

func specs(f *ast.File) (all []ast.Spec) {
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok {
			all = append(all, g.Specs...)
		}
	}
	return all
}

// addText finds the constants that sqlc keeps the SQL in: they begin with a
// comment that names the query.
func addText(texts map[string]string, spec *ast.ValueSpec) {
	for _, v := range spec.Values {
		lit, ok := v.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			continue
		}
		if rest, ok := strings.CutPrefix(text, "-- name: "); ok {
			name, _, _ := strings.Cut(rest, " ")
			texts[name] = text
		}
	}
}

// reserved are the names that a repository has of its own.
var reserved = map[string]bool{"InTx": true, "Batch": true, "View": true, "Savepoint": true}

func (p *sqlcPackage) addQueries(querier *ast.InterfaceType, texts map[string]string) error {
	for _, m := range querier.Methods.List {
		signature, ok := m.Type.(*ast.FuncType)
		if !ok || len(m.Names) != 1 {
			return errors.New("the interface Querier embeds something; repogen knows sqlc's own form of it alone")
		}
		name := m.Names[0].Name
		text, ok := texts[name]
		if !ok {
			return fmt.Errorf("query %s has no SQL in the package; run sqlc generate again", name)
		}
		if !ast.IsExported(name) {
			return fmt.Errorf("query %s cannot be called from other packages; begin its name with a capital letter in its .sql file", name)
		}
		if reserved[name] {
			return fmt.Errorf("query %s is called like a method that every repository has; rename it in its .sql file", name)
		}
		q := query{name: name, reads: reads(text), imports: map[string]bool{}}
		if m.Doc != nil {
			for _, c := range m.Doc.List {
				q.doc = append(q.doc, c.Text)
			}
		}
		if err := q.setSignature(p.local, signature); err != nil {
			return fmt.Errorf("query %s: %w", name, err)
		}
		p.queries = append(p.queries, q)
	}
	return nil
}

func (q *query) setSignature(pkg string, f *ast.FuncType) error {
	var params []param
	for _, field := range f.Params.List {
		kind, err := q.typeText(pkg, field.Type)
		if err != nil {
			return err
		}
		for _, n := range field.Names {
			params = append(params, param{name: n.Name, kind: kind})
		}
	}
	if len(params) == 0 || params[0].kind != "context.Context" {
		return errors.New("its first parameter is no context.Context; repogen does not know emit_methods_with_db_argument")
	}
	if len(params) > 1 && params[1].kind == pkg+".DBTX" {
		return errors.New("it takes a DBTX; set emit_methods_with_db_argument: false in sqlc.yaml")
	}
	q.params = params[1:]
	used := make(map[string]bool)
	for _, p := range q.params {
		used[p.name] = true
	}
	for i := range q.params {
		n := &q.params[i].name
		if !taken[*n] && *n != pkg && *n != "_" && !predeclared(*n) {
			continue
		}
		for *n = strings.TrimPrefix(*n, "_") + "Arg"; used[*n]; *n += "Arg" {
			continue
		}
		used[*n] = true
	}
	n := f.Results.NumFields()
	if n < 1 || n > 2 || !isError(f.Results.List[len(f.Results.List)-1].Type) {
		return errors.New("it returns neither an error nor a result and an error; repogen knows sqlc's own form of it alone")
	}
	if n == 2 {
		kind, err := q.typeText(pkg, f.Results.List[0].Type)
		if err != nil {
			return err
		}
		q.result = kind
	}
	return nil
}

func isError(e ast.Expr) bool {
	ident, ok := e.(*ast.Ident)
	return ok && ident.Name == "error"
}

// taken are the names that the generated code uses itself.
var taken = map[string]bool{
	"context": true, "pool": true, "dberr": true, "ctx": true, "r": true, "t": true, "q": true,
	"tx": true, "lease": true, "err": true, "result": true,
}

// declared are the names that the generated file declares.
var declared = map[string]bool{
	"Repo": true, "Tx": true, "Reader": true, "New": true, "own": true, "poolError": true, "reader": true,
	"ErrNotFound": true, "ErrDuplicate": true, "ErrForeignKey": true, "ErrCheck": true,
}

// predeclared reports a name that Go itself declares.
func predeclared(name string) bool { return types.Universe.Lookup(name) != nil }

// typeText writes a type as another package says it.
func (q *query) typeText(pkg string, e ast.Expr) (string, error) {
	switch t := e.(type) {
	case *ast.Ident:
		if ast.IsExported(t.Name) {
			return pkg + "." + t.Name, nil
		}
		if _, ok := types.Universe.Lookup(t.Name).(*types.TypeName); !ok {
			return "", fmt.Errorf("its signature has the type %s, which other packages cannot name", t.Name)
		}
		return t.Name, nil
	case *ast.SelectorExpr:
		from := t.X.(*ast.Ident).Name
		q.imports[from] = true
		return localName(pkg, from) + "." + t.Sel.Name, nil
	case *ast.StarExpr:
		return q.prefixed("*", pkg, t.X)
	case *ast.ArrayType:
		if t.Len == nil {
			return q.prefixed("[]", pkg, t.Elt)
		}
	case *ast.InterfaceType:
		if t.Methods.NumFields() == 0 {
			return "any", nil
		}
	case *ast.IndexExpr:
		outer, err := q.typeText(pkg, t.X)
		if err != nil {
			return "", err
		}
		inner, err := q.typeText(pkg, t.Index)
		return outer + "[" + inner + "]", err
	case *ast.MapType:
		key, err := q.typeText(pkg, t.Key)
		if err != nil {
			return "", err
		}
		return q.prefixed("map["+key+"]", pkg, t.Value)
	}
	return "", fmt.Errorf("its signature has a type of a form that repogen does not know, %T", e)
}

func (q *query) prefixed(prefix, pkg string, e ast.Expr) (string, error) {
	inner, err := q.typeText(pkg, e)
	return prefix + inner, err
}

// localName is what the generated code calls a package that signatures name.
func localName(pkg, from string) string {
	if from != "context" && taken[from] || declared[from] || from == pkg || predeclared(from) {
		return from + "types"
	}
	return from
}

// addImports keeps those imports of the Querier's file that signatures use.
func (p *sqlcPackage) addImports(f *ast.File) error {
	used := make(map[string]bool)
	for _, q := range p.queries {
		maps.Copy(used, q.imports)
	}
	delete(used, "context")
	for _, spec := range f.Imports {
		at, _ := strconv.Unquote(spec.Path.Value)
		names := packageNames(at)
		if spec.Name != nil {
			names = []string{spec.Name.Name}
		}
		for _, name := range names {
			switch {
			case name == "context" && at != "context":
				return fmt.Errorf("it imports %s under the name context, which is taken", at)
			case name == ".":
				return fmt.Errorf("it imports %s under no name; repogen knows sqlc's own form alone", at)
			case used[name]:
				p.imports = append(p.imports, imported{name: localName(p.local, name), path: at})
				delete(used, name)
			default:
				continue
			}
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		return fmt.Errorf("the import of package %s is not to be found; give it that name where sqlc.yaml says what to import", name)
	}
	slices.SortFunc(p.imports, func(a, b imported) int { return cmp.Compare(a.path, b.path) })
	return nil
}

// packageNames are what a package may be called that is imported without a name.
func packageNames(at string) []string {
	name := path.Base(at)
	if majorVersion.MatchString(name) {
		name = path.Base(path.Dir(at))
	}
	name, _, _ = strings.Cut(name, ".v") // gopkg.in
	return []string{name, strings.TrimPrefix(name, "go-"), strings.TrimSuffix(name, "-go"), strings.ReplaceAll(name, "-", "")}
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// findImportPath reads the go.mod above the directory.
func findImportPath(dir string) (string, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for root := at; ; root = filepath.Dir(root) {
		text, err := os.ReadFile(filepath.Join(root, "go.mod"))
		switch {
		case err == nil:
			below, err := filepath.Rel(root, at)
			if err != nil {
				return "", err
			}
			return modulePath(string(text), filepath.Join(root, "go.mod"), filepath.ToSlash(below))
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		case filepath.Dir(root) == root:
			return "", fmt.Errorf("no go.mod above %s; give the package's import path with -import", dir)
		}
	}
}

func modulePath(text, file, below string) (string, error) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "module" {
			continue
		}
		module, err := strconv.Unquote(words[1])
		if err != nil {
			module = words[1]
		}
		return path.Join(module, below), nil
	}
	return "", fmt.Errorf("%s has no module line", file)
}
