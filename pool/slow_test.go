package pool_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// SQL's nap(seconds) is what takes time in these tests. They run in synctest bubbles,
// where nothing else does.
func init() {
	sqlite.MustRegisterScalarFunction("nap", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		time.Sleep(time.Duration(args[0].(int64)) * time.Second)
		return int64(1), nil
	})
}

// slowAt is a pool in the bubble that logs what runs for longer than a second, with
// five rows in n.
func slowAt(t *testing.T, cfg pool.Config) (*pool.Pool, *logbook) {
	t.Helper()
	log := new(logbook)
	cfg.SlowQuery, cfg.Logger = time.Second, slog.New(log)
	p := open(t, cfg)
	run(t, p, "INSERT INTO n VALUES (2, 0), (3, 0), (4, 0), (5, 0)")
	return p, log
}

// slow are the statements that were logged.
func (b *logbook) slow() []logEntry { return b.saying(slog.LevelWarn, "a statement ran for long") }

// texts are their texts.
func (b *logbook) texts() (texts []string) {
	for _, e := range b.slow() {
		texts = append(texts, e.attrs["sql"])
	}
	return texts
}

func TestAStatementThatRunsForLongIsLoggedWithItsPlanAndWithoutItsArguments(t *testing.T) {
	byItself(t)
	const query = "-- name: Doze :many\nSELECT v, nap(?1) FROM n WHERE v < ?2 + 1000 ORDER BY v\n"
	ways := map[string]func(ctx context.Context, p *pool.Pool) error{
		"a reader's rows": func(ctx context.Context, p *pool.Pool) error {
			rows, err := p.Reader().Query(ctx, query, 2, 123456)
			if err != nil {
				return err
			}
			for rows.Next() {
				var v, one int
				if err := rows.Scan(&v, &one); err != nil {
					return err
				}
			}
			return rows.Close()
		},
		"a reader's row": func(ctx context.Context, p *pool.Pool) error {
			return p.Reader().QueryRow(ctx, query, 2, 123456).Scan(new(int), new(int))
		},
		"a transaction": func(ctx context.Context, p *pool.Pool) error {
			return p.InTx(ctx, pool.Immediate, doing(query, 2, 123456))
		},
		"database/sql": func(ctx context.Context, p *pool.Pool) error {
			return p.DB().QueryRowContext(ctx, query, 2, 123456).Scan(new(int), new(int))
		},
		"a writer": func(ctx context.Context, p *pool.Pool) error {
			_, err := p.Writer().Exec(ctx, query, 2, 123456)
			return err
		},
	}
	for mode, cfg := range modes(t, pool.Config{}) {
		for way, use := range ways {
			t.Run(mode+"/"+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, log := slowAt(t, cfg)
					for range 2 { // as it is prepared, and as it comes from the cache
						require.NoError(t, use(t.Context(), p))
					}
					require.Len(t, log.slow(), 2)
					for _, e := range log.slow() {
						require.Equal(t, slog.LevelWarn, e.level)
						require.Equal(t, "Doze", e.attrs["query"])
						require.Equal(t, "SELECT v, nap(?1) FROM n WHERE v < ?2 + 1000 ORDER BY v", e.attrs["sql"])
						require.Equal(t, "10s", e.attrs["duration"])
						require.Equal(t, "SCAN n; USE TEMP B-TREE FOR ORDER BY", e.attrs["plan"])
						require.Equal(t, "4", e.attrs["rows_scanned"], "from each of five rows to the next")
						require.Equal(t, "1", e.attrs["sorts"])
						require.Equal(t, "0", e.attrs["rows_indexed"])
						require.NotEqual(t, "0", e.attrs["vm_steps"])
						require.NotEmpty(t, e.attrs["path"])
						require.NotContains(t, e.attrs, "error")
						require.NotContains(t, fmt.Sprint(e), "123456")
					}
				})
			})
		}
	}
}

func TestWhatIsFastIsNotLogged(t *testing.T) {
	byItself(t)
	synctest.Test(t, func(t *testing.T) {
		p, log := slowAt(t, pool.Config{})
		ctx := t.Context()
		require.NoError(t, p.InTx(ctx, pool.Immediate, doing("SELECT nap(1)")), "no longer than a second")
		require.NoError(t, p.InTx(ctx, pool.Immediate, doing("SELECT nap(1); SELECT nap(1)")), "each statement of a script counts by itself")
		require.Empty(t, log.slow())
	})
}

func TestWhatIsCountedIsOfTheRunThatWasSlow(t *testing.T) {
	byItself(t)
	synctest.Test(t, func(t *testing.T) {
		p, log := slowAt(t, pool.Config{})
		require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
			for _, seconds := range []int{0, 0, 0, 2} {
				if err := do(ctx, tx, "SELECT nap(?) FROM n ORDER BY v", seconds); err != nil {
					return err
				}
			}
			return nil
		}))
		require.Len(t, log.slow(), 1)
		require.Equal(t, "4", log.slow()[0].attrs["rows_scanned"])
		require.Equal(t, "1", log.slow()[0].attrs["sorts"])
	})
}

