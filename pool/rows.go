package pool

import (
	"cmp"
	"database/sql/driver"
	"errors"
	"io"
	"slices"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// cursor is rows that are read one after the other: by Scan, or by database/sql.
type cursor interface {
	driver.Rows
	// NextRow reads the next row; it is io.EOF after the last one.
	NextRow(row []sqlite.Value) error
}

// rows are a running statement. They end when they are closed, or when the
// lease, transaction or savepoint does in which they were opened.
type rows struct {
	sqlite.Header // It is as it was when the statement began, which may run again with other columns.
	conn          *conn
	call          call
	stmt          *sqlite.Stmt
	before        int32            // The connection had written so many rows when it began.
	rest          [][]sqlite.Value // These rows were read ahead.
	finished      bool             // The statement has ended, but there may be a rest.
	ended         bool             // The rows are closed. conn.mu guards this and all above.
	reason        error            // Next says this after an end from outside.
	failed        error            // Next said this last.
}

// Next is database/sql's next. The row is read where the one before was: what
// database/sql is given is all that it costs.
func (r *rows) Next(dest []driver.Value) error {
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	c.row = slices.Grow(c.row[:0], len(dest))[:len(dest)]
	defer clear(c.row)
	if err := r.read(c.row); err != nil {
		return err
	}
	box(dest, c.row)
	return nil
}

// box makes the values of a row database/sql's.
func box(dest []driver.Value, row []sqlite.Value) {
	for i := range dest {
		dest[i] = row[i].Driver()
	}
}

// NextRow implements cursor and request.Rows.
func (r *rows) NextRow(row []sqlite.Value) error {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	return r.read(row)
}

// read reads the next row, unless the caller's context has ended. The caller holds
// conn.mu.
func (r *rows) read(row []sqlite.Value) error {
	if r.ended {
		if r.reason != nil {
			return r.reason
		}
		return io.EOF
	}
	if !r.call.uncancellable() {
		if err := r.call.Context.Err(); err != nil {
			r.failed = err
			return err
		}
	}
	if len(r.rest) > 0 {
		copy(row, r.rest[0])
		r.rest = r.rest[1:]
		return nil
	}
	return r.step(row)
}

// step reads a row from SQLite. The caller holds conn.mu.
func (r *rows) step(row []sqlite.Value) error {
	if r.finished {
		if r.failed != nil {
			return r.failed
		}
		return io.EOF
	}
	if r.stmt.Ahead() { // nothing runs
		return r.stmt.Next(row)
	}
	returned := false
	defer func() { r.finished = r.finished || !returned }() // by a panic; conn.abort has ended the statement
	err := r.conn.interruptible(&r.call, r.stmt, func() error { return r.stmt.Next(row) })
	returned = true
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	r.failed = r.conn.leave(&r.call, err)
	return r.failed
}

// readAhead ends the statement and keeps its rows.
func (r *rows) readAhead() {
	for {
		row := make([]sqlite.Value, r.Count())
		if r.step(row) != nil {
			break
		}
		r.rest = append(r.rest, row)
	}
	if err := r.finish(); err != nil && r.failed == nil {
		r.failed = err
	}
}

// readWritersAhead ends the writing statements whose rows are still being read:
// SQLite would call the transaction's own statements BUSY because of them.
func (c *conn) readWritersAhead() {
	for _, r := range c.open {
		if r.stmt.Writes && !r.finished {
			r.readAhead()
		}
	}
}

// finish ends the statement.
func (r *rows) finish() error {
	if r.finished {
		return nil
	}
	r.finished = true
	var err error
	at := r.conn.started()
	if r.stmt.Writes && r.conn.db.Autocommit() {
		err = r.conn.withBusyTimeout(r.stmt.End)
	} else {
		err = r.stmt.End()
	}
	r.call.stopped(r.conn, at)
	if r.stmt.Writes && !r.stmt.Effects.Control() {
		r.conn.account(r.stmt, r.before, err)
	}
	r.conn.reportSlow(&r.call, r.stmt, cmp.Or(r.failed, err))
	r.conn.endsRun(r.stmt, cmp.Or(r.failed, err))
	r.conn.db.Release(r.stmt)
	return err
}

// Close is database/sql's, which calls it once. An autocommit write commits
// here at the latest.
func (r *rows) Close() error {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	return r.end(nil)
}

// end closes the rows. The caller holds conn.mu.
func (r *rows) end(reason error) error {
	if r.ended {
		return nil
	}
	c := r.conn
	r.ended, r.reason = true, reason
	if i := slices.Index(c.open, r); i >= 0 {
		c.open = slices.Delete(c.open, i, i+1)
	}
	if alone := c.guard.alone; alone != nil {
		alone.ended = reason != nil || r.failed != nil
	}
	err := c.leave(&r.call, r.finish())
	if r.call.span != nil {
		r.call.span.finish(errors.Join(r.failed, err))
	}
	return err
}

// noRows is what a text without a statement returns.
type noRows struct{ sqlite.Header }

func (*noRows) Columns() []string            { return []string{} }
func (*noRows) Next([]driver.Value) error    { return io.EOF }
func (*noRows) NextRow([]sqlite.Value) error { return io.EOF }
func (*noRows) Close() error                 { return nil }
