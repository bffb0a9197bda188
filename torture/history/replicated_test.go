package history

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func unknown(t Txn) Txn {
	t.Committed, t.Unknown = false, true
	return t
}

func TestWhatAClusterMustNotShowIsFoundAndNamed(t *testing.T) {
	for what, c := range map[string]struct {
		name string
		txns []Txn
	}{
		"what was acknowledged is gone": {LostUpdate, []Txn{
			txn(Batch, 1, 2, write(x, 1)),
			txn(Batch, 3, 4, write(x, 2)),
			txn(View, 20, 21, read(x, 2)),
		}},
		"of a transaction of unknown end one half is there": {LostUpdate, []Txn{
			unknown(txn(Immediate, 1, 2, write(x, 1), write(y, 2))),
			txn(View, 20, 21, read(x, 1), read(y)),
		}},
		"one of unknown end was there and is gone": {Fractured, []Txn{
			unknown(txn(Immediate, 1, 2, write(x, 1))),
			txn(Immediate, 3, 4, read(x, 1), write(y, 2)),
			txn(View, 20, 21, read(x), read(y, 2)),
		}},
		"one of unknown end was done twice": {Garbage, []Txn{
			unknown(txn(Immediate, 1, 2, write(x, 1))),
			txn(View, 20, 21, read(x, 1, 1)),
		}},
		"one that was lost is there": {Aborted, []Txn{
			failed(txn(Immediate, 1, 2, write(x, 1))),
			txn(View, 20, 21, read(x, 1)),
		}},
		"a writer misses what ended before it began": {Stale, []Txn{
			txn(Batch, 1, 2, write(x, 1)),
			txn(Immediate, 3, 4, read(x), write(y, 2)),
			txn(View, 20, 21, read(x, 1), read(y, 2)),
		}},
		"an old snapshot is none": {Fractured, []Txn{
			txn(Batch, 1, 2, write(x, 1), write(y, 2)),
			txn(View, 3, 4, read(x, 1), read(y)),
			txn(View, 20, 21, read(x, 1), read(y, 2)),
		}},
		"the last read failed": {Unexplained, []Txn{failed(txn(View, 20, 21))}},
	} {
		t.Run(what, func(t *testing.T) {
			found, _, _ := (&History{Txns: c.txns}).CheckReplicated()
			require.Contains(t, names(found), c.name)
		})
	}
}

func TestWhatAClusterMayShowIsNoAnomaly(t *testing.T) {
	for what, c := range map[string]struct {
		settled, stale int
		txns           []Txn
	}{
		"one of unknown end did not take place": {0, 0, []Txn{
			unknown(txn(Immediate, 1, 2, write(x, 1))),
			txn(View, 20, 21, read(x)),
		}},
		"one of unknown end took place later": {1, 0, []Txn{
			unknown(txn(Immediate, 1, 2, write(x, 1), write(y, 2))),
			txn(Immediate, 3, 4, read(x), write(x, 3)),
			txn(View, 20, 21, read(x, 3, 1), read(y, 2)),
		}},
		"a reader sees an old snapshot": {0, 1, []Txn{
			txn(Batch, 1, 2, write(x, 1), write(y, 2)),
			txn(View, 3, 4, read(x), read(y)),
			txn(View, 20, 21, read(x, 1), read(y, 2)),
		}},
		"one that failed saw an old snapshot": {0, 0, []Txn{
			txn(Batch, 1, 2, write(x, 1)),
			failed(txn(Immediate, 3, 4, read(x), write(y, 2))),
			txn(View, 20, 21, read(x, 1), read(y)),
		}},
		"a new leader's writer comes first": {0, 0, []Txn{
			txn(Batch, 1, 5, write(x, 1)),
			txn(Batch, 2, 3, write(x, 2)),
			txn(View, 20, 21, read(x, 2, 1)),
		}},
		"nothing happened": {},
	} {
		t.Run(what, func(t *testing.T) {
			found, settled, stale := (&History{Txns: c.txns}).CheckReplicated()
			require.Empty(t, found)
			require.Equal(t, c.settled, settled)
			require.Equal(t, c.stale, stale)
		})
	}
}

