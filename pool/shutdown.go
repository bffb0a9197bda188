package pool

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/sqlane/sqlane/internal/lane"
)

// Shutdown closes the pool. New work is ErrClosed from now on, and so is
// whatever waits for a lease; leases drain until ctx ends. Then running
// statements are interrupted and what is still leased is rolled back; the error
// is the context's then. A second call is nil. With the context of one of the pool's
// own transactions, for which it would wait, it is ErrDeadlock and does nothing.
func (p *Pool) Shutdown(ctx context.Context) error {
	if err := p.wouldWaitForItself(ctx); err != nil {
		return err
	}
	p.refuse()
	select {
	case <-p.drained:
	default:
		select {
		case <-p.drained:
		case <-p.hurry: // somebody else has no patience
		case <-ctx.Done():
		}
	}
	var late error
	p.finish.Do(func() {
		if p.heldNow() {
			late = p.fail("shutdown", nil, ctx.Err(), p.holders())
		}
		p.finishErr = p.closeAll()
		p.closed.Store(true)
		if p.finishErr != nil {
			late = errors.Join(late, p.fail("shutdown", nil, p.finishErr))
		}
	})
	return late
}

// Close is Shutdown without patience. It returns only what went wrong while
// closing. It is idempotent.
func (p *Pool) Close() error {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Shutdown(over); err != nil && p.finishErr != nil {
		return p.fail("close", nil, p.finishErr)
	}
	return nil
}

// refuse turns new work and waiters away.
func (p *Pool) refuse() {
	p.mu.Lock()
	if !p.closing {
		p.closing = true
		if p.leases == 0 {
			close(p.drained)
		}
	}
	p.mu.Unlock()
	for _, l := range p.lanes() {
		l.Refuse()
	}
}

func (p *Pool) lanes() []*lane.Lane {
	return slices.DeleteFunc([]*lane.Lane{p.read, p.write}, func(l *lane.Lane) bool { return l == nil })
}

func (p *Pool) heldNow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leases > 0
}

// closeAll closes every connection, the writer's last: the last one to close
// checkpoints the log and removes it, which a reader could not.
func (p *Pool) closeAll() error {
	p.interrupting.Store(true)
	close(p.hurry)
	for _, l := range p.lanes() {
		l.Close()
	}
	if p.watcher != nil {
		p.watcher.wake()
	}
	if p.maintenance != nil {
		p.maintenance.stop()
	}
	if p.logSync != nil {
		p.logSync.stop()
	}
	p.opening <- struct{}{} // nobody opens any more; given back by nobody
	p.mu.Lock()
	primary := p.primary
	conns := append(slices.Collect(maps.Keys(p.conns)), p.retired...)
	if p.spare != nil {
		conns = append(conns, p.spare)
	}
	for c, s := range p.apart {
		s.turn.Close()
		conns = append(conns, c)
	}
	p.retired, p.spare = nil, nil
	p.mu.Unlock()
	errs := []error{p.closeFace()}
	if i := slices.Index(conns, primary); i >= 0 {
		conns = append(slices.Delete(conns, i, i+1), primary)
	}
	for i, c := range conns {
		errs = append(errs, p.closeConn(c, i == len(conns)-1))
	}
	if p.watcher != nil {
		p.watcher.close()
	}
	if p.anchor != nil {
		errs = append(errs, p.anchor.Close())
	}
	return errors.Join(errs...)
}

// closeConn rolls back whatever is open on a connection and closes it. Its
// lease, if there is one, finds it closed.
func (p *Pool) closeConn(c *conn, last bool) error {
	c.mu.Lock()
	if c.guard.textual {
		p.warnOfState("a transaction begun as text")
	}
	err := c.clean(ErrClosed)
	if last {
		c.forgetInterrupt()
		c.removeJournal()
	}
	c.leased = false
	c.mu.Unlock()
	p.remove(c)
	return errors.Join(err, c.shut())
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
