package pool_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// insert is what most members of a batch send here.
const insert = "INSERT INTO n VALUES (?, 0)"

// send runs a statement where only the error counts.
func send(ctx context.Context, p *pool.Pool, query string, args ...any) error {
	_, err := pool.ByRequest(p, p.StoreWriter(), "").Exec(ctx, query, args...)
	return err
}

// sendRows is send for rows, which it reads.
func sendRows(ctx context.Context, p *pool.Pool, query string, args ...any) error {
	rows, err := p.Writer().QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}

// sends is a member whose statement succeeds.
func sends(t *testing.T, p *pool.Pool, query string, args ...any) func() {
	return func() { assert.NoError(t, send(t.Context(), p, query, args...), "%s %v", query, args) }
}

// know runs a statement once, so that its connection knows it: only then does
// whoever holds the batch run it for those who wait.
func know(t *testing.T, p *pool.Pool, query string, args ...any) {
	t.Helper()
	require.NoError(t, send(t.Context(), p, query, args...))
}

// goroutine names the goroutine that calls it.
func goroutine() string {
	trace := make([]byte, 64)
	name, _, _ := bytes.Cut(trace[:runtime.Stack(trace, false)], []byte(" ["))
	return string(name)
}

// The collation calling calls what signal(text) would, of the texts that it
// compares. SQLite does not tell beforehand which collations a statement uses,
// so it may run in another member's goroutine.
func init() {
	sqlite.MustRegisterCollationUtf8("calling", func(a, b string) int {
		signalNow(a)
		signalNow(b)
		return bytes.Compare([]byte(a), []byte(b))
	})
}

const (
	texts       = "CREATE TABLE texts (s TEXT UNIQUE COLLATE calling); INSERT INTO texts VALUES ('')"
	insertTexts = "INSERT INTO texts VALUES (?)"
)

func TestAWriterTellsWhatItsStatementDid(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1}, func(t *testing.T, p *pool.Pool) {
		for _, c := range []struct {
			query    string
			id, rows int64
		}{
			{"INSERT INTO n VALUES (7, 1), (8, 1)", 8, 2},
			{"UPDATE n SET v = 2", 0, 3},
			{"DELETE FROM n WHERE id = 7", 0, 1},
			{"INSERT OR IGNORE INTO n VALUES (8, 0)", 0, 0},
			{"INSERT INTO n VALUES (8, 5) ON CONFLICT DO UPDATE SET v = excluded.v", 0, 1},
			{"INSERT OR REPLACE INTO n VALUES (8, 6)", 8, 1},
			{"INSERT INTO n VALUES (20, 0); UPDATE n SET v = 3", 20, 3},
		} {
			result, err := p.Writer().ExecContext(t.Context(), c.query)
			require.NoError(t, err)
			id, err := result.LastInsertId()
			require.NoError(t, err)
			require.Equal(t, c.id, id, c.query)
			rows, err := result.RowsAffected()
			require.NoError(t, err)
			require.Equal(t, c.rows, rows, c.query)
		}
		require.EqualValues(t, 7, p.Stats().Batches)
		requireAtRest(t, p)
	})
}

func TestAWritersRowsAreThoseThatItsStatementReturned(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "CREATE TABLE kinds (i INTEGER, r REAL, s VARCHAR(9), b BLOB)")
		rows, err := p.Writer().QueryContext(t.Context(),
			"INSERT INTO kinds VALUES (1, 1.5, 'a', x'00ff'), (NULL, NULL, NULL, NULL), (2, 2, '', x'') RETURNING *, i + 1 AS more")
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		require.Equal(t, []string{"i", "r", "s", "b", "more"}, columns)
		types, err := rows.ColumnTypes()
		require.NoError(t, err)
		var declared []string
		for _, of := range types {
			declared = append(declared, of.DatabaseTypeName())
		}
		require.Equal(t, []string{"INTEGER", "REAL", "VARCHAR(9)", "BLOB", ""}, declared)
		var got [][]any
		for rows.Next() {
			row := make([]any, len(columns))
			require.NoError(t, rows.Scan(&row[0], &row[1], &row[2], &row[3], &row[4]))
			got = append(got, row)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		require.Equal(t, [][]any{{int64(1), 1.5, "a", []byte{0, 255}, int64(2)}, {nil, nil, nil, nil, nil}, {int64(2), 2.0, "", []byte{}, int64(3)}}, got)
		requireAtRest(t, p)
	})
}

func TestAWritersRowsMayBeMany(t *testing.T) {
	p := open(t, pool.Config{})
	const many = 5000
	rows, err := p.Writer().QueryContext(t.Context(),
		"INSERT INTO heap WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT ?) SELECT x FROM c RETURNING b", many)
	require.NoError(t, err)
	require.EqualValues(t, many, get(t, p, "SELECT count(*) FROM heap"), "they are committed already")
	require.NoError(t, p.Close())
	want := 0
	for rows.Next() {
		var got int
		require.NoError(t, rows.Scan(&got))
		want++
		require.Equal(t, want, got)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, many, want, "they outlive the pool")
	require.NoError(t, rows.Close())
}

