//go:build chromium

package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pool/debug"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serve serves a page until the test ends.
func serve(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/debug/pool/", h)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/debug/pool/"
}

// shop is a program that is at work: somebody writes, others queue, one reads for long,
// some watch.
func shop(t *testing.T, r *pool.Registry, path string) *pool.Pool {
	t.Helper()
	p, err := r.Open(t.Context(), pool.Config{Path: path, MaxConns: 6, LeakThreshold: time.Hour, AcquireTimeout: -1})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	exec := func(query string, args ...any) {
		t.Helper()
		_, err := p.Writer().Exec(ctx, query, args...)
		require.NoError(t, err)
	}
	exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, total INTEGER NOT NULL, placed DATETIME)")
	exec("CREATE TABLE customers (name TEXT PRIMARY KEY, city TEXT)")
	for i := range 400 {
		exec("-- name: PlaceOrder :exec\nINSERT INTO orders (customer, total, placed) VALUES (?, ?, ?)", fmt.Sprint("customer ", i%20), i*100, time.Now())
		for range 3 {
			row := p.Reader().QueryRow(ctx, "-- name: GetOrder :one\nSELECT id, customer, total, placed FROM orders WHERE id = ?", i+1)
			require.NoError(t, row.Scan(new(int64), new(string), new(int64), new(any)))
		}
	}
	_, err = p.Writer().Exec(ctx, "INSERT INTO customers VALUES ('a', 'b'), ('a', 'c')")
	require.Error(t, err)
	_, err = p.Reader().Exec(ctx, "-- name: TopCustomers :many\nSELECT o.customer, count(*) AS orders, sum(o.total) AS total, max(o.placed) AS latest, (SELECT c.city FROM customers AS c WHERE c.name = o.customer) AS city FROM orders AS o WHERE o.placed > datetime('now', '-30 days') AND o.total > 1000 GROUP BY o.customer HAVING count(*) > 3 ORDER BY total DESC LIMIT 20")
	require.NoError(t, err)
	background := func(f func()) { wg.Go(f) }
	for range 3 {
		background(func() { watchOrders(ctx, p) })
	}
	report := make(chan struct{})
	background(func() {
		assert.NoError(t, p.View(pool.WithLabel(context.Background(), "monthly report"), func(view context.Context, tx *pool.Tx) error {
			rows, err := tx.Query(view, "SELECT customer, total FROM orders ORDER BY total DESC")
			if err != nil {
				return err
			}
			rows.Next()
			close(report)
			<-ctx.Done()
			return rows.Close()
		}))
	})
	<-report
	writing := make(chan struct{})
	background(func() {
		assert.NoError(t, p.InTx(pool.WithLabel(context.Background(), "POST /orders"), pool.Immediate, func(in context.Context, tx *pool.Tx) error {
			return tx.Savepoint(in, func(in context.Context, tx *pool.Tx) error {
				_, err := tx.Exec(in, "UPDATE orders SET total = total + ? WHERE customer = ?", 1, "customer 3")
				close(writing)
				<-ctx.Done()
				return err
			})
		}))
	})
	<-writing
	for i := range 2 {
		background(func() {
			assert.NoError(t, p.InTx(pool.WithLabel(context.Background(), fmt.Sprintf("import %d", i+1)), pool.Immediate, func(context.Context, *pool.Tx) error { return nil }))
		})
		require.Eventually(t, func() bool { return p.Stats().WriteQueue == i+1 }, patience, time.Millisecond)
	}
	require.Eventually(t, func() bool { return len(p.Activity().WatchedTables) == 1 }, patience, time.Millisecond)
	t.Cleanup(func() {
		stop()
		wg.Wait()
		assert.NoError(t, p.Close())
	})
	return p
}

func watchOrders(ctx context.Context, p *pool.Pool) {
	for range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
		return tx.QueryRow(ctx, "-- name: CountOrders :one\nSELECT count(*) FROM orders").Scan(new(int64))
	}) {
		continue
	}
}

// manual is a clock that a test moves: tick runs what the page has put off.
const manual = `
	window.put = new Map();
	let last = 0;
	window.setTimeout = (f, ms) => { put.set(++last, { f, ms }); return last; };
	window.clearTimeout = (id) => put.delete(id);
	window.tick = () => { const due = [...put.values()]; put.clear(); due.forEach((d) => d.f()); };`

