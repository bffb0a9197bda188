package pool_test

import (
	"context"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// losses are the ways in which SQLite rolls a transaction back by itself, and
// the code with which it does.
var losses = []struct {
	name string
	code int
	lose func(t *testing.T, ctx context.Context, tx *pool.Tx) error
}{
	{"ON CONFLICT ROLLBACK", 1555, func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		return do(ctx, tx, "INSERT INTO ruled (id) VALUES (1), (1)")
	}},
	{"INSERT OR ROLLBACK", 2067, func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		return do(ctx, tx, "INSERT OR ROLLBACK INTO ruled (id, u) VALUES (1, 7), (2, 7)")
	}},
	{"RAISE(ROLLBACK)", 1811, func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		return do(ctx, tx, "INSERT INTO n VALUES (60, -13)")
	}},
	{"RAISE(ROLLBACK) in a prepared statement", 1811, func(t *testing.T, ctx context.Context, tx *pool.Tx) error {
		s, err := tx.PrepareContext(ctx, "INSERT INTO n VALUES (?, ?)")
		require.NoError(t, err)
		defer s.Close()
		_, err = s.ExecContext(ctx, 60, -13)
		return err
	}},
	{"a script", 1811, func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		return do(ctx, tx, "INSERT INTO n VALUES (60, 1); INSERT INTO n VALUES (61, -13); INSERT INTO n VALUES (62, 1)")
	}},
	{"RETURNING rows", 1811, func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		rows, err := tx.QueryContext(ctx, "INSERT INTO n VALUES (60, 1), (61, -13) RETURNING id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			continue
		}
		return rows.Err()
	}},
	{"a full database", 13, func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		return do(ctx, tx, "INSERT INTO heap VALUES (zeroblob(1000000))")
	}},
	{"an interrupted write", 0, func(t *testing.T, ctx context.Context, tx *pool.Tx) error {
		ctx, cancel := context.WithCancel(ctx)
		return do(ctx, tx, "INSERT INTO n (v) "+endless(onSignal(t, cancel)))
	}},
}

// fullSoon is a configuration in which a database is full after some pages.
func fullSoon() pool.Config {
	return pool.Config{Pragmas: map[string]string{"max_page_count": "30"}}
}

func TestALostTransactionIsLostToTheEndThoughItsFunctionSwallowsTheError(t *testing.T) {
	besideOthers(t) // for it takes long
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			everywhere(t, fullSoon(), func(t *testing.T, p *pool.Pool) {
				for _, level := range levels {
					err := p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
						require.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (50, 0)"))
						cause := loss.lose(t, ctx, tx)
						require.Error(t, cause)
						for _, statement := range []string{"INSERT INTO n VALUES (51, 0)", "SELECT 1", "CREATE TABLE x (y)"} {
							assert.ErrorIs(t, do(ctx, tx, statement), pool.ErrTxLost)
							_, err := tx.QueryContext(ctx, statement)
							assert.ErrorIs(t, err, pool.ErrTxLost)
							_, err = tx.PrepareContext(ctx, statement)
							assert.ErrorIs(t, err, pool.ErrTxLost)
						}
						assert.ErrorIs(t, tx.Savepoint(ctx, doing("INSERT INTO n VALUES (52, 0)")), pool.ErrTxLost)
						assert.ErrorIs(t, p.InTx(ctx, pool.Deferred, doing("INSERT INTO n VALUES (52, 0)")), pool.ErrTxLost)
						assert.ErrorIs(t, p.Batch(ctx, doing("INSERT INTO n VALUES (52, 0)")), pool.ErrTxLost)
						assert.ErrorIs(t, p.View(ctx, doing("SELECT 1")), pool.ErrTxLost)
						return nil
					})
					require.ErrorIs(t, err, pool.ErrTxLost)
					if loss.code == 0 {
						require.ErrorIs(t, err, context.Canceled, "the cause")
					} else {
						code, ok := pool.Code(err)
						require.True(t, ok, "%v", err)
						require.Equal(t, loss.code, code, "the cause")
					}
				}
				require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"), "nothing committed on its own")
				require.EqualValues(t, 3, p.Stats().Lost)
				requireAtRest(t, p)
			})
		})
	}
}

func TestATransactionLostInASavepointIsLostAsAWhole(t *testing.T) {
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			p := open(t, fullSoon())
			err := p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
				require.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (50, 0)"))
				assert.ErrorIs(t, tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
					assert.Error(t, loss.lose(t, ctx, sp))
					return nil
				}), pool.ErrTxLost)
				assert.ErrorIs(t, do(ctx, tx, "INSERT INTO n VALUES (51, 0)"), pool.ErrTxLost)
				return nil
			})
			require.ErrorIs(t, err, pool.ErrTxLost)

			require.Same(t, errOurs, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
				assert.Same(t, errOurs, tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
					assert.Error(t, loss.lose(t, ctx, sp))
					return errOurs
				}))
				return errOurs
			}), "a function's own error comes back unchanged")

			tx, err := p.Begin(t.Context(), pool.Immediate)
			require.NoError(t, err)
			require.Error(t, loss.lose(t, t.Context(), tx))
			require.ErrorIs(t, tx.Commit(t.Context()), pool.ErrTxLost)
			require.NoError(t, tx.Rollback(t.Context()))
			require.ErrorIs(t, tx.Commit(t.Context()), pool.ErrTxDone)
			require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
			requireAtRest(t, p)
		})
	}
}

func TestAnInterruptedReadLosesNothing(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			require.NoError(t, do(ctx, tx, "UPDATE n SET v = 1"))
			inner, cancel := context.WithCancel(ctx)
			_, err := number(inner, tx, endless(onSignal(t, cancel)))
			assert.ErrorIs(t, err, context.Canceled)
			return do(ctx, tx, "UPDATE n SET v = v + 1")
		}))
		require.EqualValues(t, 2, get(t, p, "SELECT v FROM n"))
		require.Zero(t, p.Stats().Lost)
		requireAtRest(t, p)
	})
}

func TestAFailedStatementOutsideATransactionLosesNothing(t *testing.T) {
	p := open(t, pool.Config{})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	require.Error(t, do(t.Context(), l, "INSERT OR ROLLBACK INTO ruled (id, u) VALUES (1, 7), (2, 7)"))
	require.NoError(t, do(t.Context(), l, "INSERT INTO ruled (id, u) VALUES (1, 7)"))
	l.Release()
	require.Zero(t, p.Stats().Lost)
}
