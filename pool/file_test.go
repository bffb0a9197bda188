package pool_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestADanglingLinksTargetIsCreated(t *testing.T) {
	for name, target := range map[string]string{
		"beside it":             "target.db",
		"relative":              "../elsewhere/target.db",
		"behind a linked dir":   "linked/../target.db", // the parent of where linked leads
		"by a chain":            "second.db",
		"absolute":              "/elsewhere/target.db",
		"an absolute directory": "/linked/target.db",
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			require.NoError(t, err)
			for _, d := range []string{"here", "elsewhere", "elsewhere/sub"} {
				require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o700))
			}
			here := filepath.Join(dir, "here")
			require.NoError(t, os.Symlink("../elsewhere/sub", filepath.Join(here, "linked")))
			require.NoError(t, os.Symlink("elsewhere", filepath.Join(dir, "linked")))
			require.NoError(t, os.Symlink("../elsewhere/third.db", filepath.Join(here, "second.db")))
			require.NoError(t, os.Symlink("target.db", filepath.Join(dir, "elsewhere", "third.db")))
			if filepath.IsAbs(target) {
				target = dir + target
			}
			link := filepath.Join(here, "app.db")
			require.NoError(t, os.Symlink(target, link))
			want := filepath.Join(dir, "elsewhere", "target.db")
			if name == "beside it" {
				want = filepath.Join(here, "target.db")
			}

			_, err = pool.Open(t.Context(), pool.Config{Path: link, ReadOnly: true})
			require.ErrorIs(t, err, fs.ErrNotExist, "a reader creates nothing")
			require.NoFileExists(t, want)

			p := open(t, pool.Config{Path: link})
			info, err := os.Lstat(want)
			require.NoError(t, err)
			require.Equal(t, fs.FileMode(0o600), info.Mode())
			require.FileExists(t, want+"-wal", "the log lies beside the file")
			require.NoFileExists(t, link+"-wal")
			require.Positive(t, p.Stats().WALBytes, "and is found there")
			require.NoError(t, p.HealthCheck(t.Context()))
			for _, suffix := range []string{"-journal", "-wal", "-shm"} {
				require.Error(t, p.Backup(t.Context(), want+suffix))
			}
			r := newRegistry(t)
			require.Same(t, registryOpen(t, r, link), registryOpen(t, r, want))
		})
	}
}

func TestARegistryKnowsADanglingLinksTarget(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.db")
	require.NoError(t, os.Symlink("app.db", link))
	r := newRegistry(t)
	p := registryOpen(t, r, link)
	run(t, p, tables)
	require.Same(t, p, registryOpen(t, r, filepath.Join(dir, "app.db")))
	require.Same(t, p, registryOpen(t, r, link))
}

func TestALinkThatLeadsNowhereIsAClearError(t *testing.T) {
	dir := t.TempDir()
	for link, target := range map[string]string{"a.db": "b.db", "b.db": "a.db", "self.db": "self.db", "far.db": "missing/app.db"} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	for name, want := range map[string]string{"a.db": "too many", "self.db": "too many", "far.db": "no such file"} {
		path := filepath.Join(dir, name)
		_, err := pool.Open(t.Context(), pool.Config{Path: path})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
		_, err = new(pool.Registry).Open(t.Context(), pool.Config{Path: path})
		require.ErrorContains(t, err, path)
	}
	require.Len(t, names(t, dir), 4, "nothing was created")
}

func TestAParentBehindALinkIsTheParentOfItsTarget(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "data", "sub"), 0o700))
	require.NoError(t, os.Symlink("data/sub", filepath.Join(dir, "linked")))
	p := open(t, pool.Config{Path: dir + "/linked/../app.db"})
	require.FileExists(t, filepath.Join(dir, "data", "app.db"))
	require.NoError(t, p.Backup(t.Context(), dir+"/linked/../copy.db"))
	require.FileExists(t, filepath.Join(dir, "data", "copy.db"))
	r := newRegistry(t)
	require.Same(t, registryOpen(t, r, dir+"/linked/../app.db"), registryOpen(t, r, filepath.Join(dir, "data", "app.db")))
}

