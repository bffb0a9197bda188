package pool_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// logbook is a slog.Handler that keeps what it is told.
type logbook struct {
	mu      sync.Mutex
	entries []logEntry
}

type logEntry struct {
	at      time.Time
	level   slog.Level
	message string
	attrs   map[string]string
}

func (b *logbook) Enabled(context.Context, slog.Level) bool { return true }
func (b *logbook) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *logbook) WithGroup(string) slog.Handler            { return b }

func (b *logbook) Handle(_ context.Context, r slog.Record) error {
	e := logEntry{at: r.Time, level: r.Level, message: r.Message, attrs: map[string]string{}}
	r.Attrs(func(a slog.Attr) bool {
		e.attrs[a.Key] = a.Value.String()
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e)
	return nil
}

// saying are the entries of at least a level whose message contains a text.
func (b *logbook) saying(level slog.Level, text string) (found []logEntry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		if e.level >= level && strings.Contains(e.message, text) {
			found = append(found, e)
		}
	}
	return found
}

// age is the age that an entry tells.
func (e logEntry) age(t *testing.T) time.Duration {
	t.Helper()
	age, err := time.ParseDuration(e.attrs["age"])
	require.NoError(t, err)
	return age
}

// moreRounds waits until two more health checks have begun, so that at least one
// has run from its beginning to its end.
func moreRounds(t *testing.T, p *pool.Pool) {
	t.Helper()
	before := p.Stats().HealthChecks
	waitFor(t, "two rounds of health checks", func() bool { return p.Stats().HealthChecks >= before+2 })
}

func TestAPoolThatWorksIsHealthy(t *testing.T) {
	for _, conns := range []int{1, 2, 4} {
		everywhere(t, pool.Config{MaxConns: conns, HealthCheckInterval: -1}, func(t *testing.T, p *pool.Pool) {
			for range 3 {
				require.NoError(t, p.HealthCheck(t.Context()))
			}
			s := p.Stats()
			require.EqualValues(t, 3, s.HealthChecks)
			require.Zero(t, s.HealthFailures)
			require.Zero(t, s.Broken)
			requireAtRest(t, p)
		})
	}
	path := filepath.Join(t.TempDir(), "app.db")
	require.NoError(t, open(t, pool.Config{Path: path}).Close())
	p, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, p.HealthCheck(t.Context()))
	require.NoError(t, p.Close())
}

func TestAHealthCheckOfAClosedPoolIsErrClosed(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, p.Close())
		require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrClosed)
		require.NotErrorIs(t, p.HealthCheck(t.Context()), pool.ErrUnhealthy)
		require.EqualValues(t, 2, p.Stats().HealthFailures)
	})
}

func TestAHealthCheckMindsItsContext(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1}, func(t *testing.T, p *pool.Pool) {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, p.HealthCheck(over), context.Canceled)
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err = p.HealthCheck(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, pool.ErrUnhealthy, "nothing is wrong with the pool")
		l.Release()
		require.NoError(t, p.HealthCheck(t.Context()))
	})
}

func TestAHealthCheckTakesOneLeaseIfThatAnswersOrWaitsInVain(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2, AcquireTimeout: 10 * time.Millisecond, HealthCheckInterval: -1})
	before := p.Stats()
	require.NoError(t, p.HealthCheck(t.Context()))
	require.EqualValues(t, 1, p.Stats().Acquires-before.Acquires)
	l := acquire(t, p)
	require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrAcquireTimeout)
	require.EqualValues(t, 1, p.Stats().Timeouts-before.Timeouts)
	l.Release()
}

func TestAHealthCheckGivesTheNextConnectionAChance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	var sound []byte
	p := open(t, pool.Config{Path: path, JournalMode: "delete", HealthCheckInterval: -1, Logger: slog.New(new(logbook)), Tracer: ending(func(_ context.Context, op pool.TraceOp) {
		if op.Name == "query" && sound != nil {
			assert.NoError(t, os.WriteFile(path, sound, 0o600))
			sound = nil
		}
	})})
	image, err := os.ReadFile(path)
	require.NoError(t, err)
	sound = image
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("nonsense"), 1024), 0o600))
	before := p.Stats().Broken
	require.NoError(t, p.HealthCheck(t.Context()))
	require.Nil(t, sound, "the first connection met nonsense")
	require.EqualValues(t, 1, p.Stats().Broken-before)
	require.Zero(t, p.Stats().HealthFailures)
	requireAtRest(t, p)
}

func TestAPoolWhoseConnectionsNeverComeBackIsUnhealthy(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1, AcquireTimeout: 20 * time.Millisecond})
	l, err := p.Acquire(pool.WithLabel(t.Context(), "the long report"))
	require.NoError(t, err)
	err = p.HealthCheck(t.Context())
	require.ErrorIs(t, err, pool.ErrUnhealthy)
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.ErrorContains(t, err, "the long report")
	l.Release()
	require.NoError(t, p.HealthCheck(t.Context()))
}

