//go:build unix

package main

import (
	"bytes"
	"context"
	"database/sql/driver"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/sqlane/sqlane/pool"
)

// TestWhatCannotBeReadOrWrittenIsNamedInOneLine for root too, whom no permission stops.
func TestWhatCannotBeReadOrWrittenIsNamedInOneLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(elements ...string) string { return filepath.Join(append([]string{dir}, elements...)...) }
	require.NoError(t, os.Symlink("loop", in("loop")))
	put(t, "a file", in("file"))
	require.NoError(t, os.MkdirAll(in("app", "go.mod"), 0o755))
	put(t, "package p\n\n//go:generate sqlc generate -f gone.yaml\n", in("lost", "p.go"))
	long := in("new", strings.Repeat("n", 300))
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"check", in("loop")}, "stat " + in("loop") + ": too many levels of symbolic links"},
		{[]string{"check", in("file")}, in("file") + " is no directory"},
		{[]string{"check", in("file", "below")}, "stat " + in("file", "below") + ": not a directory"},
		{[]string{"check", in("lost")}, "open " + in("lost", "gone.yaml") + ": no such file or directory"},
		{[]string{"doctor", in("loop")}, "stat " + in("loop") + ": too many levels of symbolic links"},
		{[]string{"doctor", in("file", "below")}, "stat " + in("file", "below") + ": not a directory"},
		{[]string{"init", in("app", "notes")}, "read " + in("app", "go.mod") + ": is a directory"},
		{[]string{"init", in("loop", "notes")}, "open " + in("loop", "notes", "go.mod") + ": too many levels of symbolic links"},
		{[]string{"init", "-module", "example.org/n", long}, "nothing is written: mkdir " + long + ": file name too long"},
	} {
		before := tree(t, dir)
		code, stdout, stderr := sqlane(t, c.args...)
		require.Equal(t, failed, code, c.args)
		require.Empty(t, stdout)
		require.Equal(t, "sqlane: "+c.says+"\n", stderr)
		require.Equal(t, before, tree(t, dir))
	}
}

func TestADirectoryForTemporaryFilesThatIsGoneIsNamed(t *testing.T) {
	dir, gone := planned(t, simple), filepath.Join(t.TempDir(), "gone")
	t.Setenv("TMPDIR", gone)
	code, stdout, stderr := sqlane(t, "check", dir, "-sqlc", "true")
	require.Equal(t, failed, code)
	require.Empty(t, stdout)
	require.Regexp(t, `^sqlane: .*`+gone+`.*: no such file or directory\n$`, stderr)
}

// unprinted is what becomes of a run whose output has no room.
func unprinted(t *testing.T, args ...string) (code int, stderr string) {
	t.Helper()
	var errs strings.Builder
	return run(t.Context(), args, full{}, &errs), errs.String()
}

func TestWhatCannotBePrintedIsAFailure(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"doctor", database(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)")},
		{"check", planned(t, simple, "Scans", "SELECT a FROM t WHERE a = 1"), "-sqlc", "true"},
		{"init", filepath.Join(t.TempDir(), "notes")},
	} {
		code, stderr := unprinted(t, args...)
		require.Equal(t, failed, code, args)
		require.Equal(t, "sqlane: no room\n", stderr, args)
	}
	code, stderr := unprinted(t, "check", planned(t, simple), "-sqlc", "true")
	require.Equal(t, done, code, stderr)
}

func TestADatabaseBehindALinkIsReadWithItsLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "data", "deep", "app.db")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.Symlink(path, filepath.Join(dir, "link.db")))
	require.NoError(t, os.Symlink(filepath.Dir(path), filepath.Join(dir, "deep")))
	p := open(t, pool.Config{Path: path})
	execute1(t, p, "CREATE TABLE keyless (x)") // It is in the log alone.
	put(t, "", dir, "app.db")
	for _, name := range []string{path, filepath.Join(dir, "link.db"), dir + "/deep/app.db", dir + "/deep/../deep/app.db"} {
		code, stdout, stderr := sqlane(t, "doctor", name)
		require.Equal(t, done, code, stderr)
		require.Contains(t, stdout, "advice: keyless has no primary key", name)
		require.Contains(t, stdout, "fact: the log has ", name)
	}
	_, stdout, _ := sqlane(t, "doctor", filepath.Join(dir, "app.db"))
	require.NotContains(t, stdout, "keyless", "it is another file")
}

