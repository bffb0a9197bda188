package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sqlane/sqlane/bench/peers"
)

// verdict is a target and what came of it.
type verdict struct {
	Workload string `json:"workload"`
	Target   string `json:"target"`
	Measured string `json:"measured"`
	State    string `json:"state"`
}

// What can come of a target.
const (
	met         = "met"
	notMet      = "**not met**"
	notMeasured = "**not measured**"
)

// equal is what counts as no difference where a target says "no worse": medians
// of the same code differ by that much from run to run.
const equal = 0.97

// unboundedLog is the size in MB from which on a log that a run left counts as one
// that grows without bound: twice what SQLite lets come together before it
// checkpoints, which is a thousand pages.
const unboundedLog = 2 * 1000 * 4096 / 1e6

// judge compares what was measured with what was promised. A target whose
// figures are not among the results is left out.
type judge struct {
	results  map[string]*result
	peers    []peers.Peer
	verdicts []verdict
}

func newJudge(results []*result, all []peers.Peer) *judge {
	j := &judge{results: map[string]*result{}, peers: all}
	for _, r := range results {
		j.results[r.ID] = r
	}
	return j
}

func targets(results []*result, all []peers.Peer) []verdict {
	j := newJudge(results, all)
	tuned := group{has: func(p peers.Peer) bool { return isPeer(p) && p.Tuned }}
	every := group{has: isPeer}

	j.cost("R1", "≤ 1.2 × the floor, CPU and wall", named("floor"), 1.2, "ns/op", cpuPerOp)
	j.cost("R1", "stretch: ≤ 1.1 × the floor", named("floor"), 1.1, "ns/op", cpuPerOp)
	j.limit("R1", "≤ 5 allocations", bound{"allocs/op", 5})
	j.gain("R1", "≥ 1.5 × as fast as zombiezen's pool", named("zombiezen"), 1.5, "ns/op", cpuPerOp)
	j.gain("R1", "≥ 3 × as fast as database/sql + modernc ad hoc", named("modernc ad hoc"), 3, "ns/op", cpuPerOp)
	j.gain("R1", "faster than mattn (cgo) in every configuration", named("mattn ad hoc", "mattn tuned"), 1, "ns/op", cpuPerOp)
	for _, id := range []string{"R2/100", "R2/1000"} {
		j.cost(id, "CPU ≤ 0.9 × every peer's", every, 0.9, cpuPerOp)
		j.gain(id, "ops/s ≥ every peer's", every, equal, "ops/s")
		j.gain(id, "p99 ≤ that of every peer that does at least half as many reads a second", j.keepsUp(id, "ops/s"), equal, "p99")
	}
	j.cost("R3", "≤ 1.2 × the floor", named("floor"), 1.2, "ns/row")
	j.limit("R3", "≤ 5 allocations a row", bound{"allocs/row", 5})
	j.gain("R3", "no slower than zombiezen", named("zombiezen"), equal, "ns/row")
	j.stream()
	j.gain("W1", "≥ 0.8 × the floor that writes 1,000 rows a transaction", named("floor"), 0.8, "ops/s")
	j.gain("W1", "≥ 18 × the best tuned peer", tuned, 18, "ops/s")
	j.cost("W1", "longest wait ≤ 1/100 of database/sql's as first written", named("modernc ad hoc"), 0.01, "max")
	j.gain("W2", "≥ 0.7 × the floor that writes 1,000 rows a transaction, at NORMAL", named("floor"), 0.7, "ops/s")
	j.gain("W2", "≥ 3 × the best tuned peer", tuned, 3, "ops/s")
	j.gain("W3/normal", "≥ 1.25 × the best tuned peer at NORMAL", tuned, 1.25, "ops/s")
	j.gain("W3/full", "no tuned peer better at FULL", tuned, equal, "ops/s")
	for _, id := range []string{"W3/normal", "W3/full"} {
		j.limit(id, "p99/p50 ≤ 2", bound{"p99/p50", 2})
	}
	for _, kind := range []string{"W4/write/", "W4/tx/"} {
		for _, id := range []string{kind + "full", kind + "normal"} {
			j.gain(id, "better than every peer whose log is bounded", j.logIs(kind, false), 1, "ops/s")
			j.gain(id, "≥ 0.95 × those whose log grows without bound", j.logIs(kind, true), 0.95, "ops/s")
		}
	}
	j.gain("M1", "≥ 4 × every peer", every, 4, "ops/s")
	j.gain("M1", "read p99 ≤ that of every peer that does at least half as many reads a second", j.keepsUp("M1", "read ops/s"), equal, "p99")
	j.limit("P1/lease", "Acquire + Release ≤ 300 ns and 1 allocation", bound{"ns/op", 300}, bound{"allocs/op", 1})
	j.limit("P1/take", "a generated read's own take and give ≤ 200 ns and no allocation", bound{"ns/op", 200}, bound{"allocs/op", 0})
	j.limit("P1/queue", "longest wait / mean ≤ 1.2", bound{"longest/mean", 1.2})
	j.live()
	for _, curve := range []string{"S1/readers", "S1/writers", "S1/connections", "S1/rows"} {
		j.knee(curve, results)
	}
	j.gain("I1", "≥ 12 × the same program written with one database/sql transaction an entry", every, 12, "entries/s")
	j.memory(results)
	j.gain("C1/write/100", "≥ 20 × go-dqlite as first written", named("go-dqlite ad hoc"), 20, "ops/s")
	j.gain("C1/write/100", "≥ 15 × its best configuration", every, 15, "ops/s")
	return j.verdicts
}