// departures are the ways in which a file leaves its path. Each gives the way
// back, if there is one, and leaves what is at the path now as found says.
var departures = []struct {
	name  string
	leave func(t *testing.T, path string) (back func())
	found string
}{
	{"deleted", func(t *testing.T, path string) func() {
		require.NoError(t, os.Remove(path))
		return nil
	}, ""},
	{"renamed", func(t *testing.T, path string) func() {
		require.NoError(t, os.Rename(path, path+".away"))
		return func() { require.NoError(t, os.Rename(path+".away", path)) }
	}, ""},
	{"replaced", func(t *testing.T, path string) func() {
		require.NoError(t, os.Rename(path, path+".away"))
		require.NoError(t, writeFile(path, "another database"))
		return func() { require.NoError(t, os.Rename(path+".away", path)) }
	}, "another database"},
}

func TestWritersOfEveryKindLearnThatTheFileIsGone(t *testing.T) {
	const write = "UPDATE n SET v = v + 1 RETURNING v"
	for _, departure := range departures {
		for _, cfg := range []pool.Config{
			{MaxConns: 1, JournalMode: "wal"},
			{MaxConns: 1, JournalMode: "delete"},
			{MaxConns: 4, JournalMode: "wal"},
			{MaxConns: 4, JournalMode: "delete", MinConns: 4},
			{MaxConns: 4, JournalMode: "wal", MinConns: 4},
		} {
			t.Run(departure.name, func(t *testing.T) {
				ctx := t.Context()
				cfg.Path = filepath.Join(t.TempDir(), "app.db")
				cfg.HealthCheckInterval = -1
				cfg.Logger = slog.New(new(logbook))
				p := open(t, cfg)
				lease, err := p.Acquire(ctx) // there before it happens
				require.NoError(t, err)
				back := departure.leave(t, cfg.Path)

				require.ErrorIs(t, do(ctx, lease, write), pool.ErrMoved)
				lease.Release()
				for _, way := range ways {
					require.ErrorIs(t, way.run(ctx, p, write), pool.ErrMoved, way.name)
				}
				require.ErrorIs(t, p.InTx(ctx, pool.Exclusive, doing(write)), pool.ErrMoved)
				for _, level := range levels {
					tx, err := p.Begin(ctx, level)
					if err == nil { // a deferred one finds out when it writes
						require.Equal(t, pool.Deferred, level)
						err = do(ctx, tx, write)
						require.NoError(t, tx.Rollback(ctx))
					}
					require.ErrorIs(t, err, pool.ErrMoved, level)
				}
				tx, err := p.DB().BeginTx(ctx, nil)
				if err == nil {
					require.NoError(t, tx.Rollback())
				}
				require.ErrorIs(t, err, pool.ErrMoved)
				require.ErrorIs(t, p.HealthCheck(ctx), pool.ErrMoved)
				require.EqualValues(t, 1, p.Stats().HealthFailures)

				there, err := os.ReadFile(cfg.Path)
				if departure.found == "" {
					require.ErrorIs(t, err, os.ErrNotExist, "nothing new lies there")
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, departure.found, string(there))

				if back == nil {
					return
				}
				back()
				require.NoError(t, p.HealthCheck(ctx))
				require.Zero(t, get(t, p, "SELECT v FROM n"), "none of them wrote")
				for _, way := range ways {
					require.NoError(t, way.run(ctx, p, write), way.name)
				}
				require.EqualValues(t, len(ways), get(t, p, "SELECT v FROM n"))
				requireAtRest(t, p)
			})
		}
	}
}

