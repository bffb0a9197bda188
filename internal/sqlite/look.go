package sqlite

import (
	"database/sql/driver"
	"fmt"
	"reflect"
	"runtime/debug"

	"modernc.org/libc"
	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// This file is the one place that looks behind the driver's public interface: it
// reads the handles of its connections and statements, sets SQLite's mutex aside,
// and fills in errors of the driver's type, which it does not let others make. What
// it relies on is verified whenever a connection opens.

// handlesOf returns the sqlite3* of a connection of the driver's, and the thread
// that it calls SQLite as: with it, SQLite takes the driver and us for one.
func handlesOf(c driver.Conn) (db uintptr, tls *libc.TLS, err error) {
	if db, err = uintptrField(c, "db"); err != nil {
		return 0, nil, err
	}
	f, err := field(c, "tls", reflect.TypeFor[*libc.TLS]())
	if err != nil {
		return 0, nil, err
	}
	if _, err := newError(lib.SQLITE_ERROR, ""); err != nil {
		return 0, nil, err
	}
	return db, reflect.NewAt(f.Type().Elem(), f.UnsafePointer()).Interface().(*libc.TLS), nil
}

// dbMutex is the mutex that every call into SQLite takes for its connection, and
// the place in the sqlite3 where SQLite looks for it. Where there is none, as
// SQLITE_OPEN_NOMUTEX would have it, SQLite takes none: the calls must not overlap
// then (https://www.sqlite.org/threadsafe.html, "Multi-thread").
type dbMutex struct{ place, mutex uintptr }

// mutexAt finds what SQLite says is the connection's mutex.
func mutexAt(db, mutex uintptr) (dbMutex, error) {
	f, ok := reflect.TypeFor[lib.Tsqlite3]().FieldByName("Fmutex")
	m := dbMutex{place: db + f.Offset, mutex: mutex}
	if !ok || f.Type != reflect.TypeFor[uintptr]() || libc.AtomicLoadPUintptr(m.place) != mutex {
		return dbMutex{}, fmt.Errorf("modernc.org/sqlite %s: a connection does not have its mutex where sqlane looks for it; use the version that sqlane's go.mod names", Version())
	}
	return m, nil
}

// setAside has SQLite take no mutex until putBack. Nothing may run on the connection.
func (m dbMutex) setAside() { libc.AtomicStorePUintptr(m.place, 0) }
func (m dbMutex) putBack()  { libc.AtomicStorePUintptr(m.place, m.mutex) }

// keepChanges calls f, and has sqlite3_changes64 return what it did before. SQLite has
// no call that sets it (https://www.sqlite.org/c3ref/changes.html).
func (c *Conn) keepChanges(f func() error) error {
	field, ok := reflect.TypeFor[lib.Tsqlite3]().FieldByName("FnChange")
	if !ok || field.Type != reflect.TypeFor[int64]() {
		return fmt.Errorf("modernc.org/sqlite %s: a connection does not count its changes where sqlane looks for that; use the version that sqlane's go.mod names", Version())
	}
	size, place := field.Type.Size(), c.db+field.Offset
	kept := lib.Xsqlite3_malloc(c.tls, int32(size))
	if kept == 0 {
		return c.failure(lib.SQLITE_NOMEM)
	}
	libc.Xmemcpy(c.tls, kept, place, libc.Tsize_t(size))
	defer func() { // a panic may be passing through, of a virtual table that is asked for a plan
		libc.Xmemcpy(c.tls, place, kept, libc.Tsize_t(size))
		lib.Xsqlite3_free(c.tls, kept)
	}()
	return f()
}

// isClosed reports that a connection of the driver's was closed.
func isClosed(c driver.Conn) bool {
	db, err := uintptrField(c, "db")
	return err != nil || db == 0
}

// statementOf returns the sqlite3_stmt* of a statement of the driver's; 0 if that
// holds it as text, a script, to be prepared later.
func statementOf(s driver.Stmt) (uintptr, error) { return uintptrField(s, "pstmt") }

// newError makes an error of the driver's own type, so that errors.As finds it
// whoever has run the statement. It writes what the driver does not
// export, to a value that nobody else has.
func newError(rc int32, text string) (*modernc.Error, error) {
	e := new(modernc.Error)
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
	return reflect.Value{}, fmt.Errorf("modernc.org/sqlite %s: %T has no field %q of type %v; use the version that sqlane's go.mod names", Version(), v, name, of)
}

// Version is the driver's, as the program was built with it.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "modernc.org/sqlite" {
				return m.Version
			}
		}
	}
	return "of unknown version"
}
