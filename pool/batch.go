package pool

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Batch runs fn in a transaction that it may share with other callers of Batch,
// and returns when its work is durable: those who wait for the write lane next
// to each other are committed together. fn may run more than once, and only one
// run counts: if the shared transaction is lost through another caller's fault,
// fn runs again in one of its own. A caller whose fn fails, panics, is cancelled
// or leaves a deferred foreign key unmet undoes its own work and nobody else's.
//
// Once fn has returned nil, ctx no longer counts: Batch waits for the commit.
// Within a transaction of ctx it is a savepoint of that one.
func (p *Pool) Batch(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if err := p.given("batch", ctx, fn != nil); err != nil {
		return err
	}
	if outer := p.TxFromContext(ctx); outer != nil {
		return outer.Savepoint(ctx, fn)
	}
	h := holder{ctx: ctx}
	h.depth = runtime.Callers(2, h.frames(p, 2)) // StoreBatch is one of its callers
	return p.batch(ctx, fn, &h)
}

func (p *Pool) batch(ctx context.Context, fn func(ctx context.Context, tx *Tx) error, h *holder) error {
	ctx, span := p.trace(ctx, TraceOp{Name: "batch"})
	var err error
	defer func() { span.finish(err) }()
	err = p.batchOne(ctx, &member{fn: fn}, span, h)
	return err
}

func (p *Pool) batchOne(ctx context.Context, m *member, span *span, h *holder) error {
	if p.write == nil {
		return p.fail("batch", ErrReadOnly, nil, readOnlyPool)
	}
	m.ctx = ctx
	b, err := p.joinBatch(ctx, m, span, h)
	switch {
	case err != nil:
		return err
	case b == nil:
		err = m.err
	default:
		if err = b.turn(m); err == nil {
			span.committedBy(b.commit)
			m.after.call()
		}
	}
	if !errors.Is(err, errRunAlone) {
		return err
	}
	p.counts.retries.Add(1)
	if err = p.runTx(ctx, Immediate, false, m.work(), h); err == nil {
		p.counts.batches.Add(1)
		p.counts.batchMembers.Add(1)
	}
	return err
}

// errRunAlone tells a member that the transaction with its work is lost.
var errRunAlone = errors.New("the shared transaction is lost")

// errNoCommit is what becomes of a batch whose commit neither succeeds nor fails.
var errNoCommit = errors.New("a function that the commit called did not return")

// A batch is bounded, so that those who wait for something else get their turn
// and nobody waits long for the commit.
const (
	maxBatchMembers = 1000
	maxBatchTime    = 20 * time.Millisecond
)

// batching is what batches of a pool have in common.
type batching struct {
	maxTime    time.Duration // It is maxBatchTime, but for tests.
	lastShared atomic.Bool   // The last batch had several members. It is read where the transaction changes hands.
}

// batch is a transaction that its members pass on, each in its own goroutine.
// Only the one whose turn it is touches the fields; the lane hands them over.
type batch struct {
	tx     *Tx             // The members share this transaction.
	began  time.Time       // The transaction began at this time.
	joined int             // This many members have work in the transaction.
	broken bool            // Somebody's work must be undone that has no savepoint.
	behind []*lane.Waiter  // These members' statements were run for them, and they wait for the commit.
	latest *member         // It has had its turn, or has it.
	commit context.Context // The Tracer's, of the commit; nil without a Tracer. It may be read after the end.

	done chan struct{} // It is closed at the end, and nil while only one member waits for that.
	err  error         // It is what became of the transaction, and may be read after the end.
}

// member is one caller of Batch in the write lane's queue.
type member struct {
	ctx    context.Context
	fn     func(context.Context, *Tx) error
	single *single // If there is one, it is instead of fn, and others may run it.
	handed *batch  // The member was handed this batch's open transaction together with the lane, if any.
	err    error   // It is what became of the statement if another member ran it, or if it ran alone.
	after  afterCommit
}

// work is what the member does in a transaction.
func (m *member) work() func(context.Context, *Tx) error {
	if m.single != nil {
		return m.single.in
	}
	return m.fn
}

