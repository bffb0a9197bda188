package pool_test

import (
	"context"
	"database/sql"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// each are the rows of a query whose one column is a number.
func each(rows pool.Rows) (all []int64, err error) {
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return all, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}

const threeNumbers = "SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3"

// TestRowsHaveTheStatesOfDatabaseSQLs tells what *sql.Rows say in each of their
// states, and sees that native rows say the same.
func TestRowsHaveTheStatesOfDatabaseSQLs(t *testing.T) {
	p := open(t, pool.Config{})
	nativelyReading(t, p, func(_ string, on pool.Querier) {
		for _, with := range []pool.Querier{on, databaseSQLs{asFace(on)}} {
			var n int64
			rows, err := with.Query(t.Context(), threeNumbers)
			require.NoError(t, err)
			require.EqualError(t, rows.Scan(&n), "sql: Scan called without calling Next")
			names, err := rows.Columns()
			require.NoError(t, err)
			require.Equal(t, []string{"n"}, names)
			all, err := each(rows)
			require.NoError(t, err)
			require.Equal(t, []int64{1, 2, 3}, all)
			require.False(t, rows.Next())
			require.EqualError(t, rows.Scan(&n), "sql: Rows are closed")
			_, err = rows.Columns()
			require.EqualError(t, err, "sql: Rows are closed")
			require.NoError(t, rows.Close())

			rows, err = with.Query(t.Context(), threeNumbers)
			require.NoError(t, err)
			require.True(t, rows.Next())
			require.NoError(t, rows.Close())
			require.NoError(t, rows.Close())
			require.False(t, rows.Next())
			require.NoError(t, rows.Err())

			rows, err = with.Query(t.Context(), "SELECT abs(x) AS n FROM (SELECT 1 AS x UNION ALL SELECT -9223372036854775808)")
			if err == nil { // a Writer has read them before
				all, err = each(rows)
				require.Equal(t, []int64{1}, all)
				require.EqualError(t, rows.Scan(&n), err.Error())
				_, columnsErr := rows.Columns()
				require.EqualError(t, columnsErr, err.Error())
				require.NoError(t, rows.Close())
				require.EqualError(t, rows.Err(), err.Error(), "Close does not change it")
			}
			require.ErrorContains(t, err, "integer overflow")

			rows, err = with.Query(t.Context(), " ; ")
			require.NoError(t, err)
			all, err = each(rows)
			require.NoError(t, err)
			require.Empty(t, all)
			_, err = with.Query(t.Context(), "SELECT absent")
			require.ErrorContains(t, err, "no such column")
			require.ErrorContains(t, with.QueryRow(t.Context(), "SELECT absent").Scan(&n), "no such column")
		}
	})
	requireAtRest(t, p)
}

func TestTheNamesOfColumnsAreTheCallersOwn(t *testing.T) {
	p := open(t, pool.Config{})
	nativelyReading(t, p, func(_ string, on pool.Querier) {
		for range 2 {
			rows := single(t, on, threeNumbers)
			names, err := rows.Columns()
			require.NoError(t, err)
			require.Equal(t, []string{"n"}, names)
			names[0] = "overwritten"
			require.ErrorContains(t, rows.Scan(new(chan int)), `name "n"`)
			require.NoError(t, rows.Close())
		}
	})
}

func TestAStatementDoesTheSameWithoutDatabaseSQL(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		natively(t, p, func(name string, on pool.Querier) {
			_, err := on.Exec(t.Context(), "DELETE FROM n")
			require.NoError(t, err)
			res, err := on.Exec(t.Context(), "INSERT INTO n VALUES (?, ?), (?, ?)", 7, 1, 8, 2)
			require.NoError(t, err)
			id, err := res.LastInsertId()
			require.NoError(t, err)
			require.EqualValues(t, 8, id)
			count, err := res.RowsAffected()
			require.NoError(t, err)
			require.EqualValues(t, 2, count)

			var got int64
			require.NoError(t, on.QueryRow(t.Context(), "INSERT INTO n (v) VALUES (3), (4), (5) RETURNING v").Scan(&got))
			require.EqualValues(t, 3, got)
			rows, err := on.Query(t.Context(), "SELECT v FROM n WHERE v >= :low ORDER BY v", sql.Named("low", 2))
			require.NoError(t, err)
			all, err := each(rows)
			require.NoError(t, err)
			require.Equal(t, []int64{2, 3, 4, 5}, all, "a write is run to its end: %s", name)

			require.ErrorIs(t, on.QueryRow(t.Context(), "INSERT INTO n (v) VALUES (9); SELECT v FROM n WHERE v > 9").Scan(&got), sql.ErrNoRows)
			require.NoError(t, on.QueryRow(t.Context(), "UPDATE n SET v = ? WHERE v = ?; SELECT max(v) FROM n", 11, 9).Scan(&got))
			require.EqualValues(t, 11, got)

			err = on.QueryRow(t.Context(), "INSERT INTO n VALUES (7, 0) RETURNING v").Scan(&got)
			require.ErrorIs(t, dberr.Kind(err), dberr.ErrDuplicate)
			_, err = on.Exec(t.Context(), "INSERT INTO n VALUES (7, 0)")
			require.ErrorIs(t, dberr.Kind(err), dberr.ErrDuplicate)
			_, err = on.Query(t.Context(), "SELECT ?", 1, 2)
			require.EqualError(t, err, "sql: expected 1 arguments, got 2")
			_, err = on.Exec(t.Context(), "COMMIT")
			require.ErrorIs(t, err, pool.ErrTxControl)
			require.ErrorIs(t, on.QueryRow(t.Context(), "COMMIT").Scan(), pool.ErrTxControl)

			cancelled, cancel := context.WithCancel(t.Context())
			cancel()
			if name != "Writer in a transaction" { // it has a context of its own
				_, err = on.Query(cancelled, threeNumbers)
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, on.QueryRow(cancelled, threeNumbers).Scan(&got), context.Canceled)
			}
		})
		requireAtRest(t, p)
	})
}

