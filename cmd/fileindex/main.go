// Command fileindex indexes directory trees in a database and searches it.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"github.com/sqlane/sqlane/internal/nodes"
	"github.com/sqlane/sqlane/internal/terminal"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/repo"
	"github.com/sqlane/sqlane/schema"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes.
const (
	done        = 0
	failed      = 1
	misused     = 2
	interrupted = 130
)

// app is one run of the program.
type app struct {
	repo     *repo.Repo
	at       place
	store    store // nil until at is open
	out, err io.Writer
	line     *terminal.Line // It shows on a terminal what is being done.
	terminal bool           // out can be drawn on
	json     bool
	limit    int64
	addr     string // serve listens there
	args     []string
}

// command is one of the program's commands.
type command struct {
	args   string // what follows its name
	help   string
	doing  string // what is shown while it is at work; "": it shows that itself
	writes bool
	quiet  bool  // it tells itself what the pool would log
	limit  int64 // default of -n; 0: it has none
	min    int   // fewest arguments
	max    int   // most arguments; -1: any number
	// check looks at the arguments before the index is opened, or made; nil: there is
	// nothing to look at.
	check func(a *app) error
	run   func(ctx context.Context, a *app) error
}

var order = []string{"index", "watch", "serve", "search", "list", "largest", "summary", "log"}

func commands() map[string]command {
	return map[string]command{
		"index":   {args: "DIR...", help: "index directory trees; a second run takes up what changed", writes: true, min: 1, max: -1, check: trees, run: index},
		"watch":   {args: "DIR", help: "show what is indexed below DIR while others index, until interrupted", quiet: true, min: 1, max: 1, run: watch},
		"serve":   {help: "serve a page to search the index in a browser, until interrupted", quiet: true, limit: 50, run: serve},
		"search":  {args: "TEXT", doing: "searching", help: "find entries whose name begins with TEXT, then those that contain it", limit: 50, min: 1, max: 1, run: search},
		"list":    {args: "DIR", doing: "listing", help: "list an indexed directory", min: 1, max: 1, run: list},
		"largest": {doing: "looking for the largest", help: "list the largest files", limit: 10, run: largest},
		"summary": {doing: "adding up", help: "count files and add up sizes by category", run: summary},
		"log":     {doing: "looking at the log", help: "list the latest indexing runs", limit: 20, run: runs},
	}
}

func usage(w io.Writer) {
	fmt.Fprint(w, "fileindex indexes directory trees in a database and searches it.\n\nUsage: fileindex [-db FILE | -cluster HOST:PORT,...] [-json] [-stats] COMMAND [-n COUNT] ...\n\n")
	all := commands()
	for _, name := range order {
		fmt.Fprintf(w, "  %-16s %s\n", name+" "+all[name].args, all[name].help)
	}
	fmt.Fprint(w, `
  -db FILE   the database; default: fileindex/index.db in the user's cache directory
  -cluster HOST:PORT,...
             instead of a file: nodes of a dqlite cluster, which has the index
  -database NAME
             its name there; default: fileindex.db
`+nodes.Help+`  -json      print one JSON document: an array of entries, or an object; watch
             prints one a line
  -stats     print the figures of the connections at the end
  -n COUNT   how many entries to print or show (search, largest, log, serve)
  -addr HOST:PORT
             where serve listens; default: 127.0.0.1:8080, which other machines
             do not reach; port 0 is any that is free

Symbolic links are entries and are not followed. What cannot be read is counted
and reported, and what is known of it stays. A name that is not UTF-8 is stored
with \xHH for each such byte.

What takes longer than a moment is shown on a terminal meanwhile, on standard error.
On a terminal watch draws its summary anew after each change; elsewhere it prints
another line. If the database is moved away, or the cluster has no leader, it says so and goes on
when that is back.

serve shows, at /debug/pool/, what goes on in its connection pool, if it has one: not
on a cluster. Whoever reaches its address sees the names of all that is indexed.

A cluster needs -plaintext or the three -tls flags. Each command works while most of
its nodes run, and waits some seconds for a leader where there is none; index goes on
when the leader is another one. It is a failure that a command has no leader in time,
or lost it in the midst and cannot know what was kept: it is safe to run it again.

Exit codes: 0 done, which is how serve ends when it is interrupted, 1 failed,
2 wrong usage, 130 interrupted, which is how watch ends.
`)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runWith(ctx, args, stdout, stderr, pool.Config{MaxConns: 8, WatchInterval: watchInterval})
}

