// Package native is what generated repositories run their queries with. It is for
// code that cmd/repogen has written, and may change with it: programs call the
// repository's methods, or a pool's.
//
// A [Call] is a query with its arguments. It is run on a [DB], which is the store's
// own way to a row where the store has one, and database/sql's where it has none, and
// its columns are read straight into a struct's fields. Whatever goes that way comes
// out as (*sql.Rows).Scan has it, errors included:
//
//	c := db.Call("GetTab", "SELECT name, visible FROM tabs WHERE id = ?").Int(id)
//	c.One(ctx, 2)
//	native.Text(c, &tab.Name)
//	native.Bool(c, &tab.Visible)
//	return tab, c.End()
package native

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/internal/arguments"
	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// Call is a query on its way: first its arguments are added, in order, then it is run
// once by One, Exec or one of its siblings, or [All], then the columns of a row are
// read, in order, then End ends it. What fails first ends it too: what follows does
// nothing, and End returns the error. It is used by one goroutine, and not after its end.
type Call struct {
	query    request.Request
	on       request.Runner
	rows     request.Rows // They are open.
	integers []int64      // Columns that may be NULL point here.
	at       int          // the column that is read next
	err      error
	wrapped  bool
	bridge   *bridge.Bridge // Once it was needed, it stays.
}

// spares are Calls to be used again.
var spares = sync.Pool{New: func() any { return new(Call) }}

// Call begins a query. The name is that of its method, which errors begin with.
func (db DB) Call(name, text string) *Call {
	c := spares.Get().(*Call)
	c.query.Name, c.query.Text, c.on = name, text, db.on
	return c
}

// kept is how many arguments or columns a Call has room for while nobody uses it.
const kept = 64

// free keeps a Call that was ended to be used again. Nothing of the program's stays alive
// through it.
func (c *Call) free() {
	clear(c.query.Args)
	clear(c.query.Row)
	args, row, b := c.query.Args[:0], c.query.Row[:0], c.bridge
	if cap(args) > kept {
		args = nil
	}
	if cap(row) > kept {
		row = nil
	}
	*c = Call{}
	c.query.Args, c.query.Row, c.bridge = args, row, b
	spares.Put(c)
}

// Wrapped makes errors begin with what sqlc's wrap_errors gives them too.
func (c *Call) Wrapped() *Call {
	c.wrapped = true
	return c
}

// Int adds an integer to the arguments.
func (c *Call) Int(n int64) *Call { return c.add(sqlite.IntegerOf(n)) }

// Float adds a number to the arguments.
func (c *Call) Float(f float64) *Call { return c.add(sqlite.FloatOf(f)) }

// Bool adds a boolean to the arguments.
func (c *Call) Bool(b bool) *Call { return c.add(sqlite.BoolOf(b)) }

// Text adds a text to the arguments.
func (c *Call) Text(s string) *Call { return c.add(sqlite.TextOf(s)) }

// Blob adds bytes to the arguments, which are not copied; nil is NULL.
func (c *Call) Blob(b []byte) *Call { return c.add(sqlite.BlobOf(b)) }

// Time adds a time to the arguments, in UTC.
func (c *Call) Time(t time.Time) *Call { return c.add(sqlite.TimeOf(t)) }

func (c *Call) add(v sqlite.Value) *Call {
	c.query.Args = append(c.query.Args, sqlite.Argument{Value: v})
	return c
}

// Valuer adds what a driver.Valuer returns to the arguments. value is its method.
func (c *Call) Valuer(value func() (driver.Value, error)) *Call {
	if c.err != nil {
		return c
	}
	if value == nil {
		c.refuse("value")
		return c
	}
	v, err := value()
	return c.added(arguments.AppendValue(c.query.Args, v, err))
}

// added takes the arguments with another, unless that has failed.
func (c *Call) added(args []sqlite.Argument, err error) *Call {
	if c.err = err; err == nil {
		c.query.Args = args
	}
	return c
}

