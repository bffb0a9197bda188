package pool

import (
	"context"
	"testing"
	"time"
)

func BenchmarkLaneQueue(b *testing.B) {
	l := newLane(3, &waiters{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ReportAllocs()
	b.SetParallelism(50)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.lock(ctx, shared, 5*time.Second); err != nil {
				b.Error(err)
			}
			l.unlock(shared)
		}
	})
}

func BenchmarkLaneFree(b *testing.B) {
	l := newLane(3, &waiters{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		if err := l.lock(ctx, shared, 5*time.Second); err != nil {
			b.Error(err)
		}
		l.unlock(shared)
	}
}
