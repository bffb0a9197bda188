package pool_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatConcernsTheWholePoolIsNotSetByAStatement(t *testing.T) {
	p := open(t, pool.Config{})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	for pragma, field := range map[string]string{"journal_mode = delete": "JournalMode", "locking_mode = exclusive": "MaxConns"} {
		err := do(t.Context(), l, "PRAGMA "+pragma)
		require.ErrorIs(t, err, pool.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	require.NoError(t, do(t.Context(), l, "UPDATE n SET v = 1"))
}

func TestAFileOverwrittenWithRubbishIsUnhealthyUntilItIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: "delete", MaxConns: 3, MinConns: 3, HealthCheckInterval: 10 * time.Millisecond})
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	saved := filepath.Join(t.TempDir(), "saved")
	require.NoError(t, os.WriteFile(saved, whole, 0o600))
	// By another process: this one would drop SQLite's locks.
	overwrite := func(from string) {
		out, err := exec.CommandContext(t.Context(), "dd", "if="+from, "of="+path, "conv=notrunc", "bs=4096", "count=1").CombinedOutput()
		require.NoError(t, err, string(out))
	}
	overwrite("/dev/urandom")
	err = p.HealthCheck(t.Context())
	require.ErrorIs(t, err, pool.ErrUnhealthy)
	require.True(t, pool.IsCorrupt(err), "%v", err)
	waitFor(t, "the regular check sees it too", func() bool { return p.Stats().HealthFailures > 1 && p.Stats().Broken > 1 })
	require.Error(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")))
	overwrite(saved)
	require.NoError(t, p.HealthCheck(t.Context()))
	require.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")))
	requireAtRest(t, p)
}

func TestWritersThatDoNotLookLikeOnesGetTheirTurnToo(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 20, MinConns: 20, BusyTimeout: -1}, func(t *testing.T, p *pool.Pool) {
		var wg sync.WaitGroup
		for g := range 19 {
			wg.Go(func() {
				for i := range 20 {
					assert.NoError(t, ways[0].run(t.Context(), p, fmt.Sprintf("WITH x(v) AS (SELECT %d) INSERT INTO heap SELECT v + %d FROM x", g, i)))
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 19*20, get(t, p, "SELECT count(*) FROM heap"))
		requireAtRest(t, p)
	})
}

func TestAReadThatWouldWaitForItsOwnWriterIsADeadlock(t *testing.T) {
	p := open(t, pool.Config{Path: pool.Memory})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
		_, err := number(ctx, l, "SELECT v FROM n")
		assert.ErrorIs(t, err, pool.ErrDeadlock)
		return nil
	}))
	l.Release()
	requireAtRest(t, p)
}

func TestCloseEndsAWaitForAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, BusyTimeout: time.Hour})
	o := startOther(t, path)
	o.do("BEGIN IMMEDIATE")
	var wg sync.WaitGroup
	wg.Go(func() { assert.ErrorIs(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")), pool.ErrClosed) })
	waitFor(t, "it has the lane", func() bool { return p.Stats().InUse == 1 })
	require.NoError(t, p.Close())
	wg.Wait()
	o.do("COMMIT")
}

func TestAScriptEndsWithItsContextBetweenStatements(t *testing.T) {
	p := open(t, pool.Config{})
	for _, text := range []string{"SELECT signal('%s'); UPDATE n SET v = 9", "SELECT signal('%s'); UPDATE n SET v = 9; SELECT 1"} {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		_, err = l.QueryContext(ctx, fmt.Sprintf(text, onSignal(t, cancel)))
		require.ErrorIs(t, err, context.Canceled)
		_, err = l.QueryContext(ctx, "SELECT 1")
		require.ErrorIs(t, err, context.Canceled)
		l.Release()
	}
	require.Zero(t, get(t, p, "SELECT v FROM n"))
}

func TestAScriptWaitsForTheWriteLaneNoLongerThanItMay(t *testing.T) {
	p := open(t, pool.Config{AcquireTimeout: 10 * time.Millisecond})
	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	_, err = l.QueryContext(t.Context(), "SELECT 1; SELECT 2")
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.ErrorIs(t, do(t.Context(), l, "SELECT 1; SELECT 2"), pool.ErrAcquireTimeout)
	l.Release()
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestARegistryRefusesWhatAPoolRefuses(t *testing.T) {
	var r pool.Registry
	_, err := r.Open(t.Context(), pool.Config{})
	require.ErrorIs(t, err, pool.ErrConfig)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opening := make(chan struct{})
	var once sync.Once
	name := onSignal(t, func() { once.Do(func() { close(opening) }) })
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: "delete"})
	require.NoError(t, p.Close())
	o := startOther(t, path)
	o.do("BEGIN EXCLUSIVE")
	var wg sync.WaitGroup
	wg.Go(func() {
		signalNow(name)
		_, err := r.Open(ctx, pool.Config{Path: path, JournalMode: "delete", BusyTimeout: time.Hour})
		assert.ErrorIs(t, err, context.Canceled)
	})
	<-opening
	over, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, err := r.Open(over, pool.Config{Path: path, JournalMode: "delete"}); assert.Error(t, err) {
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	}
	cancel()
	wg.Wait()
	o.do("COMMIT")
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestADeferredForeignKeyFoundByTheBatchReadsLikeSQLites(t *testing.T) {
	p := open(t, pool.Config{})
	err := p.Batch(t.Context(), doing("INSERT INTO child VALUES (1, 99)"))
	require.ErrorContains(t, err, "FOREIGN KEY constraint failed")
}

func TestRowsOfNoStatementThatNobodyClosedHoldNothingUp(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	rows, err := l.QueryContext(t.Context(), "-- nothing")
	require.NoError(t, err)
	l.Release()
	require.NoError(t, p.Close()) // waited for the rows
	require.NoError(t, rows.Close())
}
