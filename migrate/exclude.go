package migrate

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// exclude keeps other programs, and goroutines, from migrating the database until
// release, as far as they ask. It reports whether one of them had to be waited for;
// without wait it returns no release then. The lock is SQLite's own, on an empty
// database beside the one that is migrated: it is gone with the process that held
// it. A database that is not a file has none.
func exclude(ctx context.Context, db *sql.DB, wait bool) (release func(), waited bool, err error) {
	var number int
	var schema, path string // the first is main
	if err := db.QueryRowContext(ctx, "PRAGMA database_list").Scan(&number, &schema, &path); err != nil {
		return nil, false, err
	}
	if info, err := os.Stat(path); err != nil || !filepath.IsAbs(path) || !info.Mode().IsRegular() {
		return func() {}, false, nil
	}
	name := fileURI(path+"-migrate") + "?modeof=" + strings.ReplaceAll(url.QueryEscape(path), "+", "%20") // who may use the one may use the other
	path += "-migrate"
	for {
		l, err := openLock(ctx, db.Driver(), name, path)
		if err != nil {
			return nil, waited, err
		}
		held, err := l.take(ctx)
		if held {
			return l.release, waited, nil
		}
		l.close()
		switch {
		case err == nil: // who had it before has deleted the file
		case !isLocked(err):
			return nil, waited, &lockError{path, err}
		case !wait:
			return nil, true, nil
		default:
			waited = true
			if err := pause(ctx); err != nil {
				return nil, waited, &lockError{path, err}
			}
		}
	}
}

// lockError says which file the trouble is with.
type lockError struct {
	path string
	err  error
}

func (e *lockError) Error() string {
	return "waiting for other programs that migrate the database, at " + e.path + ": " + e.err.Error()
}
func (e *lockError) Unwrap() error { return e.err }

// lock is the empty database, open on one connection.
type lock struct {
	path string
	db   *sql.DB
	conn *sql.Conn
}

func openLock(ctx context.Context, d driver.Driver, name, path string) (*lock, error) {
	db := sql.OpenDB(opener{d, name})
	conn, err := db.Conn(ctx)
	if err != nil {
		_ = db.Close()
		return nil, &lockError{path, err}
	}
	return &lock{path, db, conn}, nil
}

// deleted is the version of a lock whose file was deleted while others waited for
// it: the file at its path is another one by now.
const deleted = "1"

// take does not wait. It reports false if the file was deleted.
func (l *lock) take(ctx context.Context) (held bool, err error) {
	for _, statement := range []string{
		"PRAGMA busy_timeout = 0",
		"PRAGMA journal_mode = memory", // no other file is to appear
		"PRAGMA synchronous = off",     // nor need it last
		"BEGIN EXCLUSIVE",
	} {
		if _, err := l.conn.ExecContext(ctx, statement); err != nil {
			return false, err
		}
	}
	var version string
	err = l.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return err == nil && version != deleted, err
}

// release deletes the file, and lets those who have it open know. Where an open file
// cannot be deleted the last one to close it does.
func (l *lock) release() {
	ctx := context.Background()
	end := "ROLLBACK"
	if _, err := l.conn.ExecContext(ctx, "PRAGMA user_version = "+deleted); err == nil && os.Remove(l.path) == nil {
		end = "COMMIT"
	}
	_, _ = l.conn.ExecContext(ctx, end)
	l.close()
	if end == "ROLLBACK" {
		_ = os.Remove(l.path)
	}
}

func (l *lock) close() {
	_ = l.conn.Close()
	_ = l.db.Close()
}

// opener is a driver with a name of its own for what it opens.
type opener struct {
	driver driver.Driver
	name   string
}

func (o opener) Connect(context.Context) (driver.Conn, error) { return o.driver.Open(o.name) }
func (o opener) Driver() driver.Driver                        { return o.driver }

// fileURI writes a path as SQLite reads it (https://www.sqlite.org/uri.html).
func fileURI(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // C:/...
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}
