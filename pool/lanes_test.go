package pool_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWritersAreServedInTheOrderOfAskingWhateverTheirKind(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 8, MinConns: 8, BusyTimeout: -1}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		insert := func(i int) string { return fmt.Sprintf("INSERT INTO heap VALUES (%d)", i) }
		kinds := []func(query string) error{
			func(q string) error { return p.Batch(ctx, doing(q)) },
			func(q string) error { return p.InTx(ctx, pool.Immediate, doing(q)) },
			func(q string) error { return p.InTx(ctx, pool.Deferred, doing(q)) },
			func(q string) error { return ways[0].run(ctx, p, q) },
			func(q string) error { return p.InTx(ctx, pool.Exclusive, doing(q)) },
			func(q string) error { return p.Batch(ctx, doing(q)) },
			func(q string) error { return ways[len(ways)-1].run(ctx, p, q) },
		}
		var queue []func()
		for i, kind := range kinds {
			queue = append(queue, func() { assert.NoError(t, kind(insert(i))) })
		}
		lineUp(t, p, queue...)
		require.EqualValues(t, len(kinds), get(t, p, "SELECT count(*) FROM heap"))
		l, err := p.Acquire(ctx)
		require.NoError(t, err)
		defer l.Release()
		var order string
		require.NoError(t, l.QueryRowContext(ctx, "SELECT group_concat(b, ' ' ORDER BY rowid) FROM heap").Scan(&order))
		l.Release()
		require.Equal(t, "0 1 2 3 4 5 6", order)
		requireAtRest(t, p)
	})
}

func TestAReaderIsNotInTheWriterWay(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
		_, err := number(ctx, tx, "SELECT v FROM n")
		require.NoError(t, err)
		assert.NoError(t, p.InTx(t.Context(), pool.Exclusive, doing("UPDATE n SET v = 1")))
		rows, err := tx.QueryContext(ctx, "SELECT v FROM n")
		require.NoError(t, err)
		defer rows.Close()
		return p.Batch(t.Context(), doing("UPDATE n SET v = 2"))
	}))
}

func TestReturningRowsHoldTheWriteLaneUntilTheyAreClosed(t *testing.T) {
	everywhere(t, pool.Config{BusyTimeout: -1}, func(t *testing.T, p *pool.Pool) {
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		rows, err := l.QueryContext(t.Context(), "INSERT INTO n VALUES (2, 0), (3, 0) RETURNING id")
		require.NoError(t, err)
		require.True(t, rows.Next())
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = 9"))) })
		waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 })
		require.NoError(t, rows.Close())
		wg.Wait()
		l.Release()
		require.EqualValues(t, 27, get(t, p, "SELECT sum(v) FROM n"))
		requireAtRest(t, p)
	})
}

func TestWhereReadersExcludeTheWriterItWaitsForThem(t *testing.T) {
	for _, cfg := range []pool.Config{{Path: pool.Memory, BusyTimeout: -1}, {JournalMode: "delete", BusyTimeout: -1}} {
		p := open(t, cfg)
		reader, err := p.Begin(t.Context(), pool.Deferred)
		require.NoError(t, err)
		_, err = number(t.Context(), reader, "SELECT v FROM n")
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1"))) })
		waitFor(t, "the writer queues", func() bool { return p.Stats().WriteQueue == 1 })
		v, err := number(t.Context(), reader, "SELECT v FROM n")
		require.NoError(t, err)
		require.Zero(t, v, "still the snapshot")
		require.NoError(t, reader.Commit(t.Context()))
		wg.Wait()
		require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))
		requireAtRest(t, p)
	}
}

func TestWhereReadersExcludeTheWriterASecondUpgraderConflictsAtOnce(t *testing.T) {
	p := open(t, pool.Config{Path: pool.Memory})
	ctx := t.Context()
	begin := func() *pool.Tx {
		tx, err := p.Begin(ctx, pool.Deferred)
		require.NoError(t, err)
		_, err = number(ctx, tx, "SELECT v FROM n")
		require.NoError(t, err)
		return tx
	}
	a, b := begin(), begin()
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, do(ctx, a, "UPDATE n SET v = v + 1")) })
	waitFor(t, "a waits for b", func() bool { return p.Stats().WriteQueue == 1 })
	require.ErrorIs(t, do(ctx, b, "UPDATE n SET v = v + 1"), pool.ErrConflict)
	_, err := number(ctx, b, "SELECT v FROM n")
	require.NoError(t, err, "b is alive and may go on reading")
	require.NoError(t, b.Rollback(ctx))
	wg.Wait()
	require.NoError(t, a.Commit(ctx))
	require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))
	requireAtRest(t, p)
}

