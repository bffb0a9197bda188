//go:build linux

package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/sqlane/sqlane/internal/terminal/screen"
	"github.com/stretchr/testify/require"
)

func TestHowItGetsOnIsShownOnATerminal(t *testing.T) {
	out := t.TempDir()
	s := screen.Start(t, fmt.Sprintf("%s -only '^R1$' -dir %s -out %s", os.Args[0], t.TempDir(), out), asProgram+"=1")
	s.Wait(`1 of 1: R1, [^\n]* \.\.\. \d+s`)
	s.Interrupt()
	code, written := s.End()
	require.Equal(t, 130, code)
	require.Equal(t, "^Cbench: interrupted; no results are written\n", screen.Left(t, written))
	left, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Empty(t, left)
}
