package wire

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// Rows are a statement's rows, which come in parts of about a page. Until they are read
// to the end or closed the connection can do nothing else.
type Rows struct {
	conn    *Conn
	ctx     context.Context // Query's: it ends reading too
	watch   *watcher
	columns []string
	types   []byte
	part    answer // what is left of the part that came last
	last    bool   // that part is the last
	done    bool
}

// What a part of rows ends with.
const (
	moreRows = 0xeeeeeeeeeeeeeeee
	noMore   = 0xffffffffffffffff
)

func (c *Conn) query(ctx context.Context, what byte, write func(*request)) (*Rows, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	c.out.begin(what)
	write(&c.out)
	if err := c.out.finish(); err != nil {
		return nil, err
	}
	r := &Rows{conn: c, ctx: ctx, watch: watch(ctx, c.net)}
	c.rows = r
	err := c.send(ctx)
	if err == nil {
		err = r.receive()
	}
	if err != nil {
		r.finish()
		return nil, err
	}
	return r, nil
}

// finish gives the connection back.
func (r *Rows) finish() {
	r.watch.end()
	r.conn.rows, r.done = nil, true
}

// receive reads the next part: the number of columns, their names, the rows, and whether
// more follow.
func (r *Rows) receive() error {
	c := r.conn
	a, err := c.receive(r.ctx)
	if err == nil {
		err = c.expect(r.ctx, &a, tellRows)
	}
	if err != nil {
		return err
	}
	malformed := func() error { return c.lose(r.ctx, true, errMalformed) }
	if len(a.bytes) < word {
		return malformed()
	}
	end := len(a.bytes) - word
	switch binary.LittleEndian.Uint64(a.bytes[end:]) {
	case noMore:
		r.last = true
	case moreRows:
	default:
		return malformed()
	}
	a.bytes = a.bytes[:end]
	n := a.many(word)
	if r.columns == nil {
		r.columns, r.types = make([]string, n), make([]byte, n)
		for i := range r.columns {
			r.columns[i] = a.text()
		}
	} else {
		for range n {
			a.text()
		}
	}
	if a.short || n == 0 || n != len(r.columns) {
		return malformed()
	}
	r.part = a
	return nil
}

// Columns returns the names of the columns.
func (r *Rows) Columns() []string {
	return slices.Clone(r.columns)
}

// Types returns the types on the wire of the values that Next returned last. They are
// dqlite's, which has one of its own for what a column is declared as. They are valid until
// the next call.
func (r *Rows) Types() []byte {
	return r.types
}

// Next reads the next row into dest, which is as long as there are columns: int64,
// float64, string, []byte (its own), bool for a column declared BOOLEAN, time.Time for
// a text that is a time, in UTC, in one declared DATE, DATETIME or TIMESTAMP, and nil.
// At the end it returns io.EOF. After another error they are closed.
func (r *Rows) Next(dest []driver.Value) error {
	switch c := r.conn; {
	case r.done:
		return io.EOF
	case len(dest) != len(r.columns):
		return fmt.Errorf("dqlite: %d values for rows of %d columns", len(dest), len(r.columns))
	case c.lost != nil:
		r.finish()
		return c.ready(r.ctx)
	case r.ctx.Err() != nil && r.last:
		r.finish()
		return r.ctx.Err()
	case r.ctx.Err() != nil:
		r.finish()
		return c.lose(r.ctx, true, r.ctx.Err())
	}
	for len(r.part.bytes) == 0 {
		if r.last {
			r.finish()
			return io.EOF
		}
		if err := r.receive(); err != nil {
			r.finish()
			return err
		}
	}
	if !r.read(dest) {
		r.finish()
		return r.conn.lose(r.ctx, true, errMalformed)
	}
	return nil
}

// read reads a row: four bits for the type of each value, then the values. It returns
// false for what is none.
func (r *Rows) read(dest []driver.Value) bool {
	a := &r.part
	types := a.take(padded(uint64(len(dest)+1) / 2))
	for i := range dest {
		if a.short {
			return false
		}
		kind := types[i/2] >> (i % 2 * 4) & 0x0f
		r.types[i] = kind
		switch kind {
		case typeInteger, typeUnixTime:
			dest[i] = int64(a.uint64())
		case typeFloat:
			dest[i] = math.Float64frombits(a.uint64())
		case typeText:
			dest[i] = a.text()
		case typeBlob:
			dest[i] = a.blob()
		case typeNull:
			a.uint64()
			dest[i] = nil
		case typeISO8601:
			dest[i] = timeOf(a.text())
		case typeBoolean:
			dest[i] = a.uint64() != 0
		default:
			return false
		}
	}
	return !a.short
}

// timeOf returns the time that a text stands for, as modernc.org/sqlite's driver and the
// pool have it, or the text if it stands for none. dqlite sends an empty one for NULL.
func timeOf(text string) driver.Value {
	if text == "" {
		return nil
	}
	if t, ok := sqlite.ParseTime(text); ok {
		return t
	}
	return text
}

// Close closes the rows. Those that were not read are interrupted, and what was on its
// way already is thrown away, so that the connection can be used again.
func (r *Rows) Close() error {
	if r.done {
		return nil
	}
	defer r.finish()
	c := r.conn
	if r.last || c.lost != nil {
		return nil
	}
	c.out.begin(askInterrupt)
	c.out.uint64(0)
	c.out.finish()
	if err := c.send(r.ctx); err != nil {
		c.lost.Sent = true // the query was
		return err
	}
	for {
		a, err := c.receive(r.ctx)
		if err != nil {
			return err
		}
		switch a.kind {
		case tellEmpty:
			return nil
		case tellRows, tellFailure: // from before the node has seen it
		default:
			return c.expect(r.ctx, &a, tellEmpty)
		}
	}
}
