package main

import (
	"bufio"
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// served is a running serve command.
type served struct {
	*watcher
	url    string
	client *http.Client
}

func (b bench) serving(args ...string) *served {
	b.t.Helper()
	s := &served{watcher: b.watching(append([]string{"serve", "-addr", "127.0.0.1:0"}, args...)...), client: &http.Client{Transport: new(http.Transport)}}
	b.t.Cleanup(s.client.CloseIdleConnections)
	_, s.url, _ = strings.Cut(s.until("the index: "), "the index: ")
	return s
}

func (s *served) get(target string) (status int, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+target, nil)
	require.NoError(s.t, err)
	answer, err := s.client.Do(r)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	return answer.StatusCode, string(text)
}

var rowName = regexp.MustCompile(`<bdi>([^<]*)</bdi>(/?)</th>`)

// names are those of the entries on a page.
func (s *served) names(target string) (names []string) {
	s.t.Helper()
	status, body := s.get(target)
	require.Equal(s.t, http.StatusOK, status, body)
	for _, found := range rowName.FindAllStringSubmatch(body, -1) {
		names = append(names, html.UnescapeString(found[1])+found[2])
	}
	return names
}

// files makes a tree of files, each as long as it says.
func files(t *testing.T, sizes map[string]int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, size := range sizes {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, make([]byte, size), 0o644))
	}
	return dir
}

func TestServeFindsByNameAndCategory(t *testing.T) {
	b := newBench(t)
	b.index(files(t, map[string]int{"conn.go": 10, "a_conn.go": 30, "connect/readme": 5, "conn.png": 20, "other.go": 40}))
	s := b.serving()
	require.Equal(t, []string{"other.go", "a_conn.go", "conn.png", "conn.go", "readme"}, s.names(""), "the largest are the first")
	require.Equal(t, []string{"conn.go", "conn.png", "connect/", "a_conn.go"}, s.names("?q=CONN"))
	require.Equal(t, []string{"other.go", "a_conn.go", "conn.go"}, s.names("?category=code"))
	require.Equal(t, []string{"a_conn.go", "conn.go"}, s.names("?category=code&q=conn"))
	require.Equal(t, []string{"readme"}, s.names("?category=other"))
	require.Empty(t, s.names("?category=nonsense"))
	_, body := s.get("?category=nonsense")
	require.Contains(t, body, "Nothing is in nonsense.")
	require.Empty(t, s.names("?q=%25"))
	require.Empty(t, s.names("?q=%00"))
	require.Empty(t, s.names("?category=code&q=%00"))
	_, body = s.get("?q=nothing%3Cb%3E")
	require.Contains(t, body, "Nothing has “<bdi>nothing&lt;b&gt;</bdi>” in its name")
	_, body = s.get("?category=code&q=conn")
	require.Contains(t, body, "2 entries in code with “conn” in the name")
	require.Contains(t, body, `<a href="?category=image&amp;q=conn">image</a>`)
	code, _, stderr := s.end()
	require.Equal(t, done, code, stderr)
	require.Empty(t, stderr)
}

func TestServeShowsNoMoreThanIsAskedFor(t *testing.T) {
	b := newBench(t)
	b.index(files(t, map[string]int{"a": 1, "b": 2, "c": 3}))
	s := b.serving("-n", "2")
	require.Equal(t, []string{"c", "b"}, s.names(""))
	_, body := s.get("?category=other")
	require.Contains(t, body, "The first 2 entries in other")
}

func TestServeShowsThePool(t *testing.T) {
	b := emptyBench(t)
	s := b.serving()
	_, body := s.get("")
	require.Contains(t, body, "Nothing is indexed.")
	status, body := s.get("debug/pool/")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "LargestFiles")
	require.Contains(t, body, "1 loop of Watch and Changes")
	for _, target := range []string{"missing", "debug", "web/page.html"} {
		status, _ = s.get(target)
		require.Equal(t, http.StatusNotFound, status, target)
	}
}

func TestNamesDoNotBreakThePage(t *testing.T) {
	hostile := []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "line\nbreak", "\x1b[2Jescape", "\u202egnp.exe", "{{.Text}}", "</title>", "'onload='alert(1)", "&amp;"}
	sizes := map[string]int{}
	for _, name := range hostile {
		sizes[strings.ReplaceAll(name, "/", "_")] = 1
	}
	b := newBench(t)
	b.index(files(t, sizes))
	s := b.serving()
	_, body := s.get("")
	for _, bad := range []string{"<script>alert", "<img", "\x1b", "line\nbreak", "<_script>"} {
		require.NotContains(t, body, bad)
	}
	require.Contains(t, body, `line\x0abreak`)
	require.Contains(t, body, "<bdi>\u202egnp.exe</bdi>", "what turns the direction ends with the name")
	require.Len(t, s.names(""), len(sizes))
	for _, text := range hostile {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		q := r.URL.Query()
		q.Set("q", text)
		q.Set("category", text)
		status, body := s.get("?" + q.Encode())
		require.Equal(t, http.StatusOK, status)
		require.NotContains(t, body, "<script>alert")
		require.NotContains(t, body, "<img")
		require.Equal(t, 1, strings.Count(body, "</title>"))
	}
}