func TestALinkThatLeadsToAnotherFileIsMoved(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.db")
	require.NoError(t, os.Symlink("app.db", link))
	p := open(t, pool.Config{Path: link, HealthCheckInterval: -1, Logger: slog.New(new(logbook))})
	require.NoError(t, os.Remove(link))
	require.NoError(t, os.Symlink("other.db", link))
	require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrMoved)
	require.ErrorIs(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")), pool.ErrMoved)
	require.NoError(t, os.Remove(link))
	require.NoError(t, os.Symlink("app.db", link))
	require.NoError(t, os.Rename(filepath.Join(dir, "app.db"), filepath.Join(dir, "moved.db")))
	require.NoError(t, os.Remove(link))
	require.NoError(t, os.Symlink("moved.db", link))
	require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrMoved, "the log is left behind")
}

func TestAMissingDatabaseBesideStaleFilesIsCreatedEmpty(t *testing.T) {
	besideOthers(t) // for it waits
	for _, mode := range []string{"wal", "delete"} {
		for _, suffixes := range [][]string{{"-wal"}, {"-shm"}, {"-wal", "-shm"}, {"-journal"}} {
			stale := staleFiles(t)
			path := filepath.Join(t.TempDir(), "app.db")
			for _, suffix := range suffixes {
				require.NoError(t, os.WriteFile(path+suffix, stale[suffix], 0o600))
			}
			p, err := pool.Open(t.Context(), pool.Config{Path: path, JournalMode: pool.JournalMode(mode), Synchronous: "off"})
			require.NoError(t, err)
			require.Zero(t, get(t, p, "SELECT count(*) FROM sqlite_schema"), "%s %v", mode, suffixes)
			run(t, p, "CREATE TABLE fresh (x); INSERT INTO fresh VALUES (1)")
			require.NoError(t, p.HealthCheck(t.Context()))
			require.NoError(t, p.Close())
			require.NoFileExists(t, path+"-wal")
			require.NoFileExists(t, path+"-journal")
			require.EqualValues(t, 1, get(t, backedUp(t, path), "SELECT count(*) FROM fresh"))
		}
	}
}

// staleFiles are the neighbours that an older database left behind, by suffix.
func staleFiles(t *testing.T) map[string][]byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "old.db")
	stale := make(map[string][]byte)
	keep := func(suffixes ...string) {
		for _, suffix := range suffixes {
			text, err := os.ReadFile(path + suffix)
			require.NoError(t, err)
			require.NotEmpty(t, text)
			stale[suffix] = text
		}
	}
	p := open(t, pool.Config{Path: path})
	run(t, p, "INSERT INTO n VALUES (666, 666)")
	keep("-wal", "-shm")
	require.NoError(t, p.Close())

	p, err := pool.Open(t.Context(), pool.Config{Path: path, JournalMode: "delete", Synchronous: "full"})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), tx, "PRAGMA cache_size = 1"))
	require.NoError(t, do(t.Context(), tx, ballast)) // beyond the cache: the journal is on disk
	require.NoError(t, do(t.Context(), tx, "UPDATE n SET v = 667; DELETE FROM ballast"))
	keep("-journal")
	require.NoError(t, tx.Rollback(t.Context()))
	return stale
}

// logDepartures are the ways in which a file of the log leaves its name.
var logDepartures = []struct {
	name  string
	leave func(t *testing.T, path string) (back func())
}{
	{"deleted", func(t *testing.T, path string) func() {
		require.NoError(t, os.Remove(path))
		return nil
	}},
	{"renamed", func(t *testing.T, path string) func() {
		require.NoError(t, os.Rename(path, path+".away"))
		return func() { require.NoError(t, os.Rename(path+".away", path)) }
	}},
	{"replaced by a copy", func(t *testing.T, path string) func() {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Rename(path, path+".away"))
		require.NoError(t, os.WriteFile(path, text, 0o600))
		return func() { require.NoError(t, os.Rename(path+".away", path)) }
	}},
}

