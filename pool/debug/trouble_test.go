package debug_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pool/debug"
	"github.com/stretchr/testify/require"
)

func TestAPoolWhoseFileIsAwaySaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path})
	require.NoError(t, os.Rename(path, path+".away"))
	require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrMoved)
	require.Contains(t, page(t, debug.Pool(p), "/"), `class="state bad">file moved`)
	require.NoError(t, os.Rename(path+".away", path))
	require.NoError(t, p.HealthCheck(t.Context()))
	require.Contains(t, page(t, debug.Pool(p), "/"), `class="state good">serving`)
}

func TestAPoolThatCannotGrowSaysSoAndNotInOthersWords(t *testing.T) {
	var refuse atomic.Bool
	p := open(t, pool.Config{MaxConns: 4, AcquireTimeout: -1, OnConnect: func(context.Context, *pool.Lease) error {
		if refuse.Load() {
			return errors.New("hunter2 is not accepted")
		}
		return nil
	}})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	refuse.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := p.Acquire(ctx)
		done <- err
	}()
	require.Eventually(t, func() bool { return p.Activity().Shrunk != nil }, time.Minute, time.Millisecond)
	html := page(t, debug.Pool(p), "/")
	require.Contains(t, html, `class="state bad">cannot open more connections`)
	require.Contains(t, textOf(html), "No more connections can be opened.")
	require.NotContains(t, html, "hunter2")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	refuse.Store(false)
	l.Release()
}

func TestALargeLogIsExplained(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3})
	_, err := p.Writer().Exec(t.Context(), "CREATE TABLE things (v)")
	require.NoError(t, err)
	require.NoError(t, p.View(pool.WithLabel(t.Context(), "report"), func(ctx context.Context, tx *pool.Tx) error {
		require.NoError(t, tx.QueryRow(ctx, "SELECT count(*) FROM things").Scan(new(int)))
		for range 20 {
			_, err := p.Writer().Exec(t.Context(), "INSERT INTO things VALUES (zeroblob(1000000))")
			require.NoError(t, err)
		}
		require.Greater(t, p.Stats().WALBytes, p.Activity().WALKept)
		text := textOf(pageWith(t, debug.Pool(p), "keeps a snapshot, for"))
		require.Regexp(t, `MiB; from 16 MiB on it is made to start anew\. debug_test\.TestALargeLogIsExplained \(trouble_test\.go:\d+\) keeps a snapshot, for [0-9.]+ .?s at most`, text)
		return nil
	}))
	pageWith(t, debug.Pool(p), "MiB on it is made to start anew. Nobody") // else it is the pool itself, which looks at its health
}
