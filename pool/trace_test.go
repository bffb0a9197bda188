package pool_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorder is a Tracer that writes everything down.
type recorder struct {
	hook func(ctx context.Context, op pool.TraceOp) // called before each operation; may be nil

	mu  sync.Mutex
	ops []*recorded
}

// recorded is an operation, and what it is part of.
type recorded struct {
	op     pool.TraceOp
	parent *recorded
	ends   []pool.TraceEnd
}

type recordedKey struct{}

func (r *recorder) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	if r.hook != nil {
		r.hook(ctx, op)
	}
	parent, _ := ctx.Value(recordedKey{}).(*recorded)
	o := &recorded{op: op, parent: parent}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
	return context.WithValue(ctx, recordedKey{}, o), func(end pool.TraceEnd) {
		r.mu.Lock()
		defer r.mu.Unlock()
		o.ends = append(o.ends, end)
	}
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = nil
}

// all returns the operations in the order in which they began.
func (r *recorder) all() []*recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	ops := make([]*recorded, 0, len(r.ops))
	for _, o := range r.ops {
		c := *o
		ops = append(ops, &c)
	}
	return ops
}

func (r *recorder) named(name string) (ops []*recorded) {
	for _, o := range r.all() {
		if o.op.Name == name {
			ops = append(ops, o)
		}
	}
	return ops
}

// end is how the operation ended, once.
func (o *recorded) end(t testing.TB) pool.TraceEnd {
	t.Helper()
	require.Len(t, o.ends, 1, "ends of %+v", o.op)
	return o.ends[0]
}

// requireWhole sees that everything that began ended, once.
func (r *recorder) requireWhole(t testing.TB) {
	t.Helper()
	for _, o := range r.all() {
		end := o.end(t)
		require.GreaterOrEqual(t, end.Lane, time.Duration(0), "%+v", o.op)
		require.GreaterOrEqual(t, end.Lock, time.Duration(0), "%+v", o.op)
		require.GreaterOrEqual(t, end.Execution, time.Duration(0), "%+v", o.op)
	}
}

// ending is a Tracer that is called at the end of each operation alone.
type ending func(ctx context.Context, op pool.TraceOp)

func (f ending) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	return ctx, func(pool.TraceEnd) { f(ctx, op) }
}

// requireWithin sees that no operation tells of more time than there was: each
// moment is of one kind.
func (r *recorder) requireWithin(t testing.TB, all time.Duration) {
	t.Helper()
	r.requireWhole(t)
	for _, o := range r.all() {
		end := o.end(t)
		require.LessOrEqual(t, end.Lane+end.Lock+end.Execution, all, "%+v", o.op)
	}
}

// traced opens a pool whose operations from now on are written down.
func traced(t *testing.T, cfg pool.Config) (*pool.Pool, *recorder) {
	t.Helper()
	r := new(recorder)
	cfg.Tracer = r
	p := open(t, cfg)
	r.requireWhole(t)
	r.reset()
	return p, r
}

// tree is what was recorded, an operation a line, indented below what it is
// part of; a query is shown by its text.
func (r *recorder) tree() string {
	var b strings.Builder
	for _, o := range r.all() {
		b.WriteByte('\n')
		for up := o.parent; up != nil; up = up.parent {
			b.WriteString("  ")
		}
		b.WriteString(o.op.Name)
		if o.op.SQL != "" {
			b.WriteString(": " + o.op.SQL)
		}
	}
	return b.String()
}

// query returns the query with the text.
func (r *recorder) query(t testing.TB, text string) *recorded {
	t.Helper()
	for _, o := range r.named("query") {
		if o.op.SQL == text {
			return o
		}
	}
	require.Failf(t, "no such query", "%s in%s", text, r.tree())
	return nil
}

// tracedEverywhere is everywhere with a recorder.
func tracedEverywhere(t *testing.T, test func(t *testing.T, p *pool.Pool, r *recorder)) {
	for _, mode := range []string{"wal", "delete", "memory"} {
		t.Run(mode, func(t *testing.T) {
			p, r := traced(t, backupConfig(mode, nil))
			test(t, p, r)
		})
	}
}

