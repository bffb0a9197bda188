package pool_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// watched is a loop of Watch in a goroutine of its own. Each run is told to the test,
// and the loop's body waits until it has heard.
type watched struct {
	t     *testing.T
	heard chan heard
	done  chan struct{}
	stop  context.CancelFunc
	runs  atomic.Int64 // of the function
}

type heard struct {
	value string
	err   error
}

// watching begins a loop that reads a query's only column, of one row.
func watching(t *testing.T, p *pool.Pool, query string, args ...any) *watched {
	t.Helper()
	var value string
	return watchingBy(t, p, &value, func(ctx context.Context, tx *pool.Tx) error {
		return tx.QueryRow(ctx, query, args...).Scan(&value)
	})
}

// watchingBy begins a loop whose function leaves what it reads in value.
func watchingBy(t *testing.T, p *pool.Pool, value *string, fn func(context.Context, *pool.Tx) error) *watched {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &watched{t: t, heard: make(chan heard), done: make(chan struct{}), stop: stop}
	go func() {
		defer close(w.done)
		for err := range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
			w.runs.Add(1)
			return fn(ctx, tx)
		}) {
			select {
			case w.heard <- heard{*value, err}:
			case <-ctx.Done():
			}
		}
		close(w.heard)
	}()
	t.Cleanup(w.end)
	return w
}

func (w *watched) end() {
	w.stop()
	for range w.heard {
	}
	<-w.done
}

// next waits for the next run, and returns what it read.
func (w *watched) next() string {
	w.t.Helper()
	h := <-w.heard
	require.NoError(w.t, h.err)
	return h.value
}

// fails waits for the next run, which is to fail.
func (w *watched) fails() error {
	w.t.Helper()
	h, ok := <-w.heard
	require.True(w.t, ok)
	require.Error(w.t, h.err)
	return h.err
}

// until waits for the run that reads what is wanted.
func (w *watched) until(want string) {
	w.t.Helper()
	for w.next() != want {
		continue
	}
}

// expect hears what is wanted, and sees that the function ran no more often than that.
func (w *watched) expect(want ...string) {
	w.t.Helper()
	for _, value := range want {
		before := w.runs.Load()
		require.Equal(w.t, value, w.next())
		require.LessOrEqual(w.t, w.runs.Load(), before+1)
	}
}

// writing are all the ways in which something can be committed.
func writing(t *testing.T, p *pool.Pool) map[string]func(query string, args ...any) {
	ctx := t.Context()
	ok := func(err error) { require.NoError(t, err) }
	return map[string]func(query string, args ...any){
		"InTx":      func(q string, a ...any) { ok(p.InTx(ctx, pool.Immediate, doing(q, a...))) },
		"exclusive": func(q string, a ...any) { ok(p.InTx(ctx, pool.Exclusive, doing(q, a...))) },
		"deferred":  func(q string, a ...any) { ok(p.InTx(ctx, pool.Deferred, doing(q, a...))) },
		"Batch":     func(q string, a ...any) { ok(p.Batch(ctx, doing(q, a...))) },
		"Writer":    func(q string, a ...any) { ok(send(ctx, p, q, a...)) },
		"rows":      func(q string, a ...any) { ok(sendRows(ctx, p, q+" RETURNING 1", a...)) },
		"Lease":     func(q string, a ...any) { run(t, p, q, a...) },
		"a script":  func(q string, a ...any) { run(t, p, q+"; SELECT 1", a...) },
		"savepoint": func(q string, a ...any) {
			ok(p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error { return tx.Savepoint(ctx, doing(q, a...)) }))
		},
		"read first": func(q string, a ...any) {
			ok(p.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
				if _, err := number(ctx, tx, "SELECT v FROM n"); err != nil {
					return err
				}
				return do(ctx, tx, q, a...)
			}))
		},
		"a lease's rows": func(q string, a ...any) {
			l := acquire(t, p)
			defer l.Release()
			rows, err := l.Query(ctx, q+" RETURNING 1", a...)
			ok(err)
			require.True(t, rows.Next())
			ok(rows.Close())
		},
		"Begin": func(q string, a ...any) {
			tx, err := p.Begin(ctx, pool.Immediate)
			ok(err)
			ok(do(ctx, tx, q, a...))
			ok(tx.Commit(ctx))
		},
		"DB": func(q string, a ...any) { _, err := p.DB().ExecContext(ctx, q, a...); ok(err) },
		"DB's transaction": func(q string, a ...any) {
			tx, err := p.DB().BeginTx(ctx, nil)
			ok(err)
			ok(do(ctx, tx, q, a...))
			ok(tx.Commit())
		},
		"text": func(q string, a ...any) {
			c, err := p.DB().Conn(ctx)
			ok(err)
			for _, before := range []string{"BEGIN", "SAVEPOINT One"} {
				_, err = c.ExecContext(ctx, before)
				ok(err)
			}
			_, err = c.ExecContext(ctx, q, a...)
			ok(err)
			for _, after := range []string{"RELEASE one", "COMMIT"} {
				_, err = c.ExecContext(ctx, after)
				ok(err)
			}
			ok(c.Close())
		},
		"a savepoint's release": func(q string, a ...any) {
			c, err := p.DB().Conn(ctx)
			ok(err)
			_, err = c.ExecContext(ctx, "SAVEPOINT a")
			ok(err)
			_, err = c.ExecContext(ctx, q, a...)
			ok(err)
			_, err = c.ExecContext(ctx, "RELEASE a")
			ok(err)
			ok(c.Close())
		},
	}
}

