package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.org/tasks/gen"
	"example.org/tasks/schema"
	"example.org/tasks/store"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
)

// site is the service on a database of the test's own.
type site struct {
	*httptest.Server
	t      *testing.T
	server *server
}

func serve(t *testing.T, opts ...pooltest.Option) *site {
	t.Parallel()
	p := pooltest.New(t, append(opts, pooltest.Migrations(schema.Files))...)
	traces, err := newTraces(nil)
	require.NoError(t, err)
	streams, end := context.WithCancel(context.Background())
	s := &server{pool: p, tasks: store.New(p), log: slog.New(slog.DiscardHandler), traces: traces, limit: time.Minute, streams: streams}
	web := httptest.NewServer(s.routes())
	t.Cleanup(func() { end(); web.Close() })
	web.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &site{web, t, s}
}

// send returns the answer's status and body. Headers are name and value by turns.
func (s *site) send(method, path, body string, header ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, strings.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := s.Client().Do(r)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	return answer.StatusCode, strings.TrimSpace(string(text))
}

// form sends a form as a browser does.
func (s *site) form(path string, values ...string) (int, string) {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return s.send("POST", path, form.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html,*/*", "Origin", s.URL)
}

func (s *site) list() (l list) {
	s.t.Helper()
	l, err := read(s.t.Context(), s.server.tasks)
	require.NoError(s.t, err)
	return l
}

func TestTheAPIAddsChangesAndDeletes(t *testing.T) {
	s := serve(t)
	for _, step := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"GET", "/api/tasks", ``, 200, `{"open":[],"done":[]}`},
		{"POST", "/api/tasks", `{"title":" buy  milk "}`, 201, `{"id":1,"title":"buy milk","done":false}`},
		{"POST", "/api/tasks", `{"title":"buy milk"}`, 409, `{"error":"That is on the list already."}`},
		{"PATCH", "/api/tasks/1", `{"done":true}`, 200, `{"id":1,"title":"buy milk","done":true}`},
		{"GET", "/api/tasks", ``, 200, `{"open":[],"done":[{"id":1,"title":"buy milk","done":true}]}`},
		{"DELETE", "/api/tasks/1", ``, 204, ``},
		{"DELETE", "/api/tasks/1", ``, 404, `{"error":"There is no such task any more."}`},
		{"PATCH", "/api/tasks/1", `{"done":true}`, 404, `{"error":"There is no such task any more."}`},
		{"PATCH", "/api/tasks/one", `{"done":true}`, 404, `{"error":"There is no such task any more."}`},
		{"DELETE", "/api/tasks/one", ``, 404, `{"error":"There is no such task any more."}`},
		{"PATCH", "/api/tasks/1", `{}`, 400, `{"error":"The request cannot be read."}`},
		{"POST", "/api/tasks", `{"title":`, 400, `{"error":"The request cannot be read."}`},
		{"POST", "/api/tasks", `{"title":"` + strings.Repeat("x", 1<<16) + `"}`, 400, `{"error":"The request cannot be read."}`},
		{"POST", "/api/tasks", `{"title":"  "}`, 422, `{"error":"A task has 1 to 200 letters."}`},
		{"POST", "/api/tasks", `{"title":"\u0000"}`, 422, `{"error":"That is nothing for this list."}`},
	} {
		status, answer := s.send(step.method, step.path, step.body)
		require.Equal(t, step.status, status, step)
		require.Equal(t, step.answer, answer, step)
	}
}

func TestARequestThatIsSentAgainAddsNothing(t *testing.T) {
	s := serve(t)
	post := func(title string) (int, string) {
		return s.send("POST", "/api/tasks", `{"title":"`+title+`"}`, "Idempotency-Key", "7")
	}
	_, first := post("tea")
	status, again := post("tea")
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, first, again)
	require.Len(t, s.list().Open, 1)

	_, err := s.server.tasks.DeleteTask(t.Context(), s.list().Open[0].ID)
	require.NoError(t, err)
	_, again = post("tea")
	require.Equal(t, first, again, "nor does it when its task is deleted")
	require.Empty(t, s.list().Open)

	status, _ = post("milk")
	require.Equal(t, http.StatusUnprocessableEntity, status)
}

func TestTenRequestsWithOneKeyAddOneTask(t *testing.T) {
	s := serve(t, pooltest.File())
	done := make(chan error)
	for range 10 {
		go func() {
			_, err := add(t.Context(), s.server.tasks, "7", "tea")
			done <- err
		}()
	}
	for range 10 {
		require.NoError(t, <-done)
	}
	require.Len(t, s.list().Open, 1)
}

func TestThePageWorksByFormsAlone(t *testing.T) {
	s := serve(t)
	_, page := s.send("GET", "/", "")
	key := regexp.MustCompile(`name="key" value="(\w+)"`).FindStringSubmatch(page)
	require.NotNil(t, key)
	for range 2 { // somebody clicks twice
		status, _ := s.form("/tasks", "key", key[1], "title", "<b>tea</b>")
		require.Equal(t, http.StatusSeeOther, status)
	}
	_, page = s.send("GET", "/", "")
	require.Equal(t, 1, strings.Count(page, "<span>&lt;b&gt;tea&lt;/b&gt;</span>"))
	require.NotContains(t, page, key[1], "the next form has a key of its own")

	id := s.list().Open[0].ID
	require.Equal(t, int64(1), id)
	for _, do := range []string{"finish", "finish", "reopen", "delete"} {
		status, _ := s.form("/tasks/1", "do", do)
		require.Equal(t, http.StatusSeeOther, status, do)
	}
	require.Equal(t, list{Open: []gen.Task{}, Done: []gen.Task{}}, s.list())
	status, page := s.form("/tasks/1", "do", "delete")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, page, "There is no such task any more.")
	status, _ = s.form("/tasks/1", "do", "dance")
	require.Equal(t, http.StatusBadRequest, status)
	status, _ = s.form("/tasks/one", "do", "delete")
	require.Equal(t, http.StatusNotFound, status)
}

func TestWhatWasTypedIsKeptBesideTheProblem(t *testing.T) {
	s := serve(t)
	for _, want := range []int{http.StatusSeeOther, http.StatusConflict} {
		status, page := s.form("/tasks", "key", "key of "+http.StatusText(want), "title", "tea")
		require.Equal(t, want, status)
		if want == http.StatusConflict {
			require.Contains(t, page, `role="alert">That is on the list already.</p>`)
			require.Contains(t, page, `name="title" value="tea"`)
		}
	}
	status, line := s.send("POST", "/tasks", "title=", "Content-Type", "application/x-www-form-urlencoded")
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Equal(t, "A task has 1 to 200 letters.", line, "the script is told in one line")
}

func TestAnotherSitesPageMayNotWrite(t *testing.T) {
	s := serve(t)
	status, _ := s.send("POST", "/tasks", "key=1&title=tea", "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://example.com")
	require.Equal(t, http.StatusForbidden, status)
	require.Empty(t, s.list().Open)
}

func TestABusyServerSaysSoAndRecovers(t *testing.T) {
	s := serve(t, pooltest.File(), pooltest.Config(func(c *pool.Config) { c.BusyTimeout = -1 }))
	pooltest.Fail(t, s.server.pool, pooltest.Locked(0)) // as another process would
	status, answer := s.send("POST", "/api/tasks", `{"title":"tea"}`)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, answer, "Try again")
	status, _ = s.send("GET", "/api/tasks", "")
	require.Equal(t, http.StatusOK, status, "reading goes on")

	pooltest.Heal(t, s.server.pool)
	status, _ = s.send("POST", "/api/tasks", `{"title":"tea"}`)
	require.Equal(t, http.StatusCreated, status)
}

func TestARequestThatTakesTooLongIsStopped(t *testing.T) {
	s := serve(t, pooltest.File(), pooltest.Config(func(c *pool.Config) { c.BusyTimeout = time.Hour }))
	s.server.limit = 20 * time.Millisecond
	pooltest.Fail(t, s.server.pool, pooltest.Locked(0))
	status, _ := s.send("POST", "/api/tasks", `{"title":"tea"}`)
	require.Equal(t, http.StatusServiceUnavailable, status)
	pooltest.Heal(t, s.server.pool)
	require.Empty(t, s.list().Open)
}

func TestAFullDiskIsTheServersFault(t *testing.T) {
	s := serve(t)
	pooltest.Fail(t, s.server.pool, pooltest.DiskFull)
	for i := range 200 { // until no page has room
		status, answer := s.send("POST", "/api/tasks", `{"title":"`+strings.Repeat(string(rune('一'+i)), 200)+`"}`)
		if status != http.StatusCreated {
			require.Equal(t, http.StatusInternalServerError, status)
			require.Equal(t, `{"error":"The server has failed."}`, answer)
			return
		}
	}
	require.Fail(t, "the disk is never full")
}

func TestTheHealthCheckFindsAMovedFile(t *testing.T) {
	s := serve(t, pooltest.File())
	status, _ := s.send("GET", "/healthz", "")
	require.Equal(t, http.StatusOK, status)
	pooltest.Fail(t, s.server.pool, pooltest.Moved)
	status, _ = s.send("GET", "/healthz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	pooltest.Heal(t, s.server.pool)
	status, _ = s.send("GET", "/healthz", "")
	require.Equal(t, http.StatusOK, status)
}

func TestTheFiguresOfThePoolAreToldToPrometheus(t *testing.T) {
	s := serve(t)
	committed := regexp.MustCompile(`(?m)^sqlane_pool_transactions_total\{.*outcome="committed".*\} [1-9]`)
	s.add("tea")
	status, figures := s.send("GET", "/metrics", "")
	require.Equal(t, http.StatusOK, status)
	require.Regexp(t, committed, figures)
	require.Contains(t, figures, "\ngo_goroutines ")
}

func TestARequestThatComesTooLateIsToldToComeAgain(t *testing.T) {
	s := serve(t)
	require.NoError(t, s.server.pool.Close())
	for _, path := range []string{"/", "/api/tasks"} {
		status, _ := s.send("GET", path, "")
		require.Equal(t, http.StatusServiceUnavailable, status)
	}
	status, _ := s.form("/tasks", "key", "1", "title", "tea")
	require.Equal(t, http.StatusServiceUnavailable, status)
}
