package pool_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// lockWait is how long all operations waited for locks of other processes.
func (r *recorder) lockWait() (waited time.Duration) {
	for _, o := range r.all() {
		for _, end := range o.ends {
			waited += end.Lock
		}
	}
	return waited
}

// TestWithoutABusyTimeoutOnlyAReaderOfTheLogIsWaitedFor: in WAL mode a lock may be that of
// one of the pool's own readers, for a moment. Elsewhere it is another process's.
func TestWithoutABusyTimeoutOnlyAReaderOfTheLogIsWaitedFor(t *testing.T) {
	for _, mode := range []pool.JournalMode{pool.JournalWAL, pool.JournalDelete} {
		path := filepath.Join(t.TempDir(), "app.db")
		p, r := traced(t, pool.Config{Path: path, JournalMode: mode, BusyTimeout: -1})
		o := startOther(t, path)
		o.do("BEGIN IMMEDIATE")
		require.ErrorIs(t, p.InTx(t.Context(), pool.Immediate, doing("SELECT 1")), pool.ErrBusy)
		require.Equal(t, mode == pool.JournalWAL, r.lockWait() > 0, mode)
		o.do("ROLLBACK")
		requireAtRest(t, p)
	}
}

func TestAFileThatAnotherProcessHasLockedIsWaitedForWithinATransactionToo(t *testing.T) {
	path := beside(t, "delete")
	p, r := traced(t, pool.Config{BusyTimeout: 30 * time.Millisecond})
	o := startOther(t, path)
	o.do("BEGIN EXCLUSIVE")
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		require.ErrorIs(t, do(ctx, tx, "ATTACH ? AS other", path), pool.ErrBusy)
		require.Positive(t, r.lockWait())
		o.do("COMMIT")
		return do(ctx, tx, "ATTACH ? AS other", path)
	}))
	requireAtRest(t, p)
}
