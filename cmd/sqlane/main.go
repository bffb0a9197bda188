// Command sqlane begins a project, checks it, and looks at databases and clusters:
//
//	go run github.com/sqlane/sqlane/cmd/sqlane@latest init notes
//
// # init
//
// sqlane init DIR writes the project that docs/start.md makes step by step: sqlc.yaml, a
// first migration, queries, the go:generate lines of a repository, a main.go and a
// test, and a go.mod if DIR lies in no module. It then prints the commands that come
// next. It writes over no file: one that is in the way is named, and nothing is
// written.
//
// # check
//
// sqlane check DIR looks for what has drifted apart in a project, and changes nothing:
//
//   - generated code: the commands of the go:generate lines are run so that sqlc
//     compares ("sqlc diff") and repogen writes elsewhere. A project that runs sqlc by
//     other means names the command with -sqlc;
//   - migrations: the goose migrations and other files under schema in sqlc.yaml are
//     applied to an empty database, and each query is prepared there, by SQLite itself.
//     Migrations of several directories have versions of their own.
//     Migrations written in Go are not seen, nor functions that the program registers;
//   - plans: no query reads a whole table or sorts by a temporary index, which are the
//     rules pooltest.NoScan and pooltest.NoTempBTree. A query that may is named in a
//     test, with pooltest.Waive("Name", "why"): check reads the tests for that, if the
//     name is a literal. The queries of a sqlc.yaml below a directory named testdata are
//     a test's, and only their generated code is looked at;
//   - sqlc's vet, if sqlc.yaml has rules.
//
// Each finding is a line.
//
// # doctor
//
// sqlane doctor DB looks at a database file, also while programs use it, and changes
// neither the file nor its log. A line that begins with "fault:" is damage: what
// PRAGMA integrity_check or foreign_key_check says. One with "advice:" is about foreign
// keys without an index, tables without a primary key, a log that has grown large or
// pages that are free; one with "fact:" gives sizes.
//
// A log that nobody uses, because a program was killed, is read too; where its -shm is
// missing SQLite makes it anew, and leaves it. When the last program that writes ends
// while doctor reads, its log stays for the next one, since only a connection that may
// write takes it into the file (https://www.sqlite.org/wal.html#the_wal_file).
//
// # cluster status
//
// sqlane cluster status HOST:PORT,HOST:PORT asks the nodes of a dqlite cluster, those at the
// addresses and those of which they know, and prints a line for each member: its ID, address
// and role, and whether it leads, follows, or does not answer within three seconds and
// why. A line that begins with "fault:" is what is wrong: a member that does not
// answer, a voter that follows another leader or none, fewer voters behind the
// leader than make a majority, without which nothing can be written, or a leader
// that does not lead. Without any the last line tells how many more may fail. An address
// that is no member's, such as another name of one, is shown, and is no fault. With -json
// it is one object, with IDs as texts.
//
// Nodes show and are shown certificates by -tls-cert, -tls-key and -tls-ca, or speak in the
// clear by -plaintext; it has to be said which.
//
// # Exit codes
//
// 0 done and nothing found, or advice alone; 1 failed, or something was found; 2 wrong
// usage; 130 interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/sqlane/sqlane/internal/nodes"
	"github.com/sqlane/sqlane/internal/terminal"
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

var (
	// errFound is returned by a command that has said what it found.
	errFound = errors.New("something was found")
	// errUsage is in the chain of what is wrong with the command line.
	errUsage = errors.New("sqlane -help tells more")
)

// app is one run of the program.
type app struct {
	out    io.Writer
	line   *terminal.Line // It shows on a terminal what is being done.
	arg    string         // DIR, DB or addresses
	module string
	sqlc   string
	json   bool
	// security is how nodes are spoken to.
	security nodes.Security
	unsaid   error // The first line that could not be printed failed so.
}

func newApp(stdout, stderr io.Writer) *app {
	line := terminal.NewLine(stderr)
	return &app{out: line.Above(stdout), line: line}
}

// say prints a line.
func (a *app) say(format string, args ...any) {
	_, err := fmt.Fprintln(a.out, terminal.Plain(fmt.Sprintf(format, args...)))
	if a.unsaid == nil {
		a.unsaid = err
	}
}

// realPath is a path that leads to the same without symbolic links. Where SQLite has the
// database's log, and where a directory's files are, is told by this one alone.
func realPath(name string) (string, error) {
	if found, err := filepath.EvalSymlinks(name); err == nil { // before what is behind ".." is cut off
		name = found
	}
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	if found, err := filepath.EvalSymlinks(name); err == nil { // a shell's directory may be a link too
		name = found
	}
	return name, nil
}

