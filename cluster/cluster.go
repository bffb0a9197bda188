package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

// Those of package dqlite, so that whoever has a Cluster needs it not.
var (
	// ErrCommitUnknown is returned when the answer to a commit never came, and nobody
	// can know whether it took place: see [dqlite.ErrCommitUnknown].
	ErrCommitUnknown = dqlite.ErrCommitUnknown
	// ErrNoQuorum is returned when no leader was found within AcquireTimeout.
	ErrNoQuorum = dqlite.ErrNoQuorum
)

// errAbsent is for a context that is nil.
var errAbsent = fmt.Errorf("the context is nil: %w", fs.ErrInvalid)

// Cluster is a node that runs in this process, and a Store on its cluster: wherever
// the leader is, work goes there. It is safe for concurrent use.
type Cluster struct {
	*dqlite.Store
	node *node

	mu    sync.Mutex // of the end
	ended bool
	end   error
}

// Open starts the node of cfg.Dir and waits until the cluster has taken it up. A faulty
// Config, and a Dir that is not this node's, is pool.ErrConfig.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	if ctx == nil {
		return nil, fmt.Errorf("cluster: opening: %w", errAbsent)
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n, err := startNode(ctx, cfg)
	if err != nil {
		return nil, err
	}
	store, err := dqlite.Open(ctx, cfg.store(n))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: opening %s at %s: %w", cfg.Dir, cfg.Address, err), n.close())
	}
	return &Cluster{Store: store, node: n}, nil
}

// ID is the node's in its cluster.
func (c *Cluster) ID() uint64 { return c.node.self.ID }

// Address is where others reach the node.
func (c *Cluster) Address() string { return c.node.self.Address }

// Handover gives what the node does for others to them: leadership, and its vote if a
// member without one is there to take it. The node goes on. Where there is nobody to
// take it, nothing happens. Writers of all nodes wait meanwhile, for the moment that it
// takes, and so none is in doubt about a commit.
func (c *Cluster) Handover(ctx context.Context) error {
	if ctx == nil {
		return c.failed("handing over", errAbsent)
	}
	return c.failed("handing over", c.node.handover(ctx, c.quietly))
}

// quietly runs fn while nobody writes, if that can be had soon: of a commit that is on its
// way while the leader changes nobody could be told whether it took place.
func (c *Cluster) quietly(ctx context.Context, fn func()) {
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	ran := false
	// It says that there was no quiet, or that the transaction ended with the leader.
	_ = c.StoreInTx(ctx, pool.Immediate, func(context.Context, pool.StoreTx) error {
		ran = true
		fn()
		return errQuiet
	})
	if !ran {
		fn()
	}
}

// errQuiet undoes a transaction that was begun for its lock alone.
var errQuiet = errors.New("nothing was done")

const quietTimeout = 5 * time.Second

// Remove removes another member for good: one that is not coming back. One that is
// alive leaves by itself. To remove one that is no member does nothing.
func (c *Cluster) Remove(ctx context.Context, id uint64) error {
	switch {
	case ctx == nil:
		return c.failed("removing", errAbsent)
	case id == c.ID():
		return c.failed("removing", errors.New("the node itself is removed by Leave"))
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

// Leave hands over, has the cluster remove the node for good, and shuts it down. Its
// Dir may then be deleted. The last member cannot leave. If the cluster does not do it
// before ctx ends, the node goes on and the error says why.
func (c *Cluster) Leave(ctx context.Context) error {
	if ctx == nil {
		return c.failed("leaving", errAbsent)
	}
	if err := c.node.leave(ctx, c.quietly); err != nil {
		return c.failed("leaving", err)
	}
	return c.shut(ctx)
}

// Shutdown hands over, waits for the work that runs as [dqlite.Store.Shutdown] does,
// and ends the node. What is not done when ctx ends is given up, and the error says so.
// With the context of one of the Cluster's own transactions it is pool.ErrDeadlock, and
// nothing is closed.
func (c *Cluster) Shutdown(ctx context.Context) error {
	if ctx == nil {
		return c.failed("shutting down", errAbsent)
	}
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if ended {
		return nil
	}
	return errors.Join(c.Handover(ctx), c.shut(ctx))
}

// shut ends the Store and the node, but not with the context of an own transaction, which
// would wait for itself.
func (c *Cluster) shut(ctx context.Context) error {
	err := c.Store.Shutdown(ctx)
	if errors.Is(err, pool.ErrDeadlock) {
		return err
	}
	return errors.Join(err, c.Close())
}

// Close ends the Store and the node at once. The others notice that the leader is
// silent, if it was this one, and elect another: Shutdown spares them that. A second
// call returns what the first did.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended = true
		c.end = c.failed("closing", errors.Join(c.Store.Close(), c.node.close()))
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

var _ pool.Store = (*Cluster)(nil)
