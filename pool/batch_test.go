package pool_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// members are callers of Batch, who insert their number into n.
type members struct {
	t    *testing.T
	p    *pool.Pool
	runs [20]atomic.Int32
	errs [20]error
}

// fine is a member that succeeds.
func (m *members) fine(i int) func() {
	return m.with(i, func(context.Context, *pool.Tx) error { return nil })
}

// with is a member that inserts its number and does something more.
func (m *members) with(i int, more func(context.Context, *pool.Tx) error) func() {
	return func() {
		m.errs[i] = m.p.Batch(m.t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			m.runs[i].Add(1)
			if err := do(ctx, tx, "INSERT INTO n VALUES (?, 0)", 100+i); err != nil {
				return err
			}
			return more(ctx, tx)
		})
	}
}

// requireKept sees that these members' work is there and no other's.
func (m *members) requireKept(kept ...int) {
	m.t.Helper()
	l, err := m.p.Acquire(m.t.Context())
	require.NoError(m.t, err)
	defer l.Release()
	want := []int{}
	got := []int{}
	for i := range m.errs {
		n, err := number(m.t.Context(), l, "SELECT count(*) FROM n WHERE id = ?", 100+i)
		require.NoError(m.t, err)
		if n > 0 {
			got = append(got, i)
		}
	}
	for _, i := range kept {
		require.NoError(m.t, m.errs[i], "member %d", i)
		want = append(want, i)
	}
	require.Equal(m.t, want, got)
}

func TestCallersOfBatchThatWaitTogetherAreCommittedTogether(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		m := &members{t: t, p: p}
		before := p.Stats()
		lineUp(t, p, m.fine(0), m.fine(1), m.fine(2), m.fine(3), m.fine(4))
		m.requireKept(0, 1, 2, 3, 4)
		after := p.Stats()
		require.EqualValues(t, 1, after.Batches-before.Batches)
		require.EqualValues(t, 5, after.BatchMembers-before.BatchMembers)
		require.EqualValues(t, 1, after.Committed-before.Committed)
		for i := range 5 {
			require.EqualValues(t, 1, m.runs[i].Load())
		}
		requireAtRest(t, p)
	})
}

func TestABatchOfOneIsATransaction(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1}, func(t *testing.T, p *pool.Pool) {
		m := &members{t: t, p: p}
		m.fine(0)()
		m.with(1, func(context.Context, *pool.Tx) error { return errOurs })()
		require.Same(t, errOurs, m.errs[1])
		require.PanicsWithValue(t, "ours", m.with(2, func(context.Context, *pool.Tx) error { panic("ours") }))
		m.with(3, func(ctx context.Context, tx *pool.Tx) error { return do(ctx, tx, "INSERT INTO child VALUES (1, 99)") })()
		require.Equal(t, dberr.ErrForeignKey, dberr.Kind(m.errs[3]))
		m.requireKept(0)
		require.EqualValues(t, 1, p.Stats().Batches)
		requireAtRest(t, p)
	})
}

// faults are what a member can do wrong.
var faults = []struct {
	name  string
	fault func(t *testing.T, ctx context.Context, tx *pool.Tx) error
	check func(t *testing.T, err error)
}{
	{
		"an error", func(*testing.T, context.Context, *pool.Tx) error { return errOurs },
		func(t *testing.T, err error) { assert.Same(t, errOurs, err) },
	},
	{"an unmet deferred foreign key", func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		return do(ctx, tx, "INSERT INTO child VALUES (1, 99)")
	}, func(t *testing.T, err error) {
		code, _ := pool.Code(err)
		assert.Equal(t, 787, code)
		assert.Equal(t, dberr.ErrForeignKey, dberr.Kind(err))
	}},
	{"an unmet deferred foreign key in a savepoint", func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		return tx.Savepoint(ctx, doing("INSERT INTO child VALUES (1, 99)"))
	}, func(t *testing.T, err error) { assert.Equal(t, dberr.ErrForeignKey, dberr.Kind(err)) }},
	{"a violated constraint", func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		return do(ctx, tx, "INSERT INTO ruled (v) VALUES (-1)")
	}, func(t *testing.T, err error) { assert.Equal(t, dberr.ErrCheck, dberr.Kind(err)) }},
	{"ON CONFLICT ROLLBACK", func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		return do(ctx, tx, "INSERT INTO ruled (id) VALUES (1), (1)")
	}, func(t *testing.T, err error) { assert.Equal(t, dberr.ErrDuplicate, dberr.Kind(err)) }},
	{"a swallowed loss", func(t *testing.T, ctx context.Context, tx *pool.Tx) error {
		assert.Error(t, do(ctx, tx, "INSERT INTO ruled (id) VALUES (1), (1)"))
		assert.ErrorIs(t, do(ctx, tx, "INSERT INTO n VALUES (500, 0)"), pool.ErrTxLost)
		return nil
	}, func(t *testing.T, err error) {
		assert.ErrorIs(t, err, pool.ErrTxLost)
		assert.Equal(t, dberr.ErrDuplicate, dberr.Kind(err), "the cause")
	}},
	{"a full database", func(_ *testing.T, ctx context.Context, tx *pool.Tx) error {
		return do(ctx, tx, "INSERT INTO heap VALUES (zeroblob(1000000))")
	}, func(t *testing.T, err error) { assert.True(t, pool.IsFull(err)) }},
	{"a cancelled read", func(t *testing.T, ctx context.Context, tx *pool.Tx) error {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return do(ctx, tx, "SELECT 1")
	}, func(t *testing.T, err error) { assert.ErrorIs(t, err, context.Canceled) }},
}

