package sqlite_test

import (
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
)

// runOf counts a run as the pool does, on a clock that says what it took.
func runOf(s *sqlite.Stmt, took time.Duration) (measured bool) {
	if measured = s.Begins(); measured {
		s.StartsAt(time.Hour)
	}
	if s.Since() != 0 {
		s.EndsAt(time.Hour + took)
	}
	return measured
}

func runsOf(c *sqlite.Conn) (all map[string]sqlite.Runs) {
	all = map[string]sqlite.Runs{}
	c.Counted(func(s *sqlite.Stmt, r sqlite.Runs) { all[s.Text] = r })
	return all
}

func TestOfFastRunsOneInSixteenStandsForAll(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	s := prepare(t, c, "SELECT 1")
	require.True(t, runOf(s, time.Microsecond), "nothing is known of it")
	for round := range 3 {
		for range 15 {
			require.False(t, runOf(s, 0))
		}
		require.True(t, runOf(s, 2*time.Microsecond), round)
	}
	for range 7 {
		runOf(s, 0)
	}
	c.Release(s)
	require.Equal(t, sqlite.Runs{Calls: 56, Time: 97*time.Microsecond + 7*2*time.Microsecond, Longest: 2 * time.Microsecond}, runsOf(c)["SELECT 1"])
}

func TestASlowRunDoesNotStandForTheFastOnesBehindIt(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	s := prepare(t, c, "SELECT 1")
	require.True(t, runOf(s, time.Second), "what it needs was not in memory yet")
	require.True(t, runOf(s, time.Microsecond))
	for range 15 {
		require.False(t, runOf(s, 0))
	}
	c.Release(s)
	require.Equal(t, sqlite.Runs{Calls: 17, Time: time.Second + 16*time.Microsecond, Longest: time.Second}, runsOf(c)["SELECT 1"])
}

func TestEachRunOfASlowStatementIsMeasured(t *testing.T) {
	c := open(t, sqlite.Options{CacheSize: 8})
	s := prepare(t, c, "SELECT 1")
	for i := range 5 {
		require.True(t, runOf(s, time.Duration(i+1)*time.Second))
	}
	s.Fails()
	c.Release(s)
	require.Equal(t, sqlite.Runs{Calls: 5, Failures: 1, Time: 15 * time.Second, Longest: 5 * time.Second}, runsOf(c)["SELECT 1"])
}

func TestWhatIsNotKeptIsToldOfOnce(t *testing.T) {
	told := map[string]sqlite.Runs{}
	c := open(t, sqlite.Options{CacheSize: 1, Retired: func(s *sqlite.Stmt, r sqlite.Runs) {
		require.NotContains(t, told, s.Source())
		told[s.Source()] = r
	}})
	for _, text := range []string{"SELECT 1", "SELECT 2", "SELECT 3"} {
		s := prepare(t, c, text)
		if text != "SELECT 2" {
			runOf(s, time.Second)
		}
		c.Release(s)
	}
	require.Equal(t, map[string]sqlite.Runs{"SELECT 1": {Calls: 1, Time: time.Second, Longest: time.Second}}, told, "one is kept, and one never ran")
	s, err := c.Prepare("SELECT 4", "", nothing)
	require.NoError(t, err)
	runOf(s, time.Second)
	c.Release(s)
	require.Contains(t, told, "SELECT 4", "it has no place in the cache")
}
