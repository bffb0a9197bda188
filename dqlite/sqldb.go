package dqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/pool"
)

// DB returns the cluster as a *sql.DB, for what knows nothing else: goose, say. Whoever
// writes through it waits in the write lane like everybody: a transaction from its BEGIN
// on, which is BEGIN IMMEDIATE then, and a statement outside of one that may write for
// itself. Its connections come on top of MaxConns. BeginTx with ReadOnly is a view;
// sql.LevelDefault, LevelSerializable and LevelLinearizable are the same, other levels are
// refused, which dqlite would accept without a word. Of BEGIN, COMMIT, ROLLBACK and
// SAVEPOINT as text, those are pool.ErrTxControl that stand among other statements, or have no
// transaction to be in. A statement or a commit that was not answered is ErrCommitUnknown.
// Closing it does not close the Store: DB returns another one then.
func (s *Store) DB() *sql.DB {
	if s.given("acquire", context.Background(), true) != nil {
		return (&face{over: true}).get(s)
	}
	return s.sqldb.get(s)
}

// face is what DB returns.
type face struct {
	mu   sync.Mutex // It guards the fields below.
	db   *sql.DB    // nil if there is none, or it was closed
	over bool
}

func (f *face) get(s *Store) *sql.DB {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db != nil {
		return f.db
	}
	c := &connector{store: s}
	c.db = sql.OpenDB(c)
	if f.over {
		_ = c.db.Close()
		return c.db
	}
	f.db, c.face = c.db, f
	return f.db
}

func (f *face) end() {
	f.mu.Lock()
	db := f.db
	f.over = true
	f.mu.Unlock()
	if db != nil {
		_ = db.Close()
	}
}

// connector is the driver behind DB.
type connector struct {
	store *Store
	db    *sql.DB // It is behind this one,
	face  *face   // which is to be found there; nil if it was closed from the start.
}

// Close implements io.Closer: the *sql.DB was closed, and who asks again gets another.
func (c *connector) Close() error {
	if c.face == nil {
		return nil
	}
	c.face.mu.Lock()
	defer c.face.mu.Unlock()
	if c.face.db == c.db {
		c.face.db = nil
	}
	return nil
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return c }

// Open implements driver.Driver: a name has no meaning.
func (c *connector) Open(string) (driver.Conn, error) { return c.Connect(context.Background()) }

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.store.life.Err() != nil {
		return nil, c.store.closed("acquire")
	}
	to, err := c.store.connect(ctx, "acquire")
	if err != nil {
		return nil, err
	}
	return &session{store: c.store, conn: to}, nil
}

// session is one connection of database/sql, which has it used by one goroutine at a time.
type session struct {
	store *Store
	conn  *conn
	tx    *tx  // The one that is open on it, or nil.
	slot  bool // It has the write lane.
}

var (
	_ driver.ExecerContext  = (*session)(nil)
	_ driver.QueryerContext = (*session)(nil)
	_ driver.ConnBeginTx    = (*session)(nil)
	_ driver.Validator      = (*session)(nil)
	_ driver.Pinger         = (*session)(nil)
)

// Prepare implements driver.Conn.
func (c *session) Prepare(query string) (driver.Stmt, error) { return &prepared{c, query}, nil }

// Close implements driver.Conn.
func (c *session) Close() error {
	c.conn.close()
	c.giveSlot()
	return nil
}

// IsValid implements driver.Validator: what a PRAGMA has changed, or a transaction that was
// left open, the next user does not meet.
func (c *session) IsValid() bool { return !c.conn.broken() && !c.conn.marked && c.tx == nil }

// Ping implements driver.Pinger. database/sql does not ask on another connection if this one
// is bad, which says nothing of the cluster.
func (c *session) Ping(ctx context.Context) error { return c.store.HealthCheck(ctx) }

// Begin implements driver.Conn.
func (c *session) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx implements driver.ConnBeginTx.
func (c *session) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	switch level := sql.IsolationLevel(opts.Isolation); level {
	case sql.LevelDefault, sql.LevelSerializable, sql.LevelLinearizable:
	default:
		return nil, c.store.fail("begin", pool.ErrConfig, saying("the isolation level is %v: transactions are serializable", level))
	}
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	return c, c.begin(ctx, opts.ReadOnly)
}

// Commit implements driver.Tx.
func (c *session) Commit() error {
	_, err := c.ExecContext(context.Background(), "COMMIT", nil)
	return err
}

// Rollback implements driver.Tx.
func (c *session) Rollback() error {
	_, err := c.ExecContext(context.Background(), "ROLLBACK", nil)
	return err
}

// takeSlot waits for the write lane.
func (c *session) takeSlot(ctx context.Context) error {
	if c.store.txOf(ctx) != nil {
		return c.store.fail("acquire", pool.ErrDeadlock, saying("the context carries a transaction"))
	}
	err := c.store.acquire(ctx, c.store.write, lane.Exclusive, "acquire")
	c.slot = err == nil
	return err
}

func (c *session) giveSlot() {
	if c.slot {
		c.slot = false
		c.store.write.Unlock(lane.Exclusive)
	}
}

// ExecContext implements driver.ExecerContext.
func (c *session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	res = changed{}
	err = c.run(ctx, query, args, (*statement).each, func(st *statement) error {
		res, err = c.conn.run(ctx, st)
		return err
	})
	return res, err
}