func TestAWatchRunsAtOnceAndAfterACommitOfEveryKind(t *testing.T) {
	for _, conns := range []int{1, 4} {
		everywhere(t, pool.Config{MaxConns: conns, WatchInterval: time.Millisecond}, func(t *testing.T, p *pool.Pool) {
			w := watching(t, p, "SELECT count(*) FROM N")
			still := watching(t, p, "SELECT count(*) FROM parent")
			w.expect("1")
			still.expect("0")
			n := 1
			for way, write := range writing(t, p) {
				n++
				write(insert, n)
				require.Equal(t, fmt.Sprint(n), w.next(), way)
			}
			require.EqualValues(t, n, w.runs.Load())
			require.EqualValues(t, 1, still.runs.Load(), "no commit of the pool's was taken for another process's")
		})
	}
}

func TestWhatChangesNothingOrIsUndoneIsAnnouncedToNobody(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		w := watching(t, p, "SELECT count(*) FROM n")
		w.expect("1")
		before := pool.Announced(p)
		for _, q := range []string{
			"UPDATE n SET v = 2 WHERE id = 99", "DELETE FROM heap", "INSERT INTO n VALUES (1, 1) ON CONFLICT DO NOTHING",
			"INSERT OR IGNORE INTO n VALUES (1, 1)", "CREATE TABLE IF NOT EXISTS n (a)",
			"DROP TABLE IF EXISTS absent", "PRAGMA user_version = 3", "SELECT 1", "CREATE TEMP TABLE own (a)",
			"CREATE TEMP TABLE own (a); INSERT INTO own VALUES (1); DROP TABLE own",
		} {
			run(t, p, q)
		}
		require.Equal(t, before, pool.Announced(p))
		undone := func(ctx context.Context, tx *pool.Tx) error {
			require.NoError(t, do(ctx, tx, insert, 50))
			require.NoError(t, do(ctx, tx, "CREATE TABLE fresh (a)"))
			return errOurs
		}
		require.Same(t, errOurs, p.InTx(ctx, pool.Immediate, undone))
		require.Same(t, errOurs, p.Batch(ctx, undone))
		require.NoError(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			require.Same(t, errOurs, tx.Savepoint(ctx, func(ctx context.Context, tx *pool.Tx) error {
				require.NoError(t, tx.Savepoint(ctx, doing(insert, 51)))
				return undone(ctx, tx)
			}))
			return nil
		}))
		require.ErrorIs(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			require.NoError(t, do(ctx, tx, insert, 52))
			require.Error(t, do(ctx, tx, "INSERT INTO n (v) VALUES (-13)"))
			return nil
		}), pool.ErrTxLost)
		require.Error(t, p.InTx(ctx, pool.Immediate, doing("INSERT INTO child (parent) VALUES (7)")))
		require.Error(t, send(ctx, p, "INSERT INTO n VALUES (53, 0), (1, 0)"))
		c, err := p.DB().Conn(ctx)
		require.NoError(t, err)
		for _, q := range []string{"BEGIN", "INSERT INTO n VALUES (54, 0)", "SAVEPOINT a", "INSERT INTO n VALUES (55, 0)", "ROLLBACK TO A", "RELEASE a", "ROLLBACK"} {
			_, err := c.ExecContext(ctx, q)
			require.NoError(t, err)
		}
		require.NoError(t, c.Close())
		tx, err := p.Begin(ctx, pool.Immediate)
		require.NoError(t, err)
		require.NoError(t, do(ctx, tx, insert, 56))
		require.NoError(t, tx.Rollback(ctx))
		require.Equal(t, before, pool.Announced(p))
		run(t, p, insert, 57)
		w.expect("2")
	})
}

