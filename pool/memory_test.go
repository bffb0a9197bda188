package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// shortOfMemory makes the test binary a process in which SQLite can be.
const shortOfMemory = "SQLANE_TEST_MEMORY"

// inAProcessShortOfMemory runs the test in a process of its own, since SQLite's
// heap is a process's. The driver has it count nothing, which must be changed
// before the first connection. See https://www.sqlite.org/c3ref/hard_heap_limit64.html.
func inAProcessShortOfMemory(t *testing.T, test func(t *testing.T, h heap)) {
	t.Helper()
	if os.Getenv(shortOfMemory) == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), shortOfMemory+"=1", "GOCOVERDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.NotContains(t, string(out), "no tests to run")
		return
	}
	tls := libc.NewTLS()
	defer tls.Close()
	on := libc.NewVaList(int32(1))
	defer libc.Xfree(tls, on)
	require.Zero(t, lib.Xsqlite3_config(tls, lib.SQLITE_CONFIG_MEMSTATUS, on))
	test(t, heap{tls})
}

// heap is SQLite's, of the whole process.
type heap struct{ tls *libc.TLS }

func (h heap) used() int64 { return lib.Xsqlite3_memory_used(h.tls) }

// leave lets SQLite have so much more than it has; lift ends that.
func (h heap) leave(room int64) { lib.Xsqlite3_hard_heap_limit64(h.tls, h.used()+room) }
func (h heap) lift()            { lib.Xsqlite3_hard_heap_limit64(h.tls, 0) }

// isOutOfMemory reports SQLite's NOMEM, or that a file could not be opened or
// read for want of memory.
func isOutOfMemory(err error) bool {
	code, ok := pool.Code(err)
	return ok && (code == lib.SQLITE_NOMEM || code == lib.SQLITE_IOERR_NOMEM)
}

func TestWithoutMemoryCallsFailOrSucceedAsAWholeAndThePoolRecovers(t *testing.T) {
	besideOthers(t) // for it waits
	inAProcessShortOfMemory(t, func(t *testing.T, h heap) {
		for _, mode := range []string{"wal", "delete", "memory"} {
			before, others := descriptors(t), goleak.IgnoreCurrent()
			p := open(t, inMode(mode, pool.Config{
				MaxConns: 6, HealthCheckInterval: 10 * time.Millisecond, MaxConnLifetime: 20 * time.Millisecond, Logger: slog.New(new(logbook)),
			}))
			text := strings.Repeat("lanes ", 3000)
			run(t, p, "INSERT INTO heap VALUES (?)", text)
			var failed, worked, written atomic.Int64
			for _, room := range []int64{0, 1000, 5000, 10_000, 20_000, 40_000, 80_000, 150_000, 300_000} {
				h.leave(room)
				var wg sync.WaitGroup
				for g := range 8 {
					wg.Go(func() {
						for i := range 10 {
							var err error
							switch way := ways[(g+i)%len(ways)]; i % 5 {
							case 0, 1, 2: // a little is written
								if err = way.run(t.Context(), p, "UPDATE n SET v = v + 1 RETURNING v"); err == nil {
									written.Add(1)
								}
							case 3: // much is written, after a little
								err = p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
									swallowed := errors.Join(
										do(ctx, tx, "UPDATE n SET v = v + 1"),
										do(ctx, tx, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 50) INSERT INTO parent SELECT NULL FROM c"),
										do(ctx, tx, "DELETE FROM parent"))
									if swallowed != nil && !errors.Is(swallowed, pool.ErrTxLost) {
										return swallowed
									}
									return nil
								})
								if err == nil {
									written.Add(1)
								}
							case 4: // much is read
								err = p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
									var got string
									err := tx.QueryRowContext(ctx, "SELECT b FROM heap ORDER BY b || b").Scan(&got)
									if err == nil {
										assert.Equal(t, text, got, "no other answer than the right one")
									}
									return err
								})
							}
							if err == nil {
								worked.Add(1)
								continue
							}
							failed.Add(1)
							assert.True(t, isOutOfMemory(err), "it says why: %v", err)
						}
					})
				}
				wg.Wait()
			}
			require.Positive(t, failed.Load())
			require.Positive(t, worked.Load())
			h.lift()

			waitFor(t, "it recovers", func() bool { return p.HealthCheck(t.Context()) == nil })
			require.Equal(t, written.Load(), get(t, p, "SELECT v FROM n"), "nothing was lost, nothing done by half")
			require.Zero(t, get(t, p, "SELECT count(*) FROM parent"))
			require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"))
			underLoad(t, p, "calls succeed", func() bool { return p.Stats().Open == p.Stats().MaxConns })
			holdAll(t, p, 5)
			requireAtRest(t, p)
			require.NoError(t, p.Close())
			require.Equal(t, before, descriptors(t))
			require.NoError(t, goleak.Find(others))
			require.Zero(t, h.used(), "SQLite has given everything back")
		}
	})
}

func TestWithoutMemoryForMoreConnectionsThePoolGoesOnWithFewerAndSaysWhy(t *testing.T) {
	besideOthers(t) // for it waits
	inAProcessShortOfMemory(t, func(t *testing.T, h heap) {
		for _, mode := range []string{"wal", "delete", "memory"} {
			p := open(t, inMode(mode, pool.Config{
				MaxConns: 20, MinConns: 3, HealthCheckInterval: -1, AcquireTimeout: 250 * time.Millisecond, Logger: slog.New(new(logbook)),
			}))
			h.leave(8000) // and what SQLite finds in its caches: a connection needs more
			var leases []*pool.Lease
			for {
				l, err := p.Acquire(pool.WithLabel(t.Context(), "all there is"))
				if err != nil {
					require.ErrorIs(t, err, pool.ErrAcquireTimeout)
					require.ErrorContains(t, err, "all there is")
					require.ErrorContains(t, err, "no more could be opened: ")
					require.ErrorContains(t, err, "out of memory")
					break
				}
				leases = append(leases, l)
			}
			require.Less(t, len(leases), 19, "as many as it may")
			require.Len(t, leases, p.Stats().Open-1, "all that are open but the writer's")
			for _, l := range leases {
				if err := do(t.Context(), l, "SELECT 1"); err != nil {
					require.True(t, isOutOfMemory(err), "%v", err)
				}
				l.Release()
			}

			h.lift()
			open := p.Stats().Open
			waitFor(t, "there are more again", func() bool { return p.Stats().Open > open })
			leases = nil
			for range 19 {
				l, err := p.Acquire(t.Context())
				require.NoError(t, err)
				leases = append(leases, l)
			}
			_, err := p.Acquire(t.Context())
			require.ErrorIs(t, err, pool.ErrAcquireTimeout)
			require.NotContains(t, err.Error(), "no more could be opened")
			for _, l := range leases {
				l.Release()
			}
			requireAtRest(t, p)
			require.NoError(t, p.Close())
		}
	})
}