// joinBatch waits for the write lane, and returns the transaction that came
// along with it or a new one. If somebody else runs the member's statement
// meanwhile, or if that needs no transaction, it returns none when all is over.
func (p *Pool) joinBatch(ctx context.Context, m *member, span *span, h *holder) (*batch, error) {
	h.begins, h.level = true, Immediate
	g, err := p.take(ctx, wish{op: "batch", choice: choice{primary: true}, member: m}, h)
	if err != nil || g.conn == nil {
		return m.handed, err
	}
	if p.runAlone(g, m) {
		return nil, nil
	}
	l := &Lease{pool: p, grip: g}
	tx, err := l.begin(ctx, Immediate, false, span)
	if err != nil {
		l.Release()
		return nil, p.failTx("batch", Immediate, nil, err)
	}
	tx.span = nil // each member has its own
	return &batch{tx: tx, began: time.Now()}, nil
}

// turn is one member's: run its work, see to it that somebody carries on, and wait.
func (b *batch) turn(m *member) error {
	b.latest = m
	returned := false
	defer func() {
		if !returned { // a panic or Goexit is passing through
			b.carryOn(false)
		}
	}()
	c := b.tx.conn
	c.mu.Lock()
	plain := c.plain(m)
	c.mu.Unlock()
	var err error
	if plain {
		err = b.runSingle(m, b.joined > 0)
	} else {
		err = b.run(m)
	}
	returned = true
	if err == nil {
		b.joined++
	}
	passed := b.carryOn(err == nil)
	if err != nil {
		return err
	}
	if passed != nil {
		<-passed
	}
	return b.err
}

// run calls fn within the shared transaction. The first member needs no
// savepoint: while it is alone, the transaction is its own.
func (b *batch) run(m *member) error {
	if err := m.ctx.Err(); err != nil { // cancelled at the moment of its turn
		return b.tx.pool.fail("batch", nil, err)
	}
	if b.joined == 0 {
		tx, err := b.tx.openPart(false)
		if err != nil {
			b.broken = true
			return err
		}
		tx.after.outer = &m.after
		return tx.run(m.ctx, m.work(), func(_ context.Context, keep bool) error {
			err := tx.closePart(keep)
			b.broken = !keep || err != nil
			return err
		})
	}
	tx, err := b.tx.openSavepoint(context.WithoutCancel(m.ctx))
	if err != nil {
		return err
	}
	tx.after.outer = &m.after
	tx.noInterrupt = true // others' work is pending: an interrupted write would take it along
	return tx.run(m.ctx, m.work(), func(ctx context.Context, keep bool) error {
		return tx.closeSavepoint(context.WithoutCancel(ctx), keep)
	})
}

// runSingle runs a member's statement within the shared transaction. It needs no
// savepoint: SQLite undoes a statement that fails
// (https://www.sqlite.org/lang_conflict.html). Where that is not so, or where a
// deferred foreign key is left unmet, the whole transaction goes, and everybody
// runs alone.
func (b *batch) runSingle(m *member, noInterrupt bool) error {
	if err := m.ctx.Err(); err != nil {
		return b.tx.pool.fail("batch", nil, err)
	}
	c := b.tx.conn
	cl := b.tx.call(m.ctx)
	cl.noInterrupt = noInterrupt
	var before, compiled int32
	c.mu.Lock()
	s := c.db.Known(m.single.Text) // nil if the connection was closed just now
	if s != nil {
		before, compiled = c.db.TotalChanges(), s.Recompiled()
	}
	c.mu.Unlock()
	err := m.single.run(c, cl)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed: // by Shutdown
	case err != nil:
		// SQLite undoes what violates a constraint, unless it is told to leave it
		// (FAIL), and then it counts what it left. After other errors half of it may
		// be there, uncounted: there is no journal of a statement that cannot violate
		// a constraint.
		undone := hasCode(err, lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_ROWID,
			lib.SQLITE_CONSTRAINT_NOTNULL, lib.SQLITE_CONSTRAINT_CHECK, lib.SQLITE_CONSTRAINT_FOREIGNKEY) || errors.As(err, new(sqlite.ArgumentsError))
		b.broken = b.broken || !undone || s == nil || s.Recompiled() != compiled || c.db.TotalChanges() != before
	case c.debt() != nil:
		b.broken = true
		err = errRunAlone
	}
	return err
}

// plain reports that a member's work is a statement that needs no savepoint, and
// that others may run: its own goroutine would notice no difference. The caller
// holds mu.
func (c *conn) plain(m *member) bool {
	if m.single == nil || c.pool.source.callsProgram {
		return false
	}
	s := c.db.Known(m.single.Text)
	return s != nil && s.Effects == sqlite.Effects{}
}

