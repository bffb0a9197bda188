package pool

import (
	"time"
	"weak"

	"github.com/sqlane/sqlane/internal/lane"
)

// tracking is how maintenance notices that a lease became garbage before its
// Release. Most leases are given back long before anybody looks, so Acquire only
// notes the lease here; one that is still held when maintenance comes by is
// remembered weakly from then on, and is gone when that finds nothing.
type tracking struct {
	lease  *Lease // until maintenance came by
	weakly weak.Pointer[Lease]
	epoch  uint64 // 0: nobody is to be tracked
	lane   *lane.Lane
	had    lane.Access
}

// reclaimInterval is how often maintenance comes by while leases are given.
const reclaimInterval = 200 * time.Millisecond

// track has the lease reclaimed if it becomes garbage. Leases that functions
// of this package end themselves need none of it. The caller holds conn.mu.
func (l *Lease) track() {
	l.conn.tracking = tracking{lease: l, epoch: l.epoch, lane: l.lane, had: l.had}
	if l.pool.resting.Load() && l.pool.resting.CompareAndSwap(true, false) {
		l.pool.attend()
	}
}

// reclaimAbandoned takes leases back that nobody has any more. Their rows and
// statements may still be in somebody's hands, so the connections are replaced.
// It reports whether there are leases to track.
func (p *Pool) reclaimAbandoned() (tracked bool) {
	type lost struct {
		conn *conn
		tracking
		holder holder
	}
	var abandoned []lost
	p.mu.Lock()
	for c := range p.conns {
		if !c.inUse {
			continue
		}
		tracked = true
		if !c.mu.TryLock() { // somebody has it who uses it
			continue
		}
		switch w := &c.tracking; {
		case w.epoch == 0:
		case w.lease != nil:
			w.weakly, w.lease = weak.Make(w.lease), nil
		case w.weakly.Value() == nil:
			abandoned = append(abandoned, lost{c, *w, c.holder})
			*w = tracking{}
		}
		c.mu.Unlock()
	}
	p.mu.Unlock()
	for _, a := range abandoned {
		p.counts.reclaimed.Add(1)
		p.cfg.Logger.Error("a lease was abandoned without Release", "path", p.path, "age", p.clock()-a.holder.since, "label", a.holder.label, "stack", a.holder.stackText())
		a.conn.mu.Lock()
		if a.conn.leased && a.conn.epoch == a.epoch {
			a.conn.changed(stateOrphaned)
		}
		a.conn.mu.Unlock()
		p.checkIn(a.conn, a.epoch, a.lane, a.had)
	}
	return tracked
}
