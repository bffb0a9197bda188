package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/rounds"
)

// goCommand runs one of the commands that init prints, in a project.
func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %v: %s", args, out)
	return string(out)
}

// edit replaces a text in a file.
func edit(t *testing.T, name, old, text string) {
	t.Helper()
	before, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Contains(t, string(before), old)
	put(t, strings.Replace(string(before), old, text, 1), name)
}

// started is a project from init for which the module under test stands in for the
// published one, and the pinned sqlc for the download of the same version.
func started(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "begun")
	code, _, stderr := sqlane(t, "init", dir, "-module", "example.com/begun")
	require.Equal(t, done, code, stderr)
	goCommand(t, dir, "mod", "edit", "-require", product+"@v0.0.0", "-replace", product+"="+root)
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	put(t, string(sum), dir, "go.sum")
	edit(t, filepath.Join(dir, "store", "doc.go"), "go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1", `go tool "-modfile=`+filepath.ToSlash(root)+`/tools/go.mod" sqlc`)
	return dir
}

// TestAProjectFromInitBuildsGeneratesRunsAndPassesItsTestUntilSomethingDrifts does
// with -short what is quick; the project's files are those of docs/start.md, which a test of its own
// builds and runs all the same.
func TestAProjectFromInitBuildsGeneratesRunsAndPassesItsTestUntilSomethingDrifts(t *testing.T) {
	t.Parallel()
	dir := started(t)
	in := func(elements ...string) string { return filepath.Join(append([]string{dir}, elements...)...) }
	queries, repository := in("queries.sql"), in("store", "store_gen.go")
	printed := func(i int) []string { return strings.Fields(next(".", "latest")[i])[1:] }
	steps := []struct {
		change   func()
		findings []string
	}{
		{func() { goCommand(t, dir, printed(1)...) }, []string{
			"sqlc.yaml: files that sqlc makes are missing; run go generate",
			"store/doc.go:5: repogen: ../gen has no Go files",
		}},
		{func() {
			goCommand(t, dir, printed(2)...)
			require.Equal(t, "2 notes\n", goCommand(t, dir, printed(3)...))
			goCommand(t, dir, "vet", "./...")
			goCommand(t, dir, printed(4)...)
		}, nil},
		{func() { // each kind at once
			edit(t, queries, "SELECT count(*) FROM notes;", "SELECT count(*) FROM notes WHERE id > 0;")
			edit(t, repository, "package store", "package store // mine")
			edit(t, in("sqlc.yaml"), "    gen:", "    rules: [counting]\n    gen:")
			edit(t, in("sqlc.yaml"), "sql:\n", "rules: [{name: counting, message: do not count, rule: 'query.sql.contains(\"count\")'}]\nsql:\n")
			edit(t, in("notes_test.go"), `"CountNotes"`, `"AddNote"`)
			put(t, "package gen\n", in("gen", "hand.go"))
			put(t, "// source: old.sql\n\npackage gen\n", in("gen", "old.sql.go"))
		}, []string{
			"gen/queries.sql.go: is not what sqlc makes of migrations and queries; run go generate",
			"queries.sql: CountNotes: counting: do not count",
			"gen/old.sql.go: was made of old.sql, which sqlc reads no more; delete it",
			`queries.sql: CountNotes reads all of notes: its plan says "SCAN notes`,
			"store/store_gen.go: is not what repogen makes of the sqlc package; run go generate",
		}},
		{func() {
			edit(t, queries, "count(*)", "nope")
			require.NoError(t, os.Remove(repository))
			require.NoError(t, os.Remove(in("gen", "old.sql.go")))
			edit(t, in("sqlc.yaml"), "    rules: [counting]\n", "")
			edit(t, in("notes_test.go"), `"AddNote"`, `"CountNotes"`)
			edit(t, in("schema", "00001_notes.sql"), "STRICT;", "STRICT; INSERT INTO notes (text) VALUES ('');")
		}, []string{
			`queries.sql:5:8: column "nope" does not exist`,
			"sqlc.yaml: the schema cannot be made: ",
			"store/store_gen.go: is missing; run go generate",
		}},
	}
	for i, step := range steps[:rounds.Of(1, len(steps), len(steps))] {
		step.change()
		before := tree(t, dir)
		code, stdout, stderr := sqlane(t, "check", dir)
		require.Empty(t, stderr)
		require.Equal(t, before, tree(t, dir), "it changes nothing")
		require.Equal(t, len(step.findings) > 0, code == failed, stdout)
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		if step.findings == nil {
			require.Empty(t, stdout)
			continue
		}
		require.Len(t, lines, len(step.findings), "step %d:\n%s", i, stdout)
		for j, finding := range step.findings {
			require.True(t, strings.HasPrefix(lines[j], in(filepath.FromSlash(finding))), "%s\n%s", lines[j], finding)
		}
	}
}

