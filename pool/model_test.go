package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestThePoolDoesWhatItsModelDoes runs random programs against a sequential model
// of the pool: leases and transactions of every kind, nested, failing, cancelled,
// abandoned, used after their end, and with contexts of each other. The model says
// what each call must answer, what each reads, and what the figures are. One
// goroutine runs a program, so the model also says which call has to wait: that
// one is seen waiting, then cancelled.
func TestThePoolDoesWhatItsModelDoes(t *testing.T) {
	besideOthers(t) // for it takes long
	met := map[error]int{}
	for _, mode := range []string{"wal", "delete", "memory"} {
		for _, conns := range []int{1, 2, 3} {
			t.Run(mode+string(rune('0'+conns)), func(t *testing.T) {
				rapid.Check(t, func(rt *rapid.T) {
					m := newModel(t, rt, mode, conns)
					m.met = met
					defer m.close()
					m.steps(t.Context(), rounds.Of(8, 30, 30), 0)
					m.finish()
				})
			})
		}
	}
	if testing.Short() { // too few programs to meet everything
		return
	}
	for _, answer := range []error{
		pool.ErrClosed, pool.ErrOverloaded, pool.ErrDeadlock, pool.ErrReleased, pool.ErrTxDone, pool.ErrTxLost, pool.ErrTxControl,
		pool.ErrNestedLevel, pool.ErrReadOnly, pool.ErrConflict, context.Canceled, errWait, errOurs, errPanicked, errExited, nil,
	} {
		require.Positive(t, met[answer], "some program meets: %v", answer)
	}
}

// model is the pool as it must be.
type model struct {
	*rapid.T
	t         *testing.T
	pool      *pool.Pool
	cfg       pool.Config
	excluding bool // readers and the writer exclude each other
	conns     int
	closed    bool

	data    map[int]int // what is committed; replaced, never changed
	version int         // of data
	last    int         // value written: each is written once

	readers int                // connections of the read lane that are leased
	slot    *leased            // who writes, or may
	shared  map[*leased]bool   // who is in a read transaction, where that matters
	parked  map[bool][]*parked // callers that wait: for the write lane, and for the read lane
	users   []*user            // everything that was ever acquired or begun
	ctxs    []context.Context  // of transactions, the ended ones' too
	txs     map[context.Context]*user
	want    pool.Stats // its counters
	met     map[error]int

	panicking bool // as a program wants it
}

// leased is a connection in somebody's hands.
type leased struct {
	primary bool // the write lane's
	over    bool // given back
	killed  bool // closed under its lease

	level    pool.Level
	stack    []*user     // the transaction and what is nested in it
	snapshot map[int]int // since its first statement; nil before
	based    int         // the version of the snapshot
	data     map[int]int // with its own work
	wrote    bool
	lost     bool
}

// user is a lease, a transaction, or a part of one.
type user struct {
	conn     *leased
	on       dbtx
	lease    *pool.Lease
	tx       *pool.Tx
	manual   bool
	readOnly bool
	saved    map[int]int // data before it, if it is a savepoint
}

// parked is a caller in a goroutine of its own, which waits.
type parked struct {
	write  bool
	lease  *pool.Lease
	tx     *pool.Tx
	cancel func()
	done   chan error
}

