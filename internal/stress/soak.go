package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/sqlane/sqlane/pool"
)

// soaking is the one mode of a soak.
var soaking = round{journal: "wal", conns: 8}

// figure is something that must stay flat for as long as the program runs.
type figure struct {
	name  string
	value func(p *pool.Pool) float64
	slack float64 // this much more is no growth
	show  func(float64) string
}

var figures = []figure{
	{"heap", func(*pool.Pool) float64 { return float64(liveHeap()) }, 8 << 20, bytes},
	{"resident memory", func(*pool.Pool) float64 { return float64(resident()) }, 32 << 20, bytes},
	{"goroutines", func(*pool.Pool) float64 { return float64(goroutineCount()) }, 20, number},
	{"descriptors", func(*pool.Pool) float64 { return float64(descriptors()) }, 5, number},
	{"WAL", func(p *pool.Pool) float64 { return float64(p.Stats().WALBytes) }, 16 << 20, bytes},
}

func bytes(v float64) string  { return humanize.IBytes(uint64(v)) }
func number(v float64) string { return fmt.Sprintf("%.1f", v) }

// liveHeap is what the last garbage collection left.
func liveHeap() uint64 { return metric("/gc/heap/live:bytes") }

func goroutineCount() uint64 { return metric("/sched/goroutines:goroutines") }

func metric(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// resident is the memory of the whole process, SQLite's included; 0 where the
// system does not tell.
func resident() (n uint64) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size uint64
	_, _ = fmt.Sscan(string(text), &size, &n)
	return n * uint64(os.Getpagesize())
}

// flatness samples the figures.
type flatness struct{ samples [][]float64 }

func (f *flatness) sample(p *pool.Pool) {
	values := make([]float64, len(figures))
	for i, figure := range figures {
		values[i] = figure.value(p)
	}
	f.samples = append(f.samples, values)
}

// thirds are the means of a figure in the first and in the last third of the
// time, after a tenth to warm up, and its greatest value of all.
func (f *flatness) thirds(i int) (first, last, most float64) {
	warm := f.samples[len(f.samples)/10:]
	n := len(warm) / 3
	if n == 0 {
		return 0, 0, 0
	}
	for k, values := range warm {
		if k < n {
			first += values[i] / float64(n)
		}
		if k >= len(warm)-n {
			last += values[i] / float64(n)
		}
		most = math.Max(most, values[i])
	}
	return first, last, most
}

// grown is an error if a figure is more in the last third than in the first.
func (f *flatness) grown() error {
	var errs []error
	for i, figure := range figures {
		if first, last, _ := f.thirds(i); last > first*1.1+figure.slack {
			errs = append(errs, fmt.Errorf("%s grew from %s to %s", figure.name, figure.show(first), figure.show(last)))
		}
	}
	return errors.Join(errs...)
}

func (f *flatness) String() string {
	var b strings.Builder
	for i, figure := range figures {
		first, last, most := f.thirds(i)
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t\n", figure.name, figure.show(first), figure.show(last), figure.show(most))
	}
	return b.String()
}

// care is what an operator's jobs do beside the work.
func care(ctx context.Context, p *pool.Pool, dir string) error {
	target := filepath.Join(dir, "backup.db")
	if err := errors.Join(p.HealthCheck(ctx), p.Backup(ctx, target)); err != nil {
		return err
	}
	return os.Remove(target)
}

const (
	sampleEvery = time.Second
	enough      = 50 // samples, to tell whether anything grows
	careEvery   = 5 * time.Second
)
