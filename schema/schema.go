// Package schema is the database's schema as numbered goose migrations, and what
// a program does with them: [Up] and [Down] apply them, [Version] says how far a
// database is, [Validate] whether it is what the migrations make. The goose CLI
// works on the same files and the same version table:
//
//	goose -dir schema -table schema_version sqlite3 app.db up
//
// All functions are safe for concurrent use, by several programs too.
package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// FS holds the migrations.
//
//go:embed 0*.sql
var FS embed.FS

// VersionTable is where goose notes which migrations are applied.
const VersionTable = "schema_version"

var (
	// ErrNewer is returned when a database has migrations that this program
	// does not know. It is left as it is.
	ErrNewer = errors.New("the database is newer than this program")
	// ErrNoMigration is returned by Down when no migration is applied.
	ErrNoMigration = errors.New("no migration is applied")
	// ErrDrift is returned by Validate when the database is not what the
	// migrations make.
	ErrDrift = errors.New("the database is not what its migrations make")
)

// Up applies the migrations that are missing, each in a transaction of its own.
// Programs that do this to one database at the same time all succeed, and each
// migration is applied once. A lock that does not go within the database's busy
// timeout is the database's error: through a pool, pool.ErrBusy.
func Up(ctx context.Context, db *sql.DB) error {
	return migrate(ctx, db, func(p *goose.Provider) error {
		_, err := p.Up(ctx)
		return err
	})
}

// Down takes the newest migration back. On an empty database it is ErrNoMigration.
func Down(ctx context.Context, db *sql.DB) error {
	return migrate(ctx, db, func(p *goose.Provider) error {
		_, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return ErrNoMigration
		}
		return err
	})
}

// migrate runs a step, and again if another program was faster: goose takes no
// lock on SQLite. What is done twice is rolled back, so looking again is enough.
// A lock is waited for as long as the database's own busy timeout says, but for
// a database that has none, in all and not once for each attempt.
func migrate(ctx context.Context, db *sql.DB, step func(*goose.Provider) error) error {
	const attempts = 200 // against programs that migrate up and down for ever
	patience := time.Duration(-1)
	var locked time.Time // since when
	for attempt := 1; ; attempt++ {
		began := time.Now()
		before, err := attemptOnce(ctx, db, step)
		if err == nil {
			return nil
		}
		raced := errors.Is(err, errRaced)
		switch {
		case isLocked(err):
			if patience < 0 {
				patience, locked = busyTimeout(ctx, db), began
			}
			raced = time.Since(locked) < patience
		case !raced && before >= 0:
			after, versionErr := Version(ctx, db)
			// Who was faster may still be at it, so that nothing can be read.
			raced = isLocked(versionErr) || versionErr == nil && (after != before || takenBack(err, after))
			fallthrough
		default:
			patience = -1 // somebody got on
		}
		if !raced || ctx.Err() != nil || attempt == attempts {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(1+rand.IntN(20)) * time.Millisecond):
		}
	}
}

// busyTimeout is how long the database waits for a lock by itself. One that does
// not wait, or cannot be asked now, is given five seconds.
func busyTimeout(ctx context.Context, db *sql.DB) time.Duration {
	var milliseconds int64
	if err := db.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&milliseconds); err != nil || milliseconds <= 0 {
		return 5 * time.Second
	}
	return time.Duration(milliseconds) * time.Millisecond
}

// takenBack reports that what this run had applied before it failed is gone.
func takenBack(err error, version int64) bool {
	var partial *goose.PartialError
	return errors.As(err, &partial) && len(partial.Applied) > 0 && version != partial.Applied[len(partial.Applied)-1].Source.Version
}

// attemptOnce also returns the version it found, -1 if it found none.
func attemptOnce(ctx context.Context, db *sql.DB, step func(*goose.Provider) error) (int64, error) {
	before, err := known(ctx, db)
	if err != nil {
		return -1, err
	}
	provider, err := newProvider(db)
	if err == nil {
		err = step(provider)
	}
	if err != nil {
		return before, fmt.Errorf("schema: %w", err)
	}
	return before, nil
}

// known returns the database's version, or ErrNewer.
func known(ctx context.Context, db *sql.DB) (int64, error) {
	version, err := Version(ctx, db)
	if err != nil {
		return 0, err
	}
	newest, err := newest()
	if err != nil {
		return 0, err
	}
	if version > newest {
		return 0, fmt.Errorf("schema: %w: it is at version %d, the program at %d; use a newer program", ErrNewer, version, newest)
	}
	return version, nil
}

func newest() (int64, error) {
	files, err := FS.ReadDir(".")
	if err != nil {
		return 0, err
	}
	version, err := goose.NumericComponent(files[len(files)-1].Name())
	if err != nil {
		return 0, fmt.Errorf("schema: %w", err)
	}
	return version, nil
}

// Version returns the number of the newest migration that is applied, 0 if none
// is. It changes nothing.
func Version(ctx context.Context, db *sql.DB) (int64, error) {
	var there bool
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", VersionTable).Scan(&there)
	if err != nil || !there {
		return 0, wrap(err)
	}
	var version int64
	err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+VersionTable+" WHERE is_applied").Scan(&version)
	return version, wrap(err)
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("schema: reading the version: %w", err)
	}
	return nil
}

// newProvider binds goose to the database. It is never closed: that would close
// the caller's database.
func newProvider(db *sql.DB) (*goose.Provider, error) {
	under, err := database.NewStore(database.DialectSQLite3, VersionTable)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider("", db, FS, goose.WithStore(onceStore{under}), goose.WithDisableGlobalRegistry(true))
}

// errRaced says that another program migrated at the same time.
var errRaced = errors.New("another program migrated the database meanwhile")

// onceStore refuses to record a migration twice. It looks inside the migration's
// own transaction, so that refusing undoes what the migration did.
type onceStore struct{ database.Store }

// Insert implements database.Store.
func (s onceStore) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	switch _, err := s.GetMigration(ctx, db, req.Version); {
	case err == nil:
		return errRaced
	case !errors.Is(err, database.ErrVersionNotFound):
		return err
	}
	return s.Store.Insert(ctx, db, req)
}

// Delete implements database.Store. It refuses to take back a migration that is
// not the newest any more.
func (s onceStore) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	newest, err := s.GetLatestVersion(ctx, db)
	if err != nil {
		return err
	}
	if newest != version {
		return errRaced
	}
	return s.Store.Delete(ctx, db, version)
}

// isLocked reports SQLite's BUSY or LOCKED, of whichever driver.
func isLocked(err error) bool {
	var e interface{ Code() int }
	return errors.As(err, &e) && (e.Code()&0xff == 5 || e.Code()&0xff == 6)
}
