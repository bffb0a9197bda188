package main

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"example.org/tasks/gen"
	"example.org/tasks/store"
)

// list is what everybody looks at.
type list struct {
	Open []gen.Task `json:"open"`
	Done []gen.Task `json:"done"`
}

// read returns the list. Its two queries see the same moment in a View or a Watch,
// which hand out a store.Reader: there is no method in it that could write.
func read(ctx context.Context, q store.Reader) (l list, err error) {
	if l.Open, err = q.ListTasks(ctx, gen.ListTasksParams{Done: false, Count: 500}); err != nil {
		return l, err
	}
	l.Done, err = q.ListTasks(ctx, gen.ListTasksParams{Done: true, Count: 20})
	return l, err
}

// add puts a task on the list. A request that is sent again, since its answer got
// lost or somebody clicked twice, has the same key, and gets the same answer.
//
// Batch is the transaction for short, independent writes: those that come at the same
// time share one commit. The function may run more than once, so it changes nothing
// but the database and its own result.
func add(ctx context.Context, r *store.Repo, key, title string) (task gen.Task, err error) {
	title = strings.Join(strings.Fields(title), " ")
	if n := utf8.RuneCountInString(title); n < 1 || n > 200 {
		return task, errTitle
	}
	err = r.Batch(ctx, func(ctx context.Context, tx *store.Tx) error {
		before, err := tx.GetRequest(ctx, key)
		if err == nil {
			if before.Title != title {
				return errKeyReused
			}
			task = gen.Task{ID: before.TaskID, Title: title}
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if task, err = tx.CreateTask(ctx, title); err != nil {
			return err
		}
		if err := tx.ForgetRequests(ctx); err != nil {
			return err
		}
		return tx.CreateRequest(ctx, gen.CreateRequestParams{Key: key, TaskID: task.ID, Title: title})
	})
	return task, err
}
