package pool

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// Query is a statement that ran on the pool's connections, and how often.
type Query struct {
	// Name is the query's, if sqlc's comment before it gives one; else "".
	Name string
	// SQL is the statement on one line, without comments and literals: see [Pool.Queries].
	SQL string
	// Calls counts its runs; Failures, those of them that ended with an error.
	Calls, Failures uint64
	// Time is how long the runs took together, Longest how long the longest did: from
	// the first step to the last, or until the rows are closed, whatever their reader
	// does meanwhile. To be prepared is not part of it, nor is waiting for a connection
	// or the write lane; waiting for other processes is.
	Time, Longest time.Duration
	// Prepared counts the connections that keep it prepared.
	Prepared int
}

// Queries returns the statements that have run since Open, the one that took the most
// time first. Those that differ in literals, in comments and space, or in how many
// parameters follow each other in a list, are one. So no value is in SQL: a literal is
// shown as "?", like a parameter, and so is what stands in double quotes where SQLite
// might take it for a text. The pool's own BEGIN and COMMIT are among them.
//
// Calls are counted, and so is the time of statements that take longer than 20
// microseconds. Of shorter ones every 16th run is measured and stands for the others:
// there Time is an estimate, and Longest the longest that was seen.
//
// At most about 500 statements are remembered besides those that connections keep
// prepared: those that took the least time are counted together then, without SQL. Of a
// text, 2 KiB count.
//
// Queries takes no connection and waits for no statement. Of a connection that is in
// between it gives what it knew before. It is safe for concurrent use.
func (p *Pool) Queries() []Query {
	if !p.isOpen() {
		return nil
	}
	t := &p.tallies
	all := make(map[string]*Query) // by the text that ran, which most connections share
	add := func(n counted, prepared int) {
		q := all[n.text]
		if q == nil {
			q = &Query{Name: n.name, SQL: n.text}
			all[n.text] = q
		}
		q.add(n.Runs)
		q.Prepared += prepared
	}
	t.mu.Lock()
	for c := range t.conns {
		c.peek(func(doing) {
			if c.closed {
				return
			}
			c.seen = c.seen[:0]
			c.db.Counted(func(s *sqlite.Stmt, r sqlite.Runs) {
				c.seen = append(c.seen, counted{s, s.Text, nameOf(s), r})
			})
		})
		for _, n := range c.seen {
			add(n, 1)
		}
	}
	gone := make([]Query, 0, len(t.gone)+1)
	for _, q := range t.gone {
		gone = append(gone, *q)
	}
	if t.rest.Calls > 0 {
		gone = append(gone, t.rest)
	}
	t.mu.Unlock()

	merged := make(map[string]*Query, len(gone)+len(all))
	merge := func(q Query) {
		if into := merged[q.SQL]; into != nil {
			into.merge(q)
		} else {
			merged[q.SQL] = &q
		}
	}
	for _, q := range gone {
		merge(q)
	}
	for _, q := range all {
		q.SQL = sqlite.Normalize(q.SQL, longestText)
		merge(*q)
	}
	list := make([]Query, 0, len(merged))
	for _, q := range merged {
		list = append(list, *q)
	}
	slices.SortFunc(list, byTime)
	return list
}

func byTime(a, b Query) int {
	return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.SQL, b.SQL))
}

func (q *Query) add(r sqlite.Runs) {
	q.Calls += r.Calls
	q.Failures += r.Failures
	q.Time += r.Time
	q.Longest = max(q.Longest, r.Longest)
}

func (q *Query) merge(other Query) {
	q.Name = cmp.Or(q.Name, other.Name)
	q.add(sqlite.Runs{Calls: other.Calls, Failures: other.Failures, Time: other.Time, Longest: other.Longest})
	q.Prepared += other.Prepared
}

const (
	keptQueries = 256     // so many are kept when there are
	mostQueries = 2 * 256 // more than this
	longestText = 2 << 10 // bytes of a statement that are remembered
)

// tallies are the statements that no connection keeps any more. A connection counts
// by itself, in the statement that it keeps; what is counted comes here when that goes.
type tallies struct {
	mu    sync.Mutex         // It is taken under conn.mu, and by Queries, which waits for nothing under it.
	conns map[*conn]struct{} // These count: each from its opening until all that it kept has come here.
	gone  map[string]*Query
	rest  Query // These are too many to be told apart.
}

func (t *tallies) join(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns == nil {
		t.conns = make(map[*conn]struct{})
	}
	t.conns[c] = struct{}{}
}

func (t *tallies) leave(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// counted is a statement as a connection had it when it was looked at last.
type counted struct {
	stmt       *sqlite.Stmt // It is this one, of which nothing else is asked: it may be gone.
	text, name string
	sqlite.Runs
}

// retired is told of a statement that the connection does not keep any more.
func (c *conn) retired(s *sqlite.Stmt, r sqlite.Runs) {
	t := &c.pool.tallies
	text := sqlite.Normalize(s.Text, longestText)
	t.mu.Lock()
	defer t.mu.Unlock()
	c.seen = slices.DeleteFunc(c.seen, func(n counted) bool { return n.stmt == s })
	q := t.gone[text]
	if q == nil {
		if t.gone == nil {
			t.gone = make(map[string]*Query)
		}
		q = &Query{Name: nameOf(s), SQL: text}
		t.gone[text] = q
	}
	q.add(r)
	if len(t.gone) > mostQueries {
		t.shrink()
	}
}

// shrink keeps those that took the most time. The caller holds mu.
func (t *tallies) shrink() {
	all := make([]Query, 0, len(t.gone))
	for _, q := range t.gone {
		all = append(all, *q)
	}
	slices.SortFunc(all, byTime)
	for _, q := range all[keptQueries:] {
		delete(t.gone, q.SQL)
		t.rest.merge(Query{Calls: q.Calls, Failures: q.Failures, Time: q.Time, Longest: q.Longest})
	}
}

// nameOf keeps the name of a statement's query, and not the text with it.
func nameOf(s *sqlite.Stmt) string { return strings.Clone(queryName(s.Source())) }

// beginsRun counts a run of a statement, but for those that set the connection up.
func (c *conn) beginsRun(s *sqlite.Stmt) {
	if !c.locks.exempt && s.Begins() {
		s.StartsAt(c.pool.clock())
	}
}

// endsRun says how it ended.
func (c *conn) endsRun(s *sqlite.Stmt, err error) {
	if s.Since() != 0 {
		s.EndsAt(c.pool.clock())
	}
	if err != nil && !c.locks.exempt {
		s.Fails()
	}
}
