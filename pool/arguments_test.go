package pool_test

import (
	"database/sql"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestArgumentsAreCounted(t *testing.T) {
	x, y := sql.Named("x", 1), sql.Named("y", 2)
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		for _, c := range []struct {
			query string
			args  []any
			err   string
		}{
			{"SELECT 1", []any{1}, "sql: expected 0 arguments, got 1"},
			{"SELECT 1", []any{x}, `sql: expected 0 arguments, got 1: no parameter is named "x"`},
			{"SELECT ?", nil, "sql: expected 1 arguments, got 0"},
			{"SELECT ?", []any{1, 2}, "sql: expected 1 arguments, got 2"},
			{"SELECT ?, ?", []any{1}, "sql: expected 2 arguments, got 1"},
			{"SELECT ?1, ?1", []any{1, 2}, "sql: expected 1 arguments, got 2"},
			{"SELECT ?3", []any{1, 2}, "sql: expected 3 arguments, got 2"},
			{"SELECT $1, $2", []any{1}, "sql: expected 2 arguments, got 1"},
			{"SELECT ?", []any{1, x}, `sql: expected 1 arguments, got 2: no parameter is named "x"`},
			{"SELECT ?", []any{x}, `sql: expected 1 arguments without a name, got 0: no parameter is named "x"`},
			{"SELECT :x", []any{x, y}, `sql: expected 1 arguments, got 2: no parameter is named "y"`},
			{"SELECT :x, @y", []any{x}, `sql: expected 2 arguments, got 1: missing named argument "y"`},
			{"SELECT :x", []any{1}, `missing named argument "x"`},
			{"SELECT :x", []any{y}, `missing named argument "x"`},
			{"SELECT :x", []any{x, x}, "sql: expected 1 arguments, got 2"},
			{"SELECT :x, ?", []any{x, x}, "sql: expected 1 arguments without a name, got 0"},
			{"SELECT :x, ?2", []any{2, x}, "numbers beside names count all arguments"},
			{"", []any{1}, "sql: expected 0 arguments, got 1"},
			{"-- nothing", []any{x}, "sql: expected 0 arguments, got 1"},
		} {
			_, err := on.ExecContext(t.Context(), c.query, c.args...)
			require.ErrorContains(t, err, c.err, "%s %v", c.query, c.args)
			rows, err := on.QueryContext(t.Context(), c.query, c.args...)
			if err == nil {
				rows.Close()
			}
			require.ErrorContains(t, err, c.err, "%s %v", c.query, c.args)
			var v any
			require.ErrorContains(t, on.QueryRowContext(t.Context(), c.query, c.args...).Scan(&v), c.err)
		}
		_, err := on.ExecContext(t.Context(), "SELECT ?", 1, 2)
		require.EqualError(t, err, "sql: expected 1 arguments, got 2", "database/sql's words")
	})
}

func TestEachParameterTakesItsArgument(t *testing.T) {
	x, y := sql.Named("x", "x"), sql.Named("y", "y")
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		for _, c := range []struct {
			query string
			args  []any
			want  string
		}{
			{"SELECT ? || ?", []any{"a", "b"}, "ab"},
			{"SELECT ?2 || ?1 || ?2", []any{"a", "b"}, "bab"},
			{"SELECT $2 || $1", []any{"a", "b"}, "ba"},
			{"SELECT ?2 || ?", []any{"a", "b", "c"}, "bc"},
			{"SELECT ?2", []any{"a", "b"}, "b"},
			{"SELECT :x || @y || $x || :x", []any{y, x}, "xyxx"},
			{"SELECT :x || ?", []any{x, "a"}, "xa"},
			{"SELECT :x || ?", []any{"a", x}, "xa"},
			{"SELECT ? || :x || ? || :x", []any{"a", "b", x}, "axbx"},
			{"SELECT ? || :x || ?", []any{"a", x, "b"}, "axb"},
			{"SELECT ?1 || :x || ?3", []any{"a", x, "b"}, "axb"},
			{"SELECT '?' || ? || \":x\" FROM (SELECT 'c' AS \":x\") -- ? :z", []any{"a"}, "?ac"},
		} {
			require.Equal(t, c.want, value(t, on, c.query, c.args...), "%s %v", c.query, c.args)
		}
	})
}

