// Command bench measures sqlane beside its peers, all in one run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/sqlane/sqlane/internal/terminal"
)

const usage = `bench measures sqlane beside its peers, which take turns, and writes RESULTS.md,
results.json and plots.

Usage: bench [-quick] [-only REGEXP] [-peers REGEXP] [-runs N] [-dir DIR] [-out DIR]
             [-tree DIR] [-readme FILE] [-list]

  -quick         two minutes instead of twenty: shorter runs, smaller curves
  -only REGEXP   only the workloads whose id matches: R1, W1|W2, S1
  -peers REGEXP  only the peers whose name matches
  -runs N        rounds of each workload, fewer if the time runs out; default: 5,
                 with -quick 3
  -dir DIR       where the databases go, on a real file system; default: $TMPDIR
  -out DIR       where the results go; default: bench, but build/bench with -quick,
                 -only or -peers
  -tree DIR      what I1 indexes; default: the src folder of go env GOROOT
  -readme FILE   renew the figures between its two markers, if all was measured and
                 not with -quick
  -list          list the workloads and the peers

A workload's result is checked after every run: a row that was acknowledged and is
not there ends the program. How it gets on is shown on a terminal, on standard error.

Exit codes: 0 done, 1 failed or a result is wrong, 2 wrong usage, 130 interrupted.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	// Nobody reads what it says: it ends and clears up.
	ctx, forget := signal.NotifyContext(ctx, syscall.SIGPIPE)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	forget()
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	quick := flags.Bool("quick", false, "")
	list := flags.Bool("list", false, "")
	only := flags.String("only", "", "")
	which := flags.String("peers", "", "")
	runs := flags.Int("runs", 0, "")
	dir := flags.String("dir", os.TempDir(), "")
	tree := flags.String("tree", "", "")
	apart := flags.String("apart", "", "") // for itself: see apart.go
	out := flags.String("out", "", "")
	readme := flags.String("readme", "", "")
	wrong := func(err error) int {
		fmt.Fprintf(stderr, "bench: %v; bench -help tells more\n", err)
		return 2
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		return wrong(err)
	case flags.NArg() > 0 && *apart == "":
		return wrong(fmt.Errorf("%q is no flag", flags.Arg(0)))
	case *runs < 0:
		return wrong(fmt.Errorf("-runs %d is less than 1", *runs))
	}
	if *apart != "" {
		if err := beApart(ctx, *apart, flags.Args(), stdout); err != nil {
			fmt.Fprintln(stderr, "bench:", err)
			return 1
		}
		return 0
	}
	onlyThese, err := regexp.Compile(*only)
	if err != nil {
		return wrong(fmt.Errorf("-only: %w", err))
	}
	thesePeers, err := regexp.Compile(*which)
	if err != nil {
		return wrong(fmt.Errorf("-peers: %w", err))
	}
	s := fullScale()
	if *quick {
		s = quickScale()
	}
	if *out == "" {
		*out = "bench"
		if *quick || *only != "" || *which != "" { // the whole results stay as they are
			*out = filepath.Join("build", "bench")
		}
	}
	if *runs > 0 {
		s.runs = *runs
	}
	p := plan{scale: s, whole: *only == "" && *which == ""}
	if p.whole && !*quick {
		p.readme = *readme
	}
	for _, w := range workloads(s) {
		if onlyThese.MatchString(w.ID) {
			p.workloads = append(p.workloads, w)
		}
	}
	for _, peer := range peers.All() {
		if thesePeers.MatchString(peer.Name) {
			p.peers = append(p.peers, peer)
		}
	}
	switch {
	case len(p.workloads) == 0:
		return wrong(fmt.Errorf("-only %s matches no workload; -list lists them", *only))
	case len(p.peers) == 0:
		return wrong(fmt.Errorf("-peers %s matches no peer; -list lists them", *which))
	case *list:
		for _, w := range p.workloads {
			fmt.Fprintf(stdout, "%-16s %s\n", w.ID, w.Title)
		}
		for _, peer := range p.peers {
			fmt.Fprintf(stdout, "%-16s %s\n", peer.Name, peer.Config)
		}
		return 0
	}
	indexes := slices.ContainsFunc(p.workloads, func(w workload) bool { return strings.HasPrefix(w.ID, "I1") })
	if *tree == "" && indexes {
		goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return wrong(fmt.Errorf("go env GOROOT: %w; say what to index with -tree", err))
		}
		*tree = filepath.Join(strings.TrimSpace(string(goroot)), "src")
	}
	if err := errors.Join(ready(*dir, *out, *tree, indexes), hasFigures(p.readme)); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	start := time.Now()
	line := terminal.NewLine(stderr)
	err = p.run(ctx, *dir, *out, *tree, line)
	line.Stop()
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "bench: interrupted; no results are written")
		return 130
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	fmt.Fprintf(stderr, "done in %v; see %s\n", time.Since(start).Round(time.Second), filepath.Join(*out, "RESULTS.md"))
	return 0
}

// ready looks now for what would otherwise be missed after twenty minutes.
func ready(dir, out, tree string, indexes bool) error {
	for _, to := range []struct{ flag, dir string }{{"-dir", dir}, {"-out", out}} {
		if to.flag == "-out" {
			if err := os.MkdirAll(to.dir, 0o755); err != nil {
				return fmt.Errorf("%w; name another directory with -out", err)
			}
		}
		probe, err := os.MkdirTemp(to.dir, ".bench-")
		if err != nil {
			return fmt.Errorf("%w; name another directory with %s", err, to.flag)
		}
		if err := os.Remove(probe); err != nil {
			return err
		}
	}
	if !indexes {
		return nil
	}
	if info, err := os.Stat(tree); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no directory %s to index; name another with -tree", tree)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, program := range []string{"fileindex", "sqlane-bench-naive"} {
		if path := filepath.Join(filepath.Dir(self), program); !exists(path) {
			return fmt.Errorf("I1 needs %s; make bench builds it", path)
		}
	}
	return nil
}
