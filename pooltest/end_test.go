package pooltest_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
)

// here is the place of its caller, and as many lines further on.
func here(lines int) string {
	_, file, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", file, line+lines)
}

func TestATestThatLeavesNothingPasses(t *testing.T) {
	everywhere(t, func(t *testing.T, opts ...pooltest.Option) {
		passes(t, func(t testing.TB) {
			p := pooltest.New(t, opts...)
			l, err := p.Acquire(t.Context())
			require.NoError(t, err)
			l.Release()
			rows, err := p.Reader().Query(t.Context(), "SELECT id FROM notes")
			require.NoError(t, err)
			rows.Close()
			db := p.DB()
			_, err = db.ExecContext(t.Context(), "INSERT INTO notes (text) VALUES ('second')")
			require.NoError(t, err) // and db stays open
		})
	})
}

// leaks are ways to keep a connection, and the line that takes it.
var leaks = map[string]func(ctx context.Context, t testing.TB, p *pool.Pool) (kept any, line string){
	"a lease": func(ctx context.Context, t testing.TB, p *pool.Pool) (any, string) {
		l, err := p.Acquire(ctx)
		require.NoError(t, err)
		return l, here(-2)
	},
	"rows": func(ctx context.Context, t testing.TB, p *pool.Pool) (any, string) {
		rows, err := p.Reader().QueryContext(ctx, "SELECT id FROM notes")
		require.NoError(t, err)
		return rows, here(-2)
	},
	"a transaction": func(ctx context.Context, t testing.TB, p *pool.Pool) (any, string) {
		tx, err := p.Begin(ctx, pool.Immediate)
		require.NoError(t, err)
		return tx, here(-2)
	},
	"a transaction of a *sql.DB": func(ctx context.Context, t testing.TB, p *pool.Pool) (any, string) {
		tx, err := p.DB().BeginTx(ctx, nil)
		require.NoError(t, err)
		return tx, here(-2)
	},
	"an *sql.Conn": func(ctx context.Context, t testing.TB, p *pool.Pool) (any, string) {
		c, err := p.DB().Conn(ctx)
		require.NoError(t, err)
		return c, here(-2)
	},
}

func TestALeaseThatIsLeftFailsTheTestAndNamesItsLine(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // for what database/sql leaves
	var all sync.WaitGroup
	for name, leave := range leaks {
		for _, opts := range [][]pooltest.Option{{}, {pooltest.File()}} {
			all.Go(func() {
				var kept any
				var line string
				says := run(t, func(t testing.TB) {
					kept, line = leave(ctx, t, pooltest.New(t, append(opts, pooltest.Migrations(notes))...))
				})
				assert.Contains(t, says, "a lease was not given back", name)
				assert.Contains(t, says, line, name)
				runtime.KeepAlive(kept)
			})
		}
	}
	all.Wait()
}

func TestALeaseThatBecameGarbageFailsTheTestAndNamesItsLine(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for _, change := range []func(*pool.Config){func(*pool.Config) {}, func(c *pool.Config) { c.Logger = slog.New(slog.DiscardHandler) }} {
		all.Go(func() {
			var line string
			says := run(t, func(t testing.TB) {
				p := pooltest.New(t, pooltest.Config(change))
				func() {
					_, err := p.Acquire(t.Context())
					require.NoError(t, err)
					line = here(-2)
				}()
				require.Eventually(t, func() bool {
					runtime.GC()
					return p.Stats().Reclaimed == 1
				}, time.Minute, 10*time.Millisecond)
			})
			assert.Contains(t, says, "abandoned")
			assert.Contains(t, says, line)
		})
	}
	all.Wait()
}

func TestATransactionThatWasNotEndedIsNotTakenForOneBegunAsText(t *testing.T) {
	t.Parallel() // for it waits
	var kept *pool.Tx
	says := run(t, func(t testing.TB) {
		var err error
		kept, err = pooltest.New(t).Begin(context.Background(), pool.Immediate)
		require.NoError(t, err)
	})
	require.Contains(t, says, "a lease was not given back")
	require.NotContains(t, says, "as text")
	runtime.KeepAlive(kept)
}

func TestATransactionBegunAsTextFailsTheTest(t *testing.T) {
	var db *sql.DB
	says := run(t, func(t testing.TB) {
		db = pooltest.New(t, pooltest.Migrations(notes)).DB()
		_, err := db.ExecContext(t.Context(), "BEGIN")
		require.NoError(t, err)
	})
	require.Contains(t, says, "a transaction begun as text")
}

func TestWhatTheTestsContextEndsMayTakeItsTime(t *testing.T) {
	everywhere(t, func(t *testing.T, opts ...pooltest.Option) {
		for range 10 {
			t.Run("", func(t *testing.T) {
				p := pooltest.New(t, opts...)
				l, err := p.Acquire(t.Context())
				require.NoError(t, err)
				go func() {
					<-t.Context().Done()
					for range 1000 { // The end has begun by now.
						runtime.Gosched()
					}
					l.Release()
				}()
			})
		}
	})
}

