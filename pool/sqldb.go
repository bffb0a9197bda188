package pool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"runtime"
	"sync"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/sqlite"
	modernc "modernc.org/sqlite"
)

// DB returns database/sql's face of the pool, for what was made for *sql.DB:
// each operation takes a lease and gives it back. BeginTx maps sql.TxOptions:
// ReadOnly to a view, the default and LevelSerializable to IMMEDIATE,
// LevelLinearizable to EXCLUSIVE; other isolation levels are refused.
// Transaction control as text is allowed, as code written for *sql.DB uses it on
// a pinned sql.Conn, and savepoints in an sql.Tx too.
//
// What an operation leaves on its connection (a PRAGMA, TEMP objects, an attached
// file, a transaction begun as text by an operation of its own) stays for the
// operations that follow, as code relies on that was written for a *sql.DB with one
// idle connection: they run on the connection that carries it until it is undone or
// the *sql.DB is closed. That connection stands beside MaxConns; no lease,
// transaction or other *sql.DB meets what was set. A transaction begun as text by
// an operation that fails, or left open on an sql.Conn, is rolled back. What is
// taken back is logged. One that cannot stay, since another operation at the same
// time has left something behind, is ErrTxLost for the next operation.
// last_insert_rowid() and changes() belong to the connection that the operation
// happened to run on: use sql.Result.
//
// It is the same *sql.DB each time, whose limits and whose Close reach everybody:
// Connector makes one of one's own. Closing it does not close the pool, and the
// next DB gives a fresh one; closing the pool closes it. A nil *Pool's is closed.
func (p *Pool) DB() *sql.DB {
	if !p.isOpen() {
		db := sql.OpenDB(p.Connector())
		_ = db.Close()
		return db
	}
	f := p.face.get(p)
	if p.conns.isClosing() { // it may have begun before there was something to close
		_ = f.db.Close()
	}
	return f.db
}

// Connector returns the pool as a driver, for a *sql.DB of one's own with its own
// limits, hooks and Close: sql.OpenDB(p.Connector()). It works as DB does, and what
// operations leave behind stays among those of that *sql.DB; one connector is for
// one *sql.DB. It is to be closed by whoever opened it: after the pool's Close its
// operations are ErrClosed.
func (p *Pool) Connector() driver.Connector { return &facade{pool: p} }

// facade is the driver behind a *sql.DB.
type facade struct {
	pool *Pool
	db   *sql.DB // It is nil if it is somebody's own.

	mu      sync.Mutex // It guards the fields below, and its sessions' users.
	session *session   // It carries the state of the operations; nil while there is none.
	lost    error      // The next operation is told that the state is gone, and why.
	closed  bool       // The *sql.DB is closed.
}

// Close is called by database/sql when the *sql.DB is closed.
func (f *facade) Close() error {
	if !f.pool.isOpen() {
		return nil
	}
	f.pool.face.forget(f)
	f.mu.Lock()
	s := f.session
	f.session, f.closed = nil, true
	over := s != nil && s.users == 0
	f.mu.Unlock()
	if over {
		s.end()
	}
	return nil
}

// face is what DB gave out.
type face struct {
	mu      sync.Mutex // It guards the field below.
	current *facade    // This is the one that is not closed; nil if there is none.
}

func (s *face) get(p *Pool) *facade {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		f := &facade{pool: p}
		f.db = sql.OpenDB(f)
		f.db.SetMaxIdleConns(-1) // an idle connection here would be a lease held there
		s.current = f
	}
	return s.current
}

func (s *face) forget(f *facade) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == f {
		s.current = nil
	}
}

// close ends database/sql's face, so that its goroutine does.
func (s *face) close() error {
	s.mu.Lock()
	f := s.current
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.db.Close()
}

// Connect takes a lease, unless there is a session.
func (f *facade) Connect(ctx context.Context) (driver.Conn, error) {
	if err := f.pool.given("acquire", ctx, true); err != nil {
		return nil, err
	}
	if c, err := f.join(); c != nil || err != nil {
		return c, err
	}
	h := holder{ctx: labelAlone(ctx)}
	h.depth = runtime.Callers(2, h.stack[:]) // the taker is behind much of database/sql
	l, err := f.pool.acquire(ctx, wish{op: "acquire", tracked: true}, &h)
	if err != nil {
		return nil, err
	}
	l.conn.mu.Lock()
	l.conn.text = true
	l.conn.mu.Unlock()
	return &facadeConn{face: f, lease: l}, nil
}

