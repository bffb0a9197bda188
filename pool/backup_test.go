package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ballast makes a database that takes several steps to copy.
const ballast = `
CREATE TABLE ballast (b);
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 700) INSERT INTO ballast SELECT zeroblob(3900) FROM c;
`

// backedUp opens a copy and sees that it is a whole database.
func backedUp(t *testing.T, path string) *pool.Pool {
	t.Helper()
	p, err := pool.Open(t.Context(), pool.Config{Path: path, Synchronous: "off"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	var sound string
	require.NoError(t, l.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound))
	require.Equal(t, "ok", sound)
	return p
}

// inTheMiddle makes a tracer that calls f once, when some of a backup's pages
// are copied and some are not.
func inTheMiddle(f func(ctx context.Context)) *recorder {
	var once sync.Once
	return &recorder{hook: func(ctx context.Context, op pool.TraceOp) {
		if op.Name == "backup" && op.Done > 0 {
			once.Do(func() { f(ctx) })
		}
	}}
}

func TestABackupIsConsistentWhileOthersWrite(t *testing.T) {
	besideOthers(t) // for it takes long
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		const accounts, total = 10, 1000
		run(t, p, ballast)
		run(t, p, "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER); CREATE TABLE transfer (id INTEGER PRIMARY KEY)")
		for i := range accounts {
			run(t, p, "INSERT INTO account VALUES (?, ?)", i, total/accounts)
		}
		ctx, stop := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		var acknowledged atomic.Int64
		defer writers.Wait()
		defer stop()
		for i := range accounts {
			writers.Go(func() {
				for ctx.Err() == nil {
					err := p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
						return errors.Join(
							do(ctx, tx, "UPDATE account SET balance = balance - 1 WHERE id = ?", i),
							do(ctx, tx, "UPDATE ballast SET b = randomblob(3900) WHERE rowid = 1 + abs(random() % 700)"),
							do(ctx, tx, "UPDATE account SET balance = balance + 1 WHERE id = ?", (i+1)%accounts),
							do(ctx, tx, "INSERT INTO transfer DEFAULT VALUES"),
						)
					})
					if !assert.NoError(t, err) {
						return
					}
					acknowledged.Add(1)
				}
			})
		}
		dir := t.TempDir()
		var last int64
		for i := range 2 {
			waitFor(t, "they go on writing", func() bool { return acknowledged.Load() > last })
			last = acknowledged.Load()
			path := filepath.Join(dir, fmt.Sprint(i, ".db"))
			require.NoError(t, p.Backup(t.Context(), path))
			copied := backedUp(t, path)
			require.EqualValues(t, total, get(t, copied, "SELECT sum(balance) FROM account"))
			require.EqualValues(t, 700, get(t, copied, "SELECT count(*) FROM ballast WHERE length(b) = 3900"))
			require.GreaterOrEqual(t, get(t, copied, "SELECT count(*) FROM transfer"), last, "what was acknowledged before is in it")
		}
		stop()
		writers.Wait()
		requireAtRest(t, p)
	})
}

func TestABackupIsTheDatabaseAndADatabase(t *testing.T) {
	for _, conns := range []int{1, 2, 0} {
		everywhere(t, pool.Config{MaxConns: conns}, func(t *testing.T, p *pool.Pool) {
			run(t, p, "PRAGMA user_version = 7; INSERT INTO n VALUES (2, 22)")
			dir := t.TempDir()
			path := filepath.Join(dir, "a?b#c%64 'd'.db")
			require.NoError(t, p.Backup(t.Context(), path))
			require.Equal(t, []string{filepath.Base(path)}, names(t, dir))
			run(t, p, "INSERT INTO n VALUES (3, 33)")

			copied := backedUp(t, path)
			require.EqualValues(t, 7, get(t, copied, "PRAGMA user_version"))
			require.EqualValues(t, 22, get(t, copied, "SELECT v FROM n WHERE id = 2"))
			require.EqualValues(t, 2, get(t, copied, "SELECT count(*) FROM n"), "what came later is not in it")
			run(t, copied, "DELETE FROM n")
			require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM n"), "they share nothing")
			requireAtRest(t, p)
			requireAtRest(t, copied)
		})
	}
}

func TestABackupIsReadableByItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	require.NoError(t, writeFile(path, ""))
	require.NoError(t, os.Chmod(path, 0o666))
	p := open(t, pool.Config{Path: path})
	target := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, p.Backup(t.Context(), target))
	info, err := os.Stat(target)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
}

func TestAnEmptyDatabaseIsBackedUpToo(t *testing.T) {
	for _, path := range []string{pool.Memory, filepath.Join(t.TempDir(), "app.db")} {
		p, err := pool.Open(t.Context(), pool.Config{Path: path})
		require.NoError(t, err)
		target := filepath.Join(t.TempDir(), "copy.db")
		require.NoError(t, p.Backup(t.Context(), target))
		require.Zero(t, get(t, backedUp(t, target), "SELECT count(*) FROM sqlite_schema"))
		require.NoError(t, p.Close())
	}
}

func TestAReadOnlyPoolIsBackedUp(t *testing.T) {
	p := open(t, pool.Config{})
	path := filepath.Join(t.TempDir(), "first.db")
	require.NoError(t, p.Backup(t.Context(), path))
	backedUp(t, path) // stays open: the log that a reader needs is there
	reader, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, reader.Close()) }()
	target := filepath.Join(t.TempDir(), "second.db")
	require.NoError(t, reader.Backup(t.Context(), target))
	require.EqualValues(t, 1, get(t, backedUp(t, target), "SELECT count(*) FROM n"))
}

func TestTheTracerSeesABackupsProgress(t *testing.T) {
	r := new(recorder)
	inTurn(t, pool.Config{Tracer: r}, func(t *testing.T, p *pool.Pool) {
		run(t, p, ballast)
		pages := get(t, p, "PRAGMA page_count")
		r.reset()
		require.NoError(t, p.Backup(t.Context(), filepath.Join(t.TempDir(), "copy.db")))
		steps := r.named("backup")
		require.GreaterOrEqual(t, len(steps), 3)
		require.Zero(t, steps[0].op.Done)
		for i, step := range steps {
			require.EqualValues(t, pages, step.op.Total)
			require.Less(t, step.op.Done, step.op.Total)
			require.NoError(t, step.end(t).Err)
			if i > 0 {
				require.Greater(t, step.op.Done, steps[i-1].op.Done)
			}
		}
		r.requireWhole(t)
	})
}

func TestABackupThatIsCancelledLeavesNothingBehind(t *testing.T) {
	var cancel context.CancelFunc
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		dir := t.TempDir()
		over, end := context.WithCancel(t.Context())
		end()
		require.ErrorIs(t, p.Backup(over, filepath.Join(dir, "copy.db")), context.Canceled)
		require.Empty(t, names(t, dir))
		requireAtRest(t, p)
	})
	for _, mode := range []string{"wal", "delete", "memory"} {
		t.Run(mode+" in the middle", func(t *testing.T) {
			dir := t.TempDir()
			var halfway []string
			r := inTheMiddle(func(context.Context) {
				halfway = names(t, dir)
				cancel()
			})
			p := open(t, backupConfig(mode, r))
			run(t, p, ballast)
			var ctx context.Context
			ctx, cancel = context.WithCancel(t.Context())
			err := p.Backup(ctx, filepath.Join(dir, "copy.db"))
			require.ErrorIs(t, err, context.Canceled)
			var e *pool.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "backup", e.Op)
			require.NotEmpty(t, halfway)
			require.NotContains(t, halfway, "copy.db", "it appears when it is whole")
			require.Empty(t, names(t, dir))
			steps := r.named("backup")
			require.ErrorIs(t, steps[len(steps)-1].end(t).Err, context.Canceled)
			requireAtRest(t, p)

			require.NoError(t, p.Backup(t.Context(), filepath.Join(dir, "copy.db")), "another time")
			require.EqualValues(t, 700, get(t, backedUp(t, filepath.Join(dir, "copy.db")), "SELECT count(*) FROM ballast"))
			r.requireWhole(t)
		})
	}
}

