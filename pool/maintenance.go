package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
)

// maintenance is what goes on beside the callers, in one goroutine that never
// makes one of them wait: connections are checked, aged, trimmed and replaced,
// and what was left behind is closed.
type maintenance struct {
	poke   chan struct{} // asks for a round now
	cancel context.CancelFunc
	done   chan struct{}

	log       logCare
	acquired  uint64 // leases given by the last round
	again     bool   // something could not be done because the lanes were busy
	nextCheck time.Time
	pause     time.Duration // grows while no connection can be opened
	notBefore time.Time     // the end of the pause
}

func (p *Pool) startMaintenance() {
	ctx, cancel := context.WithCancel(context.Background())
	p.maintenance = &maintenance{poke: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	p.maintenance.nextCheck = time.Now().Add(p.cfg.HealthCheckInterval)
	p.resting.Store(true)
	go p.maintain(ctx, p.maintenance)
}

func (m *maintenance) stop() {
	m.cancel()
	<-m.done
}

// attend asks for a round of maintenance. It never blocks.
func (p *Pool) attend() {
	if p.maintenance == nil {
		return // the pool is being opened
	}
	select {
	case p.maintenance.poke <- struct{}{}:
	default:
	}
}

func (p *Pool) maintain(ctx context.Context, m *maintenance) {
	defer close(m.done)
	timer := time.NewTimer(p.rest(m))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.poke:
		case <-timer.C:
		}
		tracking := p.reclaimAbandoned()
		if p.cfg.HealthCheckInterval > 0 && !time.Now().Before(m.nextCheck) {
			p.checkUp(ctx)
			m.nextCheck = time.Now().Add(p.cfg.HealthCheckInterval)
		}
		p.careForLog(ctx, m)
		p.reportLongLeases()
		p.trim()
		p.replenish(ctx, m)
		p.rotate(ctx, m)
		p.closeRetired()
		rest := p.rest(m)
		acquired := p.counts.acquires.Load()
		if tracking || acquired != m.acquired {
			rest = min(rest, reclaimInterval)
		} else {
			p.resting.Store(true)
		}
		m.acquired = acquired
		timer.Reset(rest)
	}
}

// rest is how long maintenance sleeps unless it is asked for.
func (p *Pool) rest(m *maintenance) time.Duration {
	rest := 10 * time.Second
	for _, d := range []time.Duration{p.cfg.HealthCheckInterval, p.cfg.MaxConnIdleTime / 4, p.cfg.MaxConnLifetime / 4, p.cfg.LeakThreshold / 4} {
		if d > 0 {
			rest = min(rest, d)
		}
	}
	if m.pause > 0 {
		rest = min(rest, time.Until(m.notBefore))
	}
	if p.wrote.Load() {
		rest = min(rest, max(time.Until(m.log.notBefore), 0)+time.Millisecond)
	}
	if m.again {
		rest = min(rest, 50*time.Millisecond)
	}
	return max(rest, 5*time.Millisecond)
}

// expiry is when a connection made now has served its time.
func (p *Pool) expiry() time.Duration {
	if p.cfg.MaxConnLifetime <= 0 || p.memory() {
		return 0
	}
	life := p.cfg.MaxConnLifetime
	if jitter := p.cfg.MaxConnLifetimeJitter; jitter > 0 {
		life += rand.N(jitter)
	}
	return p.clock() + life
}

// Reset has every connection replaced once it is idle. It does not wait.
func (p *Pool) Reset() {
	p.mu.Lock()
	p.generation++
	p.mu.Unlock()
	p.attend()
}

// stale reports that a connection is to be replaced. The caller holds mu.
func (p *Pool) stale(c *conn) bool { return c.generation != p.generation || c.expired }

// exchange puts a fresh connection in the place of one that retires, so that
// there are never more than before. The caller holds mu, and nobody has old.
func (p *Pool) exchange(old, fresh *conn) {
	if old.generation != p.generation {
		p.counts.reset.Add(1)
	} else {
		p.counts.expired.Add(1)
	}
	if old == p.primary {
		p.primary = fresh
	} else {
		fresh.idled = old.idled // to be replaced is no use
		p.idle = append(slices.DeleteFunc(p.idle, func(c *conn) bool { return c == old }), fresh)
	}
	delete(p.conns, old)
	p.conns[fresh] = struct{}{}
	p.retired = append(p.retired, old)
}