func TestAnotherProcessesLockIsWaitedFor(t *testing.T) {
	besideOthers(t) // for it waits
	for _, mode := range []string{"wal", "delete"} {
		path := filepath.Join(t.TempDir(), "app.db")
		p := open(t, pool.Config{Path: path, JournalMode: pool.JournalMode(mode), BusyTimeout: time.Minute, MaxConns: 12, MinConns: 12})
		o := startOther(t, path)
		for _, way := range ways {
			if way.name == "row" { // its UPDATE returns none
				continue
			}
			t.Run(mode+"/"+way.name, func(t *testing.T) {
				o.do("BEGIN IMMEDIATE")
				o.do("UPDATE n SET v = v + 1")
				var wg sync.WaitGroup
				started := make(chan struct{})
				wg.Go(func() {
					close(started)
					assert.NoError(t, way.run(t.Context(), p, "UPDATE n SET v = v + 1"))
				})
				<-started
				o.do("COMMIT")
				wg.Wait()
			})
		}
		require.EqualValues(t, 2*(len(ways)-1), get(t, p, "SELECT v FROM n"))
		requireAtRest(t, p)
	}
}

func TestAnotherProcessesLockIsBusyInTheEndAndThePoolRecovers(t *testing.T) {
	besideOthers(t) // for it waits
	for _, mode := range []string{"wal", "delete"} {
		for _, patience := range []time.Duration{-1, 20 * time.Millisecond} {
			path := filepath.Join(t.TempDir(), "app.db")
			p := open(t, pool.Config{Path: path, JournalMode: pool.JournalMode(mode), BusyTimeout: patience})
			o := startOther(t, path)
			for _, way := range ways {
				if way.name == "row" {
					continue
				}
				t.Run(mode+"/"+way.name, func(t *testing.T) {
					o.do("BEGIN IMMEDIATE")
					err := way.run(t.Context(), p, "UPDATE n SET v = v + 1")
					require.ErrorIs(t, err, pool.ErrBusy)
					require.True(t, pool.IsBusy(err))
					require.ErrorContains(t, err, path)
					o.do("COMMIT")
					require.NoError(t, way.run(t.Context(), p, "UPDATE n SET v = v + 1"))
				})
			}
			require.EqualValues(t, len(ways)-1, get(t, p, "SELECT v FROM n"))
			requireAtRest(t, p)
		}
	}
}

func TestACommitOutsideWALWaitsForAnotherProcessesReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: "delete", BusyTimeout: time.Hour})
	reader, probe := startOther(t, path), startOther(t, path)
	probe.do("PRAGMA busy_timeout = 0")
	for _, way := range ways {
		if !slices.Contains([]string{"deferred", "immediate", "batch"}, way.name) {
			continue
		}
		reader.do("BEGIN")
		reader.do("SELECT v FROM n")
		committed := make(chan struct{})
		go func() {
			defer close(committed)
			assert.NoError(t, way.run(t.Context(), p, "UPDATE n SET v = v + 1"), way.name)
		}()
		waitFor(t, "it has tried to commit: new readers are kept out", func() bool { return probe.try("SELECT v FROM n") != "ok" || isDone(committed) })
		reader.do("COMMIT")
		<-committed
	}
	require.EqualValues(t, 3, get(t, p, "SELECT v FROM n"))
	requireAtRest(t, p)
}

func TestAScriptHasTheWriteLaneFromItsFirstStatementToItsLast(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		other := make(chan struct{})
		between := onSignal(t, func() {
			go func() {
				defer close(other)
				assert.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = v * 10")))
			}()
			assert.Eventually(t, func() bool { return p.Stats().WriteQueue == 1 || isDone(other) }, time.Minute, time.Millisecond)
		})
		require.NoError(t, do(t.Context(), l, "UPDATE n SET v = 1; SELECT signal('"+between+"'); UPDATE n SET v = v + 1"))
		<-other
		l.Release()
		require.EqualValues(t, 20, get(t, p, "SELECT v FROM n"))
		requireAtRest(t, p)
	})
}

