//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// withSmallDisk makes the test binary repogen itself, where no file may grow.
// It is a process of its own, since the test's writes files too.
const withSmallDisk = "SQLANE_TEST_SMALL_DISK"

// asProgram makes the test binary repogen itself.
const asProgram = "SQLANE_TEST_REPOGEN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	if os.Getenv(withSmallDisk) != "" {
		os.Exit(onSmallDisk())
	}
	debug.SetGCPercent(400) // a fifth of the time goes to collecting garbage
	goleak.VerifyTestMain(m)
}

// onSmallDisk lifts the limit in the end, since what measures coverage writes
// files too.
func onSmallDisk() (code int) {
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		panic(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: was.Max}); err != nil {
		panic(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			panic(err)
		}
	}()
	return run(os.Args[1:], os.Stdout, os.Stderr, goList)
}

func TestADiskThatIsFullIsOneClearLineAndTheOldOutputStays(t *testing.T) {
	dir := package1(t, querier("Get(ctx context.Context) error", "-- name: Get :exec\nSELECT 1"))
	out := filepath.Join(t.TempDir(), "repo.go")
	require.NoError(t, os.WriteFile(out, []byte("old"), 0o644))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-gen", dir, "-out", out, "-import", "example.org/gen", "-package", "store")
	cmd.Env = append(os.Environ(), withSmallDisk+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode())
	require.Empty(t, stdout)
	require.Regexp(t, `^repogen: write [^\n]+: file too large\n$`, stderr.String())
	old, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, "old", string(old))
	requireAlone(t, out)
}
