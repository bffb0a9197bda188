package lane_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests run in synctest bubbles. synctest.Wait returns when every caller
// either has its answer or waits in the lane, so "it queues" needs no sleeping,
// and timeouts run on the bubble's own clock.

// tested is a lane, and what counts its waiters.
type tested struct {
	*lane.Lane
	waiters *lane.Waiters
}

func newLane(limit int, w *lane.Waiters) *tested { return &tested{lane.New(limit, w), w} }

// forever is the timeout of those whom only their context limits.
const forever time.Duration = -1

// laneCall is one caller of a lane, on its way or answered.
type laneCall struct {
	cancel context.CancelFunc
	answer chan error
}

// contextual is a test of the standard library's or of rapid's. Its context ends
// with it, so that even a test that fails leaves nobody waiting in its bubble.
type contextual interface{ Context() context.Context }

func callLane(t contextual, ask func(ctx context.Context) error) *laneCall {
	ctx, cancel := context.WithCancel(t.Context())
	c := &laneCall{cancel: cancel, answer: make(chan error, 1)}
	go func() { c.answer <- ask(ctx) }()
	return c
}

// queueFor calls lock and returns once the caller waits or has its answer.
func queueFor(t contextual, l *tested, want lane.Access) *laneCall {
	c := callLane(t, func(ctx context.Context) error { return l.Lock(ctx, want, lane.Wait{Timeout: forever}) })
	synctest.Wait()
	return c
}

// promoteIn is queueFor for a shared holder who wants to be alone.
func promoteIn(t contextual, l *tested) *laneCall {
	c := callLane(t, func(ctx context.Context) error { return l.Promote(ctx, forever) })
	synctest.Wait()
	return c
}

// settled returns the caller's answer, and whether it has one.
func (c *laneCall) settled() (err error, answered bool) {
	synctest.Wait()
	select {
	case err := <-c.answer:
		return err, true
	default:
		return nil, false
	}
}

func requireWaits(t testing.TB, c *laneCall) {
	t.Helper()
	err, answered := c.settled()
	require.False(t, answered, "it should wait, but has its answer: %v", err)
}

func requireHas(t testing.TB, c *laneCall) {
	t.Helper()
	err, answered := c.settled()
	require.True(t, answered, "it still waits")
	require.NoError(t, err)
}

func requireFails(t testing.TB, c *laneCall, want error) {
	t.Helper()
	err, answered := c.settled()
	require.True(t, answered, "it still waits")
	require.ErrorIs(t, err, want)
}

// requireFree sees that nobody holds the lane or waits for it, and that it works.
func requireFree(t testing.TB, l *tested) {
	t.Helper()
	require.Zero(t, l.Queued(), "waiters of the lane")
	require.Zero(t, l.waiters.Count(), "waiters of all lanes")
	if err := l.Lock(t.Context(), lane.Exclusive, lane.Wait{}); !errors.Is(err, lane.ErrClosed) {
		require.NoError(t, err, "somebody holds it")
		l.Unlock(lane.Exclusive)
		mustLock(t, l, lane.Shared)
		l.Unlock(lane.Shared)
	}
}

func mustLock(t testing.TB, l *tested, want lane.Access) {
	t.Helper()
	require.NoError(t, l.Lock(t.Context(), want, lane.Wait{}))
}

func TestALockIsServedInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		var served []int
		const callers = 50
		for i := range callers {
			go func() {
				if assert.NoError(t, l.Lock(t.Context(), lane.Exclusive, lane.Wait{Timeout: forever})) {
					served = append(served, i) // under the lock that is tested
					l.Unlock(lane.Exclusive)
				}
			}()
			synctest.Wait()
			require.Equal(t, i+1, l.Queued())
		}
		l.Unlock(lane.Exclusive)
		synctest.Wait()
		require.Len(t, served, callers)
		require.True(t, slices.IsSorted(served), "%v", served)
		requireFree(t, l)
	})
}

