package pool

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The tests run in synctest bubbles. synctest.Wait returns when every caller
// either has its answer or waits in the lane, so "it queues" needs no sleeping,
// and timeouts run on the bubble's own clock.

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
func queueFor(t contextual, l *lane, want access) *laneCall {
	c := callLane(t, func(ctx context.Context) error { return l.lock(ctx, want, -1) })
	synctest.Wait()
	return c
}

// promoteIn is queueFor for a shared holder who wants to be alone.
func promoteIn(t contextual, l *lane) *laneCall {
	c := callLane(t, func(ctx context.Context) error { return l.promote(ctx, -1) })
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
func requireFree(t testing.TB, l *lane) {
	t.Helper()
	l.mu.Lock()
	require.Zero(t, l.holders, "shared holders")
	require.False(t, l.alone, "held exclusively")
	require.Nil(t, l.head)
	require.Nil(t, l.tail)
	require.Nil(t, l.upgrade)
	require.Zero(t, l.queued.Load(), "waiters of the lane")
	require.Zero(t, l.waiting.count.Load(), "waiters of the pool")
	closed := l.closed
	l.mu.Unlock()
	if !closed {
		require.NoError(t, l.lock(t.Context(), exclusive, 0))
		l.unlock(exclusive)
		require.NoError(t, l.lock(t.Context(), shared, 0))
		l.unlock(shared)
	}
}

func mustLock(t testing.TB, l *lane, want access) {
	t.Helper()
	require.NoError(t, l.lock(t.Context(), want, 0))
}

func TestALockIsServedInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, exclusive)
		var served []int
		const callers = 50
		for i := range callers {
			go func() {
				if assert.NoError(t, l.lock(t.Context(), exclusive, -1)) {
					served = append(served, i) // under the lock that is tested
					l.unlock(exclusive)
				}
			}()
			synctest.Wait()
			require.EqualValues(t, i+1, l.queued.Load())
		}
		l.unlock(exclusive)
		synctest.Wait()
		require.Len(t, served, callers)
		require.True(t, slices.IsSorted(served), "%v", served)
		requireFree(t, l)
	})
}

func TestAReaderDoesNotOvertakeAWaitingWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, shared)
		writer := queueFor(t, l, exclusive)
		first, second := queueFor(t, l, shared), queueFor(t, l, shared)
		requireWaits(t, writer)
		requireWaits(t, first)
		l.unlock(shared)
		requireHas(t, writer)
		requireWaits(t, first)
		l.unlock(exclusive)
		requireHas(t, first)
		requireHas(t, second) // both at once
		l.unlock(shared)
		l.unlock(shared)
		requireFree(t, l)
	})
}

func TestNoMoreThanTheLimitShareALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(3, &waiters{})
		for range 3 {
			mustLock(t, l, shared)
		}
		fourth, fifth := queueFor(t, l, shared), queueFor(t, l, shared)
		requireWaits(t, fourth)
		l.unlock(shared)
		requireHas(t, fourth)
		requireWaits(t, fifth)
		l.unlock(shared)
		requireHas(t, fifth)
		for range 3 {
			l.unlock(shared)
		}
		requireFree(t, l)
	})
}

func TestACancelledWaiterLeavesTheQueueAndLetsTheOnesBehindItGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, shared)
		writer := queueFor(t, l, exclusive)
		behind, last := queueFor(t, l, shared), queueFor(t, l, shared)
		requireWaits(t, behind) // for the writer alone
		writer.cancel()
		requireFails(t, writer, context.Canceled)
		requireHas(t, behind)
		requireHas(t, last)
		for range 3 {
			l.unlock(shared)
		}
		requireFree(t, l)
	})
}

func TestAWaiterCanBeCancelledWhereverItStands(t *testing.T) {
	for cancelled := range 3 {
		synctest.Test(t, func(t *testing.T) {
			l := newLane(noLimit, &waiters{})
			mustLock(t, l, exclusive)
			calls := []*laneCall{queueFor(t, l, exclusive), queueFor(t, l, exclusive), queueFor(t, l, exclusive)}
			calls[cancelled].cancel()
			requireFails(t, calls[cancelled], context.Canceled)
			require.EqualValues(t, 2, l.queued.Load())
			for i, c := range calls {
				if i != cancelled {
					l.unlock(exclusive)
					requireHas(t, c)
				}
			}
			l.unlock(exclusive)
			requireFree(t, l)
		})
	}
}