// command is one of the program's commands.
type command struct {
	name, arg, help string   // The name is one word or two.
	byDefault       string   // instead of the argument; "": it is needed
	flags           []string // that it takes
	run             func(ctx context.Context, a *app) error
}

func commands() []command {
	return []command{
		{name: "init", arg: "DIR", help: "write a new project, over no file that is there", flags: []string{"module"}, run: initialize},
		{name: "check", arg: "[DIR]", byDefault: ".", help: "find what has drifted apart: migrations, queries, generated code, plans", flags: []string{"sqlc"}, run: check},
		{name: "doctor", arg: "DB", help: "look at a database file without changing it", run: doctor},
		{name: "cluster status", arg: "HOST:PORT,...", help: "ask the nodes of a dqlite cluster how they are", flags: append(nodes.Names(), "json"), run: clusterStatus},
	}
}

func usage(w io.Writer) {
	fmt.Fprint(w, "sqlane begins a project on package pool, checks it, and looks at databases and clusters.\n\nUsage: sqlane COMMAND [flags] ...\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-28s %s\n", c.name+" "+c.arg, c.help)
	}
	fmt.Fprint(w, `
  -module PATH   init: the path of a new module; default: example.org/ and the
                 directory's name
  -sqlc COMMAND  check: how sqlc is run in DIR, such as 'go tool sqlc', a word with
                 spaces in double quotes; default: as the go:generate lines say

cluster status needs the three -tls flags or -plaintext:

  -json      print one JSON object
`+nodes.Help+`
check and doctor print one line for each thing that they find. For check that is a
failure; for doctor damage is, which its lines call fault, but advice is not. cluster
status prints a line for each member, and calls fault one that does not answer, a
voter that does not follow the leader, and that a majority does not. What takes
longer than a moment is shown on a terminal meanwhile, on standard error.

Exit codes: 0 done, 1 failed or something was found, 2 wrong usage, 130 interrupted.
`)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := newApp(stdout, stderr)
	err := a.command(ctx, args)
	a.line.Stop()
	if a.unsaid != nil && (err == nil || errors.Is(err, errFound)) {
		err = a.unsaid // it was not said
	}
	switch {
	case err == nil:
		return done
	case errors.Is(err, flag.ErrHelp):
		usage(stdout)
		return done
	case errors.Is(err, errFound): // all of it was said, whatever ended then
		return failed
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "sqlane: interrupted")
		return interrupted
	}
	fmt.Fprintln(stderr, "sqlane:", terminal.Plain(err.Error()))
	if errors.Is(err, errUsage) {
		return misused
	}
	return failed
}

func wrong(format string, args ...any) error {
	return fmt.Errorf("%s; %w", fmt.Sprintf(format, args...), errUsage)
}

// command finds out which command is meant, and runs it.
func (a *app) command(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("sqlane", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&a.module, "module", "", "")
	flags.StringVar(&a.sqlc, "sqlc", "", "")
	flags.BoolVar(&a.json, "json", false, "")
	a.security.Flags(flags)
	var rest []string
	for len(args) > 0 { // flags and arguments may mix
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return err
		} else if err != nil {
			return wrong("%v", err)
		}
		if args = flags.Args(); len(args) > 0 {
			rest, args = append(rest, args[0]), args[1:]
		}
	}
	if len(rest) == 0 {
		return wrong("a command is missing")
	}
	if rest[0] == "help" {
		return flag.ErrHelp
	}
	for _, c := range commands() {
		words := strings.Fields(c.name)
		switch {
		case words[0] != rest[0]:
			continue
		case len(words) > 1 && (len(rest) < 2 || rest[1] != words[1]):
			return wrong("%s is followed by %s", words[0], words[1])
		}
		return a.run(ctx, c, flags, rest[len(words):])
	}
	return wrong("there is no command %q", rest[0])
}

// run runs a command, if the flags and arguments are its own.
func (a *app) run(ctx context.Context, c command, flags *flag.FlagSet, args []string) (err error) {
	flags.Visit(func(f *flag.Flag) {
		if !slices.Contains(c.flags, f.Name) {
			err = wrong("%s takes no -%s", c.name, f.Name)
		}
	})
	switch a.arg = c.byDefault; {
	case err != nil:
		return err
	case len(args) > 1:
		return wrong("%s does not take %q", c.name, args[1])
	case len(args) == 1:
		a.arg = args[0]
	}
	if a.arg == "" {
		return wrong("%s needs %s", c.name, strings.Trim(c.arg, "[]"))
	}
	return c.run(ctx, a)
}
