package repo_test

import (
	"context"
	"slices"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/repo"
	"github.com/stretchr/testify/require"
)

func TestWatchYieldsWhatIsFetchedAfterEachCommit(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var fail error
		var last error
		step := 0
		for names, err := range repo.Watch(ctx, r, func(ctx context.Context, q repo.Reader) (names []string, err error) {
			tabs, err := q.ListTabs(ctx)
			for _, tab := range tabs {
				if slices.Contains([]string{"first", "second", "third"}, tab.Name) {
					names = append(names, tab.Name)
				}
			}
			if err == nil {
				err = fail
			}
			return names, err
		}) {
			last = err
			switch step {
			case 0:
				require.NoError(t, err)
				require.Empty(t, names)
				require.NoError(t, add(t.Context(), r, "first"))
			case 1:
				require.NoError(t, err)
				require.Equal(t, []string{"first"}, names)
				fail = errUndo
				require.NoError(t, r.Batch(t.Context(), func(ctx context.Context, tx *repo.Tx) error { return add(ctx, tx, "second") }))
			case 2:
				require.Same(t, errUndo, err, "its own error comes back as it is")
				require.Equal(t, []string{"first", "second"}, names)
				fail = nil
				require.NoError(t, add(t.Context(), r, "third"))
			case 3:
				require.NoError(t, err)
				require.Len(t, names, 3)
				stop()
			default:
				require.Empty(t, names)
			}
			step++
		}
		require.ErrorIs(t, last, context.Canceled)
		require.LessOrEqual(t, step, 6)

		require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *repo.Tx) error {
			n := 0
			for _, err := range repo.Watch(ctx, r, func(context.Context, repo.Reader) (int, error) { return 1, nil }) {
				n++
				require.ErrorIs(t, err, pool.ErrDeadlock)
			}
			require.Equal(t, 1, n)
			return nil
		}))
		for range repo.Watch(t.Context(), r, func(ctx context.Context, q repo.Reader) (int, error) {
			tabs, err := q.ListTabs(ctx)
			return len(tabs), err
		}) {
			break
		}
	})
}
