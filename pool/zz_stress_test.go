package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestZZStress(t *testing.T) {
	for _, conns := range []int{1, 2, 4} {
		everywhere(t, pool.Config{MaxConns: conns, BusyTimeout: -1, AcquireTimeout: 200 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), MaxConnLifetime: 50 * time.Millisecond, MaxConnIdleTime: 20 * time.Millisecond, HealthCheckInterval: 10 * time.Millisecond}, func(t *testing.T, p *pool.Pool) {
			for round := range 6 {
				own := sql.OpenDB(p.Connector())
				var wg sync.WaitGroup
				var mu sync.Mutex
				seen := map[string]int{}
				for g := range 6 {
					wg.Go(func() {
						r := rand.New(rand.NewPCG(uint64(round), uint64(g)))
						db := p.DB()
						if g%2 == 0 {
							db = own
						}
						note := func(err error) {
							if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, pool.ErrAcquireTimeout) {
								return
							}
							mu.Lock()
							seen[err.Error()]++
							mu.Unlock()
						}
						for range 60 {
							ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(3000))*time.Microsecond)
							if r.IntN(3) == 0 {
								cancel()
								ctx, cancel = context.WithCancel(context.Background())
							}
							word := sessionWords[r.IntN(len(sessionWords))]
							switch r.IntN(7) {
							case 0, 1:
								note(do(ctx, db, word))
							case 2:
								rows, err := db.QueryContext(ctx, "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c LIMIT 300) SELECT x FROM c")
								if err == nil {
									for rows.Next() {
									}
									note(rows.Err())
									rows.Close()
								} else {
									note(err)
								}
							case 3:
								tx, err := db.BeginTx(ctx, nil)
								if err == nil {
									note(do(ctx, tx, "INSERT INTO heap VALUES (1)"))
									_, err := tx.QueryContext(ctx, "SELECT * FROM heap")
									note(err)
									if r.IntN(2) == 0 {
										note(tx.Commit())
									} else if r.IntN(2) == 0 {
										note(tx.Rollback())
									} else {
										cancel()
										tx.Rollback()
									}
								} else {
									note(err)
								}
							case 4:
								conn, err := db.Conn(ctx)
								if err == nil {
									note(do(ctx, conn, word))
									note(do(ctx, conn, "BEGIN IMMEDIATE"))
									note(do(ctx, conn, "INSERT INTO heap VALUES (1)"))
									if r.IntN(2) == 0 {
										note(do(ctx, conn, "COMMIT"))
									}
									note(conn.Close())
								} else {
									note(err)
								}
							case 5:
								if s, err := db.PrepareContext(ctx, word); err == nil {
									_, err := s.ExecContext(ctx)
									note(err)
									s.Close()
								}
							case 6:
								if r.IntN(15) == 0 {
									note(db.Close())
								} else if r.IntN(10) == 0 {
									p.Reset()
								} else {
									note(do(context.Background(), db, "ROLLBACK"))
								}
							}
							cancel()
						}
					})
				}
				wg.Wait()
				if round < 2 {
					for k, v := range seen {
						fmt.Println(v, k)
					}
				}
				require.NoError(t, own.Close())
				require.NoError(t, p.DB().Close())
				waitFor(t, "rest", func() bool { return p.Stats().InUse == 0 })
				require.NoError(t, p.InTx(t.Context(), pool.Exclusive, doing("SELECT 1")))
				require.EqualValues(t, 1, get(t, p, "PRAGMA foreign_keys"))
				require.EqualValues(t, 0, get(t, p, "SELECT count(*) FROM sqlite_temp_schema"))
				s := p.Stats()
				require.LessOrEqual(t, s.Open, s.MaxConns)
			}
			// a close under fire
			own := sql.OpenDB(p.Connector())
			var wg sync.WaitGroup
			for g := range 6 {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(7, uint64(g)))
					for range 200 {
						_ = do(context.Background(), own, sessionWords[r.IntN(len(sessionWords))])
						if tx, err := own.Begin(); err == nil {
							_ = do(context.Background(), tx, "INSERT INTO heap VALUES (1)")
							_ = tx.Commit()
						}
					}
				})
			}
			time.Sleep(20 * time.Millisecond)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			_ = p.Shutdown(ctx)
			cancel()
			wg.Wait()
			require.NoError(t, own.Close())
			require.NoError(t, p.Close())
		})
	}
}
