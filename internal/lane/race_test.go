package lane_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/stretchr/testify/require"
)

// laneRace is one round's callers: a holder that lets go while a waiter is
// cancelled, and somebody behind that waiter who must not be forgotten.
type laneRace struct {
	name string
	// begin takes the lane. wait queues, and has the lane if it returns nil.
	// letGo runs against the cancellation. done gives back what wait got, or
	// what it is left with.
	begin func(l *tested) error
	wait  func(ctx context.Context, l *tested, n *note) error
	letGo func(l *tested)
	done  func(l *tested, err error)
}

func laneRaces() []laneRace {
	background := context.Background()
	give := func(had lane.Access) func(*tested, error) {
		return func(l *tested, err error) {
			if err == nil {
				l.Unlock(had)
			}
		}
	}
	takeExclusive := func(l *tested) error { return l.Lock(background, lane.Exclusive, lane.Wait{}) }
	dropExclusive := func(l *tested) { l.Unlock(lane.Exclusive) }
	return []laneRace{
		{
			name:  "a writer is cancelled",
			begin: takeExclusive,
			wait: func(ctx context.Context, l *tested, _ *note) error {
				return l.Lock(ctx, lane.Exclusive, lane.Wait{Timeout: forever})
			},
			letGo: dropExclusive, done: give(lane.Exclusive),
		},
		{
			name:  "a reader is cancelled",
			begin: takeExclusive,
			wait: func(ctx context.Context, l *tested, _ *note) error {
				return l.Lock(ctx, lane.Shared, lane.Wait{Timeout: forever})
			},
			letGo: dropExclusive, done: give(lane.Shared),
		},
		{
			name: "an upgrader is cancelled",
			begin: func(l *tested) error {
				if err := l.Lock(background, lane.Shared, lane.Wait{}); err != nil {
					return err
				}
				return l.Lock(background, lane.Shared, lane.Wait{})
			},
			wait:  func(ctx context.Context, l *tested, _ *note) error { return l.Promote(ctx, forever) },
			letGo: func(l *tested) { l.Unlock(lane.Shared) },
			done: func(l *tested, err error) {
				if err == nil {
					l.Unlock(lane.Exclusive)
				} else {
					l.Unlock(lane.Shared)
				}
			},
		},
		{
			name:  "one with a payload is cancelled",
			begin: takeExclusive,
			wait: func(ctx context.Context, l *tested, n *note) error {
				_, err := l.LockWith(ctx, lane.Wait{Timeout: forever}, n)
				return err
			},
			letGo: func(l *tested) {
				if !l.Pass(write("carry on")) {
					l.Unlock(lane.Exclusive)
				}
			},
			done: give(lane.Exclusive),
		},
		{
			name:  "one that is claimed is cancelled",
			begin: takeExclusive,
			wait: func(ctx context.Context, l *tested, n *note) error {
				outcome, err := l.LockWith(ctx, lane.Wait{Timeout: forever}, n)
				if outcome == lane.Granted {
					l.Unlock(lane.Exclusive)
				}
				return err
			},
			letGo: func(l *tested) {
				if w := l.Claim(func(any) bool { return true }); w != nil {
					w.Wake()
				}
				l.Unlock(lane.Exclusive)
			},
			done: func(*tested, error) {},
		},
	}
}

func TestNoPermitAndNoWakeUpIsLostWhenCancellationRacesWithTheHandOver(t *testing.T) {
	for _, race := range laneRaces() {
		t.Run(race.name, func(t *testing.T) { raceLane(t, race, rounds.Of(5_000, 20_000, 100_000)/len(laneRaces())) })
	}
}

func raceLane(t *testing.T, race laneRace, rounds int) {
	l := newLane(lane.NoLimit, new(lane.Waiters))
	type round struct {
		ctx context.Context
		n   *note
	}
	// The two waiters live for all rounds: starting goroutines would take longer
	// than what is raced.
	waits, waited := make(chan round), make(chan error)
	follows, followed := make(chan struct{}), make(chan error)
	go func() {
		for r := range waits {
			err := race.wait(r.ctx, l, r.n)
			race.done(l, err)
			waited <- err
		}
	}()
	go func() {
		for range follows {
			// A wake-up that is lost would be a lane.ErrTimeout here.
			err := l.Lock(context.Background(), lane.Exclusive, lane.Wait{Timeout: 30 * time.Second})
			if err == nil {
				l.Unlock(lane.Exclusive)
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

	queue := func(n int) {
		for l.Queued() != n { // only while somebody is on the way into the queue
			runtime.Gosched()
		}
	}
	served, gaveUp := 0, 0
	for i := range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		n := new(note)
		require.NoError(t, race.begin(l))
		waits <- round{ctx, n}
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
				_ = l.Queued()
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
			require.Empty(t, n.text, "who was handed something carries it on")
			gaveUp++
		}
		if l.Queued() != 0 || l.waiters.Count() != 0 || !l.TryLock(lane.Exclusive) {
			requireFree(t, l) // says what is left over
		}
		l.Unlock(lane.Exclusive)
	}
	requireFree(t, l)
	t.Logf("%d were served, %d gave up", served, gaveUp)
}
