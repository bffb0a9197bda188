package pool

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sqlane/sqlane/internal/lane"
)

// lanes are where callers wait for connections and for each other.
type lanes struct {
	read      *lane.Lane           // It is shared by the readers, a connection each; nil if one connection serves all.
	write     *lane.Lane           // Its exclusive lock is the write slot; nil if the pool is read-only.
	waiting   *lane.Waiters        // The callers in both lanes are counted here.
	askers    askers               // They are known here by what they want it for.
	writer    atomic.Pointer[conn] // This connection has the write slot. It is read by who may wait for it, without a lock.
	excluding bool                 // Readers and the writer exclude each other, since there is no log.
	attaching atomic.Bool          // New connections and the writer do, since OnConnect attaches a file without a log. It is set while one is set up.
}

func newLanes(cfg Config) *lanes {
	waiting := &lane.Waiters{Limit: cfg.MaxWaiters}
	l := &lanes{waiting: waiting}
	switch {
	case cfg.ReadOnly:
		l.read = lane.New(cfg.MaxConns, waiting)
	case cfg.MaxConns == 1:
		l.write = lane.New(lane.NoLimit, waiting)
	default:
		l.read, l.write = lane.New(cfg.MaxConns-1, waiting), lane.New(lane.NoLimit, waiting)
	}
	// With one connection too: its successor opens beside it.
	l.excluding = !cfg.ReadOnly && (cfg.Path == Memory || cfg.JournalMode != JournalWAL)
	return l
}

// every returns the lanes that there are.
func (l *lanes) every() []*lane.Lane {
	return slices.DeleteFunc([]*lane.Lane{l.read, l.write}, func(l *lane.Lane) bool { return l == nil })
}

// askers are the holders to be of those who wait, for Activity, which asks the lane. What
// they come with is on their stacks. A place is used again once the wait is over.
type askers struct{ spare sync.Pool }

func (a *askers) get(h *holder) *holder {
	who, ok := a.spare.Get().(*holder)
	if !ok {
		who = new(holder)
	}
	*who = *h
	return who
}

func (a *askers) put(who *holder) {
	*who = holder{}
	a.spare.Put(who)
}
