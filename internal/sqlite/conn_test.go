package sqlite_test

import (
	"database/sql/driver"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// open opens a connection to a database in memory, with a table.
func open(t *testing.T, options sqlite.Options) *sqlite.Conn {
	t.Helper()
	if options.MayCommit == nil {
		options.MayCommit = func() bool { return true }
	}
	factory, err := modernc.NewConnector(":memory:")
	require.NoError(t, err)
	c, err := sqlite.Open(t.Context(), factory, options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	c.SetFunctions(map[string]bool{"abs": true, "last_insert_rowid": true, "count": true})
	run(t, c, "CREATE TABLE n (id INTEGER PRIMARY KEY, v UNIQUE, at DATETIME)")
	return c
}

func nothing(sqlite.Effects) bool { return false }

func prepare(t *testing.T, c *sqlite.Conn, text string) *sqlite.Stmt {
	t.Helper()
	s, err := c.Prepare(text, text, nothing)
	require.NoError(t, err, text)
	return s
}

// run runs a statement to its end, with arguments by their order.
func run(t *testing.T, c *sqlite.Conn, text string, args ...driver.Value) sqlite.Result {
	t.Helper()
	s := c.Cached(text)
	if s == nil {
		s = prepare(t, c, text)
	}
	defer c.Release(s)
	values := named(args)
	require.NoError(t, s.Check(values))
	res, err := s.Complete(values)
	require.NoError(t, err, text)
	return res
}

func named(args []driver.Value) (values []sqlite.Argument) {
	for _, arg := range args {
		v, _ := sqlite.ValueOf(arg)
		values = append(values, sqlite.Argument{Value: v})
	}
	return values
}

func TestPreparingTellsWhatAStatementWouldDo(t *testing.T) {
	c := open(t, sqlite.Options{})
	run(t, c, "CREATE TEMP TABLE own (a)")
	run(t, c, "CREATE TRIGGER r AFTER DELETE ON n BEGIN INSERT INTO n (v) VALUES (old.v); END")
	for text, want := range map[string]sqlite.Effects{
		"SELECT abs(id) FROM n":                   {},
		"INSERT INTO n (v) VALUES (1)":            {},
		"DELETE FROM n":                           {Fires: true},
		"SELECT last_insert_rowid()":              {Rowid: true},
		"SELECT lower('A')":                       {Calls: true}, // not among those that are SQLite's own here
		"BEGIN":                                   {Transaction: true},
		"ROLLBACK":                                {Transaction: true, Rollback: true},
		"SAVEPOINT a":                             {Savepoint: sqlite.Savepoint{Act: "BEGIN", Name: "a"}},
		"CREATE TEMP TABLE x (a)":                 {Temp: true},
		"DROP TABLE n":                            {Drops: true},
		"INSERT INTO own VALUES (1)":              {TempRows: true},
		"ATTACH ':memory:' AS more":               {Attaches: true, Attached: ":memory:"},
		"DETACH more":                             {Attaches: true},
		"SELECT timeout FROM pragma_busy_timeout": {BusyTimeout: true},
		"PRAGMA busy_timeout = 7":                 {BusyTimeout: true, Pragma: sqlite.Pragma{Name: "busy_timeout", Argument: "7", Sets: true}},
		"PRAGMA Main.Foreign_Keys":                {Pragma: sqlite.Pragma{Schema: "main", Name: "foreign_keys"}},
		"PRAGMA foreign_keys=''":                  {Pragma: sqlite.Pragma{Name: "foreign_keys", Sets: true}},
	} {
		s := prepare(t, c, text)
		require.Equal(t, want, s.Effects, text)
		require.NoError(t, s.Close())
	}
}

func TestWhetherAStatementWritesIsSQLitesVerdictButForItsErrors(t *testing.T) {
	c := open(t, sqlite.Options{})
	for text, want := range map[string]bool{
		"SELECT * FROM n": false, "INSERT INTO n (v) VALUES (1)": true, "BEGIN": false, "BEGIN IMMEDIATE": true, "CREATE TABLE m (a)": true,
		"PRAGMA optimize": true, "PRAGMA journal_mode": false, "PRAGMA journal_mode = memory": true, "REINDEX": true,
		"SELECT * FROM pragma_optimize": true, "PRAGMA user_version = 2": true, "PRAGMA user_version": false,
	} {
		s := prepare(t, c, text)
		require.Equal(t, want, s.Writes, text)
		require.NoError(t, s.Close())
	}
}

func TestARefusedPragmaIsNotPrepared(t *testing.T) {
	c := open(t, sqlite.Options{})
	asked := 0
	_, err := c.Prepare("PRAGMA locking_mode = exclusive", "", func(e sqlite.Effects) bool {
		asked++
		return e.Pragma == sqlite.Pragma{Name: "locking_mode", Argument: "exclusive", Sets: true}
	})
	require.Error(t, err)
	require.Equal(t, 1, asked)
	_, err = c.Prepare("BEGIN", "", func(e sqlite.Effects) bool { return e.Control() })
	require.ErrorContains(t, err, "not authorized")
	mode, err := c.Word("PRAGMA locking_mode")
	require.NoError(t, err)
	require.Equal(t, "normal", mode)
}

func TestAStatementThatTheDriverTakesForAScriptIsRefused(t *testing.T) {
	c := open(t, sqlite.Options{})
	_, err := c.Prepare("SELECT 1; SELECT 2", "", nothing) // Split would have cut it
	require.ErrorContains(t, err, "for a script")
	_, err = c.Prepare("SELEC", "", nothing)
	require.ErrorContains(t, err, "syntax error")
}

func TestAStatementIsOutOfTheCacheWhileItIsUsed(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 2})
	a := prepare(t, c, "SELECT 1")
	require.Nil(t, c.Cached("SELECT 1"))
	c.Release(a)
	require.Same(t, a, c.Known("SELECT 1"))
	require.Same(t, a, c.Cached("SELECT 1"))
	require.Nil(t, c.Cached("SELECT 1"), "it is taken")
	second := prepare(t, c, "SELECT 1")
	c.Release(a)
	c.Release(second) // there is one of its text
	require.Same(t, a, c.Known("SELECT 1"))

	for _, text := range []string{"SELECT 2", "SELECT 3"} {
		c.Release(prepare(t, c, text))
	}
	require.Nil(t, c.Known("SELECT 1"), "the one used longest ago goes")
	require.NotNil(t, c.Known("SELECT 2"))
	pragma, err := c.Prepare("PRAGMA user_version", "PRAGMA user_version", nothing)
	require.NoError(t, err)
	c.Release(pragma)
	require.Nil(t, c.Known("PRAGMA user_version"), "to act again it must be prepared again")
}

