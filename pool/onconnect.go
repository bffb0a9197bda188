package pool

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// onConnect calls Config.OnConnect with a lease that ends with it. For a caller's sake it runs in the caller's
// goroutine, and a panic or Goexit is the caller's. Maintenance goes on after them:
// there they are errors.
func (p *Pool) onConnect(ctx context.Context, c *conn) (err error) {
	own := p.isOwn(ctx)
	ctx, call := p.within(ctx, "OnConnect", c)
	defer call.over.Store(true)
	p.conns.called(p.clock())
	defer p.conns.called(0)
	c.setEarly(true)
	defer c.setEarly(false)
	l := &Lease{pool: p, grip: grip{conn: c, epoch: c.epoch}}
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

// onConnectError tells what OnConnect says from what happens to the caller.
type onConnectError struct{ err error }

func (e *onConnectError) Error() string { return "OnConnect: " + e.err.Error() }
func (e *onConnectError) Unwrap() error { return e.err }
