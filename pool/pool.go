package pool

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sqlane/sqlane/internal/bridge"
)

// Pool is a set of connections to one SQLite database. It is safe for
// concurrent use. Open makes it: what a nil *Pool or the zero Pool is asked is
// fs.ErrInvalid, and so is a nil context or function; they count and hold nothing.
type Pool struct {
	cfg          Config
	databaseFile // Its fields are the pool's own, since nearly everything names the path.
	*lanes       // So are these: every statement passes them.
	source       source
	conns        *conns
	counts       counts
	tallies      tallies
	batching     batching
	bridge       *bridge.Bridge // Rows that were read become database/sql's type here.
	face         face
	watcher      *watcher
	logSync      *logSync // It is nil if there is nothing to sync early.
	watches      watches
	maintenance  maintenance
	bell         bell // It asks maintenance for a round.
	ending       ending
	opened       time.Time // The pool's clock began at this time.
}

// Open opens the database, creating it if it is missing, and returns its pool.
// ctx is for opening alone. A faulty configuration is ErrConfig.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	return open(ctx, cfg, theSystem())
}

// Name is Config.Name, by which metrics tell pools apart. Pools that a [Registry] has
// at one time have names of their own: it puts a number behind a name that is taken.
func (p *Pool) Name() string {
	if !p.isOpen() {
		return ""
	}
	return p.cfg.Name
}

func open(ctx context.Context, cfg Config, sys system) (*Pool, error) {
	if ctx == nil {
		return nil, errNoContext("open", cfg.Path)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	cfg.Name = cmp.Or(cfg.Name, cfg.Path)
	p := &Pool{
		cfg:          cfg,
		databaseFile: databaseFile{path: cfg.Path, system: sys},
		lanes:        newLanes(cfg),
		source:       source{turn: make(chan struct{}, 1)},
		batching:     batching{maxTime: maxBatchTime},
		bridge:       bridge.New(),
		bell:         newBell(),
		ending:       ending{forced: make(chan struct{})},
		opened:       time.Now().Add(-1), // so that the clock is never at 0, which means that nobody knows
	}
	p.watches.init(p)
	p.conns = newConns(cfg, &p.counts, p.bell)
	p.cfg.Logger = slog.New(logHandler{cfg.Logger.Handler(), p})
	if err := p.openFirst(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

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

	first, err := p.connect(ctx, firstConnection, false)
	if mayNotWrite(err) && !p.memory() && !p.immutable {
		first, err = p.openUnwritable(ctx, err)
	}
	if err != nil {
		return errors.Join(err, p.Close())
	}
	p.conns.add(first, p.write != nil)
	for range p.cfg.MinConns - 1 {
		c, err := p.connect(ctx, laterConnection, false)
		if err != nil {
			return errors.Join(err, p.Close())
		}
		p.conns.add(c, false)
	}
	p.startLogSync()
	p.startMaintenance()
	return nil
}
