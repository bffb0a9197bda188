package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// package1 is a sqlc package by hand; it returns its directory.
func package1(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "gen")
	require.NoError(t, os.Mkdir(dir, 0o755))
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

// exported is what the compiler has exported of what nearly all packages here import,
// asked for once: of the standard library's packages, and of this module's.
var exported = sync.OnceValues(func() (map[string]string, error) {
	return goList(".", []string{
		"context", "database/sql", "database/sql/driver", "encoding/json", "errors", "fmt", "iter", "slices", "strings", "time",
		"../../column", "../../dberr", "../../native", "../../pool", "./testdata/kinds/types", "./testdata/options/types",
	})
})

// listed is goList, which is asked only for what is not known yet. Out of this module,
// where temporary directories are, its packages cannot be found.
func listed(dir string, paths []string) (map[string]string, error) {
	known, err := exported()
	if err != nil || slices.ContainsFunc(paths, func(path string) bool {
		return known[path] == "" || filepath.IsAbs(dir) && strings.Contains(path, ".")
	}) {
		return goList(dir, paths)
	}
	return known, nil
}

func repogen(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs, listed)
	return code, out.String(), errs.String()
}

func TestTheCommittedRepositoriesAreWhatRepogenWrites(t *testing.T) {
	for gen, file := range map[string]string{
		"../../gen":                 "../../repo/repo_gen.go",
		"testdata/shop/gen":         "testdata/shop/store/store_gen.go",
		"testdata/numbering/gen":    "testdata/numbering/store/store_gen.go",
		"testdata/altered/gen":      "testdata/altered/store/store_gen.go",
		"testdata/kinds/plain/gen":  "testdata/kinds/plain/store/store_gen.go",
		"testdata/kinds/turned/gen": "testdata/kinds/turned/store/store_gen.go",
	} {
		committed, err := os.ReadFile(file)
		require.NoError(t, err)
		out := filepath.Join(t.TempDir(), "out.go")
		code, _, stderr := repogen("-gen", gen, "-out", out, "-package", filepath.Base(filepath.Dir(file)))
		require.Zero(t, code, stderr)
		written, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Equal(t, string(committed), string(written), "run go generate ./...")
	}
}

func TestAFileThatWouldNotChangeIsNotTouched(t *testing.T) {
	out := filepath.Join(t.TempDir(), "store", "out.go")
	require.NoError(t, os.Mkdir(filepath.Dir(out), 0o755))
	code, _, stderr := repogen("-gen", "testdata/shop/gen", "-out", out)
	require.Zero(t, code, stderr)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, string(text), "package store\n", "the directory names the package")
	before, err := os.Stat(out)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(out, 0o400))
	code, _, stderr = repogen("-gen", "testdata/shop/gen", "-out", out)
	require.Zero(t, code, stderr)
	after, err := os.Stat(out)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after))
}

const db = "package gen\n\ntype DBTX interface{ ExecContext() }\n\ntype Queries struct{}\n\nfunc New(DBTX) *Queries { return nil }\n"

func TestBadInputIsOneClearLineAndTheOldOutputStays(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	query := func(signature, sql string) map[string]string {
		return map[string]string{"q.go": "package gen\n\nconst get = `" + sql + "`\n\ntype Querier interface {\n\t" + signature + "\n}\n"}
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no directory":        {nil, "has no Go files; run sqlc generate first"},
		"no Querier":          {map[string]string{"db.go": db}, "has no interface Querier; set emit_interface: true"},
		"no Go":               {map[string]string{"db.go": "package gen\n\nfunc {"}, "expected"},
		"two packages":        {map[string]string{"a.go": "package gen\n", "b.go": "package other\n"}, "holds two packages, gen and other"},
		"no SQL":              {query("Get(ctx context.Context) error", "SELECT 1"), "query Get has no SQL"},
		"a reserved name":     {query("InTx(ctx context.Context) error", "-- name: InTx :exec\nSELECT 1"), "query InTx is called like a method that every repository has; rename it"},
		"a database argument": {query("Get(ctx context.Context, db DBTX) error", "-- name: Get :exec\nSELECT 1"), "set emit_methods_with_db_argument: false"},
		"no context":          {query("Get(id int64) error", "-- name: Get :exec\nSELECT 1"), "no context.Context"},
		"a strange type":      {query("Get(ctx context.Context, f func()) error", "-- name: Get :exec\nSELECT 1"), "a form that repogen does not know"},
		"a strange element":   {query("Get(ctx context.Context) ([]chan int, error)", "-- name: Get :exec\nSELECT 1"), "a form that repogen does not know"},
		"a strange key":       {query("Get(ctx context.Context) (map[chan int]int, error)", "-- name: Get :exec\nSELECT 1"), "a form that repogen does not know"},
		"a strange generic":   {query("Get(ctx context.Context) ([3]int, error)", "-- name: Get :exec\nSELECT 1"), "a form that repogen does not know"},
		"something embedded":  {query("Other", "-- name: Get :exec\nSELECT 1"), "embeds something"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := missing
			if c.files != nil {
				dir = package1(t, c.files)
			}
			out := filepath.Join(t.TempDir(), "repo.go")
			require.NoError(t, os.WriteFile(out, []byte("old"), 0o644))
			code, stdout, stderr := repogen("-gen", dir, "-out", out, "-import", "example.org/gen")
			assert.Equal(t, 1, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, c.want)
			assert.Regexp(t, `^repogen: [^\n]+\n$`, stderr)
			old, err := os.ReadFile(out)
			require.NoError(t, err)
			assert.Equal(t, "old", string(old))
		})
	}
}

