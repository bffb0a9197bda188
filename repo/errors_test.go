package repo_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/repo"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

var (
	querier  = reflect.TypeFor[gen.Querier]()
	reader   = reflect.TypeFor[repo.Reader]()
	moment   = column.At(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	ofColumn = []any{column.Other, column.Indexed, column.NoCloud, column.CloudOnly, column.PermissionGranted, moment}
)

// names returns the methods of an interface.
func names(of reflect.Type) (all []string) {
	for m := range of.Methods() {
		all = append(all, m.Name)
	}
	return all
}

func isReading(method string) bool { return slices.Contains(names(reader), method) }

// lists are the arguments that are JSON, by method.
var lists = map[string]string{
	"UpsertDirectories": `[{"path": "a", "parent_id": 1}]`,
	"UpsertFiles": `[{"directory_id": 2, "path": "a", "name": "a", "name_lower": "a", "extension": "a", "is_directory": true, "size": 2,
		"date_created": 2, "date_modified": 2, "cloud_provider": "none", "cloud_status": "local", "indexed_at": 2}]`,
}

// call calls a method of a repository with arguments that fit plant's index.
func call(ctx context.Context, on any, method string) (any, error) {
	m := reflect.ValueOf(on).MethodByName(method)
	args := []reflect.Value{reflect.ValueOf(ctx)}
	for i := 1; i < m.Type().NumIn(); i++ {
		arg := reflect.New(m.Type().In(i)).Elem()
		fill(arg, "")
		if list, ok := lists[method]; ok {
			arg.SetString(list)
		}
		args = append(args, arg)
	}
	out := m.Call(args)
	if len(out) == 1 {
		return all(out[0])
	}
	err, _ := out[1].Interface().(error)
	return out[0].Interface(), err
}

// all are the rows of an iterator, and its error.
func all(seq reflect.Value) (any, error) {
	rows := reflect.New(reflect.SliceOf(seq.Type().In(0).In(0))).Elem()
	for row, err := range seq.Seq2() {
		if !err.IsNil() {
			return rows.Interface(), err.Interface().(error)
		}
		rows = reflect.Append(rows, row)
	}
	return rows.Interface(), nil
}

func fill(v reflect.Value, field string) {
	for _, value := range ofColumn {
		if reflect.TypeOf(value) == v.Type() {
			if field != "Since" && field != "Before" { // these stay open
				v.Set(reflect.ValueOf(value))
			}
			return
		}
	}
	switch {
	case field == "FilterDef":
		v.SetString("{}")
	case v.Kind() == reflect.String:
		v.SetString("a")
	case v.CanInt():
		v.SetInt(2)
	case v.Type() == reflect.TypeFor[[]int64]():
		v.Set(reflect.ValueOf([]int64{2}))
	case v.Type() == reflect.TypeFor[[]byte]():
		v.SetBytes([]byte{2})
	case v.Kind() == reflect.Struct:
		for f, value := range v.Fields() {
			fill(value, f.Name)
		}
	}
}

// plant makes an index in which whatever is called "a" or has the id 2 exists,
// has something below it and lies in something.
func plant(t *testing.T, q gen.Querier) {
	t.Helper()
	for i, path := range []string{"r", "a", "a/sub"} {
		up := new(int64(i))
		if i == 0 {
			up = nil
		}
		_, err := q.UpsertDirectory(t.Context(), gen.UpsertDirectoryParams{Path: path, ParentID: up})
		require.NoError(t, err)
	}
	for i, path := range []string{"a/sub", "a", "a/b"} {
		_, err := q.UpsertFile(t.Context(), gen.UpsertFileParams{
			DirectoryID: 2, Path: path, Name: path, NameLower: path, Extension: "a", IsDirectory: i == 0, Size: new(int64(i)),
			DateCreated: moment, DateModified: column.At(moment.Add(-time.Duration(i))), CloudProvider: column.NoCloud, CloudStatus: column.Local, IndexedAt: moment,
		})
		require.NoError(t, err)
	}
	for _, method := range []string{"SetFolderSizes", "PutBookmark", "AppendLog"} {
		_, err := call(t.Context(), q, method)
		require.NoError(t, err)
	}
}

// answers are what the reading methods return, by name.
func answers(ctx context.Context, t *testing.T, on any) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, method := range names(reader) {
		answer, err := call(ctx, on, method)
		require.NoError(t, err, method)
		require.NotEmpty(t, answer, "%s: the comparison would say nothing", method)
		all[method] = answer
	}
	for method, answer := range all {
		if list, ok := strings.CutSuffix(method, "Seq"); ok {
			require.Equal(t, all[list], answer, "an iterator has the rows of its list")
		}
	}
	return all
}

