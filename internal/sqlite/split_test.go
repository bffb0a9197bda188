package sqlite

import (
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/sqlite/plain"
	"github.com/stretchr/testify/require"
)

const (
	splitTrigger = "CREATE TRIGGER r AFTER INSERT ON a BEGIN UPDATE a SET y = CASE WHEN x > 1 THEN 2 ELSE 3 END; DELETE FROM b; END"
	splitTables  = "CREATE TABLE a (x, y); CREATE TABLE b (z, [odd;name], \"odd;er\"); CREATE VIEW v AS SELECT x FROM a"
)

// splitCases are texts and their statements.
var splitCases = []struct {
	name string
	sql  string
	want []string
}{
	{"nothing", "", nil},
	{"space", " \t\r\n\f", nil},
	{"semicolons", ";;  ; ", nil},
	{"a comment", "-- SELECT 1;", nil},
	{"a comment and a line's end", "-- SELECT 1;\n", nil},
	{"a block comment", "/* SELECT 1; */", nil},
	{"an unterminated block comment", "/* SELECT 1;", nil},
	{"a byte order mark", "\ufeff", nil},
	{"a byte order mark before a trigger", "\ufeffCREATE TRIGGER r AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END; SELECT 3", []string{"CREATE TRIGGER r AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;", "SELECT 3"}},
	{"a byte order mark behind", "SELECT 1;\ufeff", []string{"SELECT 1"}},
	{"a vertical tab behind space", "SELECT 1; \v", []string{"SELECT 1"}},
	{"a parameter as in Tcl", "SELECT $x(a;b), $a::b(;), @n, :m; SELECT ?1", []string{"SELECT $x(a;b), $a::b(;), @n, :m", "SELECT ?1"}},
	{"a colon alone", "SELECT :", []string{"SELECT :"}},
	{"only NUL", "\x00SELECT 1", nil},
	{"a parameter's index behind colons", "SELECT $a::(;); SELECT 2", []string{"SELECT $a::(;)", "SELECT 2"}},
	{"a parameter's index without an end", "SELECT $a(b", []string{"SELECT $a(b"}},
	{"a colon behind a parameter", "SELECT $a:; SELECT 2", []string{"SELECT $a:", "SELECT 2"}},
	{"colons alone", "SELECT ::", []string{"SELECT ::"}},
	{"an index without a parameter", "SELECT @(;); SELECT 2", []string{"SELECT @(", ")", "SELECT 2"}},
	{"a byte order mark as a parameter's name", "SELECT :\ufeff; SELECT 2", []string{"SELECT :\ufeff", "SELECT 2"}},

	{"one", "SELECT 1", []string{"SELECT 1"}},
	{"one with a semicolon", "SELECT 1;", []string{"SELECT 1"}},
	{"one with space around", "\n SELECT 1 ; \n", []string{"SELECT 1"}},
	{"one with comments around", "/* a; */ -- b;\nSELECT 1 -- c;\n /* d; */", []string{"SELECT 1"}},
	{"one with comments behind the semicolon", "SELECT 1; -- c;\n /* d; */", []string{"SELECT 1"}},
	{"two", "SELECT 1;SELECT 2", []string{"SELECT 1", "SELECT 2"}},
	{"two with much in between", "SELECT 1;; /* ; */ ; -- ;\n;SELECT 2;", []string{"SELECT 1", "SELECT 2"}},
	{"up to NUL", "SELECT 1; SELECT 2\x00; SELECT 3", []string{"SELECT 1", "SELECT 2"}},
	{"a semicolon behind NUL in quotes", "SELECT 'a\x00;'; SELECT 2", []string{"SELECT 'a"}},

	{"a comment inside", "SELECT/*;*/1--;\n+1; SELECT 2", []string{"SELECT/*;*/1--;\n+1", "SELECT 2"}},
	{"a comment with a star too few", "SELECT 1 /*/; SELECT 2 */; SELECT 3", []string{"SELECT 1", "SELECT 3"}},
	{"the shortest comment", "SELECT 1/**/; SELECT 2", []string{"SELECT 1", "SELECT 2"}},
	{"a comment in a comment", "SELECT 1 /* /* ; */ ; SELECT 2 -- */\n", []string{"SELECT 1", "SELECT 2"}},
	{"an unterminated comment inside", "SELECT 1; SELECT 2 /* ; SELECT 3", []string{"SELECT 1", "SELECT 2"}},
	{"minus and divide", "SELECT 4 - -2; SELECT 4 / 2", []string{"SELECT 4 - -2", "SELECT 4 / 2"}},
	{"slash and star at the end", "SELECT 1 /*", []string{"SELECT 1 /*"}}, // two operators, and a fault

	{"a string", "SELECT ';'; SELECT 2", []string{"SELECT ';'", "SELECT 2"}},
	{"a string with quotes", "SELECT 'it''s;'; SELECT 2", []string{"SELECT 'it''s;'", "SELECT 2"}},
	{"a string of quotes", "SELECT ''''; SELECT ''; SELECT 3", []string{"SELECT ''''", "SELECT ''", "SELECT 3"}},
	{"a string with a comment", "SELECT '--'; SELECT '/*'; SELECT 3", []string{"SELECT '--'", "SELECT '/*'", "SELECT 3"}},
	{"a string with a backslash", `SELECT '\'; SELECT 2`, []string{`SELECT '\'`, "SELECT 2"}},
	{"a name", `SELECT ";" FROM b; SELECT "odd;er" FROM b`, []string{`SELECT ";" FROM b`, `SELECT "odd;er" FROM b`}},
	{"a name with quotes", `SELECT 1 AS "a"";"; SELECT 2`, []string{`SELECT 1 AS "a"";"`, "SELECT 2"}},
	{"a name as in MySQL", "SELECT 1 AS `a``;`; SELECT 2", []string{"SELECT 1 AS `a``;`", "SELECT 2"}},
	{"a name as in SQL Server", "SELECT [odd;name] FROM b; SELECT 2", []string{"SELECT [odd;name] FROM b", "SELECT 2"}},
	{"a bracket is not doubled", "SELECT 1 AS [a]]; SELECT 2", []string{"SELECT 1 AS [a]]", "SELECT 2"}},
	{"a blob", "SELECT x'3b'; SELECT 2", []string{"SELECT x'3b'", "SELECT 2"}},
	{"an unterminated string", "SELECT 1; SELECT 'a; SELECT 3", []string{"SELECT 1", "SELECT 'a; SELECT 3"}},
	{"an unterminated name", `SELECT 1; SELECT "a; SELECT 3`, []string{"SELECT 1", `SELECT "a; SELECT 3`}},
	{"an unterminated bracket", "SELECT 1; SELECT [a; SELECT 3", []string{"SELECT 1", "SELECT [a; SELECT 3"}},
	{"an unterminated backtick", "SELECT `a; SELECT 3", []string{"SELECT `a; SELECT 3"}},
	{"parameters", "SELECT ?1, :a, @b, $c; SELECT ?", []string{"SELECT ?1, :a, @b, $c", "SELECT ?"}},
	{"letters beyond ASCII", "SELECT 'ß;' AS größe; SELECT 2", []string{"SELECT 'ß;' AS größe", "SELECT 2"}},
	{"a quote at the end", "SELECT 'a'", []string{"SELECT 'a'"}},
	{"a semicolon at a bracket's end", "SELECT 1 AS [a;]; SELECT 2", []string{"SELECT 1 AS [a;]", "SELECT 2"}},
	{"BEGIN is no trigger", "BEGIN; SELECT 1; END; SELECT 2", []string{"BEGIN", "SELECT 1", "END", "SELECT 2"}},
	{"CASE ends nothing", "SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 2", []string{"SELECT CASE 1 WHEN 1 THEN 2 END", "SELECT 2"}},

	{"a trigger", splitTrigger, []string{splitTrigger}},
	{"a trigger and its semicolon", splitTrigger + "; ", []string{splitTrigger + ";"}},
	{"a trigger between others", "SELECT 1;" + splitTrigger + "; SELECT 2;", []string{"SELECT 1", splitTrigger + ";", "SELECT 2"}},
	{"two triggers", splitTrigger + ";" + splitTrigger, []string{splitTrigger + ";", splitTrigger}},
	{
		"a temporary trigger", "create temp trigger r after insert on a begin select 1; end; SELECT 2",
		[]string{"create temp trigger r after insert on a begin select 1; end;", "SELECT 2"},
	},
	{
		"a temporary trigger in full", "CREATE TEMPORARY TRIGGER IF NOT EXISTS r AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END; SELECT 2",
		[]string{"CREATE TEMPORARY TRIGGER IF NOT EXISTS r AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;", "SELECT 2"},
	},
	{
		"a trigger full of comments", "CREATE/**/TRIGGER--\nr AFTER INSERT ON a BEGIN/*;END;*/SELECT 1;/**/END/**/;SELECT 2",
		[]string{"CREATE/**/TRIGGER--\nr AFTER INSERT ON a BEGIN/*;END;*/SELECT 1;/**/END/**/;", "SELECT 2"},
	},
	{
		"a trigger with CASE at a statement's end", "CREATE TRIGGER r AFTER INSERT ON a BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 1; END; SELECT 2",
		[]string{"CREATE TRIGGER r AFTER INSERT ON a BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 1; END;", "SELECT 2"},
	},
	{
		"a trigger with quoted ends", `CREATE TRIGGER r AFTER INSERT ON a BEGIN SELECT '; END;'; SELECT 1 AS "; END;"; END; SELECT 2`,
		[]string{`CREATE TRIGGER r AFTER INSERT ON a BEGIN SELECT '; END;'; SELECT 1 AS "; END;"; END;`, "SELECT 2"},
	},
	{
		"a trigger called trigger", `CREATE TRIGGER "trigger" AFTER INSERT ON a BEGIN SELECT 1; END; SELECT 2`,
		[]string{`CREATE TRIGGER "trigger" AFTER INSERT ON a BEGIN SELECT 1; END;`, "SELECT 2"},
	},
	{"an explained trigger", "EXPLAIN " + splitTrigger + "; SELECT 2", []string{"EXPLAIN " + splitTrigger + ";", "SELECT 2"}},
	{"a trigger's plan", "explain query plan " + splitTrigger + "; SELECT 2", []string{"explain query plan " + splitTrigger + ";", "SELECT 2"}},
	{"an unterminated trigger", "SELECT 1; CREATE TRIGGER r AFTER INSERT ON a BEGIN SELECT 1; SELECT 2;", []string{"SELECT 1", "CREATE TRIGGER r AFTER INSERT ON a BEGIN SELECT 1; SELECT 2;"}},
	{"a temporary table is no trigger", "CREATE TEMP TABLE c (trigger); SELECT 2; END", []string{"CREATE TEMP TABLE c (trigger)", "SELECT 2", "END"}},
	{"a table called trigger is no trigger", "CREATE TABLE trigger (x); SELECT 2; END", []string{"CREATE TABLE trigger (x)", "SELECT 2", "END"}},
	{"a faulty trigger", "CREATE TRIGGER r; x; END y; SELECT 2", []string{"CREATE TRIGGER r; x; END y; SELECT 2"}},
	{"dropping is no trigger", "DROP TRIGGER r; SELECT 2; END", []string{"DROP TRIGGER r", "SELECT 2", "END"}},
	{"EXPLAIN", "EXPLAIN SELECT 1; EXPLAIN QUERY PLAN SELECT 2", []string{"EXPLAIN SELECT 1", "EXPLAIN QUERY PLAN SELECT 2"}},
}

