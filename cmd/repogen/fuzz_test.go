package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/stretchr/testify/require"
)

// What repogen accepts compiles, and what it refuses is one line that names the
// file or directory: for any package that compiles itself, and for any text.

// standard is a package as sqlc writes it, but for what its placeholders say.
const standard = `package %s

import (
	"context"
	"database/sql"
%s)

type DBTX interface {
	ExecContext(context.Context, string, ...interface{}) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...interface{}) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...interface{}) *sql.Row
}

type Queries struct{ db DBTX }

func New(db DBTX) *Queries { return &Queries{db} }

type (
	Row     struct{ ID int64 }
	Kind    string
	private struct{}
)

%s`

// dictator makes a sqlc package out of bytes: each decides one choice.
type dictator struct{ choices []byte }

func (d *dictator) one(of ...string) string {
	if len(d.choices) == 0 {
		return of[0]
	}
	c := int(d.choices[0]) % len(of)
	d.choices = d.choices[1:]
	return of[c]
}

// names that a query's parameters, its package and that package's imports may
// have, those among them that the output needs for itself.
var (
	dictatedNames = []string{
		"id", "name", "ctx", "r", "t", "q", "p", "tx", "err", "result", "lease", "fn", "ctxArg", "errArg", "error", "nil", "string", "int64", "any", "true", "new", "len", "byte",
		"pool", "dberr", "context", "sql", "gen", "sqlcgen", "reads", "writes", "work", "w", "s", "Repo", "Tx", "Reader", "Statements", "New", "time", "stamp", "queries", "_", "ärger", "idArg",
	}
	dictatedQueries = []string{"Get", "Put", "List", "get", "New", "Reader", "InTx", "Tx", "Batch", "Err", "String", "Commit", "Acquire", "Ärger", "ReadRow", "Statements", "Writer"}
	dictatedSQL     = []string{"SELECT 1", "INSERT INTO t VALUES (1)", "WITH a AS (SELECT 1) SELECT * FROM a", "", ";", "`", "select '\\x60'"}
)

func (d *dictator) kind(depth int) string {
	if depth == 0 {
		return d.one("int64", "string", "bool", "Row", "Kind", "time.Time", "any", "[]byte", "error", "private", "sql.NullString", "float64", "uintptr", "DBTX", "context.Context", "rune")
	}
	inner := d.kind(depth - 1)
	return d.one(inner, inner, "*"+inner, "[]"+inner, "map[string]"+inner, "sql.Null["+inner+"]", "interface{}", "func("+inner+")", "[2]"+inner, "chan "+inner, "struct{ A "+inner+" }", "("+inner+")", "*[]*"+inner, "map["+d.one("string", "Kind", "int64")+"][]"+inner)
}

func (d *dictator) params() string {
	form := d.one("ctx context.Context", "ctx context.Context", "ctx context.Context", "c context.Context", "_ context.Context", "context.Context", "db DBTX", "", "ctx context.Context, ctx2 context.Context")
	list := []string{}
	if form != "" {
		list = append(list, form)
	}
	if form != "context.Context" {
		for range len(d.one("", "1", "22", "333")) {
			list = append(list, d.one("", "x, ")+d.one(dictatedNames...)+" "+d.one("", "", "", "", "", "...")+d.kind(len(d.one("", "1", "22"))))
		}
	}
	return strings.Join(list, ", ")
}

func (d *dictator) text() string {
	name := d.one("gen", "gen", "gen", d.one(dictatedNames...), "store", "main", "time", "db")
	imports := d.one("\t\"time\"\n", "\t\"time\"\n", "\ttime \"time\"\n", "\tpool \"time\"\n", "\t. \"time\"\n", "\t_ \"time\"\n", "\tdberr \"time\"\n", "\tgen \"time\"\n", "\treads \"time\"\n", "\tstamp \"time\"\n")
	var rest, methods, consts strings.Builder
	for i := range len(d.one("1", "", "22", "333")) {
		query := d.one(dictatedQueries...)
		params := d.params()
		results := d.one("error", "("+d.kind(len(d.one("", "1")))+", error)", "(error)", "(int64, error)", "(result Row, err error)", "", "int64", "(Row, Row, error)", "(error, error)")
		doc := d.one("", "\t// It gets.\n", "\t/* it\n\tgets */\n", "\t//go:noinline\n", "\t//\n\t// Two.\n")
		fmt.Fprintf(&methods, "%s\t%s(%s) %s\n", doc, query, params, results)
		fmt.Fprintf(&consts, "const text%d = %q\n", i, "-- name: "+d.one(query, query, query, query, query, "Other")+" :one\n"+d.one(dictatedSQL...))
		fmt.Fprintf(&rest, "func (*Queries) %s(%s) %s { panic(0) }\n", query, params, results)
	}
	querier := d.one("type Querier interface {\n%s}\n", "type Querier interface {\n%s}\n", "type Querier = interface {\n%s}\n", "type Querier[T any] interface {\n%s}\n", "type Querier interface {\n%s\terror\n}\n", "type Querier interface {\n%s\t~int | string\n}\n")
	text := fmt.Sprintf(standard, name, imports, consts.String()+rest.String()+strings.Replace(querier, "%s", methods.String(), 1))
	switch d.one("", "", "", "", "", "", "", "", "cut", "drop") {
	case "cut":
		text = text[:len(text)*len(d.one("1", "22", "333", "4444", "55555", "666666"))/7]
	case "drop":
		drop := d.one("context.Context", "package", "Querier", "DBTX interface", "\t\"context\"\n", "QueryRowContext(context.Context, string, ...interface{}) *sql.Row")
		text = strings.ReplaceAll(text, drop, "")
	}
	return text
}

