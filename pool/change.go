package pool

import (
	"context"
	"iter"
	"sync"

	"github.com/sqlane/sqlane/internal/watch"
)

// Change is what one commit, or several in a row, may have changed.
type Change struct {
	Tables   []string // The tables, as declared and sorted; those of attached databases by their names alone.
	Schema   bool     // The schema may have changed, or rowids or answers' order, by VACUUM and ANALYZE.
	External bool     // Another process has committed, or Lease.Raw has written: anything may have changed, and Tables is nil.
}

// Changes is the raw feed of what commits change, for caches: one Change whenever
// something was committed, from the call of Changes on. Commits that come while the
// loop's body runs are one Change. What counts as a change, and when it is told, is as
// for [Pool.Watch]; a Change is yielded after its commits, so what is read then shows
// them.
//
// The loop ends as that of Watch does. ErrMoved, with a Change that says nothing, does not
// end it. A second loop over the same feed goes on from the end of the first: not from
// what was missed in between. Whoever calls Changes and never runs the loop ends ctx,
// or the pool goes on keeping account for it.
func (p *Pool) Changes(ctx context.Context) iter.Seq2[Change, error] {
	err := p.given("watch", ctx, true)
	if err == nil {
		err = p.mayWatch(ctx)
	}
	if err != nil {
		return func(yield func(Change, error) bool) {
			if yield != nil {
				yield(Change{}, err)
			}
		}
	}
	f := &feed{pool: p, ready: p.watches.join(p, (*watch.Hub).Feed)}
	f.stop = context.AfterFunc(ctx, func() {
		if l := f.claim(); l != nil {
			p.watches.leave(l)
		}
	})
	return func(yield func(Change, error) bool) { f.run(ctx, yield) }
}

// feed is what Changes returned.
type feed struct {
	pool *Pool
	stop func() bool // The end of the context does not concern the listener any more.

	mu    sync.Mutex
	ready *watch.Listener // It has listened since the call; nil once a loop has it, or the context ended.
}

func (f *feed) claim() *watch.Listener {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.ready
	f.ready = nil
	return l
}

func (f *feed) run(ctx context.Context, yield func(Change, error) bool) {
	if yield == nil {
		return
	}
	w := &f.pool.watches
	l := f.claim()
	f.stop()
	if l == nil {
		l = w.join(f.pool, (*watch.Hub).Feed)
	}
	defer w.leave(l)
	for {
		closing := f.pool.conns.isClosing()
		if closing {
			w.hub.Distribute()
		}
		if ctx.Err() != nil {
			yield(Change{}, f.pool.watchEnded(ctx))
			return
		}
		switch change, ok := w.hub.Take(l); {
		case ok:
			if err := f.pool.movedAway(); err != nil {
				if !yield(Change{}, err) {
					return
				}
			} else if !yield(Change(change), nil) {
				return
			}
		case closing:
			yield(Change{}, f.pool.watchEnded(ctx))
			return
		default:
			select {
			case <-l.Bell():
			case <-w.refused:
			case <-ctx.Done():
			}
		}
	}
}
