package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/sqlane/sqlane/bench/peers"
	"github.com/stretchr/testify/require"
)

// The cache's size is the same in every SQLite; ncruces' tells how often it missed.
func TestTheHotRowsFitIntoTheCacheOfOneConnection(t *testing.T) {
	s := fullScale()
	path := filepath.Join(t.TempDir(), "x.db")
	require.NoError(t, makeDatabase(t.Context(), path, s.rows))
	conn, err := sqlite3.Open("file:" + path)
	require.NoError(t, err)
	defer conn.Close()
	stmt, _, err := conn.Prepare("SELECT * FROM files WHERE path = ?")
	require.NoError(t, err)
	defer stmt.Close()
	misses := func() int64 {
		paths, _ := hotPaths(s.rows)
		require.Len(t, paths, hot)
		for _, path := range paths {
			require.NoError(t, stmt.BindText(1, path))
			require.True(t, stmt.Step())
			require.Equal(t, path, stmt.ColumnText(2))
			require.NoError(t, stmt.Reset())
		}
		n, _, err := conn.Status(sqlite3.DBSTATUS_CACHE_MISS, true)
		require.NoError(t, err)
		return n
	}
	require.Positive(t, misses())
	require.Zero(t, misses(), "the second time all pages are there")
}

func TestAStreamThatLacksARowIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	require.NoError(t, makeDatabase(t.Context(), path, 1000))
	for _, p := range peers.All() {
		metrics, err := streamThrough(t.Context(), p, path, 1000)
		require.NoError(t, err, p.Name)
		require.Contains(t, metrics, "peak/early", p.Name)
		_, err = streamThrough(t.Context(), p, path, 1100)
		require.ErrorIs(t, err, errWrong, p.Name)
	}
}

func TestWhatIsMeasuredApartIsForTheProgramItself(t *testing.T) {
	for want, args := range map[string][]string{
		"there is no peer": {"-apart", "stream", "nobody", "x.db", "1"},
		"for the program":  {"-apart", "nothing", "sqlane", "x.db", "1"},
		"invalid syntax":   {"-apart", "memory", "sqlane", "x.db", "many"},
	} {
		var out, err bytes.Buffer
		require.Equal(t, 1, run(t.Context(), args, &out, &err))
		require.Contains(t, err.String(), want)
		require.Empty(t, out.String())
	}
}
