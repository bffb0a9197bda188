package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pages writes about so many pages of 4 KiB to the log, in one transaction.
func pages(n int) func(context.Context, *pool.Tx) error {
	return doing("INSERT INTO heap VALUES (zeroblob(?))", 4096*n)
}

// onDisk is the size of the database file: what is only in the log is not in it.
func onDisk(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

func TestTheLogIsCheckpointedBesideTheWriters(t *testing.T) {
	for _, conns := range []int{2, 4} {
		path := filepath.Join(t.TempDir(), "app.db")
		p := open(t, pool.Config{Path: path, MaxConns: conns})
		require.NoError(t, p.Batch(t.Context(), pages(1100)))
		// From here on the write slot is held, so that nobody checkpoints in it.
		writer, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		require.NoError(t, do(t.Context(), writer, "INSERT INTO n (v) VALUES (7)"))
		waitFor(t, "the pages to be in the file", func() bool { return onDisk(t, path) > 4096*1100 })
		require.NoError(t, writer.Commit(t.Context()))
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n WHERE v = 7"))

		s := p.Stats()
		require.LessOrEqual(t, s.Open, conns, "the checkpoint's connection is none of the pool's")
		require.EqualValues(t, s.Open, s.Created)
		require.Zero(t, s.InUse)
	}
}

func TestALeaseThatWritesHasTheLogCheckpointedToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path})
	for range 11 {
		run(t, p, "INSERT INTO heap VALUES (zeroblob(409600))")
	}
	writer, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	waitFor(t, "the pages to be in the file", func() bool { return onDisk(t, path) > 4096*1000 })
	require.NoError(t, writer.Rollback(t.Context()))
}

// TestTheLogBeginsAnewWhileWritersGoOn writes without a pause.
func TestTheLogBeginsAnewWhileWritersGoOn(t *testing.T) {
	p := open(t, pool.Config{})
	var longest int64
	for range 300 {
		require.NoError(t, p.Batch(t.Context(), pages(100)))
		longest = max(longest, p.Stats().WALBytes)
	}
	require.Less(t, longest, int64(4096*15_000), "of %d written", 4096*30_000)
	require.EqualValues(t, 300, get(t, p, "SELECT count(*) FROM heap"))
}

// TestACheckpointOfTheCallersMeetsNoOther: two at the same time are BUSY to each
// other, which is a column of their row.
func TestACheckpointOfTheCallersMeetsNoOther(t *testing.T) {
	p := open(t, pool.Config{})
	var stop atomic.Bool
	writing := make(chan error, 1)
	go func() {
		var err error
		for err == nil && !stop.Load() {
			err = p.Batch(t.Context(), pages(1000))
		}
		writing <- err
	}()
	for range 50 {
		for _, mode := range []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"} {
			l, err := p.Acquire(t.Context())
			require.NoError(t, err)
			var busy, pages, copied int
			assert.NoError(t, l.QueryRowContext(t.Context(), "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &pages, &copied))
			assert.Zero(t, busy, mode)
			l.Release()
		}
	}
	stop.Store(true)
	require.NoError(t, <-writing)
}

func TestAnAutocheckpointOfOnesOwnIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, Pragmas: map[string]string{"wal_autocheckpoint": "0"}})
	before := onDisk(t, path)
	for range 3 {
		require.NoError(t, p.Batch(t.Context(), pages(1000)))
	}
	require.Zero(t, get(t, p, "PRAGMA wal_autocheckpoint"))
	require.NoError(t, p.Close())
	require.Greater(t, onDisk(t, path), before, "the last connection to close checkpoints")
	require.EqualValues(t, 0, p.Stats().Open)
}

func TestACheckpointThatFailsIsLoggedAndTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	book := new(logbook)
	var fails atomic.Bool
	p := open(t, pool.Config{Path: path, MinConns: 2, MaxConns: 2, HealthCheckInterval: -1, Logger: slog.New(book), OnConnect: func(context.Context, *sql.Conn) error {
		if fails.Load() {
			return errors.New("not now")
		}
		return nil
	}})
	fails.Store(true)
	require.NoError(t, p.Batch(t.Context(), pages(1100)))
	waitFor(t, "the failure to be logged", func() bool { return len(book.saying(slog.LevelWarn, "a checkpoint of the write-ahead log failed")) > 0 })
	fails.Store(false)
	require.NoError(t, p.Batch(t.Context(), pages(1100)))
	writer, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	waitFor(t, "the pages to be in the file", func() bool { return onDisk(t, path) > 4096*2200 })
	require.NoError(t, writer.Rollback(t.Context()))
}

