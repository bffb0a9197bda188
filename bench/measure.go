package main

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// sample is one run of one peer in one workload.
type sample struct {
	metrics map[string]float64
	errors  map[string]int64
	latency *hdrhistogram.Histogram // of all operations, in ns; nil if not wanted
}

// ratio adds a quotient of two metrics that are there.
func (s sample) ratio(name, above, below string) {
	if s.metrics[below] > 0 {
		s.metrics[name] = s.metrics[above] / s.metrics[below]
	}
}

// cpu adds what so many operations cost the CPUs, if the system tells.
func (s sample) cpu(used time.Duration, operations float64) {
	if used > 0 && operations > 0 {
		s.metrics[cpuPerOp] = float64(used.Nanoseconds()) / operations
	}
}

// each has the metrics of an operation count for its parts: rows, transactions.
func (s sample) each(unit string, parts float64) {
	for _, name := range []string{"ns", "CPU", "allocs", "B"} {
		if v, ok := s.metrics[name+"/op"]; ok {
			s.metrics[name+"/"+unit] = v / parts
		}
	}
}

// cpuPerOp stands beside the metric that counts, wherever work is done.
const cpuPerOp = "CPU/op"

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(100*time.Second), 3)
}

// alone measures one goroutine. Operations are timed in groups, so that the
// clock's cost does not show, and the garbage collector runs as it does anyway.
func alone(ctx context.Context, warm, window time.Duration, op func(ctx context.Context, i int) error) (sample, int64, error) {
	return inGroups(ctx, 32, warm, window, op)
}

func inGroups(ctx context.Context, group int, warm, window time.Duration, op func(ctx context.Context, i int) error) (sample, int64, error) {
	i := 0
	until := func(end time.Time) error {
		for time.Now().Before(end) {
			for range group {
				if err := op(ctx, i); err != nil {
					return err
				}
				i++
			}
		}
		return nil
	}
	if err := until(time.Now().Add(warm)); err != nil {
		return sample{}, 0, err
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	first, cpu, start := i, cpuTime(), time.Now()
	if err := until(start.Add(window)); err != nil {
		return sample{}, 0, err
	}
	took := time.Since(start)
	cpu = cpuTime() - cpu
	runtime.ReadMemStats(&after)
	n := float64(i - first)
	s := sample{metrics: map[string]float64{
		"ns/op":     float64(took.Nanoseconds()) / n,
		"ops/s":     n / took.Seconds(),
		"allocs/op": float64(after.Mallocs-before.Mallocs) / n,
		"B/op":      float64(after.TotalAlloc-before.TotalAlloc) / n,
	}}
	s.cpu(cpu, n)
	return s, int64(i), nil
}

// outcome is what an operation of many goroutines tells besides its error.
type outcome struct {
	kind int           // which of the workload's operations it was
	sum  int64         // added up
	took time.Duration // 0: as long as the call took
}

// crowd is a load of many goroutines.
type crowd struct {
	goroutines   int
	warm, window time.Duration
	kinds        []string // names of the operations; metrics of the first have no prefix
	op           func(ctx context.Context, g, i int) (outcome, error)
	busy         func(error) bool
}

// tail is how long operations may go on after the window has ended. Then they are
// cancelled, and counted as errors.
const tail = 20 * time.Second

// totals are what a crowd did, the warm-up included.
type totals struct {
	done   []int64 // by kind
	sum    int64
	failed int64
}

// run lets each goroutine do one operation after another, one at least. What is
// under way in the window counts in latencies, so that who starves shows; what
// ends in it counts in throughput; everything counts in the totals.
func (c crowd) run(ctx context.Context) (sample, totals, error) {
	runtime.GC()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		recorders = make([]recorder, min(c.goroutines, 64))
		workers   sync.WaitGroup
		begin     = make(chan struct{})
		start     time.Time
	)
	for i := range recorders {
		recorders[i].init(len(c.kinds))
	}
	for g := range c.goroutines {
		workers.Go(func() {
			r := &recorders[g%len(recorders)]
			<-begin
			open, end := start.Add(c.warm), start.Add(c.warm+c.window)
			for i, now := 0, time.Now(); i == 0 || now.Before(end) && ctx.Err() == nil; i++ {
				out, err := c.op(ctx, g, i)
				then := time.Now()
				if out.took == 0 {
					out.took = then.Sub(now)
				}
				if errors.Is(err, errWrong) {
					cancel(err)
					return
				}
				r.record(out, c.classify(ctx, err), !then.Before(open), then.Before(end))
				now = then
			}
		})
	}
	start = time.Now()
	close(begin)
	// Two looks at what was used and what was done, each at one moment, so that it
	// does not matter when exactly a busy machine gets round to them.
	var from, to effort
	workers.Go(func() {
		time.Sleep(c.warm)
		from = effortOf(recorders)
		time.Sleep(time.Until(start.Add(c.warm + c.window)))
		to = effortOf(recorders)
	})
	late := time.AfterFunc(c.warm+c.window+tail, func() { cancel(errLate) })
	defer late.Stop()
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errLate) {
		return sample{}, totals{}, cause
	}
	s, all, err := c.merge(recorders)
	s.cpu(to.cpu-from.cpu, float64(to.done-from.done))
	return s, all, err
}