func TestAWritersRowIsScanned(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "CREATE TABLE moments (at DATETIME, note TEXT)")
		w := p.Writer()
		at := time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)
		var back time.Time
		var note sql.NullString
		const query = "INSERT INTO moments VALUES (?, ?) RETURNING at, note"
		require.NoError(t, w.QueryRowContext(t.Context(), query, at, nil).Scan(&back, &note))
		require.True(t, at.Equal(back))
		require.False(t, note.Valid)

		var id int64
		require.ErrorIs(t, w.QueryRowContext(t.Context(), "UPDATE n SET v = 1 WHERE id = 99 RETURNING id").Scan(&id), sql.ErrNoRows)
		require.Equal(t, dberr.ErrDuplicate, dberr.Kind(w.QueryRowContext(t.Context(), "INSERT INTO n VALUES (1, 1) RETURNING id").Scan(&id)))
		require.NoError(t, w.QueryRowContext(t.Context(), "SELECT count(*) FROM n").Scan(&id), "it only reads")
		require.EqualValues(t, 1, id)
		requireAtRest(t, p)
	})
}

// celsius is stored as a number.
type celsius struct{ degrees float64 }

func (c celsius) Value() (driver.Value, error) {
	if c.degrees < -273.15 {
		return nil, errOurs
	}
	return c.degrees, nil
}

func TestAWriterTakesWhatDatabaseSQLTakes(t *testing.T) {
	p := open(t, pool.Config{})
	seven := 7
	for _, c := range []struct {
		query string
		args  []any
		want  any
	}{
		{"SELECT ?", []any{int8(3)}, int64(3)},
		{"SELECT ?", []any{&seven}, int64(7)},
		{"SELECT ?", []any{(*int)(nil)}, nil},
		{"SELECT ?", []any{nil}, nil},
		{"SELECT ?", []any{true}, int64(1)},
		{"SELECT ?", []any{"text"}, "text"},
		{"SELECT ?", []any{[]byte("bytes")}, []byte("bytes")},
		{"SELECT ?", []any{celsius{36.6}}, 36.6},
		{"SELECT ?2 - ?1", []any{1, 3}, int64(2)},
		{"SELECT :b - @a", []any{sql.Named("a", 1), sql.Named("b", celsius{3})}, 2.0},
	} {
		var got any
		require.NoError(t, p.Writer().QueryRowContext(t.Context(), c.query, c.args...).Scan(&got), "%s %v", c.query, c.args)
		require.Equal(t, c.want, got, "%s %v", c.query, c.args)
	}
	before := p.Stats().Batches
	for _, bad := range []any{struct{}{}, sql.Named("v", make(chan int)), uint64(1 << 63), celsius{-300}} {
		which := "sql: converting argument $2 type: "
		if _, named := bad.(sql.NamedArg); named {
			which = `sql: converting argument with name "v" type: `
		}
		require.ErrorContains(t, send(t.Context(), p, "UPDATE n SET v = ? + :v", 1, bad), which)
		require.ErrorContains(t, sendRows(t.Context(), p, "UPDATE n SET v = ? + :v RETURNING id", 1, bad), which)
		var v any
		require.ErrorContains(t, p.Writer().QueryRowContext(t.Context(), "SELECT ?, ?", 1, bad).Scan(&v), which)
	}
	require.ErrorIs(t, send(t.Context(), p, "SELECT ?", celsius{-300}), errOurs)
	require.ErrorContains(t, send(t.Context(), p, "SELECT ?, ?", 1), "sql: expected 2 arguments, got 1")
	require.Equal(t, before, p.Stats().Batches)
	requireAtRest(t, p)
}

func TestWhatIsNoStatementDoesNothing(t *testing.T) {
	p := open(t, pool.Config{})
	for _, nothing := range []string{"", ";", "-- nothing", " /* nothing */ ; ;"} {
		lineUp(t, p, sends(t, p, insert+" ON CONFLICT DO NOTHING", 2), sends(t, p, nothing), func() {
			assert.NoError(t, sendRows(t.Context(), p, nothing))
		})
	}
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n"))
	_, err := p.Writer().PrepareContext(t.Context(), "SELECT 1")
	require.ErrorIs(t, err, errors.ErrUnsupported)
	requireAtRest(t, p)
}

func TestStatementsThatWaitTogetherAreCommittedTogether(t *testing.T) {
	for name, cfg := range map[string]pool.Config{
		"as they are": {}, "one connection": {MaxConns: 1}, "nothing is kept prepared": {StatementCacheSize: -1},
		"traced": {Tracer: ending(func(context.Context, pool.TraceOp) {})},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, cfg, func(t *testing.T, p *pool.Pool) {
				know(t, p, insert, 2)
				before := p.Stats()
				const many = 20
				var queue []func()
				for i := range many {
					queue = append(queue, func() {
						result, err := p.Writer().ExecContext(t.Context(), insert, 100+i)
						if assert.NoError(t, err) {
							id, _ := result.LastInsertId()
							assert.EqualValues(t, 100+i, id)
							n, _ := result.RowsAffected()
							assert.EqualValues(t, 1, n)
						}
					})
				}
				lineUp(t, p, queue...)
				after := p.Stats()
				require.EqualValues(t, 1, after.Batches-before.Batches)
				require.EqualValues(t, many, after.BatchMembers-before.BatchMembers)
				require.EqualValues(t, 1, after.Committed-before.Committed)
				require.EqualValues(t, 1, after.RolledBack-before.RolledBack, "the gate")
				require.Zero(t, after.Retries)
				require.Greater(t, after.WriteWait, before.WriteWait)
				require.EqualValues(t, many, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
				requireAtRest(t, p)
			})
		})
	}
}

