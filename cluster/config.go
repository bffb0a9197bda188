package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

// Config says how to open a node.
type Config struct {
	// Dir is where the node keeps its identity and its part of the data. It is made,
	// readable by its owner alone, if it is missing. One process has it at a time.
	Dir string
	// Address is host:port, under which the node listens and all others reach it. It
	// stays as it is for as long as Dir is used.
	Address string
	// Join names members of the cluster that a new node joins: one that can be reached
	// is enough, and Address may be among them. With none a new node is the first of a
	// new cluster. It has no meaning for a node that has been a member; but name the
	// others on the first node too once there are others: should its disk be lost, it
	// then joins them, and does not found a second cluster under its address.
	Join []string

	// TLS is for all connections, those that the node makes and those that it accepts.
	// It needs Certificates (or GetCertificate and GetClientCertificate) and RootCAs.
	// Whoever connects must have a certificate of ClientCAs. Default of those: RootCAs.
	// A node's certificate must be good for the host of its Address, as a server's
	// and as a client's. Default of MinVersion: TLS 1.3.
	TLS *tls.Config
	// Plaintext says that there shall be no TLS: whoever reaches Address has the whole
	// database. Without it and without TLS, Open is pool.ErrConfig.
	Plaintext bool

	// StartTimeout is the longest that Open waits until the cluster has taken the node
	// up: a new one must reach a member, and one that comes back a majority.
	// Default: 1m. Negative: only the context limits it.
	StartTimeout time.Duration
	// NetworkLatency is about how long a message takes from one node to another. All
	// nodes have the same: a leader from which nothing was heard for fifteen times as
	// long is replaced. A disk that is slow, or a machine that is busy, counts like a
	// slow network. Default: dqlite's own, which replaces a leader after 3s.
	NetworkLatency time.Duration

	// Database is the name of the database, of letters, digits, dots, dashes and
	// underscores. A cluster has as many as it is asked for. Default: "main.db".
	Database string
	// MaxConns is the most connections to the leader at once: see [dqlite.Config], for
	// the fields below too. Default: 8.
	MaxConns int
	// MaxWaiters is how many callers may queue. Default: 0, no limit.
	MaxWaiters int
	// AcquireTimeout is the longest wait for a connection, the write lane or a leader.
	// Default: 15s. Negative: only the context limits it.
	AcquireTimeout time.Duration
	// BusyTimeout is how long to wait for another node's writer. Default: 5s. Negative:
	// not at all.
	BusyTimeout time.Duration
	// HeartbeatInterval is how often the leader is asked whether it still is. Default:
	// 500ms. Negative: never.
	HeartbeatInterval time.Duration
	// WatchInterval is how often other processes' commits are looked for while somebody
	// watches. Default: 1s. Negative: never.
	WatchInterval time.Duration

	// Logger gets what nobody asked for but should know. Default: slog.Default().
	Logger *slog.Logger

	snapshotThreshold, snapshotTrailing uint
}

func (cfg Config) withDefaults() Config {
	if cfg.StartTimeout == 0 {
		cfg.StartTimeout = time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Join = slices.Clone(cfg.Join)
	return cfg
}

// store is for the Store beside the node. It connects by the node's gate, where TLS is,
// to those that the leader has just named.
func (cfg Config) store(n *node) dqlite.Config {
	return dqlite.Config{
		Members: append([]string{n.self.Address}, n.self.Others...), Database: cfg.Database, Plaintext: true, Dial: n.gate.dial,
		MaxConns: cfg.MaxConns, MaxWaiters: cfg.MaxWaiters,
		AcquireTimeout: cfg.AcquireTimeout, BusyTimeout: cfg.BusyTimeout,
		HeartbeatInterval: cfg.HeartbeatInterval, WatchInterval: cfg.WatchInterval,
		Logger: cfg.Logger,
	}
}

// validate tells all faults at once.
func (cfg Config) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if cfg.Dir == "" {
		fault("Dir is empty: name a folder for the node's data")
	}
	if err := checkAddress(cfg.Address); err != nil {
		fault("Address: %w", err)
	}
	for _, address := range cfg.Join {
		if err := checkAddress(address); err != nil {
			fault("Join: %w", err)
		}
	}
	if len(cfg.Join) > 0 && len(cfg.others()) == 0 {
		fault("Join names nobody but the node itself (%s): name another member, or none to found a cluster", cfg.Address)
	}
	if cfg.NetworkLatency != 0 && (cfg.NetworkLatency < time.Millisecond || cfg.NetworkLatency > time.Hour) {
		fault("NetworkLatency is %v: it is between a millisecond and an hour", cfg.NetworkLatency)
	}
	switch t := cfg.TLS; {
	case t == nil && !cfg.Plaintext:
		fault("there is no TLS: set it, with the node's certificate and the cluster's authority, or Plaintext where nobody else reaches the network")
	case t != nil && cfg.Plaintext:
		fault("both TLS and Plaintext are set: set one")
	case t != nil:
		if len(t.Certificates) == 0 && (t.GetCertificate == nil || t.GetClientCertificate == nil) {
			fault("TLS has no Certificates: the node shows one to those that it connects to and to those that connect to it")
		}
		if t.GetConfigForClient != nil {
			fault("TLS has GetConfigForClient, which could let anybody in: who connects needs a certificate of ClientCAs")
		}
		if t.RootCAs == nil {
			fault("TLS has no RootCAs: it is what tells the cluster's nodes from anybody who has a certificate")
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("cluster: %w: %w", pool.ErrConfig, errors.Join(faults...))
	}
	return nil
}

// others are those of Join that are not the node itself.
func (cfg Config) others() []string {
	return slices.DeleteFunc(slices.Clone(cfg.Join), func(a string) bool { return a == cfg.Address })
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%q names no host that others can reach", address)
	}
	if port == "" || port == "0" {
		return fmt.Errorf("%q has no port that stays", address)
	}
	return nil
}
