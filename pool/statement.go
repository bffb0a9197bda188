package pool

import (
	"container/list"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// statement is a compiled statement of a connection. The driver compiled it and
// will finalize it; it is run here, by SQLite's own interface, since the driver
// would read the names and types of all columns anew for every run
// (https://www.sqlite.org/cintro.html). What it does to values is the driver's
// way to the letter. conn.mu guards it.
type statement struct {
	sqliteStmt
	h       *handle
	pstmt   uintptr
	text    string
	key     string // its text as the caller wrote it; "" if it is not to be cached
	writes  bool   // SQLite's verdict
	effects effects
	element *list.Element // its place in the cache; nil if it has none
	taken   bool          // in use: its rows are open

	params   []param
	columns  []string
	types    []string // as declared, in upper case
	times    bool     // a column is declared as a time, which the driver reads
	compiled int32    // how often SQLite compiled it again when the columns were looked at
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

// param says which argument a parameter takes
// (https://www.sqlite.org/lang_expr.html#varparam).
type param struct {
	ordinal int    // 0: none
	name    string // without its prefix
}

// failure is SQLite's result code, until statement.explain makes the driver's
// error of it.
type failure int32

func (f failure) Error() string { return "SQLite refused it with code " + strconv.Itoa(int(f)) }

// describe reads what does not change from run to run.
func (s *statement) describe() {
	tls := s.h.tls
	s.params = make([]param, lib.Xsqlite3_bind_parameter_count(tls, s.pstmt))
	for i := range s.params {
		p := param{ordinal: i + 1}
		if name := libc.GoString(lib.Xsqlite3_bind_parameter_name(tls, s.pstmt, int32(i+1))); name != "" {
			p = param{name: name[1:]}
			if n, err := strconv.Atoi(p.name); err == nil && strings.ContainsRune("?$", rune(name[0])) && strconv.Itoa(n) == p.name {
				p.ordinal = n
			}
		}
		s.params[i] = p
	}
	s.describeColumns()
}

func (s *statement) describeColumns() {
	tls := s.h.tls
	n := lib.Xsqlite3_column_count(tls, s.pstmt)
	s.columns, s.types, s.times = make([]string, n), make([]string, n), false
	for i := range n {
		s.columns[i] = libc.GoString(lib.Xsqlite3_column_name(tls, s.pstmt, i))
		s.types[i] = strings.ToUpper(libc.GoString(lib.Xsqlite3_column_decltype(tls, s.pstmt, i)))
		s.times = s.times || slices.Contains(timeTypes, s.types[i])
	}
	s.compiled = s.timesCompiled()
}

// timeTypes are the declared types that the driver turns into time.Time.
var timeTypes = []string{"DATE", "DATETIME", "TIME", "TIMESTAMP"}

// timesCompiled counts how often a changed schema had SQLite compile it again.
// See https://www.sqlite.org/c3ref/c_stmtstatus_counter.html.
func (s *statement) timesCompiled() int32 {
	return lib.Xsqlite3_stmt_status(s.h.tls, s.pstmt, lib.SQLITE_STMTSTATUS_REPREPARE, 0)
}

// bind gives every parameter its argument.
func (s *statement) bind(args []driver.NamedValue) error {
	for i, p := range s.params {
		v, err := p.argument(args)
		if err != nil {
			return err
		}
		rc, err := s.bindValue(int32(i+1), v)
		if err != nil {
			return err
		}
		if rc != lib.SQLITE_OK {
			return failure(rc)
		}
	}
	return nil
}

func (p param) argument(args []driver.NamedValue) (any, error) {
	if n := p.ordinal; n > 0 && n <= len(args) && args[n-1].Ordinal == n && args[n-1].Name == "" {
		return args[n-1].Value, nil
	}
	for _, a := range args {
		if p.ordinal > 0 && a.Ordinal == p.ordinal || p.name != "" && a.Name == p.name {
			return a.Value, nil
		}
	}
	if p.name != "" {
		return nil, fmt.Errorf("missing named argument %q", p.name)
	}
	return nil, fmt.Errorf("missing argument with index %d", p.ordinal)
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
	case time.Time:
		return s.bindValue(i, v.String())
	}
	return 0, fmt.Errorf("sqlite: invalid driver.Value type %T", v)
}

// keep copies a value to where SQLite can read it until reset.
func (s *statement) keep(v string) (uintptr, error) {
	if len(v) > math.MaxInt32 {
		return 0, failure(lib.SQLITE_TOOBIG)
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
		return failure(rc)
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
		return failure(rc)
	}
	return nil
}

func (s *statement) free() {
	for _, p := range s.bound {
		libc.Xfree(s.h.tls, p)
	}
	s.bound = s.bound[:0]
}

// explain makes the driver's error of a run's failure. Only the driver can: it
// says what SQLite tells it when it finalizes the statement
// (https://www.sqlite.org/c3ref/finalize.html), which is spent after that.
func (s *statement) explain(err error) error {
	if _, ok := err.(failure); !ok || s.spent {
		return err
	}
	if told := s.Close(); told != nil {
		return told
	}
	return err // SQLite refused an argument; there was no run
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
func (s *statement) complete(args []driver.NamedValue) error {
	err := s.begin(args)
	for err == nil {
		err = s.step()
	}
	if err != io.EOF {
		return err
	}
	return s.reset()
}

// did tells what the statement that ended last has done.
func (h *handle) did() result {
	return result{id: lib.Xsqlite3_last_insert_rowid(h.tls, h.db), rows: int64(lib.Xsqlite3_changes(h.tls, h.db))}
}

// result is what a statement did.
type result struct{ id, rows int64 }

// LastInsertId implements driver.Result.
func (r result) LastInsertId() (int64, error) { return r.id, nil }

// RowsAffected implements driver.Result.
func (r result) RowsAffected() (int64, error) { return r.rows, nil }

// cursor is a statement that runs and returns rows: ours, or the driver's.
type cursor interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// steps is a statement as our cursor.
type steps statement

// open runs the statement up to its first row.
func (s *statement) open(args []driver.NamedValue) (cursor, error) {
	if s.times {
		rows, err := s.QueryContext(context.Background(), args)
		if err != nil {
			return nil, err
		}
		return rows.(cursor), nil
	}
	err := s.begin(args)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if s.times && !s.writes { // only now: the schema has changed
		_ = s.reset()
		return s.open(args)
	}
	s.ahead, s.done = err == nil, err != nil
	return (*steps)(s), nil
}

// Columns implements driver.Rows.
func (c *steps) Columns() []string { return c.columns }

// Close implements driver.Rows: it ends the run, not the statement. A write is
// run to its end first, since that is where SQLite checks foreign keys and
// commits, and a failure of reset could not be explained.
func (c *steps) Close() error {
	for c.writes && !c.done {
		if err := (*statement)(c).step(); errors.Is(err, io.EOF) {
			c.done = true
		} else if err != nil {
			return err
		}
	}
	return (*statement)(c).reset()
}

// Next implements driver.Rows.
func (c *steps) Next(dest []driver.Value) error {
	if !c.ahead && !c.done {
		if err := (*statement)(c).step(); err != nil {
			c.done = true
			return err
		}
	}
	if c.done {
		return io.EOF
	}
	c.ahead = false
	c.read(dest)
	return nil
}

// shortText is the length up to which the texts of a row share their memory: one
// allocation instead of many. A long one has its own, lest it be kept by a short
// one beside it.
const shortText = 128

// read reads the current row.
func (c *steps) read(dest []driver.Value) {
	tls := c.h.tls
	c.texts, c.ends = c.texts[:0], c.ends[:0]
	for i := range dest {
		// One look at the column instead of three: nobody else uses the connection.
		v := lib.Xsqlite3_column_value(tls, c.pstmt, int32(i))
		switch lib.Xsqlite3_value_type(tls, v) {
		case lib.SQLITE_INTEGER:
			dest[i] = lib.Xsqlite3_value_int64(tls, v)
		case lib.SQLITE_FLOAT:
			dest[i] = lib.Xsqlite3_value_double(tls, v)
		case lib.SQLITE_TEXT:
			p := lib.Xsqlite3_value_text(tls, v) // before the length, which depends on it
			text := libc.GoBytes(p, int(lib.Xsqlite3_value_bytes(tls, v)))
			if len(text) > shortText {
				dest[i] = string(text)
				continue
			}
			c.texts = append(c.texts, text...)
			c.ends = append(c.ends, end{column: i, at: len(c.texts)})
		case lib.SQLITE_BLOB:
			p := lib.Xsqlite3_value_blob(tls, v)
			dest[i] = append([]byte(nil), libc.GoBytes(p, int(lib.Xsqlite3_value_bytes(tls, v)))...)
		default:
			dest[i] = nil
		}
	}
	texts, start := string(c.texts), 0
	for _, e := range c.ends {
		dest[e.column] = texts[start:e.at]
		start = e.at
	}
}

// storage is the class of the current row's value.
func (c *steps) storage(i int) int32 { return lib.Xsqlite3_column_type(c.h.tls, c.pstmt, int32(i)) }

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (c *steps) ColumnTypeDatabaseTypeName(i int) string { return c.types[i] }

// ColumnTypeLength implements driver.RowsColumnTypeLength.
func (c *steps) ColumnTypeLength(i int) (length int64, ok bool) {
	if class := c.storage(i); class == lib.SQLITE_TEXT || class == lib.SQLITE_BLOB {
		return math.MaxInt64, true
	}
	return 0, false
}

// ColumnTypeNullable implements driver.RowsColumnTypeNullable.
func (c *steps) ColumnTypeNullable(int) (nullable, ok bool) { return true, true }

// ColumnTypePrecisionScale implements driver.RowsColumnTypePrecisionScale.
func (c *steps) ColumnTypePrecisionScale(int) (precision, scale int64, ok bool) { return 0, 0, false }

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (c *steps) ColumnTypeScanType(i int) reflect.Type {
	switch class := c.storage(i); {
	case class == lib.SQLITE_INTEGER && c.types[i] == "BOOLEAN":
		return reflect.TypeFor[bool]()
	case class == lib.SQLITE_INTEGER:
		return reflect.TypeFor[int64]()
	case class == lib.SQLITE_FLOAT:
		return reflect.TypeFor[float64]()
	case class == lib.SQLITE_BLOB:
		return reflect.TypeFor[[]byte]()
	case class == lib.SQLITE_NULL:
		return nil
	}
	return reflect.TypeFor[string]()
}