func TestAReaderDoesNotOvertakeAWaitingWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Shared)
		writer := queueFor(t, l, lane.Exclusive)
		first, second := queueFor(t, l, lane.Shared), queueFor(t, l, lane.Shared)
		requireWaits(t, writer)
		requireWaits(t, first)
		l.Unlock(lane.Shared)
		requireHas(t, writer)
		requireWaits(t, first)
		l.Unlock(lane.Exclusive)
		requireHas(t, first)
		requireHas(t, second) // both at once
		l.Unlock(lane.Shared)
		l.Unlock(lane.Shared)
		requireFree(t, l)
	})
}

func TestNoMoreThanTheLimitShareALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(3, new(lane.Waiters))
		for range 3 {
			mustLock(t, l, lane.Shared)
		}
		fourth, fifth := queueFor(t, l, lane.Shared), queueFor(t, l, lane.Shared)
		requireWaits(t, fourth)
		l.Unlock(lane.Shared)
		requireHas(t, fourth)
		requireWaits(t, fifth)
		l.Unlock(lane.Shared)
		requireHas(t, fifth)
		for range 3 {
			l.Unlock(lane.Shared)
		}
		requireFree(t, l)
	})
}

func TestACancelledWaiterLeavesTheQueueAndLetsTheOnesBehindItGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Shared)
		writer := queueFor(t, l, lane.Exclusive)
		behind, last := queueFor(t, l, lane.Shared), queueFor(t, l, lane.Shared)
		requireWaits(t, behind) // for the writer alone
		writer.cancel()
		requireFails(t, writer, context.Canceled)
		requireHas(t, behind)
		requireHas(t, last)
		for range 3 {
			l.Unlock(lane.Shared)
		}
		requireFree(t, l)
	})
}

func TestAWaiterCanBeCancelledWhereverItStands(t *testing.T) {
	for cancelled := range 3 {
		synctest.Test(t, func(t *testing.T) {
			l := newLane(lane.NoLimit, new(lane.Waiters))
			mustLock(t, l, lane.Exclusive)
			calls := []*laneCall{queueFor(t, l, lane.Exclusive), queueFor(t, l, lane.Exclusive), queueFor(t, l, lane.Exclusive)}
			calls[cancelled].cancel()
			requireFails(t, calls[cancelled], context.Canceled)
			require.Equal(t, 2, l.Queued())
			for i, c := range calls {
				if i != cancelled {
					l.Unlock(lane.Exclusive)
					requireHas(t, c)
				}
			}
			l.Unlock(lane.Exclusive)
			requireFree(t, l)
		})
	}
}

func TestACallerWhoseContextHasEndedGetsNothing(t *testing.T) {
	l := newLane(lane.NoLimit, new(lane.Waiters))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, l.Lock(ctx, lane.Exclusive, lane.Wait{Timeout: forever}), context.Canceled)
	mustLock(t, l, lane.Shared)
	require.ErrorIs(t, l.Promote(ctx, forever), context.Canceled)
	l.Unlock(lane.Shared)
	requireFree(t, l)
}

func TestAWaitEndsWithItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		start := time.Now()
		require.ErrorIs(t, l.Lock(t.Context(), lane.Exclusive, lane.Wait{Timeout: 5 * time.Second}), lane.ErrTimeout)
		require.Equal(t, 5*time.Second, time.Since(start), "on the bubble's clock, which only waiting moves")
		require.Equal(t, 5*time.Second, l.Waited())
		require.ErrorIs(t, l.Lock(t.Context(), lane.Shared, lane.Wait{}), lane.ErrTimeout, "no patience at all")
		l.Unlock(lane.Exclusive)

		mustLock(t, l, lane.Shared)
		mustLock(t, l, lane.Shared)
		require.ErrorIs(t, l.Promote(t.Context(), time.Second), lane.ErrTimeout)
		l.Unlock(lane.Shared)
		require.False(t, l.TryLock(lane.Exclusive), "the one that failed to upgrade still shares")
		l.Unlock(lane.Shared)
		requireFree(t, l)
	})
}

func TestEachWaitEndsAtItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Shared)
		mustLock(t, l, lane.Shared)
		var mu sync.Mutex
		ended := make(map[time.Duration]time.Duration)
		begin := time.Now()
		// The nearest end is that of one in the middle, then of one behind it, ...
		for _, limit := range []time.Duration{4 * time.Second, time.Second, 3 * time.Second, 2 * time.Second, 6 * time.Second, -1} {
			go func() {
				err := l.Lock(t.Context(), lane.Exclusive, lane.Wait{Timeout: limit})
				mu.Lock()
				defer mu.Unlock()
				ended[limit] = time.Since(begin)
				if limit < 0 {
					assert.ErrorIs(t, err, lane.ErrClosed)
				} else {
					assert.ErrorIs(t, err, lane.ErrTimeout)
				}
			}()
			synctest.Wait()
		}
		go func() {
			assert.ErrorIs(t, l.Promote(t.Context(), 5*time.Second), lane.ErrTimeout)
			mu.Lock()
			defer mu.Unlock()
			ended[5*time.Second] = time.Since(begin)
		}()
		<-time.After(time.Minute)
		l.Close()
		synctest.Wait()
		want := map[time.Duration]time.Duration{-1: time.Minute}
		for i := range time.Duration(6) {
			want[(i+1)*time.Second] = (i + 1) * time.Second
		}
		require.Equal(t, want, ended)
		l.Unlock(lane.Shared)
		l.Unlock(lane.Shared)
		requireFree(t, l)
	})
}

func TestAWaitThatIsOverLetsThoseBehindItIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Shared)
		writer := callLane(t, func(ctx context.Context) error { return l.Lock(ctx, lane.Exclusive, lane.Wait{Timeout: time.Second}) })
		synctest.Wait()
		reader := queueFor(t, l, lane.Shared)
		requireWaits(t, reader)
		<-time.After(time.Second)
		requireFails(t, writer, lane.ErrTimeout)
		requireHas(t, reader)
		l.Unlock(lane.Shared)
		l.Unlock(lane.Shared)
		requireFree(t, l)
	})
}

func TestWhoWouldRatherNotWaitGoesPastNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(3, new(lane.Waiters))
		require.True(t, l.TryLock(lane.Exclusive))
		require.False(t, l.TryLock(lane.Exclusive))
		require.False(t, l.TryLock(lane.Shared))
		l.Unlock(lane.Exclusive)
		for range 3 {
			require.True(t, l.TryLock(lane.Shared))
		}
		require.False(t, l.TryLock(lane.Shared), "the limit")
		l.Unlock(lane.Shared)
		require.False(t, l.TryLock(lane.Exclusive))
		writer := queueFor(t, l, lane.Exclusive)
		require.False(t, l.TryLock(lane.Shared), "there is room, but a writer waits")
		writer.cancel()
		requireFails(t, writer, context.Canceled)
		upgrader := promoteIn(t, l)
		require.False(t, l.TryLock(lane.Shared), "there is room, but one of those who share waits to be alone")
		upgrader.cancel()
		requireFails(t, upgrader, context.Canceled)
		require.True(t, l.TryLock(lane.Shared))
		for range 3 {
			l.Unlock(lane.Shared)
		}
		requireFree(t, l)

		l.Refuse()
		require.False(t, l.TryLock(lane.Shared))
		closed := newLane(3, new(lane.Waiters))
		closed.Close()
		require.False(t, closed.TryLock(lane.Shared))
		require.False(t, closed.TryLock(lane.Exclusive))
	})
}

func TestAReaderJoinsOthersPastTheQueueButNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(2, new(lane.Waiters))
		require.False(t, l.Join(), "there is nobody to join")
		mustLock(t, l, lane.Exclusive)
		require.False(t, l.Join(), "a writer is alone")
		l.Unlock(lane.Exclusive)
		mustLock(t, l, lane.Shared)
		writer := queueFor(t, l, lane.Exclusive)
		require.True(t, l.Join())
		require.False(t, l.Join(), "the limit")
		requireWaits(t, writer)
		l.Unlock(lane.Shared)
		requireWaits(t, writer)
		l.Unlock(lane.Shared)
		requireHas(t, writer)
		l.Unlock(lane.Exclusive)
		mustLock(t, l, lane.Shared)
		l.Close()
		require.False(t, l.Join(), "it is closed")
		l.Unlock(lane.Shared)
		requireFree(t, l)
	})
}

func TestALimitThatGrowsLetsThoseInWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1, new(lane.Waiters))
		mustLock(t, l, lane.Shared)
		calls := []*laneCall{queueFor(t, l, lane.Shared), queueFor(t, l, lane.Shared), queueFor(t, l, lane.Shared)}
		l.SetLimit(3)
		require.Equal(t, 3, l.Limit())
		requireHas(t, calls[0])
		requireHas(t, calls[1])
		requireWaits(t, calls[2])
		l.SetLimit(1)
		l.Unlock(lane.Shared)
		l.Unlock(lane.Shared)
		requireWaits(t, calls[2])
		l.Unlock(lane.Shared)
		requireHas(t, calls[2])
		l.Unlock(lane.Shared)
		requireFree(t, l)
	})
}

func TestWhoIsNotCountedWaitsBesideTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &lane.Waiters{Limit: 1}
		l := newLane(lane.NoLimit, w)
		mustLock(t, l, lane.Exclusive)
		first := queueFor(t, l, lane.Exclusive)
		own := callLane(t, func(ctx context.Context) error {
			return l.Lock(ctx, lane.Exclusive, lane.Wait{Timeout: forever, Uncounted: true})
		})
		requireWaits(t, own)
		require.Equal(t, 1, w.Count())
		require.Equal(t, 1, w.Uncounted())
		require.Equal(t, 1, l.Queued())
		require.ErrorIs(t, l.Lock(t.Context(), lane.Shared, lane.Wait{Timeout: forever}), lane.ErrOverloaded)
		<-time.After(time.Second)
		l.Unlock(lane.Exclusive)
		requireHas(t, first)
		require.Equal(t, time.Second, l.Waited())
		requireWaits(t, own)
		<-time.After(time.Second)
		l.Unlock(lane.Exclusive)
		requireHas(t, own)
		require.Equal(t, time.Second, l.Waited(), "nobody waited longer who counts")
		require.Zero(t, w.Uncounted())
		l.Unlock(lane.Exclusive)
		requireFree(t, l)
	})
}

func TestTheContextsDeadlineIsNotAnAcquireTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, l.Lock(ctx, lane.Exclusive, lane.Wait{Timeout: time.Minute}), context.DeadlineExceeded)
		l.Unlock(lane.Exclusive)
		requireFree(t, l)
	})
}

func TestANegativeTimeoutWaitsForAsLongAsItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		patient := queueFor(t, l, lane.Exclusive)
		<-time.After(1000 * time.Hour) // of the bubble
		requireWaits(t, patient)
		l.Unlock(lane.Exclusive)
		requireHas(t, patient)
		l.Unlock(lane.Exclusive)
	})
}

func TestClosingALaneWakesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Shared)
		mustLock(t, l, lane.Shared)
		upgrader := promoteIn(t, l)
		reader, writer := queueFor(t, l, lane.Shared), queueFor(t, l, lane.Exclusive)
		l.Close()
		for _, c := range []*laneCall{upgrader, reader, writer} {
			requireFails(t, c, lane.ErrClosed)
		}
		require.ErrorIs(t, l.Lock(t.Context(), lane.Shared, lane.Wait{Timeout: forever}), lane.ErrClosed)
		require.ErrorIs(t, l.Lock(t.Context(), lane.Exclusive, lane.Wait{Timeout: forever}), lane.ErrClosed)
		require.ErrorIs(t, l.Promote(t.Context(), forever), lane.ErrClosed)
		l.Close() // again: nothing to do
		l.Unlock(lane.Shared)
		l.Unlock(lane.Shared)
		requireFree(t, l)
	})
}