func TestWhoeverHoldsTheBatchRunsTheStatementsOfThoseWhoWait(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, texts)
	const calls = "INSERT INTO n SELECT ?, signal(?)"
	know(t, p, insertTexts, "known")
	know(t, p, calls, 2, "nobody")
	var sent, ran [5]string
	queue := make([]func(), len(sent))
	for i := range sent {
		name := fmt.Sprint(t.Name(), i)
		signals.Store(name, sync.OnceFunc(func() { ran[i] = goroutine() })) // later ones are compared with it too
		t.Cleanup(func() { signals.Delete(name) })
		queue[i] = func() {
			sent[i] = goroutine()
			if i == 3 {
				assert.NoError(t, send(t.Context(), p, calls, 103, name))
			} else {
				assert.NoError(t, send(t.Context(), p, insertTexts, name))
			}
		}
	}
	before := p.Stats().Batches
	lineUp(t, p, queue...)
	require.Equal(t, [5]string{sent[0], sent[0], sent[0], sent[3], sent[3]}, ran,
		"but one that calls a function of the program's runs where it was sent")
	require.EqualValues(t, 1, p.Stats().Batches-before)
}

// writerTables are what the faulty statements below work on.
const writerTables = `
CREATE TABLE keyed (k UNIQUE);
CREATE TABLE failing (k UNIQUE ON CONFLICT FAIL);
CREATE TABLE strictly (k NOT NULL CHECK (k > 0));
CREATE TABLE owned (p REFERENCES parent);
CREATE TABLE heir (p REFERENCES parent ON DELETE RESTRICT);
CREATE TABLE traced (k);
CREATE TABLE watched (k);
CREATE TRIGGER watch BEFORE INSERT ON watched BEGIN INSERT INTO traced VALUES (new.k); END;
CREATE TRIGGER fail_before BEFORE INSERT ON watched WHEN new.k = 'fail before' BEGIN INSERT INTO traced VALUES (1); SELECT RAISE(FAIL, 'ours'); END;
CREATE TRIGGER fail_after AFTER INSERT ON watched WHEN new.k = 'fail after' BEGIN INSERT INTO traced VALUES (1); SELECT RAISE(FAIL, 'ours'); END;
CREATE TRIGGER abort_before BEFORE INSERT ON watched WHEN new.k = 'abort before' BEGIN SELECT RAISE(ABORT, 'ours'); END;
CREATE TRIGGER abort_after AFTER INSERT ON watched WHEN new.k = 'abort after' BEGIN SELECT RAISE(ABORT, 'ours'); END;
CREATE TRIGGER rollback_before BEFORE INSERT ON watched WHEN new.k = 'rollback before' BEGIN SELECT RAISE(ROLLBACK, 'ours'); END;
CREATE TRIGGER rollback_after AFTER INSERT ON watched WHEN new.k = 'rollback after' BEGIN SELECT RAISE(ROLLBACK, 'ours'); END;
CREATE TRIGGER step AFTER INSERT ON watched WHEN new.k = 'step' BEGIN INSERT INTO keyed VALUES (50), (51), (50); END;
CREATE TABLE quiet (k);
CREATE TRIGGER quietly BEFORE INSERT ON quiet WHEN new.k = 'fail' BEGIN INSERT INTO keyed VALUES (60), (61), (62); END;
CREATE TRIGGER no_more BEFORE INSERT ON keyed WHEN new.k = 62 BEGIN SELECT RAISE(FAIL, 'ours'); END;
INSERT INTO parent VALUES (1);
INSERT INTO heir VALUES (1);
`

// leftovers counts what is there besides the table n.
const leftovers = `SELECT (SELECT count(*) FROM keyed) + (SELECT count(*) FROM failing) + (SELECT count(*) FROM strictly) + (SELECT count(*) FROM owned)
	+ (SELECT count(*) FROM traced) + (SELECT count(*) FROM watched) + (SELECT count(*) FROM quiet) + (SELECT count(*) FROM child) + (SELECT count(*) FROM ruled) + (SELECT count(*) FROM heap)`

