package sqlite_test

import (
	"testing"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
)

func TestPreparingTellsWhatIsReadAndChanged(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	for _, text := range []string{
		"PRAGMA foreign_keys = on",
		"CREATE TABLE Parent (id INTEGER PRIMARY KEY, v)",
		"CREATE TABLE child (parent REFERENCES Parent ON DELETE CASCADE)",
		"CREATE TABLE log (a)",
		"CREATE TABLE keyed (a PRIMARY KEY) WITHOUT ROWID",
		"CREATE VIEW seen AS SELECT v FROM Parent",
		"CREATE TRIGGER logs AFTER UPDATE ON Parent BEGIN INSERT INTO log VALUES (1); END",
		"CREATE TEMP TABLE own (a)",
		"CREATE VIRTUAL TABLE docs USING fts5(text)",
	} {
		run(t, c, text)
	}
	for text, want := range map[string]struct {
		read, written []string
		schema, all   bool
	}{
		"SELECT count(*) FROM PARENT": {read: []string{"parent"}},
		"SELECT v FROM seen":          {read: []string{"parent", "seen"}},

		"WITH c AS (SELECT a FROM log) SELECT count(*) FROM c, keyed": {read: []string{"log", "keyed"}},

		"SELECT a FROM own":                      {},
		"PRAGMA foreign_key_check":               {all: true},
		"UPDATE parent SET v = 1":                {written: []string{"Parent", "log"}},
		"DELETE FROM parent":                     {read: []string{"parent", "child"}, written: []string{"Parent", "child"}},
		"REPLACE INTO keyed VALUES (1)":          {written: []string{"keyed"}},
		"INSERT INTO own SELECT a FROM log":      {read: []string{"log"}},
		"INSERT INTO log VALUES (1) RETURNING a": {read: []string{"log"}, written: []string{"log"}},
		"CREATE TABLE IF NOT EXISTS log (a)":     {written: []string{sqlite.SchemaTable}},
		"CREATE TABLE IF NOT EXISTS fresh (a)":   {read: []string{sqlite.SchemaTable}, written: []string{sqlite.SchemaTable}, schema: true},
		"CREATE INDEX by_a ON log (a)":           {read: []string{"log"}, written: []string{sqlite.SchemaTable}, schema: true},
		"CREATE TEMP TABLE another (a)":          {},
		"DROP VIEW seen":                         {read: []string{sqlite.SchemaTable}, written: []string{sqlite.SchemaTable, "seen"}, schema: true},
		"ALTER TABLE log ADD COLUMN b":           {read: []string{sqlite.SchemaTable}, written: []string{sqlite.SchemaTable}, schema: true},
		"VACUUM":                                 {schema: true},
		"VACUUM INTO 'x'":                        {},
	} {
		s := prepare(t, c, text)
		require.ElementsMatch(t, want.read, s.Tables.Read, text)
		require.ElementsMatch(t, want.written, s.Tables.Written, text)
		require.Equal(t, want.schema, s.Tables.Schema, text)
		require.Equal(t, want.all, s.Tables.All, text)
		require.NoError(t, s.Close())
	}
	analyze := prepare(t, c, "ANALYZE")
	require.True(t, analyze.Tables.Schema)
	require.NoError(t, analyze.Close())

	// What a virtual table prepares at its first use is its statement's.
	run(t, c, "INSERT INTO docs VALUES ('some text')")
	search := prepare(t, c, "SELECT text FROM docs WHERE docs MATCH 'text'")
	require.NoError(t, search.Open(nil))
	require.Contains(t, search.Tables.Read, "docs_content")
	require.NoError(t, search.End())
	c.Release(search)
}

func TestAStatementThatIsCompiledAgainTellsAnewWhatItReads(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	run(t, c, "CREATE TABLE one (a)")
	run(t, c, "CREATE TABLE other (a)")
	run(t, c, "CREATE VIEW shown AS SELECT a FROM one")
	s := prepare(t, c, "SELECT a FROM shown")
	require.Equal(t, []string{"one", "shown"}, s.Tables.Read)
	run(t, c, "DROP VIEW shown")
	run(t, c, "CREATE VIEW shown AS SELECT a FROM other")
	require.NoError(t, s.Open(nil))
	require.Equal(t, []string{"other", "shown"}, s.Tables.Read)
	require.NoError(t, s.End())
	require.NoError(t, s.Open(nil))
	require.Equal(t, []string{"other", "shown"}, s.Tables.Read, "what it told it does not forget")
	require.NoError(t, s.End())
	c.Release(s)
}

func TestNamesThatDifferInASCIICaseAreOne(t *testing.T) {
	require.Equal(t, "files_2", sqlite.Fold("Files_2"))
	require.Equal(t, "É", sqlite.Fold("É"))
	require.Equal(t, "same", sqlite.Fold("same"))
}
