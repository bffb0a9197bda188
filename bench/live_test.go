package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatWatchingCostsIsBesideNobody(t *testing.T) {
	const none, another, yield = "nobody watching costs a commit ≤ 1 %", "10,000 watchers of another table cost it ≤ 3 %", "from commit to yield, p99 of one watcher ≤ 5 ms on an idle machine"
	s := fullScale()
	w := live(s)
	require.Equal(t, nobody, w[0].own)
	commits := func(after, beside float64) *result {
		r := measured("L1/commits", map[string]figures{nobody: {"ops/s": {1000}}, nobodyAnyMore: {"ops/s": {after}}, "10,000 of another": {"ops/s": {beside}}, "10,000 of the table": {"ops/s": {1}}})
		r.workload = w[0]
		return r
	}
	require.Equal(t, met, judged(t, none, commits(990, 970)).State)
	require.Equal(t, met, judged(t, another, commits(990, 970)).State)
	require.Equal(t, notMet, judged(t, none, commits(989, 970)).State)
	require.Equal(t, notMet, judged(t, another, commits(990, 969)).State)
	yields := func(p99 float64) *result {
		r := measured("L1/yield", map[string]figures{"1 of the table": {"p99": {p99}}, "10,000 of the table": {"p99": {1e9}}})
		r.workload = w[1]
		return r
	}
	require.Equal(t, met, judged(t, yield, yields(5e6)).State)
	require.Equal(t, notMet, judged(t, yield, yields(5.1e6)).State)
}