func TestAStatementCompiledForAnotherSchemaLeavesTheCache(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	s := prepare(t, c, "SELECT * FROM n")
	before := s.Header()
	require.Equal(t, []string{"id", "v", "at"}, before.Columns())
	c.Release(s)
	run(t, c, "ALTER TABLE n ADD COLUMN more")
	s = c.Cached("SELECT * FROM n")
	compiled := s.Recompiled()
	require.NoError(t, s.Open(nil))
	require.NotEqual(t, compiled, s.Recompiled())
	after := s.Header()
	require.Equal(t, 4, after.Count())
	require.Equal(t, 3, before.Count())
	require.NoError(t, s.End())
	c.Release(s)
	require.Nil(t, c.Known("SELECT * FROM n"))
}

func TestRowsAreReadAndAFailedRunKeepsItsStatement(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	insert := "INSERT INTO n (v, at) VALUES (?, ?)"
	res := run(t, c, insert, int64(7), "2024-07-01 12:30:45+00:00")
	id, err := res.LastInsertId()
	require.NoError(t, err)
	require.EqualValues(t, 1, id)

	s := c.Cached(insert)
	_, err = s.Complete(named([]driver.Value{int64(7), nil}))
	code := new(modernc.Error)
	require.ErrorAs(t, err, &code)
	require.Equal(t, lib.SQLITE_CONSTRAINT_UNIQUE, code.Code())
	require.ErrorContains(t, err, "UNIQUE constraint failed: n.v")
	c.Release(s)
	require.Same(t, s, c.Known(insert))

	s = prepare(t, c, "SELECT v, at FROM n UNION ALL SELECT x'', NULL UNION ALL SELECT 1.5, 'text'")
	defer c.Release(s)
	require.NoError(t, s.Open(nil))
	require.True(t, s.Ahead())
	row := make([]sqlite.Value, 2)
	next := func() []driver.Value {
		require.NoError(t, s.Next(row))
		return []driver.Value{row[0].Driver(), row[1].Driver()}
	}
	require.Equal(t, []driver.Value{int64(7), time.Date(2024, 7, 1, 12, 30, 45, 0, time.UTC)}, next())
	require.False(t, s.Ahead())
	require.Equal(t, []driver.Value{[]byte{}, nil}, next())
	require.Equal(t, []driver.Value{1.5, "text"}, next())
	require.ErrorIs(t, s.Next(row), io.EOF)
	require.ErrorIs(t, s.Next(row), io.EOF)
	require.NoError(t, s.End())
}

