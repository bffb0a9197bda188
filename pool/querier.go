package pool

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/scan"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// Querier runs statements without database/sql in between, at less than half the
// cost: what generated methods run on. A [Lease], a [Tx], a [Reader]
// and a [Writer] are Queriers. A statement runs as it does by the method with Context behind its name,
// arguments are converted as by database/sql, and fail in its words; what is
// returned is lighter.
type Querier interface {
	// Exec runs a statement or a script.
	Exec(ctx context.Context, query string, args ...any) (sql.Result, error)
	// Query runs a statement that returns rows, which must be closed or read to the
	// end. Of a script, the last statement's rows are returned.
	Query(ctx context.Context, query string, args ...any) (Rows, error)
	// QueryRow is Query for at most one row. What there was to say of the statement,
	// its Scan says.
	QueryRow(ctx context.Context, query string, args ...any) Row
}

// Rows are the rows of a query, as *sql.Rows are, which are Rows too. Those of this
// package's Queriers scan into what those scan into, with the same conversions and
// errors, but for two: sql.RawBytes are refused, since there is no memory to share,
// and a nil pointer is an error also where database/sql panics, as it does over nil
// pointers to Scanners. They may be closed by any goroutine; the rest is for one at
// a time.
type Rows interface {
	// Next reads the next row. It is false after the last one, where the rows are
	// closed, and after a failure, which Err tells.
	Next() bool
	// Scan puts the row where dest points: a pointer for each column.
	Scan(dest ...any) error
	// Err is why Next was false; nil if there was no further row.
	Err() error
	// Close ends the query. It is idempotent, and does not change Err.
	Close() error
	// Columns names the columns, until the rows are closed.
	Columns() ([]string, error)
}

// Row is the first row of a query, as a *sql.Row is, which is a Row too. One of this
// package's Queriers was read before it was returned, and its statement has run to
// its end: it holds nothing. Scan is for one call; see [Rows] for what it scans into.
type Row interface {
	// Scan returns the statement's error, sql.ErrNoRows if there was no row, or puts
	// the row where dest points.
	Scan(dest ...any) error
}

var (
	_ Querier = (*Lease)(nil)
	_ Querier = (*Tx)(nil)
	_ Querier = Reader{}
	_ Querier = Writer{}
	_ Rows    = (*sql.Rows)(nil)
	_ Row     = (*sql.Row)(nil)
)

// Exec runs a statement or a script. A writing statement waits for the write lane.
func (l *Lease) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return l.conn.runExec(l.call(ctx), query, args)
}

// Query runs a statement that returns rows. A writing one holds the write lane until
// they are closed.
func (l *Lease) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return l.conn.queryRows(l.call(ctx), query, args)
}

// QueryRow is Query for at most one row. A writing statement is run to its end.
func (l *Lease) QueryRow(ctx context.Context, query string, args ...any) Row {
	return l.conn.queryRow(l.call(ctx), query, args)
}

// Exec runs a statement or a script in the transaction.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.conn.runExec(t.call(ctx), query, args)
}

// Query runs a statement that returns rows. They end with the transaction.
func (t *Tx) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return t.conn.queryRows(t.call(ctx), query, args)
}

// QueryRow is Query for at most one row. A writing statement is run to its end.
func (t *Tx) QueryRow(ctx context.Context, query string, args ...any) Row {
	return t.conn.queryRow(t.call(ctx), query, args)
}

// Exec runs a statement or a script.
func (w Writer) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return w.ExecContext(ctx, query, args...)
}

// Query runs a statement that returns rows, which are read when it returns.
func (w Writer) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	if tx := w.pool.TxFromContext(ctx); tx != nil {
		return tx.Query(ctx, query, args...)
	}
	s, err := w.query(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return &openRows{bridge: w.pool.bridge, from: s}, nil
}

// QueryRow is Query for at most one row. A writing statement is run to its end.
func (w Writer) QueryRow(ctx context.Context, query string, args ...any) Row {
	if err := w.pool.given("query", ctx, true); err != nil {
		return &readRow{err: err}
	}
	r := newReadRow(w.pool.bridge, query, args)
	if r.err == nil {
		r.err = w.one(ctx, &r.request)
	}
	return r
}

