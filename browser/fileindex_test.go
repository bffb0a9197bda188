//go:build chromium

package browser_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// program is fileindex, built once, beside what the browser keeps.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(kept, "fileindex")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-C", "..", "-o", path, "./cmd/fileindex").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

// fileindex is an index and the tree that is in it.
type fileindex struct {
	*testing.T
	path, db, tree string
}

func newFileindex(t *testing.T) *fileindex {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "files") // a name to be seen in pictures
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	f := &fileindex{t, path, filepath.Join(dir, "index.db"), filepath.Join(dir, "project")}
	for name, size := range map[string]int{
		"pool/conn.go": 15420, "pool/conns.go": 18311, "pool/pool.go": 3200, "pool/doc.go": 9911, "docs/connections.md": 24800, "docs/plan.pdf": 812000, "site/index.html": 4100,
		"site/photo.jpg": 2400000, "site/connected.png": 320500, "backup/2026.tar.gz": 9200000, "music/theme.mp3": 5120000, "data/cities.csv": 640200, "LICENSE": 1500, "conn.lock": 12,
	} {
		f.put(name, size)
	}
	f.index()
	return f
}

func (f *fileindex) put(name string, size int) {
	f.Helper()
	path := filepath.Join(f.tree, name)
	require.NoError(f, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(f, os.WriteFile(path, make([]byte, size), 0o644))
	at := time.Date(2026, 3, 1+len(name), 9, size%60, 0, 0, time.UTC)
	require.NoError(f, os.Chtimes(path, at, at))
}

// index indexes the tree in a process of its own.
func (f *fileindex) index() {
	f.Helper()
	out, err := exec.CommandContext(f.Context(), f.path, "-db", f.db, "index", f.tree).CombinedOutput()
	require.NoError(f, err, string(out))
}

// serve serves the index until the test ends, where it ends well when it is interrupted.
func (f *fileindex) serve(addr string) (url string) {
	f.Helper()
	cmd := exec.CommandContext(context.Background(), f.path, "-db", f.db, "serve", "-addr", addr)
	out, err := cmd.StdoutPipe()
	require.NoError(f, err)
	require.NoError(f, cmd.Start())
	f.Cleanup(func() {
		assert.NoError(f, cmd.Process.Signal(os.Interrupt))
		assert.NoError(f, cmd.Wait(), "it was interrupted, and that is its end")
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(f, err)
	return strings.TrimSpace(strings.TrimPrefix(line, "the index:"))
}

// results are the names that the page shows.
const results = `[...document.querySelectorAll("#main tbody th")].map(e => e.textContent.trim())`

// type types into the search field.
func (b *tab) typing(text string) {
	b.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS("#q"), text))
}

func TestResultsComeWhileSomebodyTypes(t *testing.T) {
	f := newFileindex(t)
	b := open(t, look{}, f.serve("127.0.0.1:0"))
	require.Equal(t, []string{"2026.tar.gz", "theme.mp3", "photo.jpg"}, ask[[]string](b, results)[:3], "the largest files, as long as nothing is searched for")
	b.typing("conn")
	b.until(results + `[0] === "conn.go" && document.querySelectorAll("#main tbody tr").length === 5`)
	require.Equal(t, []string{"conn.go", "conn.lock", "connected.png", "connections.md", "conns.go"}, ask[[]string](b, results))
	require.Equal(t, "?q=conn", ask[string](b, "location.search"))
	b.until(`document.getElementById("say").textContent === "5 entries with “conn” in the name"`)
	require.Equal(t, "q", ask[string](b, "document.activeElement.id"), "who types types on")
	b.do(chromedp.Click(chromedp.CSS(`#categories a[href*="category=code"]`)))
	b.until(results + `.length === 2`)
	require.Equal(t, []string{"conns.go", "conn.go"}, ask[[]string](b, results))
	require.Equal(t, "?q=conn&category=code", ask[string](b, "location.search"))
	b.typing("s")
	b.until(results + `.length === 1`)
	b.typing("zzz")
	b.until(`document.body.innerText.includes("Nothing has “connszzz” in its name in code.")`)
	b.requireNoComplaint()
}

func TestAnIndexRunInAnotherProcessChangesThePage(t *testing.T) {
	f := newFileindex(t)
	url := f.serve("127.0.0.1:0")
	b := open(t, look{}, url)
	other := open(t, look{}, url+"?q=fresh")
	require.Contains(t, other.text(), "Nothing has “fresh” in its name.")
	b.run(`document.querySelector("#categories a").focus()`)
	f.put("video/freshly-cut.mp4", 99000000)
	f.index()
	b.until(results + `[0] === "freshly-cut.mp4"`)
	other.until(results + `[0] === "freshly-cut.mp4"`)
	require.Equal(t, "all", ask[string](b, "document.activeElement.textContent"), "what is focused stays so")
	require.Contains(t, b.text(), "video")
	require.NoError(t, os.Remove(filepath.Join(f.tree, "video/freshly-cut.mp4")))
	f.index()
	b.until(results + `[0] === "2026.tar.gz"`)
	other.until(`document.body.innerText.includes("Nothing has “fresh” in its name.")`)
	b.requireNoComplaint()
}

func TestTheSearchIsAFormWithoutScript(t *testing.T) {
	f := newFileindex(t)
	b := open(t, look{noScript: true}, f.serve("127.0.0.1:0")+"?category=code")
	b.typing("conn\r")
	b.until(`location.search === "?q=conn&category=code" && document.readyState === "complete"`)
	require.Equal(t, []string{"conns.go", "conn.go"}, ask[[]string](b, results))
	b.do(chromedp.Click(chromedp.CSS(`#categories a`)))
	b.until(`location.search === "?q=conn" && document.readyState === "complete"`)
	require.Len(t, ask[[]string](b, results), 5)
	b.requireNoComplaint()
}

func TestNoNameRunsAsScript(t *testing.T) {
	f := newFileindex(t)
	for _, name := range []string{`<img src=x onerror="alert(1)">.go`, `"><svg onload=alert(1)>`, "<script>alert(1)<", "a\nb", "\u202egnp.exe"} {
		f.put(name, 10_000_000+len(name))
	}
	f.index()
	b := open(t, look{}, f.serve("127.0.0.1:0")+"?q=%3Cimg%20src=x%20onerror=alert(1)%3E")
	require.Contains(t, b.text(), "Nothing has “<img src=x onerror=alert(1)>” in its name.")
	b.run(`document.querySelector("#q").value = ""`)
	b.typing("alert(1)")
	b.until(results + `.length === 3`)
	require.Contains(t, ask[[]string](b, results), `<img src=x onerror="alert(1)">.go`)
	b.requireNoComplaint()
}

func TestTheSearchIsWellMadeInEachLight(t *testing.T) {
	f := newFileindex(t)
	url := f.serve("127.0.0.1:0")
	for _, l := range []look{{width: 1200}, {width: 1200, dark: true}, {width: 320}, {width: 320, dark: true}} {
		for _, query := range []string{"", "?q=conn", "?q=nothing&category=code"} {
			b := open(t, l, url+query)
			b.requireNoSidewaysScroll()
			b.requireReadable()
			nodes := b.requireForScreenReaders()
			require.Equal(t, []string{"Part of a name"}, of(nodes, "searchbox"))
			require.Len(t, of(nodes, "search"), 1)
			if query != "?q=nothing&category=code" {
				require.NotEmpty(t, of(nodes, "rowheader"))
			}
			if query == "?q=conn" {
				look, size := "light", "wide"
				if l.dark {
					look = "dark"
				}
				if l.width == 320 {
					size = "narrow"
				}
				b.picture(fmt.Sprintf("fileindex-%s-%s", look, size), true)
			}
			b.requireSkipLink()
			b.requireNoComplaint()
			b.close()
		}
	}
}

func TestThePoolsPageIsBesideTheSearch(t *testing.T) {
	f := newFileindex(t)
	b := open(t, look{}, f.serve("127.0.0.1:0"))
	b.do(chromedp.Click(chromedp.CSS(`header a[href="debug/pool/"]`)))
	b.until(`location.pathname === "/debug/pool/" && document.readyState === "complete"`)
	require.Contains(t, b.text(), "SummarizeCategories")
	b.requireNoComplaint()
}
