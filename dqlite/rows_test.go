package dqlite_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

// TestRowsWhoseLeaderIsLostEndWithAnErrorOfTheStores: the first of them have been read, so that
// nobody can begin again for their reader.
func TestRowsWhoseLeaderIsLostEndWithAnErrorOfTheStores(t *testing.T) {
	const all = "SELECT v FROM n ORDER BY v"
	cut := func(c *cluster, rows *sql.Rows, err error) (read int, _ error) {
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		for rows.Next() {
			if read++; read == 1 {
				c.nodes[0].cutOff()
			}
		}
		return read, rows.Err()
	}
	for name, test := range map[string]struct {
		read     func(ctx context.Context, c *cluster, s *dqlite.Store) (int, error)
		sentinel error
	}{
		"a reader's": {func(ctx context.Context, c *cluster, s *dqlite.Store) (int, error) {
			rows, err := s.StoreReader().QueryContext(ctx, all)
			return cut(c, rows, err)
		}, pool.ErrUnhealthy},
		"the DB's": {func(ctx context.Context, c *cluster, s *dqlite.Store) (int, error) {
			rows, err := s.DB().QueryContext(ctx, all)
			return cut(c, rows, err)
		}, pool.ErrUnhealthy},
		"a view's": {func(ctx context.Context, c *cluster, s *dqlite.Store) (read int, err error) {
			err = s.StoreView(ctx, func(ctx context.Context, tx pool.StoreTx) error {
				rows, err := tx.QueryContext(ctx, all)
				read, err = cut(c, rows, err)
				return err
			})
			return read, err
		}, pool.ErrTxLost},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) {
				s := c.open()
				for range 10 {
					c.sql("INSERT INTO n (v) SELECT count(*) FROM n")
				}
				read, err := test.read(t.Context(), c, s)
				require.ErrorIs(t, err, test.sentinel)
				var e *pool.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, "main.db", e.Path)
				require.Less(t, read, 10)
				require.Equal(t, 10, get(t, t.Context(), s.StoreReader(), "SELECT count(*) FROM n"), "the next one has another connection")
				atRest(t, s)
			})
		})
	}
}
