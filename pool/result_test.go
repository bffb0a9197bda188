package pool_test

import (
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAResultIsThatOfItsOwnStatement(t *testing.T) {
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		perform(t, on, `
			CREATE TABLE log (id INTEGER PRIMARY KEY, what);
			CREATE TABLE logged (id INTEGER PRIMARY KEY, v UNIQUE);
			CREATE TRIGGER logs AFTER INSERT ON logged BEGIN INSERT INTO log VALUES (new.id + 1000, 'insert'); END;
			CREATE TABLE keyed (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
			CREATE VIEW seen AS SELECT id, v FROM logged;
			CREATE TRIGGER sees INSTEAD OF INSERT ON seen BEGIN INSERT INTO log (what) VALUES (new.v); END;
			CREATE TABLE other (id INTEGER PRIMARY KEY, v);
			CREATE TABLE defaulted (id INTEGER PRIMARY KEY, before DEFAULT (last_insert_rowid()));
			CREATE TABLE asking (id INTEGER PRIMARY KEY, v);
			CREATE TRIGGER asks AFTER INSERT ON asking BEGIN UPDATE asking SET v = last_insert_rowid() WHERE id = new.id; END;
			INSERT INTO n VALUES (41, 0)`)
		for _, c := range []struct {
			query          string
			id, rows, last int64 // last is SQL's last_insert_rowid() afterwards
		}{
			{"INSERT INTO n VALUES (7, 1)", 7, 1, 7},
			{"INSERT INTO n VALUES (8, 1), (9, 1)", 9, 2, 9},
			{"INSERT OR IGNORE INTO n VALUES (9, 0)", 0, 0, 9},
			{"INSERT INTO n VALUES (9, 0) ON CONFLICT DO NOTHING", 0, 0, 9},
			{"INSERT INTO n VALUES (8, 5) ON CONFLICT DO UPDATE SET v = excluded.v", 0, 1, 9},
			{"INSERT INTO n VALUES (10, 5) ON CONFLICT DO UPDATE SET v = excluded.v", 10, 1, 10},
			{"INSERT OR IGNORE INTO n VALUES (10, 0), (11, 0), (9, 0)", 11, 1, 11},
			{"INSERT INTO n SELECT 12, 0 WHERE 0", 0, 0, 11},
			{"INSERT OR REPLACE INTO n VALUES (8, 6)", 8, 1, 8},
			{"REPLACE INTO n VALUES (8, 7)", 8, 1, 8},
			{"INSERT INTO n VALUES (12, 0) RETURNING id", 12, 1, 12},
			{"WITH a(x) AS (SELECT 13) INSERT INTO n SELECT x, 0 FROM a", 13, 1, 13},
			{"WITH a AS (SELECT 13), b(y) AS NOT MATERIALIZED (SELECT 1) UPDATE n SET v = 1 WHERE id IN (SELECT * FROM a)", 0, 1, 13},
			{"/* first */ insert /* then */ into n values (14, 0) -- last", 14, 1, 14},
			{"UPDATE n SET v = 2 WHERE id > 12", 0, 3, 14},
			{"UPDATE n SET v = 2 WHERE 0", 0, 0, 14},
			{"DELETE FROM n WHERE id = 8 RETURNING id", 0, 1, 14},
			{"DELETE FROM n WHERE id = 8", 0, 0, 14},
			{"SELECT * FROM n", 0, 0, 14},
			{"WITH a AS (SELECT 1) SELECT * FROM a", 0, 0, 14},
			{"VALUES (1)", 0, 0, 14},
			{"PRAGMA user_version = 3", 0, 0, 14},
			{"PRAGMA table_info(n)", 0, 0, 14},
			{"EXPLAIN INSERT INTO n VALUES (1, 1)", 0, 0, 14},
			{"CREATE TABLE made AS SELECT * FROM n", 0, 0, 14},
			{"CREATE INDEX made_v ON made (v)", 0, 0, 14},
			{"ALTER TABLE made RENAME TO remade", 0, 0, 14},
			{"DROP TABLE remade", 0, 0, 14},
			{"ANALYZE", 0, 0, 14},
			{"", 0, 0, 14},
			{"INSERT INTO other VALUES (14, 0)", 14, 1, 14}, // the same rowid again
			{"INSERT INTO other VALUES (0, 0)", 0, 1, 0},
			{"INSERT INTO n VALUES (-3, 0)", -3, 1, -3},
			{"INSERT INTO other VALUES (-3, 0)", -3, 1, -3},
			{"INSERT INTO n VALUES (9223372036854775807, 0)", 9223372036854775807, 1, 9223372036854775807},
			{"INSERT INTO n VALUES (-9223372036854775808, 0)", -9223372036854775808, 1, -9223372036854775808},
			{"INSERT INTO keyed VALUES ('a', 1)", 0, 1, -9223372036854775808},
			{"INSERT INTO logged VALUES (5, 'a')", 5, 1, 5}, // and the trigger 1005
			{"INSERT INTO logged VALUES (6, 'a') ON CONFLICT DO NOTHING", 0, 0, 5},
			{"INSERT INTO seen VALUES (6, 'b')", 0, 0, 5},
			{"INSERT INTO n VALUES (30, 0); UPDATE n SET v = 3 WHERE id IN (7, 9)", 30, 2, 30}, // a script's last row, and its last statement's count
			{"INSERT INTO n VALUES (31, 0); SELECT 1", 31, 0, 31},
			{"UPDATE n SET v = 3; CREATE TABLE made (v)", 0, 0, 31},
			{"INSERT INTO other (v) VALUES (last_insert_rowid())", 15, 1, 15},
			{"INSERT INTO asking VALUES (15, 0)", 15, 1, 15},
			{"INSERT OR IGNORE INTO asking VALUES (15, last_insert_rowid())", 0, 0, 15},
			{"INSERT INTO asking VALUES (15, 0) ON CONFLICT DO UPDATE SET v = 1", 0, 1, 15},
			{"INSERT INTO defaulted (id) VALUES (20)", 20, 1, 20},
		} {
			res, err := on.ExecContext(t.Context(), c.query)
			require.NoError(t, err, c.query)
			id, err := res.LastInsertId()
			require.NoError(t, err)
			require.Equal(t, c.id, id, c.query)
			rows, err := res.RowsAffected()
			require.NoError(t, err)
			require.Equal(t, c.rows, rows, c.query)
			if _, pinned := on.(*pool.Lease); pinned {
				require.Equal(t, c.last, value(t, on, "SELECT last_insert_rowid()"), c.query)
			}
		}
		if _, pinned := on.(*pool.Lease); pinned {
			require.EqualValues(t, 31, value(t, on, "SELECT v FROM other WHERE id = 15"))
			require.EqualValues(t, 15, value(t, on, "SELECT before FROM defaulted"))
		}
	})
}

