package pool

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/internal/watch"
	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// conn is the connection that every statement passes through, whoever sends it.
// It knows what SQLite does not: the pool's lanes (locks.go), which transaction it
// is in and whether that one still exists (guard.go), and how to stop a statement
// whose context has ended (cancel.go).
type conn struct {
	pool    *Pool
	db      *sqlite.Conn
	bridge  *bridge.Bridge // Finished rows become database/sql's through it.
	life    life           // It says what the connection does and who has it; conns.mu guards it.
	running running        // It says what SQLite executes right now.

	// mu is held during each call into SQLite, since database/sql is not the only
	// caller: leases and transactions end while rows are open. Waiting for a lane
	// happens under it. It guards the fields below.
	mu       sync.Mutex
	current  call            // It is that of the statement which runs, if that ends with its call.
	epoch    uint64          // It counts leases: a statement of an earlier one may not run.
	open     []*rows         // These rows are not closed yet.
	row      []sqlite.Value  // A row is read here on its way to database/sql.
	locks    locks           // The connection holds this of the write lane.
	guard    guard           // It knows the transaction that the connection is in.
	copying  *modernc.Backup // A backup reads from the connection by it; nil if none does.
	tracking tracking        // It finds out that the lease became garbage before its Release.
	text     bool            // Transaction control as text is allowed, since a *sql.DB has the lease.
	changes  []string        // These settings outlive the lease unless they were set back: see state.go.
	work     watch.Work      // It has changed this and not committed it yet.
	reads    *watch.Region   // What is read is noted here, for a Watch; nil while there is none.
	others   others          // It knows what others have committed.
	broken   error           // The connection may not be used again, for this reason.
	usesLog  bool            // It keeps the log's files where they are.
	closed   bool            // SQLite has nothing to do with it any more.
	refused  map[string]int  // These statements have run alone in vain, so often; see runAlone.
	seen     []counted       // Pool.Queries has found these last; tallies.mu guards it.
}

// leave is called after whatever ran on the connection: it keeps account of the
// transaction and the locks, and gives err the pool's meaning.
func (c *conn) leave(cl *call, err error) error {
	if err != nil {
		interrupted := hasPrimary(err, lib.SQLITE_INTERRUPT)
		err = c.meaning(cl, err)
		if interrupted {
			c.endInterrupted(err)
		}
	}
	c.guard.check(c, err)
	c.locks.settle(c)
	return err
}

// meaning turns SQLite's codes into the pool's errors where the pool knows more.
func (c *conn) meaning(cl *call, err error) error {
	var e *modernc.Error
	if !errors.As(err, &e) {
		return err
	}
	switch code := e.Code(); {
	case code == lib.SQLITE_INTERRUPT:
		if cl.Context.Err() != nil {
			return cl.Context.Err()
		}
		if c.pool.ending.isForced() {
			return c.pool.fail("query", ErrClosed, err)
		}
	case code == lib.SQLITE_BUSY_SNAPSHOT, code&0xff == lib.SQLITE_BUSY && c.bars():
		return c.pool.fail("write", ErrConflict, err)
	case code&0xff == lib.SQLITE_BUSY:
		return c.pool.fail("query", ErrBusy, err)
	case code&0xff == lib.SQLITE_READONLY && code != lib.SQLITE_READONLY_DBMOVED:
		if queryOnly, _ := c.readState("PRAGMA query_only"); queryOnly != "1" && !c.pool.cfg.ReadOnly && !c.pool.source.unwritable {
			c.broken = err // it was opened while the log might not be written, and stays so
		}
		return c.pool.fail("write", ErrReadOnly, err)
	case code == lib.SQLITE_READONLY_DBMOVED:
		c.broken = err
		return c.pool.fail("write", ErrMoved, err)
	case code&0xff == lib.SQLITE_IOERR, code&0xff == lib.SQLITE_CORRUPT, code&0xff == lib.SQLITE_NOTADB, code&0xff == lib.SQLITE_MISUSE:
		c.broken = err
	}
	return err
}

// endInterrupted ends the rows that are open beside a statement which was
// interrupted. An interrupt is the connection's: SQLite keeps it until nothing
// runs there any more, so they could not go on, and the next write would be
// interrupted too, and take its transaction along
// (https://www.sqlite.org/c3ref/interrupt.html).
func (c *conn) endInterrupted(why error) {
	reason := c.pool.fail("query", nil, why, "the end of another statement of this connection ended these rows")
	for _, r := range slices.Clone(c.open) {
		if !r.finished {
			_ = r.end(reason)
		}
	}
}

// begin lets a call have the connection, until end: it is the connection's own, so
// that a statement which ends with the call needs no memory for it.
func (c *conn) begin(cl *call) *call {
	c.mu.Lock()
	c.current = *cl
	return &c.current
}

func (c *conn) end() {
	c.current = call{} // nobody's context is kept
	c.mu.Unlock()
}

// exec runs a statement or a script to its end.
func (c *conn) exec(cl call, query string, args []sqlite.Argument) (_ sqlite.Result, err error) {
	if c.pool.cfg.Tracer != nil {
		cl.Context, cl.span = c.traced(cl.Context, query, args)
		defer func() { cl.span.finish(err) }()
	}
	now := c.begin(&cl)
	defer c.end()
	return c.execLocked(now, query, args)
}

