package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// Member is a node of a cluster.
type Member = wire.Node

// Cluster is a node that runs in this process. It is safe for concurrent use.
type Cluster struct {
	node *node

	mu    sync.Mutex
	ended bool
	end   error
}

// Open starts the node of cfg.Dir, and waits until the cluster has taken it up.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n, err := startNode(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Cluster{node: n}, nil
}

// ID is the node's in its cluster.
func (c *Cluster) ID() uint64 { return c.node.self.ID }

// Address is where others reach the node.
func (c *Cluster) Address() string { return c.node.self.Address }

// Leader tells who leads.
func (c *Cluster) Leader(ctx context.Context) (Member, error) {
	l, err := c.node.leader(ctx)
	if err != nil {
		return Member{}, c.failed("asking for the leader", err)
	}
	defer l.Close()
	return l.node, nil
}

// Members tells who belongs to the cluster.
func (c *Cluster) Members(ctx context.Context) ([]Member, error) {
	members, err := c.node.members(ctx)
	return members, c.failed("asking for the members", err)
}

// Handover gives what the node does for others to them: leadership, and its vote if a
// member without one is there to take it. The node goes on. Where there is nobody to
// take it, nothing happens.
func (c *Cluster) Handover(ctx context.Context) error {
	return c.failed("handing over", c.node.handover(ctx))
}

// Remove removes another member for good: one that is not coming back. A node that is
// alive leaves by itself.
func (c *Cluster) Remove(ctx context.Context, id uint64) error {
	if id == c.ID() {
		return c.failed("removing the own node", errors.New("that is Leave"))
	}
	return c.failed(fmt.Sprintf("removing %d", id), c.node.retry(ctx, func(ctx context.Context, l *leader) error {
		members, err := l.Members(ctx)
		if err != nil {
			return err
		}
		if _, ok := byID(members, id); !ok {
			return nil
		}
		return l.Remove(ctx, id)
	}))
}

// Leave hands over, removes the node from the cluster for good, and closes it. Its Dir
// may then be deleted. The last member cannot leave.
func (c *Cluster) Leave(ctx context.Context) error {
	if err := c.node.leave(ctx); err != nil {
		return c.failed("leaving", err)
	}
	return c.Close()
}

// Shutdown hands over and closes the node. If it cannot hand over before ctx ends, it
// closes the node all the same, and returns the error.
func (c *Cluster) Shutdown(ctx context.Context) error {
	return errors.Join(c.Handover(ctx), c.Close())
}

// Close ends the node at once. A second call returns what the first did.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended, c.end = true, c.failed("closing", c.node.close())
	}
	return c.end
}

func (c *Cluster) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	if c.node.gate.ctx.Err() != nil && !errors.Is(err, pool.ErrClosed) {
		err = fmt.Errorf("%w: %w", pool.ErrClosed, err)
	}
	return fmt.Errorf("cluster: %s, node %s: %w", doing, c.Address(), err)
}
