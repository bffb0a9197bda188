package native_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/native"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

type (
	level uint8
	title string
	ratio float64
	raw   []byte
	flag  bool
)

// variable is what a column is read into, and how native reads it.
type variable struct {
	name  string
	fresh func() any // points to one, which holds something already
	read  func(c *native.Call, dest any)
	null  func(c *native.Call) // reads it where nil points
}

func into[T any](name string, before T, read func(*native.Call, *T)) variable {
	return variable{
		name:  fmt.Sprintf("%s of %T", name, &before),
		fresh: func() any { v := before; return &v },
		read:  func(c *native.Call, dest any) { read(c, dest.(*T)) },
		null:  func(c *native.Call) { read(c, nil) },
	}
}

func point[T any](v T) *T { return &v }

// variables are of every kind that generated code reads.
func variables() []variable {
	noon := time.Date(2001, 2, 3, 12, 0, 0, 0, time.UTC)
	return []variable{
		into("Int", int(-9), native.Int[int]), into("Int", int8(-9), native.Int[int8]), into("Int", int16(-9), native.Int[int16]),
		into("Int", int32(-9), native.Int[int32]), into("Int", int64(-9), native.Int[int64]),
		into("Int", uint(9), native.Int[uint]), into("Int", uint8(9), native.Int[uint8]), into("Int", uint16(9), native.Int[uint16]),
		into("Int", uint32(9), native.Int[uint32]), into("Int", uint64(9), native.Int[uint64]),
		into("Int", level(9), native.Int[level]), into("Int", time.Minute, native.Int[time.Duration]),
		into("Float", 9.5, native.Float[float64]), into("Float", ratio(9.5), native.Float[ratio]),
		into("Text", "before", native.Text[string]), into("Text", title("before"), native.Text[title]),
		into("Bool", true, native.Bool), into("Bool", false, native.Bool),
		into("Blob", []byte("before"), native.Blob[[]byte]), into("Blob", raw("before"), native.Blob[raw]),
		into("Time", noon, native.Time),
		into("Pointer", point(int64(-9)), native.OrNil(native.Int[int64])), into("Pointer", point(uint8(9)), native.OrNil(native.Int[uint8])),
		into("Pointer", point(9.5), native.OrNil(native.Float[float64])), into("Pointer", point("before"), native.OrNil(native.Text[string])),
		into("Pointer", point(true), native.OrNil(native.Bool)), into("Pointer", point([]byte("before")), native.OrNil(native.Blob[[]byte])),
		into("Pointer", point(noon), native.OrNil(native.Time)), into("Pointer", (*int64)(nil), native.OrNil(native.Int[int64])),
		into("Scanner", sql.NullInt64{Int64: 9, Valid: true}, native.Scanner[sql.NullInt64]),
		into("Scanner", sql.NullString{String: "before", Valid: true}, native.Scanner[sql.NullString]),
		into("Scanner", sql.NullBool{Bool: true, Valid: true}, native.Scanner[sql.NullBool]),
		into("Scanner", sql.NullFloat64{Float64: 9.5, Valid: true}, native.Scanner[sql.NullFloat64]),
		into("Scanner", sql.NullTime{Time: noon, Valid: true}, native.Scanner[sql.NullTime]),
		into("Moment", column.At(noon), native.Moment), into("Pointer", point(column.At(noon)), native.OrNil(native.Moment)),
		into("Any", any("before"), native.Any[any]), into("Any", flag(true), native.Any[flag]), into("Any", float32(9.5), native.Any[float32]),
		into("Any", point(title("before")), native.Any[*title]), into("Any", struct{}{}, native.Any[struct{}]),
		into("Any", int64(-9), native.Any[int64]), into("Any", []byte("before"), native.Any[[]byte]),
	}
}

