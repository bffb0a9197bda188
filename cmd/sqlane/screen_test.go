//go:build linux

package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/sqlane/sqlane/internal/terminal/screen"
	"github.com/stretchr/testify/require"
)

func TestWhatTakesLongIsShownOnATerminal(t *testing.T) {
	t.Parallel()
	script := put(t, "#!/bin/sh\nexec sleep 1000\n", t.TempDir(), "sqlc")
	require.NoError(t, os.Chmod(script, 0o755))
	s := screen.Start(t, fmt.Sprintf("%s check %s -sqlc %s", os.Args[0], planned(t, simple), script), asProgram+"=1")
	s.Wait(`sqlc diff \.\.\. \d+s`)
	s.Interrupt()
	code, written := s.End()
	require.Equal(t, interrupted, code)
	require.Equal(t, "^Csqlane: interrupted\n", screen.Left(t, written))
}
