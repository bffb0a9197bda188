// Package dqlite is a [pool.Store] on a cluster of dqlite nodes: SQLite, replicated by Raft
// (https://dqlite.io). A repository that was generated for a file runs on it as it is:
//
//	s, err := dqlite.Open(ctx, dqlite.Config{Members: []string{"10.0.0.1:9001", "10.0.0.2:9001", "10.0.0.3:9001"}, TLS: how})
//	...
//	r := repo.New(s)
//
// It is pure Go and needs neither libdqlite nor cgo: those are for whoever runs a node, as
// the module github.com/sqlane/sqlane/cluster does in the same process.
//
// # Writing
//
// dqlite has one writer at a time for the whole cluster, refuses others with "database is
// locked", and pays a round of Raft for each commit. So the writers of a process queue in a
// lane, in the order in which they come, and single statements of the Writer and members of
// a Batch that wait next to each other are committed together; each is durable on a majority
// when it returns. Writers of other processes are waited for, for Config.BusyTimeout.
//
// # When the leader changes
//
// Statements run on the leader alone. One that is gone is replaced by whom the others elect.
// What was not acknowledged is run again where that is safe: single reads, the beginning of
// a transaction, members of a batch, and Repeatable transactions, unless the commit was on
// its way. Any other transaction is pool.ErrTxLost, and what a commit was sent for that was
// never answered is [ErrCommitUnknown]. Without a majority everything is [ErrNoQuorum] after
// Config.AcquireTimeout, and nothing was done.
//
// A statement that a leader was sent before it died is sent to one more leader at most.
//
// # What became of it
//
// Whoever gets [ErrCommitUnknown] finds out by a row with a key of its own, written in the
// same transaction: where the row is, the work is, and where it is not, nothing is. The key
// is chosen once for each request, by whoever asks, and is the same when that is tried again.
//
//	CREATE TABLE done (key TEXT PRIMARY KEY) WITHOUT ROWID;
//
//	for {
//		err := s.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
//			var done bool
//			err := tx.QueryRowContext(ctx, "SELECT true FROM done WHERE key = ?", key).Scan(&done)
//			if !errors.Is(err, sql.ErrNoRows) {
//				return err // nil if it was done before
//			}
//			if _, err := tx.ExecContext(ctx, "INSERT INTO done (key) VALUES (?)", key); err != nil {
//				return err
//			}
//			return work(ctx, tx)
//		}, pool.Repeatable())
//		if !errors.Is(err, dqlite.ErrCommitUnknown) {
//			return err
//		}
//	}
//
// The next round asks the leader that there is then, who has what was committed before. It
// needs an Immediate transaction: a StoreReader may reach one who has been replaced and does
// not know yet.
//
// # What is different from a pool
//
//   - Exclusive is Immediate. Deferred is told from a text's words whether it writes.
//   - A transaction's function whose context ends in the midst of a statement costs its
//     connection, and so the transaction.
//   - Rows that were handed out when their leader went are not asked for again: their Err
//     says so.
//   - Several statements in one text take no arguments, and those of a StoreWriter are
//     committed or undone together.
//   - A StoreWriter's rows are read before they are committed, and handed out afterwards.
//   - Rows that are open while their transaction does something else are read into memory.
//   - PRAGMA query_only is pool.ErrTxControl, as BEGIN and COMMIT are.
//   - Prepared statements, named arguments, more than 255 arguments, a NUL in a text and
//     ATTACH are refused.
//   - Watch runs again after every commit, whatever it changed.
//   - A NULL in a column declared BOOLEAN arrives as false, and an empty text in one declared
//     DATE, DATETIME or TIMESTAMP as NULL.
//   - A number with a fraction or a BLOB in a column declared DATE, DATETIME or TIMESTAMP, or
//     what is no integer in one declared BOOLEAN, ends the node that is asked for it: let a
//     CHECK keep such values out.
//   - Reads ask the leader and nobody else. One that was cut off, or paused, and does not
//     know yet that there is another may answer from before for a moment; a transaction that
//     writes cannot commit there.
package dqlite
