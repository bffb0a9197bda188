package migrations_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/migrate"
	"github.com/stretchr/testify/require"
)

// plain is a database that is no pool's.
type plain struct{ db *sql.DB }

func (p plain) DB() *sql.DB                          { return p.db }
func (p plain) Backup(context.Context, string) error { return errors.ErrUnsupported }

func TestTheGooseCLIAndPackageMigrateTakeTurnsOnOneDatabase(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"00001_family.sql":  "-- +goose Up\nCREATE TABLE parent (id INTEGER PRIMARY KEY);\nCREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent ON DELETE CASCADE);\nINSERT INTO parent VALUES (1);\nINSERT INTO child VALUES (1, 1);\n-- +goose Down\nDROP TABLE child;\nDROP TABLE parent;\n",
		"00002_rebuild.sql": "-- +goose Up\nCREATE TABLE n (id INTEGER PRIMARY KEY, a);\nINSERT INTO n (id) SELECT id FROM parent;\nDROP TABLE parent;\nALTER TABLE n RENAME TO parent;\n-- +goose Down\nALTER TABLE parent DROP COLUMN a;\n",
		"00003_outside.sql": "-- +goose NO TRANSACTION\n-- +goose Up\nVACUUM;\n-- +goose Down\nVACUUM;\n",
		"00004_last.sql":    "-- +goose Up\nCREATE TABLE last (x);\n-- +goose Down\nDROP TABLE last;\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	program, err := gooses()
	require.NoError(t, err)
	m, err := migrate.New(os.DirFS(dir))
	require.NoError(t, err)
	db, path := openFile(t)
	goose := func(command ...string) string {
		out, err := exec.CommandContext(t.Context(), program, append([]string{"-dir", dir, "sqlite3", path}, command...)...).CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	at := func(want int64) {
		t.Helper()
		current, latest, err := m.Version(t.Context(), plain{db})
		require.NoError(t, err)
		require.EqualValues(t, 4, latest)
		require.Equal(t, want, current)
	}
	goose("up-to", "1")
	at(1)
	require.NoError(t, m.To(t.Context(), plain{db}, 3))
	require.Contains(t, goose("version"), "version 3")
	require.Contains(t, goose("status"), "Pending                  -- 00004_last.sql")
	goose("up")
	at(4)
	require.NoError(t, m.Validate(t.Context(), plain{db}))
	require.NoError(t, m.Up(t.Context(), plain{db}))
	goose("down")
	goose("down")
	at(2)
	require.NoError(t, m.Down(t.Context(), plain{db}))
	require.Equal(t, map[string]string{"1": "1"}, lines(t, db, "SELECT id, parent_id FROM child"))
	require.Contains(t, goose("up"), "successfully migrated database to version: 4")
}
