package repo_test

import (
	"context"
	"slices"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/repo"
	"github.com/stretchr/testify/require"
)

// ran are the texts of the queries that a pool was sent.
type ran struct{ texts []string }

func (r *ran) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	if op.Name == "query" {
		r.texts = append(r.texts, op.SQL)
	}
	return ctx, func(pool.TraceEnd) {}
}

func TestStatementsAreTheQueriesTheirTextsAndWhoReads(t *testing.T) {
	trace := new(ran)
	_, r := open(t, pool.Config{Path: pool.Memory, Tracer: trace})
	plant(t, r)
	statements := repo.Statements()
	slices.Reverse(statements) // what deletes comes last
	var all []string
	for _, s := range statements {
		all = append(all, s.Name)
		require.Equal(t, isReading(s.Name), s.Reads, s.Name)
		trace.texts = nil
		_, err := call(t.Context(), r, s.Name)
		require.NoError(t, err, s.Name)
		require.Equal(t, []string{s.SQL}, trace.texts, s.Name)
	}
	require.ElementsMatch(t, names(querier), all)
}
