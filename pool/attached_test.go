package pool_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// beside makes a database with one table and one row, in the journal mode.
func beside(t *testing.T, mode string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "other.db")
	db := plain(t, path)
	_, err := db.ExecContext(t.Context(), "PRAGMA journal_mode="+mode+"; CREATE TABLE o (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO o VALUES (1, 0)")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	return path
}

// attaching is an OnConnect that attaches the file and runs what else is told.
func attaching(path string, more ...string) func(context.Context, *pool.Lease) error {
	return func(ctx context.Context, c *pool.Lease) error {
		err := do(ctx, c, "ATTACH ? AS other", path)
		for _, text := range more {
			if err == nil {
				err = do(ctx, c, text)
			}
		}
		return err
	}
}

// hasty is a pool's configuration under which a wait that nobody ends fails soon,
// and a lock that the process itself holds at once.
func hasty(onConnect func(context.Context, *pool.Lease) error) pool.Config {
	return pool.Config{MaxConns: 4, AcquireTimeout: 50 * time.Millisecond, BusyTimeout: -1, HealthCheckInterval: -1, OnConnect: onConnect}
}

// fileURI attaches a file to a database in memory too: without the VFS that would
// be another one in memory.
func fileURI(path string) string { return "file:" + path + "?vfs=unix" }

func TestReadersAndTheWriterOfAnAttachedFileNeverMeetInsideSQLite(t *testing.T) {
	besideOthers(t) // for it waits
	for _, main := range []string{"wal", "delete", "memory"} {
		for i, other := range []string{"delete", "delete", "truncate", "persist", "wal"} {
			conns := 1 + 5*min(i, 1)
			t.Run(fmt.Sprintf("%s with %s, %d", main, other, conns), func(t *testing.T) {
				path := beside(t, other)
				p := open(t, inMode(main, pool.Config{MaxConns: conns, BusyTimeout: -1, OnConnect: attaching(fileURI(path), "PRAGMA other.synchronous=off")}))
				var wg sync.WaitGroup
				for g := range 8 {
					wg.Go(func() {
						for i := range rounds.Of(5, 25, 25) {
							ways := []func() error{
								func() error { return do(t.Context(), p.Writer(), "UPDATE o SET v = v + 1") },
								func() error {
									return p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = v + 1; UPDATE o SET v = v + 1"))
								},
								func() error {
									return p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
										if _, err := number(ctx, tx, "SELECT v FROM o"); err != nil {
											return err
										}
										return do(ctx, tx, "UPDATE o SET v = v + 1")
									}, pool.Repeatable())
								},
								func() error {
									_, err := p.DB().ExecContext(t.Context(), "UPDATE o SET v = v + 1")
									return err
								},
								func() error {
									return p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
										a, err := number(ctx, tx, "SELECT v FROM o")
										if err != nil {
											return err
										}
										b, err := number(ctx, tx, "SELECT o.v FROM o, n")
										assert.Equal(t, a, b, "one snapshot")
										return err
									})
								},
							}
							err := ways[(g+i)%len(ways)]()
							if other == "wal" && main == "wal" && pool.IsBusy(err) {
								assert.ErrorIs(t, err, pool.ErrConflict) // of a deferred one, as in main
								continue
							}
							assert.NoError(t, err)
						}
					})
				}
				wg.Wait()
				requireAtRest(t, p)
			})
		}
	}
}

func TestAWriterWaitsInItsLaneForAReaderOfAnAttachedFile(t *testing.T) {
	path := beside(t, "delete")
	for how, attach := range map[string]func(context.Context, *pool.Lease) error{"in OnConnect": attaching(path), "on the lease": nil} {
		t.Run(how, func(t *testing.T) {
			p := open(t, pool.Config{MaxConns: 4, BusyTimeout: -1, HealthCheckInterval: -1, OnConnect: attach})
			reader, writer := acquire(t, p), acquire(t, p)
			defer reader.Release()
			defer writer.Release()
			if attach == nil {
				require.NoError(t, do(t.Context(), reader, "ATTACH ? AS other", path))
				require.NoError(t, do(t.Context(), writer, "ATTACH ? AS other", path))
			}
			rows, err := reader.QueryContext(t.Context(), "SELECT v FROM o")
			require.NoError(t, err)
			require.True(t, rows.Next())
			done := make(chan struct{})
			go func() {
				defer close(done)
				assert.NoError(t, do(t.Context(), writer, "UPDATE o SET v = v + 1"))
			}()
			waitFor(t, "it queues, and asks SQLite nothing", func() bool { return p.Stats().WriteQueue == 1 || isDone(done) })
			require.False(t, isDone(done))
			require.NoError(t, rows.Close())
			require.NoError(t, rows.Err())
			<-done
		})
	}
}

