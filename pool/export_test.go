package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"
)

// TakeAnyTime has batches go on for as long as somebody waits to join: a slow
// machine would end them early.
func TakeAnyTime(p *Pool) { p.batching.maxTime = time.Hour }

// MaintenanceWaits reports that maintenance waits for its turn to open a connection,
// or in a lane. Stats does not count that.
func MaintenanceWaits(p *Pool) bool { return p.waiting.Uncounted() > 0 }

// Unwatched reports that nothing has run for a while that could be cancelled.
func Unwatched(p *Pool) bool { return p.watcher.asleep.Load() }

// Misplaced is an error if a connection's status is not that of where it is kept.
func Misplaced(p *Pool) error {
	s := p.conns
	s.mu.Lock()
	defer s.mu.Unlock()
	var faults []error
	expect := func(where string, c *conn, want status) {
		if c.life.status != want {
			faults = append(faults, fmt.Errorf("%s has a connection of status %d", where, c.life.status))
		}
	}
	for c := range s.all {
		ready := slices.Contains(s.idle, c) || c == s.primary && c.life.status != connLeased
		if ready {
			expect("what is ready", c, connIdle)
		} else {
			expect("what is not ready", c, connLeased)
		}
	}
	for _, c := range s.idle {
		if _, there := s.all[c]; !there || c == s.primary {
			faults = append(faults, errors.New("an idle connection is not among all, or is the write lane's too"))
		}
	}
	for c := range s.apart {
		expect("apart", c, connApart)
	}
	for _, c := range s.retired {
		expect("retired", c, connRetired)
	}
	if s.spare != nil {
		expect("spare", s.spare, connOpening)
	}
	return errors.Join(faults...)
}

// Break makes a connection of DB's count as broken.
func Break(conn any) {
	c := conn.(*facadeConn).lease.conn
	c.mu.Lock()
	c.broken = errors.New("broken by a test")
	c.mu.Unlock()
}

// OpenWithoutLinks opens a pool whose file systems know no hard links.
func OpenWithoutLinks(ctx context.Context, cfg Config) (*Pool, error) {
	sys := theSystem()
	sys.link = func(old, name string) error {
		return &os.LinkError{Op: "link", Old: old, New: name, Err: syscall.EPERM}
	}
	return open(ctx, cfg, sys)
}

// OpenWithoutRenames opens one whose file systems cannot rename either.
func OpenWithoutRenames(ctx context.Context, cfg Config) (*Pool, error) {
	sys := theSystem()
	sys.link = func(old, name string) error {
		return &os.LinkError{Op: "link", Old: old, New: name, Err: syscall.EPERM}
	}
	sys.rename = func(old, name string) error {
		return &os.LinkError{Op: "rename", Old: old, New: name, Err: syscall.ENOSYS}
	}
	return open(ctx, cfg, sys)
}

// OpenOnReadOnlyMedium opens a pool that is told, where nothing can be created,
// that the file system is read-only.
func OpenOnReadOnlyMedium(ctx context.Context, cfg Config) (*Pool, error) {
	sys := theSystem()
	sys.create = func(name string) (*os.File, error) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EROFS}
	}
	return open(ctx, cfg, sys)
}

// Shut closes the connection of a lease behind the pool's back, whether or not the
// lease is over.
func Shut(l *Lease) error { return l.conn.shut() }

// Announced is the number of the last commit that was announced to those who watch.
func Announced(p *Pool) uint64 { return p.watches.hub.Now() }

// Listeners counts the loops of Watch and Changes.
func Listeners(p *Pool) int {
	p.watches.mu.Lock()
	defer p.watches.mu.Unlock()
	return p.watches.users
}

// Distribute has everything that was announced reach those who listen.
func Distribute(p *Pool) { p.watches.hub.Distribute() }

// IsWatched reports that the write lane's connection runs something that the end of a
// context would interrupt.
func IsWatched(p *Pool) bool {
	cl := p.conns.writers().running.call.Load()
	return cl != nil && cl.interruptible()
}
