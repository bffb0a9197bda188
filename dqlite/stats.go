package dqlite

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/pool"
)

// counts are the counters behind Stats.
type counts struct {
	acquires, timeouts, overloads, connected, retries, busy, conflicts atomic.Uint64
	committed, rolledBack, unknown, batches, batchMembers              atomic.Uint64
}

// Stats is a snapshot of a Store: what is now, then what has happened since Open. The
// figures are each right, but not taken at one instant. Those of a nil or zero Store are zero.
type Stats struct {
	Leader     string   // address of the leader; "" while there is none
	Members    []string // addresses at which a leader is looked for
	MaxConns   int      // most connections at once
	Idle       int      // connections in nobody's hands, but for the writer's
	Waiting    int      // callers that wait for a connection or the write lane
	WriteQueue int      // of these, for the write lane

	Acquires      uint64        // waits for a connection or the write lane that began
	Timeouts      uint64        // of these, ended with pool.ErrAcquireTimeout or ErrNoQuorum
	Overloads     uint64        // callers refused with pool.ErrOverloaded
	WriteWait     time.Duration // spent waiting for the write lane, by all callers together
	Connected     uint64        // connections opened
	LeaderChanges uint64        // times that the leader was another one than before
	Retries       uint64        // times that something was tried again
	Busy          uint64        // times that another process's lock was met
	Conflicts     uint64        // pool.ErrConflicts met

	Committed     uint64 // transactions committed, views included
	RolledBack    uint64 // transactions rolled back by their owner
	CommitUnknown uint64 // commits that were not answered
	Batches       uint64 // commits shared by batch members, or of one alone
	BatchMembers  uint64 // callers whose work was in them
}

// Stats returns the Store's figures.
func (s *Store) Stats() Stats {
	if s.given("stats", context.Background(), true) != nil {
		return Stats{}
	}
	current, members := s.leader.known()
	if s.leader.searching() != nil {
		current = ""
	}
	n := &s.counts
	return Stats{
		Leader:        current,
		Members:       members,
		MaxConns:      s.cfg.MaxConns,
		Idle:          s.readers.count(),
		Waiting:       s.waiters.Count(),
		WriteQueue:    s.write.Queued(),
		Acquires:      n.acquires.Load(),
		Timeouts:      n.timeouts.Load(),
		Overloads:     n.overloads.Load(),
		WriteWait:     s.write.Waited(),
		Connected:     n.connected.Load(),
		LeaderChanges: s.leader.changed(),
		Retries:       n.retries.Load(),
		Busy:          n.busy.Load(),
		Conflicts:     n.conflicts.Load(),
		Committed:     n.committed.Load(),
		RolledBack:    n.rolledBack.Load(),
		CommitUnknown: n.unknown.Load(),
		Batches:       n.batches.Load(),
		BatchMembers:  n.batchMembers.Load(),
	}
}

// Member is a node of the cluster.
type Member struct {
	ID      uint64
	Address string
	Role    string // "voter", "stand-by" or "spare"
	Leader  bool
}

// Members asks the leader which nodes there are: ErrNoQuorum without one.
func (s *Store) Members(ctx context.Context) ([]Member, error) {
	if err := s.given("members", ctx, true); err != nil {
		return nil, err
	}
	var all []Member
	err := s.onReader(ctx, "members", func(c *conn) (bool, error) {
		nodes, err := c.wire.Members(ctx)
		all = make([]Member, len(nodes))
		for i, node := range nodes {
			all[i] = Member{ID: node.ID, Address: node.Address, Role: node.Role.String(), Leader: node.Address == c.address}
		}
		return false, err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Leader returns the leader: ErrNoQuorum if none can be found.
func (s *Store) Leader(ctx context.Context) (Member, error) {
	all, err := s.Members(ctx)
	if err != nil {
		return Member{}, err
	}
	for _, m := range all {
		if m.Leader {
			return m, nil
		}
	}
	return Member{}, s.fail("leader", ErrNoQuorum, nil)
}

// HealthCheck reports whether the Store can work: there is a leader, and it answers a read
// of the schema. It is ErrNoQuorum, pool.ErrClosed, the context's error, or
// pool.ErrUnhealthy with the cause.
func (s *Store) HealthCheck(ctx context.Context) error {
	if err := s.given("health check", ctx, true); err != nil {
		return err
	}
	var n int
	err := reader{s}.QueryRowContext(context.WithValue(ctx, txKey{s}, nil), "SELECT count(*) FROM sqlite_schema").Scan(&n)
	switch {
	case err == nil, errors.As(err, new(*pool.Error)):
		return err
	case ctx.Err() != nil:
		return s.fail("health check", nil, err)
	}
	return s.fail("health check", pool.ErrUnhealthy, err)
}
