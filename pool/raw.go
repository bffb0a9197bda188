package pool

import (
	"context"
	"database/sql/driver"
	"errors"
	"strconv"
	"strings"

	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Raw calls fn with modernc.org/sqlite's own connection, for what the pool does
// not offer: to read the database into memory, say, or to set a limit. fn has the
// write lane meanwhile, unless the pool is read-only, so nobody is in its way. It
// may not keep conn, close it or use the lease. Whatever it may have changed there,
// the next lease does not meet: the connection is closed when this one ends. The
// authorizer and the commit hook are the pool's, and are put back. What fn has made of
// a database in memory, the copy of one in WAL mode perhaps, which SQLite cannot keep
// there, is in WAL mode no more when Raw returns.
//
// Raw fails as ExecContext does, or with fn's error.
func (l *Lease) Raw(ctx context.Context, fn func(conn driver.Conn) error) error {
	if err := l.pool.given("raw", ctx, fn != nil); err != nil {
		return err
	}
	c := l.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := l.call(ctx)
	if err := c.admit(&cl); err != nil {
		return err
	}
	if err := c.locks.hold(c, &cl); err != nil {
		return err
	}
	c.lookBeforeWriting(true)
	before := c.version()
	defer func() {
		if c.takeBack(); c.closed || before == "" || c.version() != before {
			c.pool.watches.hub.CommitAnything()
		}
		if !c.closed {
			c.locks.drop(c)
		}
	}()
	return c.db.Lend(fn)
}

// version changes with every commit that the connection sees, its own included, in
// attached databases too; "" if it is not to be had. See
// https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html, SQLITE_FCNTL_DATA_VERSION.
func (c *conn) version() string {
	schemas := []string{"main"}
	for _, a := range c.guard.attached.databases {
		schemas = append(schemas, a.schema)
	}
	var all strings.Builder
	for _, schema := range schemas {
		version, err := c.db.Driver().FileControlDataVersion(schema)
		if err != nil {
			return ""
		}
		all.WriteString(strconv.FormatUint(uint64(version), 10) + " ")
	}
	return all.String()
}

// takeBack makes the driver's connection the pool's again. The caller holds mu.
func (c *conn) takeBack() {
	c.changed(stateRaw)
	if c.db.Closed() { // and with it its statements
		c.forget()
		return
	}
	if err := c.db.Install(); err != nil {
		c.broken = err
	}
	c.leaveLogMode()
}

// leaveLogMode makes a database in memory one that can be read. A copy of one in WAL mode
// has that in its header, and SQLite, which cannot keep a log in memory for several
// connections, does not open it (https://www.sqlite.org/c3ref/deserialize.html). For a
// connection that is alone it can (https://www.sqlite.org/wal.html#noshm), and so change
// the mode. The caller holds mu, and the write lane if others have the database open.
func (c *conn) leaveLogMode() {
	const read = "SELECT count(*) FROM sqlite_schema"
	if c.db.Path("main") != "" { // it is in a file
		return
	}
	if _, err := c.db.Word(read); !hasCode(err, lib.SQLITE_CANTOPEN) {
		return
	}
	for _, text := range []string{"PRAGMA locking_mode=exclusive", read, "PRAGMA journal_mode=memory", "PRAGMA locking_mode=normal", read} {
		_, _ = c.db.Word(text) // whoever reads next learns what it says
	}
}

// forget gives up a connection that somebody else has closed. Its statements may
// not even be finalized: there is nothing left that would do it.
func (c *conn) forget() {
	c.broken = errors.New("it was closed in the pool's place")
	c.closed = true
	c.db.Counted(c.retired)
	c.pool.tallies.leave(c)
	c.pool.conns.closed(c)
	for _, r := range c.open {
		r.ended, r.reason = true, c.pool.fail("query", ErrClosed, c.broken)
	}
	c.open = nil
	c.guard.pop(0)
	c.locks.kept = 0
	c.locks.release(c)
}

// The methods below are those of modernc.org/sqlite's connection that database/sql
// knows nothing of. sql.Conn.Raw of a *sql.DB of the pool's reaches them, by the
// interfaces that the driver has for them or an interface of one's own. What they
// set on the connection stays with that *sql.DB, as a PRAGMA does.

var _ interface {
	modernc.AuthorizerRegisterer
	modernc.DBStatus
	modernc.FileControl
	modernc.HookRegisterer
} = (*facadeConn)(nil)

// reach calls fn with the driver's connection.
func (f *facadeConn) reach(fn func(c *conn) error) error {
	c := f.lease.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(new(f.call(context.Background()))); err != nil {
		return err
	}
	return fn(c)
}

// ColumnInfo tells where the columns of a query come from.
func (f *facadeConn) ColumnInfo(query string) (info []modernc.ColumnInfo, err error) {
	err = f.reach(func(c *conn) error {
		info, err = c.db.Driver().ColumnInfo(query)
		return err
	})
	return info, err
}

// IsReadOnly reports whether a schema is read-only.
func (f *facadeConn) IsReadOnly(schema string) (readOnly bool, err error) {
	err = f.reach(func(c *conn) error {
		readOnly, err = c.db.Driver().IsReadOnly(schema)
		return err
	})
	return readOnly, err
}

// Serialize returns the database as the bytes of a file.
func (f *facadeConn) Serialize() (b []byte, err error) {
	err = f.reach(func(c *conn) error {
		b, err = c.db.Driver().Serialize()
		return err
	})
	return b, err
}

// Deserialize has the connection work on a database in memory, made of the bytes
// of a file, which may be in WAL mode.
func (f *facadeConn) Deserialize(b []byte) error {
	return f.reach(func(c *conn) error {
		c.changed(stateRaw)
		err := c.db.Driver().Deserialize(b)
		c.leaveLogMode()
		return err
	})
}

// NewBackup begins a copy of the database; Pool.Backup is safer.
func (f *facadeConn) NewBackup(uri string) (b *modernc.Backup, err error) {
	err = f.reach(func(c *conn) error {
		c.changed(stateRaw)
		c.db.PutMutexBack() // its steps do not come through here
		b, err = c.db.Driver().NewBackup(uri)
		return err
	})
	return b, err
}

// Status implements modernc.DBStatus.
func (f *facadeConn) Status(op modernc.DBStatusOp, reset bool) (current, high int, err error) {
	err = f.reach(func(c *conn) error {
		current, high, err = c.db.Driver().Status(op, reset)
		return err
	})
	return current, high, err
}

// FileControlPersistWAL implements modernc.FileControl.
func (f *facadeConn) FileControlPersistWAL(schema string, mode int) (now int, err error) {
	err = f.reach(func(c *conn) error {
		if mode >= 0 { // else it asks
			c.changed(stateRaw)
		}
		now, err = c.db.Driver().FileControlPersistWAL(schema, mode)
		return err
	})
	return now, err
}

// FileControlDataVersion implements modernc.FileControl.
func (f *facadeConn) FileControlDataVersion(schema string) (version uint32, err error) {
	err = f.reach(func(c *conn) error {
		version, err = c.db.Driver().FileControlDataVersion(schema)
		return err
	})
	return version, err
}

// RegisterAuthorizer implements modernc.AuthorizerRegisterer. It is asked after the
// pool's own.
func (f *facadeConn) RegisterAuthorizer(fn modernc.AuthorizerFn) error {
	return f.reach(func(c *conn) error {
		c.changed(stateRaw)
		if fn == nil {
			return c.db.Driver().RegisterAuthorizer(c.db.Authorize)
		}
		return c.db.Driver().RegisterAuthorizer(func(action modernc.AuthorizerActionCode, arg1, arg2, schema, trigger string) modernc.AuthorizerReturnCode {
			if verdict := c.db.Authorize(action, arg1, arg2, schema, trigger); verdict != modernc.AuthorizerOK {
				return verdict
			}
			return fn(action, arg1, arg2, schema, trigger)
		})
	})
}

// RegisterCommitHook implements modernc.HookRegisterer. It is asked after the
// pool's own.
func (f *facadeConn) RegisterCommitHook(fn modernc.CommitHookFn) {
	_ = f.reach(func(c *conn) error {
		c.changed(stateRaw)
		c.db.Driver().RegisterCommitHook(func() int32 {
			if veto := c.db.Veto(); veto != 0 || fn == nil {
				return veto
			}
			return fn()
		})
		return nil
	})
}

// RegisterRollbackHook implements modernc.HookRegisterer.
func (f *facadeConn) RegisterRollbackHook(fn modernc.RollbackHookFn) {
	_ = f.reach(func(c *conn) error {
		c.changed(stateRaw)
		c.db.Driver().RegisterRollbackHook(fn)
		return nil
	})
}

// RegisterPreUpdateHook implements modernc.HookRegisterer.
func (f *facadeConn) RegisterPreUpdateHook(fn modernc.PreUpdateHookFn) {
	_ = f.reach(func(c *conn) error {
		c.changed(stateRaw)
		c.db.Driver().RegisterPreUpdateHook(fn)
		return nil
	})
}
