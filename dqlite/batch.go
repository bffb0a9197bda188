package dqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/pool"
	lib "modernc.org/sqlite/lib"
)

// StoreBatch runs fn in a transaction that it may share with other callers, and returns
// when its work is durable on a majority: a commit is a round of Raft, and those who wait
// next to each other pay for one together. fn may run more than once, and only one run
// counts: again if the transaction is lost through another's fault, or with a leader that
// had not been sent the commit.
func (s *Store) StoreBatch(ctx context.Context, fn func(ctx context.Context, tx pool.StoreTx) error) error {
	if err := s.given("batch", ctx, fn != nil); err != nil {
		return err
	}
	if outer := s.txOf(ctx); outer != nil {
		return outer.Savepoint(ctx, fn)
	}
	return s.join(ctx, &member{ctx: ctx, fn: fn})
}

// A batch is bounded, so that those who wait for something else get their turn and nobody
// waits long for the commit.
const (
	maxBatchMembers = 1000
	maxBatchTime    = 50 * time.Millisecond
)

// errAgain tells a member that its work was undone through no fault of its own.
var errAgain = errors.New("the shared transaction is lost")

// member is one who takes part in a batch.
type member struct {
	ctx    context.Context
	fn     func(context.Context, pool.StoreTx) error
	st     *statement                         // If there is one, it is instead of fn, and others may run it,
	single func(context.Context, *conn) error // by this, or among others' by what is sent for it.
	res    driver.Result                      // It is what the statement has changed.
	alone  bool                               // It shares a transaction with nobody.
	handed *batch                             // Its transaction was handed to the member together with the lane.
	err    error                              // It is what became of the statement that another one ran.
	cause  error                              // It is why the work must be done again.
	after  []func()
}

// batch is a transaction that its members pass on. Only the one whose turn it is touches
// the fields.
type batch struct {
	tx     *tx
	began  time.Time
	joined int            // This many members have work in the transaction.
	broken error          // It is why the transaction is undone, if it is.
	behind []*lane.Waiter // These members' statements were run for them, and they wait for the commit.

	done chan struct{} // It is closed at the end.
	err  error         // It is what became of the transaction, and may be read after the end.
}

// join has a member's work done: with others, and if that fails through others, alone.
func (s *Store) join(ctx context.Context, m *member) error {
	for patience := s.cautious(); ; {
		m.handed, m.err, m.cause, m.after = nil, nil, nil, nil
		err := s.takePart(ctx, m)
		if err == nil {
			afterwards(m.after)
			return nil
		}
		if !errors.Is(err, errAgain) {
			return err
		}
		switch {
		case isGone(m.cause):
			switch {
			case patience.again(ctx, m.cause):
			case patience.met > 1:
				return s.fail("batch", pool.ErrTxLost, m.cause)
			default:
				return s.began(ctx, "batch", m.cause)
			}
		case m.alone:
			return s.meaning("batch", m.cause)
		default:
			m.alone = true
			s.counts.retries.Add(1)
		}
	}
}

// takePart waits for the write lane and does the member's work in the transaction that
// comes with it, or in a new one.
func (s *Store) takePart(ctx context.Context, m *member) error {
	s.counts.acquires.Add(1)
	var payload any
	if !m.alone {
		payload = m
	}
	outcome, err := s.write.LockWith(ctx, s.wait(), payload)
	switch {
	case err != nil:
		return s.waitFailed("batch", err)
	case outcome == lane.Taken:
		return m.err
	case outcome == lane.Handed:
		return m.handed.turn(m)
	}
	c, err := s.beginWriting(ctx, "batch")
	if err != nil {
		s.write.Unlock(lane.Exclusive)
		return err
	}
	b := &batch{tx: &tx{store: s, conn: c, level: pool.Immediate}, began: time.Now(), done: make(chan struct{})}
	return b.turn(m)
}

// turn is one member's: do its work, see to it that somebody carries on, and wait.
func (b *batch) turn(m *member) error {
	returned := false
	defer func() {
		if !returned { // a panic or Goexit is passing through
			b.carryOn(m, false)
		}
	}()
	err := b.run(m)
	returned = true
	if err == nil {
		b.joined++
	}
	b.carryOn(m, err == nil)
	if err != nil {
		return err
	}
	<-b.done
	if errors.Is(b.err, errAgain) {
		m.cause = b.broken
	}
	return b.err
}

// run does a member's work in the shared transaction.
func (b *batch) run(m *member) error {
	t := b.tx
	if err := m.ctx.Err(); err != nil { // it has ended at the moment of its turn
		return t.store.fail("batch", nil, err)
	}
	if m.st != nil {
		ctx := m.ctx
		if b.joined > 0 { // to stop a statement is to end the connection
			ctx = context.WithoutCancel(ctx)
		}
		return b.runSingle(ctx, m)
	}
	t.conn.mu.Lock()
	t.shared = b.joined > 0
	t.conn.mu.Unlock()
	var part *tx
	end := func(_ context.Context, keep bool) error {
		if !keep {
			b.breakUp(errUndone)
		}
		return nil
	}
	if b.joined > 0 {
		var err error
		if part, err = t.openSavepoint(m.ctx); err != nil {
			return b.blame(m, err)
		}
		end = part.closeSavepoint
	} else {
		part = &tx{store: t.store, conn: t.conn, level: t.level, outer: t}
	}
	err := part.call(m.ctx, m.fn, end)
	if err == nil {
		m.after, t.after = t.after, nil
	}
	return b.blame(m, err)
}

// errUndone is why the transaction of a member is undone that had no savepoint.
var errUndone = errors.New("a member's work is undone")

