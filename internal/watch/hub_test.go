package watch_test

import (
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/watch"
	"github.com/stretchr/testify/require"
)

// TestWhoGoesLeavesTheOthersWhatTheyHear of the same table, of every commit, and at all.
func TestWhoGoesLeavesTheOthersWhatTheyHear(t *testing.T) {
	goes := map[string]func(*watch.Hub, *watch.Listener){
		"forgotten":     func(h *watch.Hub, l *watch.Listener) { h.Forget(l) },
		"another table": func(h *watch.Hub, l *watch.Listener) { h.Want(l, watch.Region{Tables: []string{"u"}}) },
	}
	for name, goes := range goes {
		h := watch.NewHub(strings.ToLower)
		gone, stays, all, feed := h.Listen(), h.Listen(), h.Listen(), h.Feed()
		h.Want(gone, watch.Region{Tables: []string{"t"}})
		h.Want(stays, watch.Region{Tables: []string{"t"}})
		h.Want(all, watch.Region{All: true})
		from := h.Now()
		commit(h, false, "t")
		goes(h, gone)
		require.True(t, h.Watched(), name)
		require.True(t, h.ChangedSince(from, watch.Region{Tables: []string{"t"}}), name)
		h.Distribute()
		require.False(t, rung(gone), name)
		for _, l := range []*watch.Listener{stays, all, feed} {
			require.True(t, rung(l), name)
		}
		commit(h, false, "t")
		h.Distribute()
		require.False(t, rung(gone), name)
		require.True(t, rung(stays), name)
		require.True(t, rung(all), name)
		change, ok := h.Take(feed)
		require.True(t, ok, name)
		require.Equal(t, []string{"t"}, change.Tables, name)
	}
}

// TestWorkOnFewTablesAllocatesNothing once its memory is there: every transaction that
// writes does this.
func TestWorkOnFewTablesAllocatesNothing(t *testing.T) {
	var w watch.Work
	tables := strings.Fields("a b c d e f g h")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		w.Change(tables, false)
		w.Savepoint("s")
		w.Change(tables, false)
		w.Release("s")
		w.Undo()
	}))
}
