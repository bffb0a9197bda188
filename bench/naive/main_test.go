package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATreeIsIndexedWhole(t *testing.T) {
	root := t.TempDir()
	for d := range 3 {
		dir := filepath.Join(root, fmt.Sprint(d), "x")
		require.NoError(t, os.MkdirAll(dir, 0o700))
		for f := range 4 {
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(f, ".go")), []byte("abc"), 0o600))
		}
	}
	for _, goroutines := range []int{1, 4} {
		path := filepath.Join(t.TempDir(), "x.db")
		require.NoError(t, index(t.Context(), path, root, goroutines))
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		var entries, size, folder, runs int
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*), sum(size), max(folder_size), (SELECT count(*) FROM indexing_log) FROM files`).
			Scan(&entries, &size, &folder, &runs))
		require.NoError(t, db.Close())
		require.Equal(t, []int{18, 36, 12, 1}, []int{entries, size, folder, runs})
	}
}
