package dqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/pool"
	modernc "modernc.org/sqlite"
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
func (c *connector) Driver() driver.Driver { return scratch{} }

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

// scratch is the driver of DB. What it opens by itself is an empty database in memory, of
// SQLite's own: package migrate compares a cluster with what migrations make of one.
type scratch struct{}

// Open implements driver.Driver.
func (scratch) Open(name string) (driver.Conn, error) {
	if name != ":memory:" {
		return nil, &pool.Error{Op: "open", Path: name, Err: errors.ErrUnsupported, Cause: saying("this driver opens :memory: alone; dqlite.Open opens a cluster")}
	}
	return new(modernc.Driver).Open(name)
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
	if err := c.store.refuse(st); err != nil {
		return err
	}
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
	for _, one := range split(st) {
		if err := c.runAlone(ctx, one, do); err != nil {
			return err
		}
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

// runAlone runs a statement outside of a transaction. One that writes and returns rows has a
// transaction around it, without which it would end the node.
func (c *session) runAlone(ctx context.Context, st *statement, do func(*statement) error) error {
	if st.rows && !st.reads && !st.marks {
		if err := c.open(ctx, false); err != nil {
			return err
		}
		c.tx = &tx{store: c.store, conn: c.conn, level: pool.Immediate}
		defer func() { c.tx = nil }()
		if err := do(st); err != nil {
			c.tx.note(err)
			c.tx.undo(ctx)
			return c.tx.failed(ctx, "query", err)
		}
		c.conn.makeRoom() // the rows are read before they are committed
		return c.tx.commit()
	}
	err := c.onLeader(ctx, "query", isRefused, func() error {
		if err := c.conn.setReadOnly(ctx, false); err != nil { // as a transaction that only reads has left it
			return err
		}
		err := do(st)
		if err != nil && !st.reads && isDoubtful(err) {
			c.conn.close()
			c.store.counts.unknown.Add(1)
			return c.store.fail("commit", ErrCommitUnknown, err)
		}
		return err
	})
	if err == nil && !st.reads {
		c.store.news.tell()
	}
	return err
}

// onLeader does what is in no transaction yet: on a new connection where the leader of this
// one is gone and the failure says that nothing was done. database/sql would do so too, but
// not for whoever has a connection of his own.
func (c *session) onLeader(ctx context.Context, op string, nothingDone func(error) bool, do func() error) error {
	for patience := c.store.patience(); ; {
		changed := c.conn.marked // by a PRAGMA, of which a new one would not know
		err := do()
		switch {
		case err == nil || errors.Is(err, ErrCommitUnknown):
			return err
		case isBusy(err) && patience.again(ctx, err):
		case !isGone(err):
			return c.store.meaning(op, err)
		case changed || !nothingDone(err):
			return c.store.fail(op, pool.ErrTxLost, err)
		case !patience.again(ctx, err):
			return c.store.began(ctx, op, err)
		default:
			fresh, err := c.store.connect(ctx, op)
			if err != nil {
				return err
			}
			c.conn.close()
			c.conn.wire, c.conn.address, c.conn.readOnly, c.conn.marked = fresh.wire, fresh.address, false, false
		}
	}
}

// begin begins a transaction, which holds the write lane until its end unless it only reads.
func (c *session) begin(ctx context.Context, readOnly bool) error {
	level := pool.Deferred
	if !readOnly {
		level = pool.Immediate
		if err := c.takeSlot(ctx); err != nil {
			return err
		}
	}
	if err := c.open(ctx, readOnly); err != nil {
		c.over()
		return err
	}
	c.tx = &tx{store: c.store, conn: c.conn, level: level, readOnly: readOnly}
	return nil
}

func (c *session) open(ctx context.Context, readOnly bool) error {
	text := "BEGIN IMMEDIATE"
	if readOnly {
		text = "BEGIN"
	}
	return c.onLeader(ctx, "begin", isGone, func() error {
		if err := c.conn.setReadOnly(ctx, readOnly); err != nil {
			return err
		}
		_, err := c.conn.exec(ctx, text, nil)
		return err
	})
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