// QueryContext implements driver.QueryerContext.
func (c *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (out driver.Rows, err error) {
	out = new(read)
	err = c.run(ctx, query, args, (*statement).whole, func(st *statement) error {
		got, err := c.conn.query(ctx, nil, st, func(err error) {
			if c.tx != nil {
				c.tx.note(err)
			}
		})
		if err != nil {
			return err
		}
		out = got
		if c.slot && c.tx == nil { // the lane is given back when this returns
			return got.readAhead()
		}
		return nil
	})
	return out, err
}

// run runs a statement as what it is: one that begins or ends a transaction, or one of one,
// or one for itself, or several of these, one after another.
func (c *session) run(ctx context.Context, query string, args []driver.NamedValue, split func(*statement) []*statement, do func(*statement) error) error {
	values, err := c.store.named(args)
	if err != nil {
		return err
	}
	st := parse(query, values)
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if word := st.controls; word != "" {
		switch alone := !st.several; {
		case alone && word == "BEGIN" && c.tx == nil:
			return c.begin(ctx, false)
		case alone && (word == "COMMIT" || word == "END") && c.tx != nil:
			return c.commit()
		case alone && word == "ROLLBACK" && c.tx != nil && !sqlite.HasWord(query, "TO"):
			return c.rollback(ctx)
		case !alone, word == "BEGIN", word == queryOnly, c.tx == nil:
			return c.store.fail("query", pool.ErrTxControl, saying("%s where it does not begin or end one transaction by itself", word))
		}
	}
	c.conn.marked = c.conn.marked || st.marks
	if c.tx != nil {
		if err := c.tx.alive("query"); err != nil {
			return err
		}
		err := c.patiently(ctx, func() error { return do(st) })
		c.tx.note(err)
		return c.tx.failed(ctx, "query", err)
	}
	if !st.reads {
		if err := c.takeSlot(ctx); err != nil {
			return err
		}
		defer c.giveSlot()
	}
	for i, one := range split(st) {
		err := c.conn.setReadOnly(ctx, false) // as a transaction that only reads has left it
		if err == nil {
			err = c.patiently(ctx, func() error { return do(one) })
		}
		switch {
		case err == nil:
			if !one.reads {
				c.store.news.tell()
			}
			continue
		case i == 0 && isGone(err) && isRefused(err) && ctx.Err() == nil:
			return driver.ErrBadConn // nothing was done: database/sql takes another connection
		case !one.reads && !isRefused(err) && (isGone(err) || isUndecided(err)):
			c.conn.close()
			c.store.counts.unknown.Add(1)
			return c.store.fail("commit", ErrCommitUnknown, err)
		}
		return c.store.meaning("query", err)
	}
	return nil
}

func (c *session) patiently(ctx context.Context, do func() error) error {
	for patience := c.store.patience(); ; {
		err := do()
		if !isBusy(err) || !patience.again(ctx, err) {
			return err
		}
	}
}

// The caller of each method below holds conn.mu.

// begin begins a transaction, which holds the write lane until its end unless it only reads.
func (c *session) begin(ctx context.Context, readOnly bool) error {
	text, level := "BEGIN IMMEDIATE", pool.Immediate
	if readOnly {
		text, level = "BEGIN", pool.Deferred
	} else if err := c.takeSlot(ctx); err != nil {
		return err
	}
	err := c.conn.setReadOnly(ctx, readOnly)
	if err == nil {
		err = c.patiently(ctx, func() error {
			_, err := c.conn.exec(ctx, text, nil)
			return err
		})
	}
	if err == nil {
		c.tx = &tx{store: c.store, conn: c.conn, level: level, readOnly: readOnly}
		return nil
	}
	c.over()
	if isGone(err) && ctx.Err() == nil {
		c.conn.close()
		return driver.ErrBadConn // nothing was begun: database/sql takes another connection
	}
	return c.store.meaning("begin", err)
}

func (c *session) commit() (err error) {
	defer c.over()
	if err := c.tx.alive("commit"); err != nil {
		c.tx.undo(context.Background())
		return err
	}
	return c.tx.commit()
}

func (c *session) rollback(ctx context.Context) error {
	c.store.counts.rolledBack.Add(1)
	c.tx.undo(ctx)
	c.over()
	return nil
}

// over is after a transaction.
func (c *session) over() {
	c.tx = nil
	c.giveSlot()
}

// named are arguments of database/sql as a node takes them.
func (s *Store) named(args []driver.NamedValue) ([]driver.Value, error) {
	plain := make([]any, len(args))
	for i, arg := range args {
		if plain[i] = arg.Value; arg.Name != "" {
			plain[i] = sql.Named(arg.Name, arg.Value)
		}
	}
	return s.values(plain)
}

// prepared is a statement that database/sql was asked to prepare: a node is given its text
// each time.
type prepared struct {
	*session
	text string
}

// NumInput implements driver.Stmt.
func (p *prepared) NumInput() int { return -1 }

// Close implements driver.Stmt.
func (p *prepared) Close() error { return nil }

// Exec implements driver.Stmt.
func (p *prepared) Exec(args []driver.Value) (driver.Result, error) {
	return p.session.ExecContext(context.Background(), p.text, numbered(args))
}

// Query implements driver.Stmt.
func (p *prepared) Query(args []driver.Value) (driver.Rows, error) {
	return p.session.QueryContext(context.Background(), p.text, numbered(args))
}

// ExecContext implements driver.StmtExecContext.
func (p *prepared) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return p.session.ExecContext(ctx, p.text, args)
}

// QueryContext implements driver.StmtQueryContext.
func (p *prepared) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return p.session.QueryContext(ctx, p.text, args)
}

func numbered(args []driver.Value) []driver.NamedValue {
	all := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		all[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return all
}