// stored are values of every storage class at the bounds of what variables hold, and
// values in columns that are declared as something.
func stored() (all []struct{ column, value string }) {
	in := func(column string, values ...string) {
		for _, v := range values {
			all = append(all, struct{ column, value string }{column, v})
		}
	}
	in("plain", "NULL", "0", "1", "2", "-1", "-2", "-9223372036854775808", "9223372036854775807", "9007199254740992", "9007199254740993")
	for _, bits := range []int{8, 16, 32} {
		half := int64(1) << (bits - 1)
		for _, n := range []int64{-half - 1, -half, half - 1, half, 2*half - 1, 2 * half, 2*half + 1} {
			in("plain", fmt.Sprint(n))
		}
	}
	in("plain", "0.0", "1.0", "-1.5", "3.5", "255.0", "1e300", "-1e300", "5e-324", "1e999", "-1e999", "9007199254740993.0", "3.4028236e38")
	in("plain", "''", "'0'", "'1'", "'2'", "'-1'", "'256'", "' 42'", "'042'", "'1.5'", "'1e3'", "'0x10'", "'NaN'", "'-inf'", "'true'", "'F'", "'yes'",
		"'9223372036854775807'", "'9223372036854775808'", "'18446744073709551615'", "'18446744073709551616'", "'2024-02-03 04:05:06'", "'grün'",
		"CAST(x'ff00fe' AS TEXT)", "CAST(x'' AS TEXT)", "'"+strings.Repeat("long ", 1000)+"'")
	in("plain", "x''", "x'00'", "x'ff00fe'", "x'31'", "x'3432'", "x'74727565'", "zeroblob(1000)")
	in("whole", "NULL", "'17'", "1.0", "1.5", "'text'", "x'31'")
	in("yes", "NULL", "0", "1", "2", "-1", "'true'", "1.5", "x'01'")
	in("real", "NULL", "1", "'1.5'", "'text'", "9007199254740993")
	in("text", "NULL", "1", "1.5", "x'ff'")
	in("blob", "NULL", "1", "'text'", "x''")
	for _, column := range []string{"day", "moment", "stamp"} {
		in(column, "NULL", "'2024-02-03'", "'2024-02-03 04:05:06.789012345+02:00'", "'2024-02-03T04:05Z'", "'0001-01-01'", "'no time'", "''", "42", "1.5", "x'00'")
	}
	return all
}

// sides are a pool's way to a row, and database/sql's; and both with times that are numbers.
func sides(t *testing.T, test func(t *testing.T, db native.DB, numbers bool)) {
	for _, format := range []pool.TimeFormat{"", pool.TimeUnixNano} {
		p := open(t, pool.Config{TimeFormat: format})
		t.Run(strings.TrimSpace("pool "+string(format)), func(t *testing.T) { test(t, native.On(p.StoreWriter()), format != "") })
		p = open(t, pool.Config{TimeFormat: format})
		t.Run(strings.TrimSpace("database/sql "+string(format)), func(t *testing.T) { test(t, native.On(p.DB()), format != "") })
	}
}

func TestAColumnIsReadAsDatabaseSQLReadsIt(t *testing.T) {
	all := variables()
	sides(t, func(t *testing.T, db native.DB, times bool) {
		ctx := t.Context()
		_, err := db.ExecContext(ctx, "CREATE TABLE stored (plain, whole INTEGER, yes BOOLEAN, real REAL, text TEXT, blob BLOB, day DATE, moment DATETIME, stamp TIMESTAMP)")
		require.NoError(t, err)
		for i, s := range stored() {
			if times && !slices.Contains([]string{"day", "moment", "stamp"}, s.column) {
				continue
			}
			_, err := db.ExecContext(ctx, "INSERT INTO stored (rowid, "+s.column+") VALUES (?, "+s.value+")", i)
			require.NoError(t, err)
			text := "SELECT 5, " + s.column + ", 7 FROM stored WHERE rowid = ?"
			one := func(read func(*native.Call)) (before, after int64, err error) {
				c := db.Call("Get", text).Int(int64(i)).One(ctx, 3)
				native.Int(c, &before)
				read(c)
				native.Int(c, &after)
				return before, after, c.End()
			}
			type outcome struct {
				dest any
				err  error
			}
			want := make([]outcome, len(all))
			rows, err := db.QueryContext(ctx, text, i)
			require.NoError(t, err)
			require.True(t, rows.Next())
			for k, v := range all {
				var ignored int64
				want[k].dest = v.fresh()
				want[k].err = rows.Scan(&ignored, want[k].dest, &ignored)
			}
			require.NoError(t, rows.Close())
			for k, v := range all {
				got := v.fresh()
				before, after, err := one(func(c *native.Call) { v.read(c, got) })
				if is, was := shown(reflect.ValueOf(got)), shown(reflect.ValueOf(want[k].dest)); is != was {
					require.Equal(t, was, is, "%s %s: %s", s.column, s.value, v.name)
				}
				require.EqualValues(t, 5, before)
				if want[k].err != nil {
					require.EqualError(t, err, "Get: "+want[k].err.Error(), "%s %s: %s", s.column, s.value, v.name)
					require.Zero(t, after)
				} else if err != nil || after != 7 {
					require.NoError(t, err, "%s %s: %s", s.column, s.value, v.name)
					require.EqualValues(t, 7, after, "%s %s: %s", s.column, s.value, v.name)
				}
				_, after, err = one(v.null)
				if !errors.Is(err, fs.ErrInvalid) {
					require.ErrorIs(t, err, fs.ErrInvalid, "%s %s: %s", s.column, s.value, v.name)
				}
				require.Zero(t, after)
			}
		}
	})
}

