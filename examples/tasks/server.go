package main

import (
	"context"
	"embed"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"example.org/tasks/store"
	"github.com/sqlane/sqlane/pool"
	"go.opentelemetry.io/otel/sdk/trace"
)

// server is what all handlers share.
type server struct {
	pool    *pool.Pool
	tasks   *store.Repo
	log     *slog.Logger
	traces  *trace.TracerProvider
	limit   time.Duration   // the longest that a request may take
	streams context.Context // ends when the server shuts down, and with it all live pages
}

//go:embed static
var static embed.FS

// routes is the whole address space.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", s.page(s.showPage))
	mux.Handle("POST /tasks", s.page(s.postTask))
	mux.Handle("POST /tasks/{id}", s.page(s.postChange))
	mux.HandleFunc("GET /live", s.live)

	mux.Handle("GET /api/tasks", s.api(s.getTasks))
	mux.Handle("POST /api/tasks", s.api(s.createTask))
	mux.Handle("PATCH /api/tasks/{id}", s.api(s.changeTask))
	mux.Handle("DELETE /api/tasks/{id}", s.api(s.deleteTask))

	mux.Handle("GET /static/", http.FileServerFS(static))
	mux.HandleFunc("GET /healthz", s.health)
	mux.Handle("GET /metrics", metrics(s.pool))

	// Other sites' pages may not write here, and nobody sends more than a task.
	guarded := http.NewCrossOriginProtection().Handler(traceRequests(s.traces, mux))
	return http.MaxBytesHandler(guarded, 1<<16)
}

// action is a handler that may fail.
type action func(ctx context.Context, w http.ResponseWriter, r *http.Request) error

// perform gives an action its time, and its leases the name of its route, which the
// pool's errors and its log tell. When the time is over, or the client has gone, the
// statement that runs is stopped. It returns what the client is to be told, or nil.
func (s *server) perform(do action, w http.ResponseWriter, r *http.Request) *problem {
	ctx, cancel := context.WithTimeout(pool.WithLabel(r.Context(), r.Pattern), s.limit)
	defer cancel()
	err := do(ctx, w, r)
	if err == nil {
		return nil
	}
	p := problemOf(err)
	if p.status >= http.StatusInternalServerError && r.Context().Err() == nil { // a client may go
		s.log.ErrorContext(ctx, "a request failed", "route", r.Pattern, "status", p.status, "error", err)
	}
	return &p
}

// health tells whoever starts and stops servers whether this one can work.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	if err := s.pool.HealthCheck(ctx); err != nil {
		s.log.ErrorContext(ctx, "not healthy", "error", err)
		http.Error(w, "not healthy", http.StatusServiceUnavailable)
	}
}

// taskID is the id in the request's path.
func taskID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, store.ErrNotFound
	}
	return id, nil
}
