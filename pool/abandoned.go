package pool

import "time"

// reclaimInterval is how often maintenance comes by while leases are given.
const reclaimInterval = 200 * time.Millisecond

// reclaimAbandoned takes leases back that nobody has any more. Their rows and
// statements may still be in somebody's hands, so the connections are replaced.
// It reports whether there are leases to track.
func (p *Pool) reclaimAbandoned() (tracked bool) {
	lent := p.conns.report().lent
	for _, l := range lent {
		gone, ok := l.conn.abandoned()
		if !ok {
			continue
		}
		p.cfg.Logger.Error("a lease was abandoned without Release", "path", p.path, "age", p.clock()-l.since, "label", labelOf(l.ctx), "stack", l.stackText())
		if gone.lease != nil {
			gone.lease.Release()
		} else {
			p.give(gone.grip)
		}
		p.counts.reclaimed.Add(1) // It is free: who sees the count may count on that.
	}
	return len(lent) > 0
}

// abandoned returns what is known of the connection's lease if nobody has that any
// more.
func (c *conn) abandoned() (gone tracking, ok bool) {
	if !c.mu.TryLock() { // somebody has it who uses it
		return gone, false
	}
	defer c.mu.Unlock()
	switch t := &c.tracking; {
	case t.epoch == 0:
	case t.owner != nil:
		t.weaken()
	case t.gone():
		gone, *t = *t, tracking{}
		if c.epoch == gone.epoch {
			c.changed(stateOrphaned)
		}
		return gone, true
	}
	return gone, false
}

// reportLongLeases logs leases held beyond LeakThreshold, each once.
func (p *Pool) reportLongLeases() {
	if p.cfg.LeakThreshold <= 0 {
		return
	}
	now := p.clock()
	for _, h := range p.conns.heldSince(now - p.cfg.LeakThreshold) {
		p.cfg.Logger.Warn("a lease is held for long", "path", p.path, "age", now-h.since, "label", labelOf(h.ctx), "stack", h.stackText())
	}
}