func TestNothingIsLoggedByDefaultHoweverLongItRuns(t *testing.T) {
	byItself(t)
	synctest.Test(t, func(t *testing.T) {
		log := new(logbook)
		p := open(t, pool.Config{Logger: slog.New(log)})
		require.NoError(t, p.InTx(t.Context(), pool.Deferred, doing("SELECT nap(?)", rounds.Of(60, 3600, 3600))))
		require.Empty(t, log.slow())
	})
}

func TestTheTimeOfWhoReadsTheRowsIsNotTheStatements(t *testing.T) {
	byItself(t)
	read := func(t *testing.T, p *pool.Pool, query string) {
		rows, err := p.Reader().Query(t.Context(), query)
		require.NoError(t, err)
		for rows.Next() {
			time.Sleep(time.Minute)
		}
		require.NoError(t, rows.Close())
	}
	synctest.Test(t, func(t *testing.T) {
		p, log := slowAt(t, pool.Config{})
		read(t, p, "SELECT id FROM n")
		require.Empty(t, log.slow())
		read(t, p, "SELECT nap(2) FROM n LIMIT 3")
		require.Len(t, log.slow(), 1)
		require.Equal(t, "6s", log.slow()[0].attrs["duration"], "all its rows, and nothing else")
	})
}

func TestWaitingIsNotTheStatementsTime(t *testing.T) {
	byItself(t)
	synctest.Test(t, func(t *testing.T) {
		p, log := slowAt(t, pool.Config{})
		gate, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		written := make(chan error)
		go func() {
			l, err := p.Acquire(t.Context())
			if err == nil {
				_, err = l.Exec(t.Context(), "UPDATE n SET v = 1")
				l.Release()
			}
			written <- err
		}()
		time.Sleep(30 * time.Second)
		require.Equal(t, 1, p.Stats().WriteQueue)
		require.NoError(t, gate.Commit(t.Context()))
		require.NoError(t, <-written)
		require.Empty(t, log.slow())
	})
}