func isPeer(p peers.Peer) bool { return p.Name != "sqlane" && !p.Alone }

// group is some of the peers.
type group struct {
	has func(peers.Peer) bool
	// byFigures says that the figures tell who belongs to it. That may be nobody, and
	// then what is demanded beside them is met.
	byFigures bool
}

func named(names ...string) group {
	return group{has: func(p peers.Peer) bool { return slices.Contains(names, p.Name) }}
}

// keepsUp are the peers that do at least half as much in a second.
func (j *judge) keepsUp(id, metric string) group {
	r := j.results[id]
	return group{byFigures: true, has: func(p peers.Peer) bool {
		share, ok := quotient(r.of(p.Name), metric, r.mine(), metric)
		return ok && isPeer(p) && share.Median >= 0.5
	}}
}

// logIs are the peers whose log grows without bound in the workloads that begin so,
// or the others. Whether it does is the same at every level of synchronous, but at
// FULL a run may be over before it shows.
func (j *judge) logIs(prefix string, unbounded bool) group {
	return group{byFigures: true, has: func(p peers.Peer) bool {
		most := 0.0
		for id, r := range j.results {
			if left, ok := r.of(p.Name).of(written); ok && strings.HasPrefix(id, prefix) {
				most = max(most, left.Max)
			}
		}
		return isPeer(p) && most > unboundedLog == unbounded
	}}
}

// gain demands that sqlane is so many times as good as each of some peers, in each
// of the metrics.
func (j *judge) gain(id, text string, among group, least float64, metrics ...string) {
	j.beside(id, text, among, metrics, gains, func(ratio float64) bool { return ratio >= least })
}

// cost demands that it needs at most so many times what each of them does.
func (j *judge) cost(id, text string, among group, most float64, metrics ...string) {
	j.beside(id, text, among, metrics, costs, func(ratio float64) bool { return ratio <= most })
}

// ratio is a way to compare one series with another.
type ratio struct {
	of    func(own, other *series, metric string) (quantity, bool)
	worse func(a, b float64) bool
}

var (
	gains = ratio{advantage, func(a, b float64) bool { return a < b }}
	costs = ratio{
		func(own, other *series, metric string) (quantity, bool) { return quotient(own, metric, other, metric) },
		func(a, b float64) bool { return a > b },
	}
)

// hardest is the worst ratio to any of some peers, and that peer; nil if none of them
// was measured, and compared tells whether any other was.
func (j *judge) hardest(id, metric string, among group, by ratio) (worst quantity, peer *series, compared bool) {
	r := j.results[id]
	for _, s := range r.others() {
		q, ok := by.of(r.mine(), s, metric)
		compared = compared || ok
		if ok && among.has(j.peer(s.Peer)) && (peer == nil || by.worse(q.Median, worst.Median)) {
			worst, peer = q, s
		}
	}
	return worst, peer, compared
}

// beside judges the ratio that is hardest.
func (j *judge) beside(id, text string, among group, metrics []string, by ratio, good func(ratio float64) bool) {
	r := j.results[id]
	all := true
	var parts []string
	for _, metric := range metrics {
		if j.lacks(id, text, metric) {
			return
		}
		worst, peer, compared := j.hardest(id, metric, among, by)
		if peer == nil {
			if compared && among.byFigures {
				j.add(id, text, "there is no such peer", true)
			}
			return
		}
		all = all && good(worst.Median)
		own, _ := r.mine().of(metric)
		other, _ := peer.of(metric)
		parts = append(parts, fmt.Sprintf("%s%s × %s (%s–%s; %s : %s)", unit(metric), number(worst.Median), peer.Peer,
			number(worst.Min), number(worst.Max), show(metric, own.Median), show(metric, other.Median)))
		// CPU time stands beside what is not judged by it.
		if cpu := r.cpuMetric(); !slices.Contains(metrics, cpu) {
			if q, ok := quotient(r.mine(), cpu, peer, cpu); ok {
				parts = append(parts, fmt.Sprintf("%s %s × (%s–%s)", cpu, number(q.Median), number(q.Min), number(q.Max)))
			}
		}
	}
	j.add(id, text, strings.Join(parts, "; "), all)
}

// lacks reports that sqlane has no such figure. If it was measured, nothing came to an
// end, or the system does not tell, and that is said; so is why it was not measured.
func (j *judge) lacks(id, text, metric string) bool {
	own := j.results[id].mine()
	_, ok := own.of(metric)
	switch {
	case ok || own == nil:
	case own.Note != "":
		j.verdicts = append(j.verdicts, verdict{id, text, own.Note, notMeasured})
	case len(own.Rounds) > 0:
		j.verdicts = append(j.verdicts, verdict{id, text, "no round has a figure for " + metric, notMeasured})
	}
	return !ok
}