// carryOn runs the statements of those who wait next, if serving is true. Then it
// ends the transaction, or hands it on to the next who waits for the write lane,
// if that is a member too; what is closed at the end is returned then.
func (b *batch) carryOn(serving bool) (passed <-chan struct{}) {
	over := false
	defer func() {
		if !over { // Goexit is passing through, of a function that SQL calls
			b.broken = true
			b.end()
		}
	}()
	waited := false
	for b.open() {
		if serving && b.serveNext() {
			continue
		}
		if passed = b.pass(); passed != nil {
			over = true
			return passed
		}
		// Members of the last batch were woken by its commit, all at once. Those
		// that are on their way here come along if they may run first.
		if waited || !b.tx.pool.batching.lastShared.Load() {
			break
		}
		waited = true
		runtime.Gosched()
	}
	over = true
	b.end()
	return nil
}

// open reports that the transaction may take another member.
func (b *batch) open() bool {
	lost, changed := b.tx.cleanUp()
	return !lost && !changed && !b.broken && b.joined < maxBatchMembers && time.Since(b.began) < b.tx.pool.batching.maxTime
}

// serveNext runs the statement of the next in the queue, if that is a member who
// has a plain one.
func (b *batch) serveNext() bool {
	c := b.tx.conn
	c.mu.Lock()
	w := b.tx.lease.lane.Claim(func(payload any) bool { return c.plain(payload.(*member)) })
	c.mu.Unlock()
	if w == nil {
		return false
	}
	b.serve(w)
	return true
}

func (b *batch) serve(w *lane.Waiter) {
	m := w.Payload().(*member)
	m.err = errRunAlone
	defer func() {
		if m.err != errRunAlone && m.err != nil {
			w.Wake()
			return
		}
		b.behind = append(b.behind, w)
		if recover() != nil { // the panic comes again where it belongs
			b.broken = true
		}
	}()
	if m.err = b.runSingle(m, true); m.err == nil {
		b.joined++
	}
}

// end commits the transaction, or undoes it, and tells everybody.
func (b *batch) end() {
	p := b.tx.pool
	lost, _ := b.tx.cleanUp()
	keep := !lost && !b.broken && b.joined > 0
	p.batching.lastShared.Store(b.joined > 1)
	defer b.tell() // a virtual table of the program's may panic over the commit
	b.err = errNoCommit
	torn := p.excluding || b.tx.conn.hasAttached()
	if keep && p.cfg.Tracer != nil {
		b.commit, b.tx.span = p.trace(b.latest.ctx, TraceOp{Name: "commit", Members: b.joined})
	}
	b.err = b.tx.end(context.Background(), keep)
	switch {
	case keep && b.err == nil:
		p.counts.batches.Add(1)
		p.counts.batchMembers.Add(uint64(b.joined))
	case keep && torn && hasPrimary(b.err, lib.SQLITE_IOERR):
		// Outside WAL mode the journal may be gone already, and with it what
		// could undo the transaction, and of several files one may be committed
		// before the other fails: run again, the work might be there twice.
	case b.joined > 1 || !keep:
		b.err = errRunAlone // if the commit failed, each finds out for itself why
	}
}

// tell wakes everybody.
func (b *batch) tell() {
	if b.err == errNoCommit {
		b.err = b.tx.pool.fail("commit", ErrTxLost, errNoCommit)
	}
	for _, w := range b.behind {
		if m := w.Payload().(*member); m.err == nil {
			m.err = b.err
		}
		w.Wake()
	}
	if b.done != nil {
		close(b.done)
	}
}

// pass hands the transaction to the next in the queue, if that is a member, and
// returns what is closed at its end.
func (b *batch) pass() <-chan struct{} {
	done := b.done
	passed := b.tx.lease.lane.Pass(func(payload any) {
		if done == nil {
			done = make(chan struct{})
			b.done = done
		}
		payload.(*member).handed = b
	})
	if !passed {
		return nil
	}
	return done
}

// cleanUp takes back what a member may have left in a transaction that goes on,
// and reports whether the transaction is lost, or the connection not what the next
// member expects.
func (t *Tx) cleanUp() (lost, changed bool) {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.guard.lost != nil || c.closed || c.epoch != t.lease.epoch {
		return true, false
	}
	if c.guard.deferring {
		c.guard.deferring = false
		if err := c.control(t.uncancellable(), "PRAGMA defer_foreign_keys=off"); err != nil {
			c.guard.lost = err
		}
	}
	return c.guard.lost != nil, c.dirty()
}
