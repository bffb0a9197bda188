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
// refused, which dqlite would accept without a word. Closing it does not close the Store,
// and DB returns another one then.
func (s *Store) DB() *sql.DB { return s.sqldb.get(s) }

// face is what DB returns.
type face struct {
	mu   sync.Mutex // It guards the field below.
	from *connector // The current one is made by it; nil if there is none.
}

func (f *face) get(s *Store) *sql.DB {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from == nil {
		f.from = &connector{store: s}
		f.from.db = sql.OpenDB(f.from)
		f.from.db.SetMaxIdleConns(2)
	}
	return f.from.db
}

// forget has the next call of get make another one.
func (f *face) forget(c *connector) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from == c {
		f.from = nil
	}
}

func (f *face) end() {
	f.mu.Lock()
	last := f.from
	f.mu.Unlock()
	if last != nil {
		_ = last.db.Close()
	}
}

type connector struct {
	store *Store
	db    *sql.DB // what it connects
}

func (c *connector) Driver() driver.Driver { return scratch{} }

// Close implements io.Closer, for database/sql's Close.
func (c *connector) Close() error {
	c.store.sqldb.forget(c)
	return nil
}

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
	tx    *tx  // It was begun; nil outside of one.
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

// Ping implements driver.Pinger.
func (c *session) Ping(ctx context.Context) error {
	if c.store.life.Err() != nil {
		return c.store.closed("ping")
	}
	rows, err := c.QueryContext(ctx, "SELECT 1", nil)
	if err != nil {
		return err
	}
	return rows.Close()
}

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
	if opts.ReadOnly {
		c.conn.mu.Lock()
		defer c.conn.mu.Unlock()
		err := c.outside(ctx, "begin", isGone, func() error {
			if err := c.conn.setReadOnly(ctx, true); err != nil {
				return err
			}
			return c.plain(ctx, "BEGIN")
		})
		if err != nil {
			return nil, err
		}
		c.begun()
		return c, nil
	}
	_, err := c.ExecContext(ctx, "BEGIN", nil)
	return c, err
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

func (c *session) plain(ctx context.Context, text string) error {
	_, err := c.conn.exec(ctx, text, nil)
	return err
}