func newModel(t *testing.T, rt *rapid.T, mode string, conns int) *model {
	m := &model{
		T: rt, t: t, conns: conns, excluding: mode != "wal",
		data:   map[int]int{1: 0},
		shared: map[*leased]bool{}, parked: map[bool][]*parked{}, txs: map[context.Context]*user{},
	}
	m.cfg = pool.Config{
		Path: pool.Memory, Synchronous: "off", MaxConns: conns, MinConns: conns, AcquireTimeout: time.Minute,
		MaxWaiters:          rapid.IntRange(0, 2).Draw(rt, "max waiters"),
		HealthCheckInterval: -1, MaxConnIdleTime: -1, MaxConnLifetime: -1,
		LeakThreshold: time.Millisecond, // so that maintenance comes by often
		Logger:        slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if mode != "memory" {
		m.cfg.JournalMode, m.cfg.Path = pool.JournalMode(mode), filepath.Join(t.TempDir(), "app.db")
	}
	var err error
	m.pool, err = pool.Open(t.Context(), m.cfg)
	require.NoError(rt, err)
	l, err := m.pool.Acquire(t.Context())
	require.NoError(rt, err)
	require.NoError(rt, do(t.Context(), l, "CREATE TABLE n (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO n VALUES (1, 0)"))
	l.Release()
	m.want.Acquires = 1
	return m
}

// draw is one of some numbers, each about as likely as the others, where rapid
// would mostly draw the first ones: programs would be short and alike.
func (m *model) draw(what string, from, to int) int {
	return rapid.Custom(func(t *rapid.T) (n int) {
		for bit := 1; bit <= max(4*(to-from), 1); bit *= 2 {
			if rapid.Bool().Draw(t, "bit") {
				n += bit
			}
		}
		return from + n%(to-from+1)
	}).Draw(m.T, what)
}

func pick[E any](m *model, what string, from ...E) E { return from[m.draw(what, 0, len(from)-1)] }

// steps are a random part of a program.
func (m *model) steps(ctx context.Context, most, depth int) {
	for range m.draw("steps", 0, most) {
		m.step(ctx, depth)
		m.serve()
		m.compare()
	}
}

func (m *model) step(ctx context.Context, depth int) {
	var u *user
	if users := m.candidates(); len(users) > 0 {
		u = users[m.draw("user", 0, len(users)-1)]
	}
	what := m.draw("what", 0, 39)
	if what == 0 && u != nil { // before a context comes into play, which may lead to it
		m.abandon(u)
		return
	}
	switch {
	case m.draw("context", 0, 7) == 0 && len(m.ctxs) > 0: // any transaction's, alive or not
		ctx = m.ctxs[m.draw("whose", max(0, len(m.ctxs)-4), len(m.ctxs)-1)]
	case m.draw("plain", 0, 1) == 0:
		ctx = m.t.Context()
	}
	if m.draw("cancelled", 0, 29) == 0 {
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if own := m.txs[ctx]; own != nil {
			m.txs[cancelled] = own
		}
		ctx = cancelled
	}
	switch {
	case what < 4:
		m.acquire(ctx)
	case what < 9:
		m.begin(ctx)
	case what < 15 && depth < 4:
		m.nest(ctx, u, depth)
	case what == 15:
		m.park()
	case what == 16:
		m.unpark()
	case what == 17 && depth == 0:
		m.reset()
	case what == 18 && m.draw("really", 0, 4) == 0:
		m.shutDown()
	case what == 24 || what == 25:
		m.overtake()
	case u == nil:
	case what == 26 || what == 27: // the way to a conflict, rare enough otherwise
		m.statement(ctx, u, "read")
		m.overtake()
		m.serve()
		m.statement(ctx, u, "put")
	case what < 23 && u.lease != nil:
		m.release(u)
	case what < 23 && u.manual:
		m.end(ctx, u)
	case what == 23:
		m.refuseControl(ctx, u)
	default:
		m.statement(ctx, u, pick(m, "statement", "read", "read", "read", "put", "put", "put", "insert", "lose"))
	}
}

// candidates are mostly those that can still do something.
func (m *model) candidates() []*user {
	if m.draw("any", 0, 4) == 0 {
		return m.users
	}
	return slices.DeleteFunc(slices.Clone(m.users), func(u *user) bool { return u.conn.over })
}

// alive is the transaction that a context carries, unless it has ended.
func (m *model) alive(ctx context.Context) *leased {
	if u := m.txs[ctx]; u != nil && !u.conn.over && !u.conn.killed {
		return u.conn
	}
	return nil
}

// The model's own words: for a call that has to wait, and for one that has two
// reasons to fail, of which it may name either.
var (
	errWait   = errors.New("it waits")
	errEither = errors.New("closed, or cancelled")
)

// lane says how a new lease fares.
func (m *model) lane(ctx context.Context, write bool) error {
	write = write || m.conns == 1
	own := m.alive(ctx)
	switch {
	case own != nil && write && (m.slot == own || m.shared[own]):
		return pool.ErrDeadlock
	case own != nil && !write && !own.primary && m.conns == 2:
		return pool.ErrDeadlock
	case m.closed && ctx.Err() != nil:
		return errEither
	case m.closed:
		return pool.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case write && (m.slot != nil || len(m.shared) > 0), !write && m.readers == m.conns-1, len(m.parked[write]) > 0:
		return m.mayWait()
	}
	return nil
}

func (m *model) mayWait() error {
	if n := len(m.parked[true]) + len(m.parked[false]); m.cfg.MaxWaiters > 0 && n >= m.cfg.MaxWaiters {
		return pool.ErrOverloaded
	}
	return errWait
}

// call has f answer what the model expects, and reports whether it succeeded.
func (m *model) call(ctx context.Context, want error, f func(ctx context.Context) error) bool {
	if want != errWait {
		m.answers(want, f(ctx))
		return want == nil
	}
	m.met[want]++
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(waiting) }()
	before := len(m.parked[true]) + len(m.parked[false])
	for m.pool.Stats().Waiting == before {
		select {
		case err := <-done:
			require.Fail(m, "it should wait", "%v", err)
		default:
			runtime.Gosched()
		}
	}
	cancel()
	require.ErrorIs(m, <-done, context.Canceled)
	return false
}

