package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// configOpen opens a pool as it was configured, without tables.
func configOpen(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// configEach runs check on every connection that the pool can have, all at once.
func configEach(t *testing.T, p *pool.Pool, check func(on dbtx)) {
	t.Helper()
	conns := p.Stats().MaxConns
	if conns == 1 {
		conns = 2 // the only one is the writer's
	}
	for range conns - 1 {
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		if p.Stats().MaxConns == 1 {
			check(l)
			l.Release()
			return
		}
		defer l.Release()
		check(l)
	}
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(_ context.Context, tx *pool.Tx) error {
		check(tx)
		return nil
	}))
	require.Equal(t, conns, p.Stats().Open)
}

func configPragma(t *testing.T, on dbtx, name string) (value string) {
	t.Helper()
	require.NoError(t, on.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value), name)
	return value
}

func configFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestTheZeroConfigMeansItsDocumentedDefaults(t *testing.T) {
	require.Equal(t, pool.Config{
		MaxConns:              max(4, 2*runtime.NumCPU()+1),
		MinConns:              1,
		AcquireTimeout:        5 * time.Second,
		BusyTimeout:           5 * time.Second,
		MaxConnLifetime:       time.Hour,
		MaxConnLifetimeJitter: 6 * time.Minute,
		MaxConnIdleTime:       30 * time.Minute,
		HealthCheckInterval:   30 * time.Second,
		WatchInterval:         time.Second,
		StatementCacheSize:    128,
		JournalMode:           "wal",
		Synchronous:           "full",
		Logger:                slog.Default(),
	}, pool.Config{}.WithDefaults())
}

