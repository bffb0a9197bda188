package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/nodes"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pool/debug"
)

// place is where an index is: in a file, or on a cluster. It is opened once.
type place interface {
	// open opens the index for a command.
	open(ctx context.Context, cmd command) (store, error)
	// stats are the figures of what was opened, also after it was closed, and what they
	// are of.
	stats() (title string, figures any)
	// debug is the page of what goes on in there; nil if there is none.
	debug() http.Handler
	// explain says what an error means for the user; "" if it has nothing to say of it.
	explain(err error) string
	// passes reports an error of Watch that goes away by itself, or when somebody mends it.
	passes(err error) bool
	// loses reports an error of a transaction after which it may run again: what the program
	// writes may be written twice.
	loses(err error) bool
	// String is what the place is called.
	String() string
}

// store is an index that is open.
type store interface {
	pool.Store
	DB() *sql.DB
	Close() error
}

// where is what the command line says of the place.
type where struct {
	db, cluster, database string
	security              nodes.Security
}

func (w *where) flags(to *flag.FlagSet) {
	to.StringVar(&w.db, "db", "", "")
	to.StringVar(&w.cluster, "cluster", "", "")
	to.StringVar(&w.database, "database", "", "")
	w.security.Flags(to)
}

// place is the one that is meant, with connections that are configured so, or what is
// wrong with the command line.
func (w *where) place(cfg pool.Config) (place, error) {
	if w.cluster == "" {
		if w.database != "" || w.security != (nodes.Security{}) {
			return nil, errors.New("-database, -plaintext and the -tls flags are for -cluster")
		}
		return newFile(cfg, w.db)
	}
	if w.db != "" {
		return nil, errors.New("-db and -cluster exclude each other: the index is in a file or on a cluster, where -database names it")
	}
	members, err := nodes.Addresses(w.cluster)
	if err != nil {
		return nil, fmt.Errorf("-cluster: %w", err)
	}
	if err := w.security.Check(); err != nil {
		return nil, err
	}
	return newCluster(cfg, members, w.database, &w.security), nil
}

// file is an index in a file.
type file struct {
	cfg  pool.Config // but for what the command says
	path string
	pool *pool.Pool // nil until it is open
}

// newFile is one in the user's cache directory if there is no path.
func newFile(cfg pool.Config, path string) (*file, error) {
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("%w: name the database with -db", err)
		}
		path = filepath.Join(cache, "fileindex", "index.db")
	}
	return &file{cfg: cfg, path: path}, nil
}

func (f *file) String() string { return f.path }

func (f *file) open(ctx context.Context, cmd command) (store, error) {
	if cmd.writes {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return nil, fmt.Errorf("%w; name another database with -db", err)
		}
	} else if _, err := os.Stat(f.path); err != nil {
		return nil, fmt.Errorf("there is no index at %s; make one with fileindex index", f.path)
	}
	cfg := f.cfg
	cfg.Path, cfg.ReadOnly = f.path, !cmd.writes
	if cmd.quiet {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if f.pool, err = pool.Open(ctx, cfg); err != nil {
		return nil, err
	}
	return f.pool, nil
}

func (f *file) stats() (string, any) { return "the connection pool:", f.pool.Stats() }

func (f *file) passes(err error) bool { return errors.Is(err, pool.ErrMoved) }

func (f *file) loses(error) bool { return false }

func (f *file) debug() http.Handler { return debug.Pool(f.pool) }

func (f *file) explain(err error) string {
	switch {
	case pool.IsFull(err):
		return fmt.Sprintf("the disk is full, %s could not grow; what was indexed before is kept", f)
	case errors.Is(err, pool.ErrMoved):
		return fmt.Sprintf("%s was moved or replaced; move it back, or run this again with what is there now", f)
	case errors.Is(err, pool.ErrReadOnly):
		return fmt.Sprintf("%s cannot be written; give it write permission or name another with -db", f)
	case cannotOpen(err):
		return fmt.Sprintf("%s cannot be opened; see its permissions and its directory's, or name another with -db", f)
	case errors.Is(err, pool.ErrBusy):
		return fmt.Sprintf("%s is locked by another program; try again when that has finished", f)
	case pool.IsCorrupt(err):
		return fmt.Sprintf("%s is damaged or no database; name another with -db, or delete it if it was an index, and index again", f)
	}
	return ""
}

// cannotOpen is SQLITE_CANTOPEN, or what the pool says when it makes the file.
func cannotOpen(err error) bool {
	code, ok := pool.Code(err)
	var e *pool.Error
	return ok && code&0xff == 14 || errors.As(err, &e) && errors.Is(err, fs.ErrPermission)
}

// cluster is an index on a cluster of dqlite nodes.
type cluster struct {
	cfg      dqlite.Config // but for TLS
	security *nodes.Security
	store    *dqlite.Store // nil until it is open
}

// newCluster is waited for, and watched, as a pool of such a Config would be.
func newCluster(cfg pool.Config, members []string, database string, security *nodes.Security) *cluster {
	return &cluster{security: security, cfg: dqlite.Config{
		Members: members, Database: cmp.Or(database, "fileindex.db"), Plaintext: security.Plaintext,
		MaxConns: cfg.MaxConns, AcquireTimeout: cfg.AcquireTimeout, BusyTimeout: cfg.BusyTimeout, WatchInterval: cfg.WatchInterval,
	}}
}

func (c *cluster) String() string { return c.cfg.Database + " on " + c.members() }

func (c *cluster) members() string { return strings.Join(c.cfg.Members, ",") }

func (c *cluster) open(ctx context.Context, _ command) (_ store, err error) {
	cfg := c.cfg
	if cfg.TLS, err = c.security.TLS(); err != nil {
		return nil, err
	}
	if c.store, err = dqlite.Open(ctx, cfg); err != nil {
		return nil, err
	}
	return c.store, nil
}

func (c *cluster) stats() (string, any) { return "the cluster's connections:", c.store.Stats() }

func (c *cluster) passes(err error) bool {
	return errors.Is(err, dqlite.ErrNoQuorum) || errors.Is(err, pool.ErrTxLost)
}

func (c *cluster) loses(err error) bool {
	return errors.Is(err, dqlite.ErrCommitUnknown) || errors.Is(err, pool.ErrTxLost)
}

func (c *cluster) debug() http.Handler { return nil }

func (c *cluster) explain(err error) string {
	switch {
	case errors.Is(err, pool.ErrConfig):
		return "" // it says that itself
	case errors.Is(err, dqlite.ErrCommitUnknown):
		return "the cluster's leader was lost during a commit, and nobody knows whether that took place; run this again, which takes up what is missing"
	case errors.Is(err, dqlite.ErrNoQuorum):
		return fmt.Sprintf("the cluster has no leader, or none within reach: %s; most of its nodes must run, and sqlane cluster status %s tells which do", nodes.Why(err), c.members())
	case errors.Is(err, pool.ErrTxLost):
		return "the cluster's leader was lost in the midst; run this again"
	case errors.Is(err, pool.ErrBusy):
		return fmt.Sprintf("another program writes to %s; try again when that has finished", c)
	}
	return ""
}