func TestAStatementThatFailsAndKeepsWhatItDidIsAnnounced(t *testing.T) {
	p := open(t, pool.Config{})
	w := watching(t, p, "SELECT count(*) FROM n")
	w.expect("1")
	l := acquire(t, p)
	require.Error(t, do(t.Context(), l, "INSERT OR FAIL INTO n VALUES (2, 0), (1, 0)"))
	l.Release()
	w.expect("2")
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		require.Error(t, do(ctx, tx, "INSERT OR FAIL INTO n VALUES (3, 0), (1, 0)"))
		return nil
	}))
	w.expect("3")
}

const waysToRead = `
CREATE TABLE base (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE keyed (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE owner (id INTEGER PRIMARY KEY);
CREATE TABLE owned (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner ON DELETE CASCADE ON UPDATE SET NULL);
CREATE TABLE fired (v);
CREATE TABLE byview (v);
CREATE TABLE content (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE plain (v);
CREATE VIEW seen AS SELECT v FROM base;
CREATE VIEW deep AS SELECT * FROM seen JOIN keyed USING (v);
CREATE VIEW written AS SELECT v FROM byview;
CREATE TRIGGER fires AFTER INSERT ON base WHEN new.v = 'fire' BEGIN INSERT INTO fired VALUES (new.v); END;
CREATE TRIGGER writes INSTEAD OF INSERT ON written BEGIN INSERT INTO byview VALUES (new.v); END;
CREATE VIRTUAL TABLE docs USING fts5(title, content);
CREATE VIRTUAL TABLE indexed USING fts5(v, content = 'content', content_rowid = 'id');
CREATE VIRTUAL TABLE boxes USING rtree(id, low, high);
INSERT INTO owner VALUES (1), (2);
INSERT INTO owned VALUES (1, 1), (2, 2);
INSERT INTO base VALUES (1, 'a');
`

// TestEveryWayToReadIsWokenByEveryWayToChange has loops that read in every way, and
// lets each change that concerns one follow one that does not.
func TestEveryWayToReadIsWokenByEveryWayToChange(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, waysToRead)
		for _, c := range []struct{ read, change string }{
			{"SELECT count(*) FROM bAsE", "INSERT INTO base (v) VALUES ('b')"},
			{"SELECT group_concat(v) FROM seen", "UPDATE base SET v = v || 'c' WHERE id = 1"},
			{"SELECT count(*) FROM deep", "INSERT INTO keyed VALUES ('k', (SELECT v FROM base WHERE id = 1))"},
			{"SELECT count(*) FROM deep", "UPDATE base SET v = 'x'"},
			{"SELECT count(*) FROM keyed", "REPLACE INTO keyed VALUES ('l', 1)"},
			{"SELECT ifnull(sum(v), 0) FROM keyed", "INSERT INTO keyed VALUES ('l', 1) ON CONFLICT DO UPDATE SET v = v + 1"},
			{"SELECT count(*) FROM keyed", "DELETE FROM keyed"},
			{"SELECT count(*) FROM owned", "DELETE FROM owner WHERE id = 1"},
			{"SELECT count(owner) FROM owned", "UPDATE owner SET id = 9 WHERE id = 2"},
			{"SELECT count(*) FROM fired", "INSERT INTO base (v) VALUES ('fire')"},
			{"SELECT count(*) FROM byview", "INSERT INTO written VALUES (1)"},
			{"SELECT count(*) FROM base", "DELETE FROM base"},
			{"WITH RECURSIVE c(i) AS (SELECT count(*) FROM plain UNION ALL SELECT i + 100 FROM c WHERE i < 100) SELECT max(i) FROM c", "INSERT INTO plain VALUES (1)"},
			{"SELECT (SELECT count(*) FROM plain WHERE EXISTS (SELECT 1 FROM plain))", "INSERT INTO plain VALUES (2)"},
			{"SELECT count(*) FROM json_each((SELECT json_group_array(v) FROM plain))", "INSERT INTO plain VALUES (3)"},
			{"SELECT count(*) FROM docs('text')", "INSERT INTO docs VALUES ('a', 'some text')"},
			{"SELECT count(*) FROM docs_content", "INSERT INTO docs VALUES ('b', 'more text')"},
			{"SELECT count(*) FROM docs", "DELETE FROM docs WHERE rowid = 1"},
			{"SELECT ifnull(group_concat(v), 0) FROM indexed", "INSERT INTO content VALUES (1, 'x')"},
			{"SELECT count(*) FROM boxes WHERE low > 0", "INSERT INTO boxes VALUES (1, 2, 3)"},
			{"SELECT count(*) FROM pragma_foreign_key_check", "PRAGMA foreign_keys = off; INSERT INTO owned VALUES (7, 77)"},
			{"SELECT count(*) FROM sqlite_schema", "CREATE TABLE made (a)"},
			{"SELECT count(*) FROM pragma_table_info('made')", "ALTER TABLE made ADD COLUMN b"},
			{"SELECT count(*) FROM made", "INSERT INTO made VALUES (1, 2)"},
		} {
			t.Run(c.change, func(t *testing.T) {
				w := watching(t, p, c.read)
				before := w.next()
				run(t, p, "INSERT INTO heap VALUES (1)")
				run(t, p, c.change)
				for w.next() == before { // what reads any table hears of heap too
					continue
				}
			})
		}
	})
}

