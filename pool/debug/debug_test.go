package debug_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pool/debug"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"modernc.org/sqlite"
)

func TestMain(m *testing.M) {
	sqlite.MustRegisterScalarFunction("meanwhile", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		if f, ok := meanwhile.Load(args[0]); ok {
			f.(func())()
		}
		return int64(1), nil
	})
	goleak.VerifyTestMain(m)
}

// meanwhile are functions that SQL calls by their names.
var meanwhile sync.Map

func open(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "app.db")
	}
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	return p
}

func get(t *testing.T, h http.Handler, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
	return w
}

func page(t *testing.T, h http.Handler, target string) string {
	t.Helper()
	w := get(t, h, target)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	return w.Body.String()
}

// pageWith is a page once it says something: maintenance may be in between, and have a
// connection hidden.
func pageWith(t *testing.T, h http.Handler, said string) (html string) {
	t.Helper()
	require.Eventually(t, func() bool {
		html = page(t, h, "/")
		return strings.Contains(textOf(html), said)
	}, time.Minute, time.Millisecond, said)
	return html
}

var tags = regexp.MustCompile(`<[^>]*>|\s+`)

// textOf is what a page says.
func textOf(html string) string {
	html = strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(tags.ReplaceAllString(html, " "))
	return strings.Join(strings.Fields(html), " ")
}

func TestAPoolsPageTellsWhatGoesOn(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 4})
	h := debug.Pool(p)
	text := textOf(page(t, h, "/"))
	for _, said := range []string{"serving", "Nobody has a connection.", "Nobody writes.", "Nobody queues.", "None is open.", "Nobody watches.", "There is none."} {
		require.Contains(t, text, said)
	}
	_, err := p.Writer().Exec(t.Context(), "-- name: MakeThings :exec\nCREATE TABLE things (v)")
	require.NoError(t, err)
	l, err := p.Acquire(pool.WithLabel(t.Context(), "nightly <report>"))
	require.NoError(t, err)
	defer l.Release()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
			var n int
			return tx.QueryRow(ctx, "SELECT count(*) FROM things").Scan(&n)
		}) {
			continue
		}
	})
	require.Eventually(t, func() bool { return len(p.Activity().WatchedTables) == 1 }, time.Minute, time.Millisecond)
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		wg.Go(func() {
			assert.NoError(t, p.InTx(pool.WithLabel(t.Context(), "import"), pool.Immediate, func(context.Context, *pool.Tx) error { return nil }))
		})
		require.Eventually(t, func() bool { return p.Stats().WriteQueue == 1 }, time.Minute, time.Millisecond)
		_, err := tx.Exec(ctx, "INSERT INTO things VALUES (1)")
		require.NoError(t, err)
		html := pageWith(t, h, "keeps a snapshot · idle")
		text = textOf(html)
		for _, said := range []string{
			"nightly <report>", "TestAPoolsPageTellsWhatGoesOn", "debug_test.go:", "IMMEDIATE transaction · has the write lane · keeps a snapshot · idle",
			"1 queue", "import", "1 loop of Watch and Changes", "things 1", "MakeThings CREATE TABLE things (v)", "INSERT INTO things VALUES (?)", "what was written since stays in the log",
		} {
			require.Contains(t, text, said)
		}
		require.NotContains(t, html, "<report>", "it is no tag")
		return nil
	}))
	cancel()
	wg.Wait()
}