func TestWithDefaultsLeavesWhatIsSet(t *testing.T) {
	set := pool.Config{
		Path:                  "some.db",
		ReadOnly:              true,
		MaxConns:              1,
		MinConns:              -1,
		MaxWaiters:            7,
		AcquireTimeout:        -1,
		BusyTimeout:           -1,
		MaxConnLifetime:       time.Minute,
		MaxConnLifetimeJitter: -1,
		MaxConnIdleTime:       -1,
		HealthCheckInterval:   -1,
		LeakThreshold:         time.Second,
		WatchInterval:         -1,
		StatementCacheSize:    -1,
		JournalMode:           "delete",
		Synchronous:           "off",
		Pragmas:               map[string]string{"cache_size": "-100"},
		Logger:                slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	require.Equal(t, set, set.WithDefaults())
	require.Equal(t, set.WithDefaults(), set.WithDefaults().WithDefaults())

	d := pool.Config{JournalMode: "WAL", Synchronous: "Normal", MaxConnLifetime: 10 * time.Second}.WithDefaults()
	require.Equal(t, pool.JournalWAL, d.JournalMode, "in lower case")
	require.Equal(t, pool.SyncNormal, d.Synchronous, "in lower case")
	require.Equal(t, time.Second, d.MaxConnLifetimeJitter, "a tenth of the lifetime")
	require.LessOrEqual(t, pool.Config{MaxConnLifetime: -1}.WithDefaults().MaxConnLifetimeJitter, time.Duration(0), "none where connections live for ever")
}

func TestAConfigSharesItsPragmasWithNobody(t *testing.T) {
	cfg := pool.Config{Path: pool.Memory, Pragmas: map[string]string{"cache_size": "-111"}}
	p := configOpen(t, cfg)
	cfg.Pragmas["cache_size"] = "-222"
	configEach(t, p, func(on dbtx) { require.Equal(t, "-111", configPragma(t, on, "cache_size")) })
}

func TestValidateNamesEveryFaultyFieldAtOnce(t *testing.T) {
	err := pool.Config{
		MaxConns:      -1,
		MinConns:      5,
		MaxWaiters:    -1,
		LeakThreshold: -1,
		JournalMode:   "off",
		Synchronous:   "sometimes",
		Pragmas:       map[string]string{"a b": "1", "cache_size": "1; DROP TABLE n", "Busy_Timeout": "1"},
	}.Validate()
	require.ErrorIs(t, err, pool.ErrConfig)
	var own *pool.Error
	require.ErrorAs(t, err, &own)
	require.NotEmpty(t, own.Op)
	for _, field := range []string{
		"Path", "MaxConns", "MinConns", "MaxWaiters", "LeakThreshold", "JournalMode", "Synchronous",
		`"a b"`, "cache_size", "Busy_Timeout", "BusyTimeout",
	} {
		require.ErrorContains(t, err, field)
	}
}

func TestValidateNamesAFaultyField(t *testing.T) {
	for field, cfg := range map[string]pool.Config{
		"Path is empty":                     {},
		"NUL":                               {Path: "a\x00b"},
		"ReadOnly":                          {Path: pool.Memory, ReadOnly: true},
		"MaxConns is -1":                    {Path: "a", MaxConns: -1, MinConns: -1},
		"MinConns is 3":                     {Path: "a", MaxConns: 2, MinConns: 3},
		"MaxWaiters is -2":                  {Path: "a", MaxWaiters: -2},
		"LeakThreshold is -1ns":             {Path: "a", LeakThreshold: -1},
		`JournalMode is "memory"`:           {Path: "a", JournalMode: "memory"},
		`Synchronous is "2"`:                {Path: "a", Synchronous: "2"},
		"CACHE_SIZE and cache_size are one": {Path: "a", Pragmas: map[string]string{"cache_size": "10", "CACHE_SIZE": "20"}},
	} {
		err := cfg.Validate()
		require.ErrorIs(t, err, pool.ErrConfig, field)
		require.ErrorContains(t, err, field)
		require.NotContains(t, err.Error(), "\n", "only one is faulty: %s", err)
		p, openErr := pool.Open(t.Context(), cfg)
		require.Nil(t, p)
		require.ErrorIs(t, openErr, pool.ErrConfig, field)
		require.ErrorContains(t, openErr, field)
	}
}

func TestWhatValidateAcceptsIsAccepted(t *testing.T) {
	for _, cfg := range []pool.Config{
		{Path: "a"},
		{Path: pool.Memory},
		{Path: "a", ReadOnly: true},
		{Path: "a", MaxConns: 1, MinConns: 1},
		{Path: "a", MinConns: -1, AcquireTimeout: -1, BusyTimeout: -1, MaxConnLifetime: -1, MaxConnLifetimeJitter: -1, MaxConnIdleTime: -1, HealthCheckInterval: -1, StatementCacheSize: -1},
		{Path: "a", JournalMode: "Persist", Synchronous: "EXTRA"},
		{Path: "a", JournalMode: "truncate", Synchronous: "off"},
		{Path: "a", Pragmas: map[string]string{"cache_size": "-2000", "temp_store": "MEMORY", "mmap_size": "+1", "analysis_limit": "1.5", "encoding": "'UTF-8'", "x": `"it's ""so"""`}},
	} {
		require.NoError(t, cfg.Validate(), "%+v", cfg)
		require.NoError(t, cfg.WithDefaults().Validate(), "%+v", cfg)
	}
}

func TestPragmasCannotCarryOtherSQL(t *testing.T) {
	for _, value := range []string{
		"", " ", "1; DROP TABLE n", "1;", ";", "(1)", "1)", "1 2", "on off", "1 -- comment", "1/**/", "/* */1", "'a' 'b'", "'a'b", "'a", `"a`, "'", `"`, "`a`", "[a]",
		"'; DROP TABLE n; --", "1\n; DROP TABLE n", "=1", "1=1", "?", ":x", "@x", "1\x00; DROP TABLE n", "+", "-", "1.5.", "1,2",
	} {
		err := pool.Config{Path: "a", Pragmas: map[string]string{"cache_size": value}}.Validate()
		require.ErrorIs(t, err, pool.ErrConfig, "%q", value)
		require.ErrorContains(t, err, "cache_size")
	}
	for _, name := range []string{
		"", " ", "a b", "a;", "cache_size=1; DROP TABLE n; PRAGMA cache_size", "main.cache_size", "cache_size(1)", "a--", "a'", `"a"`, "a\x00", "caf\u00e9", "a$", "a=1",
	} {
		err := pool.Config{Path: "a", Pragmas: map[string]string{name: "1"}}.Validate()
		require.ErrorIs(t, err, pool.ErrConfig, "%q", name)
		require.ErrorContains(t, err, fmt.Sprintf("%q", name))
	}
}

func TestPragmasOfThePoolsOwnAreRefusedAndTheFieldNamed(t *testing.T) {
	for name, field := range map[string]string{
		"busy_timeout": "BusyTimeout",
		"journal_mode": "JournalMode",
		"synchronous":  "Synchronous",
		"query_only":   "ReadOnly",
		"locking_mode": "MaxConns",
	} {
		for _, written := range []string{name, strings.ToUpper(name)} {
			err := pool.Config{Path: "a", Pragmas: map[string]string{written: "1"}}.Validate()
			require.ErrorIs(t, err, pool.ErrConfig)
			require.ErrorContains(t, err, written)
			require.ErrorContains(t, err, field)
		}
	}
}

func TestAPathThatCannotBeADatabaseFailsToOpen(t *testing.T) {
	byItself(t)
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("this is no database, and it is longer than a header of a hundred bytes, so that SQLite can tell that without a doubt"), 0o600))
	for name, test := range map[string]struct {
		path string
		is   error
	}{
		"a directory":                 {dir, nil},
		"a missing directory":         {filepath.Join(dir, "missing", "app.db"), fs.ErrNotExist},
		"a file taken as a directory": {filepath.Join(file, "app.db"), nil},
		"a NUL":                       {filepath.Join(dir, "a\x00b"), pool.ErrConfig},
		"no database":                 {file, nil},
		"nothing":                     {"", pool.ErrConfig},
	} {
		for _, readOnly := range []bool{false, true} {
			p, err := pool.Open(t.Context(), pool.Config{Path: test.path, ReadOnly: readOnly})
			if p != nil && readOnly && name == "no database" { // who only reads may find out later
				_, err = number(t.Context(), p.DB(), "SELECT count(*) FROM sqlite_schema")
				require.NoError(t, p.Close())
				p = nil
			}
			require.Nil(t, p, name)
			require.Error(t, err, name)
			if test.is != nil {
				require.ErrorIs(t, err, test.is, name)
			}
			if name != "no database" {
				var own *pool.Error
				require.ErrorAs(t, err, &own, name)
				require.NotEmpty(t, own.Op, name)
			}
		}
	}
	require.Equal(t, []string{"file"}, configFiles(t, dir), "nothing was made")
	require.Empty(t, sqldbDescriptors(t, dir))
	goleak.VerifyNone(t, before)
}

