package pool

import (
	"context"

	"github.com/sqlane/sqlane/internal/lane"
)

// wouldDeadlock refuses to wait for what the context's own transaction holds, or
// the callback that it was made for. c is the connection that wants it, nil for a
// new lease.
func (p *Pool) wouldDeadlock(ctx context.Context, c *conn, want lane.Access) error {
	var tx *Tx
	why := ""
	switch held := ctx.Value(txKey{p}).(type) {
	case *Tx:
		tx = held
	case *callback:
		tx, why = held.tx, held.refuses(c)
	}
	if why == "" && tx != nil && tx.conn != c && !tx.lease.released.Load() && p.holds(tx, c, want) {
		why = "the transaction of this context holds what this waits for; use that transaction, or a context without it"
	}
	if why == "" {
		return nil
	}
	if c == nil && p.conns.isClosing() {
		return p.fail("acquire", ErrClosed, nil)
	}
	return p.fail("acquire", ErrDeadlock, nil, why)
}

// holds reports that the transaction has what c wants.
func (p *Pool) holds(tx *Tx, c *conn, want lane.Access) bool {
	holdsSlot := p.writer.Load() == tx.conn
	switch {
	case c == nil && want == lane.Shared: // a connection of the read lane
		return p.conns.readers == 1 && tx.lease.lane == p.read
	case want == lane.Exclusive:
		return holdsSlot || tx.conn.locks.shared.Load()
	}
	return holdsSlot
}

// wouldWaitForItself refuses to wait, with a context of the pool's own, until
// nobody has a lease.
func (p *Pool) wouldWaitForItself(ctx context.Context) error {
	switch held := ctx.Value(txKey{p}).(type) {
	case *callback:
		if why := held.refuses(nil); why != "" {
			return p.fail("shutdown", ErrDeadlock, nil, why)
		}
	case *Tx:
		if ctx.Err() == nil && !held.lease.released.Load() {
			return p.failTx("shutdown", held.level, ErrDeadlock, nil, "the transaction of this context would have to end; use a context without it, elsewhere")
		}
	}
	return nil
}
