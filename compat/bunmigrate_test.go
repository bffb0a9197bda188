package compat

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/migrate"
)

// bunMigrator has the family, a rebuild of the parents in a file or in Go, and what is
// left to do.
func bunMigrator(t *testing.T, db *sql.DB, transaction bool) *migrate.Migrator {
	t.Helper()
	suffix := ""
	if transaction {
		suffix = ".tx"
	}
	files := migrate.NewMigrations()
	require.NoError(t, files.Discover(fstest.MapFS{
		"001_family.up.sql":                  {Data: []byte(family)},
		"001_family.down.sql":                {Data: []byte("DROP TABLE child; DROP TABLE parent;")},
		"002_rebuild" + suffix + ".up.sql":   {Data: []byte(rebuild)},
		"002_rebuild" + suffix + ".down.sql": {Data: []byte(rebuildBack)},
	}))
	files.Add(migrate.Migration{Name: "003", Up: func(ctx context.Context, m *migrate.Migrator, _ *migrate.Migration) error {
		return m.DB().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.NewUpdate().TableExpr("parent").Set("v = v || ?", "!").Where("1 = 1").Exec(ctx)
			return err
		})
	}})
	m := migrate.NewMigrator(bun.NewDB(db, sqlitedialect.New()), files, migrate.WithMarkAppliedOnSuccess(true))
	require.NoError(t, m.Init(t.Context()))
	require.NoError(t, m.Init(t.Context()), "again")
	return m
}

func TestBunsMigratorRebuildsATableOnAConnectionAndTheChildrenStay(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, _ bool) {
		m := bunMigrator(t, db, false)
		require.NoError(t, m.Lock(t.Context()))
		require.Error(t, m.Lock(t.Context()), "somebody migrates")
		group, err := m.Migrate(t.Context())
		require.NoError(t, err)
		require.Len(t, group.Migrations, 3)
		require.NoError(t, m.Unlock(t.Context()))
		requireRebuilt(t, true, db)
		requireCount(t, 2, db, "child")
		require.Equal(t, 2, number(t, db, "SELECT count(*) FROM parent WHERE v IN ('a!', 'b!')"))

		status, err := m.MigrationsWithStatus(t.Context())
		require.NoError(t, err)
		require.Empty(t, status.Unapplied())
		require.False(t, status[0].MigratedAt.IsZero())
		group, err = m.Migrate(t.Context())
		require.NoError(t, err)
		require.True(t, group.IsZero())
		_, err = m.Rollback(t.Context())
		require.NoError(t, err)
		requireCount(t, 0, db, "sqlite_schema WHERE name IN ('parent', 'child')")
		requireCount(t, 0, db, "bun_migrations")
	})
}

func TestBunsMigratorRebuildingATableInATransactionIsToldWhatToDoInstead(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, control bool) {
		_, err := bunMigrator(t, db, true).Migrate(t.Context())
		if control {
			require.NoError(t, err)
			requireCount(t, 0, db, "child") // gone, without a word
			return
		}
		require.ErrorIs(t, err, errors.ErrUnsupported)
		requireRebuilt(t, false, db)
		requireCount(t, 2, db, "child")
		requireCount(t, 1, db, "bun_migrations")
	})
}
