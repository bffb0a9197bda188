package pool_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestALoopThatEndsWhileItWaitsForAConnectionSaysSoOnce(t *testing.T) {
	for why, end := range map[error]func(t *testing.T, p *pool.Pool, stop func()){
		context.Canceled: func(_ *testing.T, _ *pool.Pool, stop func()) { stop() },
		pool.ErrClosed:   func(t *testing.T, p *pool.Pool, _ func()) { require.NoError(t, p.Close()) },
	} {
		t.Run(why.Error(), func(t *testing.T) {
			p := open(t, pool.Config{MaxConns: 2})
			only := acquire(t, p)
			defer only.Release()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			told := make(chan error, 10)
			go func() {
				defer close(told)
				for err := range p.Watch(ctx, doing("SELECT 1")) {
					told <- err
				}
			}()
			waitFor(t, "it waits", func() bool { return p.Stats().Waiting == 1 })
			end(t, p, stop)
			require.ErrorIs(t, <-told, why)
			_, more := <-told
			require.False(t, more)
		})
	}
}

func TestHalfOfTheReadLaneAtMostRunsWhatIsWatched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	require.NoError(t, open(t, pool.Config{Path: path}).Close())
	for _, c := range []struct {
		conns    int
		readOnly bool
		most     int64
	}{{1, false, 1}, {2, false, 1}, {4, false, 1}, {5, false, 2}, {2, true, 1}, {3, true, 1}} {
		p := open2(t, pool.Config{Path: path, MaxConns: c.conns, ReadOnly: c.readOnly, WatchInterval: -1})
		var running, most atomic.Int64
		var loops []*watched
		for range 10 {
			loops = append(loops, watchingBy(t, p, new(string), func(ctx context.Context, tx *pool.Tx) error {
				n := running.Add(1)
				defer running.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					continue
				}
				return do(ctx, tx, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+rest() FROM c LIMIT 10) SELECT max(x) FROM c")
			}))
		}
		for _, w := range loops {
			w.next()
			w.end()
		}
		require.LessOrEqual(t, most.Load(), c.most, "%+v", c)
	}
}

func TestWhoReadAnyTableIsWokenByAnyAfterARunThatFailedToo(t *testing.T) {
	p := open(t, pool.Config{})
	first := true
	w := watchingBy(t, p, new(string), func(ctx context.Context, tx *pool.Tx) error {
		if first {
			first = false
			return do(ctx, tx, "PRAGMA integrity_check")
		}
		return errOurs
	})
	w.next()
	for range 3 {
		run(t, p, "INSERT INTO heap VALUES (1)")
		require.Same(t, errOurs, w.fails())
	}
}
