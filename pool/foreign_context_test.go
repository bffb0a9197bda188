package pool_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// foreign is a context of the program's own.
type foreign struct {
	context.Context
	err func() error
}

func (c foreign) Err() error { return c.err() }

func TestAContextsErrMayUseThePoolWhileAStatementRuns(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		var runs, asked atomic.Bool
		ctx, cancel := context.WithCancel(t.Context())
		name := onSignal(t, func() { runs.Store(true) })
		_, err := p.Reader().Exec(foreign{ctx, func() error {
			if p.Stats().InUse > 0 && runs.Load() && !asked.Swap(true) {
				cancel()
			}
			return ctx.Err()
		}}, endless(name))
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, asked.Load())
		requireAtRest(t, p)
	})
}

func TestAContextsErrMayLookAtThePoolWhileItsStatementRuns(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		var runs, asked atomic.Bool
		ctx, cancel := context.WithCancel(t.Context())
		name := onSignal(t, func() { runs.Store(true) })
		_, err := p.Reader().Exec(foreign{ctx, func() error {
			if runs.Load() && !asked.Swap(true) {
				assert.Len(t, p.Activity().Leases, 1)
				assert.NotNil(t, p.Queries())
				cancel()
			}
			return ctx.Err()
		}}, endless(name))
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, asked.Load())
		requireAtRest(t, p)
	})
}
