package pool

import (
	"context"
	"errors"
	"os"
)

// HealthCheck reports whether the pool can work: the database file is still the
// one that was opened, and a connection answers a read of the schema. It is
// ErrMoved, ErrClosed, the context's error, or ErrUnhealthy with the cause.
func (p *Pool) HealthCheck(ctx context.Context) error {
	p.counts.healthChecks.Add(1)
	err := p.checkFile("health check")
	if err == nil {
		err = p.checkAnswer(ctx)
	}
	if err != nil {
		p.counts.healthFailures.Add(1)
	}
	return err
}

// checkAnswer reads the schema. A connection that cannot is replaced when its
// lease ends, so the next one has a chance.
func (p *Pool) checkAnswer(ctx context.Context) error {
	err := p.readSchema(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrAcquireTimeout) {
		err = p.readSchema(ctx)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.Is(err, ErrClosed), errors.Is(err, ErrMoved), errors.Is(err, ErrDeadlock):
		return p.fail("health check", nil, err)
	}
	return p.fail("health check", ErrUnhealthy, err)
}

func (p *Pool) readSchema(ctx context.Context) error {
	l, err := p.Acquire(ctx)
	if err != nil {
		return err
	}
	defer l.Release()
	return l.readSchema(ctx)
}

func (l *Lease) readSchema(ctx context.Context) error {
	var n int
	return l.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
}

// checkFile sees that the path still leads to the file that was opened: SQLite
// writes on happily after it was unlinked. It looks at the directory entry
// alone, since closing any descriptor of the file would drop SQLite's locks.
func (p *Pool) checkFile(op string) error {
	if p.memory() {
		return nil
	}
	now, err := os.Stat(p.path)
	if err == nil && os.SameFile(p.identity, now) {
		if p.moved.CompareAndSwap(true, false) {
			p.cfg.Logger.Info("the database file is back", "path", p.path)
		}
		return nil
	}
	if p.moved.CompareAndSwap(false, true) {
		p.cfg.Logger.Error("the database file was moved or replaced; writes are refused", "path", p.path)
	}
	return p.fail(op, ErrMoved, err, "move it back, or open a new pool")
}
