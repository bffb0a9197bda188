package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/cmd/repogen/testdata/numbering/gen"
	"github.com/sqlane/sqlane/cmd/repogen/testdata/numbering/refused"
	"github.com/sqlane/sqlane/cmd/repogen/testdata/numbering/store"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	_ "embed"
)

// sqlc numbers the parameters behind a slice as if it had one element. What
// repogen makes of that is compared with what the query says, and what sqlc's own
// method does too: repogen must leave alone exactly what is right by itself.

//go:embed testdata/numbering/schema.sql
var itemSchema string

type item struct {
	id    int64
	kind  string
	owner int64
}

// items are made so that each id, owner and limit could be taken for another, and
// for a kind.
var items = []item{
	{1, "1", 8},
	{2, "8", 7},
	{3, "7", 3},
	{4, "2", 2},
	{7, "8", 1},
	{8, "7", 7},
	{9, "8", 8},
	{10, "7", 7},
}

// telling is a Tracer that tells what begins.
type telling func(pool.TraceOp)

func (f telling) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	f(op)
	return ctx, func(pool.TraceEnd) {}
}

func withItems(t *testing.T, told ...func(pool.TraceOp)) *pool.Pool {
	t.Helper()
	p := pooltest.New(t, pooltest.File(), pooltest.Config(func(c *pool.Config) {
		if len(told) > 0 {
			c.Tracer = telling(told[0])
		}
	}))
	lease, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer lease.Release()
	_, err = lease.ExecContext(t.Context(), itemSchema)
	require.NoError(t, err)
	for _, i := range items {
		_, err = lease.ExecContext(t.Context(), "INSERT INTO item (id, kind, owner) VALUES (?, ?, ?)", i.id, i.kind, i.owner)
		require.NoError(t, err)
	}
	return p
}

// input is what a query is called with.
type input struct {
	ids   []int64
	kinds []string
	kind  string
	owner int64
}

func inputs() (all []input) {
	for _, ids := range [][]int64{nil, {7}, {7, 8}, {8, 7, 10}, {1, 2, 3, 4, 7, 8, 9, 10}} {
		for _, kinds := range [][]string{nil, {"8"}, {"7", "8"}} {
			for _, kind := range []string{"7", "8"} {
				for _, owner := range []int64{1, 7, 8} {
					all = append(all, input{ids, kinds, kind, owner})
				}
			}
		}
	}
	return all
}

func (in input) hasID(i item) bool    { return slices.Contains(in.ids, i.id) }
func (in input) hasOwner(i item) bool { return slices.Contains(in.ids, i.owner) }
func (in input) hasKind(i item) bool  { return slices.Contains(in.kinds, i.kind) }

