package pool_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var levels = []pool.Level{pool.Deferred, pool.Immediate, pool.Exclusive}

var errOurs = errors.New("ours")

func TestATransactionCommitsWhenItsFunctionReturnsNil(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		for i, level := range levels {
			require.NoError(t, p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
				assert.Equal(t, level, tx.Level())
				return do(ctx, tx, "INSERT INTO n VALUES (?, ?)", i+10, i)
			}))
		}
		require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM n WHERE id >= 10"))
		require.EqualValues(t, 3, p.Stats().Committed)
		requireAtRest(t, p)
	})
}

func TestATransactionRollsBackWhenItsFunctionFails(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		for _, level := range levels {
			err := p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
				assert.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (10, 1)"))
				return errOurs
			})
			require.Same(t, errOurs, err, "unchanged")

			require.PanicsWithValue(t, "ours", func() {
				_ = p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
					assert.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (10, 1)"))
					panic("ours")
				})
			})

			var wg sync.WaitGroup
			wg.Go(func() {
				_ = p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
					assert.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (10, 1)"))
					runtime.Goexit()
					return nil
				})
			})
			wg.Wait()
		}
		require.Zero(t, get(t, p, "SELECT count(*) FROM n WHERE id = 10"))
		require.EqualValues(t, 9, p.Stats().RolledBack)
		requireAtRest(t, p)
	})
}

func TestAContextThatEndedBeginsNothing(t *testing.T) {
	p := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(context.Context, *pool.Tx) error { t.Error("it ran"); return nil }
	for _, err := range []error{
		p.InTx(ctx, pool.Deferred, never),
		p.InTx(ctx, pool.Exclusive, never),
		p.Batch(ctx, never),
		p.View(ctx, never),
		func() error { _, err := p.Acquire(ctx); return err }(),
		func() error { _, err := p.Begin(ctx, pool.Immediate); return err }(),
	} {
		require.ErrorIs(t, err, context.Canceled)
		var own *pool.Error
		require.ErrorAs(t, err, &own)
		require.NotEmpty(t, own.Op)
	}
	requireAtRest(t, p)
}

func TestATransactionWhoseContextEndsIsRolledBack(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		for _, level := range levels {
			ctx, cancel := context.WithCancelCause(t.Context())
			err := p.InTx(ctx, level, func(ctx context.Context, tx *pool.Tx) error {
				assert.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (10, 1)"))
				cancel(errOurs)
				return nil
			})
			require.ErrorIs(t, err, context.Canceled)
		}
		require.Zero(t, get(t, p, "SELECT count(*) FROM n WHERE id = 10"))
		requireAtRest(t, p)
	})
}

func TestAFailingFunctionRollsBackThoughItsContextEnded(t *testing.T) {
	p := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	require.Same(t, errOurs, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		assert.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (10, 1)"))
		cancel()
		return errOurs
	}))
	require.Zero(t, get(t, p, "SELECT count(*) FROM n WHERE id = 10"))
	requireAtRest(t, p)
}

func TestBeginIsEndedByHand(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		for _, level := range levels {
			tx, err := p.Begin(ctx, level)
			require.NoError(t, err)
			require.NoError(t, do(ctx, tx, "UPDATE n SET v = v + 1"))
			require.NoError(t, tx.Commit(ctx))
			require.ErrorIs(t, tx.Commit(ctx), pool.ErrTxDone)
			require.NoError(t, tx.Rollback(ctx), "harmless after the end")
			require.ErrorIs(t, do(ctx, tx, "UPDATE n SET v = 100"), pool.ErrTxDone)

			tx, err = p.Begin(ctx, level)
			require.NoError(t, err)
			require.NoError(t, do(ctx, tx, "UPDATE n SET v = 100"))
			gone, cancel := context.WithCancel(ctx)
			cancel()
			require.NoError(t, tx.Rollback(gone), "whatever the context")
			require.NoError(t, tx.Rollback(ctx))
			require.ErrorIs(t, tx.Commit(ctx), pool.ErrTxDone)
		}
		require.EqualValues(t, 3, get(t, p, "SELECT v FROM n"))
		requireAtRest(t, p)
	})
}

