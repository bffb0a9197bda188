package pool

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// backupPages are copied at a time: between them the context is looked at and
// progress is told.
const backupPages = 256

// Backup copies the database, as it is at one moment, to a new file at path,
// while others go on reading and writing; outside WAL mode, and in memory,
// writers wait until it is done. The Tracer sees an operation named "backup" for
// every step. The file appears when it is whole and on disk, readable by its
// owner alone; a path that exists already, the database's own among them, is
// fs.ErrExist. If ctx ends nothing is left behind.
//
// See https://www.sqlite.org/backup.html.
func (p *Pool) Backup(ctx context.Context, path string) error {
	if err := p.backup(ctx, path); err != nil {
		return p.fail("backup", nil, err)
	}
	return nil
}

func (p *Pool) backup(ctx context.Context, path string) (err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return err
	}
	if p.excludes() { // it waits for the writer, which may be the caller
		if err := p.wouldDeadlock(ctx, new(conn), shared); err != nil {
			return err
		}
	}
	exists := &fs.PathError{Op: "backup to", Path: path, Err: fs.ErrExist}
	if _, err := os.Lstat(path); err == nil {
		return exists
	}
	if err := p.refuseOwnFile(path); err != nil {
		return err
	}
	partial := path + ".partial-" + rand.Text()
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
			if removed := os.Remove(partial + suffix); !errors.Is(removed, fs.ErrNotExist) {
				err = errors.Join(err, removed)
			}
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	// The snapshot lasts as long as the transaction; without one every commit
	// would make the copy start anew.
	err = p.snapshot(ctx, func(ctx context.Context, tx *Tx) error { return tx.copyTo(ctx, partial) })
	if err != nil {
		return err
	}
	if err := syncFile(partial); err != nil {
		return err
	}
	// Unlike a rename, a link fails if somebody was faster.
	if err := os.Link(partial, path); errors.Is(err, fs.ErrExist) {
		return exists
	} else if err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

// refuseOwnFile refuses the names that SQLite itself uses beside the database
// (https://www.sqlite.org/tempfiles.html): it would delete a copy there, or take
// it for something else.
func (p *Pool) refuseOwnFile(path string) error {
	if p.memory() {
		return nil
	}
	own, err := realPath(p.path)
	if err != nil {
		return err
	}
	target, err := realPath(path)
	if err != nil {
		return nil // creating it will tell why
	}
	for _, suffix := range []string{"-journal", "-wal", "-shm"} {
		if target == own+suffix {
			return &fs.PathError{Op: "backup to", Path: path, Err: errors.New("this name is SQLite's own; choose another")}
		}
	}
	return nil
}

// copyTo copies the transaction's snapshot into the file.
func (t *Tx) copyTo(ctx context.Context, path string) (err error) {
	var pages int
	if err := t.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil { // begins the snapshot
		return err
	}
	c := t.conn
	if err := c.beginCopy(t.call(ctx), path); err != nil {
		return err
	}
	defer func() {
		c.mu.Lock()
		err = errors.Join(err, c.endCopy())
		c.mu.Unlock()
	}()
	for more, done := true, 0; more; {
		_, span := t.pool.trace(ctx, TraceOp{Name: "backup", Done: done, Total: pages})
		more, done, err = c.step(t.call(ctx))
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
	c.copying, err = c.raw.NewBackup("file:" + escapeURI(path) + "?mode=rw")
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

// step copies some pages, unless the transaction is over.
func (c *conn) step(cl *call) (more bool, done int, err error) {
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
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