// badStatements fail, and leave something if nobody takes care.
var badStatements = []struct {
	name  string
	query string
	known []any // with which it succeeds; nil: never
	args  []any
	code  int
}{
	{"a duplicate", insert, []any{2}, []any{1}, 1555},
	{"a CHECK", "INSERT INTO strictly VALUES (?), (?)", []any{1, 2}, []any{3, -1}, 275},
	{"a NOT NULL", "INSERT INTO strictly VALUES (?), (?)", []any{1, 2}, []any{3, nil}, 1299},
	{"OR FAIL", "INSERT OR FAIL INTO keyed VALUES (?), (?), (?)", []any{1, 2, 3}, []any{4, 5, 4}, 2067},
	{"OR FAIL at the first row", "INSERT OR FAIL INTO keyed VALUES (?)", []any{1}, []any{1}, 2067},
	{"UPDATE OR FAIL", "UPDATE OR FAIL n SET id = id % ? + 10", []any{100}, []any{1}, 1555},
	{"ON CONFLICT FAIL", "INSERT INTO failing VALUES (?), (?), (?)", []any{1, 2, 3}, []any{4, 5, 4}, 2067},
	{"OR ROLLBACK", "INSERT OR ROLLBACK INTO keyed VALUES (?), (?), (?)", []any{1, 2, 3}, []any{4, 5, 4}, 2067},
	{"ON CONFLICT ROLLBACK", "INSERT INTO ruled (id) VALUES (?), (?)", []any{1, 2}, []any{3, 3}, 1555},
	{"an UPSERT", "INSERT INTO ruled (id, u) VALUES (?, 1), (?, 1) ON CONFLICT (id) DO NOTHING", []any{1, 1}, []any{2, 3}, 2067},
	{"RAISE(FAIL) before", "INSERT INTO watched VALUES (?)", []any{"well"}, []any{"fail before"}, 1811},
	{"RAISE(FAIL) after", "INSERT INTO watched VALUES (?)", []any{"well"}, []any{"fail after"}, 1811},
	{"RAISE(ABORT) before", "INSERT INTO watched VALUES (?)", []any{"well"}, []any{"abort before"}, 1811},
	{"RAISE(ABORT) after", "INSERT INTO watched VALUES (?)", []any{"well"}, []any{"abort after"}, 1811},
	{"RAISE(ROLLBACK) before", "INSERT INTO watched VALUES (?)", []any{"well"}, []any{"rollback before"}, 1811},
	{"RAISE(ROLLBACK) after", "INSERT INTO watched VALUES (?)", []any{"well"}, []any{"rollback after"}, 1811},
	{"a step of a trigger", "INSERT INTO watched VALUES (?)", []any{"well"}, []any{"step"}, 2067},
	{"a step of a trigger with OR FAIL", "INSERT OR FAIL INTO watched VALUES (?)", []any{"well"}, []any{"step"}, 2067},
	{"RAISE(FAIL) within a step of a trigger", "INSERT INTO quiet VALUES (?)", []any{"well"}, []any{"fail"}, 1811},
	{"a foreign key", "INSERT INTO owned VALUES (?), (?)", []any{1, 1}, []any{1, 99}, 787},
	{"a foreign key that restricts", "DELETE FROM parent WHERE id = ?", []any{99}, []any{1}, 1811},
	{"a deferred foreign key", "INSERT INTO child VALUES (?, ?)", []any{1, nil}, []any{2, 99}, 787},
	{"a full database", "INSERT INTO heap VALUES (zeroblob(?))", []any{1}, []any{1_000_000}, 13},
	{"a wrong type", insert, []any{2}, []any{"x"}, 20},
	{"no SQL", "INSERT INTO", nil, nil, 1},
	{"VACUUM", "VACUUM", nil, nil, 1},
	{"a script", "INSERT INTO keyed VALUES (1); INSERT INTO keyed VALUES (1)", nil, nil, 2067},
}

func TestAStatementThatFailsLeavesNothingAndHarmsNobody(t *testing.T) {
	besideOthers(t) // for it takes long
	for _, bad := range badStatements {
		for at, send := range map[int]func(context.Context, *pool.Pool, string, ...any) error{0: sendRows, 2: send} { // first, and run by another member
			t.Run(bad.name, func(t *testing.T) {
				everywhere(t, fullSoon(), func(t *testing.T, p *pool.Pool) {
					run(t, p, writerTables)
					know(t, p, insert, 3)
					if bad.known != nil && bad.query != insert {
						know(t, p, bad.query, bad.known...)
					}
					before := get(t, p, leftovers)
					var queue []func()
					for i := range 4 {
						queue = append(queue, sends(t, p, insert, 100+i))
					}
					queue[at] = func() {
						err := send(t.Context(), p, bad.query, bad.args...)
						code, _ := pool.Code(err)
						assert.Equal(t, bad.code, code, "%v", err)
					}
					lineUp(t, p, queue...)
					require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
					require.Equal(t, before, get(t, p, leftovers))
					requireAtRest(t, p)
				})
			})
		}
	}
}

func TestAStatementThatResolvesItsConflictsIsNoFault(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, writerTables+`
			CREATE TRIGGER ignore BEFORE INSERT ON watched WHEN new.k = 'ignore' BEGIN SELECT RAISE(IGNORE); END;
			CREATE TABLE kin (p REFERENCES parent ON DELETE CASCADE);
			INSERT INTO parent VALUES (2);
			INSERT INTO kin VALUES (2), (2);`)
		queue := []func(){sends(t, p, insert, 100)}
		for _, c := range []struct {
			query string
			args  []any
			rows  int64
		}{
			{"INSERT OR IGNORE INTO n VALUES (?, 0)", []any{1}, 0},
			{"INSERT OR REPLACE INTO n VALUES (?, 5)", []any{1}, 1},
			{"INSERT INTO n VALUES (?, 0) ON CONFLICT DO UPDATE SET v = v + 1", []any{1}, 1},
			{"INSERT INTO watched VALUES (?)", []any{"ignore"}, 0},
			{"DELETE FROM parent WHERE id = ?", []any{2}, 1},
		} {
			none := []any{1000}
			know(t, p, c.query, none...)
			queue = append(queue, func() {
				result, err := p.Writer().ExecContext(t.Context(), c.query, c.args...)
				if assert.NoError(t, err) {
					rows, _ := result.RowsAffected()
					assert.Equal(t, c.rows, rows, c.query)
				}
			})
		}
		before := p.Stats().Batches
		lineUp(t, p, queue...)
		require.EqualValues(t, 1, p.Stats().Batches-before)
		require.Zero(t, p.Stats().Retries)
		require.EqualValues(t, 6, get(t, p, "SELECT v FROM n WHERE id = 1"))
		require.Zero(t, get(t, p, "SELECT count(*) FROM kin"))
		require.Zero(t, get(t, p, "SELECT count(*) FROM traced WHERE k = 'ignore'"))
		requireAtRest(t, p)
	})
}

