// Command torture attacks sqlane: it kills processes, cuts the power, injects
// faults, has processes fight for one file and checks random histories, and
// prints a table of what was tried and what was lost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/sqlane/sqlane/torture/bank"
	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/crash"
	"github.com/sqlane/sqlane/torture/faults"
	"github.com/sqlane/sqlane/torture/power"
	"github.com/sqlane/sqlane/torture/powerfs"
	"github.com/sqlane/sqlane/torture/processes"
	"github.com/sqlane/sqlane/torture/trial"
)

const usage = `torture attacks sqlane and prints a table of what was tried and what was lost.

Usage: torture [-short] [-only SECTION,...] [-seed N] [-dir DIR]

  -short         a few minutes instead of an hour
  -only SECTION  some sections alone: %s
  -seed N        the random choices of an earlier run, which it printed;
                 when exactly they meet the processes is chance all the same
  -dir DIR       where to work; default: the system's temporary directory

Progress goes to standard error. Ctrl-C ends it with the table so far.
Power loss and I/O errors need root and /dev/fuse; without them the table says
that they were not tried.

Exit codes: 0 nothing was lost, 1 something was, 2 wrong usage.
`

// sections are the parts of the torture, in order.
var sections = []struct {
	name string
	run  func(context.Context, trial.Plan) []trial.Row
}{
	{"crash", crash.Run},
	{"power", power.Run},
	{"processes", processes.Run},
	{"faults", faults.Run},
	{"history", histories},
}

func main() {
	child.Main(map[string]child.Role{
		crash.Writer:     bank.Work, // and power.Writer
		powerfs.Server:   powerfs.Serve,
		faults.Alone:     faults.PlayAlone,
		faults.Locker:    faults.Lock,
		processes.Racer:  processes.Race,
		processes.Holder: processes.Hold,
	})
	os.Exit(run(os.Args[1:]))
}

func run(args []string) (code int) {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	help := fmt.Sprintf(usage, strings.Join(names, ", "))
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	plan := trial.Plan{Progress: progress()}
	flags.BoolVar(&plan.Short, "short", false, "")
	flags.Uint64Var(&plan.Seed, "seed", uint64(time.Now().UnixNano()), "")
	flags.StringVar(&plan.Dir, "dir", "", "")
	var only []string
	flags.Func("only", "", func(list string) error {
		only = strings.Split(list, ",")
		for _, name := range only {
			if !slices.Contains(names, name) {
				return fmt.Errorf("there is no section %q", name)
			}
		}
		return nil
	})
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(help)
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 2
	case flags.NArg() > 0:
		fmt.Fprintln(os.Stderr, "torture: unexpected argument:", flags.Arg(0))
		return 2
	}
	dir, err := os.MkdirTemp(plan.Dir, "sqlane-torture-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	plan.Dir = dir

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	began := time.Now()
	var rows []trial.Row
	for _, s := range sections {
		if ctx.Err() == nil && (only == nil || slices.Contains(only, s.name)) {
			rows = append(rows, s.run(ctx, plan)...)
		}
	}
	plan.Progress("")
	if err := trial.Print(os.Stdout, rows); err != nil {
		return 1
	}
	fmt.Printf("\nseed %d, %s\n", plan.Seed, time.Since(began).Round(time.Second))
	if err := trial.Errors(rows); err != nil {
		fmt.Printf("\nLOST:\n%v\n", err)
		return 1
	}
	return 0
}

// progress writes over one line of a terminal. Elsewhere it writes a line when
// some seconds have passed.
func progress() func(format string, args ...any) {
	if isatty.IsTerminal(os.Stderr.Fd()) {
		return func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
		}
	}
	var last time.Time
	return func(format string, args ...any) {
		if time.Since(last) > 5*time.Second && format != "" {
			last = time.Now()
			fmt.Fprintf(os.Stderr, format+"\n", args...)
		}
	}
}
