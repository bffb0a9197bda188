package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/stretchr/testify/require"
)

type figures = map[string][]float64 // of a round each, by metric

// measured is a result with the peers' figures.
func measured(id string, metrics map[string]figures) *result {
	r := &result{workload: workload{ID: id}}
	for _, peer := range slices.Sorted(maps.Keys(metrics)) {
		s := &series{Peer: peer}
		for metric, figures := range metrics[peer] {
			for n, v := range figures {
				if len(s.Rounds) <= n {
					s.Rounds = append(s.Rounds, map[string]float64{})
				}
				s.Rounds[n][metric] = v
			}
		}
		r.Series = append(r.Series, s)
	}
	return r
}

func judged(t *testing.T, text string, results ...*result) verdict {
	t.Helper()
	for _, v := range targets(results, peers.All()) {
		if v.Target == text {
			return v
		}
	}
	return verdict{}
}

func TestARatioIsTheMedianOfTheRoundsOwn(t *testing.T) {
	// Each round is twice as slow as the one before, for both of them.
	of := &series{Rounds: []map[string]float64{{"ns/op": 11}, {"ns/op": 24}, {}, {"ns/op": 52}}}
	over := &series{Rounds: []map[string]float64{{"ns/op": 10}, {"ns/op": 20}, {"ns/op": 1}, {"ns/op": 40}}}
	q, ok := quotient(of, "ns/op", over, "ns/op")
	require.True(t, ok)
	require.Equal(t, quantity{Median: 1.2, Min: 1.1, Max: 1.3, Rounds: 3}, q, "a round that failed is no pair")
	_, ok = quotient(of, "ns/op", nil, "ns/op")
	require.False(t, ok)
	_, ok = quotient(of, "p99", over, "p99")
	require.False(t, ok)
	better, _ := advantage(over, of, "ns/op")
	require.Equal(t, q, better, "what costs less is better")
}

func TestAPeerThatDidNothingIsInfinitelySlow(t *testing.T) {
	q, ok := advantage(&series{Rounds: []map[string]float64{{"ops/s": 5}}}, &series{Rounds: []map[string]float64{{"ops/s": 0}}}, "ops/s")
	require.True(t, ok)
	require.Equal(t, "∞", number(q.Median))
}

func TestTheFloorIsBesideBothByWallAndByCPU(t *testing.T) {
	const text = "≤ 1.2 × the floor, CPU and wall"
	r1 := func(wall, cpu float64) *result {
		return measured("R1", map[string]figures{
			"sqlane": {"ns/op": {wall}, cpuPerOp: {cpu}}, "floor": {"ns/op": {100}, cpuPerOp: {100}},
		})
	}
	require.Equal(t, verdict{"R1", text, "1.20 × floor (1.20–1.20; 120 ns : 100 ns); CPU/op 1.10 × floor (1.10–1.10; 110 ns : 100 ns)", met}, judged(t, text, r1(120, 110)))
	require.Equal(t, notMet, judged(t, text, r1(121, 110)).State)
	require.Equal(t, notMet, judged(t, text, r1(110, 121)).State)
	require.Zero(t, judged(t, text), "what was left out is not judged")
	none := measured("R1", map[string]figures{"sqlane": {"ops/s": {0}}, "floor": {"ns/op": {100}}})
	require.Equal(t, verdict{"R1", text, "no round has a figure for ns/op", notMeasured}, judged(t, text, none))
}

func TestTheHardestPeerDecides(t *testing.T) {
	r := measured("R2/100", map[string]figures{
		"sqlane":         {cpuPerOp: {9}, "ops/s": {100}, "p99": {50}},
		"zombiezen":      {cpuPerOp: {10}, "ops/s": {90}, "p99": {60}},
		"modernc tuned":  {cpuPerOp: {99}, "ops/s": {10}, "p99": {1}},
		"modernc ad hoc": {},
	})
	v := judged(t, "CPU ≤ 0.9 × every peer's", r)
	require.Equal(t, met, v.State)
	require.Contains(t, v.Measured, "0.900 × zombiezen")
	require.Equal(t, met, judged(t, "p99 ≤ that of every peer that does at least half as many reads a second", r).State, "who hardly reads has no say")
	v = judged(t, "ops/s ≥ every peer's", r)
	require.Equal(t, met, v.State)
	require.Contains(t, v.Measured, "1.11 × zombiezen (1.11–1.11; 100 : 90); CPU/op 0.900 × (0.900–0.900)", "CPU stands beside what is not judged by it")
}

