package dqlite_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

func TestAStoreThatIsClosedRefusesAll(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		require.NoError(t, s.Shutdown(t.Context()))
		for way, run := range all() {
			err := run(t.Context(), s)
			if err.Error() != "sql: database is closed" {
				require.ErrorIs(t, err, pool.ErrClosed, way)
			}
		}
		require.ErrorIs(t, s.Backup(t.Context(), t.TempDir()+"/x"), pool.ErrClosed)
		for err := range s.StoreWatch(t.Context(), doing("SELECT 1")) {
			require.ErrorIs(t, err, pool.ErrClosed)
		}
		require.Zero(t, s.Stats().Idle)
		synctest.Wait()
		require.Zero(t, c.connections())
	})
}

// TestShutdownWaitsForWhatRuns, and turns away what waits and what comes.
func TestShutdownWaitsForWhatRuns(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		h := hold(t, s)
		begun, goOn, deferred := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() {
			deferred <- s.StoreInTx(t.Context(), pool.Deferred, func(ctx context.Context, tx pool.StoreTx) error {
				close(begun)
				<-goOn
				return do(ctx, tx, "INSERT INTO n (v) VALUES (1)") // for which it needs the lane
			})
		}()
		<-begun
		rows, err := s.StoreReader().QueryContext(t.Context(), "SELECT 1 UNION SELECT 2")
		require.NoError(t, err)
		waiting := make(chan error, 2)
		go func() { waiting <- do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (9)") }()
		go func() { waiting <- work["in a transaction"](t.Context(), s) }()
		synctest.Wait()
		over := make(chan error, 2)
		go func() { over <- s.Shutdown(t.Context()) }()
		go func() { over <- s.Shutdown(t.Context()) }()
		require.ErrorIs(t, <-waiting, pool.ErrClosed)
		require.ErrorIs(t, <-waiting, pool.ErrClosed)
		require.ErrorIs(t, work["by itself"](t.Context(), s), pool.ErrClosed)
		close(goOn)
		synctest.Wait()
		require.Empty(t, over)
		h.letGo()
		require.NoError(t, <-h.ended)
		require.NoError(t, <-deferred)
		require.Equal(t, []int{1}, c.values())
		synctest.Wait()
		require.Empty(t, over)
		got, err := numbers(rows, nil)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2}, got)
		require.NoError(t, <-over)
		require.NoError(t, <-over)
		synctest.Wait()
		require.Zero(t, c.connections())
	})
}

func TestShutdownWithoutPatienceUndoesWhatRuns(t *testing.T) {
	for name, end := range map[string]func(s *dqlite.Store) error{
		"its context ends": func(s *dqlite.Store) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return s.Shutdown(ctx)
		},
		"another one has none": func(s *dqlite.Store) error {
			go func() {
				time.Sleep(time.Second)
				_ = s.Close()
			}()
			err := s.Shutdown(context.Background())
			if err == nil {
				err = context.DeadlineExceeded // Close has it
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) {
				s := c.open()
				begun, goOn, ended := make(chan struct{}, 3), make(chan struct{}), make(chan error, 3)
				for level, fn := range map[pool.Level]txFunc{pool.Immediate: doing("INSERT INTO n (v) VALUES (1)"), pool.Deferred: doing("SELECT 1")} {
					go func() {
						ended <- s.StoreInTx(t.Context(), level, func(ctx context.Context, tx pool.StoreTx) error {
							if err := fn(ctx, tx); err != nil {
								return err
							}
							begun <- struct{}{}
							<-goOn
							return do(ctx, tx, "INSERT INTO n (v) VALUES (2)")
						})
					}()
				}
				<-begun
				<-begun
				rows, err := s.StoreReader().QueryContext(t.Context(), "WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 20) SELECT i FROM r")
				require.NoError(t, err)
				require.ErrorIs(t, end(s), context.DeadlineExceeded)
				close(goOn)
				require.Error(t, <-ended)
				require.Error(t, <-ended)
				for rows.Next() {
				}
				require.Error(t, rows.Err())
				require.NoError(t, rows.Close())
				require.Empty(t, c.values())
				synctest.Wait()
				require.Zero(t, c.connections())
			})
		})
	}
}

func TestCloseEndsTheWaitForALeader(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		for way, run := range all() {
			c.elect(c.nodes[0])
			s := c.open(func(cfg *dqlite.Config) { cfg.AcquireTimeout = -1 })
			c.elect(nil)
			failed := make(chan error)
			go func() { failed <- run(t.Context(), s) }()
			time.Sleep(time.Second)
			require.NoError(t, s.Close())
			err := <-failed
			require.Error(t, err)
			if err.Error() != "sql: database is closed" {
				require.ErrorIs(t, err, pool.ErrClosed, way)
			}
		}
	})
}
