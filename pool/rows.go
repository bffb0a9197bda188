package pool

import (
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"slices"
)

// rows are a running statement. They end when they are closed, or when the
// lease, transaction or savepoint does in which they were opened.
type rows struct {
	cursor
	columns  []string // as they were when it began: the statement may run again with others
	types    []string // likewise, if the statement is read here; nil if the driver reads it
	conn     *conn
	call     *call
	stmt     *statement
	rest     [][]driver.Value // read ahead
	finished bool             // the statement has ended; there may be a rest
	ended    bool             // guarded by conn.mu, like all of this
	reason   error            // what Next says after an end from outside
	failed   error            // what Next said last
}

// Next reads the next row, unless the caller's context has ended.
func (r *rows) Next(dest []driver.Value) error {
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.ended {
		if r.reason != nil {
			return r.reason
		}
		return io.EOF
	}
	if !r.call.steady {
		if err := r.call.Context.Err(); err != nil {
			r.failed = err
			return err
		}
	}
	if len(r.rest) > 0 {
		copy(dest, r.rest[0])
		r.rest = r.rest[1:]
		return nil
	}
	return r.step(dest)
}

// step reads a row from SQLite. The caller holds conn.mu.
func (r *rows) step(dest []driver.Value) error {
	if r.finished {
		if r.failed != nil {
			return r.failed
		}
		return io.EOF
	}
	if s, ok := r.cursor.(*steps); ok && s.ahead { // nothing runs
		return s.Next(dest)
	}
	returned := false
	defer func() { r.finished = r.finished || !returned }() // by a panic; conn.abort has ended the statement
	err := r.conn.interruptible(r.call, r.stmt, func() error { return r.cursor.Next(dest) })
	returned = true
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	r.failed = r.conn.leave(r.call, r.stmt.explain(err))
	return r.failed
}

// readAhead ends the statement and keeps its rows.
func (r *rows) readAhead() {
	for {
		row := make([]driver.Value, len(r.columns))
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
		if r.stmt.writes && !r.finished {
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
	if r.stmt.writes && r.conn.h.autocommit() {
		err = r.conn.withBusyTimeout(r.cursor.Close)
	} else {
		err = r.cursor.Close()
	}
	err = r.stmt.explain(err)
	r.conn.cache.give(r.stmt)
	return err
}

// Close is database/sql's, which calls it once. An autocommit write commits
// here at the latest.
func (r *rows) Close() error {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	r.conn.lent--
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
	err := c.leave(r.call, r.finish())
	if r.call.span != nil {
		r.call.span.finish(errors.Join(r.failed, err))
	}
	return err
}

// Columns implements driver.Rows.
func (r *rows) Columns() []string { return r.columns }

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if r.types != nil {
		return r.types[i]
	}
	return r.cursor.ColumnTypeDatabaseTypeName(i)
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType: it asks SQLite
// about the current row, so not after the end.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if r.finished {
		return reflect.TypeFor[any]()
	}
	return r.cursor.ColumnTypeScanType(i)
}

// ColumnTypeLength implements driver.RowsColumnTypeLength likewise.
func (r *rows) ColumnTypeLength(i int) (length int64, ok bool) {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if r.finished {
		return 0, false
	}
	return r.cursor.ColumnTypeLength(i)
}

// noRows is what a text without a statement returns.
type noRows struct{ conn *conn }

func (noRows) Columns() []string         { return []string{} }
func (noRows) Next([]driver.Value) error { return io.EOF }

// Close is database/sql's, which calls it once.
func (r noRows) Close() error {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	r.conn.lent--
	return nil
}