func TestAMembersFaultTouchesNobodyElse(t *testing.T) {
	besideOthers(t) // for it takes long
	for _, f := range faults {
		for _, at := range []int{0, 1, 2, 4} { // first, after one other, in the middle, last
			t.Run(f.name, func(t *testing.T) {
				everywhere(t, fullSoon(), func(t *testing.T, p *pool.Pool) {
					m := &members{t: t, p: p}
					var queue []func()
					var kept []int
					for i := range 5 {
						if i == at {
							queue = append(queue, m.with(i, func(ctx context.Context, tx *pool.Tx) error { return f.fault(t, ctx, tx) }))
							continue
						}
						queue = append(queue, m.fine(i))
						kept = append(kept, i)
					}
					lineUp(t, p, queue...)
					f.check(t, m.errs[at])
					m.requireKept(kept...)
					for _, i := range kept {
						require.LessOrEqual(t, m.runs[i].Load(), int32(2))
					}
					requireAtRest(t, p)
				})
			})
		}
	}
}

func TestAMembersPanicOrGoexitTouchesNobodyElse(t *testing.T) {
	for _, at := range []int{0, 1, 2} {
		everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
			m := &members{t: t, p: p}
			queue := []func(){m.fine(0), m.fine(1), m.fine(2), m.fine(3), m.fine(4)}
			queue[at] = func() {
				assert.PanicsWithValue(t, "ours", m.with(at, func(context.Context, *pool.Tx) error { panic("ours") }))
			}
			queue[at+1] = func() {
				var wg sync.WaitGroup
				wg.Go(m.with(at+1, func(context.Context, *pool.Tx) error { runtime.Goexit(); return nil }))
				wg.Wait()
			}
			lineUp(t, p, queue...)
			var kept []int
			for i := range 5 {
				if i != at && i != at+1 {
					kept = append(kept, i)
				}
			}
			m.requireKept(kept...)
			requireAtRest(t, p)
		})
	}
}

func TestAMemberCancelledInTheQueueLeavesTheOthers(t *testing.T) {
	p := open(t, pool.Config{})
	m := &members{t: t, p: p}
	ctx, cancel := context.WithCancel(t.Context())
	gate, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	var wg sync.WaitGroup
	queue := func(f func()) {
		before := p.Stats().WriteQueue
		wg.Go(f)
		waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == before+1 })
	}
	queue(m.fine(0))
	left := make(chan struct{})
	queue(func() {
		defer close(left)
		assert.ErrorIs(t, p.Batch(ctx, func(context.Context, *pool.Tx) error { t.Error("it ran"); return nil }), context.Canceled)
	})
	queue(m.fine(2))
	cancel()
	<-left
	require.Equal(t, 2, p.Stats().WriteQueue)
	require.NoError(t, gate.Rollback(t.Context()))
	wg.Wait()
	m.requireKept(0, 2)
	requireAtRest(t, p)
}

func TestAMemberCancelledAtTheMomentOfItsTurnLeavesTheOthers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := open(t, pool.Config{Tracer: ending(func(ctx context.Context, op pool.TraceOp) {
		if op.Name == "acquire" && ctx.Value(labelled{}) != nil {
			cancel()
		}
	})})
	m := &members{t: t, p: p}
	before := p.Stats()
	lineUp(t, p, m.fine(0), func() {
		assert.ErrorIs(t, p.Batch(context.WithValue(ctx, labelled{}, true), func(context.Context, *pool.Tx) error {
			t.Error("it ran")
			return nil
		}), context.Canceled)
	}, m.fine(2))
	m.requireKept(0, 2)
	require.EqualValues(t, 1, m.runs[0].Load(), "it did not have to run again")
	require.EqualValues(t, 1, m.runs[2].Load(), "nor did this")
	after := p.Stats()
	require.EqualValues(t, 1, after.Batches-before.Batches)
	require.EqualValues(t, 2, after.BatchMembers-before.BatchMembers)
	requireAtRest(t, p)
}

