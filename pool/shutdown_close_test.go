package pool_test

import (
	"context"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestCloseEndsAShutdownThatWaitsForLeases(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	ended := make(chan error)
	go func() { ended <- p.Shutdown(context.Background()) }()
	waitFor(t, "it has begun", func() bool {
		other, err := p.Acquire(t.Context())
		if err == nil {
			other.Release()
		}
		return err != nil
	})
	require.NoError(t, p.Close())
	require.NoError(t, <-ended) // waited for the lease, which the closed pool would not even reclaim
}
