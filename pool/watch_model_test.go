package pool_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// The model: random writers change tables in every way. Each transaction that is
// committed notes in its last statement, in the table history, what every watched
// query answers by then, so history is what each commit has made of the database, in
// the order of the commits. Nobody watches history.
const modelSchema = `
CREATE TABLE a (id INTEGER PRIMARY KEY, v INTEGER);
CREATE TABLE b (k INTEGER PRIMARY KEY, v INTEGER) WITHOUT ROWID;
CREATE TABLE par (id INTEGER PRIMARY KEY);
CREATE TABLE kid (v INTEGER, par INTEGER REFERENCES par ON DELETE CASCADE);
CREATE TABLE src (v INTEGER);
CREATE TABLE trg (v INTEGER);
CREATE TRIGGER copies AFTER INSERT ON src BEGIN INSERT INTO trg VALUES (new.v); END;
CREATE VIEW both AS SELECT v FROM a UNION ALL SELECT v FROM b;
CREATE VIRTUAL TABLE docs USING fts5(word, v UNINDEXED);
CREATE TABLE quiet (v INTEGER);
`

// modelQueries are watched. Each answers from the tables beside it.
var modelQueries = []struct {
	from string
	of   []string
}{
	{"a", []string{"a"}},
	{"B", []string{"b"}},
	{"kid", []string{"kid"}},
	{"trg", []string{"trg"}},
	{"both", []string{"a", "b"}},
	{"docs('word')", []string{"docs"}},
	{"quiet", []string{"quiet"}},
}

func digest(from string) string { return "SELECT count(*) || '/' || ifnull(sum(v), 0) FROM " + from }

// modelWriter makes the work of transactions.
type modelWriter struct {
	t       *testing.T
	r       *rand.Rand
	number  *atomic.Int64
	touched map[string]bool // by the run of the transaction's function that goes on
}

// step changes something, in a transaction or savepoint that is kept if kept is true.
func (w *modelWriter) step(ctx context.Context, tx *pool.Tx, kept bool) error {
	v := w.number.Add(1)
	changes := func(query string, args []any, tables ...string) error {
		res, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return err // a conflict
		}
		n, err := res.RowsAffected()
		for _, table := range tables {
			if n > 0 && kept {
				w.touched[table] = true
			}
		}
		return err
	}
	one := []any{v}
	switch w.r.IntN(13) {
	case 0:
		return changes("INSERT INTO a (v) VALUES (?)", one, "a")
	case 1:
		return changes("DELETE FROM a", nil, "a")
	case 2:
		return changes("UPDATE A SET v = v + ?1 WHERE id % 2 = ?1 % 2", one, "a")
	case 3:
		return changes("REPLACE INTO b VALUES (?1 % 5, ?1)", one, "b")
	case 4:
		return changes("INSERT INTO b VALUES (?1 % 5, ?1) ON CONFLICT DO UPDATE SET v = v + excluded.v", one, "b")
	case 5:
		return changes("DELETE FROM b WHERE k = ?1 % 7", one, "b")
	case 6:
		if err := changes("INSERT INTO par VALUES (?)", one, "par"); err != nil {
			return err
		}
		return changes("INSERT INTO kid VALUES (?1, ?1)", one, "kid")
	case 7:
		return changes("DELETE FROM par WHERE id % 2 = 0", nil, "par", "kid")
	case 8:
		return changes("INSERT INTO src VALUES (?)", one, "src", "trg")
	case 9:
		return changes("INSERT INTO docs VALUES ('a word', ?)", one, "docs")
	case 10:
		return changes("DELETE FROM docs WHERE rowid = (SELECT min(rowid) FROM docs)", nil, "docs")
	case 11:
		return changes("UPDATE quiet SET v = ?", one, "quiet")
	case 12:
		err := tx.Savepoint(ctx, func(ctx context.Context, tx *pool.Tx) error {
			keeps := w.r.IntN(2) == 0
			if err := w.step(ctx, tx, kept && keeps); err != nil || keeps {
				return err
			}
			if err := do(ctx, tx, "INSERT INTO quiet VALUES (?)", v); err != nil {
				return err
			}
			return errOurs
		})
		if !errors.Is(err, errOurs) {
			return err
		}
	}
	return nil
}

