package pool

import (
	"context"
	"errors"
	"runtime"
	"time"

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
	if outer := p.TxFromContext(ctx); outer != nil {
		return outer.Savepoint(ctx, fn)
	}
	if p.write == nil {
		return p.fail("batch", ErrReadOnly, nil)
	}
	ctx, span := p.trace(ctx, TraceOp{Name: "batch"})
	var err error
	defer func() { span.finish(err) }()
	err = p.batchOne(ctx, fn, span)
	return err
}

func (p *Pool) batchOne(ctx context.Context, fn func(ctx context.Context, tx *Tx) error, span *span) error {
	b, err := p.joinBatch(ctx, span)
	if err != nil {
		return err
	}
	err = b.turn(ctx, fn)
	if !errors.Is(err, errRunAlone) {
		return err
	}
	p.counts.retries.Add(1)
	if err = p.runTx(ctx, Immediate, false, fn); err == nil {
		p.counts.batches.Add(1)
		p.counts.batchMembers.Add(1)
	}
	return err
}

// errRunAlone tells a member that the transaction with its work is lost.
var errRunAlone = errors.New("the shared transaction is lost")

// A batch is bounded, so that those who wait for something else get their turn
// and nobody waits long for the commit.
const (
	maxBatchMembers = 1000
	maxBatchTime    = 20 * time.Millisecond
)

// batch is a transaction that its members pass on, each in its own goroutine.
// Only the one whose turn it is touches the fields; the lane hands them over.
type batch struct {
	tx     *Tx
	began  time.Time
	joined int  // members whose work is in the transaction
	broken bool // the first member's work, which has no savepoint, must be undone

	done chan struct{} // closed at the end
	err  error         // what became of it; read after done
}

// member is one caller of Batch in the write lane's queue.
type member struct {
	shared *batch // the open transaction that it was handed, if it was
}

// joinBatch waits for the write lane, and returns the transaction that came
// along with it or a new one.
func (p *Pool) joinBatch(ctx context.Context, span *span) (*batch, error) {
	m := new(member)
	h := holder{label: labelOf(ctx)}
	h.depth = runtime.Callers(4, p.frames(&h)) // past Batch and what it calls
	l, err := p.lease(ctx, "batch", true, m, &h)
	if err != nil {
		return nil, err
	}
	if m.shared != nil {
		return m.shared, nil
	}
	tx, err := l.begin(ctx, Immediate, false, span)
	if err != nil {
		l.Release()
		return nil, p.failTx("batch", Immediate, nil, err)
	}
	tx.span = nil // each member has its own
	return &batch{tx: tx, began: time.Now(), done: make(chan struct{})}, nil
}

// turn is one member's: run fn, see to it that somebody carries on, and wait.
func (b *batch) turn(ctx context.Context, fn func(context.Context, *Tx) error) error {
	returned := false
	defer func() {
		if !returned { // a panic or Goexit is passing through
			b.carryOn()
		}
	}()
	err := b.run(ctx, fn)
	returned = true
	if err == nil {
		b.joined++
	}
	b.carryOn()
	if err != nil {
		return err
	}
	<-b.done
	return b.err
}

// run calls fn within the shared transaction. The first member needs no
// savepoint: while it is alone, the transaction is its own.
func (b *batch) run(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if err := ctx.Err(); err != nil { // cancelled at the moment of its turn
		b.broken = b.broken || b.joined == 0
		return b.tx.pool.fail("batch", nil, err)
	}
	if b.joined == 0 {
		tx, err := b.tx.openPart(false)
		if err != nil {
			b.broken = true
			return err
		}
		return tx.run(ctx, fn, func(_ context.Context, keep bool) error {
			err := tx.closePart(keep)
			b.broken = !keep || err != nil
			return err
		})
	}
	tx, err := b.tx.openSavepoint(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	tx.gentle = true // others' work is pending: an interrupted write would take it along
	return tx.run(ctx, fn, func(ctx context.Context, keep bool) error {
		return tx.closeSavepoint(context.WithoutCancel(ctx), keep)
	})
}

// carryOn hands the transaction on to the next who waits for the write lane, if
// that is a member too, or ends it.
func (b *batch) carryOn() {
	lost, changed := b.tx.cleanUp()
	p := b.tx.pool
	if !lost && !changed && !b.broken && b.joined < maxBatchMembers && time.Since(b.began) < p.batchTime {
		if b.pass() {
			return
		}
		// Members of the last batch were woken by its commit, all at once. Those
		// that are on their way here come along if they may run first.
		if p.crowded.Load() {
			runtime.Gosched()
			if b.pass() {
				return
			}
		}
	}
	keep := !lost && !b.broken && b.joined > 0
	p.crowded.Store(b.joined > 1)
	b.err = b.tx.end(context.Background(), keep)
	switch {
	case keep && b.err == nil:
		p.counts.batches.Add(1)
		p.counts.batchMembers.Add(uint64(b.joined))
	case keep && p.excluding && hasPrimary(b.err, lib.SQLITE_IOERR):
		// Outside WAL mode the journal may be gone already, and with it what
		// could undo the transaction: run again, the work might be there twice.
	case b.joined > 1 || !keep:
		b.err = errRunAlone // if the commit failed, each finds out for itself why
	}
	close(b.done)
}

// pass hands the transaction to the next in the queue, if that is a member.
func (b *batch) pass() bool {
	return b.tx.lease.lane.pass(func(m *member) { m.shared = b }) != nil
}

// cleanUp takes back what a member may have left in a transaction that goes on,
// and reports whether the transaction is lost, or the connection not what the next
// member expects.
func (t *Tx) cleanUp() (lost, changed bool) {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.guard.lost != nil || !c.leased || c.epoch != t.lease.epoch {
		return true, false
	}
	if c.guard.deferring {
		c.guard.deferring = false
		if err := c.control(t.steady(), "PRAGMA defer_foreign_keys=off"); err != nil {
			c.guard.lost = err
		}
	}
	return c.guard.lost != nil, c.dirty
}
