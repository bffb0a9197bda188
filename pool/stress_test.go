package pool_test

import (
	"fmt"
	"testing"

	"github.com/sqlane/sqlane/internal/stress/mix"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// What is done, and what must hold meanwhile and afterwards, says package mix.
// `make stress` does the same for longer.
func TestAHundredGoroutinesMixEverythingAndEveryCallSucceeds(t *testing.T) {
	besideOthers(t) // for it takes long
	for _, cfg := range []pool.Config{
		{MaxConns: 1, BusyTimeout: -1},
		{MaxConns: 2, BusyTimeout: -1},
		{MaxConns: 8, BusyTimeout: -1},
		{MaxConns: 50, BusyTimeout: -1},
		{MaxConns: 8}, // the default, to wait
	} {
		t.Run(fmt.Sprintf("conns=%d,busy=%d", cfg.MaxConns, cfg.BusyTimeout), func(t *testing.T) {
			everywhere(t, cfg, func(t *testing.T, p *pool.Pool) {
				m, err := mix.New(t.Context(), p)
				require.NoError(t, err)
				require.NoError(t, m.Run(t.Context(), 100, 1))
				require.NoError(t, m.Verify(t.Context()))
				requireAtRest(t, p)
			})
		})
	}
}
