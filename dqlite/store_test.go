package dqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// TestAResultTellsOfItsStatementAlone: a connection remembers others' rowids and changes.
func TestAResultTellsOfItsStatementAlone(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		for _, test := range []struct {
			text     string
			id, rows int64
		}{
			{"INSERT INTO n (id, v) VALUES (41, 1), (42, 2)", 42, 2},
			{"INSERT OR IGNORE INTO n (v) VALUES (1)", 0, 0},
			{"UPDATE n SET label = 'a'", 0, 2},
			{"UPDATE n SET label = 'b' WHERE v = 99", 0, 0},
			{"CREATE TABLE IF NOT EXISTS another (v)", 0, 0},
			{"CREATE TRIGGER IF NOT EXISTS after_n AFTER DELETE ON n BEGIN UPDATE n SET label = 'c'; END", 0, 0},
			{"SELECT v FROM n", 0, 0},
			{"INSERT INTO n (id, v) VALUES (50, 3) RETURNING v", 50, 1},
			{"INSERT INTO n (id, v) VALUES (60, 4); SELECT 1; INSERT INTO n (id, v) VALUES (61, 5) RETURNING v", 61, 1},
			{"INSERT INTO n (id, v, label) VALUES (70, 6, 'returning')", 70, 1},
			{"WITH w (v) AS (SELECT 7) INSERT INTO n (id, v) SELECT 80, v FROM w", 80, 1},
			{"REPLACE INTO n (id, v) VALUES (80, 7)", 80, 1},
			{"DELETE FROM n WHERE v > 6; DELETE FROM n", 0, 6},
			{"", 0, 0},
			{" -- nothing\n;", 0, 0},
		} {
			faces := map[string]func() (sql.Result, error){
				"writer": func() (sql.Result, error) { return s.StoreWriter().ExecContext(t.Context(), test.text) },
				"DB":     func() (sql.Result, error) { return s.DB().ExecContext(t.Context(), test.text) },
				"transaction": func() (res sql.Result, _ error) {
					return res, s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) (err error) {
						res, err = tx.ExecContext(ctx, test.text)
						return err
					})
				},
			}
			before := c.snapshot()
			for name, exec := range faces {
				c.restore(before)
				res, err := exec()
				require.NoError(t, err, name+": "+test.text)
				id, err := res.LastInsertId()
				require.NoError(t, err)
				rows, err := res.RowsAffected()
				require.NoError(t, err)
				require.Equal(t, [2]int64{test.id, test.rows}, [2]int64{id, rows}, name+": "+test.text)
			}
		}
		atRest(t, s)
	})
}

// snapshot is table n, and restore makes it what it was, without what was created since.
func (c *cluster) snapshot() string {
	c.sql("DROP TABLE IF EXISTS kept")
	c.sql("CREATE TABLE kept AS SELECT * FROM n")
	return "kept"
}

func (c *cluster) restore(from string) {
	c.sql("DROP TRIGGER IF EXISTS after_n")
	c.sql("DROP TABLE IF EXISTS another")
	c.sql("DELETE FROM n")
	c.sql("INSERT INTO n SELECT * FROM " + from)
}

func TestAStatementWithoutRowsHasNone(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		for i, query := range []func(text string) (*sql.Rows, error){
			func(text string) (*sql.Rows, error) { return s.StoreWriter().QueryContext(t.Context(), text) },
			func(text string) (*sql.Rows, error) { return s.DB().QueryContext(t.Context(), text) },
		} {
			got, err := numbers(query(fmt.Sprintf("INSERT INTO n (v) VALUES (%d)", i)))
			require.NoError(t, err)
			require.Empty(t, got)
		}
		require.ErrorIs(t, s.StoreWriter().QueryRowContext(t.Context(), "INSERT INTO n (v) VALUES (7)").Scan(new(int)), sql.ErrNoRows)
		require.NoError(t, s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			_, err := numbers(tx.QueryContext(ctx, "INSERT INTO n (v) VALUES (8)"))
			return err
		}))
		require.Equal(t, []int{0, 1, 7, 8}, c.values())
		require.Equal(t, []int{9, 10}, func() []int {
			got, err := numbers(s.StoreWriter().QueryContext(t.Context(), "INSERT INTO n (v) VALUES (9), (10) RETURNING v"))
			require.NoError(t, err)
			return got
		}())
		_, err := numbers(s.StoreReader().QueryContext(t.Context(), "SELECT 1; SELECT 2"))
		require.ErrorContains(t, err, "2 statements")
		atRest(t, s)
	})
}

