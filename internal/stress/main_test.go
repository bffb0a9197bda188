package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheExitCodeTellsWrongUsageFromHelp(t *testing.T) {
	for _, help := range []string{"-h", "-help", "--help"} {
		var out strings.Builder
		require.Zero(t, start(t.Context(), []string{help}, &out, io.Discard))
		require.Contains(t, out.String(), "Usage: stress")
	}
	for _, wrong := range [][]string{{"-nonsense"}, {"more"}, {"-for", "0"}, {"-for", "-1s"}, {"-for", "ten"}, {"-for", "10"}, {"-goroutines", "0"}} {
		var err strings.Builder
		require.Equal(t, 2, start(t.Context(), wrong, io.Discard, &err), wrong)
		require.Regexp(t, `^stress: [^\n]*; stress -help tells more\n$`, err.String())
	}
}

func TestWhereItCannotWorkItNamesTheDirectory(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere/at/all")
	var err strings.Builder
	require.Equal(t, 1, start(t.Context(), nil, io.Discard, &err))
	require.Regexp(t, `^stress: [^\n]*/nowhere/at/all[^\n]*\$TMPDIR[^\n]*\n$`, err.String())
}

func TestAnInterruptedRunSaysSoAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out strings.Builder
	require.Equal(t, 130, start(ctx, nil, &out, io.Discard))
	require.Contains(t, out.String(), "interrupted")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
