package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestALeaseRunsEachStatementAsATransactionOfItsOwn(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		require.NoError(t, do(t.Context(), l, "INSERT INTO n VALUES (2, 0)"))
		require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n"), "seen by others at once")
		require.Error(t, do(t.Context(), l, "INSERT INTO n VALUES (2, 0)"))
		rows, err := l.QueryContext(t.Context(), "INSERT INTO n VALUES (?, ?) RETURNING id", 3, 1)
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.NoError(t, rows.Close())
		require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM n"))
		l.Release()
		requireAtRest(t, p)
	})
}

func TestAReleasedLeaseAnswersWithAnError(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	ctx := t.Context()
	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	s, err := l.PrepareContext(ctx, "SELECT 1")
	require.NoError(t, err)
	rows, err := l.QueryContext(ctx, "SELECT 1 UNION SELECT 2")
	require.NoError(t, err)
	require.True(t, rows.Next())
	l.Release()
	l.Release()

	require.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), pool.ErrReleased)
	require.NoError(t, rows.Close())
	next, err := p.Acquire(ctx) // the same connection, for somebody else
	require.NoError(t, err)
	require.ErrorIs(t, do(ctx, l, "UPDATE n SET v = 1"), pool.ErrReleased)
	_, err = number(ctx, l, "SELECT 1")
	require.ErrorIs(t, err, pool.ErrReleased)
	_, err = l.QueryContext(ctx, "SELECT 1")
	require.ErrorIs(t, err, pool.ErrReleased)
	_, err = l.PrepareContext(ctx, "SELECT 1")
	require.ErrorIs(t, err, pool.ErrReleased)
	_, err = s.Query()
	require.ErrorIs(t, err, pool.ErrReleased)
	_, err = s.Exec()
	require.ErrorIs(t, err, pool.ErrReleased)
	require.NoError(t, s.Close())
	l.Release()
	require.NoError(t, do(ctx, next, "UPDATE n SET v = 2"), "a late Release of another lease does not end this one")
	next.Release()
	requireAtRest(t, p)
}

func TestATextWithoutAStatementDoesNothing(t *testing.T) {
	p := open(t, pool.Config{})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	for _, text := range []string{"", "  ", ";", "-- nothing", "/* nothing */;"} {
		require.NoError(t, do(t.Context(), l, text))
		rows, err := l.QueryContext(t.Context(), text)
		require.NoError(t, err)
		require.False(t, rows.Next())
		require.NoError(t, rows.Close())
	}
}

func TestAScriptRunsItsStatementsInOrderAndReturnsTheLastOnesRows(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		defer l.Release()
		v, err := number(t.Context(), l, "INSERT INTO n VALUES (2, 20); UPDATE n SET v = v + 1; SELECT sum(v) FROM n -- all")
		require.NoError(t, err)
		require.EqualValues(t, 22, v)
		require.Error(t, do(t.Context(), l, "INSERT INTO n VALUES (3, 0); INSERT INTO nowhere VALUES (1); INSERT INTO n VALUES (4, 0)"))
		_, err = l.QueryContext(t.Context(), "INSERT INTO n VALUES (5, 0); bad; SELECT 1")
		require.Error(t, err)
		v, err = number(t.Context(), l, "SELECT sum(id) FROM n")
		require.NoError(t, err)
		require.EqualValues(t, 1+2+3+5, v, "what ran before a failure stays")
	})
}

func TestAFaultyStatementIsSQLitesError(t *testing.T) {
	p := open(t, pool.Config{})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	_, err = l.PrepareContext(t.Context(), "SELEC 1")
	code, ok := pool.Code(err)
	require.True(t, ok)
	require.Equal(t, 1, code)
	_, err = l.QueryContext(t.Context(), "SELECT nothing FROM n")
	require.ErrorContains(t, err, "nothing")
	require.NoError(t, do(t.Context(), l, "SELECT 1"))
}

func TestAWriteThatSQLiteItselfRefusesIsReadOnlyToo(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	require.NoError(t, do(t.Context(), l, "PRAGMA query_only = on"))
	err := do(t.Context(), l, "UPDATE n SET v = 1")
	require.ErrorIs(t, err, pool.ErrReadOnly)
	code, _ := pool.Code(err)
	require.Equal(t, 8, code)
	l.Release()
	require.EqualValues(t, 1, p.Stats().Dirty)
	run(t, p, "UPDATE n SET v = 1")
	requireAtRest(t, p)
	require.EqualValues(t, 1, p.Stats().Dirty, "it was counted once")
	require.Zero(t, p.Stats().Broken, "what was set says why")
}