// rotate replaces stale connections one after the other. Each successor is open
// before its predecessor goes; for one that is leased it is kept as the spare
// until that comes back.
func (p *Pool) rotate(ctx context.Context, m *maintenance) {
	for range 2 * min(p.cfg.MaxConns, 1<<16) { // to open and to exchange; more may have gone stale meanwhile, but others want maintenance too
		now := p.clock()
		p.mu.Lock()
		var stale, idle *conn
		for c := range p.conns {
			c.expired = c.expires > 0 && now > c.expires
			if p.stale(c) {
				stale = c
				if !c.inUse {
					idle = c
				}
			}
		}
		fresh := p.spare
		if fresh != nil && stale == nil {
			p.retired, p.spare, fresh = append(p.retired, fresh), nil, nil
		}
		if fresh != nil && idle != nil {
			p.exchange(idle, fresh)
			p.spare = nil
		}
		p.mu.Unlock()
		switch {
		case stale == nil, fresh != nil && idle == nil:
			return
		case fresh != nil:
			p.closeRetired()
			continue
		}
		fresh = p.openSpare(ctx, m, false)
		if fresh == nil {
			return
		}
		p.mu.Lock()
		p.spare = fresh
		p.mu.Unlock()
	}
	m.again = true
}

// openSpare opens a connection that is not yet among the pool's. While that
// fails the pauses grow.
func (p *Pool) openSpare(ctx context.Context, m *maintenance, slotHeld bool) *conn {
	if time.Now().Before(m.notBefore) {
		return nil
	}
	c, err := p.connect(housekeeping{ctx}, journalVerified, slotHeld)
	if err == nil {
		m.pause, m.notBefore = 0, time.Time{}
		return c
	}
	if ctx.Err() == nil {
		m.pause = min(max(2*m.pause, 50*time.Millisecond), 30*time.Second)
		m.notBefore = time.Now().Add(m.pause)
		p.cfg.Logger.Warn("no connection can be opened", "path", p.path, "error", err, "next_try_in", m.pause)
	}
	return nil
}

// replenish opens what is missing: connections up to MinConns, and one to see
// whether a read lane that had to shrink can be what it was.
func (p *Pool) replenish(ctx context.Context, m *maintenance) {
	m.again = false
	for ctx.Err() == nil {
		shrunk := p.read != nil && p.read.Limit() < p.readers()
		p.mu.Lock()
		few := len(p.conns)+p.pending < min(max(p.cfg.MinConns, 1), p.cfg.MaxConns)
		writer := few && p.primary == nil && p.write != nil
		full := p.readingLocked() >= p.readers()
		reader := p.read != nil && (few || shrunk) && !full
		p.mu.Unlock()
		var done bool
		switch {
		case shrunk && full: // others were opened while it shrank
			done = true
		case writer:
			done = p.openWriter(ctx, m)
		case reader:
			done = p.openReader(ctx, m, shrunk)
		}
		if !done {
			return
		}
		if shrunk {
			p.mu.Lock()
			p.shrunk = nil
			p.mu.Unlock()
			p.read.SetLimit(p.readers())
		}
	}
}

func (p *Pool) openWriter(ctx context.Context, m *maintenance) bool {
	if !p.write.TryLock(lane.Exclusive) { // who has it opens what it needs
		m.again = true
		return false
	}
	defer p.write.Unlock(lane.Exclusive)
	c := p.openSpare(ctx, m, true)
	if c != nil {
		p.park(c, true)
	}
	return c != nil
}

// openReader needs the lane's permission like everybody else, but for a lane
// that shrank, which has permissions to spare.
func (p *Pool) openReader(ctx context.Context, m *maintenance, shrunk bool) bool {
	if !shrunk {
		if !p.read.TryLock(lane.Shared) {
			m.again = true
			return false
		}
		defer p.read.Unlock(lane.Shared)
	}
	p.mu.Lock()
	p.pending++
	p.mu.Unlock()
	c := p.openSpare(ctx, m, false)
	p.mu.Lock()
	p.pending--
	p.mu.Unlock()
	if c != nil {
		p.park(c, false)
	}
	return c != nil
}

// readingLocked is how many connections the read lane has, or will have at once.
func (p *Pool) readingLocked() int {
	n := len(p.conns) + p.pending
	if p.primary != nil {
		n--
	}
	return n
}

// dropSurplusLocked retires an idle connection if there are more than may be:
// maintenance opens one in a lane that shrank without the lane's permission, and
// a caller who has that may open one at the same time.
func (p *Pool) dropSurplusLocked() {
	if len(p.idle) > 0 && p.readingLocked()-p.pending > p.readers() {
		delete(p.conns, p.idle[0])
		p.retired = append(p.retired, p.idle[0])
		p.idle = slices.Delete(p.idle, 0, 1)
		p.attend()
	}
}

// readers is how many connections the read lane may have.
func (p *Pool) readers() int {
	if p.write == nil {
		return p.cfg.MaxConns
	}
	return p.cfg.MaxConns - 1
}

