package pool_test

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/internal/scratch"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"modernc.org/sqlite"
)

// otherProgram makes the test binary another process at the same database.
const otherProgram = "SQLANE_TEST_OTHER"

func TestMain(m *testing.M) {
	if path := os.Getenv(otherProgram); path != "" {
		beOther(path)
		return
	}
	sqlite.MustRegisterScalarFunction("signal", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		if f, ok := signals.Load(args[0]); ok {
			f.(func())()
		}
		runtime.Gosched() // whoever is told acts at once, and not when this statement's time slice is over
		return int64(1), nil
	})
	sqlite.MustRegisterScalarFunction("rest", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		time.Sleep(50 * time.Microsecond)
		return int64(1), nil
	})
	sqlite.MustRegisterDeterministicScalarFunction("spy", 1, spied)
	slog.SetDefault(slog.New(slog.DiscardHandler)) // what the pools say on purpose would bury what fails
	rounds.Together(8)
	flag.Parse()                                 // for rounds
	debug.SetGCPercent(rounds.Of(800, 300, 300)) // a tenth of the time goes to collecting garbage
	scratch.InMemory()
	goleak.VerifyTestMain(m)
}

// signals are what SQL's signal(name) calls: how a test knows that a statement runs.
var signals sync.Map

// onSignal has f called, once, when SQL calls signal(the returned name).
func onSignal(t *testing.T, f func()) (name string) {
	t.Helper()
	name = t.Name()
	signals.Store(name, sync.OnceFunc(f))
	t.Cleanup(func() { signals.Delete(name) })
	return name
}

// endless is a query that never ends by itself, and signals that it runs. Between its
// steps it leaves the processor to others, whom it would take milliseconds of it.
func endless(name string) string {
	return "WITH RECURSIVE c(x) AS (SELECT signal('" + name + "') UNION ALL SELECT x+rest() FROM c) SELECT count(*) FROM c"
}

const tables = `
CREATE TABLE n (id INTEGER PRIMARY KEY, v INTEGER);
CREATE TABLE heap (b);
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE ruled (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK, v INTEGER NOT NULL DEFAULT 0 CHECK (v >= 0), u INTEGER UNIQUE);
CREATE TRIGGER raising BEFORE INSERT ON n WHEN new.v = -13 BEGIN SELECT RAISE(ROLLBACK, 'no thirteens'); END;
INSERT INTO n VALUES (1, 0);
`

// open opens a pool on a fresh file with the tables above. Where time is short, tests
// that begin with it run beside others, but for those that have to be alone.
func open(t testing.TB, cfg pool.Config) *pool.Pool {
	t.Helper()
	if top, ok := t.(*testing.T); ok {
		soonBesideOthers(top)
	}
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "app.db")
	}
	if cfg.Synchronous == "" {
		cfg.Synchronous = "off" // no test here pulls the plug
	}
	if cfg.AcquireTimeout == 0 {
		cfg.AcquireTimeout = time.Minute
	}
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	run(t, p, tables)
	return p
}

// settled are the tests, by name, of which it is known whether they run beside others.
var settled sync.Map

func settle(t *testing.T) (first bool) {
	_, known := settled.LoadOrStore(t.Name(), true)
	if !known {
		t.Cleanup(func() { settled.Delete(t.Name()) })
	}
	return !known
}

// besideOthers has a test run beside others, once all that have to be alone are done.
func besideOthers(t *testing.T) {
	if settle(t) {
		t.Parallel()
	}
}

// soonBesideOthers has a whole test run beside others where time is short.
func soonBesideOthers(t *testing.T) {
	if testing.Short() && !strings.Contains(t.Name(), "/") {
		besideOthers(t)
	}
}

// byItself keeps a test from running beside others: it counts what the process has, or
// changes what the process has but once.
func byItself(t *testing.T) { settle(t) }

// everywhere runs a test in each of the modes, at the same time: the runs may share
// only what is safe for that.
func everywhere(t *testing.T, cfg pool.Config, test func(t *testing.T, p *pool.Pool)) {
	soonBesideOthers(t)
	t.Run("everywhere", func(t *testing.T) { // it waits for them all
		for mode, cfg := range modes(t, cfg) {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				test(t, open(t, cfg))
			})
		}
	})
}

// inTurn is everywhere for a test whose runs share what the configuration refers to,
// or have so little time that nothing may run beside them.
func inTurn(t *testing.T, cfg pool.Config, test func(t *testing.T, p *pool.Pool)) {
	soonBesideOthers(t)
	for mode, cfg := range modes(t, cfg) {
		t.Run(mode, func(t *testing.T) { test(t, open(t, cfg)) })
	}
}