func TestTheCheckpointersConnectionIsReplacedByReset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	var opened atomic.Int64
	p := open(t, pool.Config{Path: path, MaxConns: 2, MinConns: 2, HealthCheckInterval: -1, OnConnect: func(context.Context, *sql.Conn) error {
		opened.Add(1)
		return nil
	}})
	require.NoError(t, p.Batch(t.Context(), pages(1100)))
	waitFor(t, "the checkpoint", func() bool { return onDisk(t, path) > 4096*1100 })
	require.EqualValues(t, 3, opened.Load(), "the pool's two, and the checkpointer's")
	p.Reset()
	waitFor(t, "the pool's connections to be replaced", func() bool { return p.Stats().Reset == 2 })
	require.NoError(t, p.Batch(t.Context(), pages(1100)))
	waitFor(t, "its own to be replaced", func() bool { return opened.Load() == 6 })
}

// TestACloseEndsACheckpointThatWaits: the log is long enough for the checkpointer
// to want the write slot, which somebody has.
func TestACloseEndsACheckpointThatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	book := new(logbook)
	p := open(t, pool.Config{Path: path, Logger: slog.New(book)})
	require.NoError(t, p.Batch(t.Context(), pages(2100)))
	writer, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	waitFor(t, "the checkpoint", func() bool { return onDisk(t, path) > 4096*2100 })
	require.NoError(t, p.Close())
	require.ErrorIs(t, writer.Commit(t.Context()), pool.ErrClosed)
	require.Empty(t, book.saying(slog.LevelInfo, "checkpoint"))
	require.NoFileExists(t, path+"-wal")
}

// TestWhoeverCheckpointsMeetsNoErrorOfAnotherPoolOrProcess: two pools and another
// process write to one file and checkpoint it, each in its own way. Where one
// has to leave it to another that is a column of its row.
func TestWhoeverCheckpointsMeetsNoErrorOfAnotherPoolOrProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	book := new(logbook)
	pools := []*pool.Pool{open(t, pool.Config{Path: path, Logger: slog.New(book)})}
	second, err := pool.Open(t.Context(), pool.Config{Path: path, Synchronous: "off", AcquireTimeout: time.Minute, Logger: slog.New(book)})
	require.NoError(t, err)
	pools = append(pools, second)
	o := startOther(t, path)
	const rounds = 40
	var work errgroup
	for _, p := range pools {
		work.run(func() error {
			for range rounds {
				if err := p.Batch(t.Context(), pages(200)); err != nil {
					return err
				}
			}
			return nil
		})
		work.run(func() error {
			for i := range rounds {
				mode := []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"}[i%4]
				if _, err := p.DB().ExecContext(t.Context(), "INSERT INTO n (v) VALUES (5); PRAGMA wal_checkpoint("+mode+"); INSERT INTO n (v) VALUES (6)"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range rounds {
		o.do("INSERT INTO heap VALUES (zeroblob(400000))")
		o.do("PRAGMA wal_checkpoint(TRUNCATE)")
	}
	require.NoError(t, work.wait())
	require.EqualValues(t, 3*rounds, get(t, second, "SELECT count(*) FROM heap"))
	require.EqualValues(t, 4*rounds, get(t, second, "SELECT count(*) FROM n WHERE v IN (5, 6)"))
	require.NoError(t, second.Close())
	require.Empty(t, book.saying(slog.LevelInfo, ""))
}

// errgroup runs functions and tells of their errors.
type errgroup struct {
	all  sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

func (g *errgroup) run(f func() error) {
	g.all.Go(func() {
		err := f()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.errs = append(g.errs, err)
	})
}

func (g *errgroup) wait() error {
	g.all.Wait()
	return errors.Join(g.errs...)
}
