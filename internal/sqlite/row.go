package sqlite

import (
	"math"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// shortText is the length up to which the texts of a row share their memory: one
// allocation instead of many. A long one has its own, lest it be kept by a short
// one beside it.
const shortText = 128

// read reads the current row over the one before. A column that is of its kind again
// keeps what is not of this row's, so that no pointer is written but a text's or a BLOB's.
func (s *Stmt) read(row []Value) {
	tls, times := s.conn.tls, s.header.times
	texts, ends := s.texts[:0], s.ends[:0]
	for i := range row {
		to := &row[i]
		// One look at the column instead of three: nobody else uses the connection.
		v := lib.Xsqlite3_column_value(tls, s.pstmt, int32(i))
		switch lib.Xsqlite3_value_type(tls, v) {
		case lib.SQLITE_INTEGER:
			to.become(Integer)
			to.number = lib.Xsqlite3_value_int64(tls, v)
			if times[i] {
				if t, ok := s.conn.options.Times.readInteger(to.number); ok {
					*to = timeValue(t)
				}
			}
		case lib.SQLITE_FLOAT:
			to.become(Float)
			to.number = int64(math.Float64bits(lib.Xsqlite3_value_double(tls, v)))
		case lib.SQLITE_TEXT:
			p := lib.Xsqlite3_value_text(tls, v) // before the length, which depends on it
			text := libc.GoBytes(p, int(lib.Xsqlite3_value_bytes(tls, v)))
			if times[i] {
				if t, ok := ParseTime(string(text)); ok {
					*to = timeValue(t)
					continue
				}
			}
			to.become(Text)
			if len(text) > shortText {
				to.text = string(text)
				continue
			}
			texts = append(texts, text...)
			ends = append(ends, end{column: i, at: len(texts)})
		case lib.SQLITE_BLOB:
			p := lib.Xsqlite3_value_blob(tls, v)
			blob := libc.GoBytes(p, int(lib.Xsqlite3_value_bytes(tls, v)))
			to.become(Blob)
			to.blob = append([]byte{}, blob...) // not nil, which is NULL
		default:
			to.become(Null)
		}
	}
	s.texts, s.ends = texts, ends
	all, start := string(texts), 0
	for _, e := range ends {
		row[e.column].text = all[start:e.at]
		start = e.at
	}
}
