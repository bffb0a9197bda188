//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestStrangeNamesAndThingsAreNeverFatal(t *testing.T) {
	b, root := newBench(t), t.TempDir()
	for _, name := range []string{"bad\xffname.txt", `literal\xffname.txt`, "new\nline", "100%_sure", "\x1b[31mred", "UPPER.GO", ".hidden", "no extension."} {
		put(t, filepath.Join(root, name), 2)
	}
	require.NoError(t, os.Symlink(".", filepath.Join(root, "loop")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(root, "dangling")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(root, "pipe"), 0o644))
	require.NoError(t, os.Chtimes(filepath.Join(root, ".hidden"), time.Time{}, time.Unix(1<<34, 0)))
	deep := root
	for len(deep) < 4000-250 {
		deep = filepath.Join(deep, strings.Repeat("d", 200))
	}
	put(t, filepath.Join(deep, strings.Repeat("f", 4000-len(deep)-1)), 11)

	files, dirs, size, folders := walked(t, root)
	r := b.index(root)
	require.Equal(t, files, r.Files)
	require.Equal(t, dirs, r.Directories)
	require.Equal(t, size, r.Bytes)
	require.EqualValues(t, 2, r.NotUTF8)
	requireFolders(t, b, root, folders)
	rows := b.rows(root)
	for path := range rows {
		_, err := os.Lstat(decode(path))
		require.NoError(t, err, "every row leads back to its file")
	}
	require.Equal(t, r.Files+r.Directories, b.index(root).Unchanged)
	require.Contains(t, b.ok("search", "red"), `\x1b[31mred`, "no name commands the terminal")
	require.Contains(t, b.ok("search", "%_"), "100%_sure")
	require.NotContains(t, b.ok("search", "%_"), "UPPER")
	require.Contains(t, b.ok("search", "upper"), "UPPER.GO")
}

// program runs the test binary as fileindex, as somebody whom permissions stop.
func program(b bench, args ...string) *exec.Cmd {
	copied, err := publicBinary()
	require.NoError(b.t, err)
	cmd := exec.CommandContext(b.t.Context(), copied, append([]string{"-db", b.db}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "GOCOVERDIR="+publicDir(b.t)) // the other user may not write where this test does
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return cmd
}

// publicDir is a directory that the program of another user can work in.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fileindex")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o777))
	return dir
}

func TestAnUnreadableDirectoryKeepsWhatIsKnownOfIt(t *testing.T) {
	home, root := publicDir(t), publicDir(t)
	b := bench{t, filepath.Join(home, "index.db")}
	secret := filepath.Join(root, "secret")
	put(t, filepath.Join(secret, "x"), 4)
	out, err := program(b, "-json", "index", root).CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, os.Chmod(secret, 0))
	out, err = program(b, "index", root).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "permission denied")
	require.Contains(t, string(out), "1 could not be read; what was known of them is kept")
	require.Contains(t, b.rows(root), filepath.Join(secret, "x"))
	require.NoError(t, os.Chmod(secret, 0o755))
	out, err = program(b, "index", root).CombinedOutput()
	require.NoError(t, err, string(out))
	require.NotContains(t, string(out), "could not be read")
}

func TestAnInterruptEndsTheRunAndTheLogSaysSo(t *testing.T) {
	home := publicDir(t)
	b := bench{t, filepath.Join(home, "index.db")}
	out, err := program(b, "index", publicDir(t)).CombinedOutput() // makes the database its user's
	require.NoError(t, err, string(out))
	cmd := program(b, "index", filepath.Join(goRoot(b.t), "src"))
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// It is in the midst of it as soon as another process sees entries.
	watch, err := pool.Open(t.Context(), pool.Config{Path: b.db, MaxConns: 2})
	require.NoError(t, err)
	lease, err := watch.Acquire(t.Context())
	require.NoError(t, err)
	for n := 0; n < 10; {
		select {
		case err := <-ended:
			t.Fatalf("it ended by itself: %v: %s", err, stderr)
		default:
		}
		require.NoError(t, lease.QueryRowContext(t.Context(), "SELECT count(*) FROM files").Scan(&n))
	}
	lease.Release()
	require.NoError(t, watch.Close())
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Error(t, <-ended)
	require.Equal(t, interrupted, cmd.ProcessState.ExitCode(), stderr.String())
	require.Contains(t, stderr.String(), "interrupted; what was indexed so far is kept")

	var log []struct{ Operation string }
	require.NoError(t, json.Unmarshal([]byte(b.ok("-json", "log")), &log))
	require.Equal(t, "cancelled", log[0].Operation)
	require.NotEmpty(t, b.ok("list", filepath.Join(goRoot(b.t), "src")))
	require.Equal(t, int64(0), b.index(filepath.Join(goRoot(b.t), "src", "net")).Removed)
}

func TestADatabaseThatCannotBeWrittenIsOneClearLine(t *testing.T) {
	home, root := publicDir(t), publicDir(t)
	b := bench{t, filepath.Join(home, "index.db")}
	put(t, filepath.Join(root, "x"), 1)
	b.index(root)
	require.NoError(t, os.Chmod(b.db, 0o444))
	put(t, filepath.Join(root, "y"), 1)
	out, err := program(b, "index", root).CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, `^fileindex: [^\n]+index.db cannot be written; [^\n]+\n$`, string(out))

	require.NoError(t, os.Chmod(b.db, 0))
	out, err = program(b, "summary").CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, `^fileindex: [^\n]+index.db cannot be opened; [^\n]+\n$`, string(out))
	locked := publicDir(t)
	require.NoError(t, os.Chmod(locked, 0o555))
	out, err = program(bench{t, filepath.Join(locked, "index.db")}, "index", root).CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, `^fileindex: [^\n]+index.db cannot be opened; [^\n]+\n$`, string(out))
	out, err = program(bench{t, filepath.Join(locked, "below", "index.db")}, "index", root).CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, `^fileindex: [^\n]+below[^\n]+; name another database with -db\n$`, string(out))

	require.NoError(t, os.WriteFile(filepath.Join(home, "rubbish.db"), []byte(strings.Repeat("no database ", 100)), 0o644))
	code, _, stderr := bench{t, filepath.Join(home, "rubbish.db")}.run("index", root)
	require.Equal(t, failed, code)
	require.Regexp(t, `^fileindex: [^\n]+ is damaged or no database; [^\n]+\n$`, stderr)
}