// effort is what was done until some moment, and what it cost.
type effort struct {
	cpu  time.Duration
	done int64
}

func effortOf(recorders []recorder) effort {
	e := effort{cpu: cpuTime()}
	for i := range recorders {
		r := &recorders[i]
		r.mu.Lock()
		for _, n := range r.totals.done {
			e.done += n
		}
		r.mu.Unlock()
	}
	return e
}

var errLate = errors.New("not done when the time was over")

func (c crowd) classify(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return ""
	case c.busy(err):
		return "SQLITE_BUSY"
	case errors.Is(context.Cause(ctx), errLate):
		return errLate.Error()
	}
	return brief(err)
}

// brief is an error in one short line.
func brief(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text[:min(len(text), 80)]
}

// recorder is shared by a few goroutines: ten thousand histograms would be more
// memory than the databases.
type recorder struct {
	mu      sync.Mutex // guards all
	latency []*hdrhistogram.Histogram
	ended   []int64 // in the window
	totals  totals
	errors  map[string]int64
}

func (r *recorder) init(kinds int) {
	r.ended, r.totals.done, r.errors = make([]int64, kinds), make([]int64, kinds), map[string]int64{}
	for range kinds {
		r.latency = append(r.latency, newHistogram())
	}
}

func (r *recorder) record(out outcome, failure string, afterWarmUp, beforeEnd bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if failure != "" {
		r.errors[failure]++
		r.totals.failed++
		return
	}
	r.totals.done[out.kind]++
	r.totals.sum += out.sum
	if !afterWarmUp {
		return
	}
	h := r.latency[out.kind]
	_ = h.RecordValue(min(out.took.Nanoseconds(), h.HighestTrackableValue())) // within its range: no error
	if beforeEnd {
		r.ended[out.kind]++
	}
}

func (c crowd) merge(recorders []recorder) (sample, totals, error) {
	s := sample{metrics: map[string]float64{}, errors: map[string]int64{}}
	all := totals{done: make([]int64, len(c.kinds))}
	for k, kind := range c.kinds {
		h := newHistogram()
		var ended int64
		for i := range recorders {
			h.Merge(recorders[i].latency[k])
			ended += recorders[i].ended[k]
			all.done[k] += recorders[i].totals.done[k]
		}
		prefix := ""
		if k == 0 {
			s.latency = h
		} else {
			prefix = kind + " "
		}
		rate := float64(ended) / c.window.Seconds()
		s.metrics["ops/s"] += rate
		if len(c.kinds) > 1 {
			s.metrics[kind+" ops/s"] = rate
		}
		if h.TotalCount() == 0 {
			continue // nothing came to an end: there is no latency
		}
		s.metrics[prefix+"mean"] = h.Mean()
		s.metrics[prefix+"p50"] = float64(h.ValueAtQuantile(50))
		s.metrics[prefix+"p99"] = float64(h.ValueAtQuantile(99))
		s.metrics[prefix+"max"] = float64(h.Max())
	}
	for i := range recorders {
		all.sum += recorders[i].totals.sum
		all.failed += recorders[i].totals.failed
		for class, n := range recorders[i].errors {
			s.errors[class] += n
		}
	}
	return s, all, nil
}
