package pool

import (
	"context"
	"database/sql/driver"
	"io"
	"slices"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// single is one statement and what became of it: it is the rows that it left.
type single struct {
	query     string
	args      []driver.NamedValue
	wantsRows bool // Its rows are read and kept.

	result        driver.Result
	sqlite.Header                // It tells of the columns of the rows.
	values        []sqlite.Value // They are those of the rows, one after the other.
	count         int            // There are this many rows.
}

// in is the statement as a function for a transaction.
func (s *single) in(ctx context.Context, tx *Tx) error { return s.run(tx.conn, tx.call(ctx)) }

// run runs the statement to its end.
func (s *single) run(c *conn, cl *call) (err error) {
	s.result, s.Header, s.values, s.count = nil, sqlite.Header{}, nil, 0
	if !s.wantsRows {
		s.result, err = c.exec(cl, s.query, s.args)
		return err
	}
	r, err := c.query(cl, s.query, s.args)
	if err != nil {
		return err
	}
	if ours, ok := r.(*rows); ok {
		s.Header = ours.Header
	}
	for n := s.Count(); err == nil; {
		s.values = slices.Grow(s.values, n)
		if err = r.next(s.values[len(s.values) : len(s.values)+n]); err == nil {
			s.values = s.values[:len(s.values)+n]
			s.count++
		}
	}
	if err == io.EOF {
		err = nil
	}
	if closing := r.Close(); err == nil {
		err = closing
	}
	return err
}

// Next implements driver.Rows.
func (s *single) Next(dest []driver.Value) error {
	if s.count == 0 {
		return io.EOF
	}
	box(dest, s.values)
	s.skip()
	return nil
}

func (s *single) next(row []sqlite.Value) error {
	if s.count == 0 {
		return io.EOF
	}
	copy(row, s.values)
	s.skip()
	return nil
}

func (s *single) skip() {
	s.count--
	s.values = s.values[s.Count():]
}

// Close implements driver.Rows.
func (s *single) Close() error { return nil }
