package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/repo"
)

var errInterrupted = errors.New("interrupted")

// tally counts what a run met. Its fields are added to by many goroutines.
type tally struct {
	files, directories, bytes          atomic.Int64
	added, changed, unchanged, removed atomic.Int64
	unreadable, vanished, tooLong, odd atomic.Int64
}

// entries is how many files and directories were met.
func (n *tally) entries() int64 { return n.files.Load() + n.directories.Load() }

// soFar is what is shown of a run that goes on.
func (n *tally) soFar(took time.Duration) string {
	met := n.entries()
	return fmt.Sprintf("indexing: %s entries, %s a second", humanize.Comma(met), humanize.Comma(int64(float64(met)/took.Seconds())))
}

// indexer is one indexing run.
type indexer struct {
	repo    *repo.Repo
	loses   func(err error) bool // place's
	now     column.Time
	n       tally
	said    io.Writer // what could not be read
	pending stack
}

// index runs the index command: one run, and one row in the log, for each tree.
func index(ctx context.Context, a *app) error {
	var reports []report
	for _, root := range a.args {
		r, err := indexTree(ctx, a, root)
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	return printReports(a, reports)
}

// trees checks the directories before anything is written, and leaves out what
// lies in another one of them.
func trees(a *app) error {
	var roots []string
	for _, arg := range a.args {
		path, err := filepath.Abs(arg)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory; name the one that it lies in", arg)
		}
		roots = append(roots, path)
	}
	slices.Sort(roots)
	a.args = slices.CompactFunc(roots, func(a, b string) bool {
		return a == b || strings.HasPrefix(b, strings.TrimSuffix(a, "/")+"/")
	})
	return nil
}

func indexTree(ctx context.Context, a *app, root string) (report, error) {
	start := time.Now()
	x := &indexer{repo: a.repo, loses: a.at.loses, now: column.At(start), said: a.err}
	a.line.Watch(func() string { return x.n.soFar(time.Since(start)) })
	err := x.walk(ctx, root)
	if err == nil {
		a.line.Doing("adding up the sizes of folders")
		err = x.sumUp(ctx, root)
	}
	a.line.Watch(nil)

	operation := column.Indexed
	switch {
	case ctx.Err() != nil:
		operation, err = column.Cancelled, fmt.Errorf("%w; what was indexed so far is kept", errInterrupted)
	case err != nil:
		operation = column.Failed
	}
	// The log is written even now that the context may be over, but not for long.
	logCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
	defer cancel()
	_, logErr := a.repo.AppendLog(logCtx, gen.AppendLogParams{
		Timestamp: x.now, Operation: operation, Path: encode(root),
		FileCount: x.n.entries(), Duration: time.Since(start),
	})
	if err == nil {
		err = logErr
	}
	return x.report(root, time.Since(start)), err
}

// surely runs fn, and again if its transaction was lost through no fault of its own: all
// that an indexer writes is the same when it is written twice.
func (x *indexer) surely(ctx context.Context, fn func() error) error {
	const enough = 10 // Something else is wrong then.
	for i := 1; ; i++ {
		if err := fn(); err == nil || i == enough || ctx.Err() != nil || !x.loses(err) {
			return err
		}
	}
}

// say tells of what is left out.
func (x *indexer) say(err error) { fmt.Fprintln(x.said, oneLine(err.Error())) }

func isTooLong(err error) bool { return errors.Is(err, syscall.ENAMETOOLONG) }

