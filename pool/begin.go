package pool

import (
	"context"
	"errors"
	"runtime"
)

// Begin starts a transaction that its caller ends with Commit or Rollback. It
// never joins the transaction of ctx; where it would wait for that one it is
// ErrDeadlock. Prefer InTx, which cannot be left open.
func (p *Pool) Begin(ctx context.Context, level Level) (*Tx, error) {
	if err := p.given("begin", ctx, true); err != nil {
		return nil, err
	}
	if level > Exclusive {
		return nil, p.fail("begin", ErrConfig, nil, level.String())
	}
	h := holder{ctx: labelAlone(ctx)}
	h.depth = runtime.Callers(2, h.frames(p, 1))
	_, tx, err := p.begin(ctx, level, false, &h)
	if err != nil {
		return nil, err
	}
	tx.manual = true
	tx.track()
	return tx, nil
}

// begin takes a lease and begins a transaction on it. The context that it
// returns is the transaction's for the tracer.
func (p *Pool) begin(ctx context.Context, level Level, slotFirst bool, h *holder) (context.Context, *Tx, error) {
	if p.write == nil && level != Deferred {
		return ctx, nil, p.failTx("begin", level, ErrReadOnly, nil, readOnlyPool)
	}
	ctx, span := p.trace(ctx, TraceOp{Name: "transaction", Level: level})
	tx, err := p.beginTraced(ctx, level, slotFirst, span, h)
	if err != nil {
		span.finish(err)
		return ctx, nil, err
	}
	return ctx, tx, nil
}

func (p *Pool) beginTraced(ctx context.Context, level Level, slotFirst bool, span *span, h *holder) (*Tx, error) {
	h.begins, h.level = true, level
	l, err := p.acquire(ctx, wish{op: "begin", choice: choice{primary: level != Deferred}}, h)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.Level, e.leveled = level, true
		}
		return nil, err
	}
	tx, err := l.begin(ctx, level, slotFirst, span)
	if err != nil {
		l.Release()
		return nil, p.failTx("begin", level, nil, err)
	}
	return tx, nil
}

func (l *Lease) begin(ctx context.Context, level Level, slotFirst bool, span *span) (*Tx, error) {
	c := l.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := l.call(ctx)
	cl.kind, cl.span = poolCall, span
	if err := c.admit(&cl); err != nil {
		return nil, err
	}
	begun := level
	if slotFirst {
		if err := c.locks.hold(c, &cl); err != nil { // the lease's end drops it
			return nil, err
		}
		begun = max(level, Immediate) // or another process could come between again
	}
	if err := c.control(&cl, beginWords[begun]); err != nil {
		return nil, err
	}
	return &Tx{pool: l.pool, conn: c, lease: l, level: level, part: part{serial: c.guard.push()}, span: span}, nil
}

var beginWords = [...]string{Deferred: "BEGIN DEFERRED", Immediate: "BEGIN IMMEDIATE", Exclusive: "BEGIN EXCLUSIVE"}
