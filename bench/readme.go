package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/sqlane/sqlane/bench/peers"
)

// Between these lines of a README the program writes its figures.
const (
	figuresBegin = "<!-- figures: written by make bench -->"
	figuresEnd   = "<!-- end of figures -->"
)

// hasFigures looks for the markers of a README now rather than after twenty minutes.
func hasFigures(file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if _, _, ok := aroundFigures(string(text)); !ok {
		return fmt.Errorf("%s has no lines %q and %q", file, figuresBegin, figuresEnd)
	}
	return nil
}

func aroundFigures(text string) (before, after string, ok bool) {
	before, rest, ok := strings.Cut(text, figuresBegin+"\n")
	if !ok {
		return "", "", false
	}
	_, after, ok = strings.Cut(rest, figuresEnd+"\n")
	return before + figuresBegin + "\n", figuresEnd + "\n" + after, ok
}

// renew puts the figures into a README.
func (r report) renew(file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, after, ok := aroundFigures(string(text))
	if !ok {
		return hasFigures(file)
	}
	return replace(file, []byte(before+r.figures()+after))
}

// figures are those that a README shows: RESULTS.md in a few lines.
func (r report) figures() string {
	j, m := newJudge(r.results, r.plan.peers), r.machine
	var out strings.Builder
	fmt.Fprintf(&out, "A few of the ratios, from [all the figures](../bench/RESULTS.md) (%s, %d CPUs, %s of memory, %s, %s, modernc.org/sqlite %s):\n\n",
		m.CPU, m.CPUs, m.Memory, m.FileSystem, m.Go, m.Versions["modernc.org/sqlite"])
	out.WriteString("| | sqlane | beside |\n|---|---|---|\n")
	line := func(what, id, own, metric string, beside ...string) {
		if _, ok := j.results[id].mine().of(metric); !ok {
			return
		}
		fmt.Fprintf(&out, "| %s | %s | %s |\n", what, own, strings.Join(slices.DeleteFunc(beside, func(s string) bool { return s == "" }), ", "))
	}
	own := func(id, metric string) string {
		q, _ := j.results[id].mine().of(metric)
		return show(metric, q.Median)
	}
	tuned := group{has: func(p peers.Peer) bool { return isPeer(p) && p.Tuned }}
	const adHoc = "`database/sql` + modernc as first written"

	line("one typed row by its key", "R1", own("R1", "ns/op"), "ns/op",
		j.times("R1", "ns/op", named("modernc ad hoc"), "× as fast as "+adHoc),
		j.times("R1", "ns/op", named("zombiezen"), "× zombiezen's pool"),
		j.times("R1", "ns/op", named("floor"), "× SQLite itself"))
	line("1,000 typed rows in one query", "R3", own("R3", "ns/row")+" a row", "ns/row",
		j.times("R3", "ns/row", named("modernc tuned"), "× as fast as `database/sql` + modernc, tuned"),
		j.times("R3", "ns/row", named("zombiezen"), "× zombiezen's pool"),
		j.times("R3", "ns/row", named("floor"), "× SQLite itself"))
	line("a million typed rows through an iterator", "R4", own("R4", "ns/row")+" a row, in "+own("R4", "peak MB")+" MB", "ns/row",
		j.times("R4", "ns/row", named("modernc tuned"), "× as fast as `database/sql` + modernc, tuned"),
		j.times("R4", "ns/row", named("zombiezen"), "× zombiezen's pool"))
	line("reads alone, 100 goroutines", "R2/100", own("R2/100", "ops/s")+" a second", "ops/s",
		j.times("R2/100", "ops/s", group{has: isPeer}, "× the best peer"),
		j.times("R2/100", cpuPerOp, group{has: isPeer}, "× by CPU time"))
	line("100 goroutines, a durable row each (`synchronous=full`)", "W1", own("W1", "ops/s")+" a second, none waits longer than "+own("W1", "max"), "ops/s",
		j.times("W1", "ops/s", named("modernc ad hoc"), "× "+adHoc+", whose longest wait is "+j.median("W1", "max", "modernc ad hoc")),
		j.times("W1", "ops/s", tuned, "× the best tuned peer"),
		j.times("W1", "ops/s", named("floor"), "× SQLite itself with 1,000 rows a transaction"))
	line("the same at `synchronous=normal`", "W2", own("W2", "ops/s")+" a second", "ops/s",
		j.times("W2", "ops/s", named("modernc ad hoc"), "× "+adHoc),
		j.times("W2", "ops/s", tuned, "× the best tuned peer"))
	line("90 % reads and 10 % durable writes, 100 goroutines", "M1", own("M1", "ops/s")+" a second", "ops/s",
		j.times("M1", "ops/s", group{has: isPeer}, "× the best peer"))
	line("`InTx` of a read and two writes, 100 goroutines, `normal`", "W3/normal", own("W3/normal", "ops/s")+" a second, p99 / p50 "+own("W3/normal", "p99/p50"), "ops/s",
		j.times("W3/normal", "ops/s", tuned, "× the best tuned peer"),
		j.times("W3/full", "ops/s", tuned, "× at `full`"))
	line("one goroutine alone, a row each, `normal`", "W4/write/normal", own("W4/write/normal", "ops/s")+" a second, and leaves a log of "+own("W4/write/normal", written)+" MB", "ops/s",
		j.times("W4/write/normal", "ops/s", j.logIs("W4/write/", true), "× the best peer that never checkpoints such writes"),
		j.times("W4/write/normal", "ops/s", j.logIs("W4/write/", false), "× the best one that does"))
	line("indexing Go's source tree, durably", "I1", own("I1", "entries/s")+" entries a second in "+own("I1", "peak MB")+" MB", "entries/s",
		j.times("I1", "entries/s", group{has: isPeer}, "× the same with one `database/sql` transaction an entry"))
	line("a cluster of three, 100 goroutines, a durable row each", "C1/write/100", own("C1/write/100", "ops/s")+" a second", "ops/s",
		j.times("C1/write/100", "ops/s", named("go-dqlite ad hoc"), "× go-dqlite as first written"),
		j.times("C1/write/100", "ops/s", group{has: isPeer}, "× its best configuration"))
	return out.String()
}

// times is how many times as good sqlane is as the best of some peers.
func (j *judge) times(id, metric string, among group, words string) string {
	q, peer, _ := j.hardest(id, metric, among, gains)
	if peer == nil {
		return ""
	}
	return number(q.Median) + " " + words
}

func (j *judge) median(id, metric, peer string) string {
	q, ok := j.results[id].of(peer).of(metric)
	if !ok {
		return "–"
	}
	return show(metric, q.Median)
}