func TestThePageIsWellMadeInEachLight(t *testing.T) {
	var r pool.Registry
	dir, err := os.MkdirTemp("", "shop") // a name to be seen in pictures
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	p := shop(t, &r, filepath.Join(dir, "shop.db"))
	for _, single := range []bool{true, false} {
		h, name := debug.Pool(p), "debug-pool"
		if !single {
			for i := range 99 {
				other, err := r.Open(t.Context(), pool.Config{Path: filepath.Join(dir, fmt.Sprintf("tenant-%02d.db", i+1)), MaxConns: 2})
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, other.Close()) })
			}
			h, name = debug.Registry(&r), "debug-registry"
		}
		url := serve(t, h)
		for _, l := range []look{{width: 1200}, {width: 1200, dark: true}, {width: 320}, {width: 320, dark: true}} {
			l.before = manual
			b := open(t, l, url)
			b.requireNoSidewaysScroll()
			b.requireReadable()
			nodes := b.requireForScreenReaders()
			require.NotEmpty(t, of(nodes, "table"), "a table is one at any width")
			require.NotEmpty(t, of(nodes, "rowheader"))
			if l.width > 320 {
				require.NotEmpty(t, of(nodes, "columnheader"))
			}
			require.Equal(t, []string{""}, of(nodes, "status"), "it is silent while all is well")
			dark := ask[bool](b, `getComputedStyle(document.documentElement).backgroundColor.match(/\d+/)[0] < 128`)
			require.Equal(t, l.dark, dark)
			look, size := "light", "wide"
			if l.dark {
				look = "dark"
			}
			if l.width == 320 {
				size = "narrow"
			}
			b.picture(fmt.Sprintf("%s-%s-%s", name, look, size), single)
			b.requireSkipLink()
			b.requireNoComplaint()
		}
	}
}

func TestWhatIsOpenFocusedOrScrolledToStaysSo(t *testing.T) {
	var r pool.Registry
	p := shop(t, &r, filepath.Join(t.TempDir(), "shop.db"))
	b := open(t, look{before: manual}, serve(t, debug.Pool(p)))
	b.run(`document.querySelector("#leases details").open = true; document.querySelector("#statements thead a").focus({ preventScroll: true }); scrollTo(0, 300); document.querySelector("#leases details").dataset.mine = "yes"`)
	l, err := p.Acquire(pool.WithLabel(t.Context(), "just now"))
	require.NoError(t, err)
	renewed := func() {
		b.until("put.size > 0")
		b.run("tick()")
		b.until("put.size > 0")
	}
	renewed()
	require.Contains(t, b.text(), "just now")
	kept := func() {
		require.True(t, ask[bool](b, `document.querySelector("#leases details").open`))
		require.Equal(t, "Calls", ask[string](b, "document.activeElement.textContent"))
		require.InDelta(t, 300, ask[float64](b, "scrollY"), 200, "what is seen stays where it is, not the number")
		require.Positive(t, ask[float64](b, "scrollY"))
	}
	kept()
	l.Release()
	renewed()
	require.NotContains(t, b.text(), "just now")
	kept()
	b.requireNoComplaint()
}

func TestAStatementThatGoesUpTheListTakesItsFocusAlong(t *testing.T) {
	var r pool.Registry
	p, err := r.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db")})
	require.NoError(t, err)
	defer p.Close()
	long := "SELECT 1 AS one" + strings.Repeat(", NULL", 100)
	for range 3 {
		for _, text := range []string{long, "SELECT 2 AS two"} {
			_, err = p.Reader().Exec(t.Context(), text)
			require.NoError(t, err)
		}
	}
	_, err = p.Reader().Exec(t.Context(), "SELECT 2 AS two")
	require.NoError(t, err)
	b := open(t, look{before: manual}, serve(t, debug.Pool(p))+"?sort=calls")
	b.run(`document.querySelector("#statements summary").focus(); document.querySelector("#statements tbody details").open = true`)
	first := ask[string](b, `document.querySelector("#statements tbody tr").textContent`)
	require.Contains(t, first, "two")
	for range 9 {
		_, err = p.Reader().Exec(t.Context(), long)
		require.NoError(t, err)
	}
	b.run("tick()")
	b.until(`document.querySelector("#statements tbody tr").textContent.includes("one")`)
	require.Equal(t, "SUMMARY", ask[string](b, "document.activeElement.tagName"))
	require.True(t, ask[bool](b, `document.querySelector("#statements tbody details").open`))
	b.requireNoComplaint()
}