func TestWhatIsAttachedPrivatelyOrInWALModeKeepsNobodyWaiting(t *testing.T) {
	fresh := filepath.Join(t.TempDir(), "new.db")
	for name, attach := range map[string]func(context.Context, *pool.Lease) error{
		"memory":         attaching(":memory:"),
		"literal memory": func(ctx context.Context, c *pool.Lease) error { return do(ctx, c, "ATTACH ':memory:' AS other") },
		"memory by URI":  attaching("file:x?mode=memory"),
		"temporary":      attaching(""),
		"literal nothing": func(ctx context.Context, c *pool.Lease) error {
			return do(ctx, c, "PRAGMA temp_store=memory; ATTACH '' AS other")
		},
		"wal":         attaching(beside(t, "wal")),
		"switched":    attaching(beside(t, "delete"), "PRAGMA other.journal_mode=wal"),
		"switched so": attaching(beside(t, "delete"), "PRAGMA Other.journal_mode = 'WAL'"),
		"new and switched": func(ctx context.Context, c *pool.Lease) error {
			return do(ctx, c, "ATTACH '"+fresh+"' AS other; PRAGMA other.journal_mode=wal")
		},
		"detached": attaching(beside(t, "delete"), "DETACH other"),
	} {
		t.Run(name, func(t *testing.T) {
			cfg := hasty(attach)
			cfg.AcquireTimeout = 10 * time.Second
			p := open(t, cfg)
			for range 2 {
				require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
					if err := do(ctx, tx, "UPDATE n SET v = v + 1"); err != nil {
						return err
					}
					// Beside the writer, on connections that are opened meanwhile too.
					a, b := acquire(t, p), acquire(t, p)
					defer a.Release()
					defer b.Release()
					_, err := number(t.Context(), a, "SELECT v FROM n")
					require.NoError(t, err)
					_, err = number(t.Context(), b, "SELECT v FROM n")
					return err
				}))
			}
			requireAtRest(t, p)
		})
	}
}

func TestMemoryThatConnectionsShareIsAttachedUnderTheLaneToo(t *testing.T) {
	soonBesideOthers(t)
	for name, attach := range map[string]string{
		"memdb":   "ATTACH 'file:/attached-" + "memdb?vfs=memdb' AS other",
		"cache":   "ATTACH 'file:attached-cache?mode=memory&cache=shared' AS other",
		"worded":  "ATTACH 'file:/attached-'||'worded?vfs=memdb' AS other",
		"encoded": "ATTACH 'file:/attached-encoded?vfs=%6Demdb' AS other",
		"file":    "ATTACH 'file:" + beside(t, "wal") + "?cache=shared' AS other",
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, hasty(func(ctx context.Context, c *pool.Lease) error { return do(ctx, c, attach) }))
			require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("CREATE TABLE IF NOT EXISTS other.o (id INTEGER PRIMARY KEY, v)")))
			reader := acquire(t, p)
			rows, err := reader.QueryContext(t.Context(), "SELECT 1 FROM n, (SELECT count(*) FROM o)")
			require.NoError(t, err)
			require.True(t, rows.Next())
			err = do(t.Context(), p.Writer(), "INSERT INTO o (v) VALUES (1)")
			require.ErrorIs(t, err, pool.ErrAcquireTimeout, "the lane's word, not SQLite's")
			require.NoError(t, rows.Close())
			reader.Release()
			require.NoError(t, do(t.Context(), p.Writer(), "INSERT INTO o (v) VALUES (1)"))
			requireAtRest(t, p)
		})
	}
}

