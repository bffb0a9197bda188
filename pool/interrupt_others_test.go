package pool_test

import (
	"context"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAnInterruptedStatementDoesNotTakeTheTransactionAlong(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3")
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		require.True(t, rows.Next())
		short, cancel := context.WithCancel(ctx)
		require.ErrorIs(t, do(short, tx, endless(onSignal(t, cancel))), context.Canceled)
		require.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (77, 1)"), "its context has not ended")
		require.False(t, rows.Next())
		require.ErrorIs(t, rows.Err(), context.Canceled, "they say why they ended")
		return nil
	}))
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n WHERE id = 77"))
}
