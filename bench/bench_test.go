package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/internal/terminal"
	"github.com/stretchr/testify/require"
)

// tiny is enough to see that everything works, and nothing else.
func tiny() scale {
	return scale{
		budget: time.Nanosecond, runs: 1, warm: time.Millisecond, window: 5 * time.Millisecond, rows: 1000, stream: 1000, watchers: []int{1, 20},
		curveRuns: 1, curveWindow: 5 * time.Millisecond, goroutines: []int{20}, conns: []int{2}, tables: []int{1000},
	}
}

// asProgram makes the test binary bench itself.
const asProgram = "SQLANE_TEST_BENCH"

// TestMain is the program itself where a test has a peer measured apart.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	if len(os.Args) > 1 && os.Args[1] == "-apart" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// inProcess leaves out what needs other programs, whose parts have tests of
// their own, what takes long, and what differs from others in a parameter alone.
func inProcess(s scale) (all []workload) {
	for _, w := range workloads(s) {
		switch w.ID {
		case "P1/memory", "I1", "R2/1000", "W1", "W1/upsert", "W3/full", "W4/write/full", "W4/tx/full":
		default:
			if w.needs == nil {
				all = append(all, w)
			}
		}
	}
	return all
}

func TestEveryPeerDoesEveryWorkload(t *testing.T) {
	out := t.TempDir()
	p := plan{scale: tiny(), workloads: inProcess(tiny()), peers: peers.All()}
	require.NoError(t, p.run(t.Context(), t.TempDir(), out, "", terminal.NewLine(io.Discard)))

	var d struct {
		Targets []verdict
		Results []struct {
			ID, Primary string
			Series      []series
		}
	}
	text, err := os.ReadFile(filepath.Join(out, "results.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &d))
	require.Len(t, d.Results, len(p.workloads))
	for _, r := range d.Results {
		if r.ID != "P1/take" && r.ID != "O1" && !strings.HasPrefix(r.ID, "L1") { // sqlane's alone
			require.GreaterOrEqual(t, len(r.Series), len(p.peers)-1, r.ID)
		}
		for _, s := range r.Series {
			if s.Note != "" {
				continue
			}
			require.Empty(t, s.Errors, "%s of %s", r.ID, s.Peer)
			require.Len(t, s.Rounds, 1)
			require.Contains(t, s.Rounds[0], r.Primary, "%s of %s", r.ID, s.Peer)
			if r.ID == "R1" { // in so short a time others may do nothing
				require.Contains(t, s.Rounds[0], cpuPerOp, s.Peer)
			}
		}
	}
	require.NotEmpty(t, d.Targets)
	require.FileExists(t, filepath.Join(out, "RESULTS.md"))
}

func TestCurvesAndLatenciesAreDrawnAndAPointIsNot(t *testing.T) {
	at := func(n int, ops float64) *result {
		return &result{
			workload: workload{ID: "S1/readers/1", Primary: "ops/s", curve: "S1/readers", axis: "goroutines", x: n},
			Series:   []*series{{Peer: "sqlane", Rounds: []map[string]float64{{"ops/s": ops}}}},
		}
	}
	w1 := &result{workload: workload{ID: "W1", Primary: "ops/s"}, Series: []*series{{Peer: "sqlane"}}}
	for ns := range 100 {
		s := sample{latency: newHistogram()}
		require.NoError(t, s.latency.RecordValue(int64(1000*(ns+1))))
		w1.Series[0].add(s)
	}
	names, err := report{results: []*result{at(1, 5), at(10, 50), w1}}.plots(t.TempDir())
	require.NoError(t, err)
	require.Equal(t, []string{"readers.svg", "latency.svg"}, names)
	names, err = report{results: []*result{at(1, 5), at(10, 0)}}.plots(t.TempDir())
	require.NoError(t, err)
	require.Empty(t, names)
}

func TestARowThatWasAcknowledgedAndIsNotThereIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	require.NoError(t, makeDatabase(t.Context(), path, 1500))
	require.NoError(t, verify(t.Context(), path, expected{rows: 1500}))
	for name, want := range map[string]expected{
		"a lost append": {rows: 1500, appended: 1}, "a lost sum": {rows: 1500, appendedSum: 1},
		"a lost file": {rows: 1500, files: 1}, "a lost touch": {rows: 1500, touched: 1}, "a row too many": {rows: 1499},
	} {
		require.ErrorIs(t, verify(t.Context(), path, want), errWrong, name)
	}
	require.NoError(t, verify(t.Context(), path, expected{rows: 1499, failed: 1}), "what failed may have happened")
}

// forgetful loses what it acknowledges.
type forgetful struct{ peers.DB }

func (forgetful) Touch(context.Context, string, gen.AppendLogParams) error { return nil }

func TestAPeerThatIsFastByLosingRowsEndsTheRun(t *testing.T) {
	honest := peers.All()[0]
	liar := honest
	liar.Open = func(ctx context.Context, o peers.Options) (peers.DB, error) {
		db, err := honest.Open(ctx, o)
		return forgetful{db}, err
	}
	p := plan{scale: tiny(), peers: []peers.Peer{liar}}
	for _, w := range workloads(tiny()) {
		if w.ID == "W3/normal" {
			p.workloads = append(p.workloads, w)
		}
	}
	require.NotEmpty(t, p.workloads)
	require.ErrorIs(t, p.run(t.Context(), t.TempDir(), t.TempDir(), "", terminal.NewLine(io.Discard)), errWrong)
}

func TestATableIsTheSameWhereverItIsMade(t *testing.T) {
	b := &bench{scale: tiny(), dir: t.TempDir(), sound: map[string]bool{}}
	path, err := b.table(t.Context(), 1000)
	require.NoError(t, err)
	require.True(t, isSound(t.Context(), path, 1000))
	require.False(t, isSound(t.Context(), path, 1001))
	again, err := b.table(t.Context(), 1000)
	require.NoError(t, err)
	require.Equal(t, path, again)
}

func TestMediansAndNumbers(t *testing.T) {
	three, ok := summarize([]float64{9, 1, 2})
	require.True(t, ok)
	require.Equal(t, quantity{Median: 2, Min: 1, Max: 9, Rounds: 3}, three)
	two, _ := summarize([]float64{4, 2})
	require.Equal(t, 3.0, two.Median)
	_, ok = summarize(nil)
	require.False(t, ok)
	require.Equal(t, "∞", number(math.Inf(1)))
	for want, v := range map[string]float64{"0": 0, "7": 7, "1.23": 1.234, "12.3": 12.34, "123": 123.4, "1,234,568": 1234567.8, "0.0123": 0.01234} {
		require.Equal(t, want, number(v))
	}
	require.Equal(t, "25 GB", size("24684084 kB"))
	require.Equal(t, "unknown", size("unknown"))
	require.Equal(t, "1.50 ms", show("read p99", 1.5e6))
	require.Equal(t, "2.50", show("p99/p50", 2.5))
	require.Equal(t, "17.5", show("peak MB", 17.5))
}

func TestUsage(t *testing.T) {
	for args, code := range map[string]int{"-help": 0, "-list": 0, "-runs=-1": 2, "-only=(": 2, "-only=nothing": 2, "-peers=nobody": 2, "-list -only=nothing": 2, "-what": 2, "extra": 2} {
		var out, err bytes.Buffer
		require.Equal(t, code, run(t.Context(), strings.Fields(args), &out, &err), args)
		require.Equal(t, code == 0, err.Len() == 0, args)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, err bytes.Buffer
	require.Equal(t, 130, run(ctx, []string{"-quick", "-only", "R1", "-dir", t.TempDir(), "-out", t.TempDir()}, &out, &err))
}

func TestWhatIsMissingIsToldBeforeAnythingIsMeasured(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	here := t.TempDir()
	for want, args := range map[string][]string{
		"nowhere[^\n]*; name another directory with -dir":              {"-only", "R1", "-dir", filepath.Join(here, "nowhere"), "-out", here},
		"file[^\n]*; name another directory with -out":                 {"-only", "R1", "-dir", here, "-out", filepath.Join(file, "out")},
		"no directory [^\n]*nowhere to index; name another with -tree": {"-only", "R1|I1", "-dir", here, "-out", here, "-tree", filepath.Join(here, "nowhere")},
		"no directory [^\n]*file to index; name another with -tree":    {"-only", "I1/entries", "-dir", here, "-out", here, "-tree", file},
		"I1 needs [^\n]*fileindex; make bench builds it":               {"-only", "I1", "-dir", here, "-out", here, "-tree", here},
	} {
		var out, err bytes.Buffer
		require.Equal(t, 1, run(t.Context(), args, &out, &err))
		require.Regexp(t, "^bench: [^\n]*"+want+"\n$", err.String())
	}
	left, err := os.ReadDir(here)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestOldResultsStayWhereNewOnesCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	require.NoError(t, replace(file, []byte("old")))
	require.NoError(t, os.Mkdir(file+".new", 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(file+".new", "x"), nil, 0o600))
	require.Error(t, replace(file, []byte("new")))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "old", string(text))
	require.NoError(t, os.RemoveAll(file+".new"))
	require.NoError(t, replace(file, []byte("new")))
	text, err = os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "new", string(text))
}

func TestAPeerThatCannotIsShownAndSqlaneThatCannotFails(t *testing.T) {
	unable := func(name string) peers.Peer {
		return peers.Peer{Name: name, Open: func(context.Context, peers.Options) (peers.DB, error) { return nil, errors.New("no room") }}
	}
	b := &bench{scale: tiny(), dir: t.TempDir(), template: filepath.Join(t.TempDir(), "t.db")}
	require.NoError(t, makeDatabase(t.Context(), b.template, 1000))
	r, err := plan{scale: tiny(), peers: []peers.Peer{unable("poor")}}.measure(t.Context(), b, pointRead(), time.Now())
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"no room": 1}, r.of("poor").Errors)
	_, err = plan{scale: tiny(), peers: []peers.Peer{unable("sqlane")}}.measure(t.Context(), b, pointRead(), time.Now())
	require.ErrorContains(t, err, "no room")
}
