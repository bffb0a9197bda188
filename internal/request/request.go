// Package request is a statement on its way from a generated method, which has it of
// package native, to whatever runs it, and what came of it.
package request

import (
	"context"
	"database/sql"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// Request is a statement with its arguments.
type Request struct {
	Name string // It is the query's, by which whoever holds a connection is named.
	Text string
	Args []sqlite.Argument

	Columns []string       // They are the row's, once there is one.
	Row     []sqlite.Value // One reads its row into it, growing it as needed.
	Found   bool           // One found a row.
}

// Runner runs requests. A request is the caller's again when a method has returned:
// what goes on longer has copied it.
type Runner interface {
	// RunExec runs the statement to its end.
	RunExec(ctx context.Context, r *Request) (sql.Result, error)
	// RunOne reads the first row, if there is one, and runs the statement to its end.
	RunOne(ctx context.Context, r *Request) error
	// RunMany opens the rows, which are to be closed.
	RunMany(ctx context.Context, r *Request) (Rows, error)
}

// Rows are the rows of a request.
type Rows interface {
	Columns() []string
	// NextRow reads the next row; io.EOF after the last.
	NextRow(row []sqlite.Value) error
	// Close ends the statement. Errors of its end, a commit's say, come here.
	Close() error
}
