package lane_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// laneModel is what a lane should do, said simply: one queue, the upgrader at
// its front, and whoever stands first goes in as soon as there is room.
type laneModel struct {
	limit, max int
	held       map[int]lane.Access // who holds what
	queue      []modelWaiter
	refuses    bool
	closed     bool
}

type modelWaiter struct {
	actor    int
	want     lane.Access
	upgrade  bool
	newcomer bool
	payload  bool
	deadline time.Time // zero: none
}

func (m *laneModel) fits(w modelWaiter) bool {
	exclusives := 0
	for _, a := range m.held {
		if a == lane.Exclusive {
			exclusives++
		}
	}
	switch {
	case w.upgrade:
		return len(m.held) == 1 // itself
	case w.want == lane.Exclusive:
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
		return lane.ErrClosed, true
	case w.upgrade && upgrading:
		return lane.ErrConflict, true
	case (len(m.queue) == 0 || w.upgrade) && m.fits(w):
		m.held[w.actor] = w.want
		return nil, true
	case w.upgrade:
		m.queue = slices.Insert(m.queue, 0, w)
	case m.max > 0 && len(m.queue) >= m.max:
		return lane.ErrOverloaded, true
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

// check compares the lane with the model, as far as those see it who would not
// wait. The order of the queue shows when it is served.
func (m *laneModel) check(t *rapid.T, l *tested) {
	holders, alone := 0, false
	for _, a := range m.held {
		if a == lane.Exclusive {
			alone = true
		} else {
			holders++
		}
	}
	require.Equal(t, len(m.queue), l.Queued(), "waiters of the lane")
	require.Equal(t, len(m.queue), l.waiters.Count(), "waiters of all lanes")
	open := !m.closed && !m.refuses && len(m.queue) == 0
	for _, try := range []struct {
		what string
		with func() bool
		had  lane.Access
		can  bool
	}{
		{"one more shares it", func() bool { return l.TryLock(lane.Shared) }, lane.Shared, open && !alone && holders < m.limit},
		{"one has it alone", func() bool { return l.TryLock(lane.Exclusive) }, lane.Exclusive, open && !alone && holders == 0},
		{"one joins the others", l.Join, lane.Shared, !m.closed && holders > 0 && holders < m.limit},
	} {
		got := try.with()
		require.Equal(t, try.can, got, try.what)
		if got {
			l.Unlock(try.had)
		}
	}
}

func TestALaneDoesWhatItsModelDoes(t *testing.T) {
	for range rounds.Of(10, 10, 50) { // rapid's default of 100 histories is few for what takes so little time
		rapid.Check(t, func(rt *rapid.T) { rapid.SyncTest(rt, compareLaneWithModel) })
	}
}

func compareLaneWithModel(t *rapid.T) {
	const actors = 8
	m := &laneModel{
		limit: rapid.SampledFrom([]int{1, 2, 3, lane.NoLimit}).Draw(t, "limit"),
		max:   rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "max waiters"),
		held:  map[int]lane.Access{},
	}
	l := newLane(m.limit, &lane.Waiters{Limit: m.max})
	calls := map[int]*laneCall{} // who waits

	// Upgrading needs several readers, which seldom come together by chance.
	for actor := range rapid.IntRange(0, min(m.limit, 4)).Draw(t, "readers") {
		require.NoError(t, l.Lock(t.Context(), lane.Shared, lane.Wait{}))
		m.held[actor] = lane.Shared
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
	holdsAs := func(a lane.Access) func(int) bool {
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
	lock := func(want lane.Access, withPayload bool) {
		w := modelWaiter{actor: draw("actor", isIdle), want: want, payload: withPayload}
		w.newcomer = withPayload || rapid.Bool().Draw(t, "newcomer")
		var timeout time.Duration
		timeout, w.deadline = patience()
		ask(w, func(ctx context.Context) error {
			how := lane.Wait{Timeout: timeout, Newcomer: w.newcomer}
			if !withPayload {
				return l.Lock(ctx, want, how)
			}
			_, err := l.LockWith(ctx, how, new(note))
			return err
		})
	}

	t.Repeat(map[string]func(*rapid.T){
		"":                    func(t *rapid.T) { m.check(t, l) },
		"lock shared":         func(*rapid.T) { lock(lane.Shared, false) },
		"lock exclusive":      func(*rapid.T) { lock(lane.Exclusive, false) },
		"lock with a payload": func(*rapid.T) { lock(lane.Exclusive, true) },
		"promote": func(*rapid.T) {
			w := modelWaiter{actor: draw("actor", holdsAs(lane.Shared)), want: lane.Exclusive, upgrade: true}
			var timeout time.Duration
			timeout, w.deadline = patience()
			ask(w, func(ctx context.Context) error { return l.Promote(ctx, timeout) })
		},
		"unlock": func(*rapid.T) {
			actor := draw("actor", func(actor int) bool { _, holds := m.held[actor]; return holds && !m.waits(actor) })
			had := m.held[actor]
			delete(m.held, actor)
			answers := map[int]error{}
			m.serve(answers)
			l.Unlock(had)
			expect(answers)
		},
		"pass": func(*rapid.T) {
			actor := draw("actor", holdsAs(lane.Exclusive))
			answers := map[int]error{}
			if goes := !m.closed && len(m.queue) > 0 && m.queue[0].payload; goes {
				next := m.queue[0].actor
				m.leave(next)
				delete(m.held, actor)
				m.held[next] = lane.Exclusive
				answers[next] = nil
			}
			require.Equal(t, len(answers) == 1, l.Pass(write("carry on")), "somebody took over")
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
			answers := map[int]error{next.actor: lane.ErrTimeout}
			m.serve(answers)
			<-time.After(time.Until(next.deadline)) // the bubble's clock
			expect(answers)
		},
		"come cancelled": func(*rapid.T) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			require.ErrorIs(t, l.Lock(ctx, lane.Shared, lane.Wait{Timeout: forever}), context.Canceled)
		},
		"refuse": func(*rapid.T) {
			if rapid.IntRange(0, 7).Draw(t, "luck") != 0 {
				t.SkipNow() // seldom, as close
			}
			answers := map[int]error{}
			for _, w := range m.queue {
				if w.newcomer {
					answers[w.actor] = lane.ErrClosed
				}
			}
			m.queue = slices.DeleteFunc(m.queue, func(w modelWaiter) bool { return w.newcomer })
			m.refuses = true
			m.serve(answers)
			l.Refuse()
			expect(answers)
		},
		"close": func(*rapid.T) {
			// Seldom, or most runs would be about a closed lane.
			if rapid.IntRange(0, 15).Draw(t, "luck") != 0 {
				t.SkipNow()
			}
			answers := map[int]error{}
			for _, w := range m.queue {
				answers[w.actor] = lane.ErrClosed
			}
			m.queue, m.closed = nil, true
			l.Close()
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
			l.Unlock(had)
			expect(answers)
			break
		}
	}
	require.Empty(t, calls)
	m.check(t, l)
}
