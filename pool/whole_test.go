package pool_test

import (
	"database/sql/driver"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// ownLike has this process's LIKE be a function of the program's: SQL's operator calls it
// (https://www.sqlite.org/lang_expr.html#like), so it is for a process of its own.
const ownLike = "SQLANE_TEST_LIKE"

func TestWhatLooksAtTheSchemaForALoneStatementIsWatchedAndMayPanic(t *testing.T) {
	if os.Getenv(ownLike) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), ownLike+"=1", "GOCOVERDIR="+t.TempDir())
		said, err := cmd.CombinedOutput()
		require.NoError(t, err, string(said))
		return
	}
	var asked atomic.Bool
	looked := func() {}
	sqlite.MustRegisterScalarFunction("like", 2, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		if asked.Load() {
			looked()
		}
		pattern, _ := args[0].(string)
		text, _ := args[1].(string)
		return strings.Contains(text, strings.Trim(pattern, "%")), nil
	})
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db")})
	require.NoError(t, err)
	run(t, p, "CREATE TABLE n (v)")
	watched := false
	for text, look := range map[string]func(){
		"INSERT INTO n VALUES (?)":     func() { watched = pool.IsWatched(p) },
		"INSERT INTO n (v) VALUES (?)": func() { panic("ours") },
	} {
		know(t, p, text, 1)
		looked = func() {
			asked.Store(false)
			look()
		}
		asked.Store(true)
		panics := func() (what any) {
			defer func() { what = recover() }()
			know(t, p, text, 2)
			return nil
		}()
		require.False(t, asked.Load(), "the schema was looked at")
		if panics != nil {
			require.Equal(t, "ours", panics)
			know(t, p, text, 3)
		}
	}
	require.True(t, watched)
	require.EqualValues(t, 4, get(t, p, "SELECT count(*) FROM n"))
	requireAtRest(t, p)
	require.NoError(t, p.Close())
}
