package main

import (
	"fmt"
	"math"

	"github.com/sqlane/sqlane/bench/peers"
)

// verdict is a target and what came of it.
type verdict struct {
	Workload string  `json:"workload"`
	Target   string  `json:"target"`
	Measured string  `json:"measured"`
	Value    float64 `json:"value"`
	Met      bool    `json:"met"`
}

// equal is what counts as no difference where a target says "no worse": medians
// of the same code differ by that much from run to run.
const equal = 0.97

// judge compares what was measured with what was promised. A target whose
// figures are not among the results is left out.
type judge struct {
	results  map[string]*result
	peers    []peers.Peer
	verdicts []verdict
}

func targets(results []*result, all []peers.Peer) []verdict {
	j := &judge{results: map[string]*result{}, peers: all}
	for _, r := range results {
		j.results[r.ID] = r
	}
	isPeer := func(p peers.Peer) bool { return p.Name != "sqlane" && !p.Alone }
	tuned := func(p peers.Peer) bool { return isPeer(p) && p.Tuned }
	onModernc := func(p peers.Peer) bool { return isPeer(p) && p.Modernc }
	named := func(name string) func(peers.Peer) bool {
		return func(p peers.Peer) bool { return p.Name == name }
	}

	j.cost("R1", "ns/op", "at most 2.0 × the floor", named("floor"), 2.0)
	j.cost("R1", "ns/op", "stretch: at most 1.5 × the floor", named("floor"), 1.5)
	j.gain("R1", "ns/op", "at least 2.2 × as fast as modernc ad hoc", named("modernc ad hoc"), 2.2)
	j.gain("R1", "ns/op", "faster than zombiezen", named("zombiezen"), 1)
	j.gain("R1", "ns/op", "faster than mattn ad hoc", named("mattn ad hoc"), 1)
	for _, id := range []string{"R2/100", "R2/1000"} {
		j.gain(id, "ops/s", "no peer has more ops/s", isPeer, equal)
		j.gain(id, "p99", "no peer has a lower p99", isPeer, equal)
	}
	j.cost("R3", "ns/row", "at most 1.1 × database/sql + modernc, the faster way", func(p peers.Peer) bool {
		return p.Module == "modernc.org/sqlite" && !p.Alone
	}, 1.1)
	j.gain("W1", "ops/s", "at least 50 × modernc ad hoc", named("modernc ad hoc"), 50)
	j.gain("W1", "ops/s", "at least 15 × the best tuned peer", tuned, 15)
	j.cost("W1", "max", "longest wait at most 1/50 of modernc ad hoc's", named("modernc ad hoc"), 0.02)
	j.gain("W2", "ops/s", "at least 4 × modernc ad hoc", named("modernc ad hoc"), 4)
	j.gain("W2", "ops/s", "at least 1.5 × the best tuned peer", tuned, 1.5)
	j.gain("W3/normal", "ops/s", "at least 1.3 × the best tuned peer", tuned, 1.3)
	j.gain("W3/full", "ops/s", "no tuned peer is better", tuned, equal)
	j.limit("W3/normal", "p99/p50", "p99/p50 at most 3", 3)
	j.limit("W3/full", "p99/p50", "p99/p50 at most 3", 3)
	for _, id := range []string{"W4/write/full", "W4/write/normal", "W4/tx/full", "W4/tx/normal"} {
		j.gain(id, "ops/s", "no worse than the best peer on modernc", onModernc, equal)
	}
	j.gain("M1", "ops/s", "no peer has more ops/s", isPeer, equal)
	j.gain("M1", "p99", "no peer has a lower p99 of reads", isPeer, equal)
	j.limit("P1/lease", "ns/op", "at most 250 ns", 250)
	j.limit("P1/lease", "allocs/op", "at most 2 allocations", 2)
	j.limit("P1/queue", "longest/mean", "longest wait at most 3 × the mean", 3)
	for _, curve := range []string{"S1/readers", "S1/writers", "S1/connections", "S1/rows"} {
		j.knee(curve, results, isPeer)
	}
	j.indexing(results)
	return j.verdicts
}

// knee looks for a step of a curve at which sqlane loses more than every peer.
func (j *judge) knee(curve string, results []*result, isPeer func(peers.Peer) bool) {
	var before *result
	worst, where := math.Inf(1), 0
	for _, r := range results {
		if r.curve != curve {
			continue
		}
		if before != nil {
			own, ok := step(before, r, "sqlane")
			others, there := math.Inf(1), false
			for _, p := range j.peers {
				if change, ok := step(before, r, p.Name); ok && isPeer(p) {
					others, there = min(others, change), true
				}
			}
			if ok && there && own/others < worst {
				worst, where = own/others, r.x
			}
		}
		before = r
	}
	if !math.IsInf(worst, 1) {
		j.add(curve, "no knee that a peer does not have: at no step less than 0.8 × what the worst peer keeps",
			fmt.Sprintf("%s × at %s", number(worst), number(float64(where))), worst, worst >= 0.8)
	}
}

