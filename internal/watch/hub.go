package watch

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Hub numbers commits and wakes who listens. Committing concerns the ledger alone,
// whose mutex is held for some map entries: the cost does not grow with the
// listeners. Whoever is told by Bell calls Distribute, which finds them.
type Hub struct {
	ledger ledger
	bell   chan struct{}
	fold   func(string) string

	mu    sync.Mutex // It guards the fields below, and the Listeners. The ledger's may be taken under it.
	every map[*Listener]struct{}
	any   map[*Listener]struct{}            // These want every commit.
	of    map[string]map[*Listener]struct{} // These want those that change the table.
}

// NewHub returns a hub to which tables are one if fold makes their names alike.
func NewHub(fold func(string) string) *Hub {
	return &Hub{
		bell: make(chan struct{}, 1), fold: fold,
		every: make(map[*Listener]struct{}), any: make(map[*Listener]struct{}), of: make(map[string]map[*Listener]struct{}),
	}
}

// Change is what one commit or several have changed.
type Change struct {
	Tables   []string // As declared, sorted.
	Schema   bool
	External bool // Anything may have changed, and Tables is nil.
}

// Region is what somebody has read. Tables are folded.
type Region struct {
	Tables []string
	All    bool // They may have read any table.
}

// Add makes the region one with more tables.
func (r *Region) Add(tables ...string) {
	for _, t := range tables {
		if !slices.Contains(r.Tables, t) {
			r.Tables = append(r.Tables, t)
		}
	}
}

// equal may be false for regions that are the same in another order.
func (r Region) equal(other Region) bool {
	return r.All == other.All && slices.Equal(r.Tables, other.Tables)
}

// ledger knows for each table which commit was the last to change it, while
// somebody listens.
type ledger struct {
	listeners atomic.Int64 // Whoever has committed asks whether there are any, without a lock.

	mu        sync.Mutex        // It guards the fields below.
	now       uint64            // The last commit has this number.
	everybody uint64            // So has the last one that concerns everybody.
	tables    map[string]uint64 // The last one to change a table has its; nil while nobody listens.
	fresh     changes           // These were not distributed yet,
	external  bool              // nor was anything at all.
}

// Watched reports that somebody listens. One who begins to listen reads afterwards
// what was committed before this was false: see package pool, watch.go.
func (h *Hub) Watched() bool { return h.ledger.listeners.Load() > 0 }

// Commit gives a commit its number, after it has become visible and before it
// returns. The work is forgotten.
func (h *Hub) Commit(w *Work) {
	if h.Watched() {
		w.merge(0)
		if h.ledger.enter(w.base, h.fold) {
			h.ring()
		}
	}
	w.Undo()
}

func (l *ledger) enter(c changes, fold func(string) string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tables == nil { // the last one has just gone
		return false
	}
	l.now++
	for _, table := range c.tables {
		l.tables[fold(table)] = l.now
	}
	if c.schema {
		l.everybody = l.now
	}
	l.fresh.addAll(&c)
	return true
}

// CommitAnything is Commit for what may have changed anything.
func (h *Hub) CommitAnything() {
	if h.Watched() {
		l := &h.ledger
		l.mu.Lock()
		l.now++
		l.everybody, l.external = l.now, true
		l.mu.Unlock()
		h.ring()
	}
}

func (h *Hub) ring() {
	select {
	case h.bell <- struct{}{}:
	default:
	}
}

// Bell asks for a Distribute.
func (h *Hub) Bell() <-chan struct{} { return h.bell }

// Now is the number of the last commit.
func (h *Hub) Now() uint64 {
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	return h.ledger.now
}

// Everybody is the number of the last commit that concerns everybody.
func (h *Hub) Everybody() uint64 {
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	return h.ledger.everybody
}

