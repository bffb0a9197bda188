// Package tap listens to a connection to SQLite, and has it fail. It is for tests, which
// alone have it in their programs: what SQLite calls, it finds by addresses, and so by
// variables of the package.
package tap

import (
	"database/sql/driver"
	"fmt"
	"maps"
	"reflect"
	"sync"

	"github.com/sqlane/sqlane/internal/sqlite"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Tap is told by SQLite what one connection does, and may have it fail: the faults
// that tests need come in here, below everything that has to stand them. Its
// functions are called on the goroutine that uses the connection. Both are needed.
type Tap struct {
	// Begins is called when a statement begins to run, one of a trigger too. Of the
	// connection Autocommit, Interrupt and Word may be used then.
	Begins func(c *sqlite.Conn, writes bool)
	// Writes is called before SQLite writes to the database's file, or to its log if it
	// has one when the tap is put on: a rollback journal is opened for each transaction.
	// A code other than 0 is what comes of the write instead.
	Writes func() (code int32)

	conn *sqlite.Conn
}

// writer is xWrite of https://www.sqlite.org/c3ref/io_methods.html.
type writer = func(tls *libc.TLS, file, from uintptr, n int32, at int64) int32

// taps find the Go side of what SQLite calls, which knows addresses alone. An
// address may be given to another connection or file once one is closed: then the
// later tap has its place.
var taps = struct {
	mu      sync.RWMutex
	conns   map[uintptr]*Tap    // by sqlite3*
	files   map[uintptr]*Tap    // by sqlite3_file*
	methods map[uintptr]uintptr // A file's methods lead to those that it gets. There are few, and they stay for good.
	writers map[uintptr]writer  // Those lead back to what really writes.
}{
	conns: make(map[uintptr]*Tap), files: make(map[uintptr]*Tap),
	methods: make(map[uintptr]uintptr), writers: make(map[uintptr]writer),
}

// Connect puts the tap onto a connection of the driver's.
func (t *Tap) Connect(raw driver.Conn) error {
	c, err := sqlite.Borrow(raw)
	if err != nil {
		return err
	}
	t.conn = c
	db, tls := c.Handles()
	taps.mu.Lock()
	taps.conns[db] = t
	taps.mu.Unlock()
	if rc := lib.Xsqlite3_trace_v2(tls, db, lib.SQLITE_TRACE_STMT, pointerTo(begins), db); rc != lib.SQLITE_OK {
		return failed("trace_v2", rc)
	}
	if t.conn.Path("main") == "" {
		return nil // The database is in memory, and its journal too, which SQLite knows by its methods.
	}
	for _, which := range []int32{lib.SQLITE_FCNTL_FILE_POINTER, lib.SQLITE_FCNTL_JOURNAL_POINTER} {
		if err := t.file(which); err != nil {
			return err
		}
	}
	return nil
}

// file puts the tap onto one file (https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html).
func (t *Tap) file(which int32) error {
	db, tls := t.conn.Handles()
	found := lib.Xsqlite3_malloc(tls, int32(wordSize))
	if found == 0 {
		return failed("malloc", lib.SQLITE_NOMEM)
	}
	defer lib.Xsqlite3_free(tls, found)
	if rc := lib.Xsqlite3_file_control(tls, db, 0, which, found); rc != lib.SQLITE_OK {
		return failed("file_control", rc)
	}
	file := libc.AtomicLoadNUintptr(found, 0)
	methods := libc.AtomicLoadNUintptr(file, 0)
	if methods == 0 {
		return nil // it is not open
	}
	taps.mu.Lock()
	defer taps.mu.Unlock()
	taps.files[file] = t
	if _, ours := taps.writers[methods]; ours {
		return nil
	}
	copied, there := taps.methods[methods]
	if !there {
		if copied = copyMethods(tls, methods); copied == 0 {
			return failed("malloc", lib.SQLITE_NOMEM)
		}
		taps.methods[methods] = copied
	}
	libc.AtomicStoreNUintptr(file, copied, 0)
	return nil
}

func failed(what string, rc int32) error { return fmt.Errorf("sqlite3_%s: result code %d", what, rc) }

// copyMethods copies a file's methods, but for the one that writes; it returns 0 if
// there is no memory. The caller holds taps.mu.
func copyMethods(tls *libc.TLS, methods uintptr) uintptr {
	all := reflect.TypeFor[lib.Tsqlite3_io_methods]()
	field, _ := all.FieldByName("FxWrite")
	copied := lib.Xsqlite3_malloc(tls, int32(all.Size()))
	if copied == 0 {
		return 0
	}
	for at := uintptr(0); at < all.Size(); at += wordSize {
		libc.AtomicStoreNUintptr(copied+at, libc.AtomicLoadNUintptr(methods+at, 0), 0)
	}
	taps.writers[copied] = functionAt[writer](libc.AtomicLoadNUintptr(methods+field.Offset, 0))
	libc.AtomicStoreNUintptr(copied+field.Offset, pointerTo(writes), 0)
	return copied
}

// Disconnect ends the tap. A connection that is still open goes on without.
func (t *Tap) Disconnect() {
	taps.mu.Lock()
	defer taps.mu.Unlock()
	maps.DeleteFunc(taps.conns, func(_ uintptr, on *Tap) bool { return on == t })
	maps.DeleteFunc(taps.files, func(_ uintptr, on *Tap) bool { return on == t })
}

// begins is the trace callback (https://www.sqlite.org/c3ref/trace_v2.html).
func begins(tls *libc.TLS, _ uint32, db, stmt, _ uintptr) int32 {
	taps.mu.RLock()
	t := taps.conns[db]
	taps.mu.RUnlock()
	if t != nil {
		t.Begins(t.conn, lib.Xsqlite3_stmt_readonly(tls, stmt) == 0)
	}
	return 0
}

// writes is what a tapped file has as xWrite.
func writes(tls *libc.TLS, file, from uintptr, n int32, at int64) int32 {
	taps.mu.RLock()
	t, write := taps.files[file], taps.writers[libc.AtomicLoadNUintptr(file, 0)]
	taps.mu.RUnlock()
	if t != nil {
		if code := t.Writes(); code != lib.SQLITE_OK {
			return code
		}
	}
	return write(tls, file, from, n, at)
}

// pointerTo is a function as C has it. It is one that was declared, no closure:
// nothing else keeps that from being collected.
func pointerTo[F any](f F) uintptr { return uintptr(wordOf(&f).Uint()) }

// functionAt is the function that C has a pointer to.
func functionAt[F any](p uintptr) (f F) {
	wordOf(&f).SetUint(uint64(p))
	return f
}

var wordSize = reflect.TypeFor[uintptr]().Size()

// wordOf is the one word that a function value consists of (https://go.dev/s/go11func).
func wordOf[F any](f *F) reflect.Value {
	return reflect.NewAt(reflect.TypeFor[uintptr](), reflect.ValueOf(f).UnsafePointer()).Elem()
}
