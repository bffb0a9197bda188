package main

import (
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

func (r report) write(out string) error {
	verdicts := targets(r.results, r.plan.peers)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	plots, err := r.plots(filepath.Join(out, "plots"))
	if err != nil {
		return err
	}
	r.markdown(&text, verdicts, plots)
	data, err := json.MarshalIndent(document{r.plan.scale.quick, r.took.Seconds(), r.machine, verdicts, r.results}, "", " ")
	return errors.Join(err,
		replace(filepath.Join(out, "RESULTS.md"), []byte(text.String())),
		replace(filepath.Join(out, "results.json"), append(data, '\n')))
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

func (r report) markdown(w io.Writer, verdicts []verdict, plots []string) {
	say := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	say("# sqlane beside its peers\n")
	if r.plan.scale.quick {
		say("**A quick run**: short windows and few runs. It shows the order of things; for figures run `make bench`.\n")
	}
	if load, cpus := r.machine.load(), float64(r.machine.CPUs); load > cpus/2 {
		say("**The machine was busy**: its load was %s before the run began. These figures are provisional.\n", number(load))
	}
	say("Written by the program in this folder; README.md says how to read it. Medians of up to %d runs, in which all peers take turns, with the", r.plan.scale.runs)
	say("lowest and the highest in brackets. Speed is the peer's divided by sqlane's: at 0.5 it is half as fast. A latency counts from the call to its")
	say("return. Every run began with a fresh copy of the same database and ended with a check that all that was acknowledged is in it.\n")

	if len(verdicts) > 0 {
		met := 0
		for _, v := range verdicts {
			if v.Met {
				met++
			}
		}
		say("## Targets: %d of %d met\n", met, len(verdicts))
		say("| workload | target | measured | |\n|---|---|---|---|")
		for _, v := range verdicts {
			say("| %s | %s | %s | %s |", v.Workload, v.Target, v.Measured, map[bool]string{true: "met", false: "**not met**"}[v.Met])
		}
		say("\nWhere a target says that no peer is better, %.0f %% count as equal.\n", 100*(1-equal))
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
	m := r.machine
	say("\n## The machine\n")
	say("%s, %d CPUs (%s), GOMAXPROCS %d, GOGC %s, %s of memory, %s; the databases on %s. Load before the run: %s. %s; took %v. The same for all peers: they ran in one process.",
		m.OS, m.CPUs, m.CPU, m.GOMAXPROCS, m.GOGC, m.Memory, m.Go, m.FileSystem, m.Load, m.Date, r.took.Round(time.Second))
}

func (r *result) table(say func(string, ...any)) {
	head, line := "| | runs | "+r.Primary+" | speed |", "|---|---|---|---|"
	for _, c := range r.columns {
		head, line = head+" "+c+" |", line+"---|"
	}
	failures := slices.ContainsFunc(r.Series, func(s *series) bool { return len(s.Errors) > 0 || s.Note != "" })
	if failures {
		head, line = head+" errors |", line+"---|"
	}
	say("%s", head+"\n"+line)
	own := r.of("sqlane")
	for _, s := range r.Series {
		row := fmt.Sprintf("| %s | %d | ", s.Peer, len(s.Metrics[r.Primary].Runs))
		if q, ok := s.Metrics[r.Primary]; ok {
			row += fmt.Sprintf("%s (%s–%s) | ", show(r.Primary, q.Median), show(r.Primary, q.Min), show(r.Primary, q.Max))
			speed := "–"
			if own != nil && own.Metrics[r.Primary].Median > 0 {
				ratio := q.Median / own.Metrics[r.Primary].Median
				if lowerIsBetter(r.Primary) {
					ratio = 1 / ratio
				}
				speed = number(ratio)
			}
			row += speed + " |"
		} else {
			row += "– | – |"
		}
		for _, c := range r.columns {
			if q, ok := s.Metrics[c]; ok {
				row += " " + show(c, q.Median) + " |"
			} else {
				row += " – |"
			}
		}
		if failures {
			var parts []string
			if s.Note != "" {
				parts = append(parts, s.Note)
			}
			for _, class := range slices.Sorted(maps.Keys(s.Errors)) {
				parts = append(parts, fmt.Sprintf("%d × %s", s.Errors[class], class))
			}
			row += " " + strings.Join(parts, "; ") + " |"
		}
		say("%s", row)
	}
	say("")
}

// curveTable shows the points of the curve that the results begin with.
func curveTable(say func(string, ...any), results []*result) {
	curve := results[0].curve
	points := 0
	for points < len(results) && results[points].curve == curve {
		points++
	}
	results = results[:points]
	head, line := "| "+results[0].Primary+", "+results[0].axis+": |", "|---|"
	for _, res := range results {
		head, line = head+" "+number(float64(res.x))+" |", line+"---|"
	}
	say("%s", head+"\n"+line)
	notes := map[string]bool{}
	for _, first := range results[0].Series {
		row := "| " + first.Peer + " |"
		for _, res := range results {
			s := res.of(first.Peer)
			cell := "–"
			if q, ok := s.Metrics[res.Primary]; ok {
				cell = show(res.Primary, q.Median)
			}
			for class, n := range s.Errors {
				cell += fmt.Sprintf(" (%d × %s)", n, class)
			}
			if s.Note != "" {
				notes[s.Note] = true
			}
			row += " " + cell + " |"
		}
		say("%s", row)
	}
	say("")
	for note := range notes {
		say("–: %s.\n", note)
	}
}

func lowerIsBetter(metric string) bool { return !strings.HasSuffix(metric, "/s") }

var latencyMetric = regexp.MustCompile(`^(\w+ )?(p50|p99|max|mean)$`)

// show writes a metric's value as people read it.
func show(metric string, v float64) string {
	switch {
	case strings.HasPrefix(metric, "ns/"), latencyMetric.MatchString(metric):
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
