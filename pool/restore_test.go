package pool_test

import (
	"context"
	"database/sql/driver"
	"os"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// inLogMode is a file in WAL mode, all of whose three rows are in it or in its log.
func inLogMode(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "source.db")
	p, err := pool.Open(t.Context(), pool.Config{Path: path})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	run(t, p, "CREATE TABLE copied (v); INSERT INTO copied VALUES (1), (2), (3)")
	return path
}

// restore copies a file into the connection's database.
func restore(conn driver.Conn, path string) error {
	b, err := conn.(interface {
		NewRestore(uri string) (*sqlite.Backup, error)
	}).NewRestore("file:" + path)
	if err != nil {
		return err
	}
	if _, err := b.Step(-1); err != nil {
		return err
	}
	return b.Finish()
}

func TestADatabaseInLogModeIsRestoredIntoAnyPool(t *testing.T) {
	source := inLogMode(t)
	everywhere(t, pool.Config{MaxConns: 3}, func(t *testing.T, p *pool.Pool) {
		beside := acquire(t, p) // another connection, which is idle
		beside.Release()
		l := acquire(t, p)
		require.NoError(t, l.Raw(t.Context(), func(conn driver.Conn) error { return restore(conn, source) }))
		n, err := number(t.Context(), l, "SELECT count(*) FROM copied")
		require.NoError(t, err)
		require.EqualValues(t, 3, n, "on the lease")
		l.Release()
		for i := range 3 {
			require.EqualValues(t, 3+i, get(t, p, "SELECT count(*) FROM copied"))
			require.NoError(t, send(t.Context(), p, "INSERT INTO copied VALUES (4)"))
		}
		p.Reset()
		require.NoError(t, p.HealthCheck(t.Context()))
		require.Equal(t, "ok", wordOf(t, p, "PRAGMA integrity_check"))
	})
}

func TestOnConnectMayRestoreADatabaseInLogModeIntoMemory(t *testing.T) {
	source := inLogMode(t)
	first := true
	p, err := pool.Open(t.Context(), pool.Config{Path: pool.Memory, MinConns: 3, MaxConns: 3, OnConnect: func(ctx context.Context, l *pool.Lease) error {
		if !first {
			return nil
		}
		first = false
		return l.Raw(ctx, func(conn driver.Conn) error { return restore(conn, source) })
	}})
	require.NoError(t, err)
	require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM copied"))
	require.NoError(t, send(t.Context(), p, "INSERT INTO copied VALUES (4)"))
	require.NoError(t, p.Close())
}

func TestTheBytesOfADatabaseInLogModeAreDeserialized(t *testing.T) {
	path := filepath.Join(t.TempDir(), "source.db")
	p, err := pool.Open(t.Context(), pool.Config{Path: path})
	require.NoError(t, err)
	run(t, p, "CREATE TABLE copied (v); INSERT INTO copied VALUES (1), (2), (3)")
	require.NoError(t, p.Close())
	image, err := os.ReadFile(path)
	require.NoError(t, err)
	deserialize := func(conn any) error {
		return conn.(interface{ Deserialize(b []byte) error }).Deserialize(image)
	}
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		require.NoError(t, l.Raw(t.Context(), func(conn driver.Conn) error { return deserialize(conn) }))
		n, err := number(t.Context(), l, "SELECT count(*) FROM copied")
		require.NoError(t, err)
		require.EqualValues(t, 3, n, "on the lease alone")
		l.Release()
		require.EqualValues(t, 0, get(t, p, "SELECT count(*) FROM sqlite_schema WHERE name = 'copied'"))

		conn, err := p.DB().Conn(t.Context())
		require.NoError(t, err)
		require.NoError(t, conn.Raw(deserialize))
		require.NoError(t, conn.QueryRowContext(t.Context(), "SELECT count(*) FROM copied").Scan(&n))
		require.EqualValues(t, 3, n, "on the *sql.Conn")
		require.NoError(t, conn.Close())
	})
}