func TestARegistrysPagesLeadToEachPool(t *testing.T) {
	var r pool.Registry
	defer func() { require.NoError(t, r.Shutdown(context.Background())) }()
	dir := t.TempDir()
	var pools []*pool.Pool
	n := rounds.Of(20, 100, 100)
	for i := range n {
		p, err := r.Open(t.Context(), pool.Config{Path: filepath.Join(dir, fmt.Sprintf("tenant%02d.db", i)), MaxConns: 2})
		require.NoError(t, err)
		pools = append(pools, p)
	}
	h := debug.Registry(&r)
	html := page(t, h, "/debug/pool/")
	text := textOf(html)
	require.Contains(t, text, fmt.Sprint(n, " pools"))
	require.Contains(t, text, "Nobody waits.")
	links := regexp.MustCompile(`<a href="(\?pool=\d+)">(tenant\d\d\.db)</a>`).FindAllStringSubmatch(html, -1)
	require.Len(t, links, n)
	for _, l := range links[:3] {
		require.Contains(t, page(t, h, "/debug/pool/"+l[1]), "<h1 id=\"title\">"+l[2]+"</h1>")
	}
	require.NoError(t, pools[1].Close())
	require.Equal(t, http.StatusNotFound, get(t, h, "/debug/pool/"+links[1][1]).Code)
	require.Contains(t, page(t, h, "/debug/pool/"+links[2][1]), links[2][2], "the others keep their addresses")
	require.Contains(t, textOf(page(t, h, "/debug/pool/")), fmt.Sprint(n-1, " pools"))
	for _, asked := range []string{"?pool=0", "?pool=-1", "?pool=x", "?pool=100000"} {
		w := get(t, h, "/debug/pool/"+asked)
		require.Equal(t, http.StatusNotFound, w.Code, asked)
		require.Contains(t, textOf(w.Body.String()), "There is no pool of this number")
	}
}

func TestAPoolHasTheNameThatMetricsHave(t *testing.T) {
	var r pool.Registry
	defer func() { require.NoError(t, r.Shutdown(context.Background())) }()
	dir := t.TempDir()
	for _, cfg := range []pool.Config{
		{Path: filepath.Join(dir, "app.db")}, {Path: filepath.Join(dir, "b7.db"), Name: "tenants/ann"}, {Path: pool.Memory, Name: "tenants/ann"}, {Path: pool.Memory}, {Path: pool.Memory},
	} {
		_, err := r.Open(t.Context(), cfg)
		require.NoError(t, err)
	}
	h := debug.Registry(&r)
	html := page(t, h, "/")
	for i, name := range []string{"app.db", "tenants/ann", "tenants/ann 2", "in memory", "in memory 2"} {
		link := fmt.Sprintf("?pool=%d", i+1)
		require.Contains(t, html, `<a href="`+link+`">`+name+"</a>")
		require.Contains(t, page(t, h, "/"+link), `<h1 id="title">`+name+"</h1>")
	}
	require.Contains(t, html, filepath.Join(dir, "b7.db"), "where it is stands beside")
}

func TestARegistryWithoutPoolsSaysSo(t *testing.T) {
	var r pool.Registry
	require.Contains(t, textOf(page(t, debug.Registry(&r), "/")), "No pool is open.")
	require.Contains(t, textOf(page(t, debug.Registry(nil), "/")), "No pool is open.")
}

func TestAPoolThatWasNeverOpenedIsShownAsClosed(t *testing.T) {
	for _, p := range []*pool.Pool{nil, new(pool.Pool)} {
		require.Contains(t, textOf(page(t, debug.Pool(p), "/")), "closed")
		require.Contains(t, page(t, debug.Pool(p), "/"), `<h1 id="title">never opened</h1>`)
	}
}

func TestPoolsInTroubleStandOut(t *testing.T) {
	p := open(t, pool.Config{})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	done := make(chan error)
	go func() { done <- p.Shutdown(t.Context()) }()
	h := debug.Pool(p)
	require.Eventually(t, func() bool { return strings.Contains(page(t, h, "/"), `class="state odd">shutting down`) }, time.Minute, time.Millisecond)
	l.Release()
	require.NoError(t, <-done)
	require.Contains(t, page(t, h, "/"), `class="state odd">closed`)
}

// secrets are values that no page may show, in any spelling.
type secrets struct{ forms []string }

func (s *secrets) text(text string) string {
	s.forms = append(s.forms, text, fmt.Sprintf("%x", text))
	return text
}

