package pool

import (
	"context"
	"database/sql"
	"errors"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/request"
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
	values, err := argumentsOf(args)
	if err != nil {
		return nil, err
	}
	return r.exec(ctx, &request.Request{Text: query, Args: values})
}

// QueryContext runs a statement that returns rows.
func (r Reader) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	read, b, err := r.query(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return b.Rows(read)
}

// QueryRowContext is QueryContext for at most one row; Scan reports the errors.
func (r Reader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := r.pool.given("query", ctx, true); err != nil {
		return bridge.New().Row(nil, err)
	}
	values, err := argumentsOf(args)
	if err != nil {
		return r.pool.bridge.Row(nil, err)
	}
	tx, free := r.pool.carried(ctx)
	if tx != nil {
		return tx.conn.bridge.First(tx.conn.query(tx.call(ctx).reading(), query, values))
	}
	g, err := r.take(ctx, "", free)
	if err != nil {
		return r.pool.bridge.Row(nil, err)
	}
	defer r.pool.give(g)
	return g.conn.bridge.First(g.conn.query(g.call(ctx).reading(), query, values))
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
	read, b, err := r.query(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return &openRows{bridge: b, from: read}, nil
}

// QueryRow implements Querier.
func (r Reader) QueryRow(ctx context.Context, query string, args ...any) Row {
	if err := r.pool.given("query", ctx, true); err != nil {
		return &readRow{err: err}
	}
	row := newReadRow(r.pool.bridge, query, args)
	if row.err == nil {
		row.err = storeReader{r}.RunOne(ctx, &row.request)
	}
	return row
}

// PrepareContext is refused: the connection that a statement runs on is not known
// before. Every connection keeps its statements prepared anyway.
func (r Reader) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	if err := r.pool.given("prepare", context.Background(), true); err != nil {
		return nil, err
	}
	return nil, r.pool.fail("prepare", errors.ErrUnsupported, nil, "a Reader has no connection to prepare on; use a Lease or a Tx")
}

func (r Reader) exec(ctx context.Context, q *request.Request) (sql.Result, error) {
	if err := r.pool.given("query", ctx, true); err != nil {
		return nil, err
	}
	tx, free := r.pool.carried(ctx)
	if tx != nil {
		return result(tx.conn.exec(tx.call(ctx).reading(), q.Text, q.Args))
	}
	g, err := r.take(ctx, q.Name, free)
	if err != nil {
		return nil, err
	}
	defer r.pool.give(g)
	return result(g.conn.exec(g.call(ctx).reading(), q.Text, q.Args))
}

// take takes a connection for one call, which gives it back.
func (r Reader) take(ctx context.Context, name string, free bool) (grip, error) {
	h := holder{ctx: ctx, name: name}
	h.locate(r.pool)
	return r.pool.take(ctx, wish{op: "acquire", brief: true, free: free}, &h)
}

func (r Reader) query(ctx context.Context, query string, args []any) (cursor, *bridge.Bridge, error) {
	values, err := argumentsOf(args)
	if err != nil {
		return nil, nil, err
	}
	return r.many(ctx, &request.Request{Text: query, Args: values})
}

// many opens rows, and returns the bridge that is theirs. Outside a transaction they
// have a lease of their own, and give it back.
func (r Reader) many(ctx context.Context, q *request.Request) (read cursor, b *bridge.Bridge, err error) {
	if err := r.pool.given("query", ctx, true); err != nil {
		return nil, nil, err
	}
	if tx := r.pool.TxFromContext(ctx); tx != nil {
		read, err = tx.conn.query(tx.call(ctx).reading(), q.Text, q.Args)
		return read, tx.conn.bridge, err
	}
	h := holder{ctx: ctx, name: q.Name}
	h.locate(r.pool)
	l, err := r.pool.acquire(ctx, wish{op: "acquire", tracked: true}, &h)
	if err != nil {
		return nil, nil, err
	}
	kept := false
	defer func() {
		if !kept { // or a function of the program's panics
			l.Release()
		}
	}()
	if read, err = l.conn.query(l.call(ctx).reading(), q.Text, q.Args); err != nil {
		return nil, nil, err
	}
	if open, ok := read.(*rows); ok {
		kept = true
		read = &leasedRows{open, l}
	}
	return read, l.conn.bridge, nil
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
