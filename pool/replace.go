package pool

import (
	"context"
	"errors"
	"time"
)

// Reset has every connection replaced once it is idle. It does not wait.
func (p *Pool) Reset() {
	if !p.isOpen() {
		return
	}
	p.conns.reset()
	p.bell.ring()
}

// replaceStale replaces stale connections one after the other. Each successor is
// open before its predecessor goes; for one that is leased it is kept as the spare
// until that comes back.
func (p *Pool) replaceStale(ctx context.Context, m *maintenance) {
	for range 2 * min(p.cfg.MaxConns, 1<<16) { // to open and to exchange; more may have gone stale meanwhile, but others want maintenance too
		switch exchanged, wanted := p.conns.renew(p.clock()); {
		case exchanged:
			p.closeRetired()
		case wanted:
			fresh := p.openSpare(ctx, m)
			if fresh == nil {
				return
			}
			p.conns.keepSpare(fresh)
		default:
			return
		}
	}
	m.again = true
}

// openSpare opens a connection that is not yet among the pool's.
func (p *Pool) openSpare(ctx context.Context, m *maintenance) *conn {
	if time.Now().Before(m.notBefore) {
		return nil
	}
	c, err := p.connect(p.housekeeping(ctx), laterConnection, false)
	p.noteOpened(ctx, m, err)
	return c
}

// noteOpened makes the pauses grow while no connection can be opened. That somebody
// is in the way is no reason.
func (p *Pool) noteOpened(ctx context.Context, m *maintenance, err error) {
	_, refused := errors.AsType[*onConnectError](err)
	switch {
	case err == nil:
		m.pause, m.notBefore = 0, time.Time{}
	case errors.Is(err, ErrAcquireTimeout) && !refused:
		m.again = true
	case ctx.Err() == nil:
		m.pause = min(max(2*m.pause, 50*time.Millisecond), 30*time.Second)
		m.notBefore = time.Now().Add(m.pause)
		p.cfg.Logger.Warn("no connection can be opened", "path", p.path, "error", err, "next_try_in", m.pause)
	}
}

// closeRetired closes connections that have left the pool.
func (p *Pool) closeRetired() {
	for _, c := range p.conns.takeRetired() {
		p.warn("closing a connection failed", c.shut())
	}
}