func TestAFileThatIsNoDatabaseIsCalledCorrupt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	text := strings.Repeat("no database ", 100)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	_, err := pool.Open(t.Context(), pool.Config{Path: path})
	require.True(t, pool.IsCorrupt(err), "%v", err)
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(kept))
}

func TestOpenMindsItsContext(t *testing.T) {
	byItself(t)
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{pool.Memory, filepath.Join(t.TempDir(), "app.db")} {
		_, err := pool.Open(ctx, pool.Config{Path: path})
		require.ErrorIs(t, err, context.Canceled)
	}
	goleak.VerifyNone(t, before)
}

func TestAPathIsAFileNameToTheLetter(t *testing.T) {
	besideOthers(t) // for it waits
	for _, name := range []string{
		"a?b.db", "a?mode=ro", "a?mode=memory&cache=shared", "a%b.db", "a%41.db", "a%00.db", "a#b.db", "a b.db", " leading and trailing ",
		"quote's.db", `double"quotes.db`, "file:a.db", "file:a.db?mode=ro", "file::memory:", ":memory:", "a&b=c;d.db", "a+b.db", `back\slash.db`,
		"tab\tand\nnewline.db", "\u00fcml\u00e4ut \u2603.db", "not utf-8 \xff.db", "-dash", "a;b", "a'; DROP TABLE n; --", "$(x)`y`", "~", "*.db", "a:b",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := pool.Config{Path: filepath.Join(dir, name)}
			p := configOpen(t, cfg)
			require.NoError(t, do(t.Context(), p.DB(), "CREATE TABLE x (a); INSERT INTO x VALUES (1)"))
			require.Equal(t, []string{name, name + "-shm", name + "-wal"}, configFiles(t, dir))

			reader := configOpen(t, pool.Config{Path: cfg.Path, ReadOnly: true})
			require.EqualValues(t, 1, get(t, reader, "SELECT count(*) FROM x"))
			require.NoError(t, reader.Close())
			require.NoError(t, p.Close())
			require.Equal(t, []string{name}, configFiles(t, dir))

			again := configOpen(t, cfg)
			require.EqualValues(t, 1, get(t, again, "SELECT count(*) FROM x"))
			require.NoError(t, again.Close())
		})
	}
}

