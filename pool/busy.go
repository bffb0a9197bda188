package pool

import (
	"context"
	"errors"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
	lib "modernc.org/sqlite/lib"
)

// patiently runs f again while err is that a lock of another process keeps it
// from starting, until BusyTimeout or the context ends. SQLite's own busy
// timeout is zero meanwhile: its handler does not know the context, and it gives
// up at once where a transaction has read before.
func (c *conn) patiently(cl *call, s *sqlite.Stmt, f func() error, err error) error {
	if s != nil && s.Effects.Attaches {
		if stop := c.locks.takeToAttach(c, cl); stop != nil {
			return stop
		}
		err = c.interruptible(cl, s, f)
	}
	if !isForeignLock(err) || c.bars() {
		return err
	}
	limit := c.busyLimit()
	if limit < 0 {
		return err
	}
	if cl.span != nil {
		defer cl.span.waitedForLock(time.Now())
	}
	wait := newBusyWait(limit)
	for isForeignLock(err) {
		stop := c.running.pause(func() error { return wait.pause(cl.waitContext(), c.pool.ending.forced) })
		if stop != nil {
			if errors.Is(stop, errWaitedEnough) {
				return err
			}
			return stop
		}
		err = c.interruptible(cl, s, f)
	}
	return err
}

// busyLimit is how long to wait for a lock, negative for not at all. A reader takes
// the lock of writers for a moment, without the pool's slot, when it comes upon the
// log's index while a commit changes that (walIndexReadHdr of SQLite's wal.c): nobody
// may be told that this is another process. The moment lasts as long as the reader
// is kept from running.
func (c *conn) busyLimit() time.Duration {
	limit := c.pool.cfg.BusyTimeout
	switch {
	case c.pool.excluding || limit >= ownLock:
		return limit
	case c.pool.conns.othersRun(c):
		return ownLock
	}
	return max(limit, ownLock/10) // it may have gone since
}

// ownLock is longer than a goroutine waits for its turn where fifty want to run: the
// scheduler may take it away from the reader within the moment.
const ownLock = 250 * time.Millisecond

// withBusyTimeout runs f while SQLite has the busy timeout that the connection
// shows: for statements that ask for it or set it, and for the end of an
// autocommit write whose rows were read, which cannot be tried again.
func (c *conn) withBusyTimeout(f func() error) error {
	c.db.SetBusyTimeout(c.guard.busyTimeout)
	defer c.db.SetBusyTimeout(0)
	return f()
}

// bars reports that waiting would be for ever: outside WAL mode the other
// process cannot commit before this connection's read is over.
func (c *conn) bars() bool {
	return c.pool.excluding && c.db.Transaction() == sqlite.ReadTransaction
}

// isForeignLock reports a lock that goes away by waiting. A stale snapshot,
// which is SQLITE_BUSY too, does not.
func isForeignLock(err error) bool {
	if err == nil {
		return false
	}
	code, _ := Code(err)
	return code&0xff == lib.SQLITE_BUSY && code != lib.SQLITE_BUSY_SNAPSHOT
}

// busyWait spaces attempts at a lock that cannot be queued for.
type busyWait struct {
	deadline time.Time     // No attempt is made after this time.
	next     time.Duration // The next pause takes so long.
}

var errWaitedEnough = errors.New("waited enough")

func newBusyWait(limit time.Duration) *busyWait {
	return &busyWait{deadline: time.Now().Add(limit), next: time.Millisecond}
}

// pause waits for a while that grows to 25 ms. It is errWaitedEnough once the
// limit is reached, ErrClosed when stop is closed, or the context's error.
func (w *busyWait) pause(ctx context.Context, stop <-chan struct{}) error {
	left := time.Until(w.deadline)
	if left <= 0 {
		return errWaitedEnough
	}
	t := time.NewTimer(min(w.next, left))
	defer t.Stop()
	w.next = min(w.next*2, 25*time.Millisecond)
	select {
	case <-t.C:
		return nil
	case <-stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
