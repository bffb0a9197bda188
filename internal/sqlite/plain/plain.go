// Package plain is SQLite as it comes, without a driver or a pool in between: what
// tests compare with.
package plain

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// DB is a database in memory.
type DB struct {
	t   testing.TB
	tls *libc.TLS
	db  uintptr
	out uintptr // room for what SQLite returns through pointers
}

const pointerSize = bits.UintSize / 8

// Open opens a database and runs the script.
func Open(t testing.TB, script string) *DB {
	t.Helper()
	s := &DB{t: t, tls: libc.NewTLS()}
	s.out = libc.Xmalloc(s.tls, 2*pointerSize)
	name := s.text(":memory:")
	defer libc.Xfree(s.tls, name)
	rc := lib.Xsqlite3_open_v2(s.tls, name, s.out, lib.SQLITE_OPEN_READWRITE|lib.SQLITE_OPEN_CREATE, 0)
	s.db = s.returned(0)
	t.Cleanup(s.close)
	require.EqualValues(t, lib.SQLITE_OK, rc)
	require.NoError(t, s.Exec(script))
	return s
}

func (s *DB) close() {
	assert.EqualValues(s.t, lib.SQLITE_OK, lib.Xsqlite3_close(s.tls, s.db), "a statement was left open")
	libc.Xfree(s.tls, s.out)
	s.tls.Close()
}

func (s *DB) text(sql string) uintptr {
	p, err := libc.CString(sql)
	require.NoError(s.t, err)
	return p
}

func (s *DB) returned(i int) uintptr {
	b := libc.GoBytes(s.out+uintptr(i*pointerSize), pointerSize)
	if pointerSize == 8 {
		return uintptr(binary.NativeEndian.Uint64(b))
	}
	return uintptr(binary.NativeEndian.Uint32(b))
}

func (s *DB) check(rc int32) error {
	if rc == lib.SQLITE_OK {
		return nil
	}
	return fmt.Errorf("%s (%d)", libc.GoString(lib.Xsqlite3_errmsg(s.tls, s.db)), rc)
}

// Stmt is a prepared statement; its zero value is none.
type Stmt struct{ stmt uintptr }

// Prepare prepares the text's first statement, and returns what is behind it.
// There is no statement in a text of comments, space or a lone semicolon.
// See https://www.sqlite.org/c3ref/prepare.html.
func (s *DB) Prepare(sql string) (stmt Stmt, tail string, err error) {
	sql, _, _ = strings.Cut(sql, "\x00")
	p := s.text(sql)
	defer libc.Xfree(s.tls, p)
	err = s.check(lib.Xsqlite3_prepare_v2(s.tls, s.db, p, -1, s.out, s.out+pointerSize))
	return Stmt{s.returned(0)}, sql[s.returned(1)-p:], err
}

// Finalize ends a statement.
func (s *DB) Finalize(stmt Stmt) { lib.Xsqlite3_finalize(s.tls, stmt.stmt) }

// Run steps a statement to its end, and finalizes it.
func (s *DB) Run(stmt Stmt) error {
	for lib.Xsqlite3_step(s.tls, stmt.stmt) == lib.SQLITE_ROW {
	}
	return s.check(lib.Xsqlite3_finalize(s.tls, stmt.stmt))
}

// Exec runs a script.
func (s *DB) Exec(script string) error {
	for script != "" {
		stmt, tail, err := s.Prepare(script)
		if err == nil && stmt != (Stmt{}) {
			err = s.Run(stmt)
		}
		if err != nil {
			return err
		}
		script = tail
	}
	return nil
}

// ReadOnly is https://www.sqlite.org/c3ref/stmt_readonly.html.
func (s *DB) ReadOnly(stmt Stmt) bool {
	return lib.Xsqlite3_stmt_readonly(s.tls, stmt.stmt) != 0
}

// Autocommit is https://www.sqlite.org/c3ref/get_autocommit.html.
func (s *DB) Autocommit() bool { return lib.Xsqlite3_get_autocommit(s.tls, s.db) != 0 }

// Image is the database, byte for byte.
// See https://www.sqlite.org/c3ref/serialize.html.
func (s *DB) Image() string {
	p := lib.Xsqlite3_serialize(s.tls, s.db, 0, s.out, 0)
	require.NotZero(s.t, p)
	defer lib.Xsqlite3_free(s.tls, p)
	size := int64(binary.NativeEndian.Uint64(libc.GoBytes(s.out, 8)))
	return string(libc.GoBytes(p, int(size)))
}

// IsNothing reports a text in which SQLite finds no statement and no fault.
func (s *DB) IsNothing(sql string) bool {
	for sql != "" {
		stmt, tail, err := s.Prepare(sql)
		if err != nil || stmt != (Stmt{}) {
			s.Finalize(stmt)
			return false
		}
		sql = tail
	}
	return true
}

// IsAllOf reports that SQLite finds nothing in the text but the part.
func (s *DB) IsAllOf(text, part string) bool {
	for at := 0; ; at++ {
		i := strings.Index(text[at:], part)
		if i < 0 {
			return false
		}
		at += i
		if s.IsNothing(text[:at]) && s.IsNothing(text[at+len(part):]) {
			return true // elsewhere it may stand in a comment
		}
	}
}
