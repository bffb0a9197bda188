package pool

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"strconv"

	modernc "modernc.org/sqlite"
)

// Tx is a transaction, or at a depth a savepoint in one. It may be passed
// between goroutines, but savepoints of one transaction nest, so only one
// goroutine at a time should open them.
type Tx struct {
	pool   *Pool
	conn   *conn
	lease  *Lease
	level  Level
	part         // What its statements need to know of it.
	manual bool  // It is from Begin, and its owner ends it.
	span   *span // The tracer's, of an outermost transaction that is traced.
}

// TxOption changes how InTx works.
type TxOption func(*txOptions)

type txOptions struct{ repeatable bool }

// Repeatable says that fn may run again: where InTx would return ErrConflict it
// runs fn once more, holding the write lane and SQLite's write lock from the
// start, so that it cannot lose twice.
func Repeatable() TxOption { return func(o *txOptions) { o.repeatable = true } }

type txKey struct{ pool *Pool }

// TxFromContext returns the innermost transaction of this pool that the context
// carries, or nil. OnConnect's carries none.
func (p *Pool) TxFromContext(ctx context.Context) *Tx {
	tx, _ := ctx.Value(txKey{p}).(*Tx)
	return tx
}

func (t *Tx) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, txKey{t.pool}, t)
}

// InTx runs fn in a transaction: committed if fn returns nil and ctx has not
// ended, rolled back if fn returns an error (which InTx returns unchanged),
// panics or calls runtime.Goexit. If ctx carries a transaction of this pool
// already, fn runs in a savepoint of it; a level stronger than that
// transaction's is ErrNestedLevel.
func (p *Pool) InTx(ctx context.Context, level Level, fn func(ctx context.Context, tx *Tx) error, opts ...TxOption) error {
	if level > Exclusive {
		return p.fail("begin", ErrConfig, nil, level.String())
	}
	if outer := p.TxFromContext(ctx); outer != nil {
		return outer.nest(ctx, level, fn)
	}
	err := p.runTx(ctx, level, false, fn)
	if errors.Is(err, ErrConflict) && IsRepeatable(opts...) {
		if ended := ctx.Err(); ended != nil {
			return p.failTx("begin", level, nil, ended)
		}
		p.counts.retries.Add(1)
		err = p.runTx(ctx, level, true, fn)
	}
	return err
}

// View runs fn in a read-only transaction: one snapshot, from its first read
// on. A write in it is ErrReadOnly. Within a transaction of ctx it reads what
// that one sees.
func (p *Pool) View(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if outer := p.TxFromContext(ctx); outer != nil {
		view, err := outer.openPart(true)
		if err != nil {
			return err
		}
		return view.run(ctx, fn, func(_ context.Context, keep bool) error { return view.closePart(keep) })
	}
	return p.snapshot(ctx, fn)
}

// snapshot is View beside whatever transaction ctx carries.
func (p *Pool) snapshot(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	ctx, tx, err := p.begin(ctx, Deferred, false)
	if err != nil {
		return err
	}
	tx.readOnly = true
	return tx.run(ctx, fn, tx.end)
}

// Begin starts a transaction that its caller ends with Commit or Rollback. It
// never joins the transaction of ctx; where it would wait for that one it is
// ErrDeadlock. Prefer InTx, which cannot be left open.
func (p *Pool) Begin(ctx context.Context, level Level) (*Tx, error) {
	if level > Exclusive {
		return nil, p.fail("begin", ErrConfig, nil, level.String())
	}
	_, tx, err := p.begin(ctx, level, false)
	if err != nil {
		return nil, err
	}
	tx.manual = true
	tx.conn.mu.Lock()
	tx.lease.track()
	tx.conn.mu.Unlock()
	return tx, nil
}

