package pooltest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sqlane/sqlane/pool"
)

// notes are what the pool had to say that a test should have prevented. They come
// from its log, which a test sees anyway.
type notes struct {
	mu        sync.Mutex
	closing   bool
	abandoned []string
	late      []string
}

// note has the logger of a configuration make notes.
func (n *notes) note(cfg *pool.Config) {
	logger := cfg.WithDefaults().Logger
	cfg.Logger = slog.New(noteHandler{logger.Handler(), n})
}

type noteHandler struct {
	slog.Handler
	notes *notes
}

// Enabled implements slog.Handler: what is to be noted is never left out.
func (h noteHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || h.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h noteHandler) Handle(ctx context.Context, r slog.Record) error {
	h.notes.add(r)
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (n *notes) add(r slog.Record) {
	if r.Level < slog.LevelWarn {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	text, stack := r.Message, ""
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "stack":
			stack = "\n" + a.Value.String()
		case "path":
		default:
			text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		}
		return true
	})
	switch {
	case stack != "" && r.Level >= slog.LevelError:
		n.abandoned = append(n.abandoned, text+stack)
	case n.closing:
		n.late = append(n.late, text)
	}
}

// close says that from now on the pool should have nothing more to say.
func (n *notes) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closing = true
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append(n.abandoned, n.late...)
}