// within returns the first operation of that name directly within o.
func (o *recorded) within(t testing.TB, r *recorder, name string) *recorded {
	t.Helper()
	for _, in := range r.named(name) {
		if in.parent == o {
			return in
		}
	}
	require.Failf(t, "no such operation", "%s in %s in%s", name, o.op.Name, r.tree())
	return nil
}

func TestOperationsAreNestedAsTheirContextsAre(t *testing.T) {
	p, r := traced(t, pool.Config{})
	ctx, _ := r.Start(t.Context(), pool.TraceOp{Name: "request"})

	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	require.NoError(t, do(ctx, l, "INSERT INTO n VALUES (2, 2)"))
	l.Release()
	require.NoError(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		if err := do(ctx, tx, "UPDATE n SET v = 1"); err != nil {
			return err
		}
		err := tx.Savepoint(ctx, doing("UPDATE n SET v = 2"))
		if err != nil {
			return err
		}
		if err := p.InTx(ctx, pool.Deferred, doing("UPDATE n SET v = 3")); err != nil {
			return err
		}
		if err := p.Batch(ctx, doing("UPDATE n SET v = 4")); err != nil {
			return err
		}
		return p.View(ctx, doing("SELECT 5"))
	}))
	require.NoError(t, p.Batch(ctx, doing("UPDATE n SET v = 6")))
	require.NoError(t, p.View(ctx, doing("SELECT 7")))

	require.Equal(t, `
request
  acquire
  query: INSERT INTO n VALUES (2, 2)
  transaction
    acquire
    query: UPDATE n SET v = 1
    query: UPDATE n SET v = 2
    query: UPDATE n SET v = 3
    query: UPDATE n SET v = 4
    query: SELECT 5
  batch
    acquire
    query: UPDATE n SET v = 6
    commit
  transaction
    acquire
    query: SELECT 7`, r.tree())
	for _, o := range r.all()[1:] {
		require.NoError(t, o.end(t).Err)
		require.True(t, filepath.IsAbs(o.op.Path))
	}
}

func TestABackupsOperationsAreNestedToo(t *testing.T) {
	p, r := traced(t, pool.Config{Path: pool.Memory})
	require.NoError(t, p.Backup(t.Context(), filepath.Join(t.TempDir(), "copy.db")))
	r.requireWhole(t)
	all := r.all()
	require.Equal(t, "transaction", all[0].op.Name)
	require.Nil(t, all[0].parent)
	steps := r.named("backup")
	require.Len(t, steps, 1)
	require.Equal(t, "transaction", steps[0].parent.op.Name)
	require.Equal(t, pool.Memory, steps[0].op.Path)
}

func TestATransactionIsTracedWithItsLevel(t *testing.T) {
	p, r := traced(t, pool.Config{})
	for _, level := range levels {
		require.NoError(t, p.InTx(t.Context(), level, doing("SELECT 1")))
		tx, err := p.Begin(t.Context(), level)
		require.NoError(t, err)
		require.Empty(t, r.named("transaction")[1].ends, "it goes on")
		require.NoError(t, tx.Commit(t.Context()))
		for _, o := range r.named("transaction") {
			require.Equal(t, level, o.op.Level)
			require.NoError(t, o.end(t).Err)
		}
		r.reset()
	}
	require.NoError(t, p.View(t.Context(), doing("SELECT 1")))
	require.Equal(t, pool.Deferred, r.named("transaction")[0].op.Level)

	r.reset()
	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	r.requireWhole(t)
	require.Len(t, r.named("transaction"), 1)
}

