package dqlite

import (
	"context"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/pool"
)

func (s *Store) closed(op string) error { return s.fail(op, pool.ErrClosed, nil) }

// Shutdown closes the Store. New work is pool.ErrClosed from now on, and so is whatever
// waits; what runs is waited for until ctx ends. Then its connections are closed, which
// undoes it, and the error is the context's. A second call is nil; if it has less patience
// it ends the first one's. With the context of one of the Store's own transactions it is
// pool.ErrDeadlock and does nothing.
func (s *Store) Shutdown(ctx context.Context) (late error) {
	if err := s.given("shutdown", ctx, true); err != nil {
		return err
	}
	if s.txOf(ctx) != nil {
		return s.fail("shutdown", pool.ErrDeadlock, saying("the context carries a transaction of this Store"))
	}
	s.write.Refuse()
	s.read.Refuse()
	// Whoever has a reader may still want the write lane, and nobody the other way round. Two
	// that wait here are told by the first one's end.
	patient := lane.Wait{Timeout: -1, Uncounted: true}
	err := s.read.Lock(ctx, lane.Exclusive, patient)
	if err == nil {
		err = s.write.Lock(ctx, lane.Exclusive, patient)
	}
	s.ending.Do(func() {
		if err != nil {
			late = s.fail("shutdown", nil, err)
		}
		s.end()
	})
	return late
}

// Close is Shutdown without patience. It is idempotent.
func (s *Store) Close() error {
	if err := s.given("close", context.Background(), true); err != nil {
		return err
	}
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