func backupConfig(mode string, tracer pool.Tracer) pool.Config {
	if mode == "memory" {
		return pool.Config{Path: pool.Memory, Tracer: tracer}
	}
	return pool.Config{JournalMode: pool.JournalMode(mode), Tracer: tracer}
}

func TestABackupWhosePoolIsClosedFailsAndLeavesNothingBehind(t *testing.T) {
	for _, mode := range []string{"wal", "delete", "memory"} {
		t.Run(mode, func(t *testing.T) {
			var p *pool.Pool
			r := inTheMiddle(func(context.Context) { assert.NoError(t, p.Close()) })
			p = open(t, backupConfig(mode, r))
			run(t, p, ballast)
			dir := t.TempDir()
			require.ErrorIs(t, p.Backup(t.Context(), filepath.Join(dir, "copy.db")), pool.ErrClosed)
			require.Empty(t, names(t, dir))
			require.ErrorIs(t, p.Backup(t.Context(), filepath.Join(dir, "copy.db")), pool.ErrClosed, "and one begun afterwards")
			require.Empty(t, names(t, dir))
			requireClosed(t, p)
			r.requireWhole(t)
		})
	}
}

func TestShutdownLetsABackupFinish(t *testing.T) {
	besideOthers(t) // for it takes long
	for _, mode := range []string{"wal", "delete", "memory"} {
		t.Run(mode, func(t *testing.T) {
			var p *pool.Pool
			var shutting sync.WaitGroup
			r := inTheMiddle(func(context.Context) {
				shutting.Go(func() { assert.NoError(t, p.Shutdown(t.Context())) })
				waitFor(t, "it refuses work", func() bool { return errors.Is(p.HealthCheck(t.Context()), pool.ErrClosed) })
			})
			p = open(t, backupConfig(mode, r))
			run(t, p, ballast)
			target := filepath.Join(t.TempDir(), "copy.db")
			require.NoError(t, p.Backup(t.Context(), target))
			shutting.Wait()
			require.EqualValues(t, 700, get(t, backedUp(t, target), "SELECT count(*) FROM ballast"))
		})
	}
}

func TestWhereReadersDoNotExcludeTheWriterItWritesDuringABackup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	var p *pool.Pool
	r := inTheMiddle(func(context.Context) {
		for _, level := range levels {
			assert.NoError(t, p.InTx(t.Context(), level, doing("UPDATE ballast SET b = 0")))
		}
		o := startOther(t, path)
		o.do("INSERT INTO n VALUES (2, 2)")
	})
	p = open(t, pool.Config{Path: path, Tracer: r})
	run(t, p, ballast)
	target := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, p.Backup(t.Context(), target))
	require.Zero(t, get(t, p, "SELECT count(*) FROM ballast WHERE b <> 0"))
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n"))

	copied := backedUp(t, target)
	require.EqualValues(t, 700, get(t, copied, "SELECT count(*) FROM ballast WHERE length(b) = 3900"), "as at one moment")
	require.EqualValues(t, 1, get(t, copied, "SELECT count(*) FROM n"))
}