func TestAProjectBehindALinkIsThatProject(t *testing.T) {
	dir := planned(t, simple, "Scans", "SELECT a FROM t WHERE a = 1")
	put(t, "package p\n\n//go:generate true sqlc generate\n", dir, "p.go")
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	code, stdout, stderr := sqlane(t, "check", link)
	require.Equal(t, failed, code)
	require.Empty(t, stderr)
	require.True(t, strings.HasPrefix(stdout, filepath.Join(link, "queries", "all.sql")+": Scans reads all of t"), stdout)
	t.Chdir(link)
	code, stdout, stderr = sqlane(t, "check")
	require.Equal(t, failed, code)
	require.Empty(t, stderr)
	require.True(t, strings.HasPrefix(stdout, filepath.Join("queries", "all.sql")+": Scans reads all of t"), stdout)
}

func TestAProjectsDirectoryMayHaveAnyName(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "what*[is this")
	require.NoError(t, os.CopyFS(dir, os.DirFS(planned(t, strings.Replace(simple, "schema: schema, queries: queries", "schema: [], queries: []", 1), "All", "SELECT 1"))))
	code, stdout, _ := sqlane(t, "check", dir, "-sqlc", "true")
	require.Equal(t, failed, code)
	require.Equal(t, filepath.Join(dir, "gen", "all.sql.go")+": was made of all.sql, which sqlc reads no more; delete it\n", stdout)
}

func TestWhatSqlcLeavesUnsaidIsSaid(t *testing.T) {
	t.Parallel()
	ruled := strings.Replace(simple, "schema:", "rules: [sqlc/db-prepare], schema:", 1)
	for _, c := range []struct {
		config, sqlc, stdout string // after the configuration's name
	}{
		{simple, "exit 0", ""},
		{simple, "exit 1", ": files that sqlc makes are missing; run go generate\n"},
		{simple, "echo elsewhere.sql:1:2: is odd; exit 1", ": elsewhere.sql:1:2: is odd\n"},
		{ruled, "test $1 = diff", ": sqlc vet failed\n"},
		{strings.Replace(simple, "schema: schema", "schema: 'a[b'", 1), "exit 0", ": the schema cannot be made: {}/a[b: syntax error in pattern\n"},
		{strings.Replace(simple, "queries: queries", "queries: ['q*[']", 1), "exit 0", ": {}/q*[: syntax error in pattern\n"},
		{strings.Replace(simple, "schema: schema", "schema: dir.sql", 1), "exit 0", ": the schema cannot be made: stat {}/dir.sql: no such file or directory\n"},
	} {
		dir := planned(t, c.config)
		code, stdout, stderr := sqlane(t, "check", dir, "-sqlc", `sh -c "`+c.sqlc+`" sqlc`)
		require.Empty(t, stderr)
		require.Equal(t, c.stdout != "", code == failed)
		if c.stdout != "" {
			require.Equal(t, filepath.Join(dir, "sqlc.yaml")+strings.ReplaceAll(c.stdout, "{}", dir), stdout)
		}
	}
	dir := planned(t, ruled)
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(shell, filepath.Join(dir, "sh")))
	code, stdout, stderr := sqlane(t, "check", dir, "-sqlc", `./sh -c "rm sh"`)
	require.Equal(t, failed, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "./sh -c rm sh vet -f ")
	require.Contains(t, stderr, "no such file or directory; install it")
}

func TestAConfigurationOfAnotherShapeIsNamed(t *testing.T) {
	t.Parallel()
	dir := planned(t, "sql: [{engine: sqlite, schema: {a: b}}]")
	code, stdout, stderr := sqlane(t, "check", dir, "-sqlc", "true")
	require.Equal(t, failed, code)
	require.Empty(t, stdout)
	require.True(t, strings.HasPrefix(stderr, "sqlane: "+filepath.Join(dir, "sqlc.yaml")+": yaml: "), stderr)
	require.Equal(t, 1, strings.Count(stderr, "\n"))
}

