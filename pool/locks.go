package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// locks is what a connection holds of the pool's write lane. The rule: it holds
// the write slot, the lane's exclusive lock, exactly while it is in a write
// transaction; and where readers and the writer exclude each other, the shared
// lock while it is in a read transaction. conn.mu guards it.
type locks struct {
	slot   bool        // The connection has the write slot.
	shared atomic.Bool // It has the shared lock. This is written under conn.mu, and read without it to tell a deadlock.
	leased bool        // The slot came with the lease and goes with it.
	kept   int         // There are this many reasons to keep the slot, whatever SQLite's state is.
	exempt bool        // The connection is being set up under locks that somebody else holds.
	early  bool        // OnConnect is setting it up.
}

// take waits for what the statement needs. A transaction's first write is the
// moment to see that the file is still there.
func (k *locks) take(c *conn, cl *call, s *sqlite.Stmt) error {
	if k.exempt || c.pool.write == nil {
		return nil
	}
	if k.early && c.guard.attached.excludes && !s.Writes && !s.Effects.Attaches {
		c.pool.attaching.Store(true) // the next one is set up under the lock that this one may have to wait for
	}
	var err error
	switch {
	case k.slot:
	case s.Writes:
		err = k.takeSlot(c, cl)
	case c.excludes() && !k.shared.Load() && !s.Effects.Control() && !s.Effects.Attaches:
		err = k.takeShared(c, cl)
	}
	if err == nil && s.Writes && c.db.Transaction() != sqlite.WriteTransaction {
		err = c.pool.checkFile("write")
	}
	return err
}

func (k *locks) takeSlot(c *conn, cl *call) error {
	if err := c.pool.wouldDeadlock(cl.Context, c, lane.Exclusive); err != nil {
		return err
	}
	if cl.span != nil {
		defer cl.span.waitedForLane(time.Now())
	}
	var err error
	upgrades := k.shared.Load()
	if upgrades {
		err = c.running.pause(func() error { return c.pool.write.Promote(cl.waitContext(), c.pool.patience(cl.Context)) })
	}
	if errors.Is(err, lane.ErrConflict) && c.db.Transaction() == sqlite.NoTransaction {
		k.release(c) // nothing was read yet, so there is no snapshot to keep
		upgrades = false
	}
	if !upgrades {
		ctx := cl.waitContext()
		how := c.pool.howToWait(ctx)
		how.Who = c
		err = c.running.pause(func() error { return c.pool.write.Lock(ctx, lane.Exclusive, how) })
	}
	if err != nil {
		return c.pool.waitFailed(cl.Context, "write", err)
	}
	k.slot = true
	k.shared.Store(false)
	c.pool.writer.Store(c)
	return nil
}

func (k *locks) takeShared(c *conn, cl *call) error {
	if err := c.pool.wouldDeadlock(cl.Context, c, lane.Shared); err != nil {
		return err
	}
	if cl.span != nil {
		defer cl.span.waitedForLane(time.Now())
	}
	err := c.running.pause(func() error { return c.pool.lockToRead(cl.waitContext(), c) })
	if err != nil {
		return c.pool.waitFailed(cl.Context, "read", err)
	}
	k.shared.Store(true)
	return nil
}

// tryToRead takes the lock that a lease needs to read, if that is to be had at once,
// and reports whether it has it.
func (c *conn) tryToRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &c.locks
	if !c.excludes() || k.slot || k.shared.Load() {
		return true
	}
	k.shared.Store(c.pool.write.TryLock(lane.Shared))
	return k.shared.Load()
}

// takeToPrepare takes the lock for preparing a statement, which may read the schema.
// It is kept for the statement to run, and given back by settle if nothing comes
// of it: preparing is not yet the first read of a transaction. A statement that
// starts like a writer queues as one, so that it does not queue twice; what it
// is remains SQLite's verdict.
func (k *locks) takeToPrepare(c *conn, cl *call, text string) error {
	if !c.excludes() || k.slot || k.exempt || k.shared.Load() {
		return nil
	}
	switch sqlite.FirstWord(text) {
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH": // need no schema
		return nil
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER":
		if !cl.readOnly {
			return k.takeSlot(c, cl)
		}
	}
	return k.takeShared(c, cl)
}

// hold takes the slot and keeps it until drop. A script of OnConnect does without:
// each statement takes what it needs, since a writer may wait for this connection.
func (k *locks) hold(c *conn, cl *call) error {
	if c.pool.write == nil || k.exempt || k.early {
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
	if c.pool.write == nil || k.exempt || k.early {
		return
	}
	k.kept--
	k.settle(c)
}

// settle gives back what SQLite's state no longer calls for.
func (k *locks) settle(c *conn) {
	if k.kept > 0 || c.guard.attached.keeps || !k.slot && !k.shared.Load() {
		return
	}
	switch state := c.db.Transaction(); {
	case state == sqlite.NoTransaction:
		k.release(c)
	case state == sqlite.ReadTransaction && k.slot && !c.excludes():
		k.release(c)
	}
}

// release gives everything back.
func (k *locks) release(c *conn) {
	switch {
	case k.leased: // its end does
	case k.slot:
		c.lookAfterWriting()
		k.slot = false
		c.pool.writer.CompareAndSwap(c, nil)
		c.pool.logSync.wrote(c)
		c.pool.write.Unlock(lane.Exclusive)
		c.pool.wroteSomething()
	case k.shared.Load():
		k.shared.Store(false)
		c.pool.write.Unlock(lane.Shared)
	}
}

// lockToRead takes the write lane's shared lock. A reader beside its own
// transaction's read may not queue behind a writer that waits for that one. c is the
// connection that waits; nil if it is not open yet.
func (p *Pool) lockToRead(ctx context.Context, c *conn) error {
	tx := p.TxFromContext(ctx)
	if tx != nil && tx.conn.locks.shared.Load() && p.write.Join() {
		return nil
	}
	how := p.howToWait(ctx)
	how.Who = c
	return p.write.Lock(ctx, lane.Shared, how)
}
