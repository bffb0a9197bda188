package docs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
)

// operate serves a health check, backs up every hour, and shuts down in order.
func operate(ctx context.Context, dsn string, mux *http.ServeMux) error {
	cfg, err := pool.ParseConfig(dsn) // "file:notes.db?max_conns=8&acquire_timeout=2s&leak_threshold=1m&max_waiters=1000"
	if err != nil {
		return err // it names every faulty key
	}
	var pools pool.Registry // one pool for each database file, by whatever name
	p, err := pools.Open(ctx, cfg)
	if err != nil {
		return err
	}
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := pools.HealthCheck(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%+v", p.Stats()) })

	hour := time.NewTicker(time.Hour)
	defer hour.Stop()
	for ctx.Err() == nil && err == nil {
		select {
		case now := <-hour.C:
			err = p.Backup(ctx, cfg.Path+now.Format(".20060102-15"))
		case <-ctx.Done():
		}
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, pools.Shutdown(patience)) // what runs may finish; after ten seconds it is interrupted
}

func TestAServiceIsHealthyUntilItIsShutDownInOrder(t *testing.T) {
	mux := http.NewServeMux()
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	path := filepath.Join(t.TempDir(), "notes.db")
	go func() {
		ended <- operate(ctx, "file:"+path+"?max_conns=8&acquire_timeout=2s&leak_threshold=1m&max_waiters=1000", mux)
	}()
	for get("/stats").Code != http.StatusOK {
		require.NoError(t, t.Context().Err())
	}
	require.Equal(t, http.StatusOK, get("/healthz").Code)
	require.Contains(t, get("/stats").Body.String(), "MaxConns:8 ")
	cancel()
	require.NoError(t, <-ended)
	require.ErrorIs(t, operate(t.Context(), "file:notes.db?max_con=8", mux), pool.ErrConfig)
}

// whole says whether a backup can be read, all of it.
func whole(ctx context.Context, backup string) error {
	p, err := pool.Open(ctx, pool.Config{Path: backup, Immutable: true})
	if err != nil {
		return err
	}
	defer p.Close()
	var verdict string
	if err := p.Reader().QueryRow(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	return nil
}

// restore puts a backup in the place of a database that nobody has open.
func restore(backup, path string) error {
	aside := path + time.Now().Format(".replaced-20060102-150405.000")
	for _, suffix := range []string{"", "-wal", "-journal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(backup, path)
}

func TestABackupIsReadAndRestored(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "app.db"), filepath.Join(dir, "backup.db")
	p := bankAt(t, pool.Config{Path: path})
	require.NoError(t, p.Backup(t.Context(), backup))
	require.ErrorIs(t, p.Backup(t.Context(), backup), fs.ErrExist)
	require.NoError(t, whole(t.Context(), backup))
	require.NoError(t, put(t.Context(), p.Writer(), "ann", 100))

	again := filepath.Join(dir, "again.db")
	text, err := os.ReadFile(backup)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(again, text, 0o600))
	require.NoError(t, restore(again, path)) // too early
	require.ErrorIs(t, put(t.Context(), p.Writer(), "ann", 1), pool.ErrMoved)
	require.NoError(t, p.Close())
	replaced, err := filepath.Glob(path + ".replaced-*[0-9]")
	require.NoError(t, err)
	require.Len(t, replaced, 1)
	for file, want := range map[string]int{path: 10, replaced[0]: 110} {
		p, err = pool.Open(t.Context(), pool.Config{Path: file})
		require.NoError(t, err)
		require.Equal(t, want, balance(t, p, "ann"))
		require.NoError(t, p.Close())
	}

	for i := range text[4096:] {
		text[4096+i] = 0xAA
	}
	require.NoError(t, os.WriteFile(again, text, 0o600))
	require.Error(t, whole(t.Context(), again))
}

// bankAt opens a pool with the bank's tables.
func bankAt(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	m, err := migrate.New(bank)
	require.NoError(t, err)
	require.NoError(t, m.Up(t.Context(), p))
	return p
}

// replicated is the configuration beside Litestream.
func replicated(path string) pool.Config {
	return pool.Config{Path: path, ExternalCheckpoints: true}
}

func TestBesideLitestreamTheLogIsLeftToIt(t *testing.T) {
	grown := func(cfg pool.Config) int64 {
		cfg.Synchronous = pool.SyncOff
		p := bankAt(t, cfg)
		for range 30 {
			_, err := p.Writer().Exec(t.Context(), "CREATE TABLE IF NOT EXISTS heap (a); INSERT INTO heap VALUES (zeroblob(1000000))")
			require.NoError(t, err)
		}
		size := p.Stats().WALBytes
		require.NoError(t, p.Close())
		return size
	}
	dir := t.TempDir()
	require.Greater(t, grown(replicated(filepath.Join(dir, "replicated.db"))), int64(28<<20))
	require.Less(t, grown(pool.Config{Path: filepath.Join(dir, "alone.db")}), int64(20<<20))
}

func TestAMovedFileIsNotWrittenAndAFullDiskIsWrittenAgain(t *testing.T) {
	p := open(t, pooltest.File())
	pooltest.Fail(t, p, pooltest.Moved)
	require.ErrorIs(t, put(t.Context(), p.Writer(), "ann", 1), pool.ErrMoved)
	pooltest.Heal(t, p)
	require.NoError(t, put(t.Context(), p.Writer(), "ann", 1))

	pooltest.Fail(t, p, pooltest.DiskFull)
	_, err := load(t.Context(), p, "ann", make([]int, 10_000))
	require.True(t, pool.IsFull(err))
	require.Equal(t, 11, balance(t, p, "ann"))
	pooltest.Heal(t, p)
	_, err = load(t.Context(), p, "ann", make([]int, 10_000))
	require.NoError(t, err)
}
