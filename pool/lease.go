package pool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Lease is a connection in its caller's hands, from Acquire to Release. Each
// statement on it is a transaction of its own. It may be passed between
// goroutines; statements of several run one after the other.
type Lease struct {
	pool     *Pool
	conn     *conn
	epoch    uint64
	lane     *lane
	had      access
	released atomic.Bool
}

// holder is who has a connection, for those who wait for one.
type holder struct {
	since time.Time
	label string
	stack [24]uintptr
	depth int
}

// Acquire waits for a connection of the read lane. The caller must Release it.
// It fails with the context's error, ErrAcquireTimeout, ErrOverloaded,
// ErrClosed, or ErrDeadlock if the only such connection is held by the
// transaction in ctx.
func (p *Pool) Acquire(ctx context.Context) (*Lease, error) {
	return p.lease(ctx, "acquire", false, nil)
}

// lease acquires a connection: the write lane's, and the write slot with it, or
// one of the read lane.
func (p *Pool) lease(ctx context.Context, op string, writing bool, m *member) (*Lease, error) {
	lane, want := p.read, shared
	if p.read == nil || writing {
		lane, want = p.write, exclusive
	}
	if err := p.wouldDeadlock(ctx, nil, want); err != nil {
		return nil, err
	}
	if err := lane.lockAs(ctx, want, p.cfg.AcquireTimeout, m); err != nil {
		return nil, p.waitFailed(op, err)
	}
	if m != nil && m.shared != nil {
		return nil, nil // the transaction that came along has its lease
	}
	c, err := p.checkOut(ctx, want == exclusive)
	if err != nil {
		lane.unlock(want)
		return nil, err
	}
	p.counts.acquires.Add(1)
	l := &Lease{pool: p, conn: c, lane: lane, had: want}
	c.mu.Lock()
	c.epoch++
	l.epoch = c.epoch
	c.leased = true
	if want == exclusive {
		c.locks.slot, c.locks.kept = true, 1
		p.writer.Store(c)
	}
	c.mu.Unlock()
	return l, nil
}

// checkOut takes an idle connection or opens one. The caller has the lane's
// permission for it.
func (p *Pool) checkOut(ctx context.Context, primary bool) (*conn, error) {
	h := &holder{since: time.Now(), label: labelOf(ctx)}
	h.depth = runtime.Callers(4, h.stack[:])
	p.mu.Lock()
	if p.closing {
		p.mu.Unlock()
		return nil, p.fail("acquire", ErrClosed, nil)
	}
	p.leases++
	c := p.primary
	if !primary {
		c = nil
		if n := len(p.idle); n > 0 {
			c, p.idle = p.idle[n-1], p.idle[:n-1]
		}
	}
	if c != nil {
		c.inUse = h
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()

	c, err := p.connect(ctx, journalVerified, primary)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.endLeaseLocked()
		return nil, err
	}
	if primary {
		p.primary = c
	}
	c.inUse = h
	return c, nil
}

// endLeaseLocked counts a lease off, and tells Shutdown of the last one.
func (p *Pool) endLeaseLocked() {
	p.leases--
	if p.closing && p.leases == 0 {
		close(p.drained)
	}
}

// Release gives the connection back, its rows closed. Further statements on the
// lease are ErrReleased. It is idempotent.
func (l *Lease) Release() {
	if l.released.CompareAndSwap(false, true) {
		l.pool.checkIn(l.conn, l.epoch, l.lane, l.had)
	}
}

// checkIn takes a connection back: cleaned if it can be, replaced if not.
func (p *Pool) checkIn(c *conn, epoch uint64, lane *lane, had access) {
	c.mu.Lock()
	mine := c.leased && c.epoch == epoch // Shutdown may have ended it
	var keep bool
	if mine {
		if err := c.clean(ErrReleased); err != nil {
			c.broken = err
		}
		c.locks.kept = 0
		if had == exclusive { // the slot is the lease's own, given back below
			c.locks.slot = false
			p.writer.CompareAndSwap(c, nil)
		} else {
			c.locks.release(c)
		}
		c.leased, c.text = false, false
		keep = !c.closed && !c.dirty && c.broken == nil
		switch {
		case c.broken != nil:
			p.counts.broken.Add(1)
		case c.dirty:
			p.counts.dirty.Add(1)
		}
	}
	c.mu.Unlock()

	if mine && !keep {
		p.remove(c)
		if err := c.discard(); err != nil {
			p.cfg.Logger.Warn("closing a connection failed", "path", p.path, "error", err)
		}
	}
	p.mu.Lock()
	c.inUse = nil
	if mine && keep && c != p.primary {
		c.idled = time.Now()
		p.idle = append(p.idle, c)
	}
	p.endLeaseLocked()
	p.mu.Unlock()
	lane.unlock(had)
}

// remove forgets a connection.
func (p *Pool) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	p.idle = slices.DeleteFunc(p.idle, func(other *conn) bool { return other == c })
	if p.primary == c {
		p.primary = nil
	}
}

