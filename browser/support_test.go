//go:build chromium

package browser_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// browser is one Chromium for all tests, each of which has a tab of its own.
var browser context.Context

// kept is a directory that is removed at the end.
var kept string

func TestMain(m *testing.M) {
	path := os.Getenv("SQLANE_CHROMIUM")
	if path == "" {
		fmt.Fprintln(os.Stderr, "SQLANE_CHROMIUM does not say where the browser is; run make browser-check")
		os.Exit(1)
	}
	var err error
	kept, err = os.MkdirTemp("", "sqlane-browser")
	if err != nil {
		panic(err)
	}
	flags := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(kept, "profile")), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2 * time.Minute)}
	for _, name := range []string{"headless", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars"} {
		flags = append(flags, chromedp.Flag(name, true))
	}
	start, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	var closeTab context.CancelFunc
	browser, closeTab = chromedp.NewContext(start)
	code := 1
	if err := chromedp.Do(browser); err != nil {
		fmt.Fprintln(os.Stderr, "the browser does not start:", err)
	} else {
		code = m.Run()
	}
	closeTab()
	stop()
	_ = os.RemoveAll(kept)
	os.Exit(code)
}

// look is how a tab looks at a page.
type look struct {
	width    int64
	dark     bool
	noScript bool
	before   string // This script runs before the page's own.
}

// patience is how long a test waits for what must become so.
const patience = time.Minute

// tab is a tab of the browser.
type tab struct {
	*testing.T
	ctx   context.Context
	close func() // Tabs that are open share the six connections that a browser has to a host, of which each that listens to events keeps one.

	mu   sync.Mutex
	said []string // what the page or the browser complained of
}

func open(t *testing.T, l look, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	ctx, cancelTime := context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancelTime)
	b := &tab{T: t, ctx: ctx, close: cancel}
	width, scheme := l.width, "light"
	if width == 0 {
		width = 1200
	}
	if l.dark {
		scheme = "dark"
	}
	send(b, log.Enable, cdp.Empty{})
	send(b, runtime.Enable, cdp.Empty{})
	send(b, accessibility.Enable, cdp.Empty{})
	listen(b, log.EntryAdded, func(e log.EventEntryAdded) string { return e.Entry.Text })
	listen(b, runtime.ExceptionThrown, func(e runtime.EventExceptionThrown) string { return e.ExceptionDetails.Text })
	listen(b, page.JavascriptDialogOpening, func(e page.EventJavascriptDialogOpening) string { return "a dialog: " + e.Message })
	send(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	send(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.noScript})
	if l.before != "" {
		send(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: l.before})
	}
	b.do(chromedp.EmulateViewport(width, 900), chromedp.Navigate(url))
	return b
}

// send sends a command of the browser's protocol.
func send[P, R any](b *tab, command cdp.Command[P, R], params P) (result R) {
	b.Helper()
	result, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, command, params) })
	require.NoError(b, err)
	return result
}

// listen notes what the page or the browser complains of.
func listen[E any](b *tab, event cdp.Event[E], say func(E) string) {
	events := chromedp.Events(b.ctx, event)
	go func() { // until the tab is closed
		for e, err := range events {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.said = append(b.said, say(e))
			b.mu.Unlock()
		}
	}()
}

// do does something in the tab.
func (b *tab) do(what ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	require.NoError(b, chromedp.Do(b.ctx, what...))
}

// run runs a script in the page, also in one that runs none of its own.
func (b *tab) run(script string) {
	b.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](script))
}

// ask is run for a script's value.
func ask[T any](b *tab, script string) T {
	b.Helper()
	answer, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	require.NoError(b, err, script)
	return answer
}

// until waits until a condition is true in the page.
func (b *tab) until(condition string) {
	b.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		so, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+condition+")"))
		switch { // an error may be that another page is being loaded
		case err == nil && so:
			return
		case time.Now().After(deadline):
			require.FailNow(b, "it did not become so", "%s: %v\n%s", condition, err, b.text())
		}
	}
}

// text is what the page shows.
func (b *tab) text() string {
	b.Helper()
	return strings.Join(strings.Fields(ask[string](b, "document.body.innerText")), " ")
}

// requireNoComplaint: nothing was thrown, refused or not found.
func (b *tab) requireNoComplaint() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(b, b.said)
}

