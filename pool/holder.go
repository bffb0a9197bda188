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
	since    time.Duration   // The connection was taken at this time, on the pool's clock.
	ctx      context.Context // It is the taker's, or no more than its label; nil once the connection is given back.
	name     string          // The taker is this query; "" if that is not known.
	stack    [12]uintptr     // The innermost calls of the taker come first.
	depth    int             // This many of them are known.
	own      bool            // Maintenance looks after the connection; nobody uses it.
	reported bool            // It was logged that the lease is held for long.
	begins   bool            // A transaction begins with the lease,
	level    Level           // at this level,
	view     bool            // and only reads.
}

// frames is where the calls go that led to whoever takes a lease. To look at them at
// all costs as much as some locks, and each one a part of that more, so it is those
// few that name the taker; with LeakThreshold it is all.
func (h *holder) frames(p *Pool, few int) []uintptr {
	if p.cfg.LeakThreshold > 0 {
		few = len(h.stack)
	}
	return h.stack[:few]
}

// locate notes where a statement is run, by the caller of this function's caller's caller.
// If the query has a name, that is all that is needed.
func (h *holder) locate(p *Pool) {
	if h.name == "" || p.cfg.LeakThreshold > 0 {
		h.depth = runtime.Callers(4, h.frames(p, 4))
	}
}

// taker is the query that the holder runs, or the first function outside this package
// on its stack.
func (h *holder) taker() string {
	switch {
	case h.name != "":
		return h.name
	case h.depth == 0:
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

// stackText is what is known of the stack, a line for each function, behind the
// query's name.
func (h *holder) stackText() string {
	var b strings.Builder
	if h.name != "" {
		fmt.Fprintln(&b, h.name)
	}
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
// named by it in timeouts and logs. A nil one counts as context.Background().
func WithLabel(ctx context.Context, label string) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithValue(ctx, labelKey{}, label)
}

// labelAlone returns a context that has the label of ctx and nothing else. Whoever
// keeps a connection keeps no more of the context that it was taken with: that may
// lead to a transaction which nobody else has any more.
func labelAlone(ctx context.Context) context.Context {
	if label := labelOf(ctx); label != "" {
		return WithLabel(context.Background(), label)
	}
	return context.Background()
}

func labelOf(ctx context.Context) string {
	if ctx == nil {
		return ""
	}
	label, _ := ctx.Value(labelKey{}).(string)
	return label
}
