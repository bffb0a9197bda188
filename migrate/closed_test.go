package migrate_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// asked are the ways to work on a database.
func asked(t *testing.T, m *migrate.Migrator) map[string]func(d migrate.Database) error {
	return map[string]func(d migrate.Database) error{
		"Up":   func(d migrate.Database) error { return m.Up(t.Context(), d) },
		"To":   func(d migrate.Database) error { return m.To(t.Context(), d, 1) },
		"Down": func(d migrate.Database) error { return m.Down(t.Context(), d) },
		"Version": func(d migrate.Database) error {
			_, _, err := m.Version(t.Context(), d)
			return err
		},
		"Pending": func(d migrate.Database) error {
			_, err := m.Pending(t.Context(), d)
			return err
		},
		"Validate": func(d migrate.Database) error { return m.Validate(t.Context(), d) },
	}
}

func TestAClosedPoolIsErrClosedAndNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p, err := pool.Open(t.Context(), pool.Config{Path: path})
	require.NoError(t, err)
	require.NoError(t, p.Close())
	for name, ask := range asked(t, migrator(t, files("CREATE TABLE t (id);"))) {
		err := ask(p)
		require.ErrorIs(t, err, pool.ErrClosed, name)
		require.ErrorContains(t, err, path, name)
	}
}

func TestAClosedDatabaseThatCannotTellWhyIsDatabaseSQLsError(t *testing.T) {
	db, err := sql.Open("sqlite", uri(newPath(t)))
	require.NoError(t, err)
	require.NoError(t, db.Close())
	for name, ask := range asked(t, migrator(t, files("CREATE TABLE t (id);"))) {
		require.ErrorIs(t, ask(plain{db}), db.Ping(), name)
	}
}