func TestACallerWhoseContextHasEndedGetsNothing(t *testing.T) {
	l := newLane(noLimit, &waiters{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, l.lock(ctx, exclusive, -1), context.Canceled)
	mustLock(t, l, shared)
	require.ErrorIs(t, l.promote(ctx, -1), context.Canceled)
	l.unlock(shared)
	requireFree(t, l)
}

func TestAWaitEndsWithItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, exclusive)
		start := time.Now()
		require.ErrorIs(t, l.lock(t.Context(), exclusive, 5*time.Second), ErrAcquireTimeout)
		require.Equal(t, 5*time.Second, time.Since(start), "on the bubble's clock, which only waiting moves")
		require.EqualValues(t, 5*time.Second, l.waited.Load())
		require.ErrorIs(t, l.lock(t.Context(), shared, 0), ErrAcquireTimeout, "no patience at all")
		l.unlock(exclusive)

		mustLock(t, l, shared)
		mustLock(t, l, shared)
		require.ErrorIs(t, l.promote(t.Context(), time.Second), ErrAcquireTimeout)
		require.Equal(t, 2, l.holders, "the one that failed to upgrade still shares")
		l.unlock(shared)
		l.unlock(shared)
		requireFree(t, l)
	})
}

func TestEachWaitEndsAtItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, shared)
		mustLock(t, l, shared)
		ended := make(map[time.Duration]time.Duration)
		begin := time.Now()
		// The nearest end is that of one in the middle, then of one behind it, ...
		for _, limit := range []time.Duration{4 * time.Second, time.Second, 3 * time.Second, 2 * time.Second, 6 * time.Second, -1} {
			go func() {
				err := l.lock(t.Context(), exclusive, limit)
				l.mu.Lock()
				defer l.mu.Unlock()
				ended[limit] = time.Since(begin)
				if limit < 0 {
					assert.ErrorIs(t, err, ErrClosed)
				} else {
					assert.ErrorIs(t, err, ErrAcquireTimeout)
				}
			}()
			synctest.Wait()
		}
		go func() {
			assert.ErrorIs(t, l.promote(t.Context(), 5*time.Second), ErrAcquireTimeout)
			l.mu.Lock()
			defer l.mu.Unlock()
			ended[5*time.Second] = time.Since(begin)
		}()
		<-time.After(time.Minute)
		l.close()
		synctest.Wait()
		want := map[time.Duration]time.Duration{-1: time.Minute}
		for i := range time.Duration(6) {
			want[(i+1)*time.Second] = (i + 1) * time.Second
		}
		require.Equal(t, want, ended)
		l.unlock(shared)
		l.unlock(shared)
		requireFree(t, l)
	})
}

func TestAWaitThatIsOverLetsThoseBehindItIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, shared)
		writer := callLane(t, func(ctx context.Context) error { return l.lock(ctx, exclusive, time.Second) })
		synctest.Wait()
		reader := queueFor(t, l, shared)
		requireWaits(t, reader)
		<-time.After(time.Second)
		requireFails(t, writer, ErrAcquireTimeout)
		requireHas(t, reader)
		l.unlock(shared)
		l.unlock(shared)
		requireFree(t, l)
	})
}

func TestWhoWouldRatherNotWaitGoesPastNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(3, &waiters{})
		require.True(t, l.tryLock(exclusive))
		require.False(t, l.tryLock(exclusive))
		require.False(t, l.tryLock(shared))
		l.unlock(exclusive)
		for range 3 {
			require.True(t, l.tryLock(shared))
		}
		require.False(t, l.tryLock(shared), "the limit")
		l.unlock(shared)
		require.False(t, l.tryLock(exclusive))
		writer := queueFor(t, l, exclusive)
		require.False(t, l.tryLock(shared), "there is room, but a writer waits")
		writer.cancel()
		requireFails(t, writer, context.Canceled)
		upgrader := promoteIn(t, l)
		require.False(t, l.tryLock(shared), "there is room, but one of those who share waits to be alone")
		upgrader.cancel()
		requireFails(t, upgrader, context.Canceled)
		require.True(t, l.tryLock(shared))
		for range 3 {
			l.unlock(shared)
		}
		requireFree(t, l)

		l.refuse()
		require.False(t, l.tryLock(shared))
		closed := newLane(3, &waiters{})
		closed.close()
		require.False(t, closed.tryLock(shared))
		require.False(t, closed.tryLock(exclusive))
	})
}

