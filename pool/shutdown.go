package pool

import (
	"context"
	"errors"
)

// Shutdown closes the pool. New work is ErrClosed from now on, and so is
// whatever waits for a lease; leases drain until ctx ends. Then running
// statements are interrupted and what is still leased is rolled back; the error
// is the context's then. A second call is nil. With the context of one of the pool's
// own transactions, for which it would wait, it is ErrDeadlock and does nothing.
func (p *Pool) Shutdown(ctx context.Context) error {
	if err := p.given("shutdown", ctx, true); err != nil {
		return err
	}
	if err := p.wouldWaitForItself(ctx); err != nil {
		return err
	}
	p.refuse()
	select {
	case <-p.conns.drained:
	default:
		select {
		case <-p.conns.drained:
		case <-p.ending.forced: // somebody else has no patience
		case <-ctx.Done():
		}
	}
	var late error
	p.ending.once.Do(func() {
		if p.conns.areLeased() {
			late = p.fail("shutdown", nil, ctx.Err(), p.holders())
		}
		p.ending.err = p.closeAll()
		p.ending.over.Store(true)
		if p.ending.err != nil {
			late = errors.Join(late, p.fail("shutdown", nil, p.ending.err))
		}
	})
	return late
}

// Close is Shutdown without patience. It returns only what went wrong while
// closing. It is idempotent.
func (p *Pool) Close() error {
	if err := p.given("close", context.Background(), true); err != nil {
		return err
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Shutdown(over); err != nil && p.ending.err != nil {
		return p.fail("close", nil, p.ending.err)
	}
	return nil
}

// refuse turns new work and waiters away.
func (p *Pool) refuse() {
	p.conns.refuse()
	p.watches.refuse()
	for _, l := range p.every() {
		l.Refuse()
	}
}

// closeAll closes every connection, the writer's last: the last one to close
// checkpoints the log and removes it, which a reader could not.
func (p *Pool) closeAll() error {
	close(p.ending.forced)
	for _, l := range p.every() {
		l.Close()
	}
	if p.watcher != nil {
		p.watcher.wake()
	}
	p.maintenance.stop()
	p.watches.close()
	if p.logSync != nil {
		p.logSync.stop()
	}
	p.source.turn <- struct{}{} // nobody opens any more; given back by nobody
	conns, turns := p.conns.collect()
	for _, turn := range turns {
		turn.Close()
	}
	errs := []error{p.face.close()}
	for i, c := range conns {
		errs = append(errs, p.closeConn(c, i == len(conns)-1))
	}
	if p.watcher != nil {
		p.watcher.close()
	}
	if p.source.anchor != nil {
		errs = append(errs, p.source.anchor.Close())
	}
	return errors.Join(errs...)
}

// closeConn rolls back whatever is open on a connection and closes it. Its
// lease, if there is one, finds it closed.
func (p *Pool) closeConn(c *conn, last bool) error {
	c.mu.Lock() // once what runs there was interrupted
	defer c.mu.Unlock()
	if c.guard.textual {
		p.warnOfState("a transaction begun as text")
	}
	err := c.clean(ErrClosed)
	if last {
		c.forgetInterrupt()
		c.removeJournal()
	}
	p.conns.remove(c, noReason)
	return errors.Join(err, c.shutLocked())
}

// forgetInterrupt has SQLite drop an interrupt that came when nothing ran any
// more, else the last close's checkpoint is interrupted by it and leaves the log
// behind. Beginning a statement does (https://www.sqlite.org/c3ref/interrupt.html).
func (c *conn) forgetInterrupt() {
	if !c.closed {
		c.db.Run("SELECT 1")
	}
}

// removeJournal removes the journal that SQLite keeps from commit to commit in
// the modes truncate and persist: to leave such a mode deletes it, unless another
// process is at work (https://www.sqlite.org/pragma.html#pragma_journal_mode).
func (c *conn) removeJournal() {
	if mode := c.pool.cfg.JournalMode; c.closed || c.pool.write == nil || mode != JournalTruncate && mode != JournalPersist {
		return
	}
	c.locks.exempt = true
	_, _ = c.word(ownCall(), "PRAGMA main.journal_mode=delete") // what is left does no harm
}
