package native_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/internal/sqlstore"
	"github.com/sqlane/sqlane/native"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What generated code does with this package is tested where it is generated, in
// cmd/repogen: each form, kind of column and kind of argument. Here are loops over
// rows, and what generated code does not do.

const numbers = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT ?) SELECT i FROM n"

func open(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	cfg.Path, cfg.AcquireTimeout = pool.Memory, -1
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Zero(t, p.Stats().InUse, "a connection was not given back")
		require.NoError(t, p.Close())
	})
	return p
}

// on runs a test on a pool's way to a row, and on database/sql's.
func on(t *testing.T, test func(t *testing.T, read, write native.DB, idle func() bool)) {
	t.Run("pool", func(t *testing.T) {
		p := open(t, pool.Config{})
		test(t, native.On(p.StoreReader()), native.On(p.StoreWriter()), func() bool { return p.Stats().InUse == 0 })
	})
	t.Run("database/sql", func(t *testing.T) {
		p := open(t, pool.Config{})
		db := native.On(p.DB())
		test(t, db, db, func() bool { return p.Stats().InUse == 0 })
	})
}

func count(ctx context.Context, db native.DB, n int64) iter.Seq2[int64, error] {
	return native.Seq(ctx, func() *native.Call { return db.Call("Count", numbers).Int(n) }, 1, native.Int[int64])
}

func TestALoopThatIsLeftGivesItsConnectionBack(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, idle func() bool) {
		const endless = 1 << 62
		leave := map[string]func(){
			"break": func() {
				for n := range count(t.Context(), db, endless) {
					assert.False(t, idle())
					if n == 3 {
						break
					}
				}
			},
			"return": func() {
				for range count(t.Context(), db, endless) {
					return
				}
			},
			"panic": func() {
				defer func() { assert.Equal(t, "mine", recover()) }()
				for range count(t.Context(), db, endless) {
					panic("mine")
				}
			},
			"Goexit": func() {
				for range count(t.Context(), db, endless) {
					runtime.Goexit()
				}
			},
			"a pull that is stopped": func() {
				next, stop := iter.Pull2(count(t.Context(), db, endless))
				for i := range int64(3) {
					n, err, ok := next()
					assert.True(t, ok)
					assert.NoError(t, err)
					assert.Equal(t, i+1, n)
				}
				stop()
			},
			"the context": func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var last error
				for n, err := range count(ctx, db, endless) {
					assert.NoError(t, last, "the error comes last")
					if last = err; err != nil {
						assert.Zero(t, n)
						assert.True(t, idle(), "it is given back when the error comes")
					}
					if n == 3 {
						cancel()
					}
				}
				assert.ErrorIs(t, last, context.Canceled)
				assert.ErrorContains(t, last, "Count: ")
			},
			"the end": func() {
				var sum int64
				for n, err := range count(t.Context(), db, 100) {
					assert.NoError(t, err)
					sum += n
				}
				assert.EqualValues(t, 5050, sum)
			},
		}
		for name, leave := range leave {
			var goroutine sync.WaitGroup
			goroutine.Go(leave)
			goroutine.Wait()
			require.True(t, idle(), name)
		}
	})
}

func TestAnIteratorRunsItsQueryForEachLoop(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		seq := count(t.Context(), db, 3)
		all := 0
		for range seq {
			for n, err := range seq { // on a connection of its own
				require.NoError(t, err)
				all += int(n)
			}
		}
		require.Equal(t, 18, all)
	})
}

// TestALoopOverManyRowsHoldsOne lets pass through a loop what would not go into memory
// at once without being seen.
func TestALoopOverManyRowsHoldsOne(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		rows := rounds.Of(2_000, 20_000, 20_000)
		const size, most = 10_000, 20 << 20 // of 60 MB in all, or 200 MB
		text := strings.ReplaceAll(numbers, "SELECT i FROM", fmt.Sprintf("SELECT CAST(zeroblob(%d) AS TEXT) FROM", size))
		seq := native.Seq(t.Context(), func() *native.Call { return db.Call("Long", text).Int(int64(rows)) }, 1, native.Text[string])
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, n := heap(), 0
		for s, err := range seq {
			require.NoError(t, err)
			require.Len(t, s, size)
			if n++; n%(rows/4) == 0 {
				require.Less(t, heap(), before+most)
			}
		}
		require.Equal(t, rows, n)
	})
}

