package pool_test

import (
	"context"
	"database/sql/driver"
	"io"
	"io/fs"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestDatabaseSQLsFaceIsADriverForThoseWhoAskForIt(t *testing.T) {
	p := open(t, pool.Config{})
	require.NotNil(t, p.DB().Driver())
	conn := pinned(t, p)
	require.NoError(t, conn.Raw(func(under any) error {
		c := under.(driver.Conn)
		//lint:ignore SA1019 it is there for those who still use it
		tx, err := c.Begin()
		require.NoError(t, err)
		s, err := c.Prepare("UPDATE n SET v = 7")
		require.NoError(t, err)
		require.Equal(t, -1, s.NumInput())
		_, err = s.(driver.StmtExecContext).ExecContext(t.Context(), nil)
		require.NoError(t, err)
		//lint:ignore SA1019 it is there for those who still use it
		_, err = s.Exec(nil)
		require.ErrorIs(t, err, driver.ErrSkip)
		//lint:ignore SA1019 it is there for those who still use it
		_, err = s.Query(nil)
		require.ErrorIs(t, err, driver.ErrSkip)
		require.NoError(t, s.Close())
		require.NoError(t, tx.Commit())
		require.NoError(t, c.(driver.SessionResetter).ResetSession(t.Context()))
		require.False(t, c.(driver.Validator).IsValid())
		return nil
	}))
	require.NoError(t, conn.Close())
	require.EqualValues(t, 7, get(t, p, "SELECT v FROM n"))
	requireAtRest(t, p)
}

func TestOnConnectsLeaseIsOneUntilItReturns(t *testing.T) {
	var kept *pool.Lease
	p := open(t, pool.Config{OnConnect: func(ctx context.Context, lease *pool.Lease) error {
		kept = lease
		_, err := lease.ExecContext(ctx, "BEGIN")
		require.ErrorIs(t, err, pool.ErrTxControl)
		s, err := lease.PrepareContext(ctx, "SELECT 1")
		require.NoError(t, err)
		require.NoError(t, s.Close())
		return lease.Raw(ctx, func(conn driver.Conn) error {
			_, err := conn.(driver.ExecerContext).ExecContext(ctx, "PRAGMA cache_size = 77", nil)
			return err
		})
	}})
	require.ErrorIs(t, do(t.Context(), kept, "SELECT 1"), pool.ErrReleased)
	kept.Release()
	require.EqualValues(t, 77, get(t, p, "PRAGMA cache_size"), "what it sets stays")
	require.Zero(t, p.Stats().Dirty)
	requireAtRest(t, p)
}

func TestATransactionThatCannotBeginSaysWhy(t *testing.T) {
	p := open(t, pool.Config{})
	conn := pinned(t, p)
	require.NoError(t, conn.Raw(func(under any) error {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := under.(driver.ConnBeginTx).BeginTx(over, driver.TxOptions{})
		require.ErrorIs(t, err, context.Canceled)
		return nil
	}))
	require.NoError(t, do(t.Context(), conn, "BEGIN"))
	_, err := conn.BeginTx(t.Context(), nil)
	require.ErrorContains(t, err, "within a transaction")
	require.NoError(t, do(t.Context(), conn, "ROLLBACK"))
	require.NoError(t, conn.Close())

	var r pool.Registry
	_, err = r.Open(t.Context(), pool.Config{Path: t.TempDir() + "/none/app.db"})
	require.ErrorIs(t, err, fs.ErrNotExist)
	requireAtRest(t, p)
}

func TestClosedRowsHaveNoMore(t *testing.T) {
	p := open(t, pool.Config{})
	conn := pinned(t, p)
	require.NoError(t, conn.Raw(func(under any) error {
		rows, err := under.(driver.QueryerContext).QueryContext(t.Context(), "SELECT 1 UNION SELECT 2", nil)
		require.NoError(t, err)
		row := make([]driver.Value, 1)
		require.NoError(t, rows.Next(row))
		require.NoError(t, rows.Close())
		require.ErrorIs(t, rows.Next(row), io.EOF)
		return nil
	}))
	require.NoError(t, conn.Close())
	requireAtRest(t, p)
}