func TestValuesGoThereAndBack(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.sql("CREATE TABLE kinds (i INTEGER, f REAL, t TEXT, b BLOB, at DATETIME, no ANY)")
		s := c.open()
		at := time.Date(2026, 5, 4, 3, 2, 1, 987654321, time.FixedZone("there", 3600))
		require.NoError(t, do(t.Context(), s.StoreWriter(), "INSERT INTO kinds VALUES (?, ?, ?, ?, ?, ?)", int64(math.MinInt64), 0.5, "añb", []byte{}, at, nil))
		var (
			i    int64
			f    float64
			text string
			b    []byte
			when time.Time
			no   any
		)
		require.NoError(t, s.StoreReader().QueryRowContext(t.Context(), "SELECT * FROM kinds").Scan(&i, &f, &text, &b, &when, &no))
		require.EqualValues(t, int64(math.MinInt64), i)
		require.Equal(t, 0.5, f)
		require.Equal(t, "añb", text)
		require.Equal(t, []byte{}, b)
		require.True(t, at.Equal(when), when)
		require.Nil(t, no)
		require.Equal(t, 1, get(t, t.Context(), s.StoreReader(), "SELECT at = '2026-05-04 02:02:01.987654321+00:00' FROM kinds"))

		require.ErrorIs(t, do(t.Context(), s.StoreWriter(), "SELECT @a", sql.Named("a", 1)), pool.ErrConfig)
		require.Error(t, do(t.Context(), s.StoreWriter(), "SELECT ?", struct{}{}))
		_, err := s.DB().ExecContext(t.Context(), "SELECT @a", sql.Named("a", 1))
		require.ErrorIs(t, err, pool.ErrConfig)
		require.Error(t, do(t.Context(), s.StoreReader(), "SELECT ?", struct{}{}))
		require.Error(t, s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error { return do(ctx, tx, "SELECT ?", struct{}{}) }))
		for _, on := range []pool.DBTX{s.StoreReader(), s.StoreWriter()} {
			_, err := on.PrepareContext(t.Context(), "SELECT 1")
			require.ErrorIs(t, err, errors.ErrUnsupported)
		}
		atRest(t, s)
	})
}

func TestWhoMayNotWriteIsToldSo(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		ctx := t.Context()
		insert := "INSERT INTO n (v) VALUES (1)"
		require.ErrorIs(t, do(ctx, s.StoreReader(), insert), pool.ErrReadOnly)
		require.ErrorIs(t, s.StoreReader().QueryRowContext(ctx, insert+" RETURNING v").Scan(new(int)), pool.ErrReadOnly)
		require.ErrorIs(t, s.StoreView(ctx, doing(insert)), pool.ErrReadOnly)
		require.ErrorIs(t, s.StoreView(ctx, func(ctx context.Context, tx pool.StoreTx) error {
			require.Equal(t, pool.Deferred, tx.Level())
			require.ErrorIs(t, s.StoreInTx(ctx, pool.Immediate, doing(insert)), pool.ErrNestedLevel)
			require.ErrorIs(t, s.StoreInTx(ctx, pool.Deferred, doing(insert)), pool.ErrReadOnly)
			return s.StoreBatch(ctx, doing(insert))
		}), pool.ErrReadOnly)
		require.NoError(t, s.StoreView(ctx, func(ctx context.Context, tx pool.StoreTx) error {
			for _, text := range []string{"PRAGMA query_only=0", "PRAGMA main.query_only(OFF)", "SELECT 1; pragma query_only = 0"} {
				require.ErrorIs(t, do(ctx, tx, text), pool.ErrTxControl)
			}
			require.Equal(t, 1, get(t, ctx, tx, "PRAGMA query_only"))
			return nil
		}))
		tx, err := s.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		require.NoError(t, err)
		_, err = tx.Exec("PRAGMA query_only=0")
		require.ErrorIs(t, err, pool.ErrTxControl)
		_, err = tx.Exec(insert)
		require.ErrorIs(t, err, pool.ErrReadOnly)
		require.NoError(t, tx.Commit())
		for range 3 {
			_, err = s.DB().ExecContext(ctx, "DELETE FROM n") // the session writes again
			require.NoError(t, err)
		}

		require.NoError(t, s.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			require.ErrorIs(t, s.StoreView(ctx, func(ctx context.Context, tx pool.StoreTx) error {
				require.NoError(t, s.StoreView(ctx, doing("SELECT 1")))
				return do(ctx, tx, insert)
			}), pool.ErrReadOnly)
			require.ErrorIs(t, s.StoreView(ctx, func(ctx context.Context, _ pool.StoreTx) error { return do(ctx, s.StoreWriter(), insert) }), pool.ErrReadOnly)
			return do(ctx, tx, insert)
		}))
		require.Equal(t, []int{1}, c.values())
		require.ErrorIs(t, s.StoreInTx(ctx, pool.Exclusive+1, doing()), pool.ErrConfig)
		require.ErrorIs(t, s.StoreInTx(ctx, pool.Deferred, func(ctx context.Context, _ pool.StoreTx) error {
			return s.StoreInTx(ctx, pool.Immediate, doing())
		}), pool.ErrNestedLevel)
		for _, word := range []string{"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT a", "RELEASE a", "SELECT 1; COMMIT"} {
			require.ErrorIs(t, do(ctx, s.StoreWriter(), word), pool.ErrTxControl)
			require.ErrorIs(t, do(ctx, s.StoreReader(), word), pool.ErrTxControl)
			require.NoError(t, s.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
				require.ErrorIs(t, do(ctx, tx, word), pool.ErrTxControl)
				return nil
			}))
		}
		atRest(t, s)
	})
}