func (p *Pool) runTx(ctx context.Context, level Level, slotFirst bool, fn func(context.Context, *Tx) error) error {
	ctx, tx, err := p.begin(ctx, level, slotFirst)
	if err != nil {
		return err
	}
	err = tx.run(ctx, fn, tx.end)
	if level != Deferred && p.write.Queued() > 0 {
		// The next writer runs at once and here, where the cache is warm, instead
		// of when this goroutine comes to rest or another processor wakes up.
		runtime.Gosched()
	}
	return err
}

// begin takes a lease and begins a transaction on it. The context that it
// returns is the transaction's for the tracer.
func (p *Pool) begin(ctx context.Context, level Level, slotFirst bool) (context.Context, *Tx, error) {
	if p.write == nil && level != Deferred {
		return ctx, nil, p.failTx("begin", level, ErrReadOnly, nil)
	}
	ctx, span := p.trace(ctx, TraceOp{Name: "transaction", Level: level})
	tx, err := p.beginTraced(ctx, level, slotFirst, span)
	if err != nil {
		span.finish(err)
		return ctx, nil, err
	}
	return ctx, tx, nil
}

func (p *Pool) beginTraced(ctx context.Context, level Level, slotFirst bool, span *span) (*Tx, error) {
	h := holder{label: labelOf(ctx)}
	h.depth = runtime.Callers(4, p.frames(&h)) // past InTx and what it calls
	l, err := p.acquire(ctx, request{op: "begin", choice: choice{primary: level != Deferred}}, &h)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.Level, e.leveled = level, true
		}
		return nil, err
	}
	tx, err := l.begin(ctx, level, slotFirst, span)
	if err != nil {
		l.Release()
		return nil, p.failTx("begin", level, nil, err)
	}
	return tx, nil
}

func (l *Lease) begin(ctx context.Context, level Level, slotFirst bool, span *span) (*Tx, error) {
	c := l.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := l.call(ctx)
	cl.kind, cl.span = poolCall, span
	if err := c.admit(cl); err != nil {
		return nil, err
	}
	begun := level
	if slotFirst {
		if err := c.locks.hold(c, cl); err != nil { // the lease's end drops it
			return nil, err
		}
		begun = max(level, Immediate) // or another process could come between again
	}
	if err := c.control(cl, beginWords[begun]); err != nil {
		return nil, err
	}
	return &Tx{pool: l.pool, conn: c, lease: l, level: level, part: part{serial: c.guard.push()}, span: span}, nil
}

// nest runs fn in a savepoint of t, which fn's context brought along.
func (t *Tx) nest(ctx context.Context, level Level, fn func(context.Context, *Tx) error) error {
	if level > t.level {
		return t.pool.failTx("begin", level, ErrNestedLevel, nil, "the outer one is "+t.level.String()+"; begin that one at the stronger level")
	}
	return t.Savepoint(ctx, fn)
}

// Savepoint runs fn in a savepoint of the transaction: kept if fn returns nil,
// undone if it returns an error, which Savepoint returns unchanged, panics or
// calls runtime.Goexit. The transaction goes on either way.
func (t *Tx) Savepoint(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	inner, err := t.openSavepoint(ctx)
	if err != nil {
		return err
	}
	return inner.run(ctx, fn, inner.closeSavepoint)
}

// run calls fn and ends t: end(ctx, true) to keep its work, end(ctx, false) to undo it.
func (t *Tx) run(ctx context.Context, fn func(context.Context, *Tx) error, end func(ctx context.Context, keep bool) error) error {
	returned := false
	defer func() {
		if !returned { // a panic or Goexit is passing through
			_ = end(context.WithoutCancel(ctx), false)
		}
	}()
	err := fn(t.in(ctx), t)
	returned = true
	if err != nil {
		if t.span != nil && t.depth == 0 {
			t.span.failed = err
		}
		_ = end(context.WithoutCancel(ctx), false) // a connection that cannot roll back is closed
		return err
	}
	return end(ctx, true)
}

