package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

// underLoad has twenty goroutines write in every way, and look at the figures,
// until something is so. No call fails, none is lost, and there are never too
// many connections.
func underLoad(t *testing.T, p *pool.Pool, what string, so func() bool) {
	t.Helper()
	before := get(t, p, "SELECT v FROM n")
	var writes atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for g := range 20 {
		wg.Go(func() {
			for !isDone(stop) {
				way := ways[g%len(ways)]
				if !assert.NoError(t, way.run(t.Context(), p, "UPDATE n SET v = v + 1 RETURNING v"), way.name) {
					return
				}
				writes.Add(1)
				s := p.Stats()
				assert.LessOrEqual(t, s.Open, s.MaxConns)
			}
		})
	}
	assert.Eventually(t, so, time.Minute, time.Millisecond, what)
	close(stop)
	wg.Wait()
	require.Equal(t, before+writes.Load(), get(t, p, "SELECT v FROM n"))
}

// holdAll leases n connections and gives them back.
func holdAll(t *testing.T, p *pool.Pool, n int) {
	t.Helper()
	var leases []*pool.Lease
	for range n {
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		leases = append(leases, l)
	}
	for _, l := range leases {
		l.Release()
	}
}

func TestConnectionsAreReplacedAtTheEndOfTheirLifeUnderLoad(t *testing.T) {
	besideOthers(t) // for it waits
	for _, jitter := range []time.Duration{-1, 20 * time.Millisecond} {
		for _, conns := range []int{1, 2, 5} {
			for _, mode := range []string{"wal", "delete"} {
				t.Run(fmt.Sprint(mode, "/", conns, "/", jitter), func(t *testing.T) {
					p := open(t, inMode(mode, pool.Config{MaxConns: conns, MaxConnLifetime: 20 * time.Millisecond, MaxConnLifetimeJitter: jitter}))
					underLoad(t, p, "they expire", func() bool { return p.Stats().Expired >= uint64(rounds.Of(1, 5, 25)) })
					require.Zero(t, p.Stats().Broken)
				})
			}
		}
	}
}

func TestTheWritersConnectionIsReplacedTooWhileItIsTheOnlyOne(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 4, MaxConnLifetime: 10 * time.Millisecond, MaxConnIdleTime: time.Millisecond})
	waitFor(t, "all others are trimmed", func() bool { return p.Stats().Open == 1 })
	expired := p.Stats().Expired
	waitFor(t, "it is replaced", func() bool {
		s := p.Stats()
		assert.Equal(t, 1, s.Open)
		return s.Expired >= expired+3
	})
	require.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")))
	require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))
}

func TestAHundredConnectionsThatExpireTogetherAreReplacedOneAfterTheOther(t *testing.T) {
	besideOthers(t) // for it waits
	const conns = 100
	var opening, most atomic.Int64
	p := open(t, pool.Config{
		MaxConns: conns, MaxConnLifetime: 500 * time.Millisecond, MaxConnLifetimeJitter: -1,
		OnConnect: func(context.Context, *pool.Lease) error {
			most.Store(max(most.Load(), opening.Add(1))) // one opens at a time, if it is true
			runtime.Gosched()
			opening.Add(-1)
			return nil
		},
	})
	var leases []*pool.Lease
	for range conns - 1 {
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		leases = append(leases, l)
	}
	expired := p.Stats().Expired
	waitFor(t, "the writer's has served two lives since, so that all others have one", func() bool { return p.Stats().Expired >= expired+2 })
	for _, l := range leases {
		l.Release()
	}

	before := p.Stats()
	underLoad(t, p, "all are replaced", func() bool {
		s := p.Stats()
		// Stats reads Created first. One more is open than counts: the successor.
		assert.LessOrEqual(t, s.Created, conns+s.Expired+1, "none is opened but in the place of one that goes")
		return s.Expired >= before.Expired+conns
	})
	require.Equal(t, conns, p.Stats().Open)
	require.EqualValues(t, 1, most.Load(), "one opens at a time")
	require.Zero(t, p.Stats().Broken+p.Stats().Dirty+p.Stats().IdleClosed+p.Stats().Timeouts)
	requireAtRest(t, p)
}

func TestJitterAddsToAConnectionsLifetime(t *testing.T) {
	besideOthers(t) // for it waits
	p := open(t, pool.Config{MaxConns: 8, MinConns: 8, MaxConnLifetime: time.Hour, MaxConnLifetimeJitter: 1, HealthCheckInterval: time.Millisecond})
	moreRounds(t, p)
	require.Zero(t, p.Stats().Expired, "it is not all there is")

	const lifetime = 100 * time.Millisecond
	before := time.Now()
	p = open(t, pool.Config{MaxConns: 8, MinConns: 8, MaxConnLifetime: lifetime, MaxConnLifetimeJitter: lifetime, HealthCheckInterval: time.Millisecond})
	waitFor(t, "the first is replaced", func() bool { return p.Stats().Expired > 0 })
	require.GreaterOrEqual(t, time.Since(before), lifetime, "it takes nothing away")

	p = open(t, pool.Config{MaxConnLifetime: 5, HealthCheckInterval: -1}) // a tenth of that is no time
	waitFor(t, "one is replaced", func() bool { return p.Stats().Expired > 0 })
}

