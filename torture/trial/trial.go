// Package trial is what all trials of the torture have in common: what they are
// told, and what they tell.
package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// Plan is what a trial is told.
type Plan struct {
	Dir      string // a temporary directory; each trial makes its own in it
	Seed     uint64
	Short    bool
	Progress func(format string, args ...any) `json:"-"`
}

// Rand draws the same numbers for the same seed and name.
func (p Plan) Rand(name string) *rand.Rand {
	h := p.Seed
	for _, b := range []byte(name) {
		h = h*1099511628211 + uint64(b)
	}
	return rand.New(rand.NewPCG(p.Seed, h))
}

// MakeDir makes a directory for a trial.
func (p Plan) MakeDir(name string) (string, error) {
	dir := filepath.Join(p.Dir, strings.ReplaceAll(name, " ", "-"))
	return dir, os.MkdirAll(dir, 0o700)
}

// Times is one of two numbers: of the long form or of the short one.
func (p Plan) Times(long, short int) int {
	if p.Short {
		return short
	}
	return long
}

// Pause waits for a random time.
func Pause(ctx context.Context, rng *rand.Rand, atMost time.Duration) {
	t := time.NewTimer(time.Duration(rng.Int64N(int64(atMost))))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Row is what became of one trial.
type Row struct {
	Section, Name string
	Attempts      int // cycles, cuts or runs
	Faults        int // what was done to it
	Acknowledged  int // what was promised to last
	Lost          int // what was promised and did not last
	Doubtful      int // what failed and was done all the same
	MustLose      bool
	Note          string
	Err           error `json:"-"` // what else was not as it must be
}

// Verdict says why a row failed: a promise was broken, or a trial that must lose
// something, to show that it can, did not.
func (r Row) Verdict() error {
	switch {
	case r.Err != nil:
		return fmt.Errorf("%s, %s: %w", r.Section, r.Name, r.Err)
	case r.MustLose && r.Lost == 0 && !r.Untried():
		return fmt.Errorf("%s, %s: nothing was lost, though it had to be: the trial has no teeth", r.Section, r.Name)
	case r.Lost > 0 && !r.MustLose:
		return fmt.Errorf("%s, %s: %d of %d were lost", r.Section, r.Name, r.Lost, r.Acknowledged)
	}
	return nil
}

// Untried reports that the trial could not be made here. The note says why.
func (r Row) Untried() bool { return r.Attempts == 0 && r.Err == nil }

// Enough reports that there were so many attempts. One that must lose something
// by chance gets some more chances.
func (r Row) Enough(times int) bool {
	return r.Attempts >= times && (!r.MustLose || r.Lost > 0 || r.Attempts >= 20*times)
}

// Add adds to the note.
func (r *Row) Add(format string, args ...any) {
	if r.Note != "" {
		r.Note += "; "
	}
	r.Note += fmt.Sprintf(format, args...)
}

// Errors joins what failed in all rows.
func Errors(rows []Row) error {
	var errs []error
	for _, r := range rows {
		errs = append(errs, r.Verdict())
	}
	return errors.Join(errs...)
}

// Print prints the table.
func Print(to io.Writer, rows []Row) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "section\ttrial\tattempts\tfaults\tacknowledged\tlost\tverdict\tnote")
	for _, r := range rows {
		verdict := "held"
		if r.Doubtful > 0 {
			r.Add("%d calls failed in the middle of a commit that was found complete", r.Doubtful)
		}
		switch {
		case r.Verdict() != nil:
			verdict = "FAILED"
		case r.Untried():
			verdict = "NOT TRIED"
		case r.MustLose:
			verdict = "lost, as it must"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", r.Section, r.Name, r.Attempts, r.Faults, r.Acknowledged, r.Lost, verdict, r.Note)
	}
	return w.Flush()
}
