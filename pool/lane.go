package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// access is what a caller wants of a lane.
type access uint8

const (
	shared    access = iota // beside others, up to the lane's limit
	exclusive               // alone
)

// lane is a fair, cancellable reader/writer lock. Callers are served strictly
// in the order of their arrival; only the one that upgrades from shared to
// exclusive goes ahead of the queue, since everybody else waits for it anyway.
//
// A pool has two. The read lane counts connections: it is only ever locked
// shared, by limit holders at most. The write lane's exclusive lock is the
// pool's write slot; where readers and the writer exclude each other, readers
// lock it shared.
type lane struct {
	waiting *waiters     // counts this lane's waiters and those of its siblings
	queued  atomic.Int64 // waiters of this lane
	waited  atomic.Int64 // nanoseconds spent waiting in this lane, in total
	mu      sync.Mutex   // guards what follows; nothing is called while it is held
	limit   int          // most shared holders at once
	holders int          // shared holders
	alone   bool         // held exclusively
	head    *waiter      // the queue, oldest first
	tail    *waiter
	upgrade *waiter // the shared holder that wants to be alone
	refuses bool    // those who have nothing yet
	closed  bool
	timer   *time.Timer // ends waits that take too long; one for all, since a timer for each is dear
	armed   time.Time   // when it will look; zero: not at all
}

// waiter is one caller in a lane's queue. The next caller uses it again.
type waiter struct {
	ready    chan struct{} // has room for the one signal that ends the wait
	since    time.Time
	deadline time.Time // zero: none
	wish
	granted    bool  // guarded by lane.mu
	err        error // why it was woken without a grant; guarded by lane.mu
	next, prev *waiter
}

// wish is what a waiter waits for.
type wish struct {
	want      access
	newcomer  bool    // it has nothing yet
	uncounted bool    // it is maintenance, no caller
	member    *member // not nil: a batch member, who can take over an open transaction
	holding   bool    // it upgrades: it holds the lane shared meanwhile, and afterwards if it fails
}

// housekeeping is the context of maintenance's own waits, which Stats and
// MaxWaiters leave out.
type housekeeping struct{ context.Context }

// waiters counts the callers that queue in a pool, and holds them to a limit.
type waiters struct {
	max   int64 // 0: no limit
	count atomic.Int64
	spare sync.Pool // of *waiter
}

func (w *waiters) get(wish wish) *waiter {
	one, _ := w.spare.Get().(*waiter)
	if one == nil {
		one = &waiter{ready: make(chan struct{}, 1)}
	}
	one.wish = wish
	return one
}

// put takes a waiter back whose wait is over.
func (w *waiters) put(one *waiter) {
	select {
	case <-one.ready: // it gave up at the moment of the signal
	default:
	}
	*one = waiter{ready: one.ready}
	w.spare.Put(one)
}

func (w *waiters) add() bool {
	if n := w.count.Add(1); w.max > 0 && n > w.max {
		w.count.Add(-1)
		return false
	}
	return true
}

// lock waits for the lane until ctx ends, timeout passes (negative: never) or
// the lane closes: the context's error, ErrAcquireTimeout or ErrClosed. It is
// ErrOverloaded if too many wait already.
func (l *lane) lock(ctx context.Context, want access, timeout time.Duration) error {
	return l.enqueue(ctx, want, false, nil, timeout)
}

// lockAs is lock for a newcomer, whom a lane that refuses turns away. As a
// batch member it may be handed the write slot together with the transaction
// that is open under it; m.shared is set then.
func (l *lane) lockAs(ctx context.Context, want access, timeout time.Duration, m *member) error {
	return l.enqueue(ctx, want, true, m, timeout)
}

func (l *lane) enqueue(ctx context.Context, want access, newcomer bool, m *member, timeout time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.closed || l.refuses && newcomer {
		l.mu.Unlock()
		return ErrClosed
	}
	if l.head == nil && l.upgrade == nil && l.free(want) {
		l.grant(want)
		l.mu.Unlock()
		return nil
	}
	_, uncounted := ctx.(housekeeping)
	if !uncounted && !l.waiting.add() {
		l.mu.Unlock()
		return ErrOverloaded
	}
	w := l.waiting.get(wish{want: want, newcomer: newcomer, uncounted: uncounted, member: m})
	l.push(w)
	l.limitWait(w, timeout)
	l.mu.Unlock()
	return l.wait(ctx, w)
}

// limitWait says when the wait is over at the latest. The caller holds mu.
func (l *lane) limitWait(w *waiter, timeout time.Duration) {
	w.since = time.Now()
	if timeout >= 0 {
		w.deadline = w.since.Add(timeout)
		l.arm(w.deadline)
	}
}

// arm has the lane look for waits that are over at that time, or earlier. The
// caller holds mu.
func (l *lane) arm(at time.Time) {
	if !l.armed.IsZero() && !at.Before(l.armed) {
		return
	}
	l.armed = at
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Until(at), l.expire)
	} else {
		l.timer.Reset(time.Until(at))
	}
}

// expire ends the waits whose time is over.
func (l *lane) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.armed = time.Time{}
	var next time.Time
	look := func(w *waiter) {
		switch {
		case w == nil || w.deadline.IsZero():
		case !now.Before(w.deadline):
			l.fail(w, ErrAcquireTimeout)
		case next.IsZero() || w.deadline.Before(next):
			next = w.deadline
		}
	}
	look(l.upgrade)
	for w := l.head; w != nil; {
		behind := w.next
		look(w)
		w = behind
	}
	if !next.IsZero() {
		l.arm(next)
	}
	l.serve()
}

