package sqlite_test

import (
	"testing"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
)

func TestAPlanLeavesNoTrace(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	run(t, c, "CREATE TABLE planned (v)")
	run(t, c, "INSERT INTO planned VALUES (1), (2), (3)")
	counters := func() string {
		told, err := c.Word("SELECT changes() || ' ' || last_insert_rowid() || ' ' || total_changes()")
		require.NoError(t, err)
		return told
	}
	before := counters()
	for text, plan := range map[string][]string{
		"SELECT v FROM planned ORDER BY v":         {"SCAN planned", "USE TEMP B-TREE FOR ORDER BY"},
		"UPDATE planned SET v = ? WHERE rowid = ?": {"SEARCH planned USING INTEGER PRIMARY KEY (rowid=?)"},
		"DELETE FROM planned":                      nil,
	} {
		lines, err := c.Plan(text)
		require.NoError(t, err, text)
		require.Equal(t, plan, lines, text)
		require.Equal(t, before, counters(), text)
	}
	for _, text := range []string{"SELECT 1; SELECT 2", "", "nonsense"} {
		_, err := c.Plan(text)
		require.Error(t, err, text)
	}
	require.Equal(t, before, counters())
	require.True(t, c.Autocommit())
}

func TestAnEffortIsThatOfOneRun(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	run(t, c, "CREATE TABLE tried (v)")
	run(t, c, "INSERT INTO tried VALUES (1), (2), (3)")
	s := prepare(t, c, "SELECT v FROM tried ORDER BY v")
	s.TakeEffort()
	for range 2 {
		_, err := s.Complete(nil)
		require.NoError(t, err)
		e := s.TakeEffort()
		require.EqualValues(t, 2, e.Scanned, "from each of three rows to the next")
		require.EqualValues(t, 1, e.Sorts)
		require.Zero(t, e.Indexed)
		require.NotZero(t, e.Steps)
		require.Zero(t, s.TakeEffort())
	}
	join := prepare(t, c, "SELECT count(*) FROM tried a JOIN tried b ON a.v = b.v")
	_, err := join.Complete(nil)
	require.NoError(t, err)
	require.NotZero(t, join.TakeEffort().Indexed)
	c.Release(join)
	require.NoError(t, s.Close())
	require.Zero(t, s.TakeEffort(), "once it is gone")
	c.Release(s)
}