func TestAnotherTablesCommitRunsNothing(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, waysToRead)
	quiet := map[string]*watched{}
	for _, q := range []string{
		"SELECT count(*) FROM base", "SELECT count(*) FROM deep", "SELECT count(*) FROM docs('text')", "SELECT count(*) FROM docs",
		"SELECT count(*) FROM boxes", "SELECT count(*) FROM json_each('[1]')", "SELECT 1", "SELECT count(*) FROM sqlite_schema",
		"WITH fts5 AS (SELECT 1) SELECT count(*) FROM pragma_table_info('base')",
	} {
		quiet[q] = watching(t, p, q)
		quiet[q].next()
	}
	any := watching(t, p, "SELECT count(*) FROM indexed")
	any.next()
	w := watching(t, p, "SELECT count(*) FROM heap")
	w.expect("0")
	for i := range 20 {
		run(t, p, "INSERT INTO heap VALUES (1)")
		w.expect(fmt.Sprint(i + 1))
		any.next()
	}
	for q, watch := range quiet {
		require.EqualValues(t, 1, watch.runs.Load(), q)
	}
	run(t, p, "CREATE TABLE another (a)") // concerns everybody
	for _, watch := range quiet {
		watch.next()
	}
}

func TestTheSchemaVacuumAndTheRawConnectionConcernEverybody(t *testing.T) {
	p := open(t, pool.Config{})
	w := watching(t, p, "SELECT 'constant'")
	w.next()
	for _, q := range []string{"CREATE TABLE x (a)", "CREATE INDEX y ON x (a)", "ALTER TABLE x RENAME TO z", "ANALYZE", "VACUUM", "DROP TABLE z"} {
		run(t, p, q)
		w.expect("constant")
	}
	before := pool.Announced(p)
	raw := func(query string) {
		l := acquire(t, p)
		defer l.Release()
		require.NoError(t, l.Raw(t.Context(), func(conn driver.Conn) error {
			_, err := conn.(driver.ExecerContext).ExecContext(t.Context(), query, nil)
			return err
		}))
	}
	raw("SELECT 1")
	require.Equal(t, before, pool.Announced(p), "nothing was written")
	raw("INSERT INTO heap VALUES (1)")
	w.expect("constant")
	require.Equal(t, before+1, pool.Announced(p))
}

func TestWhatCameWhileTheBodyRanIsOneRun(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		w := watching(t, p, "SELECT count(*) FROM n")
		w.expect("1") // the loop runs again and waits at its next yield, at most
		for i := range 100 {
			run(t, p, insert, i+2)
		}
		w.until("101")
		require.LessOrEqual(t, w.runs.Load(), int64(3))
		before := w.runs.Load()
		run(t, p, insert, 200)
		w.expect("102")
		require.Equal(t, before+1, w.runs.Load())
	})
}

func TestACommitThatComesWhileTheFunctionRunsIsNotMissed(t *testing.T) {
	p := open(t, pool.Config{})
	var value string
	began, goOn := make(chan struct{}), make(chan struct{})
	w := watchingBy(t, p, &value, func(ctx context.Context, tx *pool.Tx) error {
		err := tx.QueryRow(ctx, "SELECT count(*) FROM n").Scan(&value)
		began <- struct{}{}
		<-goOn
		return err
	})
	<-began
	run(t, p, insert, 2)
	goOn <- struct{}{}
	w.expect("1")
	<-began
	goOn <- struct{}{}
	w.expect("2")
}

