package sqlite_test

import (
	"testing"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
)

func TestARowReadOverAnotherKeepsNothingOfIt(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	s := prepare(t, c, "VALUES (1), ('text'), (NULL), (x'01'), (2.5), (''), (x''), ('last'), (7)")
	require.NoError(t, s.Open(nil))
	row := []sqlite.Value{sqlite.TextOf("before")}
	for _, want := range []sqlite.Value{
		sqlite.IntegerOf(1), sqlite.TextOf("text"),
		{},
		sqlite.BlobOf([]byte{1}), sqlite.FloatOf(2.5),
		sqlite.TextOf(""), sqlite.BlobOf([]byte{}), sqlite.TextOf("last"), sqlite.IntegerOf(7),
	} {
		require.NoError(t, s.Next(row))
		require.Equal(t, want, row[0])
	}
	require.NoError(t, s.End())
}
