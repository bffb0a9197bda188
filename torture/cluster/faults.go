package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/torture/bank"
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

// killed kills the leader, again and again, and now and then all nodes at once.
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
		switch i % 6 {
		case 2:
			return errors.Join(s.killAll(ctx), s.whole(ctx))
		case 0: // it is back before another one is elected, perhaps
			s.Kill(leader)
		default:
			s.Kill(leader)
			err = b.getOn(ctx)
		}
		return errors.Join(err, s.Restart(context.WithoutCancel(ctx), leader), s.whole(ctx))
	})
	if ctx.Err() == nil && rows[0].Err == nil {
		rows = append(rows, s.hasty(ctx, name))
	}
	rows[0].Err = errors.Join(rows[0].Err, s.close())
	return rows
}

// killAll kills all nodes at once, and starts them again, which takes a majority.
func (s *stage) killAll(ctx context.Context) error {
	var wg sync.WaitGroup
	var errs [nodes]error
	for i := range nodes {
		wg.Go(func() { s.Kill(i) })
	}
	wg.Wait()
	for i := range nodes {
		wg.Go(func() { errs[i] = s.Restart(context.WithoutCancel(ctx), i) })
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// hasty is the planted mistake: a client that promises before it commits, while its leader is
// killed between the two. The audit must miss what was promised.
func (s *stage) hasty(ctx context.Context, name string) (row trial.Row) {
	row = trial.Row{Section: Section, Name: name + ", promises too early", Attempts: 1, MustLose: true}
	row.Add("planted: shows that the audit can find a loss")
	store, err := s.open(ctx, hastyDB)
	if err == nil {
		err = patiently(ctx, func() error { return bank.PrepareStore(ctx, store) })
	}
	var acks []bank.Ack
	for seq := 1; seq <= 5 && err == nil; seq++ {
		err = patiently(ctx, func() error {
			ack, _, err := bank.Setup{Run: 1, Seed: s.plan.Seed}.MoveInStore(ctx, store, 0, seq, true)
			if err == nil {
				acks = append(acks, ack)
			}
			return err
		})
	}
	leader, failed := s.leader(ctx)
	if err = errors.Join(err, failed); err == nil {
		var early []bank.Ack
		_, _, err = bank.Setup{Run: 1, Seed: s.plan.Seed, Early: func(ack bank.Ack) {
			early = append(early, ack)
			s.Kill(leader)
			row.Faults++
		}}.MoveInStore(ctx, store, 0, 6, true)
		acks = append(acks, early...)
		if lostLeader(err) {
			err = nil
		}
		err = errors.Join(err, s.Restart(context.WithoutCancel(ctx), leader), s.whole(ctx))
	}
	row.Acknowledged = len(acks)
	if err == nil {
		// A node is behind when it begins to lead, until it is asked for something.
		err = patiently(ctx, func() error { return store.HealthCheck(ctx) })
	}
	if err == nil {
		leader, err = s.leader(ctx)
	}
	if err == nil {
		row.Lost, err = s.auditNode(ctx, leader, hastyDB, 1, acks)
	}
	row.Err = err
	row.MustLose = ctx.Err() == nil || row.Lost > 0 // Ctrl-C may come first
	return row
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
