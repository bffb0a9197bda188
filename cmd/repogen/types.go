package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// checked is what is known of the types in a sqlc package. Where something it imports
// cannot be found there are holes.
type checked struct {
	of              *types.Package
	types           map[ast.Expr]types.TypeAndValue
	valuer, scanner *types.Interface // nil if they cannot be found
	fault           error            // the first
}

// lister finds what the compiler has exported of packages and of all that they import.
type lister func(dir string, paths []string) (files map[string]string, err error)

// goList asks Go, which compiles what it has not compiled yet. What cannot be found or
// does not compile is left out.
func goList(dir string, paths []string) (map[string]string, error) {
	cmd := exec.Command("go", append([]string{"list", "-e", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "--"}, paths...)...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if path, file, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			files[path] = file
		}
	}
	if err != nil && len(files) == 0 {
		return nil, fmt.Errorf("go list: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return files, nil
}

// check finds the types in the files of a package.
func check(dir string, fset *token.FileSet, files []*ast.File, list lister) *checked {
	paths := map[string]bool{"database/sql": true, "database/sql/driver": true}
	for _, f := range files {
		for _, spec := range f.Imports {
			if path, err := strconv.Unquote(spec.Path.Value); err == nil {
				paths[path] = true
			}
		}
	}
	exports, err := list(dir, slices.Sorted(maps.Keys(paths)))
	c := &checked{types: make(map[ast.Expr]types.TypeAndValue), fault: err}
	from := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, errors.New("it cannot be found or does not compile")
		}
		return os.Open(exports[path])
	})
	config := types.Config{Importer: from, Error: func(err error) {
		if c.fault == nil {
			c.fault = err
		}
	}}
	c.of, _ = config.Check(files[0].Name.Name, fset, files, &types.Info{Types: c.types})
	c.valuer = interfaceIn(from, "database/sql/driver", "Valuer")
	c.scanner = interfaceIn(from, "database/sql", "Scanner")
	return c
}

func interfaceIn(from types.Importer, path, name string) *types.Interface {
	p, err := from.Import(path)
	if err != nil {
		return nil
	}
	named := p.Scope().Lookup(name)
	if named == nil {
		return nil
	}
	i, _ := named.Type().Underlying().(*types.Interface)
	return i
}

// typeOf is the type of an expression.
func (c *checked) typeOf(e ast.Expr) (types.Type, error) {
	t := c.types[e].Type
	if t == nil || !c.knows(t) || c.valuer == nil || c.scanner == nil {
		return nil, fmt.Errorf("the type of %s is not known: %w", types.ExprString(e), c.fault)
	}
	return types.Unalias(t), nil
}

// knows reports a type without a hole in what decides how it is passed: in a package
// with a fault a type of its own may lack a method.
func (c *checked) knows(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.Pointer:
		return c.knows(t.Elem())
	case *types.Slice:
		return c.knows(t.Elem())
	case *types.Named:
		if c.fault != nil && t.Obj().Pkg() == c.of {
			return false
		}
	}
	return t.Underlying() != types.Typ[types.Invalid]
}

// binder is how an argument is added to a Call.
func (c *checked) binder(path string, t types.Type) string {
	_, isPointer := t.Underlying().(*types.Pointer)
	switch {
	case types.IsInterface(t) || isPointer || hasMethod(t, "Decompose"):
		return "Any(" + path + ")"
	case types.Implements(t, c.valuer):
		return "Valuer(" + path + ".Value)"
	case isTime(t):
		return "Time(" + path + ")"
	case isBytes(t):
		return "Blob(" + path + ")"
	}
	basic, _ := t.Underlying().(*types.Basic)
	if basic == nil {
		return "Any(" + path + ")"
	}
	as := func(method string, kind types.BasicKind) string {
		if !types.Identical(t, types.Typ[kind]) {
			path = types.Typ[kind].Name() + "(" + path + ")"
		}
		return method + "(" + path + ")"
	}
	switch basic.Kind() {
	case types.Int, types.Int8, types.Int16, types.Int32, types.Int64, types.Uint8, types.Uint16, types.Uint32:
		return as("Int", types.Int64)
	case types.Float32, types.Float64:
		return as("Float", types.Float64)
	case types.String:
		return as("Text", types.String)
	case types.Bool:
		return as("Bool", types.Bool)
	}
	return "Any(" + path + ")"
}

// reader is the function that reads a column of a type: one of package native's, or
// "Scan" for the method of a Scanner.
func (c *checked) reader(t types.Type) (string, error) {
	switch {
	case types.TypeString(t, nil) == "github.com/sqlane/sqlane/column.Time":
		return "Moment", nil
	case types.Implements(types.NewPointer(t), c.scanner):
		return "Scan", nil
	case types.TypeString(t, nil) == "database/sql.RawBytes":
		return "", errors.New("it scans into sql.RawBytes")
	case isTime(t):
		return "Time", nil
	case isBytes(t):
		return "Blob", nil
	}
	if p, ok := t.(*types.Pointer); ok {
		switch inner, err := c.reader(types.Unalias(p.Elem())); {
		case err != nil:
			return "", err
		case inner != "Scan" && inner != "Any" && inner[0] != '*':
			return "*" + inner, nil
		}
		return "Any", nil
	}
	if basic, ok := t.Underlying().(*types.Basic); ok {
		switch kind := basic.Kind(); {
		case basic.Info()&types.IsInteger != 0 && kind != types.Uintptr:
			return "Int", nil
		case kind == types.Float64:
			return "Float", nil
		case kind == types.String:
			return "Text", nil
		case t == types.Typ[types.Bool]:
			return "Bool", nil
		}
	}
	return "Any", nil
}

func isTime(t types.Type) bool { return types.TypeString(t, nil) == "time.Time" }

func isBytes(t types.Type) bool {
	s, ok := t.Underlying().(*types.Slice)
	return ok && types.Identical(s.Elem(), types.Typ[types.Byte])
}

func hasMethod(t types.Type, name string) bool {
	m, _, _ := types.LookupFieldOrMethod(t, false, nil, name)
	_, ok := m.(*types.Func)
	return ok
}