func TestAWriteThatFailsAtItsEndIsTheRowsError(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	var got int64
	err := l.QueryRow(t.Context(), "INSERT INTO child VALUES (1, 99) RETURNING id").Scan(&got)
	require.ErrorIs(t, dberr.Kind(err), dberr.ErrForeignKey)
	require.Zero(t, got)
	rows, err := l.Query(t.Context(), "INSERT INTO child VALUES (1, 99) RETURNING id")
	require.NoError(t, err)
	_, err = each(rows)
	require.ErrorIs(t, dberr.Kind(err), dberr.ErrForeignKey)
	err = p.Writer().QueryRow(t.Context(), "INSERT INTO child VALUES (1, 99) RETURNING id").Scan(&got)
	require.ErrorIs(t, dberr.Kind(err), dberr.ErrForeignKey)
	require.EqualValues(t, 0, value(t, l, "SELECT count(*) FROM child"))
}

func TestARowNeedsNoConnection(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	l := acquire(t, p)
	row := l.QueryRow(t.Context(), "SELECT 'text', x'00', 7, NULL, 1.5")
	l.Release()
	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	inTx := tx.QueryRow(t.Context(), "INSERT INTO n (v) VALUES (5) RETURNING v")
	require.NoError(t, tx.Rollback(t.Context()))
	requireAtRest(t, p)
	var all [5]any
	for range 2 {
		require.NoError(t, row.Scan(&all[0], &all[1], &all[2], &all[3], &all[4]))
		require.Equal(t, [5]any{"text", []byte{0}, int64(7), nil, 1.5}, all)
	}
	require.NoError(t, inTx.Scan(&all[0]))
	require.EqualValues(t, 5, all[0])
	require.ErrorIs(t, l.QueryRow(t.Context(), "SELECT 1").Scan(&all[0]), pool.ErrReleased)
	_, err = tx.Query(t.Context(), "SELECT 1")
	require.ErrorIs(t, err, pool.ErrTxDone)
	_, err = l.Exec(t.Context(), "SELECT 1")
	require.ErrorIs(t, err, pool.ErrReleased)
}

