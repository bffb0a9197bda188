// Command bench measures clients of a cluster of three on loopback: the Store of package
// dqlite beside go-dqlite's driver. The program in the folder bench of the repository's
// root asks it, a measurement a line, lets the peers take turns and writes the results.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sqlane/sqlane/internal/trio"
)

const usage = `bench starts three nodes on loopback and measures what it is asked for on standard
input, each time in a new database. A question is a line of JSON, its answer another:

  {"what": "write", "peer": "sqlane", "goroutines": 100, "warm": 1e8, "window": 1e9}
  {"metrics": {"ops/s": 4200, "p50": 2.3e7}, "errors": {"database is locked": 7}}

Usage: bench -node FILE -dir DIR

  -node FILE  the program that cluster/cmd/node makes
  -dir DIR    where the nodes keep what they have, and their logs

what is write, read or lost: the leader is killed while it is written. Times are in
nanoseconds. The nodes end when standard input does.

Exit codes: 0 done, 1 failed, 2 wrong usage.
`

// question is what to measure.
type question struct {
	What       string        `json:"what"`
	Peer       string        `json:"peer"`
	Goroutines int           `json:"goroutines"`
	Warm       time.Duration `json:"warm"`
	Window     time.Duration `json:"window"`
}

// answer is what came of it.
type answer struct {
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Errors  map[string]int64   `json:"errors,omitempty"`
	Failure string             `json:"failure,omitempty"` // why it could not be measured
	Wrong   bool               `json:"wrong,omitempty"`   // The failure is a result that is wrong.
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	node, dir := flags.String("node", "", ""), flags.String("dir", "", "")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err == nil && (*node == "" || *dir == "" || flags.NArg() > 0) {
		err = errors.New("it takes -node and -dir, and nothing else")
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v; bench -help tells more\n", err)
		return 2
	}
	if err := serve(ctx, *node, *dir, stdin, stdout); err != nil && ctx.Err() == nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// serve answers until there are no more questions.
func serve(ctx context.Context, node, dir string, stdin io.Reader, stdout io.Writer) error {
	c, err := start(ctx, node, dir)
	if err != nil {
		return err
	}
	defer c.nodes.Close()
	in, out := json.NewDecoder(stdin), json.NewEncoder(stdout)
	for {
		var q question
		switch err := in.Decode(&q); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		a, err := c.measure(ctx, q)
		if err != nil {
			a.Failure, a.Wrong = err.Error(), errors.Is(err, errWrong)
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

// bench measures, one thing after the other.
type bench struct {
	nodes     *trio.Trio
	databases int // So many were made.
}

func start(ctx context.Context, node, dir string) (*bench, error) {
	node, err := filepath.Abs(node)
	if err != nil {
		return nil, err
	}
	nodes, err := trio.Start(ctx, trio.Options{Binary: node, Dir: dir})
	if err != nil {
		return nil, err
	}
	if err := nodes.Voters(ctx, 3); err != nil {
		nodes.Close()
		return nil, err
	}
	return &bench{nodes: nodes}, nil
}

func (b *bench) measure(ctx context.Context, q question) (answer, error) {
	p, known := peers[q.Peer]
	switch {
	case !known:
		return answer{}, fmt.Errorf("there is no peer %q", q.Peer)
	case q.Goroutines < 1 || q.Window <= 0:
		return answer{}, fmt.Errorf("%d goroutines for %v", q.Goroutines, q.Window)
	}
	measure, known := map[string]func(context.Context, question, client) (answer, int, error){
		"write": b.write, "read": b.read, "lost": b.lose,
	}[q.What]
	if !known {
		return answer{}, fmt.Errorf("%q is nothing to measure", q.What)
	}
	b.databases++
	name := fmt.Sprintf("bench%d.db", b.databases)
	if err := b.prepare(ctx, name); err != nil {
		return answer{}, err
	}
	c, err := p.open(ctx, b.nodes.Addresses(), name)
	if err != nil {
		return answer{}, err
	}
	a, written, err := measure(ctx, q, c)
	if err := errors.Join(err, c.Close()); err != nil {
		return a, err
	}
	return a, b.verify(ctx, name, p, written, &a)
}