func TestServeTellsOfAnIndexRunInAnotherProcess(t *testing.T) {
	b := emptyBench(t)
	s := b.serving()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"events", nil)
	require.NoError(t, err)
	answer, err := s.client.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	events := lines(bufio.NewReader(answer.Body))
	require.Regexp(t, `^data: \d+$`, <-events)
	b.indexElsewhere(files(t, map[string]int{"fresh.go": 7}))
	for len(s.names("?q=fresh")) == 0 {
		for line := range events {
			if strings.HasPrefix(line, "data: ") {
				break
			}
		}
	}
	require.Equal(t, []string{"fresh.go"}, s.names(""))
	code, _, stderr := s.end()
	require.Equal(t, done, code, stderr)
	for range events { // the stream ends with the server
		continue
	}
}

func TestServeSaysThatTheDatabaseIsAway(t *testing.T) {
	t.Parallel() // for it waits
	b := newBench(t)
	b.index(files(t, map[string]int{"a": 1}))
	s := b.serving()
	require.Len(t, s.names(""), 1)
	require.NoError(t, os.Rename(b.db, b.db+".away"))
	says := func() bool {
		time.Sleep(time.Millisecond) // leave the processor to others
		_, body := s.get("")
		return strings.Contains(body, "was moved or replaced")
	}
	for !says() {
		continue
	}
	require.NoError(t, os.Rename(b.db+".away", b.db))
	for says() {
		continue
	}
}

func TestServeRefusesWhatItCannotServe(t *testing.T) {
	b := emptyBench(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	missing := newBench(t)
	for _, trial := range []struct {
		on   bench
		args []string
		code int
		says string
	}{
		{b, []string{"serve", "-addr", taken.Addr().String()}, failed, taken.Addr().String() + " is in use; name another address with -addr"},
		{b, []string{"serve", "-addr", "no such address"}, failed, "name another address with -addr"},
		{b, []string{"serve", "-addr", "127.0.0.1:99999"}, failed, "name another address with -addr"},
		{missing, []string{"serve"}, failed, "there is no index at " + missing.db},
		{b, []string{"serve", "extra"}, misused, `serve does not take "extra"`},
		{b, []string{"search", "x", "-addr", "127.0.0.1:0"}, misused, "search takes no -addr"},
	} {
		code, stdout, stderr := trial.on.run(trial.args...)
		require.Equal(t, trial.code, code, trial.args)
		require.Empty(t, stdout)
		require.Contains(t, stderr, trial.says)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
	code, stdout, _ := b.run("serve", "--help")
	require.Equal(t, done, code)
	require.Contains(t, stdout, "-addr HOST:PORT")
}

func TestServeSaysAsJSONWhereItIs(t *testing.T) {
	b := emptyBench(t)
	w := b.watching("-json", "serve", "-addr", "127.0.0.1:0")
	require.Regexp(t, `^\{"index":"http://127\.0\.0\.1:\d+/","pool":"http://127\.0\.0\.1:\d+/debug/pool/"\}$`, w.next(w.stdout))
	code, _, _ := w.end()
	require.Equal(t, done, code)
	var errs strings.Builder
	require.Equal(t, failed, run(t.Context(), []string{"-db", b.db, "serve", "-addr", "127.0.0.1:0"}, fullDisk{}, &errs))
	require.Contains(t, errs.String(), "no room for output", "nobody would find it")
}

func TestServeAnswersItsOwnHostAndOnlyReads(t *testing.T) {
	b := emptyBench(t)
	s := b.serving()
	ask := func(method, host string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, s.url, nil)
		require.NoError(t, err)
		r.Host = host
		answer, err := s.client.Do(r)
		require.NoError(t, err)
		assert.Empty(t, answer.Header.Get("Access-Control-Allow-Origin"))
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	for _, host := range []string{"", "localhost", "localhost:80", "127.0.0.1", "[::1]:8080", "[::1]"} {
		require.Equal(t, http.StatusOK, ask(http.MethodGet, host), host)
	}
	for _, host := range []string{"evil.example", "127.0.0.1.evil.example:8080", "10.0.0.1"} {
		require.Equal(t, http.StatusMisdirectedRequest, ask(http.MethodGet, host), host)
	}
	require.Equal(t, http.StatusOK, ask(http.MethodHead, ""))
	for _, method := range []string{http.MethodPost, http.MethodOptions, http.MethodDelete} {
		require.Equal(t, http.StatusMethodNotAllowed, ask(method, ""), method)
	}
	everywhere := onlyFor(&net.TCPAddr{IP: net.IPv4zero, Port: 80}, http.NotFoundHandler())
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "http://name.example/", nil)
	everywhere.ServeHTTP(w, r)
	require.Equal(t, http.StatusNotFound, w.Code, "where it listens for others, its name is not known")
}