// TestAContextCarriesItsTransaction: everything that is called with it runs there.
func TestAContextCarriesItsTransaction(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		for _, begin := range []func(fn txFunc) error{
			func(fn txFunc) error { return s.StoreInTx(t.Context(), pool.Exclusive, fn) },
			func(fn txFunc) error { return s.StoreInTx(t.Context(), pool.Deferred, fn) },
			func(fn txFunc) error { return s.StoreBatch(t.Context(), fn) },
		} {
			err := begin(func(ctx context.Context, tx pool.StoreTx) error {
				require.NoError(t, do(ctx, s.StoreWriter(), "INSERT INTO n (v) VALUES (1)"))
				require.Equal(t, 2, get(t, ctx, s.StoreWriter(), "INSERT INTO n (v) VALUES (2) RETURNING v"))
				got, err := numbers(s.StoreWriter().QueryContext(ctx, "INSERT INTO n (v) VALUES (3) RETURNING v"))
				require.NoError(t, err)
				require.Equal(t, []int{3}, got)
				require.NoError(t, s.StoreBatch(ctx, doing("INSERT INTO n (v) VALUES (4)")))
				require.NoError(t, s.StoreInTx(ctx, pool.Deferred, doing("INSERT INTO n (v) VALUES (5)")))
				require.Equal(t, 5, get(t, ctx, s.StoreReader(), "SELECT count(*) FROM n"))
				require.NoError(t, do(ctx, s.StoreReader(), "SELECT 1"))
				got, err = numbers(s.StoreReader().QueryContext(ctx, "SELECT v FROM n"))
				require.NoError(t, err)
				require.Equal(t, []int{1, 2, 3, 4, 5}, got)
				require.NoError(t, s.HealthCheck(ctx))
				require.ErrorIs(t, s.Shutdown(ctx), pool.ErrDeadlock)
				for err := range s.StoreWatch(ctx, doing()) {
					require.ErrorIs(t, err, pool.ErrDeadlock)
				}
				_, err = tx.PrepareContext(ctx, "SELECT 1")
				require.ErrorIs(t, err, errors.ErrUnsupported)
				_, err = s.DB().ExecContext(ctx, "DELETE FROM n")
				require.ErrorIs(t, err, pool.ErrDeadlock)
				_, err = s.DB().BeginTx(ctx, nil)
				require.ErrorIs(t, err, pool.ErrDeadlock)
				return errOurs
			})
			require.Equal(t, errOurs, err)
			require.Empty(t, c.values())
		}
		atRest(t, s)
	})
}

func TestRowsAreReadAheadWhileTheirTransactionGoesOn(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		require.NoError(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (1), (2), (3), (4), (5), (6), (7), (8)"))
		for _, level := range []pool.Level{pool.Deferred, pool.Immediate} {
			require.NoError(t, s.StoreInTx(t.Context(), level, func(ctx context.Context, tx pool.StoreTx) error {
				outer, err := tx.QueryContext(ctx, "SELECT v FROM n ORDER BY v")
				require.NoError(t, err)
				defer outer.Close()
				sum := 0
				for outer.Next() {
					var v int
					require.NoError(t, outer.Scan(&v))
					inner, err := tx.QueryContext(ctx, "SELECT v FROM n WHERE v <= ?", v)
					require.NoError(t, err)
					for inner.Next() {
						sum++
						require.NoError(t, do(ctx, tx, "UPDATE n SET label = ?", fmt.Sprint(v)))
						if sum%5 == 0 {
							break
						}
					}
					require.NoError(t, inner.Close())
					require.NoError(t, tx.Savepoint(ctx, func(ctx context.Context, tx pool.StoreTx) error {
						_, err := tx.QueryContext(ctx, "SELECT v FROM n") // ends with the savepoint
						require.NoError(t, err)
						return errors.Join(err, do(ctx, tx, "UPDATE n SET label = NULL"))
					}))
				}
				require.NoError(t, outer.Err())
				require.GreaterOrEqual(t, sum, 8)
				left, err := tx.QueryContext(ctx, "SELECT v FROM n")
				require.NoError(t, err)
				require.True(t, left.Next())
				t.Cleanup(func() { require.False(t, left.Next()) })
				return nil
			}))
		}
		require.Len(t, c.values(), 8)
		require.Zero(t, get(t, t.Context(), s.StoreReader(), "SELECT count(label) FROM n"))
		atRest(t, s)
	})
}

