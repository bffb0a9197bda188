// Package cluster runs a node of dqlite in the process: SQLite, replicated by Raft
// (https://dqlite.io). It is a [pool.Store] on its cluster, so that a repository which
// was generated for a file runs on several machines by opening another Store:
//
//	c, err := cluster.Open(ctx, cluster.Config{Dir: "node", Address: "10.0.0.1:9001", TLS: how})
//	...
//	r := repo.New(c)
//
// It takes Linux, cgo and dqlite's C library. Package dqlite, which is in the main
// module and pure Go, is the Store alone, on a cluster that runs elsewhere; what it says
// of writing, of changes of the leader and of what is different from a pool is true
// here. README.md says how nodes are operated.
//
// # Who is in the cluster
//
// The first node founds the cluster; others join it through any member. Three vote, and
// one of them may be lost. Of further members three are stand-bys, which have a copy and
// take the place of a voter that is gone, and the rest are spares. Of two only one votes,
// so that the other may come and go. The leader sees to the roles, within seconds.
//
// # A disk that is gone
//
// A member has promised the others to keep its log. So a Dir whose log is lost while its
// identity is not is refused. An empty Dir is that of a new node: it joins, and the
// member that had its Address is removed, since nobody else can listen there.
//
// An empty Dir and no Join found a new cluster, and Open cannot know that this Address
// was that of another one's member. For some seconds such a node acknowledges writes;
// then the others reach it, and what it has is overwritten by what they have. That is
// why all nodes, the first too, have Join once there are others.
//
// # How it is built
//
// The library's socket is reachable by its own process alone: it accepts no other's
// connections. What stands between it and the network is Go: TLS, names of hosts, and
// connections that end when the peer is gone. An own connection to the own node takes
// no way through the network.
//
// The library aborts the process where it meets what it takes for impossible: see the
// list in package dqlite. A supervisor should start it again.
package cluster
