package docs

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/sqlane/sqlane/internal/guides"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// migrated opens a database and brings it up to date.
func migrated(ctx context.Context, cfg pool.Config, files fs.FS) (*pool.Pool, error) {
	p, err := pool.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	m, err := migrate.New(files, migrate.Backup(cfg.Path+time.Now().Format(".20060102-150405")))
	if err == nil {
		err = m.Up(ctx, p)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// titles is the fourth migration.
var titles = goose.NewGoMigration(4, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, "SELECT id, name FROM people")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		title := strings.ToUpper(name[:1]) + name[1:]
		if _, err := tx.ExecContext(ctx, "UPDATE people SET name = ? WHERE id = ?", title, id); err != nil {
			return err
		}
	}
	return rows.Err()
}}, nil)

// drift says how the schema differs from what the migrations make of it; "" if it does not.
func drift(ctx context.Context, m *migrate.Migrator, p *pool.Pool) (string, error) {
	err := m.Validate(ctx, p)
	if errors.Is(err, migrate.ErrDrift) {
		return err.Error(), nil // every difference
	}
	return "", err
}

func TestTheGuidesMigrationsRebuildATableAndItsChildrenStay(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	files, err := fs.Sub(guides.Files(t, "migrations.md"), "schema")
	require.NoError(t, err)
	path := filepath.Join(dir, "app.db")
	p, err := migrated(ctx, pool.Config{Path: path, Synchronous: pool.SyncOff}, files)
	require.NoError(t, err)
	backups, err := filepath.Glob(path + ".2*")
	require.NoError(t, err)
	require.Len(t, backups, 1)
	m, err := migrate.New(files, migrate.GoMigrations(titles))
	require.NoError(t, err)
	require.NoError(t, m.To(ctx, p, 1))
	_, err = p.Writer().Exec(ctx, "INSERT INTO people VALUES (1, 'ann'), (2, NULL); INSERT INTO pets VALUES (1, 1), (2, 2), (3, 2)")
	require.NoError(t, err)
	require.NoError(t, m.Up(ctx, p))
	require.Equal(t, 3, number(t, p, "SELECT count(*) FROM pets"))
	require.Equal(t, 2, number(t, p, "SELECT count(*) FROM people WHERE name IN ('Ann', 'Nameless')"))
	require.Equal(t, 2, number(t, p, "PRAGMA auto_vacuum"))
	differs, err := drift(ctx, m, p)
	require.NoError(t, err)
	require.Empty(t, differs)

	_, err = p.Writer().Exec(ctx, "CREATE INDEX by_hand ON pets (owner_id)")
	require.NoError(t, err)
	differs, err = drift(ctx, m, p)
	require.NoError(t, err)
	require.Contains(t, differs, "by_hand")
	require.NoError(t, m.To(ctx, p, 1))
	require.Equal(t, 3, number(t, p, "SELECT count(*) FROM pets"))
	require.NoError(t, p.Close())

	require.NoError(t, os.CopyFS(filepath.Join(dir, "schema"), files))
	blocks, _ := guides.Read(t, "migrations.md")
	ran := 0
	for _, b := range blocks {
		if b.Language != "sh" {
			continue
		}
		ran++
		out, err := guides.Run(t, dir, strings.Replace(b.Text, "go run github.com/pressly/goose/v3/cmd/goose@latest", pinned(t, "goose"), 1))
		require.NoError(t, err, out)
		require.Regexp(t, `Pending +-- 00002_names\.sql`, out)
	}
	require.Equal(t, 1, ran)
	old, err := pool.Open(ctx, pool.Config{Path: path})
	require.NoError(t, err)
	older, err := migrate.New(os.DirFS(filepath.Join(dir, "schema")))
	require.NoError(t, err)
	require.NoError(t, m.Up(ctx, old))
	require.ErrorIs(t, older.Up(ctx, old), migrate.ErrNewer)
	require.NoError(t, old.Close())
}

func TestAMigrationThatBreaksAReferenceIsRolledBackByName(t *testing.T) {
	p := open(t)
	_, err := p.Writer().Exec(t.Context(), "INSERT INTO log VALUES (1, 'ann', 1)")
	require.NoError(t, err)
	files := fstest.MapFS{"00002_delete.sql": {Data: []byte("-- +goose Up\nDELETE FROM accounts WHERE name = 'ann';\n")}}
	maps.Copy(files, bank)
	m, err := migrate.New(files)
	require.NoError(t, err)
	err = m.Up(t.Context(), p)
	require.ErrorContains(t, err, "log")
	require.ErrorContains(t, err, "accounts")
	require.Equal(t, 10, balance(t, p, "ann"))
}

func TestARebuildTheOtherWayRoundAndAViewThatDoesNotFitAreRefused(t *testing.T) {
	for want, text := range map[string]string{
		"old_accounts": `
			ALTER TABLE accounts RENAME TO old_accounts;
			CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL) STRICT;
			INSERT INTO accounts SELECT * FROM old_accounts;
			DROP TABLE old_accounts;`,
		"error in view rich": `
			CREATE VIEW rich AS SELECT name FROM accounts WHERE balance > 1000;
			CREATE TABLE new_accounts (name TEXT PRIMARY KEY) STRICT;
			INSERT INTO new_accounts SELECT name FROM accounts;
			DROP TABLE accounts;
			ALTER TABLE new_accounts RENAME TO accounts;`,
	} {
		p := open(t)
		_, err := p.Writer().Exec(t.Context(), "INSERT INTO log VALUES (1, 'ann', 1)")
		require.NoError(t, err)
		files := fstest.MapFS{"00002_rebuild.sql": {Data: []byte("-- +goose Up" + text)}}
		maps.Copy(files, bank)
		m, err := migrate.New(files)
		require.NoError(t, err)
		require.ErrorContains(t, m.Up(t.Context(), p), want)
		require.Equal(t, 10, balance(t, p, "ann"))
	}
}