func TestRowsEndWithTheirContextAndGiveBackWhatTheyHad(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open(maxConns(2))
		require.NoError(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (1), (2), (3), (4), (5), (6), (7), (8)"))
		for _, ended := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			rows, err := s.StoreReader().QueryContext(ctx, "SELECT v FROM n")
			require.NoError(t, err)
			require.True(t, rows.Next())
			if ended {
				cancel()
				synctest.Wait()
				require.False(t, rows.Next())
				require.ErrorIs(t, rows.Err(), context.Canceled)
			}
			require.NoError(t, rows.Close())
			cancel()
			require.Equal(t, 8, get(t, t.Context(), s.StoreReader(), "SELECT count(*) FROM n"))
		}
		require.ErrorIs(t, s.StoreInTx(t.Context(), pool.Deferred, func(ctx context.Context, tx pool.StoreTx) error {
			short, cancel := context.WithCancel(ctx)
			rows, err := tx.QueryContext(short, "SELECT 1 UNION SELECT 2")
			require.NoError(t, err)
			require.True(t, rows.Next())
			cancel() // they were read already, and so the transaction goes on
			synctest.Wait()
			require.False(t, rows.Next())
			require.ErrorIs(t, rows.Err(), context.Canceled)
			return errors.Join(errOurs, do(ctx, tx, "INSERT INTO n (v) VALUES (9)"))
		}), errOurs)
		require.ErrorIs(t, s.StoreInTx(t.Context(), pool.Deferred, func(ctx context.Context, tx pool.StoreTx) error {
			short, cancel := context.WithCancel(ctx)
			rows, err := tx.QueryContext(short, "SELECT v FROM n") // these were not
			require.NoError(t, err)
			require.True(t, rows.Next())
			cancel()
			synctest.Wait()
			require.False(t, rows.Next())
			require.ErrorIs(t, rows.Err(), context.Canceled)
			if err := do(ctx, tx, "INSERT INTO n (v) VALUES (10)"); err != nil { // unless the node heard in time
				require.ErrorIs(t, err, pool.ErrTxLost)
			}
			return errOurs
		}), errOurs)
		require.Len(t, c.values(), 8)
		var all sync.WaitGroup // rows whose context ends at any moment
		for range 20 {
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				_, err := numbers(s.StoreReader().QueryContext(ctx, "SELECT v FROM n"))
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		atRest(t, s)
	})
}

func TestRowsThatAreCutOffSaySo(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		require.NoError(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (1), (2), (3), (4), (5), (6), (7), (8)"))
		rows, err := s.StoreReader().QueryContext(t.Context(), "SELECT v FROM n")
		require.NoError(t, err)
		require.True(t, rows.Next())
		c.nodes[0].cutOff()
		for rows.Next() {
		}
		require.Error(t, rows.Err())
		require.ErrorIs(t, s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			rows, err := tx.QueryContext(ctx, "SELECT v FROM n")
			require.NoError(t, err)
			require.True(t, rows.Next())
			c.nodes[0].cutOff()
			for rows.Next() {
			}
			return rows.Err()
		}), pool.ErrTxLost)
		require.ErrorIs(t, s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			rows, err := tx.QueryContext(ctx, "SELECT v FROM n")
			require.NoError(t, err)
			require.True(t, rows.Next())
			c.nodes[0].cutOff()
			require.ErrorIs(t, do(ctx, tx, "SELECT 1"), pool.ErrTxLost)
			return nil
		}), pool.ErrTxLost)
		require.Zero(t, s.Stats().CommitUnknown)
		require.Equal(t, 8, get(t, t.Context(), s.StoreReader(), "SELECT count(*) FROM n"))
		atRest(t, s)
	})
}

