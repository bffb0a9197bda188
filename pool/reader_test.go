package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const three = "SELECT column1 FROM (VALUES (1), (2), (3))"

// readings are the ways to send a statement through a Reader and be done with it.
func readings(p *pool.Pool) map[string]func(ctx context.Context, query string, args ...any) error {
	all := readingsOf(p.Reader())
	for name, read := range readingsOf(byRequest(p, p.StoreReader())) {
		all[name+" by request"] = read
	}
	return all
}

func readingsOf(r face) map[string]func(ctx context.Context, query string, args ...any) error {
	return map[string]func(ctx context.Context, query string, args ...any) error{
		"Exec": func(ctx context.Context, query string, args ...any) error {
			_, err := r.ExecContext(ctx, query, args...)
			return err
		},
		"Query": func(ctx context.Context, query string, args ...any) error {
			rows, err := r.QueryContext(ctx, query, args...)
			if err != nil {
				return err
			}
			for rows.Next() {
				continue
			}
			return errors.Join(rows.Err(), rows.Close())
		},
		"QueryRow": func(ctx context.Context, query string, args ...any) error {
			var first any
			return r.QueryRowContext(ctx, query, args...).Scan(&first)
		},
	}
}

func TestAReadersLeaseGoesBackWithItsRows(t *testing.T) {
	for _, cfg := range []pool.Config{{}, {MaxConns: 1}} {
		everywhere(t, cfg, func(t *testing.T, p *pool.Pool) {
			r := p.Reader()
			for what, use := range map[string]func(rows *sql.Rows){
				"closed at once":    func(*sql.Rows) {},
				"closed in between": func(rows *sql.Rows) { require.True(t, rows.Next()) },
				"read to the end": func(rows *sql.Rows) {
					n := 0
					for rows.Next() {
						n++
					}
					require.Equal(t, 3, n)
					require.Zero(t, p.Stats().InUse)
				},
				"closed twice": func(rows *sql.Rows) { require.NoError(t, rows.Close()) },
			} {
				rows, err := r.QueryContext(t.Context(), three)
				require.NoError(t, err)
				require.Equal(t, 1, p.Stats().InUse, what)
				use(rows)
				require.NoError(t, rows.Err(), what)
				require.NoError(t, rows.Close(), what)
				require.Zero(t, p.Stats().InUse, what)
			}
			before := p.Stats().Acquires
			for name, read := range readings(p) {
				require.NoError(t, read(t.Context(), three), name)
				require.Error(t, read(t.Context(), "SELECT nothing"), name)
				require.Error(t, read(t.Context(), "SELECT ?"), name)
				require.Error(t, read(t.Context(), "SELECT ?", struct{}{}), name)
				require.ErrorIs(t, read(t.Context(), "BEGIN"), pool.ErrTxControl, name)
				require.Zero(t, p.Stats().InUse, name)
			}
			require.GreaterOrEqual(t, p.Stats().Acquires, before+3*4)
			require.NoError(t, readings(p)["Query"](t.Context(), "-- nothing"))
			require.ErrorIs(t, readings(p)["QueryRow"](t.Context(), "-- nothing"), sql.ErrNoRows)
			require.ErrorIs(t, readings(p)["QueryRow"](t.Context(), "SELECT 1 WHERE 0"), sql.ErrNoRows)
			_, err := r.PrepareContext(t.Context(), three)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.Zero(t, p.Stats().Dirty+p.Stats().Broken)
			requireAtRest(t, p)
		})
	}
}

func TestAReadersRowNeedsNoConnection(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "CREATE TABLE kinds (i INTEGER, r REAL, s VARCHAR(9), b BLOB, at DATETIME, gap)")
		at := time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)
		run(t, p, "INSERT INTO kinds VALUES (1, 1.5, 'one', x'00ff', ?, NULL), (2, 2.5, 'two', x'', ?, NULL)", at, at)
		row := p.Reader().QueryRowContext(t.Context(), "SELECT * FROM kinds ORDER BY i")
		none := p.Reader().QueryRowContext(t.Context(), "SELECT * FROM kinds WHERE i > 2")
		require.Zero(t, p.Stats().InUse)
		run(t, p, "DELETE FROM kinds")
		require.NoError(t, p.Close())
		var i int
		var f float64
		var s string
		var b []byte
		var back time.Time
		var nothing any
		require.NoError(t, row.Err())
		require.NoError(t, row.Scan(&i, &f, &s, &b, &back, &nothing))
		require.Equal(t, []any{1, 1.5, "one", []byte{0, 255}, at, nil}, []any{i, f, s, b, back, nothing})
		require.ErrorIs(t, none.Scan(&i, &f, &s, &b, &back, &nothing), sql.ErrNoRows)
		require.ErrorIs(t, p.Reader().QueryRowContext(t.Context(), three).Scan(&i), pool.ErrClosed)
	})
}

