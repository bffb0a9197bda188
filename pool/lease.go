package pool

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/lane"
)

// Lease is a connection in its caller's hands, from Acquire to Release. Each
// statement on it is a transaction of its own. It may be passed between
// goroutines; statements of several run one after the other.
//
// A lease that becomes garbage before its Release is taken back, and logged
// with the stack that acquired it.
type Lease struct {
	pool     *Pool
	conn     *conn
	epoch    uint64
	lane     *lane.Lane
	had      lane.Access
	released atomic.Bool
}

// holder is who has a connection, for those who wait for one.
type holder struct {
	since    time.Duration // on the pool's clock
	label    string
	stack    [12]uintptr
	depth    int
	tracked  bool // it is to be reclaimed if it becomes garbage
	reported bool // as held for long; guarded by Pool.mu
}

// Acquire waits for a connection of the read lane. The caller must Release it.
// It fails with the context's error, ErrAcquireTimeout, ErrOverloaded,
// ErrClosed, ErrUnhealthy if there is no connection and none can be opened, or
// ErrDeadlock if the only one is held by the transaction in ctx.
func (p *Pool) Acquire(ctx context.Context) (*Lease, error) {
	h := holder{label: labelOf(ctx), tracked: true}
	h.depth = runtime.Callers(2, p.frames(&h))
	return p.lease(ctx, "acquire", false, nil, &h)
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

// lease acquires a connection for h: the write lane's, and the write slot with
// it, or one of the read lane. When no connection can be opened it goes on with
// those there are.
func (p *Pool) lease(ctx context.Context, op string, writing bool, m *member, h *holder) (*Lease, error) {
	ctx, span := p.trace(ctx, TraceOp{Name: "acquire"})
	from, want := p.read, lane.Shared
	if p.read == nil || writing {
		from, want = p.write, lane.Exclusive
	}
	for {
		l, err := p.leaseOn(ctx, op, from, want, m, h, span)
		none, ok := err.(*noConnectionError)
		switch {
		case !ok:
			span.finish(err)
			return l, err
		case from == p.read && p.shrink(none.error): // one of those that are open comes back
		case from == p.read && p.write != nil: // the writer's serves both
			from, want = p.write, lane.Exclusive
		default:
			err = p.fail(op, ErrUnhealthy, none.error)
			span.finish(err)
			return nil, err
		}
	}
}

// noConnectionError says that a connection was needed and could not be opened.
type noConnectionError struct{ error }

func (p *Pool) leaseOn(ctx context.Context, op string, from *lane.Lane, want lane.Access, m *member, h *holder, span *span) (*Lease, error) {
	if err := p.wouldDeadlock(ctx, nil, want); err != nil {
		return nil, err
	}
	var since time.Time
	if span != nil {
		since = time.Now()
	}
	how := p.howToWait(ctx)
	how.Newcomer = true
	outcome := lane.Granted
	var err error
	if m == nil {
		err = from.Lock(ctx, want, how)
	} else {
		outcome, err = from.LockWith(ctx, how, m)
	}
	span.waitedForLane(since)
	if err != nil {
		return nil, p.waitFailed(op, err)
	}
	if outcome != lane.Granted {
		return nil, nil // the transaction that came along, or where its work was done, has its lease
	}
	got := false
	defer func() {
		if !got { // or OnConnect panics
			from.Unlock(want)
		}
	}()
	c, err := p.checkOut(ctx, want == lane.Exclusive, h)
	if err != nil {
		return nil, err
	}
	got = true
	p.counts.acquires.Add(1)
	l := &Lease{pool: p, lane: from, had: want}
	l.hold(c, h.tracked)
	return l, nil
}

// hold makes the lease that of a connection which was checked out.
func (l *Lease) hold(c *conn, tracked bool) {
	c.mu.Lock()
	c.epoch++
	l.conn, l.epoch = c, c.epoch
	c.leased = true
	if l.had == lane.Exclusive {
		c.locks.slot, c.locks.leased, c.locks.kept = true, true, 1
		l.pool.writer.Store(c)
	}
	if tracked {
		l.track()
	}
	c.mu.Unlock()
}

// checkOut takes an idle connection or opens one. The caller has the lane's
// permission for it.
func (p *Pool) checkOut(ctx context.Context, primary bool, h *holder) (*conn, error) {
	h.since = p.clock()
	p.mu.Lock()
	if p.closing {
		p.mu.Unlock()
		return nil, p.fail("acquire", ErrClosed, nil)
	}
	p.leases++
	if c := p.readyLocked(primary); c != nil {
		c.inUse, c.holder = true, *h
		p.mu.Unlock()
		return c, nil
	}
	if !primary {
		p.pending++
	}
	p.mu.Unlock()

	returned := false
	defer func() {
		if returned {
			return
		}
		p.mu.Lock() // OnConnect panics
		if !primary {
			p.pending--
		}
		p.endLeaseLocked()
		p.mu.Unlock()
	}()
	c, err := p.connect(ctx, journalVerified, primary)
	returned = true
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.interrupting.Load() { // closeAll may have come by already
		p.mu.Unlock()
		err = errors.Join(p.fail("acquire", ErrClosed, nil), c.shut())
		p.mu.Lock()
	}
	if !primary {
		p.pending--
	}
	_, refused := errors.AsType[*onConnectError](err)
	switch {
	case err == nil:
		p.conns[c] = struct{}{}
	case ctx.Err() != nil, p.closing, errors.Is(err, ErrMoved), errors.Is(err, ErrDeadlock), errors.Is(err, ErrAcquireTimeout) && !refused:
		p.endLeaseLocked()
		return nil, err
	default:
		c = nil
		if primary { // one of the readers' must do
			c = p.readyLocked(false)
		}
		if c == nil {
			p.endLeaseLocked()
			return nil, &noConnectionError{err}
		}
	}
	if primary {
		p.primary = c
	}
	c.inUse, c.holder = true, *h
	p.dropSurplusLocked()
	return c, nil
}

// readyLocked takes a connection that is idle. One that was closed behind the
// pool's back is none.
func (p *Pool) readyLocked(primary bool) *conn {
	for {
		c := p.primary
		if !primary {
			c = nil
			if n := len(p.idle); n > 0 {
				c, p.idle = p.idle[n-1], p.idle[:n-1]
			}
		}
		if c == nil || !c.gone.Load() {
			return c
		}
		delete(p.conns, c)
		p.counts.broken.Add(1)
		if primary {
			p.primary = nil
		}
	}
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
func (p *Pool) checkIn(c *conn, epoch uint64, from *lane.Lane, had lane.Access) {
	c.mu.Lock()
	mine := c.leased && c.epoch == epoch // Shutdown may have ended it
	var broken, dirty bool
	if mine {
		if err := c.clean(ErrReleased); err != nil {
			c.broken = err
		}
		c.locks.kept = 0
		if had == lane.Exclusive { // the slot is the lease's own, given back below
			c.locks.slot, c.locks.leased = false, false
			p.writer.CompareAndSwap(c, nil)
			p.logSync.wrote(c)
		} else {
			c.locks.release(c)
		}
		c.leased, c.text, c.tracking = false, false, tracking{}
		c.epoch++ // whoever still has the lease finds it over
		broken = c.closed || c.broken != nil
		dirty = !broken && c.dirty()
		switch {
		case broken:
			p.counts.broken.Add(1)
		case dirty:
			p.counts.dirty.Add(1)
			p.cfg.Logger.Info("a lease changed its connection, which is replaced", "path", p.path, "state", strings.Join(c.changes, ", "))
		}
	}
	c.mu.Unlock()

	if mine && broken {
		p.remove(c) // at once: it may hold locks that it cannot give back
		p.warn("closing a broken connection failed", c.shut())
	}
	p.mu.Lock()
	c.inUse, c.idled = false, 0
	stale := p.stale(c)
	switch {
	case !mine || broken:
	case dirty:
		p.removeLocked(c)
		p.retired = append(p.retired, c)
	case stale && p.spare != nil:
		fresh := p.spare
		p.spare = nil
		if c != p.primary {
			p.idle = append(p.idle, c)
		}
		p.exchange(c, fresh)
	case c != p.primary:
		p.idle = append(p.idle, c)
	}
	attend := mine && (broken || stale || len(p.retired) > 0)
	p.endLeaseLocked()
	p.mu.Unlock()
	from.Unlock(had)
	if had == lane.Exclusive {
		p.wroteSomething()
	}
	if attend {
		p.attend()
	}
}

// remove forgets a connection.
func (p *Pool) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(c)
}

func (p *Pool) removeLocked(c *conn) {
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
	err := c.closeRows(-1, reason)
	c.guard.pop(0)
	if !c.db.Autocommit() {
		err = errors.Join(err, c.control(ownCall(), "ROLLBACK"))
	}
	c.locks.settle(c)
	return err
}

func (l *Lease) call(ctx context.Context) *call {
	return &call{Context: ctx, epoch: l.epoch, part: outside}
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

// The four below run a statement and give its outcome database/sql's types.

func (c *conn) runExec(cl *call, query string, args []any) (sql.Result, error) {
	values, err := namedValues(args)
	if err != nil {
		return nil, err
	}
	return c.exec(cl, query, values)
}

func (c *conn) runQuery(cl *call, query string, args []any) (*sql.Rows, error) {
	values, err := namedValues(args)
	if err != nil {
		return nil, err
	}
	r, err := c.query(cl, query, values)
	if err != nil {
		return nil, err
	}
	return c.bridge.Rows(r)
}

func (c *conn) runQueryRow(cl *call, query string, args []any) *sql.Row {
	values, err := namedValues(args)
	if err != nil {
		return c.bridge.Row(nil, err)
	}
	return c.bridge.Row(c.query(cl, query, values))
}

func (c *conn) runPrepare(cl *call, query string) (*sql.Stmt, error) {
	s, err := c.prepareText(cl, query)
	if err != nil {
		return nil, err
	}
	return bridge.New().Stmt(s)
}

// wouldDeadlock refuses to wait for what the context's own transaction holds, or
// the callback that it was made for. c is the connection that wants it, nil for a
// new lease.
func (p *Pool) wouldDeadlock(ctx context.Context, c *conn, want lane.Access) error {
	var tx *Tx
	why := ""
	switch held := ctx.Value(txKey{p}).(type) {
	case *Tx:
		tx = held
	case *callback:
		tx, why = held.tx, held.refuses(c)
	}
	if why == "" && tx != nil && tx.conn != c && !tx.lease.released.Load() && p.holds(tx, c, want) {
		why = "the transaction of this context holds what this waits for; use that transaction, or a context without it"
	}
	if why == "" {
		return nil
	}
	p.mu.Lock()
	refused := p.closing && c == nil
	p.mu.Unlock()
	if refused {
		return p.fail("acquire", ErrClosed, nil)
	}
	return p.fail("acquire", ErrDeadlock, nil, why)
}

// holds reports that the transaction has what c wants.
func (p *Pool) holds(tx *Tx, c *conn, want lane.Access) bool {
	holdsSlot := p.writer.Load() == tx.conn
	switch {
	case c == nil && want == lane.Shared: // a connection of the read lane
		return p.readers() == 1 && tx.lease.lane == p.read
	case want == lane.Exclusive:
		return holdsSlot || tx.conn.locks.shared.Load()
	}
	return holdsSlot
}

// holders says who has the connections, since when, and where they were taken.
func (p *Pool) holders() string {
	p.mu.Lock()
	var held []holder
	for c := range p.conns {
		if c.inUse {
			held = append(held, c.holder)
		}
	}
	connections := len(held)
	for c := range p.apart {
		if c == p.writer.Load() || c.locks.shared.Load() {
			c.holder.label = cmp.Or(c.holder.label, "a transaction left open on a *sql.DB")
			held = append(held, c.holder)
		}
	}
	shrunk, calling := p.shrunk, p.calling
	p.mu.Unlock()
	slices.SortFunc(held, func(a, b holder) int { return cmp.Compare(a.since, b.since) })
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d connections are held", connections, p.cfg.MaxConns)
	for _, h := range held {
		fmt.Fprintf(&b, ", by %s for %v", h.taker(), (p.clock() - h.since).Round(time.Millisecond))
		if h.label != "" {
			fmt.Fprintf(&b, " (%s)", h.label)
		}
	}
	if calling > 0 {
		fmt.Fprintf(&b, "; OnConnect has been setting up another for %v, in vain if it waits for this pool", (p.clock() - calling).Round(time.Millisecond))
	}
	if shrunk != nil {
		fmt.Fprintf(&b, "; no more could be opened: %v", shrunk)
	}
	return b.String()
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