func TestSavepointsNest(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		insert := func(v int) txFunc { return doing(fmt.Sprintf("INSERT INTO n (v) VALUES (%d)", v)) }
		var dead pool.StoreTx
		require.NoError(t, s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			require.NoError(t, insert(1)(ctx, tx))
			require.Equal(t, errOurs, tx.Savepoint(ctx, func(ctx context.Context, tx pool.StoreTx) error {
				dead = tx
				require.NoError(t, insert(2)(ctx, tx))
				require.NoError(t, tx.Savepoint(ctx, insert(3)))
				return errOurs
			}))
			require.ErrorIs(t, do(ctx, dead, "SELECT 1"), pool.ErrTxDone)
			require.ErrorIs(t, dead.Savepoint(ctx, insert(9)), pool.ErrTxDone)
			dead.AfterCommit(func() { t.Error("of a savepoint that has ended") })
			require.NoError(t, tx.Savepoint(ctx, func(ctx context.Context, tx pool.StoreTx) error {
				require.Equal(t, errOurs, s.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
					require.NoError(t, insert(4)(ctx, tx))
					return errOurs
				}))
				return insert(5)(ctx, tx)
			}))
			require.PanicsWithValue(t, "ours", func() {
				_ = tx.Savepoint(ctx, func(ctx context.Context, tx pool.StoreTx) error {
					require.NoError(t, insert(6)(ctx, tx))
					panic("ours")
				})
			})
			ended, cancel := context.WithCancel(ctx)
			require.ErrorIs(t, tx.Savepoint(ended, func(ctx context.Context, tx pool.StoreTx) error {
				require.NoError(t, insert(7)(ctx, tx))
				cancel()
				return nil
			}), context.Canceled)
			require.ErrorIs(t, tx.Savepoint(ended, insert(7)), context.Canceled)
			require.ErrorIs(t, do(ended, tx, "SELECT 1"), context.Canceled)
			return insert(8)(ctx, tx)
		}))
		require.Equal(t, []int{1, 5, 8}, c.values())
		require.ErrorIs(t, do(t.Context(), dead, "SELECT 1"), pool.ErrTxDone)
		require.ErrorIs(t, dead.QueryRowContext(t.Context(), "SELECT 1").Scan(new(int)), pool.ErrTxDone)
		atRest(t, s)
	})
}

// TestSavepointsSideBySideDoNotEndEachOtherUnnoticed: the one that began first ends first,
// and with it the other.
func TestSavepointsSideBySideDoNotEndEachOtherUnnoticed(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		require.NoError(t, s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			first, second := make(chan error), make(chan error)
			endFirst, endSecond := make(chan error), make(chan error)
			part := func(v int, ended, end chan error) {
				ended <- tx.Savepoint(ctx, func(ctx context.Context, tx pool.StoreTx) error {
					if err := do(ctx, tx, "INSERT INTO n (v) VALUES (?)", v); err != nil {
						return err
					}
					return <-end
				})
			}
			go part(1, first, endFirst)
			synctest.Wait()
			go part(2, second, endSecond)
			synctest.Wait()
			endFirst <- errOurs
			require.Equal(t, errOurs, <-first)
			endSecond <- nil
			require.ErrorContains(t, <-second, "no such savepoint")
			return nil
		}))
		require.Empty(t, c.values())
		atRest(t, s)
	})
}