func TestNoValueIsEverShown(t *testing.T) {
	for _, cfg := range []pool.Config{{}, {Path: pool.Memory}, {StatementCacheSize: -1}, {LeakThreshold: time.Hour}} {
		cfg.MaxConns = 3
		p := open(t, cfg)
		var s secrets
		check := func() {
			html := strings.ToLower(page(t, debug.Pool(p), "/?all"))
			for _, form := range s.forms {
				if strings.Contains(html, strings.ToLower(form)) {
					assert.Fail(t, "a value is shown", form)
				}
			}
		}
		db := p.DB()
		ctx := t.Context()
		_, err := p.Writer().Exec(ctx, "CREATE TABLE things (id INTEGER PRIMARY KEY, v UNIQUE)")
		require.NoError(t, err)
		at := time.Date(1987, 6, 5, 4, 3, 2, 0, time.UTC)
		s.forms = append(s.forms, "1987-06-05", "8675309", "2.71828182")
		bound := []any{s.text("hunter2-text"), []byte(s.text("hunter2-blob")), int64(8675309), 2.71828182, at, sql.Named("v", s.text("hunter2-named"))}
		inline := []string{
			"'" + s.text("hunter2-quoted") + "'", "x'" + fmt.Sprintf("%x", s.text("hunter2-hex")) + "'", "8675309", "-2.71828182", "8675309e3",
			`"` + s.text("hunter2-double") + `"`, "'" + s.text("hunter2''s") + "'", "/* " + s.text("hunter2-comment") + " */ 1", "'" + s.text("hunter2-open"), s.text("hunter2column"), "raise_" + "(" + "'" + s.text("hunter2-call") + "')",
		}
		name := t.Name()
		meanwhile.Store(name, check)
		type querier interface {
			Exec(ctx context.Context, query string, args ...any) (sql.Result, error)
			Query(ctx context.Context, query string, args ...any) (pool.Rows, error)
		}
		use := func(ctx context.Context, on querier) {
			for _, v := range bound {
				value, placeholder := v, "?"
				if named, ok := v.(sql.NamedArg); ok {
					value, placeholder = named, ":v"
				}
				_, _ = on.Exec(ctx, "INSERT INTO things (v) VALUES ("+placeholder+")", value)
				_, _ = on.Exec(ctx, "INSERT INTO things (v) VALUES ("+placeholder+")", value) // it is there already
				_, _ = on.Exec(ctx, "SELECT no_such_function("+placeholder+")", value)
				_, _ = on.Exec(ctx, "SELECT meanwhile('"+name+"'), "+placeholder, value)
				if rows, err := on.Query(ctx, "SELECT v FROM things WHERE v = "+placeholder, value); err == nil {
					rows.Next()
					check()
					_ = rows.Close()
				}
			}
			for _, v := range inline {
				_, _ = on.Exec(ctx, "INSERT INTO things (v) VALUES ("+v+")")
				_, _ = on.Exec(ctx, "SELECT meanwhile('"+name+"'), "+v)
				_, _ = on.Exec(ctx, "SELECT 1; SELECT meanwhile('"+name+"'), "+v+"; SELECT 2")
				_, _ = on.Exec(ctx, "CREATE VIEW broken AS SELECT * FROM missing WHERE v = "+v)
				if rows, err := on.Query(ctx, "SELECT v FROM things WHERE v IS NOT "+v); err == nil {
					rows.Next()
					check()
					_ = rows.Close()
				}
			}
			check()
		}
		l, err := p.Acquire(ctx)
		require.NoError(t, err)
		use(ctx, l)
		l.Release()
		use(ctx, p.Reader())
		use(ctx, p.Writer())
		require.NoError(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			use(ctx, tx)
			return nil
		}))
		for _, v := range bound {
			if _, named := v.(sql.NamedArg); !named {
				_, _ = db.ExecContext(ctx, "INSERT INTO things (v) VALUES (?)", v)
			}
		}
		for _, v := range inline {
			_, _ = db.ExecContext(ctx, "SELECT "+v)
		}
		check()
		require.NotEmpty(t, p.Queries())
		meanwhile.Delete(name)
		require.NoError(t, db.Close())
		require.NoError(t, p.Close())
		check()
	}
}