// compiler checks packages, each of one file.
type compiler struct {
	files *token.FileSet
	under types.Importer
	own   map[string]*types.Package
}

func newCompiler(t testing.TB) *compiler {
	t.Helper()
	files, err := exported()
	require.NoError(t, err)
	c := &compiler{files: token.NewFileSet(), own: map[string]*types.Package{}}
	c.under = importer.ForCompiler(c.files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })
	return c
}

func (c *compiler) Import(path string) (*types.Package, error) {
	if p, ok := c.own[path]; ok {
		return p, nil
	}
	return c.under.Import(path)
}

func (c *compiler) check(path, text string) error {
	f, err := parser.ParseFile(c.files, "", text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	p, err := (&types.Config{Importer: c}).Check(path, c.files, []*ast.File{f}, nil)
	c.own[path] = p
	return err
}

// probe compiles if a package is, for those who use it, as sqlc writes them.
const probe = `package probe

import (
	a "example.org/a"
	"github.com/sqlane/sqlane/pool"
)

var (
	_ a.Querier = (*a.Queries)(nil)
	_ *a.Queries = a.New((*pool.Tx)(nil))
	_ *a.Queries = a.New((*pool.Lease)(nil))
)
`

// requireSound runs repogen on a package of one file.
func requireSound(t *testing.T, text string) {
	t.Helper()
	dir := package1(t, map[string]string{"go.mod": "module example.org/a\n", "gen.go": text})
	out := filepath.Join(t.TempDir(), "store", "store.go")
	require.NoError(t, os.Mkdir(filepath.Dir(out), 0o755))
	code, stdout, stderr := repogen("-gen", dir, "-out", out)
	require.Empty(t, stdout)
	if code != 0 {
		require.Equal(t, 1, code)
		require.Regexp(t, `^repogen: [^\n]+\n$`, stderr)
		require.Contains(t, stderr, dir, "it names the place")
		require.NoFileExists(t, out)
		return
	}
	c := newCompiler(t)
	if c.check("example.org/a", text) != nil || c.check("probe", probe) != nil {
		return
	}
	made, err := os.ReadFile(out)
	require.NoError(t, err)
	require.NoError(t, c.check("example.org/a/store", string(made)), "from\n%s\ncame\n%s", text, made)
}

func FuzzPackages(f *testing.F) {
	f.Add([]byte{})
	every := byte(rounds.Of(16, 4, 1)) // all seeds take long
	for i := byte(0); i < 60; i += every {
		f.Add(bytes.Repeat([]byte{i}, 40))
		f.Add([]byte{0, 0, 0, i, 0, 3, i, i, i, i, i, i})
		f.Add([]byte{0, 0, 0, 0, 0, 2, 0, i, 0, 0, 0, i + 1, 0, 0, 0, 0, 0})
	}
	for i := byte(0); int(i) < len(dictatedNames); i += every {
		f.Add([]byte{3, i, 0, 0, 0, 0, 1, 0, i})
	}
	f.Fuzz(func(t *testing.T, choices []byte) { requireSound(t, (&dictator{choices}).text()) })
}

func FuzzSources(f *testing.F) {
	texts, err := filepath.Glob("testdata/shop/gen/*.go")
	require.NoError(f, err)
	for _, name := range append(texts, "read.go") {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(string(text[:min(len(text), 4000)]))
	}
	f.Add((&dictator{}).text())
	f.Add(strings.Replace((&dictator{}).text(), "Row", "R\xffw", 1))
	f.Add(strings.ReplaceAll((&dictator{}).text(), "\n", "\r\n"))
	f.Add("package gen\nimport \"context\"\ntype Querier interface { A(a.b.C) error; B(a.b[C].D) error; C(context.Context) (error) }\nconst a, b = `-- name: A`, \"-- name: B :one\"")
	f.Add("package gen;type Querier interface{}")
	f.Fuzz(func(t *testing.T, text string) { requireSound(t, text) })
}

// dictated is a sqlc package with one query.
func dictated(name, imports, signature string) string {
	params, results, _ := strings.Cut(signature, " -> ")
	return fmt.Sprintf(standard, name, imports, "const text = `-- name: Get :one\nSELECT 1`\n\n"+
		"type Querier interface {\n\tGet("+params+") "+results+"\n}\n\nfunc (*Queries) Get("+params+") "+results+" { panic(0) }\n")
}

func TestNamesThatTheOutputNeedsItselfAreEvaded(t *testing.T) {
	const plain = "\t\"time\"\n"
	for what, text := range map[string]string{
		"a parameter called error":          dictated("gen", plain, "ctx context.Context, error int64, at time.Time -> (Row, error)"),
		"a parameter called nil":            dictated("gen", plain, "ctx context.Context, nil string, at time.Time -> error"),
		"parameters without a name":         dictated("gen", plain, "_ context.Context, _ string, _ time.Time -> error"),
		"a name that is taken when evading": dictated("gen", plain, "ctx context.Context, tx, txArg, txArgArg string, at time.Time -> error"),
		"a package called reads":            dictated("reads", plain, "ctx context.Context, at time.Time -> error"),
		"a package called error":            dictated("error", plain, "ctx context.Context, at time.Time -> error"),
		"a package called work":             dictated("work", plain, "ctx context.Context, at time.Time -> error"),
		"an import called pool":             dictated("gen", "\tpool \"time\"\n", "ctx context.Context, at pool.Time -> (*pool.Time, error)"),
		"an import called as the package":   dictated("db", "\tdb \"time\"\n", "ctx context.Context, at db.Time -> (Row, error)"),
		"a query called Statements":         strings.ReplaceAll(dictated("gen", plain, "ctx context.Context, at time.Time -> (Row, error)"), "Get", "Statements"),
		"a query called New":                strings.ReplaceAll(dictated("gen", plain, "ctx context.Context, at time.Time -> error"), "Get", "New"),
		"a query called Repo":               strings.ReplaceAll(dictated("gen", plain, "ctx context.Context, at time.Time -> error"), "Get", "Repo"),
		"an import called Tx":               dictated("gen", "\tTx \"time\"\n", "ctx context.Context, at Tx.Time -> error"),
	} {
		t.Run(what, func(t *testing.T) {
			dir := package1(t, map[string]string{"gen.go": text})
			out := filepath.Join(t.TempDir(), "store.go")
			code, _, stderr := repogen("-gen", dir, "-out", out, "-import", "example.org/a", "-package", "store")
			require.Zero(t, code, stderr)
			c := newCompiler(t)
			require.NoError(t, c.check("example.org/a", text))
			made, err := os.ReadFile(out)
			require.NoError(t, err)
			require.NoError(t, c.check("example.org/a/store", string(made)))
		})
	}
}

func TestWhatOtherPackagesCannotNameIsRefused(t *testing.T) {
	for want, text := range map[string]string{
		"query get cannot be called from other packages": strings.ReplaceAll(dictated("gen", "\t\"time\"\n", "ctx context.Context, at time.Time -> error"), "Get", "get"),
		"the type private, which other packages":         dictated("gen", "\t\"time\"\n", "ctx context.Context, p private, at time.Time -> error"),
		"cannot be imported":                             dictated("main", "\t\"time\"\n", "ctx context.Context, at time.Time -> error"),
		"the import of package clock is not to be found": strings.Replace(dictated("gen", "\t\"time\"\n", "ctx context.Context, at clock.Time -> error"), "time", "example.org/watch", 1),
		"it imports time under no name":                  dictated("gen", "\t. \"time\"\n", "ctx context.Context, at Time -> error"),
		"has no interface Querier":                       strings.Replace(dictated("gen", "\t\"time\"\n", "ctx context.Context, at time.Time -> error"), "Querier interface", "Querier[T any] interface", 1),
		"leave sql_package out of sqlc.yaml":             strings.Replace(dictated("gen", "\t\"time\"\n", "ctx context.Context, at time.Time -> error"), "ExecContext", "Exec", 1),
	} {
		t.Run(want, func(t *testing.T) {
			dir := package1(t, map[string]string{"gen.go": text})
			requireRefused(t, want, "-gen", dir, "-import", "example.org/a")
			requireRefused(t, dir, "-gen", dir, "-import", "example.org/a")
		})
	}
}

func TestAModuleLineIsReadAsGoReadsIt(t *testing.T) {
	for _, line := range []string{"module example.org/a", "module\texample.org/a", `module "example.org/a"`, "module `example.org/a`", "module example.org/a // a comment", "// module wrong\nmodule example.org/a"} {
		path, err := modulePath(line+"\n", "go.mod", "gen")
		require.NoError(t, err, line)
		require.Equal(t, "example.org/a/gen", path, line)
	}
}

func TestADirectoryWhoseNameBreaksTheLineDoesNotBreakTheError(t *testing.T) {
	requireRefused(t, `a\nb has no Go files`, "-gen", filepath.Join(t.TempDir(), "a\nb"))
}
