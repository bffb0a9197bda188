package pool_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dsnBeyondText are the fields of Config that no key sets: Path is the DSN's
// path, the others are not text.
var dsnBeyondText = []string{"Path", "Logger", "Tracer", "OnConnect"}

// dsnSnake writes a field's name as its key.
func dsnSnake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// dsnSample is a value for a key, and what the field becomes by it.
func dsnSample(t *testing.T, field reflect.StructField) (text string, value any) {
	t.Helper()
	switch {
	case field.Name == "JournalMode":
		return "truncate", pool.JournalTruncate
	case field.Name == "Synchronous":
		return "normal", pool.SyncNormal
	case field.Name == "TimeFormat":
		return "unix_milli", pool.TimeUnixMilli
	case field.Type == reflect.TypeFor[string]():
		return "a name", "a name"
	case field.Type == reflect.TypeFor[map[string]string]():
		return "cache_size=-100", map[string]string{"cache_size": "-100"}
	case field.Type == reflect.TypeFor[time.Duration]():
		return "1m1.5s", time.Minute + 1500*time.Millisecond
	case field.Type.Kind() == reflect.Int:
		return "3", 3
	case field.Type.Kind() == reflect.Bool:
		return "true", true
	}
	require.Failf(t, "a new kind of field", "%s %s: extend this test, and ParseConfig", field.Name, field.Type)
	return "", nil
}

// dsnRefused parses a DSN that is faulty.
func dsnRefused(t *testing.T, dsn string, named ...string) {
	t.Helper()
	_, err := pool.ParseConfig(dsn)
	require.ErrorIs(t, err, pool.ErrConfig, dsn)
	var e *pool.Error
	require.ErrorAs(t, err, &e, dsn)
	require.NotEmpty(t, e.Op, dsn)
	for _, name := range named {
		require.ErrorContains(t, err, name, dsn)
	}
}

func TestEveryFieldThatTextCanSetHasAKey(t *testing.T) {
	all, wantAll := url.Values{}, pool.Config{Path: "app.db"}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[pool.Config]()) {
		key := dsnSnake(field.Name)
		if slices.Contains(dsnBeyondText, field.Name) {
			dsnRefused(t, "file:app.db?"+key+"=x", "unknown key", `"`+key+`"`)
			continue
		}
		text, value := dsnSample(t, field)
		want := pool.Config{Path: "app.db"}
		reflect.ValueOf(&want).Elem().FieldByIndex(field.Index).Set(reflect.ValueOf(value))
		reflect.ValueOf(&wantAll).Elem().FieldByIndex(field.Index).Set(reflect.ValueOf(value))
		all.Set(key, text)

		got, err := pool.ParseConfig("file:app.db?" + key + "=" + url.QueryEscape(text))
		require.NoError(t, err, key)
		require.Equal(t, want, got, "%s sets its own field and nothing else", key)
	}
	got, err := pool.ParseConfig("file:app.db?" + all.Encode())
	require.NoError(t, err)
	require.Equal(t, wantAll, got, "all at once")
}

func TestTheKeysAreNamedAsTheFieldsToTheLetter(t *testing.T) {
	for _, key := range []string{"MaxConns", "maxconns", "MAX_CONNS", "max-conns", "_max_conns", "max_conns ", "mode", "cache", "vfs", "_pragma", "pragma", ""} {
		dsnRefused(t, "file:app.db?"+url.QueryEscape(key)+"=1", "unknown key", `"`+key+`"`, "max_conns")
	}
}

func TestTheExampleInTheContractIsRead(t *testing.T) {
	cfg, err := pool.ParseConfig("file:app.db?max_conns=8&acquire_timeout=2s&synchronous=normal")
	require.NoError(t, err)
	require.Equal(t, pool.Config{Path: "app.db", MaxConns: 8, AcquireTimeout: 2 * time.Second, Synchronous: "normal"}, cfg)
}

