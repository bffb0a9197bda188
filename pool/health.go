package pool

import (
	"context"
	"errors"
)

// HealthCheck reports whether the pool can work: the database file and, in WAL
// mode, its -wal and -shm are still those that were opened, and a connection
// answers a read of the schema. It is
// ErrMoved, ErrClosed, the context's error, or ErrUnhealthy with the cause.
func (p *Pool) HealthCheck(ctx context.Context) error {
	p.counts.healthChecks.Add(1)
	p.log.lookCloser()
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