func TestATextIsCutIntoItsStatements(t *testing.T) {
	for _, c := range splitCases {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, Split(c.sql)) })
	}
}

// A byte order mark is space, but not behind what a name may end in: it belongs
// to the name then.
func TestANameMayEndInAByteOrderMark(t *testing.T) {
	for _, last := range []string{"a", "z", "A", "Z", "0", "9", "_", "$", "\u0080", "\u0100", "\u07ff"} {
		name := "x" + last + "\ufeff"
		require.Equal(t, []string{"SELECT 1 AS " + name, "SELECT 2"}, Split("SELECT 1 AS "+name+"; SELECT 2"), "%q", name)
		compareSplit(t, "SELECT 1 AS "+name+"; SELECT 2")
	}
	for _, other := range []string{"'x'", "(1)", "1 + ?"} {
		require.Equal(t, []string{"SELECT " + other, "SELECT 2"}, Split("SELECT "+other+"\ufeff; SELECT 2"))
		compareSplit(t, "SELECT "+other+"\ufeff; SELECT 2")
	}
}

// TestTheCutsAreThoseOfSQLite is FuzzSplit over the table above: what a person
// expects and what SQLite does must be the same.
func TestTheCutsAreThoseOfSQLite(t *testing.T) {
	for _, c := range splitCases {
		t.Run(c.name, func(t *testing.T) { compareSplit(t, c.sql) })
	}
}

