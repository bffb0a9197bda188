package pool

import (
	"context"
	"database/sql"

	"github.com/sqlane/sqlane/internal/request"
)

// What a Store of this package hands out runs requests too, which generated methods
// make. They are no concern of anybody else's, so the types that have the methods
// are not exported: each does what the Querier of the same name does.
var (
	_ request.Runner = storeReader{}
	_ request.Runner = storeWriter{}
	_ request.Runner = storeTx{}
)

// storeReader is a Reader as Store has it.
type storeReader struct{ Reader }

// RunExec implements request.Runner.
func (s storeReader) RunExec(ctx context.Context, r *request.Request) (sql.Result, error) {
	return s.exec(ctx, r)
}

// RunOne implements request.Runner.
func (s storeReader) RunOne(ctx context.Context, r *request.Request) error {
	p := s.pool
	if err := p.given("query", ctx, true); err != nil {
		return err
	}
	tx, free := p.carried(ctx)
	if tx != nil {
		return tx.conn.one(tx.call(ctx).reading(), r)
	}
	g, err := s.take(ctx, r.Name, free)
	if err != nil {
		return err
	}
	defer p.give(g) // also if a function of the program's panics
	return g.conn.one(g.call(ctx).reading(), r)
}

// RunMany implements request.Runner.
func (s storeReader) RunMany(ctx context.Context, r *request.Request) (request.Rows, error) {
	rows, _, err := s.many(ctx, r)
	return rows, err
}

// storeWriter is a Writer as Store has it.
type storeWriter struct{ Writer }

// RunExec implements request.Runner.
func (s storeWriter) RunExec(ctx context.Context, r *request.Request) (sql.Result, error) {
	return s.exec(ctx, r)
}

// RunOne implements request.Runner.
func (s storeWriter) RunOne(ctx context.Context, r *request.Request) error { return s.one(ctx, r) }

// RunMany implements request.Runner. The rows are read when it returns.
func (s storeWriter) RunMany(ctx context.Context, r *request.Request) (request.Rows, error) {
	if tx := s.pool.TxFromContext(ctx); tx != nil {
		return tx.conn.query(tx.call(ctx), r.Text, r.Args)
	}
	rows, err := s.run(ctx, r, everyRow)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// RunExec implements request.Runner.
func (t storeTx) RunExec(ctx context.Context, r *request.Request) (sql.Result, error) {
	return result(t.conn.exec(t.call(ctx), r.Text, r.Args))
}

// RunOne implements request.Runner.
func (t storeTx) RunOne(ctx context.Context, r *request.Request) error {
	return t.conn.one(t.call(ctx), r)
}

// RunMany implements request.Runner. The rows end with the transaction.
func (t storeTx) RunMany(ctx context.Context, r *request.Request) (request.Rows, error) {
	return t.conn.query(t.call(ctx), r.Text, r.Args)
}
