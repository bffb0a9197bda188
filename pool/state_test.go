package pool_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAPragmaThatSetsNothingToTheEmptyStringIsUndone(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	run(t, p, "PRAGMA foreign_keys=''") // means off
	require.EqualValues(t, 1, get(t, p, "PRAGMA foreign_keys"))
}

func TestWhatOnConnectHasPreparedStillChangesTheConnection(t *testing.T) {
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), MaxConns: 1, OnConnect: func(ctx context.Context, c *sql.Conn) error {
		for _, query := range []string{"CREATE TEMP TABLE scratch (x)", "DROP TABLE scratch"} {
			if _, err := c.ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return nil
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	for range 2 {
		run(t, p, "CREATE TEMP TABLE scratch (x)") // the first one's is gone
	}
}
