package pool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// firstIn calls lockFirst and returns once the caller waits or has its answer.
func firstIn(t contextual, l *lane) *laneCall {
	c := callLane(t, l.lockFirst)
	synctest.Wait()
	return c
}

func TestWhoLocksFirstIsAheadOfTheQueueButNotOfAnUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, shared)
		mustLock(t, l, shared)
		upgrade := promoteIn(t, l)
		queued := queueFor(t, l, exclusive)
		first := firstIn(t, l)
		require.EqualValues(t, 2, l.queued.Load(), "it is not counted")
		require.EqualValues(t, 2, l.waiting.count.Load())
		l.unlock(shared)
		requireHas(t, upgrade)
		requireWaits(t, first)
		l.unlock(exclusive)
		requireHas(t, first)
		requireWaits(t, queued)
		l.unlock(exclusive)
		requireHas(t, queued)
		l.unlock(exclusive)
		require.Zero(t, l.waited.Load())
		requireFree(t, l)
	})
}

func TestWhoLocksFirstHasNoTimeLimitAndLeavesTheOthersTheirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{max: 1})
		mustLock(t, l, exclusive)
		queued := callLane(t, func(ctx context.Context) error { return l.lock(ctx, exclusive, time.Second) })
		synctest.Wait()
		first := firstIn(t, l) // past MaxWaiters
		time.Sleep(time.Hour)  // of the bubble's
		requireFails(t, queued, ErrAcquireTimeout)
		requireWaits(t, first)
		l.unlock(exclusive)
		requireHas(t, first)
		l.unlock(exclusive)
		requireFree(t, l)
	})
}

func TestALaneThatRefusesLetsWhoLocksFirstInAndAClosedOneDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, exclusive)
		first := firstIn(t, l)
		l.refuse()
		requireWaits(t, first)
		l.unlock(exclusive)
		requireHas(t, first)
		second := firstIn(t, l)
		l.close()
		requireFails(t, second, ErrClosed)
		require.ErrorIs(t, l.lockFirst(t.Context()), ErrClosed)
		l.unlock(exclusive)
		requireFree(t, l)
	})
}

func TestABatchEndsBeforeWhoLocksFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, exclusive)
		m := new(member)
		joiner := callLane(t, func(ctx context.Context) error { return l.lockAs(ctx, exclusive, -1, m) })
		synctest.Wait()
		first := firstIn(t, l)
		require.Nil(t, l.pass(func(*member) { t.Error("it is not next") }))
		require.Nil(t, l.claim(func(*member) bool { return true }))
		l.unlock(exclusive)
		requireHas(t, first)
		l.unlock(exclusive)
		requireHas(t, joiner)
		l.unlock(exclusive)
		requireFree(t, l)
	})
}

func TestWhoLocksFirstAndGivesUpInTheMomentOfTheGrantKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, exclusive)
		queued := queueFor(t, l, exclusive)
		first := firstIn(t, l)
		l.mu.Lock() // so that both happen before it sees either
		first.cancel()
		l.alone = false
		l.serve()
		l.mu.Unlock()
		requireFails(t, first, context.Canceled)
		requireHas(t, queued)
		l.unlock(exclusive)
		requireFree(t, l)
	})
}
