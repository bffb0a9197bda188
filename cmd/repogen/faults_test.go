package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// querier is a sqlc package with one Querier and the SQL of its queries.
func querier(methods string, sqls ...string) map[string]string {
	var b strings.Builder
	b.WriteString("package gen\n\nimport (\n\t\"context\"\n\t\"database/sql\"\n)\n\nvar _ sql.Result\n\n")
	for i, text := range sqls {
		fmt.Fprintf(&b, "const q%d = `%s`\n\n", i, text)
	}
	b.WriteString("type Querier interface {\n" + methods + "\n}\n")
	return map[string]string{"querier.go": b.String()}
}

// requireRefused runs repogen where it must fail: one line, and the output and
// all beside it are as before.
func requireRefused(t *testing.T, want string, args ...string) {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "repo.go")
	require.NoError(t, os.WriteFile(out, []byte("old"), 0o644))
	code, stdout, stderr := repogen(append([]string{"-out", out}, args...)...)
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Regexp(t, `^repogen: [^\n]+\n$`, stderr)
	require.Contains(t, stderr, want)
	old, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, "old", string(old))
	requireAlone(t, out)
}

// requireAlone looks whether there is nothing beside a file, such as what a
// failure left.
func requireAlone(t *testing.T, file string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, filepath.Base(file), entries[0].Name())
}

func TestWhatStandsBesideTheGoFilesIsPassedBy(t *testing.T) {
	files := querier("Get(ctx context.Context) error", "-- name: Get :exec\nSELECT 1")
	maps.Copy(files, map[string]string{"README.md": "# no Go", "all_test.go": "package other\n", "queries.sql": "SELECT 1", "zzz.txt": "no Go"})
	out := filepath.Join(t.TempDir(), "repo.go")
	code, _, stderr := repogen("-gen", package1(t, files), "-out", out, "-import", "example.org/gen", "-package", "store")
	require.Zero(t, code, stderr)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, string(text), "func (q *reads) Get(")
}

func TestTypesThatNoQueryHasAreRefusedWhereverTheyStand(t *testing.T) {
	const unknown = "query Get: its signature has a type of a form that repogen does not know"
	for _, signature := range []string{
		"Get(ctx context.Context, ids ...int64) error",
		"Get(ctx context.Context, a struct{ A int }) error",
		"Get(ctx context.Context, a <-chan int) error",
		"Get(ctx context.Context, a (int)) error",
		"Get(ctx context.Context, a [2]byte) error",
		"Get(ctx context.Context, a *[]map[string]func()) error",
		"Get(ctx context.Context, a interface{ Read() }) error",
		"Get(ctx context.Context, a Pair[int, chan string]) error",
		"Get(ctx context.Context, a sql.Null[chan int]) error",
		"Get(ctx context.Context, a map[string]chan int) error",
		"Get(ctx context.Context) (*struct{}, error)",
		"Get(ctx context.Context) (Pair[int, chan string], error)",
	} {
		t.Run(signature, func(t *testing.T) {
			dir := package1(t, querier(signature, "-- name: Get :one\nSELECT 1"))
			requireRefused(t, unknown, "-gen", dir, "-import", "example.org/gen")
		})
	}
	for _, text := range []string{"(gen.Pair)[int]", "map[func()]int", "[]struct{}", "1 + 2"} {
		expression, err := parser.ParseExpr(text)
		require.NoError(t, err, text)
		_, err = (&query{imports: map[string]bool{}}).typeText("gen", expression)
		require.ErrorContains(t, err, "a form that repogen does not know", text)
	}
}