func TestTheSuccessorOfAConnectionInUseIsReadyBeforeThatComesBack(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2, MinConns: 2, HealthCheckInterval: -1})
	l := acquire(t, p)
	p.Reset()
	waitFor(t, "both successors are open", func() bool { return p.Stats().Created == 4 })
	waitFor(t, "the writer's is replaced", func() bool { return p.Stats().Reset == 1 })
	l.Release()
	require.EqualValues(t, 2, p.Stats().Reset)
	requireAtRest(t, p)
	require.EqualValues(t, 4, p.Stats().Created)
}

func TestMaintenanceGoesOnWhileNoConnectionCanBeOpened(t *testing.T) {
	k := new(keeper)
	var fails atomic.Bool
	refuse := refusing(&fails)
	p := open(t, pool.Config{MaxConns: 2, HealthCheckInterval: time.Millisecond, Logger: slog.New(new(logbook)), OnConnect: func(ctx context.Context, conn *pool.Lease) error {
		return errors.Join(refuse(ctx, conn), k.onConnect(ctx, conn))
	}})
	fails.Store(true)
	k.breakAll(t)
	require.ErrorIs(t, p.View(t.Context(), doing("SELECT 1")), pool.ErrUnhealthy)
	for range 3 {
		moreRounds(t, p)
	}
	fails.Store(false)
	waitFor(t, "one is open again", func() bool { return p.Stats().Open > 0 })
	requireAtRest(t, p)
}

func TestAConnectionMayBeIdleForItsWholeTime(t *testing.T) {
	besideOthers(t) // for it waits
	const idle = 100 * time.Millisecond
	p := open(t, pool.Config{MaxConns: 3, MaxConnIdleTime: idle, HealthCheckInterval: time.Millisecond})
	holdAll(t, p, 2)
	waitFor(t, "the pool is older than that", func() bool { return p.Stats().IdleClosed == 2 })
	l := acquire(t, p)
	released := time.Now()
	l.Release()
	waitFor(t, "it is closed", func() bool { return p.Stats().IdleClosed == 3 })
	require.GreaterOrEqual(t, time.Since(released), idle)
}

func TestConnectionsToMemoryNeitherExpireNorIdle(t *testing.T) {
	p := open(t, pool.Config{Path: pool.Memory, MaxConns: 4, MaxConnLifetime: time.Millisecond, MaxConnIdleTime: time.Millisecond, HealthCheckInterval: 5 * time.Millisecond})
	holdAll(t, p, 3)
	for range 3 {
		moreRounds(t, p)
	}
	s := p.Stats()
	require.Zero(t, s.Expired)
	require.Zero(t, s.IdleClosed)
	require.Equal(t, 4, s.Open)
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
}

func TestIdleConnectionsAreClosedDownToTheMinimum(t *testing.T) {
	besideOthers(t) // for it waits
	for _, minimum := range []int{-1, 1, 2, 5} {
		p := open(t, pool.Config{MaxConns: 8, MinConns: minimum, MaxConnIdleTime: 20 * time.Millisecond, HealthCheckInterval: 5 * time.Millisecond})
		holdAll(t, p, 7)
		kept := max(minimum, 1)
		waitFor(t, "they are trimmed", func() bool { return p.Stats().Open == kept })
		moreRounds(t, p)
		moreRounds(t, p)
		s := p.Stats()
		require.Equal(t, kept, s.Open, "and no further")
		require.GreaterOrEqual(t, s.IdleClosed, uint64(8-kept))
		require.EqualValues(t, s.Created, s.IdleClosed+uint64(s.Open))
		require.Zero(t, get(t, p, "SELECT v FROM n"))
	}
}

func TestTheMinimumIsReplenished(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 4, MinConns: 4, HealthCheckInterval: -1})
	for i := range uint64(3) {
		run(t, p, "PRAGMA cache_size = 10")
		waitFor(t, "a reader's is replaced", func() bool { return p.Stats().Open == 4 })
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("PRAGMA cache_size = 10")))
		waitFor(t, "the writer's too", func() bool { return p.Stats().Open == 4 })
		s := p.Stats()
		require.Equal(t, 2*(i+1), s.Dirty)
		require.Equal(t, 4+s.Dirty, s.Created)
	}
}

func TestNegativeTimesTurnAgingOff(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 4, MaxConnLifetime: -1, MaxConnIdleTime: -1, HealthCheckInterval: 5 * time.Millisecond})
	holdAll(t, p, 3)
	for range 3 {
		moreRounds(t, p)
	}
	s := p.Stats()
	require.Zero(t, s.Expired)
	require.Zero(t, s.IdleClosed)
	require.Equal(t, 4, s.Open)
	require.EqualValues(t, 4, s.Created)
}

