package dqlite_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/pool"
)

func TestWhatWouldBeNullWithoutAWordIsRefusedBeforeItIsSent(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		var wrong sqlite.ArgumentsError
		for text, args := range map[string][]any{
			"INSERT INTO n (v) VALUES (?)":      nil,
			"INSERT INTO n (v) VALUES (?1, ?2)": {1},
			"INSERT INTO n (v) VALUES (1)":      {1},
		} {
			_, err := s.StoreWriter().ExecContext(t.Context(), text, args...)
			require.ErrorAs(t, err, &wrong, text)
			_, err = s.DB().ExecContext(t.Context(), text, args...)
			require.ErrorAs(t, err, &wrong, text)
			require.ErrorAs(t, s.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
				_, err := tx.ExecContext(ctx, text, args...)
				return err
			}), &wrong, text)
		}
		require.Empty(t, c.values())
	})
}

func TestOtherDatabasesAreRefused(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		for _, text := range []string{"ATTACH 'other.db' AS other", "SELECT 1; DETACH other"} {
			_, err := s.StoreWriter().ExecContext(t.Context(), text)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			_, err = s.DB().ExecContext(t.Context(), text)
			require.ErrorIs(t, err, errors.ErrUnsupported)
		}
		require.Zero(t, c.count("ATTACH"))
	})
}

// A node that writes and returns rows outside of a transaction ends.
func TestWhatDBWritesAndReturnsHasATransactionAroundIt(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		var id int
		require.NoError(t, s.DB().QueryRowContext(t.Context(), "INSERT INTO n (v) VALUES (?) RETURNING v", 7).Scan(&id))
		require.Equal(t, 7, id)
		_, err := s.DB().ExecContext(t.Context(), "INSERT INTO n (v) VALUES (8) RETURNING v")
		require.NoError(t, err)
		require.Equal(t, 2, c.count("BEGIN IMMEDIATE"))
		require.Equal(t, 2, c.count("COMMIT"))
		_, err = s.DB().ExecContext(t.Context(), "INSERT INTO nowhere (v) VALUES (8) RETURNING v")
		require.ErrorContains(t, err, "nowhere")
		require.Equal(t, 1, c.count("ROLLBACK"))
		require.Equal(t, []int{7, 8}, c.values())
		laneIsFree(t, s)
		atRest(t, s)
	})
}
