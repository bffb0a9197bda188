package debug_test

import (
	"cmp"
	"context"
	"database/sql/driver"
	"log/slog"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pool/debug"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// calm is a pool to which nothing happens by itself however late it is: for bubbles.
func calm(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	cfg.HealthCheckInterval, cfg.MaxConnLifetime, cfg.MaxConnIdleTime, cfg.WatchInterval = 10000*time.Hour, -1, -1, -1
	cfg.AcquireTimeout = -1
	return open(t, cfg)
}

// after is a time in a bubble, which it is now.
func after(since time.Time, age time.Duration) { time.Sleep(age - time.Since(since)) }

func TestAnAgeIsToldInTwoOrThreeDigits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := calm(t, pool.Config{Path: pool.Memory})
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		defer l.Release()
		since := p.Activity().Leases[0].Since
		for _, c := range []struct {
			age  time.Duration
			says string
		}{
			{0, "0"},
			{999, "999 ns"},
			{1500, "1.5 µs"},
			{999999, "999 µs"},
			{9999999, "9.9 ms"},
			{999999999, "999 ms"},
			{59999 * time.Millisecond, "59 s"},
			{time.Minute, "1 min 0 s"},
			{125 * time.Second, "2 min 5 s"},
			{time.Hour - 1, "59 min 59 s"},
			{time.Hour, "1 h 0 min"},
		} {
			after(since, c.age)
			require.Contains(t, page(t, debug.Pool(p), "/"), `<span class="age">`+c.says+"</span></p>", c.age)
		}
	})
}

func TestWaitsOfManyAddUpToDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := calm(t, pool.Config{})
		wait := func(writers int) (days string) {
			var wg sync.WaitGroup
			nothing := func(context.Context, *pool.Tx) error { return nil }
			require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(context.Context, *pool.Tx) error {
				for range writers {
					wg.Go(func() { assert.NoError(t, p.InTx(t.Context(), pool.Immediate, nothing)) })
				}
				time.Sleep(20 * time.Minute)
				return nil
			}))
			wg.Wait()
			return section(page(t, debug.Pool(p), "/"), "figures")
		}
		require.Contains(t, wait(10), " WriteWait 3 h 20 min ")
		require.Contains(t, wait(133), " WriteWait 47 h 40 min ")
		require.Contains(t, wait(1), " WriteWait 2 days ")
	})
}

// TestWaitersAreToldWithWhatTheyWaitFor has one writer wait for another, and a reader
// for a connection.
func TestWaitersAreToldWithWhatTheyWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r pool.Registry
		p, err := r.Open(t.Context(), pool.Config{
			Path: filepath.Join(t.TempDir(), "app.db"), MaxConns: 2, AcquireTimeout: -1, WatchInterval: -1,
			HealthCheckInterval: 10000 * time.Hour, MaxConnLifetime: -1, MaxConnIdleTime: -1,
		})
		require.NoError(t, err)
		defer func() { require.NoError(t, r.Shutdown(context.Background())) }()
		_, err = p.Writer().Exec(t.Context(), "CREATE TABLE things (v)")
		require.NoError(t, err)
		var wg sync.WaitGroup
		require.NoError(t, p.InTx(pool.WithLabel(t.Context(), "import"), pool.Immediate, func(context.Context, *pool.Tx) error {
			time.Sleep(90 * time.Second)
			wg.Go(func() {
				assert.NoError(t, p.InTx(pool.WithLabel(t.Context(), "cleanup"), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
					_, err := tx.Exec(ctx, "DELETE FROM things")
					return err
				}))
			})
			synctest.Wait()
			time.Sleep(20 * time.Second)
			wg.Go(func() {
				l, err := p.Acquire(pool.WithLabel(t.Context(), "lookup"))
				if assert.NoError(t, err) {
					l.Release()
				}
			})
			synctest.Wait()
			time.Sleep(10 * time.Second)

			html := page(t, debug.Pool(p), "/")
			text := textOf(html)
			for _, said := range []string{
				"Waiting 2 0 timed out so far", "Write lane held for 2 min 0 s 1 queue", "has had its connection for 2 min 0 s. ",
				"import 2 min 0 s IMMEDIATE transaction · has the write lane · keeps a snapshot · idle",
				"cleanup 30 s DEFERRED transaction · waiting Stack",
			} {
				require.Contains(t, text, said)
			}
			require.NotContains(t, text, "Nobody queues.")
			reader, writer := section(html, "leases"), section(html, "lane")
			require.Regexp(t, `Waiting for a connection .*\(words_test\.go:\d+\) lookup 10 s Stack`, reader)
			require.NotContains(t, reader[strings.Index(reader, "Waiting"):], "has a connection already")
			require.Regexp(t, `\(words_test\.go:\d+\) cleanup 30 s has a connection already`, writer)

			text = textOf(page(t, debug.Registry(&r), "/"))
			require.Contains(t, text, "1 pool 2 connections are in use. Somebody waits in 1.")
			require.Contains(t, text, "2 of 2 2 held 2 min 0 s, 1 queue 2 min 0 s")
			return nil
		}))
		wg.Wait()
		text := textOf(page(t, debug.Registry(&r), "/"))
		require.Contains(t, text, "0 connections are in use. Nobody waits.")
		require.Contains(t, text, "0 of 2 0 free none")
	})
}

