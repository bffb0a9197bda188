// Package mix does everything that a pool offers to one database at once, and
// knows afterwards what must have become of it.
package mix

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/pool"
)

const (
	accounts = 50
	balance  = 1000
	total    = accounts * balance
)

const tables = `
CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0);
CREATE TABLE note (text TEXT NOT NULL);
`

// Mix is a bank whose money never grows or shrinks, and a counter for each kind
// of operation, which holds exactly the increments that were acknowledged.
type Mix struct {
	pool     *pool.Pool
	beside   bool // who holds rows of one lease may write through another
	stmt     *sql.Stmt
	ownTable atomic.Int64 // the number of the last table that somebody made for himself
	done     []atomic.Int64
	added    []atomic.Int64
	maxWAL   atomic.Int64

	mu     sync.Mutex // guards what follows
	errors map[string]int64
	failed error
}

// New makes the tables.
func New(ctx context.Context, p *pool.Pool) (*Mix, error) {
	var journal string
	if err := p.DB().QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return nil, err
	}
	m := &Mix{
		pool: p,
		// Where readers and the writer exclude each other, and with a single
		// connection, who did this would wait for himself.
		beside: journal == "wal" && p.Stats().MaxConns > 1,
		done:   make([]atomic.Int64, len(kinds)),
		added:  make([]atomic.Int64, len(kinds)),
		errors: make(map[string]int64),
	}
	err := p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		if err := exec(ctx, tx, tables); err != nil {
			return err
		}
		for id := range accounts {
			if err := exec(ctx, tx, "INSERT INTO account VALUES (?, ?)", id, balance); err != nil {
				return err
			}
		}
		for id := range kinds {
			if err := exec(ctx, tx, "INSERT INTO counter (id) VALUES (?)", id); err != nil {
				return err
			}
		}
		return nil
	})
	return m, err
}

// Run has goroutines work until each has done so many operations, ctx ends or
// one of them fails. The end of ctx cancels no operation: whatever was begun
// must succeed. With as many operations as there are kinds each does them all;
// 0 is no limit.
func (m *Mix) Run(ctx context.Context, goroutines, operations int) error {
	var err error
	if m.stmt, err = m.pool.DB().PrepareContext(context.WithoutCancel(ctx), addOne); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			order := rand.Perm(len(kinds))
			for i := 0; (operations == 0 || i < operations) && ctx.Err() == nil; i++ {
				if err := m.step(context.WithoutCancel(ctx), order[i%len(order)]); err != nil {
					m.fail(err)
					stop()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(m.failed, m.stmt.Close())
}

// step does one operation, and looks whether a limit is exceeded meanwhile.
func (m *Mix) step(ctx context.Context, kind int) error {
	added, err := kinds[kind].run(operation{m, kind}, ctx)
	if err != nil {
		m.count(err)
		return fmt.Errorf("%s: %w", kinds[kind].name, err)
	}
	m.added[kind].Add(int64(added))
	m.done[kind].Add(1)
	s := m.pool.Stats()
	for {
		seen := m.maxWAL.Load()
		if s.WALBytes <= seen || m.maxWAL.CompareAndSwap(seen, s.WALBytes) {
			break
		}
	}
	if s.Open > s.MaxConns {
		return fmt.Errorf("%d connections are open, %d allowed", s.Open, s.MaxConns)
	}
	return nil
}

// fail keeps the first failure: the others often follow from it.
func (m *Mix) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed == nil {
		m.failed = err
	}
}

// Verify looks, after Run, whether everything is as it must be.
func (m *Mix) Verify(ctx context.Context) error {
	return errors.Join(m.rest(ctx), m.pool.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
		errs := []error{audit(ctx, tx)}
		for id, kind := range kinds {
			n, err := number(ctx, tx, "SELECT n FROM counter WHERE id = ?", id)
			if want := m.added[id].Load(); err == nil && n != want {
				err = fmt.Errorf("%s: the counter is %d, but %d increments were acknowledged", kind.name, n, want)
			}
			errs = append(errs, err)
		}
		for what, query := range map[string]string{
			"tables that were dropped or rolled back": "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'own%'",
			"notes that were deleted":                 "SELECT count(*) FROM note",
			"faults in the file":                      "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
		} {
			n, err := number(ctx, tx, query)
			if err == nil && n > 0 {
				err = fmt.Errorf("there are %d %s", n, what)
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}))
}

// rest waits until nobody holds or waits for anything. It may take a moment:
// database/sql rolls a cancelled transaction back in a goroutine of its own, and
// the pool's maintenance takes leases too.
func (m *Mix) rest(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		s := m.pool.Stats()
		switch {
		case s.Reclaimed+s.Timeouts+s.Overloads > 0:
			return fmt.Errorf("%d leases reclaimed, %d timeouts, %d overloads", s.Reclaimed, s.Timeouts, s.Overloads)
		case s.InUse == 0 && s.Waiting == 0 && s.WriteQueue == 0:
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("nobody works, but %d leases are out and %d callers wait", s.InUse, s.Waiting)
		}
	}
}

// Kinds names the kinds of operations.
func Kinds() (names []string) {
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Figures is what was done so far.
type Figures struct {
	Operations []int64          // of each of Kinds
	Total      int64            // of all
	Errors     map[string]int64 // by sentinel; those that had to come included
	MaxWAL     int64            // most bytes that the log had
}

// Figures may be called while Run is at work.
func (m *Mix) Figures() Figures {
	f := Figures{Errors: make(map[string]int64), MaxWAL: m.maxWAL.Load()}
	for i := range m.done {
		n := m.done[i].Load()
		f.Operations = append(f.Operations, n)
		f.Total += n
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, n := range m.errors {
		f.Errors[name] = n
	}
	return f
}

// sentinels are what errors are counted by, the more telling ones first.
var sentinels = []struct {
	name string
	err  error
}{
	{"ErrBusy", pool.ErrBusy},
	{"ErrConflict", pool.ErrConflict},
	{"ErrAcquireTimeout", pool.ErrAcquireTimeout},
	{"ErrOverloaded", pool.ErrOverloaded},
	{"ErrUnhealthy", pool.ErrUnhealthy},
	{"ErrMoved", pool.ErrMoved},
	{"ErrClosed", pool.ErrClosed},
	{"ErrTxLost", pool.ErrTxLost},
	{"ErrTxDone", pool.ErrTxDone},
	{"ErrTxControl", pool.ErrTxControl},
	{"ErrNestedLevel", pool.ErrNestedLevel},
	{"ErrDeadlock", pool.ErrDeadlock},
	{"ErrReadOnly", pool.ErrReadOnly},
	{"ErrReleased", pool.ErrReleased},
	{"context.Canceled", context.Canceled},
	{"sql.ErrTxDone", sql.ErrTxDone},
	{"own", errUndo},
}

func (m *Mix) count(err error) {
	name := "other"
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			name = s.name
			break
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errors[name]++
}

// met is nil if err is one of those that had to come.
func (m *Mix) met(err error, expected ...error) error {
	for _, e := range expected {
		if errors.Is(err, e) && !pool.IsBusy(err) {
			m.count(err)
			return nil
		}
	}
	return fmt.Errorf("expected %v, got %w", expected, err)
}