func TestTheJournalModeOfMainAloneIsThePools(t *testing.T) {
	path := beside(t, "delete")
	p := open(t, pool.Config{MaxConns: 3, JournalMode: "delete"})
	l := acquire(t, p)
	defer l.Release()
	require.NoError(t, do(t.Context(), l, "ATTACH ? AS other", path))
	for _, text := range []string{"PRAGMA journal_mode = wal", "PRAGMA main.journal_mode = wal", `PRAGMA "MAIN".journal_mode(wal)`, "PRAGMA locking_mode = exclusive", "PRAGMA main.locking_mode = exclusive"} {
		require.ErrorIs(t, do(t.Context(), l, text), pool.ErrConfig, text)
	}
	var mode string
	for _, want := range []string{"wal", "truncate", "wal", "delete"} {
		require.NoError(t, l.QueryRowContext(t.Context(), "PRAGMA other.journal_mode = "+want).Scan(&mode))
		require.Equal(t, want, mode)
		require.NoError(t, l.QueryRowContext(t.Context(), "PRAGMA other.journal_mode").Scan(&mode))
		require.Equal(t, want, mode)
		require.NoError(t, l.QueryRowContext(t.Context(), "PRAGMA main.journal_mode").Scan(&mode))
		require.Equal(t, "delete", mode)
	}
	for _, text := range []string{"PRAGMA temp.journal_mode = off", "PRAGMA other.synchronous = off", "PRAGMA other.cache_size = 10", "PRAGMA other.locking_mode = normal"} {
		require.NoError(t, do(t.Context(), l, text), text)
	}
}

func TestAConnectionWhoseAttachedJournalWasChangedIsReplaced(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1, OnConnect: attaching(beside(t, "delete"))})
	l := acquire(t, p)
	require.NoError(t, do(t.Context(), l, "PRAGMA other.journal_mode = truncate"))
	l.Release()
	var mode string
	l = acquire(t, p)
	defer l.Release()
	require.NoError(t, l.QueryRowContext(t.Context(), "PRAGMA other.journal_mode").Scan(&mode))
	require.Equal(t, "delete", mode)
}

func TestAnAttachedFileLeavesWALModeOnlyWhereItIsAttached(t *testing.T) {
	p := open(t, hasty(attaching(beside(t, "wal"))))
	l := acquire(t, p)
	defer l.Release()
	err := do(t.Context(), l, "PRAGMA other.journal_mode = delete")
	require.ErrorIs(t, err, pool.ErrConfig, "the pool's other connections keep it in WAL mode")
	require.ErrorContains(t, err, "OnConnect")
	require.NoError(t, do(t.Context(), l, "PRAGMA other.journal_mode = wal"), "it is")
	require.NoError(t, do(t.Context(), p.Writer(), "UPDATE o SET v = 1"))
}

func TestAPoolInAnotherJournalModeLeavesAttachedOnesAlone(t *testing.T) {
	path := beside(t, "wal")
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), JournalMode: "truncate", OnConnect: attaching(path)})
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), p.Writer(), "UPDATE o SET v = 1"))
	require.NoError(t, p.Close())
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	var mode string
	require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode))
	require.Equal(t, "wal", mode)
	require.NoError(t, db.Close())
}

func TestAFileIsAttachedOnceToAConnection(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		dir := t.TempDir()
		path, link := filepath.Join(dir, "app.db"), filepath.Join(dir, "link.db")
		p := open(t, inMode(mode, pool.Config{Path: path, BusyTimeout: time.Hour}))
		require.NoError(t, os.Symlink(path, link))
		other := beside(t, mode)
		l := acquire(t, p)
		require.NoError(t, do(t.Context(), l, "ATTACH ? AS other", other))
		for _, again := range []string{path, link, "file:" + path, other} {
			err := do(t.Context(), l, "ATTACH ? AS again", again)
			require.ErrorIs(t, err, pool.ErrDeadlock, again)
			require.ErrorContains(t, err, "already")
			n, err := number(t.Context(), l, "SELECT count(*) FROM pragma_database_list WHERE name = 'again'")
			require.NoError(t, err)
			require.Zero(t, n, "it was given back")
		}
		l.Release()
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			require.NoError(t, do(ctx, tx, "UPDATE n SET v = v + 1"))
			rows, err := tx.QueryContext(ctx, "ATTACH ? AS again", path)
			if err == nil {
				_ = rows.Close()
			}
			require.ErrorIs(t, err, pool.ErrDeadlock)
			return do(ctx, tx, "UPDATE n SET v = v + 1")
		}))
		err := p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
			return do(ctx, tx, "ATTACH ? AS again", "file:"+path+"?mode=ro")
		})
		if mode == "wal" {
			require.NoError(t, err, "it takes no lock that the other would wait for")
		} else {
			require.ErrorIs(t, err, pool.ErrDeadlock)
		}
		require.EqualValues(t, 2, get(t, p, "SELECT v FROM n"))
		requireAtRest(t, p)
	}
}

