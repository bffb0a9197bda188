package migrate_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAContextThatEndsEndsTheWaitForTheWriteLane(t *testing.T) {
	for _, path := range []string{newPath(t), pool.Memory} {
		p := openPool(t, pool.Config{Path: path, AcquireTimeout: -1})
		m := migrator(t, three())
		require.NoError(t, m.To(t.Context(), p, 2))
		tx, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "INSERT INTO a VALUES (1)")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		go func() { result <- m.Up(ctx, p) }()
		if path != pool.Memory { // there it waits to read already
			require.Eventually(t, func() bool { return p.Stats().WriteQueue == 1 }, time.Minute, time.Millisecond)
		}
		cancel()
		require.ErrorIs(t, <-result, context.Canceled)
		require.NoError(t, tx.Commit(t.Context()))
		require.EqualValues(t, 2, version(t, m, p))
		requireEnforced(t, p)
		require.NoError(t, m.Up(t.Context(), p))
	}
}

func TestAContextThatEndsDuringAMigrationUndoesIt(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		ctx, cancel := context.WithCancel(t.Context())
		m := migrator(t, files(family, rebuild), migrate.GoMigrations(goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM child")
			cancel()
			return err // nil: it was not told
		}}, nil)))
		if p, is := d.(plain); is {
			p.db.SetMaxOpenConns(1) // the next one gets the same connection
		}
		require.ErrorIs(t, m.Up(ctx, d), context.Canceled)
		require.EqualValues(t, 2, version(t, m, d))
		require.Equal(t, "3", one(t, d, "SELECT count(*) FROM child"))
		requireEnforced(t, d)
		require.ErrorIs(t, m.Up(ctx, d), context.Canceled)
		_, _, err := m.Version(ctx, d)
		require.ErrorIs(t, err, context.Canceled)
		_, err = m.Pending(ctx, d)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, m.Validate(ctx, d), context.Canceled)
	})
}

func TestProgramsWaitForEachOtherWhereNoTransactionExcludesThem(t *testing.T) {
	path := newPath(t)
	p := openPool(t, pool.Config{Path: path})
	reached, goOn := make(chan struct{}), make(chan struct{})
	m := migrator(t, files("CREATE TABLE a (x);"), migrate.GoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
		close(reached) // twice would panic
		<-goOn
		return nil
	}}, nil)))
	first := make(chan error)
	go func() { first <- m.Up(t.Context(), p) }()
	<-reached
	locked, err := os.Stat(path + "-migrate")
	require.NoError(t, err)
	own, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, own.Mode(), locked.Mode(), "who may use the one may use the other")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	refused := 0
	other := &spy{path: path, after: func(_ string, err error) {
		if isBusy(err) { // at the lock: nobody writes
			if refused++; refused == 3 {
				cancel()
			}
		}
	}}
	d := spied(t, other)
	err = m.Up(ctx, d)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "waiting for other programs that migrate the database, at ")
	require.ErrorContains(t, err, ".db-migrate")
	require.Equal(t, 3, refused)

	other.after = func(_ string, err error) {
		if isBusy(err) { // at the lock: nobody writes
			if refused++; refused == 6 {
				close(goOn)
			}
		}
	}
	require.NoError(t, m.Up(t.Context(), d))
	require.NoError(t, <-first)
	require.EqualValues(t, 2, version(t, m, p))
	require.NoFileExists(t, path+"-migrate")
}

func TestALockThatCannotBeMadeIsNamed(t *testing.T) {
	path := newPath(t)
	broken := errors.New("broken")
	s := &spy{path: path}
	d := spied(t, s)
	m := migrator(t, files(noTx+"CREATE TABLE a (x);"))
	run(t, d, "CREATE TABLE z (x)")
	s.before = func(statement string) error {
		if statement == "BEGIN EXCLUSIVE" {
			return broken
		}
		return nil
	}
	err := m.Up(t.Context(), d)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, ".db-migrate: broken")
	s.before = func(statement string) error {
		if statement == "PRAGMA database_list" {
			return broken
		}
		return nil
	}
	require.ErrorIs(t, m.Up(t.Context(), d), broken)
	s.before = nil
	s.opens = func(name string) error {
		if strings.Contains(name, "-migrate?") {
			return broken
		}
		return nil
	}
	require.ErrorContains(t, m.Up(t.Context(), d), ".db-migrate: broken")
	s.opens = nil
	require.Equal(t, "z", tables(t, d))
	require.NoError(t, m.Up(t.Context(), d))
}

