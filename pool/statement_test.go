package pool_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// outcome is all that a caller can see of a query.
type outcome struct {
	columns []string
	types   []string
	rows    [][]any
	err     string
	code    int
}

func (o *outcome) fail(err error) {
	if err != nil && o.err == "" {
		o.err = err.Error()
		o.code, _ = pool.Code(err)
	}
}

func outcomeOf(ctx context.Context, on dbtx, query string, args []any) (o outcome) {
	rows, err := on.QueryContext(ctx, query, args...)
	if err != nil {
		o.fail(err)
		return o
	}
	defer func() { o.fail(rows.Close()) }()
	o.columns, err = rows.Columns()
	o.fail(err)
	types, err := rows.ColumnTypes()
	o.fail(err)
	for rows.Next() {
		row := make([]any, len(o.columns))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		o.fail(rows.Scan(into...))
		o.rows = append(o.rows, row)
		if len(o.rows) == 1 {
			for _, c := range types {
				o.types = append(o.types, c.DatabaseTypeName())
			}
		}
	}
	o.fail(rows.Err())
	return o
}

// TestAStatementIsWhatTheDriverMakesOfIt runs everything twice: on a lease, and
// with the driver alone at a database of its own. Whatever a caller can see must
// be the same. Where it is not, on purpose, has tests of its own: how arguments are
// counted, how a time is written, what is empty, what a column is scanned into.
func TestAStatementIsWhatTheDriverMakesOfIt(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	bare, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "bare.db")+"?_pragma=foreign_keys(1)")
	require.NoError(t, err)
	defer bare.Close()
	bare.SetMaxOpenConns(1)
	_, err = bare.ExecContext(t.Context(), tables)
	require.NoError(t, err)

	now := time.Date(2024, 2, 29, 12, 30, 15, 123456789, time.UTC)
	long := strings.Repeat("long ", 100_000)
	for _, c := range []struct {
		query string
		args  []any
	}{
		{"SELECT 1, 2.5, 'text', x'00ff', NULL, 1 = 1", nil},
		{"SELECT ?, ?, ?, ?, ?, ?", []any{int64(-1 << 63), 1e300, "text", []byte{0, 1, 2}, nil, true}},
		{"SELECT ?1, ?1, ?3, ?2", []any{1, "two", 3.0}},
		{"SELECT $1, $2, $1", []any{1, 2}},
		{"SELECT @a, :b, $c, :a", []any{sql.Named("a", 1), sql.Named("b", "two"), sql.Named("c", nil)}},
		{"SELECT :a, ?", []any{sql.Named("a", 1), 2}},
		{"SELECT :a", []any{1}},
		{"SELECT ?3", []any{1, 2, 3}},
		{"SELECT ?01", []any{1}},
		{"SELECT $0x1, $2", []any{1, 2}},
		{"SELECT ?", []any{""}},
		{"SELECT typeof(?)", []any{[]byte(nil)}},
		{"SELECT typeof(?), length(?)", []any{[]byte{}, []byte{}}},
		{"SELECT ?, length(?1)", []any{"before\x00after"}},
		{"SELECT ?, length(?1)", []any{long}},
		{"SELECT ?, length(?1)", []any{[]byte(long)}},
		{"SELECT char(233, 8364, 128512), cast(x'ff' AS TEXT)", nil},
		{"CREATE TABLE times (d DATE, dt DATETIME, t TIME, ts TIMESTAMP, b BOOLEAN, n NUMERIC, v VARCHAR(10), bare)", nil},
		{"INSERT INTO times VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *", []any{now.String(), now.Format(time.RFC3339), now.String(), "2024-02-29 12:30:15", true, 1.5, "v", now.String()}},
		{"INSERT INTO times VALUES (1709208000, 1709208000000, 1, 2, 0, 'n', 3, 4)", nil},
		{"SELECT * FROM times", nil},
		{"SELECT b, n, v FROM times", nil},
		{"SELECT ts FROM times WHERE 0", nil},
		{"INSERT INTO n VALUES (2, 5), (3, 6) RETURNING id, v", nil},
		{"UPDATE n SET v = v + 1", nil},
		{"UPDATE n SET v = v + 1 RETURNING v", nil},
		{"INSERT INTO n VALUES (1, 1)", nil},
		{"INSERT INTO n VALUES (1, 1) RETURNING id", nil},
		{"INSERT INTO n VALUES (4, -13)", nil},
		{"INSERT INTO ruled (v) VALUES (-1)", nil},
		{"INSERT INTO ruled (v) VALUES (NULL)", nil},
		{"INSERT INTO child VALUES (1, 99)", nil},
		{"INSERT INTO child VALUES (1, 99) RETURNING id", nil},
		{"SELECT * FROM nowhere", nil},
		{"SELEC 1", nil},
		{"SELECT abs(-9223372036854775808)", nil},
		{"SELECT v, abs(v - 9223372036854775807 - 7) FROM n ORDER BY id", nil}, // fails at a row
		{"SELECT zeroblob(3000000000)", nil},
		{"EXPLAIN QUERY PLAN SELECT * FROM n", nil},
		{"PRAGMA table_info(n)", nil},
		{"DELETE FROM n WHERE id > 1 RETURNING *", nil},
		{"SELECT count(*) FROM n, child, ruled", nil},
		{"SELECT 1; SELECT ?", []any{2}},
		{"", nil},
	} {
		want, wantAgain := outcomeOf(t.Context(), bare, c.query, c.args), outcome{}
		lease := acquire(t, p)
		got, again := outcomeOf(t.Context(), lease, c.query, c.args), outcome{}
		if strings.HasPrefix(c.query, "SELECT") { // from the cache
			wantAgain, again = outcomeOf(t.Context(), bare, c.query, c.args), outcomeOf(t.Context(), lease, c.query, c.args)
		}
		lease.Release()
		require.Equal(t, want, got, "%s %v", c.query, c.args)
		require.Equal(t, wantAgain, again, "%s %v", c.query, c.args)
	}
	requireAtRest(t, p)
}

