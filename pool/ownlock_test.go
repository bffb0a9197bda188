package pool_test

import (
	"context"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAReaderThatLocksTheLogForAMomentIsNoOtherProcess: one that comes upon the log's
// index while it changes takes SQLite's lock of writers to look again.
func TestAReaderThatLocksTheLogForAMomentIsNoOtherProcess(t *testing.T) {
	besideOthers(t) // for it takes long
	p := open(t, pool.Config{MaxConns: 50, BusyTimeout: -1, Synchronous: "off"})
	writes := rounds.Of(1, 50, 250)
	reading, stop := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for range 40 {
		readers.Go(func() {
			for reading.Err() == nil {
				assert.NoError(t, p.View(t.Context(), doing("SELECT v FROM n")))
			}
		})
	}
	for range 8 {
		writers.Go(func() {
			for range writes {
				assert.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = v + 1")))
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	require.EqualValues(t, 8*writes, get(t, p, "SELECT v FROM n"))
	requireAtRest(t, p)
}
