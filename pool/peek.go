package pool

import (
	"runtime"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// doing is what becomes of a connection at one moment.
type doing uint8

const (
	atRest    doing = iota // Nobody is in it.
	executing              // SQLite runs or prepares something.
	pausing                // A statement waits for the write lane or for another process.
	hidden                 // It cannot be looked at now.
)

// peek calls f at a moment at which nothing changes that conn.mu guards, and tells
// what goes on. It waits neither for a statement nor for what that waits for, and holds
// the connection up for no longer than f takes, which may not block. It is not called
// if the connection is hidden: for some instructions before and after a statement, and
// while Lease.Raw has it.
//
// Whoever is in SQLite, or waits, has conn.mu and changes nothing; and before it goes
// on it waits for the end of a look that it must have seen: see running.
func (c *conn) peek(f func(doing)) doing {
	c.running.peeking.Lock()
	defer c.running.peeking.Unlock()
	const attempts = 10 // Most of what hides a connection is over at once.
	for range attempts {
		if does := c.tryPeek(f); does != hidden {
			return does
		}
		runtime.Gosched()
	}
	return hidden
}

func (c *conn) tryPeek(f func(doing)) doing {
	if c.mu.TryLock() {
		defer c.mu.Unlock()
		f(atRest)
		return atRest
	}
	r := &c.running
	if !r.interrupting.TryLock() { // The watcher looks, and asks a context of the program's, which may be what calls this.
		return hidden
	}
	defer r.interrupting.Unlock()
	r.looked.Store(true)
	defer r.looked.Store(false)
	does := hidden
	switch {
	case r.call.Load() != nil:
		does = executing
	case r.pausing.Load():
		does = pausing
	default:
		return hidden
	}
	f(does)
	return does
}

// sight is what was seen of a connection.
type sight struct {
	doing
	text  string        // SQLite runs this, or its rows are open; "" for neither.
	since time.Duration // The run began at this time, on the pool's clock; 0 if nobody knows.
	slot  bool          // It has the write slot.
	depth int           // So many transactions are open, one in the other.
	asked bool          // One was begun as text.
	reads bool          // It keeps a snapshot of the database.
}

// see looks at a connection that somebody has.
func (c *conn) see() (seen sight) {
	seen.doing = c.peek(func(does doing) {
		if c.closed {
			return
		}
		g := &c.guard
		seen.slot, seen.depth, seen.asked = c.locks.slot, len(g.serials), g.textual
		seen.reads = seen.slot && g.inTx()
		s := c.running.stmt
		if does != executing {
			s = nil
		}
		for _, r := range c.open {
			seen.reads = seen.reads || !r.finished
			if s == nil && !r.finished {
				s = r.stmt
			}
		}
		switch does {
		case executing:
			seen.reads = seen.reads || s != nil && !s.Effects.Control() && s.Effects.Pragma.Name != "wal_checkpoint"
		case atRest: // then SQLite may be asked
			seen.reads = c.db.Transaction() != sqlite.NoTransaction
		}
		if s != nil {
			seen.text, seen.since = s.Text, s.Since()
		}
	})
	return seen
}
