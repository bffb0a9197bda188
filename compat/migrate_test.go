package compat

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-migrate/migrate/v4"
	driver "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// migrating makes golang-migrate ready to rebuild the family's parents, there and
// back, as configured.
func migrating(t *testing.T, db *sql.DB, cfg driver.Config) *migrate.Migrate {
	t.Helper()
	files, err := iofs.New(fstest.MapFS{
		"1_family.up.sql":    {Data: []byte(family)},
		"1_family.down.sql":  {Data: []byte("DROP TABLE child; DROP TABLE parent;")},
		"2_rebuild.up.sql":   {Data: []byte(rebuild)},
		"2_rebuild.down.sql": {Data: []byte(rebuildBack)},
		"3_fails.up.sql":     {Data: []byte("CREATE TABLE half (a); INSERT INTO nowhere VALUES (1);")},
		"3_fails.down.sql":   {Data: []byte("DROP TABLE IF EXISTS half;")},
	}, ".")
	require.NoError(t, err)
	on, err := driver.WithInstance(db, &cfg)
	require.NoError(t, err)
	m, err := migrate.NewWithInstance("iofs", files, "sqlite", on)
	require.NoError(t, err)
	return m
}

func requireVersion(t *testing.T, m *migrate.Migrate, want uint, wantDirty bool) {
	t.Helper()
	version, dirty, err := m.Version()
	require.NoError(t, err)
	require.Equal(t, want, version)
	require.Equal(t, wantDirty, dirty)
}

func TestGolangMigrateRebuildsATableWithoutATransactionAndTheChildrenStay(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, _ bool) {
		m := migrating(t, db, driver.Config{NoTxWrap: true})
		for range 2 {
			require.NoError(t, m.Migrate(2))
			requireVersion(t, m, 2, false)
			requireRebuilt(t, true, db)
			requireCount(t, 2, db, "child")
			require.NoError(t, m.Steps(-1))
			requireVersion(t, m, 1, false)
			requireRebuilt(t, false, db)
			requireCount(t, 2, db, "child")
		}
		require.NoError(t, m.Down())
		require.ErrorIs(t, m.Down(), migrate.ErrNoChange)
		_, _, err := m.Version()
		require.ErrorIs(t, err, migrate.ErrNilVersion)
	})
}

func TestGolangMigrateRebuildingATableInATransactionIsToldWhatToDoInstead(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, control bool) {
		m := migrating(t, db, driver.Config{})
		err := m.Migrate(2)
		if control {
			require.NoError(t, err)
			requireCount(t, 0, db, "child")
			return
		}
		require.ErrorContains(t, err, "set it before the transaction begins")
		requireVersion(t, m, 2, true)
		requireRebuilt(t, false, db)
		requireCount(t, 2, db, "child")
		require.NoError(t, m.Force(1))
		m = migrating(t, db, driver.Config{NoTxWrap: true}) // as x-no-tx-wrap=true of a URL
		require.NoError(t, m.Migrate(2))
		requireCount(t, 2, db, "child")
	})
}

func TestGolangMigrateLeavesADirtyVersionAndNoHalfMigration(t *testing.T) {
	for _, noTx := range []bool{false, true} {
		beside(t, func(t *testing.T, db *sql.DB, _ bool) {
			require.NoError(t, migrating(t, db, driver.Config{NoTxWrap: true}).Migrate(2))
			m := migrating(t, db, driver.Config{NoTxWrap: noTx})
			require.ErrorContains(t, m.Up(), "no such table: nowhere")
			requireVersion(t, m, 3, true)
			half := 0
			if noTx { // statement by statement, here as there
				half = 1
			}
			requireCount(t, half, db, "sqlite_schema WHERE name = 'half'")
			require.True(t, errors.As(m.Up(), new(migrate.ErrDirty)))
			require.NoError(t, m.Force(3))
			require.NoError(t, m.Steps(-1))
			requireVersion(t, m, 2, false)
			requireCount(t, 0, db, "sqlite_schema WHERE name = 'half'")
			requireCount(t, 2, db, "child")
		})
	}
}

// Its Drop sends VACUUM as a query and forgets the rows.
func TestGolangMigrateDropsEverythingAndKeepsAConnection(t *testing.T) {
	drop := func(db *sql.DB) {
		m := migrating(t, db, driver.Config{NoTxWrap: true})
		require.NoError(t, m.Migrate(2))
		require.NoError(t, m.Drop())
		requireCount(t, 0, db, "sqlite_schema")
		require.Equal(t, 1, db.Stats().InUse)
	}
	drop(alone(t))
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), MaxConns: 3, AcquireTimeout: time.Second})
	require.NoError(t, err)
	drop(p.DB())
	rows, err := p.DB().Query("SELECT 1")
	require.NoError(t, err)
	require.ErrorContains(t, p.DB().Ping(), "sqlite.(*Sqlite).Drop", "it is named")
	require.NoError(t, rows.Close())
	require.NoError(t, p.Close(), "the pool ends it")
}
