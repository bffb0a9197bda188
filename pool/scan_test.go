package pool_test

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// The types below are destinations of every kind that database/sql tells apart.
type (
	pickyText   string
	keptValue   struct{ v any }
	ofValue     map[string]any // a Scanner that is no pointer
	namedFar    **int
	namedNear   *string
	namedTime   time.Time
	aDifference int64
	aMeasure    float64
)

func (p *pickyText) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("%w: %T", errUnreadable, v)
	}
	*p = pickyText(s)
	return nil
}
func (k *keptValue) Scan(v any) error { k.v = v; return nil }
func (o ofValue) Scan(v any) error {
	if o != nil {
		o["scanned"] = v
	}
	return nil
}

// destinations are what a column may be scanned into, or may not.
var destinations = func() (all []reflect.Type) {
	plain := []reflect.Type{
		reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[bool](), reflect.TypeFor[any](), reflect.TypeFor[time.Time](),
		reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
		reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
		reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[uintptr](), reflect.TypeFor[complex128](),
		reflect.TypeFor[namedInt](), reflect.TypeFor[namedUint](), reflect.TypeFor[namedText](), reflect.TypeFor[namedBytes](), reflect.TypeFor[namedBool](),
		reflect.TypeFor[namedFloat](), reflect.TypeFor[namedTime](), reflect.TypeFor[aDifference](), reflect.TypeFor[aMeasure](), reflect.TypeFor[time.Duration](), reflect.TypeFor[json](),
		reflect.TypeFor[sql.NullString](), reflect.TypeFor[sql.NullInt64](), reflect.TypeFor[sql.NullInt32](), reflect.TypeFor[sql.NullInt16](), reflect.TypeFor[sql.NullByte](),
		reflect.TypeFor[sql.NullBool](), reflect.TypeFor[sql.NullFloat64](), reflect.TypeFor[sql.NullTime](), reflect.TypeFor[sql.Null[int8]](), reflect.TypeFor[sql.Null[[]byte]](),
		reflect.TypeFor[sql.Null[namedText]](), reflect.TypeFor[sql.Null[any]](), reflect.TypeFor[sql.Null[sql.RawBytes]](), reflect.TypeFor[sql.Null[*int]](),
		reflect.TypeFor[pickyText](), reflect.TypeFor[keptValue](), reflect.TypeFor[unreadable](), reflect.TypeFor[namedFar](), reflect.TypeFor[namedNear](),
		reflect.TypeFor[error](), reflect.TypeFor[fmt.Stringer](), reflect.TypeFor[sql.Scanner](), reflect.TypeFor[struct{}](), reflect.TypeFor[struct{ A int }](), reflect.TypeFor[sql.Rows](),
		reflect.TypeFor[[]int](), reflect.TypeFor[[]string](), reflect.TypeFor[[2]byte](), reflect.TypeFor[map[string]int](), reflect.TypeFor[ofValue](),
		reflect.TypeFor[chan int](), reflect.TypeFor[func()](), reflect.TypeFor[[]rune](),
	}
	for _, t := range plain {
		all = append(all, t, reflect.PointerTo(t), reflect.PointerTo(reflect.PointerTo(t)))
	}
	return append(all, reflect.TypeFor[*sql.RawBytes]())
}()

// declared are columns' types: each affinity, the times, and what other drivers take
// for more than it is.
var declared = []string{"", "INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC", "BOOLEAN", "VARCHAR(9)", "DATE", "DATETIME", "TIMESTAMP", "TIME"}

