package pool_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// activity is p's once each connection can be looked at: maintenance may be in between.
func activity(t *testing.T, p *pool.Pool) (a pool.Activity) {
	t.Helper()
	waitFor(t, "a look at each connection", func() bool {
		a = p.Activity()
		return !slices.ContainsFunc(a.Leases, func(l pool.LeaseInfo) bool { return l.State == pool.LeaseUnknown })
	})
	return a
}

func TestActivityNamesWhoHasAConnection(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 4}, func(t *testing.T, p *pool.Pool) {
		require.Empty(t, activity(t, p).Leases)
		run(t, p, "CREATE TABLE things (v)")
		before := time.Now()
		l, err := p.Acquire(pool.WithLabel(t.Context(), "nightly report"))
		require.NoError(t, err)
		defer l.Release()
		a := activity(t, p)
		require.Equal(t, pool.StateServing, a.State)
		require.Len(t, a.Leases, 1)
		got := a.Leases[0]
		require.Contains(t, got.By, "TestActivityNamesWhoHasAConnection")
		require.Contains(t, got.Stack, "activity_test.go:")
		require.Equal(t, "nightly report", got.Label)
		require.WithinRange(t, got.Since, before.Add(-time.Second), time.Now().Add(time.Second))
		require.Equal(t, pool.LeaseIdle, got.State)
		require.False(t, got.InTx || got.Writes || got.Reads || got.View || got.Beside || got.Own)

		require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			rows, err := tx.Query(ctx, "SELECT v FROM things UNION ALL SELECT 'secret' UNION ALL SELECT 2")
			if err != nil {
				return err
			}
			defer rows.Close()
			require.True(t, rows.Next())
			a := activity(t, p)
			require.Len(t, a.Leases, 2)
			view := a.Leases[1]
			require.True(t, view.InTx && view.View && view.Reads)
			require.Equal(t, pool.Deferred, view.Level)
			require.Equal(t, "SELECT v FROM things UNION ALL SELECT ? UNION ALL SELECT ?", view.SQL)
			return nil
		}))
	})
}

func TestActivityTellsWhatATransactionDoes(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 4}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "CREATE TABLE things (v)")
		require.NoError(t, p.InTx(t.Context(), pool.Exclusive, func(ctx context.Context, tx *pool.Tx) error {
			return tx.Savepoint(ctx, func(ctx context.Context, tx *pool.Tx) error {
				require.NoError(t, do(ctx, tx, "INSERT INTO things VALUES ('secret')"))
				l := activity(t, p).Leases[0]
				require.True(t, l.InTx && l.Writes && l.Reads && l.WriteLane)
				require.False(t, l.View)
				require.Equal(t, pool.Exclusive, l.Level)
				require.Equal(t, 1, l.Savepoints)
				require.Empty(t, l.SQL)

				var during pool.LeaseInfo
				name := onSignal(t, func() { during = activity(t, p).Leases[0] })
				require.NoError(t, do(ctx, tx, "SELECT signal(?), 'secret'", name))
				require.Equal(t, pool.LeaseExecuting, during.State)
				require.Equal(t, "SELECT signal(?), ?", during.SQL)
				require.True(t, during.InTx && during.Writes)
				require.WithinDuration(t, time.Now(), during.Began, time.Minute)
				return nil
			})
		}))
	})
}

func TestActivityListsTheQueues(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2})
	run(t, p, "CREATE TABLE things (v)")
	var wg sync.WaitGroup
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(context.Context, *pool.Tx) error {
		l := acquire(t, p)
		wg.Go(func() { // it has the only reader's connection, and wants to write
			defer l.Release()
			assert.NoError(t, do(t.Context(), l, "INSERT INTO things VALUES (1)"))
		})
		waitFor(t, "the lease to queue", func() bool { return p.Stats().WriteQueue == 1 })
		wg.Go(func() {
			assert.NoError(t, p.InTx(pool.WithLabel(t.Context(), "import"), pool.Immediate, func(context.Context, *pool.Tx) error { return nil }))
		})
		waitFor(t, "the transaction to queue", func() bool { return p.Stats().WriteQueue == 2 })
		wg.Go(func() {
			_, err := p.Reader().ExecContext(pool.WithLabel(t.Context(), "lookup"), "SELECT 1")
			assert.NoError(t, err)
		})
		waitFor(t, "the reader to queue", func() bool { return p.Stats().Waiting == 3 })
		a := activity(t, p)
		require.Len(t, a.WriteQueue, 2)
		require.True(t, a.WriteQueue[0].Has)
		require.Contains(t, a.WriteQueue[0].By, "pool_test.acquire")
		require.Equal(t, "import", a.WriteQueue[1].Label)
		require.False(t, a.WriteQueue[1].Has)
		require.False(t, a.WriteQueue[1].Since.Before(a.WriteQueue[0].Since))
		require.Len(t, a.ReadQueue, 1)
		require.Equal(t, "lookup", a.ReadQueue[0].Label)
		require.Contains(t, a.ReadQueue[0].Stack, "activity_test.go:")
		waiting := a.Leases[1]
		require.Equal(t, pool.LeaseWaiting, waiting.State)
		return nil
	}))
	wg.Wait()
	a := activity(t, p)
	require.Empty(t, a.WriteQueue)
	require.Empty(t, a.ReadQueue)
}

