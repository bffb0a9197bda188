package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlane/sqlane/bench/peers"
)

// writes is W1 and W2: durable single-row typed writes of many goroutines. The
// floor, which has one connection, writes as many rows in a transaction as pay for it.
func writes(id, synchronous string) workload {
	return workload{
		ID: id, Title: fmt.Sprintf("single-row typed writes: AppendLog, 100 goroutines, synchronous=%s; the floor: one goroutine, %s rows a transaction", strings.ToUpper(synchronous), number(perTransaction)),
		Primary: "ops/s", columns: append(slices.Clone(latencies), written), long: synchronous == "full",
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			if p.Alone {
				return b.writeInBulk(ctx, p, synchronous)
			}
			return b.writeBy(ctx, p, 100, synchronous)
		},
	}
}

// perTransaction is how many rows the floor writes before it commits.
const perTransaction = 1000

func (b *bench) writeInBulk(ctx context.Context, p peers.Peer, synchronous string) (sample, error) {
	return b.on(ctx, p, peers.Options{Synchronous: synchronous}, func(db peers.DB) (sample, expected, error) {
		s, n, err := inGroups(ctx, 1, b.warm, b.window, func(ctx context.Context, _ int) error {
			return db.(peers.Bulk).AppendLogs(ctx, perTransaction, logEntry(3))
		})
		if err != nil {
			return s, expected{}, err
		}
		s.each("op", perTransaction)
		s.metrics["ops/s"] *= perTransaction
		return s, expected{appended: n * perTransaction, appendedSum: 3 * n * perTransaction}, nil
	})
}

func (b *bench) writeBy(ctx context.Context, p peers.Peer, goroutines int, synchronous string) (sample, error) {
	return b.on(ctx, p, peers.Options{Synchronous: synchronous}, func(db peers.DB) (sample, expected, error) {
		s, all, err := b.crowd(p, goroutines, func(ctx context.Context, g, i int) (outcome, error) {
			count := int64(i % 1000)
			return outcome{sum: count}, b.append(ctx, db, count)
		}, "write").run(ctx)
		if err != nil {
			return s, expected{}, err
		}
		return s, expected{appended: all.done[0], appendedSum: all.sum, failed: all.failed}, nil
	})
}

// upserts is W1 with the widest row: the table has eight indexes.
func upserts(id, synchronous string) workload {
	return workload{
		ID: id, Title: "the same with UpsertFile, into a table with eight indexes, synchronous=" + strings.ToUpper(synchronous), Primary: "ops/s", columns: append(slices.Clone(latencies), written),
		skip: unlessPooled, long: synchronous == "full",
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.on(ctx, p, peers.Options{Synchronous: synchronous}, func(db peers.DB) (sample, expected, error) {
				s, all, err := b.crowd(p, 100, func(ctx context.Context, g, i int) (outcome, error) {
					return outcome{}, b.upsert(ctx, db, g, i)
				}, "write").run(ctx)
				if err != nil {
					return s, expected{}, err
				}
				return s, expected{files: int(all.done[0]), failed: all.failed}, nil
			})
		},
	}
}

// transactions is W3: read, write and write again in one IMMEDIATE transaction.
func transactions(synchronous string) workload {
	return workload{
		ID: "W3/" + synchronous, Title: "InTx(Immediate) of a read and two writes, 100 goroutines, synchronous=" + strings.ToUpper(synchronous), Primary: "ops/s", columns: append(slices.Clone(latencies), "p99/p50", written),
		skip: unlessPooled, long: synchronous == "full",
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.on(ctx, p, peers.Options{Synchronous: synchronous}, func(db peers.DB) (sample, expected, error) {
				s, all, err := b.crowd(p, 100, func(ctx context.Context, g, i int) (outcome, error) {
					sum, err := b.touch(ctx, db, spread(g, i))
					return outcome{sum: sum}, err
				}, "tx").run(ctx)
				if err != nil {
					return s, expected{}, err
				}
				s.ratio("p99/p50", "p99", "p50")
				return s, expected{appended: all.done[0], appendedSum: all.sum, touched: all.done[0], failed: all.failed}, nil
			})
		},
	}
}

// loneWrites is W4: nobody to share a commit with.
func loneWrites(synchronous string) workload {
	return workload{
		ID: "W4/write/" + synchronous, Title: "one goroutine alone: AppendLog, synchronous=" + strings.ToUpper(synchronous), Primary: "ops/s", columns: append(slices.Clone(allocations), written),
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.on(ctx, p, peers.Options{Synchronous: synchronous}, func(db peers.DB) (sample, expected, error) {
				s, n, err := alone(ctx, b.warm, b.window, func(ctx context.Context, i int) error { return b.append(ctx, db, 3) })
				return s, expected{appended: n, appendedSum: 3 * n}, err
			})
		},
	}
}

func loneTransactions(synchronous string) workload {
	return workload{
		ID: "W4/tx/" + synchronous, Title: "one goroutine alone: InTx(Immediate) of a read and two writes, synchronous=" + strings.ToUpper(synchronous), Primary: "ops/s", columns: append(slices.Clone(allocations), written),
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.on(ctx, p, peers.Options{Synchronous: synchronous}, func(db peers.DB) (sample, expected, error) {
				var sum int64
				s, n, err := alone(ctx, b.warm, b.window, func(ctx context.Context, i int) error {
					id, err := b.touch(ctx, db, i)
					sum += id
					return err
				})
				return s, expected{appended: n, appendedSum: sum, touched: n}, err
			})
		},
	}
}

// mixed is M1: nine reads for a durable write.
func mixed() workload {
	return workload{
		ID: "M1", Title: "90 % point reads, 10 % durable writes, 100 goroutines, synchronous=FULL", Primary: "ops/s", columns: []string{"read ops/s", "p50", "p99", "max", "write ops/s", "write p50", "write p99", "write max", written},
		skip: unlessPooled, long: true,
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.on(ctx, p, peers.Options{Synchronous: "full"}, func(db peers.DB) (sample, expected, error) {
				s, all, err := b.crowd(p, 100, func(ctx context.Context, g, i int) (outcome, error) {
					if (g+i)%10 == 0 {
						return outcome{kind: 1, sum: 5}, b.append(ctx, db, 5)
					}
					return outcome{}, b.read(ctx, db, spread(g, i))
				}, "read", "write").run(ctx)
				if err != nil {
					return s, expected{}, err
				}
				return s, expected{appended: all.done[1], appendedSum: all.sum, failed: all.failed}, nil
			})
		},
	}
}