func TestBadPackagesAreOneClearLineEach(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"an empty directory":                     {map[string]string{}, "has no Go files; run sqlc generate first"},
		"tests alone":                            {map[string]string{"a_test.go": "package gen\n"}, "has no Go files; run sqlc generate first"},
		"an empty file":                          {map[string]string{"a.go": ""}, "expected 'package'"},
		"many mistakes":                          {map[string]string{"a.go": "package gen\n\nfunc (\n\nfunc )\n\nvar = 3\n"}, "a.go:5:6: expected"},
		"no text":                                {map[string]string{"a.go": "package gen\n\nconst a = \"\\z\"\n"}, "unknown escape"},
		"a Querier of a kind":                    {map[string]string{"a.go": "package gen\n\ntype Querier struct{}\n"}, "has no interface Querier"},
		"another interface":                      {map[string]string{"a.go": "package gen\n\ntype Queries interface{}\n"}, "has no interface Querier"},
		"a union":                                {querier("int | string"), "embeds something"},
		"a function embedded":                    {querier("func(ctx context.Context) error", "-- name: Get :exec\nSELECT 1"), "embeds something"},
		"two names":                              {querier("Get(context.Context) error", "-- name: Get :exec\nSELECT 1"), "its first parameter is no context.Context"},
		"no parameter":                           {querier("Get() error", "-- name: Get :exec\nSELECT 1"), "its first parameter is no context.Context"},
		"the context last":                       {querier("Get(id int64, ctx context.Context) error", "-- name: Get :exec\nSELECT 1"), "its first parameter is no context.Context"},
		"another query's text":                   {querier("Get(ctx context.Context) error", "-- name: GetAll :many\nSELECT 1", "-- Name: Get :exec\nSELECT 1", "\n-- name: Get :exec\nSELECT 1"), "query Get has no SQL in the package; run sqlc generate again"},
		"Batch":                                  {querier("Batch(ctx context.Context) error", "-- name: Batch :exec\nSELECT 1"), "query Batch is called like a method that every repository has"},
		"View":                                   {querier("View(ctx context.Context) error", "-- name: View :exec\nSELECT 1"), "query View is called like a method that every repository has"},
		"Savepoint":                              {querier("Savepoint(ctx context.Context) error", "-- name: Savepoint :exec\nSELECT 1"), "query Savepoint is called like a method that every repository has"},
		"AfterCommit":                            {querier("AfterCommit(ctx context.Context) error", "-- name: AfterCommit :exec\nSELECT 1"), "query AfterCommit is called like a method that every repository has"},
		"a database argument":                    {querier("Get(ctx context.Context, db DBTX, id int64) error", "-- name: Get :exec\nSELECT 1"), "set emit_methods_with_db_argument: false in sqlc.yaml"},
		"a database argument before the context": {querier("Get(db DBTX, ctx context.Context) error", "-- name: Get :exec\nSELECT 1"), "no context.Context"},
	} {
		t.Run(name, func(t *testing.T) {
			requireRefused(t, c.want, "-gen", package1(t, c.files), "-import", "example.org/gen")
		})
	}
	t.Run("a file for a directory", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "gen.go")
		require.NoError(t, os.WriteFile(file, []byte("package gen\n"), 0o644))
		requireRefused(t, "has no Go files", "-gen", file, "-import", "example.org/gen")
	})
	t.Run("a pattern for a directory", func(t *testing.T) {
		requireRefused(t, "", "-gen", "[", "-import", "example.org/gen")
	})
	t.Run("a directory for a file", func(t *testing.T) {
		dir := package1(t, nil)
		require.NoError(t, os.Mkdir(filepath.Join(dir, "a.go"), 0o755))
		requireRefused(t, "a.go", "-gen", dir, "-import", "example.org/gen")
	})
	t.Run("no module", func(t *testing.T) {
		requireRefused(t, "give the package's import path with -import", "-gen", package1(t, querier("")))
	})
	t.Run("a directory whose name is no package's", func(t *testing.T) { // it is 001 or so
		requireRefused(t, "is no name for a package; give one with -package", "-gen", package1(t, querier("")), "-import", "example.org/gen")
	})
}

