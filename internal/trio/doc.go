// Package trio starts clusters of nodes as processes on loopback, for tests, the
// torture and benchmarks: they can be killed, paused and started again. It needs no
// more of dqlite than a binary of cluster/cmd/node.
package trio
