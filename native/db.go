package native

import (
	"context"
	"database/sql"
	"io"

	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// DBTX is sqlc's: what runs statements.
type DBTX interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// DB is what a repository's queries run on: Calls, and as a DBTX those that are
// sqlc's own methods.
type DB struct {
	DBTX
	on request.Runner
}

// On returns what runs queries on a DBTX. A pool has a way of its own for them; every
// other DBTX is given them as sqlc gives them, but for their arguments, which are
// SQLite's already: a boolean is 1 or 0, and a time in UTC. On a nil one everything
// fails.
func On(db DBTX) DB {
	if db == nil {
		db = nothing{}
	}
	if own, ok := db.(request.Runner); ok {
		return DB{db, own}
	}
	return DB{db, runner{db}}
}

// WithText returns a DBTX that runs its own text with the arguments of whatever it is
// given.
func WithText(db DBTX, text string) DBTX { return withText{On(db).DBTX, text} }

type withText struct {
	DBTX
	text string
}

func (w withText) ExecContext(ctx context.Context, _ string, args ...any) (sql.Result, error) {
	return w.DBTX.ExecContext(ctx, w.text, args...)
}

func (w withText) QueryContext(ctx context.Context, _ string, args ...any) (*sql.Rows, error) {
	return w.DBTX.QueryContext(ctx, w.text, args...)
}

func (w withText) QueryRowContext(ctx context.Context, _ string, args ...any) *sql.Row {
	return w.DBTX.QueryRowContext(ctx, w.text, args...)
}

// runner runs requests on a DBTX.
type runner struct{ db DBTX }

// RunExec implements request.Runner.
func (r runner) RunExec(ctx context.Context, q *request.Request) (sql.Result, error) {
	return r.db.ExecContext(ctx, q.Text, passed(q)...)
}

// RunOne implements request.Runner.
func (r runner) RunOne(ctx context.Context, q *request.Request) error {
	q.Found = false
	read, err := r.RunMany(ctx, q)
	if err != nil {
		return err
	}
	q.Columns = read.Columns()
	q.Row = make([]sqlite.Value, len(q.Columns))
	err = read.NextRow(q.Row)
	q.Found = err == nil
	if err == io.EOF {
		err = nil
	}
	if closing := read.Close(); err == nil {
		err = closing
	}
	return err
}

// RunMany implements request.Runner.
func (r runner) RunMany(ctx context.Context, q *request.Request) (request.Rows, error) {
	read, err := r.db.QueryContext(ctx, q.Text, passed(q)...)
	if err != nil {
		return nil, err
	}
	columns, err := read.Columns()
	if err != nil {
		_ = read.Close()
		return nil, err
	}
	return newRows(read, columns), nil
}

// passed are the arguments of a request as database/sql takes them.
func passed(q *request.Request) []any {
	args := make([]any, len(q.Args))
	for i := range q.Args {
		if args[i] = q.Args[i].Driver(); q.Args[i].Name != "" {
			args[i] = sql.Named(q.Args[i].Name, args[i])
		}
	}
	return args
}

// rows are database/sql's as those of a request.
type rows struct {
	*sql.Rows
	columns []string
	values  []any
	dest    []any // They point to values.
}

func newRows(read *sql.Rows, columns []string) *rows {
	r := &rows{Rows: read, columns: columns, values: make([]any, len(columns)), dest: make([]any, len(columns))}
	for i := range r.dest {
		r.dest[i] = &r.values[i]
	}
	return r
}

// Columns implements request.Rows.
func (r *rows) Columns() []string { return r.columns }

// NextRow implements request.Rows.
func (r *rows) NextRow(row []sqlite.Value) error {
	if !r.Next() {
		if err := r.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	if err := r.Rows.Scan(r.dest...); err != nil {
		return err
	}
	for i, v := range r.values {
		if blob, ok := v.([]byte); ok && blob == nil {
			v = []byte{} // it is not NULL
		}
		row[i], _ = sqlite.ValueOf(v) // a driver returns nothing else
	}
	return nil
}