// section is what a part of the page says.
func section(html, id string) string {
	_, html, _ = strings.Cut(html, `<section id="`+id+`"`)
	html, _, _ = strings.Cut(html, "</section>")
	return textOf("<" + html)
}

func TestLeasesOfOneInstantHaveAnAddressEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := calm(t, pool.Config{Path: pool.Memory, MaxConns: 4})
		for range 3 {
			l, err := p.Acquire(t.Context())
			require.NoError(t, err)
			defer l.Release()
		}
		met := map[string]bool{}
		for _, found := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page(t, debug.Pool(p), "/"), -1) {
			require.False(t, met[found[1]], found[1])
			met[found[1]] = true
		}
	})
}

func TestALeaseIsToldWithAllThatItDoes(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3})
	h := debug.Pool(p)
	ctx := t.Context()
	_, err := p.Writer().Exec(ctx, "CREATE TABLE things (v); INSERT INTO things VALUES (1), (2)")
	require.NoError(t, err)
	says := func(said ...string) {
		t.Helper()
		for _, s := range said {
			require.Contains(t, section(page(t, h, "/"), "leases"), s)
		}
	}

	require.NoError(t, p.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
		rows, err := tx.Query(ctx, "SELECT v FROM things")
		require.NoError(t, err)
		require.True(t, rows.Next())
		says("view · keeps a snapshot · reading rows SELECT v FROM things")
		require.Contains(t, section(page(t, h, "/"), "transactions"), " view 0 ")
		return rows.Close()
	}))
	require.NoError(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		return tx.Savepoint(ctx, func(ctx context.Context, tx *pool.Tx) error {
			says("IMMEDIATE transaction · 1 savepoint · has the write lane")
			return tx.Savepoint(ctx, func(context.Context, *pool.Tx) error {
				says("IMMEDIATE transaction · 2 savepoints · has the write lane")
				require.Contains(t, section(page(t, h, "/"), "transactions"), " IMMEDIATE 2 ")
				return nil
			})
		})
	}))
	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	require.NoError(t, l.Raw(ctx, func(driver.Conn) error {
		says("has the write lane · in between, or in Raw")
		return nil
	}))
	l.Release()
	db := p.DB()
	defer db.Close()
	_, err = db.ExecContext(ctx, "BEGIN")
	require.NoError(t, err)
	says("carries the state of a *sql.DB · DEFERRED transaction · idle")
	_, err = db.ExecContext(ctx, "ROLLBACK")
	require.NoError(t, err)
}

// TestMaintenanceIsToldFromWork has the pool's own look at its connections wait for
// somebody else's lock.
func TestMaintenanceIsToldFromWork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: pool.JournalDelete, HealthCheckInterval: time.Millisecond})
	other := open(t, pool.Config{Path: path, JournalMode: pool.JournalDelete})
	require.NoError(t, other.InTx(t.Context(), pool.Exclusive, func(context.Context, *pool.Tx) error {
		require.Regexp(t, `health check .*maintenance · `, section(pageWith(t, debug.Pool(p), "maintenance"), "leases"))
		return nil
	}))
}

func TestALogThatSeveralKeepIsLaidToTheOldest(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 4, ExternalCheckpoints: true})
	ctx := t.Context()
	_, err := p.Writer().Exec(ctx, "CREATE TABLE things (v)")
	require.NoError(t, err)
	for _, label := range []string{"old", "new"} {
		tx, err := p.Begin(pool.WithLabel(ctx, label), pool.Deferred)
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
		require.NoError(t, tx.QueryRow(ctx, "SELECT count(*) FROM things").Scan(new(int)))
	}
	html := page(t, debug.Pool(p), "/")
	require.Regexp(t, `it is made to start anew by another program\. .* keeps a snapshot, for .* at most, and others after it: what was written since stays in the log\.`, section(html, "log"))
	oldest := regexp.MustCompile(`<li id="([^"]+)">`).FindStringSubmatch(html)[1]
	require.Contains(t, html[strings.Index(html, `<section id="log"`):], `<a href="#`+oldest+`">`)
}

