package pool

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

// statement is a compiled statement of a connection. The driver compiled it and
// will finalize it; it is run here, by SQLite's own interface, since the driver
// would read the names and types of all columns anew for every run
// (https://www.sqlite.org/cintro.html). Values become what the driver makes of
// them, but for times (times.go) and an empty BLOB. conn.mu guards it.
type statement struct {
	sqliteStmt
	h       *handle
	pstmt   uintptr
	text    string
	key     string // its text as the caller wrote it; "" if it is not to be cached
	writes  bool   // SQLite's verdict
	effects effects
	format  TimeFormat
	element *list.Element // its place in the cache; nil if it has none
	taken   bool          // in use: its rows are open

	parameters
	columns  columns
	change   change
	updates  bool  // an insertion that may update instead
	rowids   bool  // an insertion into a table with rowids, as a run has shown
	compiled int32 // how often SQLite compiled it again when the columns were looked at
	bound    []uintptr
	texts    []byte // the short texts of the row that is being read
	ends     []end  // where each of them ends
	running  bool   // begun and not reset
	ahead    bool   // the current row was not read yet
	done     bool   // there are no more rows
	stale    bool   // compiled for another schema than its effects were seen in
	spent    bool   // finalized
}

// end is where the text of a column ends among those of its row.
type end struct{ column, at int }

// describe reads what does not change from run to run.
func (s *statement) describe() {
	tls := s.h.tls
	params := make([]param, lib.Xsqlite3_bind_parameter_count(tls, s.pstmt))
	for i := range params {
		params[i] = paramOf(libc.GoString(lib.Xsqlite3_bind_parameter_name(tls, s.pstmt, int32(i+1))))
	}
	s.parameters = newParameters(params)
	s.change = changeOf(s.text)
	s.updates = s.change == insertion && hasWord(s.text, "UPDATE")
	s.describeColumns()
}

func (s *statement) describeColumns() {
	tls := s.h.tls
	n := lib.Xsqlite3_column_count(tls, s.pstmt)
	s.columns = columns{names: make([]string, n), types: make([]string, n), times: make([]bool, n)}
	for i := range n {
		s.columns.names[i] = libc.GoString(lib.Xsqlite3_column_name(tls, s.pstmt, i))
		s.columns.types[i] = strings.ToUpper(libc.GoString(lib.Xsqlite3_column_decltype(tls, s.pstmt, i)))
		s.columns.times[i] = isTimeType(s.columns.types[i])
	}
	s.compiled = s.timesCompiled()
}

// timesCompiled counts how often a changed schema had SQLite compile it again.
// See https://www.sqlite.org/c3ref/c_stmtstatus_counter.html.
func (s *statement) timesCompiled() int32 {
	return lib.Xsqlite3_stmt_status(s.h.tls, s.pstmt, lib.SQLITE_STMTSTATUS_REPREPARE, 0)
}

// bind gives every parameter its argument. The arguments were checked.
func (s *statement) bind(args []driver.NamedValue) error {
	given := sorted(args)
	for i, p := range s.list {
		rc, err := s.bindValue(int32(i+1), s.argument(p, given))
		if err != nil {
			return err
		}
		if rc != lib.SQLITE_OK {
			return s.h.failure(rc)
		}
	}
	return nil
}