func TestAStatementThatFailsIsToldSoAtOnce(t *testing.T) {
	p := open(t, pool.Config{})
	know(t, p, insert, 2)
	before := p.Stats()
	told := make(chan struct{})
	lineUp(t, p, sends(t, p, insert, 100), func() {
		assert.Equal(t, dberr.ErrDuplicate, dberr.Kind(send(t.Context(), p, insert, 1)))
		close(told)
	}, func() {
		assert.NoError(t, p.Batch(t.Context(), func(context.Context, *pool.Tx) error {
			<-told // while the transaction is open
			return nil
		}))
	}, sends(t, p, insert, 101))
	after := p.Stats()
	require.EqualValues(t, 1, after.Batches-before.Batches, "it did not end the others' transaction")
	require.EqualValues(t, 3, after.BatchMembers-before.BatchMembers)
	require.Zero(t, after.Retries)
}

func TestAnUnmetDeferredForeignKeyHasTheOthersRunAgainOnce(t *testing.T) {
	p := open(t, pool.Config{})
	const owe = "INSERT INTO child VALUES (?, ?)"
	know(t, p, insert, 2)
	know(t, p, owe, 1, nil)
	before := p.Stats()
	lineUp(t, p, func() {
		rows, err := p.Writer().QueryContext(t.Context(), insert+" RETURNING id", 100)
		if assert.NoError(t, err) {
			assert.True(t, rows.Next())
			assert.False(t, rows.Next(), "the rows of one run, not of both")
			assert.NoError(t, rows.Close())
		}
	}, func() {
		assert.Equal(t, dberr.ErrForeignKey, dberr.Kind(send(t.Context(), p, owe, 2, 99)))
	}, sends(t, p, insert, 101))
	after := p.Stats()
	require.EqualValues(t, 2, after.Retries-before.Retries, "the debt is found at once, not by the commit")
	require.EqualValues(t, 2, after.BatchMembers-before.BatchMembers)
	require.EqualValues(t, 2, after.Batches-before.Batches, "each in one of its own")
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM child"))
	requireAtRest(t, p)
}

func TestAFunctionThatPanicsOrExitsDoesSoInItsOwnMember(t *testing.T) {
	const leaving = "INSERT INTO n SELECT id + 1000, leave(id, ?) FROM n WHERE id <= 4"
	for _, how := range []string{"panic", "exit"} {
		for at := range 3 {
			everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
				know(t, p, insert, 2)
				know(t, p, leaving, "not at all") // there is no third row yet
				run(t, p, "DELETE FROM n WHERE id > 1000; INSERT INTO n VALUES (3, 0), (4, 0)")
				requireOneLeaves(t, p, how, at, leaving, how)
				require.Zero(t, get(t, p, "SELECT count(*) FROM n WHERE id > 1000"))
			})
		}
	}
}

// requireOneLeaves lines up members of which one's statement panics or exits.
func requireOneLeaves(t *testing.T, p *pool.Pool, how string, at int, query string, args ...any) {
	t.Helper()
	var returned [5]atomic.Bool
	var recovered [5]any
	var queue []func()
	for i := range returned {
		queue = append(queue, func() {
			query, args := query, args
			if i != at {
				query, args = insert, []any{100 + i}
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				defer func() { recovered[i] = recover() }()
				assert.NoError(t, send(t.Context(), p, query, args...))
				returned[i].Store(true)
			})
			wg.Wait()
		})
	}
	lineUp(t, p, queue...)
	for i := range returned {
		require.Equal(t, i != at, returned[i].Load(), "member %d", i)
		if i == at && how == "panic" {
			require.Equal(t, "ours", recovered[i])
		} else {
			require.Nil(t, recovered[i], "member %d", i)
		}
	}
	require.EqualValues(t, len(returned)-1, get(t, p, "SELECT count(*) FROM n WHERE id BETWEEN 100 AND 200"))
	requireAtRest(t, p)
}

func TestACollationThatPanicsDoesSoInItsOwnMember(t *testing.T) {
	for at := range 3 {
		everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
			run(t, p, texts)
			know(t, p, insert, 2)
			know(t, p, insertTexts, "known")
			signals.Store(t.Name(), func() { panic("ours") })
			t.Cleanup(func() { signals.Delete(t.Name()) })
			requireOneLeaves(t, p, "panic", at, insertTexts, t.Name())
			require.Zero(t, get(t, p, "SELECT count(*) FROM texts WHERE s LIKE 'Test%'"))
		})
	}
}

func TestACollationThatExitsKeepsNobodyWaiting(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, texts)
		know(t, p, insert, 2)
		know(t, p, insertTexts, "known")
		signals.Store(t.Name(), runtime.Goexit)
		t.Cleanup(func() { signals.Delete(t.Name()) })
		in := func(f func()) func() {
			return func() {
				var wg sync.WaitGroup
				wg.Go(f)
				wg.Wait()
			}
		}
		lineUp(t, p, in(func() { _ = send(t.Context(), p, insert, 99) }), // it may have to exit with the next one
			sends(t, p, insert, 100),
			in(func() {
				_ = send(t.Context(), p, insertTexts, t.Name())
				t.Error("it returned")
			}),
			sends(t, p, insert, 101), sends(t, p, insert, 102))
		require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
		require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM texts"))
		requireAtRest(t, p)
	})
}

// overtaken is a context that has ended, but whose Done has not told yet.
type overtaken struct{ context.Context }

func (overtaken) Done() <-chan struct{} { return make(chan struct{}) }