func TestRowsEndWithWhatTheyWereOpenedIn(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	inLease := single(t, l, threeNumbers)
	l.Release()
	require.False(t, inLease.Next())
	require.ErrorIs(t, inLease.Err(), pool.ErrReleased)

	var inTx, inSavepoint pool.Rows
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		inTx = single(t, tx, threeNumbers)
		require.NoError(t, tx.Savepoint(ctx, func(_ context.Context, tx *pool.Tx) error {
			inSavepoint = single(t, tx, threeNumbers)
			return nil
		}))
		require.False(t, inSavepoint.Next())
		require.ErrorIs(t, inSavepoint.Err(), pool.ErrTxDone)
		require.True(t, inTx.Next())
		return nil
	}))
	var n int64
	require.NoError(t, inTx.Scan(&n), "it was read")
	require.EqualValues(t, 2, n)
	require.False(t, inTx.Next())
	require.ErrorIs(t, inTx.Err(), pool.ErrTxDone)

	written, err := p.Writer().Query(t.Context(), "INSERT INTO n (v) VALUES (1), (2), (3) RETURNING v")
	require.NoError(t, err)
	requireAtRest(t, p)
	require.EqualValues(t, 4, get(t, p, "SELECT count(*) FROM n"), "it is committed")
	all, err := each(written)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 2, 3}, all)
}

func TestAContextEndsRowsWithoutDatabaseSQL(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := l.Query(ctx, threeNumbers)
	require.NoError(t, err)
	require.True(t, rows.Next())
	cancel()
	require.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), context.Canceled)

	ctx, cancel = context.WithCancel(t.Context())
	var n int64
	require.ErrorIs(t, l.QueryRow(ctx, endless(onSignal(t, cancel))).Scan(&n), context.Canceled)
	require.EqualValues(t, 7, value(t, l, "SELECT 7"))
}

func TestAnotherGoroutineMayCloseRows(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	for range rounds.Of(5, 20, 20) {
		rows, err := l.Query(t.Context(), "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c")
		require.NoError(t, err)
		require.True(t, rows.Next())
		var wg sync.WaitGroup
		wg.Go(func() { _ = rows.Close() })
		_, err = each(rows)
		if err != nil {
			require.EqualError(t, err, "sql: Rows are closed")
		}
		wg.Wait()
	}
}

func TestAShutdownEndsRowsWithoutDatabaseSQL(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	rows := single(t, l, threeNumbers)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = p.Shutdown(ctx)
	require.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), pool.ErrClosed)
	require.NoError(t, rows.Close())
	require.ErrorIs(t, l.QueryRow(t.Context(), "SELECT 1").Scan(new(int)), pool.ErrClosed)
}

func TestARowThatSQLPanicsOverLeavesNothingLocked(t *testing.T) {
	p := open(t, pool.Config{})
	name := onSignal(t, func() { panic(io.ErrNoProgress) })
	l := acquire(t, p)
	require.PanicsWithError(t, io.ErrNoProgress.Error(), func() { l.QueryRow(t.Context(), "SELECT signal(?)", name) })
	l.Release()
	name = onSignal(t, func() { panic(io.ErrNoProgress) })
	l = acquire(t, p)
	rows := single(t, l, "SELECT 1 UNION ALL SELECT signal(?)", name)
	require.PanicsWithError(t, io.ErrNoProgress.Error(), func() { rows.Next() })
	require.NoError(t, rows.Close())
	l.Release()
	requireAtRest(t, p)
}

// spans notes the queries that a Tracer is told of.
type spans struct {
	mu   sync.Mutex
	open []string
	ends []string
}

func (s *spans) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	if op.Name != "query" {
		return ctx, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, op.SQL)
	return ctx, func(end pool.TraceEnd) {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := slices.Index(s.open, op.SQL)
		s.open = slices.Delete(s.open, i, i+1)
		failed := ""
		if end.Err != nil {
			failed = ": failed"
		}
		s.ends = append(s.ends, op.SQL+failed)
	}
}