func TestThePageRestsWhileItIsHiddenOrPaused(t *testing.T) {
	var r pool.Registry
	p := shop(t, &r, filepath.Join(t.TempDir(), "shop.db"))
	b := open(t, look{before: manual + `
		window.away = false;
		Object.defineProperty(document, "hidden", { get: () => away });
		window.hide = (now) => { away = now; document.dispatchEvent(new Event("visibilitychange")); };`}, serve(t, debug.Pool(p)))
	b.until("put.size === 1")
	require.Equal(t, 2000, ask[int](b, "[...put.values()][0].ms"))
	b.run("hide(true)")
	require.Zero(t, ask[int](b, "put.size"), "nothing is put off, so nothing will be fetched")
	l, err := p.Acquire(pool.WithLabel(t.Context(), "meanwhile"))
	require.NoError(t, err)
	defer l.Release()
	b.run("hide(false)")
	b.until(`document.body.innerText.includes("meanwhile")`)
	b.until("put.size === 1")
	b.do(chromedp.Click(chromedp.CSS("#pause")))
	require.Zero(t, ask[int](b, "put.size"))
	require.Contains(t, of(b.tree(), "button"), "Go on")
	b.do(chromedp.Click(chromedp.CSS("#pause")))
	b.until("put.size === 1")
	require.Contains(t, of(b.tree(), "button"), "Pause")
	b.requireNoComplaint()
}

func TestThePageSaysWhenItIsOld(t *testing.T) {
	var r pool.Registry
	p := shop(t, &r, filepath.Join(t.TempDir(), "shop.db"))
	var mu sync.Mutex
	gone := false
	h := debug.Pool(p)
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if gone {
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	b := open(t, look{before: manual}, url)
	be := func(now bool) {
		mu.Lock()
		gone = now
		mu.Unlock()
		b.until("put.size === 1")
		b.run("tick()")
	}
	be(true)
	b.until(`document.getElementById("say").textContent === "No answer: what is shown is old."`)
	b.until("put.size === 1")
	require.Equal(t, 10000, ask[int](b, "[...put.values()][0].ms"))
	require.Contains(t, b.text(), "monthly report", "it still shows what it knew")
	be(false)
	b.until(`document.getElementById("say").textContent === ""`)
}

func TestThePageNeedsNoScript(t *testing.T) {
	var r pool.Registry
	shop(t, &r, filepath.Join(t.TempDir(), "shop.db"))
	b := open(t, look{noScript: true}, serve(t, debug.Registry(&r)))
	b.do(chromedp.Click(chromedp.CSS(`a[href^="?pool="]`)))
	b.do(chromedp.WaitVisible(chromedp.CSS("#statements")))
	require.Contains(t, b.text(), "monthly report")
	require.NotContains(t, b.text(), "Pause")
	b.do(chromedp.Click(chromedp.CSS(`#statements thead a[href*="sort=calls"]`)))
	b.do(chromedp.WaitVisible(chromedp.CSS(`#statements th[aria-sort] a[href*="sort=calls"]`)))
	b.do(chromedp.Click(chromedp.CSS("#leases summary")))
	b.do(chromedp.WaitVisible(chromedp.CSS("#leases pre")))
	b.requireNoComplaint()
}

func TestScriptThatIsNotThePagesDoesNotRun(t *testing.T) {
	var r pool.Registry
	p := shop(t, &r, filepath.Join(t.TempDir(), "shop.db"))
	l, err := p.Acquire(pool.WithLabel(t.Context(), `<img src=x onerror="window.ran=1"><script>window.ran=1</script>`))
	require.NoError(t, err)
	defer l.Release()
	b := open(t, look{}, serve(t, debug.Pool(p)))
	require.Contains(t, b.text(), "<script>window.ran=1</script>")
	b.requireNoComplaint()
	b.run(`document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.ran=1'>"); const s = document.createElement("script"); s.textContent = "window.ran=1"; document.body.append(s)`)
	require.Equal(t, "undefined", ask[string](b, "typeof window.ran"))
}