func TestARelativePathIsAFileNameToTheLetterToo(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"app.db", "./file:app.db", "./file:app.db?mode=memory", "FILE:%41.db", "./:memory:"} {
		p := configOpen(t, pool.Config{Path: name})
		require.NoError(t, do(t.Context(), p.DB(), "CREATE TABLE x (a)"))
		require.NoError(t, p.Close())
		require.FileExists(t, filepath.Join(dir, name))
	}
	require.Len(t, configFiles(t, dir), 5)
}

func TestAPoolStaysWithItsFileWhenTheDirectoryIsChanged(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	t.Chdir(dir)
	p := configOpen(t, pool.Config{Path: "app.db", MaxConns: 3})
	t.Chdir(other)
	configEach(t, p, func(dbtx) {}) // opens the rest
	require.NoError(t, do(t.Context(), p.DB(), "CREATE TABLE x (a)"))
	require.Empty(t, configFiles(t, other))
}

func TestANewDatabaseIsItsOwnersAlone(t *testing.T) {
	for _, mode := range []string{"wal", "persist"} {
		dir := t.TempDir()
		p := configOpen(t, pool.Config{Path: filepath.Join(dir, "app.db"), JournalMode: pool.JournalMode(mode)})
		require.NoError(t, do(t.Context(), p.DB(), "CREATE TABLE x (a)"))
		names := configFiles(t, dir)
		require.Len(t, names, map[string]int{"wal": 3, "persist": 2}[mode])
		for _, name := range names {
			info, err := os.Stat(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, fs.FileMode(0o600), info.Mode(), name)
		}
		require.NoError(t, p.Close())
	}
}

func TestTheModeOfAnExistingDatabaseIsLeftAndFollowed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Chmod(path, 0o640))
	p := configOpen(t, pool.Config{Path: path})
	require.NoError(t, do(t.Context(), p.DB(), "CREATE TABLE x (a)"))
	require.Len(t, configFiles(t, dir), 3)
	for _, name := range configFiles(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o640), info.Mode(), name)
	}
}

func TestAReadOnlyPoolCreatesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"app.db", "a?mode=rwc", "file:app.db"} {
		_, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(dir, name), ReadOnly: true})
		require.ErrorIs(t, err, fs.ErrNotExist, name)
	}
	require.Empty(t, configFiles(t, dir))
}

