package dqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// StoreReader runs single reading statements on the leader, beside the writer. One that
// meets a leader that is gone is run again on the next one, for AcquireTimeout at most; where
// some rows have been read already, they end with pool.ErrUnhealthy. A write is
// pool.ErrReadOnly.
func (s *Store) StoreReader() pool.DBTX { return reader{s} }

type reader struct{ store *Store }

func (r reader) ExecContext(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	if t := r.store.txOf(ctx); t != nil {
		return t.ExecContext(ctx, query, args...)
	}
	err = r.store.read1(ctx, "exec", query, args, func(c *conn, st *statement) (bool, error) {
		res, err = c.run(ctx, st)
		return false, err
	})
	return res, err
}

func (r reader) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if t := r.store.txOf(ctx); t != nil {
		return t.QueryContext(ctx, query, args...)
	}
	got, err := r.rows(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return bridge.New().Rows(got)
}

func (r reader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if t := r.store.txOf(ctx); t != nil {
		return t.QueryRowContext(ctx, query, args...)
	}
	got, err := r.rows(ctx, query, args)
	return bridge.New().First(got, err)
}

func (r reader) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	return nil, errors.ErrUnsupported
}

func (r reader) rows(ctx context.Context, query string, args []any) (got *rows, err error) {
	err = r.store.read1(ctx, "query", query, args, func(c *conn, st *statement) (bool, error) {
		got, err = c.query(ctx, nil, st, func(error) { r.store.giveBack(c) })
		return err == nil, err
	})
	if err == nil {
		got.closeWith(ctx)
	}
	return got, err
}

// read1 runs a statement on a reading connection.
func (s *Store) read1(ctx context.Context, op, query string, args []any, run func(*conn, *statement) (keep bool, err error)) error {
	if err := s.given(op, ctx, true); err != nil {
		return err
	}
	st, err := s.newStatement(query, args)
	if err != nil {
		return err
	}
	return s.onReader(ctx, op, func(c *conn) (bool, error) {
		c.marked = c.marked || st.marks
		return run(c, st)
	})
}

// onReader asks the leader something on a reading connection, again where it is gone or
// another process has a lock. keep says that the connection stays with what came of it.
func (s *Store) onReader(ctx context.Context, op string, ask func(*conn) (keep bool, err error)) error {
	if err := s.acquire(ctx, s.read, lane.Shared, op); err != nil {
		return err
	}
	for patience := s.cautious(); ; {
		c, err := s.reader(ctx, op, true)
		if err != nil {
			s.read.Unlock(lane.Shared)
			return err
		}
		c.mu.Lock()
		keep, err := ask(c)
		c.mu.Unlock()
		if keep {
			return nil
		}
		if patience.again(ctx, err) {
			s.readers.give(c)
			continue
		}
		s.giveBack(c)
		switch {
		case err == nil:
			return nil
		case patience.met > 1: // it may be what ends them
			return s.fail(op, pool.ErrUnhealthy, err)
		}
		return s.began(ctx, op, err)
	}
}

// patience says how long something is tried again.
type patience struct {
	store      *Store
	gone, busy time.Time // The first failure of its kind was then.
	pause      time.Duration
	cautious   bool // It is a statement of the program's.
	met        int  // So many nodes were gone after they had been sent it.
}

func (s *Store) patience() *patience { return &patience{store: s, pause: time.Millisecond} }

// cautious is the patience for statements of a program. One that a leader was sent before it
// was gone is sent to one more and no further, since it may have been what ended it: a
// number with a fraction or a BLOB in a column declared DATETIME, DATE or TIMESTAMP ends a
// node that reads it, as does what is no integer in one declared BOOLEAN
// (https://github.com/canonical/dqlite/blob/v1.11.1/src/query.c).
func (s *Store) cautious() *patience {
	p := s.patience()
	p.cautious = true
	return p
}

// again waits, and reports whether what failed so may be tried again: the leader was gone,
// or another process had a lock.
func (p *patience) again(ctx context.Context, err error) bool {
	var since *time.Time
	var limit time.Duration
	switch {
	case err == nil || ctx.Err() != nil || p.store.life.Err() != nil:
		return false
	case isGone(err):
		if p.cautious && errors.As(err, new(*wire.Lost)) && !isRefused(err) {
			if p.met++; p.met > 1 {
				return false
			}
		}
		since, limit = &p.gone, p.store.cfg.AcquireTimeout
	case isBusy(err):
		since, limit = &p.busy, max(p.store.cfg.BusyTimeout, 0)
		p.store.counts.busy.Add(1)
	default:
		return false
	}
	if since.IsZero() {
		*since = time.Now()
	}
	if limit >= 0 && time.Since(*since) >= limit {
		return false
	}
	p.store.counts.retries.Add(1)
	ok := rest(ctx, p.pause)
	p.pause = min(2*p.pause, 50*time.Millisecond)
	return ok
}
