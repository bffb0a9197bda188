package pool_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAPragmaThatSetsNothingToTheEmptyStringIsUndone(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	run(t, p, "PRAGMA foreign_keys=''") // means off
	require.EqualValues(t, 1, get(t, p, "PRAGMA foreign_keys"))
}

func TestWhatOnConnectHasPreparedStillChangesTheConnection(t *testing.T) {
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), MaxConns: 1, OnConnect: func(ctx context.Context, c *pool.Lease) error {
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

func TestWhatAMemberDoesToItsConnectionReachesNoOther(t *testing.T) {
	for _, change := range []string{
		"CREATE TEMP TABLE n (id, v)", "PRAGMA query_only = 1", "PRAGMA ignore_check_constraints = 1", "ATTACH ':memory:' AS more",
	} {
		t.Run(change, func(t *testing.T) {
			p := open(t, pool.Config{})
			var changing, next error
			before := p.Stats().Batches
			lineUp(t, p,
				func() { changing = p.Batch(t.Context(), doing(change)) },
				func() { next = p.Batch(t.Context(), doing("INSERT INTO n (id, v) VALUES (4000, 1)")) },
			)
			require.NoError(t, next)
			require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n WHERE id = 4000"), "it is in the database")
			if changing == nil {
				require.EqualValues(t, 2, p.Stats().Batches-before, "nobody joined it")
			}
			requireAtRest(t, p)
		})
	}
}

func TestDeferredForeignKeysEndWithTheLeaseThatAskedForThem(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "CREATE TABLE orphan (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES n)")
		run(t, p, "PRAGMA defer_foreign_keys = 1")
		var atOnce error
		require.Error(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			atOnce = do(ctx, tx, "INSERT INTO orphan VALUES (1, 99)")
			return atOnce
		}))
		require.Equal(t, dberr.ErrForeignKey, dberr.Kind(atOnce), "%v", atOnce)
	})
}
