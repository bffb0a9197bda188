package pool_test

import (
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestRowsOfNoStatementThatNobodyClosedHoldNothingUp(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	rows, err := l.QueryContext(t.Context(), "-- nothing")
	require.NoError(t, err)
	l.Release()
	require.NoError(t, p.Close()) // waited for the rows
	require.NoError(t, rows.Close())
}