func TestWhereReadersExcludeTheWriterItWaitsForABackup(t *testing.T) {
	for _, mode := range []string{"delete", "memory"} {
		t.Run(mode, func(t *testing.T) {
			var p *pool.Pool
			var writing sync.WaitGroup
			r := inTheMiddle(func(context.Context) {
				writing.Go(func() { assert.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE ballast SET b = 0"))) })
				waitFor(t, "the writer queues", func() bool { return p.Stats().WriteQueue == 1 })
			})
			p = open(t, backupConfig(mode, r))
			run(t, p, ballast)
			target := filepath.Join(t.TempDir(), "copy.db")
			require.NoError(t, p.Backup(t.Context(), target))
			writing.Wait()
			require.Zero(t, get(t, p, "SELECT count(*) FROM ballast WHERE b <> 0"))
			require.EqualValues(t, 700, get(t, backedUp(t, target), "SELECT count(*) FROM ballast WHERE length(b) = 3900"))
		})
	}
}

func TestABackupThatCannotBeGivenItsNameFails(t *testing.T) {
	dir := t.TempDir()
	p := open(t, pool.Config{Tracer: ending(func(_ context.Context, op pool.TraceOp) {
		if op.Name != "backup" {
			return
		}
		for _, name := range names(t, dir) { // a directory in its place can be synced, but not be linked
			assert.NoError(t, os.Remove(filepath.Join(dir, name)))
			assert.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		}
	})})
	err := p.Backup(t.Context(), filepath.Join(dir, "copy.db"))
	var link *os.LinkError
	require.ErrorAs(t, err, &link)
	require.Equal(t, filepath.Join(dir, "copy.db"), link.New)
	require.Empty(t, names(t, dir))
	requireAtRest(t, p)
}

func TestATargetThatExistsIsRefusedAndStays(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		require.NoError(t, writeFile(at("file"), "precious"))
		require.NoError(t, writeFile(at("empty"), ""))
		require.NoError(t, os.Mkdir(at("dir"), 0o700))
		require.NoError(t, os.Symlink("file", at("link")))
		require.NoError(t, os.Symlink("nowhere", at("dangling")))
		require.NoError(t, os.Symlink("dir", at("dirlink")))
		before := names(t, dir)
		for _, name := range []string{"file", "empty", "dir", "link", "dangling", "dirlink", "dir/../file", "."} {
			err := p.Backup(t.Context(), dir+"/"+name)
			require.ErrorIs(t, err, fs.ErrExist, name)
			require.ErrorContains(t, err, at(name), "the target is named")
			var e *pool.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "backup", e.Op)
		}
		require.ErrorIs(t, p.Backup(t.Context(), ""), fs.ErrExist, "the working directory")

		require.ErrorIs(t, p.Backup(t.Context(), at("missing/copy.db")), fs.ErrNotExist)
		require.ErrorIs(t, p.Backup(t.Context(), at("dangling/copy.db")), fs.ErrNotExist)
		err := p.Backup(t.Context(), at("file/copy.db"))
		require.Error(t, err, "in a file")
		require.ErrorContains(t, err, at("file/copy.db"))

		require.Equal(t, before, names(t, dir))
		text, err := os.ReadFile(at("file"))
		require.NoError(t, err)
		require.Equal(t, "precious", string(text))
		require.Empty(t, names(t, at("dir")))
		requireAtRest(t, p)
	})
}

func TestADatabaseIsNotBackedUpOverItself(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			p := open(t, pool.Config{Path: filepath.Join(dir, "app.db"), JournalMode: pool.JournalMode(mode)})
			require.NoError(t, os.Symlink("app.db", "soft.db"))
			require.NoError(t, os.Link("app.db", "hard.db"))
			before := names(t, dir)
			for _, path := range []string{"app.db", "./app.db", filepath.Join(dir, "app.db"), "soft.db", "hard.db"} {
				require.ErrorIs(t, p.Backup(t.Context(), path), fs.ErrExist, path)
			}
			if mode == "wal" {
				require.ErrorIs(t, p.Backup(t.Context(), "app.db-wal"), fs.ErrExist)
				require.ErrorIs(t, p.Backup(t.Context(), "app.db-shm"), fs.ErrExist)
			}
			require.Equal(t, before, names(t, dir))
			require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
			require.NoError(t, p.HealthCheck(t.Context()))
			requireAtRest(t, p)
		})
	}
}

