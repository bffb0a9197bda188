package pool_test

import (
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAScriptThatEndsInAQueryHasTheWriteLaneNoLongerThanItRuns(t *testing.T) {
	p := open(t, pool.Config{AcquireTimeout: 3 * time.Second})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer l.Release()
	for name, read := range map[string]func(script string, to *int) error{
		"QueryRow":        func(script string, to *int) error { return l.QueryRow(t.Context(), script).Scan(to) },
		"QueryRowContext": func(script string, to *int) error { return l.QueryRowContext(t.Context(), script).Scan(to) },
	} {
		for script, works := range map[string]bool{
			"UPDATE n SET v = 7; SELECT v FROM n":                       true,
			"UPDATE n SET v = 7; SELECT nothing FROM n":                 false,
			"INSERT INTO n VALUES (1, 2); SELECT v FROM n":              false,
			"UPDATE n SET v = 7; SELECT abs(v - 7 + (-1 << 63)) FROM n": false,
		} {
			t.Run(name+" of "+script, func(t *testing.T) {
				var v int
				err := read(script, &v)
				require.Equal(t, works, err == nil, "%v", err)
				if works {
					require.Equal(t, 7, v)
				}
				require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("UPDATE n SET v = 0")), "the lease has the lane still")
			})
		}
	}
}

func TestAScriptThatEndsInAQueryHasTheWriteLaneUntilThatHasRun(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	var during pool.LeaseInfo
	name := onSignal(t, func() { during = activity(t, p).Leases[0] })
	require.NoError(t, l.QueryRow(t.Context(), "UPDATE n SET v = 7; SELECT signal('"+name+"')").Scan(new(int)))
	require.True(t, during.Writes, "another's commit could come between the two")
	require.False(t, activity(t, p).Leases[0].Writes)
}