func TestAttachingAFileThatTheWriterHasLockedWaitsInItsLane(t *testing.T) {
	path := beside(t, "delete")
	p := open(t, pool.Config{MaxConns: 3, BusyTimeout: -1})
	writer := acquire(t, p)
	require.NoError(t, do(t.Context(), writer, "ATTACH ? AS other", path))
	done := make(chan struct{})
	l := acquire(t, p)
	defer l.Release()
	tx, err := p.Begin(t.Context(), pool.Exclusive)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), tx, "ATTACH ? AS other", path))
	require.NoError(t, do(t.Context(), tx, "PRAGMA other.cache_size = 1; PRAGMA other.cache_spill = 1"))
	require.NoError(t, do(t.Context(), tx, "WITH RECURSIVE c(x) AS (SELECT 2 UNION ALL SELECT x + 1 FROM c LIMIT 50000) INSERT INTO o SELECT x, x FROM c"))
	go func() {
		defer close(done)
		assert.NoError(t, do(t.Context(), l, "ATTACH ? AS other", path))
		assert.NoError(t, do(t.Context(), l, "SELECT v FROM other.o"), "it is attached")
	}()
	waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 || isDone(done) })
	require.False(t, isDone(done), "what was written has spilled: the file is locked")
	require.NoError(t, tx.Rollback(t.Context()))
	<-done
	writer.Release()
}

func TestWorkThatWouldWaitForItselfOverAnAttachedFileIsADeadlock(t *testing.T) {
	cfg := hasty(attaching(beside(t, "delete")))
	cfg.AcquireTimeout = time.Hour
	p := open(t, cfg)
	target := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
		l, err := p.Acquire(ctx)
		if err == nil {
			_, err = number(ctx, l, "SELECT v FROM o")
			l.Release()
		}
		require.ErrorIs(t, err, pool.ErrDeadlock, "a reader beside the writer")
		require.ErrorIs(t, p.Backup(ctx, target), pool.ErrDeadlock)
		return nil
	}))
	require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
		_, err := number(ctx, tx, "SELECT v FROM o")
		require.NoError(t, err)
		_, err = p.DB().ExecContext(ctx, "UPDATE n SET v = 1")
		require.ErrorIs(t, err, pool.ErrDeadlock, "a writer beside the reader")
		return nil
	}))
	require.NoError(t, p.Backup(t.Context(), target))
	requireAtRest(t, p)
}

func TestAConnectionIsOpenedBesideAWriterOfAnAttachedFileWhenItIsDone(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 4, BusyTimeout: -1, HealthCheckInterval: -1, OnConnect: attaching(beside(t, "delete"), "SELECT count(*) FROM o")})
	idle := acquire(t, p)
	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), tx, "UPDATE o SET v = 1"))
	got := make(chan *pool.Lease)
	go func() {
		l, err := p.Acquire(t.Context())
		assert.NoError(t, err)
		got <- l
	}()
	waitFor(t, "it queues behind the writer", func() bool { return p.Stats().WriteQueue == 1 })
	require.NoError(t, tx.Commit(t.Context()))
	(<-got).Release()
	idle.Release()
	p.Reset() // the writer's too: nobody waits for the other
	waitFor(t, "all are new", func() bool { return p.Stats().Reset >= 2 })
	requireAtRest(t, p)
}

