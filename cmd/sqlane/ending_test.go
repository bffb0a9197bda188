//go:build unix

package main

import (
	"bytes"
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
)

// ending is a context that ends when it is asked for the nth time.
type ending struct {
	context.Context
	end  context.CancelFunc
	left atomic.Int64
}

func endingAfter(t *testing.T, n int) *ending {
	t.Helper()
	e := new(ending)
	e.Context, e.end = context.WithCancel(t.Context())
	t.Cleanup(e.end)
	e.left.Store(int64(n))
	return e
}

func (e *ending) Done() <-chan struct{} {
	if e.left.Add(-1) == 0 {
		e.end()
	}
	return e.Context.Done()
}

// TestWheneverARunIsInterruptedItSaysSoAndNothingElse has it end at each of the moments
// at which something asks whether it has.
func TestWheneverARunIsInterruptedItSaysSoAndNothingElse(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	left := func() int { return len(tree(t, temp)) }
	keyed := "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent); INSERT INTO child VALUES (1, 1)"
	live := filepath.Join(t.TempDir(), "app.db")
	execute1(t, open(t, pool.Config{Path: live, Pragmas: map[string]string{"foreign_keys": "off"}}), keyed)
	planned := planned(t, simple, "Scans", "SELECT a FROM t WHERE a = ?")
	put(t, "CREATE TABLE more (id INTEGER PRIMARY KEY);", planned, "schema", "a.sql")
	for _, args := range [][]string{{"doctor", live}, {"check", planned, "-sqlc", "true"}} {
		var whole string
		ended := 0
		before := left()
		for n := 1; ; n += max(1, rounds.Of(n, n/8, 1)) {
			var stdout, stderr bytes.Buffer
			ctx := endingAfter(t, n)
			code := run(ctx, args, &stdout, &stderr)
			require.Equal(t, before, left())
			if code != failed { // else it was over by then
				require.Equal(t, interrupted, code)
				require.Equal(t, "sqlane: interrupted\n", stderr.String(), n)
				require.Empty(t, stdout.String(), n)
				ended++
				continue
			}
			require.Empty(t, stderr.String())
			require.NotEmpty(t, stdout.String())
			if whole == "" {
				whole = stdout.String()
			}
			require.Equal(t, whole, stdout.String(), n)
			if ctx.Err() == nil { // nothing asks that often
				break
			}
		}
		require.Positive(t, ended)
	}
}
