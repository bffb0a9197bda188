package dqlite_test

import (
	"context"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

func TestAStoreThatOpenDidNotMakeSaysSo(t *testing.T) {
	for name, s := range map[string]*dqlite.Store{"nil": nil, "zero": {}} {
		for what, call := range map[string]func(ctx context.Context) error{
			"read": func(ctx context.Context) error { return do(ctx, s.StoreReader(), "SELECT 1") },
			"read a row": func(ctx context.Context) error {
				return s.StoreReader().QueryRowContext(ctx, "SELECT 1").Scan(new(int))
			},
			"read rows": func(ctx context.Context) error {
				_, err := numbers(s.StoreReader().QueryContext(ctx, "SELECT 1"))
				return err
			},
			"write": func(ctx context.Context) error { return do(ctx, s.StoreWriter(), "DELETE FROM n") },
			"write a row": func(ctx context.Context) error {
				return s.StoreWriter().QueryRowContext(ctx, "DELETE FROM n RETURNING v").Scan(new(int))
			},
			"write rows": func(ctx context.Context) error {
				_, err := numbers(s.StoreWriter().QueryContext(ctx, "DELETE FROM n RETURNING v"))
				return err
			},
			"transaction": func(ctx context.Context) error { return s.StoreInTx(ctx, pool.Immediate, doing()) },
			"view":        func(ctx context.Context) error { return s.StoreView(ctx, doing()) },
			"batch":       func(ctx context.Context) error { return s.StoreBatch(ctx, doing()) },
			"backup":      func(ctx context.Context) error { return s.Backup(ctx, t.TempDir()+"/copy.db") },
			"shutdown":    s.Shutdown,
			"close":       func(context.Context) error { return s.Close() },
			"health":      s.HealthCheck,
			"members":     func(ctx context.Context) error { _, err := s.Members(ctx); return err },
			"leader":      func(ctx context.Context) error { _, err := s.Leader(ctx); return err },
			"watch": func(ctx context.Context) error {
				for err := range s.StoreWatch(ctx, doing()) {
					return err
				}
				return nil
			},
		} {
			require.ErrorIs(t, call(t.Context()), fs.ErrInvalid, name+", "+what)
		}
		require.Zero(t, s.Stats(), name)
		require.Error(t, s.DB().PingContext(t.Context()), name)
	}
}

// TestATransactionGoesOnAfterAStatementThatWasUndoneAlone: what SQLite undoes by itself is the
// statement, and the transaction is as it was.
func TestATransactionGoesOnAfterAStatementThatWasUndoneAlone(t *testing.T) {
	for name, begin := range map[string]func(ctx context.Context, s *dqlite.Store, fn txFunc) error{
		"transaction": func(ctx context.Context, s *dqlite.Store, fn txFunc) error {
			return s.StoreInTx(ctx, pool.Immediate, fn)
		},
		"deferred": func(ctx context.Context, s *dqlite.Store, fn txFunc) error {
			return s.StoreInTx(ctx, pool.Deferred, fn)
		},
		"batch": func(ctx context.Context, s *dqlite.Store, fn txFunc) error { return s.StoreBatch(ctx, fn) },
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) {
				s := c.open()
				require.NoError(t, begin(t.Context(), s, func(ctx context.Context, tx pool.StoreTx) error {
					require.NoError(t, do(ctx, tx, "INSERT INTO n (v) VALUES (1)"))
					require.ErrorContains(t, do(ctx, tx, "INSERT INTO n (v) VALUES (2), (1)"), "UNIQUE")
					require.ErrorContains(t, do(ctx, tx, "INSERT INTO nowhere VALUES (1)"), "no such table")
					require.ErrorContains(t, tx.Savepoint(ctx, doing("INSERT INTO n (v) VALUES (3)", "INSERT INTO n (v) VALUES (1)")), "UNIQUE")
					return do(ctx, tx, "INSERT INTO n (v) VALUES (4)")
				}))
				require.Equal(t, []int{1, 4}, c.values())
				require.Equal(t, 1, c.count("COMMIT"))
				atRest(t, s)
			})
		})
	}
}