func TestCommitWithAnEndedContextRollsBack(t *testing.T) {
	p := open(t, pool.Config{})
	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), tx, "UPDATE n SET v = 1"))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, tx.Commit(gone), context.Canceled)
	require.NoError(t, tx.Rollback(t.Context()))
	require.ErrorIs(t, tx.Commit(t.Context()), pool.ErrTxDone)
	require.Zero(t, get(t, p, "SELECT v FROM n"))
	requireAtRest(t, p)
}

func TestARollbackNeedsNoContext(t *testing.T) {
	p := open(t, pool.Config{})
	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), tx, insert, 2))
	var none context.Context
	require.NoError(t, tx.Rollback(none))
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
	requireAtRest(t, p)
}

func TestOnlyATransactionFromBeginIsEndedByHand(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		assert.ErrorIs(t, tx.Commit(ctx), pool.ErrTxControl)
		assert.ErrorIs(t, tx.Rollback(ctx), pool.ErrTxControl)
		return do(ctx, tx, "UPDATE n SET v = 1")
	}))
	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	require.NoError(t, tx.Savepoint(t.Context(), func(ctx context.Context, sp *pool.Tx) error {
		assert.ErrorIs(t, sp.Commit(ctx), pool.ErrTxControl)
		return nil
	}))
	require.NoError(t, tx.Rollback(t.Context()))
	require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))
}

func TestAnUnknownLevelIsAFaultyConfiguration(t *testing.T) {
	p := open(t, pool.Config{})
	require.ErrorIs(t, p.InTx(t.Context(), 7, doing("SELECT 1")), pool.ErrConfig)
	_, err := p.Begin(t.Context(), 7)
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "Level(7)")
}

func TestATransactionIsOverForWhoeverStillHoldsIt(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		var kept, inner *pool.Tx
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			kept = tx
			assert.NoError(t, tx.Savepoint(ctx, func(_ context.Context, sp *pool.Tx) error {
				inner = sp
				return nil
			}))
			assert.ErrorIs(t, do(ctx, inner, "SELECT 1"), pool.ErrTxDone, "the savepoint is over")
			return do(ctx, tx, "UPDATE n SET v = 1")
		}))
		ctx := t.Context()
		for _, tx := range []*pool.Tx{kept, inner} {
			require.ErrorIs(t, do(ctx, tx, "UPDATE n SET v = 2"), pool.ErrTxDone)
			_, err := tx.QueryContext(ctx, "SELECT 1")
			require.ErrorIs(t, err, pool.ErrTxDone)
			_, err = tx.PrepareContext(ctx, "SELECT 1")
			require.ErrorIs(t, err, pool.ErrTxDone)
			_, err = number(ctx, tx, "SELECT 1")
			require.ErrorIs(t, err, pool.ErrTxDone)
			require.ErrorIs(t, tx.Savepoint(ctx, doing("SELECT 1")), pool.ErrTxDone)
		}
		// Not even when the same connection is in another transaction.
		require.NoError(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
			assert.ErrorIs(t, do(ctx, kept, "UPDATE n SET v = 2"), pool.ErrTxDone)
			return nil
		}))
		require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))
		requireAtRest(t, p)
	})
}

func TestRowsAndStatementsEndWithTheirTransaction(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		run(t, p, "INSERT INTO n VALUES (2, 0), (3, 0)")
		for _, level := range levels {
			var read, returned interface {
				Next() bool
				Err() error
				Close() error
			}
			var prepared interface {
				Close() error
			}
			require.NoError(t, p.InTx(ctx, level, func(ctx context.Context, tx *pool.Tx) error {
				rows, err := tx.QueryContext(ctx, "SELECT id FROM n")
				require.NoError(t, err)
				require.True(t, rows.Next())
				read = rows
				rows, err = tx.QueryContext(ctx, "UPDATE n SET v = v + 1 RETURNING id")
				require.NoError(t, err)
				require.True(t, rows.Next())
				returned = rows
				s, err := tx.PrepareContext(ctx, "UPDATE n SET v = v + 100")
				require.NoError(t, err)
				prepared = s
				t.Cleanup(func() {
					_, err := s.Exec()
					assert.ErrorIs(t, err, pool.ErrTxDone)
				})
				return nil
			}))
			for _, rows := range []interface {
				Next() bool
				Err() error
				Close() error
			}{read, returned} {
				require.False(t, rows.Next())
				require.ErrorIs(t, rows.Err(), pool.ErrTxDone)
				require.NoError(t, rows.Close())
			}
			_ = prepared
		}
		require.EqualValues(t, 9, get(t, p, "SELECT sum(v) FROM n"))
		requireAtRest(t, p)
	})
}