func TestNothingButReadingIsAnswered(t *testing.T) {
	h := debug.Pool(open(t, pool.Config{}))
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/", nil))
		require.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
		require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
	}
	server := httptest.NewServer(h)
	defer server.Close()
	resp, err := http.Head(server.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	server.Client().CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
}

func TestThePageLoadsNothingButItsOwn(t *testing.T) {
	h := debug.Pool(open(t, pool.Config{}))
	w := get(t, h, "/")
	policy := w.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "unsafe")
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	html := w.Body.String()
	require.NotRegexp(t, `<script[^>]*>[^<]`, html)
	require.NotRegexp(t, `<style|\sstyle=|\son[a-z]+=`, html)
	for _, found := range regexp.MustCompile(`(?:href|src)="([^"#?]+\.(?:css|js)\?[0-9a-f]+)"`).FindAllStringSubmatch(html, -1) {
		file := get(t, h, "/debug/"+found[1])
		require.Equal(t, http.StatusOK, file.Code, found[1])
		require.NotEmpty(t, file.Body.String())
		require.Regexp(t, `^text/(css|javascript)`, file.Header().Get("Content-Type"))
	}
	require.Equal(t, http.StatusNotFound, get(t, h, "/page.html").Code)
	require.Equal(t, http.StatusNotFound, get(t, h, "/debug").Code)
}

func TestStatementsAreSortedAsAsked(t *testing.T) {
	p := open(t, pool.Config{})
	for i := range 30 {
		for range i + 1 {
			_, err := p.Reader().Exec(t.Context(), fmt.Sprintf("SELECT 1 AS c%02d", i))
			require.NoError(t, err)
		}
	}
	h := debug.Pool(p)
	html := page(t, h, "/?sort=calls")
	shown := regexp.MustCompile(`SELECT \? AS (c\d\d)`).FindAllStringSubmatch(html, -1)
	require.Equal(t, "c29", shown[0][1])
	require.Equal(t, "c28", shown[1][1])
	require.Contains(t, textOf(html), "25 of 30 statements")
	require.Contains(t, html, `aria-sort="descending"><a href="?sort=calls#statements">Calls</a>`)
	require.Contains(t, html, `<a href="?all=&amp;sort=calls#statements">All statements</a>`)
	require.Contains(t, textOf(page(t, h, "/?all=&sort=calls")), "30 statements")
	require.Contains(t, page(t, h, "/?sort=nonsense"), `aria-sort="descending"><a href="?#statements">Total</a>`)
}

// TestThePageIsServedWhileEverybodyWorks: a page neither waits for a transaction that
// goes on nor takes a connection that others would wait for.
func TestThePageIsServedWhileEverybodyWorks(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2, AcquireTimeout: -1})
	h := debug.Pool(p)
	name := t.Name()
	asked := make(chan struct{})
	goOn := make(chan struct{})
	meanwhile.Store(name, func() { close(asked); <-goOn })
	defer meanwhile.Delete(name)
	l, err := p.Acquire(t.Context()) // the reader's connection
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		assert.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			_, err := tx.Exec(ctx, "SELECT meanwhile(?)", name)
			return err
		}))
	})
	<-asked
	before := p.Stats().Acquires
	var pages sync.WaitGroup
	for range 8 {
		pages.Go(func() {
			for range 5 {
				assert.Contains(t, textOf(page(t, h, "/")), "has the write lane · ")
			}
		})
	}
	pages.Wait()
	require.Eventually(t, func() bool { // who looks at the same moment as another may see less
		return strings.Contains(textOf(page(t, h, "/")), "has the write lane · keeps a snapshot · executing for")
	}, time.Minute, time.Millisecond)
	require.Equal(t, before, p.Stats().Acquires)
	close(goOn)
	wg.Wait()
	l.Release()
}
