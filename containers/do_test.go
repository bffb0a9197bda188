package containers

import (
	"context"
	"fmt"
	"log"
	"path/filepath"
	"testing"

	"github.com/samber/do/v2"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// openForDo opens the pool when it is first asked for, and brings the schema up to
// date: whoever has the pool has the schema.
func openForDo(i do.Injector) (*pool.Pool, error) {
	ctx, err := do.Invoke[context.Context](i)
	if err != nil {
		return nil, err
	}
	p, err := do.MustInvoke[*pool.Registry](i).Open(ctx, do.MustInvoke[pool.Config](i))
	if err != nil {
		return nil, err
	}
	return p, up(ctx, p)
}

func notesForDo(i do.Injector) (*Notes, error) {
	p, err := do.Invoke[*pool.Pool](i)
	if err != nil {
		return nil, err
	}
	return NewNotes(p), nil
}

// container is what the examples and tests begin with.
func container(ctx context.Context, cfg pool.Config) *do.RootScope {
	injector := do.New()
	do.ProvideValue(injector, ctx) // for opening alone
	do.ProvideValue(injector, cfg)
	do.ProvideValue(injector, new(pool.Registry))
	do.Provide(injector, openForDo)
	do.Provide(injector, notesForDo)
	return injector
}

// do knows a pool, and a registry, by their methods: HealthCheck(ctx) error and
// Shutdown(ctx) error are what it asks services for. It shuts down in the reverse
// order of dependence. A pool that did not get as far as to be a service, since its
// schema could not be brought up to date, is still the registry's.
func Example_do() {
	ctx := context.Background()
	injector := container(ctx, pool.Config{Path: pool.Memory})
	notes, err := do.Invoke[*Notes](injector) // which opens the pool
	if err != nil {
		log.Fatal(err)
	}
	if err := notes.Add(ctx, "buy milk"); err != nil {
		log.Fatal(err)
	}
	n, err := notes.Count(ctx)
	fmt.Println(n, err)
	pools := do.MustInvoke[*pool.Registry](injector)
	fmt.Println("healthy:", do.HealthCheckWithContext[*pool.Pool](ctx, injector) == nil)
	report := injector.ShutdownWithContext(ctx)
	fmt.Println("shut down:", report.Succeed, "open pools:", len(pools.Pools()))
	// Output:
	// 1 <nil>
	// healthy: true
	// shut down: true open pools: 0
}

func TestDoTellsOfAPoolThatIsNotHealthy(t *testing.T) {
	injector := container(t.Context(), pool.Config{Path: pool.Memory})
	notes, err := do.Invoke[*Notes](injector)
	require.NoError(t, err)
	for service, err := range injector.HealthCheckWithContext(t.Context()) {
		require.NoError(t, err, service)
	}
	require.NoError(t, notes.pool.Close())
	require.ErrorIs(t, do.HealthCheckWithContext[*pool.Pool](t.Context(), injector), pool.ErrClosed)
	require.True(t, injector.ShutdownWithContext(t.Context()).Succeed, "a second time does nothing")
}

func TestDoOpensNothingThatNobodyAskedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.db")
	injector := container(t.Context(), pool.Config{Path: path})
	require.NoFileExists(t, path)
	require.True(t, injector.ShutdownWithContext(t.Context()).Succeed)
	require.NoFileExists(t, path)
}

func TestDoShutsDownAPoolThatCouldNotBeMadeReady(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "notes.db")
	injector := container(ctx, pool.Config{Path: path, OnConnect: func(context.Context, *pool.Lease) error {
		cancel() // it is open, and the schema comes too late
		return nil
	}})
	_, err := do.Invoke[*Notes](injector)
	require.ErrorIs(t, err, context.Canceled)
	pools := do.MustInvoke[*pool.Registry](injector)
	require.Len(t, pools.Pools(), 1)
	require.True(t, injector.ShutdownWithContext(t.Context()).Succeed)
	require.Empty(t, pools.Pools())
}