// looked is what the part of check says that needs no other program.
func looked(t *testing.T, dir string) string {
	t.Helper()
	var out bytes.Buffer
	a := newApp(&out, &out)
	a.arg = "."
	c := &checkup{app: a, dir: dir, temp: t.TempDir(), configs: map[string]sqlcRun{}, waived: map[string]bool{}, said: map[string]bool{}}
	c.sqlc = "sqlc" // it is not run
	require.NoError(t, c.read())
	for config := range c.configs {
		sources, _, err := readConfig(config)
		require.NoError(t, err)
		for _, s := range sources {
			require.NoError(t, c.source(t.Context(), config, s))
		}
	}
	return out.String()
}

// planned is a project with these queries, a name and a text each, as sqlc makes them.
func planned(t *testing.T, config string, queries ...string) string {
	t.Helper()
	dir := t.TempDir()
	put(t, config, dir, "sqlc.yaml")
	put(t, "-- +goose Up\nCREATE TABLE t (id INTEGER PRIMARY KEY, a, b);\n-- +goose Down\nDROP TABLE t;", dir, "schema", "1_t.sql")
	made := "// Code generated by sqlc. DO NOT EDIT.\n// source: all.sql\n\npackage gen\n"
	for i := 0; i < len(queries); i += 2 {
		made += "const q" + queries[i] + " = `-- name: " + queries[i] + " :many\n" + queries[i+1] + "\n`\n"
	}
	put(t, made, dir, "gen", "all.sql.go")
	put(t, "", dir, "queries", "all.sql")
	return dir
}

const simple = "version: 2\nsql: [{engine: sqlite, schema: schema, queries: queries, gen: {go: {package: gen, out: gen}}}]"

func TestPlansAreJudgedUnlessATestWaivesThem(t *testing.T) {
	dir := planned(t, simple,
		"Good", "SELECT * FROM t WHERE id = ?",
		"Scans", "SELECT a FROM t WHERE a = ?",
		"Sorts", "SELECT a FROM t WHERE id > ? ORDER BY b",
		"Quoted", "SELECT a FROM ` + \"`t`\" + ` WHERE b = ?",
		"Strange", "SELECT nosuch(a) FROM t WHERE id = 1",
		"Slice", "SELECT a FROM t WHERE id IN (/*SLICE:ids*/?)")
	said := looked(t, dir)
	require.Contains(t, said, `queries/all.sql: Scans reads all of t: its plan says "SCAN t"; make an index on the columns by which it chooses rows, or have a test waive it: pooltest.Waive("Scans", why)`)
	require.Contains(t, said, `queries/all.sql: Sorts sorts by a temporary index: `)
	require.Contains(t, said, `queries/all.sql: Quoted reads all of t: `)
	require.Contains(t, said, `queries/all.sql: Strange cannot be prepared on what the migrations make: SQL logic error: no such function: nosuch`)
	require.Equal(t, 4, strings.Count(said, "\n"), said)

	put(t, "package p\n\nimport test \"github.com/sqlane/sqlane/pooltest\"\n\nvar _ = []any{test.Waive(\"Scans\", \"is asked for all\"), test.Waive(`Sorts`, \"\"), test.Waive(\"Str\"+\"ange\", \"\"), test.Waive(name, \"\"), test.Fail(\"Quoted\", \"\")}\n", dir, "deep", "plans_test.go")
	put(t, "package p\n\nimport \"github.com/sqlane/sqlane/pooltest\"\n\nvar _ = pooltest.Waive(\"Quoted\", \"in no test\")\n", dir, "deep", "plans.go")
	put(t, "package p // github.com/sqlane/sqlane/pooltest\n\nfunc {", dir, "deep", "broken_test.go")
	put(t, "package p\n\nimport \"github.com/sqlane/sqlane/pooltest\"\n\nvar _ = pooltest.Waive(\"Quoted\", \"elsewhere\")\n", dir, "testdata", "plans_test.go")
	put(t, "module other\n", dir, "nested", "go.mod")
	put(t, "package p\n\nimport \"github.com/sqlane/sqlane/pooltest\"\n\nvar _ = pooltest.Waive(\"Quoted\", \"elsewhere\")\n", dir, "nested", "plans_test.go")
	said = looked(t, dir)
	require.Contains(t, said, "Quoted")
	require.Equal(t, 1, strings.Count(said, "\n"), said)
}