func TestAReadOnlyPoolRefusesWritesWhereverTheyComeIn(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		for _, conns := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s/%d", mode, conns), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "app.db")
				require.NoError(t, open(t, pool.Config{Path: path, JournalMode: pool.JournalMode(mode)}).Close())
				before, err := os.ReadFile(path) // nobody has it open
				require.NoError(t, err)

				p := configOpen(t, pool.Config{Path: path, ReadOnly: true, MaxConns: conns})
				ctx, never := t.Context(), func(context.Context, *pool.Tx) error { t.Error("it ran"); return nil }
				for _, level := range []pool.Level{pool.Immediate, pool.Exclusive} {
					require.ErrorIs(t, p.InTx(ctx, level, never), pool.ErrReadOnly)
					_, err := p.Begin(ctx, level)
					require.ErrorIs(t, err, pool.ErrReadOnly)
				}
				require.ErrorIs(t, p.Batch(ctx, never), pool.ErrReadOnly)
				for _, opts := range []*sql.TxOptions{nil, {Isolation: sql.LevelLinearizable}} {
					_, err := p.DB().BeginTx(ctx, opts)
					require.ErrorIs(t, err, pool.ErrReadOnly)
				}

				for _, write := range []string{
					"INSERT INTO n VALUES (10, 1)", "UPDATE n SET v = 1", "DELETE FROM n", "CREATE TABLE x (a)", "DROP TABLE n", "PRAGMA user_version = 3",
					"SELECT 1; INSERT INTO n VALUES (10, 1)", "INSERT INTO n VALUES (10, 1) RETURNING id", "VACUUM", "ANALYZE", "REINDEX", "PRAGMA journal_mode = truncate",
				} {
					refused := func(on dbtx) {
						t.Helper()
						require.ErrorIs(t, do(ctx, on, write), pool.ErrReadOnly, write)
						_, err := number(ctx, on, write)
						require.ErrorIs(t, err, pool.ErrReadOnly, write)
						require.EqualValues(t, 1, configCount(t, on), "it reads on")
					}
					l, err := p.Acquire(ctx)
					require.NoError(t, err)
					refused(l)
					l.Release()
					refused(p.DB())
					in := func(_ context.Context, tx *pool.Tx) error { refused(tx); return nil }
					require.NoError(t, p.View(ctx, in))
					require.NoError(t, p.InTx(ctx, pool.Deferred, in))
					tx, err := p.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
					require.NoError(t, err)
					refused(tx)
					require.NoError(t, tx.Rollback())
				}
				conn := sqldbConn(t, p.DB())
				for _, trick := range []string{"PRAGMA query_only = off", "PRAGMA writable_schema = on", "BEGIN"} {
					require.NoError(t, do(ctx, conn, trick))
					require.ErrorIs(t, do(ctx, conn, "INSERT INTO n VALUES (10, 1)"), pool.ErrReadOnly, trick)
				}
				require.NoError(t, conn.Close())
				require.NoError(t, p.Close())

				after, err := os.ReadFile(path)
				require.NoError(t, err)
				require.Equal(t, before, after)
			})
		}
	}
}

// configCount counts the one row that every test's table has.
func configCount(t *testing.T, on dbtx) int64 {
	t.Helper()
	n, err := number(t.Context(), on, "SELECT count(*) FROM n")
	require.NoError(t, err)
	return n
}

func TestAReadOnlyPoolSeesWhatAWriterCommits(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "app.db")
			writer := open(t, pool.Config{Path: path, JournalMode: pool.JournalMode(mode)})
			reader := configOpen(t, pool.Config{Path: path, ReadOnly: true, MaxConns: 3})
			for i := range 10 {
				require.NoError(t, writer.InTx(t.Context(), pool.Immediate, doing("INSERT INTO n VALUES (?, 1)", i+10)))
				require.EqualValues(t, i+2, get(t, reader, "SELECT count(*) FROM n"))
			}
			require.NoError(t, reader.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
				n, err := number(ctx, tx, "SELECT count(*) FROM n")
				assert.EqualValues(t, 11, n)
				if mode == "wal" { // elsewhere the writer waits for the reader
					assert.NoError(t, writer.InTx(ctx, pool.Immediate, doing("DELETE FROM n")))
					n, err = number(ctx, tx, "SELECT count(*) FROM n")
					assert.EqualValues(t, 11, n, "its snapshot")
				}
				return err
			}))
			l, err := reader.Acquire(t.Context())
			require.NoError(t, err)
			require.Equal(t, mode, configPragma(t, l, "journal_mode"))
			l.Release()
			require.NoError(t, reader.Close())
			require.NoError(t, writer.Close())
			require.Equal(t, []string{"app.db"}, configFiles(t, dir))
		})
	}
}

