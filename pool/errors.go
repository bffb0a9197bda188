package pool

import (
	"context"
	"errors"
	"strings"

	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Acquiring a connection or the write lane.
var (
	// ErrClosed is returned when the pool is shutting down or closed.
	ErrClosed = errors.New("pool is closed")
	// ErrAcquireTimeout is returned when no lease, or not the write lane, could
	// be had within Config.AcquireTimeout. The message names the holders.
	ErrAcquireTimeout = errors.New("acquire timeout")
	// ErrOverloaded is returned when Config.MaxWaiters callers are waiting already.
	ErrOverloaded = errors.New("too many callers are waiting")
	// ErrDeadlock is returned, at once, for work that would wait for something
	// that a transaction of its own context holds, for work of Config.OnConnect,
	// Tracer or Logger on the pool that called them, and for an ATTACH of a file
	// that the connection has already.
	ErrDeadlock = errors.New("would wait for itself")
)

// Using a lease or a transaction.
var (
	// ErrReleased is returned when a lease is used after its Release.
	ErrReleased = errors.New("lease was released")
	// ErrTxDone is returned when a transaction is used after its end.
	ErrTxDone = errors.New("transaction has ended")
	// ErrTxLost is returned for every use of a transaction that SQLite has
	// rolled back by itself. The cause of the loss is in the chain.
	ErrTxLost = errors.New("transaction was rolled back by SQLite")
	// ErrTxControl is returned for BEGIN, COMMIT, ROLLBACK, SAVEPOINT and RELEASE
	// as SQL text. The transaction stays as it was.
	ErrTxControl = errors.New("transaction control belongs to the pool")
	// ErrNestedLevel is returned when a transaction is nested in a weaker one.
	ErrNestedLevel = errors.New("nested transaction is stronger than the outer one")
	// ErrReadOnly is returned for a write in a View, through a Reader or
	// through a read-only pool.
	ErrReadOnly = errors.New("read-only")
)

// Meeting other writers.
var (
	// ErrConflict is returned when a DEFERRED transaction writes after another
	// one has committed since its first read. Run it again, or pass Repeatable.
	ErrConflict = errors.New("another transaction committed since this one began to read")
	// ErrBusy is returned when another process held a lock for longer than
	// Config.BusyTimeout.
	ErrBusy = errors.New("database is locked by another process")
)

// The pool itself.
var (
	// ErrUnhealthy is returned when no working connection can be had.
	ErrUnhealthy = errors.New("no healthy connection")
	// ErrMoved is returned when the database file, or in WAL mode its -wal or -shm,
	// is no longer the one that was opened. The message names it. To close the pool
	// saves what was acknowledged, unless the database file itself is gone.
	ErrMoved = errors.New("database file was moved or replaced")
	// ErrConfig is returned for a faulty Config or DSN.
	ErrConfig = errors.New("invalid configuration")
)

// Error is what the pool itself has to say. errors.Is reaches both the sentinel
// and the cause.
type Error struct {
	Op    string // what was being done: "acquire", "begin", "commit", ...
	Path  string // the database
	Level Level  // of the transaction, where there is one
	Err   error  // one of the package's sentinels, or nil
	Cause error  // what lies under it: a context's error or SQLite's, or nil

	leveled bool   // Level means something
	detail  string // for people
}

// Error says what was done to which database and why it failed.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("pool: ")
	b.WriteString(e.Op)
	if e.leveled {
		b.WriteString(" " + e.Level.String())
	}
	if e.Path != "" {
		b.WriteString(" " + e.Path)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.detail != "" {
		b.WriteString(": " + e.detail)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As the sentinel and the cause.
func (e *Error) Unwrap() []error {
	chain := make([]error, 0, 2)
	for _, err := range []error{e.Err, e.Cause} {
		if err != nil {
			chain = append(chain, err)
		}
	}
	return chain
}

// Code returns SQLite's extended result code (https://www.sqlite.org/rescode.html)
// of the first SQLite error in err's chain: modernc's, or another with a method
// SQLiteCode() int, as the nodes of a cluster have. ok is false if there is none. Package
// dberr names what the codes of violated constraints mean.
func Code(err error) (code int, ok bool) {
	var others interface{ SQLiteCode() int }
	if errors.As(err, &others) {
		return others.SQLiteCode(), true
	}
	var e *modernc.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code(), true
}

// IsBusy reports a lock held by another connection, ErrBusy and ErrConflict included.
func IsBusy(err error) bool {
	return errors.Is(err, ErrBusy) || errors.Is(err, ErrConflict) || hasPrimary(err, lib.SQLITE_BUSY) || hasPrimary(err, lib.SQLITE_LOCKED)
}

// IsFull reports a full disk or a database at its max_page_count.
func IsFull(err error) bool { return hasPrimary(err, lib.SQLITE_FULL) }

// IsCorrupt reports a damaged database or a file that is none.
func IsCorrupt(err error) bool {
	return hasPrimary(err, lib.SQLITE_CORRUPT) || hasPrimary(err, lib.SQLITE_NOTADB)
}

func hasCode(err error, codes ...int) bool {
	code, ok := Code(err)
	for _, c := range codes {
		if ok && code == c {
			return true
		}
	}
	return false
}

func hasPrimary(err error, primary int) bool {
	code, ok := Code(err)
	return ok && code&0xff == primary
}

// debtError stands for SQLite's deferred foreign key error where the pool found
// the debt before SQLite was asked to commit it. Package dberr knows it by its method.
type debtError struct{}

func (debtError) Error() string { return "FOREIGN KEY constraint failed" }

func (debtError) SQLiteCode() int { return lib.SQLITE_CONSTRAINT_FOREIGNKEY }

// isContextError reports that err is what a context ends with.
func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fail makes the pool's error out of a sentinel, a cause and details for people.
func (p *Pool) fail(op string, sentinel, cause error, details ...string) error {
	if sentinel == ErrConflict {
		p.counts.conflicts.Add(1)
	}
	return &Error{Op: op, Path: p.path, Err: sentinel, Cause: cause, detail: strings.Join(details, "; ")}
}

// readOnlyPool says what helps against ErrReadOnly of a pool that only reads.
const readOnlyPool = "the pool is opened with ReadOnly or Immutable; open one without, or use View"

// failTx is fail for a transaction.
func (p *Pool) failTx(op string, level Level, sentinel, cause error, details ...string) error {
	err := p.fail(op, sentinel, cause, details...).(*Error)
	err.Level, err.leveled = level, true
	return err
}

// warn logs an error that nobody gets.
func (p *Pool) warn(what string, err error) {
	if err != nil {
		p.cfg.Logger.Warn(what, "path", p.path, "error", err)
	}
}