func TestAWorkingDirectoryThatIsGoneIsOneClearLine(t *testing.T) {
	dir := package1(t, querier("Get(ctx context.Context) error", "-- name: Get :exec\nSELECT 1"))
	gone := filepath.Join(t.TempDir(), "gone")
	require.NoError(t, os.Mkdir(gone, 0o755))
	t.Chdir(gone)
	require.NoError(t, os.Remove(gone))
	code, _, stderr := repogen("-gen", dir, "-out", "repo.go", "-import", "example.org/gen")
	require.Equal(t, 1, code)
	require.Regexp(t, `^repogen: getwd: [^\n]+\n$`, stderr)
	code, _, stderr = repogen("-gen", dir, "-out", "repo.go", "-import", "example.org/gen", "-package", "store")
	require.Equal(t, 1, code)
	require.Regexp(t, `^repogen: [^\n]+no such file or directory\n$`, stderr)
	_, err := findImportPath("gen")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestAnOutputThatCannotBeWrittenIsOneClearLine(t *testing.T) {
	dir := package1(t, querier("Get(ctx context.Context) error", "-- name: Get :exec\nSELECT 1"))
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o644))
	for _, out := range []string{filepath.Join(file, "repo.go"), filepath.Join(file+"s", "repo.go")} {
		code, stdout, stderr := repogen("-gen", dir, "-out", out, "-import", "example.org/gen", "-package", "store")
		require.Equal(t, 1, code)
		require.Empty(t, stdout)
		require.Regexp(t, `^repogen: [^\n]+directory(; make the directory that -out names)?\n$`, stderr)
	}
	requireAlone(t, file)
}

func TestAChangedOutputIsReplacedWhole(t *testing.T) {
	dir := package1(t, querier("Get(ctx context.Context) error", "-- name: Get :exec\nSELECT 1"))
	out := filepath.Join(t.TempDir(), "repo.go")
	require.NoError(t, os.WriteFile(out, bytes.Repeat([]byte("// old\n"), 5000), 0o400))
	code, stdout, stderr := repogen("-gen", dir, "-out", out, "-import", "example.org/gen", "-package", "store")
	require.Zero(t, code, stderr)
	require.Empty(t, stdout+stderr, "there is nothing to say")
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.NotContains(t, string(text), "old")
	require.Contains(t, string(text), "\npackage store\n")
	info, err := os.Stat(out)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o644), info.Mode().Perm())
	requireAlone(t, out)
}

func TestATemplateWithAMistakeIsAnErrorAndTheOldOutputStays(t *testing.T) {
	right := repository
	t.Cleanup(func() { repository = right })
	dir := package1(t, querier("Get(ctx context.Context) error", "-- name: Get :exec\nSELECT 1"))
	for text, want := range map[string]string{
		"package {{.Package":     "unclosed action",
		"package {{.Nonsense}}":  "can't evaluate field Nonsense",
		"package {{.Package}} )": "the generated code is no Go",
	} {
		repository = text
		requireRefused(t, want, "-gen", dir, "-import", "example.org/gen", "-package", "store")
	}
}

func TestHelpIsAskedForInAnyFormAndGoesToStandardOutput(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"-help"}, {"--help"}, {"-gen", "x", "--help"}} {
		code, stdout, stderr := repogen(args...)
		require.Zero(t, code, args)
		require.Empty(t, stderr, args)
		require.Equal(t, usage, stdout, args)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "-gen and -out are needed"},
		{[]string{"-out", "x"}, "-gen and -out are needed"},
		{[]string{"-gen"}, "flag needs an argument: -gen"},
		{[]string{"-generate", "x"}, "flag provided but not defined: -generate"},
		{[]string{"-gen", "x", "-out", "y", "-import", "z", "more", "still"}, `unexpected argument "more"`},
	} {
		code, stdout, stderr := repogen(c.args...)
		require.Equal(t, 2, code, c.args)
		require.Empty(t, stdout, c.args)
		require.Equal(t, "repogen: "+c.want+"; repogen -help tells more\n", stderr)
	}
}

