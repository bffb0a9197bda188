package dqlite_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

// watching is a loop of StoreWatch that counts the rows of n.
type watching struct {
	seen  chan any // A count or an error; it is closed at the end.
	leave context.CancelFunc
}

func watch(t *testing.T, s *dqlite.Store) watching {
	ctx, leave := context.WithCancel(t.Context())
	w := watching{make(chan any, 100), leave}
	go func() {
		defer close(w.seen)
		var n int
		for err := range s.StoreWatch(ctx, func(ctx context.Context, tx pool.StoreTx) error {
			return tx.QueryRowContext(ctx, "SELECT count(*) FROM n").Scan(&n)
		}) {
			if err != nil {
				w.seen <- err
			} else {
				w.seen <- n
			}
		}
	}()
	return w
}

// all is what was seen so far.
func (w watching) all() (all []any) {
	synctest.Wait()
	for {
		select {
		case v, more := <-w.seen:
			if !more {
				return all
			}
			all = append(all, v)
		default:
			return all
		}
	}
}

func TestAWatchSeesEveryCommit(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open(maxConns(2))
		another := c.open()
		w := watch(t, s)
		require.Equal(t, []any{0}, w.all())
		for i, way := range []string{"by itself", "in a batch", "in a transaction", "by DB", "in a transaction of DB"} {
			require.NoError(t, work[way](t.Context(), s))
			require.Equal(t, []any{1}, w.all(), way)
			if i < 4 {
				require.NoError(t, do(t.Context(), s.StoreWriter(), "DELETE FROM n"))
				require.Equal(t, []any{0}, w.all(), way)
			}
		}
		require.NoError(t, reading["in a view"](t.Context(), s))
		require.NoError(t, s.StoreInTx(t.Context(), pool.Deferred, doing("SELECT 1")))
		time.Sleep(5 * time.Second)
		require.Empty(t, w.all(), "nothing has changed")
		require.NoError(t, do(t.Context(), another.StoreWriter(), "INSERT INTO n (v) VALUES (2)"))
		require.Empty(t, w.all())
		time.Sleep(time.Second)
		require.Equal(t, []any{2}, w.all(), "another process")

		c.nodes[0].kill()
		c.elect(c.nodes[1])
		time.Sleep(5 * time.Second)
		require.Contains(t, w.all(), 2, "the new leader's")
		require.NoError(t, do(t.Context(), another.StoreWriter(), "INSERT INTO n (v) VALUES (3)"))
		time.Sleep(time.Second)
		require.Equal(t, []any{3}, w.all())

		c.elect(nil)
		c.nodes[1].cutOff()
		time.Sleep(time.Minute)
		for _, v := range w.all() {
			require.ErrorIs(t, v.(error), dqlite.ErrNoQuorum)
		}
		c.elect(c.nodes[2])
		time.Sleep(time.Minute)
		require.Contains(t, w.all(), 3)
		w.leave()
		require.Equal(t, []any{context.Canceled}, w.all())
		atRest(t, s)
	})
}

func TestAWatchEndsWithItsLoopAndItsStore(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open(func(cfg *dqlite.Config) { cfg.WatchInterval = -1 })
		for err := range s.StoreWatch(t.Context(), doing("SELECT 1")) {
			require.NoError(t, err)
			break
		}
		for err := range s.StoreWatch(t.Context(), func(context.Context, pool.StoreTx) error { return errOurs }) {
			require.Equal(t, errOurs, err)
			break
		}
		require.PanicsWithValue(t, "ours", func() {
			for range s.StoreWatch(t.Context(), func(context.Context, pool.StoreTx) error { panic("ours") }) {
			}
		})
		w := watch(t, s)
		require.Equal(t, []any{0}, w.all())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx), "a loop that waits holds nothing")
		got := w.all()
		require.Len(t, got, 1)
		require.ErrorIs(t, got[0].(error), pool.ErrClosed)
		synctest.Wait()
		require.Zero(t, c.connections())
	})
}