func TestADSNsPathIsReadLikeAURIs(t *testing.T) {
	for dsn, path := range map[string]string{
		"app.db":                          "app.db",
		"app.db?":                         "app.db",
		"file:app.db":                     "app.db",
		"file:app.db?":                    "app.db",
		"file:./dir/app.db":               "./dir/app.db",
		"file:../app.db":                  "../app.db",
		"/abs/app.db":                     "/abs/app.db",
		"file:/abs/app.db":                "/abs/app.db",
		"file:///abs/app.db":              "/abs/app.db",
		"file:///abs/app.db?":             "/abs/app.db",
		"file://localhost/abs/app.db":     "/abs/app.db",
		"//abs/app.db":                    "//abs/app.db",
		":memory:":                        pool.Memory,
		"file::memory:":                   pool.Memory,
		"file:%3Amemory%3A":               pool.Memory,
		"./:memory:":                      "./:memory:",
		"file:a%3Fb%23c%25d%20e.db":       "a?b#c%d e.db",
		"a%3Fb%23c%25d%20e.db":            "a?b#c%d e.db",
		"file:%2561.db":                   "%61.db",
		"file:a+b&c=d.db":                 "a+b&c=d.db",
		"file:a b.db":                     "a b.db",
		"file:K%C3%A4se.db":               "Käse.db",
		"file:Käse.db":                    "Käse.db",
		"file:./file:app.db":              "./file:app.db",
		"FILE:app.db":                     "FILE:app.db",
		"file:///a%2Fb.db":                "/a/b.db",
		"file://localhost/a%3Fmode=ro.db": "/a?mode=ro.db",
	} {
		cfg, err := pool.ParseConfig(dsn)
		require.NoError(t, err, dsn)
		require.Equal(t, pool.Config{Path: path}, cfg, dsn)
	}
}

func TestAPathThatMustBeWrittenOtherwiseIsRefused(t *testing.T) {
	dsnRefused(t, "", "Path")
	dsnRefused(t, "file:", "Path")
	dsnRefused(t, "?max_conns=1", "Path")
	dsnRefused(t, "file:?max_conns=1", "Path")
	dsnRefused(t, "file://elsewhere/abs/app.db", `"elsewhere"`)
	dsnRefused(t, "file://127.0.0.1/app.db", `"127.0.0.1"`)
	dsnRefused(t, "file:file:app.db", `"file:app.db"`)
	dsnRefused(t, "file:%66ile:app.db", `"file:app.db"`)
	dsnRefused(t, "file:a#b.db", "%23")
	dsnRefused(t, "a#b.db?max_conns=1", "%23")
	dsnRefused(t, "file:a%00b.db", "NUL")
	dsnRefused(t, "file::memory:?read_only=true", "ReadOnly")
}

func TestAPathThatIsAURIIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"file:app.db", "file::memory:?cache=shared", "file:", "file:///app.db", "file:%41.db"} {
		cfg := pool.Config{Path: path}
		for _, validate := range []func() error{
			cfg.Validate,
			func() error { _, err := pool.Open(t.Context(), cfg); return err },
			func() error { _, err := new(pool.Registry).Open(t.Context(), cfg); return err },
			func() error { _, err := pool.ParseConfig("file:" + path); return err },
		} {
			err := validate()
			require.ErrorIs(t, err, pool.ErrConfig, path)
		}
		require.ErrorContains(t, cfg.Validate(), "ParseConfig")
		require.ErrorContains(t, cfg.Validate(), path)
	}
	require.Empty(t, names(t, "."))
	_, err := pool.ParseConfig("file::memory:?cache=shared")
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "cache")
	for _, path := range []string{"./file:app.db", "FILE:app.db", "files.db"} {
		require.NoError(t, pool.Config{Path: path}.Validate())
	}
}

func TestABadEscapeIsShown(t *testing.T) {
	dsnRefused(t, "file:a%.db", "%.d")
	dsnRefused(t, "file:a%zz.db", "%zz")
	dsnRefused(t, "file:a.db%2", "%2")
	dsnRefused(t, "file:a.db?synchronous=%zz", "%zz")
	dsnRefused(t, "file:a.db?%zz=off", "%zz")
	dsnRefused(t, "file:a.db?max_conns=1;min_conns=1", "semicolon")
}

