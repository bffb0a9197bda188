package pool

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
)

// single is one statement and what became of it: it is the rows that it left.
type single struct {
	query     string
	args      []driver.NamedValue
	wantsRows bool

	result  driver.Result
	columns                // of the rows
	values  []driver.Value // row after row
	count   int            // of rows
}

// in is the statement as a function for a transaction.
func (s *single) in(ctx context.Context, tx *Tx) error { return s.run(tx.conn, tx.call(ctx)) }

// run runs the statement to its end.
func (s *single) run(c *conn, cl *call) (err error) {
	s.result, s.columns, s.values, s.count = nil, columns{}, nil, 0
	if !s.wantsRows {
		s.result, err = c.exec(cl, s.query, s.args)
		return err
	}
	r, err := c.query(cl, s.query, s.args)
	if err != nil {
		return err
	}
	if ours, ok := r.(*rows); ok {
		s.columns = ours.columns
	}
	for n := len(s.names); err == nil; {
		s.values = slices.Grow(s.values, n)
		if err = r.Next(s.values[len(s.values) : len(s.values)+n]); err == nil {
			s.values = s.values[:len(s.values)+n]
			s.count++
		}
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, r.Close())
}

// Next implements driver.Rows.
func (s *single) Next(dest []driver.Value) error {
	if s.count == 0 {
		return io.EOF
	}
	s.count--
	n := copy(dest, s.values)
	s.values = s.values[n:]
	return nil
}

// Close implements driver.Rows.
func (s *single) Close() error { return nil }
