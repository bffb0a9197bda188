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
	c := &Conn{db: db, tls: tls}
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
		switch rc := lib.Xsqlite3_step(tls, stmt); rc {
		case lib.SQLITE_ROW:
			lines = append(lines, libc.GoString(lib.Xsqlite3_column_text(tls, stmt, 3)))
		case lib.SQLITE_DONE:
			return lines, nil
		default:
			return nil, c.failure(rc)
		}
	}
}
