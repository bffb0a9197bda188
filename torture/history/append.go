package history

import (
	"fmt"
	"slices"
	"strings"
)

// Anomaly is something that no serial order explains.
type Anomaly struct {
	Name string
	Text string // who did and saw what
}

// The names are those of Adya's and Elle's phenomena.
const (
	Garbage      = "value from nowhere"         // nobody wrote it, or it is there twice
	Internal     = "internal inconsistency"     // a transaction does not see its own work
	Aborted      = "dirty read (G1a)"           // of what was rolled back
	Intermediate = "intermediate read (G1b)"    // of what its writer wrote over
	DirtyWrite   = "dirty write (G0)"           // a cycle of overwriting
	CircularRead = "circular information (G1c)" // a cycle of overwriting and reading
	LostUpdate   = "lost update"                // G-single on one key, or a committed write that is gone
	Fractured    = "fractured snapshot"         // G-single: some of another's work, but not all
	WriteSkew    = "write skew (G2)"            // a cycle in which several overwrote what others read
	Stale        = "stale read"                 // a cycle only since one ended before another began
	Unexplained  = "not linearizable"           // a search found no order
)

func anomaly(name, format string, args ...any) Anomaly {
	return Anomaly{name, fmt.Sprintf(format, args...)}
}

func (h *History) name(i int) string { return fmt.Sprintf("T%d (%s)", i, h.Txns[i].Kind) }

// origin is where a value comes from.
type origin struct {
	txn, key int
	kept     bool // it was committed
	last     bool // of the values that its transaction left in the key
}

// resolveAll resolves the transactions and finds what is wrong with each alone:
// self-contradiction, and reads of what was never there for others to see.
func (h *History) resolveAll() (nets []net, origins map[int]origin, found []Anomaly) {
	nets = make([]net, len(h.Txns))
	origins = map[int]origin{}
	for i := range h.Txns {
		nets[i] = h.resolve(i)
		for key, values := range nets[i].wrote {
			for at, v := range values {
				origins[v] = origin{i, key, h.Txns[i].Committed, at == len(values)-1}
			}
		}
		for v := range nets[i].dropped {
			origins[v] = origin{txn: i}
		}
		if h.Txns[i].witness() {
			found = append(found, nets[i].faults...)
		}
	}
	for i := range h.Txns {
		if !h.Txns[i].witness() {
			continue
		}
		for key, version := range nets[i].found {
			for at, v := range version {
				o, known := origins[v]
				switch {
				case !known, o.key != key && o.kept, slices.Contains(version[:at], v):
					found = append(found, anomaly(Garbage, "%s found %v in %d", h.name(i), version, key))
				case !o.kept:
					found = append(found, anomaly(Aborted, "%s found in %d the %d of %s", h.name(i), key, v, h.name(o.txn)))
				case at == len(version)-1 && !o.last && o.txn != i:
					found = append(found, anomaly(Intermediate, "%s found in %d the %d of %s, which wrote on", h.name(i), key, v, h.name(o.txn)))
				}
			}
		}
	}
	return nets, origins, found
}

// CheckLists finds the anomalies of a history of lists. The lists that were read
// tell in which order they were written, so who depends on whom is known: by ww,
// wr and rw as in Adya's theory, and by real time. Each cycle is an anomaly, and
// what it consists of is its name. Without an anomaly every order that follows
// the graph is a serial one with the same outcome.
func (h *History) CheckLists() []Anomaly {
	nets, origins, found := h.resolveAll()
	versions := map[int][]int{} // by key: the longest that was read, which is the order of its values
	for i, n := range nets {
		for key, version := range n.found {
			if h.Txns[i].witness() && len(version) > len(versions[key]) {
				versions[key] = version
			}
		}
	}
	lastStart := map[int]int64{} // by key: of those that read it
	g := newGraph(len(h.Txns))
	for i, n := range nets {
		if !h.Txns[i].witness() {
			continue
		}
		for key, version := range n.found {
			lastStart[key] = max(lastStart[key], h.Txns[i].Start)
			order := versions[key]
			if !slices.Equal(version, order[:len(version)]) {
				found = append(found, anomaly(LostUpdate, "%s found %v in %d, which others found to be %v", h.name(i), version, key, order))
				continue
			}
			if len(version) > 0 {
				g.add(wr, key, origins[version[len(version)-1]].txn, i)
			}
			if len(version) < len(order) {
				g.add(rw, key, i, origins[order[len(version)]].txn)
			}
		}
	}
	for key, order := range versions {
		for at := range max(len(order)-1, 0) {
			g.add(ww, key, origins[order[at]].txn, origins[order[at+1]].txn)
		}
	}
	for v, o := range origins {
		if o.kept && h.Txns[o.txn].End < lastStart[o.key] && !slices.Contains(versions[o.key], v) {
			found = append(found, anomaly(LostUpdate, "the %d of %s is not in %d", v, h.name(o.txn), o.key))
		}
	}
	if len(found) > 0 {
		return found // the graph would be built on sand
	}
	g.addRealTime(h)
	return g.cycles(h)
}

// edgeKind says why one transaction comes before another.
type edgeKind uint8

const (
	ww edgeKind = 1 << iota // it wrote the version before the other's
	wr                      // it wrote what the other read
	rw                      // it read what the other wrote over
	rt                      // it ended before the other began
)

type edge struct {
	kind edgeKind
	key  int
	to   int
}

// graph has a node for each transaction, and one for each moment at which one ended.
type graph struct{ out [][]edge }

