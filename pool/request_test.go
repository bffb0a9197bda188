package pool_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the tests of every face tell of the others they tell of requests too: see
// byRequest. Here is what is theirs alone, and what must not depend on their being
// given back without a lease.

func readers(p *pool.Pool) request.Runner { return p.StoreReader().(request.Runner) }
func writers(p *pool.Pool) request.Runner { return p.StoreWriter().(request.Runner) }

// requested is a request with arguments.
func requested(query string, args ...sqlite.Value) *request.Request {
	r := &request.Request{Name: "TheQuery", Text: query}
	for _, v := range args {
		r.Args = append(r.Args, sqlite.Argument{Value: v})
	}
	return r
}

func TestARequestReadsItsRowWhereThereIsRoom(t *testing.T) {
	p := open(t, pool.Config{TimeFormat: pool.TimeUnixMilli})
	run(t, p, "CREATE TABLE kinds (i, r, s, b, at DATETIME, n)")
	at := time.Date(2024, 2, 29, 1, 2, 3, 4_000_000, time.UTC)
	res, err := writers(p).RunExec(t.Context(), requested("INSERT INTO kinds VALUES (?, ?, ?, ?, ?, ?)",
		sqlite.IntegerOf(7), sqlite.FloatOf(1.5), sqlite.TextOf("text"), sqlite.BlobOf([]byte{0, 1}), sqlite.TimeOf(at), sqlite.Value{}))
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	for name, on := range map[string]request.Runner{"Writer": writers(p), "Reader": readers(p)} {
		r := requested("SELECT *, typeof(at) FROM kinds WHERE i = ?", sqlite.IntegerOf(7))
		r.Row = make([]sqlite.Value, 1, 20)
		room := &r.Row[:20][19]
		require.NoError(t, on.RunOne(t.Context(), r))
		require.True(t, r.Found)
		require.Equal(t, []string{"i", "r", "s", "b", "at", "n", "typeof(at)"}, r.Columns)
		require.Equal(t, []sqlite.Value{sqlite.IntegerOf(7), sqlite.FloatOf(1.5), sqlite.TextOf("text"), sqlite.BlobOf([]byte{0, 1}), sqlite.TimeOf(at), {}, sqlite.TextOf("integer")}, r.Row, name)
		require.Same(t, room, &r.Row[:20][19], "it is where it was")

		r.Args[0].Value = sqlite.IntegerOf(8)
		require.NoError(t, on.RunOne(t.Context(), r))
		require.False(t, r.Found)
		r.Text = "SELECT nothing"
		r.Found = true
		require.Error(t, on.RunOne(t.Context(), r))
		require.False(t, r.Found)

		r = requested("SELECT i, s FROM kinds")
		rows, err := on.RunMany(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, []string{"i", "s"}, rows.Columns())
		row := make([]sqlite.Value, 2)
		require.NoError(t, rows.NextRow(row))
		require.Equal(t, []sqlite.Value{sqlite.IntegerOf(7), sqlite.TextOf("text")}, row)
		require.ErrorIs(t, rows.NextRow(row), io.EOF)
		require.ErrorIs(t, rows.NextRow(row), io.EOF)
		require.NoError(t, rows.Close())
		require.NoError(t, rows.Close())
	}
	requireAtRest(t, p)
}

func TestARequestNamesWhoHoldsAConnection(t *testing.T) {
	for _, cfg := range []pool.Config{{}, {LeakThreshold: time.Hour}} {
		cfg.MaxConns, cfg.AcquireTimeout = 2, 10*time.Millisecond
		p := open(t, cfg)
		refused := func() {
			_, err := p.Acquire(t.Context())
			require.ErrorIs(t, err, pool.ErrAcquireTimeout)
			require.ErrorContains(t, err, ", by TheQuery for ")
			require.ErrorContains(t, err, " (a label)")
		}
		ctx := pool.WithLabel(t.Context(), "a label")
		rows, err := readers(p).RunMany(ctx, requested(three))
		require.NoError(t, err)
		refused()
		require.NoError(t, rows.Close())

		name := onSignal(t, refused)
		require.NoError(t, readers(p).RunOne(ctx, requested("SELECT signal(?)", sqlite.TextOf(name))))
		name = onSignal(t, refused)
		_, err = readers(p).RunExec(ctx, requested("SELECT signal(?)", sqlite.TextOf(name)))
		require.NoError(t, err)

		name = onSignal(t, func() {
			_, err := p.Begin(t.Context(), pool.Immediate)
			require.ErrorIs(t, err, pool.ErrAcquireTimeout)
			require.ErrorContains(t, err, "by TheQuery for ")
			require.ErrorContains(t, err, "(a label)")
		})
		require.NoError(t, writers(p).RunOne(ctx, requested("INSERT INTO n (v) VALUES (signal(?)) RETURNING v", sqlite.TextOf(name))))

		l := acquire(t, p)
		_, err = p.Acquire(t.Context())
		require.ErrorContains(t, err, "by github.com/sqlane/sqlane/pool_test.acquire (", "the one before is not named any more")
		require.NotContains(t, err.Error(), "a label")
		l.Release()
		requireAtRest(t, p)
	}
}