// liar is a Store on a file that lies about a part of its transactions.
type liar struct {
	*pool.Pool
	n   atomic.Int64
	lie func(l *liar, ctx context.Context, level pool.Level, fn func(context.Context, pool.StoreTx) error) error
}

func (l *liar) StoreInTx(ctx context.Context, level pool.Level, fn func(context.Context, pool.StoreTx) error, opts ...pool.TxOption) error {
	if l.n.Add(1)%5 == 0 && l.lie != nil {
		return l.lie(l, ctx, level, fn)
	}
	return l.Pool.StoreInTx(ctx, level, fn, opts...)
}

// undoes runs fn in a transaction that is not kept.
func (l *liar) undoes(ctx context.Context, level pool.Level, fn func(context.Context, pool.StoreTx) error) error {
	var failed error
	err := l.Pool.StoreInTx(ctx, level, func(ctx context.Context, tx pool.StoreTx) error {
		if failed = fn(ctx, tx); failed != nil {
			return failed
		}
		return errUndone
	})
	if err != errUndone && failed == nil {
		return err
	}
	return failed
}

var errUndone = pool.ErrOverloaded // anything that is told apart

func TestAStoreThatLiesIsFoundOut(t *testing.T) {
	for what, c := range map[string]struct {
		names []string // one of them is found; none if it does not lie
		lie   func(l *liar, ctx context.Context, level pool.Level, fn func(context.Context, pool.StoreTx) error) error
	}{
		"it does not lie": {},
		"it says that it does not know, and doesn't": {nil, func(l *liar, ctx context.Context, level pool.Level, fn func(context.Context, pool.StoreTx) error) error {
			commit := l.Pool.StoreInTx
			if rand.IntN(2) == 0 {
				commit = func(ctx context.Context, level pool.Level, fn func(context.Context, pool.StoreTx) error, _ ...pool.TxOption) error {
					return l.undoes(ctx, level, fn)
				}
			}
			if err := commit(ctx, level, fn); err != nil {
				return err
			}
			return dqlite.ErrCommitUnknown
		}},
		"it acknowledges what it does not commit": {[]string{LostUpdate, Aborted}, func(l *liar, ctx context.Context, level pool.Level, fn func(context.Context, pool.StoreTx) error) error {
			return l.undoes(ctx, level, fn)
		}},
		"it commits what it says was lost": {[]string{Aborted}, func(l *liar, ctx context.Context, level pool.Level, fn func(context.Context, pool.StoreTx) error) error {
			if err := l.Pool.StoreInTx(ctx, level, fn); err != nil {
				return err
			}
			return pool.ErrTxLost
		}},
		"it runs again what it has committed": {[]string{Aborted}, func(l *liar, ctx context.Context, level pool.Level, fn func(context.Context, pool.StoreTx) error) error {
			if err := l.Pool.StoreInTx(ctx, level, fn); err != nil {
				return err
			}
			return l.Pool.StoreInTx(ctx, level, fn)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), Synchronous: "off"})
			require.NoError(t, err)
			defer p.Close()
			require.NoError(t, PrepareCluster(t.Context(), p))
			r, err := OnCluster(t.Context(), ClusterOptions{Stores: []Store{&liar{Pool: p, lie: c.lie}}, Goroutines: 8, AtMost: 400, Seed: 1})
			require.NoError(t, err)
			require.Greater(t, r.Committed, 50)
			if c.names == nil {
				require.Empty(t, r.Found)
				require.Equal(t, c.lie != nil, r.Unknown > r.Settled && r.Settled > 0)
				require.Zero(t, r.Stale)
				return
			}
			require.NotZero(t, r.Anomalies)
			require.Subset(t, c.names, names(r.Found)[:1])
		})
	}
}
