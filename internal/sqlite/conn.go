// Package sqlite is one connection to SQLite and its statements, below any pool.
//
// [Open] opens a connection by modernc's driver, so that functions, collations,
// virtual tables and connection hooks that a program registered there work.
// [Conn.Prepare] compiles a statement, tells what it would do ([Effects]), and
// keeps it in a cache. A [Stmt] is run by SQLite's own interface
// (https://www.sqlite.org/cintro.html), through modernc.org/sqlite/lib.
//
// Nothing here waits, locks or starts a goroutine: a connection and its statements
// belong to whoever calls, one at a time; [Conn.Interrupt] alone may come from
// elsewhere. So SQLite's own mutex of the connection is set aside, which would cost
// more than to read a column does: only strangers find it, by [Conn.Lend].
package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"time"

	"modernc.org/libc"
	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Driver is what the driver's connection offers.
type Driver interface {
	driver.Conn
	driver.ConnPrepareContext
	modernc.AuthorizerRegisterer
	modernc.HookRegisterer
	modernc.DBStatus
	modernc.FileControl
	ColumnInfo(query string) ([]modernc.ColumnInfo, error)
	IsReadOnly(schema string) (bool, error)
	Serialize() ([]byte, error)
	Deserialize(file []byte) error
	NewBackup(uri string) (*modernc.Backup, error)
}

// Options say how a connection works.
type Options struct {
	CacheSize int                   // This many prepared statements are kept.
	Times     TimeFormat            // Times are written and read so.
	MayCommit func() bool           // It is asked before anything becomes permanent.
	Retired   func(s *Stmt, r Runs) // It is told of the runs of a statement that is gone; nil if nobody is.
}

// Conn is a connection. Its methods may not be called after Close.
type Conn struct {
	driver  Driver
	db      uintptr   // It is SQLite's own connection, an sqlite3*.
	tls     *libc.TLS // The driver calls SQLite as this thread, and so does this package.
	mutex   dbMutex   // It is set aside, but for strangers: the calls do not overlap, and each would pay for it.
	options Options
	cache   cache
	builtin map[string]bool // These functions are SQLite's own.

	preparing bool               // Prepare collects effects.
	effects   Effects            // They are those of the statement that is being prepared.
	tables    Tables             // Those of what was prepared last, or since the last run began.
	asked     bool               // SQLite has asked what is allowed since then, as it does whenever it prepares something.
	refuse    func(Effects) bool // It is Prepare's.
}

// Open opens a connection.
func Open(ctx context.Context, factory driver.Connector, options Options) (*Conn, error) {
	raw, err := factory.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c, err := Borrow(raw)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if c.mutex, err = mutexAt(c.db, lib.Xsqlite3_db_mutex(c.tls, c.db)); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	c.options, c.cache = options, newCache(options.CacheSize)
	if err := c.Install(); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	c.mutex.setAside()
	return c, nil
}

// Borrow returns a connection of the driver's that is somebody else's, to ask SQLite of
// it: by Autocommit, Interrupt, Word, Path and the like. To prepare statements for it, to
// lend and to close it is the owner's.
func Borrow(raw driver.Conn) (*Conn, error) {
	under, ok := raw.(Driver)
	if !ok {
		return nil, fmt.Errorf("modernc.org/sqlite %s: %T lacks a method that sqlane needs", Version(), raw)
	}
	db, tls, err := handlesOf(raw)
	if err != nil {
		return nil, err
	}
	return &Conn{driver: under, db: db, tls: tls}, nil
}

// Handles are SQLite's own connection, an sqlite3*, and the thread that calls it.
func (c *Conn) Handles() (db uintptr, tls *libc.TLS) { return c.db, c.tls }

// Install has SQLite ask this package: while a statement is prepared, and before
// anything becomes permanent.
func (c *Conn) Install() error {
	c.driver.RegisterCommitHook(c.Veto)
	return c.driver.RegisterAuthorizer(c.Authorize)
}

// Veto is the commit hook: other than 0 refuses the commit
// (https://www.sqlite.org/c3ref/commit_hook.html).
func (c *Conn) Veto() int32 {
	if c.options.MayCommit() {
		return 0
	}
	return 1
}

// Driver returns the driver's own connection, without SQLite's mutex: see Lend.
func (c *Conn) Driver() Driver { return c.driver }

// Lend calls fn with the driver's own connection as the driver has opened it, with
// SQLite's mutex. It is a stranger's meanwhile.
func (c *Conn) Lend(fn func(driver.Conn) error) error {
	c.mutex.putBack()
	defer func() { // a panic or Goexit may be passing through
		if !c.Closed() {
			c.mutex.setAside()
		}
	}()
	return fn(c.driver)
}

// PutMutexBack has SQLite take its mutex from now on: a stranger keeps the means to
// call it on this connection.
func (c *Conn) PutMutexBack() { c.mutex.putBack() }

// Closed reports that somebody closed the driver's connection: then nothing else
// of Conn may be called.
func (c *Conn) Closed() bool { return isClosed(c.driver) }

// SetFunctions says which functions are SQLite's own, in lower case. Others count
// as the program's in Effects.
func (c *Conn) SetFunctions(builtin map[string]bool) { c.builtin = builtin }

// Close finalizes every statement, then closes the connection. In that order: the
// driver would keep the file open, and crash later, over a statement that outlives
// its connection. No statement may be in use.
func (c *Conn) Close() error {
	c.cache.clear()
	c.mutex.putBack() // SQLite frees it
	return c.driver.Close()
}

