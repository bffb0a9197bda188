package pool

import (
	"database/sql"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// The four below run a statement and give its outcome database/sql's types.

func (c *conn) runExec(cl call, query string, args []any) (sql.Result, error) {
	values, err := argumentsOf(args)
	if err != nil {
		return nil, err
	}
	return result(c.exec(cl, query, values))
}

func (c *conn) runQuery(cl call, query string, args []any) (*sql.Rows, error) {
	values, err := argumentsOf(args)
	if err != nil {
		return nil, err
	}
	r, err := c.query(cl, query, values)
	if err != nil {
		return nil, err
	}
	return c.bridge.Rows(r)
}

func (c *conn) runQueryRow(cl call, query string, args []any) *sql.Row {
	values, err := argumentsOf(args)
	if err != nil {
		return c.bridge.Row(nil, err)
	}
	return c.bridge.Row(c.query(cl, query, values))
}

func (c *conn) runPrepare(cl call, query string) (*sql.Stmt, error) {
	s, err := c.prepareText(cl, query)
	if err != nil {
		return nil, err
	}
	return bridge.New().Stmt(s)
}

// result is what a statement did, unless it failed.
func result(did sqlite.Result, err error) (sql.Result, error) {
	if err != nil {
		return nil, err
	}
	return did, nil
}
