package repo_test

import (
	"context"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// The hot paths are held to what they allocate, which does not depend on the
// machine. A bound that is exceeded is a regression to be understood, not a
// number to be raised; one that is undercut may be lowered.

var aLog = gen.AppendLogParams{Timestamp: column.At(time.Unix(1_700_000_000, 0)), Operation: column.Indexed, Path: "/d"}

func TestALeaseIsOneAllocation(t *testing.T) {
	p, _ := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		l, err := p.Acquire(ctx)
		if err != nil {
			panic(err)
		}
		l.Release()
	}), 1.0, "the Lease: it cannot be reused, since whoever kept it past Release must get ErrReleased")
}

func TestATypedPointReadAllocatesItsRowAndLittleElse(t *testing.T) {
	_, r := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir, err := r.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: "/d"})
	require.NoError(t, err)
	_, err = r.UpsertFile(ctx, account(dir.ID, 1, 1000))
	require.NoError(t, err)
	path := account(dir.ID, 1, 1000).Path
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if _, err := r.GetFileByPath(ctx, path); err != nil {
			panic(err)
		}
	}), 23.0,
		"13 are the values of the row and their way through any, 6 database/sql's Rows and Row, 2 the argument's, and one each the lease, the call and the rows; SQLite's side allocates nothing")
}

func TestAWriteAloneAllocatesATransactionAndLittleElse(t *testing.T) {
	_, r := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if _, err := r.AppendLog(ctx, aLog); err != nil {
			panic(err)
		}
	}), 35.0,
		"23 are the statement, its arguments and its row; the rest is the lease, the transaction and its two calls, the batch, the member, and what os.Stat says of the file; the race detector adds two")
}

// TestAMemberOfABatchAllocatesLittleMoreThanItsStatement counts over many members
// that wait for each other, with all that the goroutines need.
func TestAMemberOfABatchAllocatesLittleMoreThanItsStatement(t *testing.T) {
	p, r := open(t, pool.Config{})
	const members = 200
	round := func() {
		gate, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range members {
			wg.Go(func() {
				if _, err := r.AppendLog(t.Context(), aLog); err != nil {
					panic(err)
				}
			})
		}
		for p.Stats().WriteQueue < members {
			runtime.Gosched()
		}
		require.NoError(t, gate.Rollback(t.Context()))
		wg.Wait()
	}
	fewest := math.Inf(1) // what else goes on in the process can only add to it
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		round()
		runtime.ReadMemStats(&after)
		fewest = min(fewest, float64(after.Mallocs-before.Mallocs)/members)
	}
	require.LessOrEqual(t, fewest, 33.0,
		"23 are the statement, its arguments and its row; a member has its place in the queue, and a call; a goroutine may need a stack")
}