func TestResetReplacesEveryConnectionOnceItIsIdle(t *testing.T) {
	for _, mode := range []string{"wal", "delete", "memory"} {
		t.Run(mode, func(t *testing.T) {
			ctx := t.Context()
			p := open(t, inMode(mode, pool.Config{MaxConns: 4, MinConns: 4, HealthCheckInterval: -1}))
			p.Reset()
			waitFor(t, "all are replaced", func() bool { return p.Stats().Reset == 4 })
			require.Equal(t, 4, p.Stats().Open)

			lease, err := p.Acquire(ctx)
			require.NoError(t, err)
			writer, err := p.Begin(ctx, pool.Immediate)
			require.NoError(t, err)
			require.NoError(t, do(ctx, writer, "UPDATE n SET v = 7"))
			p.Reset()
			if mode == "wal" { // elsewhere the writer keeps new connections out
				waitFor(t, "the idle ones are replaced", func() bool { return p.Stats().Reset == 6 })
				_, err = number(ctx, lease, "SELECT v FROM n")
				require.NoError(t, err, "a leased one lives on")
			}
			require.NoError(t, writer.Commit(ctx))
			lease.Release()
			waitFor(t, "the others follow", func() bool { return p.Stats().Reset == 8 })
			require.Equal(t, 4, p.Stats().Open)
			require.EqualValues(t, 7, get(t, p, "SELECT v FROM n"))
			require.Zero(t, p.Stats().Broken+p.Stats().Expired+p.Stats().Dirty)
			requireAtRest(t, p)
		})
	}
}

func TestResetUnderLoadHarmsNobody(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 4}, func(t *testing.T, p *pool.Pool) {
		next := uint64(0)
		underLoad(t, p, "connections are replaced again and again", func() bool {
			if p.Stats().Reset >= next { // oftener would be sooner than anything can be replaced
				next += 2
				p.Reset()
			}
			return next > 20
		})
		requireAtRest(t, p)
	})
}

func TestMaintenanceThatWaitsIsNoCallerThatWaits(t *testing.T) {
	waits := func(p *pool.Pool) func() bool { return func() bool { return pool.MaintenanceWaits(p) } }
	t.Run("to open a connection", func(t *testing.T) {
		opens, goesOn := make(chan struct{}), make(chan struct{})
		goOn := sync.OnceFunc(func() { close(goesOn) })
		defer goOn()
		p := open(t, pool.Config{MaxConns: 3, HealthCheckInterval: -1, OnConnect: func(ctx context.Context, _ *pool.Lease) error {
			if ctx.Value(labelled{}) != nil {
				close(opens)
				<-goesOn
			}
			return nil
		}})
		lease, err := p.Acquire(t.Context()) // the one that is ready
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			another, err := p.Acquire(context.WithValue(t.Context(), labelled{}, true))
			if assert.NoError(t, err) {
				another.Release()
			}
		})
		<-opens
		p.Reset()
		waitFor(t, "maintenance waits", waits(p))
		require.Zero(t, p.Stats().Waiting)
		goOn()
		wg.Wait()
		lease.Release()
		requireAtRest(t, p)
	})
	t.Run("to read", func(t *testing.T) {
		p := open(t, pool.Config{MaxConns: 3, JournalMode: "delete", MaxWaiters: 1, HealthCheckInterval: -1})
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
			p.Reset()
			waitFor(t, "maintenance waits", waits(p))
			s := p.Stats()
			require.Zero(t, s.Waiting)
			require.Zero(t, s.WriteQueue)
			require.Zero(t, s.WriteWait)

			var wg sync.WaitGroup
			short, cancel := context.WithCancel(t.Context())
			wg.Go(func() { // whom maintenance does not make one too many
				assert.ErrorIs(t, p.InTx(short, pool.Immediate, doing("SELECT 1")), context.Canceled)
			})
			waitFor(t, "a caller waits", func() bool { return p.Stats().Waiting == 1 && p.Stats().WriteQueue == 1 })
			cancel()
			wg.Wait()
			return nil
		}))
		requireAtRest(t, p)
	})
}

// labelled is a key for contexts.
type labelled struct{}

