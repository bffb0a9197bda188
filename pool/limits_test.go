package pool_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// limits is a sequential model of a pool's limits beside a pool: who holds what,
// who waits for it in which order, and what has been counted. Each step is done
// to both, and both must agree after it.
type limits struct {
	t    *testing.T
	rt   *rapid.T
	p    *pool.Pool
	max  int // callers that may wait
	mu   sync.Mutex
	kept []*pool.Lease // by OnConnect; guarded by mu

	held  []*limitsCaller
	queue [2][]*limitsCaller // for a reading connection, for the write lane
	count pool.Stats         // the counters alone
}

const limitsConns, limitsReaders = 3, 2

// limitsCaller wants a lease or a transaction, or has it.
type limitsCaller struct {
	level   pool.Level // of a transaction
	lease   bool
	cancel  context.CancelFunc
	served  chan error // when it no longer waits
	dirty   bool
	onLease *pool.Lease
	onTx    *pool.Tx
}

// lane is 1 for the write lane.
func (c *limitsCaller) lane() int {
	if c.lease || c.level == pool.Deferred {
		return 0
	}
	return 1
}

func (c *limitsCaller) take(ctx context.Context, p *pool.Pool) (err error) {
	if c.lease {
		c.onLease, err = p.Acquire(ctx)
	} else {
		c.onTx, err = p.Begin(ctx, c.level)
	}
	return err
}

func (m *limits) has(lane int) (n int) {
	for _, c := range m.held {
		if c.lane() == lane {
			n++
		}
	}
	return n
}

func (m *limits) waiting() int { return len(m.queue[0]) + len(m.queue[1]) }

func (m *limits) room(lane int) bool {
	return len(m.queue[lane]) == 0 && m.has(lane) < []int{limitsReaders, 1}[lane]
}

// take is a new caller: served at once, refused, or one that waits.
func (m *limits) take(c *limitsCaller) {
	full := m.waiting() == m.max
	switch lane := c.lane(); {
	case m.room(lane) && full: // maintenance may open a connection there just now
	case m.room(lane):
		require.NoError(m.rt, c.take(m.t.Context(), m.p))
		m.serve(c)
	case full:
		err := c.take(m.t.Context(), m.p)
		require.ErrorIs(m.rt, err, pool.ErrOverloaded)
		require.ErrorContains(m.rt, err, "MaxWaiters is 2")
		m.count.Overloads++
	default:
		ctx, cancel := context.WithCancel(m.t.Context())
		c.cancel, c.served = cancel, make(chan error, 1)
		m.queue[lane] = append(m.queue[lane], c)
		go func() { c.served <- c.take(ctx, m.p) }()
	}
}

func (m *limits) serve(c *limitsCaller) {
	m.held = append(m.held, c)
	m.count.Acquires++
}

// next serves the first who waits, now that there is room.
func (m *limits) next(lane int) {
	if len(m.queue[lane]) == 0 {
		return
	}
	c := m.queue[lane][0]
	m.queue[lane] = slices.Delete(m.queue[lane], 0, 1)
	require.NoError(m.rt, <-c.served)
	m.serve(c)
}

// leave ends a wait.
func (m *limits) leave(lane, i int) {
	c := m.queue[lane][i]
	m.queue[lane] = slices.Delete(m.queue[lane], i, i+1)
	c.cancel()
	require.ErrorIs(m.rt, <-c.served, context.Canceled)
}

// give ends what is held.
func (m *limits) give(i int, commit bool) {
	c := m.forget(i)
	switch {
	case c.lease:
		c.onLease.Release()
		if c.dirty {
			m.count.Dirty++
		}
	case commit:
		require.NoError(m.rt, c.onTx.Commit(m.t.Context()))
		m.count.Committed++
	default:
		require.NoError(m.rt, c.onTx.Rollback(m.t.Context()))
		m.count.RolledBack++
	}
	m.next(c.lane())
}

func (m *limits) forget(i int) *limitsCaller {
	c := m.held[i]
	m.held = slices.Delete(m.held, i, i+1) // which forgets it indeed
	return c
}

// abandon lets what is held become garbage.
func (m *limits) abandon(i int) {
	lane := m.forget(i).lane()
	m.count.Reclaimed++
	m.count.Dirty++
	waitForGarbage(m.t, "it is reclaimed", func() bool { return m.p.Stats().Reclaimed == m.count.Reclaimed })
	m.next(lane)
}

// breakAll closes all connections behind the back of a pool at rest, and has
// them all wanted.
func (m *limits) breakAll() {
	m.mu.Lock()
	for _, c := range m.kept {
		_ = pool.Shut(c) // or it was before
	}
	m.kept = nil
	m.mu.Unlock()
	m.count.Broken += limitsConns
	for _, c := range []*limitsCaller{{lease: true}, {lease: true}, {level: pool.Exclusive}} {
		require.NoError(m.rt, c.take(m.t.Context(), m.p))
		m.serve(c)
	}
	for len(m.held) > 0 {
		m.give(0, true)
	}
}

