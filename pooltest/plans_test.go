package pooltest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
)

// planned is a database for plans.
func planned(t testing.TB) *pool.Pool {
	p := pooltest.New(t)
	for _, query := range strings.Split(`CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT UNIQUE, size INTEGER, up INTEGER);
		CREATE INDEX sizes ON files (size);
		CREATE TABLE tags (file INTEGER, tag TEXT);
		CREATE TABLE "two words" (a);
		CREATE VIEW large AS SELECT f.* FROM files AS f WHERE f.up > 1;
		CREATE VIRTUAL TABLE words USING fts5 (text)`, ";") {
		exec1(t, p, query)
	}
	return p
}

func TestAScanIsFoundWhereverItIs(t *testing.T) {
	p := planned(t)
	for query, line := range map[string]string{
		"SELECT * FROM files":                                            "SCAN files",
		"SELECT * FROM files AS f WHERE up = ?":                          "SCAN f",
		"SELECT * FROM files f WHERE f.up = ?":                           "SCAN f",
		"SELECT * FROM main.files WHERE up = ?":                          "SCAN main.files",
		`SELECT * FROM "two words"`:                                      "SCAN two words",
		`SELECT * FROM "two words" AS w`:                                 "SCAN w",
		"SELECT * FROM [files] AS [a b]":                                 "SCAN a b",
		"SELECT path FROM files ORDER BY path":                           "SCAN files USING COVERING INDEX",
		"SELECT * FROM files ORDER BY size LIMIT ?":                      "SCAN files USING INDEX sizes",
		"SELECT count(*) FROM files":                                     "SCAN files USING COVERING INDEX",
		"SELECT * FROM files LEFT JOIN tags ON tag > path":               "SCAN tags LEFT-JOIN",
		"SELECT * FROM large":                                            "SCAN f",
		"UPDATE files SET size = 1 WHERE up = ?":                         "SCAN files",
		"DELETE FROM files WHERE up = ?":                                 "SCAN files",
		"INSERT INTO tags SELECT id, path FROM files WHERE up = ?1":      "SCAN files",
		"WITH a AS (SELECT * FROM files WHERE up = :up) SELECT * FROM a": "SCAN files",
		"SELECT * FROM words":                                            "SCAN words VIRTUAL TABLE INDEX 0:",
		"SELECT * FROM sqlite_schema":                                    "SCAN sqlite_schema",
		"SELECT * FROM files WHERE EXISTS (SELECT 1 FROM tags WHERE tag > path AND file = 7) AND id = 1": "SCAN tags",
	} {
		t.Run(query, func(t *testing.T) {
			says := run(t, func(t testing.TB) {
				pooltest.Plans(t, p, []pool.Statement{{Name: "Query", SQL: query}}, pooltest.NoScan)
			})
			require.Contains(t, says, `"`+line)
			require.Contains(t, says, "Query reads all of ")
			require.Contains(t, says, `pooltest.Waive("Query", why)`)
		})
	}
}