func TestAMemberIsCancelledBetweenItsStatementsWhileOthersWorkIsPending(t *testing.T) {
	p := open(t, pool.Config{})
	m := &members{t: t, p: p}
	ctx, cancel := context.WithCancel(t.Context())
	lineUp(t, p, m.fine(0), func() {
		m.errs[1] = p.Batch(ctx, func(ctx context.Context, tx *pool.Tx) error {
			// The running write goes on to its end; interrupted, it would take
			// the first member's work along.
			assert.NoError(t, do(ctx, tx, "INSERT INTO n (id) SELECT 101 WHERE signal(?)", onSignal(t, cancel)))
			err := do(ctx, tx, "INSERT INTO n VALUES (102, 0)")
			assert.ErrorIs(t, err, context.Canceled)
			return err
		})
	}, m.fine(2))
	require.ErrorIs(t, m.errs[1], context.Canceled)
	m.errs[1] = nil
	m.requireKept(0, 2)
	require.EqualValues(t, 1, m.runs[0].Load(), "it did not have to run again")
	requireAtRest(t, p)
}

func TestAMemberThatSucceededIsCommittedThoughItsContextEnds(t *testing.T) {
	p := open(t, pool.Config{})
	for _, others := range []int{0, 1} {
		ctx, cancel := context.WithCancel(t.Context())
		m := &members{t: t, p: p}
		queue := []func(){m.fine(0)}[:others]
		queue = append(queue, func() {
			m.errs[5+others] = p.Batch(ctx, func(ctx context.Context, tx *pool.Tx) error {
				defer cancel()
				return do(ctx, tx, "INSERT INTO n VALUES (?, 0)", 105+others)
			})
		})
		lineUp(t, p, queue...)
		require.NoError(t, m.errs[5+others])
	}
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n WHERE id IN (105, 106)"))
	requireAtRest(t, p)
}

func TestDeferredForeignKeysDoNotOutliveTheirMember(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, "CREATE TABLE strict_child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent)")
	m := &members{t: t, p: p}
	lineUp(t, p, m.with(0, func(ctx context.Context, tx *pool.Tx) error {
		return errors.Join(do(ctx, tx, "PRAGMA defer_foreign_keys = on"),
			do(ctx, tx, "INSERT INTO strict_child VALUES (1, 7)"),
			do(ctx, tx, "INSERT INTO parent VALUES (7)"))
	}), m.with(1, func(ctx context.Context, tx *pool.Tx) error {
		err := do(ctx, tx, "INSERT INTO strict_child VALUES (2, 8)")
		assert.Equal(t, dberr.ErrForeignKey, dberr.Kind(err), "at once: %v", err)
		return err
	}))
	m.requireKept(0)
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM strict_child"))
	requireAtRest(t, p)
}

func TestABatchMemberNeverOvertakesAnEarlierTransaction(t *testing.T) {
	p := open(t, pool.Config{})
	var mu sync.Mutex
	var order []string
	note := func(name string) func(context.Context, *pool.Tx) error {
		return func(context.Context, *pool.Tx) error {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			return nil
		}
	}
	batch := func(name string) func() {
		return func() { assert.NoError(t, p.Batch(t.Context(), note(name))) }
	}
	inTx := func(name string) func() {
		return func() { assert.NoError(t, p.InTx(t.Context(), pool.Immediate, note(name))) }
	}
	lineUp(t, p, batch("a"), batch("b"), inTx("c"), batch("d"), inTx("e"), batch("f"), batch("g"))
	require.Equal(t, []string{"a", "b", "c", "d", "e", "f", "g"}, order)
	require.EqualValues(t, 3, p.Stats().Batches)
	requireAtRest(t, p)
}

func TestABatchWithinATransactionIsASavepointOfIt(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		require.Same(t, errOurs, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
			assert.NoError(t, p.Batch(ctx, func(ctx context.Context, tx *pool.Tx) error {
				assert.NoError(t, p.Batch(ctx, doing("INSERT INTO n VALUES (3, 0)")), "and so within a batch")
				return do(ctx, tx, "INSERT INTO n VALUES (2, 0)")
			}))
			return errOurs
		}))
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
		require.Zero(t, p.Stats().Batches)
		requireAtRest(t, p)
	})
}

