package dqlite

import (
	"context"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/pool"
)

func (s *Store) closed(op string) error { return s.fail(op, pool.ErrClosed, nil) }

// Shutdown closes the Store. New work is pool.ErrClosed from now on, and so is whatever
// waits; what runs is waited for until ctx ends. Then its connections are closed, which
// undoes it, and the error is the context's. A second call is nil. With the context of one
// of the Store's own transactions it is pool.ErrDeadlock and does nothing.
func (s *Store) Shutdown(ctx context.Context) (late error) {
	switch {
	case ctx == nil:
		return s.absent("shutdown", ctx)
	case s.txOf(ctx) != nil:
		return s.fail("shutdown", pool.ErrDeadlock, nil)
	}
	s.ending.Do(func() {
		s.write.Refuse()
		s.read.Refuse()
		patient := lane.Wait{Timeout: -1, Uncounted: true}
		s.read.SetLimit(s.cfg.MaxConns) // so that alone means all of them are back
		late = s.write.Lock(ctx, lane.Exclusive, patient)
		if err := s.read.Lock(ctx, lane.Exclusive, patient); late == nil {
			late = err
		}
		if late != nil {
			late = s.fail("shutdown", nil, late)
		}
		s.end()
	})
	return late
}

// Close is Shutdown without patience. It is idempotent.
func (s *Store) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Shutdown(ctx)
	return nil
}

// end closes everything.
func (s *Store) end() {
	s.die()
	s.write.Close()
	s.read.Close()
	s.readers.end()
	s.sqldb.end()
	s.leader.endAll()
	s.work.Wait()
}
