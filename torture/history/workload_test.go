package history

import (
	"cmp"
	"context"
	"database/sql"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestTransactionsOfEveryKindAreStrictlySerializable(t *testing.T) {
	steps := 0
	r, err := Run(t.Context(), Options{Dir: t.TempDir(), Transactions: 700, Seed: rand.Uint64(), Progress: func(done, of int) {
		require.Equal(t, steps, done)
		require.Equal(t, len(settings()), of)
		steps++
	}})
	require.NoError(t, err)
	require.Empty(t, r.Found)
	require.Zero(t, r.Anomalies)
	require.Equal(t, len(settings())*(1+7), r.Histories)
	require.Equal(t, len(settings())+1, steps)
	require.GreaterOrEqual(t, r.Committed, len(settings())*2*700/3, "a third of the lists' and of the registers'; a slow machine cancels more of them")
	require.Equal(t, r.Transactions, r.Committed+r.Failed)
	for what, n := range map[string]int{"failed": r.Failed, "savepoints undone": r.Undone, "reads": r.Reads} {
		require.Greater(t, n, len(settings())*100, what)
	}
	for _, kind := range allKinds {
		require.Greater(t, r.Kinds[kind], len(settings())*20, kind)
	}
	t.Logf("%d histories of %d transactions, %d failed, %d savepoints undone, %d reads", r.Histories, r.Transactions, r.Failed, r.Undone, r.Reads)
}

func TestARunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, Options{Dir: t.TempDir(), Transactions: 20, Progress: func(done, _ int) {
		if done == 1 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
}

// faulty are pools with something wrong about them. One goroutine uses them, so
// that the fault shows every time.
type faulty struct {
	pools
	runs  func(f *faulty, ctx context.Context, rng *rand.Rand, kind Kind, fn body) error
	nests func(f *faulty, ctx context.Context, rng *rand.Rand, tx dbtx, fn body) error
	other func()   // other transactions, faultless, from begin to end
	old   *pool.Tx // a snapshot from before everything
	views int
	kinds []Kind // of the transactions that the fault concerns
}

func (f *faulty) run(ctx context.Context, rng *rand.Rand, kind Kind, fn body) error {
	if f.runs == nil || f.other == nil {
		return f.pools.run(ctx, rng, kind, fn)
	}
	return f.runs(f, ctx, rng, kind, fn)
}

func (f *faulty) nest(ctx context.Context, rng *rand.Rand, tx dbtx, fn body) error {
	if _, own := tx.(*pool.Tx); own && (f.nests == nil || f.other == nil) {
		return f.pools.nest(ctx, rng, tx, fn)
	}
	if f.nests == nil {
		return fn(ctx, tx)
	}
	return f.nests(f, ctx, rng, tx, fn)
}

// loose runs fn's statements on a lease, each on its own, and lets others in between.
func (f *faulty) loose(ctx context.Context, fn body) error {
	l, err := f.pools[0].Acquire(ctx)
	if err != nil {
		return err
	}
	defer l.Release()
	return fn(ctx, parted{l, f})
}

type parted struct {
	dbtx
	f *faulty
}

func (p parted) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if other := p.f.other; other != nil {
		p.f.other = nil
		other()
		p.f.other = other
	}
	return p.dbtx.QueryContext(ctx, query, args...)
}

// readOnly refuses writes, as a view does.
type readOnly struct{ dbtx }

func (readOnly) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, pool.ErrReadOnly
}

func TestAFaultyDatabaseIsFoundOut(t *testing.T) {
	for what, c := range map[string]struct {
		inLists, inRegisters string
		faulty               faulty
	}{
		"statements commit on their own": {Aborted, Aborted, faulty{
			runs: func(f *faulty, ctx context.Context, _ *rand.Rand, _ Kind, fn body) error { return f.loose(ctx, fn) },
		}},
		"a view reads no snapshot": {Fractured, Fractured, faulty{
			kinds: []Kind{View},
			runs: func(f *faulty, ctx context.Context, _ *rand.Rand, _ Kind, fn body) error {
				return f.loose(ctx, func(ctx context.Context, tx dbtx) error { return fn(ctx, readOnly{tx}) })
			},
		}},
		"a view reads an old snapshot": {Stale, Unexplained, faulty{
			runs: func(f *faulty, ctx context.Context, rng *rand.Rand, kind Kind, fn body) error {
				if kind == View && f.views < 3 {
					f.views++
					return fn(ctx, readOnly{f.old})
				}
				return f.pools.run(ctx, rng, kind, fn)
			},
		}},
		"a function that fails is committed": {Aborted, Aborted, faulty{
			runs: func(f *faulty, ctx context.Context, rng *rand.Rand, kind Kind, fn body) error {
				var failed error
				err := f.pools.run(ctx, rng, kind, func(ctx context.Context, tx dbtx) error {
					failed = fn(ctx, tx)
					return nil
				})
				return cmp.Or(err, failed)
			},
		}},
		"what a failed savepoint did stays": {Aborted, Aborted, faulty{
			nests: func(_ *faulty, ctx context.Context, _ *rand.Rand, tx dbtx, fn body) error { return fn(ctx, tx) },
		}},
	} {
		t.Run(what, func(t *testing.T) {
			for _, registers := range []bool{false, true} {
				f := c.faulty
				found := f.findings(t, registers)
				want := c.inLists
				if registers {
					want = c.inRegisters
				}
				called := names(found)
				if want == Stale && slices.Contains(called, LostUpdate) {
					want = LostUpdate // where nobody else read later: what an old snapshot misses looks gone
				}
				require.Contains(t, called, want, "registers: %v", registers)
			}
		})
	}
}

// findings runs a workload on it, and returns what its history looks like.
func (f *faulty) findings(t *testing.T, registers bool) []Anomaly {
	ctx := t.Context()
	cfg := config("wal", 8)
	cfg.Path = filepath.Join(t.TempDir(), "app.db")
	p, err := pool.Open(ctx, cfg)
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, createTables(ctx, p))
	f.pools = pools{p}
	f.old, err = p.Begin(ctx, pool.Deferred)
	require.NoError(t, err)
	rows, err := f.old.QueryContext(ctx, readOne, 0) // its snapshot is of now
	require.NoError(t, err)
	require.False(t, rows.Next())
	require.NoError(t, rows.Close())
	if f.kinds == nil {
		f.kinds = allKinds
	}
	w := &workload{ways: f, kinds: f.kinds, seed: 1, registers: registers}
	rng := rand.New(rand.NewPCG(1, 1))
	f.other = func() {
		for range 4 {
			require.NoError(t, w.transaction(ctx, rng, allKinds[rng.IntN(len(allKinds))], 0))
		}
	}
	require.NoError(t, w.run(ctx, 1, 60))
	require.NoError(t, f.old.Rollback(ctx))
	h := w.history()
	if !registers {
		return h.CheckLists()
	}
	found, err := h.CheckLinear(ctx)
	require.NoError(t, err)
	return found
}
