package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
)

// terminal prints lines, and shows on a terminal what takes longer than a second.
type terminal struct {
	out, err io.Writer

	mu    sync.Mutex // guards what follows, and both writers
	doing string
	since time.Time
	shown bool

	quit chan struct{} // nil: nothing is shown
	done sync.WaitGroup
}

func newTerminal(stdout, stderr io.Writer) *terminal {
	t := &terminal{out: stdout, err: stderr}
	if f, ok := stderr.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		t.show(500*time.Millisecond, 200*time.Millisecond)
	}
	return t
}

// show begins to show what is being done for so long, at each tick.
func (t *terminal) show(after, every time.Duration) {
	t.quit = make(chan struct{})
	t.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-t.quit:
				return
			case <-tick.C:
				t.tick(after)
			}
		}
	})
}

func (t *terminal) tick(after time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.doing == "" || time.Since(t.since) < after {
		return
	}
	t.shown = true
	fmt.Fprintf(t.err, "\r\x1b[K%s ... %v", oneLine(t.doing), time.Since(t.since).Round(time.Second))
}

// step says what is being done from now on.
func (t *terminal) step(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	t.doing, t.since = what, time.Now()
}

// say prints a line.
func (t *terminal) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	fmt.Fprintln(t.out, oneLine(fmt.Sprintf(format, args...)))
}

// clear takes away what is shown. The caller holds mu.
func (t *terminal) clear() {
	if t.shown {
		fmt.Fprint(t.err, "\r\x1b[K")
		t.shown = false
	}
}

// stop shows nothing any more.
func (t *terminal) stop() {
	if t.quit != nil {
		close(t.quit)
		t.done.Wait()
	}
	t.step("")
}
