package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

// ClusterOptions are what OnCluster is asked for.
type ClusterOptions struct {
	Stores     []Store // on one database
	Goroutines int
	AtMost     int             // transactions
	Enough     <-chan struct{} // closed when there are enough
	Seed       uint64
	Done       func() // called after each transaction that committed
}

// Store is a *dqlite.Store.
type Store interface {
	pool.Store
	DB() *sql.DB
}

// ClusterReport is what OnCluster did and found.
type ClusterReport struct {
	Report
	Unknown int // transactions whose commit was not answered
	Settled int // of these, took place
	Plain   int // transactions that only read
	Stale   int // of these, did not see what was acknowledged before they began
}

// PrepareCluster makes the tables.
func PrepareCluster(ctx context.Context, s pool.Store) error {
	return s.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
		_, err := tx.ExecContext(ctx, schema)
		return err
	})
}

// OnCluster has random transactions on lists meet in Stores on a cluster whose leader others
// take away meanwhile, and checks their history. When it reads the lists for the last time
// the cluster must be whole.
func OnCluster(ctx context.Context, o ClusterOptions) (report ClusterReport, err error) {
	w := &workload{
		ways: stores{o.Stores, o.Done}, kinds: clusterKinds, seed: o.Seed, contended: true, cluster: true, enough: o.Enough,
		// What is of unknown end and was not committed by now will never be: a leader that
		// commits has a log that no older one can add to.
		settle: func(ctx context.Context) error {
			for {
				_, err := o.Stores[0].StoreWriter().ExecContext(ctx, "INSERT INTO lone VALUES (NULL)")
				if !lostLeader(err) || ctx.Err() != nil {
					return err
				}
			}
		},
	}
	err = w.run(ctx, o.Goroutines, o.AtMost)
	h := w.history()
	report.Kinds = map[Kind]int{}
	for i, t := range h.Txns {
		if t.Unknown {
			report.Unknown++
		}
		if t.Committed && len(h.resolve(i).wrote) == 0 {
			report.Plain++
		}
	}
	if err != nil {
		report.add("cluster", h, nil)
		return report, err
	}
	var found []Anomaly
	found, report.Settled, report.Stale = h.CheckReplicated()
	report.add("cluster", h, found)
	return report, nil
}

var clusterKinds = []Kind{Deferred, Repeatable, Immediate, Exclusive, Batch, Batch, Batch, View, Single, Single, SQL}

// stores are ways of a cluster.
type stores struct {
	all  []Store
	done func()
}

func (ss stores) run(ctx context.Context, rng *rand.Rand, kind Kind, fn body) (err error) {
	s := ss.all[rng.IntN(len(ss.all))]
	inner := func(ctx context.Context, tx pool.StoreTx) error { return fn(ctx, tx) }
	switch kind {
	case Batch:
		err = s.StoreBatch(ctx, inner)
	case View:
		err = s.StoreView(ctx, inner)
	case Repeatable:
		err = s.StoreInTx(ctx, pool.Deferred, inner, pool.Repeatable())
	case Deferred:
		err = s.StoreInTx(ctx, pool.Deferred, inner)
	case Exclusive:
		err = s.StoreInTx(ctx, pool.Exclusive, inner)
	case SQL:
		err = standard(ctx, s.DB(), fn)
	default:
		err = s.StoreInTx(ctx, pool.Immediate, inner)
	}
	if err == nil && ss.done != nil {
		ss.done()
	}
	return err
}

func standard(ctx context.Context, db *sql.DB, fn body) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if err = fn(ctx, tx); err == nil {
		err = tx.Commit()
	}
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil { // database/sql has rolled it back
		return ctx.Err()
	}
	return err
}

func (ss stores) nest(ctx context.Context, rng *rand.Rand, tx dbtx, fn body) error {
	inner := func(ctx context.Context, tx pool.StoreTx) error { return fn(ctx, tx) }
	part, ok := tx.(pool.StoreTx)
	if !ok {
		return errOurs // database/sql has no savepoints
	}
	return part.Savepoint(ctx, inner)
}

// single runs one statement outside of a transaction.
func (w *workload) single(ctx context.Context, rng *rand.Rand, key int) error {
	all := w.ways.(stores)
	s := all.all[rng.IntN(len(all.all))]
	p := program{w: w, rng: rng, txn: w.recorder.begin(Single)}
	var err error
	if rng.IntN(2) == 0 {
		p.tx = s.StoreReader()
		err = p.read(ctx, readOne, key, key)
	} else {
		p.tx = s.StoreWriter()
		err = p.write(ctx, key)
	}
	p.txn.Unknown = errors.Is(err, dqlite.ErrCommitUnknown)
	w.recorder.end(p.txn, err == nil)
	switch {
	case err == nil && all.done != nil:
		all.done()
	case err != nil && !w.expected(Single, err):
		return fmt.Errorf("%s: %w", Single, err)
	}
	return nil
}

// lostLeader reports what a Store says when its leader is gone, or does not come.
func lostLeader(err error) bool {
	for _, is := range []error{pool.ErrTxLost, pool.ErrUnhealthy, pool.ErrAcquireTimeout, dqlite.ErrCommitUnknown, dqlite.ErrNoQuorum} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}