func TestARepogenThatFailsIsAFindingOfItsLine(t *testing.T) {
	t.Parallel()
	const writes = `echo wanted > ${DOLLAR}2`
	for _, c := range []struct {
		text, have string // what repogen does, and what is there; "" for nothing, "/" for a directory
		code       int
		says       string // {} is the project
	}{
		{writes, "wanted\n", done, ""},
		{writes, "another\n", failed, "{}/repo.go: is not what repogen makes of the sqlc package; run go generate\n"},
		{writes, "", failed, "{}/repo.go: is missing; run go generate\n"},
		{writes, "/", failed, "sqlane: read {}/repo.go: is a directory\n"},
		{"exit 0", "wanted\n", failed, "{}/p.go:3: it writes no repo.go\n"},
		{"exit 1", "wanted\n", failed, "{}/p.go:3: repogen failed\n"},
		{"echo no queries; exit 1", "wanted\n", failed, "{}/p.go:3: no queries\n"},
		{"mkdir ${DOLLAR}2", "wanted\n", failed, "sqlane: read "},
		{"", "wanted\n", failed, "sqlane: ./repogen -out "},
	} {
		dir := planned(t, simple)
		command := "./repogen"
		if c.text != "" {
			command = `sh -c "` + c.text + `" repogen`
		}
		put(t, "package p\n\n//go:generate "+command+" -out repo.go\n", dir, "p.go")
		switch c.have {
		case "":
		case "/":
			require.NoError(t, os.Mkdir(filepath.Join(dir, "repo.go"), 0o755))
		default:
			put(t, c.have, dir, "repo.go")
		}
		code, stdout, stderr := sqlane(t, "check", dir, "-sqlc", "true")
		said := stdout + stderr
		require.Equal(t, c.code, code, said)
		require.True(t, strings.HasPrefix(said, strings.ReplaceAll(c.says, "{}", dir)), said)
		require.LessOrEqual(t, strings.Count(said, "\n"), 1, said)
		require.Equal(t, c.says == "", said == "")
	}
}

func TestMigrationsOfTwoDirectoriesMayHaveOneName(t *testing.T) {
	t.Parallel()
	dir := planned(t, strings.Replace(simple, "schema: schema", "schema: [schema, more]", 1),
		"Both", "SELECT t.id FROM t JOIN u ON u.id = t.id WHERE t.id = ?")
	put(t, "-- +goose Up\nCREATE TABLE u (id INTEGER PRIMARY KEY, t REFERENCES t);\n-- +goose Down\nDROP TABLE u;", dir, "more", "1_t.sql")
	code, stdout, stderr := sqlane(t, "check", dir, "-sqlc", "true")
	require.Equal(t, done, code, stdout+stderr)
	put(t, "-- +goose Up\nSELECT 1;\n", dir, "more", "01_t.sql")
	code, stdout, _ = sqlane(t, "check", dir, "-sqlc", "true")
	require.Equal(t, failed, code)
	require.Contains(t, stdout, "the schema cannot be made: "+filepath.Join(dir, "more")+": ")
}

func TestAConstantThatNamesNoQueryIsNone(t *testing.T) {
	t.Parallel()
	dir := planned(t, simple)
	put(t, "// Code generated by sqlc. DO NOT EDIT.\n// source: all.sql\n\npackage gen\n\nconst (\n\ta = \"-- name: \"\n\tb = \"-- name: \\n\"\n\tc = 1\n)\n", dir, "gen", "all.sql.go")
	code, stdout, stderr := sqlane(t, "check", dir, "-sqlc", "true")
	require.Equal(t, done, code, stdout+stderr)
}

// stop is called by SQL.
var stop atomic.Pointer[context.CancelFunc]

func init() {
	sqlite.MustRegisterScalarFunction("stop", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		(*stop.Load())()
		return nil, nil
	})
}

func TestAnInterruptedMigrationLeavesNothing(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	dir := planned(t, simple)
	put(t, "-- +goose Up\nCREATE TABLE u AS WITH RECURSIVE n (i) AS (SELECT stop() UNION ALL SELECT 1 FROM n) SELECT i FROM n;\n", dir, "schema", "2_u.sql")
	ctx, cancel := context.WithCancel(t.Context())
	stop.Store(&cancel)
	var stdout, stderr bytes.Buffer
	before := tree(t, temp)
	require.Equal(t, interrupted, run(ctx, []string{"check", dir, "-sqlc", "true"}, &stdout, &stderr))
	require.Equal(t, "sqlane: interrupted\n", stderr.String())
	require.Empty(t, stdout.String())
	require.Equal(t, before, tree(t, temp))
}

func TestADirectoryThatWasRemovedMeanwhileIsOneLine(t *testing.T) {
	gone := t.TempDir()
	t.Chdir(gone)
	require.NoError(t, os.Remove(gone))
	if _, err := filepath.Abs("."); err == nil {
		return // this system goes by the name alone
	}
	for _, args := range [][]string{{"init", "notes"}, {"check"}, {"doctor", "app.db"}} {
		code, stdout, stderr := sqlane(t, args...)
		require.Equal(t, failed, code, args)
		require.Empty(t, stdout)
		require.Regexp(t, `^sqlane: getwd: .*no such file or directory\n$`, stderr)
	}
}
