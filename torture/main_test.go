package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheExitCodeTellsWrongUsageFromHelp(t *testing.T) {
	for _, help := range []string{"-h", "-help", "--help"} {
		var out bytes.Buffer
		require.Zero(t, run(t.Context(), []string{help}, &out, io.Discard))
		require.Contains(t, out.String(), "Usage: torture")
	}
	for _, wrong := range [][]string{{"-nonsense"}, {"more"}, {"-seed", "x"}, {"-only", "nothing"}, {"-only", "crash,nothing"}} {
		var err bytes.Buffer
		require.Equal(t, 2, run(t.Context(), wrong, io.Discard, &err), wrong)
		require.Regexp(t, `^torture: [^\n]*; torture -help tells more\n$`, err.String())
	}
	var err bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"-dir", "/nowhere/at/all"}, io.Discard, &err))
	require.Regexp(t, `^torture: [^\n]*/nowhere/at/all[^\n]* -dir [^\n]*\n$`, err.String())
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func TestAnInterruptedRunInAPipeSaysSoAndShowsNothing(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, err bytes.Buffer
	require.Equal(t, 130, run(ctx, []string{"-short", "-only", "history", "-dir", t.TempDir()}, &out, &err))
	require.Contains(t, out.String(), "\ninterrupted: ")
	require.Empty(t, err.String())
}

func TestATableThatCannotBePrintedIsAFailure(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	broken := writer(func([]byte) (int, error) { return 0, errors.New("a broken pipe") })
	dir := t.TempDir()
	var said bytes.Buffer
	require.Equal(t, 1, run(ctx, []string{"-dir", dir}, broken, &said))
	require.Contains(t, said.String(), "a broken pipe")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
