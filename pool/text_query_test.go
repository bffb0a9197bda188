package pool_test

import (
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestATransactionBegunByAQueryIsKeptAccountOf(t *testing.T) {
	p := open(t, pool.Config{})
	c, err := p.DB().Conn(t.Context())
	require.NoError(t, err)
	rows, err := c.QueryContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	require.NoError(t, rows.Close())
	_, err = c.ExecContext(t.Context(), "INSERT INTO n VALUES (51, -13)")
	require.Error(t, err, "it is rolled back")
	_, err = c.ExecContext(t.Context(), "INSERT INTO n VALUES (52, 1)")
	require.ErrorIs(t, err, pool.ErrTxLost)
	require.NoError(t, c.Close())
	require.Zero(t, get(t, p, "SELECT count(*) FROM n WHERE id > 50"), "nothing commits on its own")
}
