package pool_test

import (
	"context"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestACallerThatWaitsForItsTurnToOpenAConnectionIsOneThatWaits(t *testing.T) {
	opens, goesOn := make(chan struct{}), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(goesOn) })
	defer goOn()
	p := open(t, pool.Config{MaxConns: 4, HealthCheckInterval: -1, OnConnect: func(ctx context.Context, _ *pool.Lease) error {
		if ctx.Value(labelled{}) != nil {
			close(opens)
			<-goesOn
		}
		return nil
	}})
	lease, err := p.Acquire(t.Context()) // the one that is ready
	require.NoError(t, err)
	var wg sync.WaitGroup
	acquire := func(ctx context.Context) {
		wg.Go(func() {
			another, err := p.Acquire(ctx)
			if assert.NoError(t, err) {
				another.Release()
			}
		})
	}
	acquire(context.WithValue(t.Context(), labelled{}, true))
	<-opens
	require.Zero(t, p.Stats().Waiting, "it opens")
	acquire(t.Context())
	waitFor(t, "it waits for its turn", func() bool { return p.Stats().Waiting == 1 })
	require.Zero(t, p.Stats().WriteQueue)
	goOn()
	wg.Wait()
	lease.Release()
	requireAtRest(t, p)
}