func TestALogThatIsDeletedOrReplacedIsMoved(t *testing.T) {
	besideOthers(t) // for it waits
	const write = "UPDATE n SET v = v + 1 RETURNING v"
	for _, suffix := range []string{"-wal", "-shm"} {
		for _, departure := range logDepartures {
			for _, cfg := range []pool.Config{
				{MaxConns: 1},
				{MaxConns: 4},
				{MaxConns: 4, ExternalCheckpoints: true, Synchronous: "normal"},
			} {
				t.Run(suffix+" "+departure.name, func(t *testing.T) {
					ctx := t.Context()
					dir := t.TempDir()
					cfg.Path = filepath.Join(dir, "app.db")
					cfg.HealthCheckInterval = -1
					cfg.Logger = slog.New(new(logbook))
					p := open(t, cfg)
					run(t, p, write)
					require.NoError(t, p.HealthCheck(ctx))
					back := departure.leave(t, cfg.Path+suffix)

					for _, way := range ways {
						err := way.run(ctx, p, write)
						require.ErrorIs(t, err, pool.ErrMoved, way.name)
						require.ErrorContains(t, err, cfg.Path+suffix, "the file is named")
						require.ErrorContains(t, err, "close this pool", "and the remedy")
					}
					require.ErrorIs(t, p.HealthCheck(ctx), pool.ErrMoved)
					p.Reset() // new connections neither
					if back != nil {
						back()
						require.NoError(t, p.HealthCheck(ctx))
						for _, way := range ways {
							require.NoError(t, way.run(ctx, p, write), way.name)
						}
						require.EqualValues(t, 1+len(ways), get(t, p, "SELECT v FROM n"))
						requireAtRest(t, p)
						return
					}
					require.NoError(t, p.Close())
					require.EqualValues(t, 1, get(t, backedUp(t, cfg.Path), "SELECT v FROM n"), "to close saves what was acknowledged")
				})
			}
		}
	}
}

func TestAReadersHealthCheckNoticesThatTheLogIsGone(t *testing.T) {
	for _, suffix := range []string{"-wal", "-shm"} {
		path := filepath.Join(t.TempDir(), "app.db")
		p := open(t, pool.Config{Path: path, HealthCheckInterval: -1})
		reader, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true, HealthCheckInterval: 5 * time.Millisecond, Logger: slog.New(new(logbook))})
		require.NoError(t, err)
		require.NoError(t, reader.HealthCheck(t.Context()))
		require.NoError(t, os.Rename(path+suffix, path+".away"))
		require.ErrorIs(t, reader.HealthCheck(t.Context()), pool.ErrMoved)
		waitFor(t, "the periodic one notices too", func() bool { return reader.Stats().HealthFailures >= 2 })
		require.NoError(t, os.Rename(path+".away", path+suffix))
		require.NoError(t, reader.HealthCheck(t.Context()))
		require.NoError(t, reader.Close())
		require.NoError(t, p.HealthCheck(t.Context()))
	}
}

