package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
)

// callback is what a context carries in the place of a transaction while the pool
// calls a function of the program's, and holds something meanwhile: the turn to
// open a connection, the write lane, a connection. What uses the pool with that
// context might wait for it, and so for itself.
type callback struct {
	name string
	conn *conn       // what the function may use; nil for nothing
	tx   *Tx         // whose context it was
	over atomic.Bool // nothing waits for the function any more
}

// within returns the context for a callback, and what ends it.
func (p *Pool) within(ctx context.Context, name string, c *conn) (context.Context, *callback) {
	call := &callback{name: name, conn: c, tx: p.TxFromContext(ctx)}
	if own, ok := ctx.(housekeeping); ok {
		return housekeeping{context.WithValue(own.Context, txKey{p}, call)}, call
	}
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

// onConnect calls Config.OnConnect with a lease that ends with it. For a caller's sake it runs in the caller's
// goroutine, and a panic or Goexit is the caller's. Maintenance goes on after them:
// there they are errors.
func (p *Pool) onConnect(ctx context.Context, c *conn) (err error) {
	_, own := ctx.(housekeeping)
	ctx, call := p.within(ctx, "OnConnect", c)
	defer call.over.Store(true)
	p.conns.called(p.clock())
	defer p.conns.called(0)
	c.setEarly(true)
	defer c.setEarly(false)
	l := &Lease{pool: p, conn: c, epoch: c.epoch}
	l.released.Store(true) // it is not to be given back
	if !own {
		return p.cfg.OnConnect(ctx, l)
	}
	done := make(chan struct{})
	err = errors.New("it called runtime.Goexit")
	go func() {
		defer close(done)
		defer func() {
			if reason := recover(); reason != nil {
				err = fmt.Errorf("panic: %v\n\n%s", reason, debug.Stack())
			}
		}()
		err = p.cfg.OnConnect(ctx, l)
	}()
	<-done
	return err
}

func (c *conn) setEarly(early bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.locks.early = early
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