// Commit ends a transaction from Begin and makes its work permanent. If that
// fails the transaction is rolled back: ErrTxLost if SQLite had rolled it back
// before, ErrTxDone if it had ended, the context's error if ctx is over. Outside
// WAL mode an I/O error leaves open whether it is rolled back: the journal may
// have been gone before it came.
func (t *Tx) Commit(ctx context.Context) error {
	if err := t.mayEnd("commit"); err != nil {
		return err
	}
	return t.end(ctx, true)
}

// Rollback ends a transaction from Begin and undoes its work, even if ctx is
// over. After the end it does nothing.
func (t *Tx) Rollback(ctx context.Context) error {
	if err := t.mayEnd("rollback"); err != nil {
		return err
	}
	if err := t.end(context.WithoutCancel(ctx), false); err != nil && !errors.Is(err, ErrTxDone) {
		return err
	}
	return nil
}

func (t *Tx) mayEnd(op string) error {
	if t.manual {
		return nil
	}
	return t.pool.failTx(op, t.level, ErrTxControl, nil, "the function's return ends this transaction; only one from Begin is ended by hand")
}

// Level returns the level at which the transaction began.
func (t *Tx) Level() Level { return t.level }

// end ends an outermost transaction and gives its connection back.
func (t *Tx) end(ctx context.Context, keep bool) error {
	defer t.lease.Release() // a virtual table may panic over the commit
	err := t.finish(ctx, keep)
	t.span.finish(err)
	return err
}

func (t *Tx) finish(ctx context.Context, keep bool) error {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := t.call(ctx)
	cl.kind, cl.span = poolCall, t.span
	op := "rollback"
	if keep {
		op = "commit"
	}
	err := c.admit(t.uncancellable())
	if err != nil {
		return t.pool.failTx(op, t.level, nil, err)
	}
	defer c.guard.pop(0)
	rowsErr := c.closeRows(0, ErrTxDone)
	if c.guard.lost != nil {
		if !keep {
			return nil
		}
		return t.pool.failTx(op, t.level, ErrTxLost, c.guard.lost)
	}
	if keep {
		if err = errors.Join(ctx.Err(), rowsErr); err == nil {
			c.guard.committing = true
			err = c.control(cl, "COMMIT")
			c.guard.committing = false
		}
		if err == nil {
			t.pool.counts.committed.Add(1)
			return nil
		}
		err = t.pool.failTx(op, t.level, nil, err)
	}
	t.pool.counts.rolledBack.Add(1)
	if !c.db.Autocommit() {
		c.guard.committing = true
		undone := c.control(ownCall(), "ROLLBACK")
		c.guard.committing = false
		if undone != nil {
			c.broken = undone
			err = errors.Join(err, t.pool.failTx("rollback", t.level, nil, undone))
		}
	}
	return err
}

// openPart makes a part of t that is no savepoint: of a view, in which writes
// are refused, or of a batch's first member.
func (t *Tx) openPart(readOnly bool) (*Tx, error) {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(t.call(context.Background())); err != nil {
		return nil, err
	}
	return t.inner(readOnly), nil
}

// closePart ends the part and what is open in it.
func (t *Tx) closePart(keep bool) error {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(t.uncancellable()); err != nil {
		return t.pool.failTx("part", t.level, nil, err)
	}
	defer c.guard.pop(t.depth)
	err := c.closeRows(t.depth, ErrTxDone)
	switch {
	case !keep:
		return nil
	case c.guard.lost != nil:
		return c.lostError("commit")
	case err == nil && !t.readOnly:
		err = c.debt()
	}
	if err != nil {
		return t.pool.failTx("commit", t.level, nil, err)
	}
	return nil
}

// debt is an error if a deferred foreign key is unmet.
// See https://www.sqlite.org/c3ref/c_dbstatus_options.html.
func (c *conn) debt() error {
	unmet, _, err := c.db.Driver().Status(modernc.DBStatusDeferredFKs, false)
	if err == nil && unmet != 0 {
		err = debtError{}
	}
	return err
}

