package pool_test

import (
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAPoolIsNamedByItsConfigurationOrItsPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path})
	require.Equal(t, path, p.Name())
	require.Equal(t, pool.Memory, open(t, pool.Config{Path: pool.Memory}).Name())
	require.Equal(t, "files", open(t, pool.Config{Name: "files"}).Name())
}

func TestPoolsOfARegistryHaveNamesOfTheirOwn(t *testing.T) {
	r := newRegistry(t)
	named := func(cfg pool.Config) (*pool.Pool, string) {
		p, err := r.Open(t.Context(), cfg)
		require.NoError(t, err)
		return p, p.Name()
	}
	first, name := named(pool.Config{Path: pool.Memory})
	require.Equal(t, ":memory:", name)
	_, name = named(pool.Config{Path: pool.Memory})
	require.Equal(t, ":memory: 2", name)
	_, name = named(pool.Config{Path: pool.Memory, Name: ":memory: 2"})
	require.Equal(t, ":memory: 2 2", name)
	require.NoError(t, first.Close())
	_, name = named(pool.Config{Path: pool.Memory})
	require.Equal(t, ":memory:", name, "it is free again")

	path := filepath.Join(t.TempDir(), "app.db")
	file, name := named(pool.Config{Path: path, Name: "files"})
	require.Equal(t, "files", name)
	again, name := named(pool.Config{Path: path, Name: "other"})
	require.Same(t, file, again)
	require.Equal(t, "files", name, "the configuration of the first Open counts")
}
