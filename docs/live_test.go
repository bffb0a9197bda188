package docs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
)

// totals yields the sum of all balances: now, and whenever it may have changed.
func totals(ctx context.Context, p *pool.Pool) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		var total int
		for err := range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
			return tx.QueryRow(ctx, "SELECT sum(balance) FROM accounts").Scan(&total)
		}) {
			if !yield(total, err) {
				return
			}
		}
	}
}

// live sends the total to a page, until the page is closed or the server ends.
func live(p *pool.Pool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		out := http.NewResponseController(w)
		for total, err := range totals(r.Context(), p) {
			if err != nil {
				if r.Context().Err() != nil || errors.Is(err, pool.ErrClosed) {
					return
				}
				slog.Error("live", "error", err) // the loop goes on, and the next run may succeed
				continue
			}
			fmt.Fprintf(w, "data: %d\n\n", total)
			if out.Flush() != nil {
				return
			}
		}
	}
}

func TestAPageIsSentWhatIsSoAndWhatBecomesSo(t *testing.T) {
	p := open(t, pooltest.File())
	server := httptest.NewServer(live(p))
	defer server.Close()
	response, err := http.Get(server.URL)
	require.NoError(t, err)
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	until := func(want string) {
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		require.NoError(t, lines.Err())
		require.Fail(t, "the events ended before "+want)
	}
	until("data: 10")
	require.NoError(t, put(t.Context(), p.Writer(), "bob", 5))
	until("data: 15")
	require.NoError(t, put(t.Context(), p.Writer(), "bob", 1))
	until("data: 16")
	require.NoError(t, p.Close())
	require.False(t, lines.Scan() && lines.Text() != "", "the pool's end ends the events")
}

// forget empties a cache whenever one of its tables may have changed.
func forget(changes iter.Seq2[pool.Change, error], clear func(), tables ...string) error {
	for change, err := range changes {
		switch {
		case errors.Is(err, pool.ErrMoved):
			clear() // and go on: a later Change comes once the file is back
		case err != nil:
			return err
		case change.Schema, change.External, slices.ContainsFunc(tables, func(name string) bool { return slices.Contains(change.Tables, name) }):
			clear()
		}
	}
	return nil
}

func TestACacheIsEmptiedWhenItsTablesChangeAndOnlyThen(t *testing.T) {
	p := open(t, pooltest.File())
	ctx, cancel := context.WithCancel(t.Context())
	looked, ended := make(chan int), make(chan error)
	changes, cleared := p.Changes(ctx), 0
	go func() {
		ended <- forget(func(yield func(pool.Change, error) bool) {
			for change, err := range changes {
				if !yield(change, err) || err != nil {
					return
				}
				looked <- cleared // what one Change did
			}
		}, func() { cleared++ }, "accounts")
	}()
	require.NoError(t, note(t.Context(), p, "ann", 1))
	require.Zero(t, <-looked, "of another table")
	require.NoError(t, put(t.Context(), p.Writer(), "ann", 1))
	require.Equal(t, 1, <-looked)
	_, err := p.Writer().Exec(t.Context(), "CREATE TABLE other (a)")
	require.NoError(t, err)
	require.Equal(t, 2, <-looked)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