func TestAReaderJoinsOthersPastTheQueueButNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(2, &waiters{})
		require.False(t, l.join(), "there is nobody to join")
		mustLock(t, l, exclusive)
		require.False(t, l.join(), "a writer is alone")
		l.unlock(exclusive)
		mustLock(t, l, shared)
		writer := queueFor(t, l, exclusive)
		require.True(t, l.join())
		require.False(t, l.join(), "the limit")
		requireWaits(t, writer)
		l.unlock(shared)
		requireWaits(t, writer)
		l.unlock(shared)
		requireHas(t, writer)
		l.unlock(exclusive)
		mustLock(t, l, shared)
		l.close()
		require.False(t, l.join(), "it is closed")
		l.unlock(shared)
		requireFree(t, l)
	})
}

func TestALimitThatGrowsLetsThoseInWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1, &waiters{})
		mustLock(t, l, shared)
		calls := []*laneCall{queueFor(t, l, shared), queueFor(t, l, shared), queueFor(t, l, shared)}
		l.limitTo(3)
		require.Equal(t, 3, l.currentLimit())
		requireHas(t, calls[0])
		requireHas(t, calls[1])
		requireWaits(t, calls[2])
		l.limitTo(1)
		l.unlock(shared)
		l.unlock(shared)
		requireWaits(t, calls[2])
		l.unlock(shared)
		requireHas(t, calls[2])
		l.unlock(shared)
		requireFree(t, l)
	})
}

func TestHousekeepingWaitsBesideTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &waiters{max: 1}
		l := newLane(noLimit, w)
		mustLock(t, l, exclusive)
		first := queueFor(t, l, exclusive)
		own := callLane(t, func(ctx context.Context) error { return l.lock(housekeeping{ctx}, exclusive, -1) })
		requireWaits(t, own)
		require.EqualValues(t, 1, w.count.Load())
		require.EqualValues(t, 1, l.queued.Load())
		require.ErrorIs(t, l.lock(t.Context(), shared, -1), ErrOverloaded)
		<-time.After(time.Second)
		l.unlock(exclusive)
		requireHas(t, first)
		require.EqualValues(t, time.Second, l.waited.Load())
		requireWaits(t, own)
		<-time.After(time.Second)
		l.unlock(exclusive)
		requireHas(t, own)
		require.EqualValues(t, time.Second, l.waited.Load(), "nobody waited longer who counts")
		l.unlock(exclusive)
		requireFree(t, l)
	})
}

func TestTheContextsDeadlineIsNotAnAcquireTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, exclusive)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, l.lock(ctx, exclusive, time.Minute), context.DeadlineExceeded)
		l.unlock(exclusive)
		requireFree(t, l)
	})
}

func TestANegativeTimeoutWaitsForAsLongAsItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, exclusive)
		patient := queueFor(t, l, exclusive)
		<-time.After(1000 * time.Hour) // of the bubble
		requireWaits(t, patient)
		l.unlock(exclusive)
		requireHas(t, patient)
		l.unlock(exclusive)
	})
}

func TestClosingALaneWakesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, shared)
		mustLock(t, l, shared)
		upgrader := promoteIn(t, l)
		reader, writer := queueFor(t, l, shared), queueFor(t, l, exclusive)
		l.close()
		for _, c := range []*laneCall{upgrader, reader, writer} {
			requireFails(t, c, ErrClosed)
		}
		require.ErrorIs(t, l.lock(t.Context(), shared, -1), ErrClosed)
		require.ErrorIs(t, l.lock(t.Context(), exclusive, -1), ErrClosed)
		require.ErrorIs(t, l.promote(t.Context(), -1), ErrClosed)
		require.Equal(t, 2, l.holders, "the upgrader's lock and the other's")
		l.close() // again: nothing to do
		l.unlock(shared)
		l.unlock(shared)
		requireFree(t, l)
	})
}

func TestALaneThatRefusesServesThoseWhoHaveSomethingAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, shared)
		come := func(want access) *laneCall {
			c := callLane(t, func(ctx context.Context) error { return l.lockAs(ctx, want, -1, nil) })
			synctest.Wait()
			return c
		}
		newWriter := come(exclusive)
		old := queueFor(t, l, shared) // with a lease, say, on which it reads
		newReader := come(shared)
		requireWaits(t, old) // behind the writer
		l.refuse()
		requireFails(t, newWriter, ErrClosed)
		requireFails(t, newReader, ErrClosed)
		requireHas(t, old)
		require.ErrorIs(t, l.lockAs(t.Context(), shared, -1, nil), ErrClosed)
		mustLock(t, l, shared)
		for range 3 {
			l.unlock(shared)
		}
		requireFree(t, l)
	})
}

