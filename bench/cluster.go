package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
)

// C1: a cluster of three nodes on loopback. What uses it needs dqlite's C library and
// go-dqlite, which not everybody has, so a program of its own, ../cluster/bench, does the
// measuring: it starts the nodes and is asked, a measurement a line. Here it takes turns
// like everything else.

const (
	clusterBench = "sqlane-bench-cluster"
	clusterNode  = "cluster-node"
)

const (
	goDqlite = "github.com/canonical/go-dqlite"
	source   = "https://pkg.go.dev/github.com/canonical/go-dqlite/driver"
)

// clients are who uses the cluster.
var clients = []peers.Peer{
	{Name: "sqlane", Module: "github.com/sqlane/sqlane", Config: "dqlite.Open(ctx, dqlite.Config{Members: the three, Plaintext: true}): the defaults, 8 connections; StoreWriter and StoreReader", Source: "dqlite.Config"},
	{Name: "go-dqlite ad hoc", Module: goDqlite, Config: "one *sql.DB, as sql.Open returns it", Source: source},
	{Name: "go-dqlite one", Module: goDqlite, Config: "the same with SetMaxOpenConns(1)", Source: source, Tuned: true},
	{Name: "go-dqlite prepared", Module: goDqlite, Config: "two of them, with SetMaxOpenConns(1) for writing and 7 connections for reading; prepared statements", Source: source, Tuned: true},
	{Name: "go-dqlite tx", Module: goDqlite, Config: "SetMaxOpenConns(1), and a transaction by BeginTx for each row", Source: source, Tuned: true},
}

func onCluster(s scale) (all []workload) {
	add := func(w workload, q question) {
		w.needs = []string{clusterBench, clusterNode}
		w.run = func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			q := q
			q.Peer, q.Warm, q.Window = p.Name, max(q.Warm, 3*b.warm), b.window
			return b.ask(ctx, w.ID, q)
		}
		all = append(all, w)
	}
	for _, n := range []int{1, 16, 100} {
		who := fmt.Sprintf("%d goroutines", n)
		if n == 1 {
			who = "one goroutine alone"
		}
		add(workload{
			ID: fmt.Sprintf("C1/write/%d", n), Title: "a cluster of three on loopback: durable single-row writes, " + who, Primary: "ops/s", columns: latencies,
			others: clients, window: 5 * s.window, weight: 16,
		}, question{What: "write", Goroutines: n})
	}
	if s.quick {
		return all[2:]
	}
	add(workload{
		ID: "C1/read", Title: "the same cluster: point reads of 500 rows, 100 goroutines", Primary: "ops/s", columns: latencies,
		others: clients[:4], window: 3 * s.window, weight: 8,
	}, question{What: "read", Goroutines: 100})
	add(workload{
		ID: "C1/lost", Title: "its leader is killed while 16 goroutines have a row to write every 100 ms each: how long until writes go on", Primary: "ns/fail-over",
		columns: append(slices.Clone(latencies), "acknowledged"), others: clients[:3], window: 10 * time.Second, weight: 50,
	}, question{What: "lost", Goroutines: 16, Warm: time.Second})
	return all
}

// question and reply are those of ../cluster/bench.
type question struct {
	What       string        `json:"what"`
	Peer       string        `json:"peer"`
	Goroutines int           `json:"goroutines"`
	Warm       time.Duration `json:"warm"`
	Window     time.Duration `json:"window"`
}

type reply struct {
	Metrics map[string]float64 `json:"metrics"`
	Errors  map[string]int64   `json:"errors"`
	Failure string             `json:"failure"`
	Wrong   bool               `json:"wrong"`
}

// program is one that measures on a cluster.
type program struct {
	of  string // a workload
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
	log strings.Builder
	dir string
}

// ask has the program measure something. Each workload has three new nodes, and each
// measurement a new database of theirs. What could not be measured is an error of the
// round, and new nodes are there for the next one: it is not worth the whole run.
func (b *bench) ask(ctx context.Context, workload string, q question) (sample, error) {
	if b.cluster != nil && b.cluster.of != workload {
		b.endCluster()
	}
	if b.cluster == nil {
		c, err := b.startCluster(ctx, workload)
		if err != nil {
			return sample{}, err
		}
		b.cluster = c
	}
	var r reply
	err := json.NewEncoder(b.cluster.in).Encode(q)
	if err == nil {
		err = b.cluster.out.Decode(&r)
	}
	if err == nil && r.Failure == "" {
		return sample{metrics: r.Metrics, errors: r.Errors}, nil
	}
	said := b.endCluster()
	switch {
	case ctx.Err() != nil:
		return sample{}, ctx.Err()
	case err != nil:
		r.Failure = fmt.Sprintf("%s: %v: %s", clusterBench, err, said)
	case r.Wrong:
		return sample{}, fmt.Errorf("%w: %s", errWrong, r.Failure)
	}
	return sample{errors: map[string]int64{brief(errors.New(r.Failure)): 1}}, nil
}

func (b *bench) startCluster(ctx context.Context, workload string) (*program, error) {
	dir, err := os.MkdirTemp(b.dir, "cluster-")
	if err != nil {
		return nil, err
	}
	c := &program{of: workload, dir: dir}
	c.cmd = exec.CommandContext(ctx, filepath.Join(b.programs, clusterBench), "-node", filepath.Join(b.programs, clusterNode), "-dir", dir)
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(os.Interrupt) }
	c.cmd.WaitDelay = 30 * time.Second
	c.cmd.Stderr = &c.log
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	return c, c.cmd.Start()
}

// endCluster ends the nodes, if there are any, and returns what the program said.
func (b *bench) endCluster() string {
	c := b.cluster
	if c == nil {
		return ""
	}
	b.cluster = nil
	c.in.Close()
	_ = c.cmd.Wait() // what became of it, its answers said
	_ = os.RemoveAll(c.dir)
	return strings.TrimSpace(c.log.String())
}

// describeClients says how those are configured who use the cluster.
func describeClients(ctx context.Context, say func(string, ...any)) {
	say("\nThose of C1, on nodes of %s:\n", debian(ctx, "libdqlite", "libdqlite0", "libdqlite-dev"))
	for _, p := range clients {
		version := "this repository"
		if p.Module == goDqlite {
			version = debian(ctx, "Debian's", "golang-github-canonical-go-dqlite-dev")
		}
		say("- **%s** (%s %s): %s. Source: %s.", p.Name, p.Module, version, p.Config, p.Source)
	}
}

// debian is the version of the first package that is installed.
func debian(ctx context.Context, name string, packages ...string) string {
	for _, p := range packages {
		if out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", p).Output(); err == nil {
			return name + " " + string(out)
		}
	}
	return name
}
