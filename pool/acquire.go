package pool

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
)

// Acquire waits for a connection of the read lane. The caller must Release it.
// It fails with the context's error, ErrAcquireTimeout, ErrOverloaded,
// ErrClosed, ErrUnhealthy if there is no connection and none can be opened, or
// ErrDeadlock if the only one is held by the transaction in ctx.
func (p *Pool) Acquire(ctx context.Context) (*Lease, error) {
	h := holder{label: labelOf(ctx), tracked: true}
	h.depth = runtime.Callers(2, p.frames(&h))
	return p.acquire(ctx, request{op: "acquire"}, &h)
}

// request is what is asked of acquire: a connection of the read lane, unless the
// choice is another one.
type request struct {
	op string
	choice
	member *member // The batch of somebody else may do this one's work.
	noWait bool    // The request is errNotFree if it cannot be met at once.
}

// acquire gives h what is requested: a connection, and the write slot with that of
// the write lane. When no connection can be opened it goes on with those there are.
// There is no lease if somebody else does the member's work.
func (p *Pool) acquire(ctx context.Context, r request, h *holder) (*Lease, error) {
	ctx, span := p.trace(ctx, TraceOp{Name: "acquire"})
	for {
		l, err := p.acquireFrom(ctx, r, h, span)
		none, ok := err.(*noConnectionError)
		switch {
		case !ok:
			span.finish(err)
			return l, err
		case p.usesReadLane(r) && p.shrink(none.error): // one of those that are open comes back
		case p.usesReadLane(r) && p.write != nil: // the writer's serves both
			r.primary = true
		default:
			err = p.fail(r.op, ErrUnhealthy, none.error)
			span.finish(err)
			return nil, err
		}
	}
}

// tryAcquire is acquire for maintenance, whom no tracer and no counter is told of.
// It is errNotFree where it would have to wait, and fails if no connection can be
// opened.
func (p *Pool) tryAcquire(ctx context.Context, op string, want choice) (*Lease, error) {
	return p.acquireFrom(housekeeping{ctx}, request{op: op, choice: want, noWait: true}, &holder{label: op, own: true}, nil)
}

// errNotFree says that somebody else has what is wanted.
var errNotFree = errors.New("in use")

// noConnectionError says that a connection was needed and could not be opened.
type noConnectionError struct{ error }

func (p *Pool) usesReadLane(r request) bool { return p.read != nil && !r.primary }

func (p *Pool) acquireFrom(ctx context.Context, r request, h *holder, span *span) (*Lease, error) {
	from, access := p.read, lane.Shared
	if !p.usesReadLane(r) {
		r.primary, from, access = true, p.write, lane.Exclusive
	}
	outcome, err := p.enterLane(ctx, from, access, r, span)
	if err != nil {
		return nil, err
	}
	if outcome != lane.Granted {
		return nil, nil // the transaction that came along, or where its work was done, has its lease
	}
	got := false
	defer func() {
		if !got { // or OnConnect panics
			from.Unlock(access)
		}
	}()
	c, err := p.checkOut(ctx, r, h)
	if err != nil {
		return nil, err
	}
	got = true
	if !r.noWait {
		p.counts.acquires.Add(1)
	}
	l := &Lease{pool: p, lane: from, access: access}
	l.hold(c, h.tracked)
	return l, nil
}

// enterLane waits for a place in the lane.
func (p *Pool) enterLane(ctx context.Context, from *lane.Lane, access lane.Access, r request, span *span) (lane.Outcome, error) {
	if r.noWait {
		if !from.TryLock(access) {
			return 0, errNotFree
		}
		return lane.Granted, nil
	}
	if err := p.wouldDeadlock(ctx, nil, access); err != nil {
		return 0, err
	}
	var since time.Time
	if span != nil {
		since = time.Now()
	}
	how := p.howToWait(ctx)
	how.Newcomer = true
	outcome := lane.Granted
	var err error
	if r.member == nil {
		err = from.Lock(ctx, access, how)
	} else {
		outcome, err = from.LockWith(ctx, how, r.member)
	}
	span.waitedForLane(since)
	if err != nil {
		return 0, p.waitFailed(r.op, err)
	}
	return outcome, nil
}

// checkOut takes a connection that is ready or opens one. The caller has the lane's
// permission for it.
func (p *Pool) checkOut(ctx context.Context, r request, h *holder) (c *conn, err error) {
	h.since = p.clock()
	c, ok := p.conns.lendReady(r.choice, h)
	switch {
	case !ok && r.noWait:
		return nil, errNotFree
	case !ok:
		return nil, p.fail("acquire", ErrClosed, nil)
	case c != nil:
		return c, nil
	}
	lent := false
	defer func() {
		if !lent { // or OnConnect panics
			p.conns.giveUp(r.primary)
		}
	}()
	c, err = p.connect(ctx, laterConnection, r.primary)
	if err == nil {
		if lent = p.conns.lendNew(c, r.primary, h); lent {
			return c, nil
		}
		err = errors.Join(p.fail("acquire", ErrClosed, nil), c.shut())
	}
	_, refused := errors.AsType[*onConnectError](err)
	switch {
	case ctx.Err() != nil, p.conns.isClosing(), errors.Is(err, ErrMoved), errors.Is(err, ErrDeadlock), errors.Is(err, ErrAcquireTimeout) && !refused:
		return nil, err
	case r.primary: // one of the readers' must do
		if c = p.conns.lendReader(h); c != nil {
			lent = true
			return c, nil
		}
	}
	return nil, &noConnectionError{err}
}

// hold makes the lease that of a connection which was checked out.
func (l *Lease) hold(c *conn, tracked bool) {
	c.mu.Lock()
	c.epoch++
	l.conn, l.epoch = c, c.epoch
	if l.access == lane.Exclusive {
		c.locks.slot, c.locks.leased, c.locks.kept = true, true, 1
		l.pool.writer.Store(c)
	}
	if tracked {
		l.track()
	}
	c.mu.Unlock()
}

// shrink goes on with the reading connections that are open, after another one
// could not be opened, and says why. It reports false if there are none.
func (p *Pool) shrink(why error) bool {
	n := p.conns.shrinkTo(why)
	if n > 0 {
		p.read.SetLimit(n)
		p.bell.ring()
	}
	return n > 0
}
