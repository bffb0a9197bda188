package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"

	"github.com/sqlane/sqlane/cluster/internal/libdqlite"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// A node is dqlite's library, its folder and its gate.
type node struct {
	cfg     Config
	log     *slog.Logger
	folder  *folder
	self    identity
	gate    *gate
	library *libdqlite.Node
	roles   sync.Mutex // Whoever has it changes roles: handing over, or looking after them.
	mu      sync.Mutex // of what is written to folder, and of self.State and Others
}

func startNode(ctx context.Context, cfg Config) (n *node, err error) {
	n = &node{cfg: cfg, log: cfg.Logger}
	defer func() {
		if err != nil {
			n.close()
			err = fmt.Errorf("cluster: opening %s at %s: %w", cfg.Dir, cfg.Address, err)
		}
	}()
	if n.folder, err = openFolder(cfg.Dir); err != nil {
		return n, err
	}
	if n.gate, err = listen(ctx, cfg.Address, cfg.TLS, cfg.Logger); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w: end the program that listens there, or give this node another Address", err)
		}
		return n, err
	}
	starting, cancel := ctx, context.CancelFunc(func() {})
	if cfg.StartTimeout > 0 {
		starting, cancel = context.WithTimeout(ctx, cfg.StartTimeout)
	}
	defer cancel()
	if err := n.identify(starting); err != nil {
		return n, err
	}
	n.library, err = libdqlite.Start(libdqlite.Options{
		ID: n.self.ID, Address: n.self.Address, Dir: cfg.Dir,
		Dial:              n.gate.dialForLibrary,
		Latency:           uint(cfg.NetworkLatency.Milliseconds()),
		SnapshotThreshold: cfg.snapshotThreshold,
		SnapshotTrailing:  cfg.snapshotTrailing,
	})
	if err != nil {
		return n, fmt.Errorf("dqlite does not start: %w", err)
	}
	n.gate.open(n.library.Address())
	if err := n.takenUp(starting); err != nil {
		return n, err
	}
	if err := n.remember(); err != nil {
		return n, err
	}
	n.gate.run(n.lookAfterRoles)
	n.settled(starting)
	return n, nil
}

// identify finds out who the node is. A new one joins.
func (n *node) identify(ctx context.Context) error {
	known, err := n.folder.identity()
	if err != nil {
		return err
	}
	hasLog, err := n.folder.hasLog()
	if err != nil {
		return err
	}
	// One that has not run, and was to found a cluster or join one, may do the other, and
	// elsewhere.
	if known != nil && known.State == stateNew && !hasLog && (known.Address != n.cfg.Address || (known.ID == firstID) != (len(n.cfg.Join) == 0)) {
		known = nil
	}
	if known == nil {
		return n.begin(ctx)
	}
	n.self = *known
	switch {
	case known.State == stateLeft:
		return fmt.Errorf("%w: the node of this Dir has left its cluster: delete the folder and join anew", pool.ErrConfig)
	case known.Address != n.cfg.Address:
		return fmt.Errorf("%w: the Dir belongs to a node at %s: give it that Address, or another Dir", pool.ErrConfig, known.Address)
	case known.State == stateMember && !hasLog:
		return fmt.Errorf("%w: the Dir has lost the log of the node, which has promised to keep it: delete the folder and join anew", pool.ErrConfig)
	case known.State == stateNew && known.ID != firstID && !hasLog:
		return n.join(ctx)
	}
	return nil
}

// begin makes a new node.
func (n *node) begin(ctx context.Context) error {
	name, err := n.folder.foreign()
	if err != nil {
		return err
	}
	if name != "" {
		return fmt.Errorf("%w: the Dir is not a node's and not empty (%s): give the node a folder of its own", pool.ErrConfig, name)
	}
	n.self = identity{ID: firstID, Address: n.cfg.Address, State: stateNew}
	if len(n.cfg.Join) == 0 {
		return n.folder.write(n.self)
	}
	n.self.ID = newID()
	if err := n.folder.write(n.self); err != nil {
		return err
	}
	return n.join(ctx)
}

// newID is one that no other node has.
func newID() uint64 {
	for {
		var b [8]byte
		rand.Read(b[:])
		// Of 63 bits, for whoever reads it as an int64.
		if id := binary.LittleEndian.Uint64(b[:]) >> 1; id > firstID {
			return id
		}
	}
}

// join has the cluster take up the node. A member with the same address is one whose
// disk is gone, since only one process can listen there: it is removed.
func (n *node) join(ctx context.Context) error {
	others := n.cfg.others()
	var last error
	for {
		err := n.gate.change(ctx, others, func(ctx context.Context, l *leader) error {
			members, err := l.Members(ctx)
			if err != nil {
				return err
			}
			for _, m := range members {
				if m.ID == n.self.ID {
					return nil
				}
				if m.Address == n.self.Address {
					n.log.Warn("cluster: a member whose disk is gone is removed", "address", m.Address, "id", m.ID)
					if err := l.Remove(ctx, m.ID); err != nil {
						return fmt.Errorf("removing the member of this address whose disk is gone: %w", err)
					}
				}
			}
			return l.Add(ctx, wire.Node{ID: n.self.ID, Address: n.self.Address})
		})
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if !wait(ctx) {
			return fmt.Errorf("no member of the cluster takes the node up (%w); is one of Join running, and does it reach a majority? %w", ctx.Err(), last)
		}
	}
}

