package pool_test

import (
	"context"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestARepeatableFunctionIsRunOnceMoreAndNotForEver(t *testing.T) {
	p := open(t, pool.Config{})
	runs := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := p.InTx(ctx, pool.Deferred, func(context.Context, *pool.Tx) error {
		if runs++; runs == 100 {
			cancel()
		}
		return pool.ErrConflict // of another lease, or another pool
	}, pool.Repeatable())
	require.ErrorIs(t, err, pool.ErrConflict)
	require.Equal(t, 2, runs)
}
