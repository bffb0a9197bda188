package sqlite_test

import (
	"io"
	"testing"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
)

func TestAStatementHasNoRowsButInItsRun(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	s := prepare(t, c, "SELECT 1 UNION ALL SELECT 2")
	row := make([]sqlite.Value, 1)
	none := func(when string) {
		require.False(t, s.Ahead(), when)
		require.ErrorIs(t, s.Next(row), io.EOF, when)
	}
	none("before it")
	require.NoError(t, s.Open(nil))
	require.True(t, s.Ahead())
	require.NoError(t, s.End())
	none("after one whose rows nobody has read")

	require.NoError(t, s.Open(nil))
	require.NoError(t, s.Next(row))
	require.EqualValues(t, 1, row[0].Int())
	require.NoError(t, s.Open(nil), "which begins it anew")
	require.NoError(t, s.Next(row))
	require.EqualValues(t, 1, row[0].Int())
	require.NoError(t, s.Next(row))
	none("at its end")
	_, err := s.Complete(nil)
	require.NoError(t, err)
	none("after one to the end")

	require.NoError(t, s.Open(nil))
	c.Release(s)
	require.Same(t, s, c.Cached(s.Text))
	none("after it was given back in the middle")
	require.NoError(t, s.Close())
	none("once it is gone")
	c.Release(s)
	require.Nil(t, c.Known(s.Text))
}

func TestAWriteThatFailsAmongItsRowsIsNotRunOn(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	run(t, c, "CREATE TABLE ends (v)")
	run(t, c, "CREATE TRIGGER ends AFTER INSERT ON ends WHEN new.v = 3 BEGIN SELECT RAISE(FAIL, 'no threes'); END")
	s := prepare(t, c, "INSERT INTO ends VALUES (1), (2), (3), (4)")
	for range 2 {
		require.ErrorContains(t, s.Open(nil), "no threes")
		require.False(t, s.Ahead())
		require.ErrorIs(t, s.Next(nil), io.EOF)
		require.ErrorContains(t, s.End(), "no threes", "it repeats why the run failed")
	}
	c.Release(s)
	n, err := c.Word("SELECT count(*) FROM ends")
	require.NoError(t, err)
	require.Equal(t, "6", n, "FAIL keeps what was written before it, in each of two runs")
}