func TestAScriptOfOnConnectLeavesItsPlaceBesideTheWriter(t *testing.T) {
	for _, mode := range []string{"delete", "memory"} { // where a connection that is set up reads, and the writer waits
		t.Run(mode, func(t *testing.T) {
			var p *pool.Pool
			var opened atomic.Int32
			other := make(chan struct{})
			p = open(t, inMode(mode, pool.Config{HealthCheckInterval: -1, OnConnect: func(ctx context.Context, conn *pool.Lease) error {
				if opened.Add(1) == 1 {
					return nil // the writer's
				}
				if err := do(ctx, conn, "SELECT 1; SELECT 2"); err != nil || p == nil {
					return err
				}
				go func() {
					defer close(other)
					assert.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = 1")))
				}()
				assert.Eventually(t, func() bool { return p.Stats().WriteQueue == 1 || isDone(other) }, time.Minute, time.Millisecond)
				assert.False(t, isDone(other))
				return do(ctx, conn, "SELECT count(*) FROM sqlite_schema")
			}}))
			l, more := acquire(t, p), acquire(t, p)
			<-other
			more.Release()
			l.Release()
			require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))
			requireAtRest(t, p)
		})
	}
}

func TestADeferredTransactionThatReadFirstWaitsForAnotherProcessesLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, BusyTimeout: time.Minute})
	o := startOther(t, path)
	require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		_, err := number(ctx, tx, "SELECT v FROM n")
		require.NoError(t, err)
		o.do("BEGIN IMMEDIATE")
		done := make(chan error)
		go func() { done <- do(ctx, tx, "UPDATE n SET v = 1") }()
		o.do("ROLLBACK")
		return <-done
	}))
	require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))

	err := p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		_, err := number(ctx, tx, "SELECT v FROM n")
		require.NoError(t, err)
		o.do("UPDATE n SET v = 7")
		return do(ctx, tx, "UPDATE n SET v = 1")
	})
	require.ErrorIs(t, err, pool.ErrConflict, "another process's commit makes it stale just as well")
	requireAtRest(t, p)
}

// The other process could not commit before this one's read is over: both would
// wait until one's BusyTimeout.
func TestOutsideWALAReaderThatWouldWriteIsNoDeadlockWithAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: "delete", BusyTimeout: time.Hour})
	o := startOther(t, path)
	runs := 0
	var wg sync.WaitGroup
	readThenWrite := func(ctx context.Context, tx *pool.Tx) error {
		runs++
		if _, err := number(ctx, tx, "SELECT v FROM n"); err != nil {
			return err
		}
		if runs == 1 {
			o.do("BEGIN IMMEDIATE")
			o.do("UPDATE n SET v = v + 1")
		}
		err := do(ctx, tx, "UPDATE n SET v = v + 1")
		if runs == 1 {
			wg.Go(func() { o.do("COMMIT") })
		}
		return err
	}
	err := p.InTx(t.Context(), pool.Deferred, readThenWrite)
	require.ErrorIs(t, err, pool.ErrConflict)
	require.NotErrorIs(t, err, pool.ErrBusy)
	require.ErrorContains(t, err, path)
	wg.Wait()
	require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))

	runs = 0
	require.NoError(t, p.InTx(t.Context(), pool.Deferred, readThenWrite, pool.Repeatable()))
	wg.Wait()
	require.Equal(t, 2, runs)
	require.EqualValues(t, 3, get(t, p, "SELECT v FROM n"))

	lease, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer lease.Release()
	rows, err := lease.QueryContext(t.Context(), "SELECT 1 FROM n UNION ALL SELECT 2")
	require.NoError(t, err)
	require.True(t, rows.Next())
	o.do("BEGIN IMMEDIATE")
	require.ErrorIs(t, do(t.Context(), lease, "UPDATE n SET v = v + 1"), pool.ErrConflict, "so is a write beside rows of the same lease")
	require.NoError(t, rows.Close())
	o.do("ROLLBACK")
	require.NoError(t, do(t.Context(), lease, "UPDATE n SET v = v + 1"))
}

