package pool_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// onLog counts this process's descriptors of a database's write-ahead log: each
// connection has one, and so has who syncs it early.
func onLog(t *testing.T, path string) (n int) {
	t.Helper()
	for _, name := range sqldbDescriptors(t, filepath.Dir(path)) {
		if strings.HasSuffix(name, "-wal") {
			n++
		}
	}
	return n
}

// thousandPages writes a good thousand pages to the log.
func thousandPages(t *testing.T, p *pool.Pool) {
	t.Helper()
	for range 3 {
		require.NoError(t, p.Batch(t.Context(), doing("INSERT INTO heap VALUES (zeroblob(1000000))")))
		run(t, p, "INSERT INTO heap VALUES (zeroblob(1000000))")
	}
}

func TestTheLogIsSyncedBesideTheWritersAtNormalAlone(t *testing.T) {
	besideOthers(t) // for it waits
	for _, c := range []struct {
		synchronous, mode string
		early             int
	}{{"normal", "wal", 1}, {"full", "wal", 0}, {"off", "wal", 0}, {"normal", "delete", 0}} {
		path := filepath.Join(t.TempDir(), "app.db")
		p := open(t, pool.Config{Path: path, MaxConns: 1, Synchronous: pool.Synchronous(c.synchronous), JournalMode: pool.JournalMode(c.mode)})
		before := onLog(t, path)
		thousandPages(t, p)
		if before > 0 { // elsewhere than on Linux nobody can tell
			waitFor(t, "the log to be opened once more", func() bool { return onLog(t, path) == before+c.early })
		}
		require.EqualValues(t, 6, get(t, p, "SELECT count(*) FROM heap"))
		require.NoError(t, p.Close())
		require.Zero(t, onLog(t, path))
		require.NoFileExists(t, path+"-wal")
	}
}

// TestSyncingTheLogDropsNoLock: the locks are on other files, so that whoever
// opens and closes the log leaves them alone.
func TestSyncingTheLogDropsNoLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, Synchronous: "normal"})
	thousandPages(t, p)
	o := startOther(t, path)
	o.do("PRAGMA busy_timeout = 0")
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		log, err := os.OpenFile(path+"-wal", os.O_RDWR, 0)
		require.NoError(t, err)
		require.NoError(t, log.Sync())
		require.NoError(t, log.Close())
		require.Contains(t, o.try("INSERT INTO n (v) VALUES (1)"), "database is locked")
		return do(ctx, tx, "INSERT INTO n (v) VALUES (2)")
	}))
	o.do("INSERT INTO n (v) VALUES (3)")
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE v > 1"))
}

func TestALogThatCannotBeSyncedEarlyIsSyncedInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	book := new(logbook)
	p := open(t, pool.Config{Path: path, Synchronous: "normal", Logger: slog.New(book)})
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		if err := do(ctx, tx, "INSERT INTO heap VALUES (zeroblob(3000000))"); err != nil {
			return err
		}
		return os.Rename(path+"-wal", path+"-elsewhere") // the next writer would see that it is gone
	}))
	waitFor(t, "the failure to be logged", func() bool {
		return len(book.saying(slog.LevelWarn, "syncing the write-ahead log early failed")) == 1
	})
	require.NoError(t, os.Rename(path+"-elsewhere", path+"-wal"))
	thousandPages(t, p)
	require.EqualValues(t, 7, get(t, p, "SELECT count(*) FROM heap"))
	require.Len(t, book.saying(slog.LevelWarn, "syncing"), 1, "it is not tried again")
}

// TestACloseThatInterruptsAWriteLeavesNoLogBehind: the last connection to close
// checkpoints, and the interrupt was not meant for that.
func TestACloseThatInterruptsAWriteLeavesNoLogBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path})
	running := make(chan struct{})
	name := onSignal(t, func() { close(running) })
	written := make(chan error, 1)
	go func() {
		written <- p.InTx(context.Background(), pool.Immediate, doing("INSERT INTO heap "+endless(name)))
	}()
	<-running
	require.NoError(t, p.Close())
	require.ErrorIs(t, <-written, pool.ErrClosed)
	require.NoFileExists(t, path+"-wal")
}
