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
	if err := p.given("acquire", ctx, true); err != nil {
		return nil, err
	}
	h := holder{ctx: labelAlone(ctx)}
	h.depth = runtime.Callers(2, h.frames(p, 1))
	return p.acquire(ctx, wish{op: "acquire", tracked: true}, &h)
}

// wish is what is asked of acquire: a connection of the read lane, unless the choice
// is another one.
type wish struct {
	op string
	choice
	member  *member // The batch of somebody else may do this one's work.
	noWait  bool    // The wish is errNotFree if it cannot be met at once.
	brief   bool    // The connection is taken for one statement: it need not be known to the microsecond since when.
	free    bool    // The context carries nothing of this pool's that would wait for itself.
	tracked bool    // The lease is taken back if it becomes garbage.
}

// grip is what somebody holds who has a connection: it, and a place in its lane.
type grip struct {
	conn   *conn
	epoch  uint64      // Statements run on the connection while its number is this one.
	lane   *lane.Lane  // This lane is held,
	access lane.Access // in this way.
}

func (g *grip) call(ctx context.Context) call {
	return call{Context: ctx, epoch: g.epoch, part: outside}
}

// acquire is take for a lease. There is none if somebody else does the member's work.
func (p *Pool) acquire(ctx context.Context, w wish, h *holder) (*Lease, error) {
	g, err := p.take(ctx, w, h)
	if err != nil || g.conn == nil {
		return nil, err
	}
	l := &Lease{pool: p, grip: g}
	if w.tracked {
		l.track()
	}
	return l, nil
}

// take gives h what is wished for: a connection, and the write slot with that of
// the write lane. When no connection can be opened it goes on with those there are.
// There is none if somebody else does the member's work. What was taken is given
// back by give.
func (p *Pool) take(ctx context.Context, w wish, h *holder) (grip, error) {
	if p.cfg.Tracer == nil {
		return p.takeFromAny(ctx, w, h, nil)
	}
	ctx, span := p.trace(ctx, TraceOp{Name: "acquire"})
	g, err := p.takeFromAny(ctx, w, h, span)
	span.finish(err)
	return g, err
}

func (p *Pool) takeFromAny(ctx context.Context, w wish, h *holder, span *span) (grip, error) {
	for {
		g, err := p.takeFrom(ctx, w, h, span)
		if err == nil {
			return g, nil
		}
		none, ok := err.(*noConnectionError)
		switch {
		case !ok:
			return g, err
		case p.usesReadLane(w) && p.shrink(none.error): // one of those that are open comes back
		case p.usesReadLane(w) && p.write != nil: // the writer's serves both
			w.primary = true
		default:
			return g, p.fail(w.op, ErrUnhealthy, none.error)
		}
	}
}

// tryAcquire is acquire for maintenance, whom no tracer and no counter is told of.
// It is errNotFree where it would have to wait, and fails if no connection can be
// opened.
func (p *Pool) tryAcquire(ctx context.Context, op string, want choice) (*Lease, error) {
	h := holder{ctx: WithLabel(ctx, op), own: true}
	g, err := p.takeFrom(p.housekeeping(ctx), wish{op: op, choice: want, noWait: true}, &h, nil)
	if err != nil {
		return nil, err
	}
	return &Lease{pool: p, grip: g}, nil
}

// errNotFree says that somebody else has what is wanted.
var errNotFree = errors.New("in use")

// noConnectionError says that a connection was needed and could not be opened.
type noConnectionError struct{ error }

func (p *Pool) usesReadLane(w wish) bool { return p.read != nil && !w.primary }

func (p *Pool) takeFrom(ctx context.Context, w wish, h *holder, span *span) (grip, error) {
	from, access := p.read, lane.Shared
	if !p.usesReadLane(w) {
		w.primary, from, access = true, p.write, lane.Exclusive
	}
	outcome, err := p.enterLane(ctx, from, access, w, h, span)
	if err != nil {
		return grip{}, err
	}
	if outcome != lane.Granted {
		return grip{}, nil // the transaction that came along, or where its work was done, has its lease
	}
	got := false
	defer func() {
		if !got { // or OnConnect panics
			from.Unlock(access)
		}
	}()
	c, err := p.checkOut(ctx, w, h)
	if err != nil {
		return grip{}, err
	}
	got = true
	if !w.noWait {
		p.counts.acquires.Add(1)
	}
	if access == lane.Exclusive {
		c.holdSlot()
	}
	// Nobody changes the number meanwhile: it is the end of a lease that does, and the
	// last one's is over.
	return grip{conn: c, epoch: c.epoch, lane: from, access: access}, nil
}

// enterLane waits for a place in the lane.
func (p *Pool) enterLane(ctx context.Context, from *lane.Lane, access lane.Access, w wish, h *holder, span *span) (lane.Outcome, error) {
	if w.noWait {
		if !from.TryLock(access) {
			return 0, errNotFree
		}
		return lane.Granted, nil
	}
	if !w.free {
		if err := p.wouldDeadlock(ctx, nil, access); err != nil {
			return 0, err
		}
	}
	if ctx.Err() == nil && from.TryLock(access) {
		return lane.Granted, nil
	}
	var since time.Time
	if span != nil {
		since = time.Now()
	}
	how := p.howToWait(ctx)
	how.Newcomer = true
	who := p.lanes.askers.get(h)
	defer p.lanes.askers.put(who)
	how.Who = who
	outcome := lane.Granted
	var err error
	if w.member == nil {
		err = from.Lock(ctx, access, how)
	} else {
		outcome, err = from.LockWith(ctx, how, w.member)
	}
	span.waitedForLane(since)
	if err != nil {
		return 0, p.waitFailed(ctx, w.op, err)
	}
	return outcome, nil
}

// checkOut takes a connection that is ready or opens one. The caller has the lane's
// permission for it.
func (p *Pool) checkOut(ctx context.Context, w wish, h *holder) (c *conn, err error) {
	if w.brief {
		h.since = p.lately()
	} else {
		h.since = p.clock()
	}
	c, ok := p.conns.lendReady(w.choice, h)
	switch {
	case !ok && w.noWait:
		return nil, errNotFree
	case !ok:
		return nil, p.fail("acquire", ErrClosed, nil)
	case c != nil:
		return c, nil
	}
	lent := false
	defer func() {
		if !lent { // or OnConnect panics
			p.conns.giveUp(w.primary)
		}
	}()
	c, err = p.connect(ctx, laterConnection, w.primary)
	if err == nil {
		if lent = p.conns.lendNew(c, w.primary, h); lent {
			return c, nil
		}
		err = errors.Join(p.fail("acquire", ErrClosed, nil), c.shut())
	}
	_, refused := errors.AsType[*onConnectError](err)
	switch {
	case ctx.Err() != nil, p.conns.isClosing(), errors.Is(err, ErrMoved), errors.Is(err, ErrDeadlock), errors.Is(err, ErrAcquireTimeout) && !refused:
		return nil, err
	case w.primary: // one of the readers' must do
		if c = p.conns.lendReader(h); c != nil {
			lent = true
			return c, nil
		}
	}
	return nil, &noConnectionError{err}
}

// holdSlot gives the connection the write slot, which came with it.
func (c *conn) holdSlot() {
	c.mu.Lock()
	c.locks.slot, c.locks.leased, c.locks.kept = true, true, 1
	c.pool.writer.Store(c)
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
