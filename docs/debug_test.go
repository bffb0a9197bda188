package docs

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pool/debug"
	"github.com/stretchr/testify/require"
)

// operators is a server of the page alone, on an address that others do not reach.
func operators(pools *pool.Registry) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/debug/pool/", debug.Registry(pools)) // or debug.Pool(p) for a single one
	return &http.Server{Addr: "127.0.0.1:6060", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
}

func TestOperatorsSeeAllPoolsAndNoValue(t *testing.T) {
	ctx := t.Context()
	var pools pool.Registry
	for _, name := range []string{"notes", "letters"} {
		p, err := pools.Open(ctx, pool.Config{Path: pool.Memory, Name: name})
		require.NoError(t, err)
		for _, query := range []string{
			"CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)", "SELECT text FROM notes WHERE id = 7", "SELECT text FROM notes WHERE id = 8",
			"SELECT text FROM notes WHERE id IN (1, 2, 3)", "SELECT text FROM notes WHERE id IN (4, 5)", `SELECT id FROM notes WHERE text = "hunter2"`,
		} {
			_, err := p.Writer().Exec(ctx, query)
			require.NoError(t, err, query)
		}
	}
	get := func(target string) string {
		w := httptest.NewRecorder()
		operators(&pools).Handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil))
		require.Equal(t, http.StatusOK, w.Code)
		return w.Body.String()
	}
	list := get("/debug/pool/")
	require.Contains(t, list, ">notes</a>")
	require.Contains(t, list, ">letters</a>")

	h := debug.Pool(pools.Pools()[0])
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	page := w.Body.String()
	require.NotContains(t, page, "hunter2")
	for _, once := range []string{"WHERE id = ?", "WHERE id IN (?, …)", "WHERE text = &#34;?&#34;"} {
		require.Equal(t, 1, strings.Count(page, once), once)
	}
	for _, part := range []string{"Leases", "Write lane", "Transactions", "Write-ahead log", "Watchers", "Statements"} {
		require.Contains(t, page, ">"+part+"</h2>")
	}
	require.NoError(t, pools.Shutdown(ctx))
}
