package pool_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAHundredGoroutinesMixEverythingAndEveryCallSucceeds(t *testing.T) {
	for _, mode := range []string{"wal", "delete", "memory"} {
		for _, conns := range []int{1, 2, 8, 50} {
			t.Run(fmt.Sprintf("%s/%d", mode, conns), func(t *testing.T) {
				ctx := t.Context()
				cfg := pool.Config{Path: filepath.Join(t.TempDir(), "a.db"), JournalMode: mode, MaxConns: conns, Synchronous: "off", BusyTimeout: -1, AcquireTimeout: time.Minute}
				if mode == "memory" {
					cfg.Path, cfg.JournalMode = pool.Memory, ""
				}
				p, err := pool.Open(ctx, cfg)
				require.NoError(t, err)
				l, err := p.Acquire(ctx)
				require.NoError(t, err)
				_, err = l.ExecContext(ctx, "CREATE TABLE n (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO n VALUES (1, 0)")
				require.NoError(t, err)
				l.Release()
				db := p.DB()
				defer db.Close()
				var wg sync.WaitGroup
				for g := range 100 {
					wg.Go(func() {
						for i := range 5 {
							switch (g + i) % 5 {
							case 0, 1:
								assert.NoError(t, p.InTx(ctx, pool.Level(1+(g+i)%2), func(ctx context.Context, tx *pool.Tx) error {
									_, err := tx.ExecContext(ctx, "UPDATE n SET v = v + 1")
									return err
								}))
							case 2:
								assert.NoError(t, p.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
									var v int
									if err := tx.QueryRowContext(ctx, "SELECT v FROM n").Scan(&v); err != nil {
										return err
									}
									_, err := tx.ExecContext(ctx, "UPDATE n SET v = v + 1")
									return err
								}, pool.Repeatable()))
							case 3:
								l, err := p.Acquire(ctx)
								if assert.NoError(t, err) {
									var v int
									assert.NoError(t, l.QueryRowContext(ctx, "UPDATE n SET v = v + 1 RETURNING v").Scan(&v))
									l.Release()
								}
							case 4:
								assert.NoError(t, p.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
									var a, b int
									assert.NoError(t, tx.QueryRowContext(ctx, "SELECT v FROM n").Scan(&a))
									assert.NoError(t, tx.QueryRowContext(ctx, "SELECT v FROM n").Scan(&b))
									assert.Equal(t, a, b)
									return nil
								}))
								_, err := db.ExecContext(ctx, "UPDATE n SET v = v + 1")
								assert.NoError(t, err)
							}
						}
					})
				}
				wg.Wait()
				var v int
				require.NoError(t, db.QueryRowContext(ctx, "SELECT v FROM n").Scan(&v))
				require.Equal(t, 500, v)
				t.Logf("%+v", p.Stats())
				require.NoError(t, p.Close())
			})
		}
	}
}
