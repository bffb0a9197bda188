package pool_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

func assertIs(err, target error) bool { return errors.Is(err, target) }

func TestPredicatesTellSQLitesErrorsApart(t *testing.T) {
	p := open(t, fullSoon())
	run(t, p, "CREATE TABLE strict_child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent)")
	run(t, p, "INSERT INTO ruled VALUES (1, 0, 1)")
	kind := func(of error) func(error) bool { return func(err error) bool { return dberr.Kind(err) == of } }
	predicates := map[string]func(error) bool{
		"unique": kind(dberr.ErrDuplicate), "foreign key": kind(dberr.ErrForeignKey), "check": kind(dberr.ErrCheck), "not null": kind(dberr.ErrNotNull),
		"full": pool.IsFull, "busy": pool.IsBusy, "corrupt": pool.IsCorrupt,
	}
	for _, c := range []struct {
		query, is string
		code      int
	}{
		{"INSERT INTO n VALUES (1, 0)", "unique", 1555},
		{"INSERT OR ABORT INTO ruled VALUES (2, 0, 1)", "unique", 2067},
		{"INSERT INTO strict_child VALUES (1, 1)", "foreign key", 787},
		{"INSERT INTO ruled (v) VALUES (-1)", "check", 275},
		{"INSERT INTO ruled (v) VALUES (NULL)", "not null", 1299},
		{"INSERT INTO heap VALUES (zeroblob(1000000))", "full", 13},
		{"SELECT nothing", "", 1},
	} {
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		err = fmt.Errorf("wrapped: %w", do(t.Context(), l, c.query))
		l.Release()
		code, ok := pool.Code(err)
		require.True(t, ok, c.query)
		require.Equal(t, c.code, code, c.query)
		for name, is := range predicates {
			require.Equal(t, name == c.is, is(err), "%s: %s", c.query, name)
		}
		var own *sqlite.Error
		require.ErrorAs(t, err, &own)
	}
	for name, is := range predicates {
		require.False(t, is(nil), name)
		require.False(t, is(errOurs), name)
	}
	for _, err := range []error{nil, errOurs, context.Canceled, pool.ErrBusy} {
		_, ok := pool.Code(err)
		require.False(t, ok)
	}
	require.True(t, pool.IsBusy(pool.ErrBusy))
	require.True(t, pool.IsBusy(pool.ErrConflict))
}

func TestAnErrorSaysWhatWasDoneToWhichDatabase(t *testing.T) {
	err := error(&pool.Error{Op: "begin", Path: "/data/app.db", Err: pool.ErrBusy, Cause: errOurs})
	require.EqualError(t, err, "pool: begin /data/app.db: database is locked by another process: ours")
	require.ErrorIs(t, err, pool.ErrBusy)
	require.ErrorIs(t, err, errOurs)
	require.EqualError(t, &pool.Error{Op: "close"}, "pool: close")
	require.NotErrorIs(t, &pool.Error{Op: "close"}, errOurs)

	p := open(t, pool.Config{ReadOnly: false})
	_, err = p.Begin(func() context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return ctx
	}(), pool.Exclusive)
	var own *pool.Error
	require.ErrorAs(t, err, &own)
	require.Equal(t, pool.Exclusive, own.Level)
	require.ErrorContains(t, err, "begin EXCLUSIVE")
}

func TestACorruptDatabaseIsToldApart(t *testing.T) {
	path := t.TempDir() + "/app.db"
	require.NoError(t, writeFile(path, "this is no database, but it is long enough to be looked at as one"))
	_, err := pool.Open(t.Context(), pool.Config{Path: path})
	require.True(t, pool.IsCorrupt(err), "%v", err)
	require.ErrorContains(t, err, path)
}
