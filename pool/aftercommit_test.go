package pool_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// notes are what functions note down when they are called.
type notes []string

func (n *notes) note(what string) func() { return func() { *n = append(*n, what) } }

func TestFunctionsAreCalledAfterTheCommitInTheirOrder(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		ways := map[string]func(fn func(context.Context, *pool.Tx) error) error{
			"InTx":     func(fn func(context.Context, *pool.Tx) error) error { return p.InTx(ctx, pool.Immediate, fn) },
			"deferred": func(fn func(context.Context, *pool.Tx) error) error { return p.InTx(ctx, pool.Deferred, fn) },
			"repeatable": func(fn func(context.Context, *pool.Tx) error) error {
				return p.InTx(ctx, pool.Deferred, fn, pool.Repeatable())
			},
			"Batch": func(fn func(context.Context, *pool.Tx) error) error { return p.Batch(ctx, fn) },
			"Begin": func(fn func(context.Context, *pool.Tx) error) error {
				tx, err := p.Begin(ctx, pool.Immediate)
				if err == nil {
					err = fn(ctx, tx)
				}
				if err != nil {
					return err
				}
				return tx.Commit(ctx)
			},
		}
		for name, way := range ways {
			before := get(t, p, "SELECT v FROM n")
			var called notes
			require.NoError(t, way(func(ctx context.Context, tx *pool.Tx) error {
				tx.AfterCommit(called.note("first"))
				require.NoError(t, do(ctx, tx, "UPDATE n SET v = v + 1"))
				require.NoError(t, tx.Savepoint(ctx, func(ctx context.Context, tx *pool.Tx) error {
					tx.AfterCommit(called.note("in a savepoint"))
					return tx.Savepoint(ctx, func(_ context.Context, tx *pool.Tx) error {
						tx.AfterCommit(called.note("in one within"))
						return nil
					})
				}))
				require.Same(t, errOurs, tx.Savepoint(ctx, func(ctx context.Context, tx *pool.Tx) error {
					tx.AfterCommit(called.note("undone"))
					require.NoError(t, tx.Savepoint(ctx, func(_ context.Context, tx *pool.Tx) error {
						tx.AfterCommit(called.note("undone with the one around it"))
						return nil
					}))
					return errOurs
				}))
				tx.AfterCommit(func() { // the write lane is free, and the work durable
					require.NoError(t, p.InTx(t.Context(), pool.Exclusive, doing("UPDATE n SET v = v + 1")))
					require.Equal(t, before+2, get(t, p, "SELECT v FROM n"))
					called.note("last")()
				})
				require.Empty(t, called)
				return nil
			}), name)
			require.Equal(t, notes{"first", "in a savepoint", "in one within", "last"}, called, name)
		}
		requireAtRest(t, p)
	})
}

func TestNoFunctionIsCalledAfterWorkThatIsUndone(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		var called notes
		fails := func(_ context.Context, tx *pool.Tx) error {
			tx.AfterCommit(called.note("failed"))
			return errOurs
		}
		require.Same(t, errOurs, p.InTx(ctx, pool.Immediate, fails))
		require.Same(t, errOurs, p.Batch(ctx, fails))
		require.Same(t, errOurs, p.View(ctx, fails))
		require.Error(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			tx.AfterCommit(called.note("owes a parent"))
			return do(ctx, tx, "INSERT INTO child (parent) VALUES (99)")
		}))
		require.ErrorIs(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			tx.AfterCommit(called.note("lost"))
			_ = do(ctx, tx, "INSERT INTO n (v) VALUES (-13)")
			tx.AfterCommit(called.note("lost before"))
			return nil
		}), pool.ErrTxLost)
		over, cancel := context.WithCancel(ctx)
		require.ErrorIs(t, p.InTx(over, pool.Immediate, func(_ context.Context, tx *pool.Tx) error {
			tx.AfterCommit(called.note("cancelled"))
			cancel()
			return nil
		}), context.Canceled)
		require.PanicsWithValue(t, "ours", func() {
			_ = p.InTx(ctx, pool.Immediate, func(_ context.Context, tx *pool.Tx) error {
				tx.AfterCommit(called.note("panicked"))
				panic("ours")
			})
		})
		tx, err := p.Begin(ctx, pool.Immediate)
		require.NoError(t, err)
		tx.AfterCommit(called.note("rolled back"))
		require.NoError(t, tx.Rollback(ctx))
		tx.AfterCommit(called.note("registered after the end"))
		require.Error(t, tx.Commit(ctx))
		require.NoError(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, outer *pool.Tx) error {
			tx = outer
			var inner *pool.Tx
			err := outer.Savepoint(ctx, func(_ context.Context, tx *pool.Tx) error {
				inner = tx
				return nil
			})
			inner.AfterCommit(called.note("registered after the savepoint's end"))
			return err
		}))
		tx.AfterCommit(called.note("registered after the commit"))
		require.Empty(t, called)
		requireAtRest(t, p)
	})
}

