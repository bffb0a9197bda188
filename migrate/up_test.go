package migrate_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// three are migrations of a table each.
func three() fstest.MapFS {
	return files("CREATE TABLE a (x); --- DROP TABLE a;", "CREATE TABLE b (x); --- DROP TABLE b;", "CREATE TABLE c (x); --- DROP TABLE c;")
}

// tables are the names of all but goose's.
func tables(t *testing.T, d migrate.Database) string {
	t.Helper()
	return one(t, d, "SELECT ifnull(group_concat(name, ' '), '') FROM (SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%version%' AND name NOT LIKE 'sqlite%' ORDER BY name)")
}

func TestUpDownAndToLeadToTheVersionThatTheyName(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		m := migrator(t, three())
		current, latest, err := m.Version(t.Context(), d)
		require.NoError(t, err)
		require.EqualValues(t, 0, current)
		require.EqualValues(t, 3, latest)
		pending, err := m.Pending(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, []migrate.Migration{{1, "00001_step.sql"}, {2, "00002_step.sql"}, {3, "00003_step.sql"}}, pending)
		require.Equal(t, "0", one(t, d, "SELECT count(*) FROM sqlite_schema"), "asking makes nothing")
		require.ErrorIs(t, m.Down(t.Context(), d), migrate.ErrNoMigration)
		require.Equal(t, "0", one(t, d, "SELECT count(*) FROM sqlite_schema"))

		for _, to := range []int64{2, 2, 3, 1, 0, 3} {
			require.NoError(t, m.To(t.Context(), d, to))
			require.Equal(t, to, version(t, m, d))
			require.Equal(t, map[int64]string{0: "", 1: "a", 2: "a b", 3: "a b c"}[to], tables(t, d))
		}
		for _, to := range []int64{-1, 4, 99} {
			require.ErrorIs(t, m.To(t.Context(), d, to), migrate.ErrNoMigration)
		}
		require.NoError(t, m.Up(t.Context(), d), "there is nothing to do")
		require.NoError(t, m.Down(t.Context(), d))
		require.Equal(t, "a b", tables(t, d))
		pending, err = m.Pending(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, []migrate.Migration{{3, "00003_step.sql"}}, pending)
		require.NoError(t, m.Up(t.Context(), d))
		pending, err = m.Pending(t.Context(), d)
		require.NoError(t, err)
		require.Empty(t, pending)
		require.NoError(t, d.DB().PingContext(t.Context()), "the database stays open")
	})
}

func TestAStatementThatFailsUndoesItsMigrationAndIsNamed(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		long := "INSERT INTO nowhere VALUES ('" + strings.Repeat("long ", 30) + "');"
		m := migrator(t, files("CREATE TABLE a (x);", "CREATE TABLE b (x);\nINSERT INTO a VALUES (1);\n"+long+"\nCREATE TABLE c (x);", "CREATE TABLE d (x);"))
		err := m.Up(t.Context(), d)
		require.ErrorContains(t, err, "migrate: up migration 2 (00002_step.sql): statement 3 of 4, INSERT INTO nowhere VALUES ('long ")
		require.ErrorContains(t, err, "...: ")
		require.ErrorContains(t, err, "no such table: nowhere")
		require.Equal(t, "a", tables(t, d))
		require.Equal(t, "0", one(t, d, "SELECT count(*) FROM a"))
		require.EqualValues(t, 1, version(t, m, d))
		requireEnforced(t, d)

		err = migrator(t, files("CREATE TABLE a (x); --- DROP TABLE a;\nDROP TABLE nowhere;")).Down(t.Context(), d)
		require.ErrorContains(t, err, "migrate: down migration 1 (00001_step.sql): statement 2 of 2, DROP TABLE nowhere;: ")
		require.Equal(t, "a", tables(t, d))
	})
}