// openWhenTheWatchBegins commits a transaction that was open when two began to watch: one
// what it changes, and one something else.
func openWhenTheWatchBegins(t *testing.T, cfg pool.Config) (w, still *watched) {
	p := open(t, cfg)
	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), tx, insert, 2))
	w = watching(t, p, "SELECT count(*) FROM n")
	still = watching(t, p, "SELECT count(*) FROM heap")
	w.expect("1")
	still.expect("0")
	require.NoError(t, tx.Commit(t.Context()))
	w.until("2")
	run(t, p, "INSERT INTO heap VALUES (1)")
	still.until("1")
	return w, still
}

func TestATransactionThatWasOpenWhenTheWatchBeganIsNotMissed(t *testing.T) {
	w, still := openWhenTheWatchBegins(t, pool.Config{WatchInterval: -1})
	require.EqualValues(t, 2, still.runs.Load())
	require.EqualValues(t, 2, w.runs.Load())
}

func TestATransactionThatWasOpenWhenTheWatchBeganIsOneMoreRunAtMost(t *testing.T) {
	// Whether it was another process's commit cannot be told if somebody has the
	// connection just then.
	w, still := openWhenTheWatchBegins(t, pool.Config{})
	require.LessOrEqual(t, still.runs.Load(), int64(3))
	require.LessOrEqual(t, w.runs.Load(), int64(3))
}

func TestABatchThatRanTwiceIsOneRunOfWhoWatches(t *testing.T) {
	p := open(t, pool.Config{})
	w := watching(t, p, "SELECT count(*) FROM n")
	still := watching(t, p, "SELECT count(*) FROM heap")
	w.expect("1")
	still.expect("0")
	runs := 0
	lineUp(t, p, func() {
		require.NoError(t, p.Batch(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			if runs++; runs == 1 {
				if err := do(ctx, tx, "INSERT INTO heap VALUES (1)"); err != nil {
					return err
				}
			}
			return do(ctx, tx, insert, 70)
		}))
	}, func() {
		require.Error(t, p.Batch(t.Context(), doing("INSERT INTO n (v) VALUES (-13)")))
	})
	require.Equal(t, 2, runs)
	w.expect("2")
	run(t, p, insert, 71)
	w.expect("3")
	require.EqualValues(t, 1, still.runs.Load())
}

func TestAnErrorOfTheFunctionEndsNothing(t *testing.T) {
	p := open(t, pool.Config{})
	var value string
	fail := errOurs
	w := watchingBy(t, p, &value, func(ctx context.Context, tx *pool.Tx) error {
		if fail != nil {
			return fail
		}
		return tx.QueryRow(ctx, "SELECT count(*) FROM n").Scan(&value)
	})
	require.Same(t, errOurs, w.fails())
	fail = nil
	run(t, p, "CREATE TABLE x (a)") // concerns everybody
	require.Equal(t, "1", w.next())
	fail = errOurs
	run(t, p, insert, 2)
	require.Same(t, errOurs, w.fails())
	fail = nil
	run(t, p, insert, 3) // what the run before the failed one has read still counts
	require.Equal(t, "3", w.next())
}

func TestAPanicOfTheFunctionGoesOnAndLeavesNothing(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2})
	for range 3 {
		require.PanicsWithValue(t, "ours", func() {
			for range p.Watch(t.Context(), func(context.Context, *pool.Tx) error { panic("ours") }) {
			}
		})
		require.PanicsWithValue(t, "body", func() {
			for range p.Watch(t.Context(), doing("SELECT count(*) FROM n")) {
				panic("body")
			}
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range p.Watch(t.Context(), doing("SELECT count(*) FROM n")) {
				runtime.Goexit()
			}
		}()
		<-done
	}
	requireAtRest(t, p)
}

func TestALoopEndsWithItsContextOrItsBreak(t *testing.T) {
	p := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var yielded []error
	for err := range p.Watch(ctx, doing("SELECT count(*) FROM n")) {
		yielded = append(yielded, err)
		cancel()
	}
	require.Len(t, yielded, 2)
	require.NoError(t, yielded[0])
	require.ErrorIs(t, yielded[1], context.Canceled)
	yielded = nil
	for err := range p.Watch(ctx, doing("SELECT count(*) FROM n")) {
		yielded = append(yielded, err)
	}
	require.Len(t, yielded, 1)
	require.ErrorIs(t, yielded[0], context.Canceled)
	loop := p.Watch(t.Context(), doing("SELECT count(*) FROM n"))
	for range 2 {
		for err := range loop {
			require.NoError(t, err)
			break
		}
	}
	// A context that ends between runs ends the wait.
	waiting, stop := context.WithCancel(t.Context())
	defer stop()
	last := make(chan error)
	first := make(chan struct{})
	go func() {
		var err error
		for err = range p.Watch(waiting, doing("SELECT count(*) FROM n")) {
			if err == nil {
				first <- struct{}{}
			}
		}
		last <- err
	}()
	<-first
	stop()
	require.ErrorIs(t, <-last, context.Canceled)
	requireAtRest(t, p)
}

