package history

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// txn is one that committed, and ran from one tick to another.
func txn(kind Kind, start, end int64, ops ...Op) Txn {
	return Txn{Kind: kind, Start: start, End: end, Committed: true, Ops: ops}
}

func failed(t Txn) Txn {
	t.Committed = false
	return t
}

// Two keys, and what is done with them.
const x, y = 1, 2

func read(key int, seen ...int) Op { return Op{Verb: Read, Key: key, Seen: seen} }
func write(key, value int) Op      { return Op{Verb: Write, Key: key, Value: value} }

var (
	save    = Op{Verb: Save}
	keep    = Op{Verb: Keep}
	undo    = Op{Verb: Undo}
	refuses = Op{Verb: Write, Key: x, Value: 9, Failed: true}
)

func TestEveryAnomalyOfListsIsFoundAndNamed(t *testing.T) {
	for what, c := range map[string]struct {
		name string
		txns []Txn
	}{
		"two updates of one version": {LostUpdate, []Txn{
			txn(Immediate, 1, 10, read(x), write(x, 1)),
			txn(Immediate, 2, 11, read(x), write(x, 2)),
			txn(View, 20, 21, read(x, 1, 2)),
		}},
		"an update is gone": {LostUpdate, []Txn{
			txn(Immediate, 1, 10, read(x), write(x, 1)),
			txn(Immediate, 2, 11, read(x), write(x, 2)),
			txn(View, 20, 21, read(x, 2)),
		}},
		"the list forks": {LostUpdate, []Txn{
			txn(Immediate, 1, 10, write(x, 1)),
			txn(Immediate, 2, 10, write(x, 2)),
			txn(View, 3, 11, read(x, 1)),
			txn(View, 4, 12, read(x, 2)),
		}},
		"a read misses what ended before it began": {Stale, []Txn{
			txn(Batch, 1, 2, write(x, 1)),
			txn(View, 3, 4, read(x)),
			txn(View, 20, 21, read(x, 1)),
		}},
		"a read misses what ended long before it began": {Stale, []Txn{
			txn(Batch, 1, 3, write(x, 1)),
			txn(View, 2, 4, read(y)),
			txn(View, 5, 6, read(x)),
			txn(View, 20, 21, read(x, 1)),
		}},
		"a failed reader misses what ended before it began": {Stale, []Txn{
			txn(Batch, 1, 2, write(x, 1)),
			failed(txn(Deferred, 3, 4, read(x))),
			txn(View, 20, 21, read(x, 1)),
		}},
		"time goes backwards between two reads": {Stale, []Txn{
			txn(Batch, 1, 20, write(x, 1)),
			txn(View, 2, 3, read(x, 1)),
			txn(View, 4, 5, read(x)),
		}},
		"the later write comes first": {Stale, []Txn{
			txn(Exclusive, 1, 2, write(x, 1)),
			txn(Exclusive, 3, 4, write(x, 2)),
			txn(View, 20, 21, read(x, 2, 1)),
		}},
		"each overlooks the other's write": {WriteSkew, []Txn{
			txn(Deferred, 1, 10, read(x), read(y), write(x, 1)),
			txn(Deferred, 2, 11, read(x), read(y), write(y, 2)),
			txn(View, 20, 21, read(x, 1), read(y, 2)),
		}},
		"two readers see two writes in different orders": {WriteSkew, []Txn{
			txn(Batch, 1, 30, write(x, 1)),
			txn(Batch, 2, 31, write(y, 2)),
			txn(View, 3, 32, read(x, 1), read(y)),
			txn(View, 4, 33, read(x), read(y, 2)),
			txn(View, 40, 41, read(x, 1), read(y, 2)),
		}},
		"a failed transaction's write is read": {Aborted, []Txn{
			failed(txn(Immediate, 1, 10, write(x, 1))),
			txn(View, 2, 11, read(x, 1)),
		}},
		"a failed batch member's write is read": {Aborted, []Txn{
			failed(txn(Batch, 1, 10, write(x, 1))),
			txn(Batch, 2, 11, read(x, 1)),
		}},
		"an undone savepoint's write is read": {Aborted, []Txn{
			txn(Immediate, 1, 10, save, write(x, 1), undo),
			txn(View, 2, 11, read(x, 1)),
		}},
		"the write of a savepoint kept in an undone one is read": {Aborted, []Txn{
			txn(Immediate, 1, 10, save, save, write(x, 1), keep, undo),
			txn(View, 2, 11, read(x, 1)),
		}},
		"a transaction reads what it undid": {Aborted, []Txn{
			txn(Immediate, 1, 10, save, write(x, 1), undo, read(x, 1)),
		}},
		"a refused write is read": {Aborted, []Txn{
			txn(Immediate, 1, 10, refuses),
			txn(View, 2, 11, read(x, 9)),
		}},
		"a write is read that its writer wrote over": {Intermediate, []Txn{
			txn(Immediate, 1, 10, write(x, 1), write(x, 2)),
			txn(View, 2, 11, read(x, 1)),
			txn(View, 20, 21, read(x, 1, 2)),
		}},
		"half of a transaction is read": {Fractured, []Txn{
			txn(Immediate, 1, 10, write(x, 1), write(y, 2)),
			txn(View, 2, 11, read(x, 1), read(y)),
			txn(View, 20, 21, read(x, 1), read(y, 2)),
		}},
		"a failed one reads half of a transaction": {Fractured, []Txn{
			txn(Immediate, 1, 10, write(x, 1), write(y, 2)),
			failed(txn(Deferred, 2, 11, read(x, 1), read(y))),
			txn(View, 20, 21, read(x, 1), read(y, 2)),
		}},
		"a key changes while it is read": {Fractured, []Txn{
			txn(Immediate, 1, 10, write(x, 1)),
			txn(View, 2, 11, read(x), read(x, 1)),
		}},
		"two transactions' writes are mixed": {DirtyWrite, []Txn{
			txn(Immediate, 1, 10, write(x, 1), write(y, 2)),
			txn(Immediate, 2, 11, write(x, 3), write(y, 4)),
			txn(View, 20, 21, read(x, 1, 3), read(y, 4, 2)),
		}},
		"another's write is amid a transaction's": {DirtyWrite, []Txn{
			txn(Immediate, 1, 10, write(x, 1), write(x, 2)),
			txn(Immediate, 2, 11, write(x, 3)),
			txn(View, 20, 21, read(x, 1, 3, 2)),
		}},
		"each reads the other's write": {CircularRead, []Txn{
			txn(Immediate, 1, 10, write(x, 1), read(y, 2)),
			txn(Immediate, 2, 11, write(y, 2), read(x, 1)),
		}},
		"a transaction misses its own write": {Internal, []Txn{
			txn(Immediate, 1, 10, write(x, 1), read(x)),
		}},
		"an undone savepoint takes the outer write along": {Internal, []Txn{
			txn(Immediate, 1, 10, write(x, 1), save, write(x, 2), undo, read(x)),
		}},
		"nobody wrote it": {Garbage, []Txn{
			txn(View, 1, 10, read(x, 7)),
		}},
		"it was written elsewhere": {Garbage, []Txn{
			txn(Immediate, 1, 10, write(y, 7)),
			txn(View, 1, 10, read(x, 7)),
		}},
		"it was written once and is there twice": {Garbage, []Txn{
			txn(Batch, 1, 10, write(x, 1)),
			txn(View, 2, 11, read(x, 1, 1)),
		}},
	} {
		t.Run(what, func(t *testing.T) {
			h := &History{Txns: c.txns}
			require.Equal(t, []string{c.name}, names(h.CheckLists()))
			found, err := h.CheckLinear(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, found, "the search sees it too")
		})
	}
}