func (s *statement) bindValue(i int32, v any) (rc int32, err error) {
	tls := s.h.tls
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
func (s *statement) keep(v string) (uintptr, error) {
	if len(v) > math.MaxInt32 {
		return 0, s.h.refusal(lib.SQLITE_TOOBIG)
	}
	p, err := libc.CString(v)
	if err == nil {
		s.bound = append(s.bound, p)
	}
	return p, err
}

// step runs the statement to its next row, or to its end: io.EOF.
func (s *statement) step() error {
	switch rc := lib.Xsqlite3_step(s.h.tls, s.pstmt); rc {
	case lib.SQLITE_ROW:
		return nil
	case lib.SQLITE_DONE:
		return io.EOF
	default:
		return s.h.failure(rc)
	}
}

// begin binds the arguments and takes the first step. After a failure it may be
// called again.
func (s *statement) begin(args []driver.NamedValue) error {
	if s.running {
		_ = s.reset() // it repeats why the last run failed
	}
	if err := s.bind(args); err != nil {
		s.free()
		return err
	}
	s.running = true
	err := s.step()
	if s.compiled != s.timesCompiled() {
		s.describeColumns()
		s.stale = true
	}
	return err
}

// reset ends the run. Parameters stay bound, to memory that is gone: the next
// bind replaces them before SQLite looks at them.
func (s *statement) reset() error {
	if s.spent {
		return nil
	}
	rc := lib.Xsqlite3_reset(s.h.tls, s.pstmt)
	s.running = false
	s.free()
	if rc != lib.SQLITE_OK {
		return s.h.failure(rc)
	}
	return nil
}

func (s *statement) free() {
	for _, p := range s.bound {
		libc.Xfree(s.h.tls, p)
	}
	s.bound = s.bound[:0]
}

// Close finalizes the statement.
func (s *statement) Close() error {
	if s.spent {
		return nil
	}
	s.spent = true
	err := s.sqliteStmt.Close()
	s.free()
	return err
}

// complete runs the statement to its end, rows and all.
func (s *statement) complete(args []driver.NamedValue) (result, error) {
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

// open runs the statement up to its first row.
func (s *statement) open(args []driver.NamedValue) error {
	err := s.begin(args)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	s.ahead, s.done = err == nil, err != nil
	return nil
}

// end ends the run of a statement that was opened. A write is run to its end
// first, since that is where SQLite checks foreign keys and commits.
func (s *statement) end() error {
	for s.writes && !s.done {
		if err := s.step(); errors.Is(err, io.EOF) {
			s.done = true
		} else if err != nil {
			return err
		}
	}
	return s.reset()
}

// next reads the next row.
func (s *statement) next(dest []driver.Value) error {
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
	s.read(dest)
	return nil
}

// shortText is the length up to which the texts of a row share their memory: one
// allocation instead of many. A long one has its own, lest it be kept by a short
// one beside it.
const shortText = 128

// read reads the current row.
func (s *statement) read(dest []driver.Value) {
	tls := s.h.tls
	s.texts, s.ends = s.texts[:0], s.ends[:0]
	for i := range dest {
		// One look at the column instead of three: nobody else uses the connection.
		v := lib.Xsqlite3_column_value(tls, s.pstmt, int32(i))
		switch lib.Xsqlite3_value_type(tls, v) {
		case lib.SQLITE_INTEGER:
			n := lib.Xsqlite3_value_int64(tls, v)
			dest[i] = n
			if s.columns.times[i] {
				if t, ok := s.format.readInteger(n); ok {
					dest[i] = t
				}
			}
		case lib.SQLITE_FLOAT:
			dest[i] = lib.Xsqlite3_value_double(tls, v)
		case lib.SQLITE_TEXT:
			p := lib.Xsqlite3_value_text(tls, v) // before the length, which depends on it
			text := libc.GoBytes(p, int(lib.Xsqlite3_value_bytes(tls, v)))
			if s.columns.times[i] {
				if t, ok := parseTime(string(text)); ok {
					dest[i] = t
					continue
				}
			}
			if len(text) > shortText {
				dest[i] = string(text)
				continue
			}
			s.texts = append(s.texts, text...)
			s.ends = append(s.ends, end{column: i, at: len(s.texts)})
		case lib.SQLITE_BLOB:
			p := lib.Xsqlite3_value_blob(tls, v)
			dest[i] = append([]byte{}, libc.GoBytes(p, int(lib.Xsqlite3_value_bytes(tls, v)))...) // not nil, which is NULL
		default:
			dest[i] = nil
		}
	}
	texts, start := string(s.texts), 0
	for _, e := range s.ends {
		dest[e.column] = texts[start:e.at]
		start = e.at
	}
}