func TestAScriptConsumesItsArgumentsInOrder(t *testing.T) {
	x, y := sql.Named("x", "x"), sql.Named("y", "y")
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		for _, c := range []struct {
			script string
			args   []any
			want   string
		}{
			{"INSERT INTO heap VALUES (?); INSERT INTO heap VALUES (?)", []any{"a", "b"}, "a,b"},
			{"INSERT INTO heap VALUES (? || ?); SELECT 1; INSERT INTO heap VALUES (?);", []any{"a", "b", "c"}, "ab,c"},
			{"INSERT INTO heap VALUES (?1); INSERT INTO heap VALUES (?2 || ?1)", []any{"a", "b"}, "a,ba"},
			{"INSERT INTO heap VALUES ($2); INSERT INTO heap VALUES ($1)", []any{"a", "b"}, "b,a"},
			{"INSERT INTO heap VALUES (:x); INSERT INTO heap VALUES (@y || :x)", []any{x, y}, "x,yx"},
			{"INSERT INTO heap VALUES (:x || ?); INSERT INTO heap VALUES (? || :x || :y)", []any{"a", "b", y, x}, "xa,bxy"},
			{"INSERT INTO heap VALUES ('?;:x'); INSERT INTO heap VALUES (? /* ? */); -- ?", []any{"a"}, "?;:x,a"},
			{"CREATE TABLE later (v); INSERT INTO later VALUES (?); INSERT INTO heap SELECT v || ? FROM later; DROP TABLE later", []any{"a", "b"}, "ab"},
		} {
			perform(t, on, c.script, c.args...)
			require.Equal(t, c.want, value(t, on, "SELECT group_concat(b) FROM heap"), c.script)
			perform(t, on, "DELETE FROM heap")
		}
		require.Equal(t, "b", value(t, on, "INSERT INTO heap VALUES (?); SELECT ?", "a", "b"), "the last one's rows")
		require.Equal(t, "a", value(t, on, "SELECT b FROM heap"))
	})
}

func TestNothingOfAScriptRunsWithMiscountedArguments(t *testing.T) {
	x, y := sql.Named("x", "x"), sql.Named("y", "y")
	const two = "INSERT INTO heap VALUES (?); INSERT INTO heap VALUES (?)"
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		for _, c := range []struct {
			script string
			args   []any
			err    string
		}{
			{two, nil, "sql: expected 2 arguments, got 0"},
			{two, []any{1}, "sql: expected 2 arguments, got 1"},
			{two, []any{1, 2, 3}, "sql: expected 2 arguments, got 3"},
			{two, []any{1, x}, `no parameter is named "x"`},
			{"INSERT INTO heap VALUES (1); INSERT INTO heap VALUES (2)", []any{1}, "sql: expected 0 arguments, got 1"},
			{"INSERT INTO heap VALUES (?1); INSERT INTO heap VALUES (?1)", []any{1, 2}, "sql: expected 1 arguments, got 2"},
			{"INSERT INTO heap VALUES (:x); INSERT INTO heap VALUES (:x)", []any{x, y}, `sql: expected 1 arguments, got 2: no parameter is named "y"`},
			{"INSERT INTO heap VALUES (:x); INSERT INTO heap VALUES (:y)", []any{x}, `missing named argument "y"`},
			{"INSERT INTO heap VALUES (1); INSERT INTO heap VALUES (:y)", []any{1}, `missing named argument "y"`},
			{"INSERT INTO heap VALUES (?); INSERT INTO heap VALUES (?2)", []any{1, 2}, "not clear what the numbers count"},
			{"INSERT INTO heap VALUES (:x); INSERT INTO heap VALUES (?1)", []any{x, 2}, "not clear what the numbers count"},
			{"CREATE TABLE later (v); INSERT INTO later VALUES (?)", []any{1, 2}, "sql: expected 1 arguments, got 2"},
		} {
			_, err := on.ExecContext(t.Context(), c.script, c.args...)
			require.ErrorContains(t, err, c.err, "%s %v", c.script, c.args)
			var v any
			require.ErrorContains(t, on.QueryRowContext(t.Context(), c.script+"; SELECT 1", c.args...).Scan(&v), c.err)
			require.EqualValues(t, 0, value(t, on, "SELECT count(*) FROM heap"), c.script)
			require.EqualValues(t, 0, value(t, on, "SELECT count(*) FROM sqlite_schema WHERE name = 'later'"))
		}
	})
}

func TestMiscountedArgumentsTakeNoLaneAndEndNothing(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		const insert = "INSERT INTO heap VALUES (?)"
		run(t, p, insert, 0)
		var errs [3]error
		lineUp(t, p,
			func() { errs[0] = send(t.Context(), p, insert, 1) },
			func() { errs[1] = send(t.Context(), p, insert, 2, 3) },
			func() { errs[2] = send(t.Context(), p, insert, 4) },
		)
		require.NoError(t, errs[0])
		require.ErrorContains(t, errs[1], "sql: expected 1 arguments, got 2")
		require.NoError(t, errs[2])
		require.Zero(t, p.Stats().Retries, "the neighbours' work stands")
		require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM heap"))

		tx, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		if p.Stats().MaxConns > 1 {
			l := acquire(t, p)
			require.ErrorContains(t, do(t.Context(), l, insert), "got 0", "it does not wait for the writer")
			l.Release()
		}
		require.ErrorContains(t, do(t.Context(), tx, insert), "got 0")
		require.NoError(t, do(t.Context(), tx, insert, 5))
		require.NoError(t, tx.Commit(t.Context()))
		requireAtRest(t, p)
	})
}