func TestALoopInATransactionEndsWithIt(t *testing.T) {
	p := open(t, pool.Config{})
	var next func() (int64, error, bool)
	var stop func()
	require.NoError(t, p.StoreInTx(t.Context(), pool.Deferred, func(ctx context.Context, tx pool.StoreTx) error {
		next, stop = iter.Pull2(count(ctx, native.On(p.StoreReader()), 1<<62))
		n, err, ok := next()
		require.True(t, ok)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		for n, err := range count(ctx, native.On(tx), 2) { // beside the other
			require.NoError(t, err)
			require.LessOrEqual(t, n, int64(2))
		}
		return nil
	}))
	defer stop()
	require.Zero(t, p.Stats().InUse)
	_, err, ok := next()
	require.True(t, ok)
	require.ErrorIs(t, err, pool.ErrTxDone)
	_, _, ok = next()
	require.False(t, ok)
}

func TestRowsThatAreDroppedAreTakenBackInTheirQuerysName(t *testing.T) {
	log := make(lines, 100)
	p := open(t, pool.Config{MaxConns: 2, Logger: slog.New(slog.NewTextHandler(log, nil))})
	var gone sync.WaitGroup
	gone.Go(func() {
		rows, err := p.StoreReader().(request.Runner).RunMany(t.Context(), &request.Request{Name: "Count", Text: "SELECT 1 UNION ALL SELECT 2"})
		assert.NoError(t, err)
		assert.NoError(t, rows.NextRow(make([]sqlite.Value, 1)))
	})
	gone.Wait()
	require.Eventually(t, func() bool {
		runtime.GC()
		return p.Stats().Reclaimed == 1
	}, time.Minute, 10*time.Millisecond)
	require.Contains(t, <-log, "Count")
}

// lines are what is written, a call each.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// moody is a Scanner and a Valuer that does as it is told.
type moody struct {
	scan  func(any) error
	value func() (driver.Value, error)
}

func (m *moody) Scan(v any) error            { return m.scan(v) }
func (m moody) Value() (driver.Value, error) { return m.value() }

func TestAScannerOfTheProgramsMayPanicOrUseThePool(t *testing.T) {
	on(t, func(t *testing.T, db, write native.DB, idle func() bool) {
		const two = "SELECT 1 UNION ALL SELECT 2"
		one := func(m moody) (err error) {
			c := db.Call("One", two).One(t.Context(), 1)
			c.Scan(m.Scan)
			return c.End()
		}
		all := func(m moody) error {
			_, err := native.All(t.Context(), db.Call("All", two), 1, nil, func(c *native.Call, _ *int) { c.Scan(m.Scan) })
			return err
		}
		seq := func(m moody) error {
			for _, err := range native.Seq(t.Context(), func() *native.Call { return db.Call("Seq", two) }, 1, func(c *native.Call, _ *int) { c.Scan(m.Scan) }) {
				if err != nil {
					return err
				}
			}
			return nil
		}
		for name, run := range map[string]func(moody) error{"one": one, "all": all, "seq": seq} {
			require.PanicsWithValue(t, "scanned", func() { _ = run(moody{scan: func(any) error { panic("scanned") }}) }, name)
			require.True(t, idle(), name)
			var goroutine sync.WaitGroup
			goroutine.Go(func() { _ = run(moody{scan: func(any) error { runtime.Goexit(); return nil }}) })
			goroutine.Wait()
			require.True(t, idle(), name)
			require.NoError(t, run(moody{scan: func(any) error {
				return write.Call("Other", "CREATE TABLE IF NOT EXISTS t (i)").Exec(t.Context())
			}}), name)
			failed := errors.New("mine")
			err := run(moody{scan: func(any) error { return failed }})
			require.ErrorIs(t, err, failed)
			require.ErrorContains(t, err, `: sql: Scan error on column index 0, name "1": mine`)
			require.True(t, idle(), name)
		}
		require.PanicsWithValue(t, "valued", func() {
			_ = db.Call("One", "SELECT ?").Valuer(moody{value: func() (driver.Value, error) { panic("valued") }}.Value).Exec(t.Context())
		})
		require.True(t, idle())
	})
}

