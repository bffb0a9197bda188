package pool_test

import (
	"context"
	"database/sql/driver"
	"runtime"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

func init() {
	sqlite.MustRegisterScalarFunction("leave", 2, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		switch {
		case args[0] != int64(3):
		case args[1] == "exit":
			runtime.Goexit()
		default:
			panic("ours")
		}
		return int64(1), nil
	})
}

func TestAFunctionOfSQLThatPanicsOrExitsLeavesNothingBehind(t *testing.T) {
	const (
		update    = "UPDATE n SET v = 100 + leave(id, ?)"
		returning = "INSERT INTO n SELECT id + 100, leave(id, ?) FROM n RETURNING id"
		read      = "SELECT id, leave(id, ?) FROM n ORDER BY id"
		readTimes = "SELECT id, leave(id, ?), at FROM n LEFT JOIN moments USING (id) ORDER BY id"
	)
	iterate := func(ctx context.Context, on dbtx, query, how string) {
		rows, err := on.QueryContext(ctx, query, how)
		if !assert.NoError(t, err) {
			return
		}
		defer rows.Close()
		for rows.Next() {
			continue
		}
	}
	onLease := func(f func(l *pool.Lease)) func(p *pool.Pool) {
		return func(p *pool.Pool) {
			l, err := p.Acquire(t.Context())
			if assert.NoError(t, err) {
				defer l.Release()
				f(l)
			}
		}
	}
	for name, use := range map[string]func(p *pool.Pool, how string){
		"a write on a lease": func(p *pool.Pool, how string) {
			onLease(func(l *pool.Lease) { _ = do(t.Context(), l, update, how) })(p)
		},
		"rows of a write": func(p *pool.Pool, how string) {
			onLease(func(l *pool.Lease) { iterate(t.Context(), l, returning, how) })(p)
		},
		"rows": func(p *pool.Pool, how string) {
			onLease(func(l *pool.Lease) { iterate(t.Context(), l, read, how) })(p)
		},
		"rows with times": func(p *pool.Pool, how string) {
			onLease(func(l *pool.Lease) { iterate(t.Context(), l, readTimes, how) })(p)
		},
		"a write in a transaction": func(p *pool.Pool, how string) {
			_ = p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
				assert.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (50, 200)"))
				return do(ctx, tx, update, how)
			})
		},
		"a batch": func(p *pool.Pool, how string) {
			_ = p.Batch(t.Context(), doing(update, how))
		},
		"a database/sql": func(p *pool.Pool, how string) {
			_, _ = p.DB().ExecContext(t.Context(), update, how)
		},
	} {
		for _, how := range []string{"panic", "exit"} {
			t.Run(name+" "+how, func(t *testing.T) {
				everywhere(t, pool.Config{MaxConns: 2}, func(t *testing.T, p *pool.Pool) {
					run(t, p, "CREATE TABLE moments (id INTEGER PRIMARY KEY, at DATETIME)")
					run(t, p, "INSERT INTO n VALUES (2, 0), (3, 0), (4, 0)")
					var (
						wg        sync.WaitGroup
						recovered any
					)
					wg.Go(func() {
						defer func() { recovered = recover() }()
						use(p, how)
					})
					wg.Wait()
					if how == "panic" {
						require.Equal(t, "ours", recovered)
					}
					require.Zero(t, get(t, p, "SELECT count(*) FROM n WHERE v > 0 OR id > 4"), "half of a statement")
					run(t, p, "INSERT INTO n VALUES (9, 0)")
					requireAtRest(t, p)
				})
			})
		}
	}
}

func TestAFunctionOfSQLThatPanicsLosesTheTransactionIfThereIsOne(t *testing.T) {
	const update = "UPDATE n SET v = 100 + leave(id, 'panic')"
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "INSERT INTO n VALUES (2, 0), (3, 0)")
		l := acquire(t, p)
		require.PanicsWithValue(t, "ours", func() { _ = do(t.Context(), l, update) })
		l.Release()
		require.Zero(t, p.Stats().Lost)
		require.ErrorIs(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			require.PanicsWithValue(t, "ours", func() { _ = do(ctx, tx, update) })
			return nil
		}), pool.ErrTxLost)
		require.EqualValues(t, 1, p.Stats().Lost)
		require.Zero(t, get(t, p, "SELECT sum(v) FROM n"))
		requireAtRest(t, p)
	})
}
