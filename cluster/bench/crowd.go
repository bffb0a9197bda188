package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sqlane/sqlane/dqlite"
)

// tail is how long operations may go on after the window has ended.
const tail = 20 * time.Second

// worker is what one goroutine has done.
type worker struct {
	ended  int             // in the window
	all    int             // and before and behind it
	took   []time.Duration // of those that were not over when the window began
	errors map[string]int64
	due    int // So many rows were to be written in the window.
}

func (w *worker) failed(err error) {
	if w.errors == nil {
		w.errors = map[string]int64{}
	}
	w.errors[brief(err)]++
}

// brief is an error in one short line, without what is another each time.
func brief(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "not done when the time was over"
	case errors.Is(err, dqlite.ErrCommitUnknown):
		return dqlite.ErrCommitUnknown.Error()
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return numbers.ReplaceAllString(text[:min(len(text), 80)], "N")
}

// numbers are such as those of addresses and times too.
var numbers = regexp.MustCompile(`[0-9]([0-9.:]*[0-9])?`)

// write has goroutines insert one row after the other.
func (b *bench) write(ctx context.Context, q question, c client) (answer, int, error) {
	return b.crowd(ctx, q, func(ctx context.Context, g, _ int) error { return c.write(ctx, g, text) })
}

// read has them read one row after the other.
func (b *bench) read(ctx context.Context, q question, c client) (answer, int, error) {
	a, _, err := b.crowd(ctx, q, func(ctx context.Context, g, i int) error {
		id := int64((g*97+i)%hot + 1)
		owner, err := c.read(ctx, id)
		if err == nil && owner != -int(id) {
			return fmt.Errorf("%w: the row %d is of %d", errWrong, id, owner)
		}
		return err
	})
	return a, 0, err
}

// crowd has each goroutine do one operation after another, one at least. What is under way
// in the window counts in latencies, so that who starves shows; what ends in it counts in
// throughput. It returns how many operations succeeded, in the window and out of it.
func (b *bench) crowd(ctx context.Context, q question, op func(ctx context.Context, g, i int) error) (answer, int, error) {
	begin := time.Now()
	open, end := begin.Add(q.Warm), begin.Add(q.Warm+q.Window)
	ctx, cancel := context.WithDeadline(ctx, end.Add(tail))
	defer cancel()
	workers := make([]worker, q.Goroutines)
	var wrong error
	var once sync.Once
	var group sync.WaitGroup
	for g := range workers {
		w := &workers[g]
		group.Go(func() {
			for i, now := 0, begin; i == 0 || now.Before(end) && ctx.Err() == nil; i++ {
				err := op(ctx, g, i)
				then := time.Now()
				if errors.Is(err, errWrong) {
					once.Do(func() { wrong = err })
					cancel()
				}
				switch {
				case err != nil:
					w.failed(err)
				default:
					w.all++
					if !then.Before(open) {
						w.took = append(w.took, then.Sub(now))
						if then.Before(end) {
							w.ended++
						}
					}
				}
				now = then
			}
		})
	}
	var from, to time.Duration
	group.Go(func() {
		time.Sleep(time.Until(open))
		from = b.cpu()
		time.Sleep(time.Until(end))
		to = b.cpu()
	})
	group.Wait()
	a, all := merge(workers)
	a.Metrics["ops/s"] = 0
	for i := range workers {
		a.Metrics["ops/s"] += float64(workers[i].ended) / q.Window.Seconds()
	}
	if ended := a.Metrics["ops/s"] * q.Window.Seconds(); ended > 0 && to > from {
		a.Metrics["CPU/op"] = float64((to - from).Nanoseconds()) / ended
	}
	return a, all, wrong
}

// merge adds up what the workers have done.
func merge(workers []worker) (answer, int) {
	a, all := answer{Metrics: map[string]float64{}, Errors: map[string]int64{}}, 0
	var took []time.Duration
	for i := range workers {
		w := &workers[i]
		all += w.all
		took = append(took, w.took...)
		for class, n := range w.errors {
			a.Errors[class] += n
		}
	}
	if slices.Sort(took); len(took) > 0 {
		at := func(share float64) float64 { return float64(took[int(share*float64(len(took)-1))]) }
		a.Metrics["p50"], a.Metrics["p99"], a.Metrics["max"] = at(0.5), at(0.99), at(1)
	}
	return a, all
}
