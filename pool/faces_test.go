package pool_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// face is what every way to send a statement offers.
type face interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// preparing sends each statement prepared.
type preparing struct{ on dbtx }

func (f preparing) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := f.on.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.ExecContext(ctx, args...)
}

func (f preparing) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := f.on.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.QueryContext(ctx, args...)
}

func (f preparing) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := f.on.PrepareContext(ctx, query)
	if err != nil {
		return f.on.QueryRowContext(ctx, query, args...)
	}
	defer s.Close()
	return s.QueryRowContext(ctx, args...)
}

// byRequest sends each statement as generated methods do.
func byRequest(p *pool.Pool, on pool.DBTX) pool.RequestFace {
	return pool.RequestFace{Requests: pool.ByRequest(p, on, "a query")}
}

// onEveryFace runs a test once for each way to send a statement, on a pool of its
// own.
func onEveryFace(t *testing.T, cfg pool.Config, test func(t *testing.T, p *pool.Pool, on face)) {
	ctx := t.Context()
	for name, with := range map[string]func(t *testing.T, p *pool.Pool, test func(face)){
		"Lease": func(t *testing.T, p *pool.Pool, test func(face)) {
			l := acquire(t, p)
			defer l.Release()
			test(l)
		},
		"Lease, prepared": func(t *testing.T, p *pool.Pool, test func(face)) {
			l := acquire(t, p)
			defer l.Release()
			test(preparing{l})
		},
		"Tx": func(t *testing.T, p *pool.Pool, test func(face)) {
			require.NoError(t, p.InTx(ctx, pool.Immediate, func(_ context.Context, tx *pool.Tx) error {
				test(tx)
				return nil
			}))
		},
		"Batch": func(t *testing.T, p *pool.Pool, test func(face)) {
			require.NoError(t, p.Batch(ctx, func(_ context.Context, tx *pool.Tx) error {
				test(tx)
				return nil
			}))
		},
		"Tx, by request": func(t *testing.T, p *pool.Pool, test func(face)) {
			require.NoError(t, p.StoreInTx(ctx, pool.Immediate, func(_ context.Context, tx pool.StoreTx) error {
				test(byRequest(p, tx))
				return nil
			}))
		},
		"Writer, by request": func(_ *testing.T, p *pool.Pool, test func(face)) { test(byRequest(p, p.StoreWriter())) },
		"Writer":             func(_ *testing.T, p *pool.Pool, test func(face)) { test(p.Writer()) },
		"DB":                 func(_ *testing.T, p *pool.Pool, test func(face)) { test(p.DB()) },
		"DB, prepared":       func(_ *testing.T, p *pool.Pool, test func(face)) { test(preparing{p.DB()}) },
		"DB, in a transaction": func(t *testing.T, p *pool.Pool, test func(face)) {
			tx, err := p.DB().BeginTx(ctx, nil)
			require.NoError(t, err)
			test(tx)
			require.NoError(t, tx.Commit())
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, cfg)
			with(t, p, func(on face) { test(t, p, on) })
			requireAtRest(t, p)
		})
	}
}

// perform executes SQL on a face.
func perform(t testing.TB, on face, query string, args ...any) {
	t.Helper()
	_, err := on.ExecContext(t.Context(), query, args...)
	require.NoError(t, err, "%s %v", query, args)
}

// value reads one value.
func value(t testing.TB, on face, query string, args ...any) (got any) {
	t.Helper()
	require.NoError(t, on.QueryRowContext(t.Context(), query, args...).Scan(&got), "%s %v", query, args)
	return got
}