func newGraph(txns int) *graph { return &graph{make([][]edge, 2*txns)} }

func (g *graph) add(kind edgeKind, key, from, to int) {
	if from != to {
		g.out[from] = append(g.out[from], edge{kind, key, to})
	}
}

// addRealTime strings the ends up in their order, and hangs each transaction
// behind the last end before its start: as good as an edge for each pair, at a
// fraction of them.
func (g *graph) addRealTime(h *History) {
	n := len(h.Txns)
	byEnd := make([]int, n)
	for i := range byEnd {
		byEnd[i] = i
	}
	slices.SortFunc(byEnd, func(a, b int) int { return int(h.Txns[a].End - h.Txns[b].End) })
	for at, i := range byEnd {
		g.add(rt, 0, i, n+i)
		if at > 0 {
			g.add(rt, 0, n+byEnd[at-1], n+i)
		}
	}
	for i := range h.Txns {
		before, _ := slices.BinarySearchFunc(byEnd, h.Txns[i].Start, func(j int, start int64) int { return int(h.Txns[j].End - start) })
		if before > 0 {
			g.add(rt, 0, n+byEnd[before-1], i)
		}
	}
}

// cycles names one cycle of each knot in the graph, the worst that it has.
func (g *graph) cycles(h *History) (found []Anomaly) {
	for _, knot := range g.knots() {
		found = append(found, g.worst(h, knot))
	}
	return found
}

func (g *graph) worst(h *History, knot map[int]bool) Anomaly {
	for _, search := range []struct{ first, rest edgeKind }{
		{ww, ww},
		{wr, ww | wr},
		{rw, ww | wr},
		{rw, ww | wr | rw},
		{rw, ww | wr | rt},
		{ww | wr | rw, ww | wr | rw | rt},
	} {
		for from := range len(h.Txns) { // from the oldest, so that the answer is always the same
			if !knot[from] {
				continue
			}
			for _, e := range g.out[from] {
				if e.kind&search.first == 0 || !knot[e.to] {
					continue
				}
				if back := g.path(e.to, from, search.rest, knot); back != nil {
					cycle := append([]edge{e}, back...)
					return Anomaly{nameOf(cycle), h.story(from, cycle)}
				}
			}
		}
	}
	return anomaly(Unexplained, "a knot of %d without a cycle", len(knot)) // never: time alone runs in none
}

// nameOf names a cycle that worst found.
func nameOf(cycle []edge) string {
	var kinds edgeKind
	readers := 0
	for _, e := range cycle {
		kinds |= e.kind
		if e.kind == rw {
			readers++
		}
	}
	switch {
	case kinds&rt != 0:
		return Stale
	case kinds == ww:
		return DirtyWrite
	case readers == 0:
		return CircularRead
	case readers > 1:
		return WriteSkew
	case !slices.ContainsFunc(cycle, func(e edge) bool { return e.key != cycle[0].key }):
		return LostUpdate
	}
	return Fractured
}

// story tells a cycle.
func (h *History) story(from int, cycle []edge) string {
	words := map[edgeKind]string{ww: "before the write to %d of", wr: "whose write to %d was read by", rw: "which read %d before the write of"}
	var b strings.Builder
	b.WriteString(h.name(from))
	for _, e := range cycle {
		switch {
		case e.kind != rt:
			fmt.Fprintf(&b, ", "+words[e.kind]+" %s", e.key, h.name(e.to))
		case e.to < len(h.Txns):
			fmt.Fprintf(&b, ", ended before the begin of %s", h.name(e.to))
		}
	}
	return b.String()
}

// path is the shortest way along edges of some kinds within a knot, nil if there is none.
func (g *graph) path(from, to int, kinds edgeKind, knot map[int]bool) []edge {
	type step struct {
		from int
		edge edge
	}
	came := map[int]step{from: {from: -1}}
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at == to {
			path := []edge{}
			for ; at != from; at = came[at].from {
				path = append(path, came[at].edge)
			}
			slices.Reverse(path)
			return path
		}
		for _, e := range g.out[at] {
			if _, been := came[e.to]; !been && e.kind&kinds != 0 && knot[e.to] {
				came[e.to] = step{at, e}
				queue = append(queue, e.to)
			}
		}
	}
	return nil
}

// knots are the strongly connected components of more than one node, by
// Tarjan's algorithm, without recursion since histories are long.
func (g *graph) knots() (knots []map[int]bool) {
	index := make([]int, len(g.out)) // order of discovery, from 1
	low := make([]int, len(g.out))
	on := make([]bool, len(g.out))
	next := make([]int, len(g.out)) // the edge to follow next
	var stack []int
	count := 0
	for root := range g.out {
		if index[root] != 0 {
			continue
		}
		for path := []int{root}; len(path) > 0; {
			at := path[len(path)-1]
			if index[at] == 0 {
				count++
				index[at], low[at] = count, count
				stack = append(stack, at)
				on[at] = true
			}
			if next[at] < len(g.out[at]) {
				to := g.out[at][next[at]].to
				if index[to] == 0 {
					path = append(path, to)
					continue // and look at it again afterwards, for its low
				}
				next[at]++
				if on[to] {
					low[at] = min(low[at], low[to])
				}
				continue
			}
			path = path[:len(path)-1]
			if low[at] != index[at] {
				continue
			}
			knot := map[int]bool{}
			for member := -1; member != at; {
				member = stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				on[member] = false
				knot[member] = true
			}
			if len(knot) > 1 {
				knots = append(knots, knot)
			}
		}
	}
	return knots
}
