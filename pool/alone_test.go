package pool_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// did is what a pool's counters tell of f; hits are the statements looked for.
func did(p *pool.Pool, f func()) (d pool.Stats) {
	before := p.Stats()
	f()
	after := p.Stats()
	d.StatementHits = after.StatementHits - before.StatementHits + after.StatementMisses - before.StatementMisses
	d.Committed = after.Committed - before.Committed
	d.RolledBack = after.RolledBack - before.RolledBack
	d.Batches = after.Batches - before.Batches
	d.BatchMembers = after.BatchMembers - before.BatchMembers
	d.Retries = after.Retries - before.Retries
	return d
}

// one is what they tell of a statement that succeeds, with so many others, such as
// BEGIN and COMMIT.
func one(others uint64) pool.Stats {
	return pool.Stats{StatementHits: 1 + others, Committed: 1, Batches: 1, BatchMembers: 1}
}

func TestAWritersStatementThatIsAloneNeedsNoTransactionOfThePools(t *testing.T) {
	for mode, others := range map[string]uint64{"wal": 0, "memory": 2, "delete": 2} {
		for _, conns := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s with %d connections", mode, conns), func(t *testing.T) {
				cfg := pool.Config{MaxConns: conns}
				if mode == "memory" {
					cfg.Path = pool.Memory
				} else {
					cfg.JournalMode = pool.JournalMode(mode)
				}
				p := open(t, cfg)
				for i, query := range []string{
					insert, "UPDATE n SET v = v + 1 WHERE id >= ?", "DELETE FROM n WHERE id > ?", "REPLACE INTO n VALUES (?, 1)",
					insert + " RETURNING v", "WITH w(x) AS (VALUES (?)) INSERT INTO n SELECT x, 0 FROM w",
				} {
					know(t, p, query, 10+100*i)
					require.Equal(t, one(others), did(p, func() { require.NoError(t, send(t.Context(), p, query, 11+100*i)) }), query)
					require.Equal(t, one(others), did(p, func() { require.NoError(t, sendRows(t.Context(), p, query, 12+100*i)) }), query)
				}
				require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n WHERE id = 512"))
				requireAtRest(t, p)
			})
		}
	}
}

func TestAWritersStatementIsNotAloneWhereItMustBeUndoneOrOthersShareACommit(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, writerTables)
	for _, query := range []string{
		"INSERT OR FAIL INTO keyed VALUES (?)",
		"INSERT INTO watched VALUES (?)",          // it looked a trigger
		"INSERT INTO heap VALUES (instr(?, 'a'))", // the schema has a RAISE(FAIL)
		"SELECT v FROM n WHERE id = ?",
	} {
		know(t, p, query, 1000)
		require.Equal(t, one(2), did(p, func() { require.NoError(t, send(t.Context(), p, query, 1001)) }), query)
	}

	p = open(t, pool.Config{})
	know(t, p, insert, 100)
	var queue []func()
	for i := range 3 {
		queue = append(queue, sends(t, p, insert, 101+i))
	}
	lineUp(t, p, queue...)
	require.Equal(t, one(2), did(p, func() { require.NoError(t, send(t.Context(), p, insert, 110)) }), "the last batch was shared")
	require.Equal(t, one(0), did(p, func() { require.NoError(t, send(t.Context(), p, insert, 111)) }))
	requireAtRest(t, p)
}

func TestAnAttachedFileHasEveryStatementInATransaction(t *testing.T) {
	more := filepath.Join(t.TempDir(), "more.db")
	require.NoError(t, open(t, pool.Config{Path: more}).Close())
	p := open(t, pool.Config{OnConnect: func(ctx context.Context, l *pool.Lease) error {
		return do(ctx, l, "ATTACH ? AS more", more)
	}})
	know(t, p, insert, 100)
	require.Equal(t, one(2), did(p, func() { require.NoError(t, send(t.Context(), p, insert, 101)) }))
}

func TestAStatementThatFailsAloneLeavesNothing(t *testing.T) {
	soonBesideOthers(t)
	for _, bad := range badStatements {
		for how, send := range map[string]func(context.Context, *pool.Pool, string, ...any) error{"run": send, "read": sendRows} {
			t.Run(bad.name+" "+how, func(t *testing.T) {
				everywhere(t, fullSoon(), func(t *testing.T, p *pool.Pool) {
					run(t, p, writerTables)
					know(t, p, insert, 3)
					if bad.known != nil && bad.query != insert {
						know(t, p, bad.query, bad.known...)
					}
					before := get(t, p, leftovers)
					d := did(p, func() {
						err := send(t.Context(), p, bad.query, bad.args...)
						code, _ := pool.Code(err)
						require.Equal(t, bad.code, code, "%v", err)
					})
					require.Zero(t, d.Committed)
					require.Zero(t, d.BatchMembers)
					require.Equal(t, before, get(t, p, leftovers))
					require.NoError(t, send(t.Context(), p, insert, 100))
					requireAtRest(t, p)
				})
			})
		}
	}
}

