package lane_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/stretchr/testify/require"
)

// note is a payload: what the holder writes is what it hands over.
type note struct{ text string }

// answer is what became of a wait.
type answer struct {
	outcome lane.Outcome
	err     error
}

// leaveNote queues for the lane with a payload, and returns once it waits or has
// its answer, which goes to got.
func leaveNote(t contextual, l *tested, n *note) (c *laneCall, got *lane.Outcome) {
	got = new(lane.Outcome)
	c = callLane(t, func(ctx context.Context) (err error) {
		*got, err = l.LockWith(ctx, lane.Wait{Timeout: forever, Newcomer: true}, n)
		return err
	})
	synctest.Wait()
	return c, got
}

// write is for Pass: it hands a text over.
func write(text string) func(payload any) {
	return func(payload any) { payload.(*note).text = text }
}

func TestALockIsPassedToTheNextOnlyIfThatHasAPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		never := func(any) { t.Error("nobody takes over") }
		require.False(t, l.Pass(never), "nobody waits")

		first, last := new(note), new(note)
		one, ofOne := leaveNote(t, l, first)
		stranger := queueFor(t, l, lane.Exclusive)
		two, ofTwo := leaveNote(t, l, last)

		require.True(t, l.Pass(write("carry on")))
		requireHas(t, one)
		require.Equal(t, lane.Handed, *ofOne)
		require.Equal(t, "carry on", first.text)
		require.Equal(t, 2, l.Queued())
		requireWaits(t, stranger) // the lock was never free in between

		require.False(t, l.Pass(never), "the next has no payload, and nobody overtakes it")
		requireWaits(t, stranger)
		requireWaits(t, two)
		l.Unlock(lane.Exclusive)
		requireHas(t, stranger)
		l.Unlock(lane.Exclusive)
		requireHas(t, two)
		require.Equal(t, lane.Granted, *ofTwo, "it came by itself")
		require.Empty(t, last.text)
		l.Unlock(lane.Exclusive)
		requireFree(t, l)
	})
}

func TestWhoHasAPayloadGetsAFreeLaneAtOnce(t *testing.T) {
	l := newLane(lane.NoLimit, new(lane.Waiters))
	outcome, err := l.LockWith(t.Context(), lane.Wait{}, new(note))
	require.NoError(t, err)
	require.Equal(t, lane.Granted, outcome)
	l.Unlock(lane.Exclusive)
	requireFree(t, l)
}

func TestNothingIsPassedOnAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		c, _ := leaveNote(t, l, new(note))
		l.Close()
		require.False(t, l.Pass(func(any) { t.Error("nobody takes over") }))
		require.Nil(t, l.Claim(func(any) bool { t.Error("nobody is there"); return true }))
		requireFails(t, c, lane.ErrClosed)
		l.Unlock(lane.Exclusive)
		requireFree(t, l)
	})
}

func TestTheNextIsClaimedOnlyIfItsPayloadIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		wanted := func(payload any) bool { return payload.(*note).text == "easy" }
		require.Nil(t, l.Claim(wanted), "nobody waits")

		easy, hard := &note{"easy"}, &note{"hard"}
		one, ofOne := leaveNote(t, l, easy)
		two, _ := leaveNote(t, l, hard)
		<-time.After(time.Second)
		w := l.Claim(wanted)
		require.NotNil(t, w)
		require.Same(t, easy, w.Payload())
		require.Equal(t, 1, l.Queued())
		require.Equal(t, 1, l.waiters.Count())
		require.Equal(t, time.Second, l.Waited(), "it waits for no lock any more")
		requireWaits(t, one) // until it is woken
		require.Nil(t, l.Claim(wanted), "the next is not wanted")
		require.Equal(t, 1, l.Queued())
		<-time.After(time.Second)
		w.Wake()
		requireHas(t, one)
		require.Equal(t, lane.Taken, *ofOne)
		require.Equal(t, time.Second, l.Waited())

		requireWaits(t, two)
		l.Unlock(lane.Exclusive)
		requireHas(t, two)
		stranger := queueFor(t, l, lane.Exclusive)
		require.Nil(t, l.Claim(func(any) bool { t.Error("it has no payload"); return true }))
		l.Unlock(lane.Exclusive)
		requireHas(t, stranger)
		l.Unlock(lane.Exclusive)
		requireFree(t, l)
	})
}

func TestWhoIsClaimedWaitsForItsWakeUpWhateverHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		c, got := leaveNote(t, l, new(note))
		w := l.Claim(func(any) bool { return true })
		require.NotNil(t, w)
		c.cancel()
		requireWaits(t, c) // what it left word of is being done
		l.Close()
		requireWaits(t, c)
		w.Wake()
		requireHas(t, c)
		require.Equal(t, lane.Taken, *got)
		l.Unlock(lane.Exclusive)
		requireFree(t, l)
	})
}

