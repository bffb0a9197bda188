package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
)

// I1: a program that indexes a directory tree, durably, as a process of its own.
// fileindex is sqlane's; naive is the same done with one database/sql
// transaction an entry, by one goroutine or by eight.

var indexers = []peers.Peer{{Name: "sqlane"}, {Name: "naive, 1 goroutine"}, {Name: "naive, 8 goroutines"}}

func indexing(s scale) []workload {
	tree := workload{
		ID: "I1", Title: "index Go's source tree durably", Primary: "entries/s",
		cpu: "CPU/entry", columns: []string{"entries", "seconds", "peak MB"}, others: indexers, runs: s.curveRuns, weight: 12,
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			root := b.tree
			if net := filepath.Join(root, "net"); b.quick && exists(net) {
				root = net
			}
			return b.index(ctx, p, root)
		},
	}
	all := []workload{tree}
	for _, n := range s.trees {
		all = append(all, workload{
			ID: fmt.Sprintf("I1/entries/%d", n), Title: "peak memory of fileindex as the tree grows", Primary: "peak MB", cpu: "CPU/entry",
			curve: "I1/entries", axis: "entries", x: n, others: indexers[:1], runs: 1, weight: 1,
			run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
				root, err := b.grow(n)
				if err != nil {
					return sample{}, err
				}
				return b.index(ctx, p, root)
			},
		})
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// grow makes a tree with so many entries, a hundred files to a directory.
func (b *bench) grow(entries int) (root string, err error) {
	root = filepath.Join(b.dir, fmt.Sprintf("tree-%d", entries))
	if exists(root) {
		return root, nil
	}
	if err := os.Mkdir(root, 0o700); err != nil {
		return "", err
	}
	var dir string
	for i := 0; i < entries; i++ {
		if i%101 == 0 {
			dir = filepath.Join(root, fmt.Sprintf("d%04d", i/101))
			err = os.Mkdir(dir, 0o700)
		} else {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%03d.go", i%101)), []byte("package x\n"), 0o600)
		}
		if err != nil {
			return "", err
		}
	}
	return root, nil
}

// index runs an indexer and checks that its database has what the tree has.
func (b *bench) index(ctx context.Context, p peers.Peer, root string) (sample, error) {
	path := filepath.Join(b.dir, "index.db")
	defer removeDatabase(path)
	program, args := "fileindex", []string{"-db", path, "index", root}
	if _, goroutines, ok := strings.Cut(p.Name, "naive, "); ok {
		n, _, _ := strings.Cut(goroutines, " ")
		program, args = "sqlane-bench-naive", []string{"-db", path, "-goroutines", n, root}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.programs, program), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, fmt.Errorf("%w; make bench builds it", err)
	}
	peak := make(chan float64)
	over := make(chan struct{})
	go func() { peak <- watchPeak(cmd.Process.Pid, over) }()
	err := cmd.Wait()
	took := time.Since(start).Seconds()
	close(over)
	weight := <-peak
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(out.String()))
	}
	entries, err := b.checkIndex(ctx, path, root)
	s := sample{metrics: map[string]float64{
		"entries": float64(entries), "seconds": took, "entries/s": float64(entries) / took, "peak MB": weight,
	}}
	s.cpu(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), float64(entries)) // by getrusage, of the child alone
	s.each("entry", 1)
	return s, err
}

// watchPeak polls the most memory that a process has had resident. The figure
// that the kernel gives to a process's parent is no use: it counts the parent's.
func watchPeak(pid int, over <-chan struct{}) (peak float64) {
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		peak = max(peak, memory(strconv.Itoa(pid), "VmHWM")/1024)
		select {
		case <-over:
			tick.Stop()
			return peak
		case <-tick.C:
		}
	}
}

// checkIndex compares an index with the tree, and returns how many entries there are.
func (b *bench) checkIndex(ctx context.Context, path, root string) (entries int64, err error) {
	var size int64
	err = filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || at == root {
			return err
		}
		entries++
		if !entry.IsDir() {
			info, err := entry.Info()
			if err != nil {
				return err
			}
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	db, err := openPlain(path)
	if err != nil {
		return 0, err
	}
	var found, foundSize, runs int64
	err = db.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(size), 0), (SELECT count(*) FROM indexing_log) FROM files").Scan(&found, &foundSize, &runs)
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, err
	}
	if found != entries || foundSize != size || runs != 1 {
		err = fmt.Errorf("%w: the tree has %d entries of %d bytes, its index %d of %d", errWrong, entries, size, found, foundSize)
	}
	return entries, err
}