func TestAStatementCancelledInTheQueueOrAtItsTurnDoesNotRun(t *testing.T) {
	for _, known := range []bool{true, false} {
		p := open(t, pool.Config{})
		know(t, p, insert, 2)
		query := insert
		if !known {
			query += " -- not known"
		}
		before := p.Stats()
		over, end := context.WithCancel(t.Context())
		end()
		require.ErrorIs(t, send(over, p, insert, 99), context.Canceled, "it does not even queue")

		queued, cancel := context.WithCancel(t.Context())
		late, cancelLate := context.WithCancel(t.Context())
		left := make(chan struct{})
		gate, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for i, f := range []func(){
			sends(t, p, insert, 100),
			func() {
				defer close(left)
				assert.ErrorIs(t, send(queued, p, query, 101), context.Canceled)
			},
			func() {
				err := send(overtaken{late}, p, query, 102)
				assert.ErrorIs(t, err, context.Canceled)
				_, ours := errors.AsType[*pool.Error](err)
				assert.True(t, ours, "%T", err)
			},
			sends(t, p, insert, 103),
		} {
			wg.Go(f)
			waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == i+1 })
		}
		cancel()
		<-left
		require.Equal(t, 3, p.Stats().WriteQueue)
		cancelLate()
		require.NoError(t, gate.Rollback(t.Context()))
		wg.Wait()
		after := p.Stats()
		require.EqualValues(t, 1, after.Batches-before.Batches)
		require.EqualValues(t, 2, after.BatchMembers-before.BatchMembers)
		require.Zero(t, after.Retries)
		require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE id IN (100, 103)"))
		require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE id >= 99"))
		requireAtRest(t, p)
	}
}

func TestAStatementThatIsCancelledWhileItRunsForAnotherMemberGoesOn(t *testing.T) {
	const three = "INSERT INTO texts VALUES (?), (?), (?)"
	for name, c := range map[string]struct {
		query string
		send  func(context.Context, *pool.Pool, string, ...any) error
		err   error
		kept  int64
	}{
		"":          {three, send, nil, 3},
		" for rows": {three + " RETURNING s", sendRows, context.Canceled, 0}, // they are not read any more
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, pool.Config{})
			run(t, p, texts)
			know(t, p, insert, 2)
			know(t, p, c.query, "k", "l", "m")
			ctx, cancel := context.WithCancel(t.Context())
			text := onSignal(t, func() {
				cancel()
				beLooked(t, p)
			})
			lineUp(t, p, sends(t, p, insert, 100), func() {
				assert.ErrorIs(t, c.send(ctx, p, c.query, text, "x", "y"), c.err)
			}, sends(t, p, insert, 101))
			require.Error(t, ctx.Err())
			require.EqualValues(t, 4+c.kept, get(t, p, "SELECT count(*) FROM texts"))
			require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
			if c.err == nil {
				require.Zero(t, p.Stats().Retries, "an interrupted write would have taken the transaction along")
			}
			requireAtRest(t, p)
		})
	}
}

func TestAStatementThatSucceededWaitsForTheCommitThoughItsContextEnds(t *testing.T) {
	p := open(t, pool.Config{})
	know(t, p, insert, 2)
	ctx, cancel := context.WithCancel(t.Context())
	lineUp(t, p, sends(t, p, insert, 100), func() {
		assert.NoError(t, send(ctx, p, insert, 101))
	}, func() {
		assert.NoError(t, p.Batch(t.Context(), func(context.Context, *pool.Tx) error { cancel(); return nil }))
	})
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
	requireAtRest(t, p)
}

func TestAWriterWaitsNoLongerThanItMay(t *testing.T) {
	p := open(t, pool.Config{AcquireTimeout: 10 * time.Millisecond, MaxWaiters: 1})
	gate, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	err = send(t.Context(), p, insert, 2)
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.ErrorContains(t, err, "TestAWriterWaitsNoLongerThanItMay", "who holds the lane")
	require.NoError(t, gate.Rollback(t.Context()))

	q := open(t, pool.Config{MaxWaiters: 1})
	gate, err = q.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(sends(t, q, insert, 2))
	waitFor(t, "it queues", func() bool { return q.Stats().WriteQueue == 1 })
	require.ErrorIs(t, send(t.Context(), q, insert, 3), pool.ErrOverloaded)
	require.NoError(t, gate.Rollback(t.Context()))
	wg.Wait()
	require.EqualValues(t, 1, q.Stats().Overloads)
	requireAtRest(t, p)
	requireAtRest(t, q)
}

func TestAWriterJoinsTheTransactionOfItsContext(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		w := p.Writer()
		require.Same(t, errOurs, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			assert.NoError(t, send(ctx, p, insert, 2))
			var id int64
			assert.NoError(t, w.QueryRowContext(ctx, insert+" RETURNING id", 3).Scan(&id))
			assert.EqualValues(t, 3, id)
			assert.NoError(t, sendRows(ctx, p, insert+" RETURNING id", 4))
			n, err := number(ctx, tx, "SELECT count(*) FROM n")
			assert.NoError(t, err)
			assert.EqualValues(t, 4, n)
			return errOurs
		}))
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
		require.NoError(t, p.View(t.Context(), func(ctx context.Context, _ *pool.Tx) error {
			assert.ErrorIs(t, send(ctx, p, insert, 2), pool.ErrReadOnly)
			return nil
		}))
		require.Zero(t, p.Stats().Batches)
		requireAtRest(t, p)
	})
}