func (m *model) answers(want, got error) {
	m.met[want]++
	if want == nil {
		require.NoError(m, got)
		return
	}
	if want == errEither {
		require.True(m, errors.Is(got, pool.ErrClosed) || errors.Is(got, context.Canceled), "%v", got)
		return
	}
	require.ErrorIs(m, got, want)
	if errors.Is(want, pool.ErrOverloaded) {
		m.want.Overloads++
	}
}

// take makes the model's account of a lease that was given.
func (m *model) take(write bool) *leased {
	c := &leased{primary: write || m.conns == 1}
	if c.primary {
		m.slot = c
	} else {
		m.readers++
	}
	m.want.Acquires++
	return c
}

// give is its counterpart.
func (m *model) give(c *leased) {
	if c.over || c.killed { // the pool's word stays the last one
		return
	}
	c.over = true
	c.stack = nil
	delete(m.shared, c)
	if m.slot == c {
		m.slot = nil
	}
	if !c.primary {
		m.readers--
	}
}

func (m *model) acquire(ctx context.Context) {
	var l *pool.Lease
	if m.call(ctx, m.lane(ctx, false), func(ctx context.Context) (err error) {
		l, err = m.pool.Acquire(ctx)
		return err
	}) {
		m.users = append(m.users, &user{conn: m.take(false), lease: l, on: l})
	}
}

func (m *model) begin(ctx context.Context) {
	level := pick(m, "level", levels...)
	var tx *pool.Tx
	if m.call(ctx, m.lane(ctx, level != pool.Deferred), func(ctx context.Context) (err error) {
		tx, err = m.pool.Begin(ctx, level)
		return err
	}) {
		m.users = append(m.users, m.started(tx, level, m.take(level != pool.Deferred)))
	}
}

// started is a transaction that began on a connection.
func (m *model) started(tx *pool.Tx, level pool.Level, c *leased) *user {
	u := &user{conn: c, tx: tx, on: tx, manual: true}
	c.level, c.stack = level, []*user{u}
	if level != pool.Deferred {
		m.look(c)
	}
	return u
}

// look is a transaction's first statement: it has a snapshot from then on.
func (m *model) look(c *leased) {
	if len(c.stack) > 0 && c.snapshot == nil {
		c.snapshot, c.based, c.data = m.data, m.version, maps.Clone(m.data)
	}
}

// overtake commits something while others are in the middle of theirs.
func (m *model) overtake() {
	m.last++
	v := m.last
	if m.call(m.t.Context(), m.lane(m.t.Context(), true), func(ctx context.Context) error {
		return m.pool.Batch(ctx, doing("UPDATE n SET v = ? WHERE id = 1", v))
	}) {
		c := m.take(true)
		m.data, c.wrote = maps.Clone(m.data), true
		m.data[1] = v
		c.data = m.data
		m.commit(c)
		m.want.Batches++
		m.want.BatchMembers++
	}
}

func (m *model) release(u *user) {
	u.lease.Release()
	m.give(u.conn)
}

// usable says whether a statement of u may run at all.
func (m *model) usable(ctx context.Context, u *user) error {
	c := u.conn
	switch {
	case c.over && u.lease != nil:
		return pool.ErrReleased
	case c.over:
		return pool.ErrTxDone
	case c.killed:
		return pool.ErrClosed
	case u.lease == nil && !slices.Contains(c.stack, u):
		return pool.ErrTxDone
	case c.lost:
		return pool.ErrTxLost
	}
	return ctx.Err()
}

