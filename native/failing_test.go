package native_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/native"
	"github.com/stretchr/testify/require"
)

var (
	errNext  = errors.New("next")
	errClose = errors.New("close")
	errQuery = errors.New("query")
)

// failing is a driver whose rows hold 1, 2 and so on, and fail as they are told.
type failing struct {
	driver.Conn  // what it lacks is not called
	rows         int
	query        error
	next, closes error // of the rows: instead of their end
}

func (f failing) Connect(context.Context) (driver.Conn, error) { return f, nil }
func (failing) Driver() driver.Driver                          { return nil }
func (failing) Close() error                                   { return nil }

func (f failing) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	if f.query != nil {
		return nil, f.query
	}
	return &failingRows{failing: f}, nil
}

type failingRows struct {
	failing
	at int
}

func (*failingRows) Columns() []string { return []string{"n"} }
func (r *failingRows) Close() error    { return r.closes }

func (r *failingRows) Next(dest []driver.Value) error {
	if r.at++; r.at <= r.rows {
		dest[0] = int64(r.at)
		return nil
	}
	if r.next != nil {
		return r.next
	}
	return io.EOF
}

// closed is a DBTX whose rows are closed already.
type closed struct{ native.DBTX }

func (c closed) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := c.DBTX.QueryContext(ctx, query, args...)
	return rows, errors.Join(err, rows.Close())
}

func TestWhateverOfRowsFailsIsSaid(t *testing.T) {
	for name, test := range map[string]struct {
		of       failing
		one, all error
	}{
		"nothing":                     {of: failing{rows: 2}},
		"the query":                   {of: failing{rows: 2, query: errQuery}, one: errQuery, all: errQuery},
		"the first row":               {of: failing{next: errNext}, one: errNext, all: errNext},
		"the first row and the close": {of: failing{next: errNext, closes: errClose}, one: errNext, all: errNext},
		"a later row":                 {of: failing{rows: 2, next: errNext}, all: errNext},
		"the close":                   {of: failing{rows: 2, closes: errClose}, one: errClose, all: errClose},
	} {
		db := sql.OpenDB(test.of)
		run := func(db native.DBTX, one, all error) {
			var n int
			c := native.On(db).Call("Get", "").One(t.Context(), 1)
			native.Int(c, &n)
			err := c.End()
			if one != nil {
				require.ErrorIs(t, err, one, name)
				require.EqualError(t, err, "Get: "+one.Error(), name)
				require.Zero(t, n, name)
			} else {
				require.NoError(t, err, name)
				require.Equal(t, 1, n, name)
			}
			rows, err := native.All(t.Context(), native.On(db).Call("Get", ""), 1, nil, native.Int[int])
			if all != nil {
				require.ErrorIs(t, err, all, name)
				require.Nil(t, rows, name)
			} else {
				require.NoError(t, err, name)
				require.Equal(t, []int{1, 2}, rows, name)
			}
			require.Zero(t, db.(interface{ Stats() sql.DBStats }).Stats().InUse, name)
		}
		run(db, test.one, test.all)
		require.NoError(t, db.Close())
	}
	db := sql.OpenDB(failing{})
	defer db.Close()
	err := native.On(closed{db}).Call("Get", "").One(t.Context(), 1).End()
	require.EqualError(t, err, "Get: sql: Rows are closed")
	_, err = native.All(t.Context(), native.On(closed{db}).Call("Get", ""), 1, nil, native.Int[int])
	require.EqualError(t, err, "Get: sql: Rows are closed")
}

// TestAnErrorAtTheEndOfRowsIsTheCalls as a commit's is, of a statement that returns rows.
func TestAnErrorAtTheEndOfRowsIsTheCalls(t *testing.T) {
	db := native.On(ran{rows: &ranRows{closes: errClose}})
	rows, err := native.All(t.Context(), db.Call("Get", ""), 1, []int{7}, native.Int[int])
	require.EqualError(t, err, "Get: close")
	require.Nil(t, rows)
	_, err = native.All(t.Context(), db.Call("Get", ""), 2, nil, native.Int[int])
	require.EqualError(t, err, "Get: close", "no row was counted")
	rows, err = native.All(t.Context(), native.On(ran{rows: &ranRows{left: 1, closes: errClose}}).Call("Get", ""), 2, nil, native.Int[int])
	require.EqualError(t, err, "Get: sql: expected 1 destination arguments in Scan, not 2", "what fails first")
	require.Nil(t, rows)
	_, err = native.All(t.Context(), native.On(ran{many: errQuery, rows: &ranRows{}}).Call("Get", "").Wrapped(), 1, nil, native.Int[int])
	require.EqualError(t, err, "Get: query Get: query")
}