// walk takes up a tree with many goroutines, each with some directories at a time.
func (x *indexer) walk(ctx context.Context, root string) error {
	top := gen.UpsertDirectoryParams{Path: encode(root), ParentID: x.parentOf(ctx, root)}
	if err := x.surely(ctx, func() error { _, err := x.repo.UpsertDirectory(ctx, top); return err }); err != nil {
		return err
	}
	info, err := os.Lstat(root)
	if err != nil {
		return err
	}
	x.pending.push(folder{path: root, info: info})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, x.pending.close)()
	var workers sync.WaitGroup
	walkers := max(16, 2*runtime.NumCPU()) // those that write at the same time share a commit
	for range walkers {
		workers.Go(func() {
			for {
				dirs, ok := x.pending.pop(walkers)
				if !ok {
					return
				}
				if err := x.directories(ctx, dirs, root); err != nil {
					cancel(err)
				}
				x.pending.done()
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// parentOf returns the id of the directory above, if that is indexed.
func (x *indexer) parentOf(ctx context.Context, dir string) *int64 {
	up, err := x.repo.GetDirectoryByPath(ctx, encode(filepath.Dir(dir)))
	if err != nil || up.Path == encode(dir) {
		return nil
	}
	return &up.ID
}

// sumUp computes the folder sizes of a tree, and of the indexed one around it.
func (x *indexer) sumUp(ctx context.Context, root string) error {
	dir, err := x.repo.GetDirectoryByPath(ctx, encode(root))
	if err != nil {
		return err
	}
	above, err := x.repo.ListAncestors(ctx, dir.ID)
	if err != nil {
		return err
	}
	top := dir.Path
	if len(above) > 0 {
		top = above[len(above)-1].Directory.Path
	}
	return x.surely(ctx, func() error { _, err := x.repo.SetFolderSizes(ctx, top); return err })
}

// directories takes up some directories: what is in them is compared with what is
// known of them, and the difference is written in one transaction for each chunk.
// Concurrent ones share their commits.
func (x *indexer) directories(ctx context.Context, dirs []folder, root string) error {
	const chunk = 500
	var changes []change
	var below []folder
	for i, dir := range dirs {
		more, in, err := x.directory(ctx, dir, dir.path == root)
		if err != nil {
			return err
		}
		changes, below = append(changes, more...), append(below, in...)
		if i < len(dirs)-1 && len(changes) < chunk {
			continue
		}
		for some := range slices.Chunk(changes, chunk) {
			if err := x.apply(ctx, some); err != nil {
				return err
			}
		}
		x.pending.push(below...) // now that they are known
		changes, below = nil, nil
	}
	return nil
}

// directory finds what changed in a directory, and which directories lie in it.
func (x *indexer) directory(ctx context.Context, met folder, isRoot bool) (changes []change, below []folder, err error) {
	dir := met.path
	found, err := entries(met)
	if err != nil {
		return nil, nil, x.unreadable(ctx, dir, isRoot, err)
	}
	var known []gen.ListEntriesRow
	var self gen.Directory
	err = x.surely(ctx, func() error {
		return x.repo.View(ctx, func(ctx context.Context, q repo.Reader) (err error) {
			if self, err = q.GetDirectoryByPath(ctx, encode(dir)); err != nil {
				return err
			}
			known, err = q.ListEntries(ctx, self.ID)
			return err
		})
	})
	if err != nil {
		return nil, nil, err
	}
	changes, below = x.compare(dir, self.ID, found, known)
	if self.PermissionState == column.PermissionDenied {
		err = x.permit(ctx, self.ID, column.PermissionGranted)
	}
	return changes, below, err
}

// permit notes whether a directory could be read.
func (x *indexer) permit(ctx context.Context, id int64, state column.PermissionState) error {
	return x.surely(ctx, func() error {
		_, err := x.repo.SetDirectoryPermission(ctx, gen.SetDirectoryPermissionParams{ID: id, PermissionState: state})
		return err
	})
}

// entries reads a directory, if it is still the one that was met. A link that was
// put in its place meanwhile, or in that of one above it, may lead out of the
// tree.
func entries(dir folder) ([]fs.DirEntry, error) {
	root, err := os.OpenRoot(dir.path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(".")
	if err != nil {
		return nil, err
	}
	if !os.SameFile(info, dir.info) {
		return nil, &fs.PathError{Op: "open", Path: dir.path, Err: fs.ErrNotExist}
	}
	f, err := root.Open(".") // so what is in it is looked up in it, and not by its path
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := f.ReadDir(-1)
	slices.SortFunc(found, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return found, err
}

// compare finds what changed in a directory, and which directories lie in it.
func (x *indexer) compare(dir string, id int64, found []fs.DirEntry, known []gen.ListEntriesRow) (changes []change, below []folder) {
	before := make(map[string]gen.ListEntriesRow, len(known))
	for _, row := range known {
		before[row.Path] = row
	}
	for _, f := range found {
		path := filepath.Join(dir, f.Name())
		entry, info, ok := x.describe(id, path, f)
		old, had := before[entry.Path]
		if !ok { // it is there but tells nothing, or has vanished just now
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				delete(before, entry.Path)
			}
			continue
		}
		delete(before, entry.Path)
		if entry.IsDirectory {
			below = append(below, folder{path: path, info: info})
		}
		switch {
		case !had:
			changes = append(changes, change{entry: entry, isNew: true})
		case old.IsDirectory == entry.IsDirectory && old.Size != nil && *old.Size == entry.Size && old.DateModified.UnixNano() == entry.DateModified:
			x.n.unchanged.Add(1)
		default:
			changes = append(changes, change{entry: entry, subtree: old.IsDirectory && !entry.IsDirectory})
		}
	}
	for path, row := range before {
		changes = append(changes, change{remove: row.ID, subtree: row.IsDirectory, entry: fileRow{Path: path}})
	}
	return changes, below
}

// describe makes the row of an entry. Its path is right even if ok is false.
func (x *indexer) describe(directory int64, path string, f fs.DirEntry) (entry fileRow, info fs.FileInfo, ok bool) {
	entry.Path = encode(path)
	info, err := f.Info()
	if err == nil && len(path) > 1000 { // it may be longer than the system takes
		_, err = os.Lstat(path)
	}
	if err != nil {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			x.n.vanished.Add(1)
		case isTooLong(err):
			x.n.tooLong.Add(1)
			x.say(err)
		default:
			x.n.unreadable.Add(1)
			x.say(err)
		}
		return entry, nil, false
	}
	entry.DirectoryID = directory
	entry.Name = encode(f.Name())
	if entry.Name != f.Name() {
		x.n.odd.Add(1)
	}
	entry.NameLower = strings.ToLower(entry.Name)
	entry.IsDirectory = f.IsDir()
	if entry.IsDirectory {
		x.n.directories.Add(1)
	} else {
		entry.Extension = strings.TrimPrefix(filepath.Ext(entry.NameLower), ".")
		entry.Size = info.Size()
		x.n.files.Add(1)
		x.n.bytes.Add(entry.Size)
	}
	// Go's portable interface does not tell when a file was made; the first
	// modification time seen is the best guess, and it stays.
	entry.DateModified = moment(info.ModTime())
	entry.DateCreated, entry.IndexedAt = entry.DateModified, x.now.UnixNano()
	entry.CloudProvider, entry.CloudStatus = column.NoCloud, column.Local
	return entry, info, true
}

// moment is a file's time in nanoseconds since 1970, as near as the database can
// hold it.
func moment(t time.Time) int64 {
	earliest, latest := time.Unix(0, -1<<63+1), time.Unix(0, 1<<63-1)
	if t.Before(earliest) {
		t = earliest
	} else if t.After(latest) {
		t = latest
	}
	return t.UnixNano()
}

// apply writes changes in one transaction. It may run more than once, and counts
// when it is sure.
func (x *indexer) apply(ctx context.Context, changes []change) error {
	b, err := newBatch(changes)
	if err != nil {
		return err
	}
	if err := x.surely(ctx, func() error { return x.repo.Batch(ctx, b.write) }); err != nil {
		return err
	}
	for _, c := range changes {
		switch {
		case c.remove != 0:
			x.n.removed.Add(1)
		case c.isNew:
			x.n.added.Add(1)
		default:
			x.n.changed.Add(1)
		}
	}
	return nil
}

// unreadable counts a directory that could not be read. What is known of it
// stays, unless it has vanished.
func (x *indexer) unreadable(ctx context.Context, dir string, isRoot bool, err error) error {
	self, known := x.repo.GetDirectoryByPath(ctx, encode(dir))
	if known != nil {
		return known
	}
	if errors.Is(err, fs.ErrNotExist) && !isRoot {
		x.n.vanished.Add(1)
		x.n.directories.Add(-1)
		entry, err := x.repo.GetFileByPath(ctx, encode(dir))
		if err != nil {
			return err
		}
		return x.apply(ctx, []change{{remove: entry.ID, subtree: true, entry: fileRow{Path: encode(dir)}}})
	}
	if isRoot {
		return err
	}
	x.say(err)
	if isTooLong(err) {
		x.n.tooLong.Add(1)
		return nil
	}
	x.n.unreadable.Add(1)
	return x.permit(ctx, self.ID, column.PermissionDenied)
}
