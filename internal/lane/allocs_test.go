//go:build !race

package lane_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/stretchr/testify/require"
)

// TestALockAllocatesNothing lets one wait for another again and again: the waiter
// is used again. The race detector allocates too, and empties every sync.Pool, so
// it has no part in this.
func TestALockAllocatesNothing(t *testing.T) {
	l := newLane(lane.NoLimit, new(lane.Waiters))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := new(note)
	begin, ended := make(chan struct{}), make(chan error)
	defer close(begin)
	go func() {
		for range begin {
			_, err := l.LockWith(ctx, lane.Wait{Timeout: time.Hour}, n)
			l.Unlock(lane.Exclusive)
			ended <- err
		}
	}()
	queue := func(letGo func()) {
		require.NoError(t, l.Lock(ctx, lane.Exclusive, lane.Wait{}))
		begin <- struct{}{}
		for l.Queued() == 0 {
			runtime.Gosched()
		}
		letGo()
		require.NoError(t, <-ended)
	}
	handOver := write("carry on")
	for name, letGo := range map[string]func(){
		"granted": func() { l.Unlock(lane.Exclusive) },
		"handed":  func() { l.Pass(handOver) },
	} {
		require.Zero(t, testing.AllocsPerRun(100, func() { queue(letGo) }), name)
	}
	requireFree(t, l)
}
