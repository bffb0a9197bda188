// Package lane is a lock for goroutines, shared or exclusive, that is fair and can
// be waited for with a context. It knows nothing of what it locks.
//
// A [Lane] serves its callers strictly in the order in which they come: those who
// share it side by side, up to a limit, and whoever wants it exclusively alone. A
// wait ends with the lock, the caller's context, its timeout, or the lane's end.
//
// Two go past the queue, which would wait for them: a shared holder who wants to be
// alone (Promote), and a reader beside its own read (Join). TryLock goes past nobody
// and does not wait.
//
// The exclusive holder can save those next in the queue their turn, if they have
// left word of what they want (LockWith): Pass hands one of them the lock and what
// goes with it, Claim takes one of them out of the queue, to be done for and woken.
//
// [Waiters] counts who waits in several lanes, and limits how many may.
package lane

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrTimeout is returned to a caller whose timeout passed.
	ErrTimeout = errors.New("lane: the wait took too long")
	// ErrOverloaded is returned to a caller who would be one waiter too many.
	ErrOverloaded = errors.New("lane: too many wait already")
	// ErrClosed is returned to whom a lane turns away that refuses or is closed.
	ErrClosed = errors.New("lane: closed")
	// ErrConflict is returned to a shared holder who wants to be alone while another
	// waits for the same: each would wait for the other.
	ErrConflict = errors.New("lane: another holder waits to be alone")
)

// Access is how a lane is locked.
type Access uint8

const (
	Shared    Access = iota // beside others, up to the lane's limit
	Exclusive               // alone
)

// NoLimit is the limit of a lane that any number may share.
const NoLimit = math.MaxInt

// Lane is the lock. It is safe for concurrent use. [New] makes one.
type Lane struct {
	waiters *Waiters     // It counts who waits in this lane or in one of its siblings.
	queued  atomic.Int64 // This is the number of callers that wait in this lane.
	waited  atomic.Int64 // This is how long callers have waited in this lane in total, in nanoseconds.

	mu       sync.Mutex // It guards the fields below.
	limit    int        // At most this many may hold the lane shared at once.
	holders  int        // This many hold the lane shared now.
	alone    bool       // Somebody holds the lane exclusively now.
	head     *Waiter    // The one who has been in the queue the longest is the next.
	tail     *Waiter    // Whoever comes queues behind this one.
	upgrader *Waiter    // This one holds the lane shared and waits to be alone, ahead of the queue.
	status   status     // It says who is turned away.
	alarm    alarm      // It rings when a wait has taken too long.
}

// status is how far a lane's life has gone.
type status uint8

const (
	open     status = iota // nobody is turned away
	refusing               // newcomers are turned away
	closed                 // everybody is turned away
)

// New returns a lane that limit callers may hold shared at once. Lanes with the
// same waiters are siblings: those are counted over all of them.
func New(limit int, waiters *Waiters) *Lane {
	l := &Lane{limit: limit, waiters: waiters}
	l.alarm.ring = l.expire
	return l
}

// Wait is how a caller waits for a lane.
type Wait struct {
	// Timeout is the longest wait. Zero is no wait at all; a negative one is as long
	// as the context allows.
	Timeout time.Duration
	// Newcomer is set for a caller that has begun nothing which it must finish. A
	// lane that refuses turns it away.
	Newcomer bool
	// Uncounted keeps the caller out of all counts and limits of waiters.
	Uncounted bool
	// Who is what Queue tells of the caller while it waits.
	Who any
}

// Lock waits for the lane. The error is the context's, ErrTimeout, ErrClosed, or
// ErrOverloaded if too many wait already.
func (l *Lane) Lock(ctx context.Context, want Access, how Wait) error {
	_, err := l.lock(ctx, want, how, nil)
	return err
}

// LockWith is Lock, exclusively, for a caller whose payload tells the holder what
// it wants the lock for, so that the holder may [Lane.Pass] it the lock or
// [Lane.Claim] it. Without an error the outcome is Granted, Handed or Taken. The
// caller's context no longer counts once it is Handed or Taken.
func (l *Lane) LockWith(ctx context.Context, how Wait, payload any) (Outcome, error) {
	return l.lock(ctx, Exclusive, how, payload)
}

