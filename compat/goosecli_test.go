package compat

import (
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/sqlane/sqlane/internal/guides"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// moduleOf is the folder of a module that this one requires.
func moduleOf(t *testing.T, name string) string {
	t.Helper()
	out, err := guides.Run(t, ".", "GOFLAGS= go list -m -f '{{.Dir}}' "+name)
	require.NoError(t, err, out)
	return strings.TrimSpace(out)
}

// TestGoosesCommandLineMigratesADatabaseThatAProgramHasOpen: the program works on,
// and goose's Provider and package migrate go on where the command line was.
func TestGoosesCommandLineMigratesADatabaseThatAProgramHasOpen(t *testing.T) {
	cli, err := guides.Run(t, "../tools", "GOFLAGS= go tool -n goose")
	require.NoError(t, err, cli)
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), Synchronous: pool.SyncOff})
	require.NoError(t, err)
	for name, db := range map[string]*sql.DB{"sqlane": p.DB(), "modernc": alone(t)} {
		t.Run(name, func(t *testing.T) {
			files, dir := gooseFiles(true), t.TempDir()
			require.NoError(t, os.CopyFS(dir, files))
			run := func(command string) string {
				// Without a busy timeout the command line is locked out by whoever writes.
				out, err := guides.Run(t, dir, strings.TrimSpace(cli)+" -dir . sqlite3 'file:"+fileOf(t, db)+"?_pragma=busy_timeout(30000)' "+command)
				require.NoError(t, err, out)
				return out
			}
			require.NoError(t, exec("CREATE TABLE tally (n)")(t.Context(), db))
			stop, counted := make(chan struct{}), 0
			var wg sync.WaitGroup
			program := sync.OnceFunc(func() {
				close(stop)
				wg.Wait()
			})
			defer program()
			wg.Go(func() { // the program, meanwhile
				for {
					select {
					case <-stop:
						return
					default:
						_, err := db.ExecContext(t.Context(), "INSERT INTO tally VALUES (1)")
						assert.NoError(t, err)
						counted++
					}
				}
			})
			require.Contains(t, run("status"), "Pending")
			run("up")
			requireRebuilt(t, true, db)
			requireCount(t, 2, db, "child")
			run("down")
			program()
			requireRebuilt(t, false, db)
			requireCount(t, 2, db, "child")
			requireCount(t, counted, db, "tally")

			provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
			require.NoError(t, err)
			done, err := provider.Up(t.Context())
			require.NoError(t, err)
			require.Len(t, done, 1)
			require.NotContains(t, run("status"), "Pending")
			if name == "sqlane" {
				requireMigrated(t, p, files)
			}
		})
	}
	require.NoError(t, p.Close())
}

// requireMigrated sees that package migrate has nothing left to do.
func requireMigrated(t *testing.T, p *pool.Pool, files fs.FS) {
	t.Helper()
	m, err := migrate.New(files)
	require.NoError(t, err)
	pending, err := m.Pending(t.Context(), p)
	require.NoError(t, err)
	require.Empty(t, pending)
}