func TestEveryAnomalyOfRegistersIsFound(t *testing.T) {
	for what, c := range map[string]struct {
		name string
		txns []Txn
	}{
		"two updates of one version": {Unexplained, []Txn{
			txn(Immediate, 1, 10, read(x), write(x, 1)),
			txn(Immediate, 2, 11, read(x), write(x, 2)),
			txn(View, 20, 21, read(x, 2)),
		}},
		"a read misses what ended before it began": {Unexplained, []Txn{
			txn(Batch, 1, 2, write(x, 1)),
			txn(View, 3, 4, read(x)),
		}},
		"each overlooks the other's write": {Unexplained, []Txn{
			txn(Deferred, 1, 10, read(x), read(y), write(x, 1)),
			txn(Deferred, 2, 11, read(x), read(y), write(y, 2)),
		}},
		"half of a transaction is read": {Unexplained, []Txn{
			txn(Immediate, 1, 10, write(x, 1), write(y, 2)),
			txn(View, 2, 11, read(x, 1), read(y)),
		}},
		"a register changes while it is read": {Fractured, []Txn{
			txn(Immediate, 1, 10, write(x, 1)),
			txn(View, 2, 11, read(x), read(x, 1)),
		}},
		"a failed transaction's write is read": {Aborted, []Txn{
			failed(txn(Immediate, 1, 10, write(x, 1))),
			txn(View, 2, 11, read(x, 1)),
		}},
		"a failed transaction's write hides another": {Unexplained, []Txn{
			txn(Immediate, 1, 2, write(x, 1)),
			failed(txn(Immediate, 3, 4, write(x, 2))),
			txn(View, 5, 6, read(x)),
		}},
		"a write is read that its writer wrote over": {Intermediate, []Txn{
			txn(Immediate, 1, 10, write(x, 1), write(x, 2)),
			txn(View, 2, 11, read(x, 1)),
		}},
		"a transaction misses its own write": {Internal, []Txn{
			txn(Immediate, 1, 10, write(x, 1), write(x, 2), read(x, 1)),
		}},
		"an undone savepoint stays": {Internal, []Txn{
			txn(Immediate, 1, 10, write(x, 1), save, write(x, 2), undo, read(x, 2)),
		}},
	} {
		t.Run(what, func(t *testing.T) {
			h := &History{Registers: true, Txns: c.txns}
			found, err := h.CheckLinear(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{c.name}, names(found))
		})
	}
}