func (l *Lane) lock(ctx context.Context, want Access, how Wait, payload any) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return failed, err
	}
	l.mu.Lock()
	if l.status == closed || l.status == refusing && how.Newcomer {
		l.mu.Unlock()
		return failed, ErrClosed
	}
	if l.nobodyWaits() && l.hasRoom(want) {
		l.occupy(want)
		l.mu.Unlock()
		return Granted, nil
	}
	if how.Uncounted {
		l.waiters.Enter(true)
	} else if !l.waiters.enterWithin() {
		l.mu.Unlock()
		return failed, ErrOverloaded
	}
	w := l.waiters.get()
	w.want, w.newcomer, w.uncounted, w.payload, w.who = want, how.Newcomer, how.Uncounted, payload, how.Who
	l.push(w)
	l.beginWait(w, how.Timeout)
	l.mu.Unlock()
	return l.wait(ctx, w)
}

// TryLock is Lock for those who would rather not wait. It reports whether it got
// the lane.
func (l *Lane) TryLock(want Access) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status != open || !l.nobodyWaits() || !l.hasRoom(want) {
		return false
	}
	l.occupy(want)
	return true
}

// Join locks the lane beside those who share it, past the queue. It reports false
// if nobody does, or if there is no room.
func (l *Lane) Join() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == closed || l.holders == 0 || !l.hasRoom(Shared) {
		return false
	}
	l.occupy(Shared)
	return true
}

// Promote turns a shared lock into an exclusive one, as soon as the other holders
// are gone. Its errors are Lock's, but for ErrOverloaded, since a holder must get
// on; and ErrConflict at once if another holder waits for the same. Whatever the
// error, the shared lock stays.
func (l *Lane) Promote(ctx context.Context, timeout time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	switch {
	case l.status == closed:
		l.mu.Unlock()
		return ErrClosed
	case l.upgrader != nil:
		l.mu.Unlock()
		return ErrConflict
	case l.holders == 1:
		l.upgrade()
		l.mu.Unlock()
		return nil
	}
	w := l.waiters.get()
	w.want, w.upgrades = Exclusive, true
	l.upgrader = w
	l.waiters.Enter(false)
	l.beginWait(w, timeout)
	l.mu.Unlock()
	_, err := l.wait(ctx, w)
	return err
}

// Unlock gives back what the caller has, whichever way it got it.
func (l *Lane) Unlock(had Access) {
	l.mu.Lock()
	l.vacate(had)
	l.letIn()
	l.mu.Unlock()
}

// Pass hands the exclusive lock, still held, to the next in the queue, if that one
// has a payload. take is called on the payload at that moment, to hand over what
// goes with the lock: it may not use the lane. Pass reports false, and the caller
// keeps the lock, if nobody is next or somebody without a payload.
func (l *Lane) Pass(take func(payload any)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.head
	if w == nil || w.payload == nil {
		return false
	}
	take(w.payload)
	l.finish(w, Handed)
	return true
}

// Claim takes the next out of the queue for the exclusive holder, who keeps the
// lock and must [Waiter.Wake] it, if that one has a payload of which may is true;
// else it returns nil. may is called at that moment: it may not use the lane.
func (l *Lane) Claim(may func(payload any) bool) *Waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.head
	if w == nil || w.payload == nil || !may(w.payload) {
		return nil
	}
	l.leave(w)
	l.countTime(w)
	w.state = Taken
	return w
}

// SetLimit changes how many may hold the lane shared. Those who hold it stay.
func (l *Lane) SetLimit(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
	l.letIn()
}

// Limit returns how many may hold the lane shared.
func (l *Lane) Limit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// Queue calls f with the Wait.Who of each caller that waits in this lane and the time
// at which that began, the next one first, the Uncounted left out, and at most so many
// times. Who is nil for one who called Promote. The caller waits on meanwhile: f may
// neither block nor use the lane.
func (l *Lane) Queue(limit int, f func(who any, since time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tell := func(w *Waiter) {
		if limit > 0 && !w.uncounted {
			f(w.who, w.since)
			limit--
		}
	}
	if l.upgrader != nil {
		tell(l.upgrader)
	}
	for w := l.head; w != nil && limit > 0; w = w.next {
		tell(w)
	}
}

// Queued returns how many wait in this lane, the Uncounted left out.
func (l *Lane) Queued() int { return int(l.queued.Load()) }

// Waited returns how long callers waited in this lane, in total, the Uncounted
// left out.
func (l *Lane) Waited() time.Duration { return time.Duration(l.waited.Load()) }

// Refuse turns newcomers away from now on, those who wait included: ErrClosed.
// The others are served as before.
func (l *Lane) Refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = max(l.status, refusing)
	for w := l.head; w != nil; {
		next := w.next
		if w.newcomer {
			l.fail(w, ErrClosed)
		}
		w = next
	}
	l.letIn()
}

