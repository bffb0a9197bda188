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
// back. Nobody can look inside of a method, so it is what remains of a difference: the
// cheapest read that there is, less the same in a View, which has its connection. The
// View has SQLite's read transaction too, so what that costs is taken off: a statement
// on a lease less the same in a transaction, neither of which takes anything.
func take() workload {
	return workload{
		ID: "P1/take", Title: "what a generated read's own take and give of a connection costs: GetSchemaVersion less the same in a View, less a read transaction of SQLite's", Primary: "ns/op",
		columns: []string{"allocs/op", "ns/read"}, weight: 1,
		others: []peers.Peer{peers.Sqlane()},
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.reading(ctx, p, peers.Options{Synchronous: "full"}, func(db peers.DB) (sample, error) {
				return b.taking(ctx, db.(peers.Pooled).Pool())
			})
		},
	}
}

func (b *bench) taking(ctx context.Context, p *pool.Pool) (s sample, err error) {
	lease, err := p.Acquire(ctx)
	if err != nil {
		return s, err
	}
	defer lease.Release()
	r := repo.New(p)
	err = p.View(ctx, func(_ context.Context, tx *pool.Tx) error {
		return r.View(ctx, func(inView context.Context, q repo.Reader) error {
			s, err = b.remainder(
				func() (int64, error) { return r.GetSchemaVersion(ctx) },
				func() (int64, error) { return q.GetSchemaVersion(inView) },
				statement(ctx, lease), statement(ctx, tx))
			return err
		})
	})
	return s, err
}

func statement(ctx context.Context, q pool.Querier) func() (int64, error) {
	return func() (version int64, err error) {
		err = q.QueryRow(ctx, "SELECT CAST(coalesce(max(version_id), 0) AS INTEGER) FROM schema_version").Scan(&version)
		return version, err
	}
}

// remainder is what the first read costs more than the second, beyond what the third
// costs more than the fourth. All take turns.
func (b *bench) remainder(reads ...func() (int64, error)) (sample, error) {
	const group = 64
	signs := []float64{1, -1, -1, 1}
	measure := func(read func() (int64, error)) (took, cpu time.Duration, err error) {
		cpu, start := cpuTime(), time.Now()
		for range group {
			version, err := read()
			if err == nil && version < 1 {
				err = fmt.Errorf("%w: schema version %d", errWrong, version)
			}
			if err != nil {
				return 0, 0, err
			}
		}
		return time.Since(start), cpuTime() - cpu, nil
	}
	var whole, cpu time.Duration
	turn := func() (difference float64, err error) {
		for i, read := range reads {
			took, used, err := measure(read)
			if err != nil {
				return 0, err
			}
			difference += signs[i] * float64(took.Nanoseconds()) / group
			cpu += time.Duration(signs[i]) * used
			if i == 0 {
				whole += took
			}
		}
		return difference, nil
	}
	for end := time.Now().Add(b.warm); time.Now().Before(end); {
		if _, err := turn(); err != nil {
			return sample{}, err
		}
	}
	// Allocations are counted by themselves, since to count them stops the world. SQLite
	// has none that Go knows of.
	var allocs [2]float64
	for i := range allocs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 16 {
			if _, _, err := measure(reads[i]); err != nil {
				return sample{}, err
			}
		}
		runtime.ReadMemStats(&after)
		allocs[i] = float64(after.Mallocs-before.Mallocs) / (16 * group)
	}
	if allocs[0] < allocs[1]-0.5 {
		return sample{}, fmt.Errorf("a read makes %.1f allocations, and %.1f in a View: it is not the same, and their difference tells nothing", allocs[0], allocs[1])
	}
	runtime.GC()
	var differences []float64
	whole, cpu = 0, 0
	for end := time.Now().Add(b.window); len(differences) == 0 || time.Now().Before(end); {
		difference, err := turn()
		if err != nil {
			return sample{}, err
		}
		differences = append(differences, difference)
	}
	n := float64(len(differences) * group)
	slices.Sort(differences)
	s := sample{metrics: map[string]float64{
		// The median of the turns: what disturbs one group does not count.
		"ns/op":     differences[len(differences)/2],
		"ns/read":   float64(whole.Nanoseconds()) / n,
		"allocs/op": allocs[0] - allocs[1],
	}}
	s.cpu(cpu, n)
	return s, nil
}
