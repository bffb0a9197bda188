package pool

import (
	"os"
	"sync/atomic"
	"time"
)

type counter = atomic.Uint64

// counts are the counters behind Stats.
type counts struct {
	acquires, timeouts, overloads                      counter
	created, expired, idleClosed, broken, dirty, reset counter
	healthChecks, healthFailures, reclaimed            counter
	committed, rolledBack, lost, conflicts, retries    counter
	batches, batchMembers                              counter
	statementHits, statementMisses                     counter
}

// Stats is a snapshot of a pool: what is now, then what has happened since Open.
// The figures are each right, but not taken at one instant.
type Stats struct {
	MaxConns   int   // most connections open at once
	Open       int   // connections open now
	Idle       int   // of these, in nobody's hands
	InUse      int   // of these, leased
	Waiting    int   // callers that wait for a lease or the write lane
	WriteQueue int   // of these, for the write lane
	WALBytes   int64 // size of the write-ahead log; 0 if there is none

	Acquires    uint64        // leases given, transactions' included
	Timeouts    uint64        // waits that ended with ErrAcquireTimeout
	Overloads   uint64        // callers refused with ErrOverloaded
	AcquireWait time.Duration // spent waiting for leases, by all callers together
	WriteWait   time.Duration // spent waiting for the write lane, likewise

	Created    uint64 // connections opened
	Expired    uint64 // closed at the end of their lifetime
	IdleClosed uint64 // closed after MaxConnIdleTime
	Broken     uint64 // closed after an error or a failed health check
	Dirty      uint64 // closed because a lease changed their state
	Reset      uint64 // closed by Pool.Reset

	HealthChecks   uint64 // rounds of checks made
	HealthFailures uint64 // checks that found something wrong
	Reclaimed      uint64 // leases that became garbage without Release

	Committed  uint64 // transactions committed, views included
	RolledBack uint64 // transactions rolled back by their owner
	Lost       uint64 // transactions rolled back by SQLite
	Conflicts  uint64 // ErrConflicts met
	Retries    uint64 // runs of a Repeatable function beyond the first

	Batches      uint64 // commits shared by batch members, or of one alone
	BatchMembers uint64 // callers of Batch whose work was in them

	StatementHits   uint64 // statements found prepared
	StatementMisses uint64 // statements that had to be prepared
}

// Stats returns the pool's figures. It is safe for concurrent use.
func (p *Pool) Stats() Stats {
	if !p.isOpen() {
		return Stats{}
	}
	n := &p.counts
	s := Stats{
		MaxConns:        p.cfg.MaxConns,
		Waiting:         p.waiting.Count(),
		WALBytes:        p.walBytes(),
		Acquires:        n.acquires.Load(),
		Timeouts:        n.timeouts.Load(),
		Overloads:       n.overloads.Load(),
		Created:         n.created.Load(),
		Expired:         n.expired.Load(),
		IdleClosed:      n.idleClosed.Load(),
		Broken:          n.broken.Load(),
		Dirty:           n.dirty.Load(),
		Reset:           n.reset.Load(),
		HealthChecks:    n.healthChecks.Load(),
		HealthFailures:  n.healthFailures.Load(),
		Reclaimed:       n.reclaimed.Load(),
		Committed:       n.committed.Load(),
		RolledBack:      n.rolledBack.Load(),
		Lost:            n.lost.Load(),
		Conflicts:       n.conflicts.Load(),
		Retries:         n.retries.Load(),
		Batches:         n.batches.Load(),
		BatchMembers:    n.batchMembers.Load(),
		StatementHits:   n.statementHits.Load(),
		StatementMisses: n.statementMisses.Load(),
	}
	if p.write != nil {
		s.WriteQueue = p.write.Queued()
		s.WriteWait = p.write.Waited()
	}
	if p.read != nil {
		s.AcquireWait = p.read.Waited()
	}
	s.Open, s.InUse = p.conns.count()
	s.Idle = s.Open - s.InUse
	return s
}

// walBytes asks the directory, never the file itself: closing a descriptor of
// it would drop SQLite's locks.
func (p *Pool) walBytes() int64 {
	if p.memory() {
		return 0
	}
	info, err := os.Stat(p.real + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}
