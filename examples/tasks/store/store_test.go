package store_test

import (
	"context"
	"strings"
	"testing"

	"example.org/tasks/gen"
	"example.org/tasks/schema"
	"example.org/tasks/store"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
)

// open gives a test a database of its own: a copy of one that is migrated once.
func open(t *testing.T) (*store.Repo, *pool.Pool) {
	t.Parallel()
	p := pooltest.New(t, pooltest.Migrations(schema.Files))
	return store.New(p), p
}

func create(t *testing.T, r *store.Repo, titles ...string) (tasks []gen.Task) {
	t.Helper()
	for _, title := range titles {
		task, err := r.CreateTask(t.Context(), title)
		require.NoError(t, err)
		tasks = append(tasks, task)
	}
	return tasks
}

func TestTheNewestTasksComeFirst(t *testing.T) {
	r, _ := open(t)
	made := create(t, r, "tea", "milk", "bread")
	done, err := r.SetDone(t.Context(), gen.SetDoneParams{ID: made[1].ID, Done: true})
	require.NoError(t, err)

	open, err := r.ListTasks(t.Context(), gen.ListTasksParams{Done: false, Count: 10})
	require.NoError(t, err)
	require.Equal(t, []gen.Task{made[2], made[0]}, open)
	open, err = r.ListTasks(t.Context(), gen.ListTasksParams{Done: false, Count: 1})
	require.NoError(t, err)
	require.Equal(t, made[2:], open)
	finished, err := r.ListTasks(t.Context(), gen.ListTasksParams{Done: true, Count: 10})
	require.NoError(t, err)
	require.Equal(t, []gen.Task{done}, finished)
}

func TestATitleIsOpenOnce(t *testing.T) {
	r, _ := open(t)
	tea := create(t, r, "tea")[0]
	_, err := r.CreateTask(t.Context(), "tea")
	require.ErrorIs(t, err, store.ErrDuplicate)

	_, err = r.SetDone(t.Context(), gen.SetDoneParams{ID: tea.ID, Done: true})
	require.NoError(t, err)
	create(t, r, "tea")
	_, err = r.SetDone(t.Context(), gen.SetDoneParams{ID: tea.ID, Done: false})
	require.ErrorIs(t, err, store.ErrDuplicate)
}

func TestTheSchemaRefusesWhatIsNoTitle(t *testing.T) {
	r, _ := open(t)
	create(t, r, strings.Repeat("ü", 200))
	for _, title := range []string{"", strings.Repeat("ü", 201)} {
		_, err := r.CreateTask(t.Context(), title)
		require.ErrorIs(t, err, store.ErrCheck)
	}
}

func TestATaskThatIsNotThereIsNotFound(t *testing.T) {
	r, _ := open(t)
	_, err := r.SetDone(t.Context(), gen.SetDoneParams{ID: 7, Done: true})
	require.ErrorIs(t, err, store.ErrNotFound)

	tea := create(t, r, "tea")[0]
	deleted, err := r.DeleteTask(t.Context(), tea.ID)
	require.NoError(t, err)
	require.Equal(t, tea, deleted)
	_, err = r.DeleteTask(t.Context(), tea.ID)
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestARequestIsRememberedForADay(t *testing.T) {
	r, p := open(t)
	require.NoError(t, r.CreateRequest(t.Context(), gen.CreateRequestParams{Key: "a", TaskID: 7, Title: "tea"}))
	require.ErrorIs(t, r.CreateRequest(t.Context(), gen.CreateRequestParams{Key: "a", TaskID: 8}), store.ErrDuplicate)

	require.NoError(t, r.ForgetRequests(t.Context()))
	request, err := r.GetRequest(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, gen.Request{Key: "a", TaskID: 7, Title: "tea", MadeAt: request.MadeAt}, request)

	// What no query is made for goes through the pool.
	_, err = p.Writer().Exec(t.Context(), "UPDATE requests SET made_at = made_at - 86401")
	require.NoError(t, err)
	require.NoError(t, r.ForgetRequests(t.Context()))
	_, err = r.GetRequest(t.Context(), "a")
	require.ErrorIs(t, err, store.ErrNotFound)
}

// Queries stay fast as the list grows: none reads a whole table, none sorts.
func TestEveryQueryUsesAnIndex(t *testing.T) {
	_, p := open(t)
	pooltest.Plans(t, p, store.Statements(), pooltest.NoScan, pooltest.NoTempBTree)
}

// A transaction that SQLite loses half way, as on a full disk, leaves nothing behind.
func TestALostTransactionAddsNothing(t *testing.T) {
	r, p := open(t)
	pooltest.Fail(t, p, pooltest.LostTx)
	require.Error(t, r.Batch(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.CreateTask(ctx, "tea")
		return err
	}))
	pooltest.Heal(t, p)
	open, err := r.ListTasks(t.Context(), gen.ListTasksParams{Count: 10})
	require.NoError(t, err)
	require.Empty(t, open)
}
