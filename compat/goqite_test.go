package compat

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"maragu.dev/goqite"
	"maragu.dev/goqite/jobs"
)

// goqiteOn makes goqite's table, which a program copies into its migrations.
func goqiteOn(t *testing.T, db *sql.DB, control bool) {
	t.Helper()
	if control {
		db.SetMaxOpenConns(1) // as goqite's documentation has it
	}
	schema, err := os.ReadFile(filepath.Join(moduleOf(t, "maragu.dev/goqite"), "schema_sqlite.sql"))
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), string(schema))
	require.NoError(t, err)
}

func TestGoqiteSendsAndReceivesByPriorityAndInTransactions(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, control bool) {
		ctx := t.Context()
		goqiteOn(t, db, control)
		q := goqite.New(goqite.NewOpts{DB: db, Name: "mail", Timeout: time.Hour})
		for _, m := range []goqite.Message{{Body: []byte("later"), Delay: time.Hour}, {Body: []byte("low")}, {Body: []byte("high"), Priority: 1}} {
			require.NoError(t, q.Send(ctx, m))
		}
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, q.SendTx(ctx, tx, goqite.Message{Body: []byte("undone"), Priority: 9}))
		require.NoError(t, tx.Rollback())

		for _, want := range []string{"high", "low"} {
			m, err := q.Receive(ctx)
			require.NoError(t, err)
			require.Equal(t, want, string(m.Body))
			require.NoError(t, q.Extend(ctx, m.ID, time.Hour))
			require.NoError(t, q.Delete(ctx, m.ID))
		}
		m, err := q.Receive(ctx)
		require.NoError(t, err)
		require.Nil(t, m)
		requireCount(t, 1, db, "goqite")

		waiting, cancel := context.WithCancel(ctx)
		cancel()
		_, err = q.ReceiveAndWait(waiting, time.Millisecond)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestGoqiteRunsEveryJobOnceFromManyGoroutines(t *testing.T) {
	const producers, each = 8, 10
	beside(t, func(t *testing.T, db *sql.DB, control bool) {
		goqiteOn(t, db, control)
		q := goqite.New(goqite.NewOpts{DB: db, Name: "jobs", Timeout: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		var sum, left atomic.Int64
		left.Store(producers*each + 1)
		runner := jobs.NewRunner(jobs.NewRunnerOpts{Queue: q, Limit: 8, PollInterval: time.Millisecond, Extend: time.Hour})
		runner.Register("add", func(_ context.Context, body []byte) error {
			n, err := strconv.Atoi(string(body))
			sum.Add(int64(n))
			if left.Add(-1) == 0 {
				cancel()
			}
			return err
		})
		// gob learns a type from the first that it encodes, which the race detector holds
		// against others that encode meanwhile.
		_, err := jobs.Create(t.Context(), q, "add", goqite.Message{Body: []byte("0")})
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range producers {
			wg.Go(func() {
				for i := range each {
					_, err := jobs.Create(t.Context(), q, "add", goqite.Message{Body: []byte(strconv.Itoa(i))})
					assert.NoError(t, err)
				}
			})
		}
		runner.Start(ctx) // returns when all jobs are done
		wg.Wait()
		require.EqualValues(t, producers*each*(each-1)/2, sum.Load())
		requireCount(t, 0, db, "goqite")
	})
}