func TestReaderHasEveryReadingMethodAndNoWritingOne(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		plant(t, r)
		before := answers(t.Context(), t, r)
		require.NoError(t, r.View(t.Context(), func(ctx context.Context, _ repo.Reader) error {
			for _, method := range names(querier) {
				_, err := call(ctx, r, method)
				if isReading(method) {
					require.NoError(t, err, method)
				} else {
					require.ErrorIs(t, err, pool.ErrReadOnly, "SQLite knows better than the generator: %s", method)
					require.ErrorContains(t, err, method+": ")
				}
			}
			return nil
		}))
		require.Equal(t, before, answers(t.Context(), t, r))
	})
	for m := range reader.Methods() {
		same, ok := querier.MethodByName(strings.TrimSuffix(m.Name, "Seq"))
		require.True(t, ok, "%s is no query", m.Name)
		if !strings.HasSuffix(m.Name, "Seq") {
			require.Equal(t, same.Type, m.Type, m.Name)
			require.Equal(t, m.Type.Out(0).Kind() == reflect.Slice, slices.Contains(names(reader), m.Name+"Seq"), "%s has an iterator if it has rows", m.Name)
		}
	}
	for _, method := range names(querier) {
		require.False(t, strings.HasSuffix(method, "Seq"), method)
		require.True(t, isReading(method) || !isReading(method+"Seq"), method)
	}
}

func TestWhatAViewIsGivenCannotBeTurnedIntoAWriter(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		require.NoError(t, r.View(t.Context(), func(_ context.Context, q repo.Reader) error {
			_, ok := q.(gen.Querier)
			require.False(t, ok)
			require.ElementsMatch(t, names(reader), names(reflect.TypeOf(q)))
			return nil
		}))
	})
}

func TestEveryReadingMethodAnswersTheSameWhereverItRuns(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		plant(t, r)
		want := answers(t.Context(), t, r)
		require.NoError(t, r.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *repo.Tx) error {
			require.Equal(t, want, answers(ctx, t, tx))
			require.Equal(t, want, answers(ctx, t, r))
			return nil
		}))
		require.NoError(t, r.View(t.Context(), func(ctx context.Context, q repo.Reader) error {
			require.Equal(t, want, answers(ctx, t, q))
			return nil
		}))
	})
}

func TestEveryWritingMethodIsABatchMemberOutsideATransaction(t *testing.T) {
	onPools(t, func(t *testing.T, p *pool.Pool, r *repo.Repo) {
		plant(t, r)
		methods := names(querier)
		slices.Reverse(methods) // what deletes comes last
		for _, method := range methods {
			before := p.Stats().BatchMembers
			_, err := call(t.Context(), r, method)
			if isReading(method) {
				require.Equal(t, before, p.Stats().BatchMembers, method)
				continue
			}
			require.NoError(t, err, method)
			require.Equal(t, before+1, p.Stats().BatchMembers, method)
		}
	})
}

func TestEveryMethodJoinsTheTransactionOfItsContext(t *testing.T) {
	// One connection: a method that wanted another would be a deadlock.
	p, r := open(t, pool.Config{MaxConns: 1})
	plant(t, r)
	want := answers(t.Context(), t, r)
	for _, method := range names(querier) {
		for who, on := range map[string]func(tx *repo.Tx) any{
			"Repo": func(*repo.Tx) any { return r }, "Tx": func(tx *repo.Tx) any { return tx },
		} {
			before := p.Stats()
			require.Same(t, errUndo, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
				_, err := call(ctx, on(tx), method)
				require.NoError(t, err, "%s.%s", who, method)
				return errUndo
			}))
			after := p.Stats()
			require.Equal(t, before.Acquires+1, after.Acquires, "%s.%s", who, method)
			require.Equal(t, before.RolledBack+1, after.RolledBack, "%s.%s", who, method)
			require.Equal(t, before.Committed, after.Committed, "%s.%s", who, method)
		}
	}
	require.Equal(t, want, answers(t.Context(), t, r), "all of it is undone")
}