func TestAStatementNeverOvertakesWhoCameBefore(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		const note = "INSERT INTO heap VALUES (?)"
		know(t, p, note, "")
		before := p.Stats().Batches
		statement := func(name string) func() { return sends(t, p, note, name) }
		batch := func(name string) func() {
			return func() { assert.NoError(t, p.Batch(t.Context(), doing(note, name))) }
		}
		inTx := func(name string) func() {
			return func() { assert.NoError(t, p.InTx(t.Context(), pool.Immediate, doing(note, name))) }
		}
		lineUp(t, p, statement("a"), statement("b"), batch("c"), statement("d"), inTx("e"), statement("f"), inTx("g"), batch("h"), statement("i"), statement("j"))
		order, err := readRows(t.Context(), acquireForTest(t, p), "SELECT group_concat(b, '') FROM (SELECT b FROM heap ORDER BY rowid)")
		require.NoError(t, err)
		require.Equal(t, []string{"abcdefghij"}, order)
		require.EqualValues(t, 3, p.Stats().Batches-before)
	})
}

// acquireForTest is acquire for the length of a test.
func acquireForTest(t *testing.T, p *pool.Pool) *pool.Lease {
	t.Helper()
	l := acquire(t, p)
	t.Cleanup(l.Release)
	return l
}

func TestAStatementThatChangesItsConnectionEndsTheBatch(t *testing.T) {
	for name, query := range map[string]string{
		"PRAGMA": "PRAGMA cache_size = 50", "TEMP": "CREATE TEMP TABLE n (id)", "ATTACH": "ATTACH ':memory:' AS aside",
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, pool.Config{})
			know(t, p, insert, 2)
			before := p.Stats().Dirty
			lineUp(t, p, sends(t, p, insert, 100), sends(t, p, query), sends(t, p, insert, 101))
			waitFor(t, "its connection is replaced", func() bool { return p.Stats().Dirty == before+1 })
			require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
			require.ErrorContains(t, send(t.Context(), p, "INSERT INTO aside.n VALUES (1)"), "no such table")
			requireAtRest(t, p)
		})
	}
}

func TestDeferringForeignKeysDoesNotOutliveTheStatement(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, "CREATE TABLE owned (p REFERENCES parent)")
	const own = "INSERT INTO owned VALUES (?)"
	know(t, p, own, nil)
	lineUp(t, p, sends(t, p, "PRAGMA defer_foreign_keys = on"), func() {
		assert.Equal(t, dberr.ErrForeignKey, dberr.Kind(send(t.Context(), p, own, 99)))
	}, sends(t, p, insert, 100))
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n WHERE id = 100"))
	requireAtRest(t, p)
}

func TestTransactionControlIsRefused(t *testing.T) {
	p := open(t, pool.Config{})
	know(t, p, insert, 2)
	before := p.Stats().Batches
	queue := []func(){sends(t, p, insert, 100)}
	for _, query := range []string{"COMMIT", "BEGIN", "ROLLBACK", "SAVEPOINT s", "RELEASE s", "END"} {
		queue = append(queue, func() { assert.ErrorIs(t, send(t.Context(), p, query), pool.ErrTxControl, query) })
	}
	lineUp(t, p, append(queue, sends(t, p, insert, 101))...)
	require.EqualValues(t, 1, p.Stats().Batches-before)
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
	requireAtRest(t, p)
}

func TestAKnownStatementFollowsTheSchema(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		const query = "INSERT INTO n (id) VALUES (?) RETURNING *"
		know(t, p, query, 2)
		columns := func(id int, want ...string) func() {
			return func() {
				rows, err := p.Writer().QueryContext(t.Context(), query, id)
				if assert.NoError(t, err) {
					got, _ := rows.Columns()
					assert.Equal(t, want, got)
					assert.NoError(t, rows.Close())
				}
			}
		}
		lineUp(t, p, columns(100, "id", "v"), sends(t, p, "ALTER TABLE n ADD COLUMN more DEFAULT 7"), columns(101, "id", "v", "more"),
			sends(t, p, "ALTER TABLE n DROP COLUMN more"), columns(102, "id", "v"), columns(103, "id", "v"))
		require.EqualValues(t, 4, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
		know(t, p, "DROP TABLE n")
		require.ErrorContains(t, sendRows(t.Context(), p, query, 104), "no such table")
		lineUp(t, p, sends(t, p, "CREATE TABLE n (id, v, w)"), columns(105, "id", "v", "w"))
	})
}

func TestStatementsWhoseCommitFailsRunAgainOnTheirOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: "delete", BusyTimeout: -1})
	know(t, p, insert, 2)
	other := startOther(t, path)
	other.do("BEGIN")
	other.do("SELECT v FROM n") // while it reads nobody commits
	before := p.Stats()
	fails := func(id int) func() {
		return func() { assert.ErrorIs(t, send(t.Context(), p, insert, id), pool.ErrBusy) }
	}
	lineUp(t, p, fails(100), fails(101), fails(102))
	require.EqualValues(t, 3, p.Stats().Retries-before.Retries)
	require.Equal(t, before.BatchMembers, p.Stats().BatchMembers)
	other.do("COMMIT")
	require.Zero(t, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
	lineUp(t, p, sends(t, p, insert, 100), sends(t, p, insert, 101))
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
	requireAtRest(t, p)
}

