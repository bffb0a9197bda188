package pool_test

import (
	"context"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// TestOnConnectWaitsAsMaintenanceDoesWithAContextOfItsOwn loses a transaction while
// OnConnect waits for the write lane, in the goroutine that alone takes it back.
func TestOnConnectWaitsAsMaintenanceDoesWithAContextOfItsOwn(t *testing.T) {
	besideOthers(t) // for it waits
	var waits atomic.Bool
	p, err := pool.Open(t.Context(), pool.Config{
		Path: filepath.Join(t.TempDir(), "app.db"), AcquireTimeout: -1, MaxWaiters: 1,
		OnConnect: func(ctx context.Context, l *pool.Lease) error {
			if !waits.Load() {
				return nil
			}
			ctx, cancel := context.WithCancel(pool.WithLabel(ctx, "setting up"))
			defer cancel()
			_, err := l.Exec(ctx, "PRAGMA user_version = 1")
			return err
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	func() {
		lost, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		waits.Store(true)
		p.Reset()
		waitFor(t, "maintenance waits", func() bool { return pool.MaintenanceWaits(p) })
		require.Zero(t, p.Stats().Waiting)
		runtime.KeepAlive(lost)
	}()
	waitForGarbage(t, "it is taken back", func() bool { return p.Stats().Reclaimed == 1 })
	require.Zero(t, p.Stats().Timeouts)
}
