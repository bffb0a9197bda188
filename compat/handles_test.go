package compat

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/golang-migrate/migrate/v4"
	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/pressly/goose/v3"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	_ "gorm.io/driver/sqlite"
	"modernc.org/sqlite"
)

// What docs/database-sql.md says of handles, of what operations leave behind and of
// rows that are open, claim by claim.

// opened is a pool on a file, with its default of connections and little patience.
func opened(t *testing.T, change func(cfg *pool.Config)) *pool.Pool {
	t.Helper()
	cfg := pool.Config{
		Path: filepath.Join(t.TempDir(), "app.db"), Synchronous: pool.SyncOff, MaxConns: 3,
		AcquireTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	_, err = p.DB().Exec(people)
	require.NoError(t, err)
	return p
}

func TestTwoPackagesCannotRegisterOneName(t *testing.T) {
	require.Subset(t, sql.Drivers(), []string{"sqlite", "sqlite3"}, "modernc's and mattn's stand beside each other")
	require.Panics(t, func() { sql.Register("sqlite", new(sqlite.Driver)) }, "as glebarez/go-sqlite would")
}

func TestClosingAHandleDoesNotCloseThePool(t *testing.T) {
	p := opened(t, nil)
	first := p.DB()
	require.Same(t, first, p.DB())
	files := gooseFiles(true)
	for name, closing := range map[string]func(db *sql.DB) error{
		"the handle": (*sql.DB).Close,
		"goose": func(db *sql.DB) error {
			provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
			require.NoError(t, err)
			return provider.Close()
		},
		"golang-migrate": func(db *sql.DB) error {
			from, err := iofs.New(gooseFiles(true), ".")
			require.NoError(t, err)
			on, err := migratesqlite.WithInstance(db, new(migratesqlite.Config))
			require.NoError(t, err)
			m, err := migrate.NewWithInstance("iofs", from, "sqlite", on)
			require.NoError(t, err)
			return errors.Join(m.Close())
		},
	} {
		db := p.DB()
		require.NoError(t, closing(db), name)
		require.ErrorContains(t, db.Ping(), "database is closed", name)
		require.NotSame(t, db, p.DB(), name)
		require.NoError(t, p.DB().Ping(), name)
	}

	own := sql.OpenDB(p.Connector())
	require.NoError(t, own.Ping())
	shared := p.DB()
	require.NoError(t, p.Close())
	require.ErrorIs(t, own.Ping(), pool.ErrClosed)
	require.Error(t, shared.Ping())
	require.NoError(t, own.Close())
}

func TestAHandleHoldsNoConnectionBetweenOperationsAndItsLimitIsOfOperations(t *testing.T) {
	p := opened(t, nil)
	db := sql.OpenDB(p.Connector())
	defer db.Close()
	db.SetMaxIdleConns(10)
	require.Equal(t, 3, number(t, db, "SELECT count(*) FROM people"))
	require.Zero(t, db.Stats().Idle)
	require.Zero(t, p.Stats().InUse)

	db.SetMaxOpenConns(1)
	rows, err := db.Query("SELECT 1")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, db.PingContext(ctx), context.DeadlineExceeded)
	require.NoError(t, p.DB().Ping(), "others have limits of their own")
	require.NoError(t, rows.Close())
	require.NoError(t, db.Ping())
}

func TestPingSaysLessThanTheHealthCheck(t *testing.T) {
	var path string
	p := opened(t, func(cfg *pool.Config) { path = cfg.Path })
	require.NoError(t, os.Rename(path, path+".moved"))
	require.NoError(t, p.DB().Ping())
	require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrMoved)
	require.NoError(t, os.Rename(path+".moved", path))
	require.NoError(t, p.HealthCheck(t.Context()))
}

func TestThePoolsPatienceEndsAndNamesTheHolders(t *testing.T) {
	p := opened(t, nil)
	var all []*sql.Rows
	for range 2 {
		rows, err := p.DB().Query("SELECT 1")
		require.NoError(t, err)
		all = append(all, rows)
	}
	err := p.DB().Ping()
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.ErrorContains(t, err, "handles_test.go")
	for _, rows := range all {
		require.NoError(t, rows.Close())
	}
}

func TestWhatAnOperationLeavesIsThereForTheNextOfItsHandleAlone(t *testing.T) {
	besidePeople(t, func(t *testing.T, p *pool.Pool, db *sql.DB) {
		if p == nil {
			db.SetMaxOpenConns(1) // with one idle connection, as such code has it
		}
		other := filepath.Join(t.TempDir(), "other.db")
		for _, script := range []string{"PRAGMA cache_size = 77", "CREATE TEMP TABLE mine (a); INSERT INTO mine VALUES (1)"} {
			require.NoError(t, exec(script)(t.Context(), db))
		}
		require.Equal(t, 77, number(t, db, "PRAGMA cache_size"))
		require.Equal(t, 1, number(t, db, "SELECT a FROM mine"))
		if p != nil && fileOf(t, db) == "" {
			other = ":memory:"
		}
		require.NoError(t, exec("ATTACH ? AS other", other)(t.Context(), db))
		require.NoError(t, exec("CREATE TABLE other.x (a)")(t.Context(), db))
		require.Equal(t, 1, number(t, db, "SELECT count(*) FROM other.sqlite_schema"))
		if p == nil {
			return
		}
		own := sql.OpenDB(p.Connector())
		require.NotEqual(t, 77, number(t, own, "PRAGMA cache_size"))
		require.ErrorContains(t, exec("SELECT a FROM mine")(t.Context(), own), "no such table")
		require.NoError(t, own.Close())
		require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			_, err := tx.Exec(ctx, "SELECT a FROM mine")
			require.ErrorContains(t, err, "no such table")
			return nil
		}))
		require.NoError(t, db.Close(), "takes it back")
		require.NotEqual(t, 77, number(t, p.DB(), "PRAGMA cache_size"))
	})
}