// clean ends everything that is open on the connection. The caller holds mu.
func (c *conn) clean(reason error) error {
	if c.closed {
		return nil
	}
	err := c.closeRows(-1, c.pool.fail("query", reason, nil))
	c.guard.pop(0)
	if !c.h.autocommit() {
		err = errors.Join(err, c.control(&call{depth: -1, control: true, steady: true}, "ROLLBACK"))
	}
	c.locks.settle(c)
	return err
}

func (l *Lease) call(ctx context.Context) *call {
	return &call{Context: ctx, epoch: l.epoch, depth: -1}
}

// ExecContext runs a statement or a script. A writing statement waits for the
// write lane.
func (l *Lease) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return l.conn.runExec(l.call(ctx), query, args)
}

// PrepareContext prepares a statement for this lease. It ends with the lease.
func (l *Lease) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return l.conn.runPrepare(l.call(ctx), query)
}

// QueryContext runs a statement that returns rows. A writing one holds the
// write lane until they are closed.
func (l *Lease) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return l.conn.runQuery(l.call(ctx), query, args)
}

// QueryRowContext is QueryContext for at most one row; Scan reports the errors.
func (l *Lease) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return l.conn.runQueryRow(l.call(ctx), query, args)
}

// The four below send a statement through database/sql, which makes its
// concrete types, to the connection underneath.

func (c *conn) runExec(cl *call, query string, args []any) (sql.Result, error) {
	res, err := c.pinned.ExecContext(cl, query, args...)
	return res, c.afterwards(err)
}

func (c *conn) runPrepare(cl *call, query string) (*sql.Stmt, error) {
	s, err := c.pinned.PrepareContext(cl, query)
	return s, c.afterwards(err)
}

func (c *conn) runQuery(cl *call, query string, args []any) (*sql.Rows, error) {
	rows, err := c.pinned.QueryContext(cl, query, args...)
	return rows, c.afterwards(err)
}

func (c *conn) runQueryRow(cl *call, query string, args []any) *sql.Row {
	if c.isClosed() {
		// database/sql makes a Row with an error for a context that has one.
		return new(sql.DB).QueryRowContext(ended{context.Background(), c.pool.fail("query", ErrClosed, nil)}, "")
	}
	return c.pinned.QueryRowContext(cl, query, args...)
}

// afterwards translates database/sql's word for a connection closed under a lease.
func (c *conn) afterwards(err error) error {
	if errors.Is(err, sql.ErrConnDone) {
		return c.pool.fail("query", ErrClosed, err)
	}
	return err
}

func (c *conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// ended is a context that is over, with an error of ours.
type ended struct {
	context.Context
	err error
}

func (ended) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

func (e ended) Err() error { return e.err }

// wouldDeadlock refuses to wait for what the context's own transaction holds.
// c is the connection that wants it, nil for a new lease.
func (p *Pool) wouldDeadlock(ctx context.Context, c *conn, want access) error {
	tx := p.TxFromContext(ctx)
	if tx == nil || tx.conn == c {
		return nil
	}
	holdsSlot := p.writer.Load() == tx.conn
	var blocked bool
	switch {
	case c == nil && want == shared: // a connection of the read lane
		blocked = p.read.limit == 1 && tx.lease.lane == p.read
	case want == exclusive:
		blocked = holdsSlot || p.excluding && tx.conn.locks.shared.Load()
	default:
		blocked = holdsSlot
	}
	if !blocked {
		return nil
	}
	return p.fail("acquire", ErrDeadlock, nil, "the transaction of this context holds what this waits for; use that transaction, or a context without it")
}

// waitFailed makes the pool's error out of a lane's.
func (p *Pool) waitFailed(op string, err error) error {
	switch {
	case isContextError(err):
		return p.fail(op, nil, err)
	case errors.Is(err, ErrAcquireTimeout):
		p.counts.timeouts.Add(1)
		return p.fail(op, ErrAcquireTimeout, nil, fmt.Sprintf("waited %v", p.cfg.AcquireTimeout), p.holders())
	case errors.Is(err, ErrOverloaded):
		p.counts.overloads.Add(1)
		return p.fail(op, ErrOverloaded, nil, fmt.Sprintf("MaxWaiters is %d", p.cfg.MaxWaiters), p.holders())
	}
	return p.fail(op, err, nil)
}

// holders says who has the connections, since when, and where they were taken.
func (p *Pool) holders() string {
	p.mu.Lock()
	var held []*holder
	for c := range p.conns {
		if c.inUse != nil {
			held = append(held, c.inUse)
		}
	}
	p.mu.Unlock()
	slices.SortFunc(held, func(a, b *holder) int { return a.since.Compare(b.since) })
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d connections are held", len(held), p.cfg.MaxConns)
	for _, h := range held {
		fmt.Fprintf(&b, ", by %s for %v", h.taker(), time.Since(h.since).Round(time.Millisecond))
		if h.label != "" {
			fmt.Fprintf(&b, " (%s)", h.label)
		}
	}
	return b.String()
}

// taker is the first function outside this package on the holder's stack.
func (h *holder) taker() string {
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