// shrink goes on with the reading connections that are open, after another one
// could not be opened, and says why. It reports false if there are none.
func (p *Pool) shrink(why error) bool {
	p.mu.Lock()
	n := p.readingLocked() - p.pending
	if n > 0 {
		p.shrunk = why
	}
	p.mu.Unlock()
	if n > 0 {
		p.read.SetLimit(n)
		p.attend()
	}
	return n > 0
}

// trim closes connections that have been idle for long, down to MinConns.
func (p *Pool) trim() {
	if p.cfg.MaxConnIdleTime <= 0 || p.memory() {
		return
	}
	now := p.clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		if c.idled == 0 {
			c.idled = now
		}
	}
	// The one used last is at the end, so the first is idle longest.
	for len(p.idle) > 0 && len(p.conns) > max(p.cfg.MinConns, 1) && now-p.idle[0].idled >= p.cfg.MaxConnIdleTime {
		c := p.idle[0]
		p.idle = slices.Delete(p.idle, 0, 1)
		delete(p.conns, c)
		p.retired = append(p.retired, c)
		p.counts.idleClosed.Add(1)
	}
}

// closeRetired closes connections that have left the pool, but never the last
// one that is open: the file would be closed with it.
func (p *Pool) closeRetired() {
	p.mu.Lock()
	var retired []*conn
	if len(p.conns) > 0 || p.spare != nil {
		retired, p.retired = p.retired, nil
	}
	p.mu.Unlock()
	for _, c := range retired {
		p.warn("closing a connection failed", c.shut())
	}
}

func (p *Pool) warn(what string, err error) {
	if err != nil {
		p.cfg.Logger.Warn(what, "path", p.path, "error", err)
	}
}

// checkUp is one round of health checks: of the file, of each connection that
// is idle.
func (p *Pool) checkUp(ctx context.Context) {
	p.counts.healthChecks.Add(1)
	p.log.lookCloser()
	failed := p.checkFile("health check") != nil
	p.mu.Lock()
	waiting := slices.Clone(p.idle)
	if p.primary != nil && !p.primary.inUse {
		waiting = append(waiting, p.primary)
	}
	p.mu.Unlock()
	for _, c := range waiting {
		failed = !p.checkIdle(ctx, c) || failed
	}
	if failed {
		p.counts.healthFailures.Add(1)
	}
}

// checkIdle has a connection answer if nobody wants it now. One that cannot is
// replaced.
func (p *Pool) checkIdle(ctx context.Context, c *conn) (healthy bool) {
	from, want := p.read, lane.Shared
	if p.read == nil || c == p.primaryNow() {
		from, want = p.write, lane.Exclusive
	}
	beside, handedOver := from == p.read && p.excludes(), false
	if beside { // a check does not queue behind the writer
		if !p.write.TryLock(lane.Shared) {
			return true
		}
		defer func() {
			if !handedOver {
				p.write.Unlock(lane.Shared)
			}
		}()
	}
	if !from.TryLock(want) {
		return true // they are in use, and tell by themselves
	}
	p.mu.Lock()
	there := from == p.write && c == p.primary && !c.inUse
	if i := slices.Index(p.idle, c); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
		there = true
	}
	if !there || p.closing {
		if !p.closing && there && c != p.primary {
			p.idle = append(p.idle, c)
		}
		p.mu.Unlock()
		from.Unlock(want)
		return true
	}
	c.inUse, c.holder = true, holder{since: p.clock(), label: "health check"}
	p.leases++
	idled := c.idled
	p.mu.Unlock()
	l := &Lease{pool: p, lane: from, had: want}
	l.hold(c, false)
	if beside { // the connection's from now on: a second one would queue behind a writer that waits for the first
		handedOver = true
		c.mu.Lock()
		c.locks.shared.Store(true)
		c.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := l.readSchema(ctx)
	healthy = err == nil || ctx.Err() != nil || errors.Is(err, ErrBusy)
	if !healthy {
		c.mu.Lock()
		c.broken = err
		c.mu.Unlock()
		p.warn("a connection does not answer and is replaced", err)
	}
	l.Release()
	p.mu.Lock()
	c.idled = idled // a check is no use
	p.mu.Unlock()
	return healthy
}

func (p *Pool) primaryNow() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.primary
}

// reportLongLeases logs leases held beyond LeakThreshold, each once.
func (p *Pool) reportLongLeases() {
	if p.cfg.LeakThreshold <= 0 {
		return
	}
	p.mu.Lock()
	var long []holder
	for c := range p.conns {
		if c.inUse && !c.holder.reported && p.clock()-c.holder.since >= p.cfg.LeakThreshold {
			c.holder.reported = true
			long = append(long, c.holder)
		}
	}
	p.mu.Unlock()
	for _, h := range long {
		p.cfg.Logger.Warn("a lease is held for long", "path", p.path, "age", p.clock()-h.since, "label", h.label, "stack", h.stackText())
	}
}