func TestATransactionOfDatabaseSQLIsTracedFromItsBeginToItsEnd(t *testing.T) {
	p, r := traced(t, pool.Config{})
	ctx := t.Context()
	begin := func(on interface {
		BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
	}, opts *sql.TxOptions,
	) *sql.Tx {
		r.reset()
		tx, err := on.BeginTx(ctx, opts)
		require.NoError(t, err)
		require.Len(t, r.named("transaction"), 1)
		require.Empty(t, r.named("transaction")[0].ends, "it goes on")
		return tx
	}
	ended := func() pool.TraceEnd { return r.named("transaction")[0].end(t) }
	for level, opts := range map[pool.Level]*sql.TxOptions{
		pool.Immediate: nil,
		pool.Exclusive: {Isolation: sql.LevelLinearizable},
		pool.Deferred:  {ReadOnly: true},
	} {
		tx := begin(p.DB(), opts)
		require.Equal(t, level, r.named("transaction")[0].op.Level)
		require.NoError(t, tx.Commit())
		require.NoError(t, ended().Err)
		tx = begin(p.DB(), opts)
		require.NoError(t, tx.Rollback())
		require.NoError(t, ended().Err)
		r.requireWhole(t)
	}

	tx := begin(p.DB(), nil)
	_, err := tx.Exec("INSERT INTO child VALUES (NULL, 99)")
	require.NoError(t, err)
	require.Equal(t, dberr.ErrForeignKey, dberr.Kind(tx.Commit()))
	require.Equal(t, dberr.ErrForeignKey, dberr.Kind(ended().Err), "a commit that fails is told")

	r.reset()
	_, err = p.DB().BeginTx(pool.WithLabel(ctx, "refused"), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	require.ErrorIs(t, err, pool.ErrConfig)
	require.Empty(t, r.named("transaction"), "none began")

	gate, err := p.Begin(ctx, pool.Immediate)
	require.NoError(t, err)
	r.reset()
	short, cancel := context.WithCancel(ctx)
	refused := make(chan error)
	go func() {
		_, err := p.DB().BeginTx(short, nil)
		refused <- err
	}()
	waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 })
	cancel()
	require.ErrorIs(t, <-refused, context.Canceled)
	require.ErrorIs(t, ended().Err, context.Canceled)
	require.Positive(t, ended().Lane, "what it waited for")
	require.NoError(t, gate.Rollback(ctx))
}

func TestATransactionOfDatabaseSQLEndsForTheTracerWithItsConnectionToo(t *testing.T) {
	p, r := traced(t, pool.Config{})
	conn, err := p.DB().Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, conn.Raw(func(under any) error {
		_, err := under.(driver.ConnBeginTx).BeginTx(t.Context(), driver.TxOptions{})
		return err
	}))
	require.Empty(t, r.named("transaction")[0].ends)
	require.NoError(t, conn.Close())
	require.ErrorIs(t, r.named("transaction")[0].end(t).Err, pool.ErrReleased)
	r.requireWhole(t)
	requireAtRest(t, p)
}

func TestAQueryIsTracedWithItsTextAsItWasWritten(t *testing.T) {
	p, r := traced(t, pool.Config{})
	ctx := t.Context()
	texts := []string{
		"SELECT 1",
		"  SELECT\t1 -- a comment\n ;  ",
		"INSERT INTO n VALUES (?, ?)",
		"INSERT INTO n VALUES (20, 1); INSERT INTO n VALUES (21, 1);",
		"SELECT nonsense FROM nowhere",
		"BEGIN",
		"UPDATE n SET v = v + 1 RETURNING v",
	}
	for i, text := range texts {
		var args []any
		if strings.Contains(text, "?") {
			args = []any{100 + i, i}
		}
		l, err := p.Acquire(ctx)
		require.NoError(t, err)
		r.reset()
		_, execErr := l.ExecContext(ctx, text, args...)
		l.Release()
		end := r.query(t, text).end(t)
		require.Equal(t, execErr, end.Err, text)
		require.Len(t, r.named("query"), 1, "a script is one query")
		require.Nil(t, r.named("query")[0].op.Args)
	}
	r.requireWhole(t)
}

func TestAPreparedStatementIsAQueryEachTimeItRuns(t *testing.T) {
	p, r := traced(t, pool.Config{TraceArguments: true})
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		s, err := tx.PrepareContext(ctx, "INSERT INTO n VALUES (?, ?)")
		if err != nil {
			return err
		}
		require.Empty(t, r.named("query"), "preparing is none")
		for i := range 3 {
			if _, err := s.ExecContext(ctx, i+10, i); err != nil {
				return err
			}
		}
		return nil
	}))
	queries := r.named("query")
	require.Len(t, queries, 3)
	for i, q := range queries {
		require.Equal(t, "INSERT INTO n VALUES (?, ?)", q.op.SQL)
		require.Equal(t, []any{int64(i + 10), int64(i)}, q.op.Args)
		require.Equal(t, "transaction", q.parent.op.Name)
	}
	r.requireWhole(t)
}

