package pool_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAContextThatEndsStopsWhatOnConnectRuns(t *testing.T) {
	var calls atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	name := onSignal(t, cancel)
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), OnConnect: func(ctx context.Context, c *sql.Conn) error {
		if calls.Add(1) != 2 {
			return nil
		}
		_, err := c.ExecContext(ctx, endless(name))
		return err
	}})
	require.NoError(t, err)
	_, err = p.Acquire(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, p.Close())
}