func TestRowsOfASavepointEndWithItAndTheOuterOnesGoOn(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, "INSERT INTO n VALUES (2, 0), (3, 0)")
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		outer, err := tx.QueryContext(ctx, "SELECT id FROM n ORDER BY id")
		require.NoError(t, err)
		defer outer.Close()
		require.True(t, outer.Next())
		require.NoError(t, tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
			inner, err := sp.QueryContext(ctx, "SELECT id FROM n")
			require.NoError(t, err)
			require.True(t, inner.Next())
			t.Cleanup(func() { assert.ErrorIs(t, inner.Err(), nil); _ = inner.Close() })
			return nil
		}))
		n := 1
		for outer.Next() {
			n++
		}
		assert.Equal(t, 3, n)
		return outer.Err()
	}))
	requireAtRest(t, p)
}

func TestAPreparedStatementRunsManyTimesInItsTransaction(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			insert, err := tx.PrepareContext(ctx, "INSERT INTO n (v) VALUES (?)")
			require.NoError(t, err)
			defer insert.Close()
			for i := range 10 {
				_, err := insert.ExecContext(ctx, i)
				require.NoError(t, err)
			}
			read, err := tx.PrepareContext(ctx, "SELECT v FROM n WHERE v >= ? ORDER BY v")
			require.NoError(t, err)
			defer read.Close()
			outer, err := read.QueryContext(ctx, 5)
			require.NoError(t, err)
			defer outer.Close()
			sum := 0
			for outer.Next() {
				var a, b int
				require.NoError(t, outer.Scan(&a))
				require.NoError(t, read.QueryRowContext(ctx, a).Scan(&b), "the same statement within its own rows")
				assert.Equal(t, a, b)
				sum += a
			}
			assert.Equal(t, 5+6+7+8+9, sum)
			return outer.Err()
		}))
		requireAtRest(t, p)
	})
}

func TestTransactionControlAsTextIsRefused(t *testing.T) {
	texts := []string{
		"BEGIN", "begin immediate", "BEGIN EXCLUSIVE TRANSACTION", "COMMIT", "END", "end transaction", "ROLLBACK", "ROLLBACK TRANSACTION",
		"SAVEPOINT mine", "RELEASE mine", "ROLLBACK TO mine", "/* so */ COMMIT -- there", " ;COMMIT;", "COMMIT; BEGIN", "UPDATE n SET v = 5; COMMIT",
		"EXPLAIN COMMIT", "SAVEPOINT sqlane_1", "RELEASE sqlane_1",
	}
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		for _, text := range texts {
			err := p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
				assert.NoError(t, do(ctx, tx, "UPDATE n SET v = 4"))
				return tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
					assert.ErrorIs(t, do(ctx, sp, text), pool.ErrTxControl, text)
					rows, err := sp.QueryContext(ctx, text)
					if assert.ErrorIs(t, err, pool.ErrTxControl, text) {
						assert.Nil(t, rows)
					}
					return do(ctx, sp, "UPDATE n SET v = v + 1")
				})
			})
			require.NoError(t, err, "the transaction is alive: %s", text)
			l, err := p.Acquire(ctx)
			require.NoError(t, err)
			require.ErrorIs(t, do(ctx, l, text), pool.ErrTxControl, text)
			l.Release()
		}
		require.EqualValues(t, 5, get(t, p, "SELECT v FROM n"))
		requireAtRest(t, p)
	})
}

func TestPreparingTransactionControlIsRefused(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		_, err := tx.PrepareContext(ctx, "COMMIT")
		assert.ErrorIs(t, err, pool.ErrTxControl)
		assert.ErrorContains(t, err, "COMMIT")
		s, err := tx.PrepareContext(ctx, "SELECT 1; COMMIT")
		if err == nil { // a script is compiled when it runs
			_, err = s.ExecContext(ctx)
			_ = s.Close()
		}
		assert.ErrorIs(t, err, pool.ErrTxControl)
		return do(ctx, tx, "UPDATE n SET v = 1")
	}))
	require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))
}

