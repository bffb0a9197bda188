package pool

import (
	"context"
	"database/sql"
)

// Tx is a transaction, or at a depth a savepoint in one. It may be passed
// between goroutines, but savepoints of one transaction nest, so only one
// goroutine at a time should open them.
type Tx struct {
	pool   *Pool
	conn   *conn
	lease  *Lease
	level  Level
	part         // Its statements know this of it.
	manual bool  // It is from Begin, and its owner ends it.
	span   *span // The outermost one has it, if it is traced.
	after  afterCommit
}

// Level returns the level at which the transaction began.
func (t *Tx) Level() Level { return t.level }

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

func (t *Tx) call(ctx context.Context) call {
	return call{Context: ctx, epoch: t.lease.epoch, part: t.part}
}

// uncancellable is the call of the transaction's own last statements, which run
// whatever the context.
func (t *Tx) uncancellable() *call {
	cl := t.call(context.Background())
	cl.kind = uncancellableCall
	return &cl
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