func TestAWatchInATransactionIsADeadlock(t *testing.T) {
	var hooked error
	var p *pool.Pool
	cfg := pool.Config{OnConnect: func(ctx context.Context, _ *pool.Lease) error {
		if p != nil {
			for err := range p.Watch(ctx, doing("SELECT 1")) {
				hooked = err
			}
		}
		return nil
	}}
	p = open(t, cfg)
	require.NoError(t, p.View(t.Context(), func(ctx context.Context, _ *pool.Tx) error {
		n := 0
		for err := range p.Watch(ctx, doing("SELECT 1")) {
			n++
			require.ErrorIs(t, err, pool.ErrDeadlock)
		}
		for _, err := range p.Changes(ctx) {
			n++
			require.ErrorIs(t, err, pool.ErrDeadlock)
		}
		for err := range p.StoreWatch(ctx, func(context.Context, pool.StoreTx) error { return nil }) {
			n++
			require.ErrorIs(t, err, pool.ErrDeadlock)
		}
		require.Equal(t, 3, n)
		return nil
	}))
	var leases []*pool.Lease
	for hooked == nil {
		leases = append(leases, acquire(t, p))
	}
	for _, l := range leases {
		l.Release()
	}
	require.ErrorIs(t, hooked, pool.ErrDeadlock)
}

func TestWithoutAConnectionAWatchSaysSoAndTriesAgain(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2, AcquireTimeout: time.Millisecond})
	l := acquire(t, p) // the read lane's only one
	w := watching(t, p, "SELECT count(*) FROM n")
	for range 3 {
		require.ErrorIs(t, w.fails(), pool.ErrAcquireTimeout)
	}
	l.Release()
	for {
		if h := <-w.heard; h.err == nil {
			require.Equal(t, "1", h.value)
			break
		}
	}
	require.EqualValues(t, 1, w.runs.Load())
}

func TestEveryLoopEndsWithThePool(t *testing.T) {
	for name, end := range map[string]func(p *pool.Pool) error{
		"Shutdown": func(p *pool.Pool) error { return p.Shutdown(context.Background()) },
		"Close":    (*pool.Pool).Close,
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, pool.Config{})
			lasts := make(chan error)
			var ready sync.WaitGroup
			for i := range 20 {
				ready.Add(1)
				go func() {
					var last error
					once := sync.OnceFunc(ready.Done)
					if i%2 == 0 {
						for last = range p.Watch(context.Background(), doing("SELECT count(*) FROM n")) {
							once()
						}
					} else {
						changes := p.Changes(context.Background())
						once()
						for _, last = range changes {
						}
					}
					lasts <- last
				}()
			}
			ready.Wait()
			// One whose body is stuck keeps nobody, and finds the end afterwards.
			stuck := make(chan struct{})
			body := make(chan struct{})
			go func() {
				var last error
				for last = range p.Watch(context.Background(), doing("SELECT count(*) FROM n")) {
					if last == nil {
						close(body)
						<-stuck
					}
				}
				lasts <- last
			}()
			<-body
			require.NoError(t, end(p))
			for range 20 {
				require.ErrorIs(t, <-lasts, pool.ErrClosed)
			}
			close(stuck)
			require.ErrorIs(t, <-lasts, pool.ErrClosed)
			n := 0
			for err := range p.Watch(t.Context(), doing("SELECT 1")) {
				n++
				require.ErrorIs(t, err, pool.ErrClosed)
			}
			require.Equal(t, 1, n)
		})
	}
}

func TestShutdownWaitsForARunAndNotForTheLoop(t *testing.T) {
	p := open(t, pool.Config{})
	began, goOn := make(chan struct{}), make(chan struct{})
	lasts := make(chan []error)
	go func() {
		var all []error
		for err := range p.Watch(context.Background(), func(ctx context.Context, tx *pool.Tx) error {
			close(began)
			<-goOn
			return do(ctx, tx, "SELECT count(*) FROM n")
		}) {
			all = append(all, err)
		}
		lasts <- all
	}()
	<-began
	down := make(chan error)
	go func() { down <- p.Shutdown(context.Background()) }()
	waitFor(t, "it shuts down", func() bool {
		l, err := p.Acquire(t.Context())
		if err == nil {
			l.Release()
		}
		return errors.Is(err, pool.ErrClosed)
	})
	close(goOn)
	require.NoError(t, <-down)
	all := <-lasts
	require.Len(t, all, 2)
	require.NoError(t, all[0])
	require.ErrorIs(t, all[1], pool.ErrClosed)
}

