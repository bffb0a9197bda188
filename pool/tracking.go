package pool

import "weak"

// tracking is how maintenance notices that a lease became garbage before its
// Release. Most leases are given back long before anybody looks, so Acquire only
// notes the lease here; one that is still held when maintenance comes by is
// remembered weakly from then on, and is gone when that finds nothing.
type tracking struct {
	lease  *Lease              // This is the lease until maintenance comes by.
	weakly weak.Pointer[Lease] // From then on it is known by this.
	grip                       // It is the lease's own; its epoch is 0 if there is none to be tracked.
}

// track has the lease reclaimed if it becomes garbage. Leases that functions
// of this package end themselves need none of it.
func (l *Lease) track() {
	l.conn.mu.Lock()
	l.conn.tracking = tracking{lease: l, grip: l.grip}
	l.conn.mu.Unlock()
	if m := &l.pool.maintenance; m.resting.Load() && m.resting.CompareAndSwap(true, false) {
		l.pool.bell.ring()
	}
}