func TestAHeldLockStaysValidAfterClose(t *testing.T) {
	l := newLane(noLimit, &waiters{})
	mustLock(t, l, exclusive)
	l.close()
	require.True(t, l.alone)
	require.ErrorIs(t, l.lock(t.Context(), shared, 0), ErrClosed)
	l.unlock(exclusive)
	requireFree(t, l)
}

func TestAnUpgraderGoesAheadOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		for range 3 {
			mustLock(t, l, shared)
		}
		writer := queueFor(t, l, exclusive)
		upgrader := promoteIn(t, l)
		l.unlock(shared)
		requireWaits(t, upgrader) // for the last other reader
		require.ErrorIs(t, l.promote(t.Context(), -1), ErrConflict, "each would wait for the other")
		late := queueFor(t, l, shared)
		requireWaits(t, late)
		l.unlock(shared)
		requireHas(t, upgrader)
		requireWaits(t, writer)
		l.unlock(exclusive)
		requireHas(t, writer)
		l.unlock(exclusive)
		requireHas(t, late)
		l.unlock(shared)
		requireFree(t, l)
	})
}

func TestTheOnlyReaderUpgradesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, shared)
		writer := queueFor(t, l, exclusive)
		require.NoError(t, l.promote(t.Context(), 0))
		requireWaits(t, writer)
		l.unlock(exclusive)
		requireHas(t, writer)
		l.unlock(exclusive)
		requireFree(t, l)
	})
}

func TestAnUpgraderThatGivesUpLetsTheQueueGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, shared)
		mustLock(t, l, shared)
		upgrader := promoteIn(t, l)
		reader := queueFor(t, l, shared)
		requireWaits(t, reader)
		upgrader.cancel()
		requireFails(t, upgrader, context.Canceled)
		requireHas(t, reader)
		for range 3 {
			l.unlock(shared)
		}
		requireFree(t, l)
	})
}

func TestTheWaitersOfAPoolAreLimitedOverItsLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &waiters{max: 2}
		read, write := newLane(2, all), newLane(noLimit, all)
		mustLock(t, read, shared)
		mustLock(t, read, shared)
		mustLock(t, write, shared)
		mustLock(t, write, shared)
		first, second := queueFor(t, read, shared), queueFor(t, write, exclusive)
		require.ErrorIs(t, read.lock(t.Context(), shared, -1), ErrOverloaded)
		require.ErrorIs(t, write.lock(t.Context(), exclusive, -1), ErrOverloaded)
		// Who holds a lock must get on, however many wait.
		upgrader := promoteIn(t, write)
		requireWaits(t, upgrader)
		require.EqualValues(t, 3, all.count.Load())
		require.EqualValues(t, 1, read.queued.Load())
		require.EqualValues(t, 2, write.queued.Load())
		write.unlock(shared)
		requireHas(t, upgrader)
		write.unlock(exclusive)
		requireHas(t, second)
		write.unlock(exclusive)
		read.unlock(shared)
		requireHas(t, first)
		read.unlock(shared)
		read.unlock(shared)
		requireFree(t, read)
		requireFree(t, write)
	})
}

func TestALockIsPassedToTheNextOnlyIfThatIsABatchMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, exclusive)
		never := func(*member) { t.Error("nobody takes over") }
		require.Nil(t, l.pass(never), "nobody waits")

		b := new(batch)
		join := func(m *member) *laneCall {
			c := callLane(t, func(ctx context.Context) error { return l.lockAs(ctx, exclusive, -1, m) })
			synctest.Wait()
			return c
		}
		first, last := new(member), new(member)
		one := join(first)
		stranger := queueFor(t, l, exclusive)
		two := join(last)

		require.Same(t, first, l.pass(func(m *member) { m.shared = b }))
		requireHas(t, one)
		require.Same(t, b, first.shared)
		require.True(t, l.alone, "it was never free in between")
		require.EqualValues(t, 2, l.queued.Load())

		require.Nil(t, l.pass(never), "the next is no member, and nobody overtakes it")
		requireWaits(t, stranger)
		requireWaits(t, two)
		l.unlock(exclusive)
		requireHas(t, stranger)
		l.unlock(exclusive)
		requireHas(t, two)
		require.Nil(t, last.shared, "it came by itself and begins a transaction of its own")
		l.unlock(exclusive)
		requireFree(t, l)
	})
}

func TestNothingIsPassedOnAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(noLimit, &waiters{})
		mustLock(t, l, exclusive)
		c := callLane(t, func(ctx context.Context) error { return l.lockAs(ctx, exclusive, -1, new(member)) })
		synctest.Wait()
		l.close()
		require.Nil(t, l.pass(func(*member) { t.Error("nobody takes over") }))
		requireFails(t, c, ErrClosed)
		l.unlock(exclusive)
		requireFree(t, l)
	})
}

// giveUpLate has wait see what it only sees if it is unlucky: its context ends
// first, and before it gets the lane's mutex the lane is granted to it. So w has
// been granted, but its channel does not say so.
func giveUpLate(l *lane, wish wish) error {
	w := l.waiting.get(wish)
	w.granted = true
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return l.wait(ctx, w)
}

func TestALockGrantedToSomebodyWhoJustGaveUpGoesToTheNext(t *testing.T) {
	for _, granted := range []wish{{want: exclusive}, {want: shared}, {want: exclusive, holding: true}, {want: exclusive, member: new(member)}} {
		synctest.Test(t, func(t *testing.T) {
			l := newLane(1, &waiters{})
			l.grant(granted.want)
			next := queueFor(t, l, shared)
			if granted.holding { // it keeps its place among the readers, so there must be room
				l.limit = 2
			}
			requireWaits(t, next)
			require.ErrorIs(t, giveUpLate(l, granted), context.Canceled)
			requireHas(t, next)
			l.unlock(shared)
			if granted.holding {
				l.unlock(shared)
			}
			l.limit = noLimit
			requireFree(t, l)
		})
	}
}

func TestAMemberCancelledAtTheMomentOfTheHandOverCarriesOn(t *testing.T) {
	l := newLane(noLimit, &waiters{})
	mustLock(t, l, exclusive)
	require.NoError(t, giveUpLate(l, wish{want: exclusive, member: &member{shared: new(batch)}}))
	require.True(t, l.alone, "it has the lock, and with it the others' work")
	l.unlock(exclusive)
	requireFree(t, l)
}

// laneModel is what a lane should do, said simply: one queue, the upgrader at
// its front, and whoever stands first goes in as soon as there is room.
type laneModel struct {
	limit, max int
	held       map[int]access // who holds what
	queue      []modelWaiter
	refuses    bool
	closed     bool
}

type modelWaiter struct {
	actor    int
	want     access
	upgrade  bool
	newcomer bool
	member   bool
	deadline time.Time // zero: none
}

func (m *laneModel) fits(w modelWaiter) bool {
	exclusives := 0
	for _, a := range m.held {
		if a == exclusive {
			exclusives++
		}
	}
	switch {
	case w.upgrade:
		return len(m.held) == 1 // itself
	case w.want == exclusive:
		return len(m.held) == 0
	default:
		return exclusives == 0 && len(m.held) < m.limit
	}
}

// ask adds a caller. answered is false if it waits.
func (m *laneModel) ask(w modelWaiter) (err error, answered bool) {
	upgrading := len(m.queue) > 0 && m.queue[0].upgrade
	switch {
	case m.closed || m.refuses && w.newcomer:
		return ErrClosed, true
	case w.upgrade && upgrading:
		return ErrConflict, true
	case (len(m.queue) == 0 || w.upgrade) && m.fits(w):
		m.held[w.actor] = w.want
		return nil, true
	case w.upgrade:
		m.queue = slices.Insert(m.queue, 0, w)
	case m.max > 0 && len(m.queue) >= m.max:
		return ErrOverloaded, true
	default:
		m.queue = append(m.queue, w)
	}
	return nil, false
}

// serve lets in who can come in, and returns them.
func (m *laneModel) serve(answers map[int]error) {
	for len(m.queue) > 0 && m.fits(m.queue[0]) {
		w := m.queue[0]
		m.queue = m.queue[1:]
		m.held[w.actor] = w.want
		answers[w.actor] = nil
	}
}

func (m *laneModel) leave(actor int) {
	m.queue = slices.DeleteFunc(m.queue, func(w modelWaiter) bool { return w.actor == actor })
}

func (m *laneModel) waits(actor int) bool {
	return slices.ContainsFunc(m.queue, func(w modelWaiter) bool { return w.actor == actor })
}