// Driver implements driver.Connector.
func (f *facade) Driver() driver.Driver {
	if !f.pool.isOpen() {
		return new(modernc.Driver)
	}
	return f.pool.source.factory.Driver()
}

// facadeConn is a lease in database/sql's hands.
type facadeConn struct {
	face       *facade
	lease      *Lease
	tx         *Tx      // It is open, from BeginTx; nil if none is.
	statements int      // This many were run; one operation of the *sql.DB is one.
	failed     bool     // The last statement failed.
	session    *session // The lease is this session's; nil if it is one of its own.
	alone      bool     // It has the session for itself, for a transaction.
	joined     bool     // The transaction was begun before, by another operation.
	closed     bool     // Close was called.
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

func (f *facadeConn) call(ctx context.Context) call {
	if f.tx != nil {
		cl := f.tx.call(ctx)
		cl.kind = savepointCall
		return cl
	}
	cl := f.lease.call(ctx)
	cl.kind = textCall
	return cl
}

// ExecContext implements driver.ExecerContext.
func (f *facadeConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := f.begin(ctx, query); err != nil {
		return nil, err
	}
	values, err := sqlite.Arguments(args)
	var res sqlite.Result
	if err == nil {
		res, err = f.lease.conn.exec(f.call(ctx), query, values)
	}
	f.end(err)
	if err != nil {
		return nil, err
	}
	return res, nil
}

// QueryContext implements driver.QueryerContext.
func (f *facadeConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := f.begin(ctx, query); err != nil {
		return nil, err
	}
	values, err := sqlite.Arguments(args)
	var rows cursor
	if err == nil {
		rows, err = f.lease.conn.query(f.call(ctx), query, values)
	}
	f.end(err)
	return rows, err
}

// begin and end keep account of a statement.
func (f *facadeConn) begin(ctx context.Context, query string) error {
	want := lane.Shared
	if f.session != nil && beginsText(query) {
		want = lane.Exclusive
	}
	return f.takeTurn(ctx, want)
}

func (f *facadeConn) end(err error) {
	f.statements++
	f.failed = err != nil
	f.endTurn()
}

// PrepareContext implements driver.ConnPrepareContext. The statement runs in
// the transaction that is open when it is run, if any, as database/sql means it.
func (f *facadeConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := f.takeTurn(ctx, lane.Shared); err != nil { // some PRAGMAs act at once
		return nil, err
	}
	defer f.endTurn()
	if _, err := f.lease.conn.prepareText(f.call(ctx), query); err != nil {
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
			return nil, f.lease.pool.failTx("begin", level, ErrReadOnly, nil, readOnlyPool+" or set sql.TxOptions.ReadOnly")
		}
		level = Deferred
	}
	if err := f.takeTurn(ctx, lane.Exclusive); err != nil {
		return nil, err
	}
	ctx, span := f.lease.pool.trace(ctx, TraceOp{Name: "transaction", Level: level})
	tx, err := f.lease.begin(ctx, level, false, span)
	if err != nil {
		f.endTurn()
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
	if err := f.takeTurn(ctx, lane.Shared); err != nil {
		return err
	}
	_, err := f.lease.conn.exec(f.call(ctx), "SELECT 1", nil)
	f.endTurn()
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
	if f.closed { // by way of sql.Conn.Raw
		return nil
	}
	f.closed = true
	tx := f.tx
	if tx != nil && f.session != nil {
		_ = tx.finish(context.Background(), false)
		f.tx = nil
	}
	f.undoLeftOpen()
	switch {
	case f.session != nil:
		if f.alone { // a transaction that was left open is everybody's now
			f.session.turn.Unlock(lane.Exclusive)
		}
		f.session.leave()
	case tx != nil || !f.carry():
		f.lease.Release()
	}
	if tx != nil {
		tx.span.finish(f.lease.pool.failTx("rollback", tx.level, ErrReleased, nil))
	}
	return nil
}

// undoLeftOpen rolls back a transaction begun as text that nobody can be meant to
// go on with: its sql.Conn is closed, or the operation that began it has failed.
func (f *facadeConn) undoLeftOpen() {
	if f.session != nil && !f.alone || f.statements < 2 && !f.failed {
		return
	}
	c := f.lease.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.guard.textual && c.epoch == f.lease.epoch {
		c.undoText()
		f.face.pool.warnOfState("a transaction begun as text")
	}
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
	t.conn.endTurn()
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