// shown is what a variable holds, where NaN equals itself, but neither nil nothing nor 0 another zero.
func shown(v reflect.Value) string {
	for v.Kind() == reflect.Pointer && !v.IsNil() || v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	return fmt.Sprintf("%s %#v", v.Type(), v)
}

func TestAfterAFailureNoVariableIsTouched(t *testing.T) {
	all := variables()
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		for _, value := range []string{"NULL", "1", "1.5", "'text'", "x'00'"} {
			text := "SELECT 'no number', " + strings.Repeat(value+", ", len(all)) + "0"
			first := 5
			want := db.QueryRowContext(t.Context(), "SELECT 'no number'").Scan(&first)
			require.ErrorContains(t, want, "converting driver.Value type string")
			c := db.Call("Get", text).One(t.Context(), len(all)+2)
			native.Int(c, &first)
			for _, v := range all {
				dest := v.fresh()
				v.read(c, dest)
				require.Equal(t, v.fresh(), dest, v.name)
				v.null(c)
			}
			c.Scan(nil)
			require.ErrorContains(t, c.End(), `Get: sql: Scan error on column index 0, name "'no number'"`)
			require.Equal(t, 5, first)
		}
	})
}

// TestAVariableBehindTheLastColumnIsLeftAlone has generated code in mind that asks for
// fewer columns than it reads.
func TestAVariableBehindTheLastColumnIsLeftAlone(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		c := db.Call("Get", "SELECT 1").One(t.Context(), 1)
		var n int
		native.Int(c, &n)
		for _, v := range variables() {
			dest := v.fresh()
			v.read(c, dest)
			require.Equal(t, v.fresh(), dest, v.name)
			v.null(c)
		}
		c.Scan(nil)
		require.NoError(t, c.End())
		require.Equal(t, 1, n)
	})
}

func TestAPointerIsReadByAReader(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		dest := point(int64(9))
		for _, value := range []string{"NULL", "1", "'text'"} {
			c := db.Call("Get", "SELECT "+value).One(t.Context(), 1)
			native.Pointer(c, &dest, nil)
			require.EqualError(t, c.End(), "Get: invalid argument: dest or read is nil")
			require.Equal(t, point(int64(9)), dest)
		}
		for name, read := range map[string]func(c *native.Call){
			"scan": func(c *native.Call) { c.Scan(nil) },
			"dest": func(c *native.Call) { native.Any[int](c, nil) },
		} {
			c := db.Call("Get", "SELECT 1").One(t.Context(), 1)
			read(c)
			require.EqualError(t, c.End(), "Get: invalid argument: "+name+" is nil")
		}
	})
}

