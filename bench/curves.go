package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/sqlane/sqlane/schema"
)

// S1: what a peer costs as the work grows. Each point of a curve is a workload.

func curves(s scale) []workload {
	var all []workload
	add := func(curve, axis string, points []int, w func(n int) workload) {
		for _, n := range points {
			point := w(n)
			point.ID, point.curve, point.axis, point.x = fmt.Sprintf("S1/%s/%d", curve, n), "S1/"+curve, axis, n
			point.runs, point.window, point.weight = s.curveRuns, max(point.window, s.curveWindow), 2
			all = append(all, point)
		}
	}
	add("readers", "goroutines", s.goroutines, func(n int) workload {
		return workload{
			Title: "point reads as goroutines grow", Primary: "ops/s", skip: unlessBounded(n), window: turns(n),
			run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) { return b.readBy(ctx, p, n, 0) },
		}
	})
	add("writers", "goroutines", s.goroutines, func(n int) workload {
		return workload{
			Title: "durable single-row writes as goroutines grow", Primary: "ops/s", skip: unlessBounded(n), window: turns(n),
			run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) { return b.writeBy(ctx, p, n, "full") },
		}
	})
	add("connections", "connections", s.conns, func(n int) workload {
		return workload{
			Title: "point reads from 100 goroutines as connections grow", Primary: "ops/s", skip: unlessPooled,
			run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) { return b.readBy(ctx, p, 100, n) },
		}
	})
	add("rows", "rows", s.tables, func(n int) workload {
		return workload{
			Title: "a point read, 1 goroutine, anywhere in a table that grows", Primary: "ns/op", table: n,
			run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) { return b.readFrom(ctx, p, n) },
		}
	})
	return all
}

// turns is how long so many goroutines need for a few operations each. In less one
// would see them start.
func turns(goroutines int) time.Duration { return time.Duration(goroutines) * 100 * time.Microsecond }

// unlessBounded leaves out what opens a connection for each of so many goroutines.
func unlessBounded(goroutines int) func(peers.Peer) string {
	return func(p peers.Peer) string {
		if why := unlessPooled(p); why != "" {
			return why
		}
		if goroutines > 1000 && !p.Tuned && p.Name != "sqlane" {
			return "not run: without a limit it opens a connection for each goroutine, and the system's descriptors end before that"
		}
		return ""
	}
}

// readFrom measures point reads all over a table of so many rows.
func (b *bench) readFrom(ctx context.Context, p peers.Peer, rows int) (s sample, err error) {
	path, err := b.table(ctx, rows)
	if err != nil {
		return s, err
	}
	db, err := p.Open(ctx, peers.Options{Path: path, Synchronous: "full"})
	if err != nil {
		return s, err
	}
	if err := b.append(ctx, db, 0); err != nil { // the log's first commit: see reading
		return s, errors.Join(err, db.Close())
	}
	paths, ids := randomPaths(rows, 20_000)
	s, _, err = alone(ctx, b.warm, b.window, func(ctx context.Context, i int) error {
		k := i % len(paths)
		file, err := db.GetFileByPath(ctx, paths[k])
		if err != nil {
			return err
		}
		return checkFile(file, paths[k], ids[k])
	})
	if closing := db.Close(); err == nil {
		err = closing
	}
	return s, err
}

// table returns a database with so many files, which stay as they are. Large ones
// take minutes to make and are kept for the next time.
func (b *bench) table(ctx context.Context, rows int) (string, error) {
	const large = 1_000_000
	dir := b.dir
	if rows >= large {
		dir = b.cache
	}
	path := filepath.Join(dir, fmt.Sprintf("bench-%d-rows.db", rows))
	if _, err := os.Stat(path); err == nil {
		if b.sound[path] {
			return path, nil
		}
		if isSound(ctx, path, rows) {
			b.sound[path] = true
			return path, readThrough(path)
		}
	}
	fresh := path + ".new"
	removeDatabase(fresh)
	removeDatabase(path)
	if err := makeDatabase(ctx, fresh, rows); err != nil {
		removeDatabase(fresh)
		return "", err
	}
	b.sound[path] = true
	if err := os.Rename(fresh, path); err != nil {
		return "", err
	}
	return path, readThrough(path)
}

// readThrough has the system cache the file, or else the first peer would pay
// the disk for all. Nobody may have the database open.
func readThrough(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, f)
	return errors.Join(err, f.Close())
}

// isSound reports that a kept database has today's schema and all its rows.
func isSound(ctx context.Context, path string, rows int) bool {
	db, err := openPlain(path)
	if err != nil {
		return false
	}
	defer db.Close()
	var last int
	err = db.QueryRowContext(ctx, "SELECT max(id) FROM files").Scan(&last)
	return err == nil && last == rows && schema.Validate(ctx, db) == nil
}