func TestWhatIsNoScanOfATableIsNotFound(t *testing.T) {
	p := planned(t)
	for _, query := range []string{
		"SELECT * FROM files WHERE id = ?",
		"SELECT * FROM files WHERE path = ? AND size > ?",
		"SELECT 1",
		"VALUES (1), (2)",
		"SELECT * FROM (VALUES (1), (2)) AS v",
		"SELECT max(size) FROM files",
		"SELECT * FROM files WHERE id IN (SELECT value FROM json_each(?))",
		"SELECT * FROM words WHERE words MATCH ?",
		"INSERT INTO files (path) VALUES (?) RETURNING *",
		"INSERT INTO files (path) SELECT value FROM json_each(?1)",
		"DELETE FROM files", // which empties the table without looking at it
		"WITH RECURSIVE above (id, up) AS (SELECT id, up FROM files WHERE id = ? UNION ALL SELECT f.id, f.up FROM files AS f JOIN above ON f.id = above.up) SELECT * FROM above",
		"WITH RECURSIVE above AS (SELECT id, up FROM files WHERE id = ? UNION ALL SELECT f.id, f.up FROM above AS a JOIN files AS f ON f.id = a.up) SELECT * FROM above AS b",
		"WITH files AS MATERIALIZED (SELECT 1 AS a) SELECT * FROM files",
		"WITH one AS NOT MATERIALIZED (SELECT 1 AS a LIMIT 1), files (a) AS (SELECT a FROM one UNION SELECT 2) SELECT * FROM files AS f",
		"SELECT * FROM (SELECT id FROM files WHERE size = ? LIMIT 3) AS part",
		"SELECT * FROM (SELECT id FROM files WHERE size = ? LIMIT 3)",
		"SELECT count(*) FROM (SELECT id FROM files WHERE size = ? LIMIT 3) AS files",
		"SELECT * FROM json_each(?) AS j LEFT JOIN (SELECT id, up FROM files WHERE size = ? LIMIT 3) AS files ON files.up > j.value",
		"SELECT * FROM files WHERE id IN (/*SLICE:ids*/?)",
		"SELECT * FROM files AS f JOIN (SELECT value % 7 AS v FROM json_each(?) LIMIT 100) AS j ON j.v = f.up + 1 WHERE f.id BETWEEN 1 AND 1000",
		"SELECT * FROM files WHERE path = @path OR size = $size",
	} {
		t.Run(query, func(t *testing.T) {
			passes(t, func(t testing.TB) {
				pooltest.Plans(t, p, []pool.Statement{{Name: "Query", SQL: query}}, pooltest.NoScan)
			})
		})
	}
}

func TestAnIndexThatSQLiteMakesForItselfIsFound(t *testing.T) {
	says := run(t, func(t testing.TB) {
		pooltest.Plans(t, planned(t), []pool.Statement{{Name: "Join", SQL: "SELECT * FROM tags AS a JOIN tags AS b ON a.tag = b.tag"}}, pooltest.NoScan)
	})
	require.Contains(t, says, "Join reads all of a")
	require.Contains(t, says, "Join makes an index of b each time")
}

func TestATemporaryIndexIsFound(t *testing.T) {
	p := planned(t)
	for query, found := range map[string]bool{
		"SELECT * FROM files ORDER BY up":                               true,
		"SELECT up, count(*) FROM files GROUP BY up":                    true,
		"SELECT DISTINCT up FROM files":                                 true,
		"SELECT * FROM files ORDER BY size, up":                         true,
		"SELECT path FROM files UNION SELECT tag FROM tags":             true,
		"SELECT * FROM files ORDER BY size":                             false,
		"SELECT * FROM files WHERE size = ? ORDER BY id":                false,
		"SELECT path FROM files UNION ALL SELECT tag FROM tags LIMIT 1": false,
	} {
		t.Run(query, func(t *testing.T) {
			says := run(t, func(t testing.TB) {
				pooltest.Plans(t, p, []pool.Statement{{Name: "Query", SQL: query}}, pooltest.NoTempBTree)
			})
			require.Equal(t, found, strings.Contains(says, "Query sorts by a temporary index"), says)
			require.Equal(t, found, says != "", says)
		})
	}
}

func TestEachRuleIsAskedOfEachStatement(t *testing.T) {
	p := planned(t)
	statements := []pool.Statement{{Name: "Both", SQL: "SELECT * FROM files ORDER BY up"}, {Name: "Good", SQL: "SELECT * FROM files WHERE id = ?"}, {Name: "Scans", SQL: "SELECT * FROM files"}}
	says := run(t, func(t testing.TB) { pooltest.Plans(t, p, statements, pooltest.NoScan, pooltest.NoTempBTree) })
	for i, found := range []string{"Both reads all of files", "Both sorts", "Scans reads all of files"} {
		require.Contains(t, strings.Split(says, "\n")[i], found)
	}
	require.NotContains(t, says, "Good")
	statements = append(statements, pool.Statement{Name: "Good", SQL: "SELECT * FROM files AS other"})
	require.Contains(t, run(t, func(t testing.TB) { pooltest.Plans(t, p, statements, pooltest.NoScan) }), "Good reads all of other", "two of one name")
	statements = statements[:3]
	passes(t, func(t testing.TB) { pooltest.Plans(t, p, statements) })
	passes(t, func(t testing.TB) {
		pooltest.Plans(t, p, statements, pooltest.NoScan, pooltest.Waive("Both", "is rare"), pooltest.NoTempBTree, pooltest.Waive("Scans", "is asked for all"))
	})
}

