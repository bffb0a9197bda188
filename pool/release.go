package pool

import (
	"errors"
	"strings"

	"github.com/sqlane/sqlane/internal/lane"
)

// Release gives the connection back, its rows closed. Further statements on the
// lease are ErrReleased. It is idempotent.
func (l *Lease) Release() {
	if l.released.CompareAndSwap(false, true) {
		l.pool.give(l.grip)
	}
}

// give takes a connection back: cleaned if it can be, replaced if not.
func (p *Pool) give(g grip) {
	c := g.conn
	switch why := c.endLease(g.epoch, g.access); why {
	case isGone:
		p.conns.endLease()
	case isBroken: // closed at once: it may hold locks that it cannot give back
		p.conns.remove(c, why)
		p.warn("closing a broken connection failed", c.shut())
		p.bell.ring()
		p.conns.endLease()
	default:
		p.conns.giveBack(c, why)
	}
	g.lane.Unlock(g.access)
	if g.access == lane.Exclusive {
		p.wroteSomething()
	}
}

// endLease ends a lease of the connection's, and says what keeps it from the next.
func (c *conn) endLease(epoch uint64, had lane.Access) reason {
	p := c.pool
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch || c.closed && p.ending.isForced() {
		return isGone
	}
	if err := c.clean(ErrReleased); err != nil {
		c.broken = err
	}
	c.locks.kept = 0
	if had == lane.Exclusive { // the slot is the lease's own, given back with it
		c.locks.slot, c.locks.leased = false, false
		p.writer.CompareAndSwap(c, nil)
		p.logSync.wrote(c)
	} else {
		c.locks.release(c)
	}
	c.text = false
	c.tracking = tracking{}
	c.epoch++ // whoever still has the lease finds it over
	switch {
	case c.closed || c.broken != nil:
		return isBroken
	case c.dirty():
		p.cfg.Logger.Info("a lease changed its connection, which is replaced", "path", p.path, "state", strings.Join(c.changes, ", "))
		return isDirty
	}
	return noReason
}

// clean ends everything that is open on the connection. The caller holds mu.
func (c *conn) clean(reason error) error {
	if c.closed {
		return nil
	}
	err := c.closeRows(-1, reason)
	c.guard.pop(0)
	if !c.db.Autocommit() {
		err = errors.Join(err, c.control(ownCall(), "ROLLBACK"))
	}
	c.work.Undo()
	c.locks.settle(c)
	return err
}
