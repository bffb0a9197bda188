package sqlite

import (
	"container/list"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
	"strings"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Stmt is a compiled statement. The driver compiled it and will finalize it; it is
// run here, since the driver would read the names and types of all columns anew for
// every run. Values become what the driver makes of them, but for times (times.go)
// and an empty BLOB.
type Stmt struct {
	conn    *Conn
	driver  driver.Stmt
	pstmt   uintptr       // It is SQLite's own statement, an sqlite3_stmt*.
	key     string        // The cache knows the statement by it; "" if it is not to be cached.
	element *list.Element // It is the statement's place in the cache; nil if it has none.
	taken   bool          // It is out of the cache, in use: before, in and after a run.

	Text       string
	Writes     bool // It is SQLite's verdict.
	Effects    Effects
	Tables     Tables
	parameters        // It asks for these arguments.
	header     Header // It tells of its columns.
	change     change // It is a statement of this kind.
	updates    bool   // It is an insertion that may update instead.
	rowids     bool   // It is an insertion into a table with rowids, as a run has shown.
	whole      answer // It changes all rows or none; see Whole.
	compiled   int32  // SQLite had compiled it again so often when its columns were looked at.

	memory memory // Parameters are bound to texts and BLOBs here.
	texts  []byte // The short texts of the row that is being read are here,
	ends   []end  // and each of them ends there.
	status status
	tally  tally
	stale  bool // It was compiled for another schema than its effects were seen in, whatever runs since.
}

// status is where a statement is in its run.
//
//	idle ──▶ row ahead ◀──▶ row read ──▶ ended
//
// The first step may end the run already. From wherever it is, a reset leads back to
// idle, and Close to finalized.
type status uint8

const (
	stmtIdle      status = iota // It was prepared or reset: a run may begin.
	stmtRowAhead                // It is at a row that was not read yet.
	stmtRowRead                 // It is at a row that was read: the next one takes a step.
	stmtEnded                   // It is at its end, has failed, or is in a step: what is left is to reset it.
	stmtFinalized               // It is gone, and may not be run.
)

// Header tells of the columns of its rows, as they are now: a changed schema may change them
// from run to run.
func (s *Stmt) Header() Header { return s.header }

// Columns names them.
func (s *Stmt) Columns() []string { return s.header.names }

// Ahead reports that the next row is there already, so that to read it runs nothing.
func (s *Stmt) Ahead() bool { return s.status == stmtRowAhead }

// Recompiled counts how often a changed schema had SQLite compile it again.
func (s *Stmt) Recompiled() int32 { return s.compiled }

// end is where the text of a column ends among those of its row.
type end struct{ column, at int }

// describe reads what does not change from run to run.
func (s *Stmt) describe() {
	tls := s.conn.tls
	params := make([]param, lib.Xsqlite3_bind_parameter_count(tls, s.pstmt))
	for i := range params {
		params[i] = paramOf(libc.GoString(lib.Xsqlite3_bind_parameter_name(tls, s.pstmt, int32(i+1))))
	}
	s.parameters = newParameters(params)
	s.change = changeOf(s.Text)
	s.updates = s.change == insertion && HasWord(s.Text, "UPDATE")
	s.describeColumns()
}

func (s *Stmt) describeColumns() {
	tls := s.conn.tls
	n := lib.Xsqlite3_column_count(tls, s.pstmt)
	s.header = Header{names: make([]string, n), types: make([]string, n), times: make([]bool, n)}
	for i := range n {
		s.header.names[i] = libc.GoString(lib.Xsqlite3_column_name(tls, s.pstmt, i))
		s.header.types[i] = strings.ToUpper(libc.GoString(lib.Xsqlite3_column_decltype(tls, s.pstmt, i)))
		s.header.times[i] = isTimeType(s.header.types[i])
	}
	s.compiled = s.timesCompiled()
}

// timesCompiled counts how often a changed schema had SQLite compile it again.
// See https://www.sqlite.org/c3ref/c_stmtstatus_counter.html.
func (s *Stmt) timesCompiled() int32 {
	return lib.Xsqlite3_stmt_status(s.conn.tls, s.pstmt, lib.SQLITE_STMTSTATUS_REPREPARE, 0)
}

// step runs the statement to its next row, or to its end: io.EOF.
func (s *Stmt) step() error {
	s.status = stmtEnded // also if a function that SQLite calls does not return
	switch rc := lib.Xsqlite3_step(s.conn.tls, s.pstmt); rc {
	case lib.SQLITE_ROW:
		s.status = stmtRowAhead
		return nil
	case lib.SQLITE_DONE:
		return io.EOF
	default:
		return s.conn.failure(rc)
	}
}

// begin binds the arguments and takes the first step. After a failure it may be
// called again.
func (s *Stmt) begin(args []Argument) error {
	if s.status != stmtIdle {
		_ = s.reset() // it repeats why the last run failed
	}
	if err := s.bind(args); err != nil {
		return err
	}
	s.conn.tables, s.conn.asked = Tables{}, false
	err := s.step()
	if s.conn.asked {
		s.noteCompiled()
	}
	return err
}

// reset ends the run. Parameters stay bound, perhaps to memory that is gone: the
// next bind replaces them before SQLite looks at them.
func (s *Stmt) reset() error {
	if s.status == stmtFinalized {
		return nil
	}
	rc := lib.Xsqlite3_reset(s.conn.tls, s.pstmt)
	s.status = stmtIdle
	s.memory.trim(s.conn.tls)
	if rc != lib.SQLITE_OK {
		return s.conn.failure(rc)
	}
	return nil
}

// Close finalizes the statement.
func (s *Stmt) Close() error {
	if s.status == stmtFinalized {
		return nil
	}
	s.status = stmtFinalized
	s.retire()
	err := s.driver.Close()
	s.memory.free(s.conn.tls)
	return err
}

// Complete runs the statement to its end, rows and all.
func (s *Stmt) Complete(args []Argument) (Result, error) {
	return s.observe(func() error {
		err := s.begin(args)
		for err == nil {
			err = s.step()
		}
		if err != io.EOF {
			return err
		}
		return s.reset()
	})
}

// Open runs the statement up to its first row.
func (s *Stmt) Open(args []Argument) error {
	if err := s.begin(args); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// End ends the run of a statement that was opened. A write is run to its end
// first, since that is where SQLite checks foreign keys and commits.
func (s *Stmt) End() error {
	for s.Writes && s.status != stmtEnded {
		if err := s.step(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return s.reset()
}

// One runs the statement to its end, and reads its first row, if there is one, into
// row, which is grown as needed. It is returned at its length.
func (s *Stmt) One(args []Argument, row []Value) (_ []Value, found bool, err error) {
	if err = s.begin(args); err == nil {
		n := s.header.Count()
		row, found = slices.Grow(row[:0], n)[:n], true
		s.status = stmtRowRead
		s.read(row)
	}
	if err != nil && err != io.EOF {
		return row, false, err
	}
	return row, found, s.End()
}

// Next reads the next row.
func (s *Stmt) Next(row []Value) error {
	if s.status == stmtRowRead {
		if err := s.step(); err != nil {
			return err
		}
	}
	if s.status != stmtRowAhead {
		return io.EOF
	}
	s.status = stmtRowRead
	s.read(row)
	return nil
}
