package pool_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// tellsOfOthers reports that the feed, up to the change of a table, tells of another
// process's commit.
func tellsOfOthers(t *testing.T, p *pool.Pool, table string, before func()) (told bool) {
	t.Helper()
	changes := p.Changes(t.Context())
	before()
	for change, err := range changes {
		require.NoError(t, err)
		if told = told || change.External; told || slices.Contains(change.Tables, table) {
			break
		}
	}
	return told
}

// Commits on the write lane look no further: those are told at the next interval.
func TestACommitOfAnotherProcessIsSeenByTheNextLeaseThatWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, WatchInterval: time.Hour})
	o := startOther(t, path)
	require.True(t, tellsOfOthers(t, p, "parent", func() {
		o.do("INSERT INTO heap VALUES (1)")
		run(t, p, "INSERT INTO parent VALUES (1)")
	}))
}

// TestACommitOfAnotherProcessIsSeenThoughRowsThatAreReadHideIt: a connection that reads
// rows from before does not see it.
func TestACommitOfAnotherProcessIsSeenThoughRowsThatAreReadHideIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, WatchInterval: time.Hour})
	o := startOther(t, path)
	name := onSignal(t, func() { o.do("INSERT INTO parent VALUES (1)") })
	require.True(t, tellsOfOthers(t, p, "child", func() {
		l := acquire(t, p)
		defer l.Release()
		rows, err := l.Query(t.Context(), "SELECT v FROM n UNION ALL SELECT 2")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.NoError(t, do(t.Context(), l, "INSERT INTO heap VALUES (1); SELECT signal('"+name+"')"))
		require.NoError(t, rows.Close())
		run(t, p, "INSERT INTO child VALUES (1, NULL)")
	}))
}
