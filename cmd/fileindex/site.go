package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/internal/page"
	"github.com/sqlane/sqlane/repo"
)

//go:embed web/page.html
var siteLayout string

//go:embed web/style.css
var siteStyle string

//go:embed web/script.js
var siteScript string

var siteFiles = page.New(siteStyle, siteScript)

var sitePages = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": siteFiles.Style, "script": siteFiles.Script, "count": humanize.Comma, "clean": oneLine,
	"bytes": func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
}).Parse(siteLayout))

// site is the page to search the index with. It needs no script; with it, it searches
// while somebody types, and again when the index has changed.
type site struct {
	app   *app
	debug http.Handler // nil if there is none

	mu      sync.Mutex    // It guards the fields below.
	summary summaryOfAll  // It is what the index held when it was looked at last.
	trouble string        // It says why that is old; "" if it is not.
	number  int           // It grows with each change.
	changed chan struct{} // It is closed by the next change.
}

// summaryOfAll is what is in the index.
type summaryOfAll struct {
	Files, Bytes int64
	Categories   []categoryLine
	LastRun      *runLine
}

func newSite(a *app) *site { return &site{app: a, debug: a.at.debug(), changed: make(chan struct{})} }

// watch follows the index until the context ends.
func (s *site) watch(ctx context.Context) {
	for now, err := range repo.Watch(ctx, s.app.repo, summarize) {
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		if s.trouble = ""; err != nil {
			s.trouble = s.app.explain(err)
		} else {
			s.summary = now
		}
		s.number++
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
	}
}

func summarize(ctx context.Context, q repo.Reader) (all summaryOfAll, err error) {
	categories, err := q.SummarizeCategories(ctx)
	if err != nil {
		return all, err
	}
	for _, c := range categories {
		all.Categories = append(all.Categories, categoryLine{string(c.Category), c.Files, c.TotalSize})
		all.Files += c.Files
		all.Bytes += c.TotalSize
	}
	log, err := q.RecentLog(ctx, 1)
	for _, r := range log {
		all.LastRun = new(newRunLine(r))
	}
	return all, err
}

// now is what the index holds, and what is closed when that changes.
func (s *site) now() (summary summaryOfAll, trouble string, number int, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.summary, s.trouble, s.number, s.changed
}

// ServeHTTP implements http.Handler.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !page.Begin(w, r, "'self'") {
		return
	}
	switch name := strings.TrimPrefix(r.URL.Path, "/"); {
	case name == "":
		s.servePage(w, r)
	case name == "events":
		s.serveEvents(w, r)
	case !siteFiles.Serve(w, r, name):
		http.NotFound(w, r)
	}
}

// pulse is how often somebody who listens is told that nothing has changed, so that a
// connection that is gone is noticed.
const pulse = 20 * time.Second

// serveEvents tells of each change as it comes, as server-sent events:
// https://html.spec.whatwg.org/multipage/server-sent-events.html.
func (s *site) serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	answer := http.NewResponseController(w)
	alive := time.NewTicker(pulse)
	defer alive.Stop()
	for told := -1; ; {
		_, _, number, changed := s.now()
		text := ": nothing new\n\n"
		if number != told {
			text = fmt.Sprintf("data: %d\n\n", number)
		}
		if _, err := fmt.Fprint(w, text); err != nil || answer.Flush() != nil {
			return
		}
		told = number
		select {
		case <-changed:
		case <-alive.C:
		case <-r.Context().Done():
			return
		}
	}
}

// resultPage is what the page shows.
type resultPage struct {
	Database string
	Debug    bool // There is a page of what goes on in it.
	Text     string
	Category string
	Choices  []choice
	Caption  string
	Entries  []entryLine
	Full     bool // There may be more.
	Limit    int64
	Number   int
	Trouble  string
	summaryOfAll
	Run string
}

// choice is a category that can be chosen.
type choice struct {
	Name, Link   string
	Files, Bytes int64
	Chosen       bool
}

// entryLine is an entry that was found.
type entryLine struct {
	Name, Folder string
	Size         string
	Modified     time.Time
	Directory    bool
}

func (s *site) servePage(w http.ResponseWriter, r *http.Request) {
	v := resultPage{Database: s.app.at.String(), Debug: s.debug != nil, Limit: s.app.limit, Text: r.URL.Query().Get("q"), Category: r.URL.Query().Get("category")}
	v.summaryOfAll, v.Trouble, v.Number, _ = s.now()
	status := http.StatusOK
	found, err := s.search(r.Context(), v.Text, v.Category)
	if err != nil {
		if r.Context().Err() != nil && errors.Is(err, r.Context().Err()) {
			return // nobody waits for it any more
		}
		status, v.Trouble = http.StatusServiceUnavailable, s.app.explain(err)
	}
	for _, f := range found {
		v.Entries = append(v.Entries, newEntryLine(f))
	}
	v.Full = int64(len(found)) == s.app.limit
	v.describe()
	var text bytes.Buffer
	if err := sitePages.Execute(&text, v); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	page.Send(w, status, text.Bytes())
}

// search finds what is asked for: entries by their name, files of a category by theirs,
// or the largest files.
func (s *site) search(ctx context.Context, text, category string) (found []gen.File, err error) {
	switch {
	case category != "":
		part, ok := needle(text)
		if !ok {
			return nil, nil
		}
		rows, err := s.app.repo.SearchFilesByCategory(ctx, gen.SearchFilesByCategoryParams{Category: column.Category(category), Part: part, Count: s.app.limit})
		for _, r := range rows {
			found = append(found, r.File)
		}
		return found, err
	case text != "":
		return find(ctx, s.app.repo, text, s.app.limit)
	}
	return s.app.repo.LargestFiles(ctx, s.app.limit)
}

func newEntryLine(f gen.File) entryLine {
	l := entryLine{Name: oneLine(f.Name), Folder: oneLine(filepath.Dir(f.Path)), Size: "?", Modified: f.DateModified.Time, Directory: f.IsDirectory}
	size := f.Size
	if f.IsDirectory {
		size = f.FolderSize
	}
	if size != nil {
		l.Size = humanize.IBytes(uint64(*size))
	}
	return l
}

// describe says what was searched for, and what else can be.
func (v *resultPage) describe() {
	link := func(category string) string {
		q := url.Values{}
		if v.Text != "" {
			q.Set("q", v.Text)
		}
		if category != "" {
			q.Set("category", category)
		}
		return "?" + q.Encode()
	}
	v.Choices = []choice{{"all", link(""), v.Files, v.Bytes, v.Category == ""}}
	for _, c := range v.Categories {
		v.Choices = append(v.Choices, choice{c.Category, link(c.Category), c.Files, c.Bytes, v.Category == c.Category})
	}
	what, n := "entries", strconv.Itoa(len(v.Entries))
	if len(v.Entries) == 1 {
		what = "entry"
	}
	if v.Full {
		n = "The first " + n
	}
	switch {
	case v.Category != "" && v.Text != "":
		v.Caption = fmt.Sprintf("%s %s in %s with “%s” in the name, the largest first", n, what, v.Category, v.Text)
	case v.Category != "":
		v.Caption = fmt.Sprintf("%s %s in %s, the largest first", n, what, v.Category)
	case v.Text != "":
		v.Caption = fmt.Sprintf("%s %s with “%s” in the name", n, what, v.Text)
	default:
		v.Caption = "The largest files"
	}
	v.Caption = oneLine(v.Caption)
	if v.LastRun != nil {
		var b strings.Builder
		v.LastRun.print(&b, ", ")
		v.Run = b.String()
	}
}