func TestWhatASerialOrderExplainsIsNoAnomaly(t *testing.T) {
	for what, txns := range map[string][]Txn{
		"nothing": nil,
		"one after the other": {
			txn(Immediate, 1, 2, write(x, 1)),
			txn(Batch, 3, 4, read(x, 1), write(y, 2)),
			txn(View, 5, 6, read(x, 1), read(y, 2)),
		},
		"a reader between two writers, all at once": {
			txn(Immediate, 1, 10, write(x, 1)),
			txn(Immediate, 2, 11, read(x, 1), write(y, 2)),
			txn(View, 3, 12, read(x, 1), read(y)),
			txn(View, 20, 21, read(x, 1), read(y, 2)),
		},
		"a snapshot from before a writer that ran at the same time": {
			txn(Immediate, 1, 10, write(x, 1)),
			txn(View, 2, 11, read(x), read(x)),
			txn(View, 20, 21, read(x, 1)),
		},
		"failures leave nothing": {
			failed(txn(Immediate, 1, 2, write(x, 1))),
			txn(Immediate, 3, 4, read(x), save, write(x, 2), undo, read(x), refuses),
			failed(txn(Deferred, 5, 6, read(x), write(x, 3), read(x, 3))),
			txn(View, 7, 8, read(x)),
		},
		"savepoints, kept and undone": {
			txn(Immediate, 1, 2, write(x, 1), save, write(y, 2), save, write(y, 3), undo, read(y, 2), keep),
			txn(View, 3, 4, read(x, 1), read(y, 2)),
		},
		"a failed batch member has seen what was lost with it": {
			failed(txn(Batch, 1, 10, write(x, 1))),
			failed(txn(Batch, 2, 11, read(x, 1))),
			txn(Batch, 12, 13, read(x), write(x, 2)),
			txn(View, 20, 21, read(x, 2)),
		},
	} {
		t.Run(what, func(t *testing.T) {
			for _, registers := range []bool{false, true} {
				h := &History{Registers: registers, Txns: txns}
				if !registers {
					require.Empty(t, h.CheckLists())
				}
				found, err := h.CheckLinear(t.Context())
				require.NoError(t, err)
				require.Empty(t, found)
			}
		})
	}
}

// TestTheGraphAndTheSearchAgree checks one checker by the other, on histories of
// a database with every fault in which all versions are known at the end.
func TestTheGraphAndTheSearchAgree(t *testing.T) {
	verdicts := map[bool]int{}
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(what string, from, to int) int { return rapid.IntRange(from, to).Draw(rt, what) }
		states := []map[int][]int{{}} // one for each commit
		h := &History{}
		value := 0
		for range draw("transactions", 2, 5) {
			t := txn(Immediate, int64(draw("start", 1, 20)), int64(draw("end", 21, 30)))
			if rapid.Bool().Draw(rt, "brief") {
				t.End = t.Start + 3
			}
			snapshot := states[draw("snapshot", max(0, len(states)-2), len(states)-1)]
			next := maps.Clone(states[len(states)-1])
			own := map[int][]int{}
			read := map[int]bool{}
			for range draw("steps", 1, 3) {
				key := draw("key", x, y)
				if rapid.Bool().Draw(rt, "reads") {
					if !read[key] && draw("torn", 0, 9) == 0 {
						snapshot = maps.Clone(snapshot)
						snapshot[key] = states[len(states)-1][key]
					}
					read[key] = true
					t.Ops = append(t.Ops, Op{Verb: Read, Key: key, Seen: slices.Concat(snapshot[key], own[key])})
					continue
				}
				value++
				t.Ops = append(t.Ops, write(key, value))
				own[key] = append(own[key], value)
				next[key] = append(slices.Clip(next[key]), value)
			}
			states = append(states, next)
			h.Txns = append(h.Txns, t)
		}
		last := states[len(states)-1]
		h.Txns = append(h.Txns, txn(View, 100, 101, read(x, last[x]...), read(y, last[y]...)))
		found, err := h.CheckLinear(t.Context())
		require.NoError(rt, err)
		graph := h.CheckLists()
		require.Equal(rt, len(found) > 0, len(graph) > 0, "%v %v", found, graph)
		verdicts[len(found) > 0]++
	})
	require.Greater(t, min(verdicts[true], verdicts[false]), 10, "good ones and bad ones: %v", verdicts)
}

func names(found []Anomaly) (all []string) {
	for _, a := range found {
		if !slices.Contains(all, a.Name) {
			all = append(all, a.Name)
		}
	}
	return all
}