func TestAnAcquireTimeoutNamesTheHolders(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3, AcquireTimeout: 10 * time.Millisecond})
	ctx := t.Context()
	l, err := p.Acquire(pool.WithLabel(ctx, "the monthly report"))
	require.NoError(t, err)
	tx, err := p.Begin(ctx, pool.Deferred)
	require.NoError(t, err)
	_, err = p.Acquire(ctx)
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	for _, part := range []string{"TestAnAcquireTimeoutNamesTheHolders", "lease_test.go:", "the monthly report", "2 of 3"} {
		require.ErrorContains(t, err, part)
	}
	writer, err := p.Begin(ctx, pool.Immediate)
	require.NoError(t, err)
	for _, wait := range []func() error{
		func() error { return p.Batch(ctx, doing("SELECT 1")) },
		func() error { return p.InTx(ctx, pool.Exclusive, doing("SELECT 1")) },
		func() error { return do(ctx, l, "UPDATE n SET v = 1") },
		func() error { return do(ctx, tx, "UPDATE n SET v = 1") },
	} {
		err := wait()
		require.ErrorIs(t, err, pool.ErrAcquireTimeout)
		require.ErrorContains(t, err, "TestAnAcquireTimeoutNamesTheHolders")
	}
	l.Release()
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, writer.Rollback(ctx))
	require.EqualValues(t, 5, p.Stats().Timeouts)
	requireAtRest(t, p)
}

func TestAnAcquireTimeoutTellsHowLongTheHoldersHaveWhatTheyHave(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3, AcquireTimeout: 10 * time.Millisecond})
	before := time.Now()
	conn, err := p.DB().Conn(t.Context()) // its taker is behind database/sql
	require.NoError(t, err)
	l := acquire(t, p)
	_, err = p.Acquire(t.Context())
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	holders := regexp.MustCompile(`by (\S+) \(\S+_test\.go:\d+\) for ([^ ,]+)`).FindAllStringSubmatch(err.Error(), -1)
	require.Len(t, holders, 2, "%v", err)
	require.Contains(t, holders[0][1], t.Name(), "the first is the first")
	require.Contains(t, holders[1][1], "pool_test.acquire")
	for _, holder := range holders {
		held, err := time.ParseDuration(holder[2])
		require.NoError(t, err)
		require.LessOrEqual(t, held, time.Since(before)+time.Millisecond, "but for rounding")
	}
	l.Release()
	require.NoError(t, conn.Close())
}

func TestTheTakerIsWhoeverCalledThePoolOrDatabaseSQL(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2, AcquireTimeout: 10 * time.Millisecond})
	tx, err := sync.OnceValues(p.DB().Begin)()
	require.NoError(t, err)
	err = p.InTx(t.Context(), pool.Immediate, doing("SELECT 1"))
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.ErrorContains(t, err, "sync/oncefunc.go:", "which called Begin, not the test which called that")
	require.NoError(t, tx.Rollback())
}

// deeply has f called within n functions more.
func deeply(n int, f func()) {
	if n > 0 {
		deeply(n-1, f)
		return
	}
	f()
}

func TestTheWholeStackIsKeptWhereLeasesHeldForLongAreLogged(t *testing.T) {
	besideOthers(t) // for it waits
	book := new(logbook)
	p := open(t, pool.Config{LeakThreshold: time.Millisecond, Logger: slog.New(book)})
	var l *pool.Lease
	deeply(6, func() { l = acquire(t, p) })
	waitFor(t, "it is told of", func() bool { return len(book.saying(slog.LevelWarn, "held for long")) > 0 })
	require.Contains(t, book.saying(slog.LevelWarn, "held for long")[0].attrs["stack"], t.Name())
	l.Release()

	p = open(t, pool.Config{Logger: slog.New(book)})
	var gone sync.WaitGroup
	gone.Go(func() { deeply(6, func() { acquire(t, p) }) })
	gone.Wait()
	waitForGarbage(t, "it is taken back", func() bool { return len(book.saying(slog.LevelError, "abandoned")) > 0 })
	stack := book.saying(slog.LevelError, "abandoned")[0].attrs["stack"]
	require.Contains(t, stack, "pool_test.acquire", "who took it")
	require.Less(t, strings.Count(stack, "deeply"), 6, "not all of those behind: that is dear")
}

