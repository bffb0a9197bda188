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
}

// waiter is one caller in a lane's queue. The next caller uses it again.
type waiter struct {
	ready chan struct{} // has room for the one signal that ends the wait
	timer *time.Timer   // nil until one is needed
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
	*one = waiter{ready: one.ready, timer: one.timer}
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
	l.mu.Unlock()
	return l.wait(ctx, w, timeout)
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
	l.mu.Unlock()
	return l.wait(ctx, w, timeout)
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

// refuse wakes newcomers that wait with ErrClosed and turns away who comes.
func (l *lane) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuses = true
	for w := l.head; w != nil; {
		next := w.next
		if w.newcomer {
			l.fail(w)
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
		l.fail(l.head)
	}
	if l.upgrade != nil {
		l.fail(l.upgrade)
	}
}

func (l *lane) fail(w *waiter) {
	l.remove(w)
	w.err = ErrClosed
	w.ready <- struct{}{}
}

func (l *lane) wait(ctx context.Context, w *waiter, timeout time.Duration) error {
	start := time.Now()
	defer func() {
		if !w.uncounted {
			l.waited.Add(int64(time.Since(start)))
		}
		l.waiting.put(w)
	}()
	var expired <-chan time.Time
	if timeout >= 0 {
		if w.timer == nil {
			w.timer = time.NewTimer(timeout)
		} else {
			w.timer.Reset(timeout)
		}
		defer w.timer.Stop()
		expired = w.timer.C
	}
	var err error
	select {
	case <-w.ready:
		return w.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-expired:
		err = ErrAcquireTimeout
	}
	l.mu.Lock()
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