func TestATracerIsToldOfStatementsWithoutDatabaseSQL(t *testing.T) {
	told := new(spans)
	p := open(t, pool.Config{Tracer: told})
	nativelyReading(t, p, func(name string, on pool.Querier) {
		told.mu.Lock()
		told.ends = nil
		told.mu.Unlock()
		_, err := on.Exec(t.Context(), "SELECT 'exec'")
		require.NoError(t, err)
		require.NoError(t, on.QueryRow(t.Context(), "SELECT 'row'").Scan(new(string)))
		require.Error(t, on.QueryRow(t.Context(), "SELECT faulty").Scan(new(string)))
		rows := single(t, on, "SELECT 'rows'")
		if name != "Writer" { // it has read them
			require.Equal(t, []string{"SELECT 'rows'"}, told.open, "it goes on until the rows are closed")
		}
		require.NoError(t, rows.Close())
		_, err = on.Query(t.Context(), "SELECT ?")
		require.Error(t, err)
		require.Equal(t, []string{"SELECT 'exec'", "SELECT 'row'", "SELECT faulty: failed", "SELECT 'rows'", "SELECT ?: failed"}, told.ends)
		require.Empty(t, told.open)
	})
}

func TestAViewRefusesAWriteWithoutDatabaseSQL(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM n")
		require.ErrorIs(t, err, pool.ErrReadOnly)
		require.ErrorIs(t, tx.QueryRow(ctx, "DELETE FROM n RETURNING v").Scan(new(int)), pool.ErrReadOnly)
		_, err = tx.Query(ctx, "DELETE FROM n RETURNING v")
		require.ErrorIs(t, err, pool.ErrReadOnly)
		return nil
	}))
}

func TestWideRowsAndManyArgumentsAreNothingSpecial(t *testing.T) {
	p := open(t, pool.Config{})
	nativelyReading(t, p, func(_ string, on pool.Querier) {
		args := []any{1, "two", 3.5, nil, []byte("five"), true, time.Unix(0, 0), "", int64(9)}
		var want, got, rows [9]any
		scan := func(from interface{ Scan(...any) error }, all *[9]any) error {
			dest := make([]any, len(all))
			for i := range all {
				dest[i] = &all[i]
			}
			return from.Scan(dest...)
		}
		const query = "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?"
		require.NoError(t, scan(asFace(on).QueryRowContext(t.Context(), query, args...), &want))
		require.NoError(t, scan(on.QueryRow(t.Context(), query, args...), &got))
		require.Equal(t, want, got)
		one := single(t, on, query, args...)
		require.NoError(t, scan(one, &rows))
		require.NoError(t, one.Close())
		require.Equal(t, want, rows)
	})
}

func TestAnArgumentIsConvertedAlikeWithoutDatabaseSQL(t *testing.T) {
	p := open(t, pool.Config{})
	nativelyReading(t, p, func(_ string, on pool.Querier) {
		for _, arg := range arguments() {
			require.Equal(t, passed(t, asFace(on), arg), passedNatively(t, on, arg), "%T %#v", arg, arg)
		}
		require.Panics(t, func() { on.QueryRow(t.Context(), "SELECT ?", (*byPointer)(nil)) })
		require.NoError(t, on.QueryRow(t.Context(), "SELECT 1").Scan(new(int)))
	})
	requireAtRest(t, p)
}

// passedNatively is passed without database/sql.
func passedNatively(t testing.TB, on pool.Querier, arg any) string {
	t.Helper()
	query := passingQuery(arg)
	var kind, hex string
	err := on.QueryRow(t.Context(), query, arg).Scan(&kind, &hex)
	rows, queryErr := on.Query(t.Context(), query, arg)
	_, execErr := on.Exec(t.Context(), query, arg)
	if err != nil {
		require.EqualError(t, execErr, err.Error(), "%#v", arg)
		require.EqualError(t, queryErr, err.Error(), "%#v", arg)
		return "error: " + err.Error()
	}
	require.NoError(t, execErr)
	require.NoError(t, queryErr)
	require.True(t, rows.Next())
	var again, hexAgain string
	require.NoError(t, rows.Scan(&again, &hexAgain))
	require.NoError(t, rows.Close())
	require.Equal(t, kind+hex, again+hexAgain)
	return kind + " " + hex
}