func TestAMigrationWithoutATransactionKeepsWhatItDidAndRunsAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		broken := migrator(t, files("CREATE TABLE a (x);", noTx+"INSERT INTO a VALUES (1);\nBEGIN;\nINSERT INTO a VALUES (2);\nINSERT INTO nowhere VALUES (3);\nCOMMIT;"))
		err := broken.Up(t.Context(), d)
		require.ErrorContains(t, err, "what it did outside a transaction stays, and its version is not recorded: statement 4 of 5")
		require.Equal(t, "1", one(t, d, "SELECT group_concat(x) FROM a"), "but for what it did in one of its own")
		require.EqualValues(t, 1, version(t, broken, d))
		run(t, d, "INSERT INTO a VALUES (9)")

		left := migrator(t, files("CREATE TABLE a (x);", noTx+"DELETE FROM a;\nBEGIN;\nINSERT INTO a VALUES (5);"))
		require.Error(t, left.Up(t.Context(), d), "it leaves a transaction open")
		require.Equal(t, "", one(t, d, "SELECT ifnull(group_concat(x), '') FROM a"))
		require.EqualValues(t, 1, version(t, left, d))
		requireEnforced(t, d)

		mended := migrator(t, files("CREATE TABLE a (x);", noTx+"DELETE FROM a;\nBEGIN;\nINSERT INTO a VALUES (5);\nCOMMIT;\nVACUUM;---DELETE FROM a;"))
		require.NoError(t, mended.Up(t.Context(), d))
		require.Equal(t, "5", one(t, d, "SELECT group_concat(x) FROM a"))
		require.EqualValues(t, 2, version(t, mended, d))
		require.NoError(t, mended.Down(t.Context(), d))
		require.EqualValues(t, 1, version(t, mended, d))
	})
}

func TestThroughAPoolAMigrationCannotEndItsTransaction(t *testing.T) {
	p := openPool(t, pool.Config{Path: newPath(t)})
	m := migrator(t, files("CREATE TABLE a (x);\nCOMMIT;\nCREATE TABLE b (x);"))
	require.ErrorIs(t, m.Up(t.Context(), p), pool.ErrTxControl)
	require.Equal(t, "", tables(t, p))
}

func TestAFileThatCannotBeReadStopsEveryMigration(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		all := three()
		all["00003_step.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE c (x);\n-- +goose Down")}
		err := migrator(t, all).Up(t.Context(), d)
		require.ErrorContains(t, err, "migrate: migration 3 (00003_step.sql): ")
		require.Equal(t, "0", one(t, d, "SELECT count(*) FROM sqlite_schema"))
	})
}

func TestADatabaseThatTheProgramDoesNotKnowIsRefusedAndUntouched(t *testing.T) {
	for name, c := range map[string]struct {
		make string
		want string
		is   error
	}{
		"newer":          {"INSERT INTO goose_db_version (version_id, is_applied) VALUES (7, 1)", "it is at version 7, the program at 3; use a newer program", migrate.ErrNewer},
		"a gap":          {"DELETE FROM goose_db_version WHERE version_id = 1", "version 1 is not applied, though 2 is", nil},
		"unknown":        {"INSERT INTO goose_db_version (version_id, is_applied) VALUES (-5, 1)", "has version -5 applied, of which this program has no migration", nil},
		"no version":     {"DROP TABLE goose_db_version; CREATE TABLE goose_db_version (version TEXT)", "reading the version", nil},
		"not of goose's": {"DROP TABLE goose_db_version; CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY, version_id, is_applied); INSERT INTO goose_db_version VALUES (1, 'first', 1)", "reading the version", nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			d := openPlain(t, path, "")
			m := migrator(t, three(), migrate.Backup(path+".copy"))
			require.NoError(t, migrator(t, three()).To(t.Context(), d, 2))
			run(t, d, c.make)
			before, err := os.ReadFile(path)
			require.NoError(t, err)
			_, pending := m.Pending(t.Context(), d)
			for _, err := range []error{m.Up(t.Context(), d), m.Down(t.Context(), d), m.To(t.Context(), d, 0), pending} {
				require.ErrorContains(t, err, "migrate: ")
				require.ErrorContains(t, err, c.want)
				require.Equal(t, c.is != nil, errors.Is(err, migrate.ErrNewer))
			}
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, before, after)
			require.NoFileExists(t, path+".copy")
			if name == "newer" {
				require.EqualValues(t, 7, version(t, m, d))
			}
		})
	}
}

func TestADatabaseThatOnlyGooseHasSeenGoesOnAndSoDoesGoose(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		provider, err := goose.NewProvider(goose.DialectSQLite3, d.DB(), three())
		require.NoError(t, err)
		_, err = provider.UpByOne(t.Context())
		require.NoError(t, err)

		m := migrator(t, three())
		require.EqualValues(t, 1, version(t, m, d))
		require.NoError(t, m.To(t.Context(), d, 2))
		has, err := provider.HasPending(t.Context())
		require.NoError(t, err)
		require.True(t, has)
		results, err := provider.Up(t.Context())
		require.NoError(t, err)
		require.Len(t, results, 1)
		require.EqualValues(t, 3, version(t, m, d))
		require.NoError(t, m.Validate(t.Context(), d))
		require.NoError(t, m.Down(t.Context(), d))
		_, err = provider.Down(t.Context())
		require.NoError(t, err)
		require.Equal(t, "a", tables(t, d))
		require.EqualValues(t, 1, version(t, m, d))
		require.Equal(t, "0 1", one(t, d, "SELECT group_concat(version_id, ' ') FROM goose_db_version"))
	})
}