func TestWhatIsUsedAfterItsEndIsDone(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		var ended, inner *repo.Tx
		var over repo.Reader
		require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
			ended = tx
			require.NoError(t, tx.Savepoint(ctx, func(_ context.Context, tx *repo.Tx) error {
				inner = tx
				return nil
			}))
			require.ErrorIs(t, add(ctx, inner, "late"), pool.ErrTxDone)
			return add(ctx, tx, "in time")
		}))
		require.NoError(t, r.View(t.Context(), func(_ context.Context, q repo.Reader) error {
			over = q
			return nil
		}))
		for _, method := range names(querier) {
			for _, on := range []any{ended, inner} {
				_, err := call(t.Context(), on, method)
				require.ErrorIs(t, err, pool.ErrTxDone, method)
				require.True(t, strings.HasPrefix(err.Error(), method+": "), err)
			}
		}
		for _, method := range names(reader) {
			_, err := call(t.Context(), over, method)
			require.ErrorIs(t, err, pool.ErrTxDone, method)
		}
		require.ErrorIs(t, ended.Savepoint(t.Context(), func(context.Context, *repo.Tx) error { panic("begun") }), pool.ErrTxDone)
		require.True(t, has(t.Context(), t, r, "in time"))
	})
}

func TestEveryMethodNamesItselfInItsError(t *testing.T) {
	p, r := open(t, pool.Config{Path: pool.Memory})
	require.NoError(t, add(t.Context(), r, "opens the connections"))
	var ended *repo.Tx
	var over repo.Reader
	require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(_ context.Context, tx *repo.Tx) error {
		ended = tx
		return nil
	}))
	require.NoError(t, r.View(t.Context(), func(_ context.Context, q repo.Reader) error {
		over = q
		return nil
	}))
	check := func(on any, methods []string, sentinel error) {
		for _, method := range methods {
			_, err := call(t.Context(), on, method)
			require.ErrorIs(t, err, sentinel, method)
			require.True(t, strings.HasPrefix(err.Error(), strings.TrimSuffix(method, "Seq")+": "), err)
			var e *pool.Error
			require.ErrorAs(t, err, &e, method)
		}
	}
	check(ended, names(querier), pool.ErrTxDone)
	check(over, names(reader), pool.ErrTxDone)
	require.NoError(t, p.Close())
	check(r, names(querier), pool.ErrClosed)
	nothing := func(context.Context, *repo.Tx) error { return nil }
	for op, err := range map[string]error{
		"InTx":      r.InTx(t.Context(), pool.Immediate, nothing),
		"Batch":     r.Batch(t.Context(), nothing),
		"View":      r.View(t.Context(), func(context.Context, repo.Reader) error { return nil }),
		"Savepoint": ended.Savepoint(t.Context(), nothing),
	} {
		require.ErrorContains(t, err, op+": pool: ")
		require.True(t, strings.HasPrefix(err.Error(), op+": "), err)
	}
}

// failures are calls that must fail, and as what.
var failures = map[string]struct {
	call func(ctx context.Context, q gen.Querier) error
	want error
	code int // SQLite's, or 0
}{
	"not found": {func(ctx context.Context, q gen.Querier) error {
		_, err := q.GetFileByPath(ctx, "/nowhere")
		return err
	}, repo.ErrNotFound, 0},
	"duplicate": {func(ctx context.Context, q gen.Querier) error {
		return add(ctx, q, "All")
	}, repo.ErrDuplicate, lib.SQLITE_CONSTRAINT_UNIQUE},
	"foreign key": {func(ctx context.Context, q gen.Querier) error {
		_, err := q.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: "/a", ParentID: new(int64(99))})
		return err
	}, repo.ErrForeignKey, lib.SQLITE_CONSTRAINT_FOREIGNKEY},
	"check": {func(ctx context.Context, q gen.Querier) error {
		_, err := q.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: ""})
		return err
	}, repo.ErrCheck, lib.SQLITE_CONSTRAINT_CHECK},
	"not null": {func(ctx context.Context, q gen.Querier) error {
		_, err := q.PutBookmark(ctx, gen.PutBookmarkParams{Path: "/a", Bookmark: []byte{1}})
		return err
	}, repo.ErrNotNull, lib.SQLITE_CONSTRAINT_NOTNULL},
}

