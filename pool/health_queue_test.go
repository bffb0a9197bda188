package pool_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// checking is a Tracer that stops the first health check as it begins its query.
type checking struct {
	once        sync.Once
	begun, goOn chan struct{}
}

func (c *checking) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	if strings.Contains(op.SQL, "sqlite_schema") {
		c.once.Do(func() {
			close(c.begun)
			<-c.goOn
		})
	}
	return ctx, nil
}

func TestAHealthCheckDoesNotQueueBehindAWriterThatWaitsForIt(t *testing.T) {
	check := &checking{begun: make(chan struct{}), goOn: make(chan struct{})}
	p, err := pool.Open(t.Context(), pool.Config{Path: pool.Memory, MaxConns: 2, MinConns: 2, Tracer: check, HealthCheckInterval: 10 * time.Millisecond, AcquireTimeout: 300 * time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	<-check.begun
	var (
		wg      sync.WaitGroup
		written error
	)
	wg.Go(func() { written = p.InTx(t.Context(), pool.Immediate, doing("SELECT 1")) })
	waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 })
	close(check.goOn)
	wg.Wait()
	require.NoError(t, written)
}