// The schema above may fail, so that nothing runs alone there. This one may not.
func TestWhatAnyStatementMayMeetIsToldWhenItIsAlone(t *testing.T) {
	const (
		owe   = "INSERT INTO child VALUES (?, ?)"
		fill  = "INSERT INTO heap VALUES (zeroblob(?))"
		write = "INSERT INTO n SELECT value, 0 FROM json_each(?)"
	)
	p := open(t, fullSoon())
	for query, args := range map[string][]any{owe: {1, nil}, fill: {1}, write: {"[20]"}, insert: {2}} {
		know(t, p, query, args...)
	}
	for _, c := range []struct {
		query string
		args  []any
		code  int
		kind  error
	}{
		{insert, []any{1}, 1555, dberr.ErrDuplicate},
		{write, []any{"[30, 31, 30]"}, 1555, dberr.ErrDuplicate},
		{write, []any{"[30, 31, \"x\"]"}, 20, nil},
		{owe, []any{2, 99}, 787, dberr.ErrForeignKey},
		{fill, []any{1_000_000}, 13, nil},
		{insert, []any{1, 2}, 0, nil},
	} {
		want := get(t, p, "SELECT (SELECT count(*) FROM n) + (SELECT count(*) FROM child) + (SELECT count(*) FROM heap)")
		d := did(p, func() {
			err := send(t.Context(), p, c.query, c.args...)
			require.Error(t, err)
			code, _ := pool.Code(err)
			require.Equal(t, c.code, code, "%v", err)
			if c.kind != nil {
				require.Equal(t, c.kind, dberr.Kind(err))
			}
		})
		require.Equal(t, pool.Stats{StatementHits: 1, RolledBack: 1}, d, c.query)
		require.Equal(t, want, get(t, p, "SELECT (SELECT count(*) FROM n) + (SELECT count(*) FROM child) + (SELECT count(*) FROM heap)"))
	}
	require.NoError(t, send(t.Context(), p, insert, 100))
	requireAtRest(t, p)
}

// fading is a context that ends when it has been asked so often.
type fading struct {
	context.Context
	left atomic.Int64
}

func (e *fading) Err() error {
	if e.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func TestAStatementWhoseContextEndsWhileItsRowsAreReadIsNotCommitted(t *testing.T) {
	const query = "INSERT INTO n SELECT value, 0 FROM json_each(?) RETURNING id"
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		know(t, p, query, "[0]")
		committed := false
		for i := int64(0); !committed; i++ {
			ctx := &fading{Context: t.Context()}
			ctx.left.Store(i)
			err := sendRows(ctx, p, query, "[10, 11, 12]")
			there := get(t, p, "SELECT count(*) FROM n WHERE id >= 10")
			switch {
			case err == nil:
				require.EqualValues(t, 3, there)
				committed = true
			default:
				require.ErrorIs(t, err, context.Canceled)
				code, coded := pool.Code(err)
				require.False(t, coded, "%d: %v", code, err)
				require.Zero(t, there, "asked %d times", i)
			}
			require.Less(t, i, int64(100))
		}
		requireAtRest(t, p)
	})
}

func TestAStatementThatIsCancelledAloneIsUndone(t *testing.T) {
	const counts = "INSERT INTO heap WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT ?) SELECT x FROM c"
	for _, send := range []func(context.Context, *pool.Pool, string, ...any) error{send, sendRows} {
		p := open(t, pool.Config{})
		know(t, p, counts, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, send(ctx, p, counts, -1), context.DeadlineExceeded)
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM heap"))
		require.NoError(t, send(t.Context(), p, counts, 3))
		require.EqualValues(t, 4, get(t, p, "SELECT count(*) FROM heap"))
		requireAtRest(t, p)
	}
}

func TestCloseInterruptsTheStatementThatIsAlone(t *testing.T) {
	everywhereAfterClose(t, func(t *testing.T, p *pool.Pool, again func() *pool.Pool) {
		const counts = "INSERT OR IGNORE INTO texts WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT ?) SELECT iif(x = 9, ?, x) FROM c"
		run(t, p, texts)
		know(t, p, counts, 1, "")
		closed := make(chan error, 1)
		runs := onSignal(t, func() { go func() { closed <- p.Close() }() })
		require.ErrorIs(t, send(t.Context(), p, counts, -1, runs), pool.ErrClosed)
		require.NoError(t, <-closed)
		require.EqualValues(t, 2, get(t, again(), "SELECT count(*) FROM texts"))
	})
}

