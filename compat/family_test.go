package compat

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// family is a parent whose rows take their children along when they go.
const family = `
CREATE TABLE parent (id INTEGER PRIMARY KEY, v);
CREATE TABLE child (pid INTEGER REFERENCES parent ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 'a'), (2, 'b');
INSERT INTO child VALUES (1), (2);
`

// rebuild is how a table is changed for which ALTER TABLE has no words
// (https://www.sqlite.org/lang_altertable.html#otheralter).
const rebuild = `
PRAGMA foreign_keys=OFF;
CREATE TABLE parent_new (id INTEGER PRIMARY KEY, v TEXT NOT NULL);
INSERT INTO parent_new SELECT id, v FROM parent;
DROP TABLE parent;
ALTER TABLE parent_new RENAME TO parent;
PRAGMA foreign_keys=ON;
`

// beside runs a test through the pool, in each of its modes, and beside it on the
// driver alone, which it is told by control.
func beside(t *testing.T, test func(t *testing.T, db *sql.DB, control bool)) {
	t.Run("sqlane", func(t *testing.T) {
		everywhere(t, func(t *testing.T, p *pool.Pool) {
			test(t, p.DB(), false)
			require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
				var on bool
				require.NoError(t, tx.QueryRowContext(ctx, "PRAGMA foreign_keys").Scan(&on))
				require.True(t, on, "foreign keys are on for everybody else")
				return nil
			}))
		})
	})
	t.Run("modernc", func(t *testing.T) { test(t, alone(t), true) })
}

// alone opens a database with the driver, as its users do.
func alone(t *testing.T) *sql.DB { return aloneAt(t, filepath.Join(t.TempDir(), "app.db")) }

func aloneAt(t *testing.T, path string) *sql.DB {
	dsn := url.URL{
		Scheme: "file", Path: path,
		RawQuery: "_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)&_pragma=foreign_keys(1)",
	}
	db, err := sql.Open("sqlite", dsn.String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// requireCount sees how many rows a table has.
func requireCount(t *testing.T, want int, db *sql.DB, table string) {
	t.Helper()
	require.Equal(t, want, number(t, db, "SELECT count(*) FROM "+table), table)
}

// requireRebuilt sees that the table is the new one, or not, and that foreign keys
// are enforced on it.
func requireRebuilt(t *testing.T, want bool, db *sql.DB) {
	t.Helper()
	require.Equal(t, want, number(t, db, "SELECT \"notnull\" FROM pragma_table_info('parent') WHERE name = 'v'") == 1)
	require.Equal(t, 1, number(t, db, "PRAGMA foreign_keys"))
	_, err := db.ExecContext(t.Context(), "INSERT INTO child VALUES (99)")
	require.ErrorContains(t, err, "FOREIGN KEY")
}

func number(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}
