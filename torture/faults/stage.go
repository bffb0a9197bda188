package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/torture/bank"
	"go.uber.org/goleak"
	lib "modernc.org/sqlite/lib"
)

// stage is where one attempt takes place: a pool on a fresh database, a writer
// that goes on whatever fails, and an audit at the end.
type stage struct {
	ctx     context.Context
	setup   bank.Setup
	pool    *pool.Pool
	allowed func(error) bool // what may come of the fault

	mu       sync.Mutex  // guards what follows
	seq      map[int]int // the last movement of each writer
	acks     []bank.Ack
	doubtful map[bank.Movement]bool // those that failed before they succeeded
	promised chan<- struct{}        // is told of each acknowledgement, if it is there
	failed   int                    // calls
	doubled  int                    // movements that were done although they failed, and were done again

	leaks   goleak.Option
	handles int // open file descriptors before
}

func newStage(ctx context.Context, dir, journal string, allowed func(error) bool) *stage {
	return &stage{
		ctx:     context.WithoutCancel(ctx),
		setup:   bank.Setup{Path: filepath.Join(dir, "bank.db"), Journal: journal, Synchronous: "full", Run: 1, Seed: 1},
		allowed: allowed, seq: make(map[int]int), doubtful: make(map[bank.Movement]bool), leaks: goleak.IgnoreCurrent(), handles: handles(),
	}
}

// config is that of a pool that meets its fault often: it keeps little in memory.
func (s *stage) config() pool.Config {
	cfg := s.setup.Config()
	cfg.MaxConns = 3
	cfg.Pragmas = map[string]string{"cache_size": "5"}
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.HealthCheckInterval = -1
	return cfg
}

// open opens the pool. While there is a fault that may fail, and must say why.
func (s *stage) open(cfg pool.Config) error {
	p, err := pool.Open(s.ctx, cfg)
	if err != nil {
		return s.note(err)
	}
	if err := bank.Prepare(s.ctx, p); err != nil {
		return errors.Join(s.note(err), p.Close())
	}
	s.pool = p
	return nil
}

// trouble is a fault that lasts until so many calls have failed.
type trouble struct {
	forgives int
	heal     func() error
	healed   bool
}

// try runs a step until it succeeds. Once the fault is healed no failure is
// forgiven: the pool has recovered.
func (t *trouble) try(step func() error) error {
	for failures := 1; ; failures++ {
		err := step()
		switch {
		case err == nil, errors.Is(err, errUnexpected):
			return err
		case t.healed:
			return fmt.Errorf("after the fault had gone: %w", err)
		case failures <= t.forgives:
			continue
		}
		if err := t.end(); err != nil {
			return err
		}
	}
}

// end heals the fault if it is still there.
func (t *trouble) end() error {
	if t.healed {
		return nil
	}
	t.healed = true
	return t.heal()
}

// workload is moves, and a look at everything now and then.
func (s *stage) workload(t *trouble, moves int) error {
	for i := range moves {
		if err := t.try(s.move); err != nil {
			return err
		}
		if i%5 == 0 {
			if err := t.try(s.view); err != nil {
				return err
			}
		}
	}
	return nil
}

// errUnexpected marks an error that the fault does not explain.
var errUnexpected = errors.New("not what this fault may lead to")

// note counts a failed call, and sees that the error is one that may come.
func (s *stage) note(err error) error {
	s.mu.Lock()
	s.failed++
	s.mu.Unlock()
	var e *pool.Error
	switch {
	case !s.allowed(err):
		return fmt.Errorf("%w: %w", errUnexpected, err)
	case errors.As(err, &e) && !strings.Contains(err.Error(), s.setup.Path):
		return fmt.Errorf("%w: it does not name the file: %w", errUnexpected, err)
	}
	return err
}

// move does the first writer's next movement.
func (s *stage) move() error { return s.moveAs(0) }

// moveAs does a writer's next movement. If it fails it is still the next one.
func (s *stage) moveAs(writer int) error {
	s.mu.Lock()
	seq := s.seq[writer] + 1
	s.mu.Unlock()
	ack, err := s.setup.Move(s.ctx, s.pool, writer, seq)
	if err != nil {
		s.mu.Lock()
		s.doubtful[bank.Movement{Writer: writer, Seq: seq}] = true
		s.mu.Unlock()
		return s.note(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.promised != nil {
		s.promised <- struct{}{}
	}
	s.acks = append(s.acks, ack)
	s.seq[writer] = seq
	return nil
}

// view reads everything in one snapshot.
func (s *stage) view() error {
	err := s.pool.View(s.ctx, func(ctx context.Context, tx *pool.Tx) error {
		var n int
		return tx.QueryRowContext(ctx, "SELECT sum(length(note)) + (SELECT sum(balance) FROM account) FROM entry").Scan(&n)
	})
	if err != nil && !strings.Contains(err.Error(), "converting NULL") {
		return s.note(err)
	}
	return nil
}

// finish closes the pool and looks at everything that must be so afterwards.
func (s *stage) finish() (lost int, err error) {
	var errs []error
	if s.pool != nil {
		errs = append(errs, s.pool.HealthCheck(s.ctx), s.pool.Close())
		s.pool = nil
	}
	lost, err = s.audit(s.setup.Path)
	return lost, errors.Join(append(errs, err, s.leftovers())...)
}

func (s *stage) audit(path string) (lost int, err error) {
	auditor := bank.Auditor{Doubtful: s.doubtful}
	lost, err = auditor.Audit(s.ctx, path, s.setup.Run, s.acks)
	s.doubled = auditor.Doubled
	return lost, err
}

// leftovers are goroutines and descriptors that were not there before.
func (s *stage) leftovers() error {
	err := goleak.Find(s.leaks)
	if now := handles(); now > s.handles {
		err = errors.Join(err, fmt.Errorf("%d descriptors are open, %d were before", now, s.handles))
	}
	return err
}

func handles() int {
	open, _ := os.ReadDir("/proc/self/fd")
	return len(open)
}

// codes allows SQLite's primary result codes.
func codes(primary ...int) func(error) bool {
	return func(err error) bool {
		code, ok := pool.Code(err)
		for _, p := range primary {
			if ok && code&0xff == p {
				return true
			}
		}
		return false
	}
}

// sentinels allows the pool's own.
func sentinels(all ...error) func(error) bool {
	return func(err error) bool {
		for _, sentinel := range all {
			if errors.Is(err, sentinel) {
				return true
			}
		}
		return false
	}
}

func either(all ...func(error) bool) func(error) bool {
	return func(err error) bool {
		for _, allows := range all {
			if allows(err) {
				return true
			}
		}
		return false
	}
}

// What SQLite calls the failures of a disk.
const (
	ioErr    = lib.SQLITE_IOERR
	full     = lib.SQLITE_FULL
	cantOpen = lib.SQLITE_CANTOPEN
	corrupt  = lib.SQLITE_CORRUPT
	notADB   = lib.SQLITE_NOTADB
	readOnly = lib.SQLITE_READONLY
	noTable  = lib.SQLITE_ERROR // an empty file is an empty database
)
