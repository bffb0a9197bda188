package pool

import (
	"slices"

	"github.com/sqlane/sqlane/internal/sqlite"
	lib "modernc.org/sqlite/lib"
)

// account notes what a statement that has run has read and changed, and announces
// what is committed by it. The connection had written so many rows before. It is the
// one place that every commit of the pool's passes: while the connection has the
// write slot, and before the call returns that committed.
//
// That rows were written tells what a statement changed, whether or not it failed: a
// failed one may keep what it did before (OR FAIL), and what is undone is not counted
// (https://www.sqlite.org/c3ref/total_changes.html).
func (c *conn) account(s *sqlite.Stmt, before int32, err error) {
	c.noteReads(s)
	w := &c.work
	switch did := &s.Effects; {
	case err == nil && did.Control():
		switch {
		case did.Rollback:
			w.Undo()
		case did.Savepoint.Act == "BEGIN":
			w.Savepoint(sqlite.Fold(did.Savepoint.Name))
		case did.Savepoint.Act == "RELEASE":
			w.Release(sqlite.Fold(did.Savepoint.Name))
		case did.Savepoint.Act == "ROLLBACK":
			w.RollbackTo(sqlite.Fold(did.Savepoint.Name))
		}
	case s.Tables.Schema && err == nil, len(s.Tables.Written) > 0 && c.db.TotalChanges() != before:
		tables, schema := s.Tables.Written, s.Tables.Schema
		if i := slices.Index(tables, sqlite.SchemaTable); i >= 0 {
			tables, schema = slices.Delete(slices.Clone(tables), i, i+1), true
		}
		w.Change(tables, schema)
	}
	if w.None() || c.db.Transaction() == sqlite.WriteTransaction {
		return
	}
	if err != nil && c.guard.inTx() {
		w.Undo()
		if hasPrimary(err, lib.SQLITE_IOERR) { // outside WAL mode it may be committed all the same
			c.pool.watches.hub.CommitAnything()
		}
		return
	}
	c.pool.watches.hub.Commit(w)
}

// noteReads notes what is read, for a Watch.
func (c *conn) noteReads(s *sqlite.Stmt) {
	if r := c.reads; r != nil {
		r.Add(s.Tables.Read...)
		r.All = r.All || s.Tables.All
	}
}
