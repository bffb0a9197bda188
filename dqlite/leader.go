package dqlite

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sqlane/sqlane/internal/wire"
)

const (
	// attemptTimeout is how long one node may take to answer whoever looks for the leader.
	// One that is paused takes connections, and never answers.
	attemptTimeout = time.Second
	// silence is how long the leader may be silent before it is given up though nobody else
	// says to be it.
	silence = 10 * time.Second
	// The pauses between two looks for a leader.
	firstPause, longestPause = 20 * time.Millisecond, 320 * time.Millisecond
)

// leader finds the leader, and ends the connections to one that is gone. It is safe for
// concurrent use.
type leader struct {
	cfg Config

	mu      sync.Mutex          // It guards the fields below.
	members []string            // These addresses are known, those of nodes that are gone perhaps among them.
	current string              // The leader is there, as far as is known; "" if none is.
	failure error               // It is why none was found the last time, and nil once one is.
	last    string              // The leader was there last, or is.
	changes uint64              // The leader was so often another one than before.
	over    bool                // No connection is opened any more.
	open    map[*guarded]string // These connections are open, and lead to these addresses.
}

func newLeader(cfg Config) *leader {
	return &leader{cfg: cfg, members: slices.Clone(cfg.Members), open: map[*guarded]string{}}
}

// guarded is a connection of which the leader knows, so that it can be ended from outside.
type guarded struct {
	net.Conn
	of *leader
}

// Close implements net.Conn.
func (g *guarded) Close() error {
	g.of.mu.Lock()
	delete(g.of.open, g)
	g.of.mu.Unlock()
	return g.Conn.Close()
}

func (l *leader) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := l.cfg.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	g := &guarded{c, l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	l.open[g] = address
	return g, nil
}

// known is where the leader was last, and the known addresses.
func (l *leader) known() (current string, members []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current, slices.Clone(l.members)
}

// searching is why there is no leader at present, or nil.
func (l *leader) searching() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// changed is how often the leader was another one than before.
func (l *leader) changed() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes
}

// connect returns a connection to the leader on which the database is open. It looks for
// one until ctx ends, which is ErrNoQuorum with what was met last.
func (l *leader) connect(ctx context.Context) (c *wire.Conn, address string, err error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if c, address, err = l.attempt(ctx); err == nil {
			return c, address, nil
		}
		l.mu.Lock()
		l.failure = err
		l.mu.Unlock()
		if !rest(ctx, pause) {
			return nil, "", errors.Join(ctx.Err(), err)
		}
	}
}

