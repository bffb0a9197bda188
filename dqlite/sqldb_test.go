package dqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// laneIsFree requires that nobody has the write lane.
func laneIsFree(t *testing.T, s *dqlite.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.NoError(t, s.StoreInTx(ctx, pool.Immediate, doing()))
}

func TestDBWaitsInTheWriteLane(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		h := hold(t, s)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.DB().ExecContext(short, "INSERT INTO n (v) VALUES (1)")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = s.DB().BeginTx(t.Context(), nil)
		require.ErrorIs(t, err, pool.ErrAcquireTimeout)
		require.NoError(t, s.DB().QueryRow("SELECT count(*) FROM n").Scan(new(int)), "a read does not wait")
		h.letGo()
		require.NoError(t, <-h.ended)

		tx, err := s.DB().BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable})
		require.NoError(t, err)
		failed := make(chan error)
		go func() { failed <- do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (2)") }()
		synctest.Wait()
		require.Equal(t, 1, s.Stats().WriteQueue)
		_, err = tx.Exec("INSERT INTO n (v) VALUES (1)")
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		require.NoError(t, <-failed)
		require.Equal(t, []int{1, 2}, c.values())
		for _, level := range []sql.IsolationLevel{sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSnapshot} {
			_, err = s.DB().BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
			require.ErrorIs(t, err, pool.ErrConfig)
		}
		atRest(t, s)
	})
}

// TestASessionGivesBackTheLaneOnEveryPath ends a transaction of DB in each way.
func TestASessionGivesBackTheLaneOnEveryPath(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		ctx := t.Context()
		insert := func(tx *sql.Tx) {
			t.Helper()
			_, err := tx.Exec("INSERT INTO n (v) VALUES (1)")
			require.NoError(t, err)
		}
		for name, end := range map[string]func(tx *sql.Tx){
			"rolled back":                  func(tx *sql.Tx) { insert(tx); require.NoError(t, tx.Rollback()) },
			"rolled back on a leader gone": func(tx *sql.Tx) { insert(tx); c.nodes[0].cutOff(); require.NoError(t, tx.Rollback()) },
			"rolled back on one that moved": func(tx *sql.Tx) {
				insert(tx)
				c.elect(c.nodes[1])
				require.NoError(t, tx.Rollback())
				c.elect(c.nodes[0])
			},
			"commit refused": func(tx *sql.Tx) {
				insert(tx)
				c.once("COMMIT", verdict{code: wire.CodeNotLeader})
				require.ErrorIs(t, tx.Commit(), pool.ErrTxLost)
			},
			"lost": func(tx *sql.Tx) {
				insert(tx)
				c.once("SELECT", verdict{cut: true})
				require.ErrorIs(t, tx.QueryRow("SELECT 1").Scan(new(int)), pool.ErrTxLost)
				_, err := tx.Exec("INSERT INTO n (v) VALUES (2)")
				require.ErrorIs(t, err, pool.ErrTxLost)
				require.ErrorIs(t, tx.Commit(), pool.ErrTxLost)
			},
			"lost in rows": func(tx *sql.Tx) {
				insert(tx)
				rows, err := tx.Query("WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 20) SELECT i FROM r")
				require.NoError(t, err)
				c.nodes[0].cutOff()
				for rows.Next() {
				}
				require.Error(t, rows.Err())
				require.ErrorIs(t, tx.Commit(), pool.ErrTxLost)
			},
			"undone by SQLite": func(tx *sql.Tx) {
				insert(tx)
				_, err := tx.Exec("INSERT OR ROLLBACK INTO n (v) VALUES (1)")
				require.ErrorContains(t, err, "UNIQUE")
				_, err = tx.Exec("INSERT INTO n (v) VALUES (3)") // nor does it commit for itself
				require.ErrorIs(t, err, pool.ErrTxLost)
				require.ErrorIs(t, tx.Commit(), pool.ErrTxLost)
			},
			"its context ends": func(tx *sql.Tx) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				_, err := tx.ExecContext(ctx, "INSERT INTO n (v) VALUES (1)")
				require.ErrorIs(t, err, context.Canceled)
				require.NoError(t, tx.Rollback())
			},
			"ended as text": func(tx *sql.Tx) {
				insert(tx)
				_, err := tx.Exec("ROLLBACK")
				require.NoError(t, err)
				require.ErrorIs(t, tx.Commit(), pool.ErrTxControl)
			},
			"with savepoints": func(tx *sql.Tx) {
				insert(tx)
				for _, text := range []string{"SAVEPOINT a", "INSERT INTO n (v) VALUES (2)", "ROLLBACK TO a", "RELEASE a"} {
					_, err := tx.Exec(text)
					require.NoError(t, err, text)
				}
				_, err := tx.Exec("BEGIN")
				require.ErrorIs(t, err, pool.ErrTxControl)
				_, err = tx.Exec("SELECT 1; COMMIT")
				require.ErrorIs(t, err, pool.ErrTxControl)
				require.NoError(t, tx.Rollback())
			},
		} {
			tx, err := s.DB().BeginTx(ctx, nil)
			require.NoError(t, err, name)
			end(tx)
			c.on(nil)
			synctest.Wait()
			laneIsFree(t, s)
			require.Empty(t, c.values(), name)
		}
		_, err := s.DB().BeginTx(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, s.Close(), "with one that is open")
	})
}

