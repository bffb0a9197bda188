package pool_test

import (
	"context"
	"database/sql/driver"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestABeginThatFailsLeavesTheTextTransactionOfTheDBOpen(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for name, fails := range map[string]func(){
			"text":   func() { require.Error(t, do(t.Context(), p.DB(), "BEGIN IMMEDIATE")) },
			"script": func() { require.Error(t, do(t.Context(), p.DB(), "SAVEPOINT a; INSERT INTO n VALUES (1, 1)")) },
			"prepared": func() {
				s, err := p.DB().PrepareContext(t.Context(), "BEGIN")
				require.NoError(t, err)
				_, err = s.ExecContext(t.Context())
				require.Error(t, err)
				require.NoError(t, s.Close())
			},
			"BeginTx": func() {
				_, err := p.DB().BeginTx(t.Context(), nil)
				require.Error(t, err)
			},
			"a conn's": func() {
				conn := sqldbConn(t, p.DB())
				require.NoError(t, do(t.Context(), conn, "SAVEPOINT b"))
				require.NoError(t, do(t.Context(), conn, "RELEASE b"))
				require.Error(t, do(t.Context(), conn, "BEGIN"))
				_, err := conn.BeginTx(t.Context(), nil)
				require.Error(t, err)
				require.NoError(t, do(t.Context(), p.DB(), "SELECT 1"), "nobody waits for the conn")
				require.NoError(t, conn.Close())
			},
		} {
			require.NoError(t, do(t.Context(), p.DB(), "BEGIN"))
			require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (10, 1)"))
			fails()
			require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (11, 1)"))
			require.NoError(t, do(t.Context(), p.DB(), "ROLLBACK"))
			require.Zero(t, sqldbCount(t, p.DB()), "nothing was committed on its own: "+name)
			requireAtRest(t, p)
		}
	})
}

func TestARefusedWriteLeavesQueryOnlyWithTheDB(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA foreign_keys = off"))
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA query_only = on"))
		for range 2 {
			require.ErrorIs(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (10, 1)"), pool.ErrReadOnly)
		}
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA query_only = off"))
		n, err := number(t.Context(), p.DB(), "PRAGMA foreign_keys")
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA foreign_keys = on"))
		require.Zero(t, p.Stats().Broken)
		requireAtRest(t, p)
	})
}

func TestDeferForeignKeysOfTheDBIsThereForTheNextTransaction(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		run(t, p, family)
		require.NoError(t, do(t.Context(), p.DB(), "CREATE TEMP TABLE mine (x)"))
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA defer_foreign_keys = on"))
		tx, err := p.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, do(t.Context(), tx, "INSERT INTO kid VALUES (3)"))
		require.NoError(t, do(t.Context(), tx, "INSERT INTO mother VALUES (3, 'c')"))
		require.NoError(t, tx.Commit())
		require.Error(t, do(t.Context(), p.DB(), "INSERT INTO kid VALUES (4)"), "it ended with the transaction")
		require.NoError(t, do(t.Context(), p.DB(), "DROP TABLE mine"))
		requireAtRest(t, p)
	})
}

func TestATextTransactionThatAnotherOperationsStatePushesOutIsToldOnce(t *testing.T) {
	requireTold := func(t *testing.T, p *pool.Pool) {
		require.ErrorIs(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (10, 1)"), pool.ErrTxLost)
		require.Zero(t, sqldbCount(t, p.DB()))
		require.NoError(t, p.DB().Close())
		requireAtRest(t, p)
	}
	everywhere(t, pool.Config{MaxConns: 4}, func(t *testing.T, p *pool.Pool) {
		rows, err := p.DB().QueryContext(t.Context(), "BEGIN; SELECT 1")
		require.NoError(t, err)
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA cache_size = 77"))
		require.NoError(t, rows.Close())
		requireTold(t, p)

		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA cache_size = 77"))
		conn := sqldbConn(t, p.DB())
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA cache_size = -2000"))
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA recursive_triggers = on"))
		require.NoError(t, do(t.Context(), conn, "BEGIN"))
		require.NoError(t, conn.Close())
		requireTold(t, p)
	})
}

func TestAConnOfTheDBThatIsClosedInRawIsGivenBackOnce(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA cache_size = 77"))
		conn := sqldbConn(t, p.DB())
		require.NoError(t, conn.Raw(func(c any) error { return c.(driver.Conn).Close() }))
		require.NoError(t, conn.Close())
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA cache_size = -2000"))
		requireAtRest(t, p)
		acquire(t, p)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, p.Shutdown(over), context.Canceled, "it counts the lease that is left")
	})
}

func TestPreparingOnTheDBWaitsForTheEndOfATransactionOnItsSession(t *testing.T) {
	p := open(t, pool.Config{AcquireTimeout: 20 * time.Millisecond})
	require.NoError(t, do(t.Context(), p.DB(), "PRAGMA cache_size = 77"))
	tx, err := p.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), tx, "CREATE TABLE undone (x)"))
	s, err := tx.PrepareContext(t.Context(), "INSERT INTO undone VALUES (1)")
	require.NoError(t, err)
	require.NoError(t, s.Close())
	_, err = p.DB().PrepareContext(t.Context(), "PRAGMA foreign_keys = off")
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.NoError(t, tx.Rollback())
	_, err = p.DB().PrepareContext(t.Context(), "SELECT * FROM undone")
	require.ErrorContains(t, err, "no such table")
}

func TestALostTextTransactionEndsByAnyWayToSayRollback(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for _, word := range []string{"ROLLBACK", "COMMIT"} {
			for _, on := range []func(dbtx) error{
				func(on dbtx) error { return do(t.Context(), on, word) },
				func(on dbtx) error {
					rows, err := on.QueryContext(t.Context(), word)
					if err != nil {
						return err
					}
					require.False(t, rows.Next())
					return rows.Close()
				},
				func(on dbtx) error {
					_, err := preparing{on}.ExecContext(t.Context(), word)
					return err
				},
			} {
				conn := sqldbConn(t, p.DB())
				for _, on2 := range []dbtx{conn, p.DB()} {
					require.NoError(t, do(t.Context(), on2, "BEGIN IMMEDIATE"))
					require.Error(t, do(t.Context(), on2, "INSERT INTO n VALUES (10, -13)"))
					require.ErrorIs(t, do(t.Context(), on2, "SELECT 1"), pool.ErrTxLost)
					if err := on(on2); word == "COMMIT" {
						require.ErrorIs(t, err, pool.ErrTxLost)
					} else {
						require.NoError(t, err)
					}
					require.NoError(t, do(t.Context(), on2, "SELECT 1"))
					if on2 == dbtx(conn) {
						require.NoError(t, conn.Close())
					}
				}
			}
		}
		requireAtRest(t, p)
	})
}