func TestTooManyWaitersAreOverload(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2, MaxWaiters: 2})
	ctx := t.Context()
	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			l, err := p.Acquire(ctx)
			if assert.NoError(t, err) {
				l.Release()
			}
		})
	}
	waitFor(t, "two wait", func() bool { return p.Stats().Waiting == 2 })
	_, err = p.Acquire(ctx)
	require.ErrorIs(t, err, pool.ErrOverloaded)
	require.ErrorContains(t, err, "MaxWaiters is 2")
	l.Release()
	wg.Wait()
	require.EqualValues(t, 1, p.Stats().Overloads)
	requireAtRest(t, p)
}

func TestLeasesAreGivenInTheOrderOfAsking(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			l, err := p.Acquire(t.Context())
			if assert.NoError(t, err) {
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				l.Release()
			}
		})
		waitFor(t, "it waits", func() bool { return p.Stats().Waiting == i+1 })
	}
	l.Release()
	wg.Wait()
	for i := range order {
		require.Equal(t, i, order[i])
	}
	requireAtRest(t, p)
}

func TestTheNextLeaseNeverSeesWhatALeaseDidToItsConnection(t *testing.T) {
	for _, c := range []struct{ change, see string }{
		{"PRAGMA foreign_keys = off", "SELECT foreign_keys = 1 FROM pragma_foreign_keys"},
		{"PRAGMA cache_size = 77", "SELECT cache_size <> 77 FROM pragma_cache_size"},
		{"PRAGMA query_only = on", "SELECT query_only = 0 FROM pragma_query_only"},
		{"PRAGMA case_sensitive_like = on", "SELECT 'A' LIKE 'a'"},
		{"PRAGMA busy_timeout = 3", "SELECT timeout > 3 FROM pragma_busy_timeout"},
		{"PRAGMA recursive_triggers(1)", "SELECT recursive_triggers = 0 FROM pragma_recursive_triggers"},
		{"CREATE TEMP TABLE mine (x)", "SELECT count(*) = 0 FROM temp.sqlite_schema"},
		{"CREATE TEMP TRIGGER mine AFTER INSERT ON n BEGIN SELECT 1; END", "SELECT count(*) = 0 FROM temp.sqlite_schema"},
		{"CREATE TEMP VIEW mine AS SELECT 1", "SELECT count(*) = 0 FROM temp.sqlite_schema"},
		{"ATTACH ':memory:' AS mine", "SELECT count(*) = 0 FROM pragma_database_list WHERE name = 'mine'"},
	} {
		t.Run(c.change, func(t *testing.T) {
			p := open(t, pool.Config{MaxConns: 1})
			run(t, p, c.change)
			require.EqualValues(t, 1, get(t, p, c.see))
			require.EqualValues(t, 1, p.Stats().Dirty)
			if err := p.InTx(t.Context(), pool.Immediate, doing(c.change)); c.change == "PRAGMA foreign_keys = off" {
				require.ErrorIs(t, err, errors.ErrUnsupported, "SQLite would ignore it")
			} else {
				require.NoError(t, err)
			}
			require.EqualValues(t, 1, get(t, p, c.see))
			requireAtRest(t, p)
		})
	}
}

func TestABusyTimeoutThatALeaseSetsIsTheOneItSees(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	l := acquire(t, p)
	defer l.Release()
	for set, want := range map[string]int64{"PRAGMA busy_timeout = 77": 77, "PRAGMA busy_timeout = 0": 0, "PRAGMA busy_timeout = -5": 0, "PRAGMA busy_timeout(12345)": 12345} {
		require.NoError(t, do(t.Context(), l, set))
		for _, look := range []string{"PRAGMA busy_timeout", "SELECT timeout FROM pragma_busy_timeout", "SELECT 1; PRAGMA busy_timeout"} {
			n, err := number(t.Context(), l, look)
			require.NoError(t, err)
			require.Equal(t, want, n, "%s, %s", set, look)
		}
	}
}

