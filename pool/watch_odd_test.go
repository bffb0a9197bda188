package pool_test

import (
	"context"
	"database/sql/driver"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

const oddTables = `
CREATE TABLE w (id INTEGER PRIMARY KEY, v UNIQUE);
CREATE TABLE k (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE ignored (v);
CREATE TABLE final (v);
CREATE TABLE bound (p REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE TRIGGER ignores BEFORE INSERT ON ignored BEGIN INSERT INTO w (v) VALUES (new.v); SELECT raise(IGNORE); END;
CREATE TRIGGER deleted AFTER DELETE ON k BEGIN INSERT INTO w (v) VALUES ('was ' || old.k); END;
CREATE VIEW seen AS SELECT v FROM w;
CREATE TRIGGER nowhere INSTEAD OF INSERT ON seen BEGIN SELECT 1; END;
INSERT INTO w VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO k VALUES ('a', 1), ('b', 2);
`

// TestWhoWatchesATableIsWokenIfAndOnlyIfItsRowsChanged has each change, and what looks
// like one, followed by one of another table: what comes before that in the feed is
// what it has told.
func TestWhoWatchesATableIsWokenIfAndOnlyIfItsRowsChanged(t *testing.T) {
	soonBesideOthers(t)
	const rows = "SELECT ifnull(group_concat(id || v), '') || (SELECT ifnull(group_concat(k || v), '') FROM k) FROM w"
	onDB := func(texts ...string) func(*testing.T, *pool.Pool) {
		return func(t *testing.T, p *pool.Pool) {
			c, err := p.DB().Conn(t.Context())
			require.NoError(t, err)
			for _, text := range texts {
				_, _ = c.ExecContext(t.Context(), text) // some are to fail
			}
			require.NoError(t, c.Close())
		}
	}
	partly := func(query func(p *pool.Pool, ctx context.Context, text string) (pool.Rows, error), read int) func(*testing.T, *pool.Pool) {
		return func(t *testing.T, p *pool.Pool) {
			found, err := query(p, t.Context(), "INSERT INTO w (v) VALUES ('x'), ('y') RETURNING id")
			require.NoError(t, err)
			for range read {
				require.True(t, found.Next())
			}
			require.NoError(t, found.Close())
		}
	}
	ends := func(commit func(ctx context.Context, p *pool.Pool, fn func(context.Context, *pool.Tx) error) error) func(*testing.T, *pool.Pool) {
		return func(t *testing.T, p *pool.Pool) {
			ctx, cancel := context.WithCancel(t.Context())
			_ = commit(ctx, p, func(ctx context.Context, tx *pool.Tx) error {
				defer cancel()
				return do(ctx, tx, "INSERT INTO w (v) VALUES ('x')")
			})
		}
	}
	kinds := map[string]func(t *testing.T, p *pool.Pool){
		"rows are read in part, of Writer": partly(func(p *pool.Pool, ctx context.Context, text string) (pool.Rows, error) {
			return p.Writer().Query(ctx, text)
		}, 1),
		"rows are not read, of Writer": partly(func(p *pool.Pool, ctx context.Context, text string) (pool.Rows, error) {
			return p.Writer().Query(ctx, text)
		}, 0),
		"rows are read in part, of DB": partly(func(p *pool.Pool, ctx context.Context, text string) (pool.Rows, error) {
			found, err := p.DB().QueryContext(ctx, text)
			return found, err
		}, 1),
		"rows are not read, of DB": partly(func(p *pool.Pool, ctx context.Context, text string) (pool.Rows, error) {
			found, err := p.DB().QueryContext(ctx, text)
			return found, err
		}, 0),
		"rows are open when the lease ends": func(t *testing.T, p *pool.Pool) {
			l := acquire(t, p)
			found, err := l.Query(t.Context(), "INSERT INTO w (v) VALUES ('x'), ('y') RETURNING id")
			require.NoError(t, err)
			require.True(t, found.Next())
			l.Release()
			_ = found.Close()
		},
		"rows are open when the context ends": func(t *testing.T, p *pool.Pool) {
			l := acquire(t, p)
			defer l.Release()
			ctx, cancel := context.WithCancel(t.Context())
			found, err := l.Query(ctx, "INSERT INTO w (v) VALUES ('x'), ('y') RETURNING id")
			require.NoError(t, err)
			require.True(t, found.Next())
			cancel()
			require.False(t, found.Next())
			_ = found.Close()
		},
		"rows are open when the transaction ends": func(t *testing.T, p *pool.Pool) {
			require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
				found, err := tx.Query(ctx, "INSERT INTO w (v) VALUES ('x'), ('y') RETURNING id")
				require.NoError(t, err)
				require.True(t, found.Next())
				return nil
			}))
		},
		"other rows are open on the lease": func(t *testing.T, p *pool.Pool) {
			l := acquire(t, p)
			defer l.Release()
			found, err := l.Query(t.Context(), "SELECT id FROM k, w")
			require.NoError(t, err)
			require.True(t, found.Next())
			require.NoError(t, do(t.Context(), l, "INSERT INTO w (v) VALUES ('x')"))
			require.NoError(t, found.Close())
		},
		"the context ends before InTx commits": ends(func(ctx context.Context, p *pool.Pool, fn func(context.Context, *pool.Tx) error) error {
			return p.InTx(ctx, pool.Immediate, fn)
		}),
		"the context ends before Batch commits": ends(func(ctx context.Context, p *pool.Pool, fn func(context.Context, *pool.Tx) error) error {
			return p.Batch(ctx, fn)
		}),
		"the context ends before a Tx of DB commits": func(t *testing.T, p *pool.Pool) {
			ctx, cancel := context.WithCancel(t.Context())
			tx, err := p.DB().BeginTx(ctx, nil)
			require.NoError(t, err)
			_, err = tx.Exec("INSERT INTO w (v) VALUES ('x')")
			require.NoError(t, err)
			cancel()
			_ = tx.Commit()
		},
		"a COMMIT fails and is mended":  onDB("BEGIN", "INSERT INTO w (v) VALUES ('x')", "INSERT INTO bound VALUES (9)", "COMMIT", "DELETE FROM bound", "COMMIT"),
		"a COMMIT fails for good":       onDB("BEGIN", "INSERT INTO w (v) VALUES ('x')", "INSERT INTO bound VALUES (9)", "COMMIT"),
		"a text loses its transaction":  onDB("BEGIN", "INSERT INTO w (v) VALUES ('x')", "INSERT OR ROLLBACK INTO w VALUES (1, 'q')", "INSERT INTO w (v) VALUES ('alone')"),
		"savepoints' COMMIT":            onDB("SAVEPOINT a; INSERT INTO w (v) VALUES ('x'); SAVEPOINT b; COMMIT"),
		"savepoints of one name":        onDB("SAVEPOINT a; INSERT INTO w (v) VALUES ('x'); SAVEPOINT a; INSERT INTO w (v) VALUES ('y'); ROLLBACK TO a; RELEASE a; RELEASE a"),
		"a savepoint that is taken off": onDB("SAVEPOINT a; INSERT INTO w (v) VALUES ('x'); ROLLBACK TO a; RELEASE a"),
	}
	for _, text := range []string{
		"BEGIN; INSERT INTO w (v) VALUES ('x'); COMMIT",
		"BEGIN; INSERT INTO w (v) VALUES ('x'); ROLLBACK",
		"INSERT INTO ignored VALUES ('x')",
		"REPLACE INTO w VALUES (9, 'a')",
		"REPLACE INTO k VALUES ('a', 9)",
		"INSERT INTO w VALUES (1, 'z') ON CONFLICT DO NOTHING",
		"INSERT INTO w VALUES (1, 'z') ON CONFLICT (id) DO UPDATE SET v = 'z' WHERE 0",
		"INSERT INTO w VALUES (1, 'z') ON CONFLICT (id) DO UPDATE SET v = 'z'",
		"UPDATE OR IGNORE w SET v = 'b' WHERE id = 1",
		"UPDATE OR REPLACE w SET v = 'b' WHERE id = 1",
		"UPDATE w SET v = s.v FROM (SELECT k AS v FROM k WHERE 0) AS s",
		"INSERT INTO w SELECT 8, 8 WHERE 0",
		"INSERT INTO seen VALUES (1)",
		"DELETE FROM w",
		"DELETE FROM k",
		"CREATE TEMP TABLE t (a); CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO main.w (v) VALUES (new.a); END; INSERT INTO t VALUES ('x')",
		"CREATE TEMP TABLE w (id, v); INSERT INTO w VALUES (1, 2)",
		"INSERT INTO w (v) VALUES ('x'); INSERT INTO w (v) VALUES ('x'); INSERT INTO w (v) VALUES ('y')",
		"INSERT OR ROLLBACK INTO w VALUES (20, 'x'), (1, 'y')",
		"INSERT OR FAIL INTO w VALUES (20, 'x'), (1, 'y')",
	} {
		kinds[text] = onDB(text)
	}
	for kind, write := range kinds {
		t.Run(kind, func(t *testing.T) {
			everywhere(t, pool.Config{WatchInterval: -1}, func(t *testing.T, p *pool.Pool) {
				run(t, p, oddTables)
				look := func() (all string) {
					require.NoError(t, p.Reader().QueryRow(t.Context(), rows).Scan(&all))
					return all
				}
				w := watching(t, p, rows)
				before := w.next()
				feed := p.Changes(t.Context())
				write(t, p)
				after := look()
				run(t, p, "INSERT INTO final VALUES (1)")
				var told []string
				for change, err := range feed {
					require.NoError(t, err)
					require.False(t, change.Schema || change.External)
					if told = append(told, change.Tables...); slices.Contains(told, "final") {
						break
					}
				}
				require.Equal(t, before != after, slices.Contains(told, "w") || slices.Contains(told, "k"), "%s, then %s", before, after)
				if before != after {
					w.until(after)
				}
			})
		})
	}
}

