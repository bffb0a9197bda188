package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/sqlane/sqlane/internal/wire"
)

// A voter decides with the others what is committed. A stand-by has a copy and takes a
// voter's place. A spare has nothing.
const voters, standBys = 3, 3

const (
	// How often the leader looks whether the members' roles are as they should be.
	roleInterval = time.Second
	// How long Open waits for that, at most.
	settleTimeout = 10 * time.Second
)

type assignment struct {
	node wire.Node
	role wire.Role
}

// nextRole tells which member's role should change first, if any. A cluster of two has
// one voter, so that it goes on without the other one.
func nextRole(members []wire.Node, online map[uint64]bool, leader uint64) (assignment, bool) {
	is := func(role wire.Role, isOnline bool) (found []wire.Node) {
		for _, m := range members {
			if m.Role == role && online[m.ID] == isOnline && m.ID != leader {
				found = append(found, m)
			}
		}
		return found
	}
	wanted := voters
	if len(members) < voters {
		wanted = 1
	}
	first := func(role wire.Role, of ...[]wire.Node) (assignment, bool) {
		for _, nodes := range of {
			if len(nodes) > 0 {
				return assignment{nodes[0], role}, true
			}
		}
		return assignment{}, false
	}
	// The leader is a voter.
	voting, standing := is(wire.Voter, true), is(wire.StandBy, true)
	if 1+len(voting) < wanted {
		if a, ok := first(wire.Voter, standing, is(wire.Spare, true)); ok {
			return a, true
		}
	}
	if 1+len(voting) > wanted {
		return first(wire.StandBy, voting)
	}
	if 1+len(voting) == wanted {
		// Others vote in their place.
		if a, ok := first(wire.Spare, is(wire.Voter, false)); ok {
			return a, true
		}
	}
	if len(standing) < standBys {
		if a, ok := first(wire.StandBy, is(wire.Spare, true)); ok {
			return a, true
		}
	}
	if len(standing) > standBys {
		return first(wire.Spare, standing)
	}
	if len(standing) == standBys {
		return first(wire.Spare, is(wire.StandBy, false))
	}
	return assignment{}, false
}

// adjust changes roles until all are as they should be, if the node leads: each sees to
// that for itself.
func (n *node) adjust(ctx context.Context) error {
	for {
		leads, err := n.leads(ctx)
		if err != nil || !leads {
			return err
		}
		done := false
		err = n.gate.change(ctx, []string{n.self.Address}, func(ctx context.Context, l *leader) error {
			n.roles.Lock()
			defer n.roles.Unlock()
			members, err := l.Members(ctx)
			if err != nil {
				return err
			}
			a, ok := nextRole(members, n.gate.online(ctx, members), l.node.ID)
			if done = !ok; done {
				return nil
			}
			if err := l.Assign(ctx, a.node.ID, a.role); err != nil {
				return fmt.Errorf("making %s a %s: %w", a.node.Address, a.role, err)
			}
			n.log.Info("cluster: a role has changed", "address", a.node.Address, "from", a.node.Role.String(), "to", a.role.String())
			return nil
		})
		if err != nil || done {
			return err
		}
	}
}

// leads tells whether the node is the leader, as far as it knows.
func (n *node) leads(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := wire.Dial(ctx, n.gate.dial, n.self.Address)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	l, err := conn.Leader(ctx)
	return err == nil && l.ID == n.self.ID, err
}

// settled waits for a moment until the leader has given all members that there are
// their roles: who opens three nodes may then lose one.
func (n *node) settled(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for {
		l, err := n.leader(ctx)
		if err == nil {
			var members []wire.Node
			members, err = l.Members(ctx)
			l.Close()
			all := map[uint64]bool{}
			for _, m := range members {
				all[m.ID] = true
			}
			if _, missing := nextRole(members, all, l.node.ID); err == nil && !missing {
				return
			}
		}
		if !wait(ctx) {
			n.log.Info("cluster: the members' roles are not settled yet", "address", n.self.Address)
			return
		}
	}
}

func (n *node) lookAfterRoles() {
	ctx := n.gate.ctx
	tick := time.NewTicker(roleInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := n.remember(); err != nil {
			n.log.Warn("cluster: writing the node's identity failed", "dir", n.cfg.Dir, "error", err)
		}
		if err := n.adjust(ctx); err != nil && ctx.Err() == nil {
			n.log.Info("cluster: changing a role failed", "address", n.self.Address, "error", err)
		}
	}
}