func TestEveryAnnotationBecomesAMethodOfItsKind(t *testing.T) {
	dir := package1(t, querier(`
	// The one.
	// It has two lines.
	One(ctx context.Context, id int64) (Item, error)
	Many(ctx context.Context, arg ManyParams) ([]Item, error)
	Exec(ctx context.Context) error
	ExecRows(ctx context.Context, id *int64) (int64, error)
	ExecLastID(ctx context.Context, data []byte) (int64, error)
	ExecResult(ctx context.Context) (sql.Result, error)
	Returning(ctx context.Context, name sql.NullString) (*Item, error)
	Count(ctx context.Context, a, b interface{}) (int64, error)`,
		"-- name: One :one\nSELECT * FROM items WHERE id = ?",
		"-- name: Many :many\nWITH a AS (SELECT 1) SELECT * FROM items",
		"-- name: Exec :exec\nDELETE FROM items",
		"-- name: ExecRows :execrows\nUPDATE items SET id = 1",
		"-- name: ExecLastID :execlastid\nINSERT INTO items VALUES (1)",
		"-- name: ExecResult :execresult\nREPLACE INTO items VALUES (1)",
		"-- name: Returning :one\nINSERT INTO items SELECT * FROM items RETURNING *",
		"-- name: Count :one\nVALUES (1)",
		"-- name: Unused :exec\nDELETE FROM items",
	))
	out := filepath.Join(t.TempDir(), "store", "repo.go")
	require.NoError(t, os.Mkdir(filepath.Dir(out), 0o755))
	code, _, stderr := repogen("-gen", dir, "-out", out, "-import", "example.org/app/gen")
	require.Zero(t, code, stderr)
	source, err := os.ReadFile(out)
	require.NoError(t, err)
	text := string(source)
	for _, want := range []string{
		"\npackage store\n",
		"\t\"example.org/app/gen\"\n",
		"\t\"database/sql\"\n",
		"// The one.\n// It has two lines.\nfunc (q *reads) One(ctx context.Context, id int64) (gen.Item, error) {",
		"// Many runs the query of that name.\nfunc (q *reads) Many(ctx context.Context, arg gen.ManyParams) ([]gen.Item, error) {",
		"func (q *writes) Exec(ctx context.Context) error {",
		"func (q *writes) ExecRows(ctx context.Context, id *int64) (int64, error) {",
		"func (q *writes) ExecLastID(ctx context.Context, data []byte) (int64, error) {",
		"func (q *writes) ExecResult(ctx context.Context) (sql.Result, error) {",
		"func (q *writes) Returning(ctx context.Context, name sql.NullString) (*gen.Item, error) {",
		"func (q *reads) Count(ctx context.Context, a any, b any) (int64, error) {",
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "Unused", "what the Querier does not have")
	for name, reading := range map[string]bool{"One": true, "Many": true, "Count": true, "Exec": false, "ExecRows": false, "ExecLastID": false, "ExecResult": false, "Returning": false} {
		half := map[bool]string{true: "reads", false: "writes"}[reading]
		assert.Equal(t, 1, strings.Count(text, ") "+name+"("), "%s is written once", name)
		assert.Contains(t, text, "func (q *"+half+") "+name+"(")
		assert.Equal(t, reading, strings.Contains(text, "{Name: \""+name+"\", Reads: true, SQL: "), name)
	}
}

