package pool_test

import (
	"context"
	"database/sql/driver"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// uses are the ways to use a pool that may wait.
func uses(t *testing.T, p *pool.Pool) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"acquire": func(ctx context.Context) error {
			l, err := p.Acquire(ctx)
			if err == nil {
				l.Release()
			}
			return err
		},
		"begin": func(ctx context.Context) error {
			tx, err := p.Begin(ctx, pool.Immediate)
			if err == nil {
				return tx.Rollback(ctx)
			}
			return err
		},
		"deferred":  func(ctx context.Context) error { return p.InTx(ctx, pool.Deferred, doing("SELECT 1")) },
		"immediate": func(ctx context.Context) error { return p.InTx(ctx, pool.Immediate, doing("SELECT 1")) },
		"batch":     func(ctx context.Context) error { return p.Batch(ctx, doing("SELECT 1")) },
		"view":      func(ctx context.Context) error { return p.View(ctx, doing("SELECT 1")) },
		"writer":    func(ctx context.Context) error { return do(ctx, p.Writer(), "UPDATE n SET v = 1") },
		"writer's row": func(ctx context.Context) error {
			_, err := number(ctx, p.Writer(), "UPDATE n SET v = 1 RETURNING v")
			return err
		},
		"database/sql": func(ctx context.Context) error { return do(ctx, p.DB(), "SELECT 1") },
		"database/sql's transaction": func(ctx context.Context) error {
			tx, err := p.DB().BeginTx(ctx, nil)
			if err == nil {
				return tx.Rollback()
			}
			return err
		},
		"backup":       func(ctx context.Context) error { return p.Backup(ctx, filepath.Join(t.TempDir(), "copy.db")) },
		"health check": p.HealthCheck,
		"shutdown":     p.Shutdown,
	}
}

func TestOnConnectThatUsesItsOwnPoolIsADeadlockAtOnce(t *testing.T) {
	soonBesideOthers(t)
	for _, mode := range []string{"wal", "delete", "memory"} {
		for _, conns := range []int{1, 2, 5} {
			for _, within := range []string{"", "a view", "a writer"} {
				t.Run(mode+" "+within, func(t *testing.T) {
					var p *pool.Pool
					var held atomic.Pointer[pool.Lease]
					var calls atomic.Int32
					var looking sync.Mutex // so that the pool is not closed meanwhile
					over := false
					p = open(t, inMode(mode, pool.Config{MaxConns: conns, AcquireTimeout: time.Hour, HealthCheckInterval: -1, OnConnect: func(ctx context.Context, c *pool.Lease) error {
						if p == nil {
							return nil
						}
						looking.Lock()
						defer looking.Unlock()
						if over {
							return nil
						}
						calls.Add(1)
						for name, use := range uses(t, p) {
							assert.ErrorIs(t, use(ctx), pool.ErrDeadlock, name)
							assert.ErrorContains(t, use(ctx), "OnConnect", name)
						}
						if l := held.Load(); l != nil {
							assert.ErrorIs(t, do(ctx, l, "UPDATE n SET v = 1"), pool.ErrDeadlock, "on a lease from elsewhere")
						}
						assert.Nil(t, p.TxFromContext(ctx), "whoever needs the connection, it is set up alike")
						_, err := number(ctx, c, "SELECT count(*) FROM n")
						return err
					}}))
					opening := func(ctx context.Context) {
						l, err := p.Acquire(ctx)
						if err == nil {
							_, err = number(ctx, l, "SELECT v FROM n")
							l.Release()
						}
						if err != nil {
							assert.ErrorIs(t, err, pool.ErrDeadlock) // of the transaction around it
						}
					}
					inside := func(ctx context.Context, tx *pool.Tx) error {
						if _, err := number(ctx, tx, "SELECT v FROM n"); err != nil {
							return err
						}
						opening(ctx)
						return nil
					}
					switch {
					case within == "a view":
						require.NoError(t, p.View(t.Context(), inside))
					case within == "a writer":
						require.NoError(t, p.InTx(t.Context(), pool.Immediate, inside))
					case conns > 2:
						held.Store(acquire(t, p))
						opening(t.Context())
						held.Swap(nil).Release()
					}
					p.Reset()
					waitFor(t, "maintenance opens connections too", func() bool { return p.Stats().Reset > 0 })
					require.Positive(t, calls.Load())
					looking.Lock()
					over = true
					looking.Unlock()
					requireAtRest(t, p)
				})
			}
		}
	}
}

func TestTheCallerLearnsOfOnConnectsDeadlock(t *testing.T) {
	var p *pool.Pool
	p = open(t, pool.Config{MaxConns: 3, AcquireTimeout: time.Hour, HealthCheckInterval: -1, OnConnect: func(ctx context.Context, _ *pool.Lease) error {
		if p == nil {
			return nil
		}
		return do(ctx, p.Writer(), "SELECT 1")
	}})
	l := acquire(t, p)
	_, err := p.Acquire(t.Context())
	require.ErrorIs(t, err, pool.ErrDeadlock)
	require.ErrorContains(t, err, "OnConnect")
	l.Release()
	requireAtRest(t, p)
}

func TestATimeoutNamesOnConnectThatWaitsForItsPoolInSecret(t *testing.T) {
	var p *pool.Pool
	inner := make(chan error, 1)
	p = open(t, pool.Config{MaxConns: 3, AcquireTimeout: 50 * time.Millisecond, HealthCheckInterval: -1, OnConnect: func(context.Context, *pool.Lease) error {
		if p != nil {
			l, err := p.Acquire(context.Background()) // which tells nobody where it comes from
			if err == nil {
				l.Release()
			}
			inner <- err
		}
		return nil
	}})
	held := acquire(t, p)
	l := acquire(t, p)
	err := <-inner
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.ErrorContains(t, err, "; OnConnect has been setting up another for ")
	l.Release()
	held.Release()
	_, err = number(t.Context(), p.DB(), "SELECT v FROM n")
	require.NoError(t, err)
	requireAtRest(t, p)
}