// Any adds an argument of any kind: what database/sql makes of it.
func (c *Call) Any(arg any) *Call {
	if c.err != nil {
		return c
	}
	return c.added(arguments.Append(c.query.Args, arg))
}

// One runs the query and reads its first row, which has so many columns. That there
// is none is sql.ErrNoRows.
func (c *Call) One(ctx context.Context, columns int) *Call {
	if !c.given(ctx) {
		return c
	}
	if c.err = c.on.RunOne(ctx, &c.query); c.err != nil {
		return c
	}
	if !c.query.Found {
		c.err = sql.ErrNoRows
		return c
	}
	c.begin(columns)
	return c
}

// many runs the query; next reads its rows.
func (c *Call) many(ctx context.Context) {
	if !c.given(ctx) {
		return
	}
	if c.rows, c.err = c.on.RunMany(ctx, &c.query); c.err != nil {
		c.rows = nil
		return
	}
	c.query.Columns = c.rows.Columns()
	if n := len(c.query.Columns); n <= cap(c.query.Row) {
		c.query.Row = c.query.Row[:n]
	} else {
		c.query.Row = make([]sqlite.Value, n)
	}
}

// next reads the next row, which has so many columns. It is false after the last one
// and after a failure. End closes the rows.
func (c *Call) next(columns int) bool {
	if c.err != nil {
		return false
	}
	if err := c.rows.NextRow(c.query.Row); err != nil {
		if err != io.EOF {
			c.err = err
		}
		return false
	}
	c.begin(columns)
	return c.err == nil
}

// begin begins to read the columns of a row.
func (c *Call) begin(columns int) {
	c.at = 0
	if n := len(c.query.Columns); n != columns {
		c.err = fmt.Errorf("sql: expected %d destination arguments in Scan, not %d", n, columns) // database/sql's words
	}
}

// close closes the rows, if any are open.
func (c *Call) close() error {
	if c.rows == nil {
		return nil
	}
	rows := c.rows
	c.rows = nil
	return rows.Close()
}

// End ends the query and returns what has failed, if anything has, as [dberr.Wrap] has
// it.
func (c *Call) End() error {
	closing := c.close()
	if c.err == nil {
		c.err = closing
	}
	if c.err == nil { // the most frequent
		c.free()
		return nil
	}
	name, err := c.query.Name, c.err
	if c.wrapped {
		err = fmt.Errorf("query %s: %w", name, err)
	}
	c.free()
	return dberr.Wrap(name, err)
}

// Exec runs the query and ends it.
func (c *Call) Exec(ctx context.Context) error {
	_ = c.run(ctx)
	return c.End()
}

// ExecRows runs the query, ends it, and returns how many rows it has changed.
func (c *Call) ExecRows(ctx context.Context) (n int64, err error) {
	if result := c.run(ctx); result != nil {
		n, err = result.RowsAffected()
	}
	return n, c.endWith(err)
}

// ExecLastID runs the query, ends it, and returns the id of the row that it has
// inserted.
func (c *Call) ExecLastID(ctx context.Context) (id int64, err error) {
	if result := c.run(ctx); result != nil {
		id, err = result.LastInsertId()
	}
	return id, c.endWith(err)
}

// ExecResult runs the query, ends it, and returns what it has done.
func (c *Call) ExecResult(ctx context.Context) (sql.Result, error) {
	result := c.run(ctx)
	return result, c.End()
}

func (c *Call) run(ctx context.Context) (result sql.Result) {
	if c.given(ctx) {
		result, c.err = c.on.RunExec(ctx, &c.query)
	}
	if c.err != nil {
		return nil
	}
	return result
}

// endWith is End, over what a result has said, which sqlc does not wrap.
func (c *Call) endWith(err error) error {
	if err != nil {
		c.err, c.wrapped = err, false
	}
	return c.End()
}