func TestACachedStatementFollowsTheSchema(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3, MinConns: 3})
	held := []*pool.Lease{acquire(t, p), acquire(t, p)}
	for _, l := range held {
		require.Equal(t, []string{"id", "v"}, outcomeOf(t.Context(), l, "SELECT * FROM n", nil).columns)
	}
	require.NoError(t, do(t.Context(), held[0], "ALTER TABLE n ADD COLUMN at DATETIME"))
	require.NoError(t, do(t.Context(), held[0], "UPDATE n SET at = '2024-02-29 12:30:15'"))
	for _, l := range held {
		for range 2 { // the second run knows of the time from the start
			o := outcomeOf(t.Context(), l, "SELECT * FROM n", nil)
			require.Equal(t, []string{"id", "v", "at"}, o.columns)
			require.Len(t, o.rows[0], 3)
		}
		o := outcomeOf(t.Context(), l, "SELECT * FROM n", nil)
		require.Equal(t, time.Date(2024, 2, 29, 12, 30, 15, 0, time.UTC), o.rows[0][2])
		l.Release()
	}
	requireAtRest(t, p)
}

func TestAStatementThatFailedIsTheDriversErrorAndRunsAgain(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		for i := range 5 {
			_, err := tx.ExecContext(ctx, "INSERT INTO n VALUES (?, 0)", 1)
			var e *sqlite.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, 1555, e.Code())
			require.ErrorContains(t, err, "n.id")
			_, err = tx.ExecContext(ctx, "INSERT INTO n VALUES (?, 0)", i+2)
			require.NoError(t, err)
		}
		return nil
	}))
	require.EqualValues(t, 6, get(t, p, "SELECT count(*) FROM n"))
	requireAtRest(t, p)
}

func TestAnUnmetForeignKeyOfAReturningStatementReachesItsScan(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, "CREATE TABLE strict_child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent)")
	insert := func(ctx context.Context, on dbtx) error {
		var id int64
		return on.QueryRowContext(ctx, "INSERT INTO strict_child VALUES (1, 99) RETURNING id").Scan(&id)
	}
	l := acquire(t, p)
	err := insert(t.Context(), l)
	require.Equal(t, dberr.ErrForeignKey, dberr.Kind(err), "%v", err)
	l.Release()
	require.NoError(t, p.Batch(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
		err := insert(ctx, tx)
		require.Equal(t, dberr.ErrForeignKey, dberr.Kind(err), "%v", err)
		return nil
	}))
	require.Zero(t, get(t, p, "SELECT count(*) FROM strict_child"))
	requireAtRest(t, p)
}

func TestAWriteWhoseRowsWereNotAllReadIsDone(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		rows, err := l.QueryContext(t.Context(), "INSERT INTO n (v) SELECT value FROM json_each('[1,2,3,4,5,6,7,8,9]') RETURNING id")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.NoError(t, rows.Close())
		l.Release()
		require.EqualValues(t, 10, get(t, p, "SELECT count(*) FROM n"))
		requireAtRest(t, p)
	})
}

func TestAColumnThatIsAddedAsATimeIsReadAsOneAtOnce(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	run(t, p, "CREATE TABLE events (id INTEGER PRIMARY KEY)")
	run(t, p, "INSERT INTO events VALUES (1)")
	const query = "SELECT * FROM events"
	run(t, p, query) // it is cached
	run(t, p, "ALTER TABLE events ADD COLUMN at DATETIME DEFAULT '2026-01-02 03:04:05'")
	l := acquire(t, p)
	defer l.Release()
	for range 2 {
		var id int64
		var at time.Time
		require.NoError(t, l.QueryRowContext(t.Context(), query).Scan(&id, &at))
		require.Equal(t, 2026, at.Year())
	}
}

func TestRowsThatAreOverKeepTheirColumns(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	run(t, p, "CREATE TABLE wide (a, b)")
	const query = "SELECT * FROM wide"
	l := acquire(t, p)
	rows, err := l.QueryContext(t.Context(), query)
	require.NoError(t, err)
	l.Release()
	var users sync.WaitGroup
	users.Go(func() {
		for i := range 20 {
			run(t, p, fmt.Sprintf("ALTER TABLE wide ADD COLUMN c%d", i))
			run(t, p, query)
		}
	})
	for range 1000 {
		columns, err := rows.Columns()
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, columns)
	}
	users.Wait()
	require.NoError(t, rows.Close())
}
