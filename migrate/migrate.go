// Package migrate applies goose's migrations to SQLite, and is safe where SQLite
// is not. goose (https://github.com/pressly/goose) reads, orders and records them;
// its command line works on the same files, the same database and the same table.
// An application's whole start-up is:
//
//	p, err := pool.Open(ctx, cfg)
//	...
//	m, err := migrate.New(files)
//	...
//	err = m.Up(ctx, p)
//	...
//	r := repo.New(p)
//
// # In a transaction
//
// A migration runs in one IMMEDIATE transaction, foreign keys switched off before
// it begins, for SQLite lets nobody switch them inside, and foreign_key_check
// before it commits (https://www.sqlite.org/lang_altertable.html#otheralter). So a
// table that others refer to is rebuilt in plain SQL, and their rows stay:
//
//	-- +goose Up
//	CREATE TABLE new_parent (...);
//	INSERT INTO new_parent SELECT ... FROM parent;
//	DROP TABLE parent;
//	ALTER TABLE new_parent RENAME TO parent;
//
// While foreign keys are off nothing cascades: a DELETE in a migration deletes the
// children itself. One that leaves a reference broken is rolled back, with an error
// that names table, rows and parent. References that were broken before it are not
// its fault and do not hold it up; a row counts as the same if its table and its
// rowid, or its key in a WITHOUT ROWID table, are. PRAGMA foreign_keys in the
// migration does nothing. One that meets a lock at its commit, or leaves references
// broken that may have been so before it, is undone and run again.
//
// # Without one
//
// A file with "-- +goose NO TRANSACTION", for VACUUM and PRAGMAs that need none,
// runs statement by statement on one connection, with foreign keys as the
// connection has them, on in a pool, until the file sets them otherwise. What it
// changed stays when it fails half way. References are checked at its end all the
// same: what it broke is an error, and its version is not recorded. After a failure
// or a crash the next Up runs it again from its beginning, which it must bear: let
// it begin with what makes it so, or change data in a BEGIN and COMMIT of its own.
//
// # Go functions
//
// One with RunTx runs as a file does. One with RunDB gets the database's own
// *sql.DB, no connection of which is held meanwhile, and is checked as a file
// without a transaction is. A panic goes on to the caller; the transaction is
// rolled back.
//
// # Several programs
//
// Any number of programs and goroutines may migrate one database at the same time:
// each migration is applied once, and all of them succeed, since each looks inside
// its transaction whether it is still the next one. The first of them locks the empty
// file PATH-migrate beside the database while it is at work. The others wait there
// for what no transaction can exclude, a file without one or a Backup, and when their
// own timeouts were too short for another's migration. The file goes when the work is
// done; one that a crash left behind is in nobody's way. For a database that is not a
// file of this machine there is none: there such work is for one program at a time.
//
// The lock of a program that does not migrate is waited for as long as the database's
// busy timeout says, through a pool Config.BusyTimeout, and is the database's error
// then, through a pool pool.ErrBusy; the wait at PATH-migrate has no end but the
// context's. Killed at any point, the next Up goes on where the last one was.
//
// A database that a newer program has migrated is ErrNewer and stays as it is. So
// it does, with an error that names the version, when a migration that is not the
// newest was left out, or one is applied that the program does not have.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

var (
	// ErrNewer is returned when a database has migrations that are newer than the
	// program's newest. It is left as it is.
	ErrNewer = errors.New("the database is newer than this program")
	// ErrNoMigration is returned by To for a version that no migration has, and by
	// Down when none is applied.
	ErrNoMigration = errors.New("there is no such migration")
	// ErrDrift is returned by Validate when the database is not what the
	// migrations make.
	ErrDrift = errors.New("the database is not what its migrations make")
)

// Database is what is migrated: a *pool.Pool, or anything else with a *sql.DB on
// SQLite. Backup is called only for the option Backup; it makes a copy of the
// database, as it is at one moment, at path. One that is closed is database/sql's error,
// and that of its method HealthCheck, if it has one: of a pool, pool.ErrClosed.
type Database interface {
	DB() *sql.DB
	Backup(ctx context.Context, path string) error
}

// Migration is one migration.
type Migration struct {
	Version int64
	Source  string // The file's name in the files that New was given; "" for a Go function.
}