func (c *conn) execLocked(cl *call, query string, args []sqlite.Argument) (none sqlite.Result, err error) {
	if ended, err := c.endLostText(cl, query); ended {
		return none, err
	}
	if err := c.admit(cl); err != nil {
		return none, err
	}
	if err := sqlite.TimeFormat(c.pool.cfg.TimeFormat).Check(args); err != nil {
		return none, err
	}
	if s := c.cached(query); s != nil {
		return c.complete(cl, s, args)
	}
	parts := sqlite.Split(query)
	if len(parts) == 1 {
		s, err := c.prepare(cl, query, parts[0])
		if err != nil {
			return none, err
		}
		return c.complete(cl, s, args)
	}
	shares, err := sqlite.Share(parts, args)
	if err != nil {
		return none, err
	}
	return c.execScript(cl, parts, shares)
}

// cached takes a statement out of the connection's cache; it is nil if the text must
// be prepared.
func (c *conn) cached(text string) *sqlite.Stmt {
	s := c.db.Cached(text)
	if s == nil {
		c.pool.counts.statementMisses.Add(1)
	} else {
		c.pool.counts.statementHits.Add(1)
	}
	return s
}

// complete runs a statement to its end.
func (c *conn) complete(cl *call, s *sqlite.Stmt, args []sqlite.Argument) (did sqlite.Result, err error) {
	err = c.through(cl, s, args, false, func() (err error) {
		did, err = s.Complete(args)
		return err
	})
	return did, err
}

// through has a statement run, and keeps account of what it did. The statement is
// given back if it fails, and unless it is kept.
func (c *conn) through(cl *call, s *sqlite.Stmt, args []sqlite.Argument, keep bool, f func() error) error {
	if err := c.enter(cl, s, args); err != nil {
		c.db.Release(s)
		c.locks.settle(c)
		return err
	}
	if s.Effects.Control() {
		c.readWritersAhead()
	}
	before := c.db.TotalChanges()
	cl.reset(c, s)
	c.beginsRun(s)
	var err error
	if s.Effects.BusyTimeout {
		err = c.withBusyTimeout(f)
	} else if err = c.interruptible(cl, s, f); isForeignLock(err) {
		err = c.patiently(cl, s, f, err)
	}
	if err != nil || !keep {
		c.endsRun(s, err)
	}
	if err != nil || !keep || !s.Writes || s.Effects.Control() { // else it is accounted for at its end
		c.account(s, before, err)
	} else {
		c.noteReads(s)
	}
	if err == nil && s.Effects.Attaches {
		err = c.attachedNow(s, args)
	}
	if err != nil || !keep {
		c.reportSlow(cl, s, err)
		c.db.Release(s)
	}
	c.accountForText(cl, s)
	return c.leave(cl, err)
}

// accountForText notices a transaction that was begun or ended as text. The pool's own
// begins without a serial too.
func (c *conn) accountForText(cl *call, s *sqlite.Stmt) {
	if s.Effects.Control() && len(c.guard.serials) == 0 {
		c.guard.textual = (c.guard.textual || cl.kind != poolCall) && !c.db.Autocommit()
		if !c.guard.textual {
			c.guard.keys = keysUnsaid
		}
	}
}

// traced begins the span of a query.
func (c *conn) traced(ctx context.Context, query string, args []sqlite.Argument) (context.Context, *span) {
	op := TraceOp{Name: "query", SQL: query, Query: queryName(query)}
	if c.pool.cfg.TraceArguments {
		for i := range args {
			op.Args = append(op.Args, args[i].Driver())
		}
	}
	return c.pool.trace(ctx, op)
}

// execScript runs statements one after the other, each with its share of the
// arguments, with the write slot held from the first to the last. What ran before
// a failure stays done. The rows affected are the last statement's, and the last id
// is that of the row which the script inserted last.
func (c *conn) execScript(cl *call, parts []string, shares [][]sqlite.Argument) (res sqlite.Result, err error) {
	if len(parts) == 0 {
		return res, nil
	}
	if err := c.locks.hold(c, cl); err != nil {
		return res, err
	}
	defer c.locks.drop(c)
	for i, part := range parts {
		if err := c.admit(cl); err != nil {
			return res, err
		}
		s, err := c.prepare(cl, "", part)
		if err != nil {
			return res, err
		}
		did, err := c.complete(cl, s, shares[i])
		if err != nil {
			return res, err
		}
		res = did.After(res)
	}
	return res, nil
}

// query runs a statement that returns rows. Of a script, the last statement's
// rows are returned.
func (c *conn) query(cl call, query string, args []sqlite.Argument) (cursor, error) {
	return c.queryAt(new(rows), cl, query, args)
}