// check compares the lane with the model, down to its queue.
func (m *laneModel) check(t *rapid.T, l *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	holders, alone := 0, false
	for _, a := range m.held {
		if a == exclusive {
			alone = true
		} else {
			holders++
		}
	}
	require.Equal(t, holders, l.holders, "shared holders")
	require.Equal(t, alone, l.alone, "held exclusively")
	require.Equal(t, m.closed, l.closed)
	require.Equal(t, m.refuses, l.refuses)
	require.EqualValues(t, len(m.queue), l.queued.Load(), "waiters of the lane")
	require.EqualValues(t, len(m.queue), l.waiting.count.Load(), "waiters of the pool")
	require.Equal(t, len(m.queue) > 0 && m.queue[0].upgrade, l.upgrade != nil, "an upgrader waits")
	var want, got []access
	for _, w := range m.queue {
		if !w.upgrade {
			want = append(want, w.want)
		}
	}
	var before *waiter
	for w := l.head; w != nil; before, w = w, w.next {
		got = append(got, w.want)
		require.Same(t, before, w.prev)
	}
	require.Same(t, before, l.tail)
	require.Equal(t, want, got, "the queue")
}

func TestALaneDoesWhatItsModelDoes(t *testing.T) {
	for range rounds.Of(10, 10, 20) { // rapid's default of 100 histories is few for what takes so little time
		rapid.Check(t, func(rt *rapid.T) { rapid.SyncTest(rt, compareLaneWithModel) })
	}
}