// Migrator applies migrations to databases. It keeps no state and may be used by
// several goroutines, for one database or several. A nil context or Database is
// fs.ErrInvalid, as is a Migrator that New has not made.
type Migrator struct {
	files  fs.FS
	table  string
	store  database.Store // goose's, of the table
	backup string
	inGo   map[int64]*goose.Migration
	all    []Migration // in order
}

// Option is an option of New.
type Option func(*Migrator) error

// identifier matches a table's name that needs no quotes, of which goose writes none.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Table names goose's version table, as -table does on its command line. The
// default is goose's own, goose_db_version. The name is letters, digits and
// underscores.
func Table(name string) Option {
	return func(m *Migrator) error {
		if !identifier.MatchString(name) {
			return fmt.Errorf("the version table's name %q is not made of letters, digits and underscores alone", name)
		}
		m.table = name
		return nil
	}
}

// Backup has the database copied to path by Up, or To, before the first migration
// that is to be applied; if none is, or one is taken back, there is no copy. A file
// that is there already is fs.ErrExist and nothing is migrated: since the copy of a
// run that failed or was killed stays, put the time into its name.
func Backup(path string) Option {
	return func(m *Migrator) error {
		if path == "" {
			return errors.New("the backup's path is empty")
		}
		m.backup = path
		return nil
	}
}

// GoMigrations adds migrations that are Go functions, made by goose.NewGoMigration.
// Those of goose's global registry are not used.
func GoMigrations(migrations ...*goose.Migration) Option {
	return func(m *Migrator) error {
		for _, g := range migrations {
			if g == nil {
				return errors.New("a Go migration is nil")
			}
			if _, there := m.inGo[g.Version]; there {
				return fmt.Errorf("two Go migrations have version %d", g.Version)
			}
			m.inGo[g.Version] = g
		}
		return nil
	}
}

// New returns a Migrator of the migrations in the root of files, which goose names
// like 00001_first.sql; files may be nil if there are GoMigrations. It fails if
// there are none (goose.ErrNoMigrations, and why), if two have one version, or if an
// option is wrong. Files are read when they are needed, and all that are needed before the
// first is applied.
func New(files fs.FS, opts ...Option) (*Migrator, error) {
	m := &Migrator{files: files, table: goose.DefaultTablename, inGo: make(map[int64]*goose.Migration)}
	for i, opt := range opts {
		if opt == nil {
			return nil, failed(fmt.Errorf("%w: opts[%d] is nil", fs.ErrInvalid, i))
		}
		if err := opt(m); err != nil {
			return nil, failed(err)
		}
	}
	var err error
	if m.store, err = database.NewStore(database.DialectSQLite3, m.table); err != nil {
		return nil, failed(err)
	}
	provider, closeDB, err := m.provider(m.recorder(false))
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil, failed(fmt.Errorf("%w: %w", err, whyNone(files)))
	} else if err != nil {
		return nil, failed(err)
	}
	defer closeDB()
	for _, source := range provider.ListSources() {
		m.all = append(m.all, Migration{Version: source.Version, Source: source.Path})
	}
	return m, nil
}

// whyNone says why files have no migration: most often they are in a directory of it.
func whyNone(files fs.FS) error {
	if files == nil {
		return errors.New("the files are nil")
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return fmt.Errorf("the root of the files cannot be read: %w", err)
	}
	for _, e := range entries {
		if within, err := fs.Glob(files, path.Join(e.Name(), "*.sql")); e.IsDir() && err == nil && len(within) > 0 {
			return fmt.Errorf("the root of the files has none, but there is %s; use fs.Sub(files, %q)", within[0], e.Name())
		}
	}
	return errors.New("the root of the files has no file with a name like 00001_first.sql")
}

// provider is goose's, upon a recorder instead of a database.
func (m *Migrator) provider(r *recorder) (_ *goose.Provider, closeDB func(), err error) {
	db := sql.OpenDB(r)
	closeDB = func() { _ = db.Close() } // of a recorder nothing can fail
	provider, err := goose.NewProvider("", db, m.files, goose.WithStore(r),
		goose.WithGoMigrations(slices.Collect(maps.Values(m.inGo))...), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		closeDB()
		return nil, nil, err
	}
	return provider, closeDB, nil
}