// reading says how a statement fares that reads, and takes what it needs.
func (m *model) reading(ctx context.Context, c *leased) error {
	own := m.alive(ctx)
	switch {
	case !m.excluding || m.slot == c || m.shared[c]:
		return nil
	case own != nil && own != c && m.slot == own:
		return pool.ErrDeadlock
	case own != nil && own != c && m.shared[own]: // beside its own transaction's read it may not queue
		return nil
	case m.slot != nil || len(m.parked[true]) > 0:
		return m.mayWait()
	}
	return nil
}

func (m *model) writing(ctx context.Context, c *leased) error {
	own := m.alive(ctx)
	switch {
	case m.slot == c:
		return nil
	case own != nil && own != c && (m.slot == own || m.shared[own]):
		return pool.ErrDeadlock
	case m.shared[c] && len(m.shared) == 1:
		return nil
	case m.shared[c]:
		return errWait // whoever holds a lock may always wait
	case m.slot != nil || len(m.shared) > 0 || len(m.parked[true]) > 0:
		return m.mayWait()
	}
	return nil
}

func (m *model) statement(ctx context.Context, u *user, kind string) {
	c := u.conn
	id := m.draw("id", 1, 4)
	want := m.usable(ctx, u)
	if want == nil && kind != "read" && u.readOnly {
		if m.excluding && m.reading(ctx, c) != nil {
			return // whether it waits first depends on whether it was prepared before
		}
		want = pool.ErrReadOnly
	}
	if kind == "read" {
		if want == nil {
			want = m.reading(ctx, c)
		}
		var got map[int]int
		if m.call(ctx, want, func(ctx context.Context) (err error) {
			got, err = tableOf(ctx, u.on)
			return err
		}) {
			if len(c.stack) == 0 {
				require.Equal(m, m.data, got)
				return
			}
			m.look(c)
			if m.excluding && m.slot != c {
				m.shared[c] = true
			}
			require.Equal(m, c.data, got)
		}
		return
	}
	inTx := len(c.stack) > 0
	var there bool
	if want == nil {
		want = m.writing(ctx, c)
		if want == nil && inTx && c.snapshot != nil && c.based != m.version && !c.wrote {
			want = pool.ErrConflict
			m.want.Conflicts++
		} else if want == nil {
			if inTx {
				m.look(c)
				delete(m.shared, c)
				m.slot = c
				_, there = c.data[id]
			} else {
				_, there = m.data[id]
			}
		}
	}
	query := map[string]string{
		"put":    "INSERT INTO n VALUES (?, ?) ON CONFLICT DO UPDATE SET v = excluded.v",
		"insert": "INSERT INTO n VALUES (?, ?)",
		"lose":   "INSERT OR ROLLBACK INTO n VALUES (?, ?)",
	}[kind]
	m.last++
	v := m.last
	refused := want == nil && there && kind != "put"
	if !m.call(ctx, want, func(ctx context.Context) error {
		err := do(ctx, u.on, query, id, v)
		if refused && dberr.Kind(err) == dberr.ErrDuplicate {
			return nil
		}
		require.False(m, refused, "%v", err)
		return err
	}) {
		return
	}
	switch {
	case refused && kind == "lose" && inTx:
		c.lost = true
		m.want.Lost++
		delete(m.shared, c)
		if !c.primary {
			m.slot = nil
		}
	case refused:
	case inTx:
		c.data[id] = v
		c.wrote = true
	default:
		m.data = maps.Clone(m.data)
		m.data[id] = v
		m.version++
	}
}

func tableOf(ctx context.Context, on dbtx) (map[int]int, error) {
	rows, err := on.QueryContext(ctx, "SELECT id, v FROM n")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[int]int{}
	for rows.Next() {
		var id, v int
		if err := rows.Scan(&id, &v); err != nil {
			return nil, err
		}
		all[id] = v
	}
	return all, rows.Err()
}

func (m *model) refuseControl(ctx context.Context, u *user) {
	want := m.usable(ctx, u)
	if want == nil {
		want = pool.ErrTxControl
	}
	m.answers(want, do(ctx, u.on, pick(m, "text", "COMMIT", "ROLLBACK", "BEGIN", "SAVEPOINT s", "RELEASE s")))
}

// commit makes a transaction's work what everybody sees.
func (m *model) commit(c *leased) {
	if c.wrote {
		m.data = c.data
		m.version++
	}
	m.want.Committed++
	m.give(c)
}

func (m *model) rollback(c *leased) {
	if !c.lost {
		m.want.RolledBack++
	}
	m.give(c)
}

