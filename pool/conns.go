package pool

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
)

// conns is the set of a pool's connections. Nothing is opened, closed or run while
// its mutex is held, which may be taken under conn.mu, never the other way round.
//
// What must stay true: a connection is in all exactly while it is idle or leased.
// An idle one is primary or in idle. One that is apart, retired or the spare is in
// none but the field of that name.
type conns struct {
	readers int     // The read lane has this many connections at most.
	least   int     // This many connections are kept open.
	counts  *counts // The connections that leave are counted here.
	bell    bell    // Maintenance closes what has retired.

	mu         sync.Mutex // It guards the fields below, and the life of every connection.
	phase      phase
	leases     int                  // This many leases are given, or will be when their connection is open.
	drained    chan struct{}        // It is closed once the pool drains and no lease is left.
	all        map[*conn]struct{}   // These are at work or ready for it.
	idle       []*conn              // These are ready for the read lane, the one used last at the end.
	primary    *conn                // This one is the write lane's; nil if it has none.
	pending    int                  // This many connections are being opened for the read lane.
	spare      *conn                // This one waits to take the place of one that is leased and stale.
	retired    []*conn              // These are to be closed.
	apart      map[*conn]*lane.Lane // These carry the state of a *sql.DB, whose operations take turns in the lane.
	setting    *conn                // This one is being set up, in the turn to open.
	calling    time.Duration        // OnConnect has been doing that since this time, on the pool's clock; 0 if it does not.
	shrunk     error                // It says why the read lane has fewer connections than it may; nil if it has not.
	generation uint64               // It counts Pool.Reset.
}

// phase is how far a pool's end has come.
type phase uint8

const (
	poolServes phase = iota
	poolDrains       // No more leases are given.
	poolEnded        // All connections were collected, and none comes any more.
)

func newConns(cfg Config, counts *counts, bell bell) *conns {
	readers := cfg.MaxConns
	if !cfg.ReadOnly {
		readers-- // the writer's
	}
	return &conns{
		readers: readers, least: min(max(cfg.MinConns, 1), cfg.MaxConns), counts: counts, bell: bell,
		drained: make(chan struct{}), all: make(map[*conn]struct{}), apart: make(map[*conn]*lane.Lane),
	}
}

// choice is which connection a lease wants.
type choice struct {
	primary bool  // It wants the write lane's.
	fresh   bool  // It wants none that is open already.
	only    *conn // It wants this one or none.
}

// lendReady begins a lease, with a connection that is ready; nil if there is none and
// the caller is to open one, which ends with lendNew, lendReader or giveUp. ok is
// false if there is nothing to be had.
func (s *conns) lendReady(want choice, h *holder) (c *conn, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != poolServes {
		return nil, false
	}
	switch {
	case want.only != nil:
		if c = want.only; c.life.status != connIdle {
			return nil, false
		}
		s.idle = without(s.idle, c)
	case want.fresh:
	case want.primary:
		c = s.primary
	default:
		c = s.takeIdle()
	}
	s.leases++
	switch {
	case c != nil:
		c.lend(h)
	case !want.primary:
		s.pending++
	}
	return c, true
}

func (s *conns) takeIdle() (c *conn) {
	if n := len(s.idle); n > 0 {
		c, s.idle = s.idle[n-1], s.idle[:n-1]
	}
	return c
}

func (c *conn) lend(h *holder) {
	c.life.status = connLeased
	c.life.holder = *h
	c.life.loans++
}

// lendNew gives the lease the connection that was opened for it. It reports false
// if it is too late for that: the caller has to close it.
func (s *conns) lendNew(c *conn, primary bool, h *holder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == poolEnded {
		return false
	}
	s.all[c] = struct{}{}
	if primary {
		s.primary = c
	} else {
		s.pending--
	}
	c.lend(h)
	s.dropSurplus()
	return true
}

// lendReader gives the write lane one of the readers' connections for good, where
// none could be opened for it.
func (s *conns) lendReader(h *holder) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.takeIdle()
	if c != nil {
		s.primary = c
		c.lend(h)
	}
	return c
}

// giveUp ends a lease that got no connection.
func (s *conns) giveUp(primary bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !primary {
		s.pending--
	}
	s.endLeaseLocked()
}

// giveBack ends a lease. Its connection is ready again, unless it leaves for a
// reason or another one waits to replace it.
func (s *conns) giveBack(c *conn, why reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stale := s.isStale(c)
	switch {
	case c.life.status != connLeased: // it is closed, or will be
	case why != noReason:
		s.retire(c, why)
	default:
		s.makeIdle(c)
		if stale && s.spare != nil {
			s.exchange(c)
		}
	}
	if stale || len(s.retired) > 0 {
		s.bell.ring()
	}
	s.endLeaseLocked()
}

// makeIdle makes one ready for the next.
func (s *conns) makeIdle(c *conn) {
	c.life.status = connIdle
	c.life.holder.ctx = nil
	if !c.life.holder.own { // maintenance's look is no use
		c.life.idleSince = 0
	}
	if c != s.primary {
		s.idle = append(s.idle, c)
	}
}

