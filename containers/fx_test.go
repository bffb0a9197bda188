package containers

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
)

// openForFx opens the pool while fx builds, since what depends on it wants it open.
// What takes long belongs into hooks, which have fx's context and its patience: the
// schema is brought up to date before anything that depends on the pool starts, and the
// pool is shut down after everything that does has stopped.
func openForFx(lc fx.Lifecycle, pools *pool.Registry, cfg pool.Config) (*pool.Pool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p, err := pools.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error { return up(ctx, p) },
		OnStop:  p.Shutdown, // what runs may finish; when fx's patience ends it is interrupted
	})
	return p, nil
}

// In fx constructors open, hooks migrate and shut down. fx runs no hook if a
// constructor fails, so who makes the application has the registry, and shuts that down
// at the end whatever has happened: a second time does nothing.
func Example_fx() {
	ctx := context.Background()
	var pools pool.Registry
	defer func() {
		if err := pools.Shutdown(ctx); err != nil {
			log.Fatal(err)
		}
	}()
	serve := func(lc fx.Lifecycle, pools *pool.Registry, notes *Notes) { // a server, in a program
		lc.Append(fx.Hook{
			OnStart: func(ctx context.Context) error {
				fmt.Println("the schema is there:", notes.Add(ctx, "buy milk") == nil)
				fmt.Println("healthy:", pools.HealthCheck(ctx) == nil)
				return nil
			},
			OnStop: func(ctx context.Context) error {
				n, err := notes.Count(ctx)
				fmt.Println("still open:", n, err)
				return err
			},
		})
	}
	app := fx.New(
		fx.NopLogger,
		fx.Supply(&pools, pool.Config{Path: pool.Memory}),
		fx.Provide(openForFx, NewNotes),
		fx.Invoke(serve),
	)
	if err := app.Start(ctx); err != nil { // a program calls app.Run, which waits for a signal
		log.Print(err)
		return
	}
	if err := app.Stop(ctx); err != nil {
		log.Print(err)
	}
	fmt.Println("open pools:", len(pools.Pools()))
	// Output:
	// the schema is there: true
	// healthy: true
	// still open: 1 <nil>
	// open pools: 0
}

func TestAConstructorThatFailsLeavesThePoolToTheRegistry(t *testing.T) {
	var pools pool.Registry
	ours := errors.New("ours")
	app := fx.New(
		fx.NopLogger,
		fx.Supply(&pools, pool.Config{Path: pool.Memory}),
		fx.Provide(openForFx, NewNotes),
		fx.Invoke(func(*Notes) error { return ours }),
	)
	require.ErrorIs(t, app.Start(t.Context()), ours)
	require.Len(t, pools.Pools(), 1, "fx ran no hook")
	require.NoError(t, pools.Shutdown(t.Context()))
	require.Empty(t, pools.Pools())
}

func TestAStartThatFailsShutsThePoolDown(t *testing.T) {
	var pools pool.Registry
	ours := errors.New("ours")
	app := fx.New(
		fx.NopLogger,
		fx.Supply(&pools, pool.Config{Path: pool.Memory}),
		fx.Provide(openForFx, NewNotes),
		fx.Invoke(func(lc fx.Lifecycle, notes *Notes) {
			lc.Append(fx.StartHook(func(ctx context.Context) error {
				n, err := notes.Count(ctx)
				require.NoError(t, err)
				require.Zero(t, n)
				return ours
			}))
		}),
	)
	require.ErrorIs(t, app.Start(t.Context()), ours)
	require.Empty(t, pools.Pools())
}

func TestFxWaitsForWhatRunsAndInterruptsItWhenItsPatienceEnds(t *testing.T) {
	var pools pool.Registry
	var notes *Notes
	app := fx.New(
		fx.NopLogger,
		fx.Supply(&pools, pool.Config{Path: pool.Memory}),
		fx.Provide(openForFx, NewNotes),
		fx.Populate(&notes),
	)
	require.NoError(t, app.Start(t.Context()))
	running, result := make(chan struct{}), make(chan error, 1)
	go func() {
		result <- notes.pool.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			close(running)
			_, err := tx.Exec(ctx, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c")
			return err
		})
	}()
	<-running
	patience, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_ = app.Stop(patience) // fx tells of its patience, or the pool of what it has interrupted
	require.Error(t, <-result)
	require.NoError(t, pools.Shutdown(t.Context()))
	require.Empty(t, pools.Pools())
}