func TestALeakedRequestIsLoggedWithItsNameAndTheStack(t *testing.T) {
	besideOthers(t) // for it waits
	for _, threshold := range []time.Duration{0, time.Hour} {
		book := new(logbook)
		p := open(t, pool.Config{LeakThreshold: threshold, Logger: slog.New(book)})
		var gone sync.WaitGroup
		gone.Go(func() {
			rows, err := readers(p).RunMany(t.Context(), requested(three))
			if assert.NoError(t, err) {
				assert.NoError(t, rows.NextRow(make([]sqlite.Value, 1)))
			}
		})
		gone.Wait()
		waitForGarbage(t, "it is taken back", func() bool { return len(book.saying(slog.LevelError, "abandoned")) > 0 })
		stack := book.saying(slog.LevelError, "abandoned")[0].attrs["stack"]
		require.Contains(t, stack, "TheQuery")
		require.Equal(t, threshold > 0, strings.Contains(stack, t.Name()))
		requireAtRest(t, p)
	}
}

func TestRequestsGoOnInALaneThatShrinks(t *testing.T) {
	for conns, open := range map[int]func(t *testing.T) *pool.Pool{
		1: func(t *testing.T) *pool.Pool { return open(t, pool.Config{MaxConns: 1}) },
		2: func(t *testing.T) *pool.Pool {
			var refusing atomic.Bool
			p := open(t, pool.Config{MaxConns: 4, OnConnect: func(context.Context, *pool.Lease) error {
				if refusing.Load() {
					return errOurs
				}
				return nil
			}})
			acquire(t, p).Release()
			refusing.Store(true)
			return p
		},
	} {
		p := open(t)
		first := requested(three)
		var all sync.WaitGroup
		name := onSignal(t, func() {
			for range 5 {
				all.Go(func() {
					r := requested(three)
					assert.NoError(t, readers(p).RunOne(t.Context(), r))
					assert.True(t, r.Found)
				})
			}
			waitFor(t, "they wait for the connection there is", func() bool { return p.Stats().Waiting == 5 })
		})
		first.Text = "SELECT signal(?)"
		first.Args = []sqlite.Argument{{Value: sqlite.TextOf(name)}}
		require.NoError(t, readers(p).RunOne(t.Context(), first))
		all.Wait()
		require.Equal(t, conns, p.Stats().Open)
		requireAtRest(t, p)
	}
}

func TestARequestOfACallbackWouldWaitForItself(t *testing.T) {
	var opened atomic.Pointer[pool.Pool]
	errs := make(chan error, 10)
	p := open(t, pool.Config{MaxConns: 3, OnConnect: func(ctx context.Context, _ *pool.Lease) error {
		if p := opened.Load(); p != nil {
			errs <- readers(p).RunOne(ctx, requested(three))
			_, err := writers(p).RunExec(ctx, requested("DELETE FROM n"))
			errs <- err
		}
		return nil
	}})
	opened.Store(p)
	rows, err := readers(p).RunMany(t.Context(), requested(three))
	require.NoError(t, err)
	require.NoError(t, readers(p).RunOne(t.Context(), requested(three)), "on another connection")
	require.NoError(t, rows.Close())
	for range 2 {
		require.ErrorIs(t, <-errs, pool.ErrDeadlock)
	}
	requireAtRest(t, p)
}