func TestAFailedInsertLeavesTheLastRowidAsSQLiteDoes(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	perform(t, l, "INSERT INTO n VALUES (50, 0)")
	require.Equal(t, dberr.ErrDuplicate, dberr.Kind(do(t.Context(), l, "INSERT INTO n VALUES (50, 0)")))
	require.EqualValues(t, 50, value(t, l, "SELECT last_insert_rowid()"))
	require.Equal(t, dberr.ErrDuplicate, dberr.Kind(do(t.Context(), l, "INSERT OR FAIL INTO n VALUES (51, 0), (50, 0)")))
	require.EqualValues(t, 51, value(t, l, "SELECT last_insert_rowid()"))
	require.Error(t, do(t.Context(), l, "INSERT INTO child VALUES (1, 2)"), "its foreign key is checked at the end")
	require.EqualValues(t, 1, value(t, l, "SELECT last_insert_rowid()"))
}

func TestAVirtualTablesRowidIsTold(t *testing.T) {
	p := open(t, pool.Config{})
	for _, c := range []struct {
		query    string
		id, rows int64
	}{
		{"CREATE VIRTUAL TABLE words USING fts5(word)", 0, 0},
		{"INSERT INTO words (rowid, word) VALUES (20, 'a')", 20, 1},
		{"INSERT INTO words (rowid, word) SELECT 21, 'b' WHERE 0", 0, 0},
		{"UPDATE words SET word = 'c'", 0, 1},
		{"DELETE FROM words", 0, 1},
	} {
		res, err := p.Writer().ExecContext(t.Context(), c.query)
		require.NoError(t, err)
		id, err := res.LastInsertId()
		require.NoError(t, err)
		require.Equal(t, c.id, id, c.query)
		rows, err := res.RowsAffected()
		require.NoError(t, err)
		require.Equal(t, c.rows, rows, c.query)
	}
}

func TestAResultIsItsOwnHoweverOftenTheStatementRuns(t *testing.T) {
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		perform(t, on, "CREATE TABLE a (id INTEGER PRIMARY KEY, v); CREATE TABLE b (id INTEGER PRIMARY KEY, v); CREATE TABLE keyed (k PRIMARY KEY) WITHOUT ROWID")
		did := func(query string, arg int64) [2]int64 {
			res, err := on.ExecContext(t.Context(), query, arg)
			require.NoError(t, err, query)
			id, err := res.LastInsertId()
			require.NoError(t, err)
			rows, err := res.RowsAffected()
			require.NoError(t, err)
			return [2]int64{id, rows}
		}
		for n := int64(1); n <= 4; n++ {
			require.Equal(t, [2]int64{n, 1}, did("INSERT INTO a VALUES (?, 0)", n))
			require.Equal(t, [2]int64{n, 1}, did("INSERT INTO b VALUES (?, 0)", n), "the same rowid")
			require.Equal(t, [2]int64{0, 0}, did("INSERT OR IGNORE INTO b VALUES (?, 0)", n))
			require.Equal(t, [2]int64{n, 1}, did("INSERT OR REPLACE INTO b VALUES (?, 0)", n))
			require.Equal(t, [2]int64{0, 1}, did("INSERT INTO b VALUES (?, 0) ON CONFLICT DO UPDATE SET v = 1", n))
			require.Equal(t, [2]int64{n + 10, 1}, did("INSERT OR IGNORE INTO a VALUES (?, 0)", n+10))
			require.Equal(t, [2]int64{n + 10, 1}, did("INSERT INTO b VALUES (?, 0) ON CONFLICT DO UPDATE SET v = 1", n+10), "the same rowid")
			require.Equal(t, [2]int64{0, 1}, did("INSERT INTO keyed VALUES (?)", n))
			require.Equal(t, [2]int64{0, 0}, did("INSERT INTO b SELECT id, 0 FROM a WHERE id = ? + 100", n))
		}
	})
}
