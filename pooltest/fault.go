package pooltest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/internal/tap"
	"github.com/sqlane/sqlane/pool"
	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Fault is something that happens to a database.
type Fault struct {
	name  string
	bring func(d *database) error
	file  bool // It has no meaning in memory.
}

func (f Fault) String() string { return f.name }

var (
	// DiskFull has the database grow no more: the statement that needs a new page fails
	// with SQLITE_FULL (13, see pool.Code), and its transaction is lost: what follows in
	// it is pool.ErrTxLost, and so is InTx if fn goes on in spite of it. Free pages can be
	// filled, as on a full disk: what was deleted makes room. It is SQLite's
	// max_page_count (https://www.sqlite.org/pragma.html#pragma_max_page_count).
	DiskFull = Fault{name: "DiskFull", bring: func(d *database) error { d.faults.set(func(f *faults) { f.full = true }); return nil }}
	// LostTx has SQLite lose every transaction that writes: its next writing statement
	// is interrupted, which fails with SQLITE_INTERRUPT (9, see pool.Code), and SQLite
	// rolls everything back (https://www.sqlite.org/c3ref/interrupt.html). What follows in
	// the transaction is pool.ErrTxLost, and so is InTx if fn goes on in spite of it.
	// Statements of Writer, which share transactions, are concerned; those of a Lease,
	// each of which is one of its own, are not.
	LostTx = Fault{name: "LostTx", bring: func(d *database) error { d.faults.set(func(f *faults) { f.lost = true }); return nil }}
	// Moved moves the database's file, but not what SQLite keeps beside it, to another
	// name in its directory. Writes are pool.ErrMoved. Heal moves it back.
	Moved = Fault{name: "Moved", bring: (*database).move, file: true}
)

// IOError fails the nth write from now on, and every one after it, with
// SQLITE_IOERR_WRITE, as a broken disk does. A commit takes several. n is 1 for the
// next one. What counts are writes to the database's file and its write-ahead log; those
// to a rollback journal succeed.
func IOError(n int) Fault {
	return Fault{name: fmt.Sprintf("IOError(%d)", n), file: true, bring: func(d *database) error {
		if n < 1 {
			return errors.New("there is no such write; the next one is number 1")
		}
		d.faults.set(func(f *faults) { f.broken, f.good = true, n-1 })
		return nil
	}}
}

// Locked holds the lock that lets others read the database and not write it, for the
// time that it is given, or until Heal if that is 0 or less, as another process would: from
// a connection that the pool does not know. Writers wait for it, up to Config's
// BusyTimeout: then it is pool.ErrBusy. Fail takes the lock before it returns, for
// which it waits five seconds at most, in vain if the caller has a write transaction.
func Locked(d time.Duration) Fault {
	return Fault{name: fmt.Sprintf("Locked(%v)", d), file: true, bring: func(b *database) error { return b.lock(d) }}
}

// Fail brings a fault about, until the test ends or Heal. The pool, which is one of
// New's, meets it from its next statement on, in transactions too that are under way
// and on connections that are open. Other faults stay. One that has no meaning for the
// database, as Moved for one in memory, fails the test at once, and so does one that
// cannot be brought about.
func Fail(t testing.TB, p *pool.Pool, fault Fault) {
	t.Helper()
	d := find(t, p)
	switch {
	case fault.bring == nil:
		t.Fatalf("pooltest: Fail: the zero Fault is none")
	case fault.file && d.memory():
		t.Fatalf("pooltest: Fail: %v has no meaning for a database in memory; open the pool with pooltest.File()", fault)
	}
	if err := fault.bring(d); err != nil {
		t.Fatalf("pooltest: Fail: %v: %v", fault, err)
	}
}

// Heal ends every fault of the pool.
func Heal(t testing.TB, p *pool.Pool) {
	t.Helper()
	if err := find(t, p).faults.heal(); err != nil {
		t.Fatalf("pooltest: Heal: %v", err)
	}
}