func FuzzSplit(f *testing.F) {
	for _, c := range splitCases {
		f.Add(c.sql)
	}
	for _, sql := range []string{
		"INSERT INTO a VALUES (1, ';'); UPDATE a SET x = 1;DELETE FROM a",
		"SELECT x->'$;', x->>';' FROM a; SELECT 1",
		"CREATE TABLE c (d DEFAULT ';', CHECK (d <> ';')); DROP TABLE a",
		"WITH q AS (SELECT 1) SELECT * FROM q; VALUES (1);",
		"CREATE VIEW w AS SELECT ';'; CREATE INDEX i ON a (x) WHERE y <> ';'; PRAGMA user_version; ANALYZE",
		"SELECT 1; ;\n; SELECT 2",
		"SELECT 0x1F, 1e3, 1_000; SELECT .5",
	} {
		f.Add(sql)
	}
	f.Fuzz(compareSplit)
}

// compareSplit has SQLite itself cut the text, by preparing one statement after
// the other, and compares.
func compareSplit(t *testing.T, sql string) {
	if len(sql) > 1<<12 {
		return // long texts only take long
	}
	db := plain.Open(t, splitTables)
	parts := Split(sql)
	rest, _, _ := strings.Cut(sql, "\x00")
	i := 0
	for rest != "" {
		stmt, tail, err := db.Prepare(rest)
		db.Finalize(stmt)
		if err != nil {
			// SQLite does not say where a faulty statement ends. But it is the
			// i-th, and must be as faulty alone.
			require.Less(t, i, len(parts), "split sees no statement where SQLite sees a faulty one: %v", err)
			stmt, _, err := db.Prepare(parts[i])
			db.Finalize(stmt)
			require.Error(t, err, "%q is sound, but not where it stands", parts[i])
			return
		}
		if stmt == (plain.Stmt{}) { // space, a comment or a semicolon
			rest = tail
			continue
		}
		require.Less(t, i, len(parts), "SQLite sees another statement")
		require.True(t, db.IsAllOf(strings.TrimSuffix(rest, tail), parts[i]), "SQLite reads %q, split %q", strings.TrimSuffix(rest, tail), parts[i])
		requireWhole(t, db, parts[i])
		rest = tail
		i++
	}
	require.Len(t, parts, i, "split sees statements where SQLite sees none")
}

// requireWhole sees that the driver will take the part for one statement, not
// for a script: it keeps the compiled form only if no byte is left.
func requireWhole(t *testing.T, db *plain.DB, part string) {
	t.Helper()
	stmt, tail, err := db.Prepare(part)
	db.Finalize(stmt)
	require.NoError(t, err)
	require.NotEqual(t, plain.Stmt{}, stmt, "%q is no statement", part)
	require.Empty(t, tail, "%q has a tail", part)
}

func TestAWordStandsOutsideOfQuotesAndComments(t *testing.T) {
	for text, there := range map[string]bool{
		"INSERT INTO t VALUES (1) returning a":  true,
		"INSERT INTO t VALUES ('RETURNING')":    false,
		"SELECT \"returning\", [returning]":     false,
		"SELECT 1 -- returning":                 false,
		"SELECT 1 /* returning */ + returnings": false,
		"/* a */RETURNING":                      true,
		"":                                      false,
	} {
		require.Equal(t, there, HasWord(text, "OTHER", "RETURNING"), text)
	}
}
