package dqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/migrate"
)

func TestTheDriverOfADBOpensNothingButMemory(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		d := c.open().DB().Driver()
		name := filepath.Join(t.TempDir(), "local.db")
		_, err := d.Open(name)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.NoFileExists(t, name)
		db := sql.OpenDB(fixed{d})
		defer db.Close()
		require.NoError(t, db.PingContext(t.Context()))
	})
}

// fixed connects by a driver to memory.
type fixed struct{ by driver.Driver }

func (f fixed) Driver() driver.Driver                        { return f.by }
func (f fixed) Connect(context.Context) (driver.Conn, error) { return f.by.Open(":memory:") }

func TestAClusterIsComparedWithItsMigrations(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		m, err := migrate.New(fstest.MapFS{"1_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (id INTEGER PRIMARY KEY);\n")}})
		require.NoError(t, err)
		require.ErrorIs(t, m.Validate(t.Context(), s), migrate.ErrDrift)
		c.sql("DROP TABLE n")
		c.sql("CREATE TABLE a (id INTEGER PRIMARY KEY)")
		require.NoError(t, m.Validate(t.Context(), s))
	})
}