// TestPointersOfManyRowsAreEachItsOwn since integers lie beside each other in memory.
func TestPointersOfManyRowsAreEachItsOwn(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		rows, err := native.All(t.Context(), db.Call("Count", numbers).Int(100), 1, nil, native.OrNil(native.Int[int64]))
		require.NoError(t, err)
		for i, n := range rows {
			require.EqualValues(t, i+1, *n)
		}
		var some [5]*int64
		c := db.Call("Get", "SELECT 0, 1, 2, 3, 4").One(t.Context(), len(some))
		for i := range some {
			native.Pointer(c, &some[i], native.Int)
		}
		require.NoError(t, c.End())
		for i, n := range some {
			require.EqualValues(t, i, *n)
			*n = -1
		}
	})
}

// TestWhatGoesWithItsVariableAllocatesNothing reads columns of one row, so whether a
// Call is used again plays no part.
func TestWhatGoesWithItsVariableAllocatesNothing(t *testing.T) {
	const columns = 101 // AllocsPerRun runs once more
	db := native.On(open(t, pool.Config{}).StoreWriter())
	_, err := db.ExecContext(t.Context(), "CREATE TABLE times (i INTEGER PRIMARY KEY, at DATETIME); INSERT INTO times VALUES (1, '2024-02-03')")
	require.NoError(t, err)
	var (
		small level
		large uint64
		n     int64
		ns    *int64
		f     float64
		s     title
		b     bool
		blob  []byte
		at    time.Time
	)
	for _, test := range []struct {
		value string
		read  func(c *native.Call)
	}{
		{"0", func(c *native.Call) { native.Int(c, &small) }},
		{"255", func(c *native.Call) { native.Int(c, &small) }},
		{"0", func(c *native.Call) { native.Int(c, &large) }},
		{"0", func(c *native.Call) { native.Int(c, &n) }},
		{"-1", func(c *native.Call) { native.Int(c, &n) }},
		{"9223372036854775807", func(c *native.Call) { native.Int(c, &large) }},
		{"1", func(c *native.Call) { native.Pointer(c, &ns, native.Int) }}, // fewer than one each
		{"NULL", func(c *native.Call) { native.Pointer(c, &ns, native.Int) }},
		{"1.5", func(c *native.Call) { native.Float(c, &f) }},
		{"'text'", func(c *native.Call) { native.Text(c, &s) }},
		{"0", func(c *native.Call) { native.Bool(c, &b) }},
		{"1", func(c *native.Call) { native.Bool(c, &b) }},
		{"x'00'", func(c *native.Call) { native.Blob(c, &blob) }},
		{"at", func(c *native.Call) { native.Time(c, &at) }},
	} {
		text := "SELECT " + strings.Repeat(test.value+", ", columns-1) + test.value + " FROM times"
		c := db.Call("Get", text).One(t.Context(), columns)
		require.Zero(t, testing.AllocsPerRun(columns-1, func() { test.read(c) }), test.value)
		require.NoError(t, c.End())
	}
}

func TestIntegersOfManyRowsThatMayBeNULLAreAllocatedTogether(t *testing.T) {
	const runs, each = 5, 64
	db := native.On(open(t, pool.Config{}).StoreReader())
	text := "SELECT 0" + strings.Repeat(", 1", (runs+1)*each-1)
	_, err := native.All(t.Context(), db.Call("Get", text), (runs+1)*each, nil, func(c *native.Call, n *int64) {
		require.LessOrEqual(t, testing.AllocsPerRun(runs, func() {
			for range each {
				native.Pointer(c, &n, native.Int)
			}
		}), float64(2*each/32), "somebody else may allocate meanwhile")
	})
	require.NoError(t, err)
}

