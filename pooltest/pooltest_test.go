package pooltest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
)

func exec1(t testing.TB, p *pool.Pool, query string, args ...any) {
	t.Helper()
	_, err := p.Writer().Exec(t.Context(), query, args...)
	require.NoError(t, err, query)
}

func number(t testing.TB, p *pool.Pool, query string) (n int64) {
	t.Helper()
	require.NoError(t, p.Reader().QueryRow(t.Context(), query).Scan(&n), query)
	return n
}

func TestADatabaseIsEmptyAndInMemoryByDefault(t *testing.T) {
	p := pooltest.New(t)
	require.Zero(t, number(t, p, "SELECT count(*) FROM sqlite_schema"))
	require.Equal(t, 1, int(number(t, p, "SELECT count(*) FROM pragma_database_list WHERE file = ''")))
}

func TestAFileLiesInTheTestsOwnDirectoryAndIsItsOwners(t *testing.T) {
	everyWay := map[string][]pooltest.Option{"empty": {pooltest.File()}, "migrated": {pooltest.Migrations(notes), pooltest.File()}}
	for name, opts := range everyWay {
		t.Run(name, func(t *testing.T) {
			var path string
			p := pooltest.New(t, append(opts, pooltest.Config(func(c *pool.Config) { path = c.Path }))...)
			exec1(t, p, "CREATE TABLE t (a)")
			info, err := os.Stat(path)
			require.NoError(t, err)
			if runtime.GOOS != "windows" {
				require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
			}
			require.Equal(t, filepath.Dir(filepath.Dir(path)), filepath.Dir(t.TempDir()))
		})
	}
}

func TestConfigMayChangeEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.db")
	connected := false
	p := pooltest.New(t, pooltest.File(), pooltest.Migrations(notes),
		pooltest.Config(func(c *pool.Config) {
			require.NotEqual(t, pool.Memory, c.Path)
			c.Path, c.MaxConns, c.JournalMode = path, 1, pool.JournalDelete
		}),
		pooltest.Config(func(c *pool.Config) {
			require.Equal(t, path, c.Path, "the second sees what the first did")
			c.OnConnect = func(ctx context.Context, l *pool.Lease) error {
				connected = true
				var n int
				return l.QueryRow(ctx, "SELECT count(*) FROM notes").Scan(&n)
			}
		}))
	require.Equal(t, 1, p.Stats().MaxConns)
	require.True(t, connected)
	require.FileExists(t, path)
}

func TestEachDatabaseIsACopyOfWhatTheMigrationsMake(t *testing.T) {
	everywhere(t, func(t *testing.T, opts ...pooltest.Option) {
		a, b := pooltest.New(t, opts...), pooltest.New(t, opts...)
		exec1(t, a, "INSERT INTO notes (text) VALUES ('second')")
		require.EqualValues(t, 2, number(t, a, "SELECT count(*) FROM notes"))
		require.EqualValues(t, 1, number(t, b, "SELECT count(*) FROM notes"))
		m, err := migrate.New(notes)
		require.NoError(t, err)
		require.NoError(t, m.Validate(t.Context(), b))
		pending, err := m.Pending(t.Context(), b)
		require.NoError(t, err)
		require.Empty(t, pending)
	})
}

func TestTestsThatRunInParallelHaveDatabasesOfTheirOwn(t *testing.T) {
	t.Run("all", func(t *testing.T) {
		for i := range 20 {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				opts := []pooltest.Option{pooltest.Migrations(notes)}
				if i%2 == 0 {
					opts = append(opts, pooltest.File())
				}
				p := pooltest.New(t, opts...)
				exec1(t, p, "INSERT INTO notes (text) VALUES (?)", strconv.Itoa(i))
				require.EqualValues(t, 2, number(t, p, "SELECT count(*) FROM notes"))
			})
		}
	})
}

// counted is a migration that counts how often it is applied.
func counted(times *atomic.Int64) migrate.Option {
	return migrate.GoMigrations(goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error {
		times.Add(1)
		return nil
	}}, nil))
}

func TestMigrationsRunOnceForEachContentAndOptions(t *testing.T) {
	var times atomic.Int64
	count := counted(&times)
	files := func(text string) fstest.MapFS {
		return fstest.MapFS{"00001_a.sql": {Data: []byte("-- +goose Up\n" + text)}}
	}
	open := func(files fstest.MapFS, opts ...pooltest.Option) *pool.Pool {
		return pooltest.New(t, append(opts, pooltest.Migrations(files, count))...)
	}
	page := func(size string) pooltest.Option {
		return pooltest.Config(func(c *pool.Config) { c.Pragmas = map[string]string{"page_size": size} })
	}
	t.Run("the same", func(t *testing.T) {
		for range 3 { // each with files of its own
			t.Run("", func(t *testing.T) {
				t.Parallel()
				open(files("CREATE TABLE a (x);"))
				open(files("CREATE TABLE a (x);"), pooltest.File())
			})
		}
	})
	require.EqualValues(t, 1, times.Load())
	open(files("CREATE TABLE a (y);"))
	require.EqualValues(t, 2, times.Load(), "other content")
	p := pooltest.New(t, pooltest.Migrations(files("CREATE TABLE a (y);"), count, migrate.Table("versions")))
	require.EqualValues(t, 3, times.Load(), "another option")
	require.EqualValues(t, 3, number(t, p, "SELECT max(version_id) FROM versions"))
	p = open(files("CREATE TABLE a (y);"), page("8192"))
	require.EqualValues(t, 4, times.Load(), "another PRAGMA")
	require.EqualValues(t, 8192, number(t, p, "SELECT page_size FROM pragma_page_size"))
	p = open(files("CREATE TABLE a (y);"), page("8192"), pooltest.File())
	require.EqualValues(t, 4, times.Load())
	require.EqualValues(t, 8192, number(t, p, "SELECT page_size FROM pragma_page_size"))
}

func TestAFileThatIsThereIsMigratedItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.db")
	at := pooltest.Config(func(c *pool.Config) { c.Path = path })
	old := pooltest.New(t, at)
	exec1(t, old, "CREATE TABLE kept (a)")
	require.NoError(t, old.Close())
	p := pooltest.New(t, at, pooltest.Migrations(notes))
	require.Zero(t, number(t, p, "SELECT count(*) FROM kept"))
	require.EqualValues(t, 1, number(t, p, "SELECT count(*) FROM notes"))
}

func TestGoMigrationsNeedNoFiles(t *testing.T) {
	var times atomic.Int64
	pooltest.New(t, pooltest.Migrations(nil, counted(&times)))
	require.EqualValues(t, 1, times.Load())
}

type unreadable struct{ fstest.MapFS }

func (unreadable) ReadFile(string) ([]byte, error) { return nil, errors.New("unreadable") }

func TestWhatCannotBeOpenedOrMigratedFailsTheTestAtOnce(t *testing.T) {
	wrong := fstest.MapFS{"00001_wrong.sql": {Data: []byte("-- +goose Up\nCREATE TABEL a (x);\n")}}
	path := filepath.Join(t.TempDir(), "old.db")
	at := pooltest.Config(func(c *pool.Config) { c.Path = path })
	exec1(t, pooltest.New(t, at), "CREATE TABLE kept (a)")
	for _, c := range []struct {
		name, says string
		opts       []pooltest.Option
	}{
		{"a faulty configuration", "MaxConns is -1", []pooltest.Option{pooltest.Config(func(c *pool.Config) { c.MaxConns = -1 })}},
		{"a template's", "page_size", []pooltest.Option{pooltest.Migrations(notes), pooltest.Config(func(c *pool.Config) { c.Pragmas = map[string]string{"page_size": "a b"} })}},
		{"a directory that is not there", "no such file", []pooltest.Option{pooltest.Migrations(notes), pooltest.Config(func(c *pool.Config) { c.Path = "/not/there" })}},
		{"OnConnect", "too bad", []pooltest.Option{pooltest.Config(func(c *pool.Config) {
			c.OnConnect = func(context.Context, *pool.Lease) error { return errors.New("too bad") }
		})}},
		{"a faulty migration", "TABEL", []pooltest.Option{pooltest.Migrations(wrong)}},
		{"the same again", "TABEL", []pooltest.Option{pooltest.Migrations(wrong)}},
		{"one on a database that is there", "TABEL", []pooltest.Option{at, pooltest.Migrations(wrong)}},
		{"no migration", goose.ErrNoMigrations.Error(), []pooltest.Option{pooltest.Migrations(fstest.MapFS{})}},
		{"migrations in a directory", `use fs.Sub(files, "schema")`, []pooltest.Option{pooltest.Migrations(fstest.MapFS{"schema/1_first.sql": {}})}},
		{"none for a database that is there", goose.ErrNoMigrations.Error(), []pooltest.Option{at, pooltest.Migrations(fstest.MapFS{})}},
		{"a directory of migrations that is not there", "no such file", []pooltest.Option{pooltest.Migrations(os.DirFS("/not/there"))}},
		{"files that cannot be read", "unreadable", []pooltest.Option{pooltest.Migrations(unreadable{notes})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Contains(t, run(t, func(t testing.TB) {
				pooltest.New(t, c.opts...)
				t.Errorf("it goes on")
			}), c.says)
			require.NotContains(t, run(t, func(t testing.TB) {
				pooltest.New(t, c.opts...)
				t.Errorf("it goes on")
			}), "it goes on")
		})
	}
}

func TestThePoolDoesNotImportTesting(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/sqlane/sqlane/pool", "github.com/sqlane/sqlane/migrate").Output()
	require.NoError(t, err)
	require.NotContains(t, strings.Fields(string(out)), "testing")
}

func TestRawIsStillTheDriversOwn(t *testing.T) {
	p := pooltest.New(t)
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	require.NoError(t, l.Raw(t.Context(), func(conn driver.Conn) error {
		_, err := conn.(interface{ Serialize() ([]byte, error) }).Serialize()
		return err
	}))
}