func TestWhoReadsTheSequenceOfATableIsWokenByItsInserts(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, v)")
		w := watching(t, p, "SELECT ifnull(max(seq), 0) FROM SQLite_Sequence WHERE name = 'numbered'")
		w.expect("0")
		run(t, p, "INSERT INTO numbered (v) VALUES ('x')")
		w.expect("1")
		run(t, p, "UPDATE sqlite_sequence SET seq = 8")
		w.expect("8")
	})
}

func TestWhatTheRawConnectionWritesToAnAttachedDatabaseConcernsEverybody(t *testing.T) {
	second := filepath.Join(t.TempDir(), "second.db")
	p := open(t, pool.Config{WatchInterval: -1, OnConnect: func(ctx context.Context, l *pool.Lease) error {
		_, err := l.Exec(ctx, "ATTACH ? AS second", second)
		return err
	}})
	run(t, p, "CREATE TABLE second.there (a)")
	w := watching(t, p, "SELECT count(*) FROM there")
	w.expect("0")
	l := acquire(t, p)
	defer l.Release()
	require.NoError(t, l.Raw(t.Context(), func(conn driver.Conn) error {
		_, err := conn.(driver.ExecerContext).ExecContext(t.Context(), "INSERT INTO second.there VALUES (1)", nil)
		return err
	}))
	w.expect("1")
}