// ran is a store of its own, with its own way to a row.
type ran struct {
	native.DBTX // nobody calls it
	exec        func(*request.Request)
	rows        *ranRows
	many        error
}

func (r ran) RunExec(_ context.Context, q *request.Request) (sql.Result, error) {
	r.exec(q)
	return driver.RowsAffected(0), nil
}

func (r ran) RunOne(_ context.Context, q *request.Request) error {
	r.exec(q)
	return nil
}

func (r ran) RunMany(context.Context, *request.Request) (request.Rows, error) {
	return r.rows, r.many // both, as a careless one has it
}

// ranRows count down.
type ranRows struct {
	left   int
	closes error
	into   *sqlite.Value // the last row was read there
}

func (*ranRows) Columns() []string { return []string{"n"} }
func (r *ranRows) Close() error    { return r.closes }

func (r *ranRows) NextRow(row []sqlite.Value) error {
	if r.left == 0 {
		return io.EOF
	}
	r.into = &row[0]
	row[0] = sqlite.IntegerOf(int64(r.left))
	r.left--
	return nil
}

// TestACallLeavesTheNextItsRoomIfThatIsLittle looks at what a store is given. Go may drop
// what is kept, so one time of many is enough.
func TestACallLeavesTheNextItsRoomIfThatIsLittle(t *testing.T) {
	for _, test := range []struct {
		args, columns int
		comes         bool
	}{{1, 1, true}, {40, 64, true}, {300, 65, false}, {65, 5000, false}} {
		var args, row bool
		db := native.On(ran{exec: func(q *request.Request) {
			require.Empty(t, q.Row)
			for _, a := range q.Args[len(q.Args):cap(q.Args)] {
				require.Zero(t, a, "an argument stays alive")
			}
			for _, v := range q.Row[:cap(q.Row)] {
				require.Zero(t, v, "a column stays alive")
			}
			switch {
			case q.Text == "use":
				q.Row, q.Found = make([]sqlite.Value, test.columns), true
				for i := range q.Row {
					q.Row[i] = sqlite.TextOf("of the program")
				}
			case cap(q.Args) >= test.args:
				args = true
				fallthrough
			default:
				row = row || cap(q.Row) >= test.columns
			}
		}})
		for range 100 {
			c := db.Call("Get", "use")
			for range test.args {
				c.Text("of the program")
			}
			require.Error(t, c.One(t.Context(), 1).End(), "there are no names of columns")
			require.NoError(t, db.Call("Get", "look").Exec(t.Context()))
		}
		require.Equal(t, test.comes, row, "%+v", test)
		require.Equal(t, test.comes && test.args < 40, args, "%+v", test)
	}
}

func TestManyRowsAreReadWhereOneWas(t *testing.T) {
	var one *sqlite.Value
	var rows ranRows
	db := native.On(ran{rows: &rows, exec: func(q *request.Request) {
		q.Row, q.Found = make([]sqlite.Value, 1), true
		one = &q.Row[0]
	}})
	again := false
	for range 100 { // Go may drop what is kept
		require.Error(t, db.Call("Get", "").One(t.Context(), 1).End(), "there are no names of columns")
		rows.left = 1
		_, err := native.All(t.Context(), db.Call("Get", ""), 1, nil, native.Int[int])
		require.NoError(t, err)
		again = again || rows.into == one
	}
	require.True(t, again)
}

func TestRowsHaveRoomForAQuarterMoreAtMostOnceTheyAreMany(t *testing.T) {
	for n, most := range map[int]int{1: 4, 4: 4, 5: 8, 4096: 4096, 4097: 5120, 20_000: 25_000} {
		rows, err := native.All(t.Context(), native.On(ran{rows: &ranRows{left: n}}).Call("Get", ""), 1, nil, native.Int[int])
		require.NoError(t, err)
		require.Len(t, rows, n)
		require.LessOrEqual(t, cap(rows), most, n)
	}
}

