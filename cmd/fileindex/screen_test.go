//go:build linux

package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/terminal/screen"
	"github.com/stretchr/testify/require"
)

func TestWhatTakesLongIsShownOnATerminal(t *testing.T) {
	t.Parallel()
	b, root := newBench(t), t.TempDir()
	put(t, filepath.Join(root, "x"), 1)
	b.index(root)
	// Somebody else writes, and the program waits for that.
	db, err := sql.Open("sqlite", b.db)
	require.NoError(t, err)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	s := screen.Start(t, fmt.Sprintf("%s -db %s index %s", os.Args[0], b.db, root), asProgram+"=patient")
	s.Wait(`indexing: 0 entries, 0 a second \.\.\. \d+s`)
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	code, written := s.End()
	require.Zero(t, code, written)
	require.Regexp(t, `^`+root+`: 1 files and 0 directories, 1 B, in [^\n]+\n  0 added, 0 changed, 1 unchanged, 0 removed\n$`, screen.Left(t, written))
}

func TestInAPipeNothingIsShownOfARunThatGoesOn(t *testing.T) {
	b := newBench(t)
	code, stdout, stderr := b.run("index", t.TempDir())
	require.Zero(t, code)
	require.NotEmpty(t, stdout)
	require.Empty(t, stderr)
}

func TestARunThatGoesOnTellsHowFarItIs(t *testing.T) {
	var n tally
	n.files.Store(12_000)
	n.directories.Store(345)
	require.Equal(t, "indexing: 12,345 entries, 4,938 a second", n.soFar(2500*time.Millisecond))
	require.Equal(t, "indexing: 0 entries, 0 a second", new(tally).soFar(time.Millisecond))
}
