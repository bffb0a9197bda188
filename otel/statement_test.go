package sqlaneotel

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAStatementIsSummedUpByItsVerbAndTables(t *testing.T) {
	for text, want := range map[string]statement{
		"":                    {},
		"-- nothing":          {},
		"SELECT 1":            {"SELECT", "SELECT", ""},
		"select * from notes": {"SELECT", "SELECT notes", "notes"},
		"SELECT * FROM main.notes n JOIN \"my tags\" t ON n.id = t.note":             {"SELECT", "SELECT notes my tags", ""},
		"SELECT * FROM (SELECT * FROM [notes]) WHERE a IN (SELECT a FROM `notes`)":   {"SELECT", "SELECT notes notes", "notes"},
		"INSERT OR IGNORE INTO notes (a) VALUES (1) ON CONFLICT DO UPDATE SET a = 1": {"INSERT", "INSERT notes", "notes"},
		"REPLACE INTO notes VALUES (1)":                                              {"REPLACE", "REPLACE notes", "notes"},
		"UPDATE OR ROLLBACK notes SET a = 1":                                         {"UPDATE", "UPDATE notes", "notes"},
		"DELETE FROM notes WHERE a.b = c.d":                                          {"DELETE", "DELETE notes", "notes"},
		"WITH RECURSIVE c(x) AS (SELECT 1) INSERT INTO n SELECT x FROM c":            {"INSERT", "INSERT n c", ""},
		"CREATE TABLE IF NOT EXISTS notes (id)":                                      {"CREATE", "CREATE notes", "notes"},
		"DROP VIEW v":                                                                {"DROP", "DROP v", "v"},
		"PRAGMA table_info(notes)":                                                   {"PRAGMA", "PRAGMA table_info", ""},
		"BEGIN IMMEDIATE":                                                            {"BEGIN", "BEGIN", ""},
		"DELETE FROM a; INSERT INTO b VALUES (1);":                                   {"DELETE", "DELETE a b", ""},
		"SELECT * FROM json_each(?)":                                                 {"SELECT", "SELECT json_each", "json_each"},
		"(":                                                                          {},
		"SELECT 'FROM notes' FROM \"un":                                              {"SELECT", "SELECT u", "u"},
	} {
		require.Equal(t, want, statementOf(text), text)
	}
	long := statementOf("SELECT * FROM a" + strings.Repeat(" JOIN "+strings.Repeat("b", 100), 5))
	require.LessOrEqual(t, len(long.summary), maxSummary)
	require.Contains(t, long.summary, "b")
}

func TestLiteralsAreLeftOut(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 'it''s', x'00ff', 1, -2.5e-7, .5, 0xff, 1_000 FROM t2": "SELECT ?, ?, ?, -?, ?, ?, ? FROM t2",
		"SELECT ?, ?12, :name, @name, $name, \"a 1\", [b 2], `c 3`":    "SELECT ?, ?12, :name, @name, $name, \"a 1\", [b 2], `c 3`",
		"  SELECT\n\t1 -- hush\n, /* hush */ 2 ; ":                     "SELECT ? , ? ;",
		"SELECT 'unclosed":   "SELECT ?",
		"SELECT /* unclosed": "SELECT",
		"SELECT 1e5+2":       "SELECT ?+?",
		"SELECT 0xe+2":       "SELECT ?+?",
		"SELECT X'aa'x":      "SELECT ?x",
		"SELECT \"un":        "SELECT \"un",
		"":                   "",
	} {
		require.Equal(t, want, withoutLiterals(text), text)
	}
}

func FuzzStatements(f *testing.F) {
	for _, seed := range []string{"SELECT 'a' FROM b.c", "[", "\"", "x'", "--", "/*", "1e+", ".", "a.\"", "\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		s := statementOf(sql)
		require.LessOrEqual(t, len(s.summary)-len(s.verb), maxSummary)
		require.NotContains(t, withoutLiterals(sql), "'")
	})
}
