package main

import (
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// series are the samples of one peer in one workload, a round each.
type series struct {
	Peer    string               `json:"peer"`
	Rounds  []map[string]float64 `json:"rounds"`           // metrics; none where the round failed
	Errors  map[string]int64     `json:"errors,omitempty"` // in all rounds
	Note    string               `json:"note,omitempty"`   // why there is nothing
	latency *hdrhistogram.Histogram
}

func (s *series) add(one sample) {
	s.Rounds = append(s.Rounds, one.metrics)
	if s.Errors == nil {
		s.Errors = map[string]int64{}
	}
	for class, n := range one.errors {
		s.Errors[class] += n
	}
	if one.latency != nil {
		if s.latency == nil {
			s.latency = newHistogram()
		}
		s.latency.Merge(one.latency)
	}
}

// quantity is the median of some rounds and their spread.
type quantity struct {
	Median, Min, Max float64
	Rounds           int
}

func summarize(rounds []float64) (quantity, bool) {
	if len(rounds) == 0 {
		return quantity{}, false
	}
	sorted := slices.Sorted(slices.Values(rounds))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return quantity{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1], Rounds: len(sorted)}, true
}

// of is what a metric came to. It is not ok if no round has it.
func (s *series) of(metric string) (q quantity, ok bool) {
	if s == nil {
		return q, false
	}
	var values []float64
	for _, round := range s.Rounds {
		if v, there := round[metric]; there {
			values = append(values, v)
		}
	}
	return summarize(values)
}

// quotient is the median of the rounds' quotients, each of the two figures of one
// round: what else the machine did meanwhile, it did to both. Rounds that lack one
// of them don't count; nor does one in which neither did anything.
func quotient(above *series, metric string, below *series, other string) (quantity, bool) {
	if above == nil || below == nil {
		return quantity{}, false
	}
	var values []float64
	for n := range min(len(above.Rounds), len(below.Rounds)) {
		a, has := above.Rounds[n][metric]
		b, hasToo := below.Rounds[n][other]
		if has && hasToo && (a != 0 || b != 0) {
			values = append(values, a/b) // +Inf of who did nothing in the whole window
		}
	}
	return summarize(values)
}

// advantage is how many times as good one is as another: by speed where a metric
// counts in a second, by cost elsewhere.
func advantage(of, over *series, metric string) (quantity, bool) {
	if lowerIsBetter(metric) {
		return quotient(over, metric, of, metric)
	}
	return quotient(of, metric, over, metric)
}

func lowerIsBetter(metric string) bool { return !strings.HasSuffix(metric, "/s") }