func TestAnUnwritableOutputIsOneClearLine(t *testing.T) {
	code, _, stderr := repogen("-gen", "testdata/shop/gen", "-out", filepath.Join(t.TempDir(), "none", "repo.go"))
	require.Equal(t, 1, code)
	require.Regexp(t, `^repogen: [^\n]+no such file or directory; make the directory that -out names\n$`, stderr)

	directory := filepath.Join(t.TempDir(), "repo.go")
	require.NoError(t, os.Mkdir(directory, 0o755))
	code, _, stderr = repogen("-gen", "testdata/shop/gen", "-out", directory, "-package", "store")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "is a directory; name a file in it")

	var rename *os.LinkError
	require.ErrorAs(t, replace(directory, []byte("package store")), &rename, "all but the last step was done")
	requireAlone(t, directory) // no temporary file is left
}

func TestAnOutputThatCouldNotCompileIsNotWritten(t *testing.T) {
	gen := filepath.Join(t.TempDir(), "gen")
	require.NoError(t, os.CopyFS(gen, os.DirFS("testdata/shop/gen")))
	inGen := filepath.Join(gen, "repo.go")
	badlyNamed := filepath.Join(t.TempDir(), "1", "repo.go")
	require.NoError(t, os.Mkdir(filepath.Dir(badlyNamed), 0o755))
	for want, out := range map[string]string{
		"lies in the sqlc package; give it a directory of its own":                inGen,
		`directory's name "1" is no name for a package; give one with -package\n`: badlyNamed,
	} {
		code, _, stderr := repogen("-gen", gen, "-out", out, "-import", "example.org/gen")
		require.Equal(t, 1, code)
		require.Regexp(t, "^repogen: [^\n]*"+want, stderr)
		require.NoFileExists(t, out)
	}
	out := filepath.Join(t.TempDir(), "repo.go")
	for _, wrong := range [][]string{
		{"-package", "no package"},
		{"-package", "func"},
		{"-package", "_"},
		{"-package", "1"},
		{"-package", "my-store"},
		{"-import", `"`},
		{"-import", "a b"},
		{"-import", "a;b"},
		{"-import", "\xff"},
	} {
		code, _, stderr := repogen(append(wrong, "-gen", gen, "-out", out)...)
		require.Equal(t, 2, code, wrong)
		require.Contains(t, stderr, wrong[0]+" "+strconv.Quote(wrong[1]))
		require.NoFileExists(t, out)
	}
}

func TestWrongUsageIsTwoAndHelpIsZero(t *testing.T) {
	for _, args := range [][]string{{}, {"-gen", "x"}, {"-nonsense"}, {"-gen", "x", "-out", "y", "more"}} {
		code, _, stderr := repogen(args...)
		assert.Equal(t, 2, code)
		assert.Contains(t, stderr, "repogen -help tells more")
	}
	code, stdout, stderr := repogen("-help")
	require.Zero(t, code)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "Usage: repogen -gen DIR -out FILE")
}