func TestResetAndRotationMissNothing(t *testing.T) {
	p := open(t, pool.Config{MaxConnLifetime: time.Millisecond, MaxConnLifetimeJitter: -1, WatchInterval: time.Millisecond})
	w := watching(t, p, "SELECT count(*) FROM n")
	w.until("1") // and perhaps again: the write lane's next connection does not know what is no news
	for i := range rounds.Of(30, 100, 300) {
		if i%3 == 0 {
			p.Reset()
		}
		for _, write := range []func(){
			func() { run(t, p, insert, 10*i+2) },
			func() { require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing(insert, 10*i+3))) },
		} {
			write()
		}
		w.until(fmt.Sprint(2*i + 3))
	}
	waitFor(t, "connections are replaced", func() bool { return p.Stats().Reset+p.Stats().Expired > 3 })
}

func TestAWatchIsToldThatTheFileWasMovedAndRunsWhenItIsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, WatchInterval: time.Millisecond})
	w := watching(t, p, "SELECT count(*) FROM n")
	w.expect("1")
	told := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	changes := p.Changes(ctx)
	go func() {
		defer close(told)
		for change, err := range changes {
			if err == nil && !change.External {
				err = fmt.Errorf("%v", change)
			}
			select {
			case told <- err:
			case <-ctx.Done():
				return
			}
		}
	}()
	require.NoError(t, os.Rename(path, path+".away"))
	require.ErrorIs(t, w.fails(), pool.ErrMoved)
	require.ErrorIs(t, <-told, pool.ErrMoved)
	require.NoError(t, os.Rename(path+".away", path))
	require.Equal(t, "1", w.next())
	require.NoError(t, <-told)
	run(t, p, insert, 2)
	require.Equal(t, "2", w.next())
}

func TestAnotherProcessesCommitsAreSeen(t *testing.T) {
	for _, mode := range []pool.JournalMode{pool.JournalWAL, pool.JournalDelete}[:rounds.Of(1, 2, 2)] {
		for _, readOnly := range []bool{false, true} {
			t.Run(fmt.Sprint(mode, readOnly), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "app.db")
				maker := open(t, pool.Config{Path: path, JournalMode: mode})
				if readOnly {
					require.NoError(t, maker.Close())
				}
				p := maker
				if readOnly {
					var err error
					p, err = pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true, WatchInterval: time.Millisecond, JournalMode: mode})
					require.NoError(t, err)
					t.Cleanup(func() { require.NoError(t, p.Close()) })
				} else {
					require.NoError(t, maker.Close())
					var err error
					p, err = pool.Open(t.Context(), pool.Config{Path: path, WatchInterval: time.Millisecond, JournalMode: mode})
					require.NoError(t, err)
					t.Cleanup(func() { require.NoError(t, p.Close()) })
				}
				o := startOther(t, path)
				w := watching(t, p, "SELECT count(*) FROM n")
				if readOnly {
					w.until("1") // and perhaps again: the next look may be on another connection
				} else {
					w.expect("1")
				}
				for i := range 5 {
					o.do(fmt.Sprintf("INSERT INTO n VALUES (%d, 0)", i+2))
					w.until(fmt.Sprint(i + 2))
				}
				// One that is killed in a transaction has committed nothing, and leaves nothing in the way.
				o.do("BEGIN IMMEDIATE")
				o.do("INSERT INTO n VALUES (100, 0)")
				require.NoError(t, o.cmd.Process.Kill())
				_ = o.cmd.Wait()
				other := startOther(t, path)
				other.do("INSERT INTO n VALUES (101, 0)")
				w.until("7")
				// One that is killed after its commit is heard all the same.
				other.do("INSERT INTO n VALUES (102, 0)")
				require.NoError(t, other.cmd.Process.Kill())
				w.until("8")
			})
		}
	}
}

