package sqlite

import (
	"math"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// bind gives every parameter its argument. The arguments were checked.
func (s *Stmt) bind(args []Argument) error {
	if len(s.list) == 0 {
		return nil
	}
	var given *arguments // It is nil if the arguments need not be sorted.
	if !s.plain(args) {
		all := sorted(args)
		given = &all
	}
	size := 0
	for _, q := range s.list {
		n := s.given(q, args, given).size()
		if n > math.MaxInt32 {
			return s.conn.refusal(lib.SQLITE_TOOBIG)
		}
		size += n
	}
	if err := s.memory.reserve(s.conn, size); err != nil {
		return err
	}
	for i, q := range s.list {
		if rc := s.bindValue(int32(i+1), s.given(q, args, given)); rc != lib.SQLITE_OK {
			return s.conn.failure(rc)
		}
	}
	return nil
}

// given is what a parameter takes.
func (s *Stmt) given(q param, args []Argument, sorted *arguments) *Value {
	if sorted == nil {
		return &args[q.ordinal-1].Value
	}
	v := s.argument(q, *sorted)
	return &v
}

// bindValue is bind for one of them. What it binds to is SQLite's to read until the
// next bind.
func (s *Stmt) bindValue(i int32, v *Value) (rc int32) {
	tls := s.conn.tls
	switch v.Kind {
	case Integer:
		return lib.Xsqlite3_bind_int64(tls, s.pstmt, i, v.Int())
	case Float:
		return lib.Xsqlite3_bind_double(tls, s.pstmt, i, v.Float())
	case Text:
		p := s.memory.next(len(v.text))
		copy(libc.GoBytes(p, len(v.text)), v.text)
		return lib.Xsqlite3_bind_text(tls, s.pstmt, i, p, int32(len(v.text)), 0)
	case Blob:
		if len(v.blob) == 0 {
			return lib.Xsqlite3_bind_zeroblob(tls, s.pstmt, i, 0)
		}
		p := s.memory.next(len(v.blob))
		copy(libc.GoBytes(p, len(v.blob)), v.blob)
		return lib.Xsqlite3_bind_blob(tls, s.pstmt, i, p, int32(len(v.blob)), 0)
	case Time:
		t := v.Time()
		if n, ok := s.conn.options.Times.integer(t); ok {
			return lib.Xsqlite3_bind_int64(tls, s.pstmt, i, n)
		}
		var text [len(timeLayout)]byte
		p := s.memory.next(len(text))
		n := copy(libc.GoBytes(p, len(text)), t.AppendFormat(text[:0], timeLayout))
		return lib.Xsqlite3_bind_text(tls, s.pstmt, i, p, int32(n), 0)
	}
	return lib.Xsqlite3_bind_null(tls, s.pstmt, i)
}

// memory is where a statement's texts and BLOBs are for SQLite to read: it is kept
// from run to run, since to allocate costs as much as to bind.
type memory struct {
	at         uintptr // It is 0 while there is none.
	size, used int
}

// keptMemory is how much a statement keeps while it does not run.
const keptMemory = 4096

// size is how much memory a value takes to be bound.
func (v *Value) size() int {
	switch v.Kind {
	case Text:
		return len(v.text) + 1 // an empty one has an address too, or would be NULL
	case Blob:
		return len(v.blob) + 1
	case Time:
		return len(timeLayout) + 1
	}
	return 0
}

// reserve makes room for what next will be asked for. What was there before is gone.
func (m *memory) reserve(c *Conn, size int) error {
	m.used = 0
	if size <= m.size {
		return nil
	}
	m.free(c.tls)
	size = max(size, 128)
	if m.at = libc.Xmalloc(c.tls, libc.Tsize_t(size)); m.at == 0 {
		return c.refusal(lib.SQLITE_NOMEM)
	}
	m.size = size
	return nil
}

// next returns the address of n bytes, and leaves one more.
func (m *memory) next(n int) uintptr {
	p := m.at + uintptr(m.used)
	m.used += n + 1
	return p
}

// trim gives back what is more than a statement keeps.
func (m *memory) trim(tls *libc.TLS) {
	if m.size > keptMemory {
		m.free(tls)
	}
}

func (m *memory) free(tls *libc.TLS) {
	if m.at != 0 {
		libc.Xfree(tls, m.at)
	}
	*m = memory{}
}