// endLease ends a lease whose connection is not there any more.
func (s *conns) endLease() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLeaseLocked()
}

func (s *conns) endLeaseLocked() {
	s.leases--
	if s.phase != poolServes && s.leases == 0 {
		close(s.drained)
	}
}

// beginSetup tells of a connection that is being set up, until endSetup.
func (s *conns) beginSetup(c *conn, expires time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.life.expires, c.life.generation = expires, s.generation
	s.setting = c
}

func (s *conns) endSetup() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setting = nil
}

// called tells since when OnConnect runs; 0: no more.
func (s *conns) called(since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calling = since
}

// add makes an open connection available, unless it is closed already.
func (s *conns) add(c *conn, primary bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.life.status == connClosed {
		s.counts.left(isBroken)
		return
	}
	s.all[c] = struct{}{}
	if primary {
		s.primary = c
	}
	s.makeIdle(c)
	s.dropSurplus()
}

// drop takes a connection out.
func (s *conns) drop(c *conn, why reason) {
	delete(s.all, c)
	s.idle = without(s.idle, c)
	if s.primary == c {
		s.primary = nil
	}
	c.life.status = connRetired
	s.counts.left(why)
}

// retire is drop, and maintenance closes the connection.
func (s *conns) retire(c *conn, why reason) {
	s.drop(c, why)
	s.retired = append(s.retired, c)
}

// remove is drop for a caller that closes the connection at once.
func (s *conns) remove(c *conn, why reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.all[c]; there {
		s.drop(c, why)
	}
	delete(s.apart, c)
	c.life.status = connRetired
}

// closed is told of every connection that is closed; behind the pool's back, if it
// is idle. Who has it gives it back as usual.
func (s *conns) closed(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.life.status == connLeased, c.life.status == connApart:
		return
	case c.life.status == connIdle:
		s.drop(c, isBroken)
	case c == s.spare:
		s.spare = nil
	}
	c.life.status = connClosed
}

// reset makes every connection stale that is open now.
func (s *conns) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
}

// isStale reports that a connection is to be replaced.
func (s *conns) isStale(c *conn) bool {
	return c.life.leaving != noReason || c.life.generation != s.generation
}

// exchange puts the spare in the place of an idle connection, so that there are
// never more than before.
func (s *conns) exchange(old *conn) {
	fresh, primary, why := s.spare, old == s.primary, old.life.leaving
	if old.life.generation != s.generation {
		why = wasReset
	}
	s.spare = nil
	fresh.life.idleSince = old.life.idleSince // to be replaced is no use
	fresh.life.status = connIdle
	s.retire(old, why)
	s.all[fresh] = struct{}{}
	if primary {
		s.primary = fresh
	} else {
		s.idle = append(s.idle, fresh)
	}
}

// renew replaces an idle connection that is stale by the spare. If there is none,
// one is wanted; without a stale connection it is not.
func (s *conns) renew(now time.Duration) (exchanged, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var stale, idle *conn
	for c := range s.all {
		if c.life.expires > 0 && now > c.life.expires {
			c.life.leaving = hasExpired
		}
		if s.isStale(c) {
			stale = c
			if c.life.status == connIdle {
				idle = c
			}
		}
	}
	switch {
	case stale == nil && s.spare != nil:
		s.retire(s.spare, isSurplus)
		s.spare = nil
	case stale == nil:
	case s.spare == nil:
		return false, true
	case idle != nil:
		s.exchange(idle)
		return true, false
	}
	return false, false
}

func (s *conns) keepSpare(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.life.status != connClosed {
		s.spare = c
	}
}

// lacks reports that fewer connections are open than are kept, and whether the
// write lane's is missing; full, that the read lane has all that it may have.
func (s *conns) lacks() (some, primary, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)+s.pending < s.least, s.primary == nil, s.reading()+s.pending >= s.readers
}

// reading is how many connections the read lane has.
func (s *conns) reading() int {
	if s.primary != nil {
		return len(s.all) - 1
	}
	return len(s.all)
}

// dropSurplus retires an idle connection if there are more than may be: maintenance
// opens one in a lane that shrank without the lane's permission, and a caller who
// has that may open one at the same time.
func (s *conns) dropSurplus() {
	if len(s.idle) > 0 && s.reading() > s.readers {
		s.retire(s.idle[0], isSurplus)
		s.bell.ring()
	}
}

// shrinkTo notes why the read lane goes on with the connections that it has, and
// returns how many those are.
func (s *conns) shrinkTo(why error) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n = s.reading(); n > 0 {
		s.shrunk = why
	}
	return n
}

func (s *conns) grown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shrunk = nil
}

// trim retires readers' connections that have been idle for that long, down to
// those that are kept open.
func (s *conns) trim(now, long time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.idle {
		if c.life.idleSince == 0 {
			c.life.idleSince = now
		}
	}
	// The one used last is at the end, so the first is idle longest.
	for len(s.idle) > 0 && len(s.all) > s.least && now-s.idle[0].life.idleSince >= long {
		s.retire(s.idle[0], wasIdle)
	}
}

