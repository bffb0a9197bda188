package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/torture/trial"
)

// several opens so many Stores, each as a process of its own would.
func (s *stage) several(ctx context.Context, n int) func(string) ([]*dqlite.Store, error) {
	return func(database string) (all []*dqlite.Store, err error) {
		for range n {
			store, err := s.open(ctx, database)
			if err != nil {
				return nil, err
			}
			all = append(all, store)
		}
		return all, nil
	}
}

// killed kills the leader, again and again.
func killed(ctx context.Context, plan trial.Plan, node, name string) []trial.Row {
	s, err := open(ctx, plan, node, name)
	if err != nil {
		return []trial.Row{{Section: Section, Name: name, Err: err}}
	}
	rows := disturb(ctx, s, name, s.several(ctx, 3), plan.Times(30, 3), func(b *bankers, i int) error {
		leader, err := s.leader(ctx)
		if err != nil {
			return err
		}
		trial.Pause(ctx, s.rng, 300*time.Millisecond)
		s.Kill(leader)
		if i%3 > 0 { // else it is back before another one is elected, perhaps
			err = b.getOn(ctx)
		}
		return errors.Join(err, s.Restart(context.WithoutCancel(ctx), leader), s.whole(ctx))
	})
	rows[0].Err = errors.Join(rows[0].Err, s.close())
	return rows
}

// paused pauses nodes by SIGSTOP, for less and for more than it takes to elect another
// leader.
func paused(ctx context.Context, plan trial.Plan, node, name string) []trial.Row {
	s, err := open(ctx, plan, node, name)
	if err != nil {
		return []trial.Row{{Section: Section, Name: name, Err: err}}
	}
	rows := disturb(ctx, s, name, s.several(ctx, 3), plan.Times(40, 4), func(b *bankers, i int) (err error) {
		leader, err := s.leader(ctx)
		if err != nil {
			return err
		}
		follower := (leader + 1 + s.rng.IntN(nodes-1)) % nodes
		stopped := []int{leader}
		long := true // until the others have got on
		switch i % 4 {
		case 1:
			stopped, long = []int{follower}, s.rng.IntN(2) == 0
		case 2:
			long = false
		case 3:
			stopped, long = []int{leader, follower}, false // there is no majority
		}
		defer func() {
			for _, n := range stopped {
				err = errors.Join(err, s.Continue(n))
			}
		}()
		for _, n := range stopped {
			if err := s.Stop(n); err != nil {
				return err
			}
		}
		if long {
			err = b.getOn(ctx)
		}
		trial.Pause(ctx, s.rng, 2500*time.Millisecond)
		return err
	})
	rows[0].Err = errors.Join(rows[0].Err, s.close())
	return rows
}
