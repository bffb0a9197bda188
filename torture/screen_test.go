package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/sqlane/sqlane/internal/terminal/screen"
	"github.com/stretchr/testify/require"
)

// asProgram makes the test binary torture itself.
const asProgram = "SQLANE_TEST_TORTURE"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestAnInterruptedRunSaysSoAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := screen.Start(t, fmt.Sprintf("%s -only history -dir %s", os.Args[0], dir), asProgram+"=1")
	s.Wait(`history: \d+ of \d+ \.\.\. \d+s`)
	s.Interrupt()
	code, written := s.End()
	require.Equal(t, 130, code)
	left := screen.Left(t, written)
	require.NotContains(t, left, " ... ")
	require.Contains(t, left, "\ninterrupted: ")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}
