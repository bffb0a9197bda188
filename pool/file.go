package pool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
	lib "modernc.org/sqlite/lib"
)

// neighbours are what SQLite appends to a database's name for its own files
// (https://www.sqlite.org/tempfiles.html).
var neighbours = [...]string{"-journal", "-wal", "-shm"}

// system is what not every file system can do. Tests have others.
type system struct {
	link, rename naming
	create       func(name string) (*os.File, error)
}

func theSystem() system { return system{link: os.Link, rename: os.Rename, create: createNew} }

// createNew creates a file that its owner alone may read.
func createNew(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

// databaseFile is where the database lies, and by what its file is known again.
type databaseFile struct {
	path      string      // This is the absolute path that Config names; ":memory:" for memory.
	real      string      // SQLite knows the file by this path, and its own files lie beside that.
	dir       string      // The log lies in this directory.
	identity  os.FileInfo // This is the file that was opened.
	entries   []entry     // These names must still lead to it.
	log       logFiles
	moved     atomic.Bool // The path led elsewhere when it was last looked at. Writers and health checks look at the same time.
	immutable bool        // Nobody changes the file: SQLite takes no locks and sees no log.
	system    system
}

// entry is a name, and the file that it led to.
type entry struct {
	name   string
	info   os.FileInfo // It is that of the file to which the name must lead.
	remedy string      // This is to be done if it leads there no more.
}

func newEntry(name, remedy string) (entry, error) {
	info, err := os.Stat(name)
	if err == nil {
		os.SameFile(info, info) // on Windows this reads the file's number, which would be read too late otherwise
	}
	return entry{name, info, remedy}, err
}

// look is an error if the name leads elsewhere now.
func (e *entry) look() error { return sameFile(e.name, e.info) }

var errReplaced = errors.New("another file has its name")

func (p *Pool) memory() bool { return p.cfg.Path == Memory }

// findFile finds the database, and creates it if it is missing.
func (p *Pool) findFile() (err error) {
	if p.path, err = absolute(p.cfg.Path); err != nil {
		return p.fail("open", ErrConfig, err)
	}
	target, err := p.createPrivate()
	if err != nil {
		return p.fail("open", nil, err)
	}
	p.real = target
	if runtime.GOOS == "windows" { // there SQLite's own files lie beside the link
		p.real = p.path
	}
	names := []string{p.real}
	if p.real != p.path { // somebody may have the link lead to a new database
		names = append(names, p.path)
	}
	for _, name := range names {
		e, err := newEntry(name, "move it back, or open a new pool")
		if err != nil {
			return p.fail("open", nil, err)
		}
		p.entries = append(p.entries, e)
	}
	p.identity, p.dir = p.entries[0].info, filepath.Dir(p.real)
	p.immutable = p.cfg.Immutable
	if unread := p.unreadLog(); p.immutable && unread != nil {
		return p.fail("open", ErrConfig, unread, "Immutable would not see what is in it; open the database once where it may be written, and close it")
	}
	return nil
}

// logFiles are the -wal and the -shm. While a connection is open that has read
// the database in WAL mode, SQLite neither deletes nor replaces them, whoever else
// comes and goes; the last one that closes deletes them.
type logFiles struct {
	entries atomic.Pointer[[]entry]     // The first of these connections found the files so; nil while there is none.
	quiet   atomic.Pointer[os.FileInfo] // Their directory had not changed for long when they were looked at; nil if it had.
	again   atomic.Int64                // From this time on, on the pool's clock, it is looked whether it is quiet by now.

	mu    sync.Mutex // It guards users.
	users int        // There are this many such connections.
}

// dirSettles is how long after a change of a directory another one has another
// time for certain; FAT's steps of two seconds are the longest.
const dirSettles = 3 * time.Second

// lookCloser has the next look trust no directory, whose time somebody may have
// set back.
func (l *logFiles) lookCloser() {
	l.quiet.Store(nil)
	l.again.Store(0)
}

// look finds a file of the log that is not where it was. It costs every write
// transaction one look at the directory, whose time changes with its entries, and
// one at each of them where that changes often.
func (l *logFiles) look(dir string, now time.Duration) (*entry, error) {
	entries := l.entries.Load()
	if entries == nil {
		return nil, nil
	}
	then := l.quiet.Load()
	var quiet os.FileInfo
	if then != nil || int64(now) >= l.again.Load() {
		info, err := os.Stat(dir)
		if err == nil && then != nil && os.SameFile(*then, info) && info.ModTime().Equal((*then).ModTime()) {
			return nil, nil
		}
		if err == nil && time.Since(info.ModTime()) > dirSettles {
			quiet = info
		}
		l.again.Store(int64(now + time.Second))
	}
	for i := range *entries {
		if err := (*entries)[i].look(); err != nil {
			if l.entries.Load() != entries { // it went as it should
				return nil, nil
			}
			l.lookCloser()
			return &(*entries)[i], err
		}
	}
	switch {
	case quiet != nil:
		settled := quiet
		l.quiet.Store(&settled)
	case then != nil:
		l.quiet.Store(nil)
	}
	return nil, nil
}

// useLog has a connection read the database, which makes the log's files if they
// are not there, and counts it among those that keep them. The caller holds c.mu.
func (p *Pool) useLog(c *conn, cl *call) error {
	if p.excluding || p.immutable {
		return nil
	}
	if mode, err := c.word(cl, "PRAGMA journal_mode"); err != nil || mode != "wal" {
		return err
	}
	if _, err := c.word(cl, "SELECT CAST(count(*) AS TEXT) FROM sqlite_schema"); err != nil {
		return err
	}
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	if p.log.users == 0 {
		entries := make([]entry, 0, 2)
		for _, suffix := range neighbours[1:] {
			e, err := newEntry(p.real+suffix, "move it back, or close this pool, which saves what is in the log, and open a new one")
			if err == nil {
				entries = append(entries, e)
			} else if !errors.Is(err, fs.ErrNotExist) { // a reader that may not write does without -shm
				return err
			}
		}
		p.log.lookCloser()
		p.log.entries.Store(&entries)
	}
	p.log.users++
	c.usesLog = true
	return p.checkFile("open") // while it was opened they may have been moved
}

// leaveLog counts a connection off before it closes. The caller holds c.mu.
func (p *Pool) leaveLog(c *conn) {
	if !c.usesLog {
		return
	}
	c.usesLog = false
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	if p.log.users--; p.log.users == 0 {
		p.log.entries.Store(nil)
	}
}

// checkFile sees that the database and its log are still the files that were
// opened: SQLite writes on happily after they were unlinked. It looks at the
// directory entries alone, since closing any descriptor of the files would drop
// SQLite's locks.
func (p *Pool) checkFile(op string) error {
	for i := range p.entries {
		if err := p.entries[i].look(); err != nil {
			return p.gone(op, err, &p.entries[i])
		}
	}
	if e, err := p.log.look(p.dir, p.clock()); err != nil {
		return p.gone(op, err, e)
	}
	if p.immutable {
		if err := p.seeUnchanged(); err != nil {
			return p.gone(op, fmt.Errorf("somebody writes it while it is open as immutable: %w", err), &p.entries[0])
		}
	}
	if p.moved.Load() && p.moved.CompareAndSwap(true, false) {
		p.cfg.Logger.Info("the database file is back", "path", p.path)
		p.watches.hub.CommitAnything()
	}
	return nil
}

// seeUnchanged sees that nobody has written the file since it was opened.
func (p *Pool) seeUnchanged() error {
	now, err := os.Stat(p.real)
	if err != nil {
		return err
	}
	if now.Size() != p.identity.Size() || !now.ModTime().Equal(p.identity.ModTime()) {
		return errors.New("its size or time has changed")
	}
	return p.unreadLog()
}

// gone is what checkFile has to say, and it says it once to the log.
func (p *Pool) gone(op string, cause error, e *entry) error {
	if p.moved.CompareAndSwap(false, true) {
		p.cfg.Logger.Error("a file of the database was moved or replaced; writes are refused", "path", p.path, "file", e.name)
		p.watches.hub.CommitAnything() // whoever watches is to know
	}
	return p.fail(op, ErrMoved, cause, e.name, e.remedy)
}

// unreadLog is an error that names the log, or the journal, in which there is
// something that belongs to the database.
func (p *Pool) unreadLog() error {
	for _, suffix := range neighbours[:2] {
		name := p.real + suffix
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case info.Size() > 0 && !(suffix == "-journal" && endedJournal(name)):
			return &fs.PathError{Op: "open beside", Path: name, Err: errors.New("it has content")}
		}
	}
	return nil
}

