package pool

import (
	"context"
	"errors"
	"iter"
	"maps"
	"runtime"
	"sync"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/internal/watch"
)

// Watch runs fn in a View at once, and again whenever a commit may have changed what
// its last run read, and yields fn's error after each run:
//
//	for err := range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
//		return tx.QueryRow(ctx, "SELECT count(*) FROM files").Scan(&files)
//	}) {
//		...
//	}
//
// What is yielded reflects every commit that had returned before fn began to read, and
// after the last commit there is always a run that sees it. Commits that come while
// fn or the loop's body runs are followed by one run. A commit that a run has seen may
// cause one more run. Between runs Watch holds no connection and no snapshot, and at
// most half of the read lane's connections run such functions at the same time.
//
// What was read and what was changed is told by table: through views, triggers,
// foreign keys' actions, common table expressions and a virtual table's own tables
// too. What counts is what fn reads in its View, that is with its ctx. A commit that
// wrote no row is nobody's, that of a PRAGMA such as user_version too, nor is one of
// TEMP tables or what was undone in a savepoint. A change of the schema, ANALYZE and
// VACUUM concern everybody, and so does a call of [Lease.Raw] that wrote. Tables of
// attached databases go by their names alone. A virtual table that reads others (FTS5
// with external content) is read anew after any commit, and so is what fn reads in
// sqlite_sequence, or by PRAGMA integrity_check and its like. After a run that failed,
// what the one before has read counts too.
//
// Commits of other processes concern everybody, since SQLite tells that there was one
// and no more. They are looked for every Config.WatchInterval, and in databases that
// OnConnect attaches too. Where nobody can tell, that counts as one: where the write
// lane has another connection than at the last look, where a read-only pool, which has
// none, looks on another connection than the last time, and where a lease or an sql.Conn
// writes, outside a transaction, while it reads other rows.
//
// The loop ends with its own break; with ctx, whose error is yielded last; and with
// the pool, which is ErrClosed, yielded last. An error of fn's does not end it, nor does
// ErrMoved, which is yielded instead of a run when the database file is no longer where
// it was, with a run following once it is back. Where the pool has no connection for a
// View its error is yielded and the View tried again, after a pause that grows to a
// second. A ctx that carries a transaction is ErrDeadlock at once. The loop may be run
// more than once, by several goroutines too.
func (p *Pool) Watch(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) iter.Seq[error] {
	return func(yield func(error) bool) {
		if yield == nil {
			return
		}
		err := p.given("watch", ctx, fn != nil)
		if err == nil {
			err = p.mayWatch(ctx)
		}
		if err != nil {
			yield(err)
			return
		}
		w := &watching{pool: p, fn: fn, holder: holder{ctx: ctx}, listener: p.watches.join(p, (*watch.Hub).Listen)}
		w.holder.depth = runtime.Callers(2, w.holder.frames(p, 2))
		who := w.holder.key()
		p.watches.from.count(who, 1)
		defer p.watches.from.count(who, -1)
		defer p.watches.leave(w.listener)
		for {
			err, over := w.run(ctx)
			if !yield(err) || over {
				return
			}
			if err := w.wait(ctx); err != nil {
				yield(err)
				return
			}
		}
	}
}

// mayWatch refuses a context that others wait for.
func (p *Pool) mayWatch(ctx context.Context) error {
	if p.TxFromContext(ctx) != nil {
		return p.fail("watch", ErrDeadlock, nil, "the context carries a transaction, which the loop would outlast; use a context without it")
	}
	return p.wouldDeadlock(ctx, nil, lane.Shared)
}

// watching is a loop of Watch.
//
// Why nothing is missed and nothing is early. A commit gets a number after SQLite has
// made it visible and before the call that committed returns (account), while its
// connection has the write slot, so that the order of the numbers is that of the
// commits. A run takes the number of the last commit, then its snapshot begins: from.
//
//   - What had returned before has its number, and SQLite shows it to the snapshot.
//   - What the snapshot does not show becomes visible after it began, so its number is
//     greater than from. After the run the loop first says what it wants, then asks
//     whether a commit after from has changed that. If the commit had its number by
//     then, the answer is yes. If not, then whoever gives it the number finds the loop
//     among those that want it, and rings. So there is another run.
//   - What the snapshot shows may still get its number after from was taken. That is the
//     one more run; its from is the commit's number at least, and it causes no third.
//
// A commit gets no number while nobody listens, which the one who commits asks
// after the commit. If the answer is no, who begins to listen then does so after the
// commit, and its first snapshot shows it.
//
// A transaction that was open already when somebody began to listen has noted what
// it changed all the same.
type watching struct {
	pool     *Pool
	fn       func(context.Context, *Tx) error
	holder   holder // Whoever waits for a connection is told of the loop.
	listener *watch.Listener
	from     uint64       // What the last run did not see has a greater number.
	region   watch.Region // What the last run has read.
	failed   bool         // The last run did not take place.
	pause    time.Duration
}

