package pool

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// Activity is what goes on in a pool. Its parts are each right, but not of one instant.
type Activity struct {
	Path   string
	State  State
	Shrunk error // It says why no more connections can be opened; nil if they can.

	Leases     []LeaseInfo  // who has a connection, the longest first
	ReadQueue  []WaiterInfo // who waits for a connection of the read lane, the next one first, a hundred at most
	WriteQueue []WaiterInfo // who waits for the write lane, likewise

	Watchers      int           // loops of Watch and Changes
	WatchAll      int           // of these, which any commit concerns
	WatchedTables []TableInfo   // the tables that the others want to know of, by name
	WatchedFrom   []WatcherInfo // where the loops of Watch were begun, the most frequent first, a hundred at most

	WALBytes            int64 // size of the write-ahead log; 0 if there is none
	WALKept             int64 // the size from which the pool sees to it that the log starts anew
	ExternalCheckpoints bool  // It leaves that to another program: see Config.
}

// State is how far a pool's life has gone.
type State string

const (
	StateServing      State = "serving"
	StateMoved        State = "moved"         // The file is not where it was: writers get ErrMoved.
	StateShuttingDown State = "shutting down" // It takes no new work.
	StateClosed       State = "closed"
)

// Origin is where somebody comes from who has or wants a connection.
type Origin struct {
	By    string    // a query's name, or the function that took it
	Label string    // of WithLabel
	Stack string    // the calls that led there, the innermost first, a line for each; all of them with Config.LeakThreshold
	Since time.Time // it has it, or waits, since; of a Reader's statement to some milliseconds
}

// LeaseInfo is somebody who has a connection.
type LeaseInfo struct {
	Origin
	State LeaseState
	SQL   string    // what runs, or has rows open, without values: see Pool.Queries; "" for neither
	Began time.Time // The run of SQL began then; zero if nobody knows.

	WriteLane  bool  // It is the write lane's connection.
	Writes     bool  // It has the write slot: who wants to write waits for it.
	Reads      bool  // It keeps a snapshot, with which the log cannot start anew.
	InTx       bool  // It is in a transaction,
	Level      Level // begun at this level; Deferred for one begun as text,
	View       bool  // which only reads;
	Savepoints int   // so many savepoints are open in it.
	Beside     bool  // It carries the state of a *sql.DB, beside MaxConns.
	Own        bool  // Maintenance has it.
}

// LeaseState is what goes on on a connection that somebody has.
type LeaseState string

const (
	LeaseIdle      LeaseState = "idle"      // It waits for its owner.
	LeaseExecuting LeaseState = "executing" // SQLite executes a statement.
	LeaseWaiting   LeaseState = "waiting"   // A statement waits for the write lane or for another process.
	LeaseUnknown   LeaseState = "unknown"   // It cannot be looked at: it is in between, is over by now, or Lease.Raw has it.
)

// WaiterInfo is somebody who waits for a lane.
type WaiterInfo struct {
	Origin
	Has bool // Whoever waits has a connection already: see Leases.
}

// TableInfo is a table that is watched.
type TableInfo struct {
	Name     string
	Watchers int
}

// WatcherInfo is where loops of Watch were begun.
type WatcherInfo struct {
	By, Label, Stack string
	Watchers         int
}

// listed is how many of a kind Activity lists at most.
const listed = 100

// Activity returns what goes on in the pool. It takes no connection, and waits neither
// for a statement nor for what one waits for. It is safe for concurrent use, also when
// the pool is closed.
func (p *Pool) Activity() Activity {
	if !p.isOpen() {
		return Activity{State: StateClosed}
	}
	now := p.conns.report()
	a := Activity{
		Path: p.path, State: p.state(), Shrunk: now.shrunk,
		WALBytes: p.walBytes(), WALKept: logKept, ExternalCheckpoints: p.cfg.ExternalCheckpoints,
	}
	had := make(map[*conn]*holder)
	for _, l := range now.lent {
		had[l.conn] = &l.holder
		a.Leases = append(a.Leases, p.leaseInfo(l, false))
	}
	for _, l := range now.apart {
		had[l.conn] = &l.holder
		a.Leases = append(a.Leases, p.leaseInfo(l, true))
	}
	slices.SortFunc(a.Leases, func(a, b LeaseInfo) int { return a.Since.Compare(b.Since) })
	a.ReadQueue, a.WriteQueue = p.queue(p.read, had), p.queue(p.write, had)
	p.watching(&a)
	return a
}

