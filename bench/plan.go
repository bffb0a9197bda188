package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/sqlane/sqlane/internal/terminal"
)

// workloads lists everything that is measured, in this order.
func workloads(s scale) []workload {
	all := []workload{
		pointRead(),
		concurrentReads(100),
		concurrentReads(1000),
		manyRows(),
		stream(s),
		writes("W1", "full"),
		upserts("W1/upsert", "full"),
		writes("W2", "normal"),
		upserts("W2/upsert", "normal"),
		transactions("full"),
		transactions("normal"),
		loneWrites("full"),
		loneWrites("normal"),
		loneTransactions("full"),
		loneTransactions("normal"),
		mixed(),
		lease(),
		take(),
		queue(),
		weights(),
		observed(),
	}
	all = append(all, live(s)...)
	for i := range all {
		w := &all[i]
		if w.weight == 0 {
			w.weight = 4
		}
		if w.long {
			w.weight, w.window = 6, 2*s.window
		}
	}
	if s.quick {
		all = slices.DeleteFunc(all, func(w workload) bool { return strings.HasSuffix(w.ID, "/upsert") })
	}
	return slices.Concat(all, curves(s), indexing(s), onCluster(s))
}

// plan is what one run of the program measures.
type plan struct {
	scale     scale
	workloads []workload
	peers     []peers.Peer
	whole     bool   // nothing is left out
	readme    string // whose figures are renewed; "": none's
}

// result is what came of a workload.
type result struct {
	workload
	Series []*series `json:"series"`
}

// mine is the series that the others stand beside.
func (r *result) mine() *series {
	if r == nil {
		return nil
	}
	return r.of(cmp.Or(r.own, "sqlane"))
}

// others are the series beside it.
func (r *result) others() []*series {
	if r == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Series), func(s *series) bool { return s == r.mine() })
}

// cpuMetric is what tells the CPU time of the unit that counts.
func (r *result) cpuMetric() string { return cmp.Or(r.cpu, cpuPerOp) }

// of is a peer's series; nil if it has none.
func (r *result) of(peer string) *series {
	if r != nil {
		for _, s := range r.Series {
			if s.Peer == peer {
				return s
			}
		}
	}
	return nil
}

func (p plan) run(ctx context.Context, dir, out, tree string, line *terminal.Line) (err error) {
	start, where := time.Now(), thisMachine(dir, p.peers)
	dir, err = os.MkdirTemp(dir, "sqlane-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b := &bench{
		scale: p.scale, dir: dir, template: filepath.Join(dir, "template.db"),
		cache: filepath.Dir(self), programs: filepath.Dir(self), self: self, tree: tree, sound: map[string]bool{},
	}
	defer b.endCluster()
	line.Doing("making the database")
	if err := makeDatabase(ctx, b.template, b.rows); err != nil {
		return err
	}
	b.paths, b.ids = hotPaths(b.rows)
	// Every peer sees the same context, one that can be cancelled.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var results []*result
	clock := start // of the budget
	total, share := 0, 0
	for _, w := range p.workloads {
		total += w.weight
	}
	for i, w := range p.workloads {
		line.Doing(fmt.Sprintf("%d of %d: %s, %s", i+1, len(p.workloads), w.ID, w.Title))
		share += w.weight
		if w.table > 0 { // a large one takes longer to make, once, than to measure
			begun := time.Now()
			if _, err := b.table(ctx, w.table); err != nil {
				return fmt.Errorf("%s: %w", w.ID, err)
			}
			clock = clock.Add(time.Since(begun))
		}
		r, err := p.measure(ctx, b, w, clock.Add(p.scale.budget*time.Duration(share)/time.Duration(total)))
		if err != nil {
			return fmt.Errorf("%s: %w", w.ID, err)
		}
		results = append(results, r)
	}
	return report{plan: p, machine: where, results: results, took: time.Since(start)}.write(ctx, out)
}

// missing says which of some programs is not there.
func (b *bench) missing(programs []string) string {
	for _, name := range programs {
		if !exists(filepath.Join(b.programs, name)) {
			return fmt.Sprintf("NOT MEASURED: there is no %s, which takes dqlite's C library and go-dqlite; make bench-cluster says more", name)
		}
	}
	return ""
}

// measure lets the peers take turns within each round, so that whatever else
// happens on the machine happens to all of them, and another one begins each time.
// A peer has closed its database before the next one opens its own: at no time
// are there two in the page cache that modernc's SQLite has for the whole process.
// No round begins after the deadline but the first.
func (p plan) measure(ctx context.Context, b *bench, w workload, deadline time.Time) (*result, error) {
	r := &result{workload: w}
	if w.window != 0 {
		usual := b.window
		b.window = w.window
		defer func() { b.window = usual }()
	}
	contenders := p.peers
	if w.others != nil {
		contenders = w.others
	}
	var taking []peers.Peer
	var into []*series
	for _, peer := range contenders {
		s := &series{Peer: peer.Name}
		if s.Note = b.missing(w.needs); s.Note == "" && w.skip != nil {
			s.Note = w.skip(peer)
		}
		if s.Note == "" {
			taking, into = append(taking, peer), append(into, s)
		} else if peer.Alone {
			continue // it is no peer here
		}
		r.Series = append(r.Series, s)
	}
	runs := w.runs
	if runs == 0 {
		runs = p.scale.runs
	}
	for n := 0; n < runs && (n == 0 || time.Now().Before(deadline)); n++ {
		for i := range taking {
			i = (i + n) % len(taking)
			peer := taking[i]
			s, err := w.run(ctx, b, peer)
			switch {
			case err == nil:
			case errors.Is(err, errWrong), peer.Name == "sqlane", peer.Module == peers.Sqlane().Module, ctx.Err() != nil:
				return nil, fmt.Errorf("%s: %w", peer.Name, err)
			default: // it cannot do this, and the table says so
				s = sample{errors: map[string]int64{brief(err): 1}}
			}
			into[i].add(s)
		}
	}
	return r, nil
}
