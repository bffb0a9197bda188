package pool_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// first is the first change of a feed, whose loop is left then.
func first(t *testing.T, feed func(func(pool.Change, error) bool)) (first pool.Change) {
	t.Helper()
	for change, err := range feed {
		require.NoError(t, err)
		first = change
		break
	}
	return first
}

func TestAChangeNamesWhatWasChangedAsItWasDeclared(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, waysToRead+"CREATE TABLE Mixed (Case_ INTEGER PRIMARY KEY); CREATE TABLE \"two words\" (a);")
		for _, c := range []struct {
			query string
			want  pool.Change
		}{
			{"INSERT INTO MIXED VALUES (1)", pool.Change{Tables: []string{"Mixed"}}},
			{`INSERT INTO "TWO words" VALUES (1)`, pool.Change{Tables: []string{"two words"}}},
			{"DELETE FROM mixed", pool.Change{Tables: []string{"Mixed"}}},
			{"INSERT INTO base (v) VALUES ('fire')", pool.Change{Tables: []string{"base", "fired"}}},
			{"DELETE FROM owner WHERE id = 1", pool.Change{Tables: []string{"owned", "owner"}}},
			{"CREATE TABLE made (a)", pool.Change{Schema: true}},
			{"CREATE TABLE copied AS SELECT * FROM base", pool.Change{Schema: true}},
			{"DROP TABLE made", pool.Change{Tables: []string{"made"}, Schema: true}},
			{"VACUUM", pool.Change{Schema: true}},
			{"ANALYZE", pool.Change{Schema: true}},
		} {
			feed := p.Changes(t.Context())
			run(t, p, c.query)
			got := first(t, feed)
			got.Tables = slices.DeleteFunc(got.Tables, func(table string) bool { return strings.HasPrefix(table, "sqlite_") }) // ANALYZE's
			if len(got.Tables) == 0 {
				got.Tables = nil
			}
			require.Equal(t, c.want, got, c.query)
		}
		feed := p.Changes(t.Context())
		l := acquire(t, p)
		require.NoError(t, l.Raw(t.Context(), func(conn driver.Conn) error {
			_, err := conn.(driver.ExecerContext).ExecContext(t.Context(), "INSERT INTO heap VALUES (1)", nil)
			return err
		}))
		l.Release()
		require.Equal(t, pool.Change{External: true}, first(t, feed))
	})
}

func TestChangesAreThoseFromTheCallOnAndFolded(t *testing.T) {
	p := open(t, pool.Config{})
	other := p.Changes(t.Context()) // so that commits are numbered
	run(t, p, "INSERT INTO heap VALUES (1)")
	feed := p.Changes(t.Context())
	run(t, p, insert, 2)
	run(t, p, "INSERT INTO parent VALUES (1)")
	seen := map[string]bool{}
	for change, err := range feed {
		require.NoError(t, err)
		for _, table := range change.Tables {
			seen[table] = true
		}
		if len(seen) == 2 {
			break
		}
	}
	require.Equal(t, map[string]bool{"n": true, "parent": true}, seen)
	run(t, p, "DELETE FROM n") // while nobody runs the loop
	go func() {
		waitFor(t, "the loop listens", func() bool { return pool.Listeners(p) == 2 })
		run(t, p, "DELETE FROM parent")
	}()
	require.Equal(t, pool.Change{Tables: []string{"parent"}}, first(t, feed), "a second loop has what comes after its beginning")

	// What comes while the body runs is one change.
	n := 0
	for change, err := range other {
		require.NoError(t, err)
		switch n++; n {
		case 1:
			require.Equal(t, []string{"heap", "n", "parent"}, change.Tables)
			run(t, p, insert, 9)
			run(t, p, "INSERT INTO heap VALUES (2)")
			run(t, p, "INSERT INTO heap VALUES (3)")
			pool.Distribute(p)
		case 2:
			require.Equal(t, pool.Change{Tables: []string{"heap", "n"}}, change)
		}
		if n == 2 {
			break
		}
	}
	require.Zero(t, pool.Listeners(p))
}