// run runs fn, if it can, and returns its error or why it did not run. over says that
// the loop ends with that.
func (w *watching) run(ctx context.Context) (err error, over bool) {
	p := w.pool
	w.failed = false
	if !p.watches.enter(ctx) {
		return p.watchEnded(ctx), true
	}
	defer p.watches.exit()
	w.from = p.watches.hub.Now()
	if err := p.movedAway(); err != nil {
		return err, false // the file's coming back is announced
	}
	var read watch.Region
	ran := false
	h := w.holder
	err = p.snapshot(ctx, func(ctx context.Context, tx *Tx) error {
		ran = true
		w.from = p.watches.hub.Now()
		tx.noteReads(&read)
		defer tx.noteReads(nil)
		err := w.fn(ctx, tx)
		tx.noteReads(nil)
		p.addVirtual(ctx, tx, w.from, &read)
		return err
	}, &h)
	switch {
	case !ran && (ctx.Err() != nil || p.conns.isClosing()):
		return p.watchEnded(ctx), true
	case !ran:
		w.failed = true
		return err, errors.Is(err, ErrDeadlock)
	case err != nil:
		read.All = read.All || w.region.All
		read.Add(w.region.Tables...)
	}
	w.region, w.pause = read, 0
	return err, false
}

// watchEnded says why a loop is over.
func (p *Pool) watchEnded(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return p.fail("watch", nil, err)
	}
	return p.fail("watch", ErrClosed, nil)
}

// movedAway is an error if the database file was found moved and still is.
func (p *Pool) movedAway() error {
	if p.moved.Load() {
		return p.checkFile("watch")
	}
	return nil
}

// wait waits until there is to be another run. It fails if there is none.
func (w *watching) wait(ctx context.Context) error {
	hub := w.pool.watches.hub
	var again <-chan time.Time
	if w.failed {
		w.pause = min(max(2*w.pause, 10*time.Millisecond), time.Second)
		t := time.NewTimer(w.pause)
		defer t.Stop()
		again = t.C
	} else {
		hub.Want(w.listener, w.region)
	}
	for {
		switch {
		case ctx.Err() != nil, w.pool.conns.isClosing():
			return w.pool.watchEnded(ctx)
		case !w.failed && hub.ChangedSince(w.from, w.region):
			return nil
		}
		select {
		case <-again:
			return nil
		case <-w.listener.Bell():
		case <-w.pool.watches.refused:
		case <-ctx.Done():
		}
	}
}

// noteReads has the connection note what is read there; nil ends it.
func (t *Tx) noteReads(in *watch.Region) {
	t.conn.mu.Lock()
	defer t.conn.mu.Unlock()
	t.conn.reads = in
}

// watches are a pool's loops of Watch and Changes, and what goes on while there are
// some: one goroutine rings for those whom a commit concerns, another looks for other
// processes' commits.
type watches struct {
	hub     *watch.Hub
	places  chan struct{} // A run holds one, so that the runs leave others their part of the read lane.
	refused chan struct{} // It is closed when the pool takes no new work.
	once    sync.Once
	virtual virtualTables

	mu    sync.Mutex // It guards the fields below.
	users int
	stop  func() // It ends the goroutines and waits for them; nil while there are none.
	over  bool   // There are to be none any more.

	from watchers
}

// watchers are where loops of Watch were begun. Unlike those of watches, its mutex is
// held for no longer than it takes to count.
type watchers struct {
	mu    sync.Mutex
	loops map[watcherKey]int // So many come from there.
}

func (w *watches) init(p *Pool) {
	w.hub = watch.NewHub(sqlite.Fold)
	readers := p.cfg.MaxConns
	if p.write != nil {
		readers--
	}
	w.places = make(chan struct{}, max(readers/2, 1))
	w.refused = make(chan struct{})
}

// join makes a listener. leave ends it.
func (w *watches) join(p *Pool, listen func(*watch.Hub) *watch.Listener) *watch.Listener {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := listen(w.hub)
	if w.users++; w.users == 1 && !w.over {
		w.virtual.forget()
		p.lookFirst()
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { w.distribute(ctx) })
		if p.looksForOthers() {
			wg.Go(func() { p.pollOthers(ctx) })
		}
		w.stop = func() {
			cancel()
			wg.Wait()
		}
	}
	return l
}

func (w *watches) leave(l *watch.Listener) {
	w.hub.Forget(l)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.users--; w.users == 0 {
		w.end()
	}
}

// watcherKey tells loops of Watch from each other by where they were begun.
type watcherKey struct {
	label string
	stack [12]uintptr
	depth int
}

func (h *holder) key() watcherKey { return watcherKey{labelOf(h.ctx), h.stack, h.depth} }

// count counts the loops that come from there.
func (w *watchers) count(key watcherKey, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.loops == nil {
		w.loops = make(map[watcherKey]int)
	}
	if w.loops[key] += n; w.loops[key] == 0 {
		delete(w.loops, key)
	}
}

func (w *watchers) all() map[watcherKey]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.loops)
}

// end ends the goroutines. The caller holds mu, which they never take.
func (w *watches) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// distribute rings for those whom commits concern, until the context ends.
func (w *watches) distribute(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.hub.Bell():
			w.hub.Distribute()
		}
	}
}

// enter waits for a place to run in. It reports false if there is to be no run.
func (w *watches) enter(ctx context.Context) bool {
	select {
	case <-w.refused:
		return false
	case <-ctx.Done():
		return false
	default:
	}
	select {
	case w.places <- struct{}{}:
		return true
	case <-w.refused:
	case <-ctx.Done():
	}
	return false
}

func (w *watches) exit() { <-w.places }

// refuse ends every loop.
func (w *watches) refuse() { w.once.Do(func() { close(w.refused) }) }

// close ends what goes on beside the loops.
func (w *watches) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.end()
}
