package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is what is written in the end.
type report struct {
	plan    plan
	machine machine
	results []*result
	took    time.Duration
}

// document is results.json.
type document struct {
	Quick   bool      `json:"quick"`
	Seconds float64   `json:"seconds"`
	Machine machine   `json:"machine"`
	Targets []verdict `json:"targets"`
	Results []*result `json:"results"`
}

func (r report) write(ctx context.Context, out string) error {
	verdicts := targets(r.results, r.plan.peers)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	plots, err := r.plots(filepath.Join(out, "plots"))
	if err != nil {
		return err
	}
	r.markdown(ctx, &text, verdicts, plots)
	data, err := json.MarshalIndent(document{r.plan.scale.quick, r.took.Seconds(), r.machine, verdicts, r.results}, "", " ")
	return errors.Join(err,
		replace(filepath.Join(out, "RESULTS.md"), []byte(text.String())),
		replace(filepath.Join(out, "results.json"), append(data, '\n')),
		r.renew(r.plan.readme))
}

// replace writes a file whole or not at all: on a full disk the old figures stay.
func replace(file string, text []byte) error {
	fresh := file + ".new"
	err := os.WriteFile(fresh, text, 0o644)
	if err == nil {
		err = os.Rename(fresh, file)
	}
	if err != nil {
		_ = os.Remove(fresh)
	}
	return err
}

func (r report) markdown(ctx context.Context, w io.Writer, verdicts []verdict, plots []string) {
	say := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	say("# sqlane beside its peers\n")
	if r.plan.scale.quick {
		say("**A quick run**: short windows and few runs. It shows the order of things; for figures run `make bench`.\n")
	}
	if load, cpus := r.machine.load(), float64(r.machine.CPUs); load > cpus/2 {
		say("**The machine was busy**: its load was %s before the run began. These figures are provisional.\n", number(load))
	}
	say("Written by the program in this folder; README.md says how to read it. Medians of up to %d rounds, with the lowest and the highest in brackets.", r.plan.scale.runs)
	say("In a round all peers take turns, and every ratio is of the figures of one round: speed is the peer's divided by sqlane's (at 0.5 it is half as fast),")
	say("CPU × its CPU time, user and system, divided by sqlane's (at 2 it needs twice as much). A latency counts from the call to its return. Every run began")
	say("with a fresh copy of the same database and ended with a check that all that was acknowledged is in it.\n")

	if len(verdicts) > 0 {
		good := 0
		for _, v := range verdicts {
			if v.State == met {
				good++
			}
		}
		say("## Targets: %d of %d met\n", good, len(verdicts))
		say("| workload | target | measured | |\n|---|---|---|---|")
		for _, v := range verdicts {
			say("| %s | %s | %s | %s |", v.Workload, v.Target, v.Measured, v.State)
		}
		say("\nA ratio is sqlane's to that peer with whom it is hardest, and the figures behind it are medians, sqlane's first. Where a target says that no peer is")
		say("better, %.0f %% count as equal. A log counts as growing without bound if a run of the kind left more than %s MB of it.\n", 100*(1-equal), number(unboundedLog))
	}
	for i, res := range r.results {
		switch {
		case res.curve == "":
			say("## %s: %s\n", res.ID, res.Title)
			res.table(say)
		case i == 0 || r.results[i-1].curve != res.curve:
			say("## %s: %s\n", res.curve, res.Title)
			curveTable(say, r.results[i:])
		}
	}
	if len(plots) > 0 {
		say("## Plots\n")
		for _, name := range plots {
			say("![%s](plots/%s)", strings.TrimSuffix(name, ".svg"), name)
		}
		say("")
	}
	say("## The peers\n")
	say("All use WAL mode, foreign keys and the workload's `synchronous`, and the rest of their defaults. SQLITE_BUSY is retried by nobody but SQLite's own busy handler, as configured.\n")
	for _, p := range r.plan.peers {
		say("- **%s** (%s %s): %s. Source: %s.", p.Name, p.Module, r.machine.Versions[p.Module], p.Config, p.Source)
	}
	if slices.ContainsFunc(r.results, func(res *result) bool { return slices.Contains(res.needs, clusterBench) }) {
		describeClients(ctx, say)
	}
	m := r.machine
	say("\n## The machine\n")
	say("%s, %d CPUs (%s), GOMAXPROCS %d, GOGC %s, %s of memory, %s; the databases on %s. Load before the run: %s. %s; took %v. The same for all peers: they ran in one process, one after the other, but for R4, P1/memory and I1, where each had one of its own, and C1, whose nodes are processes too. Point reads, but for S1/rows, read %d rows, which the page cache of one connection holds.",
		m.OS, m.CPUs, m.CPU, m.GOMAXPROCS, m.GOGC, m.Memory, m.Go, m.FileSystem, m.Load, m.Date, r.took.Round(time.Second), hot)
}