func TestAMembersTransactionIsOverWhenItsFunctionReturns(t *testing.T) {
	p := open(t, pool.Config{})
	m := &members{t: t, p: p}
	var kept [2]*pool.Tx
	keep := func(i int) func() {
		return m.with(i, func(_ context.Context, tx *pool.Tx) error { kept[i] = tx; return nil })
	}
	lineUp(t, p, keep(0), keep(1), m.with(2, func(ctx context.Context, _ *pool.Tx) error {
		for _, tx := range kept { // while the transaction that they shared goes on
			assert.ErrorIs(t, do(ctx, tx, "INSERT INTO n VALUES (900, 0)"), pool.ErrTxDone)
		}
		return nil
	}))
	m.requireKept(0, 1, 2)
	for _, tx := range kept {
		require.ErrorIs(t, do(t.Context(), tx, "INSERT INTO n VALUES (900, 0)"), pool.ErrTxDone)
	}
}

func TestMembersSeeTheWorkOfThoseBeforeThem(t *testing.T) {
	p := open(t, pool.Config{})
	add := func() {
		assert.NoError(t, p.Batch(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			v, err := number(ctx, tx, "SELECT v FROM n WHERE id = 1")
			if err != nil {
				return err
			}
			return do(ctx, tx, "UPDATE n SET v = ? WHERE id = 1", v+1)
		}))
	}
	members := make([]func(), 100)
	for i := range members {
		members[i] = func() {
			for range 10 {
				add()
			}
		}
	}
	lineUp(t, p, members...)
	require.EqualValues(t, 1000, get(t, p, "SELECT v FROM n WHERE id = 1"))
	s := p.Stats()
	require.EqualValues(t, 1000, s.BatchMembers)
	require.Less(t, s.Batches, s.BatchMembers, "some shared a commit")
	requireAtRest(t, p)
}

func TestABatchIsBounded(t *testing.T) {
	besideOthers(t) // for it waits
	p := open(t, pool.Config{})
	m := make([]func(), 1100)
	for i := range m {
		m[i] = func() { assert.NoError(t, p.Batch(t.Context(), doing("SELECT 1"))) }
	}
	lineUp(t, p, m...)
	require.Greater(t, p.Stats().Batches, uint64(1))
	require.EqualValues(t, len(m), p.Stats().BatchMembers)
}

func TestABatchHasAThousandMembersAtMost(t *testing.T) {
	besideOthers(t) // for it waits
	p := open(t, pool.Config{})
	before := p.Stats().Batches
	m := make([]func(), 1001)
	for i := range m {
		m[i] = func() { assert.NoError(t, p.Batch(t.Context(), doing("SELECT 1"))) }
	}
	lineUp(t, p, m[:1000]...)
	require.EqualValues(t, 1, p.Stats().Batches-before)
	lineUp(t, p, m...)
	require.EqualValues(t, 3, p.Stats().Batches-before, "one more is too many for one")
}

func TestMembersWhoseCommitFailsRunAgainOnTheirOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: "delete", BusyTimeout: -1})
	other := startOther(t, path)
	other.do("BEGIN")
	other.do("SELECT v FROM n") // while it reads nobody commits
	m := &members{t: t, p: p}
	stop := sync.OnceFunc(func() { other.do("COMMIT") })
	member := func(i int) func() {
		return m.with(i, func(context.Context, *pool.Tx) error {
			if m.runs[i].Load() == 2 {
				stop()
			}
			return nil
		})
	}
	member(3)()
	require.ErrorIs(t, m.errs[3], pool.ErrBusy)
	require.EqualValues(t, 1, m.runs[3].Load(), "alone it knows why")
	lineUp(t, p, member(0), member(1), member(2))
	m.requireKept(0, 1, 2)
	for i := range 3 {
		require.EqualValues(t, 2, m.runs[i].Load())
	}
	require.EqualValues(t, 3, p.Stats().Retries)
	require.EqualValues(t, 3, p.Stats().BatchMembers, "each in a batch of its own")
	requireAtRest(t, p)
}

func TestRowsThatAMemberLeftOpenAreClosed(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		m := &members{t: t, p: p}
		leaving := func(i int) func() {
			return m.with(i, func(ctx context.Context, tx *pool.Tx) error {
				rows, err := tx.QueryContext(ctx, "UPDATE n SET v = v + 1 RETURNING id")
				if err != nil {
					return err
				}
				t.Cleanup(func() { assert.NoError(t, rows.Close()) })
				assert.True(t, rows.Next())
				return nil
			})
		}
		lineUp(t, p, leaving(0), leaving(1), m.fine(2))
		m.requireKept(0, 1, 2)
		require.EqualValues(t, 2, get(t, p, "SELECT v FROM n WHERE id = 1"))
		requireAtRest(t, p)
	})
}