// unit tells metrics of the same ratio apart.
func unit(metric string) string {
	if strings.HasPrefix(metric, "CPU/") {
		return metric + " "
	}
	return ""
}

// peer is the contender of a name, which may be none of the peers.
func (j *judge) peer(name string) peers.Peer {
	for _, p := range j.peers {
		if p.Name == name {
			return p
		}
	}
	return peers.Peer{Name: name}
}

// bound is the most that a metric of sqlane's own may be.
type bound struct {
	metric string
	most   float64
}

func (j *judge) limit(id, text string, bounds ...bound) {
	all := true
	var parts []string
	for _, b := range bounds {
		if j.lacks(id, text, b.metric) {
			return
		}
		q, _ := j.results[id].mine().of(b.metric)
		// Medians of allocations are never whole: the runtime allocates now and then too.
		if strings.HasPrefix(b.metric, "allocs/") {
			q.Median, q.Min, q.Max = tenths(q.Median), tenths(q.Min), tenths(q.Max)
		}
		all = all && q.Median <= b.most
		parts = append(parts, fmt.Sprintf("%s %s (%s–%s)", b.metric, show(b.metric, q.Median), show(b.metric, q.Min), show(b.metric, q.Max)))
	}
	j.add(id, text, strings.Join(parts, "; "), all)
}

func tenths(v float64) float64 { return math.Round(v*10)/10 + 0 } // no negative zero

// stream judges R4, which stands beside R3 of its own and not beside peers.
func (j *judge) stream() {
	r4, r3 := j.results["R4"], j.results["R3"]
	if row, ok := quotient(r4.mine(), "ns/row", r3.mine(), "ns/row"); ok {
		text := fmt.Sprintf("%s × (%s–%s)", number(row.Median), number(row.Min), number(row.Max))
		if cpu, ok := quotient(r4.mine(), "CPU/row", r3.mine(), "CPU/row"); ok {
			text += fmt.Sprintf("; CPU/row %s × (%s–%s)", number(cpu.Median), number(cpu.Min), number(cpu.Max))
		}
		j.add("R4", "≤ 1.2 × R3's row", text, row.Median <= 1.2)
	}
	j.limit("R4", "memory flat: the peak at the end ≤ 1.1 × that after a tenth of the rows", bound{"peak/early", 1.1})
}

// live judges L1, which stands beside itself.
func (j *judge) live() {
	r := j.results["L1/commits"]
	for _, c := range []struct {
		text, who string
		least     float64
	}{
		{"nobody watching costs a commit ≤ 1 %", nobodyAnyMore, 0.99},
		{"10,000 watchers of another table cost it ≤ 3 %", watchersOf(10_000, ofAnother), 0.97},
	} {
		kept, ok := quotient(r.of(c.who), "ops/s", r.mine(), "ops/s")
		if !ok {
			continue
		}
		text := fmt.Sprintf("%s × the commits a second (%s–%s)", number(kept.Median), number(kept.Min), number(kept.Max))
		if cpu, ok := quotient(r.of(c.who), cpuPerOp, r.mine(), cpuPerOp); ok {
			text += fmt.Sprintf("; CPU/op %s × (%s–%s)", number(cpu.Median), number(cpu.Min), number(cpu.Max))
		}
		j.add("L1/commits", c.text, text, kept.Median >= c.least)
	}
	j.limit("L1/yield", "from commit to yield, p99 of one watcher ≤ 5 ms on an idle machine", bound{"p99", 5e6})
}

// knee looks for a step of a curve at which sqlane loses more than every peer.
func (j *judge) knee(curve string, results []*result) {
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
			fmt.Sprintf("%s × at %s", number(worst), number(float64(where))), worst >= 0.8)
	}
}

// step is what a peer keeps of its speed from one point of a curve to the next.
func step(from, to *result, peer string) (kept float64, ok bool) {
	a, okA := from.of(peer).of(from.Primary)
	b, okB := to.of(peer).of(to.Primary)
	if !okA || !okB || a.Median <= 0 || b.Median <= 0 {
		return 0, false
	}
	if lowerIsBetter(from.Primary) {
		return a.Median / b.Median, true
	}
	return b.Median / a.Median, true
}

// memory judges the indexer's, from the smallest tree to the largest.
func (j *judge) memory(results []*result) {
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
	small, _ := first.mine().of("peak MB")
	large, _ := last.mine().of("peak MB")
	ratio := large.Median / small.Median
	j.add("I1/entries", "memory flat in the size of the tree: ≤ 1.5 × from the smallest to the largest",
		fmt.Sprintf("%s × (%s MB at %s entries, %s MB at %s)", number(ratio), number(small.Median), number(float64(first.x)), number(large.Median), number(float64(last.x))),
		ratio <= 1.5)
}

func (j *judge) add(id, text, measured string, good bool) {
	v := verdict{Workload: id, Target: text, Measured: measured, State: notMet}
	if good {
		v.State = met
	}
	j.verdicts = append(j.verdicts, v)
}