func TestALaneThatRefusesServesThoseWhoHaveSomethingAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Shared)
		newcomer := lane.Wait{Timeout: forever, Newcomer: true}
		come := func(want lane.Access) *laneCall {
			c := callLane(t, func(ctx context.Context) error { return l.Lock(ctx, want, newcomer) })
			synctest.Wait()
			return c
		}
		newWriter := come(lane.Exclusive)
		old := queueFor(t, l, lane.Shared) // with a lease, say, on which it reads
		newReader := come(lane.Shared)
		requireWaits(t, old) // behind the writer
		l.Refuse()
		requireFails(t, newWriter, lane.ErrClosed)
		requireFails(t, newReader, lane.ErrClosed)
		requireHas(t, old)
		require.ErrorIs(t, l.Lock(t.Context(), lane.Shared, newcomer), lane.ErrClosed)
		mustLock(t, l, lane.Shared)
		for range 3 {
			l.Unlock(lane.Shared)
		}
		requireFree(t, l)
	})
}

func TestAHeldLockStaysValidAfterClose(t *testing.T) {
	l := newLane(lane.NoLimit, new(lane.Waiters))
	mustLock(t, l, lane.Exclusive)
	l.Close()
	require.ErrorIs(t, l.Lock(t.Context(), lane.Shared, lane.Wait{}), lane.ErrClosed)
	l.Unlock(lane.Exclusive)
	requireFree(t, l)
}

func TestAnUpgraderGoesAheadOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		for range 3 {
			mustLock(t, l, lane.Shared)
		}
		writer := queueFor(t, l, lane.Exclusive)
		upgrader := promoteIn(t, l)
		l.Unlock(lane.Shared)
		requireWaits(t, upgrader) // for the last other reader
		require.ErrorIs(t, l.Promote(t.Context(), forever), lane.ErrConflict, "each would wait for the other")
		late := queueFor(t, l, lane.Shared)
		requireWaits(t, late)
		l.Unlock(lane.Shared)
		requireHas(t, upgrader)
		requireWaits(t, writer)
		l.Unlock(lane.Exclusive)
		requireHas(t, writer)
		l.Unlock(lane.Exclusive)
		requireHas(t, late)
		l.Unlock(lane.Shared)
		requireFree(t, l)
	})
}

func TestTheOnlyReaderUpgradesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Shared)
		writer := queueFor(t, l, lane.Exclusive)
		require.NoError(t, l.Promote(t.Context(), 0))
		requireWaits(t, writer)
		l.Unlock(lane.Exclusive)
		requireHas(t, writer)
		l.Unlock(lane.Exclusive)
		requireFree(t, l)
	})
}

func TestAnUpgraderThatGivesUpLetsTheQueueGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Shared)
		mustLock(t, l, lane.Shared)
		upgrader := promoteIn(t, l)
		reader := queueFor(t, l, lane.Shared)
		requireWaits(t, reader)
		upgrader.cancel()
		requireFails(t, upgrader, context.Canceled)
		requireHas(t, reader)
		for range 3 {
			l.Unlock(lane.Shared)
		}
		requireFree(t, l)
	})
}

func TestTheWaitersOfAPoolAreLimitedOverItsLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &lane.Waiters{Limit: 2}
		read, write := newLane(2, all), newLane(lane.NoLimit, all)
		mustLock(t, read, lane.Shared)
		mustLock(t, read, lane.Shared)
		mustLock(t, write, lane.Shared)
		mustLock(t, write, lane.Shared)
		first, second := queueFor(t, read, lane.Shared), queueFor(t, write, lane.Exclusive)
		require.ErrorIs(t, read.Lock(t.Context(), lane.Shared, lane.Wait{Timeout: forever}), lane.ErrOverloaded)
		require.ErrorIs(t, write.Lock(t.Context(), lane.Exclusive, lane.Wait{Timeout: forever}), lane.ErrOverloaded)
		// Who holds a lock must get on, however many wait.
		upgrader := promoteIn(t, write)
		requireWaits(t, upgrader)
		require.Equal(t, 3, all.Count())
		require.Equal(t, 1, read.Queued())
		require.Equal(t, 2, write.Queued())
		write.Unlock(lane.Shared)
		requireHas(t, upgrader)
		write.Unlock(lane.Exclusive)
		requireHas(t, second)
		write.Unlock(lane.Exclusive)
		read.Unlock(lane.Shared)
		requireHas(t, first)
		read.Unlock(lane.Shared)
		read.Unlock(lane.Shared)
		requireFree(t, read)
		requireFree(t, write)
	})
}
