package pool

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// PlainSQLite is SQLite as it comes, on a database in memory, without a driver
// or a pool in between: what tests compare with. FuzzClassifier uses it too.
type PlainSQLite struct {
	t   testing.TB
	tls *libc.TLS
	db  uintptr
	out uintptr // room for what SQLite returns through pointers
}

const pointerSize = bits.UintSize / 8

// OpenPlainSQLite opens a database and runs the script.
func OpenPlainSQLite(t testing.TB, script string) *PlainSQLite {
	t.Helper()
	s := &PlainSQLite{t: t, tls: libc.NewTLS()}
	s.out = libc.Xmalloc(s.tls, 2*pointerSize)
	name := s.text(":memory:")
	defer libc.Xfree(s.tls, name)
	rc := lib.Xsqlite3_open_v2(s.tls, name, s.out, lib.SQLITE_OPEN_READWRITE|lib.SQLITE_OPEN_CREATE, 0)
	s.db = s.returned(0)
	t.Cleanup(s.close)
	require.EqualValues(t, lib.SQLITE_OK, rc)
	require.NoError(t, s.Exec(script))
	return s
}

func (s *PlainSQLite) close() {
	assert.EqualValues(s.t, lib.SQLITE_OK, lib.Xsqlite3_close(s.tls, s.db), "a statement was left open")
	libc.Xfree(s.tls, s.out)
	s.tls.Close()
}

func (s *PlainSQLite) text(sql string) uintptr {
	p, err := libc.CString(sql)
	require.NoError(s.t, err)
	return p
}

func (s *PlainSQLite) returned(i int) uintptr {
	b := libc.GoBytes(s.out+uintptr(i*pointerSize), pointerSize)
	if pointerSize == 8 {
		return uintptr(binary.NativeEndian.Uint64(b))
	}
	return uintptr(binary.NativeEndian.Uint32(b))
}

func (s *PlainSQLite) check(rc int32) error {
	if rc == lib.SQLITE_OK {
		return nil
	}
	return fmt.Errorf("%s (%d)", libc.GoString(lib.Xsqlite3_errmsg(s.tls, s.db)), rc)
}

// PlainStmt is a prepared statement; its zero value is none.
type PlainStmt struct{ stmt uintptr }

// Prepare prepares the text's first statement, and returns what is behind it.
// There is no statement in a text of comments, space or a lone semicolon.
// See https://www.sqlite.org/c3ref/prepare.html.
func (s *PlainSQLite) Prepare(sql string) (stmt PlainStmt, tail string, err error) {
	sql, _, _ = strings.Cut(sql, "\x00")
	p := s.text(sql)
	defer libc.Xfree(s.tls, p)
	err = s.check(lib.Xsqlite3_prepare_v2(s.tls, s.db, p, -1, s.out, s.out+pointerSize))
	return PlainStmt{s.returned(0)}, sql[s.returned(1)-p:], err
}

// Finalize ends a statement.
func (s *PlainSQLite) Finalize(stmt PlainStmt) { lib.Xsqlite3_finalize(s.tls, stmt.stmt) }

// Run steps a statement to its end, and finalizes it.
func (s *PlainSQLite) Run(stmt PlainStmt) error {
	for lib.Xsqlite3_step(s.tls, stmt.stmt) == lib.SQLITE_ROW {
	}
	return s.check(lib.Xsqlite3_finalize(s.tls, stmt.stmt))
}

// Exec runs a script.
func (s *PlainSQLite) Exec(script string) error {
	for script != "" {
		stmt, tail, err := s.Prepare(script)
		if err == nil && stmt != (PlainStmt{}) {
			err = s.Run(stmt)
		}
		if err != nil {
			return err
		}
		script = tail
	}
	return nil
}

// ReadOnly is https://www.sqlite.org/c3ref/stmt_readonly.html.
func (s *PlainSQLite) ReadOnly(stmt PlainStmt) bool {
	return lib.Xsqlite3_stmt_readonly(s.tls, stmt.stmt) != 0
}

