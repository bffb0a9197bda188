//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sqlane/sqlane/internal/terminal/screen"
	"github.com/stretchr/testify/require"
)

func TestWhatTakesLongIsShownOnATerminal(t *testing.T) {
	// This go takes until it may end.
	bin := t.TempDir()
	pipe := filepath.Join(bin, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\nread line <'"+pipe+"'\nexit 1\n"), 0o755))
	out := filepath.Join(t.TempDir(), "repo.go")
	s := screen.Start(t, fmt.Sprintf("%s -gen testdata/shop/gen -out %s -package store", os.Args[0], out),
		asProgram+"=1", "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	s.Wait(`finding the types of testdata/shop/gen \.\.\. \d+s`)
	require.NoError(t, os.WriteFile(pipe, []byte("end\n"), 0))
	code, written := s.End()
	require.Zero(t, code, written)
	require.Empty(t, screen.Left(t, written))
	require.FileExists(t, out)
}
