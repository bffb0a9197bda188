package pool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// journal says what a new connection does about the journal mode.
type journal bool

const (
	journalVerified journal = false
	journalSet      journal = true // the pool's first connection
)

// connect opens a connection and sets it up like every other. It is not yet
// among the pool's. slotHeld is true if the caller holds the write slot already.
func (p *Pool) connect(ctx context.Context, mode journal, slotHeld bool) (*conn, error) {
	// Another process that opens or closes the file just now passes quickly.
	wait := newBusyWait(max(p.cfg.BusyTimeout, time.Second))
	for {
		c, err := p.connectInTurn(ctx, mode, slotHeld)
		if err == nil {
			p.counts.created.Add(1)
			return c, nil
		}
		if !IsBusy(err) {
			return nil, p.fail("open", nil, err)
		}
		if stop := wait.pause(ctx, p.hurry); stop != nil {
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
func (p *Pool) connectInTurn(ctx context.Context, mode journal, slotHeld bool) (_ *conn, err error) {
	reads := p.excludes() && !slotHeld
	if reads {
		if err := p.wouldDeadlock(ctx, new(conn), shared); err != nil {
			return nil, err
		}
		if err := p.lockToRead(ctx); err != nil {
			return nil, p.waitFailed("open", err)
		}
	}
	var c *conn
	ready := false
	defer func() {
		switch {
		case ready:
		case c != nil: // or OnConnect panics
			err = errors.Join(err, c.discard())
		case reads:
			p.write.unlock(shared)
		}
	}()
	if err := p.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer func() {
		p.mu.Lock()
		p.setting = nil
		p.mu.Unlock()
		<-p.opening
	}()
	if c, err = p.connectOnce(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock() // the lock is the connection's from now on
	c.locks.shared.Store(reads)
	c.locks.kept = 1
	c.mu.Unlock()
	if err = p.setUp(ctx, c, mode, slotHeld); err != nil {
		return nil, err
	}
	ready = true
	return c, nil
}

// lockToRead takes the write lane's shared lock. A reader beside its own
// transaction's read may not queue behind a writer that waits for that one.
func (p *Pool) lockToRead(ctx context.Context) error {
	tx := p.TxFromContext(ctx)
	if tx != nil && tx.conn.locks.shared.Load() && p.write.join() {
		return nil
	}
	return p.write.lock(ctx, shared, p.cfg.AcquireTimeout)
}

// takeTurn waits until nobody else opens a connection: several at once would be
// BUSY to each other.
func (p *Pool) takeTurn(ctx context.Context) error {
	select {
	case p.opening <- struct{}{}:
		return nil
	default:
	}
	if _, uncounted := ctx.(housekeeping); !uncounted {
		p.waiting.count.Add(1)
		defer p.waiting.count.Add(-1)
	}
	var expired <-chan time.Time
	if p.cfg.AcquireTimeout >= 0 {
		t := time.NewTimer(p.cfg.AcquireTimeout)
		defer t.Stop()
		expired = t.C
	}
	select {
	case p.opening <- struct{}{}:
		return nil
	case <-expired:
		return p.waitFailed("open", ErrAcquireTimeout)
	case <-p.hurry:
		return p.waitFailed("open", ErrClosed)
	case <-ctx.Done():
		return p.waitFailed("open", ctx.Err())
	}
}

func (p *Pool) connectOnce(ctx context.Context) (*conn, error) {
	if err := p.checkFile("open"); err != nil {
		return nil, err
	}
	pinned, err := p.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var c *conn
	_ = pinned.Raw(func(under any) error {
		c = under.(*conn)
		return nil
	})
	p.mu.Lock()
	c.pinned, c.expires, c.generation = pinned, p.expiry(), p.generation
	p.setting = c
	p.mu.Unlock()
	return c, nil
}

// setUp makes all connections alike.
func (p *Pool) setUp(ctx context.Context, c *conn, mode journal, slotHeld bool) error {
	c.mu.Lock()
	c.leased = true
	c.mu.Unlock()
	if err := p.setPragmas(ctx, c, mode, slotHeld); err != nil {
		return err
	}
	if p.cfg.OnConnect != nil {
		if err := p.onConnect(ctx, c); err != nil {
			return &onConnectError{err}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("OnConnect closed its connection")
	}
	if err := c.keepAttached(); err != nil {
		return err
	}
	c.locks.kept = 0
	err := c.clean(ErrReleased)
	c.locks.exempt, c.changes = false, nil
	if err == nil && mode == journalSet {
		p.learnState(c)
	}
	return err
}

func (p *Pool) setPragmas(ctx context.Context, c *conn, mode journal, slotHeld bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.locks.exempt = true
	defer func() { c.locks.exempt = slotHeld }()

	// SQLite opens a file that it may not write for reading. That would be a
	// connection that stays so when the right is back.
	if mode == journalSet {
		p.readable = c.h.readOnly()
	} else if c.h.readOnly() && !p.readable && !p.cfg.ReadOnly {
		return p.fail("open", ErrReadOnly, nil, "the file may not be written any more")
	}
	cl := &call{Context: ctx, epoch: c.epoch, depth: -1, control: true}
	c.h.setBusyTimeout(0) // the waiting is ours: see patiently
	c.guard.busyTimeout = max(p.cfg.BusyTimeout, 0)
	c.guard.builtin = p.builtin
	if c.guard.journal = p.cfg.JournalMode; p.memory() {
		c.guard.journal = "memory"
	}
	names := slices.Sorted(maps.Keys(p.cfg.Pragmas))
	set := func(name string) error {
		if err := c.control(cl, "PRAGMA "+name+"="+p.cfg.Pragmas[name]); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
		return nil
	}
	for _, pragma := range []string{"foreign_keys=on", "trusted_schema=off", "cell_size_check=on"} {
		if err := c.control(cl, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	for _, name := range names {
		if strings.EqualFold(name, "trusted_schema") { // before anything reads the schema
			if err := set(name); err != nil {
				return err
			}
		}
	}
	for _, pragma := range p.logPragmas() {
		if err := c.control(cl, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	for _, name := range names { // before the journal mode: page_size and auto_vacuum do nothing in WAL mode
		if err := set(name); err != nil {
			return err
		}
	}
	switch {
	case p.memory():
	case p.cfg.ReadOnly:
		got, err := c.word(cl, "PRAGMA main.journal_mode")
		if err != nil {
			return err
		}
		c.guard.journal = got
	default:
		if err := p.setJournal(c, cl, mode); err != nil {
			return err
		}
	}
	if err := c.lookAtAttached(false); err != nil { // what the driver's connection hooks attach
		return err
	}
	if err := c.control(cl, "PRAGMA synchronous="+p.synchronous()); err != nil {
		return err
	}
	if err := p.useLog(c, cl); err != nil || mode != journalSet {
		return err
	}
	return p.learnFunctions(c, cl)
}

// learnFunctions asks which functions are SQLite's own, so that those which the
// program registered with the driver can be told from them.
// See https://www.sqlite.org/pragma.html#pragma_function_list.
func (p *Pool) learnFunctions(c *conn, cl *call) error {
	names, err := c.word(cl, "SELECT group_concat(name) FROM (SELECT name FROM pragma_function_list GROUP BY name HAVING min(builtin))")
	if err != nil {
		return err
	}
	p.builtin = map[string]bool{}
	for name := range strings.SplitSeq(names, ",") {
		p.builtin[strings.ToLower(name)] = true
	}
	c.guard.builtin = p.builtin
	trusting, err := c.word(cl, "SELECT CAST(trusted_schema AS TEXT) FROM pragma_trusted_schema")
	p.foreign = trusting == "1"
	return err
}

// onConnectError tells what OnConnect says from what happens to the caller.
type onConnectError struct{ err error }

func (e *onConnectError) Error() string { return "OnConnect: " + e.err.Error() }
func (e *onConnectError) Unwrap() error { return e.err }

// synchronous is what Config.Synchronous means in the journal mode.
func (p *Pool) synchronous() string {
	if p.cfg.Synchronous == "full" && p.cfg.JournalMode == "delete" {
		// A commit is the journal's deletion, and only EXTRA syncs that: after a
		// power loss the journal could be back, and undo what was acknowledged.
		return "extra"
	}
	return p.cfg.Synchronous
}

// logPragmas say how the log is kept. One that grew is cut back to the limit
// when it is begun anew; it is not bounded by it.
func (p *Pool) logPragmas() []string {
	pragmas := []string{"journal_size_limit=" + strconv.Itoa(logKept)}
	if p.cfg.ExternalCheckpoints {
		pragmas = append(pragmas, "wal_autocheckpoint=0")
	}
	return pragmas
}

// setJournal switches the journal mode, or sees that it is still what the first
// connection made it: of main, else that of attached files would be set too.
func (p *Pool) setJournal(c *conn, cl *call, mode journal) error {
	text := "PRAGMA main.journal_mode"
	if mode == journalSet || p.cfg.JournalMode != "wal" { // only WAL is the file's; the others are a connection's
		text += "=" + p.cfg.JournalMode
	}
	got, err := c.word(cl, text)
	if err != nil {
		return err
	}
	if got != p.cfg.JournalMode {
		return fmt.Errorf("journal mode is %q, not %q", got, p.cfg.JournalMode)
	}
	return nil
}

// discard closes a connection. database/sql's half waits for rows that it has
// lent and nobody has closed, so that is left alone then: there is no more to
// it than memory.
func (c *conn) discard() error {
	err := c.shut()
	c.mu.Lock()
	waits := c.lent > 0
	c.mu.Unlock()
	if !waits {
		c.calls.Lock()
		defer c.calls.Unlock()
		if closed := c.pinned.Close(); !errors.Is(closed, sql.ErrConnDone) {
			err = errors.Join(err, closed)
		}
	}
	return err
}