func TestAFeedEndsWithItsContextThoughNobodyRunsIt(t *testing.T) {
	p := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	feed := p.Changes(ctx)
	require.Equal(t, 1, pool.Listeners(p))
	cancel()
	waitFor(t, "the listener is gone", func() bool { return pool.Listeners(p) == 0 })
	n := 0
	for change, err := range feed {
		n++
		require.Zero(t, change)
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Equal(t, 1, n)
}

func TestAFeedGivesWhatWasCommittedBeforeThePoolsEnd(t *testing.T) {
	p := open(t, pool.Config{})
	feed := p.Changes(t.Context())
	run(t, p, insert, 2)
	require.NoError(t, p.Close())
	var changes []pool.Change
	var last error
	for change, err := range feed {
		changes, last = append(changes, change), err
	}
	require.Equal(t, []pool.Change{{Tables: []string{"n"}}, {}}, changes)
	require.ErrorIs(t, last, pool.ErrClosed)
}

func TestTenThousandWatchersOfOneTableAllSeeTheLastCommit(t *testing.T) {
	p := open(t, pool.Config{Path: pool.Memory})
	n := rounds.Of(300, 10_000, 10_000)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var once, last, all sync.WaitGroup
	once.Add(n)
	last.Add(n)
	for range n {
		all.Go(func() {
			var count, seen int
			begun, ended := sync.OnceFunc(once.Done), sync.OnceFunc(last.Done)
			for err := range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
				return tx.QueryRow(ctx, "SELECT count(*) FROM n").Scan(&count)
			}) {
				if ctx.Err() != nil {
					return
				}
				require.NoError(t, err)
				require.GreaterOrEqual(t, count, seen)
				seen = count
				begun()
				if count == 11 {
					ended()
				}
			}
		})
	}
	once.Wait()
	for i := range 10 {
		require.NoError(t, send(t.Context(), p, insert, i+2)) // none waits for the watchers
	}
	last.Wait()
	stop()
	all.Wait()
	requireAtRest(t, p)
}

func TestTenThousandTablesHaveAWatcherEach(t *testing.T) {
	p := open(t, pool.Config{Path: pool.Memory})
	n := rounds.Of(100, 2_000, 10_000)
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		for i := range n {
			require.NoError(t, do(ctx, tx, fmt.Sprintf("CREATE TABLE t%d (a)", i)))
		}
		return nil
	}))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	counts := make([]chan int, n)
	var all sync.WaitGroup
	for i := range n {
		counts[i] = make(chan int, 1)
		all.Go(func() {
			var count int
			for err := range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
				return tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM t%d", i)).Scan(&count)
			}) {
				if ctx.Err() != nil {
					return
				}
				require.NoError(t, err)
				counts[i] <- count
			}
		})
	}
	for i := range n {
		require.Equal(t, 0, <-counts[i])
	}
	for i := 0; i < n; i += n / 10 {
		require.NoError(t, send(t.Context(), p, fmt.Sprintf("INSERT INTO t%d VALUES (1)", i)))
		require.Equal(t, 1, <-counts[i])
	}
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error { // all at once
		for i := range n {
			require.NoError(t, do(ctx, tx, fmt.Sprintf("INSERT INTO t%d VALUES (1)", i)))
		}
		return nil
	}))
	for i := range n {
		want := 1
		if i%(n/10) == 0 {
			want = 2
		}
		require.Equal(t, want, <-counts[i], "the first run since")
	}
	stop()
	all.Wait()
}

func TestAConflictIsNoCommitOfAnotherProcess(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3})
	feed := p.Changes(t.Context())
	tx, err := p.Begin(t.Context(), pool.Deferred)
	require.NoError(t, err)
	_, err = number(t.Context(), tx, "SELECT v FROM n")
	require.NoError(t, err)
	run(t, p, "UPDATE n SET v = 1")
	require.ErrorIs(t, do(t.Context(), tx, "UPDATE n SET v = 2"), pool.ErrConflict)
	require.NoError(t, tx.Rollback(t.Context()))
	// On the read lane's connection, which looks at the other one.
	require.NoError(t, p.InTx(t.Context(), pool.Deferred, doing("UPDATE n SET v = 3")))
	run(t, p, "INSERT INTO heap VALUES (1)")
	for change, err := range feed {
		require.NoError(t, err)
		require.False(t, change.External)
		if slices.Contains(change.Tables, "heap") {
			break
		}
	}
}
