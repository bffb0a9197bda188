// Package cluster runs a node of dqlite, SQLite replicated by Raft, in the process.
package cluster