func TestAStatementThatIsCancelledIsLoggedToo(t *testing.T) {
	byItself(t)
	synctest.Test(t, func(t *testing.T) {
		p, log := slowAt(t, pool.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.ErrorIs(t, p.InTx(ctx, pool.Deferred, doing("WITH RECURSIVE c(x) AS (SELECT nap(1) UNION ALL SELECT x + nap(1) FROM c) SELECT max(x) FROM c")), context.DeadlineExceeded)
		require.Len(t, log.slow(), 1)
		require.Equal(t, context.DeadlineExceeded.Error(), log.slow()[0].attrs["error"])
		require.Contains(t, log.slow()[0].attrs["plan"], "SCAN c")

		require.Error(t, p.InTx(t.Context(), pool.Immediate, doing("INSERT INTO n SELECT 1, nap(2)")))
		require.Len(t, log.slow(), 2)
		require.Contains(t, log.slow()[1].attrs["error"], "UNIQUE constraint failed")

		rows, err := p.Reader().Query(ctx, "SELECT 1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Nil(t, rows)
		require.Len(t, log.slow(), 2, "what never ran")
	})
}

func TestAPlanThatCannotBeHadSaysWhy(t *testing.T) {
	byItself(t)
	synctest.Test(t, func(t *testing.T) {
		p, log := slowAt(t, pool.Config{})
		err := p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
			rows, err := tx.Query(ctx, "SELECT v FROM n")
			if err != nil {
				return err
			}
			defer rows.Close()
			require.True(t, rows.Next())
			short, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			return doing("WITH RECURSIVE c(x) AS (SELECT nap(1) UNION ALL SELECT x + nap(1) FROM c) SELECT max(x) FROM c")(short, tx)
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Len(t, log.slow(), 1)
		plan := log.slow()[0].attrs["plan"]
		require.True(t, strings.HasPrefix(plan, "none: "), "SQLite stays interrupted while rows are open: %s", plan)
		require.Contains(t, plan, "interrupted")
	})
}

func TestOnlyWhatHasRowsIsAskedForItsPlan(t *testing.T) {
	log := new(logbook)
	p := open(t, pool.Config{SlowQuery: 1, Logger: slog.New(log)})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	has := map[string]bool{
		"SELECT 1": true, "WITH c AS (SELECT 1) SELECT * FROM c": true, "VALUES (1)": true,
		"REPLACE INTO n VALUES (1, 1)": true, "DELETE FROM n": true,
		"PRAGMA cache_size": false, "CREATE TABLE more (v)": false, "DROP TABLE more": false, "ANALYZE": false, "EXPLAIN SELECT 1": false,
	}
	for text := range has {
		if !strings.HasSuffix(text, "TABLE more (v)") && !strings.HasPrefix(text, "DROP") {
			require.NoError(t, do(t.Context(), l, text), text)
		}
	}
	require.NoError(t, do(t.Context(), l, "CREATE TABLE more (v); DROP TABLE more"))
	l.Release()
	asked := map[string]bool{}
	for _, e := range log.slow() {
		if _, known := has[e.attrs["sql"]]; known {
			_, asked[e.attrs["sql"]] = e.attrs["plan"]
			require.NotContains(t, e.attrs["plan"], "none: ")
		}
	}
	require.Equal(t, has, asked)
}

// TestAskingForPlansDisturbsNothing has every statement logged, and sees that
// the pool and SQLite tell what they tell without.
func TestAskingForPlansDisturbsNothing(t *testing.T) {
	for mode, cfg := range modes(t, pool.Config{MaxConns: 3}) {
		t.Run(mode, func(t *testing.T) {
			var told [2]string
			for i, limit := range []time.Duration{0, 1} {
				log := new(logbook)
				cfg.SlowQuery, cfg.Logger = limit, slog.New(log)
				if mode != "memory" {
					cfg.Path = t.TempDir() + "/app.db"
				}
				p, r := traced(t, cfg)
				told[i] = undisturbed(t, p, r)
				if limit == 0 {
					require.Empty(t, log.slow())
					continue
				}
				texts := log.texts()
				for _, text := range []string{
					"UPDATE n SET v = v + 1", "SELECT changes(), last_insert_rowid(), total_changes()", "INSERT INTO n VALUES (?, 7) RETURNING id",
					"SELECT v FROM n", "BEGIN IMMEDIATE", "COMMIT",
				} {
					require.Contains(t, texts, text)
				}
				require.NotContains(t, texts, "ROLLBACK", "it is nobody's statement")
			}
			require.Equal(t, told[0], told[1])
		})
	}
}

// undisturbed does a bit of everything, and returns what could be seen of it.
func undisturbed(t *testing.T, p *pool.Pool, r *recorder) string {
	var b strings.Builder
	changes, stop := context.WithCancel(t.Context())
	defer stop()
	feed := p.Changes(changes)
	ctx := t.Context()
	counters := func(q pool.Querier) {
		var changed, id, total int
		require.NoError(t, q.QueryRow(ctx, "SELECT changes(), last_insert_rowid(), total_changes()").Scan(&changed, &id, &total))
		fmt.Fprintln(&b, changed, id, total)
	}
	require.NoError(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		for i := range 3 {
			rows, err := tx.Query(ctx, "INSERT INTO n VALUES (?, 7) RETURNING id", 10+i)
			if err != nil {
				return err
			}
			counters(tx) // while the rows are open
			for rows.Next() {
				fmt.Fprintln(&b, rows.Scan(new(int)))
			}
			if err := rows.Close(); err != nil {
				return err
			}
			counters(tx)
			if err := do(ctx, tx, "UPDATE n SET v = v + 1"); err != nil {
				return err
			}
			counters(tx)
			if err := do(ctx, tx, "INSERT INTO n VALUES (1, 1)"); err == nil {
				return io.ErrUnexpectedEOF
			}
			counters(tx)
		}
		return tx.Savepoint(ctx, doing("DELETE FROM n WHERE id = 12"))
	}))
	require.ErrorIs(t, p.InTx(ctx, pool.Immediate, func(context.Context, *pool.Tx) error { return errOurs }), errOurs)
	rows, err := p.Reader().Query(ctx, "SELECT v FROM n")
	require.NoError(t, err)
	for rows.Next() {
		var v int
		require.NoError(t, rows.Scan(&v))
		fmt.Fprintln(&b, v)
	}
	require.NoError(t, rows.Close())
	_, err = p.Writer().Exec(ctx, "UPDATE n SET v = 0 WHERE id = 1")
	require.NoError(t, err)
	for change, err := range feed {
		require.NoError(t, err)
		fmt.Fprintln(&b, change.Tables, change.Schema)
		break
	}
	s := p.Stats()
	s.WALBytes, s.AcquireWait, s.WriteWait = 0, 0, 0
	fmt.Fprintf(&b, "%+v\n%s\n", s, r.tree())
	r.requireWhole(t)
	return b.String()
}

func TestANegativeSlowQueryIsRefused(t *testing.T) {
	require.ErrorContains(t, pool.Config{Path: "app.db", SlowQuery: -1}.Validate(), "SlowQuery")
	cfg, err := pool.ParseConfig("file:app.db?slow_query=200ms")
	require.NoError(t, err)
	require.Equal(t, 200*time.Millisecond, cfg.SlowQuery)
	_, err = pool.ParseConfig("file:app.db?slow_query=-1")
	require.ErrorIs(t, err, pool.ErrConfig)
}