func TestASessionWithATransactionThatWasLeftOpenIsNotUsedAgain(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		db := s.DB()
		_, err := db.Exec("BEGIN")
		require.NoError(t, err)
		laneIsFree(t, s)
		for range 3 {
			_, err = db.Exec("INSERT INTO n (v) VALUES (?)", len(c.values()))
			require.NoError(t, err)
		}
		require.Equal(t, []int{0, 1, 2}, c.values())
		for _, text := range []string{"COMMIT", "ROLLBACK", "SAVEPOINT a", "RELEASE a", "BEGIN; DELETE FROM n; COMMIT"} {
			_, err := db.Exec(text)
			require.ErrorIs(t, err, pool.ErrTxControl, text)
		}

		// On one connection text does what goose, say, wants.
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		for _, text := range []string{"BEGIN", "DELETE FROM n", "END", "BEGIN", "INSERT INTO n (v) VALUES (7)", "COMMIT", "BEGIN", "DELETE FROM n", "ROLLBACK"} {
			_, err = conn.ExecContext(t.Context(), text)
			require.NoError(t, err, text)
		}
		require.Equal(t, []int{7}, c.values())
		require.NoError(t, conn.Close())
		before := s.Stats().Connected
		_, err = db.Exec("DELETE FROM n")
		require.NoError(t, err)
		require.Equal(t, before, s.Stats().Connected, "it is used again")
		atRest(t, s)
	})
}

func TestDBPreparesByText(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		stmt, err := s.DB().Prepare("INSERT INTO n (v) VALUES (?) RETURNING v")
		require.NoError(t, err)
		for i := range 3 {
			var n int
			require.NoError(t, stmt.QueryRow(i).Scan(&n))
			require.Equal(t, i, n)
			res, err := stmt.Exec(i + 10)
			require.NoError(t, err)
			rows, err := res.RowsAffected()
			require.NoError(t, err)
			require.EqualValues(t, 1, rows)
		}
		require.NoError(t, stmt.Close())
		require.Equal(t, []int{0, 10, 1, 11, 2, 12}, c.values())
		conn, err := s.DB().Conn(t.Context())
		require.NoError(t, err)
		require.NoError(t, conn.Raw(func(dc any) error { // what database/sql does not call
			prepared, err := dc.(driver.Conn).Prepare("SELECT ?")
			require.NoError(t, err)
			stmt := prepared.(interface {
				Exec([]driver.Value) (driver.Result, error)
				Query([]driver.Value) (driver.Rows, error)
			})
			_, err = stmt.Exec([]driver.Value{int64(1)})
			require.NoError(t, err)
			rows, err := stmt.Query([]driver.Value{int64(1)})
			require.NoError(t, err)
			require.NoError(t, rows.Close())
			tx, err := dc.(interface{ Begin() (driver.Tx, error) }).Begin()
			require.NoError(t, err)
			return tx.Rollback()
		}))
		require.NoError(t, conn.Close())
		atRest(t, s)
	})
}

func TestAScriptOfDBIsOneStatementAfterAnother(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		script := "INSERT INTO n (v) VALUES (1); INSERT INTO n (v) VALUES (2)"
		c.once("INSERT INTO n (v) VALUES (2)", verdict{code: wire.CodeNotLeader})
		_, err := s.DB().Exec(script)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2}, c.values(), "the first is not run again")
		c.sql("DELETE FROM n")
		c.times(2, "INSERT INTO n (v) VALUES (2)", verdict{code: wire.CodeBusy})
		_, err = s.DB().Exec(script)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2}, c.values())
		laneIsFree(t, s)
		atRest(t, s)
	})
}

func TestDBThatWasClosedIsOpenedAgainWithTheStore(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		db := s.DB()
		require.Same(t, db, s.DB())
		_, err := db.Exec("INSERT INTO n (v) VALUES (1)")
		require.NoError(t, err)
		require.NoError(t, db.Close())
		require.Error(t, db.Ping())
		again := s.DB()
		require.NotSame(t, db, again)
		require.NoError(t, again.Ping())
		require.NoError(t, db.Close())
		require.Same(t, again, s.DB())

		c.elect(nil)
		require.Same(t, again, s.DB(), "which asks nobody")
		c.elect(c.nodes[0])
		require.NoError(t, s.Close())
		require.ErrorContains(t, s.DB().Ping(), "closed")
	})
}
