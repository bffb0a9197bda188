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

func (w writer) ExecContext(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	if t := w.store.txOf(ctx); t != nil {
		return t.ExecContext(ctx, query, args...)
	}
	err = w.store.runSingle(ctx, "exec", query, args, func(ctx context.Context, c *conn, st *statement) error {
		res, err = c.run(ctx, st)
		return err
	})
	return res, err
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
	err := w.store.runSingle(ctx, "query", query, args, func(ctx context.Context, c *conn, st *statement) error {
		got, err := c.query(ctx, nil, st, nil)
		if err != nil {
			return err
		}
		_ = got.readAhead()
		all = read{columns: got.columns, rows: got.ahead}
		return got.end(nil)
	})
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

// runSingle runs a statement as a member of a batch.
func (s *Store) runSingle(ctx context.Context, op, query string, args []any, run func(context.Context, *conn, *statement) error) error {
	if err := s.given(op, ctx, true); err != nil {
		return err
	}
	st, err := s.newStatement(query, args)
	if err != nil {
		return err
	}
	return s.join(ctx, &member{
		ctx:    ctx,
		st:     st,
		single: func(ctx context.Context, c *conn) error { return run(ctx, c, st) },
	})
}