func TestRequestsAreCountedAsStatementsAre(t *testing.T) {
	p := open(t, pool.Config{})
	before := p.Stats()
	const write = "INSERT INTO n (v) VALUES (3) RETURNING v"
	require.NoError(t, writers(p).RunOne(t.Context(), requested(write)))
	_, err := writers(p).RunExec(t.Context(), requested(write))
	require.NoError(t, err)
	rows, err := writers(p).RunMany(t.Context(), requested(write))
	require.NoError(t, err)
	require.NoError(t, rows.Close())
	require.NoError(t, readers(p).RunOne(t.Context(), requested(three)))
	require.NoError(t, readers(p).RunOne(t.Context(), requested(three)))
	now := p.Stats()
	require.EqualValues(t, 3, now.Committed-before.Committed)
	require.EqualValues(t, 3, now.Batches-before.Batches)
	require.EqualValues(t, 3, now.BatchMembers-before.BatchMembers)
	require.EqualValues(t, 5, now.Acquires-before.Acquires)
	require.GreaterOrEqual(t, now.StatementHits-before.StatementHits, uint64(3))
	require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM n WHERE v = 3"))
	requireAtRest(t, p)
}

func TestARequestAfterTheEndOfItsTransaction(t *testing.T) {
	p := open(t, pool.Config{})
	var over request.Runner
	var open request.Rows
	var ended context.Context
	require.NoError(t, p.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) (err error) {
		over, ended = tx.(request.Runner), ctx
		open, err = over.RunMany(ctx, requested(three))
		return err
	}))
	row := make([]sqlite.Value, 1)
	require.ErrorIs(t, open.NextRow(row), pool.ErrTxDone)
	require.NoError(t, open.Close())
	for name, on := range map[string]request.Runner{"Tx": over, "Reader": readers(p), "Writer": writers(p)} {
		require.ErrorIs(t, on.RunOne(ended, requested(three)), pool.ErrTxDone, name)
		_, err := on.RunExec(ended, requested("DELETE FROM n"))
		require.ErrorIs(t, err, pool.ErrTxDone, name)
		rows, err := on.RunMany(ended, requested(three))
		require.ErrorIs(t, err, pool.ErrTxDone, name)
		require.Nil(t, rows, name)
	}
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
	requireAtRest(t, p)
}

func TestRotationWaitsForTheRowsOfARequest(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2})
	rows, err := readers(p).RunMany(t.Context(), requested(three))
	require.NoError(t, err)
	row := make([]sqlite.Value, 1)
	require.NoError(t, rows.NextRow(row))
	p.Reset()
	require.NoError(t, rows.NextRow(row), "it goes on")
	require.NoError(t, rows.NextRow(row))
	require.ErrorIs(t, rows.NextRow(row), io.EOF)
	require.NoError(t, rows.Close())
	waitFor(t, "all are replaced", func() bool {
		require.NoError(t, readers(p).RunOne(t.Context(), requested(three)))
		return p.Stats().Reset == 2
	})
	requireAtRest(t, p)
}

func TestShutdownEndsRequests(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3})
	rows, err := readers(p).RunMany(t.Context(), requested(three))
	require.NoError(t, err)
	runs := make(chan struct{})
	var wg sync.WaitGroup
	name := onSignal(t, func() { close(runs) })
	wg.Go(func() {
		assert.ErrorIs(t, readers(p).RunOne(t.Context(), requested(endless(name))), pool.ErrClosed)
	})
	<-runs
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = p.Shutdown(ctx)
	wg.Wait()
	row := make([]sqlite.Value, 1)
	require.ErrorIs(t, rows.NextRow(row), pool.ErrClosed)
	require.NoError(t, rows.Close())
	require.ErrorIs(t, readers(p).RunOne(t.Context(), requested(three)), pool.ErrClosed)
	_, err = writers(p).RunExec(t.Context(), requested("DELETE FROM n"))
	require.ErrorIs(t, err, pool.ErrClosed)
	require.Zero(t, p.Stats().InUse)
}

