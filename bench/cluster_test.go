package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/terminal"
	"github.com/stretchr/testify/require"
)

// answering is a bench with a program for a cluster, a shell's, that answers so.
func answering(t *testing.T, script string) *bench {
	t.Helper()
	b := &bench{scale: tiny(), dir: t.TempDir(), programs: t.TempDir()}
	t.Cleanup(func() { b.endCluster() })
	require.NoError(t, os.WriteFile(filepath.Join(b.programs, clusterNode), nil, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(b.programs, clusterBench), []byte("#!/bin/sh\necho one more >>\""+b.dir+"/runs\"\n"+script), 0o700))
	return b
}

// runs is how often the program was started.
func (b *bench) runs(t *testing.T) int {
	text, err := os.ReadFile(filepath.Join(b.dir, "runs"))
	require.NoError(t, err)
	return strings.Count(string(text), "\n")
}

const faithful = `while read -r question; do
	case $question in
	*sqlane*) echo '{"metrics": {"ops/s": 4000, "p50": 7}}';;
	*hoc*) echo '{"metrics": {"ops/s": 20}, "errors": {"database is locked": 7}}';;
	*) echo '{"metrics": {"ops/s": 250}}';;
	esac
done`

func TestThoseWhoUseAClusterTakeTurnsOnIt(t *testing.T) {
	b := answering(t, faithful)
	p := plan{scale: tiny()}
	p.scale.runs = 2
	var results []*result
	for _, w := range onCluster(tiny()) {
		r, err := p.measure(t.Context(), b, w, time.Now().Add(time.Hour))
		require.NoError(t, err)
		results = append(results, r)
	}
	require.Equal(t, 5, b.runs(t), "each workload has nodes of its own")
	require.Equal(t, tiny().window, b.window)
	b.endCluster()
	left, err := filepath.Glob(filepath.Join(b.dir, "cluster-*"))
	require.NoError(t, err)
	require.Empty(t, left)

	require.Equal(t, "4,000 a second", figuresOf(results...))
	require.Equal(t, map[string]int64{"database is locked": 14}, results[2].of("go-dqlite ad hoc").Errors)
	require.Equal(t, verdict{"C1/write/100", "≥ 20 × go-dqlite as first written", "200 × go-dqlite ad hoc (200–200; 4,000 : 20)", met},
		judged(t, "≥ 20 × go-dqlite as first written", results...))
	require.Equal(t, verdict{"C1/write/100", "≥ 15 × its best configuration", "16 × go-dqlite one (16–16; 4,000 : 250)", met},
		judged(t, "≥ 15 × its best configuration", results...))
}

// figuresOf is sqlane's cell of the line that a README shows of a cluster.
func figuresOf(results ...*result) string {
	_, line, _ := strings.Cut(report{results: results}.figures(), "| a cluster of three, 100 goroutines, a durable row each | ")
	cell, _, _ := strings.Cut(line, " |")
	return cell
}

func TestWhatCannotBeMeasuredOnAClusterIsSaidAndNewNodesGoOn(t *testing.T) {
	b := answering(t, `while read -r question; do
	case $question in
	*hoc*) echo '{"failure": "no leader"}';;
	*one*) echo 'it is over' >&2; exit 1;;
	*tx*) echo '{"failure": "a row is missing", "wrong": true}';;
	*) echo '{"metrics": {"ops/s": 1}}';;
	esac
done`)
	ask := func(peer string) (sample, error) { return b.ask(t.Context(), "C1", question{Peer: peer}) }
	s, err := ask("sqlane")
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"ops/s": 1}, s.metrics)
	s, err = ask("go-dqlite ad hoc")
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"no leader": 1}, s.errors)
	s, err = ask("go-dqlite one")
	require.NoError(t, err)
	require.Equal(t, map[string]int64{clusterBench + ": EOF: it is over": 1}, s.errors)
	_, err = ask("go-dqlite tx")
	require.ErrorIs(t, err, errWrong)
	require.Equal(t, 3, b.runs(t), "those who began anew after a failure")
}

func TestWithoutAClusterTheResultsSayThatItIsNotMeasured(t *testing.T) {
	out := t.TempDir()
	p := plan{scale: tiny()}
	for _, w := range onCluster(tiny()) {
		if w.ID == "C1/write/100" {
			w.needs = append(w.needs, "what-nobody-has")
			p.workloads = append(p.workloads, w)
		}
	}
	require.NoError(t, p.run(t.Context(), t.TempDir(), out, "", terminal.NewLine(io.Discard)))
	text, err := os.ReadFile(filepath.Join(out, "RESULTS.md"))
	require.NoError(t, err)
	require.Regexp(t, `\| C1/write/100 \| ≥ 20 [^\n]* \| NOT MEASURED: there is no sqlane-bench-cluster[^\n]* \| \*\*not measured\*\* \|`, string(text))
	for _, peer := range clients {
		require.Regexp(t, fmt.Sprintf(`(?m)^\| %s \| 0 \|[^\n]*NOT MEASURED`, peer.Name), string(text))
		require.Contains(t, string(text), "- **"+peer.Name+"** ("+peer.Module+" ")
	}
}