// takeRetired returns those that may be closed: never the last one that is open,
// with which the file would be closed.
func (s *conns) takeRetired() (retired []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) > 0 || s.spare != nil {
		retired, s.retired = s.retired, nil
	}
	return retired
}

// setApart lets a session have the connection of a lease, which ends. It reports
// false if it is too late for that.
func (s *conns) setApart(c *conn, turn *lane.Lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != poolServes || c.life.status != connLeased {
		return false
	}
	s.drop(c, noReason)
	c.life.status = connApart
	s.apart[c] = turn
	s.endLeaseLocked()
	return true
}

// beginLease counts an operation of a session as a lease.
func (s *conns) beginLease() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != poolServes {
		return false
	}
	s.leases++
	return true
}

// takeBack ends a session. Its connection comes back if it is fit and there is
// room.
func (s *conns) takeBack(c *conn, fit bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.life.status != connApart {
		return // it is closed
	}
	delete(s.apart, c)
	if fit && s.phase == poolServes && !s.isStale(c) && s.readers > 0 && s.reading()+s.pending < s.readers {
		s.all[c] = struct{}{}
		s.makeIdle(c)
	} else {
		s.retire(c, noReason)
	}
	s.bell.ring()
}

// refuse lets no more leases begin.
func (s *conns) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == poolServes {
		s.phase = poolDrains
		if s.leases == 0 {
			close(s.drained)
		}
	}
}

// isClosing reports that no more leases begin.
func (s *conns) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase != poolServes
}

func (s *conns) areLeased() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leases > 0
}

// collect returns every connection, the write lane's last, to be closed, and the
// lanes in which the operations of sessions wait. None comes any more.
func (s *conns) collect() (every []*conn, turns []*lane.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = poolEnded
	every = append(slices.Collect(maps.Keys(s.all)), s.retired...)
	if s.spare != nil {
		every = append(every, s.spare)
	}
	for c, turn := range s.apart {
		every, turns = append(every, c), append(turns, turn)
	}
	s.retired, s.spare = nil, nil
	if s.primary != nil {
		every = append(without(every, s.primary), s.primary)
	}
	return every, turns
}

// atWork adds to the list the connections on which something may run.
func (s *conns) atWork(list []*conn) []*conn {
	s.visit(func(c *conn) { list = append(list, c) })
	return list
}

// visit calls f, which may not wait for conn.mu, with each connection on which something
// may run.
func (s *conns) visit(f func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		f(c)
	}
	for c := range s.apart {
		f(c)
	}
	if s.setting != nil {
		f(s.setting)
	}
}

// writers is the write lane's connection; nil if it has none.
func (s *conns) writers() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary
}

// isPrimary reports that the connection is the write lane's.
func (s *conns) isPrimary(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary == c
}

// idling returns those that nobody has.
func (s *conns) idling() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := slices.Clone(s.idle)
	if s.primary != nil && s.primary.life.status == connIdle {
		waiting = append(waiting, s.primary)
	}
	return waiting
}

// loan is a connection that somebody has.
type loan struct {
	conn    *conn
	primary bool   // It is the write lane's.
	number  uint64 // It tells the loans of a connection from each other.
	holder
}

// situation is what becomes of the connections at one moment.
type situation struct {
	lent    []loan        // Leases have these.
	apart   []loan        // Sessions have these.
	shrunk  error         // It says why no more readers can be opened; nil if they can.
	calling time.Duration // OnConnect has been setting one up since this time; 0 if it does not.
}

func (s *conns) report() situation {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := situation{shrunk: s.shrunk, calling: s.calling}
	for c := range s.all {
		if c.life.status == connLeased {
			now.lent = append(now.lent, loan{c, c == s.primary, c.life.loans, c.life.holder})
		}
	}
	for c := range s.apart {
		now.apart = append(now.apart, loan{c, false, c.life.loans, c.life.holder})
	}
	return now
}

// has reports that whoever had the connection then has it still.
func (s *conns) has(l loan) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	life := &l.conn.life
	return (life.status == connLeased || life.status == connApart) && life.loans == l.number
}

// heldSince returns who has had a connection since before then and was not
// returned yet.
func (s *conns) heldSince(then time.Duration) (long []holder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if h := &c.life.holder; c.life.status == connLeased && !h.reported && h.since <= then {
			h.reported = true
			long = append(long, *h)
		}
	}
	return long
}

// count returns how many are open, and how many of these are leased.
func (s *conns) count() (open, inUse int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if c.life.status == connLeased {
			inUse++
		}
	}
	return len(s.all), inUse
}

// othersRun reports that another connection is inside SQLite, or about to be.
func (s *conns) othersRun(c *conn) (do bool) {
	s.visit(func(other *conn) {
		switch {
		case other == c || do:
		case other.mu.TryLock():
			other.mu.Unlock()
		default:
			do = true
		}
	})
	return do
}

func without(list []*conn, c *conn) []*conn {
	return slices.DeleteFunc(list, func(other *conn) bool { return other == c })
}
