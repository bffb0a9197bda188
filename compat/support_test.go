package compat

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// Two leave goroutines behind that touch no database any more: goqite's runner one for
// each job, which sleeps on, and scs one for its store in memory, which is not used.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("maragu.dev/goqite/jobs.(*Runner).receiveAndRun.func1.3"),
		goleak.IgnoreAnyFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}

const people = `
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INTEGER NOT NULL CHECK (age >= 0), nickname TEXT);
INSERT INTO people (name, age, nickname) VALUES ('Ada', 36, NULL), ('Grace', 85, 'Amazing Grace'), ('Edsger', 72, NULL);
`

type person struct {
	ID       int64
	Name     string
	Age      int
	Nickname *string
}

// everywhere runs a test on a pool with three people, whose own work is never
// BUSY and which is whole and at rest afterwards.
func everywhere(t *testing.T, test func(t *testing.T, p *pool.Pool)) {
	for _, mode := range []string{"wal", "delete", "memory"} {
		for _, conns := range []int{1, 4} {
			t.Run(fmt.Sprint(mode, "/", conns), func(t *testing.T) {
				cfg := pool.Config{
					Path: filepath.Join(t.TempDir(), "app.db"), JournalMode: pool.JournalMode(mode), Synchronous: "off",
					MaxConns: conns, MinConns: conns, BusyTimeout: -1, AcquireTimeout: time.Minute,
					Logger: slog.New(slog.DiscardHandler),
				}
				if mode == "memory" {
					cfg.Path, cfg.JournalMode = pool.Memory, ""
				}
				p, err := pool.Open(t.Context(), cfg)
				require.NoError(t, err)
				defer func() { require.NoError(t, p.Close()) }()
				_, err = p.DB().Exec(people)
				require.NoError(t, err)
				test(t, p)
				require.Zero(t, p.Stats().InUse, "leases are given back")
				require.NoError(t, p.InTx(t.Context(), pool.Exclusive, func(context.Context, *pool.Tx) error { return nil }))
			})
		}
	}
}

// besidePeople runs a test through the pool, in each of its modes, and beside it on the
// driver alone, where p is nil.
func besidePeople(t *testing.T, test func(t *testing.T, p *pool.Pool, db *sql.DB)) {
	t.Run("sqlane", func(t *testing.T) {
		everywhere(t, func(t *testing.T, p *pool.Pool) { test(t, p, p.DB()) })
	})
	t.Run("modernc", func(t *testing.T) {
		db := alone(t)
		_, err := db.Exec(people)
		require.NoError(t, err)
		test(t, nil, db)
	})
}

// requireNames sees who there is.
func requireNames(t *testing.T, db *sql.DB, want ...string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT name FROM people ORDER BY id")
	require.NoError(t, err)
	var got []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		got = append(got, name)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, want, got)
}

// endless is a query that never ends by itself.
const endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c"

// waitFor waits until something that goes on elsewhere is so.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	require.Eventually(t, so, time.Minute, time.Millisecond, what)
}
