package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	plaingen "github.com/sqlane/sqlane/cmd/repogen/testdata/kinds/plain/gen"
	plain "github.com/sqlane/sqlane/cmd/repogen/testdata/kinds/plain/store"
	turnedgen "github.com/sqlane/sqlane/cmd/repogen/testdata/kinds/turned/gen"
	turned "github.com/sqlane/sqlane/cmd/repogen/testdata/kinds/turned/store"
	"github.com/sqlane/sqlane/cmd/repogen/testdata/kinds/types"
	columns "github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/internal/sqlstore"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"

	_ "embed"
)

// What a generated method does is what sqlc's own does, on a *sql.DB: both run side by
// side here, over each form of a method, and each kind of column and of value.

//go:embed testdata/kinds/schema.sql
var kindsSchema string

// sides are the two: packages of the same queries, one with sqlc's defaults, the other
// with all that they can be turned to.
type sides struct {
	querier         reflect.Type
	own, repository any // sqlc's Queries, and the repository
}

// inKinds runs a test on databases with the schema, in each package.
func inKinds(t *testing.T, test func(t *testing.T, db *sql.DB, s sides)) {
	on := func(t *testing.T, db *sql.DB, store pool.Store) {
		_, err := db.ExecContext(t.Context(), kindsSchema)
		require.NoError(t, err)
		t.Run("plain", func(t *testing.T) {
			test(t, db, sides{reflect.TypeFor[plaingen.Querier](), plaingen.New(db), plain.New(store)})
		})
		for _, table := range []string{"part", "thing"} {
			_, err := db.ExecContext(t.Context(), "DELETE FROM "+table)
			require.NoError(t, err)
		}
		t.Run("turned", func(t *testing.T) {
			test(t, db, sides{reflect.TypeFor[turnedgen.Querier](), turnedgen.New(db), turned.New(store)})
		})
	}
	t.Run("pool", func(t *testing.T) {
		p, err := pool.Open(t.Context(), pool.Config{Path: pool.Memory})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		on(t, p.DB(), p)
	})
	t.Run("database/sql", func(t *testing.T) {
		s, err := sqlstore.Open(filepath.Join(t.TempDir(), "kinds.db"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		on(t, s.DB(), s)
	})
}

// called is what came of calling a method.
func called(on any, method string, args []reflect.Value) (result any, err error) {
	out := reflect.ValueOf(on).MethodByName(method).Call(args)
	err, _ = out[len(out)-1].Interface().(error)
	if len(out) == 2 {
		result = out[0].Interface()
	}
	if r, ok := result.(sql.Result); ok {
		n, _ := r.RowsAffected()
		return n, err
	}
	return result, err
}

// both calls a method on both sides, and returns what came of it on the repository's.
// after is called after each, to see what it has left behind.
func (s sides) both(t *testing.T, method string, args []any, after func() any) (any, error) {
	t.Helper()
	values := []reflect.Value{reflect.ValueOf(t.Context())}
	of, _ := s.querier.MethodByName(method)
	for i, arg := range args {
		v := reflect.ValueOf(arg)
		if arg == nil {
			v = reflect.Zero(of.Type.In(i + 1))
		}
		values = append(values, v)
	}
	want, wantErr := called(s.own, method, values)
	left := after()
	got, err := called(s.repository, method, values)
	require.Equal(t, left, after(), "%s %+v", method, args)
	if wantErr == nil {
		require.NoError(t, err, "%s %+v", method, args)
	} else {
		require.EqualError(t, err, dberr.Wrap(method, wantErr).Error(), "%s %+v", method, args)
		require.Equal(t, dberr.Kind(wantErr), dberr.Kind(err))
	}
	require.Equal(t, want, got, "%s %+v", method, args)
	require.Equal(t, want == nil, got == nil)
	if reflect.ValueOf(s.repository).MethodByName(method + "Seq").IsValid() {
		require.Equal(t, reflect.ValueOf(want).IsNil(), reflect.ValueOf(got).IsNil(), "no rows are what sqlc makes of them")
		s.requireSeq(t, method, values, got, err)
	}
	return got, err
}

// requireSeq sees that the iterator has the rows of its list, up to an error.
func (s sides) requireSeq(t *testing.T, method string, values []reflect.Value, rows any, failed error) {
	t.Helper()
	if method == "NoteParts" {
		return // it writes
	}
	all, n := reflect.ValueOf(rows), 0
	var last error
	for row, err := range reflect.ValueOf(s.repository).MethodByName(method + "Seq").Call(values)[0].Seq2() {
		require.NoError(t, last, "an error comes last")
		if last, _ = err.Interface().(error); last != nil {
			require.True(t, row.IsZero())
		} else if failed == nil {
			require.Equal(t, all.Index(n).Interface(), row.Interface())
		}
		n++
	}
	if failed == nil {
		require.NoError(t, last)
		require.Equal(t, all.Len(), n)
	} else {
		require.EqualError(t, last, failed.Error())
	}
}

func nothing() any { return nil }

// param makes the only parameter of a method, a struct or a pointer to one, whose
// fields are given in order.
func (s sides) param(method string, fields ...any) any {
	of, _ := s.querier.MethodByName(method)
	kind := of.Type.In(1)
	isPointer := kind.Kind() == reflect.Pointer
	if isPointer {
		kind = kind.Elem()
	}
	p := reflect.New(kind)
	for i, field := range fields {
		if field != nil {
			p.Elem().Field(i).Set(reflect.ValueOf(field))
		}
	}
	if isPointer {
		return p.Interface()
	}
	return p.Elem().Interface()
}

// args are the arguments of a method that sqlc gives a struct if it has more than one, or
// if it has any, as it is told.
func (s sides) args(method string, fields ...any) []any {
	of, _ := s.querier.MethodByName(method)
	if of.Type.NumIn() == 2 {
		if kind := of.Type.In(1); strings.HasSuffix(strings.TrimPrefix(kind.String(), "*"), method+"Params") {
			return []any{s.param(method, fields...)}
		}
	}
	return fields
}

// keptInColumns are values of every storage class, with those at which something
// changes for one kind or another.
var keptInColumns = []any{
	nil, int64(0), int64(1), int64(2), int64(-1), int64(127), int64(128), int64(-129), int64(65535), int64(65536), int64(math.MaxInt64), int64(math.MinInt64), int64(1_700_000_000),
	0.0, 1.0, 1.5, -1.5, 1e300, math.Inf(1), 16777217.0,
	"", "text", "0", "1", "true", "-7", "300", "1.5", "1e3", " 1", "9223372036854775808", "nul \x00 inside", "\xff", strings.Repeat("ü", 100), `{"a": 1}`,
	"2024-07-01", "2024-07-01 12:30:45", "2024-07-01T12:30:45.123456789Z", "12:30",
	[]byte{},
	[]byte("bytes"), []byte("7"),
	[]byte{0, 255},
	[]byte("true"), []byte(strings.Repeat("long", 50)),
}

// plant puts a value into all columns of a row.
func plant(t *testing.T, db *sql.DB, id int64, value any) {
	t.Helper()
	columns := reflect.TypeFor[plaingen.Thing]().NumField() - 1
	args := []any{id, value}
	_, err := db.ExecContext(t.Context(), "REPLACE INTO thing VALUES (?"+strings.Repeat(", ?2", columns)+")", args...)
	require.NoError(t, err)
}

func TestEveryKindOfColumnIsReadAsSqlcReadsIt(t *testing.T) {
	inKinds(t, func(t *testing.T, db *sql.DB, s sides) {
		reads, values := 0, len(keptInColumns)
		if strings.Contains(t.Name(), "database/sql") {
			values /= rounds.Of(4, 1, 1) // the code is the same
		}
		for i := range values {
			value := keptInColumns[i*(len(keptInColumns)/values)]
			if blob, ok := value.([]byte); ok && len(blob) == 0 && strings.Contains(t.Name(), "database/sql") {
				continue // the driver takes it for nil
			}
			plant(t, db, 1, value)
			for m := range s.querier.Methods() {
				switch {
				case strings.HasPrefix(m.Name, "Get"):
					_, _ = s.both(t, m.Name, s.args(m.Name, int64(1)), nothing)
					_, err := s.both(t, m.Name, s.args(m.Name, int64(9)), nothing)
					require.ErrorIs(t, err, dberr.ErrNotFound)
					reads++
				case strings.HasPrefix(m.Name, "List") && m.Type.NumIn() == 1:
					_, _ = s.both(t, m.Name, nil, nothing)
					reads++
				}
			}
		}
		require.GreaterOrEqual(t, reads, (values-1)*2*44)
		for i, value := range []any{"1", "2", "3", int64(4), "5"} { // some rows before one that cannot be read
			plant(t, db, int64(i+1), value)
		}
		_, err := s.both(t, "ListPickies", nil, nothing)
		require.ErrorIs(t, err, types.ErrPicky)
		_, err = s.both(t, "ListThings", nil, nothing)
		require.ErrorContains(t, err, `sql: Scan error on column index `)
		_, err = s.both(t, "ListLooseOrNil", nil, nothing)
		require.NoError(t, err)
	})
}

// given are arguments of every kind that a column has, by type.
var given = func() map[reflect.Type][]any {
	given := map[reflect.Type][]any{}
	for _, v := range []any{
		1, -1, math.MaxInt, int8(-128), int8(127), int64(0), int64(math.MinInt64), int64(math.MaxInt64), uint16(0), uint16(65535), uint64(1), uint64(math.MaxInt64), uint64(math.MaxInt64 + 1), uint(3), uint(math.MaxUint),
		float32(0.1), float32(math.Inf(-1)), 0.1, math.NaN(), math.Inf(1), math.Copysign(0, -1), true, false, "", "text", "nul \x00", "\xff", strings.Repeat("ü", 200),
		[]byte(nil),
		[]byte{},
		[]byte{0, 1},
		types.Text(""), types.Text("t"), types.Number(-5), types.Small(-1), types.Tall(7), types.Tall(math.MaxUint64), types.Half(0.5), types.Whole(2.5), types.Flag(true), types.Flag(false),
		types.Bytes(nil),
		types.Bytes{},
		types.Bytes("b"), types.Near(nil), types.Near(new(int64(6))),
		types.Picky{Text: "p"},
		types.Picky{Null: true},
		types.Picky{Text: "refused"},
		types.Picky{Text: "strange"},
		types.Loose("l"),
		types.Far{N: 3},
		time.Duration(5), json.RawMessage(nil), json.RawMessage(`{}`),
		sql.NullString{},
		sql.NullString{String: "n", Valid: true},
		sql.NullInt64{Int64: 1, Valid: true},
		sql.Null[int8]{V: 4, Valid: true},
		sql.Null[int8]{},
		(*int64)(nil), new(int64(8)), (*string)(nil), new("s"), (*float64)(nil), new(1.5), (*bool)(nil), new(true), (*types.Text)(nil), new(types.Text("x")), (*types.Small)(nil), new(types.Small(2)),
		(*types.Picky)(nil), &types.Picky{Text: "p"}, &types.Picky{Text: "refused"}, (*types.Loose)(nil), new(types.Loose("l")), (*types.Far)(nil), &types.Far{N: 4}, (*types.Half)(nil), new(types.Half(0.25)), (*types.Flag)(nil), new(types.Flag(true)),
		(*json.RawMessage)(nil), new(json.RawMessage("[]")),
		time.Time{},
		time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC), (*time.Time)(nil), new(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)),
		columns.Time{},
		columns.At(time.Unix(5, 6)),
		columns.Time{Time: time.Date(1677, 1, 1, 0, 0, 0, 0, time.UTC)},
		(*columns.Time)(nil), new(columns.At(time.Unix(7, 8))),
	} {
		t := reflect.TypeOf(v)
		given[t] = append(given[t], v)
	}
	given[reflect.TypeFor[any]()] = []any{nil, 1, "text", []byte("b"), 1.5, true, struct{}{}, []int{1}, make(chan int), types.Picky{Text: "p"}, (*types.Far)(nil), new(new("far")), types.Tall(math.MaxUint64), sql.Named("", 5), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	return given
}()

func TestEveryKindOfArgumentIsBoundAsSqlcBindsIt(t *testing.T) {
	inKinds(t, func(t *testing.T, db *sql.DB, s sides) {
		plant(t, db, 1, nil)
		stored := func(column int) func() any {
			return func() any {
				name := reflect.TypeFor[turnedgen.Thing]().Field(column).Tag.Get("db")
				var kind, text string
				require.NoError(t, db.QueryRowContext(t.Context(), "SELECT typeof("+name+"), quote("+name+") FROM thing").Scan(&kind, &text))
				plant(t, db, 1, nil)
				return kind + " " + text
			}
		}
		thing := reflect.TypeFor[plaingen.Thing]()
		for i := 1; i < thing.NumField(); i++ {
			field := thing.Field(i)
			values := given[field.Type]
			require.NotEmpty(t, values, field.Type)
			for _, value := range values {
				_, _ = s.both(t, "Set"+field.Name, []any{s.param("Set"+field.Name, value, int64(1))}, stored(i))
			}
		}
	})
}

func TestEveryFormOfAMethodDoesWhatSqlcsDoes(t *testing.T) {
	inKinds(t, func(t *testing.T, db *sql.DB, s sides) {
		ctx := t.Context()
		for id := range int64(4) {
			plant(t, db, id+1, "text")
			_, err := db.ExecContext(ctx, "UPDATE thing SET an_int64 = id")
			require.NoError(t, err)
		}
		undone := func() any { // it is as it was before
			n := 0
			require.NoError(t, db.QueryRowContext(ctx, "SELECT count(*) + coalesce(sum(length(note)), 0) FROM part").Scan(&n))
			_, err := db.ExecContext(ctx, "DELETE FROM part")
			require.NoError(t, err)
			_, err = db.ExecContext(ctx, "INSERT INTO part VALUES (1, 1, 'one', NULL), (2, 2, 'two', 'note')")
			require.NoError(t, err)
			return n
		}
		undone()
		var note any = sql.NullString{String: "new", Valid: true}
		if s.querier == reflect.TypeFor[turnedgen.Querier]() {
			note = new("new")
		}
		name := note
		both := func(method string, fields ...any) (any, error) {
			t.Helper()
			return s.both(t, method, s.args(method, fields...), undone)
		}
		fine := func(_ any, err error) { t.Helper(); require.NoError(t, err) }
		fails := func(kind error) func(any, error) {
			return func(_ any, err error) { t.Helper(); require.ErrorIs(t, err, kind) }
		}
		fine(both("AddPart", int64(3), "three", note))
		fails(dberr.ErrDuplicate)(both("AddPart", int64(3), "two", note))
		fails(dberr.ErrForeignKey)(both("AddPart", int64(33), "three", nil))
		fine(both("PutPart", int64(3), "two", note))
		fails(dberr.ErrForeignKey)(both("PutPart", int64(33), "four", note))
		fine(both("NotePart", note, "one"))
		fine(both("NotePart", nil, "nobody"))
		fine(both("NoteParts", note, int64(2)))
		fine(both("NoteParts", nil, int64(1)))
		fine(both("NoteParts", nil, int64(9)))
		fine(both("DropParts", []int64{1, 2, 3}))
		fine(both("DropParts", []int64{}))
		fine(both("Check"))
		fine(both("FindParts", name, int64(0)))
		fine(both("FindParts", nil, int64(0)))
		fine(both("ListParts"))
		for _, ids := range [][]int64{nil, {}, {1}, {3, 1, 2, 2}} {
			fine(both("ListIn", int64(2), ids))
			fine(both("CountPickies", []types.Picky{{Text: "p"}, {Null: true}}, ids))
			fine(both("CountPickies", []types.Picky{{Text: "p"}}, ids))
			fails(types.ErrPicky)(both("CountPickies", []types.Picky{{Text: "p"}, {Text: "refused"}, {Text: "strange"}}, ids))
		}
		fine(both("CountTexts", []types.Text{"text", "other"}))
		fine(both("CountTexts", []types.Text(nil)))

		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		for _, method := range []string{"Check", "ListParts", "ListThings"} {
			_, err := called(s.repository, method, []reflect.Value{reflect.ValueOf(cancelled)})
			require.ErrorIs(t, err, context.Canceled)
		}
		_, err := db.ExecContext(ctx, "DROP TABLE part")
		require.NoError(t, err)
		for _, method := range []string{"Check", "ListParts"} {
			_, err := s.both(t, method, nil, nothing)
			require.ErrorContains(t, err, "no such table")
		}
		_, err = db.ExecContext(ctx, kindsSchema[strings.Index(kindsSchema, "CREATE TABLE part"):])
		require.NoError(t, err)
	})
}
