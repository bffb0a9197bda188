//go:build unix

package pool_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// TestNewFilesAreTheirOwnersWhateverTheUmask: SQLite alone would make them
// readable, and here even writable, by everybody.
func TestNewFilesAreTheirOwnersWhateverTheUmask(t *testing.T) {
	old := syscall.Umask(0) // the process's; no test runs beside this one
	defer syscall.Umask(old)
	for _, mode := range []string{"wal", "delete", "truncate", "persist"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(dir, "app.db"), JournalMode: pool.JournalMode(mode)})
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
				require.NoError(t, do(ctx, tx, "CREATE TABLE t (a)"))
				requireOwners(t, dir, map[bool]int{true: 3, false: 2}[mode == "wal"])
				return nil
			}))
			require.NoError(t, p.Backup(t.Context(), filepath.Join(dir, "copy.db")))
			requireOwners(t, dir, 2)
		})
	}
}

// requireOwners sees that at least so many files are here, and nobody else's.
func requireOwners(t *testing.T, dir string, least int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(entries), least)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode(), e.Name())
	}
}
