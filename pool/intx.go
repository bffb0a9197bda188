package pool

import (
	"context"
	"errors"
	"runtime"
)

// TxOption changes how InTx works.
type TxOption func(*txOptions)

type txOptions struct{ repeatable bool }

// Repeatable says that fn may run again: where InTx would return ErrConflict it
// runs fn once more, holding the write lane and SQLite's write lock from the
// start, so that it cannot lose twice.
func Repeatable() TxOption { return func(o *txOptions) { o.repeatable = true } }

// InTx runs fn in a transaction: committed if fn returns nil and ctx has not
// ended, rolled back if fn returns an error (which InTx returns unchanged),
// panics or calls runtime.Goexit. If ctx carries a transaction of this pool
// already, fn runs in a savepoint of it; a level stronger than that
// transaction's is ErrNestedLevel.
func (p *Pool) InTx(ctx context.Context, level Level, fn func(ctx context.Context, tx *Tx) error, opts ...TxOption) error {
	if err := p.given("begin", ctx, fn != nil); err != nil {
		return err
	}
	if err := p.refuseNil("begin", opts); err != nil {
		return err
	}
	if level > Exclusive {
		return p.fail("begin", ErrConfig, nil, level.String())
	}
	if outer := p.TxFromContext(ctx); outer != nil {
		return outer.nest(ctx, level, fn)
	}
	h := holder{ctx: ctx}
	h.depth = runtime.Callers(2, h.frames(p, 2)) // StoreInTx is one of its callers
	err := p.runTx(ctx, level, false, fn, &h)
	if errors.Is(err, ErrConflict) && IsRepeatable(opts...) {
		if ended := ctx.Err(); ended != nil {
			return p.failTx("begin", level, nil, ended)
		}
		p.counts.retries.Add(1)
		err = p.runTx(ctx, level, true, fn, &h)
	}
	return err
}

// View runs fn in a read-only transaction: one snapshot, from its first read
// on. A write in it is ErrReadOnly. Within a transaction of ctx it reads what
// that one sees.
func (p *Pool) View(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if err := p.given("view", ctx, fn != nil); err != nil {
		return err
	}
	if outer := p.TxFromContext(ctx); outer != nil {
		view, err := outer.openPart(true)
		if err != nil {
			return err
		}
		return view.run(ctx, fn, func(_ context.Context, keep bool) error { return view.closePart(keep) })
	}
	h := holder{ctx: ctx}
	h.depth = runtime.Callers(2, h.frames(p, 2)) // StoreView is one of its callers
	return p.snapshot(ctx, fn, &h)
}

// snapshot is View beside whatever transaction ctx carries.
func (p *Pool) snapshot(ctx context.Context, fn func(ctx context.Context, tx *Tx) error, h *holder) error {
	h.view = true
	ctx, tx, err := p.begin(ctx, Deferred, false, h)
	if err != nil {
		return err
	}
	tx.readOnly = true
	return tx.run(ctx, fn, tx.end)
}

func (p *Pool) runTx(ctx context.Context, level Level, slotFirst bool, fn func(context.Context, *Tx) error, h *holder) error {
	ctx, tx, err := p.begin(ctx, level, slotFirst, h)
	if err != nil {
		return err
	}
	err = tx.run(ctx, fn, tx.end)
	if level != Deferred && p.write.Queued() > 0 {
		// The next writer runs at once and here, where the cache is warm, instead
		// of when this goroutine comes to rest or another processor wakes up.
		runtime.Gosched()
	}
	return err
}