// end ends a transaction by hand.
func (m *model) end(ctx context.Context, u *user) {
	c := u.conn
	if m.draw("commit", 0, 1) == 0 {
		want := error(nil)
		if c.killed && !c.over {
			want = pool.ErrClosed
		}
		m.answers(want, u.tx.Rollback(ctx))
		if !c.over && !c.killed {
			m.rollback(c)
		}
		return
	}
	want := m.usable(ctx, u)
	m.answers(want, u.tx.Commit(ctx))
	switch {
	case c.over, c.killed:
	case want == nil:
		m.commit(c)
	default:
		m.rollback(c)
	}
}

// How a function ends.
const (
	returns = iota
	errs
	panics
	exits
	isCancelled // and returns nil
)

// nest runs a function in a transaction of its own, or in a part of one.
func (m *model) nest(ctx context.Context, u *user, depth int) {
	kind := pick(m, "nest", "tx", "tx", "batch", "view", "savepoint")
	level := pick(m, "level", levels...)
	outer := m.txs[ctx]
	if kind == "savepoint" {
		if u == nil || u.tx == nil {
			return
		}
		outer = u
	}
	ending := pick(m, "ending", returns, returns, returns, errs, panics, exits, isCancelled)

	var want error
	switch {
	case outer != nil && kind == "tx" && level > outer.conn.level:
		want = pool.ErrNestedLevel
	case outer != nil && kind == "view":
		want = m.usable(m.t.Context(), outer)
	case outer != nil:
		want = m.usable(ctx, outer)
	default:
		want = m.lane(ctx, kind == "batch" || kind == "tx" && level != pool.Deferred)
	}
	// What it is, and how it ends, in the model's words.
	inner := new(user)
	ended := false
	enter := func(fnCtx context.Context, tx *pool.Tx) {
		require.NoError(m, want, "it should not run")
		switch {
		case outer == nil:
			if kind == "batch" {
				level = pool.Immediate
			} else if kind == "view" {
				level = pool.Deferred
			}
			*inner = *m.started(tx, level, m.take(level != pool.Deferred))
			inner.manual, inner.readOnly = false, kind == "view"
			inner.conn.stack = []*user{inner}
		default:
			c := outer.conn
			*inner = user{conn: c, tx: tx, on: tx, readOnly: outer.readOnly || kind == "view", saved: maps.Clone(c.data)}
			c.stack = append(c.stack, inner)
		}
		m.users = append(m.users, inner)
		m.txs[fnCtx] = inner
		m.ctxs = append(m.ctxs, fnCtx)
	}
	// leave is called with what fn did, and returns what must come of it.
	leave := func(fnErr, ctxErr error) (want error) {
		c := inner.conn
		ended = true
		at := slices.Index(c.stack, inner)
		switch {
		case c.over: // by hand, from within
			want = pool.ErrTxDone
		case c.killed:
			want = pool.ErrClosed
		case at < 0:
			want = pool.ErrTxDone
		case c.lost:
			want = pool.ErrTxLost
		case kind != "batch" && !(outer != nil && kind == "view"):
			want = ctxErr
		}
		if outer != nil && kind == "batch" && want == nil {
			want = ctxErr
		}
		if fnErr != nil {
			want = fnErr
		}
		switch {
		case c.over, c.killed, at < 0:
		case outer == nil && want == nil:
			m.commit(c)
			if kind == "batch" {
				m.want.Batches++
				m.want.BatchMembers++
			}
		case outer == nil:
			m.rollback(c)
		default:
			c.stack = c.stack[:at]
			if want != nil && kind != "view" && !c.lost {
				c.data = inner.saved
				if c.data == nil && c.snapshot != nil {
					c.data = maps.Clone(c.snapshot)
				}
			}
		}
		return want
	}

	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	if outer != nil && kind != "savepoint" {
		m.txs[runCtx] = outer
	}
	var wantAfter error
	fn := func(fnCtx context.Context, tx *pool.Tx) error {
		enter(fnCtx, tx)
		m.steps(fnCtx, 6, depth+1)
		switch ending {
		case errs:
			wantAfter = leave(errOurs, nil)
			return errOurs
		case panics:
			wantAfter = leave(errPanicked, nil)
			m.panicking = true
			panic(errPanicked)
		case exits:
			wantAfter = leave(errExited, nil)
			runtime.Goexit()
		case isCancelled:
			cancel()
		}
		wantAfter = leave(nil, fnCtx.Err())
		return nil
	}
	run := func(ctx context.Context) error {
		switch kind {
		case "batch":
			return m.pool.Batch(ctx, fn)
		case "view":
			return m.pool.View(ctx, fn)
		case "savepoint":
			return u.tx.Savepoint(ctx, fn)
		}
		return m.pool.InTx(ctx, level, fn)
	}
	if want != nil {
		m.call(runCtx, want, run)
		return
	}
	err := m.contained(ending, func() error { return run(runCtx) })
	require.True(m, ended, "it ran: %v", err)
	m.answers(wantAfter, err)
}

