package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

const (
	// How long one node is asked before another is.
	askTimeout = 3 * time.Second
	// Between two looks at something that takes its time.
	pollInterval = 100 * time.Millisecond
	// A change of the members waits until a majority has it, and a new voter until it
	// has caught up.
	changeTimeout = time.Minute
)

var errNoLeader = errors.New("no leader is known")

// A leader is a connection to the cluster's leader.
type leader struct {
	*wire.Conn
	node wire.Node
}

// find asks the nodes at addresses who leads, and connects to that one.
func (g *gate) find(ctx context.Context, addresses []string) (*leader, error) {
	var failed []error
	for _, address := range addresses {
		l, err := g.findBy(ctx, address)
		if err == nil {
			return l, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", address, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failed...)
}

func (g *gate) findBy(ctx context.Context, address string) (*leader, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := wire.Dial(ctx, g.dial, address)
	if err != nil {
		return nil, err
	}
	node, err := conn.Leader(ctx)
	if err == nil && node.Address == "" {
		err = errNoLeader
	}
	if err != nil || node.Address == address {
		return result(conn, node, err)
	}
	conn.Close()
	if conn, err = wire.Dial(ctx, g.dial, node.Address); err != nil {
		return nil, fmt.Errorf("its leader %s: %w", node.Address, err)
	}
	// It may have lost its leadership, and the one who told may not know.
	itself, err := conn.Leader(ctx)
	if err == nil && itself.Address != node.Address {
		err = errNoLeader
	}
	return result(conn, node, err)
}

func result(conn *wire.Conn, node wire.Node, err error) (*leader, error) {
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &leader{conn, node}, nil
}

// change runs one change of the members. It goes on when ctx ends: dqlite 1.11 writes
// to freed memory if a connection is closed that waits for a change.
func (g *gate) change(ctx context.Context, addresses []string, fn func(ctx context.Context, l *leader) error) error {
	l, err := g.find(ctx, addresses)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	if !g.runChange(func() {
		ctx, cancel := context.WithTimeout(g.conns, changeTimeout)
		defer cancel()
		defer l.Close()
		done <- fn(ctx, l)
	}) {
		l.Close()
		return pool.ErrClosed
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// online tells which of the members answer.
func (g *gate) online(ctx context.Context, members []wire.Node) map[uint64]bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var mu sync.Mutex
	found := map[uint64]bool{}
	var all sync.WaitGroup
	for _, m := range members {
		all.Go(func() {
			conn, err := wire.Dial(ctx, g.dial, m.Address)
			if err != nil {
				return
			}
			defer conn.Close()
			if _, err := conn.Describe(ctx); err == nil {
				mu.Lock()
				defer mu.Unlock()
				found[m.ID] = true
			}
		})
	}
	all.Wait()
	return found
}

func byID(members []wire.Node, id uint64) (wire.Node, bool) {
	i := slices.IndexFunc(members, func(m wire.Node) bool { return m.ID == id })
	if i < 0 {
		return wire.Node{}, false
	}
	return members[i], true
}

// wait is between two tries. It tells whether there is time for another.
func wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pollInterval):
		return true
	}
}