func TestALeaseHeldForLongIsToldOfOnce(t *testing.T) {
	book := new(logbook)
	p := open(t, pool.Config{LeakThreshold: 10 * time.Millisecond, HealthCheckInterval: 5 * time.Millisecond, Logger: slog.New(book)})
	lease, err := p.Acquire(pool.WithLabel(t.Context(), "a lease"))
	require.NoError(t, err)
	tx, err := p.Begin(pool.WithLabel(t.Context(), "a transaction"), pool.Immediate)
	require.NoError(t, err)
	labelled := func(label string) (found []logEntry) {
		for _, e := range book.saying(slog.LevelWarn, "held for long") {
			if e.attrs["label"] == label {
				found = append(found, e)
			}
		}
		return found
	}
	for _, label := range []string{"a lease", "a transaction"} {
		waitFor(t, "it is told of", func() bool { return len(labelled(label)) > 0 })
		require.Contains(t, labelled(label)[0].attrs["stack"], "TestALeaseHeldForLongIsToldOfOnce")
	}
	for range 3 {
		moreRounds(t, p)
	}
	require.Len(t, labelled("a lease"), 1)
	require.Len(t, labelled("a transaction"), 1)
	require.NoError(t, tx.Rollback(t.Context()))
	lease.Release()
}

func TestALeaseIsNotToldOfBeforeItsTime(t *testing.T) {
	besideOthers(t) // for it waits
	const threshold = 100 * time.Millisecond
	book := new(logbook)
	p := open(t, pool.Config{LeakThreshold: threshold, HealthCheckInterval: time.Millisecond, Logger: slog.New(book)})
	first := acquire(t, p)
	waitFor(t, "the pool is older than the threshold", func() bool { return len(book.saying(slog.LevelWarn, "held for long")) == 1 })
	before := time.Now()
	second := acquire(t, p)
	waitFor(t, "both are told of", func() bool { return len(book.saying(slog.LevelWarn, "held for long")) == 2 })
	told := book.saying(slog.LevelWarn, "held for long")[1]
	require.GreaterOrEqual(t, told.age(t), threshold)
	require.LessOrEqual(t, told.age(t), told.at.Sub(before), "since it was taken, not since the pool was opened")
	first.Release()
	second.Release()
}

// dropLease and its like take something and leave it behind.
func dropLease(ctx context.Context, t *testing.T, p *pool.Pool) {
	l, err := p.Acquire(pool.WithLabel(ctx, "dropped"))
	if assert.NoError(t, err) {
		_, err = number(ctx, l, "SELECT v FROM n")
		assert.NoError(t, err)
	}
}

func dropRows(ctx context.Context, t *testing.T, p *pool.Pool) {
	l, err := p.Acquire(pool.WithLabel(ctx, "dropped"))
	if assert.NoError(t, err) {
		rows, err := l.QueryContext(ctx, "INSERT INTO n VALUES (NULL, 1), (NULL, 2) RETURNING id")
		assert.NoError(t, err)
		assert.True(t, rows.Next())
	}
}

func dropReadersRows(ctx context.Context, t *testing.T, p *pool.Pool) {
	rows, err := p.Reader().QueryContext(pool.WithLabel(ctx, "dropped"), "SELECT v FROM n UNION ALL SELECT 2")
	if assert.NoError(t, err) {
		assert.True(t, rows.Next())
	}
}

func dropTx(level pool.Level) func(context.Context, *testing.T, *pool.Pool) {
	return func(ctx context.Context, t *testing.T, p *pool.Pool) {
		tx, err := p.Begin(pool.WithLabel(ctx, "dropped"), level)
		if assert.NoError(t, err) {
			assert.NoError(t, do(ctx, tx, "UPDATE n SET v = 99"))
		}
	}
}

func TestWhatIsAbandonedIsTakenBack(t *testing.T) {
	soonBesideOthers(t)
	for name, drop := range map[string]func(context.Context, *testing.T, *pool.Pool){
		"dropLease": dropLease, "dropRows": dropRows, "dropReadersRows": dropReadersRows,
		"dropTx/deferred": dropTx(pool.Deferred), "dropTx/immediate": dropTx(pool.Immediate), "dropTx/exclusive": dropTx(pool.Exclusive),
	} {
		t.Run(name, func(t *testing.T) {
			book := new(logbook)
			inTurn(t, pool.Config{MaxConns: 2, MaxConnIdleTime: 20 * time.Millisecond, Logger: slog.New(book)}, func(t *testing.T, p *pool.Pool) {
				told := len(book.saying(slog.LevelError, "abandoned"))
				var gone sync.WaitGroup
				gone.Go(func() { drop(t.Context(), t, p) })
				gone.Wait()
				var waiter sync.WaitGroup
				waiter.Go(func() { assert.NoError(t, p.InTx(t.Context(), pool.Exclusive, doing("UPDATE n SET v = v + 1"))) })
				waitForGarbage(t, "it is taken back", func() bool { return p.Stats().Reclaimed == 1 })
				waiter.Wait()
				require.EqualValues(t, 1, get(t, p, "SELECT v FROM n WHERE id = 1"), "its work was undone")
				entries := book.saying(slog.LevelError, "abandoned")[told:]
				require.Len(t, entries, 1)
				require.Equal(t, "dropped", entries[0].attrs["label"])
				require.Contains(t, entries[0].attrs["stack"], "drop")
				require.EqualValues(t, 1, p.Stats().Dirty, "its connection is not used again")
				requireAtRest(t, p)
			})
		})
	}
}

