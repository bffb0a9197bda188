package pool

import (
	"context"
	"time"
)

// Tracer is told what a pool does. Start is called before an operation, and the
// context that it returns is the operation's, and that of the operations within
// it, or Start's own if it returns none; the function that it returns is called once
// at the end and may be nil. A
// Tracer must be safe for concurrent use, and may neither use the pool, which with
// Start's context is ErrDeadlock, nor panic: what the operation holds would stay
// held.
type Tracer interface {
	Start(ctx context.Context, op TraceOp) (_ context.Context, end func(TraceEnd))
}

// TraceOp is an operation that begins.
type TraceOp struct {
	// Name is "acquire", "transaction" (a view or savepoint is none of its own),
	// "batch" (one member of it), "commit" (that of a batch's members together, within
	// the batch of the member that orders it), "query" or "backup" (one step of it).
	Name string
	Path string // the database
	Pool string // Pool.Name
	// Level is a transaction's.
	Level Level
	// SQL is a query's text, as its caller wrote it.
	SQL string
	// Query is the name that sqlc gave it, which is in the first line of its text; ""
	// if there is none.
	Query string
	// Args are a query's arguments, as database/sql's drivers are given them, but that
	// true is 1 and times are in UTC; nil unless Config.TraceArguments is set.
	Args []any
	// Members are those whose work is in a commit.
	Members int
	// Done and Total count a backup's pages.
	Done, Total int
}

// TraceEnd is how an operation ended and what its time was spent on.
type TraceEnd struct {
	Err       error
	Lane      time.Duration // waiting for a lease or the write lane
	Lock      time.Duration // waiting for locks of other processes
	Execution time.Duration // everything else
	// Commit is a batch member's: the context that Start returned for the commit which
	// made its work durable, and perhaps that of others. It is for its values: it may be
	// over. It is nil where there was none, as for a member that failed.
	Commit context.Context
}

// span is an operation that is traced. A nil one is not, at no cost.
type span struct {
	start      time.Time
	lane, lock time.Duration
	failed     error           // of a transaction's function
	commit     context.Context // of a batch's member
	end        func(TraceEnd)
}

// trace begins an operation. Without a tracer it does nothing.
func (p *Pool) trace(ctx context.Context, op TraceOp) (context.Context, *span) {
	if p.cfg.Tracer == nil || ctx == nil { // which is refused
		return ctx, nil
	}
	op.Path, op.Pool = p.path, p.cfg.Name
	s := &span{start: time.Now()}
	own := p.isOwn(ctx)
	held := ctx.Value(txKey{p})
	ctx, call := p.within(ctx, "Tracer", nil)
	given := ctx
	if ctx, s.end = p.cfg.Tracer.Start(given, op); ctx == nil {
		ctx = given
	}
	call.over.Store(true)
	ctx = context.WithValue(ctx, txKey{p}, held)
	if own && !p.isOwn(ctx) { // the Tracer returned another one
		ctx = p.housekeeping(ctx)
	}
	return ctx, s
}

func (s *span) finish(err error) {
	if s == nil || s.end == nil {
		return
	}
	end := s.end
	s.end = nil
	if err == nil {
		err = s.failed
	}
	end(TraceEnd{Err: err, Lane: s.lane, Lock: s.lock, Execution: time.Since(s.start) - s.lane - s.lock, Commit: s.commit})
}

// committedBy notes the commit that made a batch member's work durable.
func (s *span) committedBy(commit context.Context) {
	if s != nil {
		s.commit = commit
	}
}

// waitedForLane is to be deferred before waiting: defer s.waitedForLane(time.Now()).
func (s *span) waitedForLane(since time.Time) {
	if s != nil {
		s.lane += time.Since(since)
	}
}

func (s *span) waitedForLock(since time.Time) {
	if s != nil {
		s.lock += time.Since(since)
	}
}