func (p *Pool) state() State {
	switch {
	case p.isClosed():
		return StateClosed
	case p.conns.isClosing():
		return StateShuttingDown
	case p.moved.Load():
		return StateMoved
	}
	return StateServing
}

// at is the time when the pool's clock said so.
func (p *Pool) at(clock time.Duration) time.Time { return p.opened.Add(clock) }

func (p *Pool) origin(h *holder) Origin {
	return Origin{By: h.taker(), Label: labelOf(h.ctx), Stack: strings.TrimSuffix(h.stackText(), "\n"), Since: p.at(h.since)}
}

func (p *Pool) leaseInfo(l loan, beside bool) LeaseInfo {
	seen, writes := l.conn.see(), l.conn == p.writer.Load()
	if !p.conns.has(l) { // it is somebody else's that was seen
		seen, writes = sight{doing: hidden}, false
	}
	info := LeaseInfo{
		Origin: p.origin(&l.holder), State: [...]LeaseState{atRest: LeaseIdle, executing: LeaseExecuting, pausing: LeaseWaiting, hidden: LeaseUnknown}[seen.doing],
		SQL: sqlite.Normalize(seen.text, longestText), WriteLane: l.primary, Beside: beside, Own: l.own,
		Writes: seen.slot || writes, Reads: seen.reads, InTx: seen.depth > 0 || seen.asked, Savepoints: max(seen.depth-1, 0),
	}
	if seen.since != 0 {
		info.Began = p.at(seen.since)
	}
	if info.InTx && l.begins {
		info.Level, info.View = l.level, l.view
	}
	return info
}

// queue is who waits in a lane. had is who has which connection.
func (p *Pool) queue(l *lane.Lane, had map[*conn]*holder) (waiting []WaiterInfo) {
	if l == nil {
		return nil
	}
	type waiter struct {
		asker *holder // It is that of who has no connection yet.
		conn  *conn
		since time.Time
	}
	var queue []waiter
	l.Queue(listed, func(who any, since time.Time) {
		w := waiter{since: since}
		switch who := who.(type) {
		case *holder:
			w.asker = new(*who)
		case *conn:
			w.conn = who
		}
		queue = append(queue, w)
	})
	for _, w := range queue {
		info := WaiterInfo{Has: w.asker == nil}
		switch h := had[w.conn]; {
		case w.asker != nil:
			info.Origin = p.origin(w.asker)
		case h != nil:
			info.Origin = p.origin(h)
		default:
			info.By = "a reader that goes on to write, or a connection that is being set up"
		}
		info.Since = w.since
		waiting = append(waiting, info)
	}
	return waiting
}

// watching adds who watches.
func (p *Pool) watching(a *Activity) {
	var tables map[string]int
	a.Watchers, a.WatchAll, tables = p.watches.hub.Wanted()
	for _, t := range slices.Sorted(maps.Keys(tables)) {
		a.WatchedTables = append(a.WatchedTables, TableInfo{t, tables[t]})
	}
	from := p.watches.from.all()
	keys := slices.SortedFunc(maps.Keys(from), func(a, b watcherKey) int {
		return cmp.Or(cmp.Compare(from[b], from[a]), cmp.Compare(a.label, b.label), slices.Compare(a.stack[:], b.stack[:]))
	})
	for _, k := range keys[:min(len(keys), listed)] {
		h := holder{stack: k.stack, depth: k.depth}
		a.WatchedFrom = append(a.WatchedFrom, WatcherInfo{h.taker(), k.label, strings.TrimSuffix(h.stackText(), "\n"), from[k]})
	}
}
