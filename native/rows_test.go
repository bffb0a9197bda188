package native_test

import (
	"testing"

	"github.com/sqlane/sqlane/native"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestRowsGoBehindThoseThatAreThereAndIntoNobodysMemory(t *testing.T) {
	db := native.On(open(t, pool.Config{}).StoreReader())
	mine := []int64{-1, -2, -3, -4}
	const n = 10_000
	rows, err := native.All(t.Context(), db.Call("Count", numbers).Int(n), 1, mine[:2], native.Int[int64])
	require.NoError(t, err)
	require.Len(t, rows, 2+n)
	require.Equal(t, []int64{-1, -2, 1, 2}, rows[:4])
	require.EqualValues(t, n, rows[1+n])
	require.Equal(t, []int64{-1, -2, -3, -4}, mine)
}
