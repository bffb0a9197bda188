package pool_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestMembersOfABatchKnowTheCommitThatTheyShare(t *testing.T) {
	tracedEverywhere(t, func(t *testing.T, p *pool.Pool, r *recorder) {
		ctx := t.Context()
		gate, err := p.Begin(ctx, pool.Immediate)
		require.NoError(t, err)
		r.reset()
		const members = 5
		done := make(chan error, members+1)
		for i := range members {
			go func() { done <- p.Batch(ctx, doing("INSERT INTO n VALUES (?, 0)", 10+i)) }()
		}
		waitFor(t, "they queue", func() bool { return p.Stats().WriteQueue == members })
		failed := errors.New("ours")
		go func() { done <- p.Batch(ctx, func(context.Context, *pool.Tx) error { return failed }) }()
		waitFor(t, "one more", func() bool { return p.Stats().WriteQueue == members+1 })
		require.NoError(t, gate.Commit(ctx))
		var errs []error
		for range members + 1 {
			if err := <-done; err != nil {
				errs = append(errs, err)
			}
		}
		require.Equal(t, []error{failed}, errs)

		commits := r.named("commit")
		require.Len(t, commits, 1)
		require.Equal(t, members, commits[0].op.Members)
		require.Equal(t, "batch", commits[0].parent.op.Name, "that of the member which ordered it")
		require.NoError(t, commits[0].end(t).Err)
		require.Len(t, r.named("batch"), members+1)
		linked := 0
		for _, o := range r.named("batch") {
			end := o.end(t)
			if end.Err != nil {
				require.Nil(t, end.Commit, "nothing of it is in the commit")
				continue
			}
			commit := end.Commit.Value(recordedKey{}).(*recorded)
			require.Equal(t, "commit", commit.op.Name)
			linked++
		}
		require.Equal(t, members, linked)
		r.requireWhole(t)
	})
}

func TestACommitThatFailsIsToldAndItsMemberHasNone(t *testing.T) {
	p, r := traced(t, pool.Config{})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	l.Release()
	r.reset()
	// Alone, its transaction is its own, and the debt shows at the commit.
	err = p.Batch(t.Context(), doing("INSERT INTO child VALUES (NULL, 99)"))
	require.Error(t, err)
	for _, o := range r.named("batch") {
		require.Nil(t, o.end(t).Commit)
	}
	r.requireWhole(t)
}

func TestAQueryIsTracedWithTheNameThatSqlcGaveIt(t *testing.T) {
	p, r := traced(t, pool.Config{Name: "files"})
	for text, name := range map[string]string{
		"-- name: GetNumber :one\nSELECT v FROM n\n": "GetNumber",
		"-- name: GetNumber\nSELECT v FROM n\n":      "",
		"-- name: SELECT v FROM n":                   "",
		"SELECT v FROM n -- name: X :one":            "",
		"-- a note\nSELECT v FROM n":                 "",
		"SELECT 1":                                   "",
		"":                                           "",
	} {
		r.reset()
		_, err := p.Reader().Exec(t.Context(), text)
		require.NoError(t, err)
		require.Equal(t, name, r.query(t, text).op.Query, text)
		for _, o := range r.all() {
			require.Equal(t, "files", o.op.Pool)
		}
	}
}
