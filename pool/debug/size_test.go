//go:build linux

package debug_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pool/debug"
	"github.com/stretchr/testify/require"
)

func TestALogsSizeIsToldInTwoOrThreeDigits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, ExternalCheckpoints: true})
	_, err := p.Writer().Exec(t.Context(), "CREATE TABLE things (v)")
	require.NoError(t, err)
	log, err := os.Stat(path + "-wal")
	require.NoError(t, err)
	defer func() { require.NoError(t, os.Truncate(path+"-wal", log.Size())) }()
	for size, says := range map[int64]string{
		log.Size(): fmt.Sprintf("%.1f KiB", float64(log.Size()/1024)), // it has no more than a few pages
		1<<20 - 1:  "1023 KiB", 1 << 20: "1.0 MiB", 10<<20 - 1: "9.9 MiB", 3 << 30: "3.0 GiB", 5 << 40: "5.0 TiB",
	} {
		require.NoError(t, os.Truncate(path+"-wal", size)) // no such room is taken
		text := textOf(page(t, debug.Pool(p), "/"))
		require.Contains(t, text, " Log "+says+" ", size)
		require.Contains(t, text, says+"; from 16 MiB on it is made to start anew by another program.")
		require.Equal(t, size > 16<<20, strings.Contains(text, says+" of 16 MiB that are kept"))
		require.Equal(t, size > 16<<20, strings.Contains(text, "another process may, or the next checkpoint is still to come"))
	}
}