func TestArgumentsAreSecretUnlessTheConfigurationSaysOtherwise(t *testing.T) {
	for _, given := range []bool{false, true} {
		t.Run(fmt.Sprint(given), func(t *testing.T) {
			p, r := traced(t, pool.Config{TraceArguments: given})
			l, err := p.Acquire(t.Context())
			require.NoError(t, err)
			defer l.Release()
			ctx := t.Context()
			require.NoError(t, do(ctx, l, "INSERT INTO heap VALUES (?)", "hush"))
			require.NoError(t, do(ctx, l, "INSERT INTO heap VALUES (@secret)", sql.Named("secret", "hush")))
			var found string
			require.NoError(t, l.QueryRowContext(ctx, "SELECT b FROM heap WHERE b = ? LIMIT ?", "hush", 1).Scan(&found))
			require.Error(t, do(ctx, l, "INSERT INTO nowhere VALUES (?)", "hush"))
			var got [][]any
			for _, q := range r.named("query") {
				got = append(got, q.op.Args)
			}
			if given {
				require.Equal(t, [][]any{{"hush"}, {"hush"}, {"hush", int64(1)}, {"hush"}}, got)
				return
			}
			require.Equal(t, [][]any{nil, nil, nil, nil}, got)
			for _, o := range r.all() {
				require.NotContains(t, fmt.Sprintf("%+v %+v", o.op, o.ends), "hush")
			}
		})
	}
}

func TestErrorsReachTheTracer(t *testing.T) {
	p, r := traced(t, pool.Config{MaxConns: 2})
	ctx := t.Context()

	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	r.reset()
	err = do(ctx, l, "INSERT INTO n VALUES (1, 1)")
	require.Equal(t, dberr.ErrDuplicate, dberr.Kind(err))
	require.Equal(t, err, r.named("query")[0].end(t).Err)

	over, cancel := context.WithCancel(ctx)
	waiting := make(chan error)
	go func() {
		_, err := p.Acquire(over)
		waiting <- err
	}()
	waitFor(t, "it waits for the lease", func() bool { return p.Stats().Waiting == 1 })
	r.reset()
	cancel()
	require.ErrorIs(t, <-waiting, context.Canceled)
	l.Release()

	_, err = p.Acquire(over)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, p.InTx(over, pool.Immediate, doing("SELECT 1")), context.Canceled)
	require.ErrorIs(t, p.Batch(over, doing("SELECT 1")), context.Canceled)
	require.Equal(t, "\nacquire\ntransaction\n  acquire\nbatch\n  acquire", r.tree())
	for _, o := range r.all() {
		require.ErrorIs(t, o.end(t).Err, context.Canceled)
	}

	r.reset()
	require.Same(t, errOurs, p.Batch(ctx, func(context.Context, *pool.Tx) error { return errOurs }))
	require.Same(t, errOurs, r.named("batch")[0].end(t).Err)

	r.reset()
	ending, cancel := context.WithCancel(ctx)
	err = p.InTx(ending, pool.Immediate, func(context.Context, *pool.Tx) error {
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, err, r.named("transaction")[0].end(t).Err, "a commit that fails")

	r.reset()
	require.NoError(t, p.Close())
	_, err = p.Acquire(ctx)
	require.ErrorIs(t, err, pool.ErrClosed)
	require.ErrorIs(t, r.named("acquire")[0].end(t).Err, pool.ErrClosed)
}

func TestAQueryEndsWhenItsRowsAreClosed(t *testing.T) {
	tracedEverywhere(t, func(t *testing.T, p *pool.Pool, r *recorder) {
		ctx := t.Context()
		l, err := p.Acquire(ctx)
		require.NoError(t, err)
		defer l.Release()
		ends := func() int { return len(r.named("query")[0].ends) }

		rows, err := l.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.Zero(t, ends())
		require.NoError(t, rows.Close())
		require.NoError(t, rows.Close())
		require.Equal(t, 1, ends())
		require.NoError(t, r.named("query")[0].end(t).Err)

		r.reset()
		rows, err = l.QueryContext(ctx, "SELECT 1")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.Zero(t, ends())
		require.False(t, rows.Next(), "which closes them")
		require.NoError(t, rows.Err())
		require.Equal(t, 1, ends())
		require.NoError(t, rows.Close())
		require.NoError(t, r.named("query")[0].end(t).Err)

		r.reset()
		rows, err = l.QueryContext(ctx, "SELECT x, abs(x) FROM (SELECT 1 AS x UNION ALL SELECT -9223372036854775808)")
		require.NoError(t, err)
		for rows.Next() {
			require.Zero(t, ends())
		}
		require.ErrorContains(t, rows.Err(), "overflow")
		require.ErrorIs(t, r.named("query")[0].end(t).Err, rows.Err(), "the iteration's error")

		r.reset()
		over, cancel := context.WithCancel(ctx)
		rows, err = l.QueryContext(over, "SELECT 1 UNION ALL SELECT 2")
		require.NoError(t, err)
		require.True(t, rows.Next())
		cancel()
		require.False(t, rows.Next())
		require.ErrorIs(t, rows.Err(), context.Canceled)
		require.ErrorIs(t, r.named("query")[0].end(t).Err, context.Canceled)
		r.requireWhole(t)
	})
}