// numberings are the queries in testdata/numbering: a call of each, and the ids
// that it means.
var numberings = map[string]struct {
	call func(ctx context.Context, q gen.Querier, in input) ([]int64, error)
	want func(in input, i item) bool
	most func(in input) (skip, most int) // of those, if not all
}{
	"SliceFirst": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.SliceFirst(ctx, gen.SliceFirstParams{Ids: in.ids, Kind: in.kind})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind },
	},
	"SliceLast": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.SliceLast(ctx, gen.SliceLastParams{Kind: in.kind, Ids: in.ids})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind },
	},
	"SliceAlone": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) { return q.SliceAlone(ctx, in.ids) },
		want: input.hasID,
	},
	"NotInSlice": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.NotInSlice(ctx, gen.NotInSliceParams{Ids: in.ids, Kind: in.kind})
		},
		// sqlc writes NULL for an empty slice, and nothing is certain not to be in that.
		want: func(in input, i item) bool { return len(in.ids) > 0 && !in.hasID(i) && i.kind == in.kind },
	},
	"SliceTwice": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) { return q.SliceTwice(ctx, in.ids) },
		want: func(in input, i item) bool { return in.hasID(i) || in.hasOwner(i) },
	},
	"TwoSlices": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.TwoSlices(ctx, gen.TwoSlicesParams{Ids: in.ids, Kinds: in.kinds})
		},
		want: func(in input, i item) bool { return in.hasID(i) && in.hasKind(i) },
	},
	"TwoSlicesOneTwice": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.TwoSlicesOneTwice(ctx, gen.TwoSlicesOneTwiceParams{Ids: in.ids, Kinds: in.kinds})
		},
		want: func(in input, i item) bool { return in.hasID(i) && in.hasKind(i) && !in.hasOwner(i) },
	},
	"SliceThenNarg": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			if in.owner == 1 {
				return q.SliceThenNarg(ctx, gen.SliceThenNargParams{Ids: in.ids})
			}
			return q.SliceThenNarg(ctx, gen.SliceThenNargParams{Ids: in.ids, Kind: &in.kind})
		},
		want: func(in input, i item) bool { return in.hasID(i) && (i.kind == in.kind || in.owner == 1) },
	},
	"NargThenSlice": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			if in.owner == 1 {
				return q.NargThenSlice(ctx, gen.NargThenSliceParams{Ids: in.ids})
			}
			return q.NargThenSlice(ctx, gen.NargThenSliceParams{Ids: in.ids, Kind: &in.kind})
		},
		want: func(in input, i item) bool { return in.hasID(i) && (i.kind == in.kind || in.owner == 1) },
	},
	"ArgAroundSlice": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.ArgAroundSlice(ctx, gen.ArgAroundSliceParams{Kind: in.kind, Ids: in.ids})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind },
	},
	"SliceBetween": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.SliceBetween(ctx, gen.SliceBetweenParams{Kind: in.kind, Ids: in.ids, Owner: in.owner})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind && i.owner == in.owner },
	},
	"SliceThenLimit": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.SliceThenLimit(ctx, gen.SliceThenLimitParams{Ids: in.ids, Most: in.owner - 5})
		},
		want: input.hasID,
		most: func(in input) (int, int) { return 0, int(in.owner) - 5 },
	},
	"AtBehindSlice": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.AtBehindSlice(ctx, gen.AtBehindSliceParams{Ids: in.ids, Kind: in.kind})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind },
	},
	"ColonBehindSlice": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.ColonBehindSlice(ctx, gen.ColonBehindSliceParams{Ids: in.ids, Kind: in.kind})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind },
	},
	"MarkBehindSlice": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.MarkBehindSlice(ctx, gen.MarkBehindSliceParams{Ids: in.ids, Kind: in.kind})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind },
	},
	"MarksAroundSlice": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.MarksAroundSlice(ctx, gen.MarksAroundSliceParams{Kind: in.kind, Ids: in.ids, Owner: in.owner})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind && i.owner == in.owner },
	},
	"MarkBetweenSlices": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.MarkBetweenSlices(ctx, gen.MarkBetweenSlicesParams{Ids: in.ids, Kind: in.kind})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind && !in.hasOwner(i) },
	},
	"NumberThenSlice": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.NumberThenSlice(ctx, gen.NumberThenSliceParams{Kind: in.kind, Ids: in.ids})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind },
	},
	"SliceInExpression": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.SliceInExpression(ctx, gen.SliceInExpressionParams{Least: in.owner, Ids: in.ids})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.id > in.owner },
	},
	"SliceInUpdate": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.SliceInUpdate(ctx, gen.SliceInUpdateParams{Kind: in.kind, Ids: in.ids, Owner: in.owner})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.owner == in.owner },
	},
	"QuotedMarks": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.QuotedMarks(ctx, gen.QuotedMarksParams{Ids: in.ids, Owner: in.owner})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.owner == in.owner },
	},
	"QuotedMark": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) { return q.QuotedMark(ctx, in.ids) },
		want: input.hasID,
	},
	"CommentedMark": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.CommentedMark(ctx, gen.CommentedMarkParams{Kind: in.kind, Ids: in.ids})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind },
	},
	"MarkThenName": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.MarkThenName(ctx, gen.MarkThenNameParams{Kind: in.kind, Owner: in.owner})
		},
		want: func(in input, i item) bool { return i.kind == in.kind && i.owner == in.owner },
	},
	"NameThenMark": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.NameThenMark(ctx, gen.NameThenMarkParams{Kind: in.kind, Owner: in.owner})
		},
		want: func(in input, i item) bool { return i.kind == in.kind && i.owner == in.owner },
	},
	"NameThenMarks": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.NameThenMarks(ctx, gen.NameThenMarksParams{Kind: in.kind, Owner: in.owner, ID: 8})
		},
		want: func(in input, i item) bool { return i.kind == in.kind && i.owner == in.owner && i.id >= 8 },
	},
	"MarkThenNames": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.MarkThenNames(ctx, gen.MarkThenNamesParams{Kind: in.kind, Owner: in.owner})
		},
		want: func(in input, i item) bool { return i.kind == in.kind && (i.owner == in.owner || in.owner == 7) },
	},
	"MarkAndSliceAndName": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.MarkAndSliceAndName(ctx, gen.MarkAndSliceAndNameParams{Owner: in.owner, Ids: in.ids, Kind: in.kind})
		},
		want: func(in input, i item) bool { return in.hasID(i) && i.kind == in.kind && i.owner == in.owner },
	},
	"NumbersBackwards": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.NumbersBackwards(ctx, gen.NumbersBackwardsParams{Kind: in.kind, Owner: in.owner})
		},
		want: func(in input, i item) bool { return i.kind == in.kind && i.owner == in.owner },
	},
	"LimitAndOffset": {
		call: func(ctx context.Context, q gen.Querier, in input) ([]int64, error) {
			return q.LimitAndOffset(ctx, gen.LimitAndOffsetParams{Kind: in.kind, Skipped: 1, Most: 2})
		},
		want: func(in input, i item) bool { return i.kind == in.kind },
		most: func(input) (int, int) { return 1, 2 },
	},
}