func TestACommitThatMeetsALockIsWaitedForAndNotDoneTwice(t *testing.T) {
	for name, second := range map[string]string{
		"in a transaction": "INSERT INTO a VALUES (1);",
		"without one":      noTx + "INSERT INTO a VALUES (1);",
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			s := &spy{path: path}
			d, reader := spied(t, s), openPlain(t, path, "")
			m := migrator(t, files("CREATE TABLE a (x); INSERT INTO a VALUES (0);", second))
			require.NoError(t, m.To(t.Context(), d, 1))
			var rows *sql.Rows
			refused := 0
			s.before = func(statement string) error {
				if statement == "COMMIT" && rows == nil { // a snapshot keeps a rollback journal's commit waiting
					var err error
					rows, err = reader.db.QueryContext(t.Context(), "SELECT x FROM a")
					require.NoError(t, err)
					require.True(t, rows.Next())
				}
				return nil
			}
			s.after = func(statement string, err error) {
				if statement == "COMMIT" && isBusy(err) {
					if refused++; refused == 2 {
						require.NoError(t, rows.Close())
					}
				}
			}
			require.NoError(t, m.Up(t.Context(), d))
			require.Equal(t, 2, refused)
			require.Equal(t, "0 1", one(t, d, "SELECT group_concat(x, ' ') FROM a"))
			require.EqualValues(t, 2, version(t, m, d))
			requireEnforced(t, d)
		})
	}
}

func TestAStatementWithoutATransactionThatMeetsALockIsNotTriedAgain(t *testing.T) {
	path := newPath(t)
	s := &spy{path: path}
	d, other := spied(t, s), openPlain(t, path, "")
	m := migrator(t, files("CREATE TABLE a (x);", noTx+"INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);"))
	require.NoError(t, m.To(t.Context(), d, 1))
	tries := 0
	s.before = func(statement string) error {
		if strings.Contains(statement, "VALUES (2)") {
			tries++
			_, err := other.db.ExecContext(t.Context(), "BEGIN IMMEDIATE")
			require.NoError(t, err)
		}
		return nil
	}
	other.db.SetMaxOpenConns(1)
	err := m.Up(t.Context(), d)
	require.True(t, isBusy(err), "%v", err)
	require.ErrorContains(t, err, "statement 2 of 2")
	require.Equal(t, 1, tries)
	run(t, other, "ROLLBACK")
	require.Equal(t, "1", one(t, d, "SELECT group_concat(x) FROM a"))
}

func TestEveryFailureLeavesAWholeVersionAndForeignKeysOn(t *testing.T) {
	broken := errors.New("broken")
	for point, stride, failures := 0, rounds.Of(17, 3, 1), 0; ; point += stride {
		s := &spy{path: newPath(t)}
		d := spied(t, s)
		d.db.SetMaxOpenConns(1)
		m := migrator(t, files(family, rebuild, noTx+"CREATE TABLE IF NOT EXISTS z (x);", "DROP TABLE z;"), inGo())
		before := point%2 == 0
		if before { // something is broken already
			require.NoError(t, m.To(t.Context(), d, 1))
			run(t, d, "PRAGMA foreign_keys=OFF; INSERT INTO keyed VALUES ('old', 1, 99); PRAGMA foreign_keys=ON")
		}
		left := point
		s.before = func(string) error {
			if left--; left == -1 {
				return broken
			}
			return nil
		}
		err := m.Up(t.Context(), d)
		s.before = nil
		requireEnforced(t, d)
		if err != nil { // else it was of no account, as what deletes a lock is
			require.ErrorIs(t, err, broken, "point %d", point)
			failures++
		}
		require.NoError(t, m.Up(t.Context(), d), "point %d", point)
		require.NoError(t, m.Validate(t.Context(), d), "point %d", point)
		require.Equal(t, "3", one(t, d, "SELECT count(*) FROM child"))
		if err == nil && left >= 0 && !before { // there is one more with it, or less
			require.Greater(t, failures, 3)
			break
		}
	}
}

