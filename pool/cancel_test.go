package pool_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ways are the ways to run a statement, each with the context it is given.
var ways = []struct {
	name string
	run  func(ctx context.Context, p *pool.Pool, query string) error
}{
	{"lease", func(ctx context.Context, p *pool.Pool, query string) error {
		l, err := p.Acquire(ctx)
		if err != nil {
			return err
		}
		defer l.Release()
		return do(ctx, l, query)
	}},
	{"row", func(ctx context.Context, p *pool.Pool, query string) error {
		l, err := p.Acquire(ctx)
		if err != nil {
			return err
		}
		defer l.Release()
		var any any
		return l.QueryRowContext(ctx, query).Scan(&any)
	}},
	{"prepared", func(ctx context.Context, p *pool.Pool, query string) error {
		l, err := p.Acquire(ctx)
		if err != nil {
			return err
		}
		defer l.Release()
		s, err := l.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.ExecContext(ctx)
		return err
	}},
	{"deferred", func(ctx context.Context, p *pool.Pool, query string) error {
		return p.InTx(ctx, pool.Deferred, doing(query))
	}},
	{"immediate", func(ctx context.Context, p *pool.Pool, query string) error {
		return p.InTx(ctx, pool.Immediate, doing(query))
	}},
	{"batch", func(ctx context.Context, p *pool.Pool, query string) error { return p.Batch(ctx, doing(query)) }},
	{"writer", func(ctx context.Context, p *pool.Pool, query string) error { return send(ctx, p, query) }},
	{"writer rows", func(ctx context.Context, p *pool.Pool, query string) error { return sendRows(ctx, p, query) }},
	{"db", func(ctx context.Context, p *pool.Pool, query string) error {
		_, err := p.DB().ExecContext(ctx, query)
		return err
	}},
}

func TestACancelledContextEndsARunningStatement(t *testing.T) {
	besideOthers(t) // for it takes long
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		for _, way := range ways {
			for _, query := range []string{"", "INSERT INTO n (v) ", "SELECT 1; UPDATE n SET v = 1 WHERE id = -1; "} {
				t.Run(way.name+"/"+query, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					err := way.run(ctx, p, query+endless(onSignal(t, cancel)))
					require.ErrorIs(t, err, context.Canceled)
					requireAtRest(t, p)
				})
			}
		}
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
	})
}

func TestACancelledContextEndsAStatementThatHasRunForLong(t *testing.T) {
	besideOthers(t) // for it waits
	p := open(t, pool.Config{MaxConns: 1, HealthCheckInterval: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, p.View(ctx, doing(endless(onSignal(t, func() {
		for range 20 { // at 5 ms or more each, in which nothing else runs
			moreRounds(t, p)
		}
		cancel()
	})))), context.Canceled)
	requireAtRest(t, p)
}

func TestADeadlineEndsARunningStatement(t *testing.T) {
	p := open(t, pool.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.View(ctx, doing(endless("nobody"))), context.DeadlineExceeded)
	requireAtRest(t, p)
}

func TestACancelledContextEndsAnIterationBetweenItsRows(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		defer l.Release()
		rows, err := l.QueryContext(ctx, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c")
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		cancel()
		for rows.Next() {
			runtime.Gosched()
		}
		require.ErrorIs(t, rows.Err(), context.Canceled)
	})
}

func TestACancelledContextEndsASlowStepBetweenRows(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, p.View(t.Context(), func(_ context.Context, tx *pool.Tx) error {
			rows, err := tx.QueryContext(ctx, "SELECT 1 UNION ALL SELECT * FROM ("+endless(onSignal(t, cancel))+")")
			require.NoError(t, err)
			defer rows.Close()
			require.True(t, rows.Next())
			require.False(t, rows.Next(), "the second row takes for ever")
			assert.ErrorIs(t, rows.Err(), context.Canceled)
			return nil
		}))
		requireAtRest(t, p)
	})
}

// beLooked waits until the pool has looked at what runs on all its connections:
// it interrupts two statements, one after the other.
func beLooked(t *testing.T, p *pool.Pool) {
	t.Helper()
	name := t.Name() + "/looked"
	defer signals.Delete(name)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		signals.Store(name, func() { cancel() })
		assert.ErrorIs(t, p.View(ctx, doing(endless(name))), context.Canceled)
	}
}

func TestAWriteThatIsNotToBeInterruptedGoesOnThoughItsContextHasEnded(t *testing.T) {
	p := open(t, pool.Config{})
	m := &members{t: t, p: p}
	ctx, cancel := context.WithCancel(t.Context())
	lineUp(t, p, m.fine(0), func() {
		m.errs[1] = p.Batch(ctx, func(ctx context.Context, tx *pool.Tx) error {
			name := onSignal(t, func() {
				cancel()
				beLooked(t, p)
			})
			assert.NoError(t, do(ctx, tx, "INSERT INTO heap WITH RECURSIVE c(x) AS (SELECT signal(?) UNION ALL SELECT x+1 FROM c LIMIT 1000) SELECT x FROM c", name))
			return do(ctx, tx, "SELECT 1")
		})
	})
	require.ErrorIs(t, m.errs[1], context.Canceled)
	m.requireKept(0)
	require.EqualValues(t, 1, m.runs[0].Load(), "it did not have to run again")
	require.Zero(t, get(t, p, "SELECT count(*) FROM heap"))
	requireAtRest(t, p)
}

