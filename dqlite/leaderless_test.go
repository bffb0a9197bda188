package dqlite_test

import (
	"context"
	"database/sql"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

func TestTheStatementThatMeetsTheEndOfItsLeaderSaysThatTheTransactionIsLost(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		c.once("INSERT", verdict{cut: true})
		err := s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO n (v) VALUES (1)")
			return err
		})
		require.ErrorIs(t, err, pool.ErrTxLost)
		err = s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			c.once("SAVEPOINT", verdict{code: wire.CodeLeadershipLost})
			return tx.Savepoint(ctx, func(context.Context, pool.StoreTx) error { return nil })
		})
		require.ErrorIs(t, err, pool.ErrTxLost)
		require.Empty(t, c.values())
	})
}

func TestAConnectionToANodeThatLeadsNoMoreIsGivenUp(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		write := func() {
			require.NoError(t, s.StoreBatch(t.Context(), func(ctx context.Context, tx pool.StoreTx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO n (v) SELECT count(*) FROM n")
				return err
			}))
		}
		write()
		c.elect(c.nodes[1]) // the first one goes on, and refuses
		write()
		require.Equal(t, c.nodes[1].address, s.Stats().Leader)
	})
}

func TestATransactionOfDatabaseSQLThatSQLiteUndidTakesNoMoreStatements(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.sql("INSERT INTO n (v) VALUES (1)")
		s := c.open()
		tx, err := s.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "INSERT OR ROLLBACK INTO n (v) VALUES (1)")
		require.Error(t, err)
		_, err = tx.ExecContext(t.Context(), "INSERT INTO n (v) VALUES (2)") // it would commit for itself
		require.ErrorIs(t, err, pool.ErrTxLost)
		require.ErrorIs(t, tx.Commit(), pool.ErrTxLost)
		require.Equal(t, []int{1}, c.values())
	})
}

func TestAConnectionOfDatabaseSQLGoesOnWithTheNextLeader(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		conn, err := s.DB().Conn(t.Context()) // database/sql takes no other one for it
		require.NoError(t, err)
		defer conn.Close()
		for i, next := range c.nodes {
			c.elect(next)
			tx, err := conn.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: i == 1})
			require.NoError(t, err)
			if i != 1 {
				_, err = tx.ExecContext(t.Context(), "INSERT INTO n (v) VALUES (?)", i)
				require.NoError(t, err)
			}
			require.NoError(t, tx.Commit())
		}
		require.Equal(t, []int{0, 2}, c.values())
	})
}

func TestWhyThereIsNoLeaderCanBeToldApart(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		c.elect(nil)
		c.nodes[0].cutOff()
		err := s.HealthCheck(t.Context())
		require.ErrorIs(t, err, dqlite.ErrNoQuorum)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "AcquireTimeout is over")
		require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context is not")
		require.NotErrorIs(t, err, context.Canceled)
	})
}
