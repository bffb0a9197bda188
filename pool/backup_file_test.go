package pool_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// eachNaming runs a test with and without hard links.
func eachNaming(t *testing.T, cfg pool.Config, test func(t *testing.T, p *pool.Pool)) {
	t.Run("links", func(t *testing.T) { test(t, open(t, cfg)) })
	t.Run("no links", func(t *testing.T) { test(t, openWithoutLinks(t, cfg)) })
}

func openWithoutLinks(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	cfg.Path, cfg.Synchronous = filepath.Join(t.TempDir(), "app.db"), "off"
	p, err := pool.OpenWithoutLinks(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	run(t, p, tables)
	return p
}

func TestABackupBesideAStaleLogIsRefused(t *testing.T) {
	stale := staleFiles(t)
	eachNaming(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		for _, suffix := range []string{"-wal", "-journal", "-shm"} {
			dir := t.TempDir()
			path := filepath.Join(dir, "copy.db")
			refused := func() {
				before := names(t, dir)
				err := p.Backup(t.Context(), path)
				require.ErrorIs(t, err, fs.ErrExist)
				require.ErrorContains(t, err, path+suffix)
				require.Equal(t, before, names(t, dir), "nothing is left behind")
			}
			require.NoError(t, os.WriteFile(path+suffix, stale[suffix], 0o600))
			refused()
			require.NoError(t, os.WriteFile(path+suffix, nil, 0o600))
			refused()
			require.NoError(t, os.Remove(path+suffix))
			require.NoError(t, os.Symlink("nowhere", path+suffix))
			refused()
			require.NoError(t, os.Remove(path+suffix))
			require.NoError(t, p.Backup(t.Context(), path))
			require.EqualValues(t, 1, get(t, backedUp(t, path), "SELECT count(*) FROM n"))
		}
	})
}

// TestWhatLiesBesideABackupIsLookedAtAgain: it may come while the pages are copied.
func TestWhatLiesBesideABackupIsLookedAtAgain(t *testing.T) {
	besideOthers(t) // for it waits
	for _, suffix := range []string{"-wal", "-journal", "-shm", ""} {
		path := filepath.Join(t.TempDir(), "copy.db")
		eachNaming(t, pool.Config{Tracer: inTheMiddle(func(context.Context) {
			assert.NoError(t, writeFile(path+suffix, "precious"))
		})}, func(t *testing.T, p *pool.Pool) {
			run(t, p, ballast)
			err := p.Backup(t.Context(), path)
			require.ErrorIs(t, err, fs.ErrExist)
			require.ErrorContains(t, err, path+suffix)
			text, err := os.ReadFile(path + suffix)
			require.NoError(t, err)
			require.Equal(t, "precious", string(text))
			require.Equal(t, []string{"copy.db" + suffix}, names(t, filepath.Dir(path)))
		})
	}
}

func TestABackupNeverTakesANameBesideAnotherDatabase(t *testing.T) {
	dir := t.TempDir()
	other := open(t, pool.Config{Path: filepath.Join(dir, "other.db"), JournalMode: "delete"})
	p := open(t, pool.Config{})
	for _, suffix := range []string{"-journal", "-wal", "-shm"} {
		err := p.Backup(t.Context(), filepath.Join(dir, "other.db"+suffix))
		require.ErrorContains(t, err, "SQLite's own")
		require.NoError(t, p.Backup(t.Context(), filepath.Join(dir, "notes"+suffix)), "beside nothing it is a name like others")
	}
	require.NoError(t, other.Batch(t.Context(), doing("UPDATE n SET v = 1")))
	require.Equal(t, []string{"notes-journal", "notes-shm", "notes-wal", "other.db"}, names(t, dir))
}

func TestWithoutHardLinksABackupWorksAndOverwritesNothing(t *testing.T) {
	p := openWithoutLinks(t, pool.Config{})
	dir := t.TempDir()
	path := filepath.Join(dir, "copy.db")
	require.NoError(t, p.Backup(t.Context(), path))
	require.Equal(t, []string{"copy.db"}, names(t, dir))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	require.ErrorIs(t, p.Backup(t.Context(), path), fs.ErrExist)
	require.EqualValues(t, 1, get(t, backedUp(t, path), "SELECT count(*) FROM n"))
}

func TestWithoutHardLinksOfBackupsToOnePathOneWins(t *testing.T) {
	const all = 3
	var begun sync.WaitGroup
	begun.Add(all)
	p := openWithoutLinks(t, pool.Config{MaxConns: all + 1, Tracer: &recorder{hook: func(_ context.Context, op pool.TraceOp) {
		if op.Name == "backup" && op.Done == 0 {
			begun.Done()
			begun.Wait()
		}
	}}})
	dir := t.TempDir()
	errs := make([]error, all)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = p.Backup(t.Context(), filepath.Join(dir, "copy.db")) })
	}
	wg.Wait()
	var won int
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, fs.ErrExist)
	}
	require.Equal(t, 1, won)
	require.Equal(t, []string{"copy.db"}, names(t, dir))
	require.EqualValues(t, 1, get(t, backedUp(t, filepath.Join(dir, "copy.db")), "SELECT count(*) FROM n"))
}

func TestWithoutHardLinksABackupThatCannotBeRenamedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	cfg := pool.Config{Tracer: ending(func(_ context.Context, op pool.TraceOp) {
		if op.Name != "backup" {
			return
		}
		for _, name := range names(t, dir) { // a directory in its place can be synced, but not take a file's name
			assert.NoError(t, os.Remove(filepath.Join(dir, name)))
			assert.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		}
	})}
	var link *os.LinkError
	require.ErrorAs(t, openWithoutLinks(t, cfg).Backup(t.Context(), filepath.Join(dir, "copy.db")), &link)
	require.Equal(t, "rename", link.Op)
	require.Empty(t, names(t, dir))
}

func TestWhatCannotBeNamedFailsBeforeTheCopy(t *testing.T) {
	steps := 0
	cfg := pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), Synchronous: "off", Tracer: ending(func(_ context.Context, op pool.TraceOp) {
		if op.Name == "backup" {
			steps++
		}
	})}
	p, err := pool.OpenWithoutRenames(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	dir := t.TempDir()
	require.ErrorIs(t, p.Backup(t.Context(), filepath.Join(dir, "copy.db")), errors.ErrUnsupported)
	require.Zero(t, steps)
	require.Empty(t, names(t, dir))
}
