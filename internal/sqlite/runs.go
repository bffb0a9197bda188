package sqlite

import "time"

// Runs is how often a statement has run and how long that took.
type Runs struct {
	Calls    uint64
	Failures uint64        // Of the calls, these ended with an error.
	Time     time.Duration // All of them took so long, as far as that was measured: see StartsAt.
	Longest  time.Duration // The longest that was measured took so long.
}

// Add makes the runs those of two statements.
func (r *Runs) Add(other Runs) {
	r.Calls += other.Calls
	r.Failures += other.Failures
	r.Time += other.Time
	r.Longest = max(r.Longest, other.Longest)
}

// To read the clock twice costs a good part of what a short read does. So of a
// statement that was fast the last time only one run in so many is measured, and
// stands for those before it.
const (
	fastRun    = 20 * time.Microsecond
	runsAtOnce = 16
)

// tally is a statement's account of its runs.
type tally struct {
	Runs
	began     time.Duration // The run that goes on began at this time; 0 if it is not measured, or if none goes on.
	uncertain uint64        // So many runs have begun since the last one that was measured.
	fast      time.Duration // The last one that was measured took so long, if that was fast; else 0.
}

// Begins counts a run, and reports that it is to be measured: StartsAt has to come
// before it then, and EndsAt behind it.
func (s *Stmt) Begins() (measured bool) {
	t := &s.tally
	t.Calls++
	t.uncertain++
	t.began = 0
	return t.fast == 0 || t.uncertain >= runsAtOnce
}

// StartsAt says when the run begins, which is not at 0.
func (s *Stmt) StartsAt(now time.Duration) { s.tally.began = now }

// Since is when the run that goes on has begun; 0 if it is not measured.
func (s *Stmt) Since() time.Duration { return s.tally.began }

// EndsAt says when the run has ended.
func (s *Stmt) EndsAt(now time.Duration) {
	t := &s.tally
	took := max(now-t.began, 1) // clocks may be coarse
	t.Time += took * time.Duration(t.uncertain)
	t.Longest = max(t.Longest, took)
	if t.fast = 0; took < fastRun {
		t.fast = took
	}
	t.began, t.uncertain = 0, 0
}

// Fails says that the run ended with an error.
func (s *Stmt) Fails() { s.tally.Failures++ }

// Source is the text that the statement is kept under, with the comments before it;
// the statement alone if it is not to be kept.
func (s *Stmt) Source() string {
	if s.key != "" {
		return s.key
	}
	return s.Text
}

// Counted calls f with each statement that is kept prepared and has run.
func (c *Conn) Counted(f func(s *Stmt, r Runs)) {
	for _, s := range c.cache.byText {
		if s.tally.Calls > 0 {
			f(s, s.tally.estimate())
		}
	}
}

// estimate is what is known, with the runs that nobody has measured yet: they are
// taken to be as fast as the last one that was.
func (t *tally) estimate() Runs {
	r := t.Runs
	r.Time += t.fast * time.Duration(t.uncertain)
	return r
}

// retire tells of what is not kept any more.
func (s *Stmt) retire() {
	if told := s.conn.options.Retired; told != nil && s.tally.Calls > 0 {
		told(s, s.tally.estimate())
	}
	s.tally = tally{}
}