func TestAnotherProcessesLockOnAnAttachedFileIsWaitedFor(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		path := beside(t, mode)
		p := open(t, pool.Config{MaxConns: 3, BusyTimeout: time.Minute, OnConnect: attaching(path)})
		o := startOther(t, path)
		require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
			require.NoError(t, do(ctx, tx, "UPDATE n SET v = v + 1"))
			o.do("BEGIN IMMEDIATE")
			done := make(chan error)
			go func() { done <- do(ctx, tx, "UPDATE o SET v = v + 1") }() // the lock on main is no lock on the other
			o.do("COMMIT")
			return <-done
		}), mode)
		requireAtRest(t, p)
	}
}

func TestAnAttachedFileInExclusiveLockingModeKeepsItsLeasesLocks(t *testing.T) {
	path := beside(t, "delete")
	p := open(t, hasty(nil))
	l := acquire(t, p)
	require.NoError(t, do(t.Context(), l, "ATTACH ? AS other", path))
	require.NoError(t, do(t.Context(), l, "PRAGMA other.locking_mode = exclusive"))
	require.NoError(t, do(t.Context(), l, "UPDATE o SET v = 1"))
	err := p.InTx(t.Context(), pool.Immediate, doing("SELECT 1"))
	require.ErrorIs(t, err, pool.ErrAcquireTimeout, "what SQLite keeps the lane does")
	require.ErrorContains(t, err, "TestAnAttachedFileInExclusiveLockingModeKeepsItsLeasesLocks")
	l.Release()
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("SELECT 1")))

	_, err = pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), OnConnect: attaching(path, "PRAGMA other.locking_mode = exclusive")})
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "locking_mode")
}

func TestAReadOnlyPoolReadsWhatIsAttached(t *testing.T) {
	path, other := filepath.Join(t.TempDir(), "app.db"), beside(t, "delete")
	require.NoError(t, open(t, pool.Config{Path: path}).Close())
	p, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true, OnConnect: attaching(other)})
	require.NoError(t, err)
	for _, from := range []string{"o", "n"} {
		require.EqualValues(t, 0, get(t, p, "SELECT v FROM "+from))
	}
	require.ErrorIs(t, do(t.Context(), p.DB(), "UPDATE o SET v = 1"), pool.ErrReadOnly)
	o := startOther(t, other)
	o.do("BEGIN EXCLUSIVE")
	done := make(chan int64)
	go func() { done <- get(t, p, "SELECT v FROM o") }()
	o.do("UPDATE o SET v = 7; COMMIT")
	require.EqualValues(t, 7, <-done)
	require.NoError(t, p.Close())
}

func TestALaterConnectionMayAttachWhatTheFirstDidNot(t *testing.T) {
	path := beside(t, "delete")
	var opened atomic.Int32
	attach := attaching(path)
	p := open(t, pool.Config{MaxConns: 4, BusyTimeout: -1, HealthCheckInterval: -1, OnConnect: func(ctx context.Context, c *pool.Lease) error {
		if opened.Add(1) == 1 {
			return nil
		}
		return attach(ctx, c)
	}})
	l, more := acquire(t, p), acquire(t, p)
	rows, err := l.QueryContext(t.Context(), "SELECT v FROM o")
	require.NoError(t, err)
	require.True(t, rows.Next())
	done := make(chan struct{})
	go func() {
		defer close(done)
		assert.NoError(t, do(t.Context(), more, "UPDATE o SET v = v + 1"))
	}()
	waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 || isDone(done) })
	require.NoError(t, rows.Close())
	<-done
	l.Release()
	more.Release()
	requireAtRest(t, p)
}

func TestAnAttachedFileStaysInWALModeWhileAConnectionHasIt(t *testing.T) {
	path := beside(t, "wal")
	p := open(t, pool.Config{MaxConns: 1, OnConnect: attaching(path)})
	o := startOther(t, path)
	o.do("PRAGMA busy_timeout = 0")
	require.Contains(t, o.try("PRAGMA journal_mode = delete"), "locked", "what the pool knows about it holds")
	require.NoError(t, do(t.Context(), p.DB(), "UPDATE o SET v = 1"))
}

