package pool_test

import (
	"context"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestATransactionsErrorIsToldAndItsSavepointsIsNot(t *testing.T) {
	p, r := traced(t, pool.Config{})
	fails := func(context.Context, *pool.Tx) error { return errOurs }
	require.Same(t, errOurs, p.InTx(t.Context(), pool.Immediate, fails))
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		require.Same(t, errOurs, tx.Savepoint(ctx, fails))
		return nil
	}))
	ops := r.named("transaction")
	require.Len(t, ops, 2)
	require.Same(t, errOurs, ops[0].end(t).Err)
	require.NoError(t, ops[1].end(t).Err)
}
