package pool

import (
	"sync"
	"sync/atomic"
)

// ending is how a pool closes.
type ending struct {
	forced chan struct{} // It is closed when patience is over: every statement is interrupted, and every wait ends.
	once   sync.Once     // The first to come this far closes everything.
	err    error         // This went wrong then.
	over   atomic.Bool   // Everything is closed. A Registry asks for it at any time.
}

// isForced reports that every statement is to end.
func (e *ending) isForced() bool {
	select {
	case <-e.forced:
		return true
	default:
		return false
	}
}