// takenUp waits until the leader has the node among its members.
func (n *node) takenUp(ctx context.Context) error {
	var last error
	for {
		members, err := n.members(ctx)
		if err == nil {
			if _, ok := byID(members, n.self.ID); ok {
				return n.know(members)
			}
			return fmt.Errorf("%w: the node was removed from the cluster: delete the Dir and join anew", pool.ErrConfig)
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if !wait(ctx) {
			return fmt.Errorf("the cluster has no leader (%w); do a majority of its members run, and do they reach each other? %w", ctx.Err(), last)
		}
	}
}

// know writes down who the others are.
func (n *node) know(members []wire.Node) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.self.Others = nil
	for _, m := range members {
		if m.ID != n.self.ID {
			n.self.Others = append(n.self.Others, m.Address)
		}
	}
	return n.folder.write(n.self)
}

// remember that the node has promised others to keep its log.
func (n *node) remember() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.self.State != stateNew {
		return nil
	}
	if hasLog, err := n.folder.hasLog(); err != nil || !hasLog {
		return err
	}
	member := n.self
	member.State = stateMember
	if err := n.folder.write(member); err != nil {
		return err // and it is tried again
	}
	n.self.State = stateMember
	return nil
}

// addresses are where to look for the leader: what the own node knows comes first.
func (n *node) addresses(ctx context.Context) []string {
	all := []string{n.self.Address}
	if conn, err := wire.Dial(ctx, n.gate.dial, n.self.Address); err == nil {
		members, _ := conn.Members(ctx)
		conn.Close()
		for _, m := range members {
			all = append(all, m.Address)
		}
	}
	n.mu.Lock()
	all = append(all, n.self.Others...)
	n.mu.Unlock()
	all = append(all, n.cfg.Join...)
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(a string) bool {
		was := seen[a]
		seen[a] = true
		return was
	})
}

func (n *node) leader(ctx context.Context) (*leader, error) {
	return n.gate.find(ctx, n.addresses(ctx))
}

func (n *node) members(ctx context.Context) ([]wire.Node, error) {
	l, err := n.leader(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.Members(ctx)
}

// handover gives leadership to another voter, and the vote to whoever has none. Where
// there is nobody it does nothing. quietly runs what changes the leader.
func (n *node) handover(ctx context.Context, quietly func(ctx context.Context, fn func())) error {
	var promoted bool
	err := n.gate.change(ctx, n.addresses(ctx), func(ctx context.Context, l *leader) error {
		n.roles.Lock()
		defer n.roles.Unlock()
		members, err := l.Members(ctx)
		if err != nil {
			return err
		}
		online := n.gate.online(ctx, members)
		self, ok := byID(members, n.self.ID)
		if !ok || self.Role != wire.Voter {
			return nil
		}
		var failed []error
		for _, role := range []wire.Role{wire.StandBy, wire.Spare} {
			for i, m := range members {
				if promoted || m.Role != role || !online[m.ID] {
					continue
				}
				if err := l.Assign(ctx, m.ID, wire.Voter); err != nil {
					failed = append(failed, fmt.Errorf("making %s a voter: %w", m.Address, err))
					continue
				}
				members[i].Role, promoted, failed = wire.Voter, true, nil
			}
		}
		if l.node.ID != n.self.ID {
			return errors.Join(failed...)
		}
		handed := false
		for _, m := range members {
			if handed || m.ID == n.self.ID || m.Role != wire.Voter || !online[m.ID] {
				continue
			}
			quietly(ctx, func() { err = l.Transfer(ctx, m.ID) })
			if handed = err == nil; !handed {
				failed = append(failed, fmt.Errorf("making %s the leader: %w", m.Address, err))
			}
		}
		if handed {
			return nil
		}
		return errors.Join(failed...)
	})
	if err != nil || !promoted {
		return err
	}
	return n.retry(ctx, func(ctx context.Context, l *leader) error {
		members, err := l.Members(ctx)
		if err != nil {
			return err
		}
		if self, ok := byID(members, n.self.ID); !ok || self.Role != wire.Voter {
			return nil
		}
		if l.node.ID == n.self.ID {
			return errors.New("the node still leads")
		}
		return l.Assign(ctx, n.self.ID, wire.Spare)
	})
}

// retry runs a change until it succeeds: between two leaders there is none, and only
// one change is made at a time.
func (n *node) retry(ctx context.Context, fn func(ctx context.Context, l *leader) error) error {
	var last error
	for {
		err := n.gate.change(ctx, n.addresses(ctx), fn)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // else it tells that there was no time
			last = err
		}
		if !wait(ctx) {
			return errors.Join(ctx.Err(), last)
		}
	}
}

var errLast = errors.New("the last member of a cluster cannot leave it: to give the cluster up, close the node and delete its Dir")

// leave has the cluster remove the node.
func (n *node) leave(ctx context.Context, quietly func(ctx context.Context, fn func())) error {
	members, err := n.members(ctx)
	if err != nil {
		return err
	}
	// It is no member any more where writing that down failed.
	if _, ok := byID(members, n.self.ID); ok && len(members) < 2 {
		return errLast
	}
	err = n.handover(ctx, quietly)
	if err == nil {
		err = n.retry(ctx, func(ctx context.Context, l *leader) error {
			members, err := l.Members(ctx)
			if err != nil {
				return err
			}
			if _, ok := byID(members, n.self.ID); !ok {
				return nil
			}
			if l.node.ID == n.self.ID {
				return errors.New("the node still leads: is another member running?")
			}
			return l.Remove(ctx, n.self.ID)
		})
	}
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.self.State = stateLeft
	return n.folder.write(n.self)
}

// close ends whatever was started.
func (n *node) close() error {
	var failed []error
	if n.gate != nil {
		n.gate.close()
	}
	if n.library != nil {
		failed = append(failed, n.library.Stop())
	}
	if n.gate != nil {
		n.gate.end()
	}
	if n.folder != nil {
		failed = append(failed, n.remember(), n.folder.close())
	}
	return errors.Join(failed...)
}