func TestAQueryEndsWithTheLeaseOrTransactionOfItsRows(t *testing.T) {
	p, r := traced(t, pool.Config{})
	ctx := t.Context()
	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	left, err := l.QueryContext(ctx, "SELECT 1")
	require.NoError(t, err)
	defer left.Close()
	require.Empty(t, r.query(t, "SELECT 1").ends)
	l.Release()
	r.query(t, "SELECT 1").end(t)

	require.NoError(t, p.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		err := tx.Savepoint(ctx, func(ctx context.Context, tx *pool.Tx) error {
			inner, err := tx.QueryContext(ctx, "SELECT 2")
			if err == nil {
				t.Cleanup(func() { _ = inner.Close() })
			}
			return err
		})
		if err != nil {
			return err
		}
		r.query(t, "SELECT 2").end(t)
		outer, err := tx.QueryContext(ctx, "SELECT 3")
		if err == nil {
			t.Cleanup(func() { _ = outer.Close() })
		}
		require.Empty(t, r.query(t, "SELECT 3").ends)
		return err
	}))
	r.requireWhole(t)
	require.NoError(t, left.Close())
	r.requireWhole(t)
}

func TestAQueryThatIsInterruptedEndsWithItsContextsError(t *testing.T) {
	p, r := traced(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	text := endless(onSignal(t, cancel))
	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	defer l.Release()
	require.ErrorIs(t, do(ctx, l, text), context.Canceled)
	require.ErrorIs(t, r.query(t, text).end(t).Err, context.Canceled)
	r.requireWhole(t)
}

func TestWaitingForTheWriteLaneIsTold(t *testing.T) {
	tracedEverywhere(t, func(t *testing.T, p *pool.Pool, r *recorder) {
		ctx := t.Context()
		l, err := p.Acquire(ctx)
		require.NoError(t, err)
		defer l.Release()
		before := time.Now()
		lineUp(
			t, p,
			func() { assert.NoError(t, p.InTx(ctx, pool.Immediate, doing("UPDATE n SET v = 1"))) },
			func() { assert.NoError(t, do(ctx, l, "UPDATE n SET v = 2")) },
			func() { assert.NoError(t, p.InTx(ctx, pool.Deferred, doing("UPDATE n SET v = 3"))) },
			func() { assert.NoError(t, p.Batch(ctx, doing("UPDATE n SET v = 4"))) },
		)
		r.requireWithin(t, time.Since(before))
		require.Positive(t, r.query(t, "UPDATE n SET v = 1").parent.within(t, r, "acquire").end(t).Lane)
		require.Zero(t, r.query(t, "UPDATE n SET v = 1").end(t).Lane, "it had the lane already")
		require.Positive(t, r.query(t, "UPDATE n SET v = 2").end(t).Lane)
		require.Positive(t, r.query(t, "UPDATE n SET v = 3").end(t).Lane)
		require.Positive(t, r.query(t, "UPDATE n SET v = 4").parent.within(t, r, "acquire").end(t).Lane)
		for _, o := range r.all() {
			require.Zero(t, o.end(t).Lock, "no other process had a lock")
		}
	})
}

func TestAReadersWaitForTheWriterIsTold(t *testing.T) {
	for _, mode := range []string{"delete", "memory"} { // where they exclude each other
		t.Run(mode, func(t *testing.T) {
			p, r := traced(t, backupConfig(mode, nil))
			ctx := t.Context()
			l := acquire(t, p)
			gate, err := p.Begin(ctx, pool.Immediate)
			require.NoError(t, err)
			r.reset()
			before := time.Now()
			var wg sync.WaitGroup
			wg.Go(func() { assert.NoError(t, do(ctx, l, "SELECT v FROM n")) })
			waitFor(t, "it waits for the writer", func() bool { return p.Stats().Waiting == 1 })
			require.NoError(t, gate.Rollback(ctx))
			wg.Wait()
			r.requireWithin(t, time.Since(before))
			require.Positive(t, r.query(t, "SELECT v FROM n").end(t).Lane)
			l.Release()
		})
	}
}

func TestWaitingForALeaseIsTold(t *testing.T) {
	p, r := traced(t, pool.Config{MaxConns: 2})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	r.reset()
	var wg sync.WaitGroup
	wg.Go(func() {
		assert.NoError(t, p.View(t.Context(), doing("SELECT 1")))
	})
	waitFor(t, "it waits for the lease", func() bool { return p.Stats().Waiting == 1 })
	l.Release()
	wg.Wait()
	r.requireWhole(t)
	require.Positive(t, r.named("acquire")[0].end(t).Lane)
	require.Zero(t, r.query(t, "SELECT 1").end(t).Lane)
}

func TestWaitingForAnotherProcessIsTold(t *testing.T) {
	besideOthers(t) // for it waits
	path := filepath.Join(t.TempDir(), "app.db")
	p, r := traced(t, pool.Config{Path: path, BusyTimeout: 20 * time.Millisecond})
	ctx := t.Context()
	o := startOther(t, path)
	o.do("BEGIN IMMEDIATE")
	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	defer l.Release()

	before := time.Now()
	require.ErrorIs(t, do(ctx, l, "UPDATE n SET v = 1"), pool.ErrBusy)
	r.requireWithin(t, time.Since(before))
	end := r.query(t, "UPDATE n SET v = 1").end(t)
	require.ErrorIs(t, end.Err, pool.ErrBusy)
	require.Positive(t, end.Lock)

	require.NoError(t, do(ctx, l, "SELECT v FROM n"))
	require.Zero(t, r.query(t, "SELECT v FROM n").end(t).Lock, "a reader waits for nobody")

	require.ErrorIs(t, p.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		if _, err := number(ctx, tx, "SELECT 1"); err != nil {
			return err
		}
		return do(ctx, tx, "UPDATE n SET v = 2")
	}), pool.ErrBusy)
	require.Positive(t, r.query(t, "UPDATE n SET v = 2").end(t).Lock)

	require.ErrorIs(t, p.InTx(ctx, pool.Immediate, doing("SELECT 1")), pool.ErrBusy)
	all := r.named("transaction")
	require.ErrorIs(t, all[len(all)-1].end(t).Err, pool.ErrBusy)

	o.do("COMMIT")
	require.NoError(t, do(ctx, l, "UPDATE n SET v = 3"))
	require.Zero(t, r.query(t, "UPDATE n SET v = 3").end(t).Lock)
	r.requireWhole(t)
}

