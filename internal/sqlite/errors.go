package sqlite

import (
	"fmt"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// failure is the driver's error for the code that the call into SQLite which came
// before has returned, and for what SQLite says about that: the driver itself
// would only make it of a statement that it runs or finalizes.
// See https://www.sqlite.org/c3ref/errcode.html.
func (c *Conn) failure(rc int32) error {
	general, special := c.word(rc), libc.GoString(lib.Xsqlite3_errmsg(c.tls, c.db))
	if special == general {
		return c.refusal(rc)
	}
	return driverError(rc, general+": "+special)
}

// refusal is the driver's error for a code of which SQLite has nothing special to
// say.
func (c *Conn) refusal(rc int32) error { return driverError(rc, c.word(rc)) }

// word is SQLite's general word for a code.
func (c *Conn) word(rc int32) string { return libc.GoString(lib.Xsqlite3_errstr(c.tls, rc)) }

// driverError writes as the driver does.
func driverError(rc int32, text string) error {
	text += fmt.Sprintf(" (%d)", rc)
	if rc == lib.SQLITE_BUSY {
		text += " (SQLITE_BUSY)"
	}
	e, err := newError(rc, text)
	if err != nil { // Open has seen that it can be made
		return err
	}
	return e
}
