package pool_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/libc"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// takesMutex asks SQLite whether calls take a mutex on the connection.
func takesMutex(conn driver.Conn) bool {
	tls := libc.NewTLS()
	defer tls.Close()
	return lib.Xsqlite3_db_mutex(tls, uintptr(reflect.ValueOf(conn).Elem().FieldByName("db").Uint())) != 0
}

func TestRawHasSQLitesMutexAndThePoolHasNot(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2})
	l := acquire(t, p)
	defer l.Release()
	var conn driver.Conn
	raw := func(then func()) error {
		return l.Raw(t.Context(), func(c driver.Conn) error {
			conn = c
			assert.True(t, takesMutex(c))
			then()
			return nil
		})
	}
	require.NoError(t, raw(func() {}))
	require.False(t, takesMutex(conn))
	require.PanicsWithValue(t, "ours", func() { _ = raw(func() { panic("ours") }) })
	require.False(t, takesMutex(conn))
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = raw(runtime.Goexit)
	}()
	<-exited
	require.False(t, takesMutex(conn))
	require.NoError(t, do(t.Context(), l, "INSERT INTO n VALUES (2, 2)"))
	require.NoError(t, raw(func() { assert.NoError(t, conn.Close()) }))
	require.ErrorIs(t, do(t.Context(), l, "SELECT 1"), pool.ErrClosed)
}

type backuper interface {
	NewBackup(uri string) (*sqlite.Backup, error)
}

// A backup in the program's hands enters SQLite as it likes.
func TestABackupOfTheProgramsOwnHasSQLitesMutex(t *testing.T) {
	var conn driver.Conn
	p := open(t, pool.Config{MaxConns: 1, OnConnect: func(ctx context.Context, l *pool.Lease) error {
		return l.Raw(ctx, func(c driver.Conn) error { conn = c; return nil })
	}})
	require.False(t, takesMutex(conn))
	pinned := sqldbConn(t, p.DB())
	require.NoError(t, pinned.Raw(func(c any) error {
		backup, err := c.(backuper).NewBackup("file:" + filepath.Join(t.TempDir(), "copy.db"))
		require.NoError(t, err)
		require.True(t, takesMutex(conn))
		more, err := backup.Step(-1)
		require.NoError(t, err)
		require.False(t, more)
		return backup.Finish()
	}))
	require.Panics(t, func() { _ = do(t.Context(), pinned, "UPDATE n SET v = leave(3, 'panic')") },
		"SQLite is left with its mutex taken, by the thread that goes on")
	require.NoError(t, pinned.Close())
	require.NoError(t, p.DB().Close())
	require.EqualValues(t, 0, get(t, p, "SELECT v FROM n"))
	requireAtRest(t, p)
}

// occupants counts, by connection, who is inside SQLite; see occupy.
var occupants sync.Map

var occupied = sync.OnceValue(func() error {
	return sqlite.RegisterScalarFunction("occupy", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		n, _ := occupants.LoadOrStore(args[0], new(atomic.Int32))
		if n.(*atomic.Int32).Add(1) != 1 {
			return nil, fmt.Errorf("connection %v has two goroutines in it", args[0])
		}
		runtime.Gosched()
		n.(*atomic.Int32).Add(-1)
		return int64(0), nil
	})
})

// SQLite takes no mutex, so nobody else may. Under the race detector, with
// modernc.org/... not excepted from it, this shows every call: the driver's thread,
// which they are made as, is Go's memory, and each writes to it.
func TestAConnectionHasOneGoroutineInItAtATime(t *testing.T) {
	require.NoError(t, occupied())
	p := open(t, pool.Config{
		MaxConns: 4, HealthCheckInterval: time.Millisecond, MaxConnLifetime: 20 * time.Millisecond,
		OnConnect: func(ctx context.Context, l *pool.Lease) error {
			_, err := l.ExecContext(ctx, "CREATE TEMP TABLE me AS SELECT random() AS self")
			return err
		},
	})
	const (
		read  = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 50) SELECT occupy(self), v FROM me, c, n"
		write = "UPDATE n SET v = v + 1 + (SELECT occupy(self) FROM me)"
	)
	dir := t.TempDir()
	uses := []func(ctx context.Context, n int) error{
		func(ctx context.Context, _ int) error { return do(ctx, p.DB(), write) },
		func(ctx context.Context, _ int) error {
			_, err := p.Writer().ExecContext(ctx, "INSERT INTO heap VALUES (1)")
			return err
		},
		func(ctx context.Context, _ int) error { return p.Batch(ctx, doing(write)) },
		func(ctx context.Context, _ int) error { return p.InTx(ctx, pool.Immediate, doing(write)) },
		func(ctx context.Context, _ int) error {
			rows, err := p.Reader().Query(ctx, read)
			if err != nil {
				return err
			}
			for rows.Next() {
				p.Stats()
			}
			return errors.Join(rows.Err(), rows.Close())
		},
		func(ctx context.Context, _ int) error {
			l, err := p.Acquire(ctx)
			if err != nil {
				return err
			}
			defer l.Release()
			return l.Raw(ctx, func(c driver.Conn) error {
				_, err := c.(driver.ExecerContext).ExecContext(ctx, write, nil)
				return err
			})
		},
		func(ctx context.Context, n int) error { return p.Backup(ctx, filepath.Join(dir, fmt.Sprint(n))) },
		func(ctx context.Context, _ int) error {
			ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			err := do(ctx, p.DB(), "SELECT count(*) FROM ("+endless("occupants")+"), me WHERE occupy(self)")
			if errors.Is(err, context.DeadlineExceeded) {
				return nil
			}
			return err
		},
		func(ctx context.Context, _ int) error {
			p.Reset()
			return p.HealthCheck(ctx)
		},
	}
	var all sync.WaitGroup
	for i := range 2 * len(uses) {
		all.Go(func() {
			for j := range 10 {
				if !assert.NoError(t, uses[(i+j)%len(uses)](t.Context(), 10*i+j)) {
					return
				}
			}
		})
	}
	all.Wait()
	requireAtRest(t, p)
}