func TestLeasesThatAreAbandonedAreFoundAmongAnyOthers(t *testing.T) {
	const some = 10 // of each kind: abandoned, in use, idle
	book := new(logbook)
	p := open(t, pool.Config{MaxConns: 3*some + 1, MinConns: 3*some + 1, HealthCheckInterval: time.Millisecond, Logger: slog.New(book)})
	gate, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	var users sync.WaitGroup
	for i := range some {
		users.Go(func() {
			l := acquire(t, p)
			defer l.Release()
			assert.NoError(t, do(t.Context(), l, "UPDATE n SET v = v + 1"))
		})
		waitFor(t, "it waits for the write lane", func() bool { return p.Stats().WriteQueue == i+1 })
	}
	before := time.Now()
	var gone sync.WaitGroup
	gone.Go(func() {
		for range some {
			acquire(t, p)
		}
	})
	gone.Wait()
	waitForGarbage(t, "they are taken back", func() bool { return p.Stats().Reclaimed == some })
	moreRounds(t, p)
	require.EqualValues(t, some, p.Stats().Reclaimed, "and nobody else")
	for _, e := range book.saying(slog.LevelError, "abandoned") {
		require.LessOrEqual(t, e.age(t), e.at.Sub(before), "since it was taken, not since the pool was opened")
	}
	require.NoError(t, gate.Rollback(t.Context()))
	users.Wait()
	require.EqualValues(t, some, get(t, p, "SELECT v FROM n"))
	requireAtRest(t, p)
}

// refusing is an OnConnect that fails while it is told to.
func refusing(fails *atomic.Bool) func(context.Context, *pool.Lease) error {
	return func(context.Context, *pool.Lease) error {
		if fails.Load() {
			return errOurs
		}
		return nil
	}
}

func TestThePoolGoesOnWithTheConnectionsItHasAndRecovers(t *testing.T) {
	soonBesideOthers(t)
	for _, minimum := range []int{1, 2} { // the writer's, and a reader's too
		for _, mode := range []string{"wal", "delete"} {
			t.Run(fmt.Sprint(mode, "/", minimum), func(t *testing.T) {
				var fails atomic.Bool
				p := open(t, inMode(mode, pool.Config{
					MaxConns: 5, MinConns: minimum, MaxConnIdleTime: 20 * time.Millisecond, HealthCheckInterval: 20 * time.Millisecond,
					OnConnect: refusing(&fails), Logger: slog.New(new(logbook)),
				}))
				waitFor(t, "there are as few as can be", func() bool { return p.Stats().Open == minimum })
				fails.Store(true)
				created := p.Stats().Created
				ticks := 0
				underLoad(t, p, "calls succeed", func() bool { ticks++; return ticks > 5 })
				require.Equal(t, created, p.Stats().Created)
				require.Equal(t, minimum, p.Stats().Open)
				require.NoError(t, p.HealthCheck(t.Context()))
				require.NoError(t, p.View(t.Context(), doing("SELECT v FROM n")))

				fails.Store(false)
				if minimum > 1 {
					waitFor(t, "maintenance sees that it can open one", func() bool { return p.Stats().Created > created })
				}
				holdAll(t, p, 4)
			})
		}
	}
}

func TestAReadLaneThatShrankWhileAnotherConnectionWasOpenedGrowsAgain(t *testing.T) {
	var opened atomic.Int64
	failing, fail := make(chan struct{}), make(chan struct{})
	p := open(t, pool.Config{
		MaxConns: 3, MaxConnIdleTime: -1, HealthCheckInterval: -1, Logger: slog.New(new(logbook)),
		OnConnect: func(context.Context, *pool.Lease) error {
			if opened.Add(1) == 3 { // after the writer's and the first reader's
				close(failing)
				<-fail
				return errOurs
			}
			return nil
		},
	})
	first, err := p.Acquire(t.Context())
	require.NoError(t, err)
	var wg sync.WaitGroup
	acquire := func() {
		if l, err := p.Acquire(t.Context()); assert.NoError(t, err) {
			l.Release()
		}
	}
	wg.Go(acquire)
	<-failing
	wg.Go(acquire) // whom the failure of the other lets in
	waitFor(t, "it waits", func() bool { return p.Stats().Waiting == 1 })
	close(fail)
	wg.Wait()
	first.Release()
	holdAll(t, p, 2)
	require.LessOrEqual(t, p.Stats().Open, 3)
	requireAtRest(t, p)
}