// halfDeaf is a Tracer that does not care how things end.
type halfDeaf struct{ started atomic.Int64 }

func (d *halfDeaf) Start(ctx context.Context, _ pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	d.started.Add(1)
	return ctx, nil
}

// traceEverything has a pool do all that is traced.
func traceEverything(t *testing.T, p *pool.Pool) {
	t.Helper()
	ctx := t.Context()
	for _, level := range levels {
		assert.NoError(t, p.InTx(ctx, level, doing("UPDATE n SET v = v + 1"), pool.Repeatable()))
		assert.Same(t, errOurs, p.InTx(ctx, level, func(ctx context.Context, tx *pool.Tx) error {
			assert.NoError(t, tx.Savepoint(ctx, doing("SELECT 1")))
			return errOurs
		}))
		tx, err := p.Begin(ctx, level)
		if assert.NoError(t, err) {
			assert.Error(t, do(ctx, tx, "nonsense"))
			assert.NoError(t, tx.Commit(ctx))
		}
	}
	assert.NoError(t, p.Batch(ctx, doing("UPDATE n SET v = v + 1; UPDATE n SET v = v + 1")))
	assert.Same(t, errOurs, p.Batch(ctx, func(context.Context, *pool.Tx) error { return errOurs }))
	assert.Panics(t, func() { _ = p.InTx(ctx, pool.Immediate, func(context.Context, *pool.Tx) error { panic("ours") }) })
	assert.NoError(t, p.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
		assert.ErrorIs(t, do(ctx, tx, "UPDATE n SET v = 0"), pool.ErrReadOnly)
		_, err := number(ctx, tx, "SELECT v FROM n WHERE id = ?", 1)
		return err
	}))
	assert.NoError(t, p.DB().PingContext(ctx))
	_, err := p.DB().ExecContext(ctx, "UPDATE n SET v = v + ?", 1)
	assert.NoError(t, err)
	l, err := p.Acquire(ctx)
	if assert.NoError(t, err) {
		rows, err := l.QueryContext(ctx, "UPDATE n SET v = v + 1 RETURNING v")
		if assert.NoError(t, err) {
			assert.True(t, rows.Next())
		}
		l.Release() // with the rows still open
		assert.ErrorIs(t, do(ctx, l, "SELECT 1"), pool.ErrReleased)
		if rows != nil {
			assert.NoError(t, rows.Close())
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	assert.ErrorIs(t, p.Batch(over, doing("SELECT 1")), context.Canceled)
	assert.NoError(t, p.HealthCheck(ctx))
}

func TestATracerNeedNotCareForTheEnd(t *testing.T) {
	for _, mode := range []string{"wal", "delete", "memory"} {
		t.Run(mode, func(t *testing.T) {
			var d halfDeaf
			p := open(t, backupConfig(mode, &d))
			traceEverything(t, p)
			require.NoError(t, p.Backup(t.Context(), filepath.Join(t.TempDir(), "copy.db")))
			require.Positive(t, d.started.Load())
			requireAtRest(t, p)
		})
	}
}

func TestEverythingWorksWithoutATracer(t *testing.T) {
	everywhere(t, pool.Config{TraceArguments: true}, func(t *testing.T, p *pool.Pool) {
		traceEverything(t, p)
		requireAtRest(t, p)
	})
}

func TestEveryOperationThatBeginsEndsOnceWhateverHappens(t *testing.T) {
	tracedEverywhere(t, func(t *testing.T, p *pool.Pool, r *recorder) {
		r.requireWhole(t)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { traceEverything(t, p) })
		}
		wg.Wait()
		requireAtRest(t, p)
		r.requireWhole(t)
		for _, name := range []string{"acquire", "transaction", "batch", "query"} {
			require.NotEmpty(t, r.named(name), name)
		}
		// A lease each, but for transactions within others.
		require.GreaterOrEqual(t, len(r.named("acquire")), len(r.named("transaction"))+len(r.named("batch")))
	})
}

