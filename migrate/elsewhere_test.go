package migrate_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// elsewhere is a database that SQLite says has a name, and not where it is, as one on a
// cluster is: its driver opens nothing else.
type elsewhere struct {
	*spy
	name string
}

func (e elsewhere) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := e.spy.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return elsewhereConn{c.(spiedConn), e.name}, nil
}

func (e elsewhere) Driver() driver.Driver { return e }

func (e elsewhere) Open(string) (driver.Conn, error) { return nil, errors.ErrUnsupported }

type elsewhereConn struct {
	spiedConn
	name string
}

func (c elsewhereConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if query == "PRAGMA database_list" {
		query, args = "SELECT 0, 'main', ?", []driver.NamedValue{{Ordinal: 1, Value: c.name}}
	}
	return c.spiedConn.QueryContext(ctx, query, args)
}

func TestAFileThatHasTheNameOfADatabaseElsewhereIsAnother(t *testing.T) {
	db := sql.OpenDB(elsewhere{&spy{path: filepath.Join(t.TempDir(), "elsewhere.db")}, "app.db"})
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("app.db", nil, 0o600))
	// It is one for which other programs are kept out, if they can be.
	require.NoError(t, migrator(t, files(noTx+"CREATE TABLE a (x);")).Up(t.Context(), plain{db}))
	require.NoFileExists(t, "app.db-migrate")
}
