// Package pool is a connection pool for SQLite in which writers never collide:
// one write lane, many read lanes.
//
//	p, err := pool.Open(ctx, pool.Config{Path: "app.db"})
//	...
//	defer p.Close()
//	err = p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
//		_, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - 1 WHERE id = ?", id)
//		return err
//	})
//
// # Ways in
//
//	Reader    single reading statements, each on a connection of its own
//	Acquire   a Lease: statements that are transactions of their own
//	InTx      a function in a transaction: DEFERRED, IMMEDIATE or EXCLUSIVE
//	Batch     a function in a transaction shared with others that write now
//	Writer    single statements, each of which is what Batch makes of one
//	View      a function in a read-only snapshot
//	Begin     a transaction that is ended by hand
//	DB        a *sql.DB, for whatever is made for one
//	Watch     a function in a View, again after every commit that may have changed
//	          what it read
//	Changes   which tables each commit changed
//
// A Lease, a Tx, a Reader and a Writer run statements in two ways, which differ in what is
// returned and what it costs:
//
//	ExecContext, QueryContext, QueryRowContext   database/sql's types: sqlc's DBTX
//	Exec, Query, QueryRow                        a Querier: Rows and a Row that scan
//	                                             as database/sql's do, without it
//
// Functions may be nested: a function's context carries its transaction, and
// InTx, Batch and View with that context become a part of it, statements of Reader
// and Writer too. What is to happen only once the work is there to stay is a function
// for a transaction's AfterCommit. Generated repositories run on all of these through
// [Store], which others may implement.
//
// # Lanes
//
//	                 read lane: up to MaxConns-1 connections
//	Reader, View ───▶ ┌──────┐ ┌──────┐ ┌──────┐
//	Acquire           │ conn │ │ conn │ │ conn │ ...
//	InTx(Deferred)    └──┬───┘ └──────┘ └──────┘
//	                     │ its first write waits for the write slot,
//	                     ▼ in the same queue
//	                 write lane: one connection, one slot, first come first served
//	InTx(Immediate) ─▶ ┌──────┐
//	InTx(Exclusive)    │ conn │ ◀── Batch: neighbours in the queue share a commit
//	                   └──────┘     Writer
//
// A connection holds the write slot exactly while it is in a write transaction.
// Whether a statement writes is SQLite's own verdict. So two writers of a pool
// never meet inside SQLite, and none sees SQLITE_BUSY because of another; only
// locks of other processes are waited for, up to BusyTimeout.
//
// In memory and outside WAL mode readers and the writer exclude each other, by a
// fair lock in the process. There, a goroutine that keeps rows open on one lease
// and writes through another waits for itself, until AcquireTimeout.
//
// The write slot covers attached files too. An attached file outside WAL mode, or
// memory that connections share, makes the connections that have it readers and
// writers of that kind, whatever they read; PRAGMA schema.journal_mode=wal, in
// OnConnect where OnConnect attaches the file, is the cure if it may be changed. A
// file can be attached once to a connection. Each file has a snapshot of its own,
// from a transaction's first read of it on, and in WAL mode a commit to several
// files is atomic in each of them alone (https://www.sqlite.org/lang_attach.html):
// begin with IMMEDIATE what must see them at one moment.
//
// Work that would wait for itself is ErrDeadlock at once, where its context tells:
// a function's carries its transaction, and the context of OnConnect, of a Tracer
// and of a log's handler says that the pool waits for them. With another context
// the pool cannot know, nor within a function that SQL calls: such work waits until
// AcquireTimeout, whose error names its own caller among the holders.
//
// # Watching
//
// What a statement reads and changes SQLite tells while the statement is prepared,
// through views, triggers and foreign keys' actions too. So a loop over Watch has the
// answer of its queries again whenever a commit may have changed it, and never misses
// the last one, whichever way in the commit took; those of other processes are found
// within Config.WatchInterval. A loop holds no connection between runs, and costs
// whoever commits nothing but to announce the commit.
//
// # Lifecycle
//
//	open ──▶ idle ◀──────────▶ leased ──▶ released
//	          │                              │
//	          │ too old, Reset, idle long    │ state changed, broken, abandoned
//	          ▼                              ▼
//	      replaced: the successor opens first, the last one never closes
//
// Every connection is set up alike. One goroutine looks after them: it checks
// their health, replaces, trims and reclaims, and keeps the write-ahead log from
// growing without bound; it keeps writers waiting, for that alone, a second at
// most and a tenth of the time at most. At Synchronous "normal" another one syncs
// the log beside the writers, so that SQLite's checkpoints need not.
//
// Stats has the figures, Activity tells who has and who waits for what, and Queries
// which statements took the time; package pool/debug is a page of all three.
//
// # Guarantees
//
// Pool, Registry, Reader, Writer and Lease may be used by many goroutines. A Tx
// may be handed from one to another, but its savepoints nest, so only one at a time
// should open them. Queues are first come, first served, and every wait ends with its
// context or AcquireTimeout. What has returned nil is committed, and at
// Synchronous "full" on disk. A transaction that SQLite lost is ErrTxLost to its
// end; nothing meant for it commits on its own. A context that ends stops what
// runs, what waits and what iterates, within some milliseconds.
//
// # Values
//
// Arguments are counted on every way in. A script's plain ? take them in order,
// across its statements; ?NNN and names mean the same one in each, and numbers go
// with nothing else. Nothing of it has run when its arguments are refused.
//
// A time.Time is written in UTC, by default in SQLite's own format with
// nanoseconds, so that text sorts as time does, and read from a column that is
// declared as DATE, DATETIME or TIMESTAMP; see Config.TimeFormat. An empty BLOB
// is not NULL.
//
// LastInsertId is the rowid of the row that a statement inserted last itself, and
// RowsAffected how many it inserted, changed or deleted, without those of its
// triggers; both are 0 if there is none. An upsert that updates inserts none.
// Of a script, LastInsertId is that of its last row, RowsAffected that of its last
// statement. A statement that asks for last_insert_rowid() and inserts into a table
// WITHOUT ROWID tells what it was given.
//
// # Errors
//
//	sentinel           when                                              what to do
//	ErrClosed          the pool is shutting down or closed               stop
//	ErrAcquireTimeout  no lease, or not the write lane, in time          see the holders it names; raise MaxConns
//	ErrOverloaded      MaxWaiters are waiting already                    shed load, try later
//	ErrReleased        a lease is used after Release                     mend the caller
//	ErrTxDone          a transaction is used after its end               mend the caller
//	ErrTxLost          SQLite rolled the transaction back; see the cause run it again if the cause allows
//	ErrTxControl       BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE as text use InTx, Begin, Savepoint
//	ErrConflict        a DEFERRED transaction read before another's commit run it again, or pass Repeatable
//	ErrBusy            another process held a lock beyond BusyTimeout    try again
//	ErrDeadlock        it would wait for its own context's transaction,  use that transaction,
//	                   or for the OnConnect that it runs in              or what OnConnect is given
//	ErrNestedLevel     a nested transaction is stronger than the outer   begin the outer one at that level
//	ErrReadOnly        a write in a View, on Reader or a read-only pool  use InTx, Batch or Writer
//	ErrUnhealthy       no connection works and none can be opened        see the cause: descriptors, memory, disk
//	ErrMoved           the database file or its log is no longer there   see what it names; move it back, or open a new pool
//	ErrConfig          a faulty Config, DSN or level, or a PRAGMA that the whole pool depends on
//	fs.ErrInvalid      a nil pool, context, function or option           mend the caller
//
// A function's own error comes back as it is. Code gives SQLite's result code;
// IsBusy, IsFull and IsCorrupt tell apart what concerns the pool, and package dberr
// what concerns the data: a row that is not there, a violated constraint.
package pool
