package migrate_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/sqlane/sqlane/migrate"
	"github.com/stretchr/testify/require"
)

func TestValidateNamesEveryDifference(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		m := migrator(t, files(family, `CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL DEFAULT 'x  y' CHECK (b <> ''), c TEXT AS (b || 1)) STRICT;
			CREATE INDEX t_b ON t (b DESC) WHERE b > 'a';
			CREATE VIEW v AS SELECT a FROM t;
			CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END;
			CREATE VIRTUAL TABLE f USING fts5(words);`), migrate.Table("versions"),
			migrate.GoMigrations(goose.NewGoMigration(3, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
				_, err := db.ExecContext(ctx, "CREATE TABLE by_go (x)")
				return err
			}}, nil)))
		err := m.Validate(t.Context(), d)
		require.ErrorIs(t, err, migrate.ErrDrift)
		require.ErrorContains(t, err, "table parent is missing")
		require.ErrorContains(t, err, "table by_go is missing")
		require.Equal(t, "0", one(t, d, "SELECT count(*) FROM sqlite_schema"), "looking makes nothing")

		require.NoError(t, m.Up(t.Context(), d))
		require.NoError(t, m.Validate(t.Context(), d))
		for _, change := range []string{
			"DROP TRIGGER r", "DROP VIEW v", "CREATE VIEW v AS SELECT b FROM t",
			"DROP INDEX t_b", "CREATE INDEX t_b ON t (b)", "DROP TABLE restricted", "CREATE TABLE restricted (parent_id INTEGER REFERENCES child (id))",
			"ALTER TABLE by_go ADD COLUMN y", "DROP TABLE f", "CREATE TABLE mine (x)",
		} {
			run(t, d, change)
		}
		err = m.Validate(t.Context(), d)
		require.ErrorIs(t, err, migrate.ErrDrift)
		for _, part := range []string{
			"trigger r is missing", `view v is "CREATE VIEW v AS SELECT b FROM t", not "CREATE VIEW v AS SELECT a FROM t"`,
			`index t_b is "CREATE INDEX t_b ON t (b)", not "CREATE INDEX t_b ON t (b DESC) WHERE b > 'a'"`,
			`foreign key restricted.parent_id is "child(id) ON DELETE NO ACTION ON UPDATE NO ACTION", not "parent(id) ON DELETE RESTRICT ON UPDATE NO ACTION"`,
			"column by_go.y is not the migrations'", "table f is missing", "table f_data is missing", "table mine is not the migrations'",
		} {
			require.ErrorContains(t, err, part)
		}
	})
}

// TestWhatLitestreamMakesIsNoDrift: it makes these tables in each database beside which
// it runs, and they are in what it restores.
func TestWhatLitestreamMakesIsNoDrift(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		m := migrator(t, files(family))
		require.NoError(t, m.Up(t.Context(), d))
		run(t, d, "CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
		run(t, d, "CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER)")
		require.NoError(t, m.Validate(t.Context(), d))
		run(t, d, "CREATE TABLE xlitestream_seq (id INTEGER)")
		require.ErrorContains(t, m.Validate(t.Context(), d), "table xlitestream_seq is not the migrations'")
	})
}

func TestMigrationsThatCannotBeAppliedMakeNoReference(t *testing.T) {
	d := openPlain(t, newPath(t), "")
	err := migrator(t, files("CREATE TABLE a (x);\nBROKEN;"), migrate.Backup("anywhere")).Validate(t.Context(), d)
	require.ErrorContains(t, err, "migrate: making a reference: ")
	require.ErrorContains(t, err, "BROKEN")
	require.NotErrorIs(t, err, migrate.ErrDrift)
}