// agree compares the pool with the model.
func (m *limits) agree() {
	waitFor(m.t, "those who wait do, and what went is replaced", func() bool {
		s := m.p.Stats()
		return s.InUse == len(m.held) && s.Waiting == m.waiting() && s.WriteQueue == len(m.queue[1]) && s.Open == limitsConns && s.Reset == m.count.Reset
	})
	s := m.p.Stats()
	require.Equal(m.rt, limitsConns-len(m.held), s.Idle)
	require.Equal(m.rt, m.count, pool.Stats{
		Acquires: s.Acquires, Timeouts: s.Timeouts, Overloads: s.Overloads, Broken: s.Broken, Dirty: s.Dirty, Reset: s.Reset,
		Reclaimed: s.Reclaimed, Committed: s.Committed, RolledBack: s.RolledBack, Expired: s.Expired, IdleClosed: s.IdleClosed, Lost: s.Lost,
	})
	require.Equal(m.rt, uint64(s.Open)+s.Broken+s.Dirty+s.Reset, s.Created, "connections are there, or were closed for one reason")
}

func TestTheLimitsAreThoseOfAModel(t *testing.T) {
	m := &limits{t: t, max: 2}
	m.p = open(t, pool.Config{
		MaxConns: limitsConns, MinConns: limitsConns, MaxWaiters: m.max, HealthCheckInterval: -1,
		LeakThreshold: 20 * time.Millisecond, // so that maintenance looks for abandoned leases all the time
		Logger:        slog.New(new(logbook)),
		OnConnect: func(_ context.Context, conn *pool.Lease) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.kept = append(m.kept, conn)
			return nil
		},
	})
	m.count.Acquires = m.p.Stats().Acquires
	rapid.Check(t, func(rt *rapid.T) {
		m.rt = rt
		abandons := 1
		for range rapid.IntRange(0, 20).Draw(rt, "steps") {
			atRest := len(m.held)+m.waiting() == 0
			which := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "which") }
			switch what := rapid.SampledFrom([]string{"acquire", "begin", "begin", "give", "give", "leave", "dirty", "abandon", "reset", "break"}).Draw(rt, "what"); {
			case what == "acquire":
				m.take(&limitsCaller{lease: true})
			case what == "begin":
				m.take(&limitsCaller{level: rapid.SampledFrom(levels).Draw(rt, "level")})
			case what == "reset" && atRest:
				m.p.Reset()
				m.count.Reset += limitsConns
			case what == "break" && atRest:
				m.breakAll()
			case what == "leave" && m.waiting() > 0:
				lane := 0
				if len(m.queue[0]) == 0 || len(m.queue[1]) > 0 && rapid.Bool().Draw(rt, "writer") {
					lane = 1
				}
				m.leave(lane, which(len(m.queue[lane])))
			case len(m.held) == 0:
			case what == "give":
				m.give(which(len(m.held)), rapid.Bool().Draw(rt, "commit"))
			case what == "dirty":
				if c := m.held[which(len(m.held))]; c.lease {
					require.NoError(rt, do(t.Context(), c.onLease, "PRAGMA cache_size = 10"))
					c.dirty = true
				}
			case what == "abandon" && abandons > 0:
				abandons--
				m.abandon(which(len(m.held)))
			}
			m.agree()
		}
		for lane := range m.queue {
			for len(m.queue[lane]) > 0 {
				m.leave(lane, 0)
			}
		}
		for len(m.held) > 0 {
			m.give(0, false)
		}
		m.agree()
	})
	requireAtRest(t, m.p)
}

func TestTimeoutsAreThoseOfAModel(t *testing.T) {
	// Nothing is opened meanwhile, so that nobody waits but for a lane.
	p := open(t, pool.Config{MaxConns: limitsConns, MinConns: limitsConns, HealthCheckInterval: -1, AcquireTimeout: time.Millisecond})
	rapid.Check(t, func(rt *rapid.T) {
		m := &limits{t: t, rt: rt, p: p}
		was := p.Stats()
		for range rapid.IntRange(0, 10).Draw(rt, "steps") {
			if n := len(m.held); n > 0 && rapid.Bool().Draw(rt, "give") {
				m.give(rapid.IntRange(0, n-1).Draw(rt, "which"), rapid.Bool().Draw(rt, "commit"))
				continue
			}
			c := &limitsCaller{lease: rapid.Bool().Draw(rt, "lease"), level: rapid.SampledFrom(levels).Draw(rt, "level")}
			room := m.room(c.lane())
			err := c.take(t.Context(), p)
			if room {
				require.NoError(rt, err)
				m.serve(c)
				continue
			}
			require.ErrorIs(rt, err, pool.ErrAcquireTimeout)
			require.ErrorContains(rt, err, "waited 1ms")
			require.ErrorContains(rt, err, "limitsCaller).take", "who holds it")
			m.count.Timeouts++
		}
		s := p.Stats()
		require.Equal(rt, m.count.Timeouts, s.Timeouts-was.Timeouts)
		require.Equal(rt, m.count.Acquires, s.Acquires-was.Acquires)
		require.Equal(rt, len(m.held), s.InUse)
		for len(m.held) > 0 {
			m.give(0, false)
		}
	})
	require.EqualValues(t, limitsConns, p.Stats().Created)
	requireAtRest(t, p)
}
