package pool_test

import (
	"math"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReplacingConnectionsIsInNobodysWay(t *testing.T) {
	for _, conns := range []int{1, 3} {
		everywhere(t, pool.Config{MaxConns: conns, BusyTimeout: -1}, func(t *testing.T, p *pool.Pool) {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 50 {
						assert.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = v + 1")))
						p.Reset()
						assert.LessOrEqual(t, p.Stats().Open, conns)
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 200, get(t, p, "SELECT v FROM n"))
			waitFor(t, "some were replaced", func() bool { return p.Stats().Reset > 0 })
			requireAtRest(t, p)
		})
	}
}

func TestResetWorksHoweverManyConnectionsThereMayBe(t *testing.T) {
	p := open(t, pool.Config{MaxConns: math.MaxInt})
	p.Reset()
	waitFor(t, "it is replaced", func() bool { return p.Stats().Reset > 0 })
}