// stored are values of every storage class, with those at which something changes.
var stored = []any{
	nil, int64(0), int64(1), int64(2), int64(-1), int64(127), int64(128), int64(255), int64(256), int64(-129), int64(65536), int64(math.MaxInt32 + 1),
	int64(math.MaxInt64), int64(math.MinInt64), int64(1_700_000_000), 0.0, 1.0, 1.5, -1.5, 0.1, 1e300, math.Inf(1), math.Inf(-1), math.MaxFloat32, 16777217.0, math.SmallestNonzeroFloat64,
	"", "text", "0", "1", "true", "F", "-7", "300", "1.5", "1e3", " 1", "nul \x00 inside", "\xff no UTF-8", strings.Repeat("ü", 100), "9223372036854775808", "NaN",
	"2024-07-01", "2024-07-01 12:30:45", "2024-07-01T12:30:45.123456789+02:00", "12:30", "0000-01-01", "9999-12-31 23:59:59.999999999-07:00",
	[]byte{},
	[]byte("bytes"), []byte("7"),
	[]byte{0, 255},
	[]byte("true"), []byte(strings.Repeat("long", 50)),
}

// scanned is what came of scanning a row into a destination of that type.
func scanned(scan func(dest ...any) error, kind reflect.Type) (into any, failure string) {
	dest := reflect.New(kind)
	if kind == reflect.TypeFor[ofValue]() {
		dest.Elem().Set(reflect.ValueOf(ofValue{}))
	}
	err := scan(dest.Interface())
	if err != nil {
		failure = err.Error()
	}
	return dest.Elem().Interface(), failure
}

// natively are the ways to send a statement without database/sql, by request too.
func natively(t *testing.T, p *pool.Pool, test func(name string, on pool.Querier)) {
	l := acquire(t, p)
	test("Lease", l)
	l.Release()
	test("Writer", p.Writer())
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(_ context.Context, tx *pool.Tx) error {
		test("Tx", tx)
		return nil
	}))
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
		test("Writer in a transaction", inContext{ctx, p.Writer()})
		return nil
	}))
	test("Writer", pool.ByRequest(p, p.StoreWriter(), "a query"))
	require.NoError(t, p.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
		test("Tx", pool.ByRequest(p, tx, "a query"))
		test("Writer in a transaction", inContext{ctx, pool.ByRequest(p, p.StoreWriter(), "a query")})
		return nil
	}))
}

// nativelyReading is natively for tests that only read: on a Reader too.
func nativelyReading(t *testing.T, p *pool.Pool, test func(name string, on pool.Querier)) {
	natively(t, p, test)
	test("Reader", p.Reader())
	require.NoError(t, p.View(t.Context(), func(ctx context.Context, _ *pool.Tx) error {
		test("Reader in a transaction", inContext{ctx, p.Reader()})
		test("Reader in a transaction", inContext{ctx, pool.ByRequest(p, p.StoreReader(), "a query")})
		return nil
	}))
	test("Reader", pool.ByRequest(p, p.StoreReader(), "a query"))
}

// inContext sends each statement with that context.
type inContext struct {
	ctx context.Context
	on  pool.Querier
}

func (c inContext) Exec(_ context.Context, query string, args ...any) (sql.Result, error) {
	return c.on.Exec(c.ctx, query, args...)
}

func (c inContext) Query(_ context.Context, query string, args ...any) (pool.Rows, error) {
	return c.on.Query(c.ctx, query, args...)
}

func (c inContext) QueryRow(_ context.Context, query string, args ...any) pool.Row {
	return c.on.QueryRow(c.ctx, query, args...)
}

// databaseSQLs is a Querier over database/sql, as a program might write one.
type databaseSQLs struct{ on face }

func (d databaseSQLs) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return d.on.ExecContext(ctx, query, args...)
}

func (d databaseSQLs) Query(ctx context.Context, query string, args ...any) (pool.Rows, error) {
	return d.on.QueryContext(ctx, query, args...)
}

func (d databaseSQLs) QueryRow(ctx context.Context, query string, args ...any) pool.Row {
	return d.on.QueryRowContext(ctx, query, args...)
}

// single returns the one row of a query, to be scanned again and again.
func single(t testing.TB, on pool.Querier, query string, args ...any) pool.Rows {
	t.Helper()
	rows, err := on.Query(t.Context(), query, args...)
	require.NoError(t, err)
	require.True(t, rows.Next(), "%v", rows.Err())
	return rows
}

