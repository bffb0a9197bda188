//go:build linux

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/terminal/screen"
	"github.com/stretchr/testify/require"
)

// asProgram makes the test binary stress itself.
const asProgram = "SQLANE_TEST_STRESS"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestHowItGetsOnIsShownOnATerminal(t *testing.T) {
	t.Parallel() // for it waits
	s := screen.Start(t, os.Args[0]+" -soak -goroutines 1 -for 1h", asProgram+"=1")
	s.Wait(`wal 8 default: \d+ operations, \d+ connections open, [^\n]*WAL [^\n]* \.\.\. \d+s`)
	s.Interrupt()
	code, written := s.End()
	require.Equal(t, 130, code)
	left := screen.Left(t, written)
	require.NotContains(t, left, "connections open")
	require.Contains(t, left, "\ninterrupted; everything held so far\n")
}

func TestInAPipeThereIsTheReportAlone(t *testing.T) {
	t.Parallel() // for it waits
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-soak", "-goroutines", "1", "-for", "300ms")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, string(out))
	require.Empty(t, stderr.String())
	require.Regexp(t, `^\n *mode `, string(out))
}
