package pool_test

import (
	"runtime"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// TestMaintenanceDoesNotWaitForWhatItAloneTakesBack loses a transaction while
// maintenance waits for the write lane, which that one has.
func TestMaintenanceDoesNotWaitForWhatItAloneTakesBack(t *testing.T) {
	besideOthers(t) // for it waits
	for name, test := range map[string]struct {
		journal pool.JournalMode
		want    func(t *testing.T, p *pool.Pool)
	}{
		"to open a connection": {pool.JournalDelete, func(_ *testing.T, p *pool.Pool) { p.Reset() }},
		"to start the log anew": {pool.JournalWAL, func(t *testing.T, p *pool.Pool) {
			old, err := p.Begin(t.Context(), pool.Deferred)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, old.Rollback(t.Context())) })
			_, err = number(t.Context(), old, "SELECT count(*) FROM n") // which keeps the log
			require.NoError(t, err)
			_, err = p.Writer().Exec(t.Context(), "INSERT INTO heap VALUES (zeroblob(20000000))")
			require.NoError(t, err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, pool.Config{JournalMode: test.journal, AcquireTimeout: -1})
			if test.journal == pool.JournalWAL {
				test.want(t, p)
			}
			func() {
				lost, err := p.Begin(t.Context(), pool.Immediate)
				require.NoError(t, err)
				if test.journal != pool.JournalWAL {
					test.want(t, p)
				}
				waitFor(t, "maintenance waits", func() bool { return pool.MaintenanceWaits(p) })
				runtime.KeepAlive(lost)
			}()
			waitForGarbage(t, "it is taken back", func() bool { return p.Stats().Reclaimed == 1 })
			require.Zero(t, p.Stats().Timeouts)
		})
	}
}
