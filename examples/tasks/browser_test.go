//go:build chromium

package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// browser starts the one that SQLANE_CHROMIUM names. Each call of open is a page.
func browser(t *testing.T) (open func(url string, first ...chromedp.Action[chromedp.Void]) *tab) {
	t.Helper()
	path := os.Getenv("SQLANE_CHROMIUM")
	require.NotEmpty(t, path, "SQLANE_CHROMIUM names the browser")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir())}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
		"disable-background-networking", "disable-component-update", "disable-sync",
	} {
		opts = append(opts, chromedp.Flag(flag, true))
	}
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx)) // the browser lives as long as its first page
	return func(url string, first ...chromedp.Action[chromedp.Void]) *tab {
		t.Helper()
		ctx, cancel := chromedp.NewContext(ctx)
		failures, read := chromedp.Events(ctx, runtime.ExceptionThrown), make(chan struct{})
		go func() {
			defer close(read)
			for failure, err := range failures {
				if err == nil {
					t.Error("the page's script failed:", failure.ExceptionDetails.Text)
				}
			}
		}()
		t.Cleanup(func() { cancel(); <-read })
		p := &tab{t, ctx}
		p.do(append(first, chromedp.Navigate(url))...)
		return p
	}
}

// tab is a page that is open.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, steps...))
}

// ask returns an expression's value in a page.
func ask[T any](p *tab, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	require.NoError(p.t, err)
	return value
}

// until waits for a condition that an expression tells.
func (p *tab) until(condition string) {
	p.t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(30 * time.Second); !ask[bool](p, condition); <-look.C {
		if time.Now().After(deadline) {
			require.Fail(p.t, "it never came about: "+condition, ask[string](p, "document.body.outerHTML"))
		}
	}
}

func (p *tab) add(title string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS("#title"), title+kb.Enter))
}

// shows is true in a page whose list, or the done part of it, has the task once.
func shows(title, where string) string {
	return `[...document.querySelectorAll("` + where + ` span")].filter(e => e.textContent === "` + title + `").length === 1`
}

// badGateway answers as a proxy whose server is away, until back.
func badGateway(t *testing.T, addr string) (back func()) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	proxy := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "bad gateway", http.StatusBadGateway)
	})}
	ended := make(chan error)
	go func() { ended <- proxy.Serve(listener) }()
	return func() {
		require.NoError(t, proxy.Close())
		<-ended
	}
}

func TestWhatIsWrittenInOnePageAppearsInTheOther(t *testing.T) {
	open := browser(t)
	db := filepath.Join(t.TempDir(), "tasks.db")
	// Nothing else connects from this address, which could take the port meanwhile.
	url, stop := start(t, "-addr", "127.0.0.2:0", "-db", db)
	one, other := open(url), open(url)
	for _, p := range []*tab{one, other} {
		p.until(`document.getElementById("state").textContent === "Live."`)
	}
	one.add("milk")
	other.until(shows("milk", "#list"))
	one.until(shows("milk", "#list"))

	// The server goes, or a proxy stays and says so. What is written meanwhile is sent
	// when it is back, once.
	addr := strings.TrimPrefix(url, "http://")
	for _, title := range []string{"tea", "bread"} {
		stop()
		back := func() {}
		if title == "bread" {
			back = badGateway(t, addr)
		}
		for _, p := range []*tab{one, other} {
			p.until(`document.getElementById("state").textContent.startsWith("Not up to date")`)
		}
		one.add(title)
		one.until(`document.getElementById("problem").textContent.startsWith("Not sent yet")`)
		back()
		_, stop = start(t, "-addr", addr, "-db", db)
		for _, p := range []*tab{one, other} {
			p.until(shows(title, "#list"))
			p.until(shows("milk", "#list"))
			p.until(`document.getElementById("state").textContent.startsWith("Live.")`)
		}
		one.until(`document.getElementById("problem").textContent === "" && document.getElementById("title").value === ""`)
	}
	defer func() { stop() }()

	// By the keyboard: the focus stays where it was, though the list is new.
	other.do(chromedp.Focus(chromedp.CSS("#done-1")), chromedp.KeyEvent(kb.Enter))
	one.until(shows("milk", ".done"))
	other.until(shows("milk", ".done"))
	other.until(`document.activeElement.id === "done-1"`)
	other.do(chromedp.Focus(chromedp.CSS("#delete-1")), chromedp.KeyEvent(kb.Enter))
	one.until(`document.querySelector(".done") === null`)
	other.until(`document.activeElement.id === "title"`)

	// What is refused stays to be mended.
	other.add("tea")
	other.until(`document.getElementById("problem").textContent === "That is on the list already."`)
	other.until(`document.getElementById("title").value === "tea"`)
	other.add(", green")
	one.until(shows("tea, green", "#list"))
}