func TestEveryOperationEndsOnceWhenThePoolIsClosedUnderIt(t *testing.T) {
	tracedEverywhere(t, func(t *testing.T, p *pool.Pool, r *recorder) {
		ctx := t.Context()
		l, err := p.Acquire(ctx)
		require.NoError(t, err)
		rows, err := l.QueryContext(ctx, "SELECT 1")
		require.NoError(t, err)
		tx, err := p.Begin(ctx, pool.Deferred)
		require.NoError(t, err)
		plain, err := p.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		require.NoError(t, err)
		require.NoError(t, p.Close())
		require.False(t, rows.Next())
		require.Error(t, rows.Err())
		require.NoError(t, rows.Close())
		require.Error(t, tx.Commit(ctx))
		require.ErrorIs(t, plain.Commit(), pool.ErrClosed)
		l.Release()
		r.requireWhole(t)
	})
}

// ExampleTracer measures what callers wait for.
func ExampleTracer() {
	ctx := context.Background()
	var waits slowest
	p, err := pool.Open(ctx, pool.Config{Path: pool.Memory, Tracer: &waits})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	err = p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE TABLE t (x)")
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(waits.queries, "query, which did not wait for locks of others:", waits.lock == 0)
	// Output: 1 query, which did not wait for locks of others: true
}

type slowest struct {
	mu      sync.Mutex
	queries int
	lock    time.Duration
}

func (s *slowest) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	if op.Name != "query" {
		return ctx, nil
	}
	return ctx, func(end pool.TraceEnd) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queries++
		s.lock = max(s.lock, end.Lock)
	}
}