func compareLaneWithModel(t *rapid.T) {
	const actors = 8
	m := &laneModel{
		limit: rapid.SampledFrom([]int{1, 2, 3, noLimit}).Draw(t, "limit"),
		max:   rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "max waiters"),
		held:  map[int]access{},
	}
	l := newLane(m.limit, &waiters{max: int64(m.max)})
	calls := map[int]*laneCall{} // who waits

	// Upgrading needs several readers, which seldom come together by chance.
	for actor := range rapid.IntRange(0, min(m.limit, 4)).Draw(t, "readers") {
		require.NoError(t, l.lock(t.Context(), shared, 0))
		m.held[actor] = shared
	}

	// expect sees that those answer who should, with the right answer, and no others.
	expect := func(answers map[int]error) {
		synctest.Wait()
		for actor, c := range calls {
			err, answered := c.settled()
			want, due := answers[actor]
			require.Equal(t, due, answered, "actor %d has its answer (%v), or should have", actor, err)
			require.ErrorIs(t, err, want, "actor %d", actor)
			if answered {
				c.cancel()
				delete(calls, actor)
			}
		}
	}
	draw := func(label string, of func(actor int) bool) int {
		var who []int
		for actor := range actors {
			if of(actor) {
				who = append(who, actor)
			}
		}
		if len(who) == 0 {
			t.SkipNow() // rapid: this action cannot be taken now
		}
		return rapid.SampledFrom(who).Draw(t, label)
	}
	isIdle := func(actor int) bool { _, holds := m.held[actor]; return !holds && !m.waits(actor) }
	holdsAs := func(a access) func(int) bool {
		return func(actor int) bool { had, holds := m.held[actor]; return holds && had == a && !m.waits(actor) }
	}
	// patience draws a timeout. No two end at the same instant: which of the two
	// came first would be anybody's guess.
	patience := func() (timeout time.Duration, deadline time.Time) {
		seconds := rapid.IntRange(-3, 3).Draw(t, "timeout")
		if seconds <= 0 {
			return -1, time.Time{}
		}
		deadline = time.Now().Add(time.Duration(seconds) * time.Second)
		for slices.ContainsFunc(m.queue, func(w modelWaiter) bool { return w.deadline.Equal(deadline) }) {
			deadline = deadline.Add(1)
		}
		return time.Until(deadline), deadline
	}
	ask := func(w modelWaiter, f func(ctx context.Context) error) {
		calls[w.actor] = callLane(t, f)
		answers := map[int]error{}
		if err, answered := m.ask(w); answered {
			answers[w.actor] = err
		}
		expect(answers)
	}
	lock := func(want access, asMember bool) {
		w := modelWaiter{actor: draw("actor", isIdle), want: want, member: asMember}
		w.newcomer = asMember || rapid.Bool().Draw(t, "newcomer")
		var timeout time.Duration
		timeout, w.deadline = patience()
		var mine *member
		if asMember {
			mine = new(member)
		}
		ask(w, func(ctx context.Context) error {
			if w.newcomer {
				return l.lockAs(ctx, want, timeout, mine)
			}
			return l.lock(ctx, want, timeout)
		})
	}

	t.Repeat(map[string]func(*rapid.T){
		"":               func(t *rapid.T) { m.check(t, l) },
		"lock shared":    func(*rapid.T) { lock(shared, false) },
		"lock exclusive": func(*rapid.T) { lock(exclusive, false) },
		"lock as member": func(*rapid.T) { lock(exclusive, true) },
		"promote": func(*rapid.T) {
			w := modelWaiter{actor: draw("actor", holdsAs(shared)), want: exclusive, upgrade: true}
			var timeout time.Duration
			timeout, w.deadline = patience()
			ask(w, func(ctx context.Context) error { return l.promote(ctx, timeout) })
		},
		"unlock": func(*rapid.T) {
			actor := draw("actor", func(actor int) bool { _, holds := m.held[actor]; return holds && !m.waits(actor) })
			had := m.held[actor]
			delete(m.held, actor)
			answers := map[int]error{}
			m.serve(answers)
			l.unlock(had)
			expect(answers)
		},
		"pass": func(*rapid.T) {
			actor := draw("actor", holdsAs(exclusive))
			answers := map[int]error{}
			if goes := !m.closed && len(m.queue) > 0 && m.queue[0].member; goes {
				next := m.queue[0].actor
				m.leave(next)
				delete(m.held, actor)
				m.held[next] = exclusive
				answers[next] = nil
			}
			taken := l.pass(func(m *member) { m.shared = new(batch) })
			require.Equal(t, len(answers) == 1, taken != nil, "somebody took over")
			expect(answers)
		},
		"cancel": func(*rapid.T) {
			actor := draw("actor", m.waits)
			m.leave(actor)
			answers := map[int]error{actor: context.Canceled}
			m.serve(answers)
			calls[actor].cancel()
			expect(answers)
		},
		"time passes": func(*rapid.T) {
			var next modelWaiter
			for _, w := range m.queue {
				if !w.deadline.IsZero() && (next.deadline.IsZero() || w.deadline.Before(next.deadline)) {
					next = w
				}
			}
			if next.deadline.IsZero() {
				t.SkipNow() // rapid: nobody's patience ends
			}
			m.leave(next.actor)
			answers := map[int]error{next.actor: ErrAcquireTimeout}
			m.serve(answers)
			<-time.After(time.Until(next.deadline)) // the bubble's clock
			expect(answers)
		},
		"come cancelled": func(*rapid.T) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			require.ErrorIs(t, l.lock(ctx, shared, -1), context.Canceled)
		},
		"refuse": func(*rapid.T) {
			if rapid.IntRange(0, 7).Draw(t, "luck") != 0 {
				t.SkipNow() // seldom, as close
			}
			answers := map[int]error{}
			for _, w := range m.queue {
				if w.newcomer {
					answers[w.actor] = ErrClosed
				}
			}
			m.queue = slices.DeleteFunc(m.queue, func(w modelWaiter) bool { return w.newcomer })
			m.refuses = true
			m.serve(answers)
			l.refuse()
			expect(answers)
		},
		"close": func(*rapid.T) {
			// Seldom, or most runs would be about a closed lane.
			if rapid.IntRange(0, 15).Draw(t, "luck") != 0 {
				t.SkipNow()
			}
			answers := map[int]error{}
			for _, w := range m.queue {
				answers[w.actor] = ErrClosed
			}
			m.queue, m.closed = nil, true
			l.close()
			expect(answers)
		},
	})

	// Whatever happened, it ends well: all let go, and nothing is left over.
	for len(m.held) > 0 {
		for actor, had := range m.held {
			if m.waits(actor) {
				continue // it upgrades, and waits for the others
			}
			delete(m.held, actor)
			answers := map[int]error{}
			m.serve(answers)
			l.unlock(had)
			expect(answers)
			break
		}
	}
	require.Empty(t, calls)
	m.check(t, l)
}

// laneRace is one round's callers: a holder that lets go while a waiter is
// cancelled, and somebody behind that waiter who must not be forgotten.
type laneRace struct {
	name string
	// begin takes the lane. wait queues, and has the lane if it returns nil.
	// letGo runs against the cancellation. done gives back what wait got, or
	// what it is left with.
	begin func(l *lane) error
	wait  func(ctx context.Context, l *lane, m *member) error
	letGo func(l *lane)
	done  func(l *lane, err error)
}