func TestADatabaseOfOneConnectionWaitsForALockToo(t *testing.T) {
	path := newPath(t)
	s := &spy{path: path}
	d, other := spied(t, s), openPlain(t, path, "")
	d.db.SetMaxOpenConns(1)
	other.db.SetMaxOpenConns(1)
	m := migrator(t, files("CREATE TABLE a (x);", noTx+"INSERT INTO a VALUES (1);"))
	require.NoError(t, m.To(t.Context(), d, 1))
	done, refused := false, 0
	s.before = func(statement string) error {
		if done && statement == "BEGIN" {
			done = false
			run(t, other, "BEGIN IMMEDIATE")
		}
		return nil
	}
	s.after = func(statement string, err error) {
		done = done || strings.HasPrefix(statement, "INSERT INTO a ")
		if isBusy(err) {
			if refused++; refused == 3 {
				run(t, other, "ROLLBACK")
			}
		}
	}
	require.NoError(t, m.Up(t.Context(), d))
	require.Equal(t, 3, refused)
	require.Equal(t, "1", one(t, d, "SELECT group_concat(x) FROM a"), "it ran once")
}

func TestWhatCannotBeReadIsNoDrift(t *testing.T) {
	broken := errors.New("broken")
	s := &spy{path: newPath(t)}
	d := spied(t, s)
	m := migrator(t, three())
	require.NoError(t, m.Up(t.Context(), d))
	for point := 0; ; point++ {
		left := point
		s.before = func(string) error {
			if left--; left == -1 {
				return broken
			}
			return nil
		}
		err := m.Validate(t.Context(), d)
		if err == nil && left >= 0 {
			require.Greater(t, point, 20)
			break
		}
		if err == nil { // it looked for other programs, which need not be
			continue
		}
		require.ErrorIs(t, err, broken)
		require.NotErrorIs(t, err, migrate.ErrDrift)
	}
	s.before, s.opens = nil, func(string) error { return broken }
	err := m.Validate(t.Context(), d)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "migrate: making a reference: ")
}

func TestAMigrationHasTheWriteLockBeforeItsFirstStatement(t *testing.T) {
	path := newPath(t)
	s := &spy{path: path}
	d, other := spied(t, s), openPlain(t, path, "")
	m := migrator(t, files("SELECT 1;"))
	refused := 0
	s.before = func(statement string) error {
		if strings.HasPrefix(statement, "SELECT 1") {
			_, err := other.db.ExecContext(t.Context(), "CREATE TABLE z (x)")
			require.True(t, isBusy(err), "%v", err)
			refused++
		}
		return nil
	}
	require.NoError(t, m.Up(t.Context(), d))
	require.Equal(t, 1, refused)
}

func TestForeignKeysAreSwitchedOnAgainOrTheConnectionIsNotUsed(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		fault error
		over  bool
		tries int
	}{
		"an error":                         {broken, false, 1},
		"in vain":                          {nil, false, 1},
		"an error after the context ended": {broken, true, 4}, // as from a transaction that is still to be rolled back
		"in vain after the context ended":  {nil, true, 4},
		"a connection that is gone":        {driver.ErrBadConn, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := &spy{path: newPath(t)}
			d := spied(t, s)
			d.db.SetMaxOpenConns(1)
			tries := 0
			s.instead = func(statement string) (string, error) {
				if statement == "PRAGMA foreign_keys = ON" {
					if tries++; tries <= 3 {
						return "PRAGMA foreign_keys = OFF", c.fault
					}
				}
				return statement, nil
			}
			s.after = func(statement string, _ error) {
				if c.over && statement == "COMMIT" && tries == 0 {
					cancel()
				}
			}
			m := migrator(t, files("CREATE TABLE a (x);"))
			run(t, d, "CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))")
			err := m.Up(ctx, d)
			require.Equal(t, c.over, errors.Is(err, context.Canceled), "%v", err)
			requireEnforced(t, d)
			require.Equal(t, c.tries, tries)
		})
	}
}

func TestALockWhoseFileWasDeletedExcludesNobodyAndIsNotTaken(t *testing.T) {
	path := newPath(t)
	s := &spy{path: path}
	b, others := spied(t, s), openPlain(t, path, "&_pragma=busy_timeout(5000)")
	reached, goOn := make(chan struct{}), make(chan struct{})
	m := migrator(t, files(noTx+"CREATE TABLE a (x);"), migrate.GoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error {
		close(reached) // twice would panic
		<-goOn
		return nil
	}}, nil)))
	run(t, others, "CREATE TABLE z (x)")
	require.NoError(t, os.WriteFile(path+"-migrate", nil, 0o600)) // a crash left it
	third := make(chan error, 1)
	opened, refused := false, 0
	s.before = func(statement string) error {
		if statement == "BEGIN EXCLUSIVE" && !opened { // it has the file open, and not yet locked
			opened = true
			require.NoError(t, m.To(t.Context(), others, 1), "which deletes the file")
			go func() { third <- m.Up(t.Context(), others) }()
			<-reached // with a new one
		}
		return nil
	}
	s.after = func(_ string, err error) {
		if isBusy(err) {
			if refused++; refused == 3 {
				close(goOn)
			}
		}
	}
	require.NoError(t, m.Up(t.Context(), b))
	require.NoError(t, <-third)
	require.True(t, opened)
	require.EqualValues(t, 2, version(t, m, b))
}

