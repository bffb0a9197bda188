package pool_test

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// The types below are arguments of every kind that database/sql tells apart.
type (
	namedInt    int16
	namedUint   uint64
	namedText   string
	namedBytes  []byte
	namedBool   bool
	namedFloat  float32
	byPointer   struct{ v any }
	byValue     struct{ v any }
	ofText      string
	unreadable  struct{}
	nilTolerant struct{}
)

func (p *byPointer) Value() (driver.Value, error) { return p.v, nil }
func (v byValue) Value() (driver.Value, error)    { return v.v, nil }
func (s ofText) Value() (driver.Value, error)     { return "of " + string(s), nil }
func (unreadable) Value() (driver.Value, error)   { return nil, errUnreadable }
func (*nilTolerant) Value() (driver.Value, error) { return "from nil", nil }
func (unreadable) Scan(any) error                 { return errUnreadable }

var errUnreadable = errors.New("unreadable")

func pointerTo[T any](v T) *T { return &v }

// arguments are of every type, with the values at which something changes.
func arguments() []any {
	text := "text"
	pointer := &text
	return []any{
		nil, true, false, "", "text", "nul \x00 inside", "\xff no UTF-8", []byte(nil),
		[]byte{},
		[]byte{0, 255},
		int64(math.MinInt64), int64(math.MaxInt64), 1.5, math.Inf(1), math.NaN(), math.Copysign(0, -1),
		int(-7), int8(-8), int16(300), int32(1 << 20), uint(7), uint8(8), uint16(16), uint32(math.MaxUint32),
		uint64(math.MaxInt64), uint64(1 << 63), uint64(math.MaxUint64), float32(0.1), uintptr(7),
		namedInt(-3), namedUint(5), namedUint(1 << 63), namedText("named"), namedBytes("named"), namedBytes(nil), namedBool(true), namedFloat(0.1),
		pointer, &pointer, (*string)(nil), (**string)(nil), pointerTo[*string](nil), pointerTo[any](7), pointerTo[any](nil), pointerTo(namedInt(4)),
		&byPointer{int64(5)},
		byPointer{int64(5)},
		byValue{"v"},
		&byValue{"v"}, (*byValue)(nil),
		byValue{nil},
		byValue{7},
		byValue{struct{}{}},
		byValue{byValue{1}},
		ofText("t"), pointerTo(ofText("t")), (*ofText)(nil), pointerTo[driver.Valuer](ofText("t")), pointerTo[*ofText](nil), (*nilTolerant)(nil),
		unreadable{},
		&unreadable{}, (*unreadable)(nil),
		sql.NullInt64{},
		sql.NullInt64{Int64: 6, Valid: true},
		sql.Null[string]{V: "s", Valid: true},
		sql.NullTime{},
		struct{}{},
		&struct{}{}, make(chan int), func() {},
		map[string]int{},
		[]int{1},
		[]string(nil),
		[2]byte{1, 2},
		complex(1, 2), json([]byte("{}")), errUnreadable, time.Second,
		sql.Named("x", 7), sql.Named("x", struct{}{}), sql.Named("1x", 7), sql.Named("", 7), sql.Named("é", "letter"), sql.Named("x", sql.Named("x", 1)),
		sql.Out{Dest: new(int)},
		sql.RawBytes("raw"), sql.RawBytes(nil),
	}
}

type json []byte

// plainly is database/sql over modernc's driver alone.
func plainly(t testing.TB) *sql.DB {
	t.Helper()
	db := plain(t, filepath.Join(t.TempDir(), "plain.db"))
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// passingQuery asks what arrives of an argument.
func passingQuery(arg any) string {
	named, _ := arg.(sql.NamedArg)
	switch named.Name {
	case "":
		return "SELECT typeof(?1), CASE typeof(?1) WHEN 'real' THEN printf('%!.17g', ?1) ELSE hex(?1) END"
	case "1x": // no parameter is called that
		return "SELECT typeof(:x), hex(:x)"
	}
	return fmt.Sprintf("SELECT typeof(:%s), hex(:%[1]s)", named.Name)
}

// passed tells what arrived of an argument.
func passed(t testing.TB, on face, arg any) string {
	t.Helper()
	query := passingQuery(arg)
	var kind, hex string
	if err := on.QueryRowContext(t.Context(), query, arg).Scan(&kind, &hex); err != nil {
		_, execErr := on.ExecContext(t.Context(), query, arg)
		require.EqualError(t, execErr, err.Error(), "%#v", arg)
		rows, queryErr := on.QueryContext(t.Context(), query, arg)
		if rows != nil {
			require.NoError(t, rows.Close())
		}
		require.EqualError(t, queryErr, err.Error(), "%#v", arg)
		return "error: " + err.Error()
	}
	return kind + " " + hex
}

func TestAnArgumentIsConvertedAsByDatabaseSQL(t *testing.T) {
	db := plainly(t)
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		for _, arg := range arguments() {
			require.Equal(t, passed(t, db, arg), passed(t, on, arg), "%T %#v", arg, arg)
		}
	})
}

func TestAValuerMayPanic(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	for _, on := range []face{l, p.Writer()} {
		require.Panics(t, func() { _, _ = on.ExecContext(t.Context(), "SELECT ?", (*byPointer)(nil)) })
		require.Panics(t, func() { on.QueryRowContext(t.Context(), "SELECT ?", (*byPointer)(nil)) })
		require.EqualValues(t, 7, value(t, on, "SELECT ?", 7), "nothing is locked")
	}
}