func TestEveryConnectionIsSetUpAlike(t *testing.T) {
	besideOthers(t) // for it takes long
	for _, mode := range []string{"wal", "delete", "truncate", "persist", "memory"} {
		for _, conns := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("%s/%d", mode, conns), func(t *testing.T) {
				cfg := pool.Config{
					Path: filepath.Join(t.TempDir(), "app.db"), JournalMode: pool.JournalMode(mode), MaxConns: conns,
					Pragmas: map[string]string{"cache_size": "-1234", "TEMP_STORE": "memory", "recursive_triggers": "'on'"},
				}
				if mode == "memory" {
					cfg.Path, cfg.JournalMode = pool.Memory, ""
				}
				synchronous := "2"
				if mode == "delete" { // a deleted journal that comes back would undo the commit
					synchronous = "3"
				}
				p := configOpen(t, cfg)
				require.NoError(t, do(t.Context(), p.DB(), "CREATE TABLE x (a)"))
				configEach(t, p, func(on dbtx) {
					for name, value := range map[string]string{
						"foreign_keys":       "1",
						"busy_timeout":       "5000",
						"journal_mode":       mode,
						"synchronous":        synchronous,
						"trusted_schema":     "0",
						"cell_size_check":    "1",
						"cache_size":         "-1234",
						"temp_store":         "2",
						"recursive_triggers": "1",
					} {
						require.Equal(t, value, configPragma(t, on, name), name)
					}
				})
				l, err := p.Acquire(t.Context())
				require.NoError(t, err)
				defer l.Release()
				require.NoError(t, do(t.Context(), l, "PRAGMA writable_schema = on"))
				require.ErrorContains(t, do(t.Context(), l, "DELETE FROM sqlite_schema"), "may not be modified", "it is defensive")
			})
		}
	}
}

func TestSettingsReachSQLite(t *testing.T) {
	for synchronous, value := range map[string]string{"off": "0", "NORMAL": "1", "full": "2", "Extra": "3"} {
		p := configOpen(t, pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), Synchronous: pool.Synchronous(synchronous), BusyTimeout: 1234 * time.Millisecond})
		configEach(t, p, func(on dbtx) {
			require.Equal(t, value, configPragma(t, on, "synchronous"))
			require.Equal(t, "1234", configPragma(t, on, "busy_timeout"))
		})
	}
	p := configOpen(t, pool.Config{Path: pool.Memory, BusyTimeout: -1})
	configEach(t, p, func(on dbtx) { require.Equal(t, "0", configPragma(t, on, "busy_timeout")) })
}

// TestABusyTimeoutBeyondWhatSQLiteCountsIsTheLongestItCounts: cut to 32 bits,
// these would be no patience at all.
func TestABusyTimeoutBeyondWhatSQLiteCountsIsTheLongestItCounts(t *testing.T) {
	for _, d := range []time.Duration{1 << 32 * time.Millisecond, 3 << 31 * time.Millisecond, math.MaxInt64} {
		p := configOpen(t, pool.Config{Path: pool.Memory, BusyTimeout: d})
		require.EqualValues(t, math.MaxInt32, get(t, p, "PRAGMA busy_timeout"), d)
	}
}

func TestPragmasComeAfterThePoolsOwn(t *testing.T) {
	p := configOpen(t, pool.Config{Path: pool.Memory, Pragmas: map[string]string{"foreign_keys": "off", "trusted_schema": "on"}})
	configEach(t, p, func(on dbtx) {
		require.Equal(t, "0", configPragma(t, on, "foreign_keys"))
		require.Equal(t, "1", configPragma(t, on, "trusted_schema"))
	})
}

// TestPragmasOfANewFileShapeIt: once it is in WAL mode they would do nothing.
func TestPragmasOfANewFileShapeIt(t *testing.T) {
	for name, set := range map[string][2]string{"page_size": {"8192", "8192"}, "auto_vacuum": {"incremental", "2"}, "encoding": {"'UTF-16le'", "UTF-16le"}} {
		p := configOpen(t, pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), Pragmas: map[string]string{name: set[0]}})
		require.NoError(t, do(t.Context(), p.DB(), "CREATE TABLE x (a)"))
		var got string
		require.NoError(t, p.DB().QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got))
		require.Equal(t, set[1], got, name)
	}
}

