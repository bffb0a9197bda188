package pool

import (
	"context"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// call is what comes with a statement: for whom it runs, and what it may.
type call struct {
	context.Context        // The caller's, which ends the statement.
	epoch           uint64 // The lease that it runs on is the connection's while this is the connection's epoch.
	part                   // The transaction that it is part of.
	kind            callKind
	stopwatch             // It measures the statement that the call runs now.
	span            *span // The query's, for the Tracer; nil if there is none.
}

// part is a transaction as its statements know it. They do not refer to the Tx
// itself: rows that are left open must not keep it from becoming garbage.
type part struct {
	depth       int    // It is 0 for the outermost transaction, and -1 outside one.
	serial      uint64 // It tells the transactions at this depth from each other.
	readOnly    bool   // A write is refused.
	noInterrupt bool   // Others' work is pending, which an interrupted write would take along: statements are cancelled before they run, not while.
}

var outside = part{depth: -1}

// callKind says who sends a statement, and so what it may.
type callKind uint8

const (
	// ordinaryCall is a caller's, and controls no transaction.
	ordinaryCall callKind = iota
	// textCall comes through a *sql.DB, and may control transactions as text.
	textCall
	// savepointCall comes through a *sql.DB in a transaction of database/sql's: of
	// text that controls transactions, it may be what concerns savepoints.
	savepointCall
	// poolCall is the pool's own, on behalf of a caller.
	poolCall
	// uncancellableCall is the pool's own, and runs to its end even if the context ends.
	uncancellableCall
)

// reading makes the call one that may not write.
func (cl call) reading() call {
	cl.readOnly = true
	return cl
}

// ownCall is a statement of the pool's own, which nothing stops.
func ownCall() *call {
	return &call{Context: context.Background(), part: outside, kind: uncancellableCall}
}

// mayControl reports that a statement is none that controls transactions, or one
// that the call is allowed.
func (cl *call) mayControl(e *sqlite.Effects) bool {
	switch cl.kind {
	case ordinaryCall:
		return !e.Control()
	case savepointCall:
		return !e.Transaction
	}
	return true
}

// uncancellable reports that no context ends the call.
func (cl *call) uncancellable() bool { return cl.kind == uncancellableCall }

// interruptible reports that the statement may have to be stopped while it runs.
func (cl *call) interruptible() bool {
	return !cl.uncancellable() && !cl.noInterrupt && cl.Context.Done() != nil
}

// waitContext is the context that ends a wait.
func (cl *call) waitContext() context.Context {
	if cl.uncancellable() {
		return context.Background()
	}
	return cl.Context
}
