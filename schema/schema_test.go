package schema_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/sqlane/sqlane/schema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"
)

// childPath makes the test binary a program that migrates the file named there.
const childPath = "SQLANE_TEST_MIGRATE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		db, err := sql.Open("sqlite", "file:"+path)
		if err == nil {
			err = schema.Up(context.Background(), db)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func openFile(t *testing.T) (*sql.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, path
}

func exec1(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

func TestUpMakesTheNewestVersionAndLeavesTheCallersDatabaseOpen(t *testing.T) {
	db, _ := openFile(t)
	v, err := schema.Version(t.Context(), db)
	require.NoError(t, err)
	require.Zero(t, v)
	var tables int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables))
	require.Zero(t, tables, "asking for the version creates nothing")

	require.NoError(t, schema.Up(t.Context(), db))
	require.NoError(t, schema.Up(t.Context(), db), "a second time changes nothing")
	v, err = schema.Version(t.Context(), db)
	require.NoError(t, err)
	require.EqualValues(t, 2, v)
	require.NoError(t, schema.Validate(t.Context(), db))
}

func TestDownTakesOneMigrationBackUntilNoneIsLeft(t *testing.T) {
	db, _ := openFile(t)
	require.ErrorIs(t, schema.Down(t.Context(), db), schema.ErrNoMigration)
	require.NoError(t, schema.Up(t.Context(), db))
	for want := int64(1); want >= 0; want-- {
		require.NoError(t, schema.Down(t.Context(), db))
		v, err := schema.Version(t.Context(), db)
		require.NoError(t, err)
		require.Equal(t, want, v)
	}
	require.ErrorIs(t, schema.Down(t.Context(), db), schema.ErrNoMigration)
}

func TestUpRunsThroughAPoolOnFilesAndInMemory(t *testing.T) {
	for _, opts := range [][]pooltest.Option{nil, {pooltest.File()}} {
		for _, conns := range []int{1, 2, 4} {
			db := pooltest.New(t, append(opts, pooltest.Config(func(c *pool.Config) { c.MaxConns = conns }))...).DB()
			require.NoError(t, schema.Up(t.Context(), db))
			require.NoError(t, schema.Validate(t.Context(), db))
			require.NoError(t, schema.Down(t.Context(), db))
			require.NoError(t, schema.Up(t.Context(), db))
			require.NoError(t, db.Close())
		}
	}
}

func TestADatabaseNewerThanTheProgramIsLeftAlone(t *testing.T) {
	db, path := openFile(t)
	require.NoError(t, schema.Up(t.Context(), db))
	exec1(t, db, "INSERT INTO schema_version (version_id, is_applied) VALUES (99, 1)")
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, step := range []func(context.Context, *sql.DB) error{schema.Up, schema.Down} {
		err = step(t.Context(), db)
		require.ErrorIs(t, err, schema.ErrNewer)
		require.ErrorContains(t, err, "version 99, the program at 2")
	}
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestProgramsThatMigrateAtOnceAllSucceedAndApplyEachMigrationOnce(t *testing.T) {
	for range rounds.Of(1, 2, 5) {
		db, path := openFile(t)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), childPath+"="+path)
				out, err := cmd.CombinedOutput()
				assert.NoError(t, err, string(out))
			})
		}
		for range 4 {
			wg.Go(func() {
				other, err := sql.Open("sqlite", "file:"+path)
				if assert.NoError(t, err) {
					assert.NoError(t, schema.Up(t.Context(), other))
					assert.NoError(t, other.Close())
				}
			})
		}
		wg.Wait()
		var rows, versions, types int
		require.NoError(t, db.QueryRow("SELECT count(*), count(DISTINCT version_id) FROM schema_version").Scan(&rows, &versions))
		require.Equal(t, 3, rows, "goose's 0 and the two migrations")
		require.Equal(t, 3, versions)
		require.NoError(t, db.QueryRow("SELECT count(*) - count(DISTINCT extension) FROM file_types").Scan(&types))
		require.Zero(t, types)
		require.NoError(t, schema.Validate(t.Context(), db))
	}
}

func TestValidateListsEveryDifference(t *testing.T) {
	db, _ := openFile(t)
	require.NoError(t, schema.Up(t.Context(), db))
	for _, change := range []string{
		"ALTER TABLE tabs ADD COLUMN colour TEXT",
		"ALTER TABLE permission_bookmarks RENAME COLUMN bookmark TO mark",
		"DROP INDEX files_by_size",
		"CREATE INDEX tabs_by_name ON tabs (name, visible DESC)",
		"CREATE TABLE extra (id INTEGER PRIMARY KEY)",
		"DROP VIEW tab_places",
		"DROP TABLE indexing_log",
		"CREATE TABLE indexing_log (id INTEGER PRIMARY KEY, tab INTEGER REFERENCES tabs (id))",
	} {
		exec1(t, db, change)
	}
	err := schema.Validate(t.Context(), db)
	require.ErrorIs(t, err, schema.ErrDrift)
	for _, part := range []string{
		"column tabs.colour is not the migrations'",
		"column permission_bookmarks.bookmark is missing",
		"column permission_bookmarks.mark is not the migrations'",
		"index files_by_size is missing",
		"index tabs_by_name is not the migrations'",
		"table extra is not the migrations'",
		"view tab_places is missing",
		"column indexing_log.operation is missing",
		"foreign key indexing_log.tab is not the migrations'",
		"table indexing_log is \"CREATE TABLE indexing_log (id INTEGER PRIMARY KEY, tab",
	} {
		require.ErrorContains(t, err, part)
	}
}

func TestAClosedDatabaseOrAnEndedContextIsAnError(t *testing.T) {
	db, _ := openFile(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, schema.Up(over, db), context.Canceled)
	require.ErrorIs(t, schema.Validate(over, db), context.Canceled)
	exec1(t, db, "CREATE TABLE files (mine TEXT)")
	require.ErrorContains(t, schema.Up(t.Context(), db), "already exists", "somebody else's table is not a race")
	exec1(t, db, "DROP TABLE schema_version")
	exec1(t, db, "CREATE TABLE schema_version (other TEXT)")
	_, err := schema.Version(t.Context(), db)
	require.ErrorContains(t, err, "reading the version")
	require.Error(t, schema.Up(t.Context(), db))
	require.Error(t, schema.Down(t.Context(), db))
}
