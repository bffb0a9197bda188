package pool

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/sqlite"
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
	turn  *lane.Lane // A statement shares it, and a transaction has it alone.
	users int        // This many operations go on. facade.mu guards it.
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
	if !f.face.beginSession(l, textual) {
		p.warnOfState(left)
		return false
	}
	l.released.Store(true) // as far as its lane is concerned; its epoch goes on
	c.mu.Lock()
	c.tracking = tracking{}
	kept := l.access == lane.Exclusive && !c.closed && c.locks.outlive(c)
	c.mu.Unlock()
	if !kept {
		l.lane.Unlock(l.access)
	}
	p.bell.ring() // another connection takes the place
	return true
}

// beginSession makes a session of a lease, if there is to be one. If there is not,
// textual says that somebody was told of an open transaction, who is told then that
// it is not.
func (f *facade) beginSession(l *Lease, textual bool) (begun bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed && f.session == nil {
		s := &session{face: f, lease: l, turn: lane.New(lane.NoLimit, f.pool.waiting)}
		if f.pool.conns.setApart(l.conn, s.turn) {
			f.session = s
			return true
		}
	}
	if textual {
		f.lost = f.pool.lostText()
	}
	return false
}

// outlive makes the slot that came with a lease the connection's own, if its
// transaction calls for it. The caller holds mu.
func (k *locks) outlive(c *conn) bool {
	k.leased, k.kept = false, 0
	switch state := c.db.Transaction(); {
	case state == sqlite.WriteTransaction, state == sqlite.ReadTransaction && c.excludes():
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
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.lost != nil: // once
		err := f.lost
		f.lost = nil
		return nil, err
	case f.session == nil:
		return nil, nil
	case !p.conns.beginLease():
		return nil, p.fail("acquire", ErrClosed, nil)
	}
	f.session.users++
	p.counts.acquires.Add(1)
	return &facadeConn{face: f, lease: f.session.lease, session: f.session}, nil
}

// takeTurn waits until no other operation of the session has a transaction.
func (f *facadeConn) takeTurn(ctx context.Context, want lane.Access) error {
	if f.session == nil || f.alone {
		return nil
	}
	if err := f.session.turn.Lock(ctx, want, f.face.pool.howToWait(ctx)); err != nil {
		if errors.Is(err, lane.ErrTimeout) {
			return f.face.pool.fail("acquire", ErrAcquireTimeout, nil, "another operation of this *sql.DB is in a transaction, on the connection that carries what was set")
		}
		return f.face.pool.waitFailed(ctx, "acquire", err)
	}
	f.alone = want == lane.Exclusive
	f.joined = f.alone && f.inText()
	return nil
}

// endTurn ends what takeTurn began, unless a transaction goes on that it has begun:
// one that was open already stays everybody's.
func (f *facadeConn) endTurn() {
	switch {
	case f.session == nil || f.tx != nil:
	case !f.alone:
		f.session.turn.Unlock(lane.Shared)
	case f.joined || !f.inText():
		f.alone = false
		f.session.turn.Unlock(lane.Exclusive)
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
	for _, part := range sqlite.Split(query) {
		if word := sqlite.FirstWord(part); word == "BEGIN" || word == "SAVEPOINT" {
			return true
		}
	}
	return false
}

// undoText rolls back a transaction that was begun as text. The caller holds mu.
func (c *conn) undoText() {
	c.guard.pop(0)
	if !c.closed && !c.db.Autocommit() {
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

	f := s.face
	f.mu.Lock()
	s.users--
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
	f.mu.Unlock()
	if over {
		s.end()
	}
	p.conns.endLease()
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
	c.text = false
	c.epoch++
	c.mu.Unlock()
	p.warnOfState(left)

	p.conns.takeBack(c, fit)
}

// warnOfState tells of state that an operation of a *sql.DB left behind and that
// is not kept.
func (p *Pool) warnOfState(left string) {
	if left != "" {
		p.cfg.Logger.Warn("what was left on a connection is taken back", "path", p.path, "state", left)
	}
}
