//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASignalEndsWhatRunsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		dir, temp := planned(t, simple), t.TempDir()
		pipe := filepath.Join(t.TempDir(), "pipe")
		require.NoError(t, syscall.Mkfifo(pipe, 0o600))
		script := put(t, "#!/bin/sh\necho started > '"+pipe+"'\nexec sleep 1000\n", t.TempDir(), "sqlc")
		require.NoError(t, os.Chmod(script, 0o755))
		cmd := exec.CommandContext(t.Context(), os.Args[0], "check", dir, "-sqlc", script)
		cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+temp)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		require.NoError(t, cmd.Start())
		text, err := os.ReadFile(pipe) // sqlc runs now
		require.NoError(t, err)
		require.Equal(t, "started\n", string(text))
		require.NoError(t, cmd.Process.Signal(signal))
		require.Error(t, cmd.Wait())
		require.Equal(t, interrupted, cmd.ProcessState.ExitCode(), stderr.String())
		require.Equal(t, "sqlane: interrupted\n", stderr.String())
		require.Empty(t, stdout.String())
		require.Empty(t, tree(t, temp))
	}
}
