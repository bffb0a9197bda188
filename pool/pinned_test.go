package pool_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// TestWhoHasAConnectionKeepsNoTransactionFromBeingTakenBack takes connections with the
// context of a savepoint, which leads to its transaction, and loses that one.
func TestWhoHasAConnectionKeepsNoTransactionFromBeingTakenBack(t *testing.T) {
	takers := map[string]func(ctx context.Context, p *pool.Pool) (giveBack func(), err error){
		"a lease": func(ctx context.Context, p *pool.Pool) (func(), error) {
			l, err := p.Acquire(ctx)
			return func() { l.Release() }, err
		},
		"a transaction": func(ctx context.Context, p *pool.Pool) (func(), error) {
			tx, err := p.Begin(ctx, pool.Deferred)
			return func() { _ = tx.Rollback(t.Context()) }, err
		},
		"a connection of database/sql": func(ctx context.Context, p *pool.Pool) (func(), error) {
			c, err := p.DB().Conn(ctx)
			return func() { _ = c.Close() }, err
		},
	}
	for name, take := range takers {
		t.Run(name, func(t *testing.T) {
			p := open(t, pool.Config{MaxConns: 2})
			giveBack := func() {}
			func() {
				lost, err := p.Begin(t.Context(), pool.Immediate)
				require.NoError(t, err)
				require.NoError(t, lost.Savepoint(pool.WithLabel(t.Context(), "inner"), func(ctx context.Context, _ *pool.Tx) (err error) {
					giveBack, err = take(ctx, p)
					return err
				}))
			}()
			defer giveBack()
			waitFor(t, "it is taken back", func() bool {
				runtime.GC()
				return p.Stats().Reclaimed == 1
			})
		})
	}
}
