package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/sqlane/sqlane/gen"
)

// stream is R4: a query's rows one by one, more of them than anybody wants in
// memory. Each peer reads them in a process of its own, which tells what it took.
func stream(s scale) workload {
	return workload{
		ID: "R4", Title: number(float64(s.stream)) + " typed rows through an iterator: SearchFilesByPrefixSeq, 1 goroutine, each peer in a process of its own", Primary: "ns/row", cpu: "CPU/row",
		columns: []string{"allocs/row", "B/row", "peak MB", "peak/early"}, weight: 20, table: s.stream,
		skip: func(p peers.Peer) string {
			if !p.Tuned && p.Name != "sqlane" {
				return "one long query is the same as tuned"
			}
			return ""
		},
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			path, err := b.table(ctx, b.stream)
			if err != nil {
				return sample{}, err
			}
			return b.apart(ctx, "stream", p, path, b.stream)
		},
	}
}

// streamThrough reads so many rows of a table that has no more.
func streamThrough(ctx context.Context, p peers.Peer, path string, rows int) (metrics map[string]float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	db, err := p.Open(ctx, peers.Options{Path: path, Synchronous: "full"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.AppendLog(ctx, logEntry(0)); err != nil { // the log's first commit: see reading
		return nil, err
	}
	// peak is the process's at the end, early when a tenth was read: what grows with
	// the rows shows between them.
	var early, peak float64
	read := func(want int) error {
		got := 0
		for file, err := range db.SearchFilesByPrefixSeq(ctx, gen.SearchFilesByPrefixParams{Prefix: "file", Count: int64(want)}) {
			if err != nil {
				return err
			}
			if got++; file.ID != int64(got) {
				return fmt.Errorf("%w: row %d has the id %d", errWrong, got, file.ID)
			}
			if got == rows/10 {
				early = memory("self", "VmHWM") / 1024
			}
		}
		if got != want {
			return fmt.Errorf("%w: %d rows of %d", errWrong, got, want)
		}
		return nil
	}
	// To get warm, in queries that are short beside the one that is measured, until
	// Go's heap is as large as its garbage collector lets it become.
	for warm, each := 0, max(rows/20, 1); warm < min(rows, 100_000); warm += each {
		if err := read(each); err != nil {
			return nil, err
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	if err := read(rows); err != nil {
		return nil, err
	}
	took, used := time.Since(start), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	peak = memory("self", "VmHWM") / 1024
	s := sample{metrics: map[string]float64{
		"ns/row":     float64(took.Nanoseconds()) / float64(rows),
		"allocs/row": float64(after.Mallocs-before.Mallocs) / float64(rows),
		"B/row":      float64(after.TotalAlloc-before.TotalAlloc) / float64(rows),
		"peak MB":    peak,
	}}
	if used > 0 {
		s.metrics["CPU/row"] = float64(used.Nanoseconds()) / float64(rows)
	}
	if early > 0 {
		s.metrics["peak/early"] = peak / early
	}
	return s.metrics, nil
}