func TestAPoolWithoutAnyConnectionIsUnhealthyUntilOneCanBeOpened(t *testing.T) {
	for _, conns := range []int{1, 4} {
		for _, mode := range []string{"wal", "delete", "memory"} {
			k := new(keeper)
			var fails atomic.Bool
			refuse := refusing(&fails)
			p := open(t, inMode(mode, pool.Config{
				MaxConns: conns, HealthCheckInterval: -1, Logger: slog.New(new(logbook)),
				OnConnect: func(ctx context.Context, conn *pool.Lease) error {
					if err := refuse(ctx, conn); err != nil {
						return err
					}
					return k.onConnect(ctx, conn)
				},
			}))
			fails.Store(true)
			k.breakAll(t)
			for _, way := range ways {
				err := way.run(t.Context(), p, "UPDATE n SET v = v + 1 RETURNING v")
				require.ErrorIs(t, err, pool.ErrUnhealthy, way.name)
				require.ErrorIs(t, err, errOurs, "it says why")
			}
			err := p.HealthCheck(t.Context())
			require.ErrorIs(t, err, pool.ErrUnhealthy)
			require.ErrorIs(t, err, errOurs)
			require.Zero(t, p.Stats().Open)
			fails.Store(false)
			require.NoError(t, p.HealthCheck(t.Context()))
			require.Zero(t, get(t, p, "SELECT v FROM n"))
			requireAtRest(t, p)
		}
	}
}

// fewDescriptors makes the test binary a process that has run out of them.
const fewDescriptors = "SQLANE_TEST_DESCRIPTORS"

func TestThePoolGoesOnWithoutDescriptorsAndRecovers(t *testing.T) {
	besideOthers(t) // for it waits
	if runtime.GOOS == "windows" {
		return // no such limit
	}
	if os.Getenv(fewDescriptors) == "" {
		cmd := exec.Command("sh", "-c", `ulimit -n 64 && exec "$0" -test.run '^TestThePoolGoesOnWithoutDescriptorsAndRecovers$'`, os.Args[0])
		cmd.Env = append(os.Environ(), fewDescriptors+"=1", "GOCOVERDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return
	}
	p := open(t, pool.Config{MaxConns: 40, MinConns: 3, HealthCheckInterval: 20 * time.Millisecond, AcquireTimeout: time.Second, Logger: slog.New(new(logbook))})
	require.NoError(t, p.Batch(t.Context(), doing("SELECT v FROM n"))) // SQLite opens the log when it is first read
	var taken []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		taken = append(taken, f)
	}
	for range 3 {
		for _, way := range ways {
			require.NoError(t, way.run(t.Context(), p, "UPDATE n SET v = v + 1 RETURNING v"), way.name)
		}
	}
	var leases []*pool.Lease
	for {
		l, err := p.Acquire(pool.WithLabel(t.Context(), "all there is"))
		if err != nil {
			require.ErrorIs(t, err, pool.ErrAcquireTimeout)
			require.ErrorContains(t, err, "all there is")
			require.ErrorContains(t, err, "no more could be opened")
			break
		}
		leases = append(leases, l)
	}
	require.Len(t, leases, 2, "those that were open")
	for _, l := range leases {
		l.Release()
	}
	for _, f := range taken {
		require.NoError(t, f.Close())
	}
	waitFor(t, "there are more again", func() bool { return p.Stats().Open > 3 })
	holdAll(t, p, 5)
}

