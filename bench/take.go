package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/repo"
)

// take is what a generated read pays for its connection: to take one and to give it
// back. Nobody can look inside of a method, so two repositories take turns at the
// cheapest query that there is: one on the pool, as everybody has it, and one on a
// lease that it keeps. The difference is the figure.
func take() workload {
	return workload{
		ID: "P1/take", Title: "what a generated read's own take and give of a connection costs: GetSchemaVersion through repo, less the same on a lease that is kept", Primary: "ns/op",
		columns: []string{"allocs/op", "ns/read"}, weight: 1,
		others: []peers.Peer{peers.Sqlane()},
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.reading(ctx, p, peers.Options{Synchronous: "full"}, func(db peers.DB) (sample, error) {
				return taking(ctx, db.(peers.Pooled).Pool(), b.warm, b.window)
			})
		},
	}
}

// keeping is a store that reads on one lease.
type keeping struct {
	*pool.Pool
	lease *pool.Lease
}

// StoreReader implements pool.Store.
func (k keeping) StoreReader() pool.DBTX { return k.lease }

func taking(ctx context.Context, p *pool.Pool, warm, window time.Duration) (sample, error) {
	lease, err := p.Acquire(ctx)
	if err != nil {
		return sample{}, err
	}
	defer lease.Release()
	const group = 64
	type cost struct{ ns, cpu time.Duration }
	measure := func(r *repo.Repo) (c cost, err error) {
		cpu, start := cpuTime(), time.Now()
		for range group {
			version, err := r.GetSchemaVersion(ctx)
			if err != nil {
				return c, err
			}
			if version < 1 {
				return c, fmt.Errorf("%w: schema version %d", errWrong, version)
			}
		}
		return cost{ns: time.Since(start), cpu: cpuTime() - cpu}, nil
	}
	whole, kept := repo.New(p), repo.New(keeping{p, lease})
	both := func() (w, k cost, err error) {
		w, err = measure(whole)
		if err == nil {
			k, err = measure(kept)
		}
		return w, k, err
	}
	for end := time.Now().Add(warm); time.Now().Before(end); {
		if _, _, err := both(); err != nil {
			return sample{}, err
		}
	}
	// Allocations are counted by themselves, since to count them stops the world.
	allocs := func(r *repo.Repo) (float64, error) {
		const rounds = 16
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			if _, err := measure(r); err != nil {
				return 0, err
			}
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / (rounds * group), nil
	}
	withIt, err := allocs(whole)
	if err != nil {
		return sample{}, err
	}
	without, err := allocs(kept)
	if err != nil {
		return sample{}, err
	}
	runtime.GC()
	var differences []float64
	var cpu, read time.Duration
	for end := time.Now().Add(window); len(differences) == 0 || time.Now().Before(end); {
		w, k, err := both()
		if err != nil {
			return sample{}, err
		}
		differences = append(differences, float64((w.ns-k.ns).Nanoseconds())/group)
		cpu, read = cpu+w.cpu-k.cpu, read+w.ns
	}
	n := float64(len(differences) * group)
	slices.Sort(differences)
	s := sample{metrics: map[string]float64{
		// The median of the pairs' differences: what disturbs one group does not count.
		"ns/op":     differences[len(differences)/2],
		"ns/read":   float64(read.Nanoseconds()) / n,
		"allocs/op": withIt - without,
	}}
	s.cpu(cpu, n)
	return s, nil
}