// errUndo rolls a transaction back.
var errUndo = errors.New("undo")

func TestWhatSqlcNumbersWronglyIsNumberedRight(t *testing.T) {
	p := withItems(t)
	r := store.New(p)
	own, err := read("testdata/numbering/gen", listed)
	require.NoError(t, err)
	require.Len(t, own.queries, len(numberings)+1, "all but DeleteItems, which has a test of its own")
	for _, q := range own.queries {
		if q.name == "DeleteItems" {
			continue
		}
		t.Run(q.name, func(t *testing.T) {
			n := numberings[q.name]
			require.NotNil(t, n.call)
			sqlcs := true // its own method is right
			for _, in := range inputs() {
				want := []int64{}
				for _, i := range items {
					if n.want(in, i) {
						want = append(want, i.id)
					}
				}
				if n.most != nil {
					skip, most := n.most(in)
					want = want[min(skip, len(want)):]
					if most >= 0 {
						want = want[:min(most, len(want))]
					}
				}
				requireIDs := func(how string, got []int64, err error) {
					slices.Sort(got)
					require.NoError(t, err, "%s: %+v", how, in)
					require.ElementsMatch(t, want, got, "%s: %+v", how, in)
				}
				require.ErrorIs(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
					got, err := n.call(ctx, gen.New(tx), in)
					slices.Sort(got)
					sqlcs = sqlcs && err == nil && slices.Equal(got, want)
					return errUndo
				}), errUndo)
				require.ErrorIs(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *store.Tx) error {
					got, err := n.call(ctx, tx, in)
					requireIDs("Tx", got, err)
					return errUndo
				}), errUndo)
				require.ErrorIs(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *store.Tx) error {
					got, err := n.call(ctx, r, in)
					requireIDs("Repo in a transaction", got, err)
					return errUndo
				}), errUndo)
				if q.reads {
					got, err := n.call(t.Context(), r, in)
					requireIDs("Repo", got, err)
				}
			}
			require.Equal(t, sqlcs, !q.renumbered, "repogen leaves alone what is right, and nothing else")
		})
	}
}

func TestStatementsAreTheTextsThatRunWithOneElementASlice(t *testing.T) {
	var ran []string
	p := withItems(t, func(op pool.TraceOp) {
		if op.Name == "query" {
			ran = append(ran, op.SQL)
		}
	})
	r := store.New(p)
	statements := store.Statements()
	require.Len(t, statements, len(numberings)+1)
	for _, s := range statements {
		ran = nil
		var err error
		if s.Name == "DeleteItems" {
			_, err = r.DeleteItems(t.Context(), gen.DeleteItemsParams{Ids: []int64{7}, Kind: "8"})
		} else {
			_, err = numberings[s.Name].call(t.Context(), r, input{[]int64{7}, []string{"8"}, "7", 8})
		}
		require.NoError(t, err, s.Name)
		require.Equal(t, []string{s.SQL}, ran, s.Name)
	}
}

