package sqlite_test

import (
	"context"
	"database/sql/driver"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// raw opens a connection of the driver's with a table.
func raw(t *testing.T, path string) driver.Conn {
	t.Helper()
	factory, err := modernc.NewConnector(path)
	require.NoError(t, err)
	c, err := factory.Connect(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.NoError(t, exec(c, "CREATE TABLE IF NOT EXISTS n (v)"))
	return c
}

func exec(c driver.Conn, text string) error {
	s, err := c.Prepare(text)
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.(driver.StmtExecContext).ExecContext(context.Background(), nil)
	return err
}

func begins(*sqlite.Conn, bool) {}
func writes() int32             { return lib.SQLITE_OK }

func TestATapIsToldOfEachStatementAndWhetherItWrites(t *testing.T) {
	a, b := raw(t, ":memory:"), raw(t, ":memory:")
	var told []bool
	tap := &sqlite.Tap{Writes: writes, Begins: func(c *sqlite.Conn, writes bool) { told = append(told, writes) }}
	require.NoError(t, tap.Connect(a))
	require.NoError(t, exec(a, "SELECT * FROM n"))
	require.NoError(t, exec(a, "INSERT INTO n VALUES (1)"))
	require.NoError(t, exec(b, "INSERT INTO n VALUES (1)"))
	require.Equal(t, []bool{false, true}, told, "and of no other connection's")
	tap.Disconnect()
	require.NoError(t, exec(a, "INSERT INTO n VALUES (1)"))
	require.Len(t, told, 2)
}

func TestATapMayInterruptTheStatementThatBegins(t *testing.T) {
	c := raw(t, ":memory:")
	tap := &sqlite.Tap{Writes: writes, Begins: func(c *sqlite.Conn, writes bool) {
		if writes && !c.Autocommit() {
			c.Interrupt()
		}
	}}
	require.NoError(t, tap.Connect(c))
	require.NoError(t, exec(c, "INSERT INTO n VALUES (1)"))
	require.NoError(t, exec(c, "BEGIN"))
	require.ErrorContains(t, exec(c, "INSERT INTO n VALUES (2)"), "interrupted")
	require.ErrorContains(t, exec(c, "COMMIT"), "no transaction is active")
}

func TestATapMayRunStatementsWhileOneBegins(t *testing.T) {
	c := raw(t, ":memory:")
	word, within := "", false
	tap := &sqlite.Tap{Writes: writes, Begins: func(c *sqlite.Conn, _ bool) {
		if within {
			return
		}
		within = true
		defer func() { within = false }()
		word, _ = c.Word("PRAGMA max_page_count = 1")
	}}
	require.NoError(t, tap.Connect(c))
	require.ErrorContains(t, exec(c, "INSERT INTO n VALUES (zeroblob(100000))"), "full")
	require.Equal(t, "2", word)
}

func TestATapDecidesWhatComesOfAWrite(t *testing.T) {
	for _, mode := range []string{"wal", "delete", "truncate", "persist"} {
		t.Run(mode, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			a, b := raw(t, path), raw(t, path)
			require.NoError(t, exec(a, "PRAGMA journal_mode = "+mode))
			require.NoError(t, exec(a, "INSERT INTO n VALUES (1)"))
			count, broken := 0, false
			tap := &sqlite.Tap{Begins: begins, Writes: func() int32 {
				if count++; broken {
					return lib.SQLITE_IOERR_WRITE
				}
				return lib.SQLITE_OK
			}}
			require.NoError(t, tap.Connect(a))
			require.NoError(t, tap.Connect(a), "again")
			require.NoError(t, exec(a, "INSERT INTO n VALUES (2)"))
			require.Positive(t, count)
			broken = true
			require.ErrorContains(t, exec(a, "INSERT INTO n VALUES (3)"), "disk I/O error")
			before := count
			broken = false
			require.NoError(t, exec(b, "INSERT INTO n VALUES (4)"))
			require.Equal(t, before, count, "another connection")
			tap.Disconnect()
			require.NoError(t, exec(a, "INSERT INTO n VALUES (5)"))
			require.Equal(t, before, count)
		})
	}
}

func TestATapGivesWayToTheNextOne(t *testing.T) {
	c := raw(t, filepath.Join(t.TempDir(), "a.db"))
	count := func(n *int) *sqlite.Tap {
		return &sqlite.Tap{Begins: begins, Writes: func() int32 { *n++; return lib.SQLITE_OK }}
	}
	var first, second int
	old := count(&first)
	require.NoError(t, old.Connect(c))
	require.NoError(t, count(&second).Connect(c))
	old.Disconnect()
	require.NoError(t, exec(c, "INSERT INTO n VALUES (1)"))
	require.Zero(t, first)
	require.Positive(t, second)
}

func TestATapNeedsAConnectionOfTheDriversThatIsOpen(t *testing.T) {
	require.ErrorContains(t, (&sqlite.Tap{Begins: begins, Writes: writes}).Connect(nil), "lacks a method")
	require.ErrorContains(t, (&sqlite.Tap{Begins: begins, Writes: writes}).Connect(likeTheDrivers{}), "has no field")
}

// likeTheDrivers has the driver's methods, and nothing else.
type likeTheDrivers struct{ sqlite.Driver }

func TestAPlanIsThatOfOneStatementWithoutArguments(t *testing.T) {
	c := raw(t, ":memory:")
	for _, text := range []string{"SELECT * FROM n WHERE v = ?", "-- a comment\nSELECT * FROM n WHERE v = :v; -- another"} {
		lines, err := sqlite.Plan(c, text)
		require.NoError(t, err)
		require.Equal(t, []string{"SCAN n"}, lines)
	}
	lines, err := sqlite.Plan(c, "INSERT INTO n VALUES (?)")
	require.NoError(t, err)
	require.Empty(t, lines)
	for text, says := range map[string]string{
		"SELECT * FROM nowhere":            "no such table",
		"SELECT * FROM n; SELECT * FROM n": "2 statements",
		" ; ":                              "0 statements",
	} {
		_, err := sqlite.Plan(c, text)
		require.ErrorContains(t, err, says)
	}
	_, err = sqlite.Plan(likeTheDrivers{}, "SELECT 1")
	require.ErrorContains(t, err, "has no field")
}

func TestAPlanThatIsInterruptedIsAnError(t *testing.T) {
	c := raw(t, ":memory:")
	var conn *sqlite.Conn
	tap := &sqlite.Tap{Writes: writes, Begins: func(c *sqlite.Conn, _ bool) { conn = c }}
	require.NoError(t, tap.Connect(c))
	s, err := c.Prepare("VALUES (1), (2)")
	require.NoError(t, err)
	defer s.Close()
	rows, err := s.(driver.StmtQueryContext).QueryContext(t.Context(), nil)
	require.NoError(t, err)
	defer rows.Close()
	conn.Interrupt() // which SQLite keeps until nothing runs
	_, err = sqlite.Plan(c, "SELECT * FROM n")
	require.ErrorContains(t, err, "interrupted")
}
