package main

import (
	"context"
	"fmt"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/sqlane/sqlane/gen"
)

func pointRead() workload {
	return workload{
		ID: "R1", Title: "point read: GetFileByPath, cancellable context, 1 goroutine", Primary: "ns/op", columns: allocations,
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.reading(ctx, p, peers.Options{Synchronous: "full"}, func(db peers.DB) (sample, error) {
				s, _, err := alone(ctx, b.warm, b.window, func(ctx context.Context, i int) error { return b.read(ctx, db, i) })
				return s, err
			})
		},
	}
}

func concurrentReads(goroutines int) workload {
	return workload{
		ID: fmt.Sprintf("R2/%d", goroutines), Title: fmt.Sprintf("point reads from %d goroutines", goroutines), Primary: "ops/s", columns: latencies,
		skip: unlessPooled,
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.readBy(ctx, p, goroutines, 0)
		},
	}
}

// readBy measures point reads of so many goroutines on so many connections.
func (b *bench) readBy(ctx context.Context, p peers.Peer, goroutines, conns int) (sample, error) {
	return b.reading(ctx, p, peers.Options{Synchronous: "full", Conns: conns}, func(db peers.DB) (sample, error) {
		s, _, err := b.crowd(p, goroutines, func(ctx context.Context, g, i int) (outcome, error) {
			return outcome{}, b.read(ctx, db, spread(g, i))
		}, "read").run(ctx)
		return s, err
	})
}

func manyRows() workload {
	return workload{
		ID: "R3", Title: "1,000 typed rows in one query: ListDirectory, 1 goroutine", Primary: "ns/row", cpu: "CPU/row", columns: []string{"allocs/row", "B/row"},
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.reading(ctx, p, peers.Options{Synchronous: "full"}, func(db peers.DB) (sample, error) {
				s, _, err := alone(ctx, b.warm, b.window, func(ctx context.Context, i int) error {
					files, err := db.ListDirectory(ctx, gen.ListDirectoryParams{DirectoryID: 1, Count: perDirectory})
					if err == nil && (len(files) != perDirectory || files[perDirectory-1].Path != pathOf(perDirectory-1)) {
						err = fmt.Errorf("%w: a directory of %d files", errWrong, len(files))
					}
					return err
				})
				s.each("row", perDirectory)
				return s, err
			})
		},
	}
}
