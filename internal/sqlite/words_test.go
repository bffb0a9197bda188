package sqlite_test

import (
	"testing"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
)

func TestWordsInQuotesAndCommentsAreNone(t *testing.T) {
	for text, want := range map[string]bool{
		"INSERT INTO t VALUES (1) returning id": true,
		"INSERT INTO t VALUES ('returning')":    false,
		`SELECT "returning" FROM t`:             false,
		"SELECT 1 -- returning":                 false,
		"SELECT 1 /* returning */":              false,
		"SELECT returning_id FROM t":            false,
		"SELECT [returning] FROM t":             false,
	} {
		require.Equal(t, want, sqlite.HasWord(text, "OTHER", "RETURNING"), text)
	}
}

func TestParametersAreCountedAsSQLiteCountsThem(t *testing.T) {
	for text, want := range map[string]int{
		"SELECT 1":                    0,
		"SELECT ?":                    1,
		"SELECT ?, ?":                 2,
		"SELECT ?3":                   3,
		"SELECT ?2, ?, ?1":            3,
		"SELECT :a, :b, :a":           2,
		"SELECT :a, ?, @b, $c":        4,
		"SELECT ?2, :a, :a, ?":        4,
		"SELECT '?', \"?\" -- ?\n, ?": 1,
	} {
		require.Equal(t, want, sqlite.Parameters(text), text)
	}
}