// TestCommitsOfBothProcessesAreToldApart lets connections of the pool that are not the
// write lane's commit between those of another process.
func TestCommitsOfBothProcessesAreToldApart(t *testing.T) {
	for _, mode := range []pool.JournalMode{pool.JournalWAL, pool.JournalDelete}[:rounds.Of(1, 2, 2)] {
		path := filepath.Join(t.TempDir(), "app.db")
		p := open(t, pool.Config{Path: path, JournalMode: mode, WatchInterval: time.Millisecond})
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			for i := range 300 {
				require.NoError(t, do(ctx, tx, fmt.Sprintf("CREATE TABLE mark%d (a)", i)))
			}
			return nil
		}))
		o := startOther(t, path)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		changes := make(chan pool.Change)
		feed := p.Changes(ctx)
		go func() {
			defer close(changes)
			for change, err := range feed {
				if err != nil {
					return
				}
				changes <- change
			}
		}()
		n, marks := 1, 0
		next := func() string {
			n++
			return fmt.Sprintf(insertText, n)
		}
		ours := pool.Change{Tables: []string{"n"}}
		run(t, p, next())
		require.Equal(t, ours, <-changes)
		for way, write := range writing(t, p) {
			write(next())
			require.Equal(t, ours, <-changes, way)
			o.do(next())
			require.Equal(t, pool.Change{External: true}, <-changes, way)
			for _, between := range []func(){func() { write(next()) }, func() { write(next()); write(next()) }} {
				o.do(next())
				between()
				o.do(next())
				for !(<-changes).External {
					continue
				}
				// A lease looks for others before it commits, so what comes after its change is new.
				for marked := false; !marked; {
					marks++
					run(t, p, fmt.Sprintf("INSERT INTO mark%d VALUES (1)", marks))
					change := <-changes
					for !change.External && !slices.Contains(change.Tables, fmt.Sprint("mark", marks)) {
						change = <-changes
					}
					marked = !change.External // else that may have hidden it
				}
			}
		}
		stop()
		for range changes {
		}
	}
}

// TestACommitOfAnotherProcessBetweenAConnectionsOwnIsSeen has the other process commit
// while a connection that is not the write lane's has the write slot.
func TestACommitOfAnotherProcessBetweenAConnectionsOwnIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, WatchInterval: time.Hour})
	o := startOther(t, path)
	name := onSignal(t, func() { o.do("INSERT INTO parent VALUES (1)") })
	changes := p.Changes(t.Context())
	run(t, p, "INSERT INTO heap VALUES (1); SELECT signal('"+name+"'); INSERT INTO heap VALUES (2)")
	for change, err := range changes {
		require.NoError(t, err)
		if change.External {
			break
		}
	}
}

func TestWithoutAnIntervalNobodyLooksForOtherProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, WatchInterval: -1})
	o := startOther(t, path)
	w := watching(t, p, "SELECT count(*) FROM n")
	w.expect("1")
	o.do(fmt.Sprintf(insertText, 2))
	before := pool.Announced(p)
	run(t, p, "INSERT INTO heap VALUES (1)")
	require.Equal(t, before+1, pool.Announced(p))
	run(t, p, insert, 3)
	w.expect("3")
	require.EqualValues(t, 2, w.runs.Load())
}

const insertText = "INSERT INTO n VALUES (%d, 0)"

func TestRunsLeaveOthersTheirPartOfTheReadLane(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 5, AcquireTimeout: time.Minute})
	began, goOn := make(chan struct{}, 100), make(chan struct{})
	for range 20 {
		watchingBy(t, p, new(string), func(ctx context.Context, tx *pool.Tx) error {
			began <- struct{}{}
			select {
			case <-goOn:
			case <-ctx.Done():
			}
			return do(ctx, tx, "SELECT count(*) FROM n")
		})
	}
	<-began
	<-began
	for range 2 { // the other half of the four
		defer acquire(t, p).Release()
	}
	require.Empty(t, began)
	require.Equal(t, 0, p.Stats().Waiting)
	close(goOn)
}

func TestAnAttachedDatabasesTablesCountByTheirNames(t *testing.T) {
	dir := t.TempDir()
	second := filepath.Join(dir, "second.db")
	p := open(t, pool.Config{WatchInterval: time.Millisecond, OnConnect: func(ctx context.Context, l *pool.Lease) error {
		if _, err := l.ExecContext(ctx, "ATTACH ? AS second", second); err != nil {
			return err
		}
		_, err := l.ExecContext(ctx, "PRAGMA second.journal_mode = wal")
		return err
	}})
	run(t, p, "CREATE TABLE second.there (a)")
	w := watching(t, p, "SELECT count(*) FROM there")
	still := watching(t, p, "SELECT count(*) FROM n")
	w.expect("0")
	still.expect("1")
	run(t, p, "INSERT INTO there VALUES (1)")
	w.expect("1")
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("INSERT INTO second.there VALUES (1)")))
	w.expect("2")
	require.EqualValues(t, 1, still.runs.Load())
	o := startOther(t, second)
	o.do("INSERT INTO there VALUES (1)")
	w.until("3")
}
