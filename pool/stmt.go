package pool

import (
	"context"
	"database/sql/driver"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// stmt is a statement that somebody prepared on a lease or in a transaction. It
// is the text and the right to run it there; the compiled form belongs to the
// connection's cache, so nothing is left to finalize when the lease ends, and
// running it again under its own open rows is safe.
type stmt struct {
	conn *conn
	text string
	call call // It is as the statement was prepared, without the context.
}

// at gives the statement the context it is run with. database/sql hands over
// the caller's own here.
func (s *stmt) at(ctx context.Context) call {
	cl := s.call
	cl.Context = ctx
	return cl
}

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	values, err := sqlite.Arguments(args)
	if err != nil {
		return nil, err
	}
	return result(s.conn.exec(s.at(ctx), s.text, values))
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	values, err := sqlite.Arguments(args)
	if err != nil {
		return nil, err
	}
	return s.conn.query(s.at(ctx), s.text, values)
}

// Close implements driver.Stmt.
func (s *stmt) Close() error { return nil }

// NumInput implements driver.Stmt: the connection counts the arguments, for all alike.
func (s *stmt) NumInput() int { return -1 }

// Exec implements driver.Stmt. database/sql calls ExecContext.
func (s *stmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// Query implements driver.Stmt. database/sql calls QueryContext.
func (s *stmt) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// prepareText compiles the statement, to tell at once if it is faulty, and leaves
// it to the cache.
func (c *conn) prepareText(cl call, query string) (*stmt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := &stmt{conn: c, text: query, call: cl}
	made.call.Context = nil
	if c.endOfLostText(&cl, query) != "" {
		return made, nil
	}
	if err := c.admit(&cl); err != nil {
		return nil, err
	}
	if parts := sqlite.Split(query); len(parts) == 1 {
		s := c.cached(query)
		if s == nil {
			var err error
			if s, err = c.prepare(&cl, query, parts[0]); err != nil {
				return nil, err
			}
		}
		c.db.Release(s)
		c.locks.settle(c)
	}
	return made, nil
}