var (
	errPanicked = errors.New("fn panicked")
	errExited   = errors.New("fn ended its goroutine")
)

// contained runs f, which may panic or end its goroutine as it was told to. What
// else panics is the test's own, and rapid tells failures apart by where they do.
func (m *model) contained(ending int, f func() error) (err error) {
	if ending != exits {
		defer func() {
			if m.panicking {
				m.panicking = false
				_ = recover()
				err = errPanicked
			}
		}()
		return f()
	}
	err = errExited
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		err = f()
	}()
	<-done
	if panicked != nil {
		panic(panicked)
	}
	return err
}

// park starts a caller that waits, if there is something to wait for.
func (m *model) park() {
	write := m.draw("write", 0, 1) == 0
	ctx, cancel := context.WithCancel(m.t.Context())
	if !errors.Is(m.lane(ctx, write), errWait) {
		cancel()
		return
	}
	p := &parked{write: write, cancel: cancel, done: make(chan error, 1)}
	lane := write || m.conns == 1
	m.parked[lane] = append(m.parked[lane], p)
	go func() {
		var err error
		if write {
			p.tx, err = m.pool.Begin(ctx, pool.Immediate)
		} else {
			p.lease, err = m.pool.Acquire(ctx)
		}
		p.done <- err
	}()
	waitFor(m.t, "it waits, and in its queue", func() bool {
		s := m.pool.Stats()
		return s.Waiting == len(m.parked[true])+len(m.parked[false]) && s.WriteQueue == len(m.parked[true])
	})
}

func (m *model) unpark() {
	for _, lane := range []bool{true, false} {
		all := m.parked[lane]
		if len(all) == 0 {
			continue
		}
		i := m.draw("which", 0, len(all)-1)
		all[i].cancel()
		require.ErrorIs(m, <-all[i].done, context.Canceled)
		m.parked[lane] = slices.Delete(all, i, i+1)
		return
	}
}

// serve lets in those who wait and can come in, in order.
func (m *model) serve() {
	for len(m.parked[false]) > 0 && m.readers < m.conns-1 {
		m.admit(false)
	}
	for len(m.parked[true]) > 0 && m.slot == nil && len(m.shared) == 0 {
		m.admit(true)
	}
}

func (m *model) admit(lane bool) {
	p := m.parked[lane][0]
	m.parked[lane] = m.parked[lane][1:]
	require.NoError(m, <-p.done)
	c := m.take(lane)
	if p.write {
		m.users = append(m.users, m.started(p.tx, pool.Immediate, c))
	} else {
		m.users = append(m.users, &user{conn: c, lease: p.lease, on: p.lease})
	}
	*p = parked{} // it is the user's now
}

// abandon loses a lease or a transaction, which maintenance takes back.
func (m *model) abandon(u *user) {
	c := u.conn
	if c.over || c.killed || u.lease == nil && !u.manual || len(c.stack) > 1 {
		return
	}
	if len(m.parked[true])+len(m.parked[false]) > 0 || m.excluding && m.slot != nil && m.slot != c {
		return // a connection in its place would wait too
	}
	lease := u.lease
	for ctx, other := range m.txs {
		if other.conn == c {
			delete(m.txs, ctx)
			m.ctxs = slices.DeleteFunc(m.ctxs, func(c context.Context) bool { return c == ctx })
		}
	}
	changed := lease != nil && m.draw("changed", 0, 3) > 0 // it is given back, but not as it was
	if changed {
		m.answers(nil, do(m.t.Context(), lease, "PRAGMA cache_size = 10"))
		lease.Release()
	}
	m.users = slices.DeleteFunc(m.users, func(other *user) bool {
		if other.conn != c {
			return false
		}
		*other = user{} // nobody has it any more
		return true
	})
	if !changed {
		m.want.Reclaimed++
		waitForGarbage(m.t, "it is reclaimed", func() bool { return m.pool.Stats().Reclaimed == m.want.Reclaimed })
	}
	m.give(c)
	m.want.Dirty++
	m.replaced()
}

