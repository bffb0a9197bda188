package pool

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/sqlite"
	modernc "modernc.org/sqlite"
)

// Pool is a set of connections to one SQLite database. It is safe for
// concurrent use.
type Pool struct {
	cfg       Config
	path      string // absolute; ":memory:" for memory
	real      string // path as SQLite knows it: its own files lie beside that
	immutable bool   // nobody changes the file: SQLite takes no locks and sees no log
	excluding bool   // readers and the writer exclude each other: no WAL

	read    *lane.Lane           // of MaxConns-1 connections; nil if one connection serves all
	write   *lane.Lane           // whose exclusive lock is the write slot; nil if read-only
	waiting *lane.Waiters        // of both lanes together
	writer  atomic.Pointer[conn] // who holds the write slot

	factory         driver.Connector // of the driver's connections
	bridge          *bridge.Bridge   // to database/sql's types, for rows that were read
	anchor          driver.Conn      // keeps a database in memory alive; nil for files
	opening         chan struct{}    // holds one token: connections are opened one at a time
	watcher         *watcher
	logSync         *logSync     // nil if there is nothing to sync early
	maintenance     *maintenance // nil until the first connection is open
	identity        os.FileInfo  // of the file that was opened
	entries         []entry      // what must still lead to it
	dir             string       // where the log lies
	log             logFiles
	system          system
	batchTime       time.Duration     // maxBatchTime, but for tests
	opened          time.Time         // when the pool's clock began
	builtin         map[string]bool   // SQLite's own functions, of which the first connection told; nothing is added later
	own             map[string]string // what connections are set to, as the first one was; nothing is added later
	callsProgram    bool              // the schema may call the program's functions
	unwritable      bool              // SQLite could open the file for reading alone, and so it opens all connections
	resting         atomic.Bool       // maintenance sleeps for long, since nothing goes on
	wrote           atomic.Bool       // since the log was last looked at
	lastBatchShared atomic.Bool       // the last batch had several members
	moved           atomic.Bool       // the path led elsewhere when it was last looked at
	attaching       atomic.Bool       // OnConnect attaches what makes readers and the writer exclude each other
	counts          counts

	interrupting atomic.Bool   // patience is over: every statement is interrupted
	hurry        chan struct{} // closed then
	drained      chan struct{} // closed when the pool is closing and no lease is left
	finish       sync.Once
	finishErr    error
	closed       atomic.Bool // everything is

	mu         sync.Mutex         // guards what follows; nothing is opened, closed or run while it is held
	conns      map[*conn]struct{} // all that are at work or ready for it
	idle       []*conn            // of the read lane, the one used last at the end
	primary    *conn              // the write lane's; nil while it has none
	pending    int                // connections that are being opened for the read lane
	shrunk     error              // why the read lane has fewer connections than it may; nil if it need not
	setting    *conn              // being set up, under the token of opening
	calling    time.Duration      // since when OnConnect does that, on the pool's clock; 0: it does not
	spare      *conn              // open, to take a leased one's place
	retired    []*conn            // out of work, to be closed
	generation uint64             // counts Reset
	leases     int
	face       *facade            // what DB gave out; nil if that was closed
	apart      map[*conn]*session // connections that carry the state of a *sql.DB
	closing    bool
}

// Open opens the database, creating it if it is missing, and returns its pool.
// ctx is for opening alone. A faulty configuration is ErrConfig.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	return open(ctx, cfg, theSystem())
}

func open(ctx context.Context, cfg Config, sys system) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	p := &Pool{
		cfg:     cfg,
		path:    cfg.Path,
		waiting: &lane.Waiters{Limit: cfg.MaxWaiters},
		opening: make(chan struct{}, 1),
		hurry:   make(chan struct{}),
		drained: make(chan struct{}),
		conns:   make(map[*conn]struct{}),
		apart:   make(map[*conn]*session),
		opened:  time.Now(),

		batchTime: maxBatchTime,
		bridge:    bridge.New(),
		system:    sys,
	}
	p.cfg.Logger = slog.New(logHandler{cfg.Logger.Handler(), p})
	switch {
	case cfg.ReadOnly:
		p.read = lane.New(cfg.MaxConns, p.waiting)
	case cfg.MaxConns == 1:
		p.write = lane.New(lane.NoLimit, p.waiting)
	default:
		p.read, p.write = lane.New(cfg.MaxConns-1, p.waiting), lane.New(lane.NoLimit, p.waiting)
	}
	// With one connection too: its successor opens beside it.
	p.excluding = !cfg.ReadOnly && (p.memory() || cfg.JournalMode != "wal")
	if err := p.openFirst(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Pool) memory() bool { return p.cfg.Path == Memory }

// clock is the time since the pool began to open: half as dear as time.Now, and
// no concern of the wall clock.
func (p *Pool) clock() time.Duration { return time.Since(p.opened) }

// openFirst finds the database and opens the connection that stays.
func (p *Pool) openFirst(ctx context.Context) (err error) {
	if !p.memory() {
		if err := p.findFile(); err != nil {
			return err
		}
	}
	if err := p.makeFactory(ctx); err != nil {
		return err
	}
	p.watcher = newWatcher(p)

	first, err := p.connect(ctx, journalSet, false)
	if mayNotWrite(err) && !p.memory() && !p.immutable {
		first, err = p.openUnwritable(ctx, err)
	}
	if err != nil {
		return errors.Join(err, p.Close())
	}
	p.park(first, p.write != nil)
	for range p.cfg.MinConns - 1 {
		c, err := p.connect(ctx, journalVerified, false)
		if err != nil {
			return errors.Join(err, p.Close())
		}
		p.park(c, false)
	}
	p.startLogSync()
	p.startMaintenance()
	return nil
}

// makeFactory makes what connections come from.
func (p *Pool) makeFactory(ctx context.Context) error {
	dsn := "file:/sqlane-" + rand.Text() + "?vfs=memdb&_defensive=1"
	if !p.memory() {
		dsn = "file:" + escapeURI(p.real) + "?_defensive=1&mode=" // rw: never a new file in the place of one that went
		switch {
		case p.immutable:
			dsn += "ro&immutable=1"
		case p.cfg.ReadOnly:
			dsn += "ro"
		default:
			dsn += "rw"
		}
	}
	var err error
	if p.factory, err = modernc.NewConnector(dsn); err != nil {
		return p.fail("open", ErrConfig, err)
	}
	if p.memory() {
		if p.anchor, err = p.factory.Connect(ctx); err != nil {
			return p.fail("open", nil, err)
		}
	}
	return nil
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

// park makes an open connection available.
func (p *Pool) park(c *conn, primary bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	if primary {
		p.primary = c
	} else {
		p.idle = append(p.idle, c)
	}
	p.dropSurplusLocked()
}

// fail makes the pool's error out of a sentinel, a cause and details for people.
func (p *Pool) fail(op string, sentinel, cause error, details ...string) error {
	if sentinel == ErrConflict {
		p.counts.conflicts.Add(1)
	}
	return &Error{Op: op, Path: p.path, Err: sentinel, Cause: cause, detail: strings.Join(details, "; ")}
}
