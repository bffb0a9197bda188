package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

//go:embed repo.go.tmpl
var repository string

// write makes the repository's source.
func write(p *sqlcPackage, name string) ([]byte, error) {
	t, err := template.New("repository").Parse(repository)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, view{p: p, Package: name}); err != nil {
		return nil, err
	}
	source, err := format.Source(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("package %s: the generated code is no Go: %w", p.name, err)
	}
	return source, nil
}

// view is the package as the template sees it.
type view struct {
	p       *sqlcPackage
	Package string
}

// Gen is what the sqlc package is called here.
func (v view) Gen() string { return v.p.local }

// Constraint is the line that says when to compile the package, and the empty
// one behind it.
func (v view) Constraint() string {
	if v.p.constraint == "" {
		return ""
	}
	return v.p.constraint + "\n\n"
}

// SQL is what package database/sql is called here.
func (v view) SQL() string {
	for _, i := range v.p.imports {
		if i.path == "database/sql" {
			return i.name
		}
	}
	name := "sql"
	for name == v.p.local || slices.ContainsFunc(v.p.imports, func(i imported) bool { return i.name == name }) {
		name = "std" + name
	}
	return name
}

// Renumbered are the methods whose SQL sqlc has numbered wrongly.
func (v view) Renumbered() (renumbered []query) {
	for _, q := range v.p.queries {
		if q.renumbered != nil {
			renumbered = append(renumbered, q)
		}
	}
	return renumbered
}

// Imports are the lines of the import block.
func (v view) Imports() []string {
	lines := []string{importLine(v.p.local, v.p.importPath)}
	for _, i := range v.p.imports {
		lines = append(lines, importLine(i.name, i.path))
	}
	if line := importLine(v.SQL(), "database/sql"); len(v.Renumbered()) > 0 {
		lines = append(lines, `"strconv"`)
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

func importLine(name, path string) string {
	if strings.HasSuffix("/"+path, "/"+name) {
		return fmt.Sprintf("%q", path)
	}
	return fmt.Sprintf("%s %q", name, path)
}

// Queries are the methods.
func (v view) Queries() []query { return v.p.queries }

// Readers are the methods that read.
func (v view) Readers() (readers []query) {
	for _, q := range v.p.queries {
		if q.reads {
			readers = append(readers, q)
		}
	}
	return readers
}

// Name is the query's name.
func (q query) Name() string { return q.name }

// Doc is sqlc's comment, or a line that names the query.
func (q query) Doc() string {
	if len(q.doc) == 0 {
		return "// " + q.name + " runs the query of that name."
	}
	return strings.Join(q.doc, "\n")
}

// Reads tells whether the query only reads.
func (q query) Reads() bool { return q.reads }

// Result is the type that comes with the error, if there is one.
func (q query) Result() string { return q.result }

// Params is the parameter list.
func (q query) Params() string {
	return strings.TrimSuffix("ctx context.Context, "+q.OwnParams(), ", ")
}

// OwnParams is the parameter list without the context.
func (q query) OwnParams() string {
	var list []string
	for _, p := range q.params {
		list = append(list, p.name+" "+p.kind)
	}
	return strings.Join(list, ", ")
}

// Args is the argument list.
func (q query) Args() string {
	return strings.TrimSuffix("ctx, "+q.OwnArgs(), ", ")
}

// OwnArgs is the argument list without the context.
func (q query) OwnArgs() string {
	var list []string
	for _, p := range q.params {
		list = append(list, p.name)
	}
	return strings.Join(list, ", ")
}

// Half is the one of a repository's two halves that has the method.
func (q query) Half() string {
	if q.reads {
		return "reads"
	}
	return "writes"
}

// On is sqlc's Queries on what the half runs on, with the SQL of this query in order.
func (q query) On(gen string) string {
	if q.renumbered == nil {
		return gen + ".New(q.db)"
	}
	return "renumbered{q.db}." + q.name + "(" + q.OwnArgs() + ")"
}

// Text is the SQL that runs, in Go, each slice with one element.
func (q query) Text() string { return strconv.Quote(q.text) }

// Parts, Numbers and Widths are how the SQL of a query is numbered.
func (q query) Parts() string { return fmt.Sprintf("%#v", q.renumbered.parts) }

// Numbers are the arguments that the placeholders between the parts stand for.
func (q query) Numbers() string { return fmt.Sprintf("%#v", q.renumbered.params) }

// Widths are how many values each argument is.
func (q query) Widths() string { return strings.Join(q.renumbered.widths, ", ") }

// Results is the result list.
func (q query) Results() string {
	if q.result == "" {
		return "error"
	}
	return "(" + q.result + ", error)"
}

// replace writes the file in one step, so that a failure leaves the old one.
func replace(file string, source []byte) (err error) {
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, source) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".repogen-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err := tmp.Write(source); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
