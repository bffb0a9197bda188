package pool_test

import (
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAReadersStatementIsNotTakenForOlderThanThePauseBeforeIt(t *testing.T) {
	p := open(t, pool.Config{})
	_, err := number(t.Context(), p.Reader(), "SELECT 1")
	require.NoError(t, err)
	waitFor(t, "the watcher to fall asleep", func() bool { return pool.Unwatched(p) })
	before := time.Now()
	var since time.Time
	name := onSignal(t, func() { since = p.Activity().Leases[0].Since })
	require.NoError(t, do(t.Context(), p.Reader(), "SELECT signal(?)", name))
	require.False(t, since.Before(before), "%v is before %v", since, before)
}
