package dqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/wire"
)

func TestWhatWasMetWhileALeaderWasLookedForIsInTheChain(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		for _, n := range c.nodes {
			n.kill()
		}
		err := s.HealthCheck(t.Context())
		require.ErrorIs(t, err, dqlite.ErrNoQuorum)
		var lost *wire.Lost
		require.ErrorAs(t, err, &lost)
		require.False(t, lost.Sent, "nobody was there")
		var refused *wire.Failure
		require.NotErrorAs(t, err, &refused, "nobody answered")
	})
}
