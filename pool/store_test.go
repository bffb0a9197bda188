package pool_test

import (
	"context"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAStoreCanTellWhetherAFunctionMayRunAgain(t *testing.T) {
	require.False(t, pool.IsRepeatable())
	require.True(t, pool.IsRepeatable(pool.Repeatable()))
}

// TestAPoolIsAStore runs on the interface what package repo's tests do with
// generated code.
func TestAPoolIsAStore(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		var s pool.Store = p
		ctx := t.Context()
		count := func(ctx context.Context, on pool.DBTX, want int64) {
			t.Helper()
			n, err := number(ctx, on, "SELECT count(*) FROM n")
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		require.NoError(t, do(ctx, s.StoreWriter(), insert, 2))
		require.EqualValues(t, 1, p.Stats().Batches)
		require.ErrorIs(t, do(ctx, s.StoreReader(), insert, 3), pool.ErrReadOnly)
		require.NoError(t, s.StoreInTx(ctx, pool.Exclusive, func(ctx context.Context, tx pool.StoreTx) error {
			require.Equal(t, pool.Exclusive, tx.Level())
			require.NoError(t, do(ctx, tx, insert, 3))
			require.Same(t, errOurs, tx.Savepoint(ctx, func(ctx context.Context, tx pool.StoreTx) error {
				require.Equal(t, pool.Exclusive, tx.Level())
				require.NoError(t, do(ctx, tx, insert, 4))
				count(ctx, s.StoreReader(), 4)
				return errOurs
			}))
			require.NoError(t, do(ctx, s.StoreWriter(), insert, 5))
			count(ctx, tx, 4)
			return nil
		}))
		require.NoError(t, s.StoreBatch(ctx, func(ctx context.Context, tx pool.StoreTx) error { return do(ctx, tx, insert, 6) }))
		require.NoError(t, s.StoreView(ctx, func(ctx context.Context, tx pool.StoreTx) error {
			require.ErrorIs(t, do(ctx, tx, insert, 7), pool.ErrReadOnly)
			require.ErrorIs(t, do(ctx, s.StoreWriter(), insert, 7), pool.ErrReadOnly)
			count(ctx, tx, 5)
			return nil
		}))
		requireAtRest(t, p)
	})
}

func TestAStoresFunctionRunsAgainIfItMay(t *testing.T) {
	p := open(t, pool.Config{})
	for want, opts := range map[int][]pool.TxOption{1: nil, 2: {pool.Repeatable()}} {
		runs := 0
		err := p.StoreInTx(t.Context(), pool.Deferred, func(ctx context.Context, tx pool.StoreTx) error {
			runs++
			if _, err := number(ctx, tx, "SELECT v FROM n"); err != nil {
				return err
			}
			if runs == 1 {
				require.NoError(t, send(t.Context(), p, "UPDATE n SET v = v + 1"))
			}
			return do(ctx, tx, "UPDATE n SET v = v + 1")
		}, opts...)
		require.Equal(t, want, runs)
		require.Equal(t, want == 1, err != nil)
	}
}