func TestARowWhoseKindIsAnotherRowsIDIsNotDeleted(t *testing.T) {
	p := withItems(t)
	r := store.New(p)
	arg := gen.DeleteItemsParams{Ids: []int64{7, 8}, Kind: "7"} // 7 is of kind 8, and 8 of kind 7
	_, err := gen.New(p.Writer()).DeleteItems(t.Context(), arg)
	require.ErrorContains(t, err, "expected 2 arguments, got 3", "sqlc's own method would delete the wrong one, if arguments were not counted")

	n, err := r.DeleteItems(t.Context(), arg)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	left, err := r.SliceAlone(t.Context(), arg.Ids)
	require.NoError(t, err)
	require.Equal(t, []int64{7}, left)
}

// refusals are the queries that sqlc makes wrong code of and repogen cannot mend.
var refusals = map[string]string{
	"InUpsert":       "@other is left in its SQL: sqlc finds no parameters in DO UPDATE",
	"MarkInUpsert":   "sqlc counts 2 parameters in its SQL, which has others",
	"NumberInUpsert": "sqlc counts 2 parameters in its SQL, which has others",
	"InHaving": "@least is left in its SQL: sqlc finds no parameters in DO UPDATE, HAVING, ORDER BY, FILTER, OVER and behind ESCAPE; " +
		"use excluded in DO UPDATE, and else least of WITH given AS (SELECT CAST(sqlc.arg(least) AS TEXT) AS least)",
	"InOrder":             "@by is left in its SQL",
	"InOrderAsFunction":   "sqlc.arg('by') is left in its SQL",
	"InFilter":            "@least is left in its SQL",
	"InWindow":            "@shift is left in its SQL",
	"BehindEscape":        "@least is left in its SQL",
	"NameTwiceBesideMark": "sqlc counts 2 parameters in its SQL, which has others",
	"UnclearOrder":        "it mixes ? with a name that is there twice, and sqlc may take one for the other; write each as sqlc.arg",
	"SliceAsOne":          "its slice ids stands where SQL takes one value; write IN (sqlc.slice('ids'))",
	"SliceAndOne":         "ids is a slice and a single value in it; give one of them another name",
}

func TestWhatSqlcMakesWrongAndCannotBeMendedIsRefused(t *testing.T) {
	const dir = "testdata/numbering/refused"
	querier, err := os.ReadFile(filepath.Join(dir, "querier.go"))
	require.NoError(t, err)
	methods := regexp.MustCompile(`(?m)^\t[A-Z]\w*\(.*\n`)
	require.Len(t, methods.FindAllString(string(querier), -1), len(refusals))
	for _, name := range slices.Sorted(maps.Keys(refusals)) {
		t.Run(name, func(t *testing.T) {
			// The package with this query alone.
			gen := filepath.Join(t.TempDir(), "gen")
			require.NoError(t, os.CopyFS(gen, os.DirFS(dir)))
			alone := methods.ReplaceAllStringFunc(string(querier), func(method string) string {
				if strings.HasPrefix(method, "\t"+name+"(") {
					return method
				}
				return ""
			})
			require.NoError(t, os.WriteFile(filepath.Join(gen, "querier.go"), []byte(alone), 0o644))
			want := fmt.Sprintf("repogen: %s: query %s: %s", gen, name, refusals[name])
			requireRefused(t, want, "-gen", gen, "-import", "example.org/a")
		})
	}
}

// TestWhatIsRefusedWouldGoWrong calls sqlc's own methods, with slices of none and
// of two.
func TestWhatIsRefusedWouldGoWrong(t *testing.T) {
	p := withItems(t)
	for name := range refusals {
		var failed []error
		for _, ids := range [][]int64{nil, {7, 8}} {
			require.ErrorIs(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
				m := reflect.ValueOf(refused.New(tx)).MethodByName(name)
				args := []reflect.Value{reflect.ValueOf(ctx)}
				for i := 1; i < m.Type().NumIn(); i++ {
					arg := reflect.New(m.Type().In(i)).Elem()
					if arg.Kind() == reflect.Slice {
						arg.Set(reflect.ValueOf(ids))
					}
					args = append(args, arg)
				}
				out := m.Call(args)
				err, _ := out[len(out)-1].Interface().(error)
				failed = append(failed, err)
				return errUndo
			}), errUndo)
		}
		require.Error(t, errors.Join(failed...), name)
	}
}