// tryLock is lock for those who would rather not wait.
func (l *lane) tryLock(want access) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.refuses || l.head != nil || l.upgrade != nil || !l.free(want) {
		return false
	}
	l.grant(want)
	return true
}

// join lets a reader in beside those who are, past the queue.
func (l *lane) join() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.alone || l.holders == 0 || l.holders >= l.limit {
		return false
	}
	l.holders++
	return true
}

// limitTo changes how many may hold the lane shared. Those who hold it stay.
func (l *lane) limitTo(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = n
	l.serve()
}

func (l *lane) currentLimit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// promote turns a shared lock into an exclusive one, as soon as the other
// holders are gone. A second holder that asks while one waits is ErrConflict:
// each would wait for the other. Whatever the error, the shared lock stays.
func (l *lane) promote(ctx context.Context, timeout time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	switch {
	case l.closed:
		l.mu.Unlock()
		return ErrClosed
	case l.upgrade != nil:
		l.mu.Unlock()
		return ErrConflict
	case l.holders == 1:
		l.holders, l.alone = 0, true
		l.mu.Unlock()
		return nil
	}
	w := l.waiting.get(wish{want: exclusive, holding: true})
	l.upgrade = w
	l.waiting.count.Add(1) // never refused: those who hold a lock must get on
	l.queued.Add(1)
	l.limitWait(w, timeout)
	l.mu.Unlock()
	return l.wait(ctx, w)
}

// unlock gives back what lock or promote gave.
func (l *lane) unlock(had access) {
	l.mu.Lock()
	if had == exclusive {
		l.alone = false
	} else {
		l.holders--
	}
	l.serve()
	l.mu.Unlock()
}

// pass hands the exclusive lock, still held, to the next in the queue if that
// is a batch member, and returns it; take is called on it inside the lane's
// critical section, so that joining and handing over are one step. It returns
// nil, and the caller keeps the lock, if nobody is next or somebody else is.
func (l *lane) pass(take func(*member)) *member {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.head
	if w == nil || w.member == nil {
		return nil
	}
	m := w.member
	take(m)
	l.admit(w)
	return m
}

// claim takes the next out of the queue, if that is a batch member of whom may is
// true, which is called inside the critical section. It goes on waiting until the
// caller signals it.
func (l *lane) claim(may func(*member) bool) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.head
	if w == nil || w.member == nil || !may(w.member) {
		return nil
	}
	l.remove(w)
	l.waited.Add(int64(time.Since(w.since)))
	w.member.claimed = true
	return w
}

// refuse wakes newcomers that wait with ErrClosed and turns away who comes.
func (l *lane) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuses = true
	for w := l.head; w != nil; {
		next := w.next
		if w.newcomer {
			l.fail(w, ErrClosed)
		}
		w = next
	}
	l.serve()
}

// close wakes all who wait with ErrClosed and refuses who comes. Locks that are
// held stay valid.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for l.head != nil {
		l.fail(l.head, ErrClosed)
	}
	if l.upgrade != nil {
		l.fail(l.upgrade, ErrClosed)
	}
	if l.timer != nil {
		l.timer.Stop()
	}
}

func (l *lane) fail(w *waiter, err error) {
	l.remove(w)
	w.err = err
	w.ready <- struct{}{}
}

func (l *lane) wait(ctx context.Context, w *waiter) error {
	defer func() {
		if !w.uncounted && !w.claimed() {
			l.waited.Add(int64(time.Since(w.since)))
		}
		l.waiting.put(w)
	}()
	var err error
	select {
	case <-w.ready:
		return w.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	if w.claimed() { // its statement runs, or has run
		l.mu.Unlock()
		<-w.ready
		return nil
	}
	defer l.mu.Unlock()
	if w.granted && w.member != nil && w.member.shared != nil {
		// The transaction that came along must be carried on by somebody.
		return nil
	}
	if w.granted { // in the very moment that it gave up: on to the next
		switch {
		case w.holding:
			l.alone, l.holders = false, 1
		case w.want == exclusive:
			l.alone = false
		default:
			l.holders--
		}
		l.serve()
		return err
	}
	if w.err == nil {
		l.remove(w)
		l.serve()
	}
	return err
}

// claimed reports that a batch has taken it out of the queue. It is read by who
// holds lane.mu, or after the signal.
func (w *waiter) claimed() bool { return w.member != nil && w.member.claimed }

// free reports whether somebody could be let in now. The caller holds mu.
func (l *lane) free(want access) bool {
	if want == exclusive {
		return !l.alone && l.holders == 0
	}
	return !l.alone && l.holders < l.limit
}

func (l *lane) grant(want access) {
	if want == exclusive {
		l.alone = true
	} else {
		l.holders++
	}
}

// serve lets in whoever can come in, in order. The caller holds mu.
func (l *lane) serve() {
	if w := l.upgrade; w != nil {
		if l.holders == 1 && !l.alone {
			l.holders, l.alone = 0, true
			l.admit(w)
		}
		return
	}
	for w := l.head; w != nil && l.free(w.want); w = l.head {
		l.grant(w.want)
		l.admit(w)
	}
}

func (l *lane) admit(w *waiter) {
	l.remove(w)
	w.granted = true
	w.ready <- struct{}{} // nothing of w is looked at from now on
}

func (l *lane) push(w *waiter) {
	w.prev = l.tail
	if l.tail == nil {
		l.head = w
	} else {
		l.tail.next = w
	}
	l.tail = w
	if !w.uncounted {
		l.queued.Add(1)
	}
}

func (l *lane) remove(w *waiter) {
	if !w.uncounted {
		l.waiting.count.Add(-1)
		l.queued.Add(-1)
	}
	if w == l.upgrade {
		l.upgrade = nil
		return
	}
	if w.prev == nil {
		l.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev = nil, nil
}
