package pool_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// BenchmarkCommitWhileWatched commits a row at a time of a table that this many loops
// of Watch have read, and none or as many of another one. The loops' bodies never
// return, so what is measured is what the writer pays.
func BenchmarkCommitWhileWatched(b *testing.B) {
	for _, watchers := range []int{0, 1, 100, 10_000} {
		for _, table := range []string{"n", "heap"} {
			if watchers == 0 && table == "heap" {
				continue
			}
			b.Run(fmt.Sprintf("%d/%s", watchers, table), func(b *testing.B) {
				p := open(b, pool.Config{})
				ctx, stop := context.WithCancel(b.Context())
				var begun, all sync.WaitGroup
				begun.Add(watchers)
				for range watchers {
					all.Go(func() {
						once := sync.OnceFunc(begun.Done)
						for range p.Watch(ctx, doing("SELECT count(*) FROM "+table)) {
							once()
							<-ctx.Done()
						}
					})
				}
				begun.Wait()
				b.ResetTimer()
				for range b.N {
					require.NoError(b, send(ctx, p, "UPDATE n SET v = v + 1 WHERE id = 1"))
				}
				b.StopTimer()
				stop()
				all.Wait()
			})
		}
	}
}

// BenchmarkRunsAfterACommit lets as many loops run again after each commit.
func BenchmarkRunsAfterACommit(b *testing.B) {
	for _, watchers := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(watchers), func(b *testing.B) {
			p := open(b, pool.Config{})
			ctx, stop := context.WithCancel(b.Context())
			var all sync.WaitGroup
			ran := make(chan int64, watchers)
			for range watchers {
				all.Go(func() {
					var v, told int64 = 0, -1
					for range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
						return tx.QueryRow(ctx, "SELECT v FROM n WHERE id = 1").Scan(&v)
					}) {
						if ctx.Err() == nil && v != told {
							told = v
							ran <- v
						}
					}
				})
			}
			for range watchers {
				<-ran
			}
			b.ResetTimer()
			for range b.N {
				require.NoError(b, send(ctx, p, "UPDATE n SET v = v + 1 WHERE id = 1"))
				for range watchers {
					<-ran
				}
			}
			b.StopTimer()
			stop()
			all.Wait()
		})
	}
}
