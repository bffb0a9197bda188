package pool

import "time"

// life is what a connection does, and why it is to go. It concerns the pool alone:
// whether SQLite can still be used on the connection is conn.broken and
// conn.closed, since only who is in SQLite can tell. conns.mu guards it.
type life struct {
	status     status
	leaving    reason        // It is to be replaced as soon as nobody has it, for this reason.
	holder     holder        // It tells who has the connection while that is leased or apart.
	loans      uint64        // It counts those who have had the connection.
	expires    time.Duration // The connection is to be replaced from this time on, on the pool's clock; 0 is never.
	generation uint64        // It was opened after this many calls of Pool.Reset.
	idleSince  time.Duration // Maintenance has found it idle at this time, on the pool's clock, and not in use since; 0 is not yet.
}

// status is where a connection is in its life.
//
//	opening ──▶ idle ◀──▶ leased ◀──▶ apart
//	    └────────┴──────────┴──────────┴─────▶ retired ──▶ closed
type status uint8

const (
	connOpening status = iota // It is being set up, or is the spare.
	connIdle                  // Whoever comes next may have it.
	connLeased                // A lease has it.
	connApart                 // A session has it, beside MaxConns.
	connRetired               // Nobody gets it any more, and it will be closed.
	connClosed                // It leads to no database any more.
)

// reason is why a connection leaves the pool, as Stats counts them.
type reason uint8

const (
	noReason   reason = iota
	hasExpired        // It has served its MaxConnLifetime.
	wasReset          // Pool.Reset came after it was opened.
	wasIdle           // Nobody has wanted it for MaxConnIdleTime.
	isBroken          // It must not be used, or cannot.
	isDirty           // A lease has changed what it is set to.
	isSurplus         // There is one more than there may be.
	isGone            // Shutdown has closed it already.
)

// left counts a connection that leaves.
func (n *counts) left(why reason) {
	switch why {
	case hasExpired:
		n.expired.Add(1)
	case wasReset:
		n.reset.Add(1)
	case wasIdle:
		n.idleClosed.Add(1)
	case isBroken:
		n.broken.Add(1)
	case isDirty:
		n.dirty.Add(1)
	}
}