func TestAReaderTellsOfTheColumnsAndTheErrorsOfItsRows(t *testing.T) {
	p := open(t, pool.Config{})
	rows, err := p.Reader().QueryContext(t.Context(), "SELECT id, v + 1 AS more FROM n")
	require.NoError(t, err)
	types, err := rows.ColumnTypes()
	require.NoError(t, err)
	require.Equal(t, "INTEGER", types[0].DatabaseTypeName())
	require.Equal(t, "more", types[1].Name())
	require.NoError(t, rows.Close())

	for name, read := range readings(p) {
		require.ErrorContains(t, read(t.Context(), "SELECT abs(-9223372036854775808)"), "integer overflow", name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	rows, err = p.Reader().QueryContext(ctx, three)
	require.NoError(t, err)
	require.True(t, rows.Next())
	cancel()
	require.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), context.Canceled)
	require.Zero(t, p.Stats().InUse, "the loop is over, so they are closed")
	for name, read := range readings(p) {
		require.ErrorIs(t, read(ctx, three), context.Canceled, name)
	}
	requireAtRest(t, p)
}

func TestAReaderRefusesWritesBeforeTheyRun(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		refuse := func(ctx context.Context) {
			for _, write := range []string{
				"INSERT INTO n VALUES (2, 0) RETURNING id", "UPDATE n SET v = 9", "DELETE FROM n", "CREATE TABLE made (x)", "DROP TABLE n",
				"WITH w AS (SELECT 1) DELETE FROM n RETURNING v", "CREATE TEMP TABLE made (x)", "PRAGMA user_version = 3",
			} {
				for name, read := range readings(p) {
					require.ErrorIs(t, read(ctx, write), pool.ErrReadOnly, "%s: %s", name, write)
				}
			}
		}
		refuse(t.Context())
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			refuse(ctx)
			return do(ctx, tx, "UPDATE n SET v = v + 1") // it goes on
		}))
		require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))
		require.Zero(t, get(t, p, "PRAGMA user_version"))
		require.Zero(t, p.Stats().RolledBack+p.Stats().Dirty)
		requireAtRest(t, p)
	})
}

func TestAReaderWaitsForNoWriterNotEvenToRefuseAWrite(t *testing.T) {
	p := open(t, pool.Config{})
	gate, err := p.Begin(t.Context(), pool.Exclusive)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), gate, "UPDATE n SET v = 9"))
	for name, read := range readings(p) {
		require.NoError(t, read(t.Context(), "SELECT v FROM n"), name)
		require.ErrorIs(t, read(t.Context(), "UPDATE n SET v = 8"), pool.ErrReadOnly, name)
	}
	require.NoError(t, gate.Rollback(t.Context()))
	requireAtRest(t, p)
}

func TestAReaderJoinsTheTransactionOfItsContext(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1}, func(t *testing.T, p *pool.Pool) { // another lease would be a deadlock
		r := p.Reader()
		require.Same(t, errOurs, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			require.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (2, 7)"))
			before := p.Stats().Acquires
			for name, read := range readings(p) {
				require.NoError(t, read(ctx, "SELECT v FROM n"), name)
			}
			n, err := number(ctx, r, "SELECT v FROM n WHERE id = 2")
			require.NoError(t, err)
			require.EqualValues(t, 7, n)
			rows, err := r.QueryContext(ctx, "SELECT id FROM n")
			require.NoError(t, err)
			require.True(t, rows.Next())
			require.Equal(t, before, p.Stats().Acquires)
			return errOurs // the rows end with the transaction
		}))
		require.NoError(t, p.View(t.Context(), func(ctx context.Context, _ *pool.Tx) error {
			n, err := number(ctx, r, "SELECT count(*) FROM n")
			require.EqualValues(t, 1, n)
			return err
		}))
		var over context.Context
		require.NoError(t, p.View(t.Context(), func(ctx context.Context, _ *pool.Tx) error {
			over = ctx
			return nil
		}))
		for name, read := range readings(p) {
			require.ErrorIs(t, read(over, three), pool.ErrTxDone, name)
		}
		requireAtRest(t, p)
	})
}

