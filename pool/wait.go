package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/sqlane/sqlane/internal/lane"
)

// housekeeping is the context of maintenance's own waits, which Stats and
// MaxWaiters leave out.
type housekeeping struct{ context.Context }

// howToWait is how a caller with that context waits for a lane.
func (p *Pool) howToWait(ctx context.Context) lane.Wait {
	_, own := ctx.(housekeeping)
	return lane.Wait{Timeout: p.cfg.AcquireTimeout, Uncounted: own}
}

// waitFailed makes the pool's error out of a lane's.
func (p *Pool) waitFailed(op string, err error) error {
	switch {
	case isContextError(err):
		return p.fail(op, nil, err)
	case errors.Is(err, lane.ErrTimeout):
		p.counts.timeouts.Add(1)
		return p.fail(op, ErrAcquireTimeout, nil, fmt.Sprintf("waited %v", p.cfg.AcquireTimeout), p.holders())
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
