package dqlite

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/pool"
)

// Store is a pool.Store on a cluster. [Open] makes one. It is safe for concurrent use. What
// is asked of a nil or zero one is fs.ErrInvalid, as are a nil context or function.
type Store struct {
	cfg    Config
	leader *leader
	counts counts

	life context.Context // It ends with the Store.
	die  context.CancelFunc
	work sync.WaitGroup // the Store's goroutines

	waiters lane.Waiters
	write   *lane.Lane // Whoever has it may write, and has the writer.
	read    *lane.Lane // At most so many have a reader.
	writer  *conn      // It is whose who has the write lane; nil if there is none.
	readers idle
	news    commits
	sqldb   face
	ending  sync.Once
}

var (
	_ pool.Store   = (*Store)(nil)
	_ pool.StoreTx = (*tx)(nil)
)

// Open returns a Store on a cluster. It waits for a leader until ctx ends, and for
// AcquireTimeout at most: ErrNoQuorum then. A faulty Config is pool.ErrConfig.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	if ctx == nil {
		return nil, &pool.Error{Op: "open", Path: cfg.Database, Err: fs.ErrInvalid, Cause: errors.New("ctx is nil")}
	}
	s := &Store{cfg: cfg, leader: newLeader(cfg)}
	s.life, s.die = context.WithCancel(context.Background())
	s.waiters.Limit = cfg.MaxWaiters
	s.write, s.read = lane.New(1, &s.waiters), lane.New(cfg.MaxConns-1, &s.waiters)
	first, err := s.connect(ctx, "open")
	if err != nil {
		s.die()
		return nil, err
	}
	s.readers.give(first)
	s.work.Go(func() { s.leader.watch(s.life) })
	return s, nil
}

// idle are connections that nobody has.
type idle struct {
	mu    sync.Mutex // It guards the fields below.
	conns []*conn
	over  bool
}

// take returns a connection, or nil if there is none.
func (i *idle) take() *conn {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := len(i.conns); n > 0; n = len(i.conns) {
		c := i.conns[n-1]
		i.conns = i.conns[:n-1]
		if !c.broken() {
			return c
		}
		c.close()
	}
	return nil
}

// give takes a connection back.
func (i *idle) give(c *conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over || c.broken() || c.marked {
		c.close()
		return
	}
	i.conns = append(i.conns, c)
}

func (i *idle) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
	for _, c := range i.conns {
		c.close()
	}
	i.conns = nil
}

func (i *idle) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.conns)
}

// acquire waits in a lane.
func (s *Store) acquire(ctx context.Context, in *lane.Lane, want lane.Access, op string) error {
	s.counts.acquires.Add(1)
	if err := in.Lock(ctx, want, s.wait()); err != nil {
		return s.waitFailed(op, err)
	}
	return nil
}

func (s *Store) wait() lane.Wait {
	return lane.Wait{Timeout: s.cfg.AcquireTimeout, Newcomer: true}
}

// reader is an idle connection or a new one, for whoever has a place in the read lane.
func (s *Store) reader(ctx context.Context, op string, readOnly bool) (*conn, error) {
	for {
		c := s.readers.take()
		if c == nil {
			var err error
			if c, err = s.connect(ctx, op); err != nil {
				return nil, err
			}
		}
		c.mu.Lock()
		err := c.setReadOnly(ctx, readOnly)
		c.mu.Unlock()
		if err == nil {
			return c, nil
		}
		c.close()
		if !isGone(err) || ctx.Err() != nil {
			return nil, s.began(ctx, op, err)
		}
	}
}

// giveBack takes a reading connection back, and the place in the read lane.
func (s *Store) giveBack(c *conn) {
	s.readers.give(c)
	s.read.Unlock(lane.Shared)
}
