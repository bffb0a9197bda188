package history

import "slices"

// CheckReplicated is CheckLists for a history of a cluster that has lost leaders. The last
// transaction must have read every key, once everybody else was done.
//
// A transaction whose commit was not answered took place if somebody has seen any of it, and
// may have done so at any moment until the last one.
//
// Whoever wrote must fit into the order of real time. Whoever only read, or failed, may have
// been shown an older snapshot by a node that did not know yet that it does not lead any
// more; it must have been one all the same. stale is how many of those that succeeded have
// not seen something that was acknowledged before they began, and settled how many of
// unknown end took place.
func (h *History) CheckReplicated() (found []Anomaly, settled, stale int) {
	if len(h.Txns) == 0 {
		return nil, 0, 0
	}
	c := History{Txns: slices.Clone(h.Txns)}
	last := len(c.Txns) - 1
	if !c.Txns[last].Committed {
		return []Anomaly{anomaly(Unexplained, "the last read failed")}, 0, 0
	}
	nets := make([]net, len(c.Txns))
	for i := range c.Txns {
		nets[i] = c.resolve(i)
	}
	seen := c.seen(nets)
	for i := range c.Txns {
		t := &c.Txns[i]
		if t.Unknown && wasSeen(nets[i], seen) {
			settled++
			t.Committed, t.End = true, max(t.End, c.Txns[last].Start-1)
		}
	}
	acknowledged := map[int][]told{}
	for i, n := range nets {
		if t := c.Txns[i]; t.Committed && !t.Unknown {
			for key, values := range n.wrote {
				for _, v := range values {
					acknowledged[key] = append(acknowledged[key], told{v, t.End})
				}
			}
		}
	}
	for i := range c.Txns[:last] {
		t := &c.Txns[i]
		if t.Committed && len(nets[i].wrote) > 0 {
			continue
		}
		if t.Committed && missed(nets[i], t.Start, acknowledged) {
			stale++
		}
		t.Start = 0
	}
	return c.CheckLists(), settled, stale
}

// told is a value, and when its writer was told that it is there.
type told struct {
	value int
	end   int64
}

// seen are the values that somebody has read.
func (h *History) seen(nets []net) map[int]bool {
	seen := map[int]bool{}
	for i, n := range nets {
		if !h.Txns[i].witness() {
			continue
		}
		for _, version := range n.found { // without what it wrote itself
			for _, v := range version {
				seen[v] = true
			}
		}
	}
	return seen
}

func wasSeen(n net, seen map[int]bool) bool {
	for _, values := range n.wrote {
		if slices.ContainsFunc(values, func(v int) bool { return seen[v] }) {
			return true
		}
	}
	return false
}

// missed reports that a reader has not seen what was acknowledged before it began.
func missed(n net, start int64, acknowledged map[int][]told) bool {
	for key, version := range n.found {
		for _, w := range acknowledged[key] {
			if w.end < start && !slices.Contains(version, w.value) {
				return true
			}
		}
	}
	return false
}