func TestPlansOfFixturesAreNotJudged(t *testing.T) {
	dir := planned(t, simple, "Scans", "SELECT a FROM t WHERE a = ?")
	for _, below := range []string{"testdata", filepath.Join("deep", "testdata", "one"), "data"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, below), os.DirFS(planned(t, simple, "Scans", "SELECT a FROM t WHERE a = ?"))))
		put(t, "package deep\n\n//go:generate sqlc generate -f "+filepath.ToSlash(filepath.Join(below, "sqlc.yaml"))+"\n", dir, filepath.Base(below)+".go")
	}
	said := looked(t, dir)
	require.Contains(t, said, "queries/all.sql: Scans reads all of t")
	require.Contains(t, said, "data/queries/all.sql: Scans reads all of t")
	require.NotContains(t, said, "testdata")
	require.Equal(t, 2, strings.Count(said, "\n"), said)
	require.Contains(t, looked(t, filepath.Join(dir, "testdata")), "Scans", "it is asked for")
}

func TestTheSchemaIsReadAsSqlcReadsIt(t *testing.T) {
	// Files before the migrations, the migrations, a pattern, and a file after them.
	config := `{"version": "1", "packages": [{"engine": "sqlite", "path": "gen", "schema": ["first.sql", "schema", "more/*.sql"], "queries": "queries/all.sql"},
		{"engine": "postgresql", "path": "gen", "schema": "nowhere", "queries": "nowhere"}]}`
	dir := planned(t, config, "All", "SELECT id FROM t JOIN base USING (id) JOIN late USING (id) WHERE id = 1")
	require.NoError(t, os.Rename(filepath.Join(dir, "sqlc.yaml"), filepath.Join(dir, "sqlc.json")))
	put(t, "CREATE TABLE base (id INTEGER PRIMARY KEY);", dir, "first.sql")
	put(t, "-- +goose Up\nALTER TABLE base ADD COLUMN x;\n-- +goose Down", dir, "schema", "2_base.sql")
	put(t, "no SQL", dir, "schema", "README")
	put(t, "no SQL", dir, "schema", ".hidden.sql")
	put(t, "no SQL", dir, "schema", "3_t.down.sql")
	put(t, "CREATE TABLE late (id INTEGER PRIMARY KEY); CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM late; END;", dir, "more", "late.sql")
	require.Empty(t, looked(t, dir))

	for name, says := range map[string]string{"first.sql": "first.sql: ", "more/late.sql": "late.sql: ", "schema/2_base.sql": "2_base.sql"} {
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		require.NoError(t, err)
		put(t, string(text[:len("-- +goose Up\n")])+"CREATE nonsense;", dir, filepath.FromSlash(name))
		said := looked(t, dir)
		require.Contains(t, said, "sqlc.json: the schema cannot be made: ")
		require.Contains(t, said, says)
		put(t, string(text), dir, filepath.FromSlash(name))
	}
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "schema")))
	require.Contains(t, looked(t, dir), "sqlc.json: the schema cannot be made: stat ")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "queries")))
	require.Contains(t, looked(t, dir), "sqlc.json: stat ")
	put(t, "package", dir, "gen", "all.sql.go")
	put(t, "", dir, "queries", "all.sql")
	require.Contains(t, looked(t, dir), "gen: ")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "gen")))
	require.Empty(t, looked(t, dir), "sqlc says that it is missing")
}