func TestWhatIsNotOfSqlcsFormIsRefused(t *testing.T) {
	const method = "func (q *Queries) Get(ctx context.Context) error {\n\t"
	for want, text := range map[string]string{
		"?99999999999999999999, which is none":    "SELECT ?99999999999999999999`\n\n" + method + "return nil\n}",
		"its method does not fill its slices":     "SELECT 1 IN (/*SLICE:ids*/?)`\n\n" + method + "return func() error { return nil }()\n}",
		"its method does not fill its slices as ": "SELECT 1 IN (/*SLICE:ids*/?)`\n",
		"its method does not fill its slices as sqlc does; run sqlc generate again": "SELECT 1 IN (/*SLICE:ids*/?) AND ?2`\n\n" + method + "if len(others) > 0 {\n\t\tquery = strings.Replace(query, \"/*SLICE:ids*/?\", \"\", 1)\n\t}\n\t" +
			"queryParams = append(queryParams, 1)\n\treturn q.db.ExecContext(ctx, query, queryParams...)\n}",
	} {
		dir := package1(t, map[string]string{"q.go": "package gen\n\nconst get = `-- name: Get :exec\n" + text + "\n\ntype Querier interface {\n\tGet(ctx context.Context) error\n}\n"})
		requireRefused(t, "query Get: ", "-gen", dir, "-import", "example.org/gen")
		requireRefused(t, want, "-gen", dir, "-import", "example.org/gen")
	}
}

// TestAgreementIsWhatSQLiteCounts draws placeholders and counts as SQLite does.
func TestAgreementIsWhatSQLiteCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		args := make([]argument, rapid.IntRange(1, 4).Draw(t, "arguments"))
		for i := range args {
			if rapid.Bool().Draw(t, "is a slice") {
				args[i].slice = fmt.Sprint("s", i)
			}
		}
		var sql strings.Builder
		var marks []placeholder
		var params []int
		for range rapid.IntRange(1, 6).Draw(t, "placeholders") {
			param := rapid.IntRange(0, len(args)-1).Draw(t, "argument")
			m := placeholder{at: sql.Len(), text: "?"}
			if name := args[param].slice; name != "" {
				m.slice, m.text = name, sliceMark+name+"*/?"
			} else if m.number = rapid.SampledFrom([]int{0, param + 1}).Draw(t, "number"); m.number > 0 {
				m.text += fmt.Sprint(m.number)
			}
			sql.WriteString(m.text + ",")
			marks, params = append(marks, m), append(params, param)
		}
		right := true
		for widths := range 1 << (2 * len(args)) { // each slice has none to three elements
			right = right && countsRight(marks, args, params, widths)
		}
		if got := agree(sql.String(), marks, args, params); got != right {
			t.Fatalf("%s for %+v: agree says %v", sql.String(), args, got)
		}
	})
}

// countsRight reports that each placeholder gets its argument, if sqlc fills the
// first of each slice's.
func countsRight(marks []placeholder, args []argument, params []int, widths int) bool {
	first := make([]int, len(args)+1) // the number of each argument's first value
	first[0] = 1
	for i, a := range args {
		width := 1
		if a.slice != "" {
			width = widths >> (2 * i) & 3
		}
		first[i+1] = first[i] + width
	}
	largest := 0
	filled := make(map[int]bool)
	for i, m := range marks {
		param := params[i]
		number := largest + 1
		last := number
		switch {
		case m.slice != "" && filled[param]:
			if first[param+1]-first[param] != 1 {
				return false // one ? is left of it
			}
		case m.slice != "":
			last = largest + first[param+1] - first[param]
			filled[param] = true
		case m.number > 0:
			number, last = m.number, m.number
		}
		if number != first[param] && last >= number {
			return false
		}
		largest = max(largest, last)
	}
	return true
}
