package tap_test

import (
	"context"
	"database/sql/driver"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/internal/tap"
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
	ours := &tap.Tap{Writes: writes, Begins: func(c *sqlite.Conn, writes bool) { told = append(told, writes) }}
	require.NoError(t, ours.Connect(a))
	require.NoError(t, exec(a, "SELECT * FROM n"))
	require.NoError(t, exec(a, "INSERT INTO n VALUES (1)"))
	require.NoError(t, exec(b, "INSERT INTO n VALUES (1)"))
	require.Equal(t, []bool{false, true}, told, "and of no other connection's")
	ours.Disconnect()
	require.NoError(t, exec(a, "INSERT INTO n VALUES (1)"))
	require.Len(t, told, 2)
}

func TestATapMayInterruptTheStatementThatBegins(t *testing.T) {
	c := raw(t, ":memory:")
	ours := &tap.Tap{Writes: writes, Begins: func(c *sqlite.Conn, writes bool) {
		if writes && !c.Autocommit() {
			c.Interrupt()
		}
	}}
	require.NoError(t, ours.Connect(c))
	require.NoError(t, exec(c, "INSERT INTO n VALUES (1)"))
	require.NoError(t, exec(c, "BEGIN"))
	require.ErrorContains(t, exec(c, "INSERT INTO n VALUES (2)"), "interrupted")
	require.ErrorContains(t, exec(c, "COMMIT"), "no transaction is active")
}

func TestATapMayRunStatementsWhileOneBegins(t *testing.T) {
	c := raw(t, ":memory:")
	word, within := "", false
	ours := &tap.Tap{Writes: writes, Begins: func(c *sqlite.Conn, _ bool) {
		if within {
			return
		}
		within = true
		defer func() { within = false }()
		word, _ = c.Word("PRAGMA max_page_count = 1")
	}}
	require.NoError(t, ours.Connect(c))
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
			ours := &tap.Tap{Begins: begins, Writes: func() int32 {
				if count++; broken {
					return lib.SQLITE_IOERR_WRITE
				}
				return lib.SQLITE_OK
			}}
			require.NoError(t, ours.Connect(a))
			require.NoError(t, ours.Connect(a), "again")
			require.NoError(t, exec(a, "INSERT INTO n VALUES (2)"))
			require.Positive(t, count)
			broken = true
			require.ErrorContains(t, exec(a, "INSERT INTO n VALUES (3)"), "disk I/O error")
			before := count
			broken = false
			require.NoError(t, exec(b, "INSERT INTO n VALUES (4)"))
			require.Equal(t, before, count, "another connection")
			ours.Disconnect()
			require.NoError(t, exec(a, "INSERT INTO n VALUES (5)"))
			require.Equal(t, before, count)
		})
	}
}

func TestATapGivesWayToTheNextOne(t *testing.T) {
	c := raw(t, filepath.Join(t.TempDir(), "a.db"))
	count := func(n *int) *tap.Tap {
		return &tap.Tap{Begins: begins, Writes: func() int32 { *n++; return lib.SQLITE_OK }}
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
	require.ErrorContains(t, (&tap.Tap{Begins: begins, Writes: writes}).Connect(nil), "lacks a method")
	require.ErrorContains(t, (&tap.Tap{Begins: begins, Writes: writes}).Connect(likeTheDrivers{}), "has no field")
}

// likeTheDrivers has the driver's methods, and nothing else.
type likeTheDrivers struct{ sqlite.Driver }

func TestAPlanThatIsInterruptedIsAnError(t *testing.T) {
	c := raw(t, ":memory:")
	var conn *sqlite.Conn
	ours := &tap.Tap{Writes: writes, Begins: func(c *sqlite.Conn, _ bool) { conn = c }}
	require.NoError(t, ours.Connect(c))
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
