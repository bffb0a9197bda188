package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/trio"
	"github.com/stretchr/testify/require"
)

// The tests' own binary is the program in processes that have this set.
const asProgram = "SQLANE_NODE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Setenv(asProgram, "1")
	os.Exit(m.Run())
}

const long = 3 * time.Minute

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), long)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T) *trio.Trio {
	t.Helper()
	c, err := trio.Start(within(t), trio.Options{Binary: os.Args[0], Dir: t.TempDir(), StartTimeout: long})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.NoError(t, c.Voters(within(t), 3))
	return c
}

func TestALeaderThatIsKilledIsReplacedAndComesBack(t *testing.T) {
	t.Parallel()
	c := start(t)
	first, err := c.Leader(within(t))
	require.NoError(t, err)
	c.Kill(first)
	second, err := c.Leader(within(t))
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	require.NoError(t, c.Restart(within(t), first))

	// One that is paused is no better than one that is dead.
	require.NoError(t, c.Stop(second))
	third, err := c.Leader(within(t))
	require.NoError(t, err)
	require.NotEqual(t, second, third)
	require.NoError(t, c.Continue(second))

	// And one that is told to end is none that is missed.
	require.NoError(t, c.End(third), c.Log(third))
	_, err = c.Leader(within(t))
	require.NoError(t, err)
}

func TestANodeWhoseFolderIsWipedJoinsAnew(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.Kill(0)
	require.NoError(t, c.Wipe(0))
	require.NoError(t, c.Restart(within(t), 0))
	require.NoError(t, c.Voters(within(t), 3))
	c.Kill(1)
	_, err := c.Leader(within(t))
	require.NoError(t, err)
}

func TestTheProgramSaysHowItIsUsed(t *testing.T) {
	t.Parallel()
	call := func(args ...string) (code int, out, said string) {
		var stdout, stderr strings.Builder
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Run()
		return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
	}
	code, out, _ := call("-help")
	require.Equal(t, done, code)
	require.Equal(t, usage, out)
	dir := t.TempDir()
	for want, args := range map[string]string{
		"-nonsense":          "-nonsense",
		`"x" is no argument`: "-dir d -address 127.0.0.1:9001 -plaintext x",
		"-dir and -address":  "-plaintext",
		"exclude each other": "-dir d -address 127.0.0.1:9001 -plaintext -tls-ca x",
		"or -plaintext":      "-dir d -address 127.0.0.1:9001 -tls-cert x",
		"no such file":       "-dir d -address 127.0.0.1:9001 -tls-cert x -tls-key x -tls-ca x",
	} {
		code, out, said := call(strings.Fields(args)...)
		require.Equal(t, misused, code, want)
		require.Empty(t, out)
		require.Contains(t, said, want)
		require.Contains(t, said, "Usage:")
	}
	code, _, said := call("-dir", filepath.Join(dir, "n"), "-address", "0.0.0.0:1", "-plaintext")
	require.Equal(t, failed, code)
	require.Contains(t, said, "0.0.0.0:1")
}
