package pool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"runtime"
)

// DB returns database/sql's face of the pool, for what was made for *sql.DB:
// each operation takes a lease and gives it back. BeginTx maps sql.TxOptions:
// ReadOnly to a view, the default and LevelSerializable to IMMEDIATE,
// LevelLinearizable to EXCLUSIVE; other isolation levels are refused.
// Transaction control as text is allowed, as code written for *sql.DB uses it on
// a pinned sql.Conn, and savepoints in an sql.Tx too.
//
// It is the same *sql.DB each time. Closing that does not close the pool, and
// the next DB gives a fresh one; closing the pool closes it.
func (p *Pool) DB() *sql.DB {
	p.mu.Lock()
	f, closing := p.face, p.closing
	if f == nil {
		f = &facade{pool: p}
		f.db = sql.OpenDB(f)
		f.db.SetMaxIdleConns(-1) // an idle connection here would be a lease held there
		p.face = f
	}
	p.mu.Unlock()
	if closing {
		_ = f.db.Close()
	}
	return f.db
}

// facade is the driver behind DB.
type facade struct {
	pool *Pool
	db   *sql.DB
}

// Close is called by database/sql when the *sql.DB is closed.
func (f *facade) Close() error {
	f.pool.mu.Lock()
	defer f.pool.mu.Unlock()
	if f.pool.face == f {
		f.pool.face = nil
	}
	return nil
}

// closeFace ends database/sql's face, so that its goroutine does.
func (p *Pool) closeFace() error {
	p.mu.Lock()
	f := p.face
	p.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.db.Close()
}

// Connect takes a lease.
func (f *facade) Connect(ctx context.Context) (driver.Conn, error) {
	h := holder{label: labelOf(ctx), watched: true}
	h.depth = runtime.Callers(2, h.stack[:]) // the taker is behind much of database/sql
	l, err := f.pool.lease(ctx, "acquire", false, nil, &h)
	if err != nil {
		return nil, err
	}
	l.conn.mu.Lock()
	l.conn.text = true
	l.conn.mu.Unlock()
	return &facadeConn{lease: l}, nil
}

// Driver implements driver.Connector.
func (f *facade) Driver() driver.Driver { return f.pool.db.Driver() }

// facadeConn is a lease in database/sql's hands.
type facadeConn struct {
	lease *Lease
	tx    *Tx // open, from BeginTx
}

var _ interface {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.Pinger
	driver.Validator
	driver.SessionResetter
} = (*facadeConn)(nil)

func (f *facadeConn) call(ctx context.Context) *call {
	if f.tx != nil {
		cl := f.tx.call(ctx)
		cl.savepoints = true
		return cl
	}
	cl := f.lease.call(ctx)
	cl.control = true
	return cl
}

// ExecContext implements driver.ExecerContext.
func (f *facadeConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return f.lease.conn.exec(f.call(ctx), query, args)
}

// QueryContext implements driver.QueryerContext.
func (f *facadeConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return f.lease.conn.query(f.call(ctx), query, args)
}

// PrepareContext implements driver.ConnPrepareContext. The statement runs in
// the transaction that is open when it is run, if any, as database/sql means it.
func (f *facadeConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if _, err := f.lease.conn.PrepareContext(f.call(ctx), query); err != nil {
		return nil, err
	}
	return &facadeStmt{facadeConn: f, text: query}, nil
}

// BeginTx implements driver.ConnBeginTx.
func (f *facadeConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	level := Immediate
	switch sql.IsolationLevel(opts.Isolation) {
	case sql.LevelDefault, sql.LevelSerializable:
	case sql.LevelLinearizable:
		level = Exclusive
	default:
		return nil, f.lease.pool.fail("begin", ErrConfig, nil,
			"isolation level "+sql.IsolationLevel(opts.Isolation).String()+" does not exist in SQLite; use Default, Serializable or Linearizable")
	}
	if opts.ReadOnly || f.lease.pool.write == nil {
		if !opts.ReadOnly {
			return nil, f.lease.pool.failTx("begin", level, ErrReadOnly, nil, "set sql.TxOptions.ReadOnly")
		}
		level = Deferred
	}
	ctx, span := f.lease.pool.trace(ctx, TraceOp{Name: "transaction", Level: level})
	tx, err := f.lease.begin(ctx, level, false, span)
	if err != nil {
		err = f.lease.pool.failTx("begin", level, nil, err)
		span.finish(err)
		return nil, err
	}
	tx.readOnly = opts.ReadOnly
	f.tx = tx
	return &facadeTx{conn: f, ctx: ctx}, nil
}

// Begin implements driver.Conn.
func (f *facadeConn) Begin() (driver.Tx, error) {
	return f.BeginTx(context.Background(), driver.TxOptions{})
}

// Prepare implements driver.Conn.
func (f *facadeConn) Prepare(query string) (driver.Stmt, error) {
	return f.PrepareContext(context.Background(), query)
}

// Ping implements driver.Pinger.
func (f *facadeConn) Ping(ctx context.Context) error {
	_, err := f.ExecContext(ctx, "SELECT 1", nil)
	return err
}

// IsValid implements driver.Validator: database/sql may not keep a connection
// for the next caller, whatever its limits are set to.
func (f *facadeConn) IsValid() bool { return false }

// ResetSession implements driver.SessionResetter. With it database/sql lets a
// pinned connection live on when the context of a transaction on it ends.
func (f *facadeConn) ResetSession(context.Context) error { return nil }

// Close gives the lease back.
func (f *facadeConn) Close() error {
	f.lease.Release()
	if f.tx != nil {
		f.tx.span.finish(f.lease.pool.failTx("rollback", f.tx.level, ErrReleased, nil))
	}
	return nil
}

// facadeTx is a transaction in database/sql's hands.
type facadeTx struct {
	conn *facadeConn
	ctx  context.Context // database/sql's, in use until the transaction's end
}

// Commit implements driver.Tx.
func (t *facadeTx) Commit() error { return t.end(t.ctx, true) }

// Rollback implements driver.Tx.
func (t *facadeTx) Rollback() error { return t.end(context.Background(), false) }

func (t *facadeTx) end(ctx context.Context, keep bool) error {
	tx := t.conn.tx
	t.conn.tx = nil
	err := tx.finish(ctx, keep)
	tx.span.finish(err)
	if !keep && errors.Is(err, ErrTxDone) {
		return nil
	}
	return err
}

// facadeStmt is a prepared statement in database/sql's hands.
type facadeStmt struct {
	*facadeConn
	text string
}

// ExecContext implements driver.StmtExecContext.
func (s *facadeStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.facadeConn.ExecContext(ctx, s.text, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s *facadeStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.facadeConn.QueryContext(ctx, s.text, args)
}

// Exec implements driver.Stmt. database/sql calls ExecContext.
func (s *facadeStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// Query implements driver.Stmt. database/sql calls QueryContext.
func (s *facadeStmt) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// Close implements driver.Stmt: the connection's cache keeps what was compiled.
func (s *facadeStmt) Close() error { return nil }

// NumInput implements driver.Stmt: SQLite counts the arguments itself.
func (s *facadeStmt) NumInput() int { return -1 }
