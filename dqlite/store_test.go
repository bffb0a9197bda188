package dqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestX(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		_, err := s.StoreWriter().ExecContext(t.Context(), "INSERT INTO n (v) VALUES (?), (2), (3), (4), (5)", 1)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2, 3, 4, 5}, c.values())
		rows, err := s.StoreReader().QueryContext(t.Context(), "SELECT v FROM n")
		require.NoError(t, err)
		n := 0
		for rows.Next() {
			n++
		}
		require.NoError(t, rows.Err())
		require.Equal(t, 5, n)
	})
}
