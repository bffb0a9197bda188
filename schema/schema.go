// Package schema is the database's schema as numbered goose migrations, and what
// a program does with them: [Up] and [Down] apply them, [Version] says how far a
// database is, [Validate] whether it is what the migrations make. The goose CLI
// works on the same files and the same version table:
//
//	goose -dir schema -table schema_version sqlite3 app.db up
//
// All functions are those of package migrate, safe for concurrent use, by several
// programs too.
package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"

	"github.com/sqlane/sqlane/migrate"
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
	ErrNewer = migrate.ErrNewer
	// ErrNoMigration is returned by Down when no migration is applied.
	ErrNoMigration = migrate.ErrNoMigration
	// ErrDrift is returned by Validate when the database is not what the
	// migrations make.
	ErrDrift = migrate.ErrDrift
)

// Up applies the migrations that are missing, each in a transaction of its own.
// Programs that do this to one database at the same time all succeed, and each
// migration is applied once. A lock that does not go within the database's busy
// timeout is the database's error: through a pool, pool.ErrBusy.
func Up(ctx context.Context, db *sql.DB) error {
	return with(func(m *migrate.Migrator) error { return m.Up(ctx, database{db}) })
}

// Down takes the newest migration back. On an empty database it is ErrNoMigration.
func Down(ctx context.Context, db *sql.DB) error {
	return with(func(m *migrate.Migrator) error { return m.Down(ctx, database{db}) })
}

// Version returns the number of the newest migration that is applied, 0 if none
// is. It changes nothing.
func Version(ctx context.Context, db *sql.DB) (version int64, err error) {
	err = with(func(m *migrate.Migrator) error {
		version, _, err = m.Version(ctx, database{db})
		return err
	})
	return version, err
}

// Validate compares the database with what the migrations make of an empty one:
// every table, column, index, foreign key, view and trigger. The error, ErrDrift,
// lists every difference. A database at an older version differs too.
func Validate(ctx context.Context, db *sql.DB) error {
	return with(func(m *migrate.Migrator) error { return m.Validate(ctx, database{db}) })
}

func with(do func(m *migrate.Migrator) error) error {
	m, err := migrate.New(FS, migrate.Table(VersionTable))
	if err != nil {
		return err
	}
	return do(m)
}

// database is a *sql.DB as package migrate wants it. There is no backup in these
// functions.
type database struct{ db *sql.DB }

func (d database) DB() *sql.DB                          { return d.db }
func (d database) Backup(context.Context, string) error { return errors.ErrUnsupported }