// ChangedSince reports that a commit after the one of that number may have changed
// what is in the region.
func (h *Hub) ChangedSince(number uint64, r Region) bool {
	l := &h.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.everybody > number || r.All && l.now > number {
		return true
	}
	return slices.ContainsFunc(r.Tables, func(t string) bool { return l.tables[t] > number })
}

// Listener is somebody who waits for commits.
type Listener struct {
	bell   chan struct{}
	region Region
	feed   bool // It wants to know what has changed:
	some   bool // that something has,
	change changes
	any    bool // or that anything may have.
}

// Bell is rung when there may be something for the listener.
func (l *Listener) Bell() <-chan struct{} { return l.bell }

// Listen makes a listener, who is told of everything that concerns everybody, and of
// what it wants. Forget ends it.
func (h *Hub) Listen() *Listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listen(&Listener{bell: make(chan struct{}, 1)})
}

// Feed makes a listener who takes what changes from now on.
func (h *Hub) Feed() *Listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.distribute() // to the others: what was before does not concern it
	l := h.listen(&Listener{bell: make(chan struct{}, 1), feed: true})
	h.any[l] = struct{}{}
	return l
}

func (h *Hub) listen(l *Listener) *Listener {
	h.every[l] = struct{}{}
	d := &h.ledger
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listeners.Add(1) == 1 {
		d.tables = make(map[string]uint64)
	}
	return l
}

// Forget ends a listener. It is idempotent.
func (h *Hub) Forget(l *Listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, there := h.every[l]; !there {
		return
	}
	delete(h.every, l)
	h.unregister(l)
	d := &h.ledger
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listeners.Add(-1) == 0 {
		d.tables = nil
		d.fresh.clear()
		d.external = false
	}
}

// Wanted is how many listen, how many of them want every commit, and how many those
// that change a table.
func (h *Hub) Wanted() (all, any int, tables map[string]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	tables = make(map[string]int, len(h.of))
	for t, listeners := range h.of {
		tables[t] = len(listeners)
	}
	return len(h.every), len(h.any), tables
}

// Want says what the listener is to be told of.
func (h *Hub) Want(l *Listener, r Region) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.region.equal(r) {
		return
	}
	h.unregister(l)
	l.region = r
	if r.All {
		h.any[l] = struct{}{}
	}
	for _, t := range r.Tables {
		if h.of[t] == nil {
			h.of[t] = make(map[*Listener]struct{})
		}
		h.of[t][l] = struct{}{}
	}
}

func (h *Hub) unregister(l *Listener) {
	delete(h.any, l)
	for _, t := range l.region.Tables {
		delete(h.of[t], l)
		if len(h.of[t]) == 0 {
			delete(h.of, t)
		}
	}
	l.region = Region{}
}

// Distribute rings for everybody whom the commits since the last Distribute concern.
func (h *Hub) Distribute() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.distribute()
}

func (h *Hub) distribute() {
	d := &h.ledger
	d.mu.Lock()
	fresh, external := d.fresh, d.external
	d.fresh, d.external = changes{}, false
	d.mu.Unlock()
	if fresh.none() && !external {
		return
	}
	if external || fresh.schema {
		for l := range h.every {
			l.tell(&fresh, external)
		}
		return
	}
	for l := range h.any {
		l.tell(&fresh, external)
	}
	for _, table := range fresh.tables {
		for l := range h.of[h.fold(table)] {
			l.tell(&fresh, external)
		}
	}
}

func (l *Listener) tell(fresh *changes, external bool) {
	if l.feed {
		l.some = true
		l.change.addAll(fresh)
		l.any = l.any || external
	}
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

// Take returns what has changed since the last Take of a Feed; ok is false if that is
// nothing.
func (h *Hub) Take(l *Listener) (c Change, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !l.some {
		return c, false
	}
	c.Schema, c.External = l.change.schema, l.any
	if !c.External {
		c.Tables = slices.Sorted(slices.Values(l.change.tables))
	}
	l.some, l.any, l.change = false, false, changes{}
	return c, true
}