// modes are WAL mode, memory and a rollback journal, where readers and the writer exclude
// each other as in memory. Where time is short each test has one of the first two.
func modes(t *testing.T, cfg pool.Config) iter.Seq2[string, pool.Config] {
	all := []string{"wal", "memory", "delete"}
	one := len(t.Name()) % 2
	return func(yield func(string, pool.Config) bool) {
		for _, mode := range all[rounds.Of(one, 0, 0):rounds.Of(one+1, 3, 3)] {
			cfg := cfg
			if mode == "memory" {
				cfg.Path = pool.Memory
			} else {
				cfg.JournalMode = pool.JournalMode(mode)
			}
			if !yield(mode, cfg) {
				return
			}
		}
	}
}

// run executes SQL on a lease.
func run(t testing.TB, p *pool.Pool, query string, args ...any) {
	t.Helper()
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	_, err = l.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

// get reads one number on a lease.
func get(t testing.TB, p *pool.Pool, query string, args ...any) (n int64) {
	t.Helper()
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	require.NoError(t, l.QueryRowContext(t.Context(), query, args...).Scan(&n))
	return n
}

// dbtx is what leases and transactions share.
type dbtx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// do executes SQL where only the error counts.
func do(ctx context.Context, on dbtx, query string, args ...any) error {
	_, err := on.ExecContext(ctx, query, args...)
	return err
}

// doing is do as the function of a transaction.
func doing(query string, args ...any) func(context.Context, *pool.Tx) error {
	return func(ctx context.Context, tx *pool.Tx) error { return do(ctx, tx, query, args...) }
}

// number reads one number.
func number(ctx context.Context, on dbtx, query string, args ...any) (n int64, err error) {
	err = on.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// waitFor waits until something that goes on elsewhere is so.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	begun := time.Now()
	for tries := 0; !so(); tries++ {
		require.Less(t, time.Since(begun), 5*time.Minute, what) // it never will be, on a busy machine either
		if tries < 100 {
			runtime.Gosched() // mostly it is so at once
		} else {
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// waitForGarbage waits until the pool has noticed what nobody can reach any more. Each
// collection stops the tests beside it: there is another one only where one was not
// enough, and the longer the pool takes, as where its maintenance has to come by, the rarer.
func waitForGarbage(t testing.TB, what string, so func() bool) {
	t.Helper()
	tries := 10
	waitFor(t, what, func() bool {
		runtime.GC()
		tries = min(2*tries, 500)
		for range tries {
			if so() {
				return true
			}
			time.Sleep(100 * time.Microsecond)
		}
		return so()
	})
}

// lineUp starts the functions while the write lane is held, each behind the one
// before in its queue, then lets the lane go and waits for them all. A batch of
// theirs takes as long as they need.
func lineUp(t *testing.T, p *pool.Pool, functions ...func()) {
	t.Helper()
	pool.TakeAnyTime(p)
	gate, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i, f := range functions {
		wg.Go(f)
		waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == i+1 })
	}
	require.NoError(t, gate.Rollback(t.Context()))
	wg.Wait()
}

// requireAtRest sees that nobody holds or waits for anything.
func requireAtRest(t *testing.T, p *pool.Pool) {
	t.Helper()
	waitFor(t, "nobody has a lease, a health check neither", func() bool { return p.Stats().InUse == 0 })
	require.NoError(t, pool.Misplaced(p))
	require.Zero(t, p.Stats().Waiting, "callers that wait")
	require.Zero(t, p.Stats().WriteQueue, "writers that wait")
	require.NoError(t, p.InTx(t.Context(), pool.Exclusive, doing("SELECT 1")), "the write lane is free")
	require.Zero(t, get(t, p, "SELECT count(*) FROM pragma_foreign_key_check"))
}

// other is another process at the same database.
type other struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	outs *bufio.Scanner
}

func startOther(t *testing.T, path string) *other {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), otherProgram+"="+path, "GOCOVERDIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	o := &other{t: t, cmd: cmd, in: in, outs: bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return o
}

// do has the other process run one statement.
func (o *other) do(query string) {
	o.t.Helper()
	require.Equal(o.t, "ok", o.try(query))
}

// try is do for a statement that may fail: it returns "ok" or the error's text.
func (o *other) try(query string) string {
	o.t.Helper()
	_, err := fmt.Fprintln(o.in, query)
	require.NoError(o.t, err)
	require.True(o.t, o.outs.Scan(), "the other process ended")
	return o.outs.Text()
}

// beOther runs the statements that come in, one a line, on one plain connection.
func beOther(path string) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := db.Conn(context.Background())
	if err == nil {
		_, err = conn.ExecContext(context.Background(), "PRAGMA busy_timeout = 60000")
	}
	for in := bufio.NewScanner(os.Stdin); err == nil && in.Scan(); {
		answer := "ok"
		if _, err := conn.ExecContext(context.Background(), in.Text()); err != nil {
			answer = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Println(answer)
	}
	_ = errors.Join(conn.Close(), db.Close())
}

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }

// signalNow calls what SQL's signal(name) would.
func signalNow(name string) {
	if f, ok := signals.Load(name); ok {
		f.(func())()
	}
}

// acquire takes a lease, which the test gives back.
func acquire(t testing.TB, p *pool.Pool) *pool.Lease {
	t.Helper()
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	return l
}