// requireNoSidewaysScroll: the page is no wider than the window.
func (b *tab) requireNoSidewaysScroll() {
	b.Helper()
	require.LessOrEqual(b, ask[int](b, "document.scrollingElement.scrollWidth"), ask[int](b, "document.documentElement.clientWidth"),
		ask[string](b, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120)).join("\n")`))
}

// contrasts lists the texts whose contrast with what is behind them is below WCAG's AA.
// See https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio.
const contrasts = `(() => {
	const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
	const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
	const faint = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walk.nextNode()); ) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.checkVisibility() || e.closest("script")) continue;
		const s = getComputedStyle(e), a = light(parse(s.color)), b = light(behind(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const large = parseFloat(s.fontSize) >= 24 || (parseFloat(s.fontSize) >= 18.66 && s.fontWeight >= 700);
		if (ratio < (large ? 3 : 4.5)) faint.push(ratio.toFixed(2) + " " + n.data.trim().slice(0, 40));
	}
	return faint;
})()`

func (b *tab) requireReadable() {
	b.Helper()
	require.Empty(b, ask[[]string](b, contrasts))
}

// node is an element as a screen reader has it.
type node struct {
	role, name string
	properties map[string]string
}

// tree is what a screen reader is told of the page, in reading order.
func (b *tab) tree() (nodes []node) {
	b.Helper()
	all := send(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes
	known := make(map[accessibility.NodeID]*accessibility.Node)
	for _, n := range all {
		known[n.NodeID] = n
	}
	var walk func(n *accessibility.Node)
	walk = func(n *accessibility.Node) {
		if !n.Ignored && n.Role != nil {
			said := node{role: valueOf(n.Role), name: valueOf(n.Name), properties: map[string]string{}}
			for _, p := range n.Properties {
				said.properties[string(p.Name)] = valueOf(p.Value)
			}
			nodes = append(nodes, said)
		}
		for _, id := range n.ChildIDs {
			if child := known[id]; child != nil {
				walk(child)
			}
		}
	}
	walk(all[0])
	return nodes
}

func valueOf(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `"`)
}

// of are the nodes of a role.
func of(nodes []node, role string) (names []string) {
	for _, n := range nodes {
		if n.role == role {
			names = append(names, n.name)
		}
	}
	return names
}

// requireForScreenReaders: the page has one main part and one heading of the first
// level, no level is left out, and what can be used or is a table has a name.
func (b *tab) requireForScreenReaders() []node {
	b.Helper()
	nodes := b.tree()
	require.Len(b, of(nodes, "main"), 1)
	level, first := 0, 0
	for _, n := range nodes {
		switch n.role {
		case "heading":
			var now int
			_, _ = fmt.Sscan(n.properties["level"], &now)
			require.LessOrEqual(b, now, level+1, n.name)
			require.NotEmpty(b, n.name)
			if level = now; now == 1 {
				first++
			}
		case "link", "button", "table", "region", "navigation", "searchbox", "combobox", "textbox", "columnheader", "rowheader", "DisclosureTriangle":
			require.NotEmpty(b, n.name, "%+v", n)
		}
	}
	require.Equal(b, 1, first)
	require.Equal(b, "en", ask[string](b, "document.documentElement.lang"))
	require.NotEmpty(b, ask[string](b, "document.title"))
	return nodes
}

// requireSkipLink: the first thing that the Tab key reaches leads past the header.
func (b *tab) requireSkipLink() {
	b.Helper()
	b.do(chromedp.KeyEvent("\t"))
	require.Equal(b, "#main", ask[string](b, `document.activeElement.getAttribute("href")`))
	require.True(b, ask[bool](b, "document.activeElement.getBoundingClientRect().left >= 0"), "it shows when it is reached")
	b.do(chromedp.KeyEvent("\r"))
	b.until(`document.activeElement.id === "main"`)
}

// picture keeps a picture of the page for the documentation, if it is to be renewed: of
// the whole page or of what the window shows.
func (b *tab) picture(name string, whole bool) {
	b.Helper()
	dir := os.Getenv("SQLANE_SCREENSHOTS")
	if dir == "" {
		return
	}
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	shot, err := chromedp.Run(b.ctx, take)
	require.NoError(b, err)
	require.NoError(b, os.MkdirAll(dir, 0o755))
	require.NoError(b, os.WriteFile(filepath.Join(dir, name+".png"), b.small(shot), 0o644))
}

// small is a picture in its 256 most frequent colours, a quarter of its size.
func (b *tab) small(shot []byte) []byte {
	b.Helper()
	from, err := png.Decode(bytes.NewReader(shot))
	require.NoError(b, err)
	frequent := map[color.Color]int{}
	area := from.Bounds()
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			frequent[from.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(frequent), func(a, b color.Color) int { return frequent[b] - frequent[a] })
	to := image.NewPaletted(area, color.Palette(colours[:min(len(colours), 256)]))
	draw.Draw(to, area, from, area.Min, draw.Src)
	var out bytes.Buffer
	require.NoError(b, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to))
	return out.Bytes()
}
