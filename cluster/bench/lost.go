package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// period is how often a goroutine has a row to write while the leader is lost. All
// together that is less than any peer can do.
const period = 100 * time.Millisecond

// lose kills the leader while goroutines write. Each has a row to write every period, as
// requests come that nobody holds back: a latency counts from the moment at which the row
// was due, so that those count that wait behind one that waits. Those of the window, which
// begins with the kill, count. The fail-over lasts from the kill to the end of the longest
// time without an acknowledgement.
func (b *bench) lose(ctx context.Context, q question, c client) (answer, int, error) {
	leader, err := b.nodes.Leader(ctx)
	if err != nil {
		return answer{}, 0, err
	}
	begin := time.Now()
	open := begin.Add(q.Warm)
	end := open.Add(q.Window)
	late, cancel := context.WithDeadline(ctx, end.Add(tail))
	defer cancel()
	workers := make([]worker, q.Goroutines)
	acknowledged := make([][]time.Time, q.Goroutines)
	var group sync.WaitGroup
	for g := range workers {
		w := &workers[g]
		group.Go(func() {
			due := begin.Add(period * time.Duration(g) / time.Duration(q.Goroutines))
			for ; due.Before(end); due = due.Add(period) {
				time.Sleep(time.Until(due))
				if !due.Before(open) {
					w.due++
				}
				err := c.write(late, g, text)
				now := time.Now()
				if err != nil {
					w.failed(err)
					continue
				}
				w.all++
				acknowledged[g] = append(acknowledged[g], now)
				if !due.Before(open) {
					w.took = append(w.took, now.Sub(due))
				}
			}
		})
	}
	var killed time.Time
	group.Go(func() {
		time.Sleep(time.Until(open))
		killed = time.Now()
		b.nodes.Kill(leader)
	})
	group.Wait()
	a, all := merge(workers)
	var due, done float64
	for i := range workers {
		due, done = due+float64(workers[i].due), done+float64(len(workers[i].took))
	}
	a.Metrics["acknowledged"] = done / due
	if over := resumed(killed, slices.Concat(acknowledged...)); !over.IsZero() {
		a.Metrics["ns/fail-over"] = float64(over.Sub(killed))
	}
	// The next one finds three nodes again.
	err = errors.Join(b.nodes.Restart(ctx, leader), b.nodes.Voters(ctx, b.nodes.Len()))
	return a, all, err
}

// resumed is the end of the longest time after the kill in which nothing was acknowledged,
// or zero if nothing was any more.
func resumed(killed time.Time, acknowledged []time.Time) (over time.Time) {
	slices.SortFunc(acknowledged, time.Time.Compare)
	longest, last := time.Duration(0), killed
	for _, at := range acknowledged {
		if at.Before(killed) {
			continue
		}
		if at.Sub(last) > longest {
			longest, over = at.Sub(last), at
		}
		last = at
	}
	return over
}