// step is what a peer keeps of its speed from one point of a curve to the next.
func step(from, to *result, peer string) (kept float64, ok bool) {
	a, b := from.of(peer), to.of(peer)
	if a == nil || b == nil {
		return 0, false
	}
	x, y := a.Metrics[from.Primary].Median, b.Metrics[to.Primary].Median
	if x <= 0 || y <= 0 {
		return 0, false
	}
	if lowerIsBetter(from.Primary) {
		return x / y, true
	}
	return y / x, true
}

// indexing judges I1, whose contenders are no peers.
func (j *judge) indexing(results []*result) {
	if own, ok := j.own("I1", "entries/s"); ok {
		best, who := 0.0, ""
		for _, s := range j.results["I1"].Series {
			if q := s.Metrics["entries/s"]; s.Peer != "sqlane" && q.Median > best {
				best, who = q.Median, s.Peer
			}
		}
		if best > 0 {
			j.add("I1", "at least 10 × the same with one database/sql transaction an entry",
				fmt.Sprintf("%s × %s (%s : %s)", number(own/best), who, number(own), number(best)), own/best, own/best >= 10)
		}
	}
	var first, last *result
	for _, r := range results {
		if r.curve == "I1/entries" {
			if last = r; first == nil {
				first = r
			}
		}
	}
	if first == last {
		return
	}
	small, large := first.of("sqlane").Metrics["peak MB"].Median, last.of("sqlane").Metrics["peak MB"].Median
	j.add("I1/entries", "memory flat in the size of the tree: at most 1.5 × from the smallest to the largest",
		fmt.Sprintf("%s × (%s MB at %s entries, %s MB at %s)", number(large/small), number(small), number(float64(first.x)), number(large), number(float64(last.x))),
		large/small, large/small <= 1.5)
}

func (j *judge) own(id, metric string) (float64, bool) {
	if r := j.results[id]; r != nil {
		if s := r.of("sqlane"); s != nil {
			q, ok := s.Metrics[metric]
			return q.Median, ok
		}
	}
	return 0, false
}

// best is the best median among some peers.
func (j *judge) best(id, metric string, among func(peers.Peer) bool) (best float64, who string, ok bool) {
	lower := lowerIsBetter(metric)
	for _, p := range j.peers {
		if !among(p) || j.results[id] == nil {
			continue
		}
		s := j.results[id].of(p.Name)
		if s == nil {
			continue
		}
		q, there := s.Metrics[metric]
		if there && (!ok || lower && q.Median < best || !lower && q.Median > best) {
			best, who, ok = q.Median, p.Name, true
		}
	}
	return best, who, ok
}

// gain demands that sqlane is so many times as good as the best of some peers.
func (j *judge) gain(id, metric, text string, among func(peers.Peer) bool, least float64) {
	own, ok := j.own(id, metric)
	best, who, there := j.best(id, metric, among)
	if !ok || !there {
		return
	}
	ratio := own / best
	if lowerIsBetter(metric) {
		ratio = best / own
	}
	if best == 0 { // it did nothing in the whole window
		ratio = 1e9
	}
	j.add(id, text, fmt.Sprintf("%s × %s (%s : %s)", number(ratio), who, show(metric, own), show(metric, best)), ratio, ratio >= least)
}

// cost demands that sqlane needs at most so many times what the best of some peers does.
func (j *judge) cost(id, metric, text string, among func(peers.Peer) bool, most float64) {
	own, ok := j.own(id, metric)
	best, who, there := j.best(id, metric, among)
	if !ok || !there {
		return
	}
	ratio := own / best
	j.add(id, text, fmt.Sprintf("%s × %s (%s : %s)", number(ratio), who, show(metric, own), show(metric, best)), ratio, ratio <= most)
}

// limit demands a figure of sqlane's own.
func (j *judge) limit(id, metric, text string, most float64) {
	if own, ok := j.own(id, metric); ok {
		// Medians of allocations are never whole: the runtime allocates now and then too.
		if metric == "allocs/op" {
			own = math.Round(own*10) / 10
		}
		j.add(id, text, show(metric, own), own, own <= most)
	}
}

func (j *judge) add(id, text, measured string, value float64, met bool) {
	j.verdicts = append(j.verdicts, verdict{Workload: id, Target: text, Measured: measured, Value: value, Met: met})
}
