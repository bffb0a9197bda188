package dqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"io"
	"slices"

	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// rows are what a query returns, until they are closed. Whatever else is run on their
// connection meanwhile reads what is still to come of them into memory first.
type rows struct {
	conn    *conn
	owner   *tx // They are this transaction's; nil if they are of none.
	columns []string
	ended   func(error) // It is called once, with mu, when they are closed.
	unwatch func() bool // It stops looking for the end of the context.

	from  *wire.Rows       // nil once all is read
	ahead [][]driver.Value // These were read ahead.
	err   error            // It comes after those.
	over  bool             // They are closed.
}

// closeWith has them closed when the context ends.
func (r *rows) closeWith(ctx context.Context) {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if r.over { // their transaction has ended already
		return
	}
	r.unwatch = context.AfterFunc(ctx, func() {
		r.conn.mu.Lock()
		defer r.conn.mu.Unlock()
		r.end(ctx.Err())
	})
}

// Columns implements driver.Rows.
func (r *rows) Columns() []string { return r.columns }

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	switch {
	case len(r.ahead) > 0:
		copy(dest, r.ahead[0])
		r.ahead = r.ahead[1:]
		return nil
	case r.from == nil:
		return cmp.Or(r.err, io.EOF)
	}
	if err := r.from.Next(dest); err != nil {
		r.stop(err)
		return cmp.Or(r.err, io.EOF)
	}
	return nil
}

// stop says that nothing comes from the node any more.
func (r *rows) stop(why error) {
	if why == io.EOF {
		why = nil
	}
	r.err, r.from = cmp.Or(why, r.from.Close()), nil
	if isGone(r.err) {
		sentinel := pool.ErrUnhealthy
		if r.owner != nil {
			sentinel = pool.ErrTxLost
		}
		r.err = r.conn.store.fail("rows", sentinel, r.err)
	}
}

// readAhead reads what is still to come. The caller holds mu.
func (r *rows) readAhead() error {
	for r.from != nil {
		row := make([]driver.Value, len(r.columns))
		if err := r.from.Next(row); err != nil {
			r.stop(err)
			break
		}
		r.ahead = append(r.ahead, row)
	}
	return r.err
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	return r.end(nil)
}

// end closes them. The caller holds mu.
func (r *rows) end(reason error) error {
	if r.over {
		return nil
	}
	r.over, r.ahead = true, nil
	if r.unwatch != nil {
		r.unwatch()
	}
	if r.from != nil {
		r.stop(io.EOF)
	}
	err := r.err
	if r.err = reason; reason == nil {
		r.err = io.EOF
	}
	if i := slices.Index(r.conn.rows, r); i >= 0 {
		r.conn.rows = slices.Delete(r.conn.rows, i, i+1)
	}
	if r.ended != nil {
		r.ended(err)
	}
	return err
}