// runWith runs a command on a pool that is configured so, but for the path, or on a cluster
// with as much patience.
func runWith(ctx context.Context, args []string, stdout, stderr io.Writer, cfg pool.Config) int {
	line := terminal.NewLine(stderr)
	defer line.Stop()
	a := &app{out: line.Above(stdout), err: line.Above(stderr), line: line, terminal: terminal.IsScreen(stdout)}
	var stats bool
	n := int64(-1) // not given
	flags := flag.NewFlagSet("fileindex", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var at where
	at.flags(flags)
	flags.BoolVar(&a.json, "json", false, "")
	flags.BoolVar(&stats, "stats", false, "")
	flags.StringVar(&a.addr, "addr", "", "")
	flags.Func("n", "", func(text string) (err error) {
		if n, err = strconv.ParseInt(text, 10, 64); err != nil || n < 0 {
			return errors.New("not a count")
		}
		return nil
	})
	wrong := func(format string, args ...any) int {
		fmt.Fprintf(stderr, "fileindex: %s; fileindex -help tells more\n", fmt.Sprintf(format, args...))
		return misused
	}
	// Flags may stand before the command and behind it.
	rest, err := parse(flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp), err == nil && len(rest) > 0 && rest[0] == "help":
		usage(stdout)
		return done
	case err != nil:
		return wrong("%v", err)
	case len(rest) == 0:
		return wrong("a command is missing")
	}
	cmd, ok := commands()[rest[0]]
	a.args = rest[1:]
	switch {
	case !ok:
		return wrong("there is no command %q", rest[0])
	case len(a.args) < cmd.min:
		return wrong("%s needs %s", rest[0], cmd.args)
	case cmd.max >= 0 && len(a.args) > cmd.max:
		return wrong("%s does not take %q", rest[0], a.args[cmd.max])
	case a.addr != "" && rest[0] != "serve":
		return wrong("%s takes no -addr", rest[0])
	case n >= 0 && cmd.limit == 0:
		return wrong("%s takes no -n", rest[0])
	}
	if a.limit = n; n < 0 {
		a.limit = cmd.limit
	}
	if a.at, err = at.place(cfg); err != nil {
		return wrong("%v", err)
	}
	err = a.on(ctx, cmd)
	line.Stop()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = errInterrupted
	}
	stopped := errors.Is(err, errInterrupted)
	if stats && a.store != nil && (err == nil || stopped) {
		// It is closed; its counters stay.
		title, figures := a.at.stats()
		if !a.json {
			fmt.Fprintln(stdout, title)
		}
		printStats(stdout, figures, a.json)
	}
	switch {
	case err == nil:
		return done
	case stopped:
		fmt.Fprintln(stderr, "fileindex:", err)
		return interrupted
	}
	fmt.Fprintln(stderr, "fileindex:", a.explain(err))
	return failed
}

// parse lets flags and arguments mix.
func parse(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// on opens the index and runs a command on it.
func (a *app) on(ctx context.Context, cmd command) (err error) {
	if cmd.check != nil {
		if err := cmd.check(a); err != nil {
			return err
		}
	}
	a.line.Doing("opening the index")
	if a.store, err = a.at.open(ctx, cmd); err != nil {
		return err
	}
	defer func() {
		a.line.Doing("closing the index")
		if closing := a.store.Close(); err == nil {
			err = closing
		}
	}()
	a.repo = repo.New(a.store)
	if err := a.prepare(ctx, cmd.writes); err != nil {
		return err
	}
	a.line.Doing(cmd.doing)
	return cmd.run(ctx, a)
}

// prepare brings the schema up to date, or sees that it is.
func (a *app) prepare(ctx context.Context, writes bool) error {
	db := a.store.DB()
	defer db.Close()
	if writes {
		err := schema.Up(ctx, db)
		// goose leaves 8 MB of buffers in a sync.Pool, which two collections empty.
		// With them the heap would grow to twice that before the next one.
		runtime.GC()
		runtime.GC()
		return err
	}
	err := schema.Validate(ctx, db)
	if errors.Is(err, schema.ErrDrift) {
		if version, err := schema.Version(ctx, db); err == nil && version == 0 {
			return fmt.Errorf("there is no index at %s; make one with fileindex index", a.at)
		}
		return fmt.Errorf("%w; bring it up to date with fileindex index", err)
	}
	return err
}

// explain says what an error means for the user, in one line.
func (a *app) explain(err error) string { return oneLine(cmp.Or(a.at.explain(err), err.Error())) }