// lateContext ends, and before the lane gets to hear of it something happens in
// the lane: a lane asks a context that has ended for the reason first.
type lateContext struct {
	context.Context
	done      chan struct{}
	meanwhile func()
}

func newLateContext(t contextual, meanwhile func()) lateContext {
	return lateContext{t.Context(), make(chan struct{}), meanwhile}
}

func (c lateContext) Done() <-chan struct{} { return c.done }

func (c lateContext) Err() error {
	select {
	case <-c.done:
		c.meanwhile()
		return context.Canceled
	default:
		return nil
	}
}

// giveUpLate asks for the lane, and has the context end and meanwhile happen.
func giveUpLate(t contextual, meanwhile func(), ask func(ctx context.Context) (lane.Outcome, error)) answer {
	ctx := newLateContext(t, meanwhile)
	answers := make(chan answer)
	go func() {
		outcome, err := ask(ctx)
		answers <- answer{outcome, err}
	}()
	synctest.Wait()
	close(ctx.done)
	return <-answers
}

func TestALockGrantedToSomebodyWhoJustGaveUpGoesToTheNext(t *testing.T) {
	for name, ask := range map[string]func(ctx context.Context, l *tested) (lane.Outcome, error){
		"shared": func(ctx context.Context, l *tested) (lane.Outcome, error) {
			return 0, l.Lock(ctx, lane.Shared, lane.Wait{Timeout: forever})
		},
		"exclusive": func(ctx context.Context, l *tested) (lane.Outcome, error) {
			return 0, l.Lock(ctx, lane.Exclusive, lane.Wait{Timeout: forever})
		},
		"with a payload": func(ctx context.Context, l *tested) (lane.Outcome, error) {
			return l.LockWith(ctx, lane.Wait{Timeout: forever}, new(note))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLane(1, new(lane.Waiters))
				mustLock(t, l, lane.Exclusive)
				var next *laneCall
				got := giveUpLate(t, func() {
					next = callLane(t, func(ctx context.Context) error {
						return l.Lock(ctx, lane.Shared, lane.Wait{Timeout: forever})
					})
					synctest.Wait()
					l.Unlock(lane.Exclusive)
					requireWaits(t, next) // the one before has it
				}, func(ctx context.Context) (lane.Outcome, error) { return ask(ctx, l) })
				require.ErrorIs(t, got.err, context.Canceled)
				requireHas(t, next)
				l.Unlock(lane.Shared)
				requireFree(t, l)
			})
		})
	}
}

func TestAnUpgraderWhoJustGaveUpSharesTheLaneAsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(2, new(lane.Waiters))
		mustLock(t, l, lane.Shared)
		mustLock(t, l, lane.Shared)
		next := queueFor(t, l, lane.Shared)
		got := giveUpLate(t, func() {
			l.Unlock(lane.Shared)
			requireWaits(t, next) // the upgrader is alone
		}, func(ctx context.Context) (lane.Outcome, error) { return 0, l.Promote(ctx, forever) })
		require.ErrorIs(t, got.err, context.Canceled)
		requireHas(t, next)
		require.False(t, l.TryLock(lane.Shared), "two share it")
		l.Unlock(lane.Shared)
		require.False(t, l.TryLock(lane.Exclusive), "one still does")
		l.Unlock(lane.Shared)
		requireFree(t, l)
	})
}

func TestWhoIsCancelledAtTheMomentOfTheHandOverCarriesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		n := new(note)
		got := giveUpLate(t, func() { l.Pass(write("carry on")) },
			func(ctx context.Context) (lane.Outcome, error) {
				return l.LockWith(ctx, lane.Wait{Timeout: forever}, n)
			})
		require.Equal(t, answer{lane.Handed, nil}, got)
		require.Equal(t, "carry on", n.text)
		require.False(t, l.TryLock(lane.Shared), "it has the lock, and with it the others' work")
		l.Unlock(lane.Exclusive)
		requireFree(t, l)
	})
}

func TestWhoIsCancelledAtTheMomentOfTheClaimIsDoneFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		got := giveUpLate(t, func() {
			w := l.Claim(func(any) bool { return true })
			go func() {
				<-time.After(time.Second)
				w.Wake()
			}()
		}, func(ctx context.Context) (lane.Outcome, error) {
			return l.LockWith(ctx, lane.Wait{Timeout: forever}, new(note))
		})
		require.Equal(t, answer{lane.Taken, nil}, got)
		l.Unlock(lane.Exclusive)
		requireFree(t, l)
	})
}

func TestWhoIsCancelledWhenItsWaitFailsLeavesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(lane.NoLimit, new(lane.Waiters))
		mustLock(t, l, lane.Exclusive)
		got := giveUpLate(t, l.Close, func(ctx context.Context) (lane.Outcome, error) {
			return 0, l.Lock(ctx, lane.Shared, lane.Wait{Timeout: forever})
		})
		require.Error(t, got.err)
		l.Unlock(lane.Exclusive)
		requireFree(t, l)
	})
}