func TestTheFiguresAreThoseOfAModel(t *testing.T) {
	const conns = 3
	p := open(t, pool.Config{MaxConns: conns, HealthCheckInterval: -1})
	type held struct {
		lease *pool.Lease
		tx    *pool.Tx
		dirty bool
	}
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		was := p.Stats()
		value := get(t, p, "SELECT v FROM n")
		model := pool.Stats{Acquires: was.Acquires + 1, Dirty: was.Dirty, Committed: was.Committed, RolledBack: was.RolledBack}
		var all []held
		writing, readers := false, 0
		defer func() { // nothing, unless it fails
			for _, h := range all {
				if h.lease != nil {
					h.lease.Release()
				} else {
					_ = h.tx.Rollback(ctx)
				}
			}
		}()
		take := func(level pool.Level, lease bool) {
			reads := lease || level == pool.Deferred
			full := !reads && writing || reads && readers == conns-1
			ctx := ctx
			if full {
				short, cancel := context.WithTimeout(ctx, time.Microsecond)
				defer cancel()
				ctx = short
			}
			var h held
			var err error
			if lease {
				h.lease, err = p.Acquire(ctx)
			} else {
				h.tx, err = p.Begin(ctx, level)
			}
			if full {
				require.ErrorIs(rt, err, context.DeadlineExceeded)
				return
			}
			require.NoError(rt, err)
			model.Acquires++
			if reads {
				readers++
			} else {
				writing = true
				require.NoError(rt, do(ctx, h.tx, "UPDATE n SET v = v + 1"))
			}
			all = append(all, h)
		}
		give := func(i int, commit bool) {
			h := all[i]
			all = append(all[:i:i], all[i+1:]...)
			if h.lease != nil {
				h.lease.Release()
				readers--
				if h.dirty {
					model.Dirty++
				}
				return
			}
			writes := h.tx.Level() != pool.Deferred
			if commit {
				require.NoError(rt, h.tx.Commit(ctx))
				model.Committed++
			} else {
				require.NoError(rt, h.tx.Rollback(ctx))
				model.RolledBack++
			}
			if !writes {
				readers--
				return
			}
			writing = false
			if commit {
				value++
			}
		}
		pick := func() int { return rapid.IntRange(0, len(all)-1).Draw(rt, "which") }
		for range rapid.IntRange(0, 15).Draw(rt, "steps") {
			switch what := rapid.SampledFrom([]string{"acquire", "begin", "give", "dirty", "reset"}).Draw(rt, "what"); {
			case what == "acquire":
				take(pool.Deferred, true)
			case what == "begin":
				take(rapid.SampledFrom(levels).Draw(rt, "level"), false)
			case what == "reset":
				p.Reset()
			case len(all) == 0:
			case what == "give":
				give(pick(), rapid.Bool().Draw(rt, "commit"))
			case what == "dirty":
				if h := &all[pick()]; h.lease != nil {
					require.NoError(rt, do(ctx, h.lease, "PRAGMA cache_size = 10"))
					h.dirty = true
				}
			}
			s := p.Stats()
			require.Equal(rt, len(all), s.InUse)
			require.Equal(rt, s.Open, s.Idle+s.InUse)
			require.LessOrEqual(rt, s.Open, conns)
			require.Equal(rt, model, pool.Stats{Acquires: s.Acquires, Dirty: s.Dirty, Committed: s.Committed, RolledBack: s.RolledBack})
		}
		for len(all) > 0 {
			give(0, true)
		}
		require.Equal(rt, value, get(t, p, "SELECT v FROM n"))
	})
	requireAtRest(t, p)
	s := p.Stats()
	require.Zero(t, s.Broken+s.Lost+s.Conflicts+s.Timeouts+s.Expired+s.IdleClosed)
}

func TestAReaderThatPinsTheLogIsNamedAndTheLogShrinksAfterwards(t *testing.T) {
	besideOthers(t) // for it waits
	book := new(logbook)
	p := open(t, pool.Config{MaxConns: 3, HealthCheckInterval: 5 * time.Millisecond, Logger: slog.New(book)})
	ctx := t.Context()
	reader, err := p.Begin(pool.WithLabel(ctx, "the long report"), pool.Deferred)
	require.NoError(t, err)
	_, err = number(ctx, reader, "SELECT v FROM n")
	require.NoError(t, err)
	require.NoError(t, p.InTx(ctx, pool.Immediate, doing("INSERT INTO heap VALUES (zeroblob(68000000))")))
	require.Greater(t, p.Stats().WALBytes, int64(64<<20))
	named := func() bool {
		for _, e := range book.saying(slog.LevelWarn, "write-ahead log") {
			if e.attrs["label"] == "the long report" {
				return true
			}
		}
		return false
	}
	waitFor(t, "the reader is named", named)
	v, err := number(ctx, reader, "SELECT v FROM n")
	require.NoError(t, err)
	require.Zero(t, v)
	require.NoError(t, reader.Commit(ctx))
	waitFor(t, "the log is cut back", func() bool {
		require.NoError(t, p.Batch(ctx, doing("UPDATE n SET v = v + 1")))
		return p.Stats().WALBytes <= 17<<20
	})
}

func TestExternalCheckpointsAreLeftToOthers(t *testing.T) {
	for _, external := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "app.db")
		p := open(t, pool.Config{Path: path, ExternalCheckpoints: external, MaxConns: 2, MinConns: 2, HealthCheckInterval: -1})
		size := func() int64 {
			info, err := os.Stat(path)
			require.NoError(t, err)
			return info.Size()
		}
		before := size()
		for range 10 {
			require.NoError(t, p.Batch(t.Context(), doing("INSERT INTO heap VALUES (zeroblob(1000000))")))
			run(t, p, "INSERT INTO heap VALUES (zeroblob(1000000))")
		}
		want := int64(4000)
		if external {
			want = 0
			require.Equal(t, before, size(), "nobody wrote to the database file")
			require.Greater(t, p.Stats().WALBytes, int64(12_000_000))
		} else {
			require.Greater(t, size(), before)
		}
		require.Equal(t, want, get(t, p, "PRAGMA wal_autocheckpoint"))
		require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			n, err := number(ctx, tx, "SELECT count(*) FROM heap")
			require.EqualValues(t, 20, n)
			return err
		}))
	}
}

