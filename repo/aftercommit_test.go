package repo_test

import (
	"context"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/repo"
	"github.com/stretchr/testify/require"
)

func TestFunctionsAreCalledAfterTheCommitOfARepositorysTransaction(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		var called []string
		note := func(what string) func() { return func() { called = append(called, what) } }
		work := func(ctx context.Context, tx *repo.Tx) error {
			tx.AfterCommit(func() {
				require.True(t, has(t.Context(), t, r, "kept"))
				require.NoError(t, add(t.Context(), r, "after"))
				note("first")()
			})
			require.ErrorIs(t, tx.Savepoint(ctx, func(_ context.Context, tx *repo.Tx) error {
				tx.AfterCommit(note("undone"))
				return errUndo
			}), errUndo)
			require.NoError(t, tx.Savepoint(ctx, func(_ context.Context, tx *repo.Tx) error {
				tx.AfterCommit(note("second"))
				return nil
			}))
			require.Empty(t, called)
			return add(ctx, tx, "kept")
		}
		require.NoError(t, r.InTx(t.Context(), pool.Immediate, work))
		require.Equal(t, []string{"first", "second"}, called)
		for _, begin := range []func(context.Context, func(context.Context, *repo.Tx) error) error{
			r.Batch,
			func(ctx context.Context, fn func(context.Context, *repo.Tx) error) error {
				return r.InTx(ctx, pool.Exclusive, fn)
			},
		} {
			var ended *repo.Tx
			require.ErrorIs(t, begin(t.Context(), func(_ context.Context, tx *repo.Tx) error {
				ended = tx
				tx.AfterCommit(note("undone"))
				return errUndo
			}), errUndo)
			ended.AfterCommit(note("after the end"))
		}
		require.PanicsWithValue(t, "ours", func() {
			_ = r.Batch(t.Context(), func(_ context.Context, tx *repo.Tx) error {
				tx.AfterCommit(func() { panic("ours") })
				tx.AfterCommit(note("third"))
				return nil
			})
		})
		require.Equal(t, []string{"first", "second", "third"}, called)
	})
}