func TestAReaderThatWaitsToWriteInMemoryIsInTheQueue(t *testing.T) {
	p := open(t, pool.Config{Path: pool.Memory, MaxConns: 4})
	run(t, p, "CREATE TABLE things (v)")
	reader, err := p.Begin(t.Context(), pool.Deferred)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), reader, "SELECT * FROM things"))
	var wg sync.WaitGroup
	wg.Go(func() {
		assert.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
			if err := do(ctx, tx, "SELECT * FROM things"); err != nil {
				return err
			}
			return do(ctx, tx, "INSERT INTO things VALUES (1)")
		}))
	})
	waitFor(t, "the upgrade", func() bool { return p.Stats().WriteQueue == 1 })
	a := activity(t, p)
	require.Len(t, a.WriteQueue, 1)
	require.Equal(t, "a reader that goes on to write, or a connection that is being set up", a.WriteQueue[0].By)
	require.True(t, a.WriteQueue[0].Has)
	require.NoError(t, reader.Rollback(t.Context()))
	wg.Wait()
}

func TestActivityShowsWhoCarriesStateForASqlDB(t *testing.T) {
	p := open(t, pool.Config{})
	db := p.DB()
	defer db.Close()
	_, err := db.ExecContext(t.Context(), "BEGIN")
	require.NoError(t, err)
	a := activity(t, p)
	require.Len(t, a.Leases, 1)
	require.True(t, a.Leases[0].Beside && a.Leases[0].InTx)
	require.Equal(t, pool.Deferred, a.Leases[0].Level)
	_, err = db.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.Empty(t, activity(t, p).Leases)
}

func TestActivityCannotLookAtWhatRawHas(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	require.NoError(t, l.Raw(t.Context(), func(driver.Conn) error {
		a := p.Activity()
		require.Equal(t, pool.LeaseUnknown, a.Leases[0].State)
		require.True(t, a.Leases[0].Writes, "it has the write lane")
		return nil
	}))
	l.Release()
}

func TestActivityCountsWatchers(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 8})
	run(t, p, "CREATE TABLE things (v)")
	run(t, p, "CREATE TABLE more (v)")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, w := range [][2]string{{"badge", "SELECT * FROM things"}, {"badge", "SELECT * FROM things, more"}, {"list", "SELECT * FROM more"}} {
		wg.Go(func() {
			for range p.Watch(pool.WithLabel(ctx, w[0]), doing(w[1])) { // until the context ends
				continue
			}
		})
	}
	feed := p.Changes(ctx)
	waitFor(t, "what they watch", func() bool {
		return fmt.Sprint(activity(t, p).WatchedTables) == "[{more 2} {things 2}]"
	})
	a := activity(t, p)
	require.Equal(t, 4, a.Watchers)
	require.Equal(t, 1, a.WatchAll)
	require.Len(t, a.WatchedFrom, 2)
	require.Equal(t, "badge", a.WatchedFrom[0].Label)
	require.Equal(t, 2, a.WatchedFrom[0].Watchers)
	require.Contains(t, a.WatchedFrom[0].By, "TestActivityCountsWatchers")
	require.Contains(t, a.WatchedFrom[0].Stack, "activity_test.go:")
	cancel()
	wg.Wait()
	for range feed { // it ends with the context
		continue
	}
	a = activity(t, p)
	require.Zero(t, a.Watchers)
	require.Empty(t, a.WatchedFrom)
}

func TestActivityToldOfAPoolsEnd(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Shutdown(ctx) }()
	waitFor(t, "the shutdown", func() bool { return activity(t, p).State == pool.StateShuttingDown })
	require.Len(t, activity(t, p).Leases, 1)
	l.Release()
	require.NoError(t, <-done)
	cancel()
	require.Equal(t, pool.StateClosed, activity(t, p).State)
	require.Empty(t, activity(t, p).Leases)
	require.NotNil(t, p.Queries(), "what was counted stays")
}

