package pool

import (
	"context"
	"log/slog"
	"sync/atomic"
)

type txKey struct{ pool *Pool }

// TxFromContext returns the innermost transaction of this pool that the context
// carries, or nil. OnConnect's carries none, nor does a nil one.
func (p *Pool) TxFromContext(ctx context.Context) *Tx {
	if ctx == nil {
		return nil
	}
	tx, _ := p.carried(ctx)
	return tx
}

// carried is TxFromContext. free reports that the context carries nothing of this
// pool's.
func (p *Pool) carried(ctx context.Context) (tx *Tx, free bool) {
	held := ctx.Value(txKey{p})
	tx, _ = held.(*Tx)
	return tx, held == nil
}

func (t *Tx) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, txKey{t.pool}, t)
}

// callback is what a context carries in the place of a transaction while the pool
// calls a function of the program's, and holds something meanwhile: the turn to
// open a connection, the write lane, a connection. What uses the pool with that
// context might wait for it, and so for itself.
type callback struct {
	name string      // The function is this field of Config's.
	conn *conn       // The function may use this connection; nil for none.
	tx   *Tx         // The context was this transaction's before.
	over atomic.Bool // Nothing waits for the function any more. Any goroutine may have its context, and ask.
}

// within returns the context for a callback, and what ends it.
func (p *Pool) within(ctx context.Context, name string, c *conn) (context.Context, *callback) {
	call := &callback{name: name, conn: c, tx: p.TxFromContext(ctx)}
	return context.WithValue(ctx, txKey{p}, call), call
}

// refuses says why c, nil for a new lease, may not be used with the callback's
// context; "" if it may.
func (b *callback) refuses(c *conn) string {
	if b.over.Load() || c != nil && c == b.conn {
		return ""
	}
	return "Config." + b.name + " is called while the pool holds what this may wait for; use nothing but what it is given"
}

// logHandler is Config.Logger's, told that it is called from within the pool.
type logHandler struct {
	slog.Handler
	pool *Pool
}

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	ctx, call := h.pool.within(ctx, "Logger", nil)
	defer call.over.Store(true)
	return h.Handler.Handle(ctx, r)
}
