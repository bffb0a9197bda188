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
	for {
		w, address, err := s.leader.connect(limited)
		switch {
		case err == nil:
		case s.life.Err() != nil:
			return nil, s.closed(op)
		case ctx.Err() != nil:
			return nil, s.fail(op, nil, err)
		default:
			return nil, s.fail(op, ErrNoQuorum, err)
		}
		c := &conn{wire: w, address: address}
		_, err = w.Exec(limited, "PRAGMA foreign_keys=1", nil)
		if err == nil {
			s.counts.connected.Add(1)
			return c, nil
		}
		c.close()
		if !isGone(err) || !rest(limited, firstPause) { // else the leader went away meanwhile
			return nil, s.began(ctx, op, err)
		}
	}
}

func (c *conn) close() { _ = c.wire.Close() }

// broken reports that nothing can be done with it any more.
func (c *conn) broken() bool { return c.wire.Lost() != nil }

// The caller of each method below holds mu.

// exec runs a statement, or several without arguments.
func (c *conn) exec(ctx context.Context, query string, args []driver.Value) (driver.Result, error) {
	if err := c.makeRoom(); err != nil {
		return nil, err
	}
	res, err := c.wire.Exec(ctx, query, args)
	c.marked = c.marked || isGone(err)
	return res, err
}

// run runs a statement whose rows nobody wants.
func (c *conn) run(ctx context.Context, st *statement) (driver.Result, error) {
	if !st.rows {
		return c.exec(ctx, st.text, st.args)
	}
	got, err := c.query(ctx, nil, st, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(got.readAhead(), got.end(nil)); err != nil || st.reads {
		return driver.RowsAffected(0), err
	}
	got, err = c.query(ctx, nil, &statement{text: "SELECT last_insert_rowid(), changes()"}, nil)
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
	_, err := c.exec(context.WithoutCancel(ctx), text, nil)
	return err
}

// query runs a statement and returns its rows, of a transaction or of none. When they are
// closed ended is called with what went wrong.
func (c *conn) query(ctx context.Context, owner *tx, st *statement, ended func(error)) (*rows, error) {
	if err := c.makeRoom(); err != nil {
		return nil, err
	}
	from, err := c.wire.Query(ctx, st.text, st.args)
	if err != nil {
		c.marked = c.marked || isGone(err)
		return nil, err
	}
	r := &rows{conn: c, owner: owner, from: from, columns: from.Columns(), ended: ended}
	c.rows = append(c.rows, r)
	return r, nil
}

// makeRoom reads what is still to come of the rows that are open: a node answers one
// request after the other.
func (c *conn) makeRoom() error {
	for _, r := range c.rows {
		if err := r.readAhead(); err != nil && c.broken() {
			return err
		}
	}
	return nil
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
	if err := c.control(ctx, text); err != nil {
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
