package pool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ended is a context that gives no time.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestALeaseWhoseConnectionBrokeIsOverForAShutdown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: "delete", HealthCheckInterval: -1})
	image, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("nonsense"), len(image)/8), 0o600))
	broken := p.Stats().Broken
	l := acquire(t, p)
	require.Error(t, do(t.Context(), l, "SELECT v FROM n"))
	l.Release()
	require.Equal(t, broken+1, p.Stats().Broken)
	require.NoError(t, os.WriteFile(path, image, 0o600))
	require.NoError(t, p.Shutdown(ended(t)), "there is nothing to wait for")
}

func TestAWriterThatGotAReadersConnectionHasItForGood(t *testing.T) {
	var fails atomic.Bool
	p := open(t, pool.Config{MaxConns: 2, MinConns: 2, HealthCheckInterval: -1, Logger: slog.New(new(logbook)), OnConnect: func(context.Context, *pool.Lease) error {
		if fails.Load() {
			return errors.New("no more of them")
		}
		return nil
	}})
	acquire(t, p).Release() // there is one to read with
	fails.Store(true)
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("PRAGMA cache_size = 77")), "whose connection is replaced")
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		require.Equal(t, 1, p.Stats().InUse)
		return do(ctx, tx, "UPDATE n SET v = 1")
	}))
	l := acquire(t, p) // the writer's serves both
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = 2"))) })
	waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 })
	l.Release()
	wg.Wait()
	requireAtRest(t, p)
	require.ErrorIs(t, p.InTx(t.Context(), pool.Immediate, func(context.Context, *pool.Tx) error {
		require.ErrorIs(t, p.Shutdown(ended(t)), context.Canceled, "it is waited for")
		return nil
	}), pool.ErrClosed)
}

func TestWhoWaitsInVainForTheTurnToOpenAConnectionTimesOut(t *testing.T) {
	var slow atomic.Bool
	begun, goOn := make(chan struct{}, 1), make(chan struct{})
	p := open(t, pool.Config{MaxConns: 4, AcquireTimeout: 20 * time.Millisecond, HealthCheckInterval: -1, OnConnect: func(context.Context, *pool.Lease) error {
		if slow.Load() {
			begun <- struct{}{}
			<-goOn
		}
		return nil
	}})
	held := acquire(t, p)
	slow.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() {
		l, err := p.Acquire(t.Context())
		if assert.NoError(t, err) {
			l.Release()
		}
	})
	<-begun
	_, err := p.Acquire(t.Context())
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.NotErrorIs(t, err, pool.ErrUnhealthy)
	require.NotContains(t, err.Error(), "no more could be opened", "one is being opened")
	slow.Store(false)
	close(goOn)
	wg.Wait()
	held.Release()
	requireAtRest(t, p)
}

func TestAConflictThatARepeatableFunctionMetIsCountedAsARetry(t *testing.T) {
	p := open(t, pool.Config{})
	runs := 0
	require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		if _, err := number(ctx, tx, "SELECT v FROM n"); err != nil {
			return err
		}
		if runs++; runs == 1 {
			require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = 1")))
		}
		return do(ctx, tx, "UPDATE n SET v = v + 1")
	}, pool.Repeatable()))
	require.Equal(t, 2, runs)
	require.EqualValues(t, 1, p.Stats().Conflicts)
	require.EqualValues(t, 1, p.Stats().Retries)
	requireAtRest(t, p)
}

func TestALeaseThatChangedItsConnectionIsLogged(t *testing.T) {
	book := new(logbook)
	p := open(t, pool.Config{MaxConns: 1, Logger: slog.New(book)})
	run(t, p, "PRAGMA cache_size = 77; PRAGMA recursive_triggers = on")
	book.mu.Lock()
	defer book.mu.Unlock()
	var states []string
	for _, e := range book.entries {
		if e.attrs["state"] != "" {
			states = append(states, e.attrs["state"])
		}
	}
	require.Equal(t, []string{"PRAGMA cache_size, PRAGMA recursive_triggers"}, states)
}

func TestAForeignKeysPragmaIsReadUpToWhatIsNoDigit(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		require.NoError(t, do(ctx, tx, "PRAGMA foreign_keys = '1 of them'"), "it is on")
		require.ErrorIs(t, do(ctx, tx, "PRAGMA foreign_keys = '0 of them'"), errors.ErrUnsupported)
		return nil
	}))
}

func TestATextOfNoStatementIsAQueryThatEnds(t *testing.T) {
	var ends atomic.Int32
	p := open(t, pool.Config{Tracer: ending(func(_ context.Context, op pool.TraceOp) {
		if op.Name == "query" && op.SQL == "-- nothing" {
			ends.Add(1)
		}
	})})
	l := acquire(t, p)
	defer l.Release()
	rows, err := l.QueryContext(t.Context(), "-- nothing")
	require.NoError(t, err)
	require.NoError(t, rows.Close())
	require.NoError(t, rows.Err())
	require.EqualValues(t, 1, ends.Load())
}

func TestATimeoutNamesTheLongestHolderFirstAndWhoViews(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 8, AcquireTimeout: 20 * time.Millisecond, HealthCheckInterval: -1})
	var labels []string
	for i := range 6 {
		labels = append(labels, fmt.Sprintf("(holder %d)", i))
		l, err := p.Acquire(pool.WithLabel(t.Context(), fmt.Sprintf("holder %d", i)))
		require.NoError(t, err)
		defer l.Release()
	}
	require.NoError(t, p.View(t.Context(), func(context.Context, *pool.Tx) error {
		_, err := p.Acquire(t.Context())
		require.ErrorIs(t, err, pool.ErrAcquireTimeout)
		said := regexp.MustCompile(`\(holder \d\)`).FindAllString(err.Error(), -1)
		require.Equal(t, labels, said)
		require.Equal(t, 7, strings.Count(err.Error(), "by github.com/sqlane/sqlane/pool_test.TestATimeoutNamesTheLongestHolderFirst"), "%v", err)
		return nil
	}))
}

func TestRowsOfAWriteThatFoundNoneAreAnnouncedToNobody(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = 1"))) // its connection has changed rows
		w := watching(t, p, "SELECT count(*) FROM n")
		w.expect("1")
		before := pool.Announced(p)
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			rows, err := tx.QueryContext(ctx, "UPDATE n SET v = 2 WHERE id = 99 RETURNING v")
			require.NoError(t, err)
			require.False(t, rows.Next())
			require.NoError(t, rows.Err())
			return rows.Close()
		}))
		require.Equal(t, before, pool.Announced(p))
	})
}