func TestAProjectThatCannotBeCheckedIsOneClearLine(t *testing.T) {
	empty := t.TempDir()
	plain := planned(t, simple)
	broken := planned(t, "sql: {")
	unsplit := planned(t, simple)
	put(t, "package p\n\n//go:generate \"sqlc generate\n", unsplit, "p.go")
	lost := t.TempDir()
	put(t, "package p\n\n//go:generate sqlc generate\n", lost, "p.go")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{empty}, failed, "there is no sqlc.yaml in " + empty},
		{[]string{filepath.Join(empty, "gone")}, failed, "is no directory"},
		{[]string{plain}, misused, "no go:generate line runs sqlc for " + filepath.Join(plain, "sqlc.yaml") + ": say with -sqlc how it is run"},
		{[]string{plain, "-sqlc", " "}, misused, "no go:generate line runs sqlc"},
		{[]string{plain, "-sqlc", `"sqlc`}, misused, "-sqlc: a quoted word has no end"},
		{[]string{plain, "-sqlc", `"no such" program`}, failed, "no such"},
		{[]string{plain, "-sqlc", "absent"}, failed, "absent diff"},
		{[]string{plain, "-sqlc", "absent"}, failed, "or say with -sqlc how sqlc is run"},
		{[]string{broken, "-sqlc", "sqlc"}, failed, "sqlc.yaml: yaml: "},
		{[]string{unsplit}, failed, "p.go:3: a quoted word has no end"},
		{[]string{lost}, failed, "p.go:3: sqlc finds no configuration in " + lost},
	} {
		code, stdout, stderr := sqlane(t, append([]string{"check"}, c.args...)...)
		require.Equal(t, c.code, code, stderr)
		require.Empty(t, stdout)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		require.Contains(t, stderr, c.says)
	}
}

func TestGenerateLinesAreReadAsGoReadsThem(t *testing.T) {
	t.Setenv("SQLANE_TEST_DIR", "from-env")
	all, err := directives("/p/store/doc.go", []byte(strings.ReplaceAll(`package store
|//go:generate go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate -f ../sqlc.yaml
 //go:generate sqlc generate -f indented.yaml
|//go:generatesqlc generate
|//go:generate
|//go:generate -command sql go tool "sqlc" --file=$SQLANE_TEST_DIR/$GOFILE-$GOLINE$DOLLAR.yaml
|//go:generate sql generate
|//go:generate stringer -type=sqlc generate
|//go:generate sqlc version
|//go:generate C:\bin\repogen -gen=../gen "-out=a b.go"
|//go:generate repogen -help
|//go:generate ./repogen --out x.go -gen ../gen
`, "\n|", "\n")))
	require.NoError(t, err)
	type read struct {
		line          int
		tool, f, out  string
		as, elsewhere string
	}
	var got []read
	for _, d := range all {
		_, f := d.flag("f", "file")
		at, out := d.flag("out")
		r := read{line: d.line, tool: d.tool, f: f, out: out}
		if d.tool == "sqlc" {
			r.as = strings.Join(d.with(d.verb(), "diff"), " ")
		} else {
			r.elsewhere = strings.Join(d.with(at, "/tmp/y.go"), " ")
		}
		got = append(got, r)
	}
	windows := filepath.Separator == '\\'
	want := []read{
		{2, "sqlc", "../sqlc.yaml", "", "go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 diff -f ../sqlc.yaml", ""},
		{7, "sqlc", "from-env/doc.go-7$.yaml", "", "go tool sqlc --file=from-env/doc.go-7$.yaml diff", ""},
		{12, "repogen", "", "x.go", "", "./repogen --out /tmp/y.go -gen ../gen"},
	}
	if windows {
		want = append(want[:2], read{10, "repogen", "", "a b.go", "", `C:\bin\repogen -gen=../gen -out=/tmp/y.go`}, want[2])
	}
	require.Equal(t, want, got)
}

func TestADiffOfTextThatLooksLikeOneNamesNoOtherFile(t *testing.T) {
	require.Equal(t, []string{"/gen/a.go", "/gen/b.go"}, differing(strings.Split(`--- a/gen/a.go
+++ b/gen/a.go
@@ -1 +1 @@
--- a comment of SQL
+++ b comment
--- a/gen/b.go
+++ b/gen/b.go`, "\n")))
}

func TestAFileThatSqlcNamesIsFoundWhereverItLies(t *testing.T) {
	dir := t.TempDir()
	within, outside := put(t, "", dir, "conf", "gen", "a.go"), put(t, "", dir, "gen", "a.go")
	config := filepath.Join(dir, "conf", "sqlc.yaml")
	require.Equal(t, within, below(config, "/gen/a.go"))
	require.Equal(t, outside, below(config, outside), "sqlc writes a path that does not lie below as it is")
}