func TestEachAttachedFileHasASnapshotOfItsOwn(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3, BusyTimeout: -1, OnConnect: attaching(beside(t, "wal"))})
	require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		_, err := number(ctx, tx, "SELECT v FROM n")
		require.NoError(t, err)
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = 5; UPDATE o SET v = 5")))
		a, err := number(ctx, tx, "SELECT v FROM n")
		require.NoError(t, err)
		b, err := number(ctx, tx, "SELECT v FROM o")
		require.NoError(t, err)
		require.Equal(t, []int64{0, 5}, []int64{a, b})
		return do(ctx, tx, "UPDATE o SET v = v + 1") // of which main's snapshot is no concern
	}))
	require.EqualValues(t, 6, get(t, p, "SELECT v FROM o"))
	err := p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		_, err := number(ctx, tx, "SELECT v FROM o")
		require.NoError(t, err)
		require.NoError(t, do(t.Context(), p.Writer(), "UPDATE o SET v = 7"))
		return do(ctx, tx, "UPDATE o SET v = v + 1")
	})
	require.ErrorIs(t, err, pool.ErrConflict)
	requireAtRest(t, p)
}

func TestWhatIsPreparedFirstReadsAnAttachedFileInTheLaneToo(t *testing.T) {
	path := beside(t, "delete")
	p := open(t, pool.Config{MaxConns: 4, BusyTimeout: -1, HealthCheckInterval: -1})
	l := acquire(t, p)
	defer l.Release()
	require.NoError(t, do(t.Context(), l, "ATTACH ? AS other", path))
	tx, err := p.Begin(t.Context(), pool.Exclusive)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), tx, "ATTACH ? AS other", path))
	require.NoError(t, do(t.Context(), tx, "CREATE TABLE other.more (v)"))
	require.NoError(t, do(t.Context(), tx, "PRAGMA other.cache_size = 1; PRAGMA other.cache_spill = 1"))
	require.NoError(t, do(t.Context(), tx, "WITH RECURSIVE c(x) AS (SELECT 2 UNION ALL SELECT x + 1 FROM c LIMIT 50000) INSERT INTO o SELECT x, x FROM c"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s, err := l.PrepareContext(t.Context(), "SELECT v FROM o WHERE id = 1")
		if assert.NoError(t, err) {
			assert.NoError(t, s.Close())
		}
	}()
	waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 || isDone(done) })
	require.False(t, isDone(done))
	require.NoError(t, tx.Rollback(t.Context()))
	<-done
}

func TestAWriterKeepsTheLaneWhileItStillReadsAnAttachedFile(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 4, BusyTimeout: -1, HealthCheckInterval: -1, OnConnect: attaching(beside(t, "delete"))})
	l := acquire(t, p)
	defer l.Release()
	rows, err := l.QueryContext(t.Context(), "SELECT v FROM o")
	require.NoError(t, err)
	require.True(t, rows.Next())
	require.NoError(t, do(t.Context(), l, "UPDATE n SET v = 1")) // the reading goes on
	done := make(chan struct{})
	go func() {
		defer close(done)
		assert.NoError(t, do(t.Context(), p.Writer(), "UPDATE o SET v = v + 1"))
	}()
	waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 || isDone(done) })
	require.False(t, isDone(done))
	require.NoError(t, rows.Close())
	require.NoError(t, rows.Err())
	<-done
}

func TestAConnectionWhoseOnConnectReadsAFileForAWhileTakesTheLaneBeforeItsTurn(t *testing.T) {
	var opened atomic.Int32
	attach := attaching(beside(t, "delete"), "SELECT count(*) FROM o", "DETACH other")
	p := open(t, pool.Config{MaxConns: 4, BusyTimeout: -1, HealthCheckInterval: -1, OnConnect: func(ctx context.Context, c *pool.Lease) error {
		opened.Add(1)
		return attach(ctx, c)
	}})
	idle := acquire(t, p)
	defer idle.Release()
	before := opened.Load()
	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	got := make(chan *pool.Lease)
	go func() {
		l, err := p.Acquire(t.Context())
		assert.NoError(t, err)
		got <- l
	}()
	waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 })
	require.Equal(t, before, opened.Load(), "it does not have the turn to open while it waits")
	require.NoError(t, tx.Commit(t.Context()))
	(<-got).Release()
}