func TestRowsArePointedTo(t *testing.T) {
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		mine := point(0)
		rows, err := native.AllPointers(t.Context(), db.Call("Count", numbers).Int(3), 1, []*int{mine}, native.Int)
		require.NoError(t, err)
		require.Equal(t, []*int{point(0), point(1), point(2), point(3)}, rows)
		require.Same(t, mine, rows[0])
		var all []*int
		for n, err := range native.SeqPointers(t.Context(), func() *native.Call { return db.Call("Count", numbers).Int(3) }, 1, native.Int[int]) {
			require.NoError(t, err)
			all = append(all, n)
		}
		require.Equal(t, rows[1:], all)
		for n, err := range native.SeqPointers(t.Context(), func() *native.Call { return db.Call("Get", "SELECT missing") }, 1, native.Int[int]) {
			require.Nil(t, n)
			require.ErrorContains(t, err, "missing")
		}
		for n, err := range native.Seq(t.Context(), func() *native.Call { return db.Call("Get", "SELECT 1 UNION ALL SELECT 'text'") }, 1, native.Int[int]) {
			if err != nil {
				require.Zero(t, n)
				require.ErrorContains(t, err, `Get: sql: Scan error on column index 0`)
			}
		}
	})
}

func TestRowsAreReadByAReader(t *testing.T) {
	first := errors.New("first")
	fails := func() (driver.Value, error) { return nil, first }
	on(t, func(t *testing.T, db, _ native.DB, _ func() bool) {
		for _, failed := range []bool{false, true} {
			call := func() *native.Call {
				c := db.Call("Get", "SELECT 1")
				if failed {
					c.Valuer(fails)
				}
				return c
			}
			check := func(err error) {
				if failed {
					require.ErrorIs(t, err, first, "what fails first")
				} else {
					require.EqualError(t, err, "Get: invalid argument: read is nil")
				}
			}
			_, err := native.All[int](t.Context(), call(), 1, nil, nil)
			check(err)
			_, err = native.AllPointers[int](t.Context(), call(), 1, nil, nil)
			check(err)
			n := 0
			for _, err := range native.Seq[int](t.Context(), call, 1, nil) {
				check(err)
				n++
			}
			for _, err := range native.SeqPointers[int](t.Context(), call, 1, nil) {
				check(err)
				n++
			}
			require.Equal(t, 2, n)
		}
		for _, err := range native.Seq(t.Context(), nil, 1, native.Int[int]) {
			require.EqualError(t, err, "invalid argument: call is nil")
		}
		native.Seq(t.Context(), func() *native.Call { panic("called") }, 1, native.Int[int])(nil)
	})
}

func TestOnNoDBTXEverythingFails(t *testing.T) {
	db := native.On(nil)
	check := func(err error) {
		t.Helper()
		require.ErrorIs(t, err, fs.ErrInvalid)
		require.ErrorContains(t, err, "the DBTX is nil")
	}
	_, err := db.PrepareContext(t.Context(), "")
	check(err)
	_, err = db.ExecContext(t.Context(), "")
	check(err)
	_, err = db.QueryContext(t.Context(), "")
	check(err)
	check(db.QueryRowContext(t.Context(), "").Scan())
	check(db.Call("Get", "").Exec(t.Context()))
	check(db.Call("Get", "").One(t.Context(), 1).End())
	_, err = native.All(t.Context(), db.Call("Get", ""), 1, nil, native.Int[int])
	check(err)
	check(native.WithText(nil, "").QueryRowContext(t.Context(), "").Scan())
}

func TestAResultSaysWhatItHasDone(t *testing.T) {
	on(t, func(t *testing.T, _, db native.DB, _ func() bool) {
		require.NoError(t, db.Call("Make", "CREATE TABLE t (i INTEGER PRIMARY KEY, n UNIQUE)").Exec(t.Context()))
		id, err := db.Call("Add", "INSERT INTO t VALUES (?, 1)").Int(41).ExecLastID(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 41, id)
		n, err := db.Call("Add", "INSERT INTO t (n) VALUES (2), (3)").ExecRows(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		result, err := db.Call("Change", "UPDATE t SET n = n + 10").ExecResult(t.Context())
		require.NoError(t, err)
		n, err = result.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		n, err = db.Call("Add", "INSERT INTO t (n) VALUES (11)").Wrapped().ExecRows(t.Context())
		require.Zero(t, n)
		require.ErrorContains(t, err, "query Add: ")
	})
}

func TestTextsOfNoPartsAreEmpty(t *testing.T) {
	require.Empty(t, native.Spread(nil, 1))
	require.Empty(t, native.Numbered(nil, []int{0}, 1))
	require.Equal(t, "a (?1) b (?2,?3) c (?4)", native.Numbered([]string{"a (", ") b (", ") c (", ")"}, []int{0, 1, 2}, 1, 2, 1))
}
