package pool

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/sqlane/sqlane/internal/lane"
)

// backupPages are copied at a time: between them the context is looked at and
// progress is told.
const backupPages = 256

// Backup copies the database, as it is at one moment, to a new file at path,
// while others go on reading and writing; outside WAL mode, and in memory,
// writers wait until it is done. The Tracer sees an operation named "backup" for
// every step. The file appears when it is whole and on disk, readable by its
// owner alone. A path that exists already, the database's own among them, is
// fs.ErrExist; so is one beside which there is a -wal, -shm or -journal, since
// SQLite would take that for the new file's. If ctx ends nothing is left behind; a
// crash leaves a file named path.partial- and more.
//
// Nothing is ever overwritten. Where the file system knows no hard links the name
// is taken by an empty file first, for the moment that it takes to rename the copy
// over it.
//
// See https://www.sqlite.org/backup.html.
func (p *Pool) Backup(ctx context.Context, path string) error {
	if err := p.given("backup", ctx, true); err != nil {
		return err
	}
	if err := p.backup(ctx, path); err != nil {
		return p.fail("backup", nil, err)
	}
	return nil
}

func (p *Pool) backup(ctx context.Context, path string) (err error) {
	path, err = absolute(path)
	if err != nil {
		return err
	}
	if p.excludes() { // it waits for the writer, which may be the caller
		if err := p.wouldDeadlock(ctx, new(conn), lane.Shared); err != nil {
			return err
		}
	}
	if err := refuseTaken(path); err != nil {
		return err
	}
	if err := p.refuseOwnFile(path); err != nil {
		return err
	}
	partial := path + ".partial-" + rand.Text()
	f, err := createNew(partial)
	if err != nil {
		return err
	}
	defer func() {
		for _, suffix := range append(neighbours[:], "", trial) {
			if removed := os.Remove(partial + suffix); !errors.Is(removed, fs.ErrNotExist) {
				err = errors.Join(err, removed)
			}
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	giveName, err := p.learnNaming(partial)
	if err != nil {
		return err
	}
	// The snapshot lasts as long as the transaction; without one every commit
	// would make the copy start anew.
	h := holder{ctx: ctx}
	h.depth = runtime.Callers(3, h.frames(p, 1))
	err = p.snapshot(ctx, func(ctx context.Context, tx *Tx) error { return tx.copyTo(ctx, partial) }, &h)
	if err != nil {
		return err
	}
	if err := syncFile(partial); err != nil {
		return err
	}
	if err := refuseTaken(path); err != nil { // somebody was faster
		return err
	}
	if err := giveName(partial, path); errors.Is(err, fs.ErrExist) {
		return &fs.PathError{Op: "backup to", Path: path, Err: fs.ErrExist}
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// refuseTaken refuses a name that exists, and one beside which something lies
// that SQLite would take for the file's own: it replays a log or a journal into
// the file that it finds, and trusts a -shm that somebody still has open.
func refuseTaken(path string) error {
	if err := refuseExisting("backup to", path); err != nil {
		return err
	}
	for _, suffix := range neighbours {
		err := refuseExisting("backup to "+path+" beside", path+suffix)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w; SQLite would take it for the backup's own: remove it if nobody uses it, or choose another name", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func refuseExisting(op, path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return &fs.PathError{Op: op, Path: path, Err: fs.ErrExist}
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// refuseOwnFile refuses the names that SQLite itself uses beside a database,
// this one or another: it would delete a copy there, or take it for something
// else.
func (p *Pool) refuseOwnFile(path string) error {
	target, err := realPath(path)
	if err != nil {
		return nil // creating it will tell why
	}
	for _, suffix := range neighbours {
		database, is := strings.CutSuffix(target, suffix)
		if !is {
			continue
		}
		if _, err := os.Lstat(database); err == nil || database == p.real {
			return &fs.PathError{Op: "backup to", Path: path, Err: fmt.Errorf("this name is SQLite's own, beside %s; choose another", database)}
		}
	}
	return nil
}

// naming gives a file another name.
type naming func(partial, path string) error

// trial is what the partial file is called for a moment.
const trial = ".trial"

// learnNaming finds out how the copy can be given its name, before there is one.
// Unlike a rename, a link fails if somebody was faster; but FAT, exFAT and many
// network and FUSE file systems have none.
func (p *Pool) learnNaming(partial string) (naming, error) {
	if p.system.link(partial, partial+trial) == nil {
		return p.system.link, os.Remove(partial + trial)
	}
	if err := p.system.rename(partial, partial+trial); err != nil {
		return nil, err
	}
	return p.system.reserveAndRename, p.system.rename(partial+trial, partial)
}

// reserveAndRename takes the name with an empty file, which fails if somebody was
// faster, and renames over that, which replaces a file on every system. The name
// is taken as late as can be: until the rename it leads to an empty database, and
// after a crash in between it still does.
func (s system) reserveAndRename(partial, path string) error {
	f, err := createNew(path)
	if err != nil {
		return err
	}
	own, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := refuseOther(own, path); err != nil {
		return err
	}
	if err := s.rename(partial, path); err != nil {
		if refuseOther(own, path) == nil {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}
	return nil
}

// refuseOther refuses a path that leads to another file than our own empty one.
func refuseOther(own os.FileInfo, path string) error {
	now, err := os.Lstat(path)
	if err == nil && (!os.SameFile(own, now) || now.Size() > 0) {
		err = fs.ErrExist
	}
	return err
}

// copyTo copies the transaction's snapshot into the file.
func (t *Tx) copyTo(ctx context.Context, path string) (err error) {
	var pages int
	if err := t.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil { // begins the snapshot
		return err
	}
	c := t.conn
	if err := c.beginCopy(new(t.call(ctx)), path); err != nil {
		return err
	}
	defer func() {
		c.mu.Lock()
		err = errors.Join(err, c.endCopy())
		c.mu.Unlock()
	}()
	for more, done := true, 0; more; {
		_, span := t.pool.trace(ctx, TraceOp{Name: "backup", Done: done, Total: pages})
		more, done, err = c.copyPages(new(t.call(ctx)))
		span.finish(err)
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) beginCopy(cl *call, path string) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(cl); err != nil {
		return err
	}
	c.copying, err = c.db.Driver().NewBackup("file:" + escapeURI(path) + "?mode=rw")
	return err
}

// endCopy must come before the connection closes. The caller holds mu.
func (c *conn) endCopy() error {
	if c.copying == nil {
		return nil
	}
	copying := c.copying
	c.copying = nil
	return copying.Finish()
}

// copyPages copies some pages, unless the transaction is over.
func (c *conn) copyPages(cl *call) (more bool, done int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(cl); err != nil {
		return false, 0, err
	}
	if more, err = c.copying.Step(backupPages); err != nil {
		return false, 0, c.meaning(cl, err)
	}
	return more, c.copying.PageCount() - c.copying.Remaining(), nil
}

func syncFile(path string) error {
	flag := os.O_RDONLY
	if runtime.GOOS == "windows" { // it syncs nothing that is open for reading alone
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncDir makes a new name last. Not every system can do that for a directory,
// and SQLite does without it there, too.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if runtime.GOOS == "windows" || errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, f.Close())
}