func TestTheLogMayGoWithTheLastConnection(t *testing.T) {
	for _, conns := range []int{1, 3} {
		k := new(keeper)
		path := filepath.Join(t.TempDir(), "app.db")
		p := open(t, pool.Config{Path: path, MaxConns: conns, MinConns: conns, HealthCheckInterval: -1, OnConnect: k.onConnect, Logger: slog.New(new(logbook))})
		went := conns > 1 // Of several, maintenance may always have opened another one by then; of one, now and then.
		for i := 0; i < 3 || !went; i++ {
			k.breakAll(t)
			_, err := os.Stat(path + "-wal")
			went = went || errors.Is(err, fs.ErrNotExist)
			require.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = v + 1")))
			require.NoError(t, p.HealthCheck(t.Context()))
			require.EqualValues(t, i+1, get(t, p, "SELECT v FROM n"))
			waitFor(t, "maintenance opens none meanwhile", func() bool { return p.Stats().Open == conns && p.Stats().InUse == 0 })
			require.NoError(t, os.Rename(path+"-wal", path+".away"))
			require.ErrorIs(t, p.Batch(t.Context(), doing("UPDATE n SET v = 0")), pool.ErrMoved, "the new log is watched as the old one was")
			require.NoError(t, os.Rename(path+".away", path+"-wal"))
		}
		requireAtRest(t, p)
	}
}

func TestRotationAndOtherProcessesLeaveTheLogWhereItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	book := new(logbook)
	p := open(t, pool.Config{Path: path, MaxConns: 3, MinConns: 3, HealthCheckInterval: 5 * time.Millisecond, Logger: slog.New(book)})
	for range 5 {
		o := startOther(t, path)
		o.do("UPDATE n SET v = v + 1")
		o.do("PRAGMA wal_checkpoint(TRUNCATE)")
		require.NoError(t, o.in.Close())
		require.NoError(t, o.cmd.Wait())
		p.Reset()
		before := p.Stats().Reset
		require.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = v + 1")))
		waitFor(t, "connections are replaced", func() bool { return p.Stats().Reset >= before })
		require.NoError(t, p.HealthCheck(t.Context()))
	}
	require.EqualValues(t, 10, get(t, p, "SELECT v FROM n"))
	require.Zero(t, p.Stats().HealthFailures)
	require.Empty(t, book.saying(slog.LevelError, ""))
}

func TestImmutableIsReadOnlyAndNeedsAFile(t *testing.T) {
	require.True(t, pool.Config{Path: "app.db", Immutable: true}.WithDefaults().ReadOnly)
	err := pool.Config{Path: pool.Memory, Immutable: true}.Validate()
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "Immutable")
	cfg, err := pool.ParseConfig("file:app.db?immutable=true")
	require.NoError(t, err)
	require.Equal(t, pool.Config{Path: "app.db", Immutable: true}, cfg)
	_, err = pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "missing.db"), Immutable: true})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestAnImmutableDatabaseIsReadWithoutALog(t *testing.T) {
	for _, mode := range []string{"wal", "delete", "persist"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "app.db")
		require.NoError(t, open(t, pool.Config{Path: path, JournalMode: pool.JournalMode(mode)}).Close())
		if mode == "persist" { // as one that was killed leaves it: over
			require.NoError(t, os.WriteFile(path+"-journal", make([]byte, 1024), 0o600))
		}
		before := names(t, dir)
		p, err := pool.Open(t.Context(), pool.Config{Path: path, Immutable: true, MinConns: 3})
		require.NoError(t, err)
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
		require.ErrorIs(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")), pool.ErrReadOnly)
		require.NoError(t, p.HealthCheck(t.Context()))
		require.Equal(t, before, names(t, dir), "nothing lies beside it")
		target := filepath.Join(t.TempDir(), "copy.db")
		require.NoError(t, p.Backup(t.Context(), target))
		require.EqualValues(t, 1, get(t, backedUp(t, target), "SELECT count(*) FROM n"))
		require.NoError(t, p.Close())
	}
}