func (t *Tx) openSavepoint(ctx context.Context) (*Tx, error) {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := t.call(ctx)
	cl.kind = poolCall
	if err := c.admit(cl); err != nil {
		return nil, t.pool.failTx("savepoint", t.level, nil, err)
	}
	if err := c.control(cl, savepointWords(len(c.guard.serials)).open); err != nil {
		return nil, t.pool.failTx("savepoint", t.level, nil, err)
	}
	return t.inner(t.readOnly), nil
}

// inner makes the Tx at the next depth. The caller holds conn.mu.
func (t *Tx) inner(readOnly bool) *Tx {
	in := *t
	in.depth = len(t.conn.guard.serials)
	in.serial = t.conn.guard.push()
	in.readOnly = in.readOnly || readOnly
	in.manual = false
	return &in
}

func (t *Tx) closeSavepoint(ctx context.Context, keep bool) error {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(t.uncancellable()); err != nil {
		return t.pool.failTx("savepoint", t.level, nil, err)
	}
	defer c.guard.pop(t.depth)
	rowsErr := c.closeRows(t.depth, ErrTxDone)
	if c.guard.lost != nil {
		if !keep {
			return nil
		}
		return t.pool.failTx("savepoint", t.level, ErrTxLost, c.guard.lost)
	}
	words := savepointWords(t.depth)
	var err error
	if keep {
		err = errors.Join(ctx.Err(), rowsErr)
		if err == nil && t.noInterrupt { // in a batch each pays its own debts
			err = c.debt()
		}
		if err == nil {
			if err = c.control(t.uncancellable(), words.release); err == nil {
				return nil
			}
		}
		err = t.pool.failTx("savepoint", t.level, nil, err)
	}
	if undone := c.undo(t.uncancellable(), words); undone != nil {
		// The work could not be undone alone: the whole transaction must go.
		c.guard.lost = undone
	}
	return err
}

// undo takes back everything since the savepoint, and the savepoint too.
func (c *conn) undo(cl *call, words savepointText) error {
	return errors.Join(c.control(cl, words.undo), c.control(cl, words.release))
}

var beginWords = [...]string{Deferred: "BEGIN DEFERRED", Immediate: "BEGIN IMMEDIATE", Exclusive: "BEGIN EXCLUSIVE"}

// savepointText is the SQL of the savepoint at a depth.
type savepointText struct{ open, release, undo string }

// firstSavepoints are those that nearly all are.
var firstSavepoints = [...]savepointText{1: newSavepointText(1), 2: newSavepointText(2), 3: newSavepointText(3)}

func savepointWords(depth int) savepointText {
	if depth < len(firstSavepoints) {
		return firstSavepoints[depth]
	}
	return newSavepointText(depth)
}

func newSavepointText(depth int) savepointText {
	name := "sqlane_" + strconv.Itoa(depth)
	return savepointText{open: "SAVEPOINT " + name, release: "RELEASE " + name, undo: "ROLLBACK TO " + name}
}

func (t *Tx) call(ctx context.Context) *call {
	return &call{Context: ctx, epoch: t.lease.epoch, part: t.part}
}

// uncancellable is the call of the transaction's own last statements, which run
// whatever the context.
func (t *Tx) uncancellable() *call {
	cl := t.call(context.Background())
	cl.kind = uncancellableCall
	return cl
}

// ExecContext runs a statement or a script in the transaction.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.conn.runExec(t.call(ctx), query, args)
}

// PrepareContext prepares a statement. It ends with the transaction.
func (t *Tx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return t.conn.runPrepare(t.call(ctx), query)
}

// QueryContext runs a statement that returns rows. They end with the transaction.
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.conn.runQuery(t.call(ctx), query, args)
}

// QueryRowContext is QueryContext for at most one row; Scan reports the errors.
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return t.conn.runQueryRow(t.call(ctx), query, args)
}