func (r *result) table(say func(string, ...any)) {
	cpu := r.cpuMetric()
	timed := slices.ContainsFunc(r.Series, func(s *series) bool { _, ok := s.of(cpu); return ok })
	head := []string{"", "rounds", r.Primary, "speed"}
	if timed {
		head = append(head, cpu, "CPU ×")
	}
	head = append(head, r.columns...)
	failures := slices.ContainsFunc(r.Series, func(s *series) bool { return len(s.Errors) > 0 || s.Note != "" })
	if failures {
		head = append(head, "errors")
	}
	say("%s\n|%s", row(head), strings.Repeat("---|", len(head)))
	for _, s := range r.Series {
		q, ok := s.of(r.Primary)
		cells := []string{s.Peer, strconv.Itoa(q.Rounds), withSpread(r.Primary, q, ok)}
		speed, ok := advantage(s, r.mine(), r.Primary)
		cells = append(cells, ratioTo(s == r.mine(), speed, ok))
		if timed {
			q, ok := s.of(cpu)
			cells = append(cells, withSpread(cpu, q, ok))
			needs, ok := quotient(s, cpu, r.mine(), cpu)
			cells = append(cells, ratioTo(s == r.mine(), needs, ok))
		}
		for _, c := range r.columns {
			cell := "–"
			if q, ok := s.of(c); ok {
				cell = show(c, q.Median)
			}
			cells = append(cells, cell)
		}
		if failures {
			var parts []string
			if s.Note != "" {
				parts = append(parts, s.Note)
			}
			for _, class := range slices.Sorted(maps.Keys(s.Errors)) {
				parts = append(parts, fmt.Sprintf("%d × %s", s.Errors[class], class))
			}
			cells = append(cells, strings.Join(parts, "; "))
		}
		say("%s", row(cells))
	}
	say("")
}

func row(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" }

// withSpread is a median with the lowest and the highest.
func withSpread(metric string, q quantity, ok bool) string {
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", show(metric, q.Median), show(metric, q.Min), show(metric, q.Max))
}

func ratioTo(self bool, q quantity, ok bool) string {
	if self && ok {
		return "1"
	}
	return withSpread("", q, ok)
}

// curveTable shows the points of the curve that the results begin with.
func curveTable(say func(string, ...any), results []*result) {
	curve := results[0].curve
	points := 0
	for points < len(results) && results[points].curve == curve {
		points++
	}
	results = results[:points]
	head := []string{results[0].Primary + " and " + results[0].cpuMetric() + ", " + results[0].axis + ":"}
	for _, res := range results {
		head = append(head, number(float64(res.x)))
	}
	say("%s\n|%s", row(head), strings.Repeat("---|", len(head)))
	notes := map[string]bool{}
	for _, first := range results[0].Series {
		cells := []string{first.Peer}
		for _, res := range results {
			s := res.of(first.Peer)
			cell := "–"
			if q, ok := s.of(res.Primary); ok {
				cell = show(res.Primary, q.Median)
			}
			if q, ok := s.of(res.cpuMetric()); ok {
				cell += ", " + show(res.cpuMetric(), q.Median)
			}
			for class, n := range s.Errors {
				cell += fmt.Sprintf(" (%d × %s)", n, class)
			}
			if s.Note != "" {
				notes[s.Note] = true
			}
			cells = append(cells, cell)
		}
		say("%s", row(cells))
	}
	say("")
	for note := range notes {
		say("–: %s.\n", note)
	}
}

var latencyMetric = regexp.MustCompile(`^(\w+ )?(p50|p99|max|mean)$`)

// show writes a metric's value as people read it.
func show(metric string, v float64) string {
	switch {
	case strings.HasPrefix(metric, "ns/"), strings.HasPrefix(metric, "CPU/"), latencyMetric.MatchString(metric):
		switch {
		case v < 1e3:
			return number(v) + " ns"
		case v < 1e6:
			return number(v/1e3) + " µs"
		case v < 1e9:
			return number(v/1e6) + " ms"
		}
		return number(v/1e9) + " s"
	}
	return number(v)
}

// number writes three digits, or all of them before the point.
func number(v float64) string {
	switch {
	case math.IsInf(v, 0):
		return "∞"
	case v == math.Trunc(v) && math.Abs(v) < 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 100:
		text := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	}
	return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
}
