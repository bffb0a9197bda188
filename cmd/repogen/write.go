package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
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
	if err := t.Execute(&b, newView(p, name)); err != nil {
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
	reads   *readers
}

func newView(p *sqlcPackage, name string) view { return view{p, name, newReaders(p.queries)} }

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

// Imports are the lines of the import block behind the first.
func (v view) Imports() []string {
	lines := []string{importLine(v.p.local, v.p.importPath)}
	for _, i := range v.p.imports {
		lines = append(lines, importLine(i.name, i.path))
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

// Params is the parameter list.
func (q query) Params() string {
	return strings.Join(append([]string{"ctx context.Context"}, q.ownParams()...), ", ")
}

func (q query) ownParams() (list []string) {
	for _, p := range q.params {
		list = append(list, p.name+" "+p.kind)
	}
	return list
}

// Args is the argument list.
func (q query) Args() string {
	list := []string{"ctx"}
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

// Results is the result list.
func (q query) Results() string {
	if q.result == "" {
		return "error"
	}
	return "(" + q.result + ", error)"
}

// Returns is the result list of the method. A row that it returns by value has a name:
// its columns are read where it is returned, and not copied there.
func (q query) Returns() string {
	if q.body == nil || q.body.verb != "one" || q.body.pointer {
		return q.Results()
	}
	return "(i " + q.result + ", err error)"
}

// replace writes the file in one step, so that a failure leaves the old one.
func replace(file string, source []byte) (err error) {
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, source) {
		return nil
	}
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		return fmt.Errorf("%w; make the directory that -out names", err)
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