func TestValuesAreRead(t *testing.T) {
	for query, want := range map[string]pool.Config{
		"read_only=1":                    {ReadOnly: true},
		"read_only=TRUE":                 {ReadOnly: true},
		"read_only=false":                {},
		"read_only=0":                    {},
		"min_conns=-1":                   {MinConns: -1},
		"max_conns=0":                    {},
		"max_conns=%2B8":                 {MaxConns: 8},
		"statement_cache_size=-1":        {StatementCacheSize: -1},
		"busy_timeout=-1":                {BusyTimeout: -1},
		"busy_timeout=-1s":               {BusyTimeout: -time.Second},
		"busy_timeout=0":                 {},
		"acquire_timeout=1h2m3.5s":       {AcquireTimeout: time.Hour + 2*time.Minute + 3500*time.Millisecond},
		"leak_threshold=200ms":           {LeakThreshold: 200 * time.Millisecond},
		"watch_interval=50ms":            {WatchInterval: 50 * time.Millisecond},
		"journal_mode=WAL":               {JournalMode: "WAL"},
		"synchronous=EXTRA":              {Synchronous: "EXTRA"},
		"pragmas=cache_size=-4000":       {Pragmas: map[string]string{"cache_size": "-4000"}},
		"pragmas=cache_size%3D-4000":     {Pragmas: map[string]string{"cache_size": "-4000"}},
		"pragmas=encoding='UTF-8'":       {Pragmas: map[string]string{"encoding": "'UTF-8'"}},
		"pragmas=a='%3D+%26+%23+%C3%A4'": {Pragmas: map[string]string{"a": "'= & # ä'"}},
		"pragmas=cache_size=-4000&pragmas=temp_store=memory&max_conns=2&pragmas=mmap_size=0": {
			MaxConns: 2, Pragmas: map[string]string{"cache_size": "-4000", "temp_store": "memory", "mmap_size": "0"},
		},
	} {
		want.Path = "app.db"
		cfg, err := pool.ParseConfig("file:app.db?" + query)
		require.NoError(t, err, query)
		require.Equal(t, want, cfg, query)
	}
}

func TestAFaultyValueIsNamedWithItsKey(t *testing.T) {
	for _, pair := range []string{
		"read_only=yes", "read_only=", "external_checkpoints=2", "trace_arguments=on",
		"max_conns=many", "max_conns=", "max_conns=1.5", "min_conns=0x2", "max_waiters=99999999999999999999", "statement_cache_size=1 ",
		"acquire_timeout=5", "busy_timeout=", "busy_timeout=2 s", "max_conn_lifetime=1d", "max_conn_lifetime_jitter=-2",
		"max_conn_idle_time=ever", "health_check_interval=-", "leak_threshold=1e3s",
		"journal_mode=", "synchronous=",
		"pragmas=", "pragmas=cache_size",
	} {
		key, value, _ := strings.Cut(pair, "=")
		dsnRefused(t, "file:app.db?"+key+"="+url.QueryEscape(value), key+"="+value+": ")
	}
	for query, field := range map[string]string{ // what Validate finds
		"max_conns=-1":                  "MaxConns",
		"max_conns=1&min_conns=2":       "MinConns",
		"max_waiters=-1":                "MaxWaiters",
		"leak_threshold=-1":             "LeakThreshold",
		"journal_mode=off":              "JournalMode",
		"synchronous=maybe":             "Synchronous",
		"pragmas==1":                    "Pragmas",
		"pragmas=cache_size=1%3B+DROP":  "cache_size",
		"pragmas=journal_mode=delete":   "JournalMode",
		"pragmas=busy_timeout=1":        "BusyTimeout",
		"pragmas=synchronous=off":       "Synchronous",
		"synchronous=normal%23fragment": "Synchronous",
	} {
		dsnRefused(t, "file:app.db?"+query, field)
	}
}

func TestARepeatedKeyIsRefusedWhateverItsValues(t *testing.T) {
	dsnRefused(t, "file:app.db?max_conns=2&max_conns=2", "max_conns", "2 times")
	dsnRefused(t, "file:app.db?busy_timeout=1s&read_only=1&busy_timeout=2s&busy_timeout=3s", "busy_timeout", "3 times")
	dsnRefused(t, "file:app.db?synchronous=off&%73ynchronous=full", "synchronous", "2 times")
}