// fill makes a table for each declared type, with all values in it.
func fill(t testing.TB, on pool.Querier) {
	t.Helper()
	for i, kind := range declared {
		_, err := on.Exec(t.Context(), fmt.Sprintf("CREATE TABLE d%d (id INTEGER PRIMARY KEY, v %s)", i, kind))
		require.NoError(t, err)
		var rows []any
		for j, v := range stored {
			rows = append(rows, j, v)
		}
		values := strings.TrimSuffix(strings.Repeat("(?, ?), ", len(stored)), ", ")
		_, err = on.Exec(t.Context(), fmt.Sprintf("INSERT INTO d%d VALUES %s", i, values), rows...)
		require.NoError(t, err)
	}
}

// unlike reports where modernc's driver gives database/sql another value than the
// pool does: for times and truth, by the declared type, and for an empty BLOB.
func unlike(kind string, v any) bool {
	b, ok := v.([]byte)
	return ok && len(b) == 0 || slices.Contains([]string{"BOOLEAN", "DATE", "DATETIME", "TIMESTAMP"}, kind)
}

func TestAColumnIsScannedAsByDatabaseSQL(t *testing.T) {
	besideOthers(t) // for it takes long
	p := open(t, pool.Config{})
	db := databaseSQLs{plainly(t)}
	fill(t, p.Writer())
	fill(t, db)
	nativelyReading(t, p, func(name string, on pool.Querier) {
		for i, kind := range declared {
			for j, v := range stored {
				if every := rounds.Of(32, 1, 1); name == "Lease" && (i+j)%every != 0 {
					continue
				}
				if name != "Lease" && (i+j)%rounds.Of(104, 13, 10) != 0 { // it is the same code
					continue
				}
				query := fmt.Sprintf("SELECT v FROM d%d WHERE id = ?", i)
				var sameValue, same, ours pool.Rows
				same = single(t, databaseSQLs{asFace(on)}, query, j)
				ours = single(t, on, query, j)
				if !unlike(kind, v) {
					sameValue = single(t, db, query, j)
				}
				for k, dest := range destinations {
					want, failure := scanned(same.Scan, dest)
					got, gotFailure := scanned(ours.Scan, dest)
					what := fmt.Sprintf("%s: %#v in a column %q into a *%v", name, v, kind, dest)
					require.Equal(t, failure, gotFailure, what)
					requireSame(t, want, got, what)
					if sameValue != nil {
						want, failure = scanned(sameValue.Scan, dest)
						require.Equal(t, failure, gotFailure, what+", with modernc's driver")
						requireSame(t, want, got, what+", with modernc's driver")
					}
					if (k+j)%rounds.Of(50, 10, 3) == 0 {
						got, gotFailure = scanned(on.QueryRow(t.Context(), query, j).Scan, dest)
						want, failure = scanned(asFace(on).QueryRowContext(t.Context(), query, j).Scan, dest)
						require.Equal(t, failure, gotFailure, what)
						requireSame(t, want, got, what)
					}
				}
				for _, rows := range []pool.Rows{sameValue, same, ours} {
					if rows != nil {
						require.NoError(t, rows.Close())
					}
				}
			}
		}
	})
	requireAtRest(t, p)
}

// requireSame is require.Equal for values that functions and NaN may be in.
func requireSame(t testing.TB, want, got any, what string) {
	t.Helper()
	if !reflect.DeepEqual(want, got) && shown(want) != shown(got) {
		require.Failf(t, "another value", "%s: %s instead of %s", what, shown(got), shown(want))
	}
}

// shown is what a value looks like, behind its pointers.
func shown(v any) string {
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	return fmt.Sprintf("%#v", r)
}

// asFace is database/sql's way to send a statement where on sends it without.
func asFace(on pool.Querier) face {
	if c, ok := on.(inContext); ok {
		return faceInContext{c.ctx, c.on.(face)}
	}
	return on.(face)
}

type faceInContext struct {
	ctx context.Context
	on  face
}

func (f faceInContext) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	return f.on.ExecContext(f.ctx, query, args...)
}

func (f faceInContext) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	return f.on.QueryContext(f.ctx, query, args...)
}

func (f faceInContext) QueryRowContext(_ context.Context, query string, args ...any) *sql.Row {
	return f.on.QueryRowContext(f.ctx, query, args...)
}