// blame says what becomes of a member whose work has failed: if the transaction is lost, and
// not by its own doing, it is done again.
func (b *batch) blame(m *member, err error) error {
	b.tx.conn.mu.Lock()
	lost := b.tx.lost
	b.tx.conn.mu.Unlock()
	if lost == nil {
		return err
	}
	b.breakUp(lost)
	if isGone(lost) && err != nil && m.ctx.Err() == nil {
		m.cause = lost
		return errAgain
	}
	return err
}

func (b *batch) breakUp(why error) {
	if b.broken == nil {
		b.broken = why
	}
}

// runSingle runs a member's statement. It has no savepoint: SQLite undoes a statement that
// violates a constraint, unless it is told otherwise
// (https://www.sqlite.org/lang_conflict.html).
func (b *batch) runSingle(ctx context.Context, m *member) error {
	t := b.tx
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.st.marks {
		c.marked = true
	}
	var err error
	for patience := t.store.patience(); ; {
		if err = m.single(ctx, c); err == nil {
			return nil
		}
		if !isBusy(err) || !patience.again(ctx, err) {
			break
		}
	}
	return b.failed(ctx, m, err)
}

// failed says what a member is told of its statement's failure, and breaks the transaction up
// if the failure has cost it. The caller holds conn.mu.
func (b *batch) failed(ctx context.Context, m *member, err error) error {
	t := b.tx
	if t.conn.broken() || isGone(err) {
		t.lost = err
		b.breakUp(err)
		if m.ctx.Err() != nil {
			return t.store.fail("batch", nil, errors.Join(m.ctx.Err(), err))
		}
		m.cause = err
		return errAgain
	}
	if b.joined == 0 || !b.undidItself(ctx, m, err) {
		b.breakUp(err)
	}
	return t.store.meaning("batch", err)
}

// undidItself reports that SQLite has undone a statement that failed, and nothing else. The
// caller holds conn.mu.
func (b *batch) undidItself(ctx context.Context, m *member, err error) bool {
	if isUnsent(err) && !m.st.several {
		return true
	}
	if primary(err) != lib.SQLITE_CONSTRAINT || m.st.several || sqlite.HasWord(m.st.text, "FAIL", "ROLLBACK") {
		return false
	}
	// A constraint or a trigger of the schema may say so too.
	got, err := b.tx.conn.query(context.WithoutCancel(ctx), nil, &statement{
		text: "SELECT 1 FROM sqlite_schema WHERE sql LIKE '%FAIL%' OR sql LIKE '%ROLLBACK%' LIMIT 1",
		rows: true,
	}, nil)
	if err != nil {
		return false
	}
	defer got.end(nil)
	return got.readAhead() == nil && len(got.ahead) == 0
}

// carryOn does the work of those who wait next, if serving is true and it is a statement.
// Then it hands the transaction on to the next one, or ends it.
func (b *batch) carryOn(m *member, serving bool) {
	s := b.tx.store
	for !m.alone && b.open() {
		if serving && b.serveNext() {
			continue
		}
		if s.write.Pass(func(payload any) { payload.(*member).handed = b }) {
			return
		}
		break
	}
	b.end()
}

// open reports that the transaction may take another member.
func (b *batch) open() bool {
	c := b.tx.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	return b.broken == nil && b.tx.lost == nil && !c.marked && b.joined < maxBatchMembers && time.Since(b.began) < maxBatchTime
}

// serveNext runs the statements of those who are next in the queue, if they are members who
// have one.
func (b *batch) serveNext() bool {
	if all := b.claim(); len(all) > 0 {
		for _, w := range b.pipeline(all) {
			if b.broken == nil { // or it would commit for itself
				b.serve(w)
			} else {
				b.told(w)
			}
		}
		return true
	}
	w := b.tx.store.write.Claim(func(payload any) bool { return payload.(*member).st != nil })
	if w != nil {
		b.serve(w)
	}
	return w != nil
}

// serve runs a member's statement by itself.
func (b *batch) serve(w *lane.Waiter) {
	m := w.Payload().(*member)
	if m.err = b.runSingle(context.WithoutCancel(m.ctx), m); m.err == nil {
		b.joined++
	}
	b.told(w)
}

// told wakes a member whose statement has failed, and has another wait for the commit.
func (b *batch) told(w *lane.Waiter) {
	if w.Payload().(*member).err != nil {
		w.Wake()
	} else {
		b.behind = append(b.behind, w)
	}
}

// end commits the transaction, or undoes it, gives the lane back and tells everybody.
func (b *batch) end() {
	t := b.tx
	s := t.store
	t.conn.mu.Lock()
	keep := b.broken == nil && t.lost == nil && b.joined > 0
	b.err = errAgain
	err := t.end(context.Background(), keep)
	t.ended = true
	switch {
	case keep && err == nil:
		b.err = nil
		s.counts.batches.Add(1)
		s.counts.batchMembers.Add(uint64(b.joined))
	case keep && t.lost != nil: // refused: nothing took place
		b.breakUp(t.lost)
	case keep && errors.Is(err, ErrCommitUnknown), keep && b.joined == 1:
		b.err = err
	default:
		b.breakUp(cmp.Or(t.lost, cmp.Or(err, errUndone))) // each finds out for itself why
	}
	t.conn.mu.Unlock()
	s.keepWriter(t.conn)
	s.write.Unlock(lane.Exclusive)
	for _, w := range b.behind {
		m := w.Payload().(*member)
		if m.err = b.err; errors.Is(b.err, errAgain) {
			m.cause = b.broken
		}
		w.Wake()
	}
	close(b.done)
}