func TestThePeriodicCheckNoticesThatTheFileIsGoneAndComesBack(t *testing.T) {
	besideOthers(t) // for it waits
	for _, departure := range departures {
		t.Run(departure.name, func(t *testing.T) {
			path, book := filepath.Join(t.TempDir(), "app.db"), new(logbook)
			p := open(t, pool.Config{Path: path, HealthCheckInterval: 5 * time.Millisecond, Logger: slog.New(book)})
			moreRounds(t, p)
			require.Zero(t, p.Stats().HealthFailures)
			back := departure.leave(t, path)
			waitFor(t, "it fails again and again", func() bool { return p.Stats().HealthFailures >= 3 })
			told := book.saying(slog.LevelError, "moved or replaced")
			require.Len(t, told, 1, "told once, not each time")
			require.Equal(t, path, told[0].attrs["path"])
			require.ErrorIs(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")), pool.ErrMoved)
			if back == nil {
				return
			}
			back()
			moreRounds(t, p)
			failures := p.Stats().HealthFailures
			moreRounds(t, p)
			require.Equal(t, failures, p.Stats().HealthFailures)
			require.NoError(t, p.HealthCheck(t.Context()))
			require.Len(t, book.saying(slog.LevelInfo, "is back"), 1)
			require.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")))
		})
	}
}

func TestThePeriodicCheckFindsNothingWrongWithAPoolAtWork(t *testing.T) {
	soonBesideOthers(t)
	for _, conns := range []int{1, 2, 4} {
		book := new(logbook)
		everywhere(t, pool.Config{MaxConns: conns, HealthCheckInterval: 5 * time.Millisecond, Logger: slog.New(book)}, func(t *testing.T, p *pool.Pool) {
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for g := range 6 {
				wg.Go(func() {
					for !isDone(stop) {
						assert.NoError(t, ways[g%len(ways)].run(t.Context(), p, "UPDATE n SET v = v + 1 RETURNING v"))
					}
				})
			}
			moreRounds(t, p)
			moreRounds(t, p)
			close(stop)
			wg.Wait()
			require.Zero(t, p.Stats().HealthFailures)
			require.Zero(t, p.Stats().Broken)
			require.Empty(t, book.saying(slog.LevelWarn, ""))
		})
	}
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAFileThatIsMovedWhileAWriteRunsIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: "delete", HealthCheckInterval: -1, Logger: slog.New(new(logbook))})
	away := onSignal(t, func() { assert.NoError(t, os.Rename(path, path+".away")) })
	err := p.InTx(t.Context(), pool.Immediate, doing("INSERT INTO n VALUES (7, signal(?))", away)) // the pool has looked, SQLite has not
	require.ErrorIs(t, err, pool.ErrMoved)
	require.NotErrorIs(t, err, pool.ErrReadOnly)
	require.NoFileExists(t, path)
	require.NoError(t, os.Rename(path+".away", path))
	require.EqualValues(t, 1, p.Stats().Broken)
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = 1")))
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
	requireAtRest(t, p)
}

func TestANegativeIntervalMeansNoPeriodicChecks(t *testing.T) {
	p := open(t, pool.Config{HealthCheckInterval: -1, MaxConns: 2, MinConns: 2})
	for round := range uint64(5) { // Reset gives maintenance something else to do
		p.Reset()
		waitFor(t, "a round of maintenance", func() bool { return p.Stats().Reset == 2*(round+1) })
	}
	require.Zero(t, p.Stats().HealthChecks)
}

// keeper keeps the first lease of every connection, to break them with.
type keeper struct {
	mu   sync.Mutex
	kept []*pool.Lease
}

func (k *keeper) onConnect(_ context.Context, lease *pool.Lease) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = append(k.kept, lease)
	return nil
}

// breakAll closes the connections behind the pool's back, and counts them.
func (k *keeper) breakAll(t *testing.T) (n int) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.kept {
		assert.NoError(t, pool.Shut(l))
	}
	n = len(k.kept)
	k.kept = nil
	return n
}

func TestIdleConnectionsThatBrokeAreReplacedWhenTheyAreWanted(t *testing.T) {
	for _, conns := range []int{1, 4} {
		for _, mode := range []string{"wal", "delete", "memory"} {
			k := new(keeper)
			p := open(t, inMode(mode, pool.Config{MaxConns: conns, MinConns: conns, HealthCheckInterval: -1, OnConnect: k.onConnect}))
			require.Equal(t, conns, k.breakAll(t))
			for _, way := range ways {
				require.NoError(t, way.run(t.Context(), p, "UPDATE n SET v = v + 1 RETURNING v"), way.name)
			}
			require.EqualValues(t, len(ways), get(t, p, "SELECT v FROM n"), "in memory too")
			require.EqualValues(t, conns, p.Stats().Broken)
			require.NoError(t, p.HealthCheck(t.Context()))
			requireAtRest(t, p)
			k.breakAll(t)
			require.NoError(t, p.HealthCheck(t.Context()), "it finds a connection that works")
		}
	}
}

// inMode is a configuration for a journal mode, or for memory.
func inMode(mode string, cfg pool.Config) pool.Config {
	if mode == "memory" {
		cfg.Path = pool.Memory
	} else {
		cfg.JournalMode = pool.JournalMode(mode)
	}
	return cfg
}

// checking is a Tracer that stops the first health check as it begins its query.
type checking struct {
	once        sync.Once
	begun, goOn chan struct{}
}

func (c *checking) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	if strings.Contains(op.SQL, "sqlite_schema") {
		c.once.Do(func() {
			close(c.begun)
			<-c.goOn
		})
	}
	return ctx, nil
}

func TestAHealthCheckDoesNotQueueBehindAWriterThatWaitsForIt(t *testing.T) {
	check := &checking{begun: make(chan struct{}), goOn: make(chan struct{})}
	p, err := pool.Open(t.Context(), pool.Config{Path: pool.Memory, MaxConns: 2, MinConns: 2, Tracer: check, HealthCheckInterval: 10 * time.Millisecond, AcquireTimeout: time.Minute})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	<-check.begun
	var (
		wg      sync.WaitGroup
		written error
	)
	wg.Go(func() { written = p.InTx(t.Context(), pool.Immediate, doing("SELECT 1")) })
	waitFor(t, "it queues", func() bool { return p.Stats().WriteQueue == 1 })
	close(check.goOn)
	wg.Wait()
	require.NoError(t, written)
}
