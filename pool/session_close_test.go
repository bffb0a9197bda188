package pool_test

import (
	"sync"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAPoolMayCloseAtAnyMomentWhileAnOperationLeavesStateBehind(t *testing.T) {
	for range rounds.Of(20, 100, 1000) {
		p := open(t, pool.Config{Path: pool.Memory, MaxConns: 1})
		var wg sync.WaitGroup
		for _, query := range []string{"PRAGMA cache_size = 77", "BEGIN IMMEDIATE", "ROLLBACK", "PRAGMA cache_size = -2000"} {
			wg.Go(func() { _ = do(t.Context(), p.DB(), query) }) // it may be too late
		}
		require.NoError(t, p.Close())
		wg.Wait()
	}
}
