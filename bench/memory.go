package main

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
)

// What a connection, a lease and a waiter weigh. SQLite's memory is not Go's, so
// the process tells, and each peer gets a process of its own.

func weights() workload {
	return workload{
		ID: "P1/memory", Title: "memory of an idle connection after use, of a lease and of a waiter", Primary: "KB/connection",
		columns: []string{"B/lease", "B/waiter"}, runs: 1, weight: 1, skip: unlessPooled,
		run: func(ctx context.Context, b *bench, p peers.Peer) (sample, error) {
			return b.apart(ctx, "memory", p, b.template, 0)
		},
	}
}

func weigh(ctx context.Context, p peers.Peer, path string, _ int) (map[string]float64, error) {
	const few, many, waiters = 2, 66, 5000
	metrics := map[string]float64{}
	small, err := p.Open(ctx, peers.Options{Path: path, Synchronous: "full", Conns: few})
	if err != nil {
		return nil, err
	}
	if err := readMuch(ctx, small, few); err != nil {
		return nil, err
	}
	before := resident()
	if err := small.Close(); err != nil {
		return nil, err
	}
	db, err := p.Open(ctx, peers.Options{Path: path, Synchronous: "full", Conns: many})
	if err != nil {
		return nil, err
	}
	if err := readMuch(ctx, db, many); err != nil {
		return nil, err
	}
	metrics["KB/connection"] = (resident() - before) / (many - few)

	// All connections leased: a pool that keeps one for writing leases one less.
	leases := many
	if p.Name == "sqlane" {
		leases--
	}
	idle := inUse() + baseline(leases)
	var holding, done sync.WaitGroup
	release := make(chan struct{})
	holding.Add(leases)
	errs := make(chan error, leases+waiters)
	for range leases {
		done.Go(func() {
			errs <- db.Hold(ctx, func() {
				holding.Done()
				<-release
			})
		})
	}
	holding.Wait()
	leased := inUse()
	metrics["B/lease"] = max(0, (leased-idle)/float64(leases))

	queued := leased + baseline(waiters)
	var asking atomic.Int64
	for range waiters {
		done.Go(func() {
			asking.Add(1)
			errs <- db.Hold(ctx, func() {})
		})
	}
	for asking.Load() < waiters {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // from asking to waiting; nothing tells
	metrics["B/waiter"] = (inUse() - queued) / waiters
	close(release)
	done.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return metrics, errors.Join(err, db.Close())
}

// readMuch opens all connections of a pool and uses them.
func readMuch(ctx context.Context, db peers.DB, conns int) error {
	paths, _ := hotPaths(10_000)
	var readers sync.WaitGroup
	errs := make(chan error, 4*conns)
	for range 4 * conns {
		readers.Go(func() {
			var err error
			for i := 0; i < 50 && err == nil; i++ {
				_, err = db.GetFileByPath(ctx, paths[i])
			}
			errs <- err
		})
	}
	readers.Wait()
	close(errs)
	var err error
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// resident is the process's memory in KB, without what Go could give back.
func resident() float64 {
	debug.FreeOSMemory()
	return memory("self", "VmRSS")
}

// memory is a size in KB that the system tells of a process; 0 if it does not.
func memory(pid, name string) float64 {
	text, _, _ := strings.Cut(field("/proc/"+pid+"/status", name), " ")
	kb, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return kb
}

// inUse is Go's heap and stacks in bytes.
func inUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// baseline is what so many goroutines weigh that wait for nothing but a channel.
func baseline(goroutines int) float64 {
	before := inUse()
	var ready, done sync.WaitGroup
	stop := make(chan struct{})
	ready.Add(goroutines)
	for range goroutines {
		done.Go(func() {
			ready.Done()
			<-stop
		})
	}
	ready.Wait()
	weight := inUse() - before
	close(stop)
	done.Wait()
	return weight
}
