package rounds_test

import (
	"flag"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/stretchr/testify/require"
)

func TestRoundsAreShortNormalOrLong(t *testing.T) {
	short := flag.Lookup("test.short")
	was := short.Value.String()
	defer func() { require.NoError(t, short.Value.Set(was)) }()
	for _, c := range []struct {
		long, short string
		rounds      int
	}{{"", "true", 1}, {"", "false", 2}, {"1", "false", 3}, {"1", "true", 3}, {"0", "false", 2}} {
		t.Setenv(rounds.Long, c.long)
		require.NoError(t, short.Value.Set(c.short))
		require.Equal(t, c.rounds, rounds.Of(1, 2, 3), "%+v", c)
	}
}
