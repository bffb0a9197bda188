package cluster_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/cluster"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestNothingIsLeftOfANode that has ended or has not started: no goroutine, no file, no
// lock, no port. It runs by itself.
func TestNothingIsLeftOfANode(t *testing.T) {
	at := addresses(t, 2)
	whole := config(t, at[0])
	require.NoError(t, open(t, whole).Close()) // the library's own threads stay, and their files
	leaks := goleak.IgnoreCurrent()
	files := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(all)
	}
	before := files()

	inUse := open(t, whole)
	_, err := cluster.Open(t.Context(), whole)
	require.Error(t, err)
	other := config(t, at[0])
	_, err = cluster.Open(t.Context(), other)
	require.Error(t, err)
	require.NoError(t, inUse.Close())

	lonely := config(t, at[0], at[1])
	lonely.StartTimeout = 300 * time.Millisecond
	_, err = cluster.Open(t.Context(), lonely)
	require.Error(t, err)
	unsound := config(t, at[0])
	unsound.MaxConns = 1
	_, err = cluster.Open(t.Context(), unsound)
	require.Error(t, err)
	require.NoError(t, open(t, other).Close())

	eventually(t, "as many files as before", func(context.Context) bool { return files() <= before })
	goleak.VerifyNone(t, leaks)
}

func TestALogThatIsDamagedIsTold(t *testing.T) {
	t.Parallel()
	cfg := config(t, addresses(t, 1)[0])
	require.NoError(t, open(t, cfg).Close())
	for _, name := range []string{"metadata1", "metadata2"} {
		if _, err := os.Stat(filepath.Join(cfg.Dir, name)); err == nil {
			require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, name), make([]byte, 32), 0o600))
		}
	}
	_, err := cluster.Open(t.Context(), cfg)
	require.ErrorContains(t, err, cfg.Dir)
	require.ErrorContains(t, err, "dqlite does not start")
	cfg.Dir = filepath.Join(t.TempDir(), "another")
	open(t, cfg)
}

func TestWhatIsNilIsRefused(t *testing.T) {
	t.Parallel()
	var nobody context.Context
	_, err := cluster.Open(nobody, config(t, addresses(t, 1)[0]))
	require.ErrorIs(t, err, fs.ErrInvalid)
	c := open(t, config(t, addresses(t, 1)[0]))
	require.ErrorIs(t, c.Handover(nobody), fs.ErrInvalid)
	require.ErrorIs(t, c.Remove(nobody, 2), fs.ErrInvalid)
	require.ErrorIs(t, c.Leave(nobody), fs.ErrInvalid)
	require.ErrorIs(t, c.Shutdown(nobody), fs.ErrInvalid)
	require.NoError(t, c.HealthCheck(t.Context()))
}