func TestColumnsAreCounted(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		var a, b, c int
		want := db.QueryRowContext(t.Context(), "SELECT 1, 2").Scan(&a, &b, &c)
		call := db.Call("Get", "SELECT 1, 2").One(t.Context(), 3)
		native.Int(call, &a)
		require.EqualError(t, call.End(), "Get: "+want.Error())
		_, err := native.All(t.Context(), db.Call("Get", "SELECT 1, 2"), 1, nil, native.Int[int])
		require.EqualError(t, err, "Get: sql: expected 2 destination arguments in Scan, not 1")
		none, err := native.All(t.Context(), db.Call("Get", "SELECT 1, 2 WHERE 0"), 1, []int{}, native.Int[int])
		require.NoError(t, err, "nothing is scanned")
		require.Equal(t, []int{}, none)
		for _, err := range native.Seq(t.Context(), func() *native.Call { return db.Call("Get", "SELECT 1, 2") }, 3, native.Int[int]) {
			require.EqualError(t, err, "Get: "+want.Error())
		}
		a = 7
		call = db.Call("Get", "SELECT 1").One(t.Context(), 1)
		native.Int(call, &b)
		native.Int(call, &a) // there is no further one
		require.NoError(t, call.End())
		require.Equal(t, 7, a)
	})
}

func TestWhatFailsFirstEndsACall(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		first := errors.New("first")
		fails := moody{value: func() (driver.Value, error) { return nil, first }}
		never := moody{value: func() (driver.Value, error) { panic("asked") }}
		for name, run := range map[string]func(c *native.Call) error{
			"Exec":       func(c *native.Call) error { return c.Exec(t.Context()) },
			"ExecRows":   func(c *native.Call) error { _, err := c.ExecRows(t.Context()); return err },
			"ExecLastID": func(c *native.Call) error { _, err := c.ExecLastID(t.Context()); return err },
			"ExecResult": func(c *native.Call) error {
				result, err := c.ExecResult(t.Context())
				require.Nil(t, result)
				return err
			},
			"One": func(c *native.Call) error { return c.One(t.Context(), 1).End() },
			"All": func(c *native.Call) error {
				rows, err := native.All(t.Context(), c, 1, []int{}, native.Int[int])
				require.Nil(t, rows)
				return err
			},
		} {
			err := run(db.Call("Get", "SELECT ?, ?, ?").Int(1).Valuer(fails.Value).Valuer(never.Value).Any(never))
			require.EqualError(t, err, "Get: sql: converting argument $2 type: first", name)
			require.ErrorIs(t, err, first)
			require.EqualError(t, run(db.Call("Get", "SELECT ?").Wrapped().Any(struct{}{})), "Get: query Get: sql: converting argument $1 type: unsupported type struct {}, a struct", name)
			require.ErrorContains(t, run(db.Call("Get", "SELECT missing")), "no such column: missing", name)
		}
	})
}

// decimal is what drivers may take, and SQLite's don't.
type decimal struct{}

func (decimal) Decompose([]byte) (form byte, negative bool, coefficient []byte, exponent int32) {
	return 0, false, nil, 0
}

func TestAnArgumentMayHaveAName(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		var n int
		c := db.Call("Get", "SELECT :n + ?").Any(sql.Named("n", 2)).Int(40).One(t.Context(), 1)
		native.Int(c, &n)
		require.NoError(t, c.End())
		require.Equal(t, 42, n)
		require.ErrorContains(t, db.Call("Get", "SELECT :n").Any(sql.Named("1", 2)).Exec(t.Context()), `name "1" does not begin with a letter`)
		require.ErrorContains(t, db.Call("Get", "SELECT :n").Any(sql.Named("n", struct{}{})).Exec(t.Context()), `converting argument with name "n" type`)
		require.ErrorContains(t, db.Call("Get", "SELECT ?").Any(decimal{}).Exec(t.Context()), "invalid driver.Value type native_test.decimal")
	})
}

