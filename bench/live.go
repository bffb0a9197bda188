package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/sqlane/sqlane/pool"
)

// L1: live queries. No peer has them, so it is situations of sqlane's that take turns:
// so many watchers of the table that is written to, or of another, beside nobody.

const (
	nobody        = "nobody watches"
	nobodyAnyMore = "nobody any more"
	ofTheTable    = "of the table"
	ofAnother     = "of another"
)

// live are the workloads. One goroutine writes at NORMAL, where a commit costs least
// and what is added to it shows most.
func live(s scale) []workload {
	commits := situations{{name: nobody}, {name: nobodyAnyMore, watchers: s.watchers[len(s.watchers)-1], query: newest, gone: true}}
	var yields situations
	for _, of := range []struct{ words, query string }{{ofTheTable, newest}, {ofAnother, "SELECT count(*) FROM tabs"}} {
		for _, n := range s.watchers {
			all := situation{name: watchersOf(n, of.words), watchers: n, query: of.query}
			commits = append(commits, all)
			if of.words == ofTheTable {
				yields = append(yields, all)
			}
		}
	}
	return []workload{
		{
			ID: "L1/commits", Title: "commits of one goroutine while others watch, synchronous=NORMAL", Primary: "ops/s", columns: []string{"allocs/op"},
			own: nobody, others: commits.peers(), weight: 10,
			run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
				return b.commitsBefore(ctx, commits.named(p.Name))
			},
		},
		{
			ID: "L1/yield", Title: "from the call of a write to a watcher's yield that shows it, one write after the other, synchronous=NORMAL", Primary: "p99", columns: []string{"p50", "max"},
			own: yields[0].name, others: yields.peers(), weight: 6,
			run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
				return b.yieldsAfter(ctx, yields.named(p.Name))
			},
		},
	}
}

// newest is the id of the row that was written last.
const newest = "SELECT coalesce(max(id), 0) FROM indexing_log"

func watchersOf(n int, what string) string { return number(float64(n)) + " " + what }

// situation is who watches what.
type situation struct {
	name     string
	watchers int
	query    string // for one number
	gone     bool   // they do no longer when it is measured
}

type situations []situation

// peers are sqlane in each of them.
func (all situations) peers() (as []peers.Peer) {
	for _, one := range all {
		p := peers.Sqlane()
		p.Name = one.name
		as = append(as, p)
	}
	return as
}

func (all situations) named(name string) situation {
	for _, one := range all {
		if one.name == name {
			return one
		}
	}
	return situation{}
}

// commitsBefore measures commits before watchers.
func (b *bench) commitsBefore(ctx context.Context, sit situation) (sample, error) {
	return b.on(ctx, peers.Sqlane(), peers.Options{Synchronous: "normal"}, func(db peers.DB) (sample, expected, error) {
		a := watch(ctx, db.(peers.Pooled).Pool(), sit, nil)
		if sit.gone {
			if err := a.leave(); err != nil {
				return sample{}, expected{}, err
			}
		}
		s, n, err := alone(ctx, b.warm, b.window, func(ctx context.Context, _ int) error { return b.append(ctx, db, 3) })
		return s, expected{appended: n, appendedSum: 3 * n}, errors.Join(err, a.leave())
	})
}

// yieldsAfter measures how long it takes until a watcher shows a commit.
func (b *bench) yieldsAfter(ctx context.Context, sit situation) (sample, error) {
	type shown struct {
		id int64
		at time.Time
	}
	return b.on(ctx, peers.Sqlane(), peers.Options{Synchronous: "normal"}, func(db peers.DB) (sample, expected, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, b.warm+b.window+tail, errLate)
		defer cancel()
		// Room for more runs than one for a commit: they are not to wait for the writer.
		seen := make(chan shown, 64)
		a := watch(ctx, db.(peers.Pooled).Pool(), sit, func(id int64) {
			select {
			case seen <- shown{id, time.Now()}:
			case <-ctx.Done():
			}
		})
		defer a.stop()
		one := func() (time.Duration, error) {
			begun := time.Now()
			row, err := db.AppendLog(ctx, logEntry(3))
			for err == nil {
				select {
				case got := <-seen:
					if got.id >= row.ID {
						return got.at.Sub(begun), nil
					}
				case err = <-a.errs:
				case <-ctx.Done():
					err = context.Cause(ctx)
				}
			}
			return 0, err
		}
		s := sample{metrics: map[string]float64{}, latency: newHistogram()}
		done := int64(0)
		var cpu time.Duration
		start := time.Now()
		for open := start.Add(b.warm); s.latency.TotalCount() == 0 || time.Since(open) < b.window; done++ {
			warm := time.Now().After(open)
			if warm && cpu == 0 {
				cpu = cpuTime()
			}
			took, err := one()
			if err != nil {
				return s, expected{}, errors.Join(err, a.leave())
			}
			if warm {
				_ = s.latency.RecordValue(max(took.Nanoseconds(), 1)) // within its range: no error
			}
		}
		s.cpu(cpuTime()-cpu, float64(s.latency.TotalCount()))
		s.metrics["p50"], s.metrics["p99"], s.metrics["max"] = float64(s.latency.ValueAtQuantile(50)), float64(s.latency.ValueAtQuantile(99)), float64(s.latency.Max())
		return s, expected{appended: done, appendedSum: 3 * done}, a.leave()
	})
}

// audience are goroutines that watch.
type audience struct {
	stop context.CancelFunc
	done sync.WaitGroup
	errs chan error // of each at most one
}

// watch returns when each has yielded once. The first of them tells what it yields.
func watch(ctx context.Context, p *pool.Pool, sit situation, tell func(number int64)) *audience {
	ctx, stop := context.WithCancel(ctx)
	a := &audience{stop: stop, errs: make(chan error, sit.watchers)}
	var ready sync.WaitGroup
	ready.Add(sit.watchers)
	for i := range sit.watchers {
		a.done.Go(func() {
			here := sync.OnceFunc(ready.Done)
			defer here()
			var number int64
			for err := range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
				return tx.QueryRow(ctx, sit.query).Scan(&number)
			}) {
				switch {
				case ctx.Err() != nil:
					return
				case err != nil:
					a.errs <- fmt.Errorf("a watcher: %w", err)
					return
				case i == 0 && tell != nil:
					tell(number)
				}
				here()
			}
		})
	}
	ready.Wait()
	return a
}

// leave ends the watching and tells what went wrong with it. It may be called again.
func (a *audience) leave() error {
	a.stop()
	a.done.Wait()
	select {
	case err := <-a.errs:
		return err
	default:
		return nil
	}
}
