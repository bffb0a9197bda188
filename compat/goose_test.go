package compat

import (
	"database/sql"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
)

// gooseFiles are the family and a rebuild of the parents, there and back.
func gooseFiles(noTransaction bool) fs.FS {
	head := ""
	if noTransaction {
		head = "-- +goose NO TRANSACTION\n"
	}
	return fstest.MapFS{
		"00001_family.sql":  {Data: []byte("-- +goose Up" + family + "-- +goose Down\nDROP TABLE child;\nDROP TABLE parent;\n")},
		"00002_rebuild.sql": {Data: []byte(head + "-- +goose Up" + rebuild + "-- +goose Down" + rebuildBack)},
	}
}

const rebuildBack = `
PRAGMA foreign_keys=OFF;
CREATE TABLE parent_old (id INTEGER PRIMARY KEY, v);
INSERT INTO parent_old SELECT id, v FROM parent;
DROP TABLE parent;
ALTER TABLE parent_old RENAME TO parent;
PRAGMA foreign_keys=ON;
`

// gooseWays are the two faces of goose; its package functions go by globals.
var gooseWays = map[string]func(t *testing.T, db *sql.DB, files fs.FS) (up, down func() error){
	"package functions": func(t *testing.T, db *sql.DB, files fs.FS) (up, down func() error) {
		goose.SetBaseFS(files)
		goose.SetLogger(goose.NopLogger())
		t.Cleanup(func() { goose.SetBaseFS(nil) })
		require.NoError(t, goose.SetDialect("sqlite3"))
		require.NoError(t, goose.Status(db, "."))
		return func() error { return errors.Join(goose.Up(db, "."), goose.UpContext(t.Context(), db, ".")) },
			func() error { return goose.Down(db, ".") }
	},
	"provider": func(t *testing.T, db *sql.DB, files fs.FS) (up, down func() error) {
		provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
		require.NoError(t, err)
		return func() error { _, err := provider.Up(t.Context()); return err },
			func() error { _, err := provider.Down(t.Context()); return err }
	},
}

func TestGooseRebuildsATableWithoutATransactionAndTheChildrenStay(t *testing.T) {
	for name, way := range gooseWays {
		t.Run(name, func(t *testing.T) {
			beside(t, func(t *testing.T, db *sql.DB, _ bool) {
				up, down := way(t, db, gooseFiles(true))
				for range 2 {
					require.NoError(t, up())
					requireRebuilt(t, true, db)
					requireCount(t, 2, db, "child")
					require.NoError(t, down())
					requireRebuilt(t, false, db)
					requireCount(t, 2, db, "child")
				}
				require.NoError(t, down())
				requireCount(t, 0, db, "sqlite_schema WHERE name IN ('parent', 'child')")
				requireCount(t, 1, db, "goose_db_version")
			})
		})
	}
}

func TestGooseRebuildingATableInATransactionIsToldWhatToDoInstead(t *testing.T) {
	for name, way := range gooseWays {
		t.Run(name, func(t *testing.T) {
			beside(t, func(t *testing.T, db *sql.DB, control bool) {
				up, _ := way(t, db, gooseFiles(false))
				err := up()
				if control {
					require.NoError(t, err)
					requireCount(t, 0, db, "child") // the PRAGMA did nothing, and DROP TABLE took them along
					return
				}
				require.ErrorIs(t, err, errors.ErrUnsupported)
				require.ErrorContains(t, err, "-- +goose NO TRANSACTION")
				requireRebuilt(t, false, db)
				requireCount(t, 2, db, "parent")
				requireCount(t, 2, db, "child")
				require.Equal(t, 1, number(t, db, "SELECT max(version_id) FROM goose_db_version"))
			})
		})
	}
}
