package docs

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/guides"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// handles opens a database by the driver alone: to read by many connections, to write by one.
func handles(path string) (reading, writing *sql.DB, err error) {
	dsn := (&url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)" +
		"&_pragma=foreign_keys(1)&_txlock=immediate"}).String()
	if writing, err = sql.Open("sqlite", dsn); err != nil {
		return nil, nil, err
	}
	writing.SetMaxOpenConns(1)
	reading, err = sql.Open("sqlite", dsn)
	return reading, writing, err
}

// transferAlone must be given the handle for writing, and roll back on every way out.
func transferAlone(ctx context.Context, writing *sql.DB, from, to string, amount int) error {
	tx, err := writing.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var balance int
	if err := tx.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE name = ?", from).Scan(&balance); err != nil {
		return err
	}
	if balance < amount {
		return errTooLittle
	}
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - ? WHERE name = ?", amount, from); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + ? WHERE name = ?", amount, to); err != nil {
		return err
	}
	return tx.Commit()
}

func TestTheTransferIsTheSameInBoth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	require.NoError(t, bankAt(t, pool.Config{Path: path}).Close())
	reading, writing, err := handles(path)
	require.NoError(t, err)
	require.NoError(t, transferAlone(t.Context(), writing, "ann", "bob", 7))
	require.Equal(t, errTooLittle, transferAlone(t.Context(), writing, "ann", "bob", 7))
	var ann int
	require.NoError(t, reading.QueryRow("SELECT balance FROM accounts WHERE name = 'ann'").Scan(&ann))
	require.Equal(t, 3, ann)
	require.NoError(t, reading.Close())
	require.NoError(t, writing.Close())

	p, err := pool.Open(t.Context(), pool.Config{Path: path})
	require.NoError(t, err)
	require.NoError(t, transfer(t.Context(), p, "bob", "ann", 7))
	require.Equal(t, 10, balance(t, p, "ann"))
	require.NoError(t, p.Close())
}

// Times, rates and ratios of the comparison are those that make bench writes between
// its two comments.
func TestTheComparisonHasNoFiguresButThoseOfTheBenchmarks(t *testing.T) {
	_, prose := guides.Read(t, "comparison.md")
	before, after, ok := strings.Cut(prose, "<!-- figures: written by make bench -->\n")
	require.True(t, ok)
	_, after, ok = strings.Cut(after, "<!-- end of figures -->\n")
	require.True(t, ok)
	require.NotRegexp(t, `[0-9] (×|µs|ms|ns|s|%)|× `, before+after)
}