func TestOddQueriesAreToldApart(t *testing.T) {
	for text, want := range map[string]bool{
		"\t\r\n select\n1": true,
		"-- name: Get :one\n-- DELETE FROM t\n/*\n*/SELECT 1": true,
		"/**/SELECT 1":                                 true,
		"/*/ DELETE */ SELECT 1":                       true,
		"--\nSELECT 1":                                 true,
		"--SELECT 1\rSELECT 1\nDELETE FROM t":          false,
		"SELECT replace(a, 'b', 'c'), 'DELETE' FROM t": true,
		"SELECT a AS [update], b AS `insert`, c AS \"delete\" FROM t": true,
		"SELECT * FROM t WHERE a = 'it''s; DELETE FROM t'":            true,
		"SELECT x'DE1E7E' UNION ALL SELECT ?1 EXCEPT VALUES (2)":      true,
		"SELECT * FROM json_each(:delete) WHERE value = @update":      true,
		"values (1), (2)": true,
		"with a(b) as not materialized (select (1)) , c as (values (1)) select 1":   true,
		"WITH a AS (DELETE FROM t RETURNING *) SELECT 1":                            true, // no SQLite statement: a table expression only reads
		"WITH \"SELECT\" AS (SELECT 1) UPDATE t SET a = 1 FROM \"SELECT\"":          false,
		"WITH `values` AS (SELECT 1) DELETE FROM t":                                 false,
		"WITH a AS (SELECT 1) /* SELECT */ INSERT INTO t SELECT * FROM a":           false,
		"WITH a AS (SELECT 1) -- SELECT\n DELETE FROM t":                            false,
		"WITH a AS (SELECT (1) FROM (SELECT 2)) delete from t returning (SELECT 1)": false,
		"WITH a AS (SELECT 1)":              false,
		"WITH":                              false,
		"INSERT OR REPLACE INTO t SELECT 1": false,
		"INSERT INTO t DEFAULT VALUES RETURNING *": false,
		"REPLACE INTO t SELECT 1":                  false,
		"UPDATE OR IGNORE t SET a = (SELECT 1)":    false,
		"DELETE FROM t WHERE a IN (SELECT 1)":      false,
		"EXPLAIN QUERY PLAN SELECT 1":              false,
		"EXPLAIN DELETE FROM t":                    false,
		"PRAGMA table_info(t)":                     false,
		"PRAGMA journal_mode":                      false,
		"BEGIN; SELECT 1":                          false,
		"ATTACH 'x' AS y":                          false,
		"VACUUM INTO 'x'":                          false,
		"ANALYZE":                                  false,
		"CREATE VIEW v AS SELECT 1":                false,
		"DROP TABLE t":                             false,
		"SELECTED":                                 false,
		"sélect 1":                                 false,
		"\ufeffSELECT 1":                           false, // to be safe
		"((":                                       false,
		"))":                                       false,
		"\"open":                                   false,
		"`open":                                    false,
		"[open":                                    false,
		"\x00":                                     false,
		"\xff\xfe":                                 false,
	} {
		assert.Equal(t, want, reads(text), text)
	}
}

// Each of these names would be a verb without the letter at its end, and its
// query would read.
func TestANameThatHoldsAVerbMakesNoQueryRead(t *testing.T) {
	for _, name := range []string{
		"SELECTa", "SELECTz", "SELECTA", "SELECTZ", "SELECT0", "SELECT9", "SELECT_", "SELECT$", "SELECT\u0100",
		"aSELECT", "zSELECT", "ASELECT", "ZSELECT", "_SELECT", "\u0100SELECT", "z0SELECT", "z9SELECT", "z$SELECT",
	} {
		dir := package1(t, querier("Put(ctx context.Context) error", "-- name: Put :exec\nWITH "+name+" AS (VALUES (1)) DELETE FROM t"))
		out := filepath.Join(t.TempDir(), "repo.go")
		code, _, stderr := repogen("-gen", dir, "-out", out, "-import", "example.org/gen", "-package", "store")
		require.Zero(t, code, stderr)
		text, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Contains(t, string(text), "func (q *writes) Put(", name)
	}
}

func TestConstantsThatAreNoQueriesArePassedBy(t *testing.T) {
	texts := make(map[string]string)
	addText(texts, &ast.ValueSpec{Values: []ast.Expr{
		&ast.BasicLit{Kind: token.INT, Value: "1"},
		&ast.BasicLit{Kind: token.STRING, Value: "\"-- name: Open :exec"},
		&ast.BasicLit{Kind: token.STRING, Value: `"SELECT 1"`},
		&ast.Ident{Name: "other"},
		&ast.BasicLit{Kind: token.STRING, Value: `"-- name: Get :one\nSELECT 1"`},
		&ast.BasicLit{Kind: token.STRING, Value: "`-- name: All :many\nSELECT 2`"},
	}})
	require.Equal(t, map[string]string{"Get": "-- name: Get :one\nSELECT 1", "All": "-- name: All :many\nSELECT 2"}, texts)
}