func TestAContextOfOnConnectThatIsKeptRefusesNothingLater(t *testing.T) {
	contexts := make(chan context.Context, 10)
	p := open(t, pool.Config{AcquireTimeout: time.Hour, OnConnect: func(ctx context.Context, _ *pool.Lease) error {
		contexts <- context.WithoutCancel(ctx)
		return nil
	}})
	for name, use := range uses(t, p) {
		if name != "shutdown" {
			ctx := <-contexts
			require.NoError(t, use(ctx), name)
			contexts <- ctx
		}
	}
	require.NoError(t, p.Shutdown(<-contexts))
}

// inward is a Tracer, or a log's handler, that uses the pool.
type inward struct {
	logbook
	mu   sync.Mutex
	uses map[string]func(ctx context.Context) error
	errs map[string]error
}

func (i *inward) use(ctx context.Context) {
	i.mu.Lock()
	uses := i.uses
	i.uses = nil
	i.mu.Unlock()
	for name, use := range uses {
		i.errs[name] = use(ctx)
	}
}

func (i *inward) Start(ctx context.Context, _ pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	i.use(ctx)
	return ctx, nil
}

func (i *inward) Handle(ctx context.Context, r slog.Record) error {
	i.use(ctx)
	return i.logbook.Handle(ctx, r)
}

func TestATracerOrLoggerThatUsesItsPoolIsADeadlockAtOnce(t *testing.T) {
	for _, what := range []string{"Tracer", "Logger"} {
		t.Run(what, func(t *testing.T) {
			i := &inward{errs: map[string]error{}}
			path := filepath.Join(t.TempDir(), "app.db")
			cfg := pool.Config{Path: path, AcquireTimeout: time.Hour, HealthCheckInterval: -1, Logger: slog.New(i)}
			if what == "Tracer" {
				cfg.Tracer = i
			}
			p := open(t, cfg)
			all := uses(t, p)
			if what == "Logger" {
				delete(all, "health check") // it looks at the file first, which is away
			}
			require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
				i.uses = all
				if what == "Logger" {
					require.NoError(t, os.Rename(path, path+".away"))
					require.ErrorIs(t, p.HealthCheck(ctx), pool.ErrMoved) // which is logged
					return os.Rename(path+".away", path)
				}
				require.NoError(t, p.InTx(ctx, pool.Immediate, doing("UPDATE n SET v = 7")), "the traced itself is in its transaction")
				return nil
			}))
			require.Len(t, i.errs, len(all))
			for name, err := range i.errs {
				require.ErrorIs(t, err, pool.ErrDeadlock, name)
				require.ErrorContains(t, err, what, name)
			}
			requireAtRest(t, p)
		})
	}
}

func TestAShutdownWithinItsOwnTransactionIsADeadlock(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		require.ErrorIs(t, p.Shutdown(ctx), pool.ErrDeadlock)
		return do(ctx, tx, "UPDATE n SET v = 1")
	}))
	require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"), "it is open")
	require.NoError(t, p.Shutdown(t.Context()))
}

// reentering is what SQL's reenter(name) does.
var reentering sync.Map

func init() {
	sqlite.MustRegisterScalarFunction("reenter", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		if f, ok := reentering.Load(args[0]); ok {
			return int64(1), f.(func() error)()
		}
		return int64(0), nil
	})
}

func TestAFunctionOfSQLThatUsesThePoolFindsItsStatementAmongTheHolders(t *testing.T) {
	p := open(t, pool.Config{AcquireTimeout: 50 * time.Millisecond})
	reentering.Store(t.Name(), func() error { return p.InTx(context.Background(), pool.Immediate, doing("SELECT 1")) })
	defer reentering.Delete(t.Name())
	err := p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = reenter('"+t.Name()+"')"))
	require.ErrorContains(t, err, pool.ErrAcquireTimeout.Error())
	require.ErrorContains(t, err, t.Name(), "the holder is the caller itself")
	requireAtRest(t, p)
}

func TestAnOnConnectThatPanicsOrExitsInMaintenanceIsAnErrorThere(t *testing.T) {
	soonBesideOthers(t)
	for how, leave := range map[string]func(){"panic: ours": func() { panic("ours") }, "runtime.Goexit": runtime.Goexit} {
		t.Run(how, func(t *testing.T) {
			var leaving atomic.Bool
			book := new(logbook)
			p := open(t, pool.Config{MaxConns: 2, MinConns: 2, HealthCheckInterval: -1, Logger: slog.New(book), OnConnect: func(context.Context, *pool.Lease) error {
				if leaving.Load() {
					leave()
				}
				return nil
			}})
			leaving.Store(true)
			p.Reset()
			waitFor(t, "it is logged", func() bool { return strings.Contains(book.text(), how) })
			if how != "runtime.Goexit" {
				require.Contains(t, book.text(), "within_test.go", "with the stack")
			}
			leaving.Store(false)
			waitFor(t, "maintenance goes on", func() bool { return p.Stats().Reset >= 2 })
			requireAtRest(t, p)
		})
	}
}

// text is all that was logged.
func (b *logbook) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all strings.Builder
	for _, e := range b.entries {
		all.WriteString(e.message + " " + e.attrs["error"] + "\n")
	}
	return all.String()
}
