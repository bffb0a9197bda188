package pool_test

import (
	"math"
	"testing"

	"github.com/sqlane/sqlane/pool"
)

func TestResetWorksHoweverManyConnectionsThereMayBe(t *testing.T) {
	p := open(t, pool.Config{MaxConns: math.MaxInt})
	p.Reset()
	waitFor(t, "it is replaced", func() bool { return p.Stats().Reset > 0 })
}