func TestColumnsAreScannedInOrderUpToTheFirstThatFails(t *testing.T) {
	p := open(t, pool.Config{})
	const query = "SELECT 1 AS a, 'two' AS b, 'x' AS \"the third\", 4 AS d, 5 AS e"
	nativelyReading(t, p, func(_ string, on pool.Querier) {
		for _, with := range []pool.Querier{on, databaseSQLs{asFace(on)}} {
			var a, d int64
			var calls []any
			seen := scannerFunc(func(v any) error { calls = append(calls, v); return nil })
			var c uint8
			err := with.QueryRow(t.Context(), query).Scan(&a, &seen, &c, &d, &seen)
			require.EqualError(t, err, `sql: Scan error on column index 2, name "the third": converting driver.Value type string ("x") to a uint8: invalid syntax`)
			require.EqualValues(t, 1, a)
			require.Zero(t, d)
			require.Equal(t, []any{"two"}, calls, "a Scanner is called once")

			fails := scannerFunc(func(any) error { return errUnreadable })
			err = with.QueryRow(t.Context(), query).Scan(&a, &seen, &fails, &d, &seen)
			require.ErrorIs(t, err, errUnreadable)
			require.EqualError(t, err, `sql: Scan error on column index 2, name "the third": unreadable`)

			require.EqualError(t, with.QueryRow(t.Context(), query).Scan(&a), "sql: expected 5 destination arguments in Scan, not 1")
			require.EqualError(t, with.QueryRow(t.Context(), query).Scan(), "sql: expected 5 destination arguments in Scan, not 0")
			require.EqualError(t, with.QueryRow(t.Context(), query).Scan(a, nil, &c, &d, &seen), `sql: Scan error on column index 0, name "a": destination not a pointer`)
			require.EqualError(t, with.QueryRow(t.Context(), query).Scan(&a, nil, &c, &d, &seen), `sql: Scan error on column index 1, name "b": destination not a pointer`)
			require.EqualError(t, with.QueryRow(t.Context(), query).Scan(new(sql.RawBytes), nil, &c), "sql: RawBytes isn't allowed on Row.Scan")
			require.ErrorIs(t, with.QueryRow(t.Context(), "SELECT 1 WHERE 0").Scan(), sql.ErrNoRows)
			require.ErrorIs(t, with.QueryRow(t.Context(), "").Scan(), sql.ErrNoRows)
		}
		rows := single(t, on, query)
		require.ErrorContains(t, rows.Scan(new(sql.RawBytes), nil), "RawBytes isn't allowed")
		require.NoError(t, rows.Close())
	})
}

type alwaysPanics struct{}

func (*alwaysPanics) Scan(any) error { panic(errUnreadable) }

type scannerFunc func(any) error

func (f *scannerFunc) Scan(v any) error { return (*f)(v) }

func TestANilDestinationIsAnError(t *testing.T) {
	p := open(t, pool.Config{})
	nativelyReading(t, p, func(_ string, on pool.Querier) {
		for _, v := range []any{nil, 1, 1.5, "text", []byte("blob")} {
			rows := single(t, on, "SELECT 0, ? AS v", v)
			for _, kind := range destinations {
				err := rows.Scan(new(int), reflect.Zero(reflect.PointerTo(kind)).Interface())
				require.EqualError(t, err, `sql: Scan error on column index 1, name "v": destination pointer is nil`, "%v", kind)
			}
			require.NoError(t, rows.Close())
		}
		var at *time.Time
		require.ErrorContains(t, on.QueryRow(t.Context(), "SELECT 1").Scan(at), "destination pointer is nil")
	})
}

