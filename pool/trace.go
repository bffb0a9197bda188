package pool

import "context"

// Tracer is told what a pool does. Start is called before and returns the
// context for it; the function it returns is called once at the end.
// It must be safe for concurrent use.
type Tracer interface {
	// Start begins an operation. end may be nil.
	Start(ctx context.Context, op TraceOp) (_ context.Context, end func(err error))
}

// TraceOp is one operation of a pool.
type TraceOp struct {
	Name  string // "acquire", "transaction", "batch" or "query"
	Path  string // the database
	Level Level  // of a transaction
	SQL   string // of a query; its arguments are left out
}
