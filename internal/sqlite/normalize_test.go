package sqlite_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
)

func TestAStatementIsOneLineWithoutItsValues(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1":                                                     "SELECT ?",
		"SELECT  a,\n\tb -- why\nFROM t /* x */":                       "SELECT a, b FROM t",
		"SELECT 'it''s', x'00ff', X'aa', \"text\"":                     `SELECT ?, …, "?"`,
		`SELECT "a"."b", t."c" FROM "t" AS "u"`:                        `SELECT "a"."b", t."c" FROM "t" AS "u"`,
		`SELECT a IS DISTINCT FROM "text"`:                             `SELECT a IS DISTINCT FROM "?"`,
		`SELECT DISTINCT a FROM "t"`:                                   `SELECT DISTINCT a FROM "t"`,
		`UPDATE "t" SET v = "text" WHERE w = 2`:                        `UPDATE "t" SET v = "?" WHERE w = ?`,
		`VACUUM INTO "file"`:                                           `VACUUM INTO "?"`,
		`ATTACH "file" AS "there"`:                                     `ATTACH "?" AS "there"`,
		"SELECT `a`, [b c] FROM t":                                     "SELECT `a`, [b c] FROM t",
		"SELECT 1.5e-3 + .5 - 0xFF + 1_000":                            "SELECT ? + ? - ? + ?",
		"SELECT t1.c2 FROM t1":                                         "SELECT t1.c2 FROM t1",
		"SELECT ?, ?2, :n, @o, $p":                                     "SELECT ?, …, :n, @o, $p",
		"SELECT a FROM t WHERE b IN (1, 2 ,3)":                         "SELECT a FROM t WHERE b IN (?, …)",
		"SELECT 1, a, 2, 3, b":                                         "SELECT ?, a, ?, …, b",
		"INSERT INTO t VALUES (1, 'a'),(2, 'b'), (3,'c') RETURNING id": "INSERT INTO t VALUES (?, …), … RETURNING id",
		"INSERT INTO t VALUES (?), (?)":                                "INSERT INTO t VALUES (?), …",
		"SELECT 'unfinished":                                           "SELECT ?",
		"":                                                             "",
	} {
		require.Equal(t, want, sqlite.Normalize(text, 1000), text)
	}
}

func TestALongStatementIsCut(t *testing.T) {
	text := sqlite.Normalize("SELECT "+strings.Repeat("é", 5000), 100)
	require.True(t, utf8.ValidString(text))
	require.LessOrEqual(t, len(text), 100+len("…"))
	require.True(t, strings.HasSuffix(text, "…"))
	require.Len(t, sqlite.Normalize("SELECT "+strings.Repeat("a, ", 5000)+"b", 100), 100+len("…"))
}

// FuzzNormalize: what is between single quotes never shows, whatever is around it.
func FuzzNormalize(f *testing.F) {
	f.Add("SELECT ", " FROM t")
	f.Add("SELECT x", ", \"")
	f.Fuzz(func(t *testing.T, before, after string) {
		parts := sqlite.Split(before + ";SELECT 'hunter2' " + after)
		for _, part := range parts {
			if strings.HasPrefix(part, "SELECT 'hunter2'") { // it was not within something else
				require.NotContains(t, sqlite.Normalize(part, 1<<20), "'hunter2'")
			}
			sqlite.Normalize(part, 16)
		}
	})
}
