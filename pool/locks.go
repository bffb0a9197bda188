package pool

import (
	"math"
	"sync/atomic"
)

// locks is what a connection holds of the pool's write lane. The rule: it holds
// the write slot, the lane's exclusive lock, exactly while it is in a write
// transaction; and where readers and the writer exclude each other, the shared
// lock while it is in a read transaction. conn.mu guards it.
type locks struct {
	slot   bool
	shared atomic.Bool // written under conn.mu, read without it to tell a deadlock
	kept   int         // reasons to keep the slot, whatever SQLite's state is
	exempt bool        // the connection is being set up under locks held elsewhere
}

const noLimit = math.MaxInt

// take waits for what the statement needs.
func (k *locks) take(c *conn, cl *call, s *statement) error {
	switch {
	case k.slot || k.exempt || c.pool.write == nil:
		return nil
	case s.writes:
		return k.takeSlot(c, cl)
	case c.pool.excluding && !k.shared.Load() && !s.effects.control:
		return k.takeShared(c, cl)
	}
	return nil
}

func (k *locks) takeSlot(c *conn, cl *call) error {
	if err := c.pool.wouldDeadlock(cl.Context, c, exclusive); err != nil {
		return err
	}
	var err error
	if k.shared.Load() {
		err = c.pool.write.promote(cl.waitContext(), c.pool.cfg.AcquireTimeout)
	} else {
		err = c.pool.write.lock(cl.waitContext(), exclusive, c.pool.cfg.AcquireTimeout)
	}
	if err != nil {
		return c.pool.waitFailed("write", err)
	}
	k.slot = true
	k.shared.Store(false)
	c.pool.writer.Store(c)
	return nil
}

func (k *locks) takeShared(c *conn, cl *call) error {
	if err := c.pool.wouldDeadlock(cl.Context, c, shared); err != nil {
		return err
	}
	if err := c.pool.write.lock(cl.waitContext(), shared, c.pool.cfg.AcquireTimeout); err != nil {
		return c.pool.waitFailed("read", err)
	}
	k.shared.Store(true)
	return nil
}

// preparing holds the shared lock while a statement is prepared, since preparing
// may read the schema. It is given back at once: preparing is not yet the first
// read of a transaction.
func (k *locks) preparing(c *conn, cl *call) (done func(), err error) {
	if !c.pool.excluding || k.slot || k.exempt || k.shared.Load() {
		return func() {}, nil
	}
	if err := k.takeShared(c, cl); err != nil {
		return nil, err
	}
	return func() { k.settle(c) }, nil
}

// hold takes the slot and keeps it until drop.
func (k *locks) hold(c *conn, cl *call) error {
	if c.pool.write == nil || k.exempt {
		return nil
	}
	if !k.slot {
		if err := k.takeSlot(c, cl); err != nil {
			return err
		}
	}
	k.kept++
	return nil
}

func (k *locks) drop(c *conn) {
	if c.pool.write == nil || k.exempt {
		return
	}
	k.kept--
	k.settle(c)
}

// settle gives back what SQLite's state no longer calls for.
func (k *locks) settle(c *conn) {
	if k.kept > 0 || !k.slot && !k.shared.Load() {
		return
	}
	switch state := c.h.transaction(); {
	case state == noTransaction:
		k.release(c)
	case state == readTransaction && k.slot && !c.pool.excluding:
		k.release(c)
	}
}

// release gives everything back.
func (k *locks) release(c *conn) {
	switch {
	case k.slot:
		k.slot = false
		c.pool.writer.CompareAndSwap(c, nil)
		c.pool.write.unlock(exclusive)
	case k.shared.Load():
		k.shared.Store(false)
		c.pool.write.unlock(shared)
	}
}
