package dqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/pool"
)

// StoreWriter runs single writing statements, each durable on a majority when it returns.
// Those that wait next to each other are committed together.
func (s *Store) StoreWriter() pool.DBTX { return writer{s} }

type writer struct{ store *Store }

func (w writer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if t := w.store.txOf(ctx); t != nil {
		return t.ExecContext(ctx, query, args...)
	}
	m, err := w.store.newMember(ctx, "exec", query, args)
	if err != nil {
		return nil, err
	}
	m.single = func(ctx context.Context, c *conn) (err error) {
		m.res, err = c.run(ctx, m.st)
		return err
	}
	err = w.store.join(ctx, m)
	return m.res, err
}

func (w writer) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if t := w.store.txOf(ctx); t != nil {
		return t.QueryContext(ctx, query, args...)
	}
	got, err := w.rows(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return bridge.New().Rows(got)
}

func (w writer) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if t := w.store.txOf(ctx); t != nil {
		return t.QueryRowContext(ctx, query, args...)
	}
	got, err := w.rows(ctx, query, args)
	return bridge.New().First(got, err)
}

func (w writer) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	return nil, errors.ErrUnsupported
}

// rows runs a statement that returns rows, and reads them: the commit comes before the
// first of them is seen.
func (w writer) rows(ctx context.Context, query string, args []any) (driver.Rows, error) {
	var all read
	m, err := w.store.newMember(ctx, "query", query, args)
	if err != nil {
		return nil, err
	}
	m.single = func(ctx context.Context, c *conn) error {
		got, err := c.query(ctx, nil, m.st, nil)
		if err != nil {
			return err
		}
		_ = got.readAhead()
		all = read{columns: got.columns, rows: got.ahead}
		return got.end(nil)
	}
	err = w.store.join(ctx, m)
	return &all, err
}

// read are rows that were read.
type read struct {
	columns []string
	rows    [][]driver.Value
}

// Columns implements driver.Rows.
func (r *read) Columns() []string { return r.columns }

// Close implements driver.Rows.
func (r *read) Close() error { return nil }

// Next implements driver.Rows.
func (r *read) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(dest, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}

// newMember makes a member of a batch that has one statement.
func (s *Store) newMember(ctx context.Context, op, query string, args []any) (*member, error) {
	if err := s.given(op, ctx, true); err != nil {
		return nil, err
	}
	st, err := s.newStatement(query, args)
	if err != nil {
		return nil, err
	}
	return &member{ctx: ctx, st: st}, nil
}
