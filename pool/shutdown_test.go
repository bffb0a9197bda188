package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requireClosed sees that every way in answers ErrClosed.
func requireClosed(t *testing.T, p *pool.Pool) {
	t.Helper()
	ctx := t.Context()
	never := func(context.Context, *pool.Tx) error { t.Error("it ran"); return nil }
	_, acquired := p.Acquire(ctx)
	_, begun := p.Begin(ctx, pool.Deferred)
	for _, err := range []error{
		acquired, begun, p.InTx(ctx, pool.Immediate, never), p.InTx(ctx, pool.Deferred, never), p.Batch(ctx, never), p.View(ctx, never),
	} {
		require.ErrorIs(t, err, pool.ErrClosed)
	}
	_, err := p.DB().ExecContext(ctx, "SELECT 1")
	require.Error(t, err)
	require.Zero(t, p.Stats().Open)
}

func TestNothingLiesBesideTheDatabaseAfterClose(t *testing.T) {
	byItself(t)
	before := descriptors(t)
	dir := t.TempDir()
	p := open(t, pool.Config{Path: filepath.Join(dir, "app.db"), MaxConns: 6, MinConns: 4})
	require.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")))
	require.Len(t, names(t, dir), 3)
	require.NoError(t, p.Close())
	require.Equal(t, []string{"app.db"}, names(t, dir))
	require.Equal(t, before, descriptors(t))
	require.NoError(t, p.Close(), "a second time")
	require.NoError(t, p.Shutdown(t.Context()))
	requireClosed(t, p)
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// descriptors are the regular files that this process has open.
func descriptors(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // no such thing on this system
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err == nil && filepath.IsAbs(target) && filepath.Ext(target) != "" {
			n++
		}
	}
	return n
}

func TestWhatWouldWaitForItsOwnTransactionIsNoNewWorkUnlessItIs(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3})
	l := acquire(t, p)
	shut := make(chan error, 1)
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		_, err := p.Begin(ctx, pool.Immediate)
		require.ErrorIs(t, err, pool.ErrDeadlock)
		go func() { shut <- p.Shutdown(t.Context()) }()
		waitFor(t, "new work is refused", func() bool {
			l, err := p.Acquire(t.Context())
			if err == nil {
				l.Release()
			}
			return errors.Is(err, pool.ErrClosed)
		})
		_, err = p.Begin(ctx, pool.Immediate)
		require.ErrorIs(t, err, pool.ErrClosed, "whatever it would wait for")
		require.ErrorIs(t, do(ctx, l, "UPDATE n SET v = 1"), pool.ErrDeadlock, "a lease that is there already goes on")
		return do(ctx, tx, "UPDATE n SET v = 2")
	}))
	require.NoError(t, do(t.Context(), l, "UPDATE n SET v = v + 1"))
	l.Release()
	require.NoError(t, <-shut)
}

func TestAContextThatOutlivesItsTransactionMayShutThePoolDown(t *testing.T) {
	p := open(t, pool.Config{})
	var kept context.Context
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
		require.ErrorIs(t, p.Shutdown(ctx), pool.ErrDeadlock)
		kept = ctx
		return nil
	}))
	require.NoError(t, p.Shutdown(kept))
}

func TestShutdownWaitsForWhatRunsAndWakesWhatWaits(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 2, MinConns: 2}, func(t *testing.T, p *pool.Pool) {
		var wg sync.WaitGroup
		lease, err := p.Acquire(t.Context())
		require.NoError(t, err)
		running, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		never := func(context.Context, *pool.Tx) error { t.Error("it ran"); return nil }
		wg.Go(func() { assert.ErrorIs(t, p.Batch(t.Context(), never), pool.ErrClosed) })
		wg.Go(func() { assert.ErrorIs(t, p.InTx(t.Context(), pool.Exclusive, never), pool.ErrClosed) })
		wg.Go(func() { _, err := p.Acquire(t.Context()); assert.ErrorIs(t, err, pool.ErrClosed) })
		waitFor(t, "three wait", func() bool { return p.Stats().Waiting == 3 })
		var shut sync.WaitGroup
		for range 3 {
			shut.Go(func() { assert.NoError(t, p.Shutdown(t.Context())) })
		}
		wg.Wait()
		_, err = p.Acquire(t.Context())
		require.ErrorIs(t, err, pool.ErrClosed)
		require.NoError(t, do(t.Context(), running, "UPDATE n SET v = 1"), "it may finish")
		require.NoError(t, running.Commit(t.Context()))
		_, err = number(t.Context(), lease, "SELECT v FROM n")
		require.NoError(t, err)
		lease.Release()
		shut.Wait()
		requireClosed(t, p)
	})
}

func TestShutdownInterruptsWhatRunsWhenItsPatienceIsOver(t *testing.T) {
	besideOthers(t) // for it takes long
	for _, query := range []string{"", "INSERT INTO n (v) "} {
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					query := query + endless(onSignal(t, cancel))
					var wg sync.WaitGroup
					wg.Go(func() { assert.ErrorIs(t, way.run(t.Context(), p, query), pool.ErrClosed) })
					<-ctx.Done() // it runs
					require.ErrorIs(t, p.Shutdown(ctx), context.Canceled)
					wg.Wait()
					requireClosed(t, p)
				})
			})
		}
	}
}

