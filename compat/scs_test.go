package compat

import (
	"database/sql"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sessions = `
CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL);
CREATE INDEX sessions_expiry_idx ON sessions(expiry);
`

func TestScsKeepsTheSessionsOfManyVisitors(t *testing.T) {
	const visitors, visits = 8, 10
	beside(t, func(t *testing.T, db *sql.DB, _ bool) {
		require.NoError(t, exec(sessions)(t.Context(), db))
		store := sqlite3store.NewWithCleanupInterval(db, time.Millisecond)
		defer store.StopCleanup()
		manager := scs.New()
		manager.Store = store
		mux := http.NewServeMux()
		mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
			n := manager.GetInt(r.Context(), "n") + 1
			manager.Put(r.Context(), "n", n)
			_, _ = io.WriteString(w, strconv.Itoa(n))
		})
		mux.HandleFunc("/leave", func(_ http.ResponseWriter, r *http.Request) {
			assert.NoError(t, manager.RenewToken(r.Context()))
			assert.NoError(t, manager.Destroy(r.Context()))
		})
		server := httptest.NewServer(manager.LoadAndSave(mux))
		defer server.Close()
		get := func(client *http.Client, path string) string {
			response, err := client.Get(server.URL + path)
			if !assert.NoError(t, err) {
				return ""
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			assert.NoError(t, err)
			assert.Equal(t, http.StatusOK, response.StatusCode, "%s", body)
			return string(body)
		}
		var wg sync.WaitGroup
		for v := range visitors {
			wg.Go(func() {
				jar, _ := cookiejar.New(nil)
				client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
				for i := range visits {
					assert.Equal(t, strconv.Itoa(i+1), get(client, "/count"))
				}
				if v == 0 {
					get(client, "/leave")
					assert.Equal(t, "1", get(client, "/count"), "another session")
				}
			})
		}
		wg.Wait()
		requireCount(t, visitors, db, "sessions")

		require.NoError(t, store.Commit("old", []byte("x"), time.Now().Add(-time.Hour)))
		_, found, err := store.Find("old")
		require.NoError(t, err)
		require.False(t, found)
		waitFor(t, "what has expired is deleted", func() bool { return number(t, db, "SELECT count(*) FROM sessions") == visitors })
		all, err := store.All()
		require.NoError(t, err)
		require.Len(t, all, visitors)
	})
}
