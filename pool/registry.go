package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// Registry holds the pools of a process: one for each database file, by
// whatever name it is asked for, since two would not know of each other's
// writers. Its zero value is ready. It is safe for concurrent use.
type Registry struct {
	mu      sync.Mutex    // guards what follows
	opening chan struct{} // holds a token while a pool is opened, so that none is opened twice
	pools   []*Pool
}

// Open returns the pool of the database file, which it opens if there is none
// or if it was closed. Symbolic and hard links lead to the same pool. The
// configuration of the first Open counts; while that pool shuts down it is
// ErrClosed; a later one that is ReadOnly, or
// Immutable, where the pool is not, or the other way round, is ErrConfig. Each database in memory is
// one of its own.
func (r *Registry) Open(ctx context.Context, cfg Config) (*Pool, error) {
	if r == nil {
		return nil, errNoRegistry("open")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if ctx == nil {
		return nil, errNoContext("open", cfg.Path)
	}
	if err := r.takeTurn(ctx); err != nil {
		return nil, &Error{Op: "open", Path: cfg.Path, Cause: err}
	}
	defer func() { <-r.opening }()
	if cfg.Path != Memory {
		path, err := realPath(cfg.Path)
		if err != nil {
			return nil, &Error{Op: "open", Path: cfg.Path, Cause: err}
		}
		cfg.Path = path
		if p := r.find(path); p != nil {
			if p.conns.isClosing() {
				return nil, p.fail("open", ErrClosed, nil, "it is still shutting down")
			}
			asked := cfg.WithDefaults()
			if p.cfg.ReadOnly != asked.ReadOnly {
				return nil, p.fail("open", ErrConfig, nil, "it is open already, and ReadOnly differs")
			}
			if p.cfg.Immutable != asked.Immutable {
				return nil, p.fail("open", ErrConfig, nil, "it is open already, and Immutable differs")
			}
			return p, nil
		}
	}
	cfg.Name = r.freeName(cmp.Or(cfg.Name, cfg.Path))
	p, err := Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pools = append(r.pools, p)
	return p, nil
}

// freeName is the name, with a number behind it if a pool has it already.
func (r *Registry) freeName(name string) string {
	pools := r.Pools()
	free := name
	for n := 2; slices.ContainsFunc(pools, func(p *Pool) bool { return p.Name() == free }); n++ {
		free = fmt.Sprintf("%s %d", name, n)
	}
	return free
}

func (r *Registry) takeTurn(ctx context.Context) error {
	r.mu.Lock()
	if r.opening == nil {
		r.opening = make(chan struct{}, 1)
	}
	r.mu.Unlock()
	select {
	case r.opening <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// find returns the open pool of the file, and forgets those that were closed.
func (r *Registry) find(path string) *Pool {
	info, err := os.Stat(path)
	for _, p := range r.Pools() {
		if !p.memory() && (p.path == path || err == nil && os.SameFile(info, p.identity)) {
			return p
		}
	}
	return nil
}

// Pools returns the pools that are not closed, in the order of their opening. A nil
// Registry has none.
func (r *Registry) Pools() []*Pool {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pools = slices.DeleteFunc(r.pools, (*Pool).isClosed)
	return slices.Clone(r.pools)
}

func (p *Pool) isClosed() bool { return p.ending.over.Load() }

// HealthCheck checks every pool at the same time, and joins what is wrong.
func (r *Registry) HealthCheck(ctx context.Context) error {
	return r.each("health check", func(p *Pool) error { return p.HealthCheck(ctx) })
}

// Shutdown shuts every pool down at the same time, and joins what went wrong.
// Pools opened later are not concerned.
func (r *Registry) Shutdown(ctx context.Context) error {
	return r.each("shutdown", func(p *Pool) error { return p.Shutdown(ctx) })
}

func (r *Registry) each(op string, f func(*Pool) error) error {
	if r == nil {
		return errNoRegistry(op)
	}
	pools := r.Pools()
	errs := make([]error, len(pools))
	var wg sync.WaitGroup
	for i, p := range pools {
		wg.Go(func() { errs[i] = f(p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