func TestAnArgumentIsBoundAsDatabaseSQLBindsIt(t *testing.T) {
	zone := time.FixedZone("east", 2*60*60)
	at := time.Date(2024, 2, 3, 4, 5, 6, 789012345, zone)
	type binding struct {
		arg any
		add func(c *native.Call) *native.Call
	}
	var all []binding
	bind := func(arg any, add func(c *native.Call) *native.Call) { all = append(all, binding{arg, add}) }
	for _, n := range []int64{0, 1, -1, math.MinInt64, math.MaxInt64, 1<<53 + 1} {
		bind(n, func(c *native.Call) *native.Call { return c.Int(n) })
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 1 << 53} {
		bind(f, func(c *native.Call) *native.Call { return c.Float(f) })
	}
	for _, s := range []string{"", "text", "12", "a\x00b", "\xff\x00\xfe", "grün", strings.Repeat("long ", 1000)} {
		bind(s, func(c *native.Call) *native.Call { return c.Text(s) })
	}
	for _, b := range [][]byte{nil, {}, {0}, []byte("text")} {
		bind(b, func(c *native.Call) *native.Call { return c.Blob(b) })
	}
	for _, b := range []bool{false, true} {
		bind(b, func(c *native.Call) *native.Call { return c.Bool(b) })
	}
	for _, when := range []time.Time{at, at.UTC(), time.Unix(0, 0)} {
		bind(when, func(c *native.Call) *native.Call { return c.Time(when) })
	}
	for _, v := range []sql.NullInt64{{}, {Int64: 3, Valid: true}} {
		bind(v, func(c *native.Call) *native.Call { return c.Valuer(v.Value) })
	}
	for _, v := range []sql.NullTime{{}, {Time: at, Valid: true}} {
		bind(v, func(c *native.Call) *native.Call { return c.Valuer(v.Value) })
	}
	for _, v := range []any{
		nil, 1, int8(-1), uint8(255), uint64(math.MaxInt64), uint64(math.MaxInt64 + 1), float32(1.5), "text", []byte(nil), []byte("text"), true, at,
		point(int64(1)), (*int64)(nil), point("text"), (*string)(nil), point(1.5), (*float64)(nil), point(false), (*bool)(nil), point(at), (*time.Time)(nil),
		point(point(7)), level(3), title("text"), ratio(1.5), raw("text"), flag(true), time.Second,
		sql.NullString{},
		sql.NullString{String: "text", Valid: true},
		struct{}{},
		[]int{1},
		make(chan int), 1i,
	} {
		bind(v, func(c *native.Call) *native.Call { return c.Any(v) })
	}
	sides(t, func(t *testing.T, db native.DB, _ bool) {
		const text = "SELECT typeof(?1), quote(?1)"
		for _, b := range all {
			what := fmt.Sprintf("%T %.20v", b.arg, b.arg)
			var want, got [2]string
			wantErr := db.QueryRowContext(t.Context(), text, b.arg).Scan(&want[0], &want[1])
			c := b.add(db.Call("Get", text)).One(t.Context(), 2)
			native.Text(c, &got[0])
			native.Text(c, &got[1])
			if err := c.End(); wantErr != nil {
				require.EqualError(t, err, "Get: "+wantErr.Error(), what)
			} else {
				require.NoError(t, err, what)
			}
			require.Equal(t, want, got, what)
		}
	})
}

func TestAQueryWantsAContext(t *testing.T) {
	var nobody context.Context
	first := errors.New("first")
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		for _, run := range []func(c *native.Call) error{
			func(c *native.Call) error { return c.Exec(nobody) },
			func(c *native.Call) error { n, err := c.ExecRows(nobody); require.Zero(t, n); return err },
			func(c *native.Call) error { n, err := c.ExecLastID(nobody); require.Zero(t, n); return err },
			func(c *native.Call) error { r, err := c.ExecResult(nobody); require.Nil(t, r); return err },
			func(c *native.Call) error { return c.One(nobody, 1).End() },
			func(c *native.Call) error { _, err := native.All(nobody, c, 1, nil, native.Int[int]); return err },
		} {
			require.EqualError(t, run(db.Call("Get", "SELECT 1")), "Get: invalid argument: ctx is nil")
			err := run(db.Call("Get", "SELECT 1").Valuer(func() (driver.Value, error) { return nil, first }))
			require.ErrorIs(t, err, first, "what fails first")
		}
		require.EqualError(t, db.Call("Get", "SELECT 1").Valuer(nil).Exec(t.Context()), "Get: invalid argument: value is nil")
		require.ErrorIs(t, db.Call("Get", "SELECT 1").Valuer(func() (driver.Value, error) { return nil, first }).Valuer(nil).Exec(t.Context()), first)
	})
}