// endedJournal reports that a journal is one which JournalMode "persist" leaves
// behind: its header is overwritten with zeros. No lock is on a journal, so that
// closing it drops none (https://www.sqlite.org/fileformat2.html#the_rollback_journal).
func endedJournal(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	first := []byte{1}
	_, err = f.Read(first)
	return err == nil && first[0] == 0
}

// mayNotWrite reports that SQLite could not open or make a file that it needs.
func mayNotWrite(err error) bool {
	return hasPrimary(err, lib.SQLITE_READONLY) || hasPrimary(err, lib.SQLITE_CANTOPEN)
}

// tryBeside tries to create a file beside the database, and says why it cannot.
func (p *Pool) tryBeside() error {
	name := p.real + ".trial-" + rand.Text()
	f, err := p.system.create(name)
	if err == nil {
		return errors.Join(f.Close(), os.Remove(name))
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// createPrivate makes a missing database file readable by its owner alone;
// SQLite gives its -wal and -shm the same mode. It returns where the path leads.
// A file that exists is not touched: closing any descriptor of it would drop the
// locks that SQLite holds elsewhere in this process.
func (p *Pool) createPrivate() (target string, err error) {
	info, err := os.Stat(p.path)
	switch {
	case err == nil && info.IsDir():
		return "", &fs.PathError{Op: "open", Path: p.path, Err: errors.New("is a directory; name a file in it")}
	case err != nil && (p.cfg.ReadOnly || !errors.Is(err, fs.ErrNotExist)):
		return "", err
	}
	target, found := realPath(p.path)
	if err == nil || found != nil {
		return target, found
	}
	f, err := createNew(target)
	if errors.Is(err, fs.ErrExist) {
		return target, nil
	}
	if err != nil {
		return "", err
	}
	return target, f.Close()
}

// absolute is filepath.Abs, but that a ".." behind a symbolic link leads where
// the system says, to the parent of the link's target.
func absolute(path string) (string, error) {
	if runtime.GOOS != "windows" && slices.Contains(strings.Split(path, "/"), "..") {
		dir, base := filepath.Split(path)
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			path = filepath.Join(real, base)
		}
	}
	return filepath.Abs(path)
}

// realPath is the path without symbolic links. The file itself may be missing,
// and then so may what the path's last link leads to.
func realPath(path string) (string, error) {
	path, err := absolute(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, filepath.Base(path))
	target, err := os.Readlink(path)
	if err != nil { // it is no link
		return path, nil
	}
	if !filepath.IsAbs(target) {
		target = dir + string(filepath.Separator) + target
	}
	return realPath(target) // a loop would have been another error above
}

// escapeURI writes a path as the path of a file: URI (https://www.sqlite.org/uri.html).
func escapeURI(path string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case sqlite.IsWord(c) && c < 0x80, c == '/', c == '.', c == '-', c == '~':
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