// Up applies the migrations that are missing, in order, each in a transaction of its
// own. Those before one that fails stay applied.
func (m *Migrator) Up(ctx context.Context, d Database) error {
	return m.run(ctx, d, func(applied []int64, _ int) ([]step, error) {
		return m.stepsTo(applied, m.latest()), nil
	})
}

// To applies migrations, or takes them back, the newest first, until version is the
// newest that is applied; 0 takes all back. A version that no migration has is
// ErrNoMigration.
func (m *Migrator) To(ctx context.Context, d Database, version int64) error {
	if err := m.given(ctx, d); err != nil {
		return err
	}
	if version != 0 && !slices.Contains(m.versions(), version) {
		return failed(fmt.Errorf("%w: version %d; the newest is %d", ErrNoMigration, version, m.latest()))
	}
	return m.run(ctx, d, func(applied []int64, _ int) ([]step, error) {
		return m.stepsTo(applied, version), nil
	})
}

// Down takes the newest migration back. If none is applied it is ErrNoMigration.
func (m *Migrator) Down(ctx context.Context, d Database) error {
	return m.run(ctx, d, func(applied []int64, done int) ([]step, error) {
		switch {
		case done > 0:
			return nil, nil
		case len(applied) == 0:
			return nil, fmt.Errorf("%w: none is applied", ErrNoMigration)
		}
		return []step{{version: applied[len(applied)-1]}}, nil
	})
}

// Version returns the newest version that is applied, 0 if none is, and the newest
// that there is. It changes nothing, and of a newer database tells its version.
func (m *Migrator) Version(ctx context.Context, d Database) (current, latest int64, err error) {
	if err := m.given(ctx, d); err != nil {
		return 0, 0, err
	}
	applied, err := m.applied(ctx, d.DB())
	if err != nil {
		return 0, 0, failed(within(ctx, d, err))
	}
	return newest(applied), m.latest(), nil
}

// Pending returns the migrations that Up would apply, in order. It changes nothing,
// and fails where Up would refuse the database.
func (m *Migrator) Pending(ctx context.Context, d Database) ([]Migration, error) {
	if err := m.given(ctx, d); err != nil {
		return nil, err
	}
	applied, err := m.known(ctx, d.DB())
	if err != nil {
		return nil, failed(within(ctx, d, err))
	}
	var pending []Migration
	for _, s := range m.stepsTo(applied, m.latest()) {
		pending = append(pending, m.migration(s.version))
	}
	return pending, nil
}

// stepsTo are what leads to a version.
func (m *Migrator) stepsTo(applied []int64, version int64) (steps []step) {
	for _, v := range slices.Backward(applied) {
		if v > version {
			steps = append(steps, step{version: v})
		}
	}
	for _, v := range m.versions() {
		if v <= version && !slices.Contains(applied, v) {
			steps = append(steps, step{version: v, up: true})
		}
	}
	return steps
}

func (m *Migrator) versions() []int64 {
	versions := make([]int64, len(m.all))
	for i, one := range m.all {
		versions[i] = one.Version
	}
	return versions
}

func (m *Migrator) latest() int64 { return m.all[len(m.all)-1].Version }

func (m *Migrator) migration(version int64) Migration {
	return m.all[slices.Index(m.versions(), version)]
}

// name is how errors speak of a migration.
func (m *Migrator) name(version int64) string {
	source := "Go"
	if one := m.migration(version); one.Source != "" {
		source = path.Base(one.Source)
	}
	return fmt.Sprintf("migration %d (%s)", version, source)
}

// given refuses to work without what there is to work with.
func (m *Migrator) given(ctx context.Context, d Database) error {
	nothing := ""
	switch {
	case m == nil || len(m.all) == 0:
		nothing = "the Migrator was not made by New"
	case ctx == nil:
		nothing = "ctx is nil; context.Background() is one that never ends"
	case d == nil:
		nothing = "the Database is nil"
	case d.DB() == nil:
		nothing = "the Database's DB is nil"
	default:
		return nil
	}
	return failed(fmt.Errorf("%w: %s", fs.ErrInvalid, nothing))
}

func failed(err error) error { return fmt.Errorf("migrate: %w", err) }