func TestImmutableRefusesALogWithContent(t *testing.T) {
	stale := staleFiles(t)
	for _, suffix := range []string{"-wal", "-journal"} {
		path := filepath.Join(t.TempDir(), "app.db")
		require.NoError(t, open(t, pool.Config{Path: path}).Close())
		require.NoError(t, os.WriteFile(path+suffix, nil, 0o600))
		p, err := pool.Open(t.Context(), pool.Config{Path: path, Immutable: true})
		require.NoError(t, err, "an empty one is nothing")
		require.NoError(t, p.Close())
		require.NoError(t, os.WriteFile(path+suffix, stale[suffix], 0o600))
		_, err = pool.Open(t.Context(), pool.Config{Path: path, Immutable: true})
		require.ErrorIs(t, err, pool.ErrConfig)
		require.ErrorContains(t, err, path+suffix)
	}
}

func TestAnImmutableDatabaseThatChangesIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	require.NoError(t, open(t, pool.Config{Path: path}).Close())
	p, err := pool.Open(t.Context(), pool.Config{Path: path, Immutable: true, HealthCheckInterval: -1, Logger: slog.New(new(logbook))})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	writer, err := pool.Open(t.Context(), pool.Config{Path: path, Synchronous: "off"})
	require.NoError(t, err)
	run(t, writer, "INSERT INTO n VALUES (2, 2)")
	err = p.HealthCheck(t.Context())
	require.ErrorIs(t, err, pool.ErrMoved)
	require.ErrorContains(t, err, path+"-wal")
	run(t, writer, ballast)
	require.NoError(t, writer.Close())
	require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrMoved, "it went into the file")
}

func TestARegistryTellsImmutableFromReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	require.NoError(t, open(t, pool.Config{Path: path}).Close())
	r := newRegistry(t)
	p, err := r.Open(t.Context(), pool.Config{Path: path, Immutable: true})
	require.NoError(t, err)
	same, err := r.Open(t.Context(), pool.Config{Path: path, Immutable: true, ReadOnly: true})
	require.NoError(t, err)
	require.Same(t, p, same)
	_, err = r.Open(t.Context(), pool.Config{Path: path, ReadOnly: true})
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "Immutable")
}

func BenchmarkAWriteTransaction(b *testing.B) {
	p := open(b, pool.Config{})
	b.ReportAllocs()
	for b.Loop() {
		if err := p.InTx(context.Background(), pool.Immediate, doing("UPDATE n SET v = v + 1")); err != nil {
			b.Fatal(err)
		}
	}
	assert.NoError(b, p.HealthCheck(context.Background()))
}

// TestALogIsWatchedInADirectoryThatWasQuietForLong: there a look at the directory
// is enough.
func TestALogIsWatchedInADirectoryThatWasQuietForLong(t *testing.T) {
	for _, suffix := range []string{"-wal", "-shm"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "app.db")
		p := open(t, pool.Config{Path: path, HealthCheckInterval: -1, Logger: slog.New(new(logbook))})
		longAgo := time.Now().Add(-time.Hour)
		write := func() error { return p.Batch(t.Context(), doing("UPDATE n SET v = v + 1")) }
		require.NoError(t, os.Chtimes(dir, longAgo, longAgo))
		require.NoError(t, p.HealthCheck(t.Context()))
		require.NoError(t, write())
		require.NoError(t, os.Rename(path+suffix, path+".away"))
		require.ErrorIs(t, write(), pool.ErrMoved)
		require.NoError(t, os.Rename(path+".away", path+suffix))
		require.NoError(t, os.Chtimes(dir, longAgo, longAgo))
		require.NoError(t, p.HealthCheck(t.Context()))
		require.NoError(t, write())

		require.NoError(t, os.Rename(path+suffix, path+".away"))
		require.NoError(t, os.Chtimes(dir, longAgo, longAgo))
		require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrMoved, "the health check trusts no time")
		require.ErrorIs(t, write(), pool.ErrMoved, "nor does a writer from then on")
		require.NoError(t, os.Rename(path+".away", path+suffix))
		require.NoError(t, os.Rename(dir, dir+".away"))
		require.ErrorIs(t, write(), pool.ErrMoved)
		require.NoError(t, os.Rename(dir+".away", dir))
		require.NoError(t, write())
	}
}
