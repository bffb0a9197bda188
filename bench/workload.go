package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
)

// workload is one thing that is measured, of each peer that can do it.
type workload struct {
	ID      string                    `json:"id"` // as in -only: "R1", "R2/100"
	Title   string                    `json:"title"`
	Primary string                    `json:"primary"` // the metric that counts
	cpu     string                    // the metric that is CPU time; "": cpuPerOp
	own     string                    // the series that the others stand beside; "": sqlane
	columns []string                  // the others that are shown
	weight  int                       // its share of the budget
	curve   string                    // the curve that it is a point of
	axis    string                    // what grows along it
	x       int                       // how much there is of that here
	table   int                       // the rows of the table that it reads, if not the usual one
	window  time.Duration             // 0: as long as the scale says
	others  []peers.Peer              // who takes part, if not the peers
	long    bool                      // starving takes longer than a moment
	runs    int                       // rounds; 0: as many as the scale says
	needs   []string                  // programs, beside this one, without which it is not measured
	skip    func(p peers.Peer) string // why a peer does not take part; "" if it does
	run     func(ctx context.Context, b *bench, p peers.Peer) (sample, error)
}

var (
	latencies   = []string{"p50", "p99", "max"}
	allocations = []string{"allocs/op", "B/op"}
	written     = "log MB" // what a writing workload left in the write-ahead log
)

// scale is how much is measured.
type scale struct {
	quick        bool
	budget       time.Duration // for everything: when it runs out, workloads get fewer rounds
	runs         int
	warm, window time.Duration
	rows         int // files in the database, but for S1 and R4
	stream       int // rows of R4
	watchers     []int

	curveRuns                        int
	curveWindow                      time.Duration
	goroutines, conns, tables, trees []int // the points of the curves
}

func fullScale() scale {
	return scale{
		budget: 32 * time.Minute,
		runs:   5, warm: 100 * time.Millisecond, window: 400 * time.Millisecond, rows: 10_000, stream: 1_000_000, watchers: []int{1, 100, 10_000},
		curveRuns: 5, curveWindow: 200 * time.Millisecond,
		goroutines: []int{1, 10, 100, 1000, 10_000}, conns: []int{1, 4, 16, 64},
		tables: []int{1000, 10_000, 100_000, 1_000_000, 10_000_000}, trees: []int{10_000, 30_000, 100_000},
	}
}

func quickScale() scale {
	return scale{
		quick: true, budget: 85 * time.Second,
		runs: 3, warm: 50 * time.Millisecond, window: 150 * time.Millisecond, rows: 10_000, stream: 100_000, watchers: []int{1, 100, 10_000},
		curveRuns: 1, curveWindow: 100 * time.Millisecond,
		goroutines: []int{1, 10, 100}, conns: []int{1, 4, 16},
		tables: []int{1000, 100_000}, trees: []int{10_000, 30_000},
	}
}

// bench is one run of the program.
type bench struct {
	scale
	dir      string // databases go there
	template string // the database that runs get copies of
	paths    []string
	ids      []int64
	cache    string // large databases stay there
	programs string // where the indexers are
	self     string // this program
	tree     string // what is indexed
	sound    map[string]bool
	cluster  *program // It measures on a cluster; nil if none runs.
}

// on opens a peer on a database of its own, lets fn use it, closes it, and
// verifies what it left behind.
func (b *bench) on(ctx context.Context, p peers.Peer, o peers.Options, fn func(db peers.DB) (sample, expected, error)) (sample, error) {
	path := filepath.Join(b.dir, "run.db")
	defer removeDatabase(path)
	db, err := openOn(ctx, p, b.template, path, o)
	if err != nil {
		return sample{}, err
	}
	s, want, err := fn(db)
	// What is left in the log is work put off. SQLite checkpoints when a statement
	// runs to its end, so the one row that database/sql's QueryRow reads of INSERT
	// RETURNING never lets it: such a log grows until the database is closed.
	if log, missing := os.Stat(path + "-wal"); missing == nil && s.metrics != nil {
		s.metrics["log MB"] = float64(log.Size()) / 1e6
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return sample{}, err
	}
	want.rows = b.rows
	return s, verify(ctx, path, want)
}

// reading is on for what only reads. Until the log has its first commit every read
// looks at the log's file, so there is one before.
func (b *bench) reading(ctx context.Context, p peers.Peer, o peers.Options, fn func(db peers.DB) (sample, error)) (sample, error) {
	return b.on(ctx, p, o, func(db peers.DB) (sample, expected, error) {
		if err := b.append(ctx, db, 0); err != nil {
			return sample{}, expected{}, err
		}
		s, err := fn(db)
		return s, expected{appended: 1}, err
	})
}

// read is R1's and R2's operation.
func (b *bench) read(ctx context.Context, db peers.DB, i int) error {
	k := i % len(b.paths)
	file, err := db.GetFileByPath(ctx, b.paths[k])
	if err != nil {
		return err
	}
	return checkFile(file, b.paths[k], b.ids[k])
}

// append is W1's operation.
func (b *bench) append(ctx context.Context, db peers.DB, count int64) error {
	row, err := db.AppendLog(ctx, logEntry(count))
	if err == nil && row.FileCount != count {
		return errWrong
	}
	return err
}

// touch is W3's operation. It returns what the log's sum grows by.
func (b *bench) touch(ctx context.Context, db peers.DB, i int) (int64, error) {
	k := i % len(b.paths)
	return b.ids[k], db.Touch(ctx, b.paths[k], logEntry(0))
}

// upsert is W1's other operation.
func (b *bench) upsert(ctx context.Context, db peers.DB, g, i int) error {
	arg := newFile(g, i)
	row, err := db.UpsertFile(ctx, arg)
	if err == nil && row.Path != arg.Path {
		return errWrong
	}
	return err
}

func unlessPooled(p peers.Peer) string {
	if p.Alone {
		return "it is one connection"
	}
	return ""
}

func (b *bench) crowd(p peers.Peer, goroutines int, op func(ctx context.Context, g, i int) (outcome, error), kinds ...string) crowd {
	return crowd{goroutines: goroutines, warm: b.warm, window: b.window, kinds: kinds, op: op, busy: p.Busy}
}

// spread gives each goroutine another place in the list of paths to begin at.
func spread(g, i int) int { return g*97 + i }
