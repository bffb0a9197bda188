package pool_test

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTransactionsNestFiftyDeep(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		// Every seventh level fails, and takes those inside it along.
		var nest func(depth int) func(context.Context, *pool.Tx) error
		nest = func(depth int) func(context.Context, *pool.Tx) error {
			return func(ctx context.Context, tx *pool.Tx) error {
				assert.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (?, 0)", depth+100))
				if depth < 50 {
					err := p.InTx(ctx, pool.Deferred, nest(depth+1))
					if (depth+1)%7 == 0 {
						assert.Same(t, errOurs, err)
					} else {
						assert.NoError(t, err)
					}
				}
				if depth > 0 && depth%7 == 0 {
					return errOurs
				}
				return nil
			}
		}
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, nest(0)))
		require.EqualValues(t, 7, get(t, p, "SELECT count(*) FROM n WHERE id >= 100"), "0 to 6")
		require.EqualValues(t, 1, p.Stats().Committed)
		requireAtRest(t, p)
	})
}

func TestAThousandFailedSavepointsLeaveTheTransactionWhole(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
			for i := range 1000 {
				assert.Same(t, errOurs, tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
					assert.NoError(t, do(ctx, sp, "INSERT INTO n VALUES (?, 1)", i+10))
					return errOurs
				}))
			}
			return do(ctx, tx, "INSERT INTO n VALUES (5, 5)")
		}))
		require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n"))
		requireAtRest(t, p)
	})
}

func TestASavepointIsUndoneAloneHoweverItFails(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			assert.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (2, 0)"))
			assert.Panics(t, func() {
				_ = tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
					assert.NoError(t, do(ctx, sp, "INSERT INTO n VALUES (3, 0)"))
					panic("ours")
				})
			})
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
					assert.NoError(t, do(ctx, sp, "INSERT INTO n VALUES (4, 0)"))
					runtime.Goexit()
					return nil
				})
			})
			wg.Wait()
			inner, cancel := context.WithCancel(ctx)
			assert.ErrorIs(t, tx.Savepoint(inner, func(ctx context.Context, sp *pool.Tx) error {
				assert.NoError(t, do(ctx, sp, "INSERT INTO n VALUES (5, 0)"))
				cancel()
				return nil
			}), context.Canceled)
			assert.ErrorIs(t, tx.Savepoint(inner, doing("SELECT 1")), context.Canceled)
			assert.Same(t, errOurs, tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
				assert.Equal(t, dberr.ErrDuplicate, dberr.Kind(do(ctx, sp, "INSERT INTO n VALUES (2, 0)")))
				assert.NoError(t, do(ctx, sp, "INSERT INTO n VALUES (6, 0)"), "a plain error undoes its statement alone")
				return errOurs
			}))
			return nil
		}))
		require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n"))
		requireAtRest(t, p)
	})
}

func TestANestedTransactionMayNotBeStronger(t *testing.T) {
	p := open(t, pool.Config{})
	for _, outer := range levels {
		for _, inner := range levels {
			require.NoError(t, p.InTx(t.Context(), outer, func(ctx context.Context, _ *pool.Tx) error {
				err := p.InTx(ctx, inner, func(_ context.Context, tx *pool.Tx) error {
					assert.Equal(t, outer, tx.Level())
					return nil
				})
				if inner > outer {
					assert.ErrorIs(t, err, pool.ErrNestedLevel)
					assert.ErrorContains(t, err, outer.String())
					var own *pool.Error
					assert.ErrorAs(t, err, &own)
					assert.Equal(t, inner, own.Level)
				} else {
					assert.NoError(t, err)
				}
				return nil
			}))
		}
	}
	requireAtRest(t, p)
}

func TestASavepointWithOpenReturningRowsIsKept(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		return tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
			rows, err := sp.QueryContext(ctx, "INSERT INTO n VALUES (7, 0), (8, 0) RETURNING id")
			require.NoError(t, err)
			t.Cleanup(func() { _ = rows.Close() })
			require.True(t, rows.Next())
			return nil
		})
	}))
	require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM n"))
}

