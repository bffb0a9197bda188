package sqlite

import (
	"container/list"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
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
	taken   bool          // It is out of the cache, in use.

	Text       string
	Writes     bool // It is SQLite's verdict.
	Effects    Effects
	Tables     Tables
	parameters        // It asks for these arguments.
	header     Header // It tells of its columns.
	change     change // It is a statement of this kind.
	updates    bool   // It is an insertion that may update instead.
	rowids     bool   // It is an insertion into a table with rowids, as a run has shown.
	compiled   int32  // SQLite had compiled it again so often when its columns were looked at.

	bound   []uintptr // Parameters are bound to this memory.
	texts   []byte    // The short texts of the row that is being read are here,
	ends    []end     // and each of them ends there.
	running bool      // A run has begun and was not reset.
	ahead   bool      // The current row was not read yet.
	done    bool      // There are no more rows.
	stale   bool      // It was compiled for another schema than its effects were seen in.
	spent   bool      // It was finalized.
}

// Header tells of the columns of its rows, as they are now: a changed schema may change them
// from run to run.
func (s *Stmt) Header() Header { return s.header }

// Ahead reports that the next row is there already, so that to read it runs nothing.
func (s *Stmt) Ahead() bool { return s.ahead }

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
	s.updates = s.change == insertion && hasWord(s.Text, "UPDATE")
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

// bind gives every parameter its argument. The arguments were checked.
func (s *Stmt) bind(args []driver.NamedValue) error {
	given := sorted(args)
	for i, p := range s.list {
		rc, err := s.bindValue(int32(i+1), s.argument(p, given))
		if err != nil {
			return err
		}
		if rc != lib.SQLITE_OK {
			return s.conn.failure(rc)
		}
	}
	return nil
}

func (s *Stmt) bindValue(i int32, v any) (rc int32, err error) {
	tls := s.conn.tls
	switch v := v.(type) {
	case nil:
		return lib.Xsqlite3_bind_null(tls, s.pstmt, i), nil
	case int64:
		return lib.Xsqlite3_bind_int64(tls, s.pstmt, i, v), nil
	case float64:
		return lib.Xsqlite3_bind_double(tls, s.pstmt, i, v), nil
	case bool:
		var n int64
		if v {
			n = 1
		}
		return lib.Xsqlite3_bind_int64(tls, s.pstmt, i, n), nil
	case string:
		p, err := s.keep(v)
		if err != nil {
			return 0, err
		}
		return lib.Xsqlite3_bind_text(tls, s.pstmt, i, p, int32(len(v)), 0), nil
	case []byte:
		switch {
		case v == nil:
			return lib.Xsqlite3_bind_null(tls, s.pstmt, i), nil
		case len(v) == 0:
			return lib.Xsqlite3_bind_zeroblob(tls, s.pstmt, i, 0), nil
		}
		p, err := s.keep(string(v))
		if err != nil {
			return 0, err
		}
		return lib.Xsqlite3_bind_blob(tls, s.pstmt, i, p, int32(len(v)), 0), nil
	}
	return 0, fmt.Errorf("sqlite: invalid driver.Value type %T", v)
}

// keep copies a value to where SQLite can read it until reset.
func (s *Stmt) keep(v string) (uintptr, error) {
	if len(v) > math.MaxInt32 {
		return 0, s.conn.refusal(lib.SQLITE_TOOBIG)
	}
	p, err := libc.CString(v)
	if err == nil {
		s.bound = append(s.bound, p)
	}
	return p, err
}

// step runs the statement to its next row, or to its end: io.EOF.
func (s *Stmt) step() error {
	switch rc := lib.Xsqlite3_step(s.conn.tls, s.pstmt); rc {
	case lib.SQLITE_ROW:
		return nil
	case lib.SQLITE_DONE:
		return io.EOF
	default:
		return s.conn.failure(rc)
	}
}

// begin binds the arguments and takes the first step. After a failure it may be
// called again.
func (s *Stmt) begin(args []driver.NamedValue) error {
	if s.running {
		_ = s.reset() // it repeats why the last run failed
	}
	if err := s.bind(args); err != nil {
		s.free()
		return err
	}
	s.running = true
	s.conn.tables = Tables{}
	err := s.step()
	again := s.compiled != s.timesCompiled()
	if again {
		s.describeColumns()
		s.stale = true
	}
	s.noteRecompiled(again)
	return err
}

// reset ends the run. Parameters stay bound, to memory that is gone: the next
// bind replaces them before SQLite looks at them.
func (s *Stmt) reset() error {
	if s.spent {
		return nil
	}
	rc := lib.Xsqlite3_reset(s.conn.tls, s.pstmt)
	s.running = false
	s.free()
	if rc != lib.SQLITE_OK {
		return s.conn.failure(rc)
	}
	return nil
}

func (s *Stmt) free() {
	for _, p := range s.bound {
		libc.Xfree(s.conn.tls, p)
	}
	s.bound = s.bound[:0]
}

// Close finalizes the statement.
func (s *Stmt) Close() error {
	if s.spent {
		return nil
	}
	s.spent = true
	err := s.driver.Close()
	s.free()
	return err
}

// Complete runs the statement to its end, rows and all.
func (s *Stmt) Complete(args []driver.NamedValue) (Result, error) {
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
func (s *Stmt) Open(args []driver.NamedValue) error {
	err := s.begin(args)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	s.ahead, s.done = err == nil, err != nil
	return nil
}

// End ends the run of a statement that was opened. A write is run to its end
// first, since that is where SQLite checks foreign keys and commits.
func (s *Stmt) End() error {
	for s.Writes && !s.done {
		if err := s.step(); errors.Is(err, io.EOF) {
			s.done = true
		} else if err != nil {
			return err
		}
	}
	return s.reset()
}

// Next reads the next row.
func (s *Stmt) Next(row []Value) error {
	if !s.ahead && !s.done {
		if err := s.step(); err != nil {
			s.done = true
			return err
		}
	}
	if s.done {
		return io.EOF
	}
	s.ahead = false
	s.read(row)
	return nil
}