// TestALookHoldsNobodyUp: somebody looks all the time while every kind of work goes
// on. With the race detector this shows that a look reads nothing that is written.
func TestALookHoldsNobodyUp(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 4, StatementCacheSize: 4}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "CREATE TABLE things (v)")
		stop := make(chan struct{})
		var looks, work sync.WaitGroup
		for range 2 {
			looks.Go(func() {
				for !isDone(stop) {
					for _, l := range p.Activity().Leases {
						assert.NotContains(t, l.SQL, "secret")
					}
					for _, q := range p.Queries() {
						assert.NotContains(t, q.SQL, "secret")
					}
				}
			})
		}
		for g := range 6 {
			work.Go(func() {
				for i := range 30 {
					ctx := t.Context()
					var err error
					switch (g + i) % 5 {
					case 0:
						err = p.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
							return tx.Savepoint(ctx, doing(fmt.Sprintf("INSERT INTO things SELECT 'secret%d'", i)))
						})
					case 1:
						err = p.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
							rows, err := tx.Query(ctx, "SELECT v FROM things WHERE v <> 'secret' LIMIT 20")
							for err == nil && rows.Next() {
								continue
							}
							return err
						})
					case 2:
						_, err = p.Writer().Exec(ctx, "INSERT INTO things VALUES (?)", "secret")
					case 3:
						err = do(ctx, p.Reader(), "SELECT count(*) FROM things WHERE v LIKE 'secret%'")
					case 4:
						err = p.Batch(ctx, doing("UPDATE things SET v = 'secret' WHERE rowid = 1"))
					}
					assert.NoError(t, err)
				}
			})
		}
		work.Wait()
		close(stop)
		looks.Wait()
		requireAtRest(t, p)
	})
}

func TestQueriesAreCountedByWhatTheyAre(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 4})
	run(t, p, "CREATE TABLE things (v UNIQUE)")
	for i := range 40 {
		run(t, p, fmt.Sprintf("-- name: PutN :exec\nINSERT INTO things VALUES (%d)", i))
	}
	_, err := p.Writer().Exec(t.Context(), "INSERT INTO things VALUES (7)")
	require.Error(t, err)
	require.EqualValues(t, 40, get(t, p, "SELECT count(*) FROM things WHERE v < ?", 1000))
	q := byText(t, p, "INSERT INTO things VALUES (?)")
	require.Equal(t, "PutN", q.Name)
	require.EqualValues(t, 41, q.Calls)
	require.EqualValues(t, 1, q.Failures)
	require.Positive(t, q.Time)
	require.Positive(t, q.Longest)
	require.Positive(t, q.Prepared)
	require.EqualValues(t, 1, byText(t, p, "SELECT count(*) FROM things WHERE v < ?").Calls)
	require.Positive(t, byText(t, p, "BEGIN IMMEDIATE").Calls)
	all := p.Queries()
	for i := range all[1:] {
		require.GreaterOrEqual(t, all[i].Time, all[i+1].Time, "the one that took the most is the first")
	}
	require.NoError(t, p.Close())
	q = byText(t, p, "INSERT INTO things VALUES (?)")
	require.EqualValues(t, 41, q.Calls, "what closed connections counted is kept")
	require.Zero(t, q.Prepared)
}

func byText(t *testing.T, p *pool.Pool, text string) pool.Query {
	t.Helper()
	for _, q := range p.Queries() {
		if q.SQL == text {
			return q
		}
	}
	require.Fail(t, "it was not counted", text)
	return pool.Query{}
}

func TestRowsCountUntilTheyAreClosed(t *testing.T) {
	p := open(t, pool.Config{})
	const text = "SELECT name FROM sqlite_schema UNION ALL SELECT name FROM sqlite_schema"
	rows, err := p.Reader().Query(t.Context(), text)
	require.NoError(t, err)
	require.True(t, rows.Next())
	l := activity(t, p).Leases[0]
	require.Equal(t, text, l.SQL)
	require.Equal(t, pool.LeaseIdle, l.State)
	require.True(t, l.Reads)
	require.NoError(t, rows.Close())
	q := byText(t, p, text)
	require.EqualValues(t, 1, q.Calls)
	require.Positive(t, q.Time)

	rows, err = p.Reader().Query(t.Context(), "SELECT 1 UNION ALL SELECT abs(-9223372036854775808)")
	require.NoError(t, err)
	for rows.Next() {
		continue
	}
	require.Error(t, rows.Err())
	require.EqualValues(t, 1, byText(t, p, "SELECT ? UNION ALL SELECT abs(-?)").Failures)
}

// TestManyStatementsAreCountedInLittleMemory: each has a text of its own, and a name
// that no normalization takes away.
func TestManyStatementsAreCountedInLittleMemory(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2, StatementCacheSize: 8})
	l := acquire(t, p)
	many := rounds.Of(800, 2000, 2000)
	for i := range many {
		require.NoError(t, do(t.Context(), l, fmt.Sprintf("SELECT 1 AS c%d%s", i, strings.Repeat("_", i%3*5400))))
	}
	l.Release()
	all := p.Queries()
	require.Less(t, len(all), 600)
	var calls, rest uint64
	for _, q := range all {
		require.Less(t, len(q.SQL), 3000)
		if calls += q.Calls; q.SQL == "" {
			rest = q.Calls
		}
	}
	require.GreaterOrEqual(t, calls, uint64(many))
	require.Positive(t, rest, "the rest is counted together")
}