func TestAfterCommitIsCalledInOrderOnceAllIsGivenBack(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open(maxConns(2))
		for name, begin := range map[string]func(fn txFunc) error{
			"Immediate":             func(fn txFunc) error { return s.StoreInTx(t.Context(), pool.Immediate, fn) },
			"Deferred":              func(fn txFunc) error { return s.StoreInTx(t.Context(), pool.Deferred, fn) },
			"Deferred that repeats": func(fn txFunc) error { return s.StoreInTx(t.Context(), pool.Deferred, fn, pool.Repeatable()) },
			"batch":                 func(fn txFunc) error { return s.StoreBatch(t.Context(), fn) },
			"view": func(fn txFunc) error {
				return s.StoreView(t.Context(), func(ctx context.Context, tx pool.StoreTx) error {
					_ = fn(ctx, tx)
					return nil
				})
			},
		} {
			c.sql("DELETE FROM n")
			var called []string
			note := func(what string) func() { return func() { called = append(called, what) } }
			require.NoError(t, begin(func(ctx context.Context, tx pool.StoreTx) error {
				tx.AfterCommit(nil)
				tx.AfterCommit(note("first"))
				_ = do(ctx, tx, "INSERT INTO n (v) VALUES (1)") // refused in a view
				require.Equal(t, errOurs, tx.Savepoint(ctx, func(_ context.Context, tx pool.StoreTx) error {
					tx.AfterCommit(note("undone"))
					return errOurs
				}))
				require.NoError(t, tx.Savepoint(ctx, func(ctx context.Context, tx pool.StoreTx) error {
					tx.AfterCommit(note("in a savepoint"))
					return s.StoreView(ctx, func(_ context.Context, tx pool.StoreTx) error {
						tx.AfterCommit(note("in a view"))
						return nil
					})
				}))
				tx.AfterCommit(func() { // there is one reader, and one writer
					require.NoError(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (2)"))
					require.NoError(t, s.StoreView(t.Context(), doing("SELECT 1")))
				})
				tx.AfterCommit(note("last"))
				require.Empty(t, called)
				return nil
			}), name)
			require.Equal(t, []string{"first", "in a savepoint", "in a view", "last"}, called, name)
			require.Contains(t, c.values(), 2, name)

			called = nil
			require.PanicsWithValue(t, "ours", func() {
				_ = begin(func(_ context.Context, tx pool.StoreTx) error {
					tx.AfterCommit(func() { panic("ours") })
					tx.AfterCommit(note("behind it"))
					return nil
				})
			}, name)
			require.Equal(t, []string{"behind it"}, called, name)
			require.Equal(t, errOurs, begin2(begin, func(_ context.Context, tx pool.StoreTx) error {
				tx.AfterCommit(func() { t.Error("called after work that was undone") })
				return errOurs
			}, name), name)
		}
		atRest(t, s)
	})
}

// begin2 is begin, but for the view, which keeps its function's error.
func begin2(begin func(txFunc) error, fn txFunc, name string) error {
	if name == "view" {
		return errOurs
	}
	return begin(fn)
}

func TestAPanicAndGoexitUndoATransaction(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		for _, begin := range []func(fn txFunc) error{
			func(fn txFunc) error { return s.StoreInTx(t.Context(), pool.Immediate, fn) },
			func(fn txFunc) error { return s.StoreInTx(t.Context(), pool.Deferred, fn) },
			func(fn txFunc) error { return s.StoreBatch(t.Context(), fn) },
		} {
			require.PanicsWithValue(t, "ours", func() {
				_ = begin(func(ctx context.Context, tx pool.StoreTx) error {
					require.NoError(t, do(ctx, tx, "INSERT INTO n (v) VALUES (1)"))
					panic("ours")
				})
			})
			over := make(chan struct{})
			go func() {
				defer close(over)
				_ = begin(func(ctx context.Context, tx pool.StoreTx) error {
					require.NoError(t, do(ctx, tx, "INSERT INTO n (v) VALUES (1)"))
					runtime.Goexit()
					return nil
				})
			}()
			<-over
			require.Empty(t, c.values())
		}
		require.PanicsWithValue(t, "ours", func() {
			_ = s.StoreView(t.Context(), func(context.Context, pool.StoreTx) error { panic("ours") })
		})
		atRest(t, s)
	})
}

// TestAContextThatEndsIsHeardEverywhere: before the work, while it waits, and in the midst.
func TestAContextThatEndsIsHeardEverywhere(t *testing.T) {
	for way, run := range some(all()) {
		t.Run(way, func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) {
				s := c.open(maxConns(2))
				ended, cancel := context.WithCancel(t.Context())
				cancel()
				require.ErrorIs(t, run(ended, s), context.Canceled, "before")

				h := hold(t, s)
				rows, err := s.StoreReader().QueryContext(t.Context(), "SELECT 1")
				require.NoError(t, err)
				waits := !strings.Contains(way, "by DB") && !strings.Contains(way, "of DB") || strings.HasPrefix(way, "write")
				if waits {
					short, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					require.ErrorIs(t, run(short, s), context.DeadlineExceeded, "while it waits")
					require.ErrorIs(t, run(t.Context(), s), pool.ErrAcquireTimeout)
				}
				require.NoError(t, rows.Close())
				h.letGo()
				require.NoError(t, <-h.ended)
				require.Empty(t, c.values())

				// The first statement, then the second and so on, is not answered.
				for at := range 5 {
					var n atomic.Int32
					var reached atomic.Bool
					c.on(func(a asked) verdict {
						if a.text == "COMMIT" || strings.HasPrefix(a.text, "PRAGMA foreign_keys") {
							return verdict{}
						}
						if int(n.Add(1))-1 == at {
							reached.Store(true)
							return verdict{mute: true}
						}
						return verdict{}
					})
					short, cancel := context.WithTimeout(t.Context(), time.Second)
					began := time.Now()
					err := run(short, s)
					cancel()
					if !reached.Load() {
						break
					}
					require.ErrorIs(t, err, context.DeadlineExceeded, at)
					require.Less(t, time.Since(began), 2*time.Second)
					synctest.Wait()
					require.Empty(t, c.values())
				}
				c.on(nil)
				c.sql("DELETE FROM n")
				require.NoError(t, run(t.Context(), s))
				atRest(t, s)
			})
		})
	}
}

