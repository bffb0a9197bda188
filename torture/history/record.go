// Package history proves isolation: it runs random concurrent transactions
// against real pools, records what each saw, and looks for an order of them that
// explains it.
//
//	record.go    what a history is, and how it is written down
//	append.go    the checker of lists, by the graph of dependencies
//	linear.go    the checker of registers, by search
//	workload.go  the transactions
//	replicated.go, stores.go  both on a cluster
//
// Every transaction that committed must be strictly serializable: as if it had
// run alone at one moment between its begin and its end. That is what IMMEDIATE,
// EXCLUSIVE and Batch promise. A DEFERRED one or a View that only read must have
// read one snapshot, taken while it ran, which is the same of a transaction
// without writes; and one that wrote had the newest snapshot, or it conflicted.
// One that failed must have left nothing, but read like the others, except in a
// batch, which may have shown it work that was lost together with its own.
package history

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Kind is the way in which a transaction was run.
type Kind string

// The ways in.
const (
	Deferred   Kind = "deferred"
	Repeatable Kind = "repeatable" // DEFERRED, run again after a conflict
	Immediate  Kind = "immediate"
	Exclusive  Kind = "exclusive"
	Begun      Kind = "begun" // IMMEDIATE, ended by hand
	Batch      Kind = "batch"
	View       Kind = "view"
	Single     Kind = "single" // one statement of a Store's Reader or Writer
	SQL        Kind = "sql"    // database/sql's, of a Store
)

// Verb is what one step of a transaction did.
type Verb uint8

// The verbs. Save opens a savepoint, Keep and Undo close the innermost one.
const (
	Read Verb = iota
	Write
	Save
	Keep
	Undo
)

// Op is one step. A Write appends Value to the list of Key, or replaces what the
// register Key holds; every value is written once in a history.
type Op struct {
	Verb   Verb
	Key    int
	Value  int
	Seen   []int // what a Read returned: the list, or the register's value if it has one
	Failed bool  // the Write returned an error
}

// Txn is one run of a transaction's function. A function that was run again has
// several, of which the last one alone may have committed.
type Txn struct {
	Kind      Kind
	Start     int64 // ticks: when the function was entered, the tighter bound
	End       int64 // when the caller learned of the end
	Committed bool
	Unknown   bool // The answer to the commit was lost. [History.CheckReplicated] settles it.
	Ops       []Op
}

// witness reports that what the transaction read counts.
func (t *Txn) witness() bool { return t.Committed || t.Kind != Batch }

// History is what happened to one database, from empty.
type History struct {
	Registers bool // a write replaces instead of appending
	Txns      []Txn
}

// recorder collects transactions from many goroutines.
type recorder struct {
	clock  atomic.Int64 // ticks at every start and end, and orders them all
	values atomic.Int64
	mu     sync.Mutex // guards txns
	txns   []Txn
}

func (r *recorder) begin(kind Kind) *Txn { return &Txn{Kind: kind, Start: r.clock.Add(1)} }

func (r *recorder) end(t *Txn, committed bool) {
	t.Committed = committed
	t.End = r.clock.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txns = append(r.txns, *t)
}

func (t *Txn) note(op Op) { t.Ops = append(t.Ops, op) }

// net is what a transaction did, its savepoints resolved.
type net struct {
	found   map[int][]int // by key: the version that it found
	wrote   map[int][]int // by key: the values that it left, in order
	dropped map[int]bool  // values that it undid, or failed to write
	faults  []Anomaly     // it contradicts itself
}

// resolve walks through a transaction's steps.
func (h *History) resolve(i int) net {
	n := net{found: map[int][]int{}, wrote: map[int][]int{}, dropped: map[int]bool{}}
	type write struct{ key, value int }
	var own []write // in order, without what was undone
	var saves []int // the length of own at each open savepoint
	of := func(key int) (values []int) {
		for _, w := range own {
			if w.key == key {
				values = append(values, w.value)
			}
		}
		return values
	}
	for _, op := range h.Txns[i].Ops {
		switch op.Verb {
		case Save:
			saves = append(saves, len(own))
		case Keep:
			saves = saves[:len(saves)-1]
		case Undo:
			at := saves[len(saves)-1]
			saves = saves[:len(saves)-1]
			for _, w := range own[at:] {
				n.dropped[w.value] = true
			}
			own = own[:at]
		case Write:
			if op.Failed {
				n.dropped[op.Value] = true
			} else {
				own = append(own, write{op.Key, op.Value})
			}
		case Read:
			mine := of(op.Key)
			if h.Registers && len(mine) > 0 {
				if !slices.Equal(op.Seen, mine[len(mine)-1:]) {
					n.faults = append(n.faults, anomaly(Internal, "%s wrote %d to %d and then read %v", h.name(i), mine[len(mine)-1], op.Key, op.Seen))
				}
				continue
			}
			base := op.Seen[:max(len(op.Seen)-len(mine), 0)]
			before, again := n.found[op.Key]
			switch {
			case !slices.Equal(op.Seen[len(base):], mine):
				n.faults = append(n.faults, anomaly(Internal, "%s wrote %v to %d and then read %v", h.name(i), mine, op.Key, op.Seen))
			case again && !slices.Equal(base, before):
				n.faults = append(n.faults, anomaly(Fractured, "%s read %d twice, found %v and then %v", h.name(i), op.Key, before, base))
			default:
				n.found[op.Key] = base
			}
		}
	}
	for _, w := range own {
		n.wrote[w.key] = append(n.wrote[w.key], w.value)
	}
	return n
}