func TestPreparingTransactionControlIsRefusedAtOnce(t *testing.T) {
	p := open(t, pool.Config{})
	std, err := p.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, word := range []string{"BEGIN", "COMMIT", "END", "ROLLBACK"} {
		_, err := std.PrepareContext(t.Context(), word)
		require.ErrorIs(t, err, pool.ErrTxControl)
		require.ErrorContains(t, err, "instead of "+word)
	}
	for _, text := range []string{"SAVEPOINT mine", "RELEASE mine", "ROLLBACK TO mine"} {
		s, err := std.PrepareContext(t.Context(), text)
		require.NoError(t, err, "savepoints are allowed there")
		require.NoError(t, s.Close())
	}
	require.NoError(t, std.Rollback())
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		for _, text := range []string{"SAVEPOINT mine", "RELEASE mine", "ROLLBACK TO mine", "BEGIN", "COMMIT"} {
			_, err := tx.PrepareContext(ctx, text)
			require.ErrorIs(t, err, pool.ErrTxControl)
			word, _, _ := strings.Cut(text, " ")
			require.ErrorContains(t, err, "instead of "+word)
		}
		return nil
	}))
}

func TestVacuumIsNoTransactionControl(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		for _, text := range []string{"VACUUM", "ANALYZE", "REINDEX", "PRAGMA user_version = 3", "PRAGMA optimize"} {
			run(t, p, text)
		}
		require.EqualValues(t, 3, get(t, p, "PRAGMA user_version"))
		requireAtRest(t, p)
	})
}

func TestMaintenanceStatementsAreWriters(t *testing.T) {
	p := open(t, pool.Config{BusyTimeout: -1})
	ctx := t.Context()
	run(t, p, "CREATE INDEX by_v ON n (v)")
	for _, text := range []string{
		"VACUUM", "ANALYZE", "REINDEX", "PRAGMA user_version = 4", "SELECT * FROM pragma_optimize(0x10002)", "PRAGMA optimize(0x10002)",
		"UPDATE n SET v = 1 RETURNING v", "CREATE TABLE made (x)", "SELECT 1; DROP TABLE made",
	} {
		lineUp(t, p, func() { // it queues, so it waits for the write lane
			l, err := p.Acquire(ctx)
			if assert.NoError(t, err) {
				defer l.Release()
				rows, err := l.QueryContext(ctx, text)
				if assert.NoError(t, err, text) {
					for rows.Next() {
						continue
					}
					assert.NoError(t, rows.Err(), text)
					assert.NoError(t, rows.Close(), text)
				}
			}
		})
	}
	requireAtRest(t, p)
}

func TestAnUnmetDeferredForeignKeyFailsTheCommitAndLeavesNothing(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 2}, func(t *testing.T, p *pool.Pool) {
		for _, level := range levels {
			err := p.InTx(t.Context(), level, doing("INSERT INTO child VALUES (1, 99)"))
			require.Equal(t, dberr.ErrForeignKey, dberr.Kind(err), "%v", err)
			code, ok := pool.Code(err)
			require.True(t, ok)
			require.Equal(t, 787, code)
			tx, err := p.Begin(t.Context(), level)
			require.NoError(t, err)
			require.NoError(t, do(t.Context(), tx, "INSERT INTO child VALUES (1, 99)"))
			require.Equal(t, dberr.ErrForeignKey, dberr.Kind(tx.Commit(t.Context())))
			require.NoError(t, tx.Rollback(t.Context()))
		}
		require.Zero(t, get(t, p, "SELECT count(*) FROM child"))
		requireAtRest(t, p)
	})
}

