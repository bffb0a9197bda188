package pool_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// panicking is a Logger's handler that panics once, over one text.
type panicking struct {
	slog.Handler
	over  string
	armed *atomic.Bool
}

func (h panicking) Enabled(context.Context, slog.Level) bool { return true }

func (h panicking) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "sql" && a.Value.String() == h.over && h.armed.CompareAndSwap(true, false) {
			panic("ours")
		}
		return true
	})
	return nil
}

// TestAStatementThatRanBeforeItsLoggerPanickedIsNotThereTwice: whoever has the batch ran
// it for a member that runs it again.
func TestAStatementThatRanBeforeItsLoggerPanickedIsNotThereTwice(t *testing.T) {
	const query = "INSERT INTO heap SELECT ?"
	armed := new(atomic.Bool)
	p := open(t, pool.Config{SlowQuery: 1, Logger: slog.New(panicking{slog.DiscardHandler, query, armed})})
	know(t, p, query, 0)
	know(t, p, insert, 2)
	armed.Store(true)
	lineUp(t, p, sends(t, p, insert, 3), sends(t, p, query, 1))
	require.False(t, armed.Load())
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM heap WHERE b = 1"))
	require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n WHERE id = 3"))
	requireAtRest(t, p)
}

func TestABatchThatKeepsNothingTracesNoCommit(t *testing.T) {
	p, r := traced(t, pool.Config{})
	require.NoError(t, p.Batch(t.Context(), doing(insert, 2)))
	require.Len(t, r.named("commit"), 1)
	require.Same(t, errOurs, p.Batch(t.Context(), func(context.Context, *pool.Tx) error { return errOurs }))
	require.Len(t, r.named("commit"), 1)
}
