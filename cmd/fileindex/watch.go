package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/sqlane/sqlane/repo"
)

// watchInterval is how often it is looked whether another process has committed.
const watchInterval = 250 * time.Millisecond

// watched is what is indexed below a directory, and the latest run, wherever it was.
type watched struct {
	Path        string         `json:"path"`
	Files       int64          `json:"files"`
	Directories int64          `json:"directories"`
	Bytes       int64          `json:"bytes"`
	Categories  []categoryLine `json:"categories"`
	LastRun     *runLine       `json:"last_run"`
}

// watch runs the watch command, until it is interrupted.
func watch(ctx context.Context, a *app) error {
	dir, err := resolve(a.args[0])
	if err != nil {
		return err
	}
	d := &display{app: a, screen: a.terminal && !a.json}
	defer d.leave()
	for w, err := range repo.Watch(ctx, a.repo, func(ctx context.Context, q repo.Reader) (watched, error) { return below(ctx, q, encode(dir)) }) {
		if ctx.Err() != nil {
			break
		}
		switch {
		case err == nil:
			err = d.show(w)
		case a.at.passes(err): // Watch goes on when it has
			err = d.complain(a.explain(err))
		}
		if err != nil {
			return err
		}
	}
	return errInterrupted
}

func below(ctx context.Context, q repo.Reader, dir string) (w watched, err error) {
	n, err := q.CountFiles(ctx, dir)
	if err != nil {
		return w, err
	}
	w = watched{Path: dir, Files: n.Files, Directories: n.Directories, Bytes: n.TotalSize, Categories: []categoryLine{}}
	categories, err := q.SummarizeDirectory(ctx, dir)
	if err != nil {
		return w, err
	}
	for _, c := range categories {
		w.Categories = append(w.Categories, categoryLine{string(c.Category), c.Files, c.TotalSize})
	}
	log, err := q.RecentLog(ctx, 1)
	for _, r := range log {
		w.LastRun = new(newRunLine(r))
	}
	return w, err
}

// display is where watch shows what it sees: on a terminal in place of what it has
// shown before, elsewhere in another line.
type display struct {
	app    *app
	screen bool
	latest string // the summary that was seen last
	shown  string // what was shown last
}

// show shows a summary, unless it is what was shown last.
func (d *display) show(w watched) error {
	var text bytes.Buffer
	switch {
	case d.app.json:
		if err := printJSON(&text, w); err != nil {
			return err
		}
	case d.screen:
		w.draw(&text)
	default:
		w.line(&text)
	}
	d.latest = text.String()
	return d.put(d.latest)
}

// complain says why there is no summary.
func (d *display) complain(trouble string) error {
	if d.screen {
		return d.put(d.latest + trouble + "\n")
	}
	if d.shown != trouble {
		fmt.Fprintln(d.app.err, "fileindex:", trouble)
	}
	d.shown = trouble
	return nil
}

func (d *display) put(text string) error {
	if text == d.shown {
		return nil
	}
	drawn := text
	if d.screen {
		up := ""
		if n := strings.Count(d.shown, "\n"); n > 0 {
			up = fmt.Sprintf("\x1b[%dA", n)
		}
		// Lines that are too long are cut, so that each takes up one row.
		drawn = "\x1b[?7l" + up + "\r\x1b[J" + text + "\x1b[?7h"
	}
	d.shown = text
	_, err := fmt.Fprint(d.app.out, drawn)
	return err
}

// leave clears the line of what the terminal has echoed.
func (d *display) leave() {
	if d.screen {
		fmt.Fprint(d.app.out, "\r\x1b[K")
	}
}

// draw makes lines of a summary.
func (w watched) draw(out *bytes.Buffer) {
	fmt.Fprintf(out, "%s\n%s files and %s directories, %s\n", oneLine(w.Path), humanize.Comma(w.Files), humanize.Comma(w.Directories), humanize.IBytes(uint64(w.Bytes)))
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, c := range w.Categories {
		c.print(t)
	}
	_ = t.Flush()
	fmt.Fprintf(out, "last run: %s\n", w.run("  "))
}

// line makes one line of a summary.
func (w watched) line(out *bytes.Buffer) {
	fmt.Fprintf(out, "%s: %s files and %s directories, %s", oneLine(w.Path), humanize.Comma(w.Files), humanize.Comma(w.Directories), humanize.IBytes(uint64(w.Bytes)))
	var shares []string
	for _, c := range w.Categories {
		shares = append(shares, c.Category+" "+humanize.IBytes(uint64(c.Bytes)))
	}
	if len(shares) > 0 {
		fmt.Fprintf(out, " (%s)", strings.Join(shares, ", "))
	}
	fmt.Fprintf(out, "; last run: %s\n", w.run(", "))
}

func (w watched) run(sep string) string {
	if w.LastRun == nil {
		return "none yet"
	}
	var b strings.Builder
	w.LastRun.print(&b, sep)
	return b.String()
}
