package pool

import (
	"context"
	crand "crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	modernc "modernc.org/sqlite"
)

// source is what connections come from, and what the first one told of all. What
// it told does not change any more.
type source struct {
	factory      driver.Connector  // The driver's connections come from here.
	anchor       driver.Conn       // It keeps a database in memory alive; nil for files.
	turn         chan struct{}     // It holds a token while a connection is opened, so that none is beside it.
	unwritable   bool              // SQLite could open the file for reading alone, and opens it so every time.
	callsProgram bool              // The schema may call the program's functions.
	builtin      map[string]bool   // These functions are SQLite's own.
	settings     map[string]string // Every connection is set to this.
}

// order says whether a connection is the pool's first one, which sets what is the
// file's own and tells of the others.
type order bool

const (
	laterConnection order = false
	firstConnection order = true
)

// makeFactory makes what connections come from.
func (p *Pool) makeFactory(ctx context.Context) error {
	dsn := "file:/sqlane-" + crand.Text() + "?vfs=memdb&_defensive=1"
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
	if p.source.factory, err = modernc.NewConnector(dsn); err != nil {
		return p.fail("open", ErrConfig, err)
	}
	if p.memory() {
		if p.source.anchor, err = p.source.factory.Connect(ctx); err != nil {
			return p.fail("open", nil, err)
		}
	}
	return nil
}

// connect opens a connection and sets it up like every other. It is not yet
// among the pool's. slotHeld is true if the caller holds the write slot already.
func (p *Pool) connect(ctx context.Context, order order, slotHeld bool) (*conn, error) {
	// Another process that opens or closes the file just now passes quickly.
	wait := newBusyWait(max(p.cfg.BusyTimeout, time.Second))
	for {
		c, err := p.connectInTurn(ctx, order, slotHeld)
		if err == nil {
			p.counts.created.Add(1)
			return c, nil
		}
		if !IsBusy(err) {
			return nil, p.fail("open", nil, err)
		}
		if stop := wait.pause(ctx, p.ending.forced); stop != nil {
			if errors.Is(stop, errWaitedEnough) {
				return nil, p.fail("open", nil, err)
			}
			return nil, p.fail("open", nil, stop)
		}
	}
}

// connectInTurn opens one connection at a time. Setting up reads the schema, and
// so takes its turn with the writer where that excludes readers: before the turn
// to open, since a writer that needs a connection waits for that with the slot
// in its hands.
func (p *Pool) connectInTurn(ctx context.Context, order order, slotHeld bool) (_ *conn, err error) {
	reads := p.excludes() && !slotHeld
	if reads {
		if err := p.wouldDeadlock(ctx, new(conn), lane.Shared); err != nil {
			return nil, err
		}
		if err := p.lockToRead(ctx, nil); err != nil {
			return nil, p.waitFailed(ctx, "open", err)
		}
	}
	var c *conn
	ready := false
	defer func() {
		switch {
		case ready:
		case c != nil: // or OnConnect panics
			err = errors.Join(err, c.shut())
		case reads:
			p.write.Unlock(lane.Shared)
		}
	}()
	if err := p.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer func() {
		p.conns.endSetup()
		<-p.source.turn
	}()
	if c, err = p.connectOnce(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock() // the lock is the connection's from now on
	c.locks.shared.Store(reads)
	c.locks.kept = 1
	c.mu.Unlock()
	if err = p.setUp(ctx, c, order, slotHeld); err != nil {
		return nil, err
	}
	ready = true
	return c, nil
}

// takeTurn waits until nobody else opens a connection: several at once would be
// BUSY to each other.
func (p *Pool) takeTurn(ctx context.Context) error {
	select {
	case p.source.turn <- struct{}{}:
		return nil
	default:
	}
	own := p.isOwn(ctx)
	p.waiting.Enter(own)
	defer p.waiting.Leave(own)
	var expired <-chan time.Time
	if patience := p.patience(ctx); patience >= 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		expired = t.C
	}
	select {
	case p.source.turn <- struct{}{}:
		return nil
	case <-expired:
		return p.waitFailed(ctx, "open", lane.ErrTimeout)
	case <-p.ending.forced:
		return p.waitFailed(ctx, "open", lane.ErrClosed)
	case <-ctx.Done():
		return p.waitFailed(ctx, "open", ctx.Err())
	}
}

func (p *Pool) connectOnce(ctx context.Context) (*conn, error) {
	if err := p.checkFile("open"); err != nil {
		return nil, err
	}
	c, err := p.openConn(ctx)
	if err != nil {
		return nil, err
	}
	p.conns.beginSetup(c, p.expiry())
	return c, nil
}

// expiry is when a connection made now has served its time.
func (p *Pool) expiry() time.Duration {
	if p.cfg.MaxConnLifetime <= 0 || p.memory() {
		return 0
	}
	life := p.cfg.MaxConnLifetime
	if jitter := p.cfg.MaxConnLifetimeJitter; jitter > 0 {
		life += rand.N(jitter)
	}
	return p.clock() + life
}

// openUnwritable opens a database beside which nothing can be written, if nobody
// else can write it either. Otherwise it says what SQLite, whose error is why,
// could not do.
func (p *Pool) openUnwritable(ctx context.Context, why error) (*conn, error) {
	denied := p.tryBeside()
	if denied == nil {
		return nil, why
	}
	if said, ok := errors.AsType[*modernc.Error](why); ok {
		why = said
	}
	denied = fmt.Errorf("%w (%w)", &fs.PathError{Op: "create", Path: p.real + "-shm", Err: denied}, why)
	unread := p.unreadLog()
	switch {
	case unread != nil:
		return nil, p.fail("open", nil, denied, unread.Error()+", and SQLite may not create what it needs to read it; copy both to where it may")
	case !p.cfg.ReadOnly:
		return nil, p.fail("open", nil, denied,
			"SQLite writes with files of its own beside the database, and may not create them; Config.ReadOnly opens it for reading, and Config.Immutable one that nobody changes")
	case !errors.Is(denied, syscall.EROFS):
		return nil, p.fail("open", nil, denied,
			"SQLite reads a database in WAL mode with files of its own beside it, and may not create them; if nobody changes the database while it is open, set Config.Immutable")
	}
	p.immutable = true
	if err := p.makeFactory(ctx); err != nil {
		return nil, err
	}
	return p.connect(ctx, firstConnection, false)
}