func TestAFunctionStuckBeyondShutdownCannotCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	for _, level := range levels {
		p := open(t, pool.Config{Path: path})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := p.InTx(t.Context(), level, func(inner context.Context, tx *pool.Tx) error {
			require.NoError(t, do(inner, tx, "UPDATE n SET v = 9"))
			rows, err := tx.QueryContext(inner, "SELECT 1 UNION SELECT 2")
			require.NoError(t, err)
			require.True(t, rows.Next())
			s, err := tx.PrepareContext(inner, "SELECT 1")
			require.NoError(t, err)
			assert.ErrorIs(t, p.Shutdown(ctx), context.Canceled)
			assert.ErrorIs(t, do(inner, tx, "UPDATE n SET v = 10"), pool.ErrClosed)
			_, err = s.Exec()
			assert.ErrorIs(t, err, pool.ErrClosed)
			_, err = number(inner, tx, "SELECT v FROM n")
			assert.ErrorIs(t, err, pool.ErrClosed)
			assert.False(t, rows.Next())
			assert.ErrorIs(t, rows.Err(), pool.ErrClosed)
			assert.NoError(t, rows.Close())
			assert.ErrorIs(t, tx.Savepoint(inner, doing("SELECT 1")), pool.ErrClosed)
			return nil
		})
		require.ErrorIs(t, err, pool.ErrClosed)
		q, err := pool.Open(t.Context(), pool.Config{Path: path})
		require.NoError(t, err)
		require.Zero(t, get(t, q, "SELECT v FROM n"))
		run(t, q, "DROP TABLE n; DROP TABLE heap; DROP TABLE child; DROP TABLE parent; DROP TABLE ruled")
		require.NoError(t, q.Close())
	}
}

func TestALeaseHeldBeyondCloseAnswersWithAnError(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		l, err := p.Acquire(ctx)
		require.NoError(t, err)
		s, err := l.PrepareContext(ctx, "SELECT v FROM n")
		require.NoError(t, err)
		tx, err := p.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		require.NoError(t, err)
		rows, err := tx.Query("SELECT 1 UNION SELECT 2")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.NoError(t, p.Close())
		require.ErrorIs(t, do(ctx, l, "UPDATE n SET v = 1"), pool.ErrClosed)
		_, err = s.Query()
		require.Error(t, err) // database/sql's own
		require.NoError(t, s.Close())
		l.Release()
		require.False(t, rows.Next())
		require.Error(t, rows.Err())
		require.NoError(t, rows.Close())
		require.Error(t, tx.Commit())
		requireClosed(t, p)
	})
}

func TestCloseRacesWithEverything(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 4}, func(t *testing.T, p *pool.Pool) {
		var wg sync.WaitGroup
		begun := make(chan struct{}, 1000)
		for g := range 20 {
			wg.Go(func() {
				for {
					err := ways[g%len(ways)].run(t.Context(), p, "UPDATE n SET v = v + 1 RETURNING v")
					if err != nil && (p.Stats().Open == 0 || isClosedError(err)) {
						return
					}
					if !assert.NoError(t, err) {
						return
					}
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 50 {
			<-begun
		}
		wg.Go(func() { assert.NoError(t, p.Close()) })
		assert.NoError(t, p.Close())
		wg.Wait()
		requireClosed(t, p)
	})
}

func isClosedError(err error) bool {
	return assert.ObjectsAreEqual("sql: database is closed", err.Error()) || assertIs(err, pool.ErrClosed)
}

func TestAQueryInFlightWhileThePoolClosesIsErrClosedWhicheverMomentItIs(t *testing.T) {
	besideOthers(t) // for it takes long
	for range rounds.Of(10, 30, 100) {
		p := open(t, pool.Config{MaxConns: 4})
		var wg sync.WaitGroup
		for range 3 {
			l, err := p.Acquire(t.Context())
			require.NoError(t, err)
			wg.Go(func() {
				for err == nil {
					_, err = number(t.Context(), l, "SELECT v FROM n")
				}
				assert.ErrorIs(t, err, pool.ErrClosed)
				l.Release()
			})
		}
		require.NoError(t, p.Close())
		wg.Wait()
	}
}

func TestNewWorkOfATransactionIsRefusedWhileItDrains(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 2}, func(t *testing.T, p *pool.Pool) {
		shut := make(chan error, 1)
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			go func() { shut <- p.Shutdown(t.Context()) }()
			waitFor(t, "the pool refuses", func() bool {
				l, err := p.Acquire(t.Context())
				if err == nil {
					l.Release()
				}
				return errors.Is(err, pool.ErrClosed)
			})
			_, err := p.Begin(ctx, pool.Immediate)
			require.ErrorIs(t, err, pool.ErrClosed, "not that it would wait for itself")
			return do(ctx, tx, "UPDATE n SET v = 1")
		}))
		require.NoError(t, <-shut)
	})
}

func TestCloseEndsAShutdownThatWaitsForLeases(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	ended := make(chan error)
	go func() { ended <- p.Shutdown(context.Background()) }()
	waitFor(t, "it has begun", func() bool {
		other, err := p.Acquire(t.Context())
		if err == nil {
			other.Release()
		}
		return err != nil
	})
	require.NoError(t, p.Close())
	require.NoError(t, <-ended) // waited for the lease, which the closed pool would not even reclaim
}

func TestAfterTheLastCloseNothingLiesBesideTheFile(t *testing.T) {
	for _, mode := range []string{"wal", "delete", "truncate", "persist"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			cfg := pool.Config{Path: filepath.Join(dir, "app.db"), JournalMode: pool.JournalMode(mode)}
			first := open(t, cfg)
			second, err := pool.Open(t.Context(), cfg)
			require.NoError(t, err)
			run(t, first, "INSERT INTO n VALUES (2, 2)")
			require.NoError(t, second.Batch(t.Context(), doing("INSERT INTO n VALUES (3, 3)")))
			require.NoError(t, first.Close())
			run(t, second, "INSERT INTO n VALUES (4, 4)")
			require.NoError(t, second.Close())
			require.Equal(t, []string{"app.db"}, names(t, dir))
		})
	}
}
