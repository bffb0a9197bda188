package cluster_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/cluster"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestEntriesThatAreDamagedAreTold(t *testing.T) {
	t.Parallel()
	cfg := config(t, addresses(t, 1)[0])
	c := open(t, cfg)
	write(t, c, "CREATE TABLE IF NOT EXISTS t (n)")
	require.NoError(t, c.Close())
	segments, err := filepath.Glob(filepath.Join(cfg.Dir, "0*-*"))
	require.NoError(t, err)
	require.NotEmpty(t, segments)
	for _, name := range segments {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for i := range text {
			text[i] ^= 0xff
		}
		require.NoError(t, os.WriteFile(name, text, 0o600))
	}
	err = cluster.Recover(cfg)
	require.ErrorContains(t, err, cfg.Dir)
	require.ErrorContains(t, err, "dqlite_node_recover_ext: code ")
	_, err = cluster.Open(t.Context(), cfg)
	require.ErrorContains(t, err, cfg.Dir)
	require.ErrorContains(t, err, "dqlite does not start: ")
	open(t, config(t, cfg.Address)) // nobody has kept the address
}

// TestWhoKeepsTheWriteLaneKeepsNoLeaderFromHandingOver: it is waited for, but not for long.
func TestWhoKeepsTheWriteLaneKeepsNoLeaderFromHandingOver(t *testing.T) {
	t.Parallel()
	nodes, _ := three(t)
	led := index(t, nodes, nodes[0])
	other := nodes[(led+1)%3]
	err := other.StoreInTx(within(t, long), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
		require.NoError(t, nodes[led].Handover(within(t, long)))
		return nil
	})
	require.Error(t, err, "a transaction ends with its leader")
	eventually(t, "another leader", func(context.Context) bool { return leader(t, other).ID != nodes[led].ID() })
}
