package docs

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
)

// scratch is a database for one calculation.
func scratch(ctx context.Context) (*pool.Pool, error) {
	return pool.Open(ctx, pool.Config{Path: pool.Memory})
}

func TestEveryPoolInMemoryIsADatabaseOfItsOwn(t *testing.T) {
	p, err := scratch(t.Context())
	require.NoError(t, err)
	_, err = p.Writer().Exec(t.Context(), "CREATE TABLE x (a)")
	require.NoError(t, err)
	var registry pool.Registry
	other, err := registry.Open(t.Context(), pool.Config{Path: pool.Memory})
	require.NoError(t, err)
	require.Equal(t, 1, number(t, p, "SELECT count(*) FROM sqlite_schema"))
	require.Zero(t, number(t, other, "SELECT count(*) FROM sqlite_schema"))
	require.NoError(t, registry.Shutdown(t.Context()))
	require.NoError(t, p.Close())
}

// spread gives everybody one more. Rows and writes are of one transaction.
func spread(ctx context.Context, p *pool.Pool) error {
	return p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		rows, err := tx.Query(ctx, "SELECT name FROM accounts")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance + 1 WHERE name = ?", name); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

func TestInMemoryRowsAndWritesAreOfOneTransactionOrWaitForThemselves(t *testing.T) {
	p := open(t, pooltest.Config(func(cfg *pool.Config) {
		cfg.AcquireTimeout = 20 * time.Millisecond
		cfg.Logger = slog.New(slog.DiscardHandler)
	}))
	require.NoError(t, spread(t.Context(), p))
	require.Equal(t, 12, number(t, p, "SELECT sum(balance) FROM accounts"))

	rows, err := p.Reader().Query(t.Context(), "SELECT name FROM accounts")
	require.NoError(t, err)
	require.True(t, rows.Next())
	require.ErrorIs(t, put(t.Context(), p.Writer(), "ann", 1), pool.ErrAcquireTimeout)
	require.NoError(t, rows.Close())
	require.NoError(t, put(t.Context(), p.Writer(), "ann", 1))
}

// read copies the accounts of a file into a database in memory.
func read(ctx context.Context, p *pool.Pool, file string) error {
	lease, err := p.Acquire(ctx)
	if err != nil {
		return err
	}
	defer lease.Release()
	disk := url.URL{Scheme: "file", Path: file, RawQuery: "vfs=unix&mode=ro"} // win32 on Windows; file is absolute
	if _, err := lease.Exec(ctx, "ATTACH ? AS disk", disk.String()); err != nil {
		return err
	}
	_, err = lease.Exec(ctx, "INSERT INTO main.accounts SELECT * FROM disk.accounts")
	_, detach := lease.Exec(ctx, "DETACH disk")
	return errors.Join(err, detach)
}

func TestADatabaseGoesFromMemoryToAFileAndBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.db")
	p := open(t)
	require.NoError(t, put(t.Context(), p.Writer(), "ann", 5))
	require.NoError(t, p.Backup(t.Context(), file))
	_, err := p.Writer().Exec(t.Context(), "DELETE FROM accounts")
	require.NoError(t, err)
	require.NoError(t, read(t.Context(), p, file))
	require.Equal(t, 15, balance(t, p, "ann"))
	lease, err := p.Acquire(t.Context())
	require.NoError(t, err)
	_, err = lease.Exec(t.Context(), "ATTACH ? AS disk; SELECT * FROM disk.accounts", file)
	require.ErrorContains(t, err, "no such table: disk.accounts", "which is one in memory")
	lease.Release()

	still, err := pool.Open(t.Context(), pool.Config{Path: file, Immutable: true})
	require.NoError(t, err)
	require.Equal(t, 15, balance(t, still, "ann"))
	require.NoError(t, still.Close())
}

func TestADatabaseInMemoryHasTheLimitThatItIsGiven(t *testing.T) {
	p := open(t, pooltest.Config(func(cfg *pool.Config) { cfg.Pragmas = map[string]string{"max_page_count": "20"} }))
	n, err := load(t.Context(), p, "ann", make([]int, 100_000))
	require.True(t, pool.IsFull(err), err)
	require.Less(t, n, 100_000)
}