func TestOfARepeatedKeyOnlyThatIsSaid(t *testing.T) {
	_, err := pool.ParseConfig("file:app.db?max_conns=x&max_conns=y")
	require.ErrorContains(t, err, "max_conns is given 2 times")
	require.NotContains(t, err.Error(), "whole number")
}

func TestEveryFaultOfADSNIsNamedAtOnce(t *testing.T) {
	dsnRefused(t, "file://elsewhere/a#%zz?max_conns=x&min_conns=1&min_conns=2&mode=ro&busy_timeout=5&pragmas=cache_size&pragmas=foo&read_only=maybe&synchronous=&cache=%zz",
		`"elsewhere"`, "%23", "%zz", "max_conns=x: ", "min_conns is given 2 times", `"mode"`, "busy_timeout=5: ",
		"pragmas=cache_size: ", "pragmas=foo: ", "read_only=maybe: ", "synchronous=: ")
	dsnRefused(t, "?max_waiters=-1&synchronous=maybe&journal_mode=off", "Path", "MaxWaiters", "Synchronous", "JournalMode")
}

func TestAFaultyDSNGivesNoConfiguration(t *testing.T) {
	cfg, err := pool.ParseConfig("file:app.db?max_conns=8&min_conns=x")
	require.ErrorIs(t, err, pool.ErrConfig)
	require.Equal(t, pool.Config{}, cfg)
}

func TestTwoParsedConfigurationsShareNothing(t *testing.T) {
	const dsn = "file:app.db?pragmas=cache_size=-1"
	one, err := pool.ParseConfig(dsn)
	require.NoError(t, err)
	one.Pragmas["cache_size"] = "-2"
	two, err := pool.ParseConfig(dsn)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"cache_size": "-1"}, two.Pragmas)
}

func TestWhatADSNSaysReachesSQLite(t *testing.T) {
	dir := t.TempDir()
	dsn := "file://" + dir + "/a%3Fb%23c.db?journal_mode=truncate&synchronous=normal&pragmas=cache_size=-123&pragmas=temp_store=memory&max_conns=2&busy_timeout=1234ms"
	cfg, err := pool.ParseConfig(dsn)
	require.NoError(t, err)
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	require.FileExists(t, filepath.Join(dir, "a?b#c.db"))
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	for name, want := range map[string]string{"journal_mode": "truncate", "synchronous": "1", "cache_size": "-123", "temp_store": "2", "busy_timeout": "1234"} {
		var got string
		require.NoError(t, l.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got))
		assert.Equal(t, want, got, name)
	}
	require.Equal(t, 2, p.Stats().MaxConns)
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{
		"", "?", "#", "%", ":memory:", "file:", "file:app.db", "file:///a.db", "file://localhost", "file://localhost/a.db", "file://elsewhere/a.db",
		"file:app.db?max_conns=8&acquire_timeout=2s&synchronous=normal",
		"file:a%3Fb%23.db?pragmas=cache_size=-1&pragmas=a='b%26'", "file:a%zz.db?x=%zz",
		"a?max_conns=1&max_conns=2", "a?min_conns=-1&busy_timeout=-1&read_only=t", "a?pragmas", "a?pragmas==", "a?;", "a?path=b", "a%00",
		"a?busy_timeout=1ns&journal_mode=DELETE&synchronous=Off", "a?busy_timeout=1000000h&max_conns=1", "a\xff\n';--.db?journal_mode=persist&synchronous=extra&min_conns=2", "a?pragmas=x='a''b%26c%3D'&trace_arguments=T&read_only=0",
		"file::memory:?read_only=true", "a?max_conns=-9223372036854775808&max_conn_lifetime=-2562047h47m16.854775808s",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		cfg, err := pool.ParseConfig(dsn)
		if err != nil {
			require.ErrorIs(t, err, pool.ErrConfig)
			var e *pool.Error
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Error())
			return
		}
		require.NoError(t, cfg.Validate())
		require.NoError(t, cfg.WithDefaults().Validate())
		require.NotEmpty(t, cfg.Path)
		require.Equal(t, [3]any{(*slog.Logger)(nil), pool.Tracer(nil), (func(context.Context, *pool.Lease) error)(nil)},
			[3]any{cfg.Logger, cfg.Tracer, cfg.OnConnect}, "no text sets these")

		// What was read can be written, and is read as the same again.
		again, err := pool.ParseConfig(dsnOf(cfg))
		require.NoError(t, err)
		require.Equal(t, cfg, again)

		requireOpens(t, cfg)
	})
}

