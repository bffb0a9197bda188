package faults_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/torture/powerfs"
	"github.com/stretchr/testify/require"
)

// Where a commit fails after the journal has gone it has happened all the same.
// Run again, its members' work would be there twice.
func TestABatchWhoseCommitMayHaveHappenedIsNotRunAgain(t *testing.T) {
	for _, c := range []struct {
		journal string
		op      powerfs.Op
		suffix  string
	}{
		{"delete", powerfs.SyncDir, ""},
		{"truncate", powerfs.Sync, "-journal"},
		{"persist", powerfs.Sync, "-journal"},
		{"wal", powerfs.Sync, "-wal"},
	} {
		t.Run(c.journal, func(t *testing.T) {
			disk, err := powerfs.StartServer(t.TempDir())
			if errors.Is(err, powerfs.ErrNoMount) {
				t.Skip(err)
			}
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, disk.Close()) })
			ctx := t.Context()
			p, err := pool.Open(ctx, pool.Config{Path: filepath.Join(disk.Dir, "app.db"), JournalMode: pool.JournalMode(c.journal), HealthCheckInterval: -1, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			require.NoError(t, p.Batch(ctx, func(ctx context.Context, tx *pool.Tx) error {
				_, err := tx.ExecContext(ctx, "CREATE TABLE done (member INTEGER)")
				return err
			}))
			const members = 3
			for after := range 5 { // at each of the syncs of a commit
				gate, err := p.Begin(ctx, pool.Immediate)
				require.NoError(t, err)
				var errs [members]error
				var wg sync.WaitGroup
				for i := range members {
					wg.Go(func() {
						errs[i] = p.Batch(ctx, func(ctx context.Context, tx *pool.Tx) error {
							_, err := tx.ExecContext(ctx, "INSERT INTO done VALUES (?)", after*members+i)
							return err
						})
					})
					require.Eventually(t, func() bool { return p.Stats().WriteQueue == i+1 }, time.Minute, time.Millisecond)
				}
				require.NoError(t, disk.SetFaults(&powerfs.Fault{Op: c.op, Suffix: c.suffix, After: after, Times: 1, Errno: syscall.EIO}))
				require.NoError(t, gate.Rollback(ctx))
				wg.Wait()
				require.NoError(t, disk.SetFaults())
				for i := range members {
					var n int
					require.NoError(t, p.DB().QueryRowContext(ctx, "SELECT count(*) FROM done WHERE member = ?", after*members+i).Scan(&n))
					require.LessOrEqual(t, n, 1, "it was run twice")
					if errs[i] == nil {
						require.Equal(t, 1, n, "what is acknowledged is there")
					}
				}
			}
		})
	}
}
