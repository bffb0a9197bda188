package compat

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
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

// riverJobs is how many jobs are worked, a third of them put in by other goroutines meanwhile.
const riverJobs = 2100

type countArgs struct {
	N int `json:"n"`
}

func (countArgs) Kind() string { return "count" }

// countWorker tells of each job that it works.
type countWorker struct {
	river.WorkerDefaults[countArgs]
	worked *atomic.Int64
	all    chan struct{} // closed when all are worked
}

func (w *countWorker) Work(context.Context, *river.Job[countArgs]) error {
	if w.worked.Add(1) == riverJobs {
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
	for name, open := range map[string]func(t *testing.T) *sql.DB{
		"sqlane": func(t *testing.T) *sql.DB {
			p, err := pool.Open(t.Context(), pool.Config{Path: t.TempDir() + "/river.db", Synchronous: "off"})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, p.Close()) })
			return p.DB()
		},
		"sqlane in memory": func(t *testing.T) *sql.DB {
			p, err := pool.Open(t.Context(), pool.Config{Path: pool.Memory, AcquireTimeout: time.Minute})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, p.Close()) })
			return p.DB()
		},
		"modernc": func(t *testing.T) *sql.DB {
			db := alone(t)
			db.SetMaxOpenConns(1) // as river advises: with more it is locked out
			return db
		},
	} {
		t.Run(name, func(t *testing.T) { workRiver(t, open(t)) })
	}
}

func workRiver(t *testing.T, db *sql.DB) {
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

	worker := &countWorker{worked: new(atomic.Int64), all: make(chan struct{})}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	client, err := river.NewClient(on, &river.Config{
		FetchCooldown: time.Millisecond,
		Logger:        logger,
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 50}},
		Workers:       workers,
	})
	require.NoError(t, err)
	params := make([]river.InsertManyParams, riverJobs/3*2)
	for i := range params {
		params[i].Args = countArgs{i}
	}
	_, err = client.InsertMany(ctx, params)
	require.NoError(t, err)
	require.NoError(t, client.Start(context.WithoutCancel(ctx)))

	var wg sync.WaitGroup
	for g := range 7 {
		wg.Go(func() {
			for i := range riverJobs / 3 / 7 {
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
	case <-time.After(time.Minute):
		t.Errorf("%d of %d jobs were worked", worker.worked.Load(), riverJobs)
	}
	require.NoError(t, client.Stop(context.WithoutCancel(ctx)))

	require.Equal(t, riverJobs, number(t, db, "SELECT count(*) FROM river_job WHERE state = 'completed' AND attempt = 1"))
	require.Equal(t, riverJobs, number(t, db, "SELECT count(*) FROM river_job"))
	for line := range strings.Lines(log.b.String()) {
		require.NotContains(t, strings.ToLower(line), "locked")
		require.NotContains(t, line, "BUSY")
		require.NotContains(t, line, "level=ERROR")
		require.NotContains(t, line, "level=WARN")
	}
}
