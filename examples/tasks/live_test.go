package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// event is one that has come.
type event struct{ id, data string }

// follow opens the live list of a client that saw the named event last, and returns
// what comes next each time it is called; ok is false when the stream is over.
func (s *site) follow(path, lastEventID string) (next func() (e event, ok bool)) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", s.URL+path, nil)
	require.NoError(s.t, err)
	r.Header.Set("Last-Event-ID", lastEventID)
	answer, err := s.Client().Do(r)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { answer.Body.Close() })
	require.Equal(s.t, "text/event-stream", answer.Header.Get("Content-Type"))
	lines := bufio.NewScanner(answer.Body)
	return func() (e event, ok bool) {
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "id":
				e.id = value
			case name == "data":
				e.data += value + "\n"
			case name == "" && e.id != "":
				return e, true
			}
		}
		return e, false
	}
}

func (s *site) add(title string) {
	s.t.Helper()
	status, answer := s.send("POST", "/api/tasks", `{"title":"`+title+`"}`)
	require.Equal(s.t, http.StatusCreated, status, answer)
}

func TestEveryChangeIsSent(t *testing.T) {
	s := serve(t)
	next := s.follow("/live", "")
	first, ok := next()
	require.True(t, ok)
	require.Contains(t, first.data, "Enjoy the day")
	for _, title := range []string{"tea", "milk"} {
		s.add(title)
		e, ok := next()
		require.True(t, ok)
		require.Contains(t, e.data, "<span>"+title+"</span>")
	}
	_, err := s.server.tasks.DeleteTask(t.Context(), 1)
	require.NoError(t, err)
	_, err = s.server.tasks.DeleteTask(t.Context(), 2)
	require.NoError(t, err)
	for e, ok := next(); e != first; e, ok = next() { // both, or one after the other
		require.True(t, ok)
	}
}

func TestWhoComesBackGetsOnlyWhatIsNew(t *testing.T) {
	s := serve(t)
	s.add("tea")
	seen, ok := s.follow("/live", "")()
	require.True(t, ok)
	next := s.follow("/live?seen=older", seen.id)
	s.add("milk")
	e, ok := next()
	require.True(t, ok)
	require.Contains(t, e.data, "milk", "what was seen before is not sent again")
}

func TestAPageGetsOnlyWhatItDoesNotShow(t *testing.T) {
	s := serve(t)
	s.add("tea")
	_, page := s.send("GET", "/", "")
	seen := regexp.MustCompile(`data-seen="(\w+)"`).FindStringSubmatch(page)
	require.NotNil(t, seen)
	next := s.follow("/live?seen="+seen[1], "")
	s.add("milk")
	e, ok := next()
	require.True(t, ok)
	require.Contains(t, e.data, "milk")
}

func TestTheStreamOutlivesTheLimitsOfOtherAnswers(t *testing.T) {
	s := serve(t)
	short := &http.Server{Handler: s.server.routes(), ReadTimeout: 50 * time.Millisecond, WriteTimeout: 50 * time.Millisecond}
	listener, err := net.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	go func() { _ = short.Serve(listener) }()
	t.Cleanup(func() { _ = short.Close() })
	s.URL = "http://" + listener.Addr().String()
	next := s.follow("/live", "")
	_, ok := next()
	require.True(t, ok)

	// A request that begins later and never ends is over when the limits are.
	slow, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer slow.Close()
	_, err = slow.Write([]byte("GET / HTTP/1.1\r\n"))
	require.NoError(t, err)
	_, _ = io.ReadAll(slow)

	s.add("tea")
	e, ok := next()
	require.True(t, ok)
	require.Contains(t, e.data, "tea")
}

func TestTheStreamGoesOnAfterAFailure(t *testing.T) {
	s := serve(t)
	next := s.follow("/live", "")
	_, ok := next()
	require.True(t, ok)
	_, err := s.server.pool.Writer().Exec(t.Context(), "ALTER TABLE tasks RENAME TO lost")
	require.NoError(t, err)
	_, err = s.server.pool.Writer().Exec(t.Context(), "ALTER TABLE lost RENAME TO tasks")
	require.NoError(t, err)
	s.add("tea")
	e, ok := next()
	require.True(t, ok)
	require.Contains(t, e.data, "tea")
}

func TestTheStreamEndsWithThePool(t *testing.T) {
	s := serve(t)
	next := s.follow("/live", "")
	_, ok := next()
	require.True(t, ok)
	require.NoError(t, s.server.pool.Close())
	_, ok = next()
	require.False(t, ok)
}
