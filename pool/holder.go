package pool

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// holder is who has a connection, for those who wait for one.
type holder struct {
	since    time.Duration // The connection was taken at this time, on the pool's clock.
	label    string        // The taker's context has this label.
	stack    [12]uintptr   // The innermost calls of the taker come first.
	depth    int           // This many of them are known.
	own      bool          // Maintenance looks after the connection; nobody uses it.
	tracked  bool          // The lease is taken back if it becomes garbage.
	reported bool          // It was logged that the lease is held for long.
}

// frames is where the stack of somebody who takes a lease goes. Each frame costs
// as much as a lock, so without LeakThreshold only the innermost are kept: those
// that name the taker.
func (p *Pool) frames(h *holder) []uintptr {
	if p.cfg.LeakThreshold > 0 {
		return h.stack[:]
	}
	return h.stack[:4]
}

// taker is the first function outside this package on the holder's stack.
func (h *holder) taker() string {
	if h.depth == 0 {
		return "the pool itself"
	}
	frames := runtime.CallersFrames(h.stack[:h.depth])
	for {
		f, more := frames.Next()
		inside := strings.HasPrefix(f.Function, packageName) && !strings.HasSuffix(f.File, "_test.go")
		if !inside && !strings.HasPrefix(f.Function, "database/sql.") {
			return fmt.Sprintf("%s (%s:%d)", f.Function, f.File, f.Line)
		}
		if !more {
			return f.Function
		}
	}
}

// stackText is the whole stack, a line for each function.
func (h *holder) stackText() string {
	var b strings.Builder
	frames := runtime.CallersFrames(h.stack[:h.depth])
	for more := h.depth > 0; more; {
		var f runtime.Frame
		f, more = frames.Next()
		fmt.Fprintf(&b, "%s %s:%d\n", f.Function, f.File, f.Line)
	}
	return b.String()
}

const packageName = "github.com/sqlane/sqlane/pool."

type labelKey struct{}

// WithLabel returns a context whose leases and transactions carry a label, to be
// named by it in timeouts and logs.
func WithLabel(ctx context.Context, label string) context.Context {
	return context.WithValue(ctx, labelKey{}, label)
}

func labelOf(ctx context.Context) string {
	label, _ := ctx.Value(labelKey{}).(string)
	return label
}
