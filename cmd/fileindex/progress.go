package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
)

// progress shows how far a run is: a bar on a terminal, a line now and then
// elsewhere.
type progress struct {
	out  io.Writer
	bar  *progressbar.ProgressBar // nil: lines
	mu   sync.Mutex               // guards out and bar
	quit chan struct{}
	done sync.WaitGroup
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, quit: make(chan struct{})}
	if isTerminal(out) {
		p.bar = progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(out), progressbar.OptionSetDescription("indexing"),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("entries"),
			progressbar.OptionClearOnFinish())
	}
	return p
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// watch shows a tally until stop.
func (p *progress) watch(n *tally) {
	every := 5 * time.Second
	if p.bar != nil {
		every = 100 * time.Millisecond
	}
	p.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-p.quit:
				return
			case <-tick.C:
				p.show(n.entries())
			}
		}
	})
}

func (p *progress) show(entries int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		fmt.Fprintf(p.out, "indexing: %d entries so far\n", entries)
		return
	}
	_ = p.bar.Set64(entries) // a bar that cannot be drawn is no reason to stop
}

// say prints a line beside the bar.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintln(p.out, oneLine(fmt.Sprintf(format, args...)))
}

func (p *progress) stop() {
	close(p.quit)
	p.done.Wait()
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

func isTooLong(err error) bool { return errors.Is(err, syscall.ENAMETOOLONG) }
