package lane

import (
	"sync"
	"sync/atomic"
	"time"
)

// Outcome is what has become of a wait.
type Outcome uint8

const (
	waiting Outcome = iota // nothing yet: the caller is in the queue
	failed                 // the caller left the queue without the lock
	Granted                // the caller has the lock
	Handed                 // the caller has the lock, and what its holder handed over with it
	Taken                  // the caller has no lock: the holder took it out of the queue, and wakes it when all is done
)

// Waiter is one caller in a lane's queue. The next caller uses it again.
type Waiter struct {
	ready    chan struct{} // It has room for the one signal that ends the wait.
	since    time.Time     // The wait began at this time.
	deadline time.Time     // The wait fails at this time, or never if it is zero.

	want      Access // This is how the caller wants to lock the lane.
	newcomer  bool   // This is the caller's Wait.Newcomer.
	uncounted bool   // This is the caller's Wait.Uncounted.
	upgrades  bool   // The caller holds the lane shared, and goes on holding it so if the wait fails.
	payload   any    // The holder may act upon it; nil is for a caller who left none.
	who       any    // This is the caller's Wait.Who.

	state Outcome // The lane's mu guards it until the signal, and then it no longer changes.
	err   error   // It says why the wait failed, and is guarded like the state.

	next, prev *Waiter // These are the neighbours in the queue.
}

// Payload returns what the caller gave to [Lane.LockWith].
func (w *Waiter) Payload() any { return w.payload }

// Wake ends the wait of somebody who was claimed. The waiter may not be used any
// more: it is the next caller's.
func (w *Waiter) Wake() { w.ready <- struct{}{} }

// Waiters counts the callers that wait in the lanes which were made with it, and
// holds them to a limit. The zero value has none. It is safe for concurrent use,
// and may not be copied.
type Waiters struct {
	// Limit is how many may wait; 0: any number. It may not change any more once
	// there are lanes.
	Limit int
	count atomic.Int64 // This is how many wait, the Uncounted left out.
	aside atomic.Int64 // This is how many of the Uncounted wait.
	spare sync.Pool    // Each *Waiter is kept here for the next caller.
}

// Count returns how many wait, the Uncounted left out.
func (w *Waiters) Count() int { return int(w.count.Load()) }

// Uncounted returns how many of those wait whom Count leaves out.
func (w *Waiters) Uncounted() int { return int(w.aside.Load()) }

// Enter counts one who waits whatever the limit is, for a lane or for something
// else: among the Uncounted, or not.
func (w *Waiters) Enter(uncounted bool) { w.of(uncounted).Add(1) }

// Leave says that a wait is over which was counted by Enter.
func (w *Waiters) Leave(uncounted bool) { w.of(uncounted).Add(-1) }

func (w *Waiters) of(uncounted bool) *atomic.Int64 {
	if uncounted {
		return &w.aside
	}
	return &w.count
}

// enterWithin is Enter if the limit allows it.
func (w *Waiters) enterWithin() bool {
	if n := w.count.Add(1); w.Limit > 0 && n > int64(w.Limit) {
		w.count.Add(-1)
		return false
	}
	return true
}

func (w *Waiters) get() *Waiter {
	if one, ok := w.spare.Get().(*Waiter); ok {
		return one
	}
	return &Waiter{ready: make(chan struct{}, 1)}
}

// put takes a waiter back whose wait is over.
func (w *Waiters) put(one *Waiter) {
	select {
	case <-one.ready: // it gave up at the moment of the signal
	default:
	}
	*one = Waiter{ready: one.ready}
	w.spare.Put(one)
}
