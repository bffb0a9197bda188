package pooltest

import (
	"context"
	"database/sql/driver"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
)

// Option says what database New makes.
type Option func(*settings)

type settings struct {
	file       bool
	change     []func(*pool.Config)
	migrates   bool
	migrations fs.FS
	options    []migrate.Option
}

// File has the database in a file, in t.TempDir(), instead of in memory.
func File() Option { return func(s *settings) { s.file = true } }

// Config has change alter the pool's configuration, after Path is set. It may set
// Path too: an existing file that is not empty is opened as it is, and Migrations
// are applied to it and not to a template. Several are called in order.
//
// Other than pool's own defaults, Synchronous is SyncOff, since tests pull no plugs,
// and Logger writes to the test's output.
func Config(change func(*pool.Config)) Option {
	return func(s *settings) { s.change = append(s.change, change) }
}

// Migrations has the database be what the migrations in the root of files make of
// an empty one. They run once in a process for all tests whose files have the same
// names and content, whose options set the same and whose Config has the same Pragmas
// and TimeFormat; each of these tests gets a copy, which costs milliseconds.
// Config's OnConnect is not called for the template. A Go migration is the same if it
// is the same *goose.Migration; make it once.
func Migrations(files fs.FS, opts ...migrate.Option) Option {
	return func(s *settings) { s.migrates, s.migrations, s.options = true, files, opts }
}

// New opens a pool for the test, on a database of its own. When the test is over it
// is closed and looked at: see the package's documentation. What cannot be opened or
// migrated fails the test at once. It may be called several times in a test, and by
// tests that run in parallel.
func New(t testing.TB, opts ...Option) *pool.Pool {
	t.Helper()
	s := settings{}
	for i, opt := range opts {
		if opt == nil {
			t.Fatalf("pooltest: New: opts[%d] is nil", i)
		}
		opt(&s)
	}
	d := &database{t: t}
	d.cfg = pool.Config{Path: pool.Memory, Synchronous: pool.SyncOff, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if s.file {
		d.cfg.Path = filepath.Join(t.TempDir(), "test.db")
	}
	for _, change := range s.change {
		if change == nil {
			t.Fatalf("pooltest: New: Config's function is nil")
		}
		change(&d.cfg)
	}
	if err := d.open(t.Context(), &s); err != nil {
		d.faults.disconnect()
		t.Fatalf("pooltest: %v", err)
	}
	databases.Store(d.pool, d)
	t.Cleanup(func() { d.end(t) })
	return d.pool
}

// databases are those of the tests that run, by *pool.Pool: Fail is given no more.
var databases sync.Map

// database is one that New has made.
type database struct {
	t      testing.TB
	cfg    pool.Config // as the test has set it
	pool   *pool.Pool
	faults faults
	notes  notes
}

func (d *database) memory() bool { return d.cfg.Path == pool.Memory }

// open opens the pool, on a copy of the template if there is one.
func (d *database) open(ctx context.Context, s *settings) (err error) {
	label(d.t.Name())
	var made *template
	if s.migrates && d.isNew() {
		if made, err = templateOf(s, d.cfg); err == nil && !d.memory() {
			err = made.copyTo(d.cfg.Path)
		}
		if err != nil {
			return err
		}
	}
	cfg := d.cfg
	d.notes.note(&cfg)
	first := true // one connection is opened after the other
	cfg.OnConnect = func(ctx context.Context, lease *pool.Lease) error {
		err := lease.Raw(ctx, func(conn driver.Conn) error {
			if first && made != nil && d.memory() {
				if err := made.copyInto(conn); err != nil {
					return err
				}
			}
			first = false
			return d.faults.connect(conn)
		})
		if err == nil && d.cfg.OnConnect != nil {
			err = d.cfg.OnConnect(ctx, lease)
		}
		return err
	}
	if d.pool, err = pool.Open(ctx, cfg); err != nil {
		return err
	}
	if !s.migrates || made != nil {
		return nil
	}
	m, err := migrate.New(s.migrations, s.options...)
	if err == nil {
		err = m.Up(ctx, d.pool)
	}
	if err != nil {
		return errors.Join(err, d.pool.Close())
	}
	return nil
}

// isNew reports that there is nothing in the database yet.
func (d *database) isNew() bool {
	if d.memory() {
		return true
	}
	info, err := os.Stat(d.cfg.Path)
	return err != nil || info.Size() == 0
}