func TestReadingTheWordsMayEndAtAny(t *testing.T) {
	const text = "a (b) -- c\n'd' [e] ) f_1"
	all := []string{"a", "(", "b", ")", ")", "f_1"}
	for n := range all {
		var got []string
		for word := range words(text) {
			if got = append(got, word); len(got) == n+1 {
				break
			}
		}
		require.Equal(t, all[:n+1], got)
	}
}

// unread is what SQL text says aside: comments and what is quoted.
var unread = regexp.MustCompile("(?s)--[^\n]*|/\\*.*?(?:\\*/|$)|'[^']*(?:'|$)|\"[^\"]*(?:\"|$)|`[^`]*(?:`|$)|\\[[^]]*(?:]|$)")

// firstVerb is, of the verbs that tell reading from writing, the first one that
// stands outside parentheses. It is written differently from what it tests.
func firstVerb(text string) string {
	top, depth := []byte(nil), 0
	for _, c := range unread.ReplaceAll([]byte(text), []byte(" ")) {
		switch {
		case c == '(':
			depth++
			c = ' '
		case c == ')':
			depth--
			c = ' '
		}
		if depth <= 0 {
			top = append(top, c)
		}
	}
	for _, word := range bytes.FieldsFunc(top, func(r rune) bool { return r < 0x80 && !isLetter(byte(r)) }) {
		switch verb := strings.ToUpper(string(word)); verb {
		case "SELECT", "VALUES", "INSERT", "UPDATE", "DELETE", "REPLACE":
			return verb
		}
	}
	return ""
}

// FuzzClassify looks at any text, at what it would be as a comment, a quotation or
// an expression of another statement, and asks SQLite whether what is called
// reading writes.
func FuzzClassify(f *testing.F) {
	for _, seed := range []string{
		"",
		"SELECT 1",
		"-- name: Get :one\nSELECT * FROM t WHERE a = ?1",
		"VALUES (1), (2)",
		"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
		"WITH a AS (SELECT 1) DELETE FROM t WHERE a IN (SELECT * FROM a) RETURNING *",
		"WITH a AS MATERIALIZED (SELECT ') SELECT') INSERT INTO t SELECT 1, 2",
		"WITH [select] AS (SELECT 1), \"values\" AS (SELECT 2) UPDATE t SET a = (SELECT 1)",
		"WITH `select` AS (VALUES (1)) REPLACE INTO t VALUES (1, 2)",
		"SELECT replace(a, 'x', 'it''s') AS [update] FROM t -- DELETE",
		"INSERT INTO t DEFAULT VALUES",
		"update t set a = 1 returning a",
		"/* SELECT */ DELETE FROM t",
		"/*/ SELECT 1 */ DELETE FROM t",
		"EXPLAIN SELECT 1",
		"PRAGMA user_version = 1",
		"CREATE TABLE u AS SELECT 1",
		"SELECT * FROM t ORDER BY a LIMIT (SELECT count(*) FROM t)",
		"((SELECT 1)) UNION VALUES (1)",
		")SELECT 1(",
		"'open SELECT",
		"/* open SELECT",
		"[open SELECT",
		"\ufeffSELECT\x00\xff",
	} {
		f.Add(seed)
	}
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(f, err)
	f.Cleanup(func() { assert.NoError(f, db.Close()) })
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE t (a, b)")
	require.NoError(f, err)

	f.Fuzz(func(t *testing.T, text string) {
		reading := reads(text)
		if verb := firstVerb(text); reading && verb != "SELECT" && verb != "VALUES" {
			t.Errorf("%q is called reading, its verb is %q", text, verb)
		}
		if reading && !strings.Contains(text, ";") {
			requireNoWrite(t, db, text)
		}
		for _, aside := range []string{
			"-- " + strings.NewReplacer("\n", " ").Replace(text) + "\n",
			"/* " + strings.NewReplacer("*", " ").Replace(text) + " */",
			"WITH " + `"` + strings.ReplaceAll(text, `"`, `""`) + `" AS (SELECT 1)`,
			"WITH `" + strings.ReplaceAll(text, "`", "``") + "` AS (VALUES (1))",
			"WITH [" + strings.ReplaceAll(text, "]", " ") + "] AS (SELECT 1)",
			"WITH a AS (SELECT '" + strings.ReplaceAll(text, "'", "''") + "', (1))",
		} {
			for _, verb := range []string{"INSERT INTO t SELECT 1", "UPDATE t SET a = 1", "delete FROM t", "Replace INTO t VALUES (1)"} {
				if reads(aside + verb) {
					t.Errorf("%q is called reading", aside+verb)
				}
			}
			for _, verb := range []string{"SELECT 1", "values (1)"} {
				if !reads(aside + verb) {
					t.Errorf("%q is called writing", aside+verb)
				}
			}
		}
	})
}