// Abandon undoes what SQLite was doing when a function that it called did not
// return to it. SQLite knows nothing of that: the statement runs. To end that would
// keep what it has written so far, so the whole transaction goes first; one is begun
// where there was none but the statement's. s is nil while preparing. The connection
// is good for nothing but Close afterwards.
func (c *Conn) Abandon(s *Stmt) {
	c.preparing = false
	c.Run("BEGIN")
	c.Run("ROLLBACK")
	if s != nil {
		_ = s.Close()
	}
}

// Run runs SQL without rows, whose error does not matter.
func (c *Conn) Run(text string) {
	if p, err := libc.CString(text); err == nil {
		lib.Xsqlite3_exec(c.tls, c.db, p, 0, 0, 0)
		libc.Xfree(c.tls, p)
	}
}

// Interrupt stops whatever the connection runs. It may be called from any
// goroutine. See https://www.sqlite.org/c3ref/interrupt.html.
func (c *Conn) Interrupt() {
	tls := libc.NewTLS() // c.tls may be in use
	lib.Xsqlite3_interrupt(tls, c.db)
	tls.Close()
}

// Autocommit reports that no transaction is open.
// See https://www.sqlite.org/c3ref/get_autocommit.html.
func (c *Conn) Autocommit() bool {
	return lib.Xsqlite3_get_autocommit(c.tls, c.db) != 0
}

// TxnState is the strongest transaction that a connection has open.
type TxnState int32

// What a connection may have open.
const (
	NoTransaction    TxnState = lib.SQLITE_TXN_NONE
	ReadTransaction  TxnState = lib.SQLITE_TXN_READ
	WriteTransaction TxnState = lib.SQLITE_TXN_WRITE
)

// Transaction tells what SQLite has open, statements in autocommit included.
// See https://www.sqlite.org/c3ref/txn_state.html.
func (c *Conn) Transaction() TxnState {
	return TxnState(lib.Xsqlite3_txn_state(c.tls, c.db, 0))
}

// TotalChanges counts the rows that the connection has written, triggers included.
// See https://www.sqlite.org/c3ref/total_changes.html.
func (c *Conn) TotalChanges() int32 { return lib.Xsqlite3_total_changes(c.tls, c.db) }

// lastRowid is SQL's last_insert_rowid().
// See https://www.sqlite.org/c3ref/last_insert_rowid.html.
func (c *Conn) lastRowid() int64 { return lib.Xsqlite3_last_insert_rowid(c.tls, c.db) }

// setLastRowid is what lastRowid returns until something is inserted.
// See https://www.sqlite.org/c3ref/set_last_insert_rowid.html.
func (c *Conn) setLastRowid(id int64) { lib.Xsqlite3_set_last_insert_rowid(c.tls, c.db, id) }

// changedRows counts the rows that the last INSERT, UPDATE or DELETE has changed.
// See https://www.sqlite.org/c3ref/changes.html.
func (c *Conn) changedRows() int64 { return lib.Xsqlite3_changes64(c.tls, c.db) }

// SetBusyTimeout is PRAGMA busy_timeout without a statement.
// See https://www.sqlite.org/c3ref/busy_timeout.html.
func (c *Conn) SetBusyTimeout(d time.Duration) {
	lib.Xsqlite3_busy_timeout(c.tls, c.db, int32(min(d.Milliseconds(), math.MaxInt32)))
}

// ReadOnly reports that SQLite could open the file for reading alone.
// See https://www.sqlite.org/c3ref/db_readonly.html.
func (c *Conn) ReadOnly() bool {
	return lib.Xsqlite3_db_readonly(c.tls, c.db, 0) == 1
}

// Word runs SQL and returns the first column of its first row; "" if that is NULL or
// there is none.
func (c *Conn) Word(text string) (value string, err error) {
	s, err := c.driver.Prepare(text)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	stmt, err := statementOf(s)
	if err != nil {
		return "", err
	}
	rc := lib.Xsqlite3_step(c.tls, stmt)
	if rc != lib.SQLITE_ROW && rc != lib.SQLITE_DONE {
		return "", c.failure(rc)
	}
	return libc.GoString(lib.Xsqlite3_column_text(c.tls, stmt, 0)), nil
}

// SchemaName names the database at a place of the connection; "" if there is none.
// See https://www.sqlite.org/c3ref/db_name.html.
func (c *Conn) SchemaName(i int) string {
	return libc.GoString(lib.Xsqlite3_db_name(c.tls, c.db, int32(i)))
}

// Path is a database's file; "" if it has none.
// See https://www.sqlite.org/c3ref/db_filename.html.
func (c *Conn) Path(schema string) (path string) {
	c.named(schema, func(p uintptr) { path = libc.GoString(lib.Xsqlite3_db_filename(c.tls, c.db, p)) })
	return path
}

// ReadOnlySchema is ReadOnly for an attached database.
func (c *Conn) ReadOnlySchema(schema string) (only bool) {
	c.named(schema, func(p uintptr) { only = lib.Xsqlite3_db_readonly(c.tls, c.db, p) == 1 })
	return only
}

func (c *Conn) named(schema string, f func(uintptr)) {
	if p, err := libc.CString(schema); err == nil {
		f(p)
		libc.Xfree(c.tls, p)
	}
}
