//go:build !race

package repo_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/repo"
	"github.com/stretchr/testify/require"
)

// The hot paths are held to what they allocate, which does not depend on the
// machine. A bound that is exceeded is a regression to be understood, not a
// number to be raised; one that is undercut may be lowered. The race detector
// allocates too: make test runs these once more without it.

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
	}), 2.0, "its texts are one, and its size is another")
}

func TestAListAllocatesWhatItsRowsHoldAndLittleElse(t *testing.T) {
	_, r := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir, err := r.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: "/d"})
	require.NoError(t, err)
	const rows = 1000
	require.NoError(t, r.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
		for i := range rows {
			if _, err := tx.UpsertFile(ctx, account(dir.ID, i, int64(1000+i))); err != nil {
				return err
			}
		}
		return nil
	}))
	require.LessOrEqual(t, testing.AllocsPerRun(10, func() {
		if files, err := r.LargestFiles(ctx, rows); err != nil || len(files) != rows {
			panic(err)
		}
	})/rows, 1.2, "a row's texts are one, and its size is one of many")
	require.LessOrEqual(t, testing.AllocsPerRun(10, func() {
		for _, err := range r.LargestFilesSeq(ctx, rows) {
			if err != nil {
				panic(err)
			}
		}
	})/rows, 1.2, "the same, a row at a time")
}

func TestAWriteAloneAllocatesATransactionAndLittleElse(t *testing.T) {
	_, r := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if _, err := r.AppendLog(ctx, aLog); err != nil {
			panic(err)
		}
	}), 6.0,
		"2 are the argument's way through a Valuer and the row's texts; the rest is the statement, its turn on the write lane, and what os.Stat says of the file")
}

// TestAMemberOfABatchAllocatesLittleMoreThanItsStatement counts over many members
// that wait for each other. Their goroutines are there before, and take turns on
// one processor, as AllocsPerRun has it.
func TestAMemberOfABatchAllocatesLittleMoreThanItsStatement(t *testing.T) {
	p, r := open(t, pool.Config{})
	const members = 200
	begin, ended := make(chan struct{}), make(chan error)
	defer close(begin)
	for range members {
		go func() {
			for range begin {
				_, err := r.AppendLog(t.Context(), aLog)
				ended <- err
			}
		}()
	}
	all := testing.AllocsPerRun(5, func() {
		gate, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		for range members {
			begin <- struct{}{}
		}
		for p.Stats().WriteQueue < members {
			runtime.Gosched()
		}
		require.NoError(t, gate.Rollback(t.Context()))
		for range members {
			require.NoError(t, <-ended)
		}
	})
	require.LessOrEqual(t, all/members, 3.5,
		"2 are the argument's way through a Valuer and the row's texts; a member has its statement and its place in the queue")
}