func TestAViewReadsOneSnapshotAndWritesNothing(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
		before, err := number(ctx, tx, "SELECT v FROM n")
		require.NoError(t, err)
		run(t, p, "UPDATE n SET v = 77") // by another connection
		after, err := number(ctx, tx, "SELECT v FROM n")
		require.NoError(t, err)
		assert.Equal(t, before, after)
		for _, write := range []string{"UPDATE n SET v = 3", "UPDATE n SET v = 3 RETURNING v", "CREATE TABLE x (y)", "SELECT 1; UPDATE n SET v = 3", "VACUUM"} {
			assert.ErrorIs(t, do(ctx, tx, write), pool.ErrReadOnly, write)
			_, err := tx.QueryContext(ctx, write)
			assert.ErrorIs(t, err, pool.ErrReadOnly, write)
		}
		assert.NoError(t, tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
			assert.ErrorIs(t, do(ctx, sp, "UPDATE n SET v = 3"), pool.ErrReadOnly)
			_, err := number(ctx, sp, "SELECT v FROM n")
			return err
		}))
		assert.ErrorIs(t, p.Batch(ctx, doing("UPDATE n SET v = 3")), pool.ErrReadOnly)
		assert.ErrorIs(t, p.InTx(ctx, pool.Deferred, doing("UPDATE n SET v = 3")), pool.ErrReadOnly)
		return nil
	}))
	require.EqualValues(t, 77, get(t, p, "SELECT v FROM n"))
	requireAtRest(t, p)
}

func TestAViewInATransactionSeesItsWorkAndRefusesWritesMeanwhile(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			require.NoError(t, do(ctx, tx, "UPDATE n SET v = 5"))
			var late *pool.Tx
			assert.NoError(t, p.View(ctx, func(ctx context.Context, view *pool.Tx) error {
				late = view
				v, err := number(ctx, view, "SELECT v FROM n")
				assert.EqualValues(t, 5, v)
				assert.ErrorIs(t, do(ctx, view, "UPDATE n SET v = 6"), pool.ErrReadOnly)
				return err
			}))
			assert.ErrorIs(t, do(ctx, late, "SELECT 1"), pool.ErrTxDone)
			assert.Same(t, errOurs, p.View(ctx, func(context.Context, *pool.Tx) error { return errOurs }))
			assert.Panics(t, func() { _ = p.View(ctx, func(context.Context, *pool.Tx) error { panic(1) }) })
			return do(ctx, tx, "UPDATE n SET v = v + 1")
		}))
		require.EqualValues(t, 6, get(t, p, "SELECT v FROM n"))
		requireAtRest(t, p)
	})
}

func TestAForeignKeyMayBeUnmetUntilTheTransactionsEnd(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		for i, level := range levels {
			require.NoError(t, p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
				require.NoError(t, tx.Savepoint(ctx, doing("INSERT INTO child VALUES (?, ?)", i, i)), "at a savepoint's end")
				require.NoError(t, p.InTx(ctx, pool.Deferred, doing("SELECT 1")))
				require.NoError(t, p.View(ctx, doing("SELECT 1")), "at a view's")
				return do(ctx, tx, "INSERT INTO parent VALUES (?)", i)
			}))
		}
		require.EqualValues(t, len(levels), get(t, p, "SELECT count(*) FROM child"))
		requireAtRest(t, p)
	})
}

func TestAStaleDeferredWriterConflicts(t *testing.T) {
	p := open(t, pool.Config{})
	err := p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		_, err := number(ctx, tx, "SELECT v FROM n")
		require.NoError(t, err)
		run(t, p, "UPDATE n SET v = v + 1")
		return do(ctx, tx, "UPDATE n SET v = v + 10")
	})
	require.ErrorIs(t, err, pool.ErrConflict)
	require.True(t, pool.IsBusy(err))
	require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))
	require.EqualValues(t, 1, p.Stats().Conflicts)
	requireAtRest(t, p)
}

func TestARepeatableFunctionRunsAgainAndCannotLoseTwice(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 8}, func(t *testing.T, p *pool.Pool) {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				runs := 0
				assert.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
					runs++
					v, err := number(ctx, tx, "SELECT v FROM n WHERE id = 1")
					if err != nil {
						return err
					}
					return do(ctx, tx, "UPDATE n SET v = ? WHERE id = 1", v+1)
				}, pool.Repeatable()))
				assert.LessOrEqual(t, runs, 2)
			})
		}
		wg.Wait()
		require.EqualValues(t, 20, get(t, p, "SELECT v FROM n WHERE id = 1"), "no update is lost")
		s := p.Stats()
		require.Equal(t, s.Conflicts, s.Retries)
		requireAtRest(t, p)
	})
}