func TestAWriterDoesNotWriteToAFileThatWasMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, Logger: slog.New(new(logbook))})
	know(t, p, insert, 2)
	gate, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { assert.ErrorIs(t, send(t.Context(), p, insert, 100+i), pool.ErrMoved) })
	}
	waitFor(t, "they queue", func() bool { return p.Stats().WriteQueue == 3 })
	require.NoError(t, os.Rename(path, path+".away"))
	require.NoError(t, gate.Rollback(t.Context()))
	wg.Wait()
	require.NoFileExists(t, path)
	require.NoError(t, os.Rename(path+".away", path))
	require.Zero(t, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
}

func TestShutdownLetsTheBatchFinishAndTurnsAwayWhoWaits(t *testing.T) {
	everywhereAfterClose(t, func(t *testing.T, p *pool.Pool, again func() *pool.Pool) {
		run(t, p, texts)
		know(t, p, insert, 2)
		know(t, p, insertTexts, "known")
		var shut sync.WaitGroup
		text := onSignal(t, func() {
			shut.Go(func() { assert.NoError(t, p.Shutdown(context.WithoutCancel(t.Context()))) })
			waitFor(t, "nobody waits any more", func() bool { return p.Stats().WriteQueue == 0 })
		})
		turnedAway := func() { assert.ErrorIs(t, send(t.Context(), p, insert, 101), pool.ErrClosed) }
		lineUp(t, p, sends(t, p, insert, 100), sends(t, p, insertTexts, text), turnedAway, turnedAway)
		shut.Wait()
		turnedAway()
		p = again()
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
		require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM texts"))
	})
}

// everywhereAfterClose is a test that opens the database again.
func everywhereAfterClose(t *testing.T, test func(t *testing.T, p *pool.Pool, again func() *pool.Pool)) {
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			cfg := pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), JournalMode: pool.JournalMode(mode)}
			test(t, open(t, cfg), func() *pool.Pool {
				p, err := pool.Open(t.Context(), cfg)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, p.Close()) })
				return p
			})
		})
	}
}

func TestCloseInterruptsTheStatementThatRunsForAnotherMember(t *testing.T) {
	everywhereAfterClose(t, func(t *testing.T, p *pool.Pool, again func() *pool.Pool) {
		const counts = "INSERT INTO heap WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT ?) SELECT count(*) FROM c"
		know(t, p, insert, 2)
		know(t, p, counts, 1)
		fails := func(query string, arg int) func() {
			return func() { assert.ErrorIs(t, send(t.Context(), p, query, arg), pool.ErrClosed) }
		}
		gate, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for i, f := range []func(){fails(insert, 100), fails(counts, -1), fails(insert, 101)} {
			wg.Go(f)
			waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == i+1 })
		}
		require.NoError(t, gate.Rollback(t.Context()))
		waitFor(t, "the endless one is out of the queue", func() bool { return p.Stats().WriteQueue == 1 })
		require.NoError(t, p.Close())
		wg.Wait()
		requireClosed(t, p)
		p = again()
		require.Zero(t, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"))
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM heap"))
	})
}

func TestWhatAWriterSaysIsTrueWhateverElseGoesOn(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 3, HealthCheckInterval: time.Millisecond, MaxConnLifetime: 10 * time.Millisecond, StatementCacheSize: 12}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "CREATE TABLE kept (id INTEGER PRIMARY KEY, u UNIQUE)")
		const keep = "INSERT INTO kept VALUES (?, NULL)"
		ways := []func(ctx context.Context, id int) error{
			func(ctx context.Context, id int) error { return send(ctx, p, keep, id) },
			func(ctx context.Context, id int) error { return send(ctx, p, keep, id) },
			func(ctx context.Context, id int) error { return sendRows(ctx, p, keep+" RETURNING id", id) },
			func(ctx context.Context, id int) error { return p.Batch(ctx, doing(keep, id)) },
			func(ctx context.Context, id int) error { return p.InTx(ctx, pool.Immediate, doing(keep, id)) },
			func(ctx context.Context, id int) error { return send(ctx, p, keep+", (1, NULL), (1, NULL)", id) },
			func(ctx context.Context, id int) error {
				return send(ctx, p, "INSERT OR FAIL INTO kept VALUES (?, NULL), (1, NULL), (1, NULL)", id)
			},
			func(ctx context.Context, id int) error {
				return send(ctx, p, "INSERT OR ROLLBACK INTO kept VALUES (?, NULL), (1, NULL), (1, NULL)", id)
			},
			func(ctx context.Context, id int) error { return send(ctx, p, "INSERT INTO child VALUES (?, 99)", id) },
			func(context.Context, int) error { p.Reset(); return errOurs },
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		said := map[string]bool{}
		for g := range 12 {
			wg.Go(func() {
				for i := range 30 {
					id := 1000 + g*100 + i
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if rand.IntN(3) == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(2000))*time.Microsecond)
					}
					if ways[rand.IntN(len(ways))](ctx, id) == nil {
						mu.Lock()
						said[fmt.Sprint(id)] = true
						mu.Unlock()
					}
					cancel()
				}
			})
		}
		wg.Wait()
		l := acquire(t, p)
		rows, err := readRows(t.Context(), l, "SELECT id FROM kept")
		l.Release()
		require.NoError(t, err)
		there := map[string]bool{}
		for _, id := range rows {
			there[id] = true
		}
		require.Equal(t, said, there)
		require.Zero(t, get(t, p, "SELECT count(*) FROM child"))
		s := p.Stats()
		require.LessOrEqual(t, s.Batches, s.BatchMembers)
		requireAtRest(t, p)
	})
}