// Close turns everybody away from now on, those who wait included: ErrClosed.
// Locks that are held stay valid. It is idempotent.
func (l *Lane) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = closed
	for l.head != nil {
		l.fail(l.head, ErrClosed)
	}
	if l.upgrader != nil {
		l.fail(l.upgrader, ErrClosed)
	}
	l.alarm.stop()
}

// The caller of each method below holds mu, but for wait, giveUp and expire.

// hasRoom reports whether one more could have the lane now.
func (l *Lane) hasRoom(want Access) bool {
	if want == Exclusive {
		return !l.alone && l.holders == 0
	}
	return !l.alone && l.holders < l.limit
}

func (l *Lane) nobodyWaits() bool { return l.head == nil && l.upgrader == nil }

func (l *Lane) occupy(want Access) {
	if want == Exclusive {
		l.alone = true
	} else {
		l.holders++
	}
}

func (l *Lane) vacate(had Access) {
	if had == Exclusive {
		l.alone = false
	} else {
		l.holders--
	}
}

// upgrade makes the only shared holder the exclusive one.
func (l *Lane) upgrade() { l.holders, l.alone = 0, true }

// letIn gives the lane to whoever can have it now, in order.
func (l *Lane) letIn() {
	if w := l.upgrader; w != nil {
		if l.holders == 1 && !l.alone {
			l.upgrade()
			l.finish(w, Granted)
		}
		return
	}
	for w := l.head; w != nil && l.hasRoom(w.want); w = l.head {
		l.occupy(w.want)
		l.finish(w, Granted)
	}
}

// beginWait counts a waiter that has found its place, and says when its wait is
// over at the latest.
func (l *Lane) beginWait(w *Waiter, timeout time.Duration) {
	if !w.uncounted {
		l.queued.Add(1)
	}
	w.since = time.Now()
	if timeout >= 0 {
		w.deadline = w.since.Add(timeout)
		l.alarm.ringAt(w.deadline)
	}
}

// wait is the wait itself.
func (l *Lane) wait(ctx context.Context, w *Waiter) (Outcome, error) {
	select {
	case <-w.ready:
	case <-ctx.Done():
		if l.giveUp(w, ctx.Err()) == Taken {
			<-w.ready // the holder acts for it, or has done so
		}
	}
	outcome, err := w.state, w.err
	if outcome != Taken {
		l.countTime(w)
	}
	l.waiters.put(w)
	return outcome, err
}

// giveUp ends a wait for the caller's own reason, unless it is too late for that.
func (l *Lane) giveUp(w *Waiter, reason error) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch w.state {
	case waiting:
		l.leave(w)
	case Handed, Taken: // what was handed over must be carried on, what is done cannot be undone
		return w.state
	case Granted: // in this very moment: on to the next
		l.vacate(w.want)
		if w.upgrades {
			l.occupy(Shared)
		}
	}
	w.state, w.err = failed, reason
	l.letIn()
	return failed
}

// countTime adds a wait to those of the lane. It needs no mu.
func (l *Lane) countTime(w *Waiter) {
	if !w.uncounted {
		l.waited.Add(int64(time.Since(w.since)))
	}
}

// expire ends the waits whose time is over. It is what the alarm calls.
func (l *Lane) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var next time.Time
	check := func(w *Waiter) {
		switch {
		case w == nil || w.deadline.IsZero():
		case !now.Before(w.deadline):
			l.fail(w, ErrTimeout)
		case next.IsZero() || w.deadline.Before(next):
			next = w.deadline
		}
	}
	check(l.upgrader)
	for w := l.head; w != nil; {
		behind := w.next
		check(w)
		w = behind
	}
	l.alarm.rang()
	if !next.IsZero() {
		l.alarm.ringAt(next)
	}
	l.letIn()
}

func (l *Lane) fail(w *Waiter, reason error) {
	w.err = reason
	l.finish(w, failed)
}

// finish ends a wait and wakes its caller, whose w is from then on.
func (l *Lane) finish(w *Waiter, outcome Outcome) {
	l.leave(w)
	w.state = outcome
	w.ready <- struct{}{}
}

// push puts a waiter at the queue's end.
func (l *Lane) push(w *Waiter) {
	w.prev = l.tail
	if l.tail == nil {
		l.head = w
	} else {
		l.tail.next = w
	}
	l.tail = w
}

// leave takes a waiter out of the queue, or from ahead of it.
func (l *Lane) leave(w *Waiter) {
	l.waiters.Leave(w.uncounted)
	if !w.uncounted {
		l.queued.Add(-1)
	}
	if w == l.upgrader {
		l.upgrader = nil
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