func TestThePageWorksWithoutAScript(t *testing.T) {
	open := browser(t)
	url, stop := start(t, "-addr", "127.0.0.2:0", "-db", filepath.Join(t.TempDir(), "tasks.db"))
	defer stop()
	live, plain := open(url), open(url, func(ctx context.Context, page *chromedp.Target) (none chromedp.Void, err error) {
		_, err = cdp.Call(ctx, page, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return none, err
	})
	plain.add("tea")
	live.until(shows("tea", "#list"))
	plain.do(chromedp.WaitVisible(chromedp.CSS("#done-1")))
	plain.add("tea")
	plain.do(chromedp.WaitVisible(chromedp.CSS("#problem")))
	plain.do(chromedp.Click(chromedp.CSS("#done-1")))
	live.until(shows("tea", ".done"))
}

func TestThePageIsReadableByEveryone(t *testing.T) {
	open := browser(t)
	url, stop := start(t, "-addr", "127.0.0.2:0", "-db", filepath.Join(t.TempDir(), "tasks.db"))
	defer stop()
	p := open(url)
	for _, title := range []string{"Get up", "Buy milk", "Write a tutorial"} {
		p.add(title)
		p.until(shows(title, "#list"))
	}
	p.do(chromedp.Click(chromedp.CSS("#done-1")))
	p.until(shows("Get up", ".done"))
	for _, scheme := range []string{"light", "dark"} {
		p.look(scheme, 640, 540)
		if dir := os.Getenv("TASKS_PICTURES"); dir != "" { // those of the tutorial are made so
			png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "tasks-"+scheme+".png"), png, 0o644))
		}
	}

	// A screen reader tells every control apart.
	names := map[string]int{}
	tree, err := chromedp.Call(p.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	require.NoError(t, err)
	for _, node := range tree.Nodes {
		if role := string(node.Role.Value); !node.Ignored && (role == `"button"` || role == `"textbox"`) {
			names[strings.Trim(string(node.Name.Value), `"`)]++
		}
	}
	require.Equal(t, map[string]int{
		"What is to be done?": 1, "Add": 1,
		"Done: Get up": 1, "Done: Buy milk": 1, "Done: Write a tutorial": 1,
		"Delete: Get up": 1, "Delete: Buy milk": 1, "Delete: Write a tutorial": 1,
	}, names)

	// Long words, and a problem beside them.
	p.add(strings.Repeat("w", 200))
	p.until(shows(strings.Repeat("w", 200), "#list"))
	p.add("Buy milk")
	p.until(`document.getElementById("problem").textContent !== ""`)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{320, 1280} {
			p.look(scheme, width, 800)
			require.Empty(t, ask[[]string](p, contrast), scheme)
			require.True(t, ask[bool](p, `document.documentElement.scrollWidth <= innerWidth`), width)
		}
	}
}

// look shows the page as somebody sees it.
func (p *tab) look(scheme string, width, height int64) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(p.t, err)
	p.do(chromedp.EmulateViewport(width, height))
}

// contrast finds text that is less than 4.5 times as light or dark as what is behind
// it (https://www.w3.org/TR/WCAG22/#contrast-minimum).
const contrast = `(() => {
	const parse = c => c.match(/[\d.]+/g).map(Number);
	const light = c => { const [r, g, b] = parse(c).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (parse(c)[3] !== 0) return c; } return "rgb(255, 255, 255)"; };
	const poor = [];
	for (const e of document.body.querySelectorAll("*")) {
		if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
		const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(e.outerHTML);
	}
	return poor;
})()`