func find(t testing.TB, p *pool.Pool) *database {
	t.Helper()
	if p == nil {
		t.Fatalf("pooltest: the pool is nil")
	}
	d, ok := databases.Load(p)
	if !ok {
		t.Fatalf("pooltest: the pool was not opened by pooltest.New, or its test is over")
	}
	return d.(*database)
}

// faults are what happens to a database now.
type faults struct {
	mu     sync.Mutex
	full   bool
	lost   bool
	broken bool
	good   int            // broken: so many writes still succeed.
	undo   []func() error // These end the others.
	taps   []*tap.Tap
}

func (f *faults) set(change func(f *faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// heal ends them all.
func (f *faults) heal() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full, f.lost, f.broken = false, false, false
	var errs []error
	for _, undo := range f.undo {
		errs = append(errs, undo())
	}
	f.undo = nil
	return errors.Join(errs...)
}

// connect has a connection meet the faults.
func (f *faults) connect(conn driver.Conn) error {
	one := &tap.Tap{Begins: (&victim{faults: f}).begins, Writes: f.write}
	f.set(func(f *faults) { f.taps = append(f.taps, one) })
	return one.Connect(conn)
}

// disconnect ends that for all connections.
func (f *faults) disconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.taps {
		t.Disconnect()
	}
	f.taps = nil
}

// write is what comes of a write.
func (f *faults) write() (code int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.broken {
		return lib.SQLITE_OK
	}
	if f.good > 0 {
		f.good--
		return lib.SQLITE_OK
	}
	return lib.SQLITE_IOERR_WRITE
}

// victim is a connection that meets faults. One goroutine uses it at a time.
type victim struct {
	faults *faults
	within bool   // A statement of its own begins.
	limit  string // max_page_count was this before the disk was full; "" if it is not full.
}

// begins is called when a statement of the connection begins.
func (v *victim) begins(c *sqlite.Conn, writes bool) {
	if v.within || !writes {
		return
	}
	v.within = true
	defer func() { v.within = false }()
	v.faults.mu.Lock()
	full, lost := v.faults.full, v.faults.lost
	v.faults.mu.Unlock()
	// What these may fail with, a lock say, the statement itself will meet.
	switch {
	case full && v.limit == "":
		if limit, err := c.Word("PRAGMA main.max_page_count"); err == nil {
			if _, err := c.Word("PRAGMA main.max_page_count = 1"); err == nil { // or as many as there are
				v.limit = limit
			}
		}
	case !full && v.limit != "":
		if _, err := c.Word("PRAGMA main.max_page_count = " + v.limit); err == nil {
			v.limit = ""
		}
	}
	if lost && !c.Autocommit() {
		c.Interrupt()
	}
}

// move moves the file, until it is healed.
func (d *database) move() error {
	away := d.cfg.Path + ".moved"
	if _, err := os.Lstat(away); err == nil {
		return fmt.Errorf("%s exists already", away)
	}
	if err := os.Rename(d.cfg.Path, away); err != nil {
		return err
	}
	d.faults.set(func(f *faults) { f.undo = append(f.undo, func() error { return os.Rename(away, d.cfg.Path) }) })
	return nil
}

// lock holds the write lock, until it is healed.
func (d *database) lock(long time.Duration) error {
	path, err := filepath.Abs(d.cfg.Path)
	if err != nil {
		return err
	}
	connector, err := modernc.NewConnector((&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}).String() + "?mode=rw&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	conn, err := connector.Connect(context.Background())
	if err != nil {
		return err
	}
	if _, err := conn.(driver.ExecerContext).ExecContext(context.Background(), "BEGIN IMMEDIATE", nil); err != nil {
		return errors.Join(err, conn.Close())
	}
	release := sync.OnceValue(conn.Close) // which rolls back
	stop := func() bool { return true }
	if long > 0 {
		stop = time.AfterFunc(long, func() { _ = release() }).Stop // heal tells what it says
	}
	d.faults.set(func(f *faults) {
		f.undo = append(f.undo, func() error {
			stop()
			return release()
		})
	})
	return nil
}
