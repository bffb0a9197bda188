package pool_test

import (
	"context"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAnOnConnectThatPanicsOrExitsLeavesNothingBehind(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "app.db"), pool.Memory} {
		for how, leave := range map[string]func(){"panic": func() { panic("ours") }, "exit": runtime.Goexit} {
			t.Run(filepath.Base(path)+" "+how, func(t *testing.T) {
				var calls atomic.Int32
				p, err := pool.Open(t.Context(), pool.Config{Path: path, MaxConns: 2, AcquireTimeout: time.Second, OnConnect: func(context.Context, *pool.Lease) error {
					if calls.Add(1) == 2 {
						leave()
					}
					return nil
				}})
				require.NoError(t, err)
				var wg sync.WaitGroup
				wg.Go(func() {
					defer func() { _ = recover() }()
					_, _ = p.Acquire(t.Context())
				})
				wg.Wait()
				require.EqualValues(t, 2, calls.Load())
				l, err := p.Acquire(t.Context())
				require.NoError(t, err, "the read lane")
				l.Release()
				require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("SELECT 1")), "the write lane")
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				require.NoError(t, p.Shutdown(ctx), "nobody has a lease")
			})
		}
	}
}

func TestAContextThatEndsStopsWhatOnConnectRuns(t *testing.T) {
	var calls atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	name := onSignal(t, cancel)
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), OnConnect: func(ctx context.Context, c *pool.Lease) error {
		if calls.Add(1) != 2 {
			return nil
		}
		_, err := c.ExecContext(ctx, endless(name))
		return err
	}})
	require.NoError(t, err)
	_, err = p.Acquire(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, p.Close())
}
