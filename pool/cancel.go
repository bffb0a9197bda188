package pool

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// running is what a connection executes right now, for the watcher to see, and for
// whoever else wants to know what becomes of the connection: see peek.go.
type running struct {
	call         atomic.Pointer[call] // SQLite executes something for this call; nil if for none.
	stmt         *sqlite.Stmt         // It is this statement; nil while one is prepared. Who looks at the call may read it.
	pausing      atomic.Bool          // Whoever has conn.mu waits for somebody else, and changes nothing.
	interrupting sync.Mutex           // It is held while the watcher looks, so that no interrupt comes late.
	looked       atomic.Bool          // The mutex is held, or will be.
	peeking      sync.Mutex           // Those who peek take turns, so that none hides the connection from another.
}

// end waits for a look or an interrupt that is under way: the watcher announces
// itself before it looks at call, so either it finds nothing or it is seen here.
func (r *running) end() {
	r.call.Store(nil)
	r.letLook()
}

// letLook waits for a look that is under way.
func (r *running) letLook() {
	if r.looked.Load() {
		r.waitForLook()
	}
}

func (r *running) waitForLook() {
	r.interrupting.Lock()
	//lint:ignore SA2001 to have waited is all
	r.interrupting.Unlock()
}

// pause lets others look at the connection while its owner, who has conn.mu, waits
// for somebody else by f, which changes nothing that conn.mu guards.
func (r *running) pause(f func() error) error {
	r.pausing.Store(true)
	defer func() { // a context of the program's may panic
		r.pausing.Store(false)
		r.letLook()
	}()
	return f()
}

// interruptible runs f, one call into SQLite, and has it interrupted when the
// caller's context ends or the pool's patience does.
func (c *conn) interruptible(cl *call, s *sqlite.Stmt, f func() error) error {
	c.running.stmt = s
	c.running.call.Store(cl)
	if cl.interruptible() {
		c.pool.watcher.wake()
	}
	returned, at := false, c.started()
	defer func() {
		c.running.end()
		if !returned { // a panic or Goexit is passing through, of a function that SQL calls
			c.abort(s)
		}
	}()
	err := f()
	returned = true
	cl.stopped(c, at)
	return err
}

// abort gives up what SQLite was doing when a function that it called did not
// return to it, and the transaction with it. The connection is not used again. s is
// nil while preparing.
func (c *conn) abort(s *sqlite.Stmt) {
	g := &c.guard
	c.broken = errors.New("a function that SQL called did not return")
	if g.inTx() && g.lost == nil {
		g.lost = c.broken
		c.pool.counts.lost.Add(1)
	}
	if s != nil {
		c.endsRun(s, c.broken)
	}
	c.db.Abandon(s)
	c.work.Undo()
	c.locks.settle(c)
}

// overdue interrupts the running statement if its time is over. watched is
// false if nothing runs that could be cancelled.
func (c *conn) overdue(interruptAll bool) (watched bool) {
	r := &c.running
	if r.call.Load() == nil {
		return false
	}
	r.interrupting.Lock()
	defer r.interrupting.Unlock()
	r.looked.Store(true) // before it looks at the call, which is used again after the end
	defer r.looked.Store(false)
	cl := r.call.Load()
	if cl == nil || cl.uncancellable() {
		return false
	}
	if interruptAll || cl.interruptible() && cl.Context.Err() != nil {
		c.db.Interrupt()
	}
	return cl.interruptible()
}

// watchInterval is how often running statements are looked at: the longest
// time, roughly, between the end of a context and the interrupt.
const watchInterval = 5 * time.Millisecond

// watcher interrupts statements whose context has ended. One goroutine looks at
// all connections at intervals, and sleeps while nothing cancellable runs:
// registering with each statement's context would cost a good part of a short
// query. It interrupts again and again, since SQLite drops an interrupt that
// comes before the first step of a statement.
type watcher struct {
	pool   *Pool
	conns  []*conn       // These are looked at; memory that is used again.
	at     atomic.Int64  // It looked last at this time, on the pool's clock; 0 while it sleeps.
	asleep atomic.Bool   // Nothing is looked at until somebody wakes the watcher.
	woken  chan struct{} // It has room for the one signal that does.
	stop   chan struct{} // It is closed to end the goroutine,
	done   chan struct{} // and this one by its end.
}

func newWatcher(p *Pool) *watcher {
	w := &watcher{pool: p, woken: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *watcher) wake() {
	if w.asleep.Load() && w.asleep.CompareAndSwap(true, false) {
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) run() {
	defer close(w.done)
	const patience = 20 // looks at nothing before it falls asleep
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for idle := 0; ; {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			w.at.Store(int64(w.pool.clock()))
		}
		if w.look() {
			idle = 0
			continue
		}
		if idle++; idle < patience {
			continue
		}
		w.at.Store(0)
		w.asleep.Store(true)
		if w.look() { // it began in between and saw us awake
			w.asleep.Store(false)
			continue
		}
		tick.Stop()
		select {
		case <-w.stop:
			return
		case <-w.woken:
			tick.Reset(watchInterval)
			idle = 0
		}
	}
}

// look interrupts what is overdue and reports whether anything needs watching. It asks
// contexts, which may be the program's own and use the pool, so it holds none of the
// pool's locks meanwhile, but for what keeps that one statement from ending.
func (w *watcher) look() (busy bool) {
	all := w.pool.ending.isForced()
	w.conns = w.pool.conns.atWork(w.conns[:0])
	for _, c := range w.conns {
		busy = c.overdue(all) || busy
	}
	clear(w.conns) // none is kept alive
	return busy || all
}

func (w *watcher) close() {
	close(w.stop)
	<-w.done
}