func TestADeferredTransactionWaitsForTheLaneBeforeItWrites(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		h := hold(t, s)
		got := make(chan error)
		go func() {
			got <- s.StoreInTx(t.Context(), pool.Deferred, func(ctx context.Context, tx pool.StoreTx) error {
				short, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				require.ErrorIs(t, do(short, tx, "INSERT INTO n (v) VALUES (1)"), context.DeadlineExceeded)
				require.NoError(t, do(ctx, tx, "SELECT 1"), "it goes on")
				require.ErrorIs(t, do(ctx, tx, "INSERT INTO n (v) VALUES (1)"), pool.ErrAcquireTimeout)
				time.AfterFunc(time.Second, h.letGo)
				return do(ctx, tx, "INSERT INTO n (v) VALUES (1)")
			})
		}()
		require.NoError(t, <-got)
		require.Equal(t, []int{1}, c.values())
		require.NoError(t, <-h.ended)
		atRest(t, s)
	})
}

func TestADeferredTransactionThatReadBeforeAnothersCommitConflicts(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s, runs := c.open(), 0
		fn := func(ctx context.Context, tx pool.StoreTx) error {
			get(t, ctx, tx, "SELECT count(*) FROM n")
			if runs++; runs == 1 {
				require.NoError(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (?)", 100+len(c.values())))
			}
			return do(ctx, tx, "INSERT INTO n (v) VALUES (1)")
		}
		require.ErrorIs(t, s.StoreInTx(t.Context(), pool.Deferred, fn), pool.ErrConflict)
		require.Equal(t, 1, runs)
		runs = 0
		require.NoError(t, s.StoreInTx(t.Context(), pool.Deferred, fn, pool.Repeatable()))
		require.Equal(t, 2, runs)
		require.Equal(t, []int{100, 101, 1}, c.values())
		require.EqualValues(t, 2, s.Stats().Conflicts)
		require.EqualValues(t, 1, s.Stats().Retries)
		atRest(t, s)
	})
}

func TestAnotherProcesssLockIsWaitedFor(t *testing.T) {
	for way, run := range some(work) {
		t.Run(way, func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) {
				s, another := c.open(), c.open()
				h := hold(t, another)
				began := time.Now()
				require.ErrorIs(t, run(t.Context(), s), pool.ErrBusy)
				require.GreaterOrEqual(t, time.Since(began), 5*time.Second)
				short, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.Error(t, run(short, s))
				time.AfterFunc(2*time.Second, h.letGo)
				require.NoError(t, run(t.Context(), s))
				require.Equal(t, []int{1}, c.values())
				require.NoError(t, <-h.ended)

				h = hold(t, s)
				hasty := c.open(func(cfg *dqlite.Config) { cfg.BusyTimeout = -1 })
				began = time.Now()
				require.ErrorIs(t, run(t.Context(), hasty), pool.ErrBusy)
				require.Less(t, time.Since(began), 100*time.Millisecond)
				h.letGo()
				require.NoError(t, <-h.ended)
				atRest(t, s)
			})
		})
	}
}

func TestWaitersAreLimited(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open(func(cfg *dqlite.Config) { cfg.MaxWaiters = 1 })
		h := hold(t, s)
		first := make(chan error)
		go func() { first <- do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (1)") }()
		synctest.Wait()
		require.Equal(t, 1, s.Stats().Waiting)
		require.ErrorIs(t, work["in a transaction"](t.Context(), s), pool.ErrOverloaded)
		require.EqualValues(t, 1, s.Stats().Overloads)
		time.Sleep(time.Second)
		h.letGo()
		require.NoError(t, <-first)
		require.NoError(t, <-h.ended)
		require.Equal(t, time.Second, s.Stats().WriteWait)
		atRest(t, s)
	})
}

