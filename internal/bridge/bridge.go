// Package bridge gives finished rows and prepared statements the concrete types of
// database/sql, for code that asks for a *sql.Rows, *sql.Row or *sql.Stmt.
//
// Nobody outside database/sql can make one of these, and database/sql makes them
// of what a driver's connection returns. So a Bridge is a *sql.Conn whose
// connection leads nowhere: it returns what it is handed, in the context of the
// call. No statement goes through it, and closing what came across closes the rows
// or the statement that went in.
package bridge

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"slices"
	"sync/atomic"
)

// Bridge is safe for concurrent use, but database/sql locks it while a row is
// read, so rows that may be slow, or wait for each other, want bridges of their
// own. It needs no closing.
type Bridge struct {
	conn  *sql.Conn
	spare atomic.Pointer[cargo] // to be used again
	row   atomic.Pointer[first] // likewise
}

// New returns a bridge.
func New() *Bridge {
	db := sql.OpenDB(nowhere{})
	defer db.Close()                         // its goroutine; the connection that is out stays usable
	conn, _ := db.Conn(context.Background()) // nowhere can always be reached
	return &Bridge{conn: conn}
}

// Rows returns the rows as database/sql's.
func (b *Bridge) Rows(rows driver.Rows) (*sql.Rows, error) {
	c := b.load(rows, nil)
	defer b.unload(c)
	return b.conn.QueryContext(c, "")
}

// Row returns the first of the rows, or a row whose Scan returns err.
func (b *Bridge) Row(rows driver.Rows, err error) *sql.Row {
	c := b.load(rows, err)
	defer b.unload(c)
	return b.conn.QueryRowContext(c, "")
}

// First reads the first of the rows, closes them, and returns it as a row that needs
// them no more, or a row whose Scan returns err.
func (b *Bridge) First(rows driver.Rows, err error) *sql.Row {
	if err != nil {
		return b.Row(nil, err)
	}
	r := b.row.Swap(nil)
	if r == nil {
		r = &first{bridge: b}
	}
	r.columns = rows.Columns()
	r.values = slices.Grow(r.values, len(r.columns))[:len(r.columns)]
	err = rows.Next(r.values)
	r.there = err == nil
	if err == io.EOF {
		err = nil
	}
	return b.Row(r, cmp.Or(err, rows.Close()))
}

// first is a row that was read.
type first struct {
	bridge  *Bridge
	columns []string
	values  []driver.Value
	there   bool
}

func (r *first) Columns() []string { return r.columns }

func (r *first) Next(dest []driver.Value) error {
	if !r.there {
		return io.EOF
	}
	r.there = false
	copy(dest, r.values)
	return nil
}

// Close is the last that database/sql calls, so it may be used again.
func (r *first) Close() error {
	clear(r.values)
	r.values = r.values[:0]
	r.bridge.row.Store(r)
	return nil
}

// Stmt returns a statement as database/sql's. It should have a bridge of its own,
// which remembers it for as long as it is not closed.
func (b *Bridge) Stmt(s driver.Stmt) (*sql.Stmt, error) {
	return b.conn.PrepareContext(&cargo{Context: context.Background(), stmt: s}, "")
}

// cargo is what crosses the bridge. Its context never ends, so database/sql does
// not keep it: whoever made the rows watches the caller's.
type cargo struct {
	context.Context
	rows driver.Rows
	stmt driver.Stmt
	err  error
}

func (b *Bridge) load(rows driver.Rows, err error) *cargo {
	c := b.spare.Swap(nil)
	if c == nil {
		c = &cargo{Context: context.Background()}
	}
	c.rows, c.err = rows, err
	return c
}

func (b *Bridge) unload(c *cargo) {
	c.rows, c.err = nil, nil
	b.spare.Store(c)
}

// nowhere is the driver behind a bridge. It may not be an io.Closer, or
// database/sql would close it with the DB.
type nowhere struct{}

func (nowhere) Connect(context.Context) (driver.Conn, error) { return end{}, nil }
func (nowhere) Driver() driver.Driver                        { return nil }

// end is its connection. What it lacks is not called: nobody has its *sql.Conn.
type end struct{ driver.Conn }

func (end) QueryContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	c := ctx.(*cargo)
	return c.rows, c.err
}

func (end) PrepareContext(ctx context.Context, _ string) (driver.Stmt, error) {
	return ctx.(*cargo).stmt, nil
}
