package native

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/request"
)

// Nil is the error of an argument that may not be nil: fs.ErrInvalid, with its name.
func Nil(name string) error { return fmt.Errorf("%w: %s is nil", fs.ErrInvalid, name) }

// given refuses to run a query without a context.
func (c *Call) given(ctx context.Context) bool {
	if ctx == nil && c.err == nil {
		c.refuse("ctx")
	}
	return c.err == nil
}

func (c *Call) refuse(name string) { c.err = Nil(name) }

// nothing is what a nil DBTX is: whatever runs on it fails.
type nothing struct{}

var errNoDBTX = Nil("the DBTX")

func (nothing) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errNoDBTX
}

func (nothing) PrepareContext(context.Context, string) (*sql.Stmt, error) { return nil, errNoDBTX }

func (nothing) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, errNoDBTX
}

func (nothing) QueryRowContext(context.Context, string, ...any) *sql.Row {
	return bridge.New().Row(nil, errNoDBTX)
}

func (nothing) RunExec(context.Context, *request.Request) (sql.Result, error) { return nil, errNoDBTX }
func (nothing) RunOne(context.Context, *request.Request) error                { return errNoDBTX }

func (nothing) RunMany(context.Context, *request.Request) (request.Rows, error) {
	return nil, errNoDBTX
}
