package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
)

type ownKey struct{ pool *Pool }

// housekeeping returns the context of maintenance's own waits, which Stats and
// MaxWaiters leave out: so is whatever OnConnect makes of it.
func (p *Pool) housekeeping(ctx context.Context) context.Context {
	return context.WithValue(ctx, ownKey{p}, true)
}

// isOwn reports that maintenance waits with that context.
func (p *Pool) isOwn(ctx context.Context) bool { return ctx.Value(ownKey{p}) != nil }

// maxOwnWait is how long maintenance waits at most before it sees to the rest and
// comes again: it alone takes back what was abandoned, and may be waiting for that.
const maxOwnWait = time.Second

// patience is the longest wait of a caller with that context; negative if only the
// context limits it.
func (p *Pool) patience(ctx context.Context) time.Duration {
	if (p.cfg.AcquireTimeout < 0 || p.cfg.AcquireTimeout > maxOwnWait) && p.isOwn(ctx) {
		return maxOwnWait
	}
	return p.cfg.AcquireTimeout
}

// howToWait is how a caller with that context waits for a lane.
func (p *Pool) howToWait(ctx context.Context) lane.Wait {
	return lane.Wait{Timeout: p.patience(ctx), Uncounted: p.isOwn(ctx)}
}

// waitFailed makes the pool's error out of a lane's.
func (p *Pool) waitFailed(ctx context.Context, op string, err error) error {
	switch {
	case isContextError(err):
		return p.fail(op, nil, err)
	case errors.Is(err, lane.ErrTimeout):
		if !p.isOwn(ctx) {
			p.counts.timeouts.Add(1)
		}
		return p.fail(op, ErrAcquireTimeout, nil, fmt.Sprintf("waited %v", p.patience(ctx)), p.holders())
	case errors.Is(err, lane.ErrOverloaded):
		p.counts.overloads.Add(1)
		return p.fail(op, ErrOverloaded, nil, fmt.Sprintf("MaxWaiters is %d", p.cfg.MaxWaiters), p.holders())
	case errors.Is(err, lane.ErrClosed):
		return p.fail(op, ErrClosed, nil)
	case errors.Is(err, lane.ErrConflict):
		return p.fail(op, ErrConflict, nil)
	}
	return p.fail(op, err, nil)
}

// holders says who has the connections, since when, and where they were taken.
func (p *Pool) holders() string {
	now := p.conns.report()
	held := now.lent
	connections := len(held)
	for _, l := range now.apart {
		if l.conn == p.writer.Load() || l.conn.locks.shared.Load() {
			if labelOf(l.ctx) == "" {
				l.ctx = WithLabel(l.ctx, "a transaction left open on a *sql.DB")
			}
			held = append(held, l)
		}
	}
	slices.SortFunc(held, func(a, b loan) int { return cmp.Compare(a.since, b.since) })
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d connections are held", connections, p.cfg.MaxConns)
	for _, h := range held {
		fmt.Fprintf(&b, ", by %s for %v", h.taker(), (p.clock() - h.since).Round(time.Millisecond))
		if label := labelOf(h.ctx); label != "" {
			fmt.Fprintf(&b, " (%s)", label)
		}
	}
	if now.calling > 0 {
		fmt.Fprintf(&b, "; OnConnect has been setting up another for %v, in vain if it waits for this pool", (p.clock() - now.calling).Round(time.Millisecond))
	}
	if now.shrunk != nil {
		fmt.Fprintf(&b, "; no more could be opened: %v", now.shrunk)
	}
	return b.String()
}
