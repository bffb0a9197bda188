package pool

import (
	"context"
	"database/sql/driver"
	"errors"
)

// session is the connection that carries what an operation of a *sql.DB left
// behind: a PRAGMA, TEMP objects, an attached file, a transaction begun as text.
// Code written for a *sql.DB relies on its one idle connection coming back with
// all of that. So the operations that follow run there, until everything is as the
// pool has set it up or the *sql.DB is closed. The connection stands beside
// MaxConns, and no lease, transaction or other *sql.DB meets it.
//
// Operations at the same time share it, a statement each. One that begins a
// transaction has it alone until the end of that; a transaction that was left
// open is everybody's.
type session struct {
	face  *facade
	lease *Lease
	turn  *lane // shared during a statement, exclusive during a transaction
	users int   // operations that go on; guarded by Pool.mu
}

// carry makes a session of a lease that would leave something behind. It reports
// false if the lease is to be given back.
func (f *facadeConn) carry() bool {
	p, l, c := f.face.pool, f.lease, f.lease.conn
	c.mu.Lock()
	left, textual := "", false
	if !c.closed && c.broken == nil && c.epoch == l.epoch {
		left, textual = c.left(), c.guard.textual
	}
	c.mu.Unlock()
	if left == "" {
		return false
	}
	p.mu.Lock()
	if p.closing || f.face.closed || f.face.session != nil {
		if textual { // somebody has been told that it is open
			f.face.lost = p.lostText()
		}
		p.mu.Unlock()
		p.warnOfState(left)
		return false
	}
	f.face.session = &session{face: f.face, lease: l, turn: newLane(noLimit, p.waiting)}
	p.apart[c] = f.face.session
	p.removeLocked(c)
	p.endLeaseLocked()
	p.mu.Unlock()

	l.released.Store(true) // as far as its lane is concerned; its epoch goes on
	c.mu.Lock()
	c.watch = watch{}
	kept := l.had == exclusive && !c.closed && c.locks.outlive(c)
	c.mu.Unlock()
	if !kept {
		l.lane.unlock(l.had)
	}
	p.attend() // another connection takes the place
	return true
}

// outlive makes the slot that came with a lease the connection's own, if its
// transaction calls for it. The caller holds mu.
func (k *locks) outlive(c *conn) bool {
	k.leased, k.kept = false, 0
	switch state := c.h.transaction(); {
	case state == writeTransaction, state == readTransaction && c.excludes():
		return true
	}
	k.slot = false
	c.pool.writer.CompareAndSwap(c, nil)
	c.pool.logSync.wrote(c)
	return false
}

// join returns a connection that runs on the session of the *sql.DB; nil if there
// is none.
func (f *facade) join() (driver.Conn, error) {
	p := f.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case f.lost != nil: // once
		err := f.lost
		f.lost = nil
		return nil, err
	case f.session == nil:
		return nil, nil
	case p.closing:
		return nil, p.fail("acquire", ErrClosed, nil)
	}
	f.session.users++
	p.leases++
	p.counts.acquires.Add(1)
	return &facadeConn{face: f, lease: f.session.lease, session: f.session}, nil
}

// takeTurn waits until no other operation of the session has a transaction.
func (f *facadeConn) takeTurn(ctx context.Context, want access) error {
	if f.session == nil || f.alone {
		return nil
	}
	if err := f.session.turn.lock(ctx, want, f.face.pool.cfg.AcquireTimeout); err != nil {
		if errors.Is(err, ErrAcquireTimeout) {
			return f.face.pool.fail("acquire", err, nil, "another operation of this *sql.DB is in a transaction, on the connection that carries what was set")
		}
		return f.face.pool.waitFailed("acquire", err)
	}
	f.alone = want == exclusive
	f.joined = f.alone && f.inText()
	return nil
}

// endTurn ends what takeTurn began, unless a transaction goes on that it has begun:
// one that was open already stays everybody's.
func (f *facadeConn) endTurn() {
	switch {
	case f.session == nil || f.tx != nil:
	case !f.alone:
		f.session.turn.unlock(shared)
	case f.joined || !f.inText():
		f.alone = false
		f.session.turn.unlock(exclusive)
	}
}

// inText reports a transaction that was begun as text.
func (f *facadeConn) inText() bool {
	c := f.lease.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guard.textual && !c.closed
}

// beginsText reports that a statement of the text begins a transaction.
func beginsText(query string) bool {
	for _, part := range split(query) {
		if word := firstWord(part); word == "BEGIN" || word == "SAVEPOINT" {
			return true
		}
	}
	return false
}

// undoText rolls back a transaction that was begun as text. The caller holds mu.
func (c *conn) undoText() {
	c.guard.pop(0)
	if !c.closed && !c.h.autocommit() {
		if err := c.control(ownCall(), "ROLLBACK"); err != nil {
			c.broken = err
		}
	}
	c.locks.settle(c)
}

// leave ends an operation of the session.
func (s *session) leave() {
	p, c := s.face.pool, s.lease.conn
	left, broken, textual := "", error(nil), false
	c.mu.Lock()
	if !c.closed {
		left, textual = c.left(), c.guard.textual
		if !textual { // else a ROLLBACK must be waited for
			broken = c.broken
		}
	}
	c.mu.Unlock()

	p.mu.Lock()
	s.users--
	f := s.face
	switch current := f.session == s; {
	case broken != nil && current:
		f.session = nil
		if left != "" {
			f.lost = p.fail("acquire", ErrUnhealthy, broken, "the connection that carried what was set is gone: "+left+"; set it again")
		}
	case left == "" && current:
		f.session = nil
	case left != "" && broken == nil && f.session == nil && !f.closed: // it was set again by one that went on
		f.session = s
	case textual && !current && s.users == 0:
		f.lost = p.lostText()
	}
	over := s.users == 0 && f.session != s
	p.mu.Unlock()
	if over {
		s.end()
	}
	p.mu.Lock()
	p.endLeaseLocked()
	p.mu.Unlock()
}

// lostText tells of a transaction begun as text that is rolled back although no
// operation of its own has failed.
func (p *Pool) lostText() error {
	return p.fail("acquire", ErrTxLost, nil, "a transaction begun as text is rolled back, since another operation of this *sql.DB has left something behind at the same time; use BeginTx, or text on an sql.Conn")
}

// end gives the connection back to the pool, if it is as it was and there is room,
// else it is closed. Nobody uses the session any more.
func (s *session) end() {
	p, c := s.face.pool, s.lease.conn
	c.mu.Lock()
	left := ""
	if !c.closed {
		left = c.left()
	}
	if err := c.clean(ErrReleased); err != nil {
		c.broken = err
	}
	fit := !c.closed && c.broken == nil && len(c.changes) == 0
	c.locks.release(c)
	c.leased, c.text = false, false
	c.epoch++
	c.mu.Unlock()
	p.warnOfState(left)

	p.mu.Lock()
	delete(p.apart, c)
	c.inUse, c.idled = false, 0
	if fit && !p.closing && !p.stale(c) && p.read != nil && p.readingLocked() < p.readers() {
		p.conns[c] = struct{}{}
		p.idle = append(p.idle, c)
	} else {
		p.retired = append(p.retired, c)
	}
	p.mu.Unlock()
	p.attend()
}

// warnOfState tells of state that an operation of a *sql.DB left behind and that
// is not kept.
func (p *Pool) warnOfState(left string) {
	if left != "" {
		p.cfg.Logger.Warn("what was left on a connection is taken back", "path", p.path, "state", left)
	}
}
