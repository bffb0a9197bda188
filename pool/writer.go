package pool

import (
	"context"
	"database/sql"
	"errors"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// Writer runs single statements, each as a member of a [Pool.Batch] of its own:
// it returns when its work is durable, and those who wait for the write lane next
// to each other are committed together. It does so with less ado than Batch:
// whoever has the shared transaction runs the statements of those who wait behind
// it, so none of them needs a savepoint or a turn of its own. In WAL mode a statement
// behind which nobody waits is its own transaction, in autocommit.
//
// It is sqlc's DBTX, but for PrepareContext, and safe for concurrent use. All rows
// of a statement are read before the commit and kept until they are scanned, so an
// error of Scan undoes nothing: it is Batch that undoes what its function could
// not make sense of. A statement that only reads belongs on a [Reader]: here it
// waits for the write lane. Within a transaction of its context a statement runs in
// that one.
type Writer struct{ pool *Pool }

// Writer returns what runs single writing statements on the pool.
func (p *Pool) Writer() Writer { return Writer{p} }

// ExecContext runs a statement or a script.
func (w Writer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	values, err := argumentsOf(args)
	if err != nil {
		return nil, err
	}
	return w.exec(ctx, &request.Request{Text: query, Args: values})
}

// QueryContext runs a statement that returns rows.
func (w Writer) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if tx := w.pool.TxFromContext(ctx); tx != nil {
		return tx.QueryContext(ctx, query, args...)
	}
	s, err := w.query(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return w.pool.bridge.Rows(s)
}

// QueryRowContext is QueryContext for at most one row; Scan reports the errors.
func (w Writer) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := w.pool.given("query", ctx, true); err != nil {
		return bridge.New().Row(nil, err)
	}
	if tx := w.pool.TxFromContext(ctx); tx != nil {
		return tx.QueryRowContext(ctx, query, args...)
	}
	s, err := w.query(ctx, query, args)
	return w.pool.bridge.Row(s, err)
}

// PrepareContext is refused: the connection that a statement runs on is not known
// before. Every connection keeps its statements prepared anyway.
func (w Writer) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	if err := w.pool.given("prepare", context.Background(), true); err != nil {
		return nil, err
	}
	return nil, w.pool.fail("prepare", errors.ErrUnsupported, nil, "a Writer has no connection to prepare on; use a Lease or a Tx")
}

func (w Writer) exec(ctx context.Context, q *request.Request) (sql.Result, error) {
	if tx := w.pool.TxFromContext(ctx); tx != nil {
		return result(tx.conn.exec(tx.call(ctx), q.Text, q.Args))
	}
	s, err := w.run(ctx, q, noRow)
	if err != nil {
		return nil, err
	}
	return s.result, nil
}

func (w Writer) one(ctx context.Context, q *request.Request) error {
	if tx := w.pool.TxFromContext(ctx); tx != nil {
		return tx.conn.one(tx.call(ctx), q)
	}
	_, err := w.run(ctx, q, firstRowOnly)
	return err
}

func (w Writer) query(ctx context.Context, query string, args []any) (*single, error) {
	values, err := argumentsOf(args)
	if err != nil {
		return nil, err
	}
	return w.run(ctx, &request.Request{Text: query, Args: values}, everyRow)
}

// run returns when the statement is durable, whoever has run it: until then nobody
// else may use the request.
func (w Writer) run(ctx context.Context, q *request.Request, wants wantedRows) (*single, error) {
	if err := w.pool.given("query", ctx, true); err != nil {
		return nil, err
	}
	if err := sqlite.TimeFormat(w.pool.cfg.TimeFormat).Check(q.Args); err != nil { // here it concerns nobody else
		return nil, err
	}
	s := &single{Request: q, wants: wants}
	s.member.single = s
	h := holder{ctx: ctx, name: q.Name}
	h.locate(w.pool)
	var err error
	if w.pool.cfg.Tracer != nil { // each query is told in the goroutine that asked for it
		err = w.pool.batch(ctx, s.in, &h)
	} else {
		err = w.pool.batchOne(ctx, &s.member, nil, &h)
	}
	s.Request = nil // it is its caller's again, while the rows go on
	return s, err
}