func TestAPragmaThatSQLiteRefusesFailsOpenAndIsNamed(t *testing.T) {
	byItself(t)
	before := goleak.IgnoreCurrent()
	_, err := pool.Open(t.Context(), pool.Config{Path: pool.Memory, Pragmas: map[string]string{"cache_size": "select"}}) // a word, but a reserved one
	require.ErrorContains(t, err, "cache_size")
	var own *pool.Error
	require.ErrorAs(t, err, &own)
	goleak.VerifyNone(t, before)
}

func TestTheJournalModeOfAnExistingDatabaseIsSwitched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	for _, mode := range []string{"wal", "delete", "wal", "truncate", "persist", "wal"} {
		p := configOpen(t, pool.Config{Path: path, JournalMode: pool.JournalMode(mode), MaxConns: 5})
		configEach(t, p, func(on dbtx) { require.Equal(t, mode, configPragma(t, on, "journal_mode")) })
		require.NoError(t, p.Close())
	}
}

func TestOnConnectIsCalledOnceForEachConnectionAfterItsSetup(t *testing.T) {
	for _, path := range []string{pool.Memory, filepath.Join(t.TempDir(), "app.db")} {
		var calls atomic.Int64
		p := configOpen(t, pool.Config{
			Path: path, MaxConns: 5, MinConns: 2, Pragmas: map[string]string{"cache_size": "-1234"},
			OnConnect: func(ctx context.Context, conn *pool.Lease) error {
				calls.Add(1)
				assert.Equal(t, "1", configPragma(t, conn, "foreign_keys"))
				assert.Equal(t, "-1234", configPragma(t, conn, "cache_size"))
				assert.ErrorIs(t, do(ctx, conn, "BEGIN"), pool.ErrTxControl)
				return do(ctx, conn, "CREATE TEMP TABLE own (a); INSERT INTO own VALUES (1); PRAGMA automatic_index = off")
			},
		})
		require.EqualValues(t, 2, calls.Load(), "MinConns")
		for range 3 {
			configEach(t, p, func(on dbtx) {
				n, err := number(t.Context(), on, "SELECT count(*) FROM temp.own")
				require.NoError(t, err)
				require.EqualValues(t, 1, n)
				require.Equal(t, "0", configPragma(t, on, "automatic_index"), "what it sets stays")
			})
		}
		require.EqualValues(t, 5, calls.Load())
		require.EqualValues(t, 5, p.Stats().Created)
		require.Zero(t, p.Stats().Dirty)

		// A connection that takes another's place gets its own call.
		run(t, p, "CREATE TEMP TABLE y (a)")
		configEach(t, p, func(on dbtx) {
			require.Error(t, do(t.Context(), on, "SELECT * FROM temp.y"))
			require.NoError(t, do(t.Context(), on, "SELECT * FROM temp.own"))
		})
		require.EqualValues(t, 6, calls.Load())
		require.EqualValues(t, 1, p.Stats().Dirty)
	}
}

func TestAnOnConnectThatFailsFirstFailsOpen(t *testing.T) {
	byItself(t)
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	for _, path := range []string{pool.Memory, filepath.Join(dir, "app.db")} {
		for failing := range 2 {
			calls := 0
			p, err := pool.Open(t.Context(), pool.Config{
				Path: path, MinConns: 2,
				OnConnect: func(context.Context, *pool.Lease) error {
					if calls++; calls > failing {
						return errOurs
					}
					return nil
				},
			})
			require.Nil(t, p)
			require.ErrorIs(t, err, errOurs)
			var own *pool.Error
			require.ErrorAs(t, err, &own)
			require.Equal(t, "open", own.Op)
			require.Equal(t, failing+1, calls)
		}
	}
	require.Empty(t, sqldbDescriptors(t, dir))
	goleak.VerifyNone(t, before)
}