func TestTheConnectionThatCarriesWhatWasLeftStandsBesideTheOthers(t *testing.T) {
	for _, conns := range []int{1, 3} {
		p := opened(t, func(cfg *pool.Config) { cfg.MaxConns = conns })
		require.NoError(t, exec("PRAGMA cache_size = 77")(t.Context(), p.DB()))
		for range max(conns-1, 1) { // all that read
			lease, err := p.Acquire(t.Context())
			require.NoError(t, err)
			defer lease.Release()
		}
		require.Equal(t, 77, number(t, p.DB(), "PRAGMA cache_size"))
		require.Equal(t, 3, number(t, p.DB(), "SELECT count(*) FROM people"))
	}
}

func TestATransactionBegunAsTextStaysUntilItFails(t *testing.T) {
	besidePeople(t, func(t *testing.T, p *pool.Pool, db *sql.DB) {
		if p == nil {
			db.SetMaxOpenConns(1)
		}
		for _, text := range []string{"BEGIN", "DELETE FROM people", "ROLLBACK"} {
			require.NoError(t, exec(text)(t.Context(), db))
		}
		requireNames(t, db, "Ada", "Grace", "Edsger")

		err := exec("BEGIN; DELETE FROM people; SELECT * FROM nowhere")(t.Context(), db)
		require.ErrorContains(t, err, "no such table")
		if p == nil { // it is open still
			require.NoError(t, exec("ROLLBACK")(t.Context(), db))
		}
		requireNames(t, db, "Ada", "Grace", "Edsger")

		// On an sql.Conn that ran no more than one statement it cannot be told from the first.
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		for _, text := range []string{"BEGIN", "DELETE FROM people"} {
			_, err = conn.ExecContext(t.Context(), text)
			require.NoError(t, err)
		}
		require.NoError(t, conn.Close())
		if p == nil {
			require.NoError(t, exec("ROLLBACK")(t.Context(), db))
		}
		requireNames(t, db, "Ada", "Grace", "Edsger")
	})
}

func TestOfSeveralStatementsTheFirstOnesStayAndTheLastOnesRowsCome(t *testing.T) {
	besidePeople(t, func(t *testing.T, _ *pool.Pool, db *sql.DB) {
		require.Error(t, exec("UPDATE people SET age = 1; SELECT * FROM nowhere")(t.Context(), db))
		require.Equal(t, 3, number(t, db, "SELECT sum(age) FROM people"))
		require.Equal(t, 2, number(t, db, "SELECT 1; SELECT 2"))
	})
}

func TestTheLevelsOfTransactionsAreTheirLocks(t *testing.T) {
	p := opened(t, nil)
	for isolation, want := range map[sql.IsolationLevel]error{
		sql.LevelDefault: nil, sql.LevelSerializable: nil, sql.LevelLinearizable: nil,
		sql.LevelReadUncommitted: pool.ErrConfig, sql.LevelReadCommitted: pool.ErrConfig, sql.LevelSnapshot: pool.ErrConfig,
	} {
		tx, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{Isolation: isolation})
		require.ErrorIs(t, err, want, isolation)
		if want == nil {
			require.Equal(t, 0, p.Stats().WriteQueue)
			require.ErrorIs(t, p.InTx(t.Context(), pool.Immediate, func(context.Context, *pool.Tx) error { return nil }), pool.ErrAcquireTimeout, "it writes from the start")
			require.NoError(t, tx.Rollback())
		}
	}
	tx, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(context.Context, *pool.Tx) error { return nil }), "a snapshot is in nobody's way")
	require.NoError(t, tx.Rollback())
}

func TestAWriteBesideOpenRowsWaitsForItselfWhereReadersExcludeTheWriter(t *testing.T) {
	for name, change := range map[string]func(cfg *pool.Config){
		"a rollback journal": func(cfg *pool.Config) { cfg.JournalMode = pool.JournalDelete },
		"in memory":          func(cfg *pool.Config) { cfg.Path = pool.Memory },
		"a log":              nil,
	} {
		t.Run(name, func(t *testing.T) {
			p := opened(t, change)
			rows, err := p.DB().Query("SELECT name FROM people")
			require.NoError(t, err)
			require.True(t, rows.Next())
			err = exec("UPDATE people SET age = age + 1")(t.Context(), p.DB())
			if change == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, pool.ErrAcquireTimeout)
			}
			require.NoError(t, rows.Close())
		})
	}
}

func TestTheHandleWithATransactionsContextIsADeadlockAtOnce(t *testing.T) {
	p := opened(t, func(cfg *pool.Config) { cfg.AcquireTimeout = time.Hour })
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
		require.ErrorIs(t, exec("UPDATE people SET age = 1")(ctx, p.DB()), pool.ErrDeadlock)
		_, err := p.DB().BeginTx(ctx, nil)
		require.ErrorIs(t, err, pool.ErrDeadlock)
		return nil
	}))
}

func TestTheDriversInterfacesAreThereAndStayWithTheHandle(t *testing.T) {
	besidePeople(t, func(t *testing.T, _ *pool.Pool, db *sql.DB) {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		var copied []byte
		require.NoError(t, conn.Raw(func(raw any) error {
			_, ok := raw.(driver.QueryerContext)
			require.True(t, ok)
			copied, err = raw.(interface{ Serialize() ([]byte, error) }).Serialize()
			return err
		}))
		require.NoError(t, conn.Close())
		require.Equal(t, "SQLite format 3", string(copied[:15]))
		require.True(t, slices.Contains(sql.Drivers(), "sqlite"))
	})
}