func TestTheImportPathIsFoundInGoMod(t *testing.T) {
	module := t.TempDir()
	dir := filepath.Join(module, "internal", "db")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	_, err := findImportPath(dir)
	require.ErrorContains(t, err, "give the package's import path with -import")
	require.NoError(t, os.WriteFile(filepath.Join(module, "go.mod"), []byte("go 1.26\n"), 0o644))
	_, err = findImportPath(dir)
	require.ErrorContains(t, err, "has no module line")
	require.NoError(t, os.WriteFile(filepath.Join(module, "go.mod"), []byte("// mine\nmodule example.org/app\n\ngo 1.26\n"), 0o644))
	path, err := findImportPath(dir)
	require.NoError(t, err)
	require.Equal(t, "example.org/app/internal/db", path)
	require.NoError(t, os.Remove(filepath.Join(module, "go.mod")))
	require.NoError(t, os.Mkdir(filepath.Join(module, "go.mod"), 0o755))
	_, err = findImportPath(dir)
	require.Error(t, err)
	code, _, stderr := repogen("-gen", dir, "-out", "x.go")
	require.Equal(t, 1, code, stderr)
}

func TestReadingAndWritingQueriesAreToldApart(t *testing.T) {
	for sql, want := range map[string]bool{
		"SELECT 1":                             true,
		"-- name: X :one\nselect 1":            true,
		"/* DELETE */ -- INSERT\n SELECT 1":    true,
		"VALUES (1)":                           true,
		"(SELECT 1)":                           false, // no SQLite statement begins so: to be safe, a write
		"SELECT 'it''s' FROM \"update\"":       true,
		"WITH a AS (SELECT 1) SELECT * FROM a": true,
		"WITH a AS (SELECT 1) VALUES (1)":      true,
		"WITH RECURSIVE a (n) AS MATERIALIZED (SELECT 1) SELECT 1":                   true,
		"WITH [select] AS (SELECT 1) DELETE FROM t":                                  false,
		"WITH \"a\"\"b\" AS (SELECT 1), `c` AS (SELECT 2) DELETE FROM t RETURNING *": false,
		"WITH a AS (SELECT ') SELECT') INSERT INTO t SELECT * FROM a":                false,
		"WITH a AS (SELECT 1) UPDATE t SET x = (SELECT 1)":                           false,
		"WITH a AS (SELECT 1) REPLACE INTO t VALUES (1)":                             false,
		"INSERT INTO t SELECT 1":                                                     false,
		"insert into t values (1) returning id":                                      false,
		"UPDATE t SET a = 1":                                                         false,
		"DELETE FROM t":                                                              false,
		"REPLACE INTO t VALUES (1)":                                                  false,
		"PRAGMA user_version = 1":                                                    false,
		"CREATE TABLE t AS SELECT 1":                                                 false,
		"EXPLAIN SELECT 1":                                                           false,
		"":                                                                           false,
		"-- nothing":                                                                 false,
		"/* open":                                                                    false,
		"'open":                                                                      false,
	} {
		assert.Equal(t, want, reads(sql), sql)
	}
}

// handmade has every form of a signature, an import under another name, and
// parameters called like what the generated code uses.
const handmade = `package pool

import (
	"context"
	"database/sql"
	other "time"
)

type DBTX interface {
	ExecContext(context.Context, string, ...interface{}) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...interface{}) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...interface{}) *sql.Row
}

type Queries struct{}

func New(DBTX) *Queries { return nil }

type Row struct{}

const (
	number = 1
	text   = "no query"
	one    = ` + "`-- name: One :one\nWITH a AS (SELECT 1) SELECT 1`" + `
	two    = "-- name: Two :exec\nDELETE FROM t"
)

type Querier interface {
	One(ctx context.Context, ctx2, r *Row, err []*other.Time, result map[string]sql.Null[Row], pool any) ([]*Row, error)
	Two(ctx context.Context, tx interface{}, dberr sql.Null[int64]) error
}

func (*Queries) One(ctx context.Context, ctx2, r *Row, err []*other.Time, result map[string]sql.Null[Row], pool any) ([]*Row, error) {
	return nil, nil
}

func (*Queries) Two(ctx context.Context, tx interface{}, dberr sql.Null[int64]) error { return nil }
`

func TestEveryFormOfASignatureCompilesWhateverItsNames(t *testing.T) {
	dir := filepath.Join("testdata", "handmade")
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "pool"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "store"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pool", "pool.go"), []byte(handmade), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pool", "pool_test.go"), []byte("package pool_test\n"), 0o644))
	out := filepath.Join(dir, "store", "store.go")
	code, _, stderr := repogen("-gen", filepath.Join(dir, "pool"), "-out", out)
	require.Zero(t, code, stderr)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, string(text), "resultArg map[string]sql.Null[sqlcgen.Row]")
	built, err := exec.CommandContext(t.Context(), "go", "vet", "./"+filepath.Dir(out)).CombinedOutput()
	require.NoError(t, err, string(built))
}
