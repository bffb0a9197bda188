// Command stress does everything that a pool offers at once, in every mode, and
// exits with 1 if anything is not as it must be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/sqlane/sqlane/internal/stress/mix"
	"github.com/sqlane/sqlane/internal/terminal"
	"github.com/sqlane/sqlane/pool"
	"go.uber.org/goleak"
)

const usage = `stress does everything that a pool offers at once, in every journal mode and in
memory, with 1, 2, 8 and 50 connections, waiting for other processes' locks
(BusyTimeout) and not. One mode after the other gets an equal share of the time.
It ends with the figures, at the first violation too, and after Ctrl-C with those
so far. The databases go to $TMPDIR. How it gets on is shown on a terminal.

With -soak it works in one mode all the time, backups and health checks beside,
and sees that memory, goroutines, descriptors and the write-ahead log are no more
in the last third of the time than in the first.

Usage: stress [-for DURATION] [-goroutines N] [-soak]

  -for DURATION   how long, all modes together: 90s, 20m, 1h30m; default: 10m
  -soak           one mode, and nothing may grow
  -goroutines N   how many work at once; default: 100

Exit codes: 0 everything held, 1 something did not, 2 wrong usage, 130 interrupted,
and everything held so far.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	// Nobody reads what it says: it ends and clears up.
	ctx, forget := signal.NotifyContext(ctx, syscall.SIGPIPE)
	code := start(ctx, os.Args[1:], os.Stdout, os.Stderr)
	forget()
	stop()
	os.Exit(code)
}

func start(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("stress", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	length := 10 * time.Minute
	flags.Func("for", "", func(text string) (err error) {
		if length, err = time.ParseDuration(text); err != nil || length <= 0 {
			return errors.New("no time; write 90s, 20m or 1h30m")
		}
		return nil
	})
	goroutines := flags.Int("goroutines", 100, "")
	soak := flags.Bool("soak", false, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("%q is no flag", flags.Arg(0))
	case *goroutines < 1:
		err = fmt.Errorf("-goroutines %d is less than 1", *goroutines)
	}
	if err != nil {
		fmt.Fprintf(stderr, "stress: %v; stress -help tells more\n", err)
		return 2
	}
	dir, err := os.MkdirTemp("", "sqlane-stress-")
	if err != nil {
		fmt.Fprintf(stderr, "stress: %v; $TMPDIR names a directory to work in\n", err)
		return 1
	}
	todo := rounds()
	if *soak {
		todo = []round{soaking}
	}
	line := terminal.NewLine(stderr)
	results, err := runAll(ctx, todo, dir, length, *goroutines, line)
	line.Stop()
	err = errors.Join(err, os.RemoveAll(dir))
	report(stdout, results)
	if *soak {
		err = errors.Join(err, reportFlatness(stdout, results))
	}
	switch {
	case err != nil:
		fmt.Fprintf(stdout, "\nVIOLATION: %v\n", err)
		return 1
	case ctx.Err() != nil:
		fmt.Fprintln(stdout, "\ninterrupted; everything held so far")
		return 130
	}
	fmt.Fprintln(stdout, "\neverything held")
	return 0
}

// round is one mode.
type round struct {
	journal string // or "memory"
	conns   int
	busy    time.Duration
}

func (r round) String() string {
	wait := "default"
	if r.busy < 0 {
		wait = "off"
	}
	return fmt.Sprintf("%s\t%d\t%s", r.journal, r.conns, wait)
}

func rounds() (all []round) {
	for _, journal := range []string{"wal", "delete", "memory"} {
		for _, conns := range []int{1, 2, 8, 50} {
			for _, busy := range []time.Duration{-1, 0} {
				all = append(all, round{journal, conns, busy})
			}
		}
	}
	return all
}

// result is what came of a round.
type result struct {
	round
	mix.Figures
	stats         pool.Stats
	took          time.Duration
	before, after resources
	flat          flatness
}

// resources are what a pool must give back when it is closed.
type resources struct {
	goroutines, descriptors int
	heap                    uint64
}

func measure() resources {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return resources{runtime.NumGoroutine(), descriptors(), m.HeapAlloc}
}

func descriptors() int {
	open, _ := os.ReadDir("/dev/fd") // none where there is no such directory
	return len(open)
}

// runAll runs the rounds until ctx ends or one fails. The line says how they get on.
func runAll(ctx context.Context, todo []round, dir string, length time.Duration, goroutines int, line *terminal.Line) (results []result, err error) {
	start := time.Now()
	for i, r := range todo {
		if ctx.Err() != nil {
			break
		}
		left := length - time.Since(start)
		// Not nothing, where those before took longer than they had.
		share, cancel := context.WithTimeout(ctx, max(left/time.Duration(len(todo)-i), time.Second))
		result, err := run(share, r, filepath.Join(dir, fmt.Sprintf("%d.db", i)), goroutines, line)
		cancel()
		results = append(results, result)
		if err != nil {
			return results, fmt.Errorf("%s: %w", strings.ReplaceAll(r.String(), "\t", " "), err)
		}
	}
	return results, nil
}

// run does one round until ctx ends, and whatever was begun by then to its end.
func run(ctx context.Context, r round, path string, goroutines int, line *terminal.Line) (res result, err error) {
	res = result{round: r, before: measure()}
	others := goleak.IgnoreCurrent()
	began := time.Now()
	whole := context.WithoutCancel(ctx)
	p, err := pool.Open(whole, config(r, path))
	if err != nil {
		return res, err
	}
	m, err := mix.New(whole, p)
	if err != nil {
		return res, errors.Join(err, p.Close())
	}
	line.Watch(func() string {
		s := p.Stats()
		return fmt.Sprintf("%s: %d operations, %d connections open, %d callers waiting, WAL %s",
			strings.ReplaceAll(r.String(), "\t", " "), m.Figures().Total, s.Open, s.Waiting, humanize.IBytes(uint64(s.WALBytes)))
	})
	defer line.Doing("")
	done := make(chan error)
	go func() { done <- m.Run(ctx, goroutines, 0) }()
	resets := time.NewTicker(time.Second)
	defer resets.Stop()
	samples, cares := time.NewTicker(sampleEvery), time.NewTicker(careEvery)
	defer samples.Stop()
	defer cares.Stop()
	var cared error
	for running := true; running; {
		select {
		case <-resets.C:
			p.Reset()
		case <-samples.C:
			res.flat.sample(p)
		case <-cares.C:
			if r == soaking && cared == nil {
				cared = care(whole, p, filepath.Dir(path))
			}
		case err = <-done:
			running = false
		}
	}
	res.took = time.Since(began)
	err = errors.Join(err, cared)
	if err == nil { // else an operation was cut short, and was not counted
		err = m.Verify(whole)
	}
	res.Figures, res.stats = m.Figures(), p.Stats()
	err = errors.Join(err, p.Close(), goleak.Find(others))
	res.after = measure()
	if res.after.descriptors > res.before.descriptors {
		err = errors.Join(err, fmt.Errorf("%d descriptors are open, %d were before", res.after.descriptors, res.before.descriptors))
	}
	return res, err
}

// config has the pool's housekeeping done often, so that it meets everything.
func config(r round, path string) pool.Config {
	cfg := pool.Config{
		Path:                path,
		JournalMode:         pool.JournalMode(r.journal),
		MaxConns:            r.conns,
		BusyTimeout:         r.busy,
		AcquireTimeout:      time.Minute, // a hundred callers may queue on a slow disk; who waits longer is stuck
		MaxConnIdleTime:     time.Second,
		HealthCheckInterval: 200 * time.Millisecond,
	}
	if r.journal == "memory" {
		cfg.Path, cfg.JournalMode = pool.Memory, ""
	}
	return cfg
}

func report(out io.Writer, results []result) {
	const key = "mode\tconns\tbusy\t"
	fmt.Fprintln(out)
	table(out, key+"operations\tper second\tconflicts\tretries\tlost\tbatches\tmembers\tmax WAL\topened\tgoroutines\tdescriptors\theap", results, func(r result) string {
		return fmt.Sprintf("%d\t%.0f\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d → %d\t%d → %d\t%s → %s", r.Total, float64(r.Total)/r.took.Seconds(),
			r.stats.Conflicts, r.stats.Retries, r.stats.Lost, r.stats.Batches, r.stats.BatchMembers, humanize.IBytes(uint64(r.MaxWAL)), r.stats.Created,
			r.before.goroutines, r.after.goroutines, r.before.descriptors, r.after.descriptors, humanize.IBytes(r.before.heap), humanize.IBytes(r.after.heap))
	})
	fmt.Fprintln(out, "\nOperations of each kind:")
	table(out, key+strings.Join(mix.Kinds(), "\t"), results, func(r result) string {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(r.Operations), " ", "\t"), "[]")
	})
	met := make(map[string]int64)
	for _, r := range results {
		maps.Copy(met, r.Errors)
	}
	names := slices.Sorted(maps.Keys(met))
	fmt.Fprintln(out, "\nErrors met; those that must not come are violations:")
	table(out, key+strings.Join(names, "\t"), results, func(r result) string {
		var cells []string
		for _, name := range names {
			cells = append(cells, fmt.Sprint(r.Errors[name]))
		}
		return strings.Join(cells, "\t")
	})
}

// reportFlatness prints what must not grow, and fails if it did.
func reportFlatness(out io.Writer, results []result) (err error) {
	fmt.Fprintln(out, "\nMeans of the first and of the last third of the time, and the most at any time:")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tfirst third\tlast third\tmost\t")
	short := false
	for _, r := range results {
		fmt.Fprint(w, &r.flat)
		err = errors.Join(err, r.flat.grown())
		short = short || len(r.flat.samples) < enough
	}
	err = errors.Join(err, w.Flush())
	if short {
		fmt.Fprintln(out, "That was too short to tell whether anything grows; a minute is the least.")
	}
	return err
}

// table prints a line for each result, its mode first.
func table(out io.Writer, heading string, results []result, line func(result) string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, heading+"\t")
	for _, r := range results {
		fmt.Fprintf(w, "%v\t%s\t\n", r.round, line(r))
	}
	_ = w.Flush()
}