// TestAConnectionThatWasChangedIsNobodyElses: temporary tables and settings stay with whom
// they belong to.
func TestAConnectionThatWasChangedIsNobodyElses(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open(maxConns(2))
		for _, begin := range []func(fn txFunc) error{
			func(fn txFunc) error { return s.StoreInTx(t.Context(), pool.Immediate, fn) },
			func(fn txFunc) error { return s.StoreInTx(t.Context(), pool.Deferred, fn) },
		} {
			require.NoError(t, begin(doing("CREATE TEMP TABLE mine (v)", "INSERT INTO mine VALUES (1)")))
			require.ErrorContains(t, begin(doing("INSERT INTO mine VALUES (1)")), "no such table")
		}
		require.NoError(t, do(t.Context(), s.StoreReader(), "PRAGMA case_sensitive_like=1"))
		require.Equal(t, 1, get(t, t.Context(), s.StoreReader(), "SELECT 'a' LIKE 'A'"))
		_, err := s.DB().ExecContext(t.Context(), "PRAGMA case_sensitive_like=1")
		require.NoError(t, err)
		require.Equal(t, 1, func() (n int) {
			require.NoError(t, s.DB().QueryRowContext(t.Context(), "SELECT 'a' LIKE 'A'").Scan(&n))
			return n
		}())
		before := s.Stats().Connected
		require.Zero(t, get(t, t.Context(), s.StoreReader(), "PRAGMA user_version"))
		require.NoError(t, do(t.Context(), s.StoreWriter(), "DELETE FROM n"))
		require.Equal(t, before, s.Stats().Connected, "to read a PRAGMA changes nothing")
		atRest(t, s)
	})
}

func TestBackupIsTheDatabase(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		require.NoError(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (1), (2)"))
		folder := t.TempDir()
		path := folder + "/copy.db"
		require.NoError(t, s.Backup(t.Context(), path))
		p, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		got, err := numbers(p.Query("SELECT v FROM n"))
		require.NoError(t, err)
		require.Equal(t, []int{1, 2}, got)
		require.NoError(t, p.Close())
		require.ErrorContains(t, s.Backup(t.Context(), path), "exists")
		require.ErrorContains(t, s.Backup(t.Context(), folder+"/nowhere/copy.db"), "no such file")
		c.once("DUMP", verdict{code: 26})
		require.Error(t, s.Backup(t.Context(), folder+"/b.db"))
		c.once("DUMP", verdict{code: wire.CodeNotLeader})
		require.NoError(t, s.Backup(t.Context(), folder+"/c.db"))
		require.Equal(t, []string{"c.db", "copy.db"}, names(t, folder), "nothing else is left")
		atRest(t, s)
	})
}

// TestNothingOfAStorePanicsOverNil: what a nil and a zero Store do is tested with the other
// packages' functions.
func TestNothingOfAStorePanicsOverNil(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		var nobody context.Context
		s := c.open()
		uses := func(on pool.DBTX) {
			_, err := on.ExecContext(nobody, "SELECT 1")
			require.ErrorIs(t, err, fs.ErrInvalid)
			_, err = on.QueryContext(nobody, "SELECT 1")
			require.ErrorIs(t, err, fs.ErrInvalid)
			require.ErrorIs(t, on.QueryRowContext(nobody, "SELECT 1").Scan(new(int)), fs.ErrInvalid)
		}
		uses(s.StoreReader())
		uses(s.StoreWriter())
		for err := range s.StoreWatch(nobody, doing()) {
			require.ErrorIs(t, err, fs.ErrInvalid)
		}
		for err := range s.StoreWatch(t.Context(), nil) {
			require.ErrorIs(t, err, fs.ErrInvalid)
		}
		for way, run := range all() {
			if !strings.Contains(way, "DB") && !strings.Contains(way, "ping") { // database/sql panics over a nil context by itself
				require.ErrorIs(t, run(nobody, s), fs.ErrInvalid, way)
			}
		}
		for _, err := range []error{
			s.StoreInTx(t.Context(), pool.Deferred, nil), s.StoreBatch(t.Context(), nil), s.StoreView(t.Context(), nil),
			s.StoreInTx(t.Context(), pool.Deferred, doing(), pool.Repeatable(), nil),
			s.Shutdown(nobody), s.Backup(nobody, ""),
		} {
			require.ErrorIs(t, err, fs.ErrInvalid)
		}
		require.NoError(t, s.StoreInTx(t.Context(), pool.Deferred, func(ctx context.Context, tx pool.StoreTx) error {
			uses(tx)
			tx.AfterCommit(nil)
			require.ErrorIs(t, tx.Savepoint(nobody, doing()), fs.ErrInvalid)
			require.ErrorIs(t, tx.Savepoint(ctx, nil), fs.ErrInvalid)
			require.ErrorIs(t, s.StoreView(ctx, nil), fs.ErrInvalid)
			return nil
		}))
		atRest(t, s)
	})
}
