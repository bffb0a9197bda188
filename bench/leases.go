package main

import (
	"context"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
)

func lease() workload {
	return workload{
		ID: "P1/lease", Title: "Acquire and Release, nobody else there", Primary: "ns/op", columns: allocations,
		skip: unlessPooled,
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.on(ctx, p, peers.Options{Synchronous: "full"}, func(db peers.DB) (sample, expected, error) {
				nothing := func() {}
				s, _, err := alone(ctx, b.warm, b.window, func(ctx context.Context, _ int) error { return db.Hold(ctx, nothing) })
				return s, expected{}, err
			})
		},
	}
}

// queue is how fair a pool is: 100 goroutines want one of 8 connections and keep
// it for a millisecond, which is long beside what scheduling costs.
func queue() workload {
	const conns = 8
	return workload{
		ID: "P1/queue", Title: "100 waiters on 8 connections, each held for 1 ms", Primary: "longest/mean", columns: latencies,
		skip: unlessPooled,
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			o := peers.Options{Synchronous: "full", Conns: conns}
			if p.Name == "sqlane" {
				o.Conns++ // one of them is for writing and not leased
			}
			return b.on(ctx, p, o, func(db peers.DB) (sample, expected, error) {
				s, _, err := b.crowd(p, 100, func(ctx context.Context, _, _ int) (outcome, error) {
					asked := time.Now()
					var got time.Time
					err := db.Hold(ctx, func() {
						got = time.Now()
						time.Sleep(time.Millisecond)
					})
					return outcome{took: max(got.Sub(asked), 1)}, err
				}, "wait").run(ctx)
				if err == nil {
					s.ratio("longest/mean", "max", "mean")
				}
				return s, expected{}, err
			})
		},
	}
}
