//go:build unix

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSignalsEndWatch(t *testing.T) {
	t.Parallel() // for it waits
	b, root := emptyBench(t), t.TempDir()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-db", b.db, "watch", root)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		stderr := new(bytes.Buffer)
		cmd.Stderr = stderr
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line := make([]byte, 1000)
		n, err := stdout.Read(line)
		require.NoError(t, err)
		require.Contains(t, string(line[:n]), root+": 0 files")
		require.NoError(t, cmd.Process.Signal(signal))
		require.Error(t, cmd.Wait())
		require.Equal(t, interrupted, cmd.ProcessState.ExitCode(), stderr.String())
		require.Contains(t, stderr.String(), "fileindex: interrupted\n")
	}
}

func TestWatchSaysAloneWhatThePoolWouldLogToo(t *testing.T) {
	t.Parallel() // for it waits
	b, root := emptyBench(t), t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-db", b.db, "watch", root)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	out, errs := bufio.NewReader(stdout), bufio.NewReader(stderr)
	_, err = out.ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, os.Rename(b.db, b.db+".away"))
	said, err := errs.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, said, "fileindex: "+b.db+" was moved or replaced; ")
	require.NoError(t, os.Rename(b.db+".away", b.db))
	_, err = out.ReadString('\n') // it is back
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	said, err = errs.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "fileindex: interrupted\n", said)
	require.Error(t, cmd.Wait())
}