func TestWhatAnOldGooseRecordedAsTakenBackIsNotApplied(t *testing.T) {
	d := openPlain(t, newPath(t), "")
	m := migrator(t, three())
	require.NoError(t, m.To(t.Context(), d, 2))
	run(t, d, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, 0); DROP TABLE b")
	require.EqualValues(t, 1, version(t, m, d))
	require.NoError(t, m.Up(t.Context(), d))
	require.EqualValues(t, 3, version(t, m, d))
}

func TestTheVersionTableIsTheOneThatTableNames(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		m, other := migrator(t, three(), migrate.Table("My_Versions")), migrator(t, files("CREATE TABLE z (x);"))
		require.NoError(t, m.Up(t.Context(), d))
		require.NoError(t, other.Up(t.Context(), d), "each has its own")
		require.EqualValues(t, 3, version(t, migrator(t, three(), migrate.Table("my_versions")), d), "as SQLite reads names")
		require.EqualValues(t, 1, version(t, other, d))
		require.Equal(t, "4", one(t, d, "SELECT count(*) FROM my_versions"))
		require.Equal(t, "a b c z", tables(t, d))
	})
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	someGo := goose.NewGoMigration(2, nil, nil)
	for want, make := range map[string]func() (*migrate.Migrator, error){
		"no migrations found":               func() (*migrate.Migrator, error) { return migrate.New(fstest.MapFS{}) },
		"duplicate migration version":       func() (*migrate.Migrator, error) { return migrate.New(fstest.MapFS{"1_a.sql": {}, "01_b.sql": {}}) },
		`name "a b" is not made of letters`: func() (*migrate.Migrator, error) { return migrate.New(three(), migrate.Table("a b")) },
		`name "" is not made of letters`:    func() (*migrate.Migrator, error) { return migrate.New(three(), migrate.Table("")) },
		"the backup's path is empty":        func() (*migrate.Migrator, error) { return migrate.New(three(), migrate.Backup("")) },
		"a Go migration is nil":             func() (*migrate.Migrator, error) { return migrate.New(three(), migrate.GoMigrations(nil)) },
		"two Go migrations have version 2":  func() (*migrate.Migrator, error) { return migrate.New(nil, migrate.GoMigrations(someGo, someGo)) },
		"duplicate migration version 2":     func() (*migrate.Migrator, error) { return migrate.New(three(), migrate.GoMigrations(someGo)) },
		"invalid go migration": func() (*migrate.Migrator, error) {
			return migrate.New(three(), migrate.GoMigrations(new(goose.Migration)))
		},
	} {
		_, err := make()
		assert.ErrorContains(t, err, want)
	}
	_, err := migrate.New(nil)
	require.ErrorIs(t, err, goose.ErrNoMigrations)
	m, err := migrate.New(nil, migrate.GoMigrations(someGo))
	require.NoError(t, err)
	d := openPlain(t, newPath(t), "")
	require.NoError(t, m.Up(t.Context(), d), "a function that is nil does nothing")
	require.EqualValues(t, 2, version(t, m, d))
}

