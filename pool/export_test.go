package pool

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// TakeAnyTime has batches go on for as long as somebody waits to join: a slow
// machine would end them early.
func TakeAnyTime(p *Pool) { p.batching.maxTime = time.Hour }

// MaintenanceWaits reports that maintenance waits for its turn to open a connection,
// or in a lane. Stats does not count that.
func MaintenanceWaits(p *Pool) bool { return p.waiting.Uncounted() > 0 }

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