func TestADeferredTransactionThatWritesFirstNeverConflicts(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 8}, func(t *testing.T, p *pool.Pool) {
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				assert.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
					s, err := tx.PrepareContext(ctx, "UPDATE n SET v = v + 1 WHERE id = 1")
					if err != nil {
						return err
					}
					defer s.Close()
					_, err = s.ExecContext(ctx)
					return err
				}))
			})
		}
		wg.Wait()
		require.EqualValues(t, 50, get(t, p, "SELECT v FROM n WHERE id = 1"))
		require.Zero(t, p.Stats().Conflicts)
	})
}

func TestAWriteBesideItsOwnStaleRowsConflicts(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, "INSERT INTO n VALUES (2, 0), (3, 0)")
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	rows, err := l.QueryContext(t.Context(), "SELECT id FROM n")
	require.NoError(t, err)
	defer rows.Close()
	require.True(t, rows.Next())
	run(t, p, "UPDATE n SET v = 1")
	require.ErrorIs(t, do(t.Context(), l, "UPDATE n SET v = 2"), pool.ErrConflict)
	require.NoError(t, rows.Close())
	require.NoError(t, do(t.Context(), l, "UPDATE n SET v = 2"))
}

func TestWhatItsOwnTransactionHoldsIsNotWaitedFor(t *testing.T) {
	for _, conns := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(conns), func(t *testing.T) {
			everywhere(t, pool.Config{MaxConns: conns}, func(t *testing.T, p *pool.Pool) {
				require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
					require.NoError(t, do(ctx, tx, "UPDATE n SET v = 1"))
					_, err := p.Begin(ctx, pool.Immediate)
					assert.ErrorIs(t, err, pool.ErrDeadlock)
					assert.ErrorContains(t, err, "use that transaction")
					_, err = p.DB().ExecContext(ctx, "UPDATE n SET v = 9")
					assert.ErrorIs(t, err, pool.ErrDeadlock)
					l, err := p.Acquire(ctx)
					if conns == 1 {
						assert.ErrorIs(t, err, pool.ErrDeadlock)
						return nil
					}
					require.NoError(t, err)
					defer l.Release()
					assert.ErrorIs(t, do(ctx, l, "UPDATE n SET v = 9"), pool.ErrDeadlock)
					return nil
				}))
				require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))
				requireAtRest(t, p)
			})
		})
	}
}

func TestALeaseBesideItsOwnDeferredTransactionIsADeadlockOnlyWhereItIsOne(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2})
	require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, _ *pool.Tx) error {
		_, err := p.Acquire(ctx) // the only reading connection is this transaction's
		assert.ErrorIs(t, err, pool.ErrDeadlock)
		return nil
	}))
	p = open(t, pool.Config{MaxConns: 3})
	require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, _ *pool.Tx) error {
		l, err := p.Acquire(ctx)
		require.NoError(t, err)
		defer l.Release()
		return do(ctx, l, "UPDATE n SET v = 1")
	}))
}

func TestAFunctionsContextCarriesItsTransaction(t *testing.T) {
	p := open(t, pool.Config{})
	require.Nil(t, p.TxFromContext(t.Context()))
	elsewhere := open(t, pool.Config{})
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		assert.Same(t, tx, p.TxFromContext(ctx))
		assert.Nil(t, elsewhere.TxFromContext(ctx), "each pool has its own")
		assert.NoError(t, elsewhere.InTx(ctx, pool.Exclusive, doing("UPDATE n SET v = 3")))
		return nil
	}))
}

func TestARepeatableFunctionWhoseContextEndedIsNotRunAgainAndSaysSo(t *testing.T) {
	p := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	runs := 0
	err := p.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		runs++
		_, err := number(ctx, tx, "SELECT v FROM n")
		require.NoError(t, err)
		require.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = 7")))
		conflict := do(ctx, tx, "UPDATE n SET v = 1")
		require.ErrorIs(t, conflict, pool.ErrConflict)
		cancel()
		return conflict
	}, pool.Repeatable())
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, runs)
	requireAtRest(t, p)
}

func TestARepeatableFunctionIsRunOnceMoreAndNotForEver(t *testing.T) {
	p := open(t, pool.Config{})
	runs := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := p.InTx(ctx, pool.Deferred, func(context.Context, *pool.Tx) error {
		if runs++; runs == 100 {
			cancel()
		}
		return pool.ErrConflict // of another lease, or another pool
	}, pool.Repeatable())
	require.ErrorIs(t, err, pool.ErrConflict)
	require.Equal(t, 2, runs)
}
