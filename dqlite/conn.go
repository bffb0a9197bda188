package dqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"

	"github.com/sqlane/sqlane/internal/wire"
)

// conn is a connection to the leader. All of it is one goroutine's at a time.
type conn struct {
	store *Store

	mu       sync.Mutex // It guards the fields below, and is held while the node is asked.
	wire     *wire.Conn
	address  string  // It leads there.
	readOnly bool    // It refuses to write.
	marked   bool    // A statement changed it, or its node leads no more, and so nobody else gets it.
	rows     []*rows // These are open on it, the last one alone with something to come from the node.
}

// connect opens a connection. The wait for a leader is limited by AcquireTimeout.
func (s *Store) connect(ctx context.Context, op string) (*conn, error) {
	limited, cancel := s.limited(ctx)
	defer cancel()
	stop := context.AfterFunc(s.life, cancel) // the Store may end meanwhile
	defer stop()
	w, address, err := s.leader.connect(limited)
	switch {
	case err == nil:
		s.counts.connected.Add(1)
		return &conn{store: s, wire: w, address: address}, nil
	case ctx.Err() != nil:
		return nil, s.fail(op, nil, errors.Join(ctx.Err(), err))
	case s.life.Err() != nil:
		return nil, s.closed(op)
	}
	return nil, s.noQuorum(op, err)
}

func (c *conn) close() { _ = c.wire.Close() }

// broken reports that nothing can be done with it any more.
func (c *conn) broken() bool { return c.wire.Lost() != nil }

// The caller of each method below holds mu.

// exec runs a statement, or several without arguments.
func (c *conn) exec(ctx context.Context, query string, args []driver.Value) (driver.Result, error) {
	c.makeRoom()
	res, err := c.wire.Exec(ctx, query, args)
	c.marked = c.marked || isGone(err)
	return res, err
}

// execAll runs statements in one round trip.
func (c *conn) execAll(ctx context.Context, all []wire.Request) []wire.Reply {
	c.makeRoom()
	replies := c.wire.ExecAll(ctx, all)
	for i := range replies {
		c.marked = c.marked || isGone(replies[i].Err)
	}
	return replies
}

// run runs a statement whose rows nobody wants, or several. A node that was to execute one
// that returns rows would refuse, or even end.
func (c *conn) run(ctx context.Context, st *statement) (res driver.Result, err error) {
	if !st.rows {
		res, err = c.exec(ctx, st.text, st.args)
		return st.changed(res), err
	}
	res = changed{}
	for _, one := range st.each() {
		if !one.rows {
			res, err = c.exec(ctx, one.text, one.args)
		} else {
			res, err = c.runRows(ctx, one)
		}
		if res = one.changed(res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func (c *conn) runRows(ctx context.Context, st *statement) (driver.Result, error) {
	got, err := c.query(ctx, nil, st, nil)
	if err != nil {
		return nil, err
	}
	_ = got.readAhead()
	if err := got.end(nil); err != nil || st.reads {
		return changed{}, err
	}
	got, err = c.query(ctx, nil, &statement{text: "SELECT last_insert_rowid(), changes()", rows: true}, nil)
	if err != nil {
		return nil, err
	}
	row := make([]driver.Value, 2)
	if err := errors.Join(got.from.Next(row), got.end(nil)); err != nil {
		return nil, err
	}
	return changed{row[0].(int64), row[1].(int64)}, nil
}

// changed is a driver.Result.
type changed struct{ lastInsertID, rows int64 }

// LastInsertId implements driver.Result.
func (c changed) LastInsertId() (int64, error) { return c.lastInsertID, nil }

// RowsAffected implements driver.Result.
func (c changed) RowsAffected() (int64, error) { return c.rows, nil }

// control runs a statement of the Store's own, which the end of nobody's context stops.
func (c *conn) control(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	_, err := c.exec(ctx, text, nil)
	return err
}

// query runs a statement and returns its rows, of a transaction or of none. When they are
// closed ended is called with what went wrong.
func (c *conn) query(ctx context.Context, owner *tx, st *statement, ended func(error)) (*rows, error) {
	r := &rows{conn: c, owner: owner, ended: ended}
	if !st.rows { // which a node would not query
		if _, err := c.exec(ctx, st.text, st.args); err != nil {
			return nil, err
		}
		c.rows = append(c.rows, r)
		return r, nil
	}
	c.makeRoom()
	from, err := c.wire.Query(ctx, st.text, st.args)
	if err != nil {
		c.marked = c.marked || isGone(err)
		return nil, err
	}
	r.from, r.columns = from, from.Columns()
	c.rows = append(c.rows, r)
	return r, nil
}

// makeRoom reads what is still to come of the rows that are open: a node answers one
// request after the other. What goes wrong is told to whom the rows belong.
func (c *conn) makeRoom() {
	for _, r := range c.rows {
		_ = r.readAhead()
	}
}

// endRows ends the rows that a transaction has open.
func (c *conn) endRows(owner *tx) {
	for _, r := range slices.Clone(c.rows) {
		if r.owner == owner {
			_ = r.end(sql.ErrTxDone)
		}
	}
}

// setReadOnly has it refuse to write, or no longer.
func (c *conn) setReadOnly(ctx context.Context, readOnly bool) error {
	if c.readOnly == readOnly {
		return nil
	}
	text := "PRAGMA query_only=0"
	if readOnly {
		text = "PRAGMA query_only=1"
	}
	if _, err := c.exec(ctx, text, nil); err != nil {
		return err
	}
	c.readOnly = readOnly
	return nil
}

// inTransaction asks the node whether a transaction is open. SQLite may have undone it
// over the failure of a statement: https://www.sqlite.org/lang_conflict.html.
func (c *conn) inTransaction(ctx context.Context) (bool, error) {
	err := c.control(ctx, "BEGIN")
	var refused *wire.Failure
	switch {
	case err == nil: // there was none
		return false, c.control(ctx, "ROLLBACK")
	case errors.As(err, &refused) && !isGone(err):
		return true, nil
	}
	return false, err
}