// TestSavepointsAreWhatATreeOfMapsIs runs random trees of savepoints against a
// model in which a failed branch restores the copy made before it.
func TestSavepointsAreWhatATreeOfMapsIs(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		rapid.Check(t, func(rt *rapid.T) {
			ctx := t.Context()
			run(t, p, "DELETE FROM n")
			model := map[int]int{}
			var body func(ctx context.Context, tx *pool.Tx, depth int) error
			body = func(ctx context.Context, tx *pool.Tx, depth int) error {
				for range rapid.IntRange(0, 6).Draw(rt, "steps") {
					id, v := rapid.IntRange(1, 8).Draw(rt, "id"), rapid.IntRange(0, 99).Draw(rt, "v")
					switch what := rapid.IntRange(0, 7).Draw(rt, "what"); {
					case what <= 1:
						require.NoError(rt, do(ctx, tx, "INSERT INTO n VALUES (?, ?) ON CONFLICT DO UPDATE SET v = excluded.v", id, v))
						model[id] = v
					case what == 2:
						require.NoError(rt, do(ctx, tx, "DELETE FROM n WHERE id = ?", id))
						delete(model, id)
					case what == 3:
						_, there := model[id]
						require.Equal(rt, there, dberr.Kind(do(ctx, tx, "INSERT INTO n VALUES (?, ?)", id, v)) == dberr.ErrDuplicate)
						if !there {
							model[id] = v
						}
					case depth < 6:
						before := maps.Clone(model)
						nested := tx.Savepoint
						if what == 6 {
							nested = func(ctx context.Context, fn func(context.Context, *pool.Tx) error) error {
								return p.InTx(ctx, pool.Deferred, fn)
							}
						}
						if what == 7 {
							nested = p.Batch
						}
						if nested(ctx, func(ctx context.Context, sp *pool.Tx) error { return body(ctx, sp, depth+1) }) != nil {
							model = before
						}
					}
				}
				require.Equal(rt, model, read(rt, ctx, tx), "seen from inside")
				if rapid.IntRange(0, 2).Draw(rt, "fails") == 0 {
					return errOurs
				}
				return nil
			}
			before := maps.Clone(model)
			level := rapid.SampledFrom(levels).Draw(rt, "level")
			if p.InTx(ctx, level, func(ctx context.Context, tx *pool.Tx) error { return body(ctx, tx, 0) }) != nil {
				model = before
			}
			l, err := p.Acquire(ctx)
			require.NoError(rt, err)
			defer l.Release()
			require.Equal(rt, model, read(rt, ctx, l), "seen from outside")
		})
		requireAtRest(t, p)
	})
}

func read(t require.TestingT, ctx context.Context, on dbtx) map[int]int {
	rows, err := on.QueryContext(ctx, "SELECT id, v FROM n")
	require.NoError(t, err)
	defer rows.Close()
	all := map[int]int{}
	for rows.Next() {
		var id, v int
		require.NoError(t, rows.Scan(&id, &v))
		all[id] = v
	}
	require.NoError(t, rows.Err())
	return all
}

func ExampleTx_Savepoint() {
	ctx := context.Background()
	p, err := pool.Open(ctx, pool.Config{Path: pool.Memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	err = p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		if _, err := tx.ExecContext(ctx, "CREATE TABLE tags (name TEXT PRIMARY KEY)"); err != nil {
			return err
		}
		for _, name := range []string{"go", "sql", "go"} {
			err := tx.Savepoint(ctx, func(ctx context.Context, tx *pool.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO tags VALUES (?)", name)
				return err
			})
			fmt.Println(name, dberr.Kind(err) == dberr.ErrDuplicate)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// go false
	// sql false
	// go true
	// <nil>
}

func TestASavepointOpensBesideReturningRowsAndTheyGoOn(t *testing.T) {
	everywhere(t, pool.Config{BusyTimeout: -1}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
			rows, err := tx.QueryContext(ctx, "INSERT INTO n VALUES (10, 'a'), (11, 'b'), (12, 'c') RETURNING id, v")
			require.NoError(t, err)
			defer rows.Close()
			require.True(t, rows.Next())
			require.NoError(t, tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
				more, err := tx.QueryContext(ctx, "UPDATE n SET v = 'x' WHERE id = 12 RETURNING v") // of the outer one
				require.NoError(t, err)
				t.Cleanup(func() { _ = more.Close() })
				return do(ctx, sp, "INSERT INTO n VALUES (13, 'd')")
			}))
			require.Same(t, errOurs, tx.Savepoint(ctx, func(ctx context.Context, sp *pool.Tx) error {
				assert.NoError(t, do(ctx, sp, "DELETE FROM n"))
				return errOurs
			}))
			var got []string
			for rows.Next() {
				var id int
				var v string
				require.NoError(t, rows.Scan(&id, &v))
				got = append(got, v)
			}
			require.NoError(t, rows.Err())
			assert.Equal(t, []string{"b", "c"}, got, "the rows as they were returned")
			return nil
		}))
		require.EqualValues(t, 5, get(t, p, "SELECT count(*) FROM n"))
		requireAtRest(t, p)
	})
}