// takeSlot waits for the write lane.
func (c *session) takeSlot(ctx context.Context) error {
	switch {
	case c.slot:
		return nil
	case c.store.txOf(ctx) != nil:
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
	err = c.run(ctx, query, args, func(text string, values []driver.Value) error {
		res, err = c.conn.exec(ctx, text, values)
		return err
	})
	return res, err
}

// QueryContext implements driver.QueryerContext.
func (c *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (out driver.Rows, err error) {
	err = c.run(ctx, query, args, func(text string, values []driver.Value) error {
		got, err := c.conn.query(ctx, nil, &statement{text: text, args: values}, nil)
		if err != nil {
			return err
		}
		out = got
		if returns(text, sqlite.FirstWord(text)) || c.slot && c.tx == nil { // it may be committed when this returns
			return got.readAhead()
		}
		return nil
	})
	return out, err
}

// run runs a statement as what it is: one that begins or ends a transaction, or one of one,
// or one for itself.
func (c *session) run(ctx context.Context, query string, args []driver.NamedValue, do func(string, []driver.Value) error) error {
	values, err := c.store.named(args)
	if err != nil {
		return err
	}
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	writes, inside, words := false, false, []string{}
	for _, one := range sqlite.Split(query) {
		word := sqlite.FirstWord(one)
		words = append(words, word)
		writes = writes || !reads(one, word)
		inside = inside || returns(one, word)
		if word == "ATTACH" || word == "DETACH" {
			return c.store.fail("query", errors.ErrUnsupported, saying("%s: a cluster's database stands alone", word))
		}
		c.conn.marked = c.conn.marked || word == "PRAGMA" && !reads(one, word) || word == "CREATE" && sqlite.HasWord(one, "TEMP", "TEMPORARY")
	}
	if len(words) != 1 {
		words = []string{""}
	}
	switch word := words[0]; {
	case word == "BEGIN" && c.tx == nil:
		return c.begin(ctx)
	case (word == "COMMIT" || word == "END") && c.tx != nil:
		return c.commit()
	case word == "ROLLBACK" && c.tx != nil && !sqlite.HasWord(query, "TO"):
		return c.rollback()
	case c.tx != nil:
		if err := c.tx.alive("query"); err != nil { // or each statement would commit for itself
			return err
		}
		return c.tx.failed("query", c.patiently(ctx, func() error { return do(query, values) }))
	case !writes || word == "PRAGMA":
		return c.outside(ctx, "query", isRefused, func() error { return do(query, values) })
	}
	if inside {
		return c.inTransaction(ctx, func() error { return do(query, values) })
	}
	if err := c.takeSlot(ctx); err != nil {
		return err
	}
	defer c.giveSlot()
	var failed error
	err = c.outside(ctx, "query", isRefused, func() error {
		failed = do(query, values)
		return failed
	})
	switch {
	case err == nil:
		c.store.news.tell()
	case isGone(failed) && !isRefused(failed):
		c.store.counts.unknown.Add(1)
		return c.store.fail("commit", ErrCommitUnknown, failed)
	}
	return err
}

// outside does what is in no transaction yet: on a new connection where the leader of this
// one is gone, and again says that it did nothing. database/sql would do so too, but not for
// whoever has a connection of his own. The caller holds conn.mu.
func (c *session) outside(ctx context.Context, op string, again func(error) bool, do func() error) error {
	for patience := c.store.patience(); ; {
		changed := c.conn.marked // by a PRAGMA, which a new one would not know
		err := do()
		switch {
		case err == nil:
			return nil
		case isBusy(err) && patience.again(ctx, err):
		case !isGone(err):
			return c.store.meaning(op, err)
		case !again(err):
			return c.store.fail(op, pool.ErrTxLost, err)
		case changed || !patience.again(ctx, err):
			return c.store.began(ctx, op, err)
		default:
			if err := c.reconnect(ctx, op); err != nil {
				return err
			}
		}
	}
}

func (c *session) reconnect(ctx context.Context, op string) error {
	fresh, err := c.store.connect(ctx, op)
	if err != nil {
		return err
	}
	c.conn.close()
	c.conn.wire, c.conn.address, c.conn.readOnly, c.conn.marked = fresh.wire, fresh.address, false, false
	return nil
}

func (c *session) begun() {
	c.tx = &tx{store: c.store, conn: c.conn, level: pool.Immediate, readOnly: c.conn.readOnly}
}

// inTransaction does it in a transaction.
func (c *session) inTransaction(ctx context.Context, do func() error) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	if err := do(); err != nil {
		return errors.Join(c.tx.failed("query", err), c.rollback())
	}
	return c.commit()
}

func (c *session) patiently(ctx context.Context, do func() error) error {
	for patience := c.store.patience(); ; {
		err := do()
		if !isBusy(err) || !patience.again(ctx, err) {
			return err
		}
	}
}

// begin begins a transaction that holds the write lane until its end.
func (c *session) begin(ctx context.Context) error {
	if err := c.takeSlot(ctx); err != nil {
		return err
	}
	if err := c.outside(ctx, "begin", isGone, func() error { return c.plain(ctx, "BEGIN IMMEDIATE") }); err != nil {
		c.giveSlot()
		return err
	}
	c.begun()
	return nil
}

func (c *session) commit() error {
	var err error
	if lost := c.tx.lost; lost != nil {
		err = c.store.fail("commit", pool.ErrTxLost, lost)
	} else {
		err = c.tx.commit()
		if there, failed := c.stillOpen(err); failed == nil && there {
			return err
		}
	}
	c.tx = nil
	c.giveSlot()
	return err
}

// stillOpen reports that a failed commit has left the transaction open, which database/sql
// rolls back.
func (c *session) stillOpen(err error) (bool, error) {
	if err == nil || c.conn.broken() {
		return false, nil
	}
	return c.conn.inTransaction(context.Background())
}

func (c *session) rollback() error {
	err := c.plain(context.Background(), "ROLLBACK")
	if err != nil {
		c.conn.close()
	}
	lost := c.tx.lost != nil
	c.tx = nil
	c.giveSlot()
	if lost || isGone(err) {
		return nil // it is undone
	}
	return err
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