// rest waits, and reports false if the context has ended.
func rest(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// attempt looks once: where the leader was last, then everywhere.
func (l *leader) attempt(ctx context.Context) (*wire.Conn, string, error) {
	current, members := l.known()
	if current != "" {
		if c, err := l.enter(ctx, current); err == nil {
			return c, current, nil
		}
	}
	address, err := l.find(ctx, members)
	if err != nil {
		return nil, "", err
	}
	c, err := l.enter(ctx, address)
	if err != nil {
		return nil, "", fmt.Errorf("leader %s: %w", address, err)
	}
	return c, address, nil
}

// enter opens the database at an address, which is that of the leader if it succeeds.
func (l *leader) enter(ctx context.Context, address string) (*wire.Conn, error) {
	brief, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	c, err := wire.Dial(brief, l.dial, address)
	if err != nil {
		return nil, err
	}
	members, err := l.opened(brief, c)
	if err != nil {
		c.Close()
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != address {
		l.cfg.Logger.Info("the cluster's leader was found", "database", l.cfg.Database, "leader", address, "before", l.last)
		if l.last != "" {
			l.changes++
		}
	}
	l.current, l.last, l.failure = address, address, nil
	l.members = slices.Clone(l.cfg.Members)
	for _, node := range members {
		if !slices.Contains(l.members, node.Address) {
			l.members = append(l.members, node.Address)
		}
	}
	return c, nil
}

// opened opens the database, has it look at foreign keys, which no node but the leader does
// (any node opens one, and knows the members), and returns the members.
func (l *leader) opened(ctx context.Context, c *wire.Conn) ([]wire.Node, error) {
	if err := c.Open(ctx, l.cfg.Database); err != nil {
		return nil, err
	}
	if _, err := c.Exec(ctx, "PRAGMA foreign_keys=1", nil); err != nil {
		return nil, err
	}
	return c.Members(ctx)
}

// find asks the members who leads, all at once: a majority of them, or, when all have
// answered or had their time, most of those who know. A leader that was cut off believes
// for a while that it still is.
func (l *leader) find(ctx context.Context, members []string) (string, error) {
	brief, cancel := context.WithTimeout(ctx, attemptTimeout)
	type answer struct {
		leader string
		err    error
	}
	answers := make(chan answer, len(members))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for _, address := range members {
		asking.Go(func() {
			named, err := l.ask(brief, address)
			answers <- answer{named, err}
		})
	}
	votes := map[string]int{}
	var failures []error
	for range members {
		a := <-answers
		switch {
		case a.err != nil:
			failures = append(failures, a.err)
		case a.leader != "":
			if votes[a.leader]++; 2*votes[a.leader] > len(members) {
				return a.leader, nil
			}
		}
	}
	best := ""
	for address, n := range votes {
		if n > votes[best] {
			best = address
		}
	}
	if best == "" {
		return "", errors.Join(append([]error{fmt.Errorf("none of %d members knows a leader", len(members))}, failures...)...)
	}
	return best, nil
}

// ask asks one member who leads.
func (l *leader) ask(ctx context.Context, address string) (string, error) {
	c, err := wire.Dial(ctx, l.dial, address)
	if err != nil {
		return "", fmt.Errorf("%s: %w", address, err)
	}
	defer c.Close()
	node, err := c.Leader(ctx)
	if err != nil {
		return "", fmt.Errorf("%s: %w", address, err)
	}
	return node.Address, nil
}

// giveUp ends all connections to an address, at which there is no leader any more.
func (l *leader) giveUp(address, why string) {
	l.mu.Lock()
	if l.current == address {
		l.current = ""
	}
	var ended []*guarded
	for g, to := range l.open {
		if to == address {
			ended = append(ended, g)
		}
	}
	l.mu.Unlock()
	l.cfg.Logger.Warn("connections to a leader were given up", "database", l.cfg.Database, "leader", address, "why", why, "connections", len(ended))
	for _, g := range ended {
		_ = g.Close() // whoever uses it says what comes of that
	}
}

// endAll ends all connections, those that are being opened too.
func (l *leader) endAll() {
	l.mu.Lock()
	l.over = true
	all := make([]*guarded, 0, len(l.open))
	for g := range l.open {
		all = append(all, g)
	}
	l.mu.Unlock()
	for _, g := range all {
		_ = g.Close()
	}
}

// watch looks, until ctx ends, whether the leader still is one. A paused leader, or one
// that is cut off, answers nobody while its connections stay as they are.
func (l *leader) watch(ctx context.Context) {
	if l.cfg.HeartbeatInterval < 0 {
		return
	}
	var heard time.Time
	for before := ""; rest(ctx, l.cfg.HeartbeatInterval); {
		current, members := l.known()
		if current == "" {
			continue
		}
		if current != before {
			before, heard = current, time.Now()
		}
		brief, cancel := context.WithTimeout(ctx, attemptTimeout)
		named, err := l.ask(brief, current)
		cancel()
		if err == nil && (named == current || named == "") {
			heard = time.Now()
			continue
		}
		why := ""
		if err == nil { // it knows another one itself
			why = "it follows " + named
		} else {
			others := slices.DeleteFunc(members, func(address string) bool { return address == current })
			if elected, failed := l.find(ctx, others); failed == nil && elected != current && l.leads(ctx, elected) {
				why = "it does not answer, and " + elected + " was elected"
			} else if ctx.Err() == nil && time.Since(heard) > silence {
				why = "it does not answer: " + err.Error()
			}
		}
		if why != "" {
			l.giveUp(current, why)
			before = "" // if it comes back, it has not been silent yet
		}
	}
}

// leads reports that a node says of itself that it is the leader.
func (l *leader) leads(ctx context.Context, address string) bool {
	brief, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	named, err := l.ask(brief, address)
	return err == nil && named == address
}
