package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"example.org/tasks/store"
)

// live sends the list whenever it has changed, as Server-Sent Events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html), until the client
// goes or the server shuts down. Each event is all of the list, so a client that was
// away has missed nothing: it tells what it saw last, and gets what is there now if
// that is something else.
func (s *server) live(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.streams, cancel)()

	stream := http.NewResponseController(w)
	send := func(event string) bool {
		// The server's own limit is for answers that have an end. A client that takes
		// nothing for ten seconds has gone.
		_ = stream.SetWriteDeadline(time.Now().Add(10 * time.Second))
		_, err := fmt.Fprint(w, event)
		return err == nil && stream.Flush() == nil
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	if !send("retry: 1000\n\n") {
		return
	}
	seen := cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("seen"))

	// Watch runs show at once, and again after every commit that may have changed what
	// it has read, whoever made it. Between two runs it holds no connection.
	for now, err := range store.Watch(ctx, s.tasks, show) {
		switch {
		case ctx.Err() != nil:
			return
		case err != nil: // the loop goes on, and ends by itself if that was the last
			s.log.WarnContext(ctx, "the list cannot be shown", "error", err)
		case now.Name != seen:
			seen = now.Name
			lines := strings.ReplaceAll(strings.TrimSpace(string(now.HTML)), "\n", "\ndata: ")
			if !send("id: " + seen + "\ndata: " + lines + "\n\n") {
				return
			}
		}
	}
}