func laneRaces() []laneRace {
	background := context.Background()
	give := func(had access) func(*lane, error) {
		return func(l *lane, err error) {
			if err == nil {
				l.unlock(had)
			}
		}
	}
	takeExclusive := func(l *lane) error { return l.lock(background, exclusive, 0) }
	dropExclusive := func(l *lane) { l.unlock(exclusive) }
	return []laneRace{
		{
			name:  "a writer is cancelled",
			begin: takeExclusive,
			wait:  func(ctx context.Context, l *lane, _ *member) error { return l.lock(ctx, exclusive, -1) },
			letGo: dropExclusive, done: give(exclusive),
		},
		{
			name:  "a reader is cancelled",
			begin: takeExclusive,
			wait:  func(ctx context.Context, l *lane, _ *member) error { return l.lock(ctx, shared, -1) },
			letGo: dropExclusive, done: give(shared),
		},
		{
			name: "an upgrader is cancelled",
			begin: func(l *lane) error {
				if err := l.lock(background, shared, 0); err != nil {
					return err
				}
				return l.lock(background, shared, 0)
			},
			wait:  func(ctx context.Context, l *lane, _ *member) error { return l.promote(ctx, -1) },
			letGo: func(l *lane) { l.unlock(shared) },
			done: func(l *lane, err error) {
				if err == nil {
					l.unlock(exclusive)
				} else {
					l.unlock(shared)
				}
			},
		},
		{
			name:  "a batch member is cancelled",
			begin: takeExclusive,
			wait:  func(ctx context.Context, l *lane, m *member) error { return l.lockAs(ctx, exclusive, -1, m) },
			letGo: func(l *lane) {
				if l.pass(func(m *member) { m.shared = new(batch) }) == nil {
					l.unlock(exclusive)
				}
			},
			done: give(exclusive),
		},
	}
}

func TestNoPermitAndNoWakeUpIsLostWhenCancellationRacesWithTheHandOver(t *testing.T) {
	for _, race := range laneRaces() {
		t.Run(race.name, func(t *testing.T) { raceLane(t, race, rounds.Of(5_000, 20_000, 100_000)/len(laneRaces())) })
	}
}

func raceLane(t *testing.T, race laneRace, rounds int) {
	l := newLane(noLimit, &waiters{})
	type round struct {
		ctx context.Context
		m   *member
	}
	// The two waiters live for all rounds: starting goroutines would take longer
	// than what is raced.
	waits, waited := make(chan round), make(chan error)
	follows, followed := make(chan struct{}), make(chan error)
	go func() {
		for r := range waits {
			err := race.wait(r.ctx, l, r.m)
			race.done(l, err)
			waited <- err
		}
	}()
	go func() {
		for range follows {
			// A wake-up that is lost would be an ErrAcquireTimeout here.
			err := l.lock(context.Background(), exclusive, 30*time.Second)
			if err == nil {
				l.unlock(exclusive)
			}
			followed <- err
		}
	}()
	calls, called := make(chan func()), make(chan struct{})
	go func() {
		for f := range calls {
			f()
			called <- struct{}{}
		}
	}()
	defer func() { close(waits); close(follows); close(calls) }()

	queue := func(n int64) {
		for l.queued.Load() != n { // only while somebody is on the way into the queue
			runtime.Gosched()
		}
	}
	served, gaveUp := 0, 0
	for i := range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		m := new(member)
		require.NoError(t, race.begin(l))
		waits <- round{ctx, m}
		queue(1)
		follows <- struct{}{}
		queue(2)
		// Who has the head start must vary, or one of the two would always win.
		first, second := func() { race.letGo(l) }, func() { cancel() }
		if i%2 == 0 {
			first, second = second, first
		}
		if i%3 == 0 { // both here: a race with the waiter's waking up
			calls <- func() {}
			first()
			second()
		} else {
			calls <- first
			for range rand.IntN(200) {
				_ = l.queued.Load()
			}
			second()
		}
		<-called
		err := <-waited
		require.NoError(t, <-followed)
		if err == nil {
			served++
		} else {
			require.ErrorIs(t, err, context.Canceled)
			require.Nil(t, m.shared, "who was handed a transaction carries it on")
			gaveUp++
		}
		if l.holders != 0 || l.alone || l.head != nil || l.upgrade != nil || l.queued.Load() != 0 || l.waiting.count.Load() != 0 {
			requireFree(t, l) // says what is left over
		}
	}
	requireFree(t, l)
	t.Logf("%d were served, %d gave up", served, gaveUp)
}
