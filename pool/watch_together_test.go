package pool_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// TestRunsOfWatchDoNotKeepAWriterFromItsTurn: where readers and the writer exclude each
// other, one that reads the schema for the first time queues behind a writer who waits
// for the snapshots of the others.
func TestRunsOfWatchDoNotKeepAWriterFromItsTurn(t *testing.T) {
	besideOthers(t) // for it waits
	p, err := pool.Open(t.Context(), pool.Config{Path: pool.Memory, MaxConns: 8})
	require.NoError(t, err)
	defer p.Close()
	_, err = p.Writer().Exec(t.Context(), "CREATE TABLE a (x)")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	defer loops.Wait()
	defer stop()
	nothing := func(context.Context, *pool.Tx) error { return nil }
	something := func(ctx context.Context, tx *pool.Tx) error {
		var n int
		return tx.QueryRow(ctx, "SELECT count(*) FROM a").Scan(&n)
	}
	for range 2 {
		for _, fn := range []func(context.Context, *pool.Tx) error{nothing, something} {
			loops.Go(func() {
				for range p.Watch(ctx, fn) {
				}
			})
		}
	}
	for n := range 100 {
		_, err := p.Writer().Exec(t.Context(), fmt.Sprintf("CREATE TABLE t%d (x)", n)) // it fails after AcquireTimeout if they stand still
		require.NoError(t, err)
	}
}
