package pool

import (
	"context"
	"database/sql"
	"iter"
)

// Store is what a generated repository runs on, and all that it needs. A *Pool is
// one; another may keep its database elsewhere. The methods have names of their own,
// since Go gives a type one method of each: InTx of a *Pool hands out the *Tx, which
// only this package can make, and StoreInTx an interface. Programs that have a *Pool
// call InTx.
//
// A Store is safe for concurrent use. Whoever writes one keeps these promises:
//
//   - A function's context carries its transaction: all methods but StoreWatch, called
//     with it, run in that transaction. StoreInTx and StoreBatch make a savepoint of it,
//     StoreView a part in which writes are refused.
//   - Work is kept if its function returns nil. It is undone if the function returns an
//     error, which comes back unchanged, panics, which goes on, or calls
//     runtime.Goexit, and if the context ends first.
//   - What the Store itself has to say is told apart by this package's sentinels:
//     ErrReadOnly, ErrNestedLevel, ErrTxDone, ErrConfig for a level that there is none
//     of, and where they apply ErrConflict, ErrBusy, ErrTxLost, ErrClosed and the
//     others; a context that has ended is its own error. SQLite's violated
//     constraints are what dberr.Kind knows.
type Store interface {
	// StoreReader runs single reading statements, each on whatever connection is
	// free. A write through it is ErrReadOnly, outside a transaction at least.
	StoreReader() DBTX
	// StoreWriter runs single writing statements, each durable when it returns, or
	// when the rows that it returns are closed.
	StoreWriter() DBTX
	// StoreInTx runs fn in a transaction that begins at the level. A level stronger
	// than that of ctx's transaction is ErrNestedLevel. IsRepeatable tells whether fn
	// may run again.
	StoreInTx(ctx context.Context, level Level, fn func(ctx context.Context, tx StoreTx) error, opts ...TxOption) error
	// StoreBatch runs fn in an IMMEDIATE transaction, which it may share with others.
	// fn may run more than once, and only one run counts.
	StoreBatch(ctx context.Context, fn func(ctx context.Context, tx StoreTx) error) error
	// StoreView runs fn on one snapshot, in which a write is ErrReadOnly.
	StoreView(ctx context.Context, fn func(ctx context.Context, tx StoreTx) error) error
	// StoreWatch runs fn on one snapshot at once, and again after commits that may have
	// changed what it read last, and yields fn's error after each run. What ends it is
	// yielded last: the context's error, or ErrClosed with the Store. A context that
	// carries a transaction is ErrDeadlock at once. A Store that cannot tell what was
	// changed may run fn more often, or yield errors.ErrUnsupported alone.
	StoreWatch(ctx context.Context, fn func(ctx context.Context, tx StoreTx) error) iter.Seq[error]
}

// StoreTx is a Store's transaction, or a savepoint in one. After its end all of it is
// ErrTxDone, while the transaction around a savepoint goes on. Rows and statements
// that are open at its end end with it.
type StoreTx interface {
	DBTX
	// Savepoint runs fn in a savepoint: what it did is undone alone if it fails.
	Savepoint(ctx context.Context, fn func(ctx context.Context, tx StoreTx) error) error
	// AfterCommit has fn called once the outermost transaction is committed, before
	// the method that began it returns; never if what registered it was undone.
	AfterCommit(fn func())
	// Level is that at which the outermost transaction began.
	Level() Level
}

// DBTX is sqlc's: what runs statements.
type DBTX interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Statement is a query of a generated repository.
type Statement struct {
	Name  string // the method's
	SQL   string // the text that runs; a sqlc.slice has one element
	Reads bool   // it runs on the Reader, not the Writer
}

// IsRepeatable tells whoever writes a Store whether Repeatable is among the options.
// Those that are nil say nothing here; InTx refuses them.
func IsRepeatable(opts ...TxOption) bool {
	var o txOptions
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return o.repeatable
}

var (
	_ Store   = (*Pool)(nil)
	_ StoreTx = storeTx{}
	_ DBTX    = (*Lease)(nil)
)

// StoreReader is Reader, for [Store].
func (p *Pool) StoreReader() DBTX { return storeReader{p.Reader()} }

// StoreWriter is Writer, for [Store].
func (p *Pool) StoreWriter() DBTX { return storeWriter{p.Writer()} }

// StoreInTx is InTx, for [Store].
func (p *Pool) StoreInTx(ctx context.Context, level Level, fn func(ctx context.Context, tx StoreTx) error, opts ...TxOption) error {
	return p.InTx(ctx, level, ofStore(fn), opts...)
}

// StoreBatch is Batch, for [Store].
func (p *Pool) StoreBatch(ctx context.Context, fn func(ctx context.Context, tx StoreTx) error) error {
	return p.Batch(ctx, ofStore(fn))
}

// StoreView is View, for [Store].
func (p *Pool) StoreView(ctx context.Context, fn func(ctx context.Context, tx StoreTx) error) error {
	return p.View(ctx, ofStore(fn))
}

// StoreWatch is Watch, for [Store].
func (p *Pool) StoreWatch(ctx context.Context, fn func(ctx context.Context, tx StoreTx) error) iter.Seq[error] {
	return p.Watch(ctx, ofStore(fn))
}

// storeTx is a Tx as a StoreTx.
type storeTx struct{ *Tx }

// Savepoint implements StoreTx.
func (t storeTx) Savepoint(ctx context.Context, fn func(ctx context.Context, tx StoreTx) error) error {
	return t.Tx.Savepoint(ctx, ofStore(fn))
}

// ofStore is the function for a Tx; nil stays nil.
func ofStore(fn func(context.Context, StoreTx) error) func(context.Context, *Tx) error {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, tx *Tx) error { return fn(ctx, storeTx{tx}) }
}