func TestAGoroutineThatIsStillInsideThePoolFailsTheTest(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	gone := make(chan struct{})
	says := run(t, func(t testing.TB) {
		p := pooltest.New(t, pooltest.Migrations(notes))
		started := make(chan struct{})
		go func() {
			defer close(gone)
			_ = p.InTx(context.Background(), pool.Deferred, func(context.Context, *pool.Tx) error {
				close(started)
				<-end
				return nil
			})
		}()
		<-started
	})
	close(end)
	<-gone
	require.Contains(t, says, "a lease was not given back")
	require.Contains(t, says, "still inside the pool")
	require.Contains(t, says, "TestAGoroutineThatIsStillInsideThePoolFailsTheTest")
}

func TestATestThatFailsWithinATransactionSaysNothingElse(t *testing.T) {
	says := run(t, func(t testing.TB) {
		p := pooltest.New(t)
		_ = p.InTx(t.Context(), pool.Immediate, func(context.Context, *pool.Tx) error {
			t.Fatal("its own failure")
			return nil
		})
	})
	require.Equal(t, "its own failure", says)
}

func TestGoroutinesOfOthersAreNotTheTests(t *testing.T) {
	end := make(chan struct{})
	gone := make(chan struct{})
	other := pooltest.New(t)
	inside := make(chan struct{})
	go func() {
		defer close(gone)
		_ = other.View(context.Background(), func(context.Context, *pool.Tx) error {
			close(inside)
			<-end
			return nil
		})
	}()
	<-inside
	t.Run("another test", func(t *testing.T) {
		pooltest.New(t)
		go func() { <-gone }() // it is not inside the pool
	})
	close(end)
	<-gone
}

func TestAnotherPoolOfTheTestMayStayOpen(t *testing.T) {
	passes(t, func(t testing.TB) {
		var own *pool.Pool
		t.Cleanup(func() { require.NoError(t, own.Close()) }) // after the end of what follows
		pooltest.New(t)
		var err error
		own, err = pool.Open(t.Context(), pool.Config{Path: pool.Memory})
		require.NoError(t, err)
	})
}

func TestATestThatHasSeveralDatabasesLooksForGoroutinesAtTheEnd(t *testing.T) {
	passes(t, func(t testing.TB) {
		p := pooltest.New(t)
		end, gone := make(chan struct{}), make(chan struct{})
		t.Cleanup(func() {
			close(end)
			<-gone
		})
		pooltest.New(t)
		inside := make(chan struct{})
		go func() {
			defer close(gone)
			_ = p.View(context.Background(), func(context.Context, *pool.Tx) error {
				close(inside)
				<-end
				return nil
			})
		}()
		<-inside
	})
}

func TestABrokenReferenceFailsTheTest(t *testing.T) {
	everywhere(t, func(t *testing.T, opts ...pooltest.Option) {
		opts = append(opts, pooltest.Config(func(c *pool.Config) { c.Pragmas = map[string]string{"foreign_keys": "off"} }))
		says := run(t, func(t testing.TB) {
			exec1(t, pooltest.New(t, opts...), "INSERT INTO notes (id, text, parent) VALUES (7, 'x', 99)")
		})
		require.Contains(t, says, "row 7 of notes refers to a row of notes that is not there")
	})
}

func TestADamagedDatabaseFailsTheTest(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		says := run(t, func(t testing.TB) {
			p := pooltest.New(t)
			exec1(t, p, "CREATE TABLE checked (a CHECK (a > 0))")
			l, err := p.Acquire(t.Context())
			require.NoError(t, err)
			defer l.Release()
			_, err = l.Exec(t.Context(), "PRAGMA ignore_check_constraints = on; INSERT INTO checked VALUES (-1)")
			require.NoError(t, err)
		})
		require.Contains(t, says, "is not whole: CHECK constraint failed in checked")
	})
	t.Run("file", func(t *testing.T) {
		var path string
		says := run(t, func(t testing.TB) {
			p := pooltest.New(t, pooltest.Migrations(notes), pooltest.File(), pooltest.Config(func(c *pool.Config) { path = c.Path }))
			require.NoError(t, p.Close())
			image, err := os.ReadFile(path)
			require.NoError(t, err)
			at := strings.LastIndex(string(image), "first") // in the index of texts or in the table
			image[at] = 'X'
			require.NoError(t, os.WriteFile(path, image, 0o600))
		})
		require.Contains(t, says, "is not whole")
		require.Contains(t, says, path)
	})
	t.Run("no database at all", func(t *testing.T) {
		says := run(t, func(t testing.TB) {
			var path string
			p := pooltest.New(t, pooltest.File(), pooltest.Config(func(c *pool.Config) { path = c.Path }))
			require.NoError(t, p.Close())
			require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("rubbish", 1000)), 0o600))
		})
		require.Contains(t, says, "not a database")
	})
}

func TestATestMayCloseThePoolAndRemoveTheFile(t *testing.T) {
	passes(t, func(t testing.TB) {
		require.NoError(t, pooltest.New(t).Close())
		path := filepath.Join(t.TempDir(), "a.db")
		require.NoError(t, pooltest.New(t, pooltest.Config(func(c *pool.Config) { c.Path = path })).Close())
		require.NoError(t, os.Remove(path))
	})
}

func TestThePoolsLogIsTheTests(t *testing.T) {
	d := &double{TB: t, ctx: t.Context()}
	p := pooltest.New(d, pooltest.File())
	pooltest.Fail(d, p, pooltest.Moved)
	require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrMoved)
	require.Contains(t, d.output.String(), "moved")
	d.cleanups[0]()
	require.Empty(t, d.said())
}