// runningRows are the rows of a connection, in one allocation.
type runningRows struct {
	openRows
	rows  rows
	first [fewColumns]sqlite.Value
}

// What this many columns and arguments need, needs no memory of its own.
const (
	fewColumns   = 4
	fewArguments = 4
)

func (c *conn) queryRows(cl call, query string, args []any) (Rows, error) {
	values, err := argumentsOf(args)
	if err != nil {
		return nil, err
	}
	r := new(runningRows)
	r.bridge = c.pool.bridge
	if r.from, err = c.queryAt(&r.rows, cl, query, values); err != nil {
		return nil, err
	}
	if n := r.rows.Count(); n <= fewColumns {
		r.row = r.first[:n]
	}
	return &r.openRows, nil
}

// openRows are rows in their reader's hands. They know what database/sql's know of
// their state: whoever wrote for those finds the same here.
type openRows struct {
	bridge *bridge.Bridge

	mu     sync.Mutex   // guards what follows, but for the values of row, which are the reader's
	from   request.Rows // the conn.mu of which is taken under mu
	row    []sqlite.Value
	read   bool // row is one
	closed bool
	err    error
}

// Next implements Rows.
func (r *openRows) Next() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	if r.row == nil {
		r.row = make([]sqlite.Value, len(r.from.Columns()))
	}
	err := r.from.NextRow(r.row)
	if err != nil {
		_ = r.end(err)
		return false
	}
	r.read = true
	return true
}

// Scan implements Rows.
func (r *openRows) Scan(dest ...any) error {
	r.mu.Lock()
	row, err := r.row, r.mayScan()
	r.mu.Unlock()
	switch {
	case err != nil:
		return err
	case scan.HasRawBytes(dest):
		return errors.New("sql: RawBytes isn't allowed on Rows.Scan here; use []byte")
	}
	return scan.Row(r.bridge, r.from.Columns(), row, dest)
}

func (r *openRows) mayScan() error {
	switch {
	case r.err != nil:
		return r.err
	case r.closed:
		return errRowsClosed
	case !r.read:
		return errors.New("sql: Scan called without calling Next")
	}
	return nil
}

var errRowsClosed = errors.New("sql: Rows are closed") // database/sql's words

// Err implements Rows.
func (r *openRows) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close implements Rows.
func (r *openRows) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	return r.end(nil)
}

// end closes the rows over what reading them ended with, nil if that is their
// reader's wish. The caller holds mu.
func (r *openRows) end(why error) error {
	r.closed = true
	err := r.from.Close()
	if r.err = why; why == nil || why == io.EOF {
		r.err = err
	}
	return err
}

// Columns implements Rows.
func (r *openRows) Columns() ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.err != nil:
		return nil, r.err
	case r.closed:
		return nil, errRowsClosed
	}
	return slices.Clone(r.from.Columns()), nil // theirs are the statement's
}

// readRow is a request for one row that was run, in one allocation.
type readRow struct {
	bridge  *bridge.Bridge
	request request.Request
	err     error // the statement's
	first   [fewColumns]sqlite.Value
	args    [fewArguments]sqlite.Argument
}

// newReadRow returns the row of a statement that is still to be run, unless its
// arguments are at fault.
func newReadRow(b *bridge.Bridge, query string, args []any) *readRow {
	r := &readRow{bridge: b}
	r.request.Text, r.request.Row = query, r.first[:0]
	r.request.Args, r.err = appendArguments(r.args[:0], args)
	return r
}

func (c *conn) queryRow(cl call, query string, args []any) Row {
	r := newReadRow(c.pool.bridge, query, args)
	if r.err == nil {
		r.err = c.one(cl, &r.request)
	}
	return r
}

// Scan implements Row.
func (r *readRow) Scan(dest ...any) error {
	switch {
	case r.err != nil:
		return r.err
	case scan.HasRawBytes(dest):
		return errors.New("sql: RawBytes isn't allowed on Row.Scan") // database/sql's words
	case !r.request.Found:
		return sql.ErrNoRows
	}
	return scan.Row(r.bridge, r.request.Columns, r.request.Row, dest)
}
