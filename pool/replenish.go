package pool

import (
	"context"
	"errors"
	"time"
)

// replenish opens what is missing: connections up to MinConns, and one to see
// whether a read lane that had to shrink can be what it was.
func (p *Pool) replenish(ctx context.Context, m *maintenance) {
	m.again = false
	for ctx.Err() == nil {
		shrunk := p.read != nil && p.read.Limit() < p.conns.readers
		some, primary, full := p.conns.lacks()
		done := false
		switch {
		case shrunk && full: // others were opened while it shrank
			done = true
		case some && primary && p.write != nil:
			done = p.openMissing(ctx, m, choice{primary: true})
		case full || p.read == nil:
		case shrunk:
			done = p.openBeyond(ctx, m)
		case some:
			done = p.openMissing(ctx, m, choice{fresh: true})
		}
		if !done {
			return
		}
		if shrunk {
			p.conns.grown()
			p.read.SetLimit(p.conns.readers)
		}
	}
}

// openMissing has a lease opened for it, like everybody else, and gives it back.
func (p *Pool) openMissing(ctx context.Context, m *maintenance, want choice) bool {
	if time.Now().Before(m.notBefore) {
		return false
	}
	l, err := p.tryAcquire(ctx, "replenish", want)
	if errors.Is(err, errNotFree) { // who has the lane opens what it needs
		m.again = true
		return false
	}
	if none, ok := err.(*noConnectionError); ok {
		err = none.error
	}
	p.noteOpened(ctx, m, err)
	if err != nil {
		return false
	}
	l.Release()
	return true
}

// openBeyond opens a reader without the permission of a lane that shrank: that has
// none to spare, and will have one for this connection.
func (p *Pool) openBeyond(ctx context.Context, m *maintenance) bool {
	c := p.openSpare(ctx, m)
	if c == nil {
		return false
	}
	p.conns.add(c, false)
	return true
}
