package watch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/watch"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// tables commits the work, and returns what a feed hears of it.
func tables(w *watch.Work) watch.Change {
	h := watch.NewHub(strings.ToLower)
	feed := h.Feed()
	h.Commit(w)
	h.Distribute()
	change, _ := h.Take(feed)
	return change
}

func TestWorkIsWhatWasNotUndone(t *testing.T) {
	var w watch.Work
	require.True(t, w.None())
	w.Change([]string{"a"}, false)
	w.Savepoint("one")
	w.Change([]string{"b"}, false)
	w.Savepoint("two")
	w.Change([]string{"c"}, true)
	w.RollbackTo("two")
	w.Change([]string{"d"}, false)
	w.Release("two")
	w.Savepoint("two")
	w.Change([]string{"e"}, false)
	w.RollbackTo("nothing")
	w.Release("nothing")
	require.False(t, w.None())
	require.Equal(t, watch.Change{Tables: []string{"a", "b", "d", "e"}}, tables(&w))
	require.True(t, w.None())

	w.Savepoint("one")
	w.Change([]string{"a"}, false)
	require.False(t, w.None())
	w.RollbackTo("one")
	require.True(t, w.None())
	w.Change([]string{"a"}, true)
	w.Undo()
	require.True(t, w.None())
}

// TestWorkIsAsAModelHasIt undoes and keeps savepoints at random, some of which have
// the same name, with more tables than are few.
func TestWorkIsAsAModelHasIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type part struct {
			name    string
			changed map[string]bool
		}
		var w watch.Work
		model := []part{{"", map[string]bool{}}}
		find := func(name string) int {
			for i := len(model) - 1; i > 0; i-- {
				if model[i].name == name {
					return i
				}
			}
			return 0
		}
		name := rapid.SampledFrom([]string{"a", "b", "c"})
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				table := fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "table"))
				w.Change([]string{table}, false)
				model[len(model)-1].changed[table] = true
			case 2:
				n := name.Draw(t, "begun")
				w.Savepoint(n)
				model = append(model, part{n, map[string]bool{}})
			case 3:
				n := name.Draw(t, "released")
				w.Release(n)
				if i := find(n); i > 0 {
					for _, inner := range model[i:] {
						for table := range inner.changed {
							model[i-1].changed[table] = true
						}
					}
					model = model[:i]
				}
			case 4:
				n := name.Draw(t, "undone")
				w.RollbackTo(n)
				if i := find(n); i > 0 {
					model = model[:i+1]
					model[i].changed = map[string]bool{}
				}
			}
		}
		want := map[string]bool{}
		for _, p := range model {
			for table := range p.changed {
				want[table] = true
			}
		}
		require.Equal(t, len(want) == 0, w.None())
		got := tables(&w).Tables
		require.Len(t, got, len(want))
		for _, table := range got {
			require.True(t, want[table], table)
		}
	})
}

func commit(h *watch.Hub, schema bool, tables ...string) {
	var w watch.Work
	w.Change(tables, schema)
	h.Commit(&w)
}

// rung reports that the bell was rung.
func rung(l *watch.Listener) bool {
	select {
	case <-l.Bell():
		return true
	default:
		return false
	}
}

func TestAListenerHearsOfWhatItWantsAlone(t *testing.T) {
	h := watch.NewHub(strings.ToLower)
	require.False(t, h.Watched())
	commit(h, true, "t")
	h.CommitAnything()
	require.Zero(t, h.Now(), "nobody listens, so nothing is numbered")
	l, all := h.Listen(), h.Listen()
	require.True(t, h.Watched())
	region := watch.Region{}
	region.Add("t", "u", "t")
	require.Equal(t, []string{"t", "u"}, region.Tables)
	h.Want(l, region)
	h.Want(l, region)
	h.Want(all, watch.Region{All: true})
	heard := func(what string, from uint64, mine, everybodys bool) {
		t.Helper()
		require.Equal(t, mine, h.ChangedSince(from, region), what)
		require.Equal(t, everybodys, h.ChangedSince(from, watch.Region{All: true}), what)
		h.Distribute()
		require.Equal(t, mine, rung(l), what)
		require.Equal(t, everybodys, rung(all), what)
	}
	heard("nothing was committed", h.Now(), false, false)
	commit(h, false, "other")
	heard("another table", 0, false, true)
	from := h.Now()
	commit(h, false, "T")
	heard("its table", from, true, true)
	from = h.Now()
	require.Zero(t, h.Everybody())
	commit(h, true)
	heard("the schema", from, true, true)
	require.Equal(t, h.Now(), h.Everybody())
	from = h.Now()
	h.CommitAnything()
	heard("anything", from, true, true)
	h.Want(l, watch.Region{Tables: []string{"v"}})
	commit(h, false, "t", "u")
	h.Distribute()
	require.False(t, rung(l))
	h.Forget(all)
	h.Forget(all)
	h.Forget(l)
	require.False(t, h.Watched())
	select {
	case <-h.Bell():
	default:
		require.Fail(t, "whoever distributes was told")
	}
}

func TestAFeedIsFoldedUntilItIsTaken(t *testing.T) {
	h := watch.NewHub(strings.ToLower)
	early := h.Feed()
	commit(h, false, "before")
	feed := h.Feed()
	_, ok := h.Take(feed)
	require.False(t, ok)
	change, ok := h.Take(early)
	require.True(t, ok)
	require.Equal(t, []string{"before"}, change.Tables)
	commit(h, false, "b", "a")
	commit(h, true, "b", "c")
	h.Distribute()
	commit(h, false, "d")
	h.Distribute()
	change, ok = h.Take(feed)
	require.True(t, ok)
	require.Equal(t, watch.Change{Tables: []string{"a", "b", "c", "d"}, Schema: true}, change)
	commit(h, false, "e")
	h.CommitAnything()
	h.Distribute()
	change, _ = h.Take(feed)
	require.Equal(t, watch.Change{External: true}, change)
	_, ok = h.Take(feed)
	require.False(t, ok)
	h.Forget(early)
	h.Forget(feed)
	commit(h, false, "unheard")
	again := h.Feed()
	h.Distribute()
	_, ok = h.Take(again)
	require.False(t, ok)
}

func TestManyTablesOfOneCommitAreEachHeardOf(t *testing.T) {
	h := watch.NewHub(strings.ToLower)
	var names []string
	var listeners []*watch.Listener
	for i := range 100 {
		names = append(names, fmt.Sprint("t", i))
		l := h.Listen()
		h.Want(l, watch.Region{Tables: []string{names[i]}})
		listeners = append(listeners, l)
	}
	var w watch.Work
	for range 2 {
		w.Change(names, false)
	}
	h.Commit(&w)
	h.Distribute()
	require.True(t, slices.ContainsFunc(listeners, rung))
	for i, l := range listeners[1:] {
		require.True(t, rung(l), names[i+1])
	}
}