func TestAFunctionIsCalledOnceThoughWhatRegistersItRunsTwice(t *testing.T) {
	p := open(t, pool.Config{})
	var called notes
	runs := 0
	require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		tx.AfterCommit(called.note("repeated"))
		if _, err := number(ctx, tx, "SELECT v FROM n"); err != nil {
			return err
		}
		if runs++; runs == 1 {
			require.NoError(t, send(t.Context(), p, "UPDATE n SET v = v + 1"))
		}
		return do(ctx, tx, "UPDATE n SET v = v + 1")
	}, pool.Repeatable()))
	require.Equal(t, 2, runs)
	require.Equal(t, notes{"repeated"}, called)

	// The second member loses the transaction, and with it the first one's work.
	called, runs = nil, 0
	var first, second error
	lineUp(t, p, func() {
		first = p.Batch(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			runs++
			tx.AfterCommit(called.note("batched"))
			return do(ctx, tx, insert, 70)
		})
	}, func() {
		second = p.Batch(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			tx.AfterCommit(func() { panic("never") })
			return do(ctx, tx, "INSERT INTO n (v) VALUES (-13)")
		})
	})
	require.NoError(t, first)
	require.Error(t, second)
	require.Equal(t, 2, runs)
	require.Equal(t, notes{"batched"}, called)
	requireAtRest(t, p)
}

func TestEachMemberOfABatchHasItsFunctionsCalledBeforeItReturns(t *testing.T) {
	p := open(t, pool.Config{})
	called := make([]notes, 3)
	members := make([]func(), len(called))
	for i := range members {
		members[i] = func() {
			err := p.Batch(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
				tx.AfterCommit(func() {
					require.NotZero(t, get(t, p, "SELECT count(*) FROM n WHERE id = ?", 100+i))
					called[i].note("own")()
				})
				return do(ctx, tx, insert, 100+i)
			})
			require.NoError(t, err)
			require.Equal(t, notes{"own"}, called[i])
		}
	}
	lineUp(t, p, members...)
	require.EqualValues(t, 1, p.Stats().Batches)
	requireAtRest(t, p)
}

func TestAPanicAfterTheCommitReachesTheCallerAndUndoesNothing(t *testing.T) {
	p := open(t, pool.Config{})
	for name, way := range map[string]func(fn func(context.Context, *pool.Tx) error) error{
		"InTx":  func(fn func(context.Context, *pool.Tx) error) error { return p.InTx(t.Context(), pool.Immediate, fn) },
		"Batch": func(fn func(context.Context, *pool.Tx) error) error { return p.Batch(t.Context(), fn) },
	} {
		var called notes
		before := get(t, p, "SELECT v FROM n")
		registers := func(end func()) func(context.Context, *pool.Tx) error {
			return func(ctx context.Context, tx *pool.Tx) error {
				tx.AfterCommit(called.note("before"))
				tx.AfterCommit(end)
				tx.AfterCommit(called.note("after"))
				return do(ctx, tx, "UPDATE n SET v = v + 1")
			}
		}
		require.PanicsWithValue(t, "ours", func() { _ = way(registers(func() { panic("ours") })) }, name)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = way(registers(runtime.Goexit))
			called.note("returned")()
		}()
		<-done
		require.Equal(t, notes{"before", "after", "before", "after"}, called, name)
		require.Equal(t, before+2, get(t, p, "SELECT v FROM n"), name)
	}
	requireAtRest(t, p)
}

func TestAViewsFunctionsAreCalledAtItsEnd(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		var called notes
		view := func(ctx context.Context, name string) error {
			return p.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
				tx.AfterCommit(called.note(name))
				require.Empty(t, called)
				_, err := number(ctx, tx, "SELECT v FROM n")
				return err
			})
		}
		require.NoError(t, view(ctx, "alone"))
		require.Equal(t, notes{"alone"}, called)
		called = nil
		require.NoError(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
			err := view(ctx, "within")
			require.Empty(t, called)
			return err
		}))
		require.Equal(t, notes{"within"}, called)
		require.Same(t, errOurs, p.InTx(ctx, pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
			called = nil
			require.NoError(t, view(ctx, "undone"))
			return errOurs
		}))
		require.Empty(t, called)
	})
}

func TestAStoresTransactionCallsFunctionsAfterItsCommit(t *testing.T) {
	p := open(t, pool.Config{})
	var s pool.Store = p
	var called notes
	require.NoError(t, s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
		require.Same(t, errOurs, tx.Savepoint(ctx, func(_ context.Context, tx pool.StoreTx) error {
			tx.AfterCommit(called.note("undone"))
			return errOurs
		}))
		tx.AfterCommit(called.note("kept"))
		return nil
	}))
	require.Equal(t, notes{"kept"}, called)
}

func TestNoFunctionToBeCalledIsNone(t *testing.T) {
	p := open(t, pool.Config{})
	var called notes
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(_ context.Context, tx *pool.Tx) error {
		tx.AfterCommit(nil)
		tx.AfterCommit(called.note("after it"))
		return nil
	}))
	require.Equal(t, notes{"after it"}, called)
}
