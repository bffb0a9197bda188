package pool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// Requests sends each statement as a request, as generated methods do. As soon as a
// method has returned it uses the request for something else.
type Requests struct {
	DBTX
	pool *Pool
	name string
}

// ByRequest is a Querier on what a Store hands out. Whoever holds a connection for it
// has that name.
func ByRequest(p *Pool, on DBTX, name string) Requests { return Requests{on, p, name} }

func (q Requests) runner() request.Runner { return q.DBTX.(request.Runner) }

// spoil makes another request of one.
func spoil(r *request.Request) {
	r.Name, r.Text = "spoilt", "SELECT 'spoilt'"
	for i := range r.Args {
		r.Args[i] = sqlite.Argument{Name: "spoilt", Value: sqlite.TextOf("spoilt")}
	}
}

func (q Requests) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	values, err := argumentsOf(args)
	if err != nil {
		return nil, err
	}
	r := &request.Request{Name: q.name, Text: query, Args: values}
	defer spoil(r)
	return q.runner().RunExec(ctx, r)
}

func (q Requests) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	values, err := argumentsOf(args)
	if err != nil {
		return nil, err
	}
	r := &request.Request{Name: q.name, Text: query, Args: values}
	defer spoil(r)
	rows, err := q.runner().RunMany(ctx, r)
	switch {
	case err == nil:
		return &openRows{bridge: q.pool.bridge, from: rows}, nil
	case rows != nil:
		return nil, errors.Join(err, errors.New("and there are rows"))
	}
	return nil, err
}

func (q Requests) QueryRow(ctx context.Context, query string, args ...any) Row {
	row := newReadRow(q.pool.bridge, query, args)
	if row.err == nil {
		row.request.Name, row.request.Found = q.name, true // of the one before
		row.err = q.runner().RunOne(ctx, &row.request)
		spoil(&row.request)
	}
	return row
}

// RequestFace is Requests as database/sql's types have it.
type RequestFace struct{ Requests }

func (f RequestFace) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return f.Exec(ctx, query, args...)
}

func (f RequestFace) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := f.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return bridge.New().Rows(rows.(*openRows).from.(driver.Rows))
}

func (f RequestFace) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	row := f.QueryRow(ctx, query, args...).(*readRow)
	var rows oneRow
	if row.err == nil {
		rows = oneRow{names: row.request.Columns, row: row.request.Row, there: row.request.Found}
	}
	return bridge.New().Row(&rows, row.err)
}

// oneRow is a row that was read.
type oneRow struct {
	names []string
	row   []sqlite.Value
	there bool
}

func (r *oneRow) Columns() []string { return r.names }

func (r *oneRow) Next(dest []driver.Value) error {
	if !r.there {
		return io.EOF
	}
	r.there = false
	box(dest, r.row)
	return nil
}

func (r *oneRow) Close() error { return nil }
