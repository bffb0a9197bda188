package cluster

import (
	"context"
	"fmt"

	"github.com/sqlane/sqlane/cluster/internal/wire"
)

// A voter decides with the others what is committed. A stand-by has a copy and takes a
// voter's place. A spare has nothing.
const voters, standBys = 3, 3

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

// settle changes roles until all are as they should be.
func (n *node) settle(ctx context.Context) error {
	for {
		done := false
		err := n.gate.change(ctx, n.addresses(ctx), func(ctx context.Context, l *leader) error {
			members, err := l.Members(ctx)
			if err != nil {
				return err
			}
			a, ok := nextRole(members, n.gate.online(ctx, members), l.node.ID)
			if !ok {
				done = true
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