// Autocommit is https://www.sqlite.org/c3ref/get_autocommit.html.
func (s *PlainSQLite) Autocommit() bool { return lib.Xsqlite3_get_autocommit(s.tls, s.db) != 0 }

// Image is the database, byte for byte.
// See https://www.sqlite.org/c3ref/serialize.html.
func (s *PlainSQLite) Image() string {
	p := lib.Xsqlite3_serialize(s.tls, s.db, 0, s.out, 0)
	require.NotZero(s.t, p)
	defer lib.Xsqlite3_free(s.tls, p)
	size := int64(binary.NativeEndian.Uint64(libc.GoBytes(s.out, 8)))
	return string(libc.GoBytes(p, int(size)))
}

// isNothing reports a text in which SQLite finds no statement and no fault.
func (s *PlainSQLite) isNothing(sql string) bool {
	for sql != "" {
		stmt, tail, err := s.Prepare(sql)
		if err != nil || stmt != (PlainStmt{}) {
			s.Finalize(stmt)
			return false
		}
		sql = tail
	}
	return true
}

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
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, split(c.sql)) })
	}
}

// A byte order mark is space, but not behind what a name may end in: it belongs
// to the name then.
func TestANameMayEndInAByteOrderMark(t *testing.T) {
	for _, last := range []string{"a", "z", "A", "Z", "0", "9", "_", "$", "\u0080", "\u0100", "\u07ff"} {
		name := "x" + last + "\ufeff"
		require.Equal(t, []string{"SELECT 1 AS " + name, "SELECT 2"}, split("SELECT 1 AS "+name+"; SELECT 2"), "%q", name)
		compareSplit(t, "SELECT 1 AS "+name+"; SELECT 2")
	}
	for _, other := range []string{"'x'", "(1)", "1 + ?"} {
		require.Equal(t, []string{"SELECT " + other, "SELECT 2"}, split("SELECT "+other+"\ufeff; SELECT 2"))
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
	plain := OpenPlainSQLite(t, splitTables)
	parts := split(sql)
	rest, _, _ := strings.Cut(sql, "\x00")
	i := 0
	for rest != "" {
		stmt, tail, err := plain.Prepare(rest)
		plain.Finalize(stmt)
		if err != nil {
			// SQLite does not say where a faulty statement ends. But it is the
			// i-th, and must be as faulty alone.
			require.Less(t, i, len(parts), "split sees no statement where SQLite sees a faulty one: %v", err)
			stmt, _, err := plain.Prepare(parts[i])
			plain.Finalize(stmt)
			require.Error(t, err, "%q is sound, but not where it stands", parts[i])
			return
		}
		if stmt == (PlainStmt{}) { // space, a comment or a semicolon
			rest = tail
			continue
		}
		require.Less(t, i, len(parts), "SQLite sees another statement")
		require.True(t, plain.isAllOf(strings.TrimSuffix(rest, tail), parts[i]), "SQLite reads %q, split %q", strings.TrimSuffix(rest, tail), parts[i])
		requireWhole(t, plain, parts[i])
		rest = tail
		i++
	}
	require.Len(t, parts, i, "split sees statements where SQLite sees none")
}

// isAllOf reports that SQLite finds nothing in the text but the part.
func (s *PlainSQLite) isAllOf(text, part string) bool {
	for at := 0; ; at++ {
		i := strings.Index(text[at:], part)
		if i < 0 {
			return false
		}
		at += i
		if s.isNothing(text[:at]) && s.isNothing(text[at+len(part):]) {
			return true // elsewhere it may stand in a comment
		}
	}
}

// requireWhole sees that the driver will take the part for one statement, not
// for a script: it keeps the compiled form only if no byte is left.
func requireWhole(t *testing.T, plain *PlainSQLite, part string) {
	t.Helper()
	stmt, tail, err := plain.Prepare(part)
	plain.Finalize(stmt)
	require.NoError(t, err)
	require.NotEqual(t, PlainStmt{}, stmt, "%q is no statement", part)
	require.Empty(t, tail, "%q has a tail", part)
}