// requireFailure requires err to be what want says and nothing else.
func requireFailure(t *testing.T, err, want error, code int) {
	t.Helper()
	require.Error(t, err)
	for _, sentinel := range []error{repo.ErrNotFound, repo.ErrDuplicate, repo.ErrForeignKey, repo.ErrCheck, repo.ErrNotNull} {
		require.Equal(t, sentinel == want, errors.Is(err, sentinel), "%v is %v", err, sentinel)
	}
	require.Equal(t, want == repo.ErrNotFound, errors.Is(err, sql.ErrNoRows))
	got, ok := pool.Code(err)
	require.Equal(t, code != 0, ok)
	require.Equal(t, code, got)
	if code != 0 {
		if e := (*sqlite.Error)(nil); errors.As(err, &e) { // it is modernc's, or a node's
			require.Equal(t, code, e.Code())
		} else {
			var failure *wire.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, code, failure.Code)
		}
	}
}

func TestErrorsCanBeToldApartWhereverTheyHappen(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		for name, f := range failures {
			require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
				requireFailure(t, f.call(ctx, tx), f.want, f.code)
				requireFailure(t, f.call(ctx, r), f.want, f.code)
				requireFailure(t, tx.Savepoint(ctx, func(ctx context.Context, tx *repo.Tx) error { return f.call(ctx, tx) }), f.want, f.code)
				return add(ctx, tx, name) // the transaction goes on
			}))
			require.True(t, has(t.Context(), t, r, name))
			requireFailure(t, f.call(t.Context(), r), f.want, f.code)
			requireFailure(t, r.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *repo.Tx) error { return f.call(ctx, tx) }), f.want, f.code)
			requireFailure(t, r.Batch(t.Context(), func(ctx context.Context, tx *repo.Tx) error { return f.call(ctx, tx) }), f.want, f.code)
		}
		require.Same(t, errUndo, r.View(t.Context(), func(ctx context.Context, q repo.Reader) error {
			_, err := q.GetBookmark(ctx, "/nowhere")
			requireFailure(t, err, repo.ErrNotFound, 0)
			return errUndo
		}))
	})
}

func TestAForeignKeyThatIsUnmetAtTheEndIsTheSameError(t *testing.T) {
	onPools(t, func(t *testing.T, p *pool.Pool, r *repo.Repo) {
		owe := func(ctx context.Context, tx *repo.Tx) error {
			_, err := p.TxFromContext(ctx).ExecContext(ctx, "PRAGMA defer_foreign_keys=on")
			require.NoError(t, err)
			_, err = tx.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: "/a", ParentID: new(int64(99))})
			require.NoError(t, err)
			return nil
		}
		for op, err := range map[string]error{
			"InTx":  r.InTx(t.Context(), pool.Immediate, owe),
			"Batch": r.Batch(t.Context(), owe),
		} {
			require.ErrorIs(t, err, repo.ErrForeignKey, op)
			code, ok := pool.Code(err)
			require.True(t, ok)
			require.Equal(t, lib.SQLITE_CONSTRAINT_FOREIGNKEY, code)
			var e *pool.Error
			require.ErrorAs(t, err, &e)
			require.True(t, strings.HasPrefix(err.Error(), op+": "), err)
		}
		_, err := r.GetDirectoryByPath(t.Context(), "/a")
		require.ErrorIs(t, err, repo.ErrNotFound)
	})
}

func TestAContextThatHasEndedIsItsOwnError(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(fmt.Errorf("tired"))
		for _, method := range names(querier) {
			_, err := call(ctx, r, method)
			requireFailure(t, err, nil, 0)
			require.ErrorIs(t, err, context.Canceled, method)
		}
		never := func(context.Context, *repo.Tx) error { panic("begun") }
		require.ErrorIs(t, r.InTx(ctx, pool.Immediate, never), context.Canceled)
		require.ErrorIs(t, r.Batch(ctx, never), context.Canceled)
		require.ErrorIs(t, r.View(ctx, func(context.Context, repo.Reader) error { panic("begun") }), context.Canceled)
	})
}