func TestABoundedLogIsHarderToBeatThanOneWithoutBound(t *testing.T) {
	const bounded, unbounded = "better than every peer whose log is bounded", "≥ 0.95 × those whose log grows without bound"
	w4 := func(own float64) *result {
		return measured("W4/write/full", map[string]figures{
			"sqlane":        {"ops/s": {own}, written: {16}},
			"zombiezen":     {"ops/s": {90}, written: {8}},
			"modernc tuned": {"ops/s": {100}, written: {30}},
		})
	}
	require.Equal(t, met, judged(t, bounded, w4(96)).State)
	require.Equal(t, met, judged(t, unbounded, w4(96)).State)
	require.Equal(t, notMet, judged(t, bounded, w4(89)).State)
	require.Equal(t, notMet, judged(t, unbounded, w4(94)).State)
	require.Equal(t, "there is no such peer", judged(t, bounded, w4(96), measured("W4/write/normal", map[string]figures{"zombiezen": {written: {7, 99}}})).Measured,
		"at FULL a run may be over before it shows")
	alone := measured("W4/tx/full", map[string]figures{"sqlane": {"ops/s": {2}}, "zombiezen": {"ops/s": {1}, written: {4}}})
	require.Equal(t, verdict{"W4/tx/full", unbounded, "there is no such peer", met}, judged(t, unbounded, alone))
}

func TestWritersStandBesideTheFloorThatWritesInBulk(t *testing.T) {
	const text = "≥ 0.8 × the floor that writes 1,000 rows a transaction"
	w1 := func(own float64) *result {
		return measured("W1", map[string]figures{"sqlane": {"ops/s": {own}}, "floor": {"ops/s": {100}}, "zombiezen": {"ops/s": {1}}})
	}
	require.Equal(t, met, judged(t, text, w1(80)).State)
	require.Equal(t, notMet, judged(t, text, w1(79)).State)
	require.Equal(t, met, judged(t, "≥ 18 × the best tuned peer", w1(18)).State, "the floor is no peer")
}

func TestTheStreamStandsBesideItsOwnManyRows(t *testing.T) {
	r3 := measured("R3", map[string]figures{"sqlane": {"ns/row": {100, 200}}})
	r4 := func(row float64) *result {
		return measured("R4", map[string]figures{"sqlane": {"ns/row": {row, 2 * row}, "peak/early": {1.05, 1.3}}})
	}
	require.Equal(t, met, judged(t, "≤ 1.2 × R3's row", r3, r4(119)).State)
	require.Equal(t, notMet, judged(t, "≤ 1.2 × R3's row", r3, r4(121)).State)
	require.Equal(t, notMet, judged(t, "memory flat: the peak at the end ≤ 1.1 × that after a tenth of the rows", r4(1)).State)
}

func TestALimitHoldsInEachOfItsMetrics(t *testing.T) {
	const text = "a generated read's own take and give ≤ 200 ns and no allocation"
	take := func(ns, allocs float64) verdict {
		return judged(t, text, measured("P1/take", map[string]figures{"sqlane": {"ns/op": {ns}, "allocs/op": {allocs}}}))
	}
	require.Equal(t, met, take(200, 0.02).State)
	require.Equal(t, met, take(-3, -0.02).State, "a difference of two medians")
	require.Equal(t, notMet, take(201, 0).State)
	require.Equal(t, notMet, take(100, 1).State)
}

func TestTheIndexerStandsBesideBothNaiveOnes(t *testing.T) {
	const text = "≥ 12 × the same program written with one database/sql transaction an entry"
	i1 := func(own float64) *result {
		return measured("I1", map[string]figures{"sqlane": {"entries/s": {own}}, "naive, 1 goroutine": {"entries/s": {5}}, "naive, 8 goroutines": {"entries/s": {10}}})
	}
	require.Equal(t, met, judged(t, text, i1(120)).State)
	require.Equal(t, notMet, judged(t, text, i1(119)).State)
}