func TestTracedArgumentsAreWhatSQLiteIsGiven(t *testing.T) {
	p, r := traced(t, pool.Config{TraceArguments: true})
	at := time.Date(2024, 2, 29, 1, 2, 3, 4, time.FixedZone("", 3600))
	args := requested("SELECT ?, ?, ?, ?, ?, ?", sqlite.BoolOf(true), sqlite.FloatOf(1.5), sqlite.TextOf("text"), sqlite.BlobOf([]byte{1}), sqlite.TimeOf(at), sqlite.Value{})
	require.NoError(t, readers(p).RunOne(t.Context(), args))
	l := acquire(t, p)
	require.NoError(t, do(t.Context(), l, args.Text, true, 1.5, "text", []byte{1}, at, nil))
	l.Release()
	for _, q := range r.named("query") {
		require.Equal(t, []any{int64(1), 1.5, "text", []byte{1}, at.UTC(), nil}, q.op.Args)
	}
	require.Len(t, r.named("query"), 2)
	r.requireWhole(t)
}

// TestACallIsUsedAgainWhileTheWatcherLooks has statements of all lengths side by
// side, whose calls the connections use again and again: those that take too long
// end with their context, and none ends with another's.
func TestACallIsUsedAgainWhileTheWatcherLooks(t *testing.T) {
	besideOthers(t) // for it waits
	p := open(t, pool.Config{MaxConns: 4})
	const count = "WITH RECURSIVE c(x) AS (VALUES (0) UNION ALL SELECT x + iif(?1 < 100, 1, rest()) FROM c WHERE x < ?1) SELECT count(*), ?2 FROM c"
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r := requested(count, sqlite.IntegerOf(0), sqlite.TextOf(""))
			for range rounds.Of(2, 10, 200) {
				r.Args[0].Value, r.Args[1].Value = sqlite.IntegerOf(1<<40), sqlite.TextOf("slow")
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(4000))*time.Microsecond)
				assert.ErrorIs(t, readers(p).RunOne(ctx, r), context.DeadlineExceeded)
				cancel()
				for range 20 {
					r.Args[0].Value, r.Args[1].Value = sqlite.IntegerOf(rand.Int64N(100)), sqlite.TextOf("quick")
					ctx, cancel := context.WithCancel(t.Context())
					if assert.NoError(t, readers(p).RunOne(ctx, r)) {
						assert.Equal(t, "quick", r.Row[1].Text())
					}
					cancel()
				}
			}
		})
	}
	wg.Wait()
	requireAtRest(t, p)
}

// TestARequestIsItsCallersAgainWhenItsContextHasEnded has members of batches give up
// at all times, and use their requests for the next at once: nothing is written that
// nobody has asked for, nothing twice, and nothing lost that was acknowledged.
func TestARequestIsItsCallersAgainWhenItsContextHasEnded(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		const members = 8
		run(t, p, "CREATE TABLE asked (id TEXT PRIMARY KEY, by INTEGER) WITHOUT ROWID")
		var written [members]map[string]bool
		var wg sync.WaitGroup
		for m := range members {
			written[m] = map[string]bool{}
			wg.Go(func() {
				r := requested("INSERT INTO asked VALUES (?, ?) RETURNING id", sqlite.Value{}, sqlite.IntegerOf(int64(m)))
				for i := range rounds.Of(50, 100, 1000) {
					id := strings.Repeat(string(rune('a'+m)), 1+i)
					r.Args[0].Value = sqlite.TextOf(id)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(1000))*time.Microsecond)
					err := writers(p).RunOne(ctx, r)
					cancel()
					switch {
					case err == nil:
						written[m][id] = true
						assert.Equal(t, id, r.Row[0].Text())
					case !errors.Is(err, context.DeadlineExceeded):
						assert.NoError(t, err)
					}
				}
			})
		}
		wg.Wait()
		for m := range members {
			rows, err := readers(p).RunMany(t.Context(), requested("SELECT id FROM asked WHERE by = ?", sqlite.IntegerOf(int64(m))))
			require.NoError(t, err)
			row := make([]sqlite.Value, 1)
			there := map[string]bool{}
			for err = rows.NextRow(row); err == nil; err = rows.NextRow(row) {
				there[row[0].Text()] = true
			}
			require.ErrorIs(t, err, io.EOF)
			require.NoError(t, rows.Close())
			require.Equal(t, written[m], there)
		}
		requireAtRest(t, p)
	})
}