func TestLookingAroundKeepsTheConnection(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	for _, look := range []string{
		"PRAGMA table_info(n)", "PRAGMA table_xinfo(n)", "PRAGMA integrity_check", "PRAGMA quick_check", "PRAGMA foreign_key_check", "PRAGMA foreign_keys",
		"PRAGMA journal_mode", "PRAGMA index_list(n)", "PRAGMA foreign_key_list(child)", "PRAGMA user_version", "PRAGMA user_version = 2",
		"SELECT * FROM pragma_table_info('n')", "PRAGMA wal_checkpoint", "PRAGMA database_list", "PRAGMA compile_options",
	} {
		run(t, p, look)
	}
	s := p.Stats()
	require.Zero(t, s.Dirty)
	require.EqualValues(t, 1, s.Created)
}

func TestALeaseLeavesNoTransactionBehind(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	rows, err := l.QueryContext(t.Context(), "UPDATE n SET v = 5 RETURNING v")
	require.NoError(t, err)
	require.True(t, rows.Next())
	l.Release()
	require.False(t, rows.Next())
	require.NoError(t, rows.Close())
	requireAtRest(t, p)
	require.EqualValues(t, 5, get(t, p, "SELECT v FROM n"), "the statement was whole; only its rows were not read")
}

func TestTheFiguresAddUp(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 4, MinConns: 3}, func(t *testing.T, p *pool.Pool) {
		s := p.Stats()
		require.Equal(t, 4, s.MaxConns)
		require.Equal(t, 3, s.Open)
		require.Equal(t, 3, s.Idle)
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		require.NoError(t, p.Batch(t.Context(), doing("UPDATE n SET v = 1")))
		s = p.Stats()
		require.Equal(t, 1, s.InUse)
		require.Equal(t, s.Open, s.Idle+s.InUse)
		l.Release()
		require.EqualValues(t, s.Open, s.Created)
		before := p.Stats()
		for range 10 {
			require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
		}
		after := p.Stats()
		require.EqualValues(t, 10, after.Acquires-before.Acquires)
		require.GreaterOrEqual(t, after.StatementHits-before.StatementHits, uint64(9))
		require.LessOrEqual(t, after.StatementMisses-before.StatementMisses, uint64(1))
		if after.WALBytes > 0 {
			require.NotContains(t, t.Name(), "memory")
		} else {
			require.NotContains(t, t.Name(), "wal")
		}
	})
}

func TestTheStatementCacheKeepsTheMostRecentlyUsed(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1, StatementCacheSize: 2})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	hits := func(query string) uint64 {
		before := p.Stats().StatementHits
		require.NoError(t, do(t.Context(), l, query))
		return p.Stats().StatementHits - before
	}
	require.Zero(t, hits("SELECT 1"))
	require.Zero(t, hits("SELECT 2"))
	require.EqualValues(t, 1, hits("SELECT 1"))
	require.Zero(t, hits("SELECT 3"), "2 goes")
	require.EqualValues(t, 1, hits("SELECT 1"))
	require.Zero(t, hits("SELECT 2"))
	require.EqualValues(t, 1, hits("SELECT 1"))

	p = open(t, pool.Config{MaxConns: 1, StatementCacheSize: -1})
	run(t, p, "SELECT 1")
	run(t, p, "SELECT 1")
	require.Zero(t, p.Stats().StatementHits)
}

func TestAStatementThatWasPreparedTwiceIsCachedOnce(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1, StatementCacheSize: 2})
	l := acquire(t, p)
	defer l.Release()
	const query = "SELECT 1 UNION SELECT 2"
	outer, err := l.QueryContext(t.Context(), query)
	require.NoError(t, err)
	require.True(t, outer.Next())
	require.NoError(t, do(t.Context(), l, query))
	require.NoError(t, outer.Close())
	require.NoError(t, do(t.Context(), l, "SELECT 3"), "there is room for this one too")
	before := p.Stats().StatementHits
	require.NoError(t, do(t.Context(), l, query))
	require.NoError(t, do(t.Context(), l, "SELECT 3"))
	require.EqualValues(t, 2, p.Stats().StatementHits-before)
}