// dsnOf writes a configuration as a DSN, with everything escaped that may be.
func dsnOf(cfg pool.Config) string {
	query := url.Values{}
	v := reflect.ValueOf(cfg)
	for _, field := range reflect.VisibleFields(v.Type()) {
		switch value := v.FieldByIndex(field.Index); {
		case slices.Contains(dsnBeyondText, field.Name) || value.IsZero():
		case field.Name == "Pragmas":
			for name, value := range cfg.Pragmas {
				query.Add("pragmas", name+"="+value)
			}
		default:
			query.Set(dsnSnake(field.Name), fmt.Sprint(value.Interface()))
		}
	}
	return "file:" + dsnEscape(cfg.Path) + "?" + query.Encode()
}

func dsnEscape(path string) string { return strings.ReplaceAll(url.QueryEscape(path), "+", "%20") }

// requireOpens opens what a DSN says, with its path moved into a directory of
// the test's own, and sees that it is just that: there and nowhere else.
func requireOpens(t *testing.T, cfg pool.Config) {
	name := strings.ReplaceAll(cfg.Path, "/", "_")
	if cfg.Path == pool.Memory || name == "." || name == ".." || len(name) > 200 || cfg.MaxConns > 20 {
		return
	}
	dir := t.TempDir()
	cfg.Path, cfg.Pragmas = filepath.Join(dir, name), nil // some PRAGMAs concern the whole process
	again, err := pool.ParseConfig(dsnOf(cfg))
	require.NoError(t, err)
	p, err := pool.Open(t.Context(), again)
	if cfg.ReadOnly {
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.Empty(t, configFiles(t, dir))
		return
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	require.Equal(t, cfg.WithDefaults().MaxConns, p.Stats().MaxConns)
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	var mode, file string
	var synchronous, timeout int64
	for query, target := range map[string]any{"PRAGMA journal_mode": &mode, "SELECT file FROM pragma_database_list": &file, "PRAGMA synchronous": &synchronous, "PRAGMA busy_timeout": &timeout} {
		require.NoError(t, l.QueryRowContext(t.Context(), query).Scan(target))
	}
	defaults := cfg.WithDefaults()
	if defaults.JournalMode == "delete" && defaults.Synchronous == "full" {
		defaults.Synchronous = "extra" // what full needs there to survive a power loss
	}
	require.Equal(t, string(defaults.JournalMode), mode)
	require.Equal(t, filepath.Base(cfg.Path), filepath.Base(file))
	require.EqualValues(t, slices.Index([]pool.Synchronous{pool.SyncOff, pool.SyncNormal, pool.SyncFull, pool.SyncExtra}, defaults.Synchronous), synchronous)
	require.Equal(t, min(max(0, defaults.BusyTimeout).Milliseconds(), math.MaxInt32), timeout)
	for _, made := range configFiles(t, dir) {
		require.Contains(t, []string{name, name + "-wal", name + "-shm", name + "-journal"}, made)
	}
}

func ExampleParseConfig() {
	cfg, err := pool.ParseConfig("file:/var/lib/app/app.db?max_conns=8&acquire_timeout=2s&pragmas=cache_size=-64000&pragmas=temp_store=memory")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Path, cfg.MaxConns, cfg.AcquireTimeout, cfg.Pragmas)

	_, err = pool.ParseConfig("file:app.db?max_conns=lots&acquire_timeout=5")
	fmt.Println(err)
	// Output:
	// /var/lib/app/app.db 8 2s map[cache_size:-64000 temp_store:memory]
	// pool: parse config app.db: invalid configuration: acquire_timeout=5: not a duration like 1.5s, 200ms or -1
	// max_conns=lots: not a whole number
}