// FAIL keeps what came before the conflict, and in autocommit that would be
// committed. Where the schema says so only after the statement was seen, it runs in a
// transaction after all.
func TestAStatementThatFailsWithFAILLeavesNoHalf(t *testing.T) {
	const (
		query  = "INSERT INTO n SELECT value, 0 FROM json_each(?)"
		orFail = "INSERT OR FAIL INTO n SELECT value, 0 FROM json_each(?)"
	)
	for _, c := range []struct{ query, before, after string }{
		{query: orFail},
		{query, "CREATE TRIGGER fails BEFORE INSERT ON n WHEN new.id = 12 BEGIN SELECT RAISE(FAIL, 'ours'); END", ""},
		{query, "DROP TABLE n; CREATE TABLE n (id UNIQUE ON CONFLICT FAIL, v)", ""},
		{query, "", "CREATE TRIGGER fails BEFORE INSERT ON n WHEN new.id = 12 BEGIN SELECT RAISE(FAIL, 'ours'); END"},
		{query, "", "DROP TABLE n; CREATE TABLE n (id UNIQUE ON CONFLICT FAIL, v)"},
	} {
		for _, send := range []func(context.Context, *pool.Pool, string, ...any) error{send, sendRows} {
			p := open(t, pool.Config{})
			run(t, p, c.before)
			know(t, p, c.query, "[2]")
			require.NoError(t, send(t.Context(), p, c.query, "[3]"))
			run(t, p, c.after)
			before := get(t, p, "SELECT count(*) FROM n")
			require.Error(t, send(t.Context(), p, c.query, "[10, 11, 12, 12]"))
			require.Equal(t, before, get(t, p, "SELECT count(*) FROM n"), c)
			require.NoError(t, send(t.Context(), p, c.query, "[20, 21]"))
			require.Equal(t, before+2, get(t, p, "SELECT count(*) FROM n"))
			requireAtRest(t, p)
		}
	}
}

func TestAStatementThatIsCompiledAgainForItsArgumentsDoesNotKeepRunningInVain(t *testing.T) {
	const query = "UPDATE notes SET seen = seen + 1 WHERE s LIKE ?"
	p := open(t, pool.Config{})
	run(t, p, "CREATE TABLE notes (s TEXT COLLATE NOCASE, seen INTEGER DEFAULT 0); CREATE INDEX notes_s ON notes (s); INSERT INTO notes (s) VALUES ('a1'), ('b1')")
	looked := uint64(0)
	for i := range 20 {
		d := did(p, func() { require.NoError(t, send(t.Context(), p, query, string(rune('a'+i%2))+"%")) })
		require.EqualValues(t, 1, d.BatchMembers)
		looked += d.StatementHits
	}
	require.EqualValues(t, 20*3+2, looked, "it runs in a transaction, and twice in vain before that")
	require.EqualValues(t, 10, get(t, p, "SELECT seen FROM notes WHERE s = 'a1'"))
	require.EqualValues(t, 10, get(t, p, "SELECT seen FROM notes WHERE s = 'b1'"))
}

func TestAStatementThatIsAloneWaitsForOtherProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, BusyTimeout: time.Minute})
	know(t, p, insert, 2)
	o := startOther(t, path)
	o.do("BEGIN IMMEDIATE")
	sent := make(chan error)
	go func() { sent <- send(t.Context(), p, insert, 3) }()
	waitFor(t, "it has the write lane", func() bool { return p.Stats().InUse == 1 })
	o.do("INSERT INTO n VALUES (50, 0)")
	o.do("COMMIT")
	require.NoError(t, <-sent)
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE id IN (3, 50)"))

	o.do("BEGIN IMMEDIATE")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.Zero(t, did(p, func() { require.ErrorIs(t, send(ctx, p, insert, 5), context.DeadlineExceeded) }).Committed)
	o.do("ROLLBACK")

	require.NoError(t, p.Close())
	p = open2(t, pool.Config{Path: path, BusyTimeout: 30 * time.Millisecond})
	know(t, p, insert, 4)
	o.do("BEGIN IMMEDIATE")
	require.Zero(t, did(p, func() { require.ErrorIs(t, send(t.Context(), p, insert, 5), pool.ErrBusy) }).Committed)
	o.do("ROLLBACK")
	require.NoError(t, send(t.Context(), p, insert, 5))
	requireAtRest(t, p)
}

// open2 opens a pool on a file that has the tables already.
func open2(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func TestAStatementThatIsAlonePanicsOrExitsInItsOwnGoroutine(t *testing.T) {
	for how, leave := range map[string]func(){"panic": func() { panic("ours") }, "exit": runtime.Goexit} {
		everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
			run(t, p, texts)
			know(t, p, insertTexts, "known")
			signals.Store(t.Name(), leave)
			t.Cleanup(func() { signals.Delete(t.Name()) })
			over := make(chan any)
			go func() {
				defer close(over)
				defer func() {
					if r := recover(); r != nil {
						over <- r
					}
				}()
				_ = send(t.Context(), p, insertTexts, t.Name())
				over <- errors.New("it returned")
			}()
			if how == "panic" {
				require.Equal(t, "ours", <-over)
			}
			_, more := <-over
			require.False(t, more)
			require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM texts"))
			assert.NoError(t, send(t.Context(), p, insertTexts, "afterwards"))
			requireAtRest(t, p)
		})
	}
}