func TestBackupsAtTheSameTimeEachSucceed(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 3}, func(t *testing.T, p *pool.Pool) {
		run(t, p, ballast)
		dir := t.TempDir()
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() { assert.NoError(t, p.Backup(t.Context(), filepath.Join(dir, fmt.Sprint(i, ".db")))) })
		}
		wg.Wait()
		require.Len(t, names(t, dir), 2)
		for _, name := range names(t, dir) {
			require.EqualValues(t, 700, get(t, backedUp(t, filepath.Join(dir, name)), "SELECT count(*) FROM ballast"))
		}
		requireAtRest(t, p)
	})
}

func TestOfBackupsToOnePathOneWins(t *testing.T) {
	// All are past the look at the target before the first one is done.
	const all = 3
	var begun sync.WaitGroup
	begun.Add(all)
	r := &recorder{hook: func(_ context.Context, op pool.TraceOp) {
		if op.Name == "backup" && op.Done == 0 {
			begun.Done()
			begun.Wait()
		}
	}}
	p := open(t, pool.Config{MaxConns: all + 1, Tracer: r})
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
	requireAtRest(t, p)
}

func TestABackupInATransactionLacksItsWork(t *testing.T) {
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			p := open(t, pool.Config{})
			dir := t.TempDir()
			require.NoError(t, p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
				if err := do(ctx, tx, "INSERT INTO n VALUES (2, 2)"); err != nil {
					return err
				}
				return p.Backup(ctx, filepath.Join(dir, "copy.db"))
			}))
			require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n"), "the transaction goes on")
			require.EqualValues(t, 1, get(t, backedUp(t, filepath.Join(dir, "copy.db")), "SELECT count(*) FROM n"), "only what is committed")
			requireAtRest(t, p)
		})
	}
}

func TestABackupThatWouldWaitForItsOwnTransactionIsADeadlock(t *testing.T) {
	for name, cfg := range map[string]pool.Config{
		"memory":                 {Path: pool.Memory},
		"delete":                 {JournalMode: "delete"},
		"wal and one connection": {MaxConns: 1},
	} {
		for _, level := range levels {
			t.Run(name+" "+level.String(), func(t *testing.T) {
				cfg.AcquireTimeout = -1 // so that waiting would last for ever
				p := open(t, cfg)
				dir := t.TempDir()
				require.NoError(t, p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
					if err := do(ctx, tx, "INSERT INTO n VALUES (2, 2)"); err != nil {
						return err
					}
					assert.ErrorIs(t, p.Backup(ctx, filepath.Join(dir, "copy.db")), pool.ErrDeadlock)
					assert.Empty(t, names(t, dir))
					return do(ctx, tx, "INSERT INTO n VALUES (3, 3)")
				}))
				require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM n"), "the transaction goes on")
				require.NoError(t, p.Backup(t.Context(), filepath.Join(dir, "copy.db")))
				requireAtRest(t, p)
			})
		}
	}
}

func TestABackupInAViewWorks(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		target := filepath.Join(t.TempDir(), "copy.db")
		require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			if _, err := number(ctx, tx, "SELECT count(*) FROM n"); err != nil {
				return err
			}
			return p.Backup(ctx, target)
		}))
		require.EqualValues(t, 1, get(t, backedUp(t, target), "SELECT count(*) FROM n"))
		requireAtRest(t, p)
	})
}

func ExamplePool_Backup() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "backup")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	p, err := pool.Open(ctx, pool.Config{Path: pool.Memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	path := filepath.Join(dir, "copy.db")
	fmt.Println("backed up:", p.Backup(ctx, path) == nil)
	fmt.Println("not twice:", errors.Is(p.Backup(ctx, path), fs.ErrExist))
	// Output:
	// backed up: true
	// not twice: true
}