func TestGoFunctionsRunAsFilesDo(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		broken := errors.New("broken")
		var fail error
		exec := func(statements ...string) func(ctx context.Context, tx *sql.Tx) error {
			return func(ctx context.Context, tx *sql.Tx) error {
				for _, s := range statements {
					if _, err := tx.ExecContext(ctx, s); err != nil {
						return fmt.Errorf("%s: %w", s, err)
					}
				}
				return fail
			}
		}
		onDB := func(statement string) func(ctx context.Context, db *sql.DB) error {
			return func(ctx context.Context, db *sql.DB) error {
				tx, err := db.BeginTx(ctx, nil) // one connection is enough
				if err != nil {
					return err
				}
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					return errors.Join(err, tx.Rollback())
				}
				return errors.Join(tx.Commit(), fail)
			}
		}
		m := migrator(t, files(family), migrate.GoMigrations(
			goose.NewGoMigration(4, &goose.GoFunc{RunDB: onDB("INSERT INTO restricted VALUES (1)")}, &goose.GoFunc{RunDB: onDB("DELETE FROM restricted WHERE parent_id = 1")}),
			goose.NewGoMigration(2, &goose.GoFunc{RunTx: exec("PRAGMA foreign_keys=ON", "CREATE TABLE n (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO n SELECT * FROM parent", "DROP TABLE parent", "ALTER TABLE n RENAME TO parent", "PRAGMA foreign_keys=ON")},
				&goose.GoFunc{RunTx: exec("DELETE FROM parent WHERE id = 2")}),
		))
		pending, err := m.Pending(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, []migrate.Migration{{1, "00001_step.sql"}, {2, ""}, {4, ""}}, pending)
		require.NoError(t, m.To(t.Context(), d, 1))
		before := one(t, d, members)
		fail = broken
		require.ErrorIs(t, m.Up(t.Context(), d), broken)
		require.ErrorContains(t, m.Up(t.Context(), d), "migrate: up migration 2 (Go): broken")
		require.EqualValues(t, 1, version(t, m, d))
		fail = nil
		require.NoError(t, m.To(t.Context(), d, 2))
		require.Equal(t, before, one(t, d, members))
		fail = broken
		require.ErrorIs(t, m.Up(t.Context(), d), broken)
		require.EqualValues(t, 2, version(t, m, d))
		require.NotEqual(t, before, one(t, d, members), "what it did without a transaction stays")
		fail = nil
		require.NoError(t, m.Up(t.Context(), d))
		require.EqualValues(t, 4, version(t, m, d))
		require.NoError(t, m.Validate(t.Context(), d))
		require.NoError(t, m.Down(t.Context(), d))
		require.Equal(t, before, one(t, d, members))
		require.ErrorContains(t, m.Down(t.Context(), d), `down migration 2 (Go): it breaks references: table "child" (parent_id), rowid 11; rowid 12: there is no such row in table "parent"`)
		requireEnforced(t, d)

		m = migrator(t, files(family), migrate.GoMigrations(goose.NewGoMigration(2, nil, nil), goose.NewGoMigration(4, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			conn, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			for _, s := range []string{"PRAGMA foreign_keys=OFF", "DELETE FROM parent WHERE id = 3", "PRAGMA foreign_keys=ON"} {
				if _, err := conn.ExecContext(ctx, s); err != nil {
					return errors.Join(err, conn.Close())
				}
			}
			return conn.Close()
		}}, nil)))
		require.ErrorContains(t, m.Up(t.Context(), d), `is not recorded: it breaks references: table "keyed"`)
		require.EqualValues(t, 2, version(t, m, d))
	})
}

func TestAPanicOrGoexitInAGoFunctionGoesOnAndLeavesNothingBehind(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		var fault func()
		m := migrator(t, files(family), migrate.GoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM parent")
			fault()
			return err
		}}, nil)))
		require.NoError(t, m.To(t.Context(), d, 1))
		before := one(t, d, members)
		fault = func() { panic("oh") }
		require.PanicsWithValue(t, "oh", func() { _ = m.Up(t.Context(), d) })
		require.Equal(t, before, one(t, d, members))
		requireEnforced(t, d)
		fault = runtime.Goexit
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = m.Up(t.Context(), d)
		}()
		<-done
		require.Equal(t, before, one(t, d, members))
		require.EqualValues(t, 1, version(t, m, d))
		requireEnforced(t, d)
	})
}

func TestABackupIsMadeBeforeTheFirstPendingMigrationAndOverNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		dir := t.TempDir()
		copied := filepath.Join(dir, "copy.db")
		require.NoError(t, migrator(t, three()).To(t.Context(), d, 1))
		m := migrator(t, three(), migrate.Backup(copied))
		require.NoError(t, m.To(t.Context(), d, 0))
		require.NoFileExists(t, copied, "nothing is applied")
		require.NoError(t, m.To(t.Context(), d, 2))
		require.Equal(t, "", tables(t, openPlain(t, copied, "")))

		before, err := os.ReadFile(copied)
		require.NoError(t, err)
		require.ErrorIs(t, m.Up(t.Context(), d), fs.ErrExist)
		require.EqualValues(t, 2, version(t, m, d), "nothing is migrated without")
		after, err := os.ReadFile(copied)
		require.NoError(t, err)
		require.Equal(t, before, after)

		next := filepath.Join(dir, "next.db")
		m = migrator(t, three(), migrate.Backup(next))
		require.NoError(t, m.Up(t.Context(), d))
		require.Equal(t, "a b", tables(t, openPlain(t, next, "")))
		require.NoError(t, m.Up(t.Context(), d), "nothing is pending, so nothing is copied")

		m = migrator(t, files("CREATE TABLE a (x);", "CREATE TABLE b (x);", "CREATE TABLE c (x);", "CREATE TABLE d (x);"), migrate.Backup(filepath.Join(dir, "nowhere", "copy.db")))
		require.ErrorContains(t, m.Up(t.Context(), d), "migrate: backup: ")
		require.EqualValues(t, 3, version(t, m, d))
	})
}
