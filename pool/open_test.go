package pool_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestOpeningWaitsForAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	cfg := pool.Config{Path: path, JournalMode: "delete", BusyTimeout: time.Hour}
	p := open(t, cfg)
	require.NoError(t, p.Close())
	o := startOther(t, path)
	o.do("BEGIN EXCLUSIVE")

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := pool.Open(ctx, cfg)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, path)

	opened := make(chan error, 1)
	go func() {
		p, err := pool.Open(t.Context(), cfg)
		if err == nil {
			err = p.Close()
		}
		opened <- err
	}()
	o.do("COMMIT")
	require.NoError(t, <-opened)
}

func TestOpeningGivesUpOnAnotherProcessInTheEnd(t *testing.T) {
	besideOthers(t) // for it waits
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: "delete"})
	require.NoError(t, p.Close())
	o := startOther(t, path)
	o.do("BEGIN EXCLUSIVE")
	_, err := pool.Open(t.Context(), pool.Config{Path: path, JournalMode: "delete", BusyTimeout: -1}) // a second all the same
	require.ErrorIs(t, err, pool.ErrBusy)
	o.do("COMMIT")
}

func TestRollbackAfterCloseSaysSo(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		tx, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		require.NoError(t, do(t.Context(), tx, "UPDATE n SET v = 1"))
		require.NoError(t, p.Close())
		require.ErrorIs(t, tx.Rollback(t.Context()), pool.ErrClosed)
		require.ErrorIs(t, tx.Commit(t.Context()), pool.ErrClosed)
	})
}

func TestAttemptsToOpenWhatIsBusyAreSpaced(t *testing.T) {
	besideOthers(t) // for it waits
	attempts := 0
	_, err := pool.Open(t.Context(), pool.Config{Path: pool.Memory, BusyTimeout: -1, OnConnect: func(context.Context, *pool.Lease) error {
		attempts++
		return pool.ErrBusy
	}})
	require.ErrorIs(t, err, pool.ErrBusy)
	// A second's worth, at 1, 2, 4, 8, 16 and from then on 25 ms: no timer is early.
	require.Greater(t, attempts, 1)
	require.Less(t, attempts, 50)
}