// replaced waits until maintenance has done with replacing connections.
func (m *model) replaced() {
	waitFor(m.t, "it is replaced", func() bool {
		s := m.pool.Stats()
		return s.Open == m.conns && s.InUse == m.inUse() && s.Waiting == 0
	})
}

// reset replaces everything, while nobody has anything.
func (m *model) reset() {
	if m.closed || m.readers > 0 || m.slot != nil || len(m.shared) > 0 {
		return
	}
	m.pool.Reset()
	m.want.Reset += uint64(m.conns)
	waitFor(m.t, "all are replaced", func() bool { return m.pool.Stats().Reset == m.want.Reset })
	m.replaced()
}

func (m *model) shutDown() {
	held := m.readers > 0 || m.slot != nil
	over, cancel := context.WithCancel(m.t.Context())
	cancel()
	switch {
	case m.closed:
		require.NoError(m, m.pool.Shutdown(over))
	case held:
		require.ErrorIs(m, m.pool.Shutdown(over), context.Canceled)
	default:
		require.NoError(m, m.pool.Shutdown(m.t.Context()))
	}
	require.NoError(m, m.pool.Close())
	m.closed = true
	for lane, all := range m.parked {
		for _, p := range all {
			require.ErrorIs(m, <-p.done, pool.ErrClosed)
			p.cancel()
		}
		m.parked[lane] = nil
	}
	for _, u := range m.users {
		if !u.conn.over {
			u.conn.killed = true
		}
	}
}

// compare compares the figures.
func (m *model) compare() {
	s := m.pool.Stats()
	got, want := pool.Stats{
		Acquires: s.Acquires, Timeouts: s.Timeouts, Overloads: s.Overloads, Broken: s.Broken, Dirty: s.Dirty, Reset: s.Reset,
		Expired: s.Expired, IdleClosed: s.IdleClosed, Reclaimed: s.Reclaimed, Committed: s.Committed, RolledBack: s.RolledBack, Lost: s.Lost,
		Conflicts: s.Conflicts, Retries: s.Retries, Batches: s.Batches, BatchMembers: s.BatchMembers,
	}, m.want
	if !m.closed {
		got.InUse, got.Open, got.Idle, got.Waiting, got.WriteQueue = s.InUse, s.Open, s.Idle, s.Waiting, s.WriteQueue
		want.InUse = m.inUse()
		want.Open = m.conns
		want.Idle = want.Open - want.InUse
		want.Waiting, want.WriteQueue = len(m.parked[true])+len(m.parked[false]), len(m.parked[true])
	}
	require.Equal(m, want, got)
}

func (m *model) inUse() int {
	if m.slot != nil && m.slot.primary {
		return m.readers + 1
	}
	return m.readers
}

// finish gives everything back and looks at what is left.
func (m *model) finish() {
	if m.closed {
		return
	}
	for _, all := range m.parked {
		for len(all) > 0 {
			all[0].cancel()
			require.ErrorIs(m, <-all[0].done, context.Canceled)
			all = all[1:]
		}
	}
	clear(m.parked)
	for _, u := range m.users {
		switch {
		case u.conn.over:
		case u.lease != nil:
			m.release(u)
		case u.manual:
			require.NoError(m, u.tx.Rollback(m.t.Context()))
			m.rollback(u.conn)
		}
	}
	m.compare()
	m.acquire(m.t.Context())
	l := m.users[len(m.users)-1].lease
	got, err := tableOf(m.t.Context(), l)
	require.NoError(m, err)
	require.Equal(m, m.data, got)
	l.Release()
}

// close closes the pool, and looks at the file that is left.
func (m *model) close() {
	require.NoError(m.t, m.pool.Close())
	for _, all := range m.parked { // none, unless the test fails
		for _, p := range all {
			p.cancel()
			<-p.done
		}
	}
	if m.cfg.Path == pool.Memory {
		return
	}
	db, err := sql.Open("sqlite", m.cfg.Path)
	require.NoError(m.t, err)
	defer db.Close()
	got, err := tableOf(m.t.Context(), db)
	require.NoError(m.t, err)
	if !m.Failed() {
		require.Equal(m.t, m.data, got, "in the file")
	}
}
