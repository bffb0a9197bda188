package pool

import (
	"context"
	"database/sql/driver"
	"io"
	"slices"

	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// wantedRows is what a single statement's rows are wanted for.
type wantedRows uint8

const (
	noRow        wantedRows = iota
	firstRowOnly            // The first one is read into the request.
	everyRow                // They are all read and kept.
)

// single is one statement and what became of it: it is the rows that it left. It is
// run in its caller's goroutine, or in another one's while its caller waits.
type single struct {
	*request.Request
	wants  wantedRows
	member member // It stands for the caller in the write lane's queue.
	alone  alone  // It runs as this, if it needs no transaction.

	result        sqlite.Result
	sqlite.Header                // It tells of the columns of the rows.
	values        []sqlite.Value // They are those of the rows, one after the other.
	count         int            // There are this many rows.
}

// Columns implements driver.Rows.
func (s *single) Columns() []string { return s.Header.Columns() }

// in is the statement as a function for a transaction.
func (s *single) in(ctx context.Context, tx *Tx) error { return s.run(tx.conn, tx.call(ctx)) }

// run runs the statement to its end.
func (s *single) run(c *conn, cl call) (err error) {
	s.Header, s.values, s.count = sqlite.Header{}, nil, 0
	switch s.wants {
	case noRow:
		s.result, err = c.exec(cl, s.Text, s.Args)
		return err
	case firstRowOnly:
		return c.one(cl, s.Request)
	}
	r, err := c.query(cl, s.Text, s.Args)
	if err != nil {
		return err
	}
	if ours, ok := r.(*rows); ok {
		s.Header = ours.Header
	}
	for n := s.Count(); err == nil; {
		s.values = slices.Grow(s.values, n)
		if err = r.NextRow(s.values[len(s.values) : len(s.values)+n]); err == nil {
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

// NextRow implements cursor and request.Rows.
func (s *single) NextRow(row []sqlite.Value) error {
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