// queryAt is query with the rows, if there are any, where the caller has room for
// them.
func (c *conn) queryAt(r *rows, cl call, query string, args []sqlite.Argument) (_ cursor, err error) {
	if c.pool.cfg.Tracer != nil {
		cl.Context, cl.span = c.traced(cl.Context, query, args)
		defer func() {
			if err != nil { // else it goes on until the rows are closed
				cl.span.finish(err)
			}
		}()
	}
	r.call = cl
	c.mu.Lock()
	defer c.mu.Unlock()
	s, args, holds, err := c.last(&r.call, query, args)
	if holds {
		defer c.locks.drop(c)
	}
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		cl.span.finish(nil)
		return new(noRows), nil
	}
	if err := r.open(c, s, args); err != nil {
		return nil, err
	}
	return r, nil
}

// one runs a statement to its end, and reads its first row, if there is one.
func (c *conn) one(cl call, r *request.Request) (err error) {
	if c.pool.cfg.Tracer != nil {
		cl.Context, cl.span = c.traced(cl.Context, r.Text, r.Args)
		defer func() { cl.span.finish(err) }()
	}
	r.Found = false
	now := c.begin(&cl)
	defer c.end()
	s, args, holds, err := c.last(now, r.Text, r.Args)
	if holds {
		defer c.locks.drop(c)
	}
	if s == nil {
		return err
	}
	return c.through(now, s, args, false, func() (err error) {
		r.Row, r.Found, err = s.One(args, r.Row)
		r.Columns = s.Columns()
		return err
	})
}

// last is a statement, or a script's last one when the others have run, with its
// arguments; nil if there is none. The caller holds mu, and drops the locks that were
// taken for a script, if holds is true.
func (c *conn) last(cl *call, query string, args []sqlite.Argument) (s *sqlite.Stmt, _ []sqlite.Argument, holds bool, err error) {
	if ended, err := c.endLostText(cl, query); ended {
		return nil, nil, false, err
	}
	if err := c.admit(cl); err != nil {
		return nil, nil, false, err
	}
	if err := sqlite.TimeFormat(c.pool.cfg.TimeFormat).Check(args); err != nil {
		return nil, nil, false, err
	}
	if s := c.cached(query); s != nil {
		return s, args, false, nil
	}
	parts := sqlite.Split(query)
	if len(parts) != 1 {
		return c.lastOfScript(cl, parts, args)
	}
	s, err = c.prepare(cl, query, parts[0])
	return s, args, false, err
}

// lastOfScript is last for a text that is no single statement.
func (c *conn) lastOfScript(cl *call, parts []string, args []sqlite.Argument) (s *sqlite.Stmt, _ []sqlite.Argument, holds bool, err error) {
	shares, err := sqlite.Share(parts, args)
	if err != nil || len(parts) == 0 {
		return nil, nil, false, err
	}
	if err := c.locks.hold(c, cl); err != nil {
		return nil, nil, false, err
	}
	defer func() {
		if !holds { // or a function of the program's panics
			c.locks.drop(c)
		}
	}()
	n := len(parts) - 1
	if _, err := c.execScript(cl, parts[:n], shares); err != nil {
		return nil, nil, false, err
	}
	if err := c.admit(cl); err != nil {
		return nil, nil, false, err
	}
	s, err = c.prepare(cl, "", parts[n])
	return s, shares[n], err == nil, err
}

// open runs a statement up to its first row. The caller holds mu.
func (r *rows) open(c *conn, s *sqlite.Stmt, args []sqlite.Argument) error {
	err := c.through(&r.call, s, args, true, func() error {
		r.before = c.db.TotalChanges()
		return s.Open(args)
	})
	if err == nil {
		r.Header, r.conn, r.stmt = s.Header(), c, s
		c.open = append(c.open, r)
	}
	return err
}

// word runs one of the pool's own statements and returns its first column as text.
func (c *conn) word(cl *call, text string) (string, error) {
	s, err := c.prepare(cl, "", text)
	if err != nil {
		return "", err
	}
	r := &rows{call: *cl}
	if err := r.open(c, s, nil); err != nil {
		return "", err
	}
	value := make([]sqlite.Value, 1)
	err = s.Next(value)
	return value[0].Text(), errors.Join(err, r.end(nil))
}

// closeRows closes the rows opened at depth or below. Whoever still iterates
// them gets the pool's error with that sentinel.
func (c *conn) closeRows(depth int, sentinel error) error {
	if len(c.open) == 0 {
		return nil
	}
	reason := c.pool.fail("query", sentinel, nil)
	var errs []error
	for i := len(c.open) - 1; i >= 0; i-- {
		if r := c.open[i]; r.call.depth >= depth {
			errs = append(errs, r.end(reason))
		}
	}
	return errors.Join(errs...)
}

// shut finalizes every statement, then closes the connection. In that order:
// the driver would keep the file open, and crash later, over a statement that
// outlives its connection.
func (c *conn) shut() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shutLocked()
}

func (c *conn) shutLocked() error {
	if c.closed {
		return nil
	}
	err := errors.Join(c.closeRows(-1, ErrClosed), c.endCopy())
	c.closed = true
	c.pool.conns.closed(c)
	c.locks.release(c)
	c.pool.leaveLog(c)
	err = errors.Join(err, c.db.Close())
	c.pool.tallies.leave(c)
	return err
}
