package sqlite

import lib "modernc.org/sqlite/lib"

// Effort is what SQLite counted while a statement ran.
// See https://www.sqlite.org/c3ref/c_stmtstatus_counter.html.
type Effort struct {
	Scanned uint32 // Rows that it stepped over while it read a table or an index from end to end.
	Sorts   uint32
	Indexed uint32 // Rows that it put into indexes of its own, made for this run.
	Steps   uint32 // Steps of SQLite's virtual machine.
}

// TakeEffort returns what was counted since the last call, and counts anew.
func (s *Stmt) TakeEffort() (e Effort) {
	if s.status == stmtFinalized {
		return e
	}
	take := func(counter int32) uint32 {
		return uint32(lib.Xsqlite3_stmt_status(s.conn.tls, s.pstmt, counter, 1))
	}
	e.Scanned = take(lib.SQLITE_STMTSTATUS_FULLSCAN_STEP)
	e.Sorts = take(lib.SQLITE_STMTSTATUS_SORT)
	e.Indexed = take(lib.SQLITE_STMTSTATUS_AUTOINDEX)
	e.Steps = take(lib.SQLITE_STMTSTATUS_VM_STEP)
	return e
}