// TestAWritersStatementIsInterruptedUnlessOthersWorkIsPending: an interrupted write takes
// its whole transaction along.
func TestAWritersStatementIsInterruptedUnlessOthersWorkIsPending(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		const endless = "INSERT OR IGNORE INTO texts WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT ?) SELECT iif(x = 9, ?, x) FROM c"
		run(t, p, texts)
		know(t, p, endless, 1, "")
		ctx, cancel := context.WithCancel(t.Context())
		require.ErrorIs(t, send(ctx, p, endless, -1, onSignal(t, cancel)), context.Canceled)
		require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM texts"))
		requireAtRest(t, p)
	})

	p := open(t, pool.Config{})
	run(t, p, texts)
	know(t, p, insertTexts, "known")
	m := &members{t: t, p: p}
	ctx, cancel := context.WithCancel(t.Context())
	name := onSignal(t, func() {
		cancel()
		beLooked(t, p)
	})
	lineUp(t, p, m.fine(0), m.with(1, func(context.Context, *pool.Tx) error { return errOurs }), func() {
		assert.NoError(t, send(ctx, p, insertTexts, name), "in its own goroutine, since the one before has failed")
	})
	require.EqualValues(t, 1, m.runs[0].Load(), "it did not have to run again")
	m.requireKept(0)
	require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM texts"))
	requireAtRest(t, p)
}

func TestACancelledContextEndsAWaitForTheWriteLane(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 9, MinConns: 9}, func(t *testing.T, p *pool.Pool) {
		gate, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for _, way := range ways {
			wg.Go(func() {
				assert.ErrorIs(t, way.run(ctx, p, "UPDATE n SET v = 1"), context.Canceled, way.name)
			})
		}
		waitFor(t, "all wait", func() bool { return p.Stats().WriteQueue == len(ways) })
		cancel()
		wg.Wait()
		require.NoError(t, gate.Rollback(t.Context()))
		require.Zero(t, get(t, p, "SELECT v FROM n"))
		requireAtRest(t, p)
	})
}

func TestACancelledContextEndsAWaitForALease(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2})
	held, err := p.Acquire(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := p.Acquire(ctx)
		assert.ErrorIs(t, err, context.Canceled)
	})
	waitFor(t, "it waits", func() bool { return p.Stats().Waiting == 1 })
	cancel()
	wg.Wait()
	held.Release()
	requireAtRest(t, p)
}

func TestACancelledContextEndsAWaitForAnotherProcessesLock(t *testing.T) {
	besideOthers(t) // for it waits
	for _, mode := range []string{"wal", "delete"} {
		path := filepath.Join(t.TempDir(), "app.db")
		p := open(t, pool.Config{Path: path, JournalMode: pool.JournalMode(mode), BusyTimeout: time.Hour})
		o := startOther(t, path)
		o.do("BEGIN EXCLUSIVE")
		for _, way := range ways {
			t.Run(mode+"/"+way.name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
				defer cancel()
				require.ErrorIs(t, way.run(ctx, p, "UPDATE n SET v = 1"), context.DeadlineExceeded)
			})
		}
		o.do("ROLLBACK")
		require.Zero(t, get(t, p, "SELECT v FROM n"))
		requireAtRest(t, p)
	}
}

func TestCancelAfterTheEndIsNoConcernOfTheNext(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	for range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(cancel)
		l, err := p.Acquire(ctx)
		if err == nil {
			_, err = number(ctx, l, "SELECT count(*) FROM n, n AS m")
			l.Release()
		}
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
		wg.Wait()
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"), "the next lease of the same connection")
	}
	requireAtRest(t, p)
}

func TestAContextThatEndsWithAnOpenTransactionOfDatabaseSQLRollsItBack(t *testing.T) {
	p := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := p.DB().BeginTx(ctx, &sql.TxOptions{})
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, "UPDATE n SET v = 1")
	require.NoError(t, err)
	cancel()
	require.Error(t, tx.Commit())
	waitFor(t, "the lease is back", func() bool { return p.Stats().InUse == 0 })
	require.Zero(t, get(t, p, "SELECT v FROM n"))
}

func TestAnInterruptedStatementDoesNotTakeTheTransactionAlong(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3")
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		require.True(t, rows.Next())
		short, cancel := context.WithCancel(ctx)
		require.ErrorIs(t, do(short, tx, endless(onSignal(t, cancel))), context.Canceled)
		require.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (77, 1)"), "its context has not ended")
		require.False(t, rows.Next())
		require.ErrorIs(t, rows.Err(), context.Canceled, "they say why they ended")
		return nil
	}))
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n WHERE id = 77"))
}
