package dqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
	lib "modernc.org/sqlite/lib"
)

var (
	// ErrCommitUnknown is returned when the answer to a commit never came: the leader died
	// or was cut off meanwhile, and nobody can know whether what it was sent is on a
	// majority of the nodes. Either all of the transaction is there or nothing of it. To
	// run it again may do it twice, unless it first looks for what only it can have
	// written, such as a row with a key of its own.
	ErrCommitUnknown = errors.New("it is unknown whether the commit took place")
	// ErrNoQuorum is returned when no leader was found within AcquireTimeout: a majority of
	// the nodes is down or cannot be reached. Nothing was done.
	ErrNoQuorum = errors.New("the cluster has no leader")
)

// fail is what the Store itself has to say.
func (s *Store) fail(op string, sentinel, cause error) error {
	return &pool.Error{Op: op, Path: s.cfg.Database, Err: sentinel, Cause: cause}
}

// given refuses a Store that Open did not make, and a nil context or function.
func (s *Store) given(op string, ctx context.Context, fn bool) error {
	switch {
	case s == nil || s.leader == nil:
		return &pool.Error{Op: op, Err: fs.ErrInvalid, Cause: errors.New("the *Store is nil or was not made by Open")}
	case ctx == nil:
		return s.fail(op, fs.ErrInvalid, errors.New("ctx is nil"))
	case !fn:
		return s.fail(op, fs.ErrInvalid, errors.New("fn is nil"))
	}
	return nil
}

// noQuorum says that there is no leader, and what was met while one was looked for.
func (s *Store) noQuorum(op string, cause error) error {
	return s.fail(op, ErrNoQuorum, met{cause})
}

// met is an error in whose chain no context has ended: those that did on the way were not
// the caller's. A node that did not answer in time is os.ErrDeadlineExceeded.
type met struct{ err error }

// Error implements error.
func (m met) Error() string { return m.err.Error() }

// Is implements what errors.Is asks for.
func (m met) Is(target error) bool {
	switch target {
	case context.Canceled, context.DeadlineExceeded:
		return false
	case os.ErrDeadlineExceeded:
		return errors.Is(m.err, context.DeadlineExceeded) || errors.Is(m.err, target)
	}
	return errors.Is(m.err, target)
}

// As implements what errors.As asks for.
func (m met) As(target any) bool { return errors.As(m.err, target) }

// saying makes a cause of words.
func saying(format string, args ...any) error { return fmt.Errorf(format, args...) }

// isGone reports that the error is one of a connection that leads to no leader, or
// nowhere, any more: whatever transaction it was in is lost. A node that was the leader has
// forgotten statements and databases (CodeNotFound), and sometimes says no more than that it
// failed (0).
func isGone(err error) bool {
	return errors.As(err, new(*wire.Lost)) || hasCode(err, wire.CodeNotLeader, wire.CodeLeadershipLost, wire.CodeNotFound, 0)
}

// isRefused reports that the request did nothing: it was not sent, or whom it reached was
// no leader.
func isRefused(err error) bool {
	return isUnsent(err) || hasCode(err, wire.CodeNotLeader, wire.CodeNotFound)
}

// isUnsent reports that the request was not sent: the connection was lost before, the
// context had ended, or it cannot be said in the protocol.
func isUnsent(err error) bool {
	var lost *wire.Lost
	if errors.As(err, &lost) {
		return !lost.Sent
	}
	return !errors.As(err, new(*wire.Failure))
}

// isUndecided reports an error of the node's disk, or its end, while it writes: what it wrote
// may be on its way to the others.
func isUndecided(err error) bool {
	return primary(err) == lib.SQLITE_IOERR || primary(err) == lib.SQLITE_ABORT
}

// isDoubtful reports that nobody knows whether what was to commit for itself took place.
func isDoubtful(err error) bool { return !isRefused(err) && (isGone(err) || isUndecided(err)) }

func hasCode(err error, codes ...int) bool {
	var f *wire.Failure
	if errors.As(err, &f) {
		for _, code := range codes {
			if f.Code == code {
				return true
			}
		}
	}
	return false
}

// primary is SQLite's primary result code, or 0.
func primary(err error) int {
	var f *wire.Failure
	if errors.As(err, &f) {
		return f.Code & 0xff
	}
	return 0
}

// isBusy reports a lock that another connection holds, and that goes away.
func isBusy(err error) bool {
	return primary(err) == lib.SQLITE_BUSY && !hasCode(err, lib.SQLITE_BUSY_SNAPSHOT) || primary(err) == lib.SQLITE_LOCKED
}

// meaning gives the error of a statement the Store's.
func (s *Store) meaning(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case primary(err) == lib.SQLITE_READONLY:
		return s.fail(op, pool.ErrReadOnly, err)
	case hasCode(err, lib.SQLITE_BUSY_SNAPSHOT):
		s.counts.conflicts.Add(1)
		return s.fail(op, pool.ErrConflict, err)
	case isBusy(err):
		return s.fail(op, pool.ErrBusy, err)
	}
	return err
}

// waitFailed gives the error of a wait in a lane the Store's.
func (s *Store) waitFailed(op string, err error) error {
	switch {
	case errors.Is(err, lane.ErrTimeout):
		s.counts.timeouts.Add(1)
		if why := s.leader.searching(); why != nil {
			return s.noQuorum(op, why)
		}
		return s.fail(op, pool.ErrAcquireTimeout, saying("after %v", s.cfg.AcquireTimeout))
	case errors.Is(err, lane.ErrOverloaded):
		s.counts.overloads.Add(1)
		return s.fail(op, pool.ErrOverloaded, saying("%d wait already", s.cfg.MaxWaiters))
	case errors.Is(err, lane.ErrClosed):
		return s.fail(op, pool.ErrClosed, nil)
	}
	return s.fail(op, nil, err) // the context's
}

// limited is the context of a wait that AcquireTimeout limits.
func (s *Store) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.cfg.AcquireTimeout < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, s.cfg.AcquireTimeout)
}
