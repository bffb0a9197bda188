package dqlite

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
	lib "modernc.org/sqlite/lib"
)

// absent refuses a nil context or function.
func (s *Store) absent(op string, ctx context.Context) error {
	if ctx == nil {
		return s.fail(op, fs.ErrInvalid, saying("the context is nil"))
	}
	return s.fail(op, fs.ErrInvalid, saying("the function is nil"))
}

// StoreInTx runs fn in a transaction. Immediate and Exclusive are the same here, and wait
// for the write lane; Deferred waits for it before the first statement that may write. A
// transaction whose leader is gone is pool.ErrTxLost, or runs again if it is
// pool.Repeatable; one whose commit was not answered is ErrCommitUnknown.
func (s *Store) StoreInTx(ctx context.Context, level pool.Level, fn func(ctx context.Context, tx pool.StoreTx) error, opts ...pool.TxOption) error {
	switch outer := s.txOf2(ctx); {
	case level > pool.Exclusive:
		return s.fail("begin", pool.ErrConfig, saying("%v", level))
	case ctx == nil || fn == nil:
		return s.absent("begin", ctx)
	case outer != nil && level > outer.level:
		return s.fail("begin", pool.ErrNestedLevel, saying("%v in %v", level, outer.level))
	case outer != nil:
		return outer.Savepoint(ctx, fn)
	}
	patience := s.cautious()
	for first := true; ; first = false {
		t, err := s.runTx(ctx, level, !first, fn)
		if t == nil || !pool.IsRepeatable(opts...) {
			return err
		}
		switch {
		case first && errors.Is(err, pool.ErrConflict):
		case t.lost != nil && isGone(t.lost) && patience.again(ctx, t.lost):
		default:
			return err
		}
		s.counts.retries.Add(1)
	}
}

// txOf2 is txOf for a context that may be nil.
func (s *Store) txOf2(ctx context.Context) *tx {
	if ctx == nil {
		return nil
	}
	return s.txOf(ctx)
}

// StoreView runs fn in a transaction that cannot write: one snapshot, from its first read
// on.
func (s *Store) StoreView(ctx context.Context, fn func(ctx context.Context, tx pool.StoreTx) error) error {
	if ctx == nil || fn == nil {
		return s.absent("view", ctx)
	}
	if outer := s.txOf(ctx); outer != nil {
		return outer.view(ctx, fn)
	}
	t, err := s.begin(ctx, "view", true)
	if err != nil {
		return err
	}
	defer s.giveBack(t.conn)
	return s.finish(ctx, t, fn)
}

// runTx runs fn in a transaction of its own, which it returns if it was begun. slotFirst
// has one that is Deferred wait for the write lane before it begins.
func (s *Store) runTx(ctx context.Context, level pool.Level, slotFirst bool, fn func(context.Context, pool.StoreTx) error) (*tx, error) {
	if level == pool.Deferred && !slotFirst {
		t, err := s.begin(ctx, "begin", false)
		if err != nil {
			return nil, err
		}
		defer func() {
			s.giveBack(t.conn)
			if t.slot {
				s.write.Unlock(lane.Exclusive)
			}
		}()
		return t, s.finish(ctx, t, fn)
	}
	if err := s.acquire(ctx, s.write, lane.Exclusive, "begin"); err != nil {
		return nil, err
	}
	var after []func()
	t, err := func() (*tx, error) {
		defer s.write.Unlock(lane.Exclusive)
		c, err := s.beginWriting(ctx, "begin")
		if err != nil {
			return nil, err
		}
		t := &tx{store: s, conn: c, level: level, slot: true}
		defer s.keepWriter(c)
		err = t.call(ctx, fn, t.end)
		after = t.after
		return t, err
	}()
	if err == nil {
		afterwards(after)
		if s.write.Queued() > 0 {
			runtime.Gosched()
		}
	}
	return t, err
}

// finish runs fn in a transaction that was begun on a reading connection.
func (s *Store) finish(ctx context.Context, t *tx, fn func(context.Context, pool.StoreTx) error) error {
	err := t.call(ctx, fn, t.end)
	if err == nil {
		afterwards(t.after)
	}
	return err
}

