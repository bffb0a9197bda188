package native

import (
	"database/sql"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/scan"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// The functions below read the next column where dest points, as (*sql.Rows).Scan
// does: what has failed before leaves dest alone. What SQLite has stored goes there
// straight if the two go together, and through database/sql's conversions if not.

// Int reads an integer of any size.
func Int[T ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](c *Call, dest *T) {
	v := c.column()
	if v == nil {
		return
	}
	if n := T(v.Int()); dest != nil && v.Kind == sqlite.Integer && int64(n) == v.Int() && (n >= 0) == (v.Int() >= 0) {
		*dest = n
		return
	}
	convert(c, v, dest)
}

// Float reads a number.
func Float[T ~float64](c *Call, dest *T) {
	switch v := c.column(); {
	case v == nil:
	case dest != nil && v.Kind == sqlite.Float:
		*dest = T(v.Float())
	default:
		convert(c, v, dest)
	}
}

// Text reads a text.
func Text[T ~string](c *Call, dest *T) {
	switch v := c.column(); {
	case v == nil:
	case dest != nil && v.Kind == sqlite.Text:
		*dest = T(v.Text())
	default:
		convert(c, v, dest)
	}
}

// Bool reads a boolean, which is 0 or 1.
func Bool(c *Call, dest *bool) {
	switch v := c.column(); {
	case v == nil:
	case dest != nil && v.Kind == sqlite.Integer && uint64(v.Int()) <= 1:
		*dest = v.Int() == 1
	default:
		convert(c, v, dest)
	}
}

// Blob reads bytes. They are the caller's.
func Blob[T ~[]byte](c *Call, dest *T) {
	switch v := c.column(); {
	case v == nil:
	case dest != nil && v.Kind == sqlite.Blob:
		*dest = v.Blob()
	default:
		convert(c, v, dest)
	}
}

// Time reads what a column holds that is declared as a time.
func Time(c *Call, dest *time.Time) {
	switch v := c.column(); {
	case v == nil:
	case dest != nil && v.Kind == sqlite.Time:
		*dest = v.Time()
	default:
		convert(c, v, dest)
	}
}

// Moment is Scanner for a column.Time, without the allocation that an integer in an any
// is.
func Moment(c *Call, dest *column.Time) {
	switch v := c.column(); {
	case v == nil:
	case dest == nil:
		c.refuse("dest")
	case v.Kind == sqlite.Integer:
		*dest = column.Time{Time: time.Unix(0, v.Int()).UTC()}
	default:
		c.failed(dest.Scan(v.Driver()))
	}
}

// Pointer reads what read reads into memory of its own; nil is NULL.
func Pointer[T any](c *Call, dest **T, read func(*Call, *T)) {
	v := c.peek()
	switch {
	case v == nil:
	case dest == nil, read == nil:
		c.refuse("dest or read")
	case v.Kind == sqlite.Null:
		*dest = nil
		c.at++
	default:
		if p, ok := any(dest).(**int64); ok && v.Kind == sqlite.Integer {
			*p = c.pointer(v.Int())
			c.at++
			return
		}
		*dest = new(T)
		read(c, *dest)
	}
}

// pointer points to an integer among others of its row, or of many rows: one allocation
// for all of them.
func (c *Call) pointer(n int64) *int64 {
	if len(c.integers) == cap(c.integers) {
		size := 32
		if c.rows == nil { // there is one row
			size = 2
		}
		c.integers = make([]int64, 0, size)
	}
	c.integers = append(c.integers, n)
	return &c.integers[len(c.integers)-1]
}

// OrNil is Pointer for a query of one column.
func OrNil[T any](read func(*Call, *T)) func(*Call, **T) {
	return func(c *Call, dest **T) { Pointer(c, dest, read) }
}

// Scan hands the column to a sql.Scanner, of which scan is the method.
func (c *Call) Scan(scan func(any) error) {
	switch v := c.column(); {
	case v == nil:
	case scan == nil:
		c.refuse("scan")
	default:
		c.failed(scan(v.Driver()))
	}
}

// Scanner reads what scans itself.
func Scanner[T any, P interface {
	*T
	sql.Scanner
}](c *Call, dest *T) {
	if dest == nil {
		c.Scan(nil)
		return
	}
	c.Scan(P(dest).Scan)
}

// Any reads what is none of the others.
func Any[T any](c *Call, dest *T) {
	switch v := c.column(); {
	case v == nil:
	case dest == nil:
		c.refuse("dest")
	default:
		c.convert(v, dest)
	}
}

// convert is Any for a variable that may stay where it is: what is converted is a copy.
//
//go:noinline
func convert[T any](c *Call, v *sqlite.Value, dest *T) {
	if dest == nil {
		c.refuse("dest")
		return
	}
	own := *dest
	c.convert(v, &own)
	*dest = own
}

func (c *Call) convert(v *sqlite.Value, dest any) {
	if c.bridge == nil {
		c.bridge = bridge.New()
	}
	c.err = scan.Column(c.bridge, c.query.Columns, c.at-1, v, dest)
}

// failed notes what the column's Scanner has said.
func (c *Call) failed(err error) {
	if err != nil {
		c.err = scan.Failed(c.query.Columns, c.at-1, err)
	}
}

// peek is the column that is read next, nil after a failure.
func (c *Call) peek() *sqlite.Value {
	if c.err != nil || c.at >= len(c.query.Row) {
		return nil
	}
	return &c.query.Row[c.at]
}

// column is peek, and goes on.
func (c *Call) column() *sqlite.Value {
	v := c.peek()
	c.at++
	return v
}
