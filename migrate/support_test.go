package migrate_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"modernc.org/sqlite"
)

func TestMain(m *testing.M) {
	if os.Getenv(childMode) != "" {
		os.Exit(beChild())
	}
	goleak.VerifyTestMain(m)
}

const noTx = "-- +goose NO TRANSACTION\n"

// files are migrations: each text is what goes up, and after "---" what goes down.
func files(texts ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for i, text := range texts {
		rest, outside := strings.CutPrefix(text, noTx)
		head := ""
		if outside {
			head = noTx
		}
		up, down, _ := strings.Cut(rest, "---")
		all[fmt.Sprintf("%05d_step.sql", i+1)] = &fstest.MapFile{Data: []byte(head + "-- +goose Up\n" + up + "\n-- +goose Down\n" + down)}
	}
	return all
}

func migrator(t testing.TB, files fstest.MapFS, opts ...migrate.Option) *migrate.Migrator {
	t.Helper()
	m, err := migrate.New(files, opts...)
	require.NoError(t, err)
	return m
}

// plain is a database that is no pool's.
type plain struct{ db *sql.DB }

func (p plain) DB() *sql.DB { return p.db }

func (p plain) Backup(ctx context.Context, path string) error {
	_, err := p.db.ExecContext(ctx, "VACUUM INTO ?", path)
	return err
}

func newPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "a b&c=+#%41.db")
}

func openPool(t testing.TB, cfg pool.Config) *pool.Pool {
	t.Helper()
	cfg.Synchronous = pool.SyncOff
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func openPlain(t testing.TB, path, more string) plain {
	t.Helper()
	db, err := sql.Open("sqlite", uri(path)+"?_pragma=foreign_keys(1)&_pragma=synchronous(off)"+more)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return plain{db}
}

func uri(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

// everywhere runs a test on each kind of database.
func everywhere(t *testing.T, test func(t *testing.T, d migrate.Database)) {
	t.Helper()
	for name, open := range map[string]func(t *testing.T) migrate.Database{
		"file":   func(t *testing.T) migrate.Database { return openPool(t, pool.Config{Path: newPath(t)}) },
		"memory": func(t *testing.T) migrate.Database { return openPool(t, pool.Config{Path: pool.Memory}) },
		"rollback journal": func(t *testing.T) migrate.Database {
			return openPool(t, pool.Config{Path: newPath(t), JournalMode: "delete"})
		},
		"one connection":   func(t *testing.T) migrate.Database { return openPool(t, pool.Config{Path: newPath(t), MaxConns: 1}) },
		"the driver alone": func(t *testing.T) migrate.Database { return openPlain(t, newPath(t), "&_pragma=busy_timeout(5000)") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func run(t testing.TB, d migrate.Database, query string, args ...any) {
	t.Helper()
	_, err := d.DB().ExecContext(t.Context(), query, args...)
	require.NoError(t, err, query)
}

// one is a query's only value, as text.
func one(t testing.TB, d migrate.Database, query string, args ...any) (text string) {
	t.Helper()
	require.NoError(t, d.DB().QueryRowContext(t.Context(), query, args...).Scan(&text), query)
	return text
}

func version(t testing.TB, m *migrate.Migrator, d migrate.Database) int64 {
	t.Helper()
	v, _, err := m.Version(t.Context(), d)
	require.NoError(t, err)
	return v
}

// requireEnforced looks at every connection that may be left behind.
func requireEnforced(t testing.TB, d migrate.Database) {
	t.Helper()
	require.Equal(t, "1", one(t, d, "PRAGMA foreign_keys"), "foreign keys are on again")
	if p, is := d.(*pool.Pool); is {
		require.EqualValues(t, 0, p.Stats().InUse, "nothing is held")
	}
}

// spy is SQLite with a look at every statement.
type spy struct {
	path   string
	before func(statement string) error // an error is the statement's result
	after  func(statement string, err error)
	opens  func(name string) error
	// It runs another statement.
	instead func(statement string) (string, error)
	more    string // of the DSN
}

func spied(t testing.TB, s *spy) plain {
	t.Helper()
	db := sql.OpenDB(s)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return plain{db}
}

func (s *spy) Connect(context.Context) (driver.Conn, error) {
	return s.Open(uri(s.path) + "?_pragma=foreign_keys(1)&_pragma=synchronous(off)" + s.more)
}

func (s *spy) Driver() driver.Driver { return s }

func (s *spy) Open(name string) (driver.Conn, error) {
	if s.opens != nil {
		if err := s.opens(name); err != nil {
			return nil, err
		}
	}
	c, err := new(sqlite.Driver).Open(name)
	if err != nil {
		return nil, err
	}
	return spiedConn{c.(sqliteConn), s}, nil
}

func (s *spy) look(statement string, run func() error) (err error) {
	if s.before != nil {
		err = s.before(statement)
	}
	if err == nil {
		err = run()
	}
	if s.after != nil {
		s.after(statement, err)
	}
	return err
}

type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
}

type spiedConn struct {
	sqliteConn
	spy *spy
}

func (c spiedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	if c.spy.instead != nil {
		if query, err = c.spy.instead(query); err != nil {
			return nil, err
		}
	}
	err = c.spy.look(query, func() error {
		result, err = c.sqliteConn.ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

func (c spiedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.spy.look(query, func() error {
		rows, err = c.sqliteConn.QueryContext(ctx, query, args)
		return err
	})
	return rows, err
}

func (c spiedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	err = c.spy.look("BEGIN", func() error {
		tx, err = c.sqliteConn.BeginTx(ctx, opts)
		return err
	})
	return spiedTx{tx, c.spy}, err
}

type spiedTx struct {
	driver.Tx
	spy *spy
}

func (t spiedTx) Commit() error { return t.spy.look("COMMIT", t.Tx.Commit) }

// isBusy reports SQLITE_BUSY.
func isBusy(err error) bool {
	var e interface{ Code() int }
	return errors.As(err, &e) && e.Code()&0xff == 5
}