func TestAWaiverThatIsNotNeededFailsTheTest(t *testing.T) {
	p := planned(t)
	statements := []pool.Statement{{Name: "Good", SQL: "SELECT * FROM files WHERE id = ?"}}
	for name, says := range map[string]string{"Good": `Waive("Good", "for fun") is not needed`, "Gone": `Waive("Gone", "for fun") names no statement`} {
		require.Contains(t, run(t, func(t testing.TB) {
			pooltest.Plans(t, p, statements, pooltest.NoScan, pooltest.Waive(name, "for fun"))
		}), says)
	}
}

func TestPlansThatLookAtNothingFailTheTest(t *testing.T) {
	p := planned(t)
	require.Equal(t, "pooltest: Plans: there are no statements to look at; pass the repository's Statements()",
		run(t, func(t testing.TB) { pooltest.Plans(t, p, nil, pooltest.NoScan) }))
}

func TestAWaiverWithoutANameOrAReasonFailsTheTest(t *testing.T) {
	p := planned(t)
	statements := []pool.Statement{{Name: "Scans", SQL: "SELECT * FROM files"}, {SQL: "SELECT * FROM files"}}
	for _, reason := range []string{"", " "} {
		says := run(t, func(t testing.TB) {
			pooltest.Plans(t, p, statements[:1], pooltest.NoScan, pooltest.Waive("Scans", reason))
		})
		require.Contains(t, says, `Waive("Scans", "`+reason+`") gives no reason; say why Scans may break the rules`)
	}
	says := run(t, func(t testing.TB) {
		pooltest.Plans(t, p, statements, pooltest.NoScan, pooltest.Waive("Scans", "is asked for all"), pooltest.Waive("", "has no name"))
	})
	require.Equal(t, `pooltest: Waive("", "has no name") names no statement: the name is empty`, says)
}

func TestAStatementThatCannotBePreparedFailsTheTest(t *testing.T) {
	says := run(t, func(t testing.TB) {
		pooltest.Plans(t, planned(t), []pool.Statement{{Name: "Wrong", SQL: "SELECT * FROM nowhere"}, {Name: "Scans", SQL: "SELECT * FROM files"}}, pooltest.NoScan)
	})
	require.Contains(t, says, "Wrong has no plan: ")
	require.Contains(t, says, "no such table: nowhere")
	require.Contains(t, says, "Scans reads all of files", "others are looked at all the same")
}

func TestPlansOfAPoolThatIsClosedFailTheTest(t *testing.T) {
	says := run(t, func(t testing.TB) {
		p := planned(t)
		require.NoError(t, p.Close())
		pooltest.Plans(t, p, nil)
	})
	require.Contains(t, says, "Plans")
	require.Contains(t, says, "pool is closed")
}

func TestPlansAreLookedAtInAnyPool(t *testing.T) {
	p := pooltest.New(t, pooltest.Migrations(notes), pooltest.File())
	require.NoError(t, p.Close())
	pooltest.Plans(t, pooltest.New(t, pooltest.Migrations(notes), pooltest.File(), pooltest.Config(func(c *pool.Config) { c.MaxConns = 1 })),
		[]pool.Statement{{Name: "One", SQL: "SELECT * FROM notes WHERE text = ?", Reads: true}}, pooltest.NoScan, pooltest.NoTempBTree)
}