func TestMaintenanceLeavesNothingBehind(t *testing.T) {
	byItself(t)
	descriptorsBefore, others := descriptors(t), goleak.IgnoreCurrent()
	for _, mode := range []string{"wal", "delete", "memory"} {
		p := open(t, inMode(mode, pool.Config{
			MaxConns: 6, MaxConnLifetime: 10 * time.Millisecond, MaxConnIdleTime: 10 * time.Millisecond,
			HealthCheckInterval: 5 * time.Millisecond, LeakThreshold: math.MaxInt64,
		}))
		holdAll(t, p, 5)
		p.Reset()
		underLoad(t, p, "all kinds of maintenance", func() bool {
			s := p.Stats()
			return s.Reset > 0 && s.HealthChecks >= 3
		})
		p.Reset()
		require.NoError(t, p.Close(), "in the midst of it")
	}
	require.Equal(t, descriptorsBefore, descriptors(t))
	require.NoError(t, goleak.Find(others))
}

func TestThePausesGrowWhileNoConnectionCanBeOpened(t *testing.T) {
	besideOthers(t) // for it waits
	var fails atomic.Bool
	log := new(logbook)
	p := open(t, pool.Config{MaxConns: 3, MinConns: 3, HealthCheckInterval: -1, OnConnect: refusing(&fails), Logger: slog.New(log)})
	fails.Store(true)
	p.Reset()
	const told = "no connection can be opened"
	waitFor(t, "it tried some times", func() bool { return len(log.saying(slog.LevelWarn, told)) >= 5 })
	var before time.Duration
	for _, entry := range log.saying(slog.LevelWarn, told) {
		pause, err := time.ParseDuration(entry.attrs["next_try_in"])
		require.NoError(t, err)
		require.Greater(t, pause, before)
		require.Contains(t, entry.attrs["error"], errOurs.Error())
		before = pause
	}
	require.Equal(t, 3, p.Stats().Open, "it goes on with what it has")
	require.NoError(t, p.HealthCheck(t.Context()))

	fails.Store(false)
	waitFor(t, "all are replaced", func() bool { return p.Stats().Reset == 3 })
	requireAtRest(t, p)
}

func TestTheOldestReaderThatKeepsALargeLogIsToldOf(t *testing.T) {
	besideOthers(t) // for it waits
	book := new(logbook)
	p := open(t, pool.Config{MaxConns: 4, MinConns: 4, HealthCheckInterval: -1, Logger: slog.New(book)})
	told := func() []logEntry { return book.saying(slog.LevelWarn, "keeps the write-ahead log") }
	before := time.Now()
	var readers [2]*pool.Tx
	for i, label := range []string{"the oldest", "a younger one"} {
		var err error
		readers[i], err = p.Begin(pool.WithLabel(t.Context(), label), pool.Deferred)
		require.NoError(t, err)
		_, err = number(t.Context(), readers[i], "SELECT v FROM n")
		require.NoError(t, err)
	}
	grow := func(bytes int) {
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("INSERT INTO heap VALUES (zeroblob(?))", bytes)))
	}
	acquired := p.Stats().Acquires
	grow(20 << 20)
	waitFor(t, "the pool has tried to begin the log anew", func() bool { return p.Stats().Acquires >= acquired+2 })
	p.Reset()
	waitFor(t, "the round is over", func() bool { return p.Stats().Reset == 2 }) // the two that nobody has
	require.Empty(t, told(), "it is not large yet")
	grow(50 << 20)
	waitFor(t, "it is told of", func() bool { return len(told()) > 0 })
	e := told()[0]
	require.Equal(t, "the oldest", e.attrs["label"])
	require.Contains(t, e.attrs["stack"], "TestTheOldestReaderThatKeepsALargeLogIsToldOf")
	require.LessOrEqual(t, e.age(t), e.at.Sub(before), "since it began, not since the pool was opened")
	for _, tx := range readers {
		require.NoError(t, tx.Rollback(t.Context()))
	}
	requireAtRest(t, p)
}

// TestTheLogStaysBoundedUnderSteadyReadersAndWriters: readers overlap, so the log
// is in use at every moment, and yet it begins anew, again and again. How large it is
// by then depends on how soon the machine lets the readers go on.
func TestTheLogStaysBoundedUnderSteadyReadersAndWriters(t *testing.T) {
	besideOthers(t) // for it takes long
	p := open(t, pool.Config{MaxConns: 6})
	times := rounds.Of(1, 2, 10)
	page := strings.Repeat("x", 3000)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				assert.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
					for range 3 {
						if _, err := number(ctx, tx, "SELECT count(*) FROM n"); err != nil {
							return err
						}
						runtime.Gosched()
					}
					return nil
				}))
			}
		})
	}
	var before int64
	waitFor(t, "the log begins anew", func() bool {
		require.NoError(t, p.Batch(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			for range 100 {
				if err := do(ctx, tx, "INSERT INTO heap VALUES (?)", page); err != nil {
					return err
				}
			}
			return do(ctx, tx, "DELETE FROM heap")
		}))
		now := p.Stats().WALBytes
		if now < before { // its file is cut down to what is kept
			times--
		}
		before = now
		return times == 0
	})
	stop()
	wg.Wait()
	requireAtRest(t, p)
}
