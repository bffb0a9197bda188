// Package docs runs what the guides say. Their Go stands in the test file beside each,
// whole files and commands are taken from the guide itself: see package guides.
package docs

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sqlane/sqlane/internal/guides"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
)

// bank are the tables of most guides.
var bank = fstest.MapFS{"00001_bank.sql": {Data: []byte(`-- +goose Up
CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0)) STRICT;
CREATE TABLE log (id INTEGER PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts, amount INTEGER NOT NULL) STRICT;
INSERT INTO accounts VALUES ('ann', 10), ('bob', 0);
`)}}

func open(t *testing.T, opts ...pooltest.Option) *pool.Pool {
	t.Helper()
	return pooltest.New(t, append([]pooltest.Option{pooltest.Migrations(bank)}, opts...)...)
}

func number(t *testing.T, p *pool.Pool, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, p.Reader().QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

func balance(t *testing.T, p *pool.Pool, name string) int {
	t.Helper()
	return number(t, p, "SELECT balance FROM accounts WHERE name = ?", name)
}

// put changes a balance.
func put(ctx context.Context, tx pool.Querier, name string, amount int) error {
	_, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance + ? WHERE name = ?", amount, name)
	return err
}

// pinned is the file of one of the tools that tools/go.mod pins. It stands in for the
// download that a guide says.
func pinned(t *testing.T, tool string) string {
	t.Helper()
	out, err := guides.Run(t, "../tools", "GOFLAGS= go tool -n "+tool)
	require.NoError(t, err, out)
	return strings.TrimSpace(out)
}

// elsewhere are the guides whose Go is whole files, which tests of their own write and
// run, and that whose test file is in compat/.
var elsewhere = []string{"database-sql.md", "sqlc-sqlite.md", "sqlc.md", "start.md", "tutorial.md"}

func TestEveryGuideShowsWhatItsTestFileRuns(t *testing.T) {
	all, err := filepath.Glob("*.md")
	require.NoError(t, err)
	for _, name := range all {
		if !slices.Contains(elsewhere, name) {
			guides.Shown(t, name, strings.TrimSuffix(name, ".md")+"_test.go")
		}
	}
	require.Subset(t, all, elsewhere)
}