func TestAMigrationThatAnotherProgramWasFasterWithIsNotAppliedAgain(t *testing.T) {
	for name, goose := range map[string]bool{"by goose alone": true, "by this package": false} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			s := &spy{path: path}
			d, other := spied(t, s), openPlain(t, path, "")
			all := files("CREATE TABLE a (x);", "INSERT INTO a VALUES (1); --- DELETE FROM a;", "INSERT INTO a VALUES (2);")
			m := migrator(t, all)
			require.NoError(t, m.To(t.Context(), d, 1))
			once := sync.OnceFunc(func() {
				if goose {
					upByGoose(t, other, all)
				} else {
					require.NoError(t, m.To(t.Context(), other, 2))
				}
			})
			s.before = func(statement string) error {
				if statement == "BEGIN" {
					once()
				}
				return nil
			}
			require.NoError(t, m.Up(t.Context(), d))
			require.Equal(t, "1 2", one(t, d, "SELECT group_concat(x, ' ') FROM a"))
			require.Equal(t, "0 1 2 3", one(t, d, "SELECT group_concat(version_id, ' ') FROM goose_db_version"))

			once = sync.OnceFunc(func() { require.NoError(t, m.Down(t.Context(), other)) })
			require.NoError(t, m.To(t.Context(), d, 1), "they take turns")
			require.EqualValues(t, 1, version(t, m, d))
		})
	}
}

func upByGoose(t *testing.T, d migrate.Database, files fs.FS) {
	t.Helper()
	provider, err := goose.NewProvider(goose.DialectSQLite3, d.DB(), files)
	require.NoError(t, err)
	_, err = provider.UpByOne(t.Context())
	require.NoError(t, err)
}

func TestAMigrationThatTakesLongerThanAnyTimeoutIsWaitedFor(t *testing.T) {
	for name, second := range map[string]struct {
		open   func(t *testing.T, p *pool.Pool, path string, waits func()) migrate.Database
		cancel bool
	}{
		"in the same pool": {open: func(t *testing.T, p *pool.Pool, _ string, waits func()) migrate.Database {
			go func() {
				assert.Eventually(t, func() bool { return p.Stats().Timeouts > 0 }, time.Minute, time.Millisecond)
				waits()
			}()
			return p
		}},
		"in another process":     {open: openWaiting},
		"until the context ends": {open: openWaiting, cancel: true},
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			p := openPool(t, pool.Config{Path: path, AcquireTimeout: time.Millisecond, BusyTimeout: time.Millisecond})
			reached, goOn := make(chan struct{}), make(chan struct{})
			m := migrator(t, files("CREATE TABLE a (x);"), migrate.GoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
				close(reached) // twice would panic
				<-goOn
				return nil
			}}, nil)))
			first := make(chan error)
			go func() { first <- m.Up(t.Context(), p) }()
			<-reached
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := m.Up(ctx, second.open(t, p, path, sync.OnceFunc(func() {
				if second.cancel {
					cancel()
				} else {
					close(goOn)
				}
			})))
			if second.cancel {
				require.ErrorIs(t, err, context.Canceled)
				close(goOn)
			} else {
				require.NoError(t, err)
			}
			require.NoError(t, <-first)
			require.EqualValues(t, 2, version(t, m, p))
			require.NoFileExists(t, path+"-migrate")
		})
	}
}

// openWaiting is a database that has little patience, and tells when it waits for
// the programs that migrate.
func openWaiting(t *testing.T, _ *pool.Pool, path string, waits func()) migrate.Database {
	t.Helper()
	locked, tries := false, 0
	return spied(t, &spy{path: path, more: "&_pragma=busy_timeout(1)", after: func(statement string, err error) {
		locked = locked || isBusy(err) && strings.HasPrefix(statement, "UPDATE")
		if locked && isBusy(err) && strings.HasPrefix(statement, "PRAGMA journal_mode") {
			if tries++; tries == 3 {
				waits()
			}
		}
	}})
}
