package pool

import (
	"context"
	"database/sql"
	"sync/atomic"
)

// Lease is a connection in its caller's hands, from Acquire to Release. Each
// statement on it is a transaction of its own. It may be passed between
// goroutines; statements of several run one after the other.
//
// A lease that becomes garbage before its Release is taken back, and logged
// with the function that acquired it (see Config.LeakThreshold).
type Lease struct {
	pool *Pool
	grip
	released atomic.Bool // The first Release sets it, of several that may come at the same time.
}

// ExecContext runs a statement or a script. A writing statement waits for the
// write lane.
func (l *Lease) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return l.conn.runExec(l.call(ctx), query, args)
}

// PrepareContext prepares a statement for this lease. It ends with the lease.
func (l *Lease) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return l.conn.runPrepare(l.call(ctx), query)
}

// QueryContext runs a statement that returns rows. A writing one holds the
// write lane until they are closed.
func (l *Lease) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return l.conn.runQuery(l.call(ctx), query, args)
}

// QueryRowContext is QueryContext for at most one row; Scan reports the errors.
func (l *Lease) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return l.conn.runQueryRow(l.call(ctx), query, args)
}