// requireNoWrite asks SQLite for a statement's program: a transaction that writes
// is begun with a second operand.
func requireNoWrite(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN "+text, 1, 2, 3, 4)
	if err != nil {
		return // no statement
	}
	defer rows.Close()
	for rows.Next() {
		var addr, p1, p2, p3, p5 any
		var opcode string
		var p4, comment any
		if err := rows.Scan(&addr, &opcode, &p1, &p2, &p3, &p4, &p5, &comment); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if opcode == "Transaction" && p2 != int64(0) {
			t.Errorf("%q is called reading, but writes", text)
		}
	}
}

func TestPackagesAreFoundUnderTheirImportPaths(t *testing.T) {
	for at, name := range map[string]string{
		"github.com/gofrs/uuid/v5": "uuid", "gopkg.in/guregu/null.v4": "null", "github.com/segmentio/go-ksuid": "ksuid",
		"github.com/x/decimal-go": "decimal", "time": "time", "example.org/a/v": "v",
	} {
		require.Contains(t, packageNames(at), name, at)
	}
}

func TestAPackageThatIsNotCalledLikeItsImportPathIsImportedOnce(t *testing.T) {
	for _, c := range []struct {
		imports, a, b string // what the package says, and the two packages that its query names
		want          []string
	}{
		{`"example.org/go-ksuid"; "example.org/uuid-go"`, "ksuid", "uuid", []string{`ksuid "example.org/go-ksuid"`, `uuid "example.org/uuid-go"`}},
		{`"example.org/big-int"; "example.org/clock/v2"`, "bigint", "clock", []string{`bigint "example.org/big-int"`, `clock "example.org/clock/v2"`}},
		{`"example.org/go-ksuid"; "example.org/goksuid"`, "ksuid", "goksuid", []string{`ksuid "example.org/go-ksuid"`, `"example.org/goksuid"`}},
	} {
		text := "package gen\n\nimport (\"context\"; " + c.imports + ")\n\nconst get = `-- name: Get :exec\nSELECT 1`\n\n" +
			"type Querier interface {\n\tGet(ctx context.Context, a " + c.a + ".ID, b " + c.b + ".ID) error\n}\n"
		out := filepath.Join(t.TempDir(), "repo.go")
		code, _, stderr := repogen("-gen", package1(t, map[string]string{"a.go": text}), "-out", out, "-import", "example.org/gen", "-package", "store")
		require.Zero(t, code, stderr)
		made, err := os.ReadFile(out)
		require.NoError(t, err)
		for _, line := range c.want {
			require.Contains(t, string(made), "\t"+line+"\n")
		}
	}
}

func TestAnOddQuerierIsRefused(t *testing.T) {
	for _, method := range []string{
		"Odd(ctx context.Context)", "Odd(ctx context.Context) int", "Odd(ctx context.Context) (int, int)", "Odd(ctx context.Context) (int, int, error)",
	} {
		dir := filepath.Join(t.TempDir(), "a[1]")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.org/a\n"), 0o644))
		text := "package gen\n\nimport \"context\"\n\nconst odd = `-- name: Odd :exec\nSELECT 1`\n\ntype Querier interface {\n\t" + method + "\n}\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a.go"), []byte(text), 0o644))
		_, err := read(dir, goList)
		require.ErrorContains(t, err, "Odd")
		require.ErrorContains(t, err, "neither an error nor a result and an error", method)
	}
}
