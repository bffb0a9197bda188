package pool

import (
	"database/sql/driver"
	"fmt"
	"math"
	"reflect"
	"runtime/debug"
	"time"

	"modernc.org/libc"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// This file is the one place that looks behind the driver's public interface:
// it reads the handles of the driver's connections and statements (a uintptr
// field each), fills in errors of the driver's type, and asks SQLite itself what
// the driver does not tell.

// handle is SQLite's own connection, an sqlite3*, beside the driver's.
// Its methods may not be called after close. All but interrupt need the
// connection to be idle or the caller to be the one that uses it.
type handle struct {
	db  uintptr
	tls *libc.TLS // the driver's, so that SQLite takes both for one thread; conn.mu is held while it is used
}

func newHandle(c driver.Conn) (handle, error) {
	db, err := uintptrField(c, "db")
	if err != nil {
		return handle{}, err
	}
	tls, err := field(c, "tls", reflect.TypeFor[*libc.TLS]())
	if err != nil {
		return handle{}, err
	}
	if _, err := newError(lib.SQLITE_ERROR, ""); err != nil {
		return handle{}, err
	}
	return handle{db: db, tls: reflect.NewAt(tls.Type().Elem(), tls.UnsafePointer()).Interface().(*libc.TLS)}, nil
}

// isClosed reports that the driver's connection was closed: its handles are gone.
func (h *handle) isClosed(c driver.Conn) bool {
	db, err := uintptrField(c, "db")
	return err != nil || db == 0
}

// leaveMutex gives back SQLite's mutex of the connection, as often as it was
// taken by calls into SQLite that never returned.
func (h *handle) leaveMutex() {
	other := libc.NewTLS()
	defer other.Close()
	mutex := lib.Xsqlite3_db_mutex(h.tls, h.db)
	for lib.Xsqlite3_mutex_try(other, mutex) != lib.SQLITE_OK {
		lib.Xsqlite3_mutex_leave(h.tls, mutex)
	}
	lib.Xsqlite3_mutex_leave(other, mutex)
}

// run runs SQL without rows, whose error does not matter.
func (h *handle) run(text string) {
	if p, err := libc.CString(text); err == nil {
		lib.Xsqlite3_exec(h.tls, h.db, p, 0, 0, 0)
		libc.Xfree(h.tls, p)
	}
}

// interrupt stops whatever the connection runs. It may be called from any
// goroutine. See https://www.sqlite.org/c3ref/interrupt.html.
func (h *handle) interrupt() {
	tls := libc.NewTLS() // h.tls may be in use
	lib.Xsqlite3_interrupt(tls, h.db)
	tls.Close()
}

// autocommit reports that no transaction is open.
// See https://www.sqlite.org/c3ref/get_autocommit.html.
func (h *handle) autocommit() bool {
	return lib.Xsqlite3_get_autocommit(h.tls, h.db) != 0
}

// txnState is the strongest transaction that a connection has open.
type txnState int32

const (
	noTransaction    txnState = lib.SQLITE_TXN_NONE
	readTransaction  txnState = lib.SQLITE_TXN_READ
	writeTransaction txnState = lib.SQLITE_TXN_WRITE
)

// transaction tells what SQLite has open, statements in autocommit included.
// See https://www.sqlite.org/c3ref/txn_state.html.
func (h *handle) transaction() txnState {
	return txnState(lib.Xsqlite3_txn_state(h.tls, h.db, 0))
}

// changes counts the rows that the connection has written, triggers included.
// See https://www.sqlite.org/c3ref/total_changes.html.
func (h *handle) changes() int32 { return lib.Xsqlite3_total_changes(h.tls, h.db) }

// lastRowid is SQL's last_insert_rowid().
// See https://www.sqlite.org/c3ref/last_insert_rowid.html.
func (h *handle) lastRowid() int64 { return lib.Xsqlite3_last_insert_rowid(h.tls, h.db) }

// setLastRowid is what lastRowid returns until something is inserted.
// See https://www.sqlite.org/c3ref/set_last_insert_rowid.html.
func (h *handle) setLastRowid(id int64) { lib.Xsqlite3_set_last_insert_rowid(h.tls, h.db, id) }

// changedRows counts the rows that the last INSERT, UPDATE or DELETE has changed.
// See https://www.sqlite.org/c3ref/changes.html.
func (h *handle) changedRows() int64 { return lib.Xsqlite3_changes64(h.tls, h.db) }

// failure is the driver's error for the code that the call into SQLite which came
// before has returned, and for what SQLite says about that: the driver itself
// would only make it of a statement that it runs or finalizes.
// See https://www.sqlite.org/c3ref/errcode.html.
func (h *handle) failure(rc int32) error {
	general, special := h.word(rc), libc.GoString(lib.Xsqlite3_errmsg(h.tls, h.db))
	if special == general {
		return h.refusal(rc)
	}
	return driverError(rc, general+": "+special)
}

// refusal is the driver's error for a code of which SQLite has nothing special to
// say.
func (h *handle) refusal(rc int32) error { return driverError(rc, h.word(rc)) }

// word is SQLite's general word for a code.
func (h *handle) word(rc int32) string { return libc.GoString(lib.Xsqlite3_errstr(h.tls, rc)) }

// driverError writes as the driver does.
func driverError(rc int32, text string) error {
	text += fmt.Sprintf(" (%d)", rc)
	if rc == lib.SQLITE_BUSY {
		text += " (SQLITE_BUSY)"
	}
	e, err := newError(rc, text)
	if err != nil { // newHandle has seen that it can be made
		return err
	}
	return e
}

// newError makes an error of the driver's own type, so that errors.As finds it
// whoever has run the statement. It is the one place that writes what the driver
// does not export, and to a value that nobody else has.
func newError(rc int32, text string) (*sqlite.Error, error) {
	e := new(sqlite.Error)
	code, err := field(e, "code", reflect.TypeFor[int]())
	if err != nil {
		return nil, err
	}
	msg, err := field(e, "msg", reflect.TypeFor[string]())
	if err != nil {
		return nil, err
	}
	reflect.NewAt(code.Type(), code.Addr().UnsafePointer()).Elem().SetInt(int64(rc))
	reflect.NewAt(msg.Type(), msg.Addr().UnsafePointer()).Elem().SetString(text)
	return e, nil
}

// setBusyTimeout is PRAGMA busy_timeout without a statement.
// See https://www.sqlite.org/c3ref/busy_timeout.html.
func (h *handle) setBusyTimeout(d time.Duration) {
	lib.Xsqlite3_busy_timeout(h.tls, h.db, int32(min(d.Milliseconds(), math.MaxInt32)))
}

// readOnly reports that SQLite could open the file for reading alone.
// See https://www.sqlite.org/c3ref/db_readonly.html.
func (h *handle) readOnly() bool {
	return lib.Xsqlite3_db_readonly(h.tls, h.db, 0) == 1
}

// statement is SQLite's own handle of a prepared statement, an sqlite3_stmt*; 0
// if the driver holds it as text, a script, and will prepare it later.
func (h *handle) statement(s driver.Stmt) (uintptr, error) { return uintptrField(s, "pstmt") }

// writes is SQLite's own word on a statement: does it write?
// See https://www.sqlite.org/c3ref/stmt_readonly.html.
func (h *handle) writes(stmt uintptr) bool { return lib.Xsqlite3_stmt_readonly(h.tls, stmt) == 0 }

// answer runs a prepared statement and returns the first column of its first row; ""
// if that is NULL or there is none.
func (h *handle) answer(s driver.Stmt) (string, error) {
	stmt, err := h.statement(s)
	if err != nil {
		return "", err
	}
	rc := lib.Xsqlite3_step(h.tls, stmt)
	if rc != lib.SQLITE_ROW && rc != lib.SQLITE_DONE {
		return "", h.failure(rc)
	}
	return libc.GoString(lib.Xsqlite3_column_text(h.tls, stmt, 0)), nil
}

// uintptrField reads the named field of the struct that v points to.
func uintptrField(v any, name string) (uintptr, error) {
	f, err := field(v, name, reflect.TypeFor[uintptr]())
	if err != nil {
		return 0, err
	}
	return uintptr(f.Uint()), nil
}

// field finds the named field of the struct that v points to.
func field(v any, name string, of reflect.Type) (reflect.Value, error) {
	p := reflect.ValueOf(v)
	if p.Kind() == reflect.Pointer && p.Elem().Kind() == reflect.Struct {
		if f := p.Elem().FieldByName(name); f.IsValid() && f.Type() == of {
			return f, nil
		}
	}
	return reflect.Value{}, fmt.Errorf("modernc.org/sqlite %s: %T has no field %q of type %v; use the version that sqlane's go.mod names", driverVersion(), v, name, of)
}

func driverVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "modernc.org/sqlite" {
				return m.Version
			}
		}
	}
	return "of unknown version"
}