func TestRowsThatOnConnectLeavesOpenAreClosed(t *testing.T) {
	var left []*sql.Rows
	p := configOpen(t, pool.Config{
		Path: filepath.Join(t.TempDir(), "app.db"),
		OnConnect: func(ctx context.Context, conn *pool.Lease) error {
			rows, err := conn.QueryContext(ctx, "SELECT 1 UNION SELECT 2")
			left = append(left, rows)
			return errors.Join(err, rows.Err())
		},
	})
	require.NoError(t, do(t.Context(), p.DB(), "CREATE TABLE x (a)"))
	require.NotEmpty(t, left)
	for _, rows := range left {
		require.False(t, rows.Next())
		require.Error(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	require.NoError(t, p.Close())
}

func TestRowsThatAFailingOnConnectLeavesOpenAreClosedBeforeItsConnection(t *testing.T) {
	byItself(t)
	var rows *sql.Rows
	before := descriptors(t)
	_, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), OnConnect: func(ctx context.Context, conn *pool.Lease) error {
		var err error
		rows, err = conn.QueryContext(ctx, "SELECT 1 UNION SELECT 2")
		require.NoError(t, err)
		require.True(t, rows.Next())
		return errOurs
	}})
	require.ErrorIs(t, err, errOurs)
	require.Equal(t, before, descriptors(t), "a statement that is not ended keeps the file open")
	require.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), pool.ErrClosed)
	require.NoError(t, rows.Close())
}

func TestOnConnectGetsOpensContext(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "value")
	p, err := pool.Open(ctx, pool.Config{Path: pool.Memory, OnConnect: func(ctx context.Context, _ *pool.Lease) error {
		if ctx.Value(key{}) != "value" {
			return errors.New("another context")
		}
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, p.Close())
}

func TestTwoPoolsInMemoryAreTwoDatabases(t *testing.T) {
	a, b := configOpen(t, pool.Config{Path: pool.Memory}), configOpen(t, pool.Config{Path: pool.Memory})
	require.NoError(t, do(t.Context(), a.DB(), "CREATE TABLE x (a)"))
	require.EqualValues(t, 1, get(t, a, "SELECT count(*) FROM sqlite_schema"))
	require.Zero(t, get(t, b, "SELECT count(*) FROM sqlite_schema"))
	configEach(t, a, func(on dbtx) { require.NoError(t, do(t.Context(), on, "SELECT * FROM x")) })
}

func TestLevelsAreNamedAsInSQL(t *testing.T) {
	for level, name := range map[pool.Level]string{pool.Deferred: "DEFERRED", pool.Immediate: "IMMEDIATE", pool.Exclusive: "EXCLUSIVE"} {
		require.Equal(t, name, level.String())
		for _, written := range []string{name, strings.ToLower(name), name[:1] + strings.ToLower(name[1:])} {
			parsed, err := pool.ParseLevel(written)
			require.NoError(t, err)
			require.Equal(t, level, parsed)
		}
	}
	require.Less(t, pool.Deferred, pool.Immediate, "ordered by strength")
	require.Less(t, pool.Immediate, pool.Exclusive, "ordered by strength")
	require.Equal(t, "Level(3)", pool.Level(3).String(), "the first that is none")
	require.Equal(t, "Level(9)", pool.Level(9).String())
	require.Equal(t, pool.Deferred, pool.Level(0), "the zero value")
}

func TestParseLevelNamesWhatItCannotRead(t *testing.T) {
	for _, s := range []string{"", "SERIALIZABLE", " IMMEDIATE", "IMMEDIATE;", "Level(9)", "1", "BEGIN IMMEDIATE"} {
		_, err := pool.ParseLevel(s)
		require.ErrorIs(t, err, pool.ErrConfig)
		require.ErrorContains(t, err, fmt.Sprintf("%q", s))
		var own *pool.Error
		require.ErrorAs(t, err, &own)
		require.NotEmpty(t, own.Op)
	}
}

func TestFullIsExtraWhereTheJournalIsDeleted(t *testing.T) {
	for mode, value := range map[string]int64{"delete": 3, "truncate": 2, "persist": 2, "wal": 2} {
		cfg, err := pool.ParseConfig(filepath.Join(t.TempDir(), "0") + "?journal_mode=" + strings.ToUpper(mode))
		require.NoError(t, err)
		p, err := pool.Open(t.Context(), cfg)
		require.NoError(t, err)
		require.Equal(t, value, get(t, p, "PRAGMA synchronous"), mode)
		require.NoError(t, p.Close())
	}
}