// begin begins a transaction on a reading connection.
func (s *Store) begin(ctx context.Context, op string, readOnly bool) (*tx, error) {
	level := pool.Deferred
	if err := s.acquire(ctx, s.read, lane.Shared, op); err != nil {
		return nil, err
	}
	for patience := s.patience(); ; {
		c, err := s.reader(ctx, op, readOnly)
		if err != nil {
			s.read.Unlock(lane.Shared)
			return nil, err
		}
		c.mu.Lock()
		_, err = c.exec(ctx, "BEGIN", nil)
		c.mu.Unlock()
		if err == nil {
			return &tx{store: s, conn: c, level: level, readOnly: readOnly}, nil
		}
		if !patience.again(ctx, err) {
			s.giveBack(c)
			return nil, s.began(ctx, op, err)
		}
		s.readers.give(c)
	}
}

// beginWriting begins a transaction on the writer, for whoever has the write lane. Locks of
// other processes are waited for, and leaders that are gone replaced.
func (s *Store) beginWriting(ctx context.Context, op string) (*conn, error) {
	limited, cancel := s.limited(ctx)
	defer cancel()
	for patience := s.patience(); ; {
		c, err := s.writing(ctx, op)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		_, err = c.exec(limited, "BEGIN IMMEDIATE", nil)
		c.mu.Unlock()
		if err == nil {
			return c, nil
		}
		s.keepWriter(c)
		if !patience.again(limited, err) {
			return nil, s.began(ctx, op, err)
		}
	}
}

// writing is the connection that writes, for whoever has the write lane.
func (s *Store) writing(ctx context.Context, op string) (*conn, error) {
	if s.writer == nil || s.writer.broken() {
		fresh, err := s.connect(ctx, op)
		if err != nil {
			return nil, err
		}
		s.writer = fresh
	}
	return s.writer, nil
}

// began is why a transaction could not begin.
func (s *Store) began(ctx context.Context, op string, err error) error {
	switch {
	case ctx.Err() != nil:
		return s.fail(op, nil, errors.Join(ctx.Err(), err))
	case s.life.Err() != nil:
		return s.closed(op)
	case isGone(err):
		return s.fail(op, ErrNoQuorum, err)
	case errors.Is(err, context.DeadlineExceeded): // that of the Store's own limit
		return s.fail(op, pool.ErrAcquireTimeout, err)
	}
	return s.meaning(op, err)
}

// keepWriter keeps the writer for whoever has the write lane next, unless it is of no more
// use.
func (s *Store) keepWriter(c *conn) {
	if c.broken() || c.marked || isLedAway(s, c) {
		c.close()
		s.writer = nil
	}
}

func isLedAway(s *Store, c *conn) bool {
	current, _ := s.leader.known()
	return current != c.address
}

// end commits the transaction or undoes it. The caller holds conn.mu.
func (t *tx) end(ctx context.Context, keep bool) error {
	if keep {
		return t.commit()
	}
	t.store.counts.rolledBack.Add(1)
	t.undo(ctx)
	return nil
}

// undo rolls the transaction back, or ends the connection, which does the same.
func (t *tx) undo(ctx context.Context) {
	if t.conn.broken() {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	_, err := t.conn.exec(bounded, "ROLLBACK", nil)
	if err != nil && t.lost == nil || isGone(err) {
		t.conn.close()
	}
}

// commitTimeout is how long an answer to a commit is waited for from a leader that neither
// answers nor is known to be gone.
const commitTimeout = 30 * time.Second

// commit commits. What is known to be undone is an error that says why; what nobody knows
// is ErrCommitUnknown.
func (t *tx) commit() error {
	s := t.store
	bounded, cancel := context.WithTimeout(s.life, commitTimeout)
	defer cancel()
	patience := s.patience()
	for {
		_, err := t.conn.exec(bounded, "COMMIT", nil)
		switch {
		case err == nil:
			s.counts.committed.Add(1)
			if !t.readOnly {
				s.news.tell()
			}
			return nil
		case t.readOnly:
			t.conn.close() // nothing was to be kept
			return nil
		case isRefused(err):
			t.lost = err
			t.conn.close()
			return s.fail("commit", pool.ErrTxLost, err)
		case isBusy(err) && patience.again(bounded, err):
			continue
		case !isDoubtful(err):
			t.undo(bounded)
			return s.meaning("commit", err)
		}
		t.conn.close()
		s.counts.unknown.Add(1)
		return s.fail("commit", ErrCommitUnknown, err)
	}
}

// isDoubtful reports that nobody knows whether a commit took place that failed so: SQLite
// has not said that it refuses, nor a node that it is no leader.
func isDoubtful(err error) bool {
	switch primary(err) {
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_ERROR, lib.SQLITE_READONLY, lib.SQLITE_MISMATCH, lib.SQLITE_TOOBIG, lib.SQLITE_RANGE:
		return false
	}
	return errors.As(err, new(*wire.Failure)) || errors.As(err, new(*wire.Lost))
}
