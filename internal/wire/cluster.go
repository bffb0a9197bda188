package wire

import (
	"context"
	"fmt"
)

// Role is what a node does in its cluster.
type Role int

const (
	// Voter keeps the data and takes part in elections and majorities.
	Voter Role = iota
	// StandBy keeps the data and does not vote.
	StandBy
	// Spare keeps nothing.
	Spare
)

func (r Role) String() string {
	switch r {
	case Voter:
		return "voter"
	case StandBy:
		return "stand-by"
	case Spare:
		return "spare"
	}
	return fmt.Sprintf("role %d", int(r))
}

// Node is a member of the cluster.
type Node struct {
	ID      uint64
	Address string
	Role    Role
}

// Leader returns the node that this one takes for the leader: its ID and address. It is
// the zero Node where none is known: during an election, without a majority, and on a
// node that does not vote.
func (c *Conn) Leader(ctx context.Context) (n Node, err error) {
	err = c.ask(ctx, askLeader, tellNode, func(r *request) { r.uint64(0) },
		func(a *answer) {
			n.ID = a.uint64()
			n.Address = a.text()
		})
	if err != nil {
		return Node{}, err
	}
	return n, nil
}

// Members returns the nodes of the cluster, as this one knows them.
func (c *Conn) Members(ctx context.Context) (nodes []Node, err error) {
	err = c.ask(ctx, askCluster, tellNodes, func(r *request) { r.uint64(1) }, // with roles
		func(a *answer) {
			nodes = make([]Node, a.many(3*word))
			for i := range nodes {
				nodes[i] = Node{ID: a.uint64(), Address: a.text(), Role: Role(a.uint64())}
			}
		})
	if err != nil {
		return nil, err
	}
	return nodes, nil
}

// Add adds a node to the cluster, on the leader. It begins as a [Spare], whatever its
// Role here.
func (c *Conn) Add(ctx context.Context, n Node) error {
	return c.change(ctx, askAdd, func(r *request) {
		r.uint64(n.ID)
		r.text("the node's address", n.Address)
	})
}

// Assign gives a node another role, on the leader. A node that becomes a voter gets the
// data first, which takes its time.
func (c *Conn) Assign(ctx context.Context, id uint64, role Role) error {
	return c.change(ctx, askAssign, func(r *request) {
		r.uint64(id)
		r.uint64(uint64(role))
	})
}

// Remove removes a node from the cluster, on the leader.
func (c *Conn) Remove(ctx context.Context, id uint64) error {
	return c.change(ctx, askRemove, func(r *request) { r.uint64(id) })
}

// Transfer makes another voter the leader, on the leader. id is 0 for any.
func (c *Conn) Transfer(ctx context.Context, id uint64) error {
	return c.change(ctx, askTransfer, func(r *request) { r.uint64(id) })
}

func (c *Conn) change(ctx context.Context, what byte, write func(*request)) error {
	return c.ask(ctx, what, tellEmpty, write, func(*answer) {})
}

// Metadata is what a node tells of itself.
type Metadata struct {
	// FailureDomain is a number that nodes have in common which can fail together.
	FailureDomain uint64
	// Weight is how little the node is wanted as the leader.
	Weight uint64
}

// Describe returns the node's metadata.
func (c *Conn) Describe(ctx context.Context) (m Metadata, err error) {
	err = c.ask(ctx, askDescribe, tellMetadata, func(r *request) { r.uint64(0) },
		func(a *answer) { m = Metadata{FailureDomain: a.uint64(), Weight: a.uint64()} })
	if err != nil {
		return Metadata{}, err
	}
	return m, nil
}

// File is one of the files of a database.
type File struct {
	Name string
	Data []byte
}

// Dump returns the files of a database as the node has them: the database and its log.
// They belong together. A database that is not there has two empty files. One whose
// files are larger than 1 GiB cannot be dumped.
func (c *Conn) Dump(ctx context.Context, database string) (files []File, err error) {
	err = c.ask(ctx, askDump, tellFiles, func(r *request) { r.text("the database's name", database) },
		func(a *answer) {
			files = make([]File, a.many(2*word))
			for i := range files {
				files[i] = File{Name: a.text(), Data: append([]byte{}, a.take(a.uint64())...)}
			}
		})
	if err != nil {
		return nil, err
	}
	return files, nil
}