func TestOpeningAConnectionWithinTheWriterIsADeadlockAtOnce(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 3, AcquireTimeout: 3 * time.Second}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		full := p.Stats().Open
		require.Less(t, full, 3, "there is one to open")
		require.NoError(t, p.InTx(ctx, pool.Immediate, func(inner context.Context, _ *pool.Tx) error {
			for range full { // the idle one, and then one that is opened
				l, err := p.Acquire(inner)
				if err == nil {
					defer l.Release()
					continue
				}
				require.ErrorIs(t, err, pool.ErrDeadlock)
			}
			return nil
		}))
		require.Zero(t, p.Stats().Timeouts)
		l, err := p.Acquire(ctx)
		require.NoError(t, err, "the read lane did not shrink")
		l.Release()
	})
}

func TestAContextOutlivesItsTransactionWithoutBeingADeadlock(t *testing.T) {
	for _, level := range levels {
		everywhere(t, pool.Config{MaxConns: 2}, func(t *testing.T, p *pool.Pool) {
			var old context.Context
			require.NoError(t, p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
				old = ctx
				return do(ctx, tx, "UPDATE n SET v = v + 1")
			}))
			l, err := p.Acquire(old)
			require.NoError(t, err)
			require.NoError(t, do(old, l, "UPDATE n SET v = v + 1"))
			l.Release()
			tx, err := p.Begin(old, level)
			require.NoError(t, err)
			require.NoError(t, tx.Commit(old))
			require.ErrorIs(t, p.InTx(old, pool.Deferred, doing("SELECT 1")), pool.ErrTxDone, "joining it is another thing")
			requireAtRest(t, p)
		})
	}
}

func TestATimeoutForTheWriteLaneNamesWhateverKindOfHolderByItsLabel(t *testing.T) {
	soonBesideOthers(t)
	inTurn(t, pool.Config{AcquireTimeout: 10 * time.Millisecond}, func(t *testing.T, p *pool.Pool) {
		refused := func(label string) {
			t.Helper()
			err := p.InTx(t.Context(), pool.Immediate, doing("SELECT 1"))
			require.ErrorIs(t, err, pool.ErrAcquireTimeout)
			require.ErrorContains(t, err, label)
			require.ErrorContains(t, err, "TestATimeoutForTheWriteLane")
		}
		l, err := p.Acquire(pool.WithLabel(t.Context(), "a lease with rows"))
		require.NoError(t, err)
		rows, err := l.QueryContext(t.Context(), "INSERT INTO n(v) VALUES (1), (2) RETURNING id")
		require.NoError(t, err)
		refused("a lease with rows")
		require.NoError(t, rows.Close())
		l.Release()

		tx, err := p.Begin(pool.WithLabel(t.Context(), "a late writer"), pool.Deferred)
		require.NoError(t, err)
		require.NoError(t, do(t.Context(), tx, "UPDATE n SET v = 1"))
		refused("a late writer")
		require.NoError(t, tx.Rollback(t.Context()))

		require.NoError(t, p.Batch(pool.WithLabel(t.Context(), "a batch"), func(context.Context, *pool.Tx) error {
			refused("a batch")
			return nil
		}))
		requireAtRest(t, p)
	})
}

func TestWhereTheJournalStaysWritersAndReadersStillTakeTurns(t *testing.T) {
	for _, mode := range []string{"truncate", "persist"} {
		t.Run(mode, func(t *testing.T) {
			p := open(t, pool.Config{JournalMode: pool.JournalMode(mode), BusyTimeout: -1, MaxConns: 4, MinConns: 4})
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					assert.NoError(t, p.InTx(t.Context(), levels[i%3], func(ctx context.Context, tx *pool.Tx) error {
						v, err := number(ctx, tx, "SELECT v FROM n WHERE id = 1")
						if err != nil {
							return err
						}
						return do(ctx, tx, "UPDATE n SET v = ? WHERE id = 1", v+1)
					}, pool.Repeatable()))
					assert.NoError(t, p.View(t.Context(), doing("SELECT count(*) FROM n")))
				})
			}
			wg.Wait()
			require.EqualValues(t, 8, get(t, p, "SELECT v FROM n WHERE id = 1"))
			requireAtRest(t, p)
		})
	}
}
