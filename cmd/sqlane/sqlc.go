package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sqlane/sqlane/pool"
)

// configNames are the files that sqlc looks for.
var configNames = []string{"sqlc.yaml", "sqlc.yml", "sqlc.json"}

// findConfig is sqlc's configuration in a directory; "" if there is none.
func findConfig(dir string) string {
	for _, name := range configNames {
		if name = filepath.Join(dir, name); size(name) > 0 {
			return name
		}
	}
	return ""
}

// paths are a string or a list of strings.
type paths []string

func (p *paths) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*p = paths{node.Value}
		return nil
	}
	return node.Decode((*[]string)(p))
}

// source is a schema, its queries, and the Go package that is made of them.
type source struct {
	schema, queries paths
	out             string
}

// readConfig reads what sqlc is to make, for SQLite, with absolute paths. vetted says
// that it has rules for sqlc vet. See https://docs.sqlc.dev/en/latest/reference/config.html.
func readConfig(name string) (sources []source, vetted bool, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, false, err
	}
	var config struct {
		SQL []struct {
			Engine          string
			Schema, Queries paths
			Rules           []string
			Gen             struct{ Go struct{ Out string } }
		}
		Packages []struct { // version 1
			Engine, Path    string
			Schema, Queries paths
			Rules           []string
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	add := func(engine string, s source, rules []string) {
		if engine != "sqlite" {
			return
		}
		vetted = vetted || len(rules) > 0
		for _, all := range []paths{s.schema, s.queries} {
			for i := range all {
				all[i] = beside(name, all[i])
			}
		}
		if s.out != "" {
			s.out = beside(name, s.out)
		}
		sources = append(sources, s)
	}
	for _, s := range config.SQL {
		add(s.Engine, source{s.Schema, s.Queries, s.Gen.Go.Out}, s.Rules)
	}
	for _, s := range config.Packages {
		add(s.Engine, source{s.Schema, s.Queries, s.Path}, s.Rules)
	}
	return sources, vetted, nil
}

// beside is a path that is relative to a file's directory.
func beside(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), filepath.FromSlash(name))
}

// sqlFiles are the files that sqlc reads: those named, of directories what is in them,
// no hidden ones, none that take a migration back.
func (p paths) sqlFiles() (files []string, err error) {
	var named []string
	for _, name := range p {
		found := []string{name}
		if strings.ContainsAny(name, "*?[]") {
			if found, err = filepath.Glob(name); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		named = append(named, found...)
	}
	for _, name := range named {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			files = append(files, filepath.Join(name, e.Name()))
		}
	}
	kept := files[:0]
	for _, name := range files {
		if base := filepath.Base(name); strings.HasSuffix(base, ".sql") && !strings.HasPrefix(base, ".") && !strings.HasSuffix(base, ".down.sql") {
			kept = append(kept, name)
		}
	}
	return kept, nil
}

// generated is a Go file that sqlc made of a file of queries.
type generated struct {
	name       string
	source     string // the queries' file, without its directory
	statements []pool.Statement
}

// readGenerated reads the queries of a package that sqlc has made. They are constants,
// whose text begins with the query's name.
func readGenerated(dir string) (all []generated, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if filepath.Ext(name) != ".go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		g := generated{name: name}
		for _, group := range file.Comments {
			for _, c := range group.List {
				if source, ok := strings.CutPrefix(c.Text, "// source: "); ok && c.Pos() < file.Package {
					g.source = strings.TrimSpace(source)
				}
			}
		}
		if g.source == "" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if value, ok := n.(*ast.ValueSpec); ok && len(value.Values) == 1 {
				text, ok := constant(value.Values[0])
				if words := strings.Fields(text); ok && strings.HasPrefix(text, "-- name: ") && len(words) > 2 {
					g.statements = append(g.statements, pool.Statement{Name: words[2], SQL: text})
				}
			}
			return true
		})
		all = append(all, g)
	}
	return all, nil
}

// constant is a string that is written as one, or as several in a row.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, ok := constant(e.X)
		right, too := constant(e.Y)
		return left + right, ok && too && e.Op == token.ADD
	}
	return "", false
}

// waived are the names that a test gives to pooltest.Waive.
func waived(name string, text []byte) (names []string) {
	if !strings.HasSuffix(name, "_test.go") || !strings.Contains(string(text), product+"/pooltest") {
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
	if err != nil {
		return nil // the compiler tells more of it
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 2 {
			return true
		}
		called, ok := call.Fun.(*ast.SelectorExpr)
		if ok && called.Sel.Name == "Waive" {
			if query, ok := constant(call.Args[0]); ok {
				names = append(names, query)
			}
		}
		return true
	})
	return names
}