// commit runs a transaction, and returns its number in history, 0 if it was undone.
func (w *modelWriter) commit(p *pool.Pool) (seq int64) {
	ctx := w.t.Context()
	undone, ddl := w.r.IntN(6) == 0, w.r.IntN(60) == 0
	work := func(ctx context.Context, tx *pool.Tx) error {
		w.touched = map[string]bool{}
		for range 1 + w.r.IntN(4) {
			if err := w.step(ctx, tx, true); err != nil {
				return err
			}
		}
		if ddl {
			w.touched["schema"] = true
			if err := do(ctx, tx, fmt.Sprintf("CREATE TABLE made%d (a)", w.number.Add(1))); err != nil {
				return err
			}
		}
		if undone {
			if err := do(ctx, tx, "INSERT INTO quiet VALUES (1)"); err != nil {
				return err
			}
			return errOurs
		}
		var answers []string
		for _, q := range modelQueries {
			answers = append(answers, "("+digest(q.from)+")")
		}
		res, err := tx.ExecContext(ctx, "INSERT INTO history SELECT NULL, "+strings.Join(answers, ", "))
		if err == nil {
			seq, err = res.LastInsertId()
		}
		return err
	}
	var err error
	switch w.r.IntN(4) {
	case 0:
		err = p.InTx(ctx, pool.Immediate, work)
	case 1:
		err = p.InTx(ctx, pool.Deferred, work, pool.Repeatable())
	case 2:
		err = p.Batch(ctx, work)
	case 3:
		var tx *pool.Tx
		tx, err = p.Begin(ctx, pool.Exclusive)
		require.NoError(w.t, err)
		if err = work(ctx, tx); err == nil {
			err = tx.Commit(ctx)
		} else {
			require.NoError(w.t, tx.Rollback(ctx))
		}
	}
	if undone {
		require.Same(w.t, errOurs, err)
		return 0
	}
	require.NoError(w.t, err)
	return seq
}

// modelRun is what a watcher has seen once.
type modelRun struct {
	answer   string
	returned int64 // The commits up to this one had returned before the run read.
}

func TestWatchersSeeWhatAModelOfAllCommitsAllows(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, modelSchema)
		var columns []string
		for i := range modelQueries {
			columns = append(columns, fmt.Sprint("d", i))
		}
		run(t, p, "CREATE TABLE history (seq INTEGER PRIMARY KEY, "+strings.Join(columns, ", ")+")")

		// Every query has a watcher that is fast and one that waits for commits in its body.
		var returned atomic.Int64
		runs := make([][]modelRun, 2*len(modelQueries))
		last := make([]atomic.Pointer[string], len(runs))
		slow := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var watchers, writers sync.WaitGroup
		for i := range runs {
			watchers.Go(func() {
				var r modelRun
				for err := range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
					r.returned = returned.Load()
					return tx.QueryRow(ctx, digest(modelQueries[i/2].from)).Scan(&r.answer)
				}) {
					if ctx.Err() != nil {
						return
					}
					require.NoError(t, err)
					answer := r.answer
					runs[i] = append(runs[i], r)
					last[i].Store(&answer)
					if i%2 == 1 {
						<-slow
					}
				}
			})
		}
		waitFor(t, "everybody has run", func() bool { return allRan(last) })

		var mu sync.Mutex
		touched := map[int64]map[string]bool{}
		var number atomic.Int64
		for writer := range 4 {
			writers.Go(func() {
				w := &modelWriter{t: t, r: rand.New(rand.NewPCG(uint64(writer), rand.Uint64())), number: &number}
				for range rounds.Of(20, 80, 400) {
					seq := w.commit(p)
					for old := returned.Load(); old < seq && !returned.CompareAndSwap(old, seq); {
						old = returned.Load()
					}
					if seq > 0 {
						mu.Lock()
						touched[seq] = w.touched
						mu.Unlock()
					}
					select {
					case slow <- struct{}{}:
					default:
					}
				}
			})
		}
		writers.Wait()
		close(slow)

		history := readHistory(t, p)
		for i := range runs {
			waitFor(t, "after the last commit there is a run that sees it", func() bool {
				return *last[i].Load() == history[len(history)-1][i/2]
			})
		}
		stop()
		watchers.Wait()
		for i, own := range runs {
			q := modelQueries[i/2]
			relevant := 0
			for _, tables := range touched {
				if tables["schema"] || slices.ContainsFunc(q.of, func(table string) bool { return tables[table] }) {
					relevant++
				}
			}
			require.LessOrEqual(t, len(own), 1+2*relevant, q.from)
			at := int64(0)
			for _, r := range own {
				at = max(at, r.returned)
				for at < int64(len(history)) && history[at][i/2] != r.answer {
					at++
				}
				require.Less(t, at, int64(len(history)), "%s: %s is what no commit after the last run's has made, or is older than one that had returned", q.from, r.answer)
			}
		}
		requireAtRest(t, p)
	})
}

func allRan(last []atomic.Pointer[string]) bool {
	for i := range last {
		if last[i].Load() == nil {
			return false
		}
	}
	return true
}

// readHistory returns what the queries answered after each commit, the first of which
// has number 1, and at 0 before all of them.
func readHistory(t *testing.T, p *pool.Pool) [][]string {
	t.Helper()
	history := [][]string{slices.Repeat([]string{"0/0"}, len(modelQueries))}
	rows, err := p.Reader().Query(t.Context(), "SELECT * FROM history ORDER BY seq")
	require.NoError(t, err)
	for rows.Next() {
		var seq int
		answers := make([]string, len(modelQueries))
		dest := []any{&seq}
		for i := range answers {
			dest = append(dest, &answers[i])
		}
		require.NoError(t, rows.Scan(dest...))
		require.Len(t, history, seq)
		history = append(history, answers)
	}
	require.NoError(t, rows.Err())
	return history
}