func TestTheRowsOfAWriteAreWrittenToTheEnd(t *testing.T) {
	c := open(t, sqlite.Options{})
	s := prepare(t, c, "INSERT INTO n (v) VALUES (1), (2), (3) RETURNING v")
	require.NoError(t, s.Open(nil))
	require.NoError(t, s.Next(make([]sqlite.Value, 1)))
	require.NoError(t, s.End())
	c.Release(s)
	n, err := c.Word("SELECT count(*) FROM n")
	require.NoError(t, err)
	require.Equal(t, "3", n)
	require.EqualValues(t, 3, c.TotalChanges())
	require.True(t, c.Autocommit())
}

func TestNothingIsCommittedThatMayNotBe(t *testing.T) {
	may := true
	c := open(t, sqlite.Options{MayCommit: func() bool { return may }})
	may = false
	s := prepare(t, c, "INSERT INTO n (v) VALUES (1)")
	_, err := s.Complete(nil)
	require.ErrorContains(t, err, "constraint")
	c.Release(s)
	may = true
	n, err := c.Word("SELECT count(*) FROM n")
	require.NoError(t, err)
	require.Equal(t, "0", n)
}

func TestAConnectionTellsWhatItHasOpen(t *testing.T) {
	c := open(t, sqlite.Options{})
	require.Equal(t, sqlite.NoTransaction, c.Transaction())
	for _, step := range []struct {
		text string
		want sqlite.TxnState
	}{{"BEGIN", sqlite.NoTransaction}, {"SELECT * FROM n", sqlite.ReadTransaction}, {"INSERT INTO n (v) VALUES (1)", sqlite.WriteTransaction}} {
		run(t, c, step.text)
		require.False(t, c.Autocommit())
		require.Equal(t, step.want, c.Transaction(), step.text)
	}
	s := prepare(t, c, "INSERT INTO n (v) VALUES (2)")
	c.Abandon(s)
	require.True(t, c.Autocommit(), "the transaction is gone")
	require.NoError(t, s.Close(), "it was")

	require.False(t, c.ReadOnly())
	path := filepath.Join(t.TempDir(), "more.db")
	run(t, c, "ATTACH '"+path+"' AS more")
	require.Equal(t, "more", c.SchemaName(2))
	require.Empty(t, c.SchemaName(3))
	require.Equal(t, path, c.Path("more"))
	require.Empty(t, c.Path("main"))
	require.False(t, c.ReadOnlySchema("more"))
	c.SetBusyTimeout(77 * time.Millisecond)
	ms, err := c.Word("PRAGMA busy_timeout")
	require.NoError(t, err)
	require.Equal(t, "77", ms)
	_, err = c.Word("SELEC")
	require.Error(t, err)
	_, err = c.Word("SELECT abs(-9223372036854775808)")
	require.ErrorContains(t, err, "overflow")
}

func TestAnInterruptEndsWhatRuns(t *testing.T) {
	c := open(t, sqlite.Options{})
	s := prepare(t, c, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c")
	defer c.Release(s)
	require.NoError(t, s.Open(nil))
	require.NoError(t, s.Next(make([]sqlite.Value, 1)))
	c.Interrupt()
	code := new(modernc.Error)
	require.ErrorAs(t, s.Next(make([]sqlite.Value, 1)), &code)
	require.Equal(t, lib.SQLITE_INTERRUPT, code.Code())
	require.Error(t, s.End(), "it repeats it")
}

func TestADriversConnectionThatWasClosedIsSeen(t *testing.T) {
	factory, err := modernc.NewConnector(":memory:")
	require.NoError(t, err)
	c, err := sqlite.Open(t.Context(), factory, sqlite.Options{MayCommit: func() bool { return true }})
	require.NoError(t, err)
	require.False(t, c.Closed())
	require.NoError(t, c.Driver().Close())
	require.True(t, c.Closed())
}

func TestArgumentsAreCountedInDatabaseSQLsWords(t *testing.T) {
	c := open(t, sqlite.Options{})
	s := prepare(t, c, "SELECT ?, :name")
	defer c.Release(s)
	var counted sqlite.ArgumentsError
	err := s.Check(named([]driver.Value{int64(1)}))
	require.True(t, errors.As(err, &counted))
	require.ErrorContains(t, err, "sql: expected 2 arguments, got 1")
	require.NoError(t, s.Check([]sqlite.Argument{{Value: sqlite.IntegerOf(1)}, {Name: "name", Value: sqlite.TextOf("x")}}))
	shares, err := sqlite.Share([]string{"SELECT ?", "SELECT ?, :a", "SELECT :a"}, []sqlite.Argument{{Value: sqlite.IntegerOf(1)}, {Value: sqlite.IntegerOf(2)}, {Name: "a", Value: sqlite.TextOf("x")}})
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 1}, []int{len(shares[0]), len(shares[1]), len(shares[2])})
	_, err = sqlite.Share([]string{"SELECT ?1", "SELECT ?"}, nil)
	require.ErrorContains(t, err, "numbered")
}