func TestAReaderServesManyAtOnceWithFewConnections(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 3}, func(t *testing.T, p *pool.Pool) {
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				for range 10 {
					for name, read := range readings(p) {
						assert.NoError(t, read(t.Context(), "SELECT v FROM n"), name)
					}
				}
			})
			all.Go(func() { assert.NoError(t, send(t.Context(), p, "UPDATE n SET v = v + 1")) })
		}
		all.Wait()
		require.EqualValues(t, 30, get(t, p, "SELECT v FROM n"))
		require.LessOrEqual(t, p.Stats().Open, 3)
		requireAtRest(t, p)
	})
}

func TestAReaderOfAReadOnlyPoolReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	require.NoError(t, open(t, pool.Config{Path: path}).Close())
	p, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true})
	require.NoError(t, err)
	defer p.Close()
	for name, read := range readings(p) {
		require.NoError(t, read(t.Context(), "SELECT v FROM n"), name)
		require.ErrorIs(t, read(t.Context(), "UPDATE n SET v = 1 RETURNING v"), pool.ErrReadOnly, name)
	}
}

func TestAFunctionThatPanicsOrExitsKeepsNoReadersLease(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		for _, how := range []string{"panic", "exit"} {
			for name, read := range readings(p) {
				returned, recovered := false, any(nil)
				var wg sync.WaitGroup
				wg.Go(func() {
					defer func() { recovered = recover() }()
					_ = read(t.Context(), "SELECT leave(3, ?)", how)
					returned = true
				})
				wg.Wait()
				require.False(t, returned, "%s of %s", how, name)
				require.Equal(t, how == "panic", recovered != nil, "%s of %s", how, name)
			}
		}
		requireAtRest(t, p)
		require.Zero(t, p.Stats().Reclaimed)
	})
}

func TestAReadersHolderIsWhoCalledIt(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2, AcquireTimeout: time.Millisecond})
	rows, err := p.Reader().QueryContext(pool.WithLabel(t.Context(), "a list"), three)
	require.NoError(t, err)
	err = do(t.Context(), p.Reader(), three)
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.ErrorContains(t, err, "TestAReadersHolderIsWhoCalledIt")
	require.ErrorContains(t, err, "(a list)")
	require.NoError(t, rows.Close())
	requireAtRest(t, p)
}

func TestAReaderWithoutDatabaseSQLRefusesWritesAndGivesItsLeaseBack(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 2}, func(t *testing.T, p *pool.Pool) {
		r := p.Reader()
		const write = "INSERT INTO n VALUES (10, 1) RETURNING id"
		refused := func(ctx context.Context) {
			var id int64
			_, err := r.Exec(ctx, write)
			require.ErrorIs(t, err, pool.ErrReadOnly)
			_, err = r.Query(ctx, write)
			require.ErrorIs(t, err, pool.ErrReadOnly)
			require.ErrorIs(t, r.QueryRow(ctx, write).Scan(&id), pool.ErrReadOnly)
		}
		refused(t.Context())
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
			refused(ctx)
			return nil
		}))
		rows, err := r.Query(t.Context(), "SELECT v FROM n")
		require.NoError(t, err)
		require.Equal(t, 1, p.Stats().InUse)
		require.True(t, rows.Next())
		require.False(t, rows.Next())
		require.Zero(t, p.Stats().InUse, "read to the end")
		row := r.QueryRow(t.Context(), "SELECT v FROM n")
		require.Zero(t, p.Stats().InUse, "read before it is returned")
		var v int64
		require.NoError(t, row.Scan(&v))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, r.QueryRow(ctx, "SELECT 1").Scan(&v), context.Canceled)
		_, err = r.Query(t.Context(), "SELECT ?")
		require.ErrorContains(t, err, "expected 1 arguments")
		requireAtRest(t, p)
	})
}
