package pool_test

import (
	"context"
	"database/sql/driver"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestARunThatAPanicEndsIsAFailureThatIsCounted(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		run(t, p, "INSERT INTO n VALUES (2, 0), (3, 0)")
		const text = "SELECT id, leave(id, ?) FROM n ORDER BY id"
		require.NoError(t, do(t.Context(), p.Reader(), "SELECT id, leave(id, ?) FROM n ORDER BY id LIMIT 1", ""))
		require.Panics(t, func() { _ = do(t.Context(), p.Reader(), text, "") })
		rows, err := p.Reader().Query(t.Context(), text, "")
		require.NoError(t, err)
		require.Panics(t, func() {
			for rows.Next() {
				continue
			}
		})
		_ = rows.Close()
		requireAtRest(t, p)
		q := byText(t, p, text)
		require.EqualValues(t, 2, q.Calls)
		require.EqualValues(t, 2, q.Failures)
	})
}

// TestWhatRunsIsTheHoldersThatIsNamed has two take turns on one connection.
func TestWhatRunsIsTheHoldersThatIsNamed(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 2})
	texts := map[string]string{"a": "SELECT count(*) AS a FROM n", "b": "SELECT count(*) AS b FROM n"}
	var work sync.WaitGroup
	for label, text := range texts {
		work.Go(func() {
			for range rounds.Of(600, 3000, 3000) {
				assert.NoError(t, do(pool.WithLabel(t.Context(), label), p.Reader(), text))
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		work.Wait()
	}()
	for !isDone(done) {
		for _, l := range p.Activity().Leases {
			if l.SQL != "" && texts[l.Label] != "" {
				require.Equal(t, texts[l.Label], l.SQL)
			}
		}
	}
}

// TestOnConnectMayLookAtThePoolWhoeverTheConnectionIsFor, and so that of the first look
// of a Watch too, while nobody else can begin one.
func TestOnConnectMayLookAtThePoolWhoeverTheConnectionIsFor(t *testing.T) {
	for range 20 { // maintenance may be faster
		var opened atomic.Pointer[pool.Pool] // nil looks closed
		p := open(t, pool.Config{MaxConns: 1, OnConnect: func(context.Context, *pool.Lease) error {
			opened.Load().Activity()
			return nil
		}})
		opened.Store(p)
		l := acquire(t, p)
		require.NoError(t, l.Raw(t.Context(), func(driver.Conn) error { return nil }))
		l.Release()
		for err := range p.Watch(t.Context(), doing("SELECT 1")) {
			require.NoError(t, err)
			break
		}
	}
}

// TestNoRunIsForgottenWhileConnectionsAreReplaced looks on while each is.
func TestNoRunIsForgottenWhileConnectionsAreReplaced(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 4})
	const text, runs = "SELECT count(*) FROM n", 2000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range runs {
			if i%20 == 0 {
				p.Reset()
			}
			assert.NoError(t, do(t.Context(), p.Reader(), text))
		}
	}()
	seen := uint64(0)
	for over := false; !over; {
		over = isDone(done)
		for _, q := range p.Queries() {
			if q.SQL == text {
				require.GreaterOrEqual(t, q.Calls, seen)
				seen = q.Calls
			}
		}
	}
	waitFor(t, "a look at each connection", func() bool { return byText(t, p, text).Calls == runs })
}

func TestRunsAreCountedThoughSomebodyElseClosesTheConnection(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	const text = "SELECT count(*) FROM n"
	l := acquire(t, p)
	require.NoError(t, do(t.Context(), l, text))
	_ = l.Raw(t.Context(), func(c driver.Conn) error { return c.Close() })
	l.Release()
	require.EqualValues(t, 1, byText(t, p, text).Calls)
}
