package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Plan returns the lines of a statement's plan on a connection of the driver's. Its
// parameters are NULL. See https://www.sqlite.org/eqp.html.
func Plan(raw driver.Conn, text string) (lines []string, err error) {
	db, tls, err := handlesOf(raw)
	if err != nil {
		return nil, err
	}
	return (&Conn{db: db, tls: tls}).plan(raw, text)
}

// Plan returns the lines of a statement's plan. Its parameters are NULL. The
// connection is as it was before: to explain a statement that writes sets SQL's
// changes() to 0, so that is put back.
func (c *Conn) Plan(text string) (lines []string, err error) {
	tables := c.tables
	defer func() { c.tables = tables }()
	return lines, c.keepChanges(func() (err error) {
		lines, err = c.plan(c.driver, text)
		return err
	})
}

func (c *Conn) plan(raw driver.Conn, text string) (lines []string, err error) {
	parts := Split(text)
	if len(parts) != 1 {
		return nil, fmt.Errorf("it is %d statements, not one", len(parts))
	}
	s, err := raw.Prepare("EXPLAIN QUERY PLAN " + parts[0])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	stmt, err := statementOf(s)
	if err != nil {
		return nil, err
	}
	for {
		switch rc := lib.Xsqlite3_step(c.tls, stmt); rc {
		case lib.SQLITE_ROW:
			lines = append(lines, libc.GoString(lib.Xsqlite3_column_text(c.tls, stmt, 3)))
		case lib.SQLITE_DONE:
			return lines, nil
		default:
			return nil, c.failure(rc)
		}
	}
}