func TestWhatWasScannedIsItsOwners(t *testing.T) {
	p := open(t, pool.Config{})
	nativelyReading(t, p, func(_ string, on pool.Querier) {
		rows := single(t, on, "SELECT x'616263', 'abc' UNION ALL SELECT x'646566', 'def'")
		var a, b []byte
		var c, d any
		var named namedBytes
		var text, short string
		require.NoError(t, rows.Scan(&a, &text))
		require.NoError(t, rows.Scan(&c, &b))
		require.NoError(t, rows.Scan(&named, &d))
		a[0], b[0], c.([]byte)[0], named[0] = 'X', 'Y', 'Z', 'W'
		require.NoError(t, rows.Scan(&a, &short))
		require.Equal(t, "abc", string(a))
		require.True(t, rows.Next())
		require.Equal(t, []any{"Ybc", "Zbc", "Wbc", "abc", "abc"}, []any{string(b), string(c.([]byte)), string(named), text, short})
		require.NoError(t, rows.Close())
	})
}

func TestAScannerMayPanicOrUseItsConnection(t *testing.T) {
	p := open(t, pool.Config{})
	nativelyReading(t, p, func(_ string, on pool.Querier) {
		panics := scannerFunc(func(any) error { panic(errUnreadable) })
		nests := scannerFunc(func(any) error { return on.QueryRow(t.Context(), "SELECT 7").Scan(new(int)) })
		for range 3 {
			rows := single(t, on, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3")
			require.PanicsWithError(t, "unreadable", func() { _ = rows.Scan(&panics) })
			require.NoError(t, rows.Scan(&nests))
			require.True(t, rows.Next(), "it goes on")
			var far *alwaysPanics
			require.PanicsWithError(t, "unreadable", func() { _ = rows.Scan(&far) })
			closes := scannerFunc(func(any) error { return rows.Close() })
			require.NoError(t, rows.Scan(&closes))
			require.False(t, rows.Next())
			require.NoError(t, rows.Err())
			require.PanicsWithError(t, "unreadable", func() { _ = on.QueryRow(t.Context(), "SELECT 1").Scan(&panics) })
		}
	})
	requireAtRest(t, p)
}

// FuzzScan scans a row of two columns into any two destinations.
func FuzzScan(f *testing.F) {
	seeds := rounds.Of(20, 100, 1000)
	for i := range seeds {
		v := stored[i%len(stored)]
		text, _ := v.(string)
		blob, _ := v.([]byte)
		n, _ := v.(int64)
		r, _ := v.(float64)
		f.Add(uint8(i), n, r, text, blob, uint16(i*7), uint16(i*13), uint8(i))
	}
	p := open(f, pool.Config{})
	l := acquire(f, p)
	f.Cleanup(l.Release)
	for i, kind := range declared {
		_, err := l.Exec(f.Context(), fmt.Sprintf("CREATE TABLE d%d (v %s)", i, kind))
		require.NoError(f, err)
	}
	f.Fuzz(func(t *testing.T, class uint8, n int64, r float64, text string, blob []byte, one, two uint16, decl uint8) {
		values := []any{nil, n, r, text, blob}
		a, b := values[int(class)%5], values[int(class/5)%5]
		table := fmt.Sprintf("d%d", int(decl)%len(declared))
		_, err := l.Exec(t.Context(), "DELETE FROM "+table)
		require.NoError(t, err)
		_, err = l.Exec(t.Context(), "INSERT INTO "+table+" VALUES (?)", a)
		require.NoError(t, err)
		query := "SELECT v, ? AS \"second one\" FROM " + table
		kinds := [2]reflect.Type{destinations[int(one)%len(destinations)], destinations[int(two)%len(destinations)]}
		result := func(row pool.Row) (got [2]any, failure error) {
			d := [2]reflect.Value{reflect.New(kinds[0]), reflect.New(kinds[1])}
			failure = row.Scan(d[0].Interface(), d[1].Interface())
			return [2]any{d[0].Elem().Interface(), d[1].Elem().Interface()}, failure
		}
		want, failure := result(l.QueryRowContext(t.Context(), query, b))
		got, gotFailure := result(l.QueryRow(t.Context(), query, b))
		require.Equal(t, textOf(failure), textOf(gotFailure), "%#v %#v into %v", a, b, kinds)
		for i := range want {
			requireSame(t, want[i], got[i], fmt.Sprintf("%#v %#v into %v", a, b, kinds))
		}
	})
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
