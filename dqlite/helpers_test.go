package dqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

var errOurs = errors.New("ours")

type txFunc = func(ctx context.Context, tx pool.StoreTx) error

// do runs a statement.
func do(ctx context.Context, on pool.DBTX, text string, args ...any) error {
	_, err := on.ExecContext(ctx, text, args...)
	return err
}

// doing runs statements in a transaction.
func doing(texts ...string) txFunc {
	return func(ctx context.Context, tx pool.StoreTx) error {
		for _, text := range texts {
			if err := do(ctx, tx, text); err != nil {
				return err
			}
		}
		return nil
	}
}

// get is a number that a query returns.
func get(t *testing.T, ctx context.Context, on pool.DBTX, text string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, on.QueryRowContext(ctx, text, args...).Scan(&n))
	return n
}

// numbers are the first column of a query.
func numbers(rows *sql.Rows, err error) (all []int, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}

// work are the ways to insert a value.
var work = map[string]func(ctx context.Context, s *dqlite.Store) error{
	"in a transaction": func(ctx context.Context, s *dqlite.Store) error {
		return s.StoreInTx(ctx, pool.Immediate, doing("INSERT INTO n (v) VALUES (1)"))
	},
	"in a Deferred one": func(ctx context.Context, s *dqlite.Store) error {
		return s.StoreInTx(ctx, pool.Deferred, doing("INSERT INTO n (v) VALUES (1)"))
	},
	"in a Repeatable one": func(ctx context.Context, s *dqlite.Store) error {
		return s.StoreInTx(ctx, pool.Immediate, doing("INSERT INTO n (v) VALUES (1)"), pool.Repeatable())
	},
	"in a batch": func(ctx context.Context, s *dqlite.Store) error {
		return s.StoreBatch(ctx, doing("INSERT INTO n (v) VALUES (1)"))
	},
	"by itself": func(ctx context.Context, s *dqlite.Store) error {
		return do(ctx, s.StoreWriter(), "INSERT INTO n (v) VALUES (1)")
	},
	"by itself, with rows": func(ctx context.Context, s *dqlite.Store) error {
		_, err := numbers(s.StoreWriter().QueryContext(ctx, "INSERT INTO n (v) VALUES (1) RETURNING v"))
		return err
	},
	"by DB": func(ctx context.Context, s *dqlite.Store) error {
		_, err := s.DB().ExecContext(ctx, "INSERT INTO n (v) VALUES (1)")
		return err
	},
	"in a transaction of DB": func(ctx context.Context, s *dqlite.Store) error {
		tx, err := s.DB().BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, "INSERT INTO n (v) VALUES (1)"); err != nil {
			return err
		}
		return tx.Commit()
	},
}

// reading are the ways to read.
var reading = map[string]func(ctx context.Context, s *dqlite.Store) error{
	"by itself": func(ctx context.Context, s *dqlite.Store) error {
		_, err := numbers(s.StoreReader().QueryContext(ctx, "SELECT v FROM n"))
		return err
	},
	"one row": func(ctx context.Context, s *dqlite.Store) error {
		return s.StoreReader().QueryRowContext(ctx, "SELECT count(*) FROM n").Scan(new(int))
	},
	"without rows": func(ctx context.Context, s *dqlite.Store) error {
		return do(ctx, s.StoreReader(), "SELECT v FROM n")
	},
	"in a view": func(ctx context.Context, s *dqlite.Store) error {
		return s.StoreView(ctx, doing("SELECT v FROM n"))
	},
	"members": func(ctx context.Context, s *dqlite.Store) error {
		_, err := s.Members(ctx)
		return err
	},
	"leader": func(ctx context.Context, s *dqlite.Store) error {
		_, err := s.Leader(ctx)
		return err
	},
	"health": func(ctx context.Context, s *dqlite.Store) error { return s.HealthCheck(ctx) },
	"by DB": func(ctx context.Context, s *dqlite.Store) error {
		return s.DB().QueryRowContext(ctx, "SELECT count(*) FROM n").Scan(new(int))
	},
	"ping": func(ctx context.Context, s *dqlite.Store) error { return s.DB().PingContext(ctx) },
	"in a view of DB": func(ctx context.Context, s *dqlite.Store) error {
		tx, err := s.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM n").Scan(new(int)); err != nil {
			return err
		}
		return tx.Commit()
	},
}

// some are a few of the cases, any of them, in a short run, and all in another.
func some[V any](all map[string]V) map[string]V {
	if !testing.Short() {
		return all
	}
	few := map[string]V{}
	for name, v := range all {
		if few[name] = v; len(few) == 2 {
			break
		}
	}
	return few
}

// quiet turns off what would notice a change of the leader by itself.
func quiet(cfg *dqlite.Config) { cfg.HeartbeatInterval = -1 }

func maxConns(n int) func(*dqlite.Config) {
	return func(cfg *dqlite.Config) { cfg.MaxConns = n }
}

// atRest requires that nobody has or waits for anything: all lanes are free.
func atRest(t *testing.T, s *dqlite.Store) {
	t.Helper()
	got := s.Stats()
	require.Zero(t, got.Waiting)
	require.Zero(t, got.WriteQueue)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx), "somebody has not given back what it had")
}

// held is a transaction that has the write lane until it is let go.
type held struct {
	letGo func()
	ended <-chan error
}

func hold(t *testing.T, s *dqlite.Store) held {
	t.Helper()
	begun, over, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.StoreInTx(t.Context(), pool.Immediate, func(context.Context, pool.StoreTx) error {
			close(begun)
			<-over
			return nil
		})
	}()
	<-begun
	return held{sync.OnceFunc(func() { close(over) }), ended}
}

// names are the files in a folder.
func names(t *testing.T, folder string) (all []string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, f := range files {
		all = append(all, f.Name())
	}
	return all
}
