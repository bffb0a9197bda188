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
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sqlane/sqlane/internal/terminal"
	"github.com/sqlane/sqlane/torture/bank"
	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/cluster"
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

How it gets on is shown on a terminal, on standard error. Ctrl-C ends it with the table so far; so does
whoever stops reading that.
Power loss and I/O errors need root and /dev/fuse; without them the table says
that they were not tried.

Exit codes: 0 nothing was lost, 1 something was, or it could not work, 2 wrong
usage, 130 interrupted, and nothing was lost so far.
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
	{"cluster", cluster.Run},
}

func main() {
	roles := map[string]child.Role{
		crash.Writer:     bank.Work, // and power.Writer
		powerfs.Server:   powerfs.Serve,
		faults.Alone:     faults.PlayAlone,
		faults.Locker:    faults.Lock,
		processes.Racer:  processes.Race,
		processes.Holder: processes.Hold,
	}
	maps.Copy(roles, cluster.Roles)
	child.Main(roles)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	// Nobody reads what it says: it ends and clears up, rather than leave its mounts.
	gone := []os.Signal{syscall.SIGPIPE}
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		gone = append(gone, syscall.SIGHUP)
	}
	ctx, forget := signal.NotifyContext(ctx, gone...)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	forget()
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	help := fmt.Sprintf(usage, strings.Join(names, ", "))
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	line := terminal.NewLine(stderr)
	defer line.Stop()
	plan := trial.Plan{Progress: func(format string, args ...any) { line.Doing(fmt.Sprintf(format, args...)) }}
	flags.BoolVar(&plan.Short, "short", false, "")
	flags.Uint64Var(&plan.Seed, "seed", uint64(time.Now().UnixNano()), "")
	flags.StringVar(&plan.Dir, "dir", "", "")
	var only []string
	flags.Func("only", "", func(list string) error {
		only = strings.Split(list, ",")
		for _, name := range only {
			if !slices.Contains(names, name) {
				return fmt.Errorf("there is no section %q but %s", name, strings.Join(names, ", "))
			}
		}
		return nil
	})
	wrong := func(err error) int {
		fmt.Fprintf(stderr, "torture: %v; torture -help tells more\n", err)
		return 2
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, help)
		return 0
	case err != nil:
		return wrong(err)
	case flags.NArg() > 0:
		return wrong(fmt.Errorf("%q is no flag", flags.Arg(0)))
	}
	dir, err := os.MkdirTemp(plan.Dir, "sqlane-torture-")
	if err != nil {
		fmt.Fprintf(stderr, "torture: %v; -dir names a directory to work in\n", err)
		return 1
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(stderr, "torture:", err)
			code = max(code, 1)
		}
	}()
	plan.Dir = dir

	began := time.Now()
	var rows []trial.Row
	for _, s := range sections {
		if ctx.Err() == nil && (only == nil || slices.Contains(only, s.name)) {
			rows = append(rows, s.run(ctx, plan)...)
		}
	}
	line.Stop()
	interrupted := ctx.Err() != nil
	for i := range rows {
		if interrupted && rows[i].Untried() {
			rows[i].Add("interrupted")
		}
	}
	if err := trial.Print(stdout, rows); err != nil {
		fmt.Fprintln(stderr, "torture:", err)
		return 1
	}
	fmt.Fprintf(stdout, "\nseed %d, %s\n", plan.Seed, time.Since(began).Round(time.Second))
	if interrupted {
		fmt.Fprintln(stdout, "\ninterrupted: the last trial of the table was cut short, those after it were not tried")
		code = 130
	}
	if err := trial.Errors(rows); err != nil {
		fmt.Fprintf(stdout, "\nLOST:\n%v\n", err)
		code = 1
	}
	return code
}
