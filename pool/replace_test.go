package pool_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReplacingTheWriterKeepsNobodyWaiting(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 2, MinConns: 2, AcquireTimeout: time.Hour}, func(t *testing.T, p *pool.Pool) {
		for range 5 {
			require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("PRAGMA cache_size = 10")))
			require.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = v + 1")))
		}
		require.EqualValues(t, 5, p.Stats().Dirty)
		requireAtRest(t, p)
	})
}

func TestAConnectionThatIsClosedUnderItsLeaseIsReplaced(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1}, testClosedUnderItsLease)
	everywhere(t, pool.Config{MaxConns: 2}, testClosedUnderItsLease)
}

func testClosedUnderItsLease(t *testing.T, p *pool.Pool) {
	for range 3 {
		conn := pinned(t, p)
		require.NoError(t, conn.Raw(func(under any) error {
			return under.(driver.Conn).Close() // database/sql's half alone: the lease goes back
		}))
		_ = conn.Close()
	}
	require.LessOrEqual(t, p.Stats().Open, 2)
	requireAtRest(t, p)
}

func TestAConnectionBrokenWhileItWritesLetsTheNextWriterIn(t *testing.T) {
	k := new(keeper)
	p := open(t, pool.Config{OnConnect: k.onConnect})
	for i := range 3 {
		var wg sync.WaitGroup
		err := p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			require.NoError(t, do(ctx, tx, "UPDATE n SET v = 100"))
			wg.Go(func() { assert.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = v + 1"))) })
			waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 })
			k.breakAll(t)
			assert.Error(t, do(ctx, tx, "UPDATE n SET v = 200"))
			return nil
		})
		require.Error(t, err)
		wg.Wait()
		require.EqualValues(t, i+1, get(t, p, "SELECT v FROM n"))
	}
	require.Positive(t, p.Stats().Broken)
	requireAtRest(t, p)
}

func TestABackupNeverTakesANameOfSQLitesOwn(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []string{"wal", "delete"} {
		path := filepath.Join(dir, mode+".db")
		p := open(t, pool.Config{Path: path, JournalMode: pool.JournalMode(mode)})
		for _, suffix := range []string{"-journal", "-wal", "-shm"} {
			require.Error(t, p.Backup(t.Context(), path+suffix))
		}
		require.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")))
	}
}

func TestABackupRacesWithClose(t *testing.T) {
	for range 20 {
		p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), Synchronous: "off"})
		require.NoError(t, err)
		var wg sync.WaitGroup
		target := filepath.Join(t.TempDir(), "copy.db")
		wg.Go(func() {
			if err := p.Backup(t.Context(), target); err != nil {
				assert.NoFileExists(t, target)
			}
		})
		wg.Go(func() { assert.NoError(t, p.Close()) })
		wg.Wait()
	}
}

func TestAReaderBesideItsOwnViewDoesNotQueueBehindAWriter(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 4, MinConns: 4, AcquireTimeout: time.Hour}, func(t *testing.T, p *pool.Pool) {
		var wg sync.WaitGroup
		require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			_, err := number(ctx, tx, "SELECT v FROM n")
			require.NoError(t, err)
			before := p.Stats().Acquires
			wg.Go(func() { assert.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1"))) })
			waitFor(t, "it writes or queues", func() bool { s := p.Stats(); return s.Acquires > before || s.WriteQueue > 0 })
			l, err := p.Acquire(ctx)
			require.NoError(t, err)
			defer l.Release()
			_, err = number(ctx, l, "SELECT count(*) FROM n")
			return err
		}))
		wg.Wait()
		requireAtRest(t, p)
	})
}

func TestAWriterThatMustDoWithAReadersConnectionTakesNoneThatIsClosed(t *testing.T) {
	k := new(keeper)
	var fails atomic.Bool
	refuse := refusing(&fails)
	p := open(t, pool.Config{MaxConns: 2, HealthCheckInterval: -1, Logger: slog.New(new(logbook)), OnConnect: func(ctx context.Context, conn *pool.Lease) error {
		return errors.Join(refuse(ctx, conn), k.onConnect(ctx, conn))
	}})
	fails.Store(true)
	k.breakAll(t)
	require.ErrorIs(t, p.Batch(t.Context(), doing("SELECT 1")), pool.ErrUnhealthy)
	fails.Store(false)
	require.NoError(t, p.Batch(t.Context(), doing("SELECT 1")))
	requireAtRest(t, p)
}
