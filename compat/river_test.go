package compat

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type countArgs struct {
	N int `json:"n"`
}

func (countArgs) Kind() string { return "count" }

// countWorker tells when as many jobs are worked as there are.
type countWorker struct {
	river.WorkerDefaults[countArgs]
	left atomic.Int64
	all  chan struct{} // closed when none is left
}

func (w *countWorker) Work(context.Context, *river.Job[countArgs]) error {
	if w.left.Add(-1) == 0 {
		close(w.all)
	}
	return nil
}

// syncBuffer is a log that many write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func TestRiverWorksThousandsOfJobsAndIsNeverLockedOut(t *testing.T) {
	onPool := func(cfg pool.Config) func(t *testing.T) *sql.DB {
		return func(t *testing.T) *sql.DB {
			if cfg.Path == "" {
				cfg.Path = filepath.Join(t.TempDir(), "river.db")
			}
			cfg.AcquireTimeout = time.Minute
			p, err := pool.Open(t.Context(), cfg)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, p.Close()) })
			return p.DB()
		}
	}
	for name, c := range map[string]struct {
		jobs int // a third of them put in by other goroutines while they are worked
		open func(t *testing.T) *sql.DB
	}{
		"sqlane":           {2100, onPool(pool.Config{Synchronous: "off"})},
		"sqlane in memory": {420, onPool(pool.Config{Path: pool.Memory})},
		"modernc": {420, func(t *testing.T) *sql.DB {
			db := alone(t)
			db.SetMaxOpenConns(1) // as river advises: with more it is locked out
			return db
		}},
	} {
		t.Run(name, func(t *testing.T) { workRiver(t, c.open(t), c.jobs) })
	}
}

func workRiver(t *testing.T, db *sql.DB, jobs int) {
	ctx := t.Context()
	var log syncBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	on := riversqlite.New(db)
	migrator, err := rivermigrate.New(on, &rivermigrate.Config{Logger: logger})
	require.NoError(t, err)
	for _, way := range []rivermigrate.Direction{rivermigrate.DirectionUp, rivermigrate.DirectionDown, rivermigrate.DirectionUp} {
		_, err = migrator.Migrate(ctx, way, nil)
		require.NoError(t, err)
	}

	worker := &countWorker{all: make(chan struct{})}
	worker.left.Store(int64(jobs))
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	client, err := river.NewClient(on, &river.Config{
		FetchCooldown: time.Millisecond,
		Logger:        logger,
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 50}},
		Workers:       workers,
	})
	require.NoError(t, err)
	params := make([]river.InsertManyParams, jobs/3*2)
	for i := range params {
		params[i].Args = countArgs{i}
	}
	_, err = client.InsertMany(ctx, params)
	require.NoError(t, err)
	require.NoError(t, client.Start(context.WithoutCancel(ctx)))

	var wg sync.WaitGroup
	for g := range 7 {
		wg.Go(func() {
			for i := range jobs / 3 / 7 {
				if g%2 == 0 {
					_, err := client.Insert(ctx, countArgs{i}, nil)
					assert.NoError(t, err)
					continue
				}
				tx, err := db.BeginTx(ctx, nil)
				if assert.NoError(t, err) {
					_, err = client.InsertTx(ctx, tx, countArgs{i}, nil)
					assert.NoError(t, err)
					assert.NoError(t, tx.Commit())
				}
			}
		})
	}
	wg.Wait()
	select {
	case <-worker.all:
	case <-time.After(5 * time.Minute):
		t.Errorf("%d of %d jobs are left", worker.left.Load(), jobs)
	}
	require.NoError(t, client.Stop(context.WithoutCancel(ctx)))

	require.Equal(t, jobs, number(t, db, "SELECT count(*) FROM river_job WHERE state = 'completed' AND attempt = 1"))
	require.Equal(t, jobs, number(t, db, "SELECT count(*) FROM river_job"))
	for line := range strings.Lines(log.b.String()) {
		for _, word := range []string{"locked", "busy", "acquire timeout"} {
			require.NotContains(t, strings.ToLower(line), word)
		}
	}
}
