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

// read reads the current row.
func (s *Stmt) read(row []Value) {
	tls := s.conn.tls
	s.texts, s.ends = s.texts[:0], s.ends[:0]
	for i := range row {
		// One look at the column instead of three: nobody else uses the connection.
		v := lib.Xsqlite3_column_value(tls, s.pstmt, int32(i))
		switch lib.Xsqlite3_value_type(tls, v) {
		case lib.SQLITE_INTEGER:
			n := lib.Xsqlite3_value_int64(tls, v)
			row[i] = Value{Kind: Integer, number: n}
			if s.header.times[i] {
				if t, ok := s.conn.options.Times.readInteger(n); ok {
					row[i] = timeValue(t)
				}
			}
		case lib.SQLITE_FLOAT:
			row[i] = Value{Kind: Float, number: int64(math.Float64bits(lib.Xsqlite3_value_double(tls, v)))}
		case lib.SQLITE_TEXT:
			p := lib.Xsqlite3_value_text(tls, v) // before the length, which depends on it
			text := libc.GoBytes(p, int(lib.Xsqlite3_value_bytes(tls, v)))
			if s.header.times[i] {
				if t, ok := parseTime(string(text)); ok {
					row[i] = timeValue(t)
					continue
				}
			}
			row[i] = Value{Kind: Text}
			if len(text) > shortText {
				row[i].text = string(text)
				continue
			}
			s.texts = append(s.texts, text...)
			s.ends = append(s.ends, end{column: i, at: len(s.texts)})
		case lib.SQLITE_BLOB:
			p := lib.Xsqlite3_value_blob(tls, v)
			blob := libc.GoBytes(p, int(lib.Xsqlite3_value_bytes(tls, v)))
			row[i] = Value{Kind: Blob, blob: append([]byte{}, blob...)} // not nil, which is NULL
		default:
			row[i] = Value{}
		}
	}
	texts, start := string(s.texts), 0
	for _, e := range s.ends {
		row[e.column].text = texts[start:e.at]
		start = e.at
	}
}
