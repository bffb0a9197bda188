package pool

import "weak"

// tracking is how maintenance notices that a lease became garbage before its
// Release, or a transaction before its end. Most are given back long before anybody
// looks, so whoever hands one out only notes it here; one that is still held when
// maintenance comes by is remembered weakly from then on, and is gone when that finds
// nothing.
type tracking struct {
	owner any         // This is the lease or the transaction until maintenance comes by.
	gone  func() bool // From then on this tells whether it is garbage.
	lease *Lease      // It is the transaction's. Contexts of savepoints that have ended may lead to it, and not to the transaction.
	grip              // It is the lease's own; its epoch is 0 if there is none to be tracked.
}

// track has the lease reclaimed if it becomes garbage. Leases that functions
// of this package end themselves need none of it.
func (l *Lease) track() { l.trackBy(tracking{owner: l, grip: l.grip}) }

// track has the lease of a transaction from Begin reclaimed if that becomes garbage.
func (t *Tx) track() { t.lease.trackBy(tracking{owner: t, lease: t.lease, grip: t.lease.grip}) }

func (l *Lease) trackBy(by tracking) {
	l.conn.mu.Lock()
	l.conn.tracking = by
	l.conn.mu.Unlock()
	if m := &l.pool.maintenance; m.resting.Load() && m.resting.CompareAndSwap(true, false) {
		l.pool.bell.ring()
	}
}

// weaken makes the tracking one that keeps nobody alive.
func (t *tracking) weaken() {
	switch owner := t.owner.(type) {
	case *Lease:
		t.gone = isGarbage(owner)
	case *Tx:
		t.gone = isGarbage(owner)
	}
	t.owner = nil
}

func isGarbage[T any](owner *T) func() bool {
	w := weak.Make(owner)
	return func() bool { return w.Value() == nil }
}