func TestAFeedOfAllChangesIsAmongTheWatchers(t *testing.T) {
	p := open(t, pool.Config{Path: pool.Memory})
	ctx, cancel := context.WithCancel(t.Context())
	feed := p.Changes(ctx)
	require.Contains(t, section(page(t, debug.Pool(p), "/"), "watchers"), "1 loop of Watch and Changes; any commit concerns 1.")
	cancel()
	for range feed {
		continue
	}
	require.Contains(t, section(page(t, debug.Pool(p), "/"), "watchers"), "Nobody watches.")
}

func TestALongStatementIsFoldedAndManyCallsHaveCommas(t *testing.T) {
	p := open(t, pool.Config{Path: pool.Memory})
	long := "SELECT v FROM things WHERE v = 'ä' AND " + strings.Repeat("v IS NOT NULL AND ", 20) + "v > 0"
	_, err := p.Writer().Exec(t.Context(), "CREATE TABLE things (v)")
	require.NoError(t, err)
	_, err = p.Reader().Exec(t.Context(), long)
	require.NoError(t, err)
	require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
		for range 1234 {
			require.NoError(t, tx.QueryRow(ctx, "SELECT count(*) FROM things").Scan(new(int)))
		}
		return nil
	}))
	html := page(t, debug.Pool(p), "/")
	text := textOf(html)
	require.Regexp(t, `SELECT v FROM things WHERE v = \? AND [^…]*… SELECT v FROM things .* v > \?`, text)
	require.Contains(t, text, "SELECT count(*) FROM things 1,234 ")
	require.Regexp(t, `Found prepared 1,\d{3} 9\d\.\d %`, text)
}

func TestEachFigureOfStatsIsShown(t *testing.T) {
	p := open(t, pool.Config{Path: pool.Memory})
	html := page(t, debug.Pool(p), "/")
	for i := range reflect.TypeFor[pool.Stats]().NumField() {
		require.Regexp(t, `<dt>`+reflect.TypeFor[pool.Stats]().Field(i).Name+`</dt><dd>[0-9][^<]*</dd>`, html)
	}
}

func TestStatementsAreSortedByEachColumn(t *testing.T) {
	p := open(t, pool.Config{Path: pool.Memory})
	ctx := t.Context()
	var leases []*pool.Lease
	for range 2 { // each connection keeps it prepared
		l, err := p.Acquire(ctx)
		require.NoError(t, err)
		_, err = l.Exec(ctx, "SELECT 1 AS everywhere")
		require.NoError(t, err)
		leases = append(leases, l)
	}
	for _, l := range leases {
		l.Release()
	}
	for _, query := range []string{"SELECT 1 AS often", "SELECT 1 AS often", "SELECT 1 AS often", "SELECT json('no JSON')", "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) SELECT count(*) FROM n"} {
		_, err := p.Reader().Exec(ctx, query)
		require.Equal(t, strings.Contains(query, "json"), err != nil)
	}
	slowest := func(took func(pool.Query) time.Duration) string { // whoever it was
		return slices.MaxFunc(p.Queries(), func(a, b pool.Query) int { return cmp.Compare(took(a), took(b)) }).SQL[:len("WITH RECURSIVE")]
	}
	h := debug.Pool(p)
	for sort, first := range map[string]string{
		"calls": "SELECT ? AS often", "failures": "SELECT json(?)", "prepared": "SELECT ? AS everywhere",
		"time":    slowest(func(q pool.Query) time.Duration { return q.Time }),
		"mean":    slowest(func(q pool.Query) time.Duration { return q.Time / time.Duration(q.Calls) }),
		"longest": slowest(func(q pool.Query) time.Duration { return q.Longest }),
	} {
		html := page(t, h, "/?sort="+sort)
		require.Regexp(t, `Prepared `+regexp.QuoteMeta(first), section(html, "statements"), sort)
		require.Equal(t, 1, strings.Count(html, `aria-sort="descending"`), sort)
	}
}

func TestAPoolThatCannotGrowNamesSQLitesCode(t *testing.T) {
	var refuse atomic.Bool
	p := open(t, pool.Config{Path: pool.Memory, MaxConns: 4, AcquireTimeout: -1, Logger: slog.New(slog.DiscardHandler), OnConnect: func(ctx context.Context, l *pool.Lease) error {
		if refuse.Load() {
			_, err := l.Exec(ctx, "SELECT hunter2")
			return err
		}
		return nil
	}})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	refuse.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := p.Acquire(ctx)
		done <- err
	}()
	html := pageWith(t, debug.Pool(p), "No more connections can be opened: SQLite's code 1.")
	require.NotContains(t, html, "hunter2", "it is no word of the page's")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	refuse.Store(false)
	l.Release()
}
