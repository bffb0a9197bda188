package pool_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// pinned is a connection of DB's on which transactions are controlled as text.
func pinned(t *testing.T, p *pool.Pool) *sql.Conn {
	t.Helper()
	conn, err := p.DB().Conn(t.Context())
	require.NoError(t, err)
	return conn
}

func TestATextTransactionThatSQLiteLostCannotHalfCommit(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		for _, end := range []string{"COMMIT", "END TRANSACTION", "ROLLBACK"} {
			conn := pinned(t, p)
			for _, query := range []string{"BEGIN IMMEDIATE", "INSERT INTO n VALUES (10, 1)"} {
				require.NoError(t, do(t.Context(), conn, query))
			}
			require.Error(t, do(t.Context(), conn, "INSERT INTO n VALUES (11, -13)"))
			for _, query := range []string{"INSERT INTO n VALUES (12, 1)", "SELECT 1", "BEGIN", "SAVEPOINT a", "ROLLBACK TO a", "SELECT 1; COMMIT", "COMMIT; SELECT 1", "ROLLBACK; SELECT 1", "", "-- nothing"} {
				require.ErrorIs(t, do(t.Context(), conn, query), pool.ErrTxLost, query)
			}
			err := do(t.Context(), conn, end)
			if end == "ROLLBACK" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, pool.ErrTxLost)
			}
			require.NoError(t, do(t.Context(), conn, "UPDATE n SET v = v + 1"), "the connection goes on")
			require.NoError(t, conn.Close())
		}
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
		require.EqualValues(t, 3, p.Stats().Lost)
		requireAtRest(t, p)
	})
}

func TestATextTransactionOfAClosedConnIsNeverHandedOn(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		p.DB().SetMaxIdleConns(5)
		p.DB().SetMaxOpenConns(1)
		conn := pinned(t, p)
		require.NoError(t, do(t.Context(), conn, "BEGIN IMMEDIATE"))
		require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (10, 1)"))
		require.NoError(t, conn.Close())
		n, err := number(t.Context(), p.DB(), "SELECT count(*) FROM n")
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		requireAtRest(t, p)
	})
}

func TestSavepointsAsTextWorkInATransactionOfDatabaseSQL(t *testing.T) {
	p := open(t, pool.Config{})
	tx, err := p.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, query := range []string{
		"SAVEPOINT a", "INSERT INTO n VALUES (10, 1)", "ROLLBACK TO a", "RELEASE a",
		"SAVEPOINT b", "INSERT INTO n VALUES (11, 1)", "RELEASE b",
	} {
		require.NoError(t, do(t.Context(), tx, query), query)
	}
	require.ErrorIs(t, do(t.Context(), tx, "COMMIT"), pool.ErrTxControl)
	require.NoError(t, tx.Commit())
	require.EqualValues(t, 12, get(t, p, "SELECT sum(id) FROM n"))
}

func TestOnConnectMayNotCloseItsConnection(t *testing.T) {
	for range 20 {
		for _, path := range []string{pool.Memory, t.TempDir() + "/app.db"} {
			_, err := pool.Open(t.Context(), pool.Config{Path: path, OnConnect: func(ctx context.Context, lease *pool.Lease) error { return lease.Raw(ctx, driver.Conn.Close) }})
			require.ErrorContains(t, err, "OnConnect closed its connection")
		}
	}
}

func TestARestrictedForeignKeyIsAForeignKeyToo(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, "CREATE TABLE kept (parent INTEGER REFERENCES parent ON DELETE RESTRICT); INSERT INTO parent VALUES (1); INSERT INTO kept VALUES (1)")
	err := p.Batch(t.Context(), doing("DELETE FROM parent"))
	require.Equal(t, dberr.ErrForeignKey, dberr.Kind(err), "%v", err)
	err = p.Batch(t.Context(), doing("INSERT INTO n VALUES (60, -13)"))
	require.NotEqual(t, dberr.ErrForeignKey, dberr.Kind(err), "a trigger's own RAISE has the same code")
}

func TestATransactionBegunByAQueryIsKeptAccountOf(t *testing.T) {
	p := open(t, pool.Config{})
	c, err := p.DB().Conn(t.Context())
	require.NoError(t, err)
	rows, err := c.QueryContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	require.NoError(t, rows.Close())
	_, err = c.ExecContext(t.Context(), "INSERT INTO n VALUES (51, -13)")
	require.Error(t, err, "it is rolled back")
	_, err = c.ExecContext(t.Context(), "INSERT INTO n VALUES (52, 1)")
	require.ErrorIs(t, err, pool.ErrTxLost)
	require.NoError(t, c.Close())
	require.Zero(t, get(t, p, "SELECT count(*) FROM n WHERE id > 50"), "nothing commits on its own")
}