func TestCallsOfAnySizeComeAfterEachOther(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		for _, width := range []int{1, 500, 3, 0, 100, 2} { // what one leaves behind is not the next one's
			text := native.Spread([]string{"SELECT 0, ", ""}, width)
			c := db.Call("Get", text)
			for i := range width {
				c.Int(int64(i))
			}
			columns := max(width, 1) + 1
			c.One(t.Context(), columns)
			var got []any
			for range columns {
				var v any
				native.Any(c, &v)
				got = append(got, v)
			}
			require.NoError(t, c.End())
			want := []any{int64(0)}
			for i := range width {
				want = append(want, int64(i))
			}
			if width == 0 {
				want = append(want, nil)
			}
			require.Equal(t, want, got)
		}
	})
}

func TestTextsAreMadeOfTheirParts(t *testing.T) {
	parts := []string{"a (", ") b (", ")"}
	require.Equal(t, "a (?) b (?,?,?)", native.Spread(parts, 1, 3))
	require.Equal(t, "a (NULL) b (?)", native.Spread(parts, 0, 1))
	require.Equal(t, "a (?1,?2) b (?3)", native.Numbered(parts, []int{0, 1}, 2, 1))
	require.Equal(t, "a (?1) b (NULL)", native.Numbered(parts, []int{1, 0}, 0, 1))
	require.Equal(t, "a (?1,?2) b (?1,?2)", native.Numbered(parts, []int{0, 0}, 2))
}

func TestATextTakesTheArgumentsOfAnother(t *testing.T) {
	p := open(t, pool.Config{})
	db := native.WithText(p.DB(), "SELECT ? + 1")
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT nothing", 1).Scan(&n))
	require.Equal(t, 2, n)
	rows, err := db.QueryContext(t.Context(), "SELECT nothing", 2)
	require.NoError(t, err)
	require.True(t, rows.Next())
	require.NoError(t, rows.Scan(&n))
	require.Equal(t, 3, n)
	require.NoError(t, rows.Close())
	_, err = db.ExecContext(t.Context(), "SELECT nothing", 2)
	require.NoError(t, err)
}

// mute is a result that says nothing but an error.
type mute struct{ error }

func (m mute) LastInsertId() (int64, error) { return 3, m.error }
func (m mute) RowsAffected() (int64, error) { return 3, m.error }

// ofMute is a DBTX whose results are mute, and which runs nothing.
type ofMute struct {
	native.DBTX
	result mute
}

func (o ofMute) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return o.result, nil
}

func TestWhatAResultSaysIsNotWrapped(t *testing.T) {
	failed := errors.New("mute")
	db := native.On(ofMute{result: mute{failed}})
	n, err := db.Call("Get", "").Wrapped().ExecRows(t.Context())
	require.EqualError(t, err, "Get: mute", "sqlc does not, with wrap_errors")
	require.EqualValues(t, 3, n)
	n, err = db.Call("Get", "").Wrapped().ExecLastID(t.Context())
	require.EqualError(t, err, "Get: mute")
	require.EqualValues(t, 3, n)
	require.NoError(t, db.Call("Get", "").Exec(t.Context()))
}

func TestAnErrorHasItsKind(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		err := db.Call("Get", "SELECT 1 WHERE 0").One(t.Context(), 1).End()
		require.ErrorIs(t, err, dberr.ErrNotFound)
		require.ErrorIs(t, err, sql.ErrNoRows)
		require.EqualError(t, err, "Get: not found: sql: no rows in result set")
	})
}

func TestAnEmptyBLOBIsNotNULL(t *testing.T) {
	s, err := sqlstore.Open(filepath.Join(t.TempDir(), "native.db")) // its driver has nil for it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	p := open(t, pool.Config{})
	for _, db := range []native.DBTX{s.DB(), p.DB(), p.StoreReader()} {
		var blob []byte
		var maybe *[]byte
		c := native.On(db).Call("Get", "SELECT x'', x''").One(t.Context(), 2)
		native.Blob(c, &blob)
		native.Pointer(c, &maybe, native.Blob)
		require.NoError(t, c.End())
		require.Equal(t, []byte{}, blob)
		require.Equal(t, &blob, maybe)
	}
}
