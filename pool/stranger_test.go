//go:build unix

package pool_test

import (
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// strangers makes the test binary the process of somebody who may only read what
// is in the directory that it names.
const strangers = "SQLANE_TEST_STRANGER"

// asStranger has the test's own database made, then runs read in a process which
// may read it and write neither it nor anything beside it. Permissions do not
// bind root, so root's stranger is another user.
func asStranger(t *testing.T, prepare, read func(t *testing.T, path string)) {
	t.Helper()
	if dir := os.Getenv(strangers); dir != "" {
		read(t, filepath.Join(dir, "app.db"))
		return
	}
	dir, err := os.MkdirTemp("", "sqlane-stranger-") // t.TempDir is closed to others
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	data := filepath.Join(dir, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	prepare(t, filepath.Join(data, "app.db"))
	for _, name := range names(t, data) {
		require.NoError(t, os.Chmod(filepath.Join(data, name), 0o444))
	}
	require.NoError(t, os.Chmod(data, 0o555))
	t.Cleanup(func() { require.NoError(t, os.Chmod(data, 0o755)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	program := filepath.Join(dir, "program")
	copyProgram(t, program)

	own := filepath.Join(dir, "own")
	require.NoError(t, os.Mkdir(own, 0o700))
	cmd := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir = own
	cmd.Env = append(os.Environ(), strangers+"="+data, "TMPDIR="+own, "GOCOVERDIR="+own)
	if os.Getuid() == 0 {
		const nobody = 65534
		require.NoError(t, os.Chown(own, nobody, nobody))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: "+t.Name())
}

// copyProgram keeps other tests from forking meanwhile: until their child is another
// program it has the copy open too, and a file that is being written cannot be run.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	from, err := os.Executable()
	require.NoError(t, err)
	in, err := os.Open(from)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	require.NoError(t, err)
	_, err = io.Copy(out, in)
	require.NoError(t, err)
	require.NoError(t, out.Chmod(0o755))
	require.NoError(t, out.Close())
}

// closedDatabase is one that its owner has closed, in WAL mode.
func closedDatabase(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, open(t, pool.Config{Path: path}).Close())
}

// killedDatabase is one whose owner was killed: with a log, and no -shm.
func killedDatabase(t *testing.T, path string) {
	t.Helper()
	old := filepath.Join(t.TempDir(), "old.db")
	p := open(t, pool.Config{Path: old})
	for _, suffix := range []string{"", "-wal"} {
		text, err := os.ReadFile(old + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path+suffix, text, 0o600))
	}
	require.NoError(t, p.Close())
}

func requireReadable(t *testing.T, p *pool.Pool, err error) {
	t.Helper()
	require.NoError(t, err)
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
	require.ErrorIs(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")), pool.ErrReadOnly)
	require.NoError(t, p.HealthCheck(t.Context()))
	p.Reset()
	waitFor(t, "its connection is replaced", func() bool { return p.Stats().Reset > 0 })
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
	require.NoError(t, p.Close())
}

func TestAStrangerLearnsWhatIsMissingAndOfImmutable(t *testing.T) {
	asStranger(t, closedDatabase, func(t *testing.T, path string) {
		for _, cfg := range []pool.Config{{Path: path, ReadOnly: true}, {Path: path}} {
			_, err := pool.Open(t.Context(), cfg)
			require.ErrorIs(t, err, fs.ErrPermission)
			require.ErrorContains(t, err, path+"-shm")
			require.ErrorContains(t, err, "Config.Immutable")
			require.NotErrorIs(t, err, pool.ErrReadOnly, "nobody wanted to write")
			code, ok := pool.Code(err)
			require.True(t, ok)
			require.Contains(t, []int{14, 1544}, code)
		}
		p, err := pool.Open(t.Context(), pool.Config{Path: path, Immutable: true})
		requireReadable(t, p, err)
	})
}

func TestOnAReadOnlyMediumAReaderNeedsNoLog(t *testing.T) {
	asStranger(t, closedDatabase, func(t *testing.T, path string) {
		p, err := pool.OpenOnReadOnlyMedium(t.Context(), pool.Config{Path: path, ReadOnly: true})
		requireReadable(t, p, err)
		_, err = pool.OpenOnReadOnlyMedium(t.Context(), pool.Config{Path: path})
		require.ErrorContains(t, err, "Config.ReadOnly", "a writer does not become a reader by itself")
	})
}

func TestALogThatCannotBeReadIsNotPassedOver(t *testing.T) {
	asStranger(t, killedDatabase, func(t *testing.T, path string) {
		for _, open := range []func(context.Context, pool.Config) (*pool.Pool, error){pool.Open, pool.OpenOnReadOnlyMedium} {
			for _, cfg := range []pool.Config{{Path: path}, {Path: path, ReadOnly: true}, {Path: path, Immutable: true}} {
				_, err := open(t.Context(), cfg)
				require.ErrorContains(t, err, path+"-wal")
			}
		}
	})
}

func TestAStrangerReadsADatabaseInRollbackMode(t *testing.T) {
	asStranger(t, func(t *testing.T, path string) {
		require.NoError(t, open(t, pool.Config{Path: path, JournalMode: "delete"}).Close())
	}, func(t *testing.T, path string) {
		p, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true})
		requireReadable(t, p, err)
		_, err = pool.Open(t.Context(), pool.Config{Path: path})
		require.ErrorContains(t, err, "Config.ReadOnly")
	})
}
