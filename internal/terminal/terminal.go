// Package terminal shows on a terminal what a program is doing, for whoever waits for
// it. In a pipe, in a file and where TERM is dumb it shows nothing.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/mattn/go-isatty"
)

// IsScreen reports that what is written to w appears on a terminal that can be drawn
// on.
func IsScreen(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}

// Plain shows what would command the terminal, or begin another line, as what it is.
func Plain(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\x%02x`, r)
		}
	}
	return b.String()
}

const (
	patience = 500 * time.Millisecond // What takes no longer is not shown.
	every    = 200 * time.Millisecond
)

// Line is a line of a terminal that tells what is being done, and for how long the
// program has been at work. It is safe for concurrent use.
type Line struct {
	to    io.Writer
	since time.Time
	quit  chan struct{} // It ends what shows; nil if nothing does.
	done  sync.WaitGroup

	mu    sync.Mutex // It guards the fields below, and writing.
	doing func() string
	shown bool
}

// NewLine returns a line of to, if that is a screen; otherwise nothing is ever shown.
// Whoever made it calls Stop.
func NewLine(to io.Writer) *Line {
	l := &Line{to: to, since: time.Now()}
	if IsScreen(to) {
		l.show(patience, every)
	}
	return l
}

func (l *Line) show(after, every time.Duration) {
	l.quit = make(chan struct{})
	l.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-l.quit:
				return
			case <-tick.C:
				l.draw(after)
			}
		}
	})
}

func (l *Line) draw(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := time.Since(l.since)
	if l.doing == nil || took < after {
		return
	}
	l.shown = true
	// A line that is too long is cut, so that it takes up one row.
	fmt.Fprintf(l.to, "\r\x1b[K\x1b[?7l%s ... %v\x1b[?7h", Plain(l.doing()), took.Truncate(time.Second))
}

// Doing says what is being done from now on; "" is nothing that is shown.
func (l *Line) Doing(what string) {
	if what == "" {
		l.Watch(nil)
	} else {
		l.Watch(func() string { return what })
	}
}

// Watch is Doing with a text that changes; nil is nothing any more. The function is
// called in another goroutine, until the next call of Doing, Watch or Stop returns.
func (l *Line) Watch(doing func() string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
	l.doing = doing
}

// clear takes away what is shown. The caller holds mu.
func (l *Line) clear() {
	if l.shown {
		fmt.Fprint(l.to, "\r\x1b[K")
		l.shown = false
	}
}

// Stop shows nothing any more.
func (l *Line) Stop() {
	if l.quit != nil {
		close(l.quit)
		l.done.Wait()
		l.quit = nil
	}
	l.Watch(nil)
}

// Above returns a writer of whole lines to w, which may be the same terminal: the line
// is away meanwhile.
func (l *Line) Above(w io.Writer) io.Writer { return above{l, w} }

type above struct {
	line *Line
	to   io.Writer
}

// Write implements io.Writer.
func (a above) Write(text []byte) (int, error) {
	a.line.mu.Lock()
	defer a.line.mu.Unlock()
	a.line.clear()
	return a.to.Write(text)
}
