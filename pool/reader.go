package pool

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
)

// Reader runs single reading statements, each on a lease of its own, which it gives
// back with the statement: an Exec when it returns, rows when they are closed or
// read to the end. A row has been read, and needs no connection, when
// QueryRowContext returns. Within a transaction of its context a statement runs in
// that one.
//
// It is sqlc's DBTX, but for PrepareContext, a [Querier], and safe for concurrent use. A write is
// ErrReadOnly before it runs, also in a transaction that may write. What a lease may
// end with, a statement may: see [Pool.Acquire]. Rows that become garbage without
// having been closed are taken back as an abandoned [Lease] is.
type Reader struct{ pool *Pool }

// Reader returns what runs single reading statements on the pool.
func (p *Pool) Reader() Reader { return Reader{p} }

// ExecContext runs a statement or a script and drops the rows that it returns.
func (r Reader) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if tx := r.pool.TxFromContext(ctx); tx != nil {
		return tx.conn.runExec(tx.call(ctx).reading(), query, args)
	}
	l, err := r.lease(ctx, false)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	return l.conn.runExec(l.call(ctx).reading(), query, args)
}

// QueryContext runs a statement that returns rows.
func (r Reader) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if tx := r.pool.TxFromContext(ctx); tx != nil {
		return tx.conn.runQuery(tx.call(ctx).reading(), query, args)
	}
	read, c, err := r.open(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return c.bridge.Rows(read)
}

// open runs a statement on a lease, which its rows give back.
func (r Reader) open(ctx context.Context, query string, args []any) (read cursor, c *conn, err error) {
	values, err := namedValues(args)
	if err != nil {
		return nil, nil, err
	}
	l, err := r.lease(ctx, true)
	if err != nil {
		return nil, nil, err
	}
	kept := false
	defer func() {
		if !kept { // or a function of the program's panics
			l.Release()
		}
	}()
	if read, err = l.conn.query(l.call(ctx).reading(), query, values); err != nil {
		return nil, nil, err
	}
	if open, ok := read.(*rows); ok {
		kept = true
		read = &leasedRows{open, l}
	}
	return read, l.conn, nil
}

// QueryRowContext is QueryContext for at most one row; Scan reports the errors.
func (r Reader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	values, err := namedValues(args)
	if err != nil {
		return r.pool.bridge.Row(nil, err)
	}
	if tx := r.pool.TxFromContext(ctx); tx != nil {
		return tx.conn.bridge.First(tx.conn.query(tx.call(ctx).reading(), query, values))
	}
	l, err := r.lease(ctx, false)
	if err != nil {
		return r.pool.bridge.Row(nil, err)
	}
	defer l.Release()
	return l.conn.bridge.First(l.conn.query(l.call(ctx).reading(), query, values))
}

// Exec implements Querier.
func (r Reader) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return r.ExecContext(ctx, query, args...)
}

// Query implements Querier.
func (r Reader) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	if tx := r.pool.TxFromContext(ctx); tx != nil {
		return tx.conn.queryRows(tx.call(ctx).reading(), query, args)
	}
	read, c, err := r.open(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return &openRows{bridge: c.bridge, from: read}, nil
}

// QueryRow implements Querier.
func (r Reader) QueryRow(ctx context.Context, query string, args ...any) Row {
	if tx := r.pool.TxFromContext(ctx); tx != nil {
		return tx.conn.queryRow(tx.call(ctx).reading(), query, args)
	}
	l, err := r.lease(ctx, false)
	if err != nil {
		return &readRow{err: err}
	}
	defer l.Release()
	return l.conn.queryRow(l.call(ctx).reading(), query, args)
}

// PrepareContext is refused: the connection that a statement runs on is not known
// before. Every connection keeps its statements prepared anyway.
func (r Reader) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	return nil, r.pool.fail("prepare", errors.ErrUnsupported, nil, "a Reader has no connection to prepare on; use a Lease or a Tx")
}

// lease takes a lease for the caller of a method.
func (r Reader) lease(ctx context.Context, tracked bool) (*Lease, error) {
	h := holder{label: labelOf(ctx), tracked: tracked}
	h.depth = runtime.Callers(3, r.pool.frames(&h))
	return r.pool.acquire(ctx, request{op: "acquire"}, &h)
}

// reading makes the call one that may not write.
func (cl *call) reading() *call {
	cl.readOnly = true
	return cl
}

// leasedRows give their lease back when they are closed. The connection knows the
// rows alone: a lease that it knew would never become garbage.
type leasedRows struct {
	*rows
	lease *Lease
}

// Close is database/sql's, which calls it after the last row too.
func (r *leasedRows) Close() error {
	defer r.lease.Release()
	return r.rows.Close()
}
