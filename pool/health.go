package pool

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// HealthCheck reports whether the pool can work: the database file and, in WAL
// mode, its -wal and -shm are still those that were opened, and a connection
// answers a read of the schema. It is
// ErrMoved, ErrClosed, the context's error, or ErrUnhealthy with the cause.
func (p *Pool) HealthCheck(ctx context.Context) error {
	if err := p.given("health check", ctx, true); err != nil {
		return err
	}
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
	h := holder{ctx: ctx}
	h.depth = runtime.Callers(4, h.frames(p, 2)) // past HealthCheck and what it calls
	l, err := p.acquire(ctx, wish{op: "acquire"}, &h)
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

// checkUp is one round of health checks: of the file, of each connection that
// is idle.
func (p *Pool) checkUp(ctx context.Context) {
	p.counts.healthChecks.Add(1)
	p.log.lookCloser()
	failed := p.checkFile("health check") != nil
	for _, c := range p.conns.idling() {
		failed = !p.checkIdle(ctx, c) || failed
	}
	if failed {
		p.counts.healthFailures.Add(1)
	}
}

// checkIdle has a connection answer if nobody wants it now. One that cannot is
// replaced.
func (p *Pool) checkIdle(ctx context.Context, c *conn) (healthy bool) {
	l, err := p.tryAcquire(ctx, "health check", choice{primary: p.conns.isPrimary(c), only: c})
	if err != nil {
		return true // it is in use, and tells by itself
	}
	defer l.Release()
	if !c.tryToRead() { // a check does not queue behind the writer
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err = l.readSchema(ctx)
	healthy = err == nil || ctx.Err() != nil || errors.Is(err, ErrBusy)
	if !healthy {
		c.mu.Lock()
		c.broken = err
		c.mu.Unlock()
		p.warn("a connection does not answer and is replaced", err)
	}
	return healthy
}
