package dqlite

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/sqlane/sqlane/pool"
)

// Config says how to reach a cluster. The zero value of every field but Members, and
// one of TLS and Plaintext, means its default.
type Config struct {
	// Members are the addresses, as HOST:PORT, at which nodes of the cluster are looked
	// for. One that is up is enough: the others are learned from the leader.
	Members []string
	// Database is the name of the database, of letters, digits, dots, dashes and
	// underscores: a cluster has as many as it is asked for. Default: "main.db".
	Database string

	// TLS is how nodes are spoken to: its Certificates are shown to them, and its RootCAs
	// say whom to believe. ServerName is the host of a node's address if it is empty.
	TLS *tls.Config
	// Plaintext says that nodes are spoken to in the clear, where TLS would be nil by
	// mistake otherwise: Open without either is ErrConfig.
	Plaintext bool
	// Dial connects to a node in another way than by TCP: through a proxy, say. TLS comes on
	// top. Default: a net.Dialer.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// MaxConns is the most connections at once, the writer's included; those of DB and of
	// Watch come on top. Default: 8. The least is 2.
	MaxConns int
	// MaxWaiters is how many callers may queue for a connection or the write lane; one
	// more gets pool.ErrOverloaded. Default: 0, no limit.
	MaxWaiters int
	// AcquireTimeout is the longest wait for a connection, for the write lane or for a
	// leader: pool.ErrAcquireTimeout, or ErrNoQuorum where there is no leader. A new one is
	// elected within seconds, for which it should be long enough. Default: 15s. Negative:
	// only the context limits it.
	AcquireTimeout time.Duration
	// BusyTimeout is how long to wait for the lock that another process holds, as a writer
	// of another node does: pool.ErrBusy then. Default: 5s. Negative: not at all.
	BusyTimeout time.Duration
	// HeartbeatInterval is how often the leader is asked whether it still is: one that is
	// paused or cut off is found so, and given up once others have elected a new one, or
	// after 10s of silence. Default: 500ms. Negative: never.
	HeartbeatInterval time.Duration
	// WatchInterval is how often other processes' commits are looked for while somebody
	// watches. Default: 1s. Negative: never.
	WatchInterval time.Duration

	// Logger hears of changes of the leader, and of connections that were given up.
	// Default: none.
	Logger *slog.Logger
}

// Defaults.
const (
	defaultDatabase  = "main.db"
	defaultMaxConns  = 8
	defaultAcquire   = 15 * time.Second
	defaultBusy      = 5 * time.Second
	defaultHeartbeat = 500 * time.Millisecond
	defaultWatch     = time.Second
)

// filled is the Config with its defaults, or what is wrong with it.
func (cfg Config) filled() (Config, error) {
	cfg.Database = cmp.Or(cfg.Database, defaultDatabase)
	cfg.MaxConns = cmp.Or(cfg.MaxConns, defaultMaxConns)
	cfg.AcquireTimeout = cmp.Or(cfg.AcquireTimeout, defaultAcquire)
	cfg.BusyTimeout = cmp.Or(cfg.BusyTimeout, defaultBusy)
	cfg.HeartbeatInterval = cmp.Or(cfg.HeartbeatInterval, defaultHeartbeat)
	cfg.WatchInterval = cmp.Or(cfg.WatchInterval, defaultWatch)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	cfg.Members = slices.Clone(cfg.Members)
	return cfg, cfg.check()
}

func (cfg Config) check() error {
	wrong := func(format string, args ...any) error {
		return &pool.Error{Op: "open", Path: cfg.Database, Err: pool.ErrConfig, Cause: fmt.Errorf(format, args...)}
	}
	if len(cfg.Members) == 0 {
		return wrong("Members is empty: give the address, as HOST:PORT, of at least one node")
	}
	for _, address := range cfg.Members {
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			return wrong("Members: %q is no address: write HOST:PORT", address)
		}
	}
	switch {
	case strings.Trim(cfg.Database, nameLetters) != "" || strings.Trim(cfg.Database, ".") == "":
		return wrong("Database %q: letters, digits, dots, dashes and underscores make a name", cfg.Database)
	case cfg.TLS == nil && !cfg.Plaintext:
		return wrong("neither TLS nor Plaintext is set: give a TLS configuration, or say Plaintext where nobody else is on the network")
	case cfg.TLS != nil && cfg.Plaintext:
		return wrong("both TLS and Plaintext are set")
	case cfg.MaxConns < 2:
		return wrong("MaxConns is %d; the least is 2, for the writer and a reader", cfg.MaxConns)
	case cfg.MaxWaiters < 0:
		return wrong("MaxWaiters is %d", cfg.MaxWaiters)
	}
	return nil
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// dial connects to a node, by TLS unless that is turned off.
func (cfg Config) dial(ctx context.Context, address string) (net.Conn, error) {
	plain, err := cfg.Dial(ctx, address)
	if err != nil || cfg.TLS == nil {
		return plain, err
	}
	how := cfg.TLS.Clone()
	if how.ServerName == "" {
		how.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(plain, how)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return secure, nil
}
