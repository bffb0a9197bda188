package wire

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// Open opens a database, which the node makes if there is none. Only then there is
// something to run statements on. A connection has one database.
func (c *Conn) Open(ctx context.Context, database string) error {
	err := c.ask(ctx, askClient, tellWelcome,
		func(r *request) { r.uint64(rand.Uint64()) }, // a number that tells clients apart
		func(a *answer) { a.uint64() })
	if err != nil {
		return err
	}
	return c.ask(ctx, askOpen, tellDatabase,
		func(r *request) {
			r.text("the database's name", database)
			r.uint64(0)
			r.text("the VFS", "volatile") // which nodes since 1.0 do not look at
		},
		func(a *answer) { a.uint64() }) // its number, which is 0
}

// Result is what a statement has changed. It implements driver.Result.
type Result struct {
	lastInsertID, rowsAffected int64
}

// LastInsertId returns the rowid of the row that the connection inserted last. The
// error is nil.
func (r Result) LastInsertId() (int64, error) {
	return r.lastInsertID, nil
}

// RowsAffected returns how many rows the last INSERT, UPDATE or DELETE of the
// connection has changed: a statement that is neither does not set it. The error is nil.
func (r Result) RowsAffected() (int64, error) {
	return r.rowsAffected, nil
}

var (
	_ driver.Result = Result{}
	_ driver.Rows   = (*Rows)(nil)
)

func (r *Result) read(a *answer) {
	r.lastInsertID = int64(a.uint64())
	r.rowsAffected = int64(a.uint64())
}

// Exec runs a statement, or several one after another up to the first that fails. Those
// before it stay as they are, so several belong into a transaction; only a single one
// takes arguments. The result is the last one's. A statement that returns rows has run up
// to the first of them, and fails with [CodeRow].
func (c *Conn) Exec(ctx context.Context, query string, args []driver.Value) (res Result, err error) {
	text, err := statements(query, len(args) == 0)
	if err != nil {
		return res, err
	}
	err = c.ask(ctx, askExecSQL, tellResult, statement(text, args), res.read)
	return res, err
}

// statement writes one, with its arguments.
func statement(text string, args []driver.Value) func(*request) {
	return func(r *request) {
		r.uint64(0)
		r.text("the statement", text)
		r.arguments(args)
	}
}

// Request is a statement with its arguments.
type Request struct {
	Query string
	Args  []driver.Value
}

// Reply is what became of a [Request].
type Reply struct {
	Result
	Err error
}

// ExecAll sends statements, a single one each, and only then reads what became of them, in
// their order: they take one round trip together. Each runs, whatever became of those before
// it: a node takes the next request when it has answered the last
// (https://github.com/canonical/dqlite/blob/v1.11.1/src/conn.c). One that waits for somebody
// to read its answers takes none, so all of them, and all answers, have to fit into what the
// two sockets hold: no more than some dozens of kilobytes. Otherwise they are as by
// [Conn.Exec].
func (c *Conn) ExecAll(ctx context.Context, all []Request) []Reply {
	replies := make([]Reply, len(all))
	err := c.ready(ctx)
	for i, q := range all {
		replies[i].Err = err
		if err == nil {
			replies[i].Err = c.put(q)
		}
	}
	if len(c.out.bytes) == 0 {
		return replies
	}
	w := watch(ctx, c.net)
	defer w.end()
	err = c.send(ctx)
	for i := range replies {
		reply := &replies[i]
		switch {
		case reply.Err != nil: // it was not sent
		case err != nil:
			reply.Err = err
		default:
			if reply.Err = c.answered(ctx, tellResult, reply.read); c.lost != nil {
				err = reply.Err
			}
		}
	}
	return replies
}

// put puts a statement behind what is on its way.
func (c *Conn) put(q Request) error {
	text, err := statements(q.Query, false)
	if err != nil {
		return err
	}
	c.out.begin(askExecSQL)
	statement(text, q.Args)(&c.out)
	return c.out.finish()
}

// Query runs a statement that returns rows; one that has no columns is not run, and fails.
// The context is watched until the rows are read or closed. What writes and returns rows has
// to be in a transaction, which a BEGIN by Exec has begun and a COMMIT by Exec will end: see
// the package's documentation.
func (c *Conn) Query(ctx context.Context, query string, args []driver.Value) (*Rows, error) {
	text, err := statements(query, false)
	if err != nil {
		return nil, err
	}
	return c.query(ctx, askQuerySQL, statement(text, args))
}

// statements returns the text without what surrounds its statements, and refuses what
// would end the node. dqlite takes a
// comment or a space behind the last semicolon for a statement, which has no result;
// and where it takes one statement alone it does not look at what follows.
func statements(query string, several bool) (string, error) {
	if strings.IndexByte(query, 0) >= 0 {
		return query, nil // which is refused
	}
	all := sqlite.Split(query)
	for _, one := range all {
		if err := admit(one); err != nil {
			return "", err
		}
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case several:
		return strings.Join(all, ";\n"), nil
	case len(all) == 0:
		return "", errors.New("dqlite: there is no statement in the text")
	default:
		return "", fmt.Errorf("dqlite: %d statements where one is needed; several can be run by Exec without arguments", len(all))
	}
}

// Stmt is a prepared statement on its connection. It lives until it or the connection
// is closed.
type Stmt struct {
	conn   *Conn
	number uint32
	params int
	closed bool
}

var errStmtClosed = errors.New("dqlite: the statement is closed")

// Prepare prepares one statement.
func (c *Conn) Prepare(ctx context.Context, query string) (*Stmt, error) {
	text, err := statements(query, false)
	if err != nil {
		return nil, err
	}
	s := &Stmt{conn: c}
	err = c.ask(ctx, askPrepare, tellStmt,
		func(r *request) {
			r.uint64(0)
			r.text("the statement", text)
		},
		func(a *answer) {
			a.uint32() // the database's number
			s.number = a.uint32()
			s.params = int(a.uint64())
		})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// NumInput returns the number of the statement's parameters.
func (s *Stmt) NumInput() int {
	return s.params
}

// Exec runs the statement.
func (s *Stmt) Exec(ctx context.Context, args []driver.Value) (res Result, err error) {
	if err := s.ready(args); err != nil {
		return res, err
	}
	err = s.conn.ask(ctx, askExec, tellResult, s.write(args), res.read)
	return res, err
}

// Query runs the statement, which returns rows, as [Conn.Query] does.
func (s *Stmt) Query(ctx context.Context, args []driver.Value) (*Rows, error) {
	if err := s.ready(args); err != nil {
		return nil, err
	}
	return s.conn.query(ctx, askQuery, s.write(args))
}

// ready refuses a number of arguments that dqlite would not: it leaves a parameter
// what it was before.
func (s *Stmt) ready(args []driver.Value) error {
	if s.closed {
		return errStmtClosed
	}
	if len(args) != s.params {
		return fmt.Errorf("dqlite: %d arguments for a statement that has %d parameters", len(args), s.params)
	}
	return nil
}

func (s *Stmt) write(args []driver.Value) func(*request) {
	return func(r *request) {
		r.uint32(0)
		r.uint32(s.number)
		r.arguments(args)
	}
}

// Close frees what the node keeps of the statement. Closing it again does nothing.
func (s *Stmt) Close(ctx context.Context) error {
	if s.closed {
		return nil
	}
	err := s.conn.ask(ctx, askFinalize, tellEmpty,
		func(r *request) {
			r.uint32(0)
			r.uint32(s.number)
		},
		func(*answer) {})
	s.closed = err == nil || s.conn.lost != nil
	return err
}