func TestATextWithoutAStatementIsNotOneThatIsNeverCached(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1, StatementCacheSize: 1})
	l := acquire(t, p)
	defer l.Release()
	for _, uncached := range []string{"PRAGMA user_version", "SELECT 1; SELECT 2"} {
		require.NoError(t, do(t.Context(), l, "SELECT 0")) // whatever was cached goes
		require.NoError(t, do(t.Context(), l, uncached))
		rows, err := l.QueryContext(t.Context(), "")
		require.NoError(t, err)
		require.False(t, rows.Next())
		require.NoError(t, rows.Close())
	}
}

func TestAQueryWithinItsOwnRowsGetsTheRightOnes(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "INSERT INTO n VALUES (2, 2), (3, 3)")
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		defer l.Release()
		const query = "SELECT id FROM n ORDER BY id"
		outer, err := l.QueryContext(t.Context(), query)
		require.NoError(t, err)
		defer outer.Close()
		var seen []string
		for outer.Next() {
			var a int
			require.NoError(t, outer.Scan(&a))
			inner, err := l.QueryContext(t.Context(), query)
			require.NoError(t, err)
			for inner.Next() {
				var b int
				require.NoError(t, inner.Scan(&b))
				seen = append(seen, fmt.Sprint(a, b))
			}
			require.NoError(t, inner.Err())
		}
		require.NoError(t, outer.Err())
		require.Equal(t, []string{"1 1", "1 2", "1 3", "2 1", "2 2", "2 3", "3 1", "3 2", "3 3"}, seen)
	})
}

func TestColumnTypesAreAskedOfOpenRowsOnly(t *testing.T) {
	p := open(t, pool.Config{})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	rows, err := l.QueryContext(t.Context(), "SELECT id, v FROM n")
	require.NoError(t, err)
	defer rows.Close()
	types, err := rows.ColumnTypes()
	require.NoError(t, err)
	require.Equal(t, "INTEGER", types[0].DatabaseTypeName())
	l.Release()
	_, _ = rows.ColumnTypes() // it may fail, it must not crash
}

func TestManyGoroutinesShareOneLease(t *testing.T) {
	p := open(t, pool.Config{})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			assert.NoError(t, do(t.Context(), l, "UPDATE n SET v = v + 1"))
			_, err := number(t.Context(), l, "SELECT v FROM n")
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	l.Release()
	require.EqualValues(t, 50, get(t, p, "SELECT v FROM n"))
}

func ExamplePool_Acquire() {
	ctx := context.Background()
	p, err := pool.Open(ctx, pool.Config{Path: pool.Memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	lease, err := p.Acquire(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lease.Release()
	var version int
	if err := lease.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("version", version)
	// Output: version 0
}

func TestALeaseIsReleasedThoughItsConnectionWasReplacedMeanwhile(t *testing.T) {
	p := open(t, pool.Config{})
	ctx := t.Context()
	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	require.NoError(t, do(ctx, l, "PRAGMA cache_size = 77"))
	tx, err := p.Begin(ctx, pool.Immediate)
	require.NoError(t, err)
	require.NoError(t, do(ctx, tx, "PRAGMA cache_size = 77"))
	l.Release()
	require.NoError(t, tx.Commit(ctx))
	before := p.Stats().Created
	for p.Stats().Created == before { // until others are in their place
		run(t, p, "UPDATE n SET v = 1")
		require.NoError(t, p.Batch(ctx, doing("SELECT 1")))
	}
	for range 100 { // closed or not yet
		require.ErrorIs(t, do(ctx, l, "SELECT 1"), pool.ErrReleased)
		_, err = number(ctx, l, "SELECT 1")
		require.ErrorIs(t, err, pool.ErrReleased)
		require.ErrorIs(t, do(ctx, tx, "SELECT 1"), pool.ErrTxDone)
		require.ErrorIs(t, tx.Commit(ctx), pool.ErrTxDone)
		require.NoError(t, tx.Rollback(ctx))
	}
}

func TestALeaseReleasedWhileAnotherGoroutineUsesItAnswersWithAnErrorToo(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 4})
	for range 100 {
		l := acquire(t, p)
		require.NoError(t, do(t.Context(), l, "CREATE TEMP TABLE x (y)"), "its connection is closed with it")
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				var err error
				for err == nil {
					_, err = number(t.Context(), l, "SELECT v FROM n")
				}
				assert.ErrorIs(t, err, pool.ErrReleased)
			})
		}
		l.Release()
		wg.Wait()
	}
	requireAtRest(t, p)
}
