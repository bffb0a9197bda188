package sqlite

import (
	"database/sql/driver"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"modernc.org/libc"
	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

func openPlain(t *testing.T) *Conn {
	t.Helper()
	factory, err := modernc.NewConnector(filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	c, err := Open(t.Context(), factory, Options{MayCommit: func() bool { return true }})
	require.NoError(t, err)
	return c
}

// takesMutex asks SQLite itself.
func takesMutex(c *Conn) bool { return lib.Xsqlite3_db_mutex(c.tls, c.db) != 0 }

func TestSQLiteTakesItsMutexForStrangersAlone(t *testing.T) {
	c := openPlain(t)
	require.False(t, takesMutex(c))
	lend := func(fn func()) {
		_ = c.Lend(func(driver.Conn) error {
			require.True(t, takesMutex(c))
			require.Equal(t, c.mutex.mutex, lib.Xsqlite3_db_mutex(c.tls, c.db), "it is the one that the driver has opened with")
			fn()
			return nil
		})
	}
	lend(func() {})
	require.False(t, takesMutex(c))
	require.PanicsWithValue(t, "ours", func() { lend(func() { panic("ours") }) })
	require.False(t, takesMutex(c))
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		lend(runtime.Goexit)
	}()
	<-exited
	require.False(t, takesMutex(c))

	c.PutMutexBack()
	require.True(t, takesMutex(c))
	require.NoError(t, c.Close())
}

func TestAConnectionClosedByAStrangerIsNotTouched(t *testing.T) {
	c := openPlain(t)
	require.NoError(t, c.Lend(func(conn driver.Conn) error { return conn.Close() }))
	require.True(t, c.Closed())
}

// SQLite frees its mutex when it closes the connection, if it finds it there: the
// memory of one that was left behind could not be another's.
func TestClosingLeavesNoMutexBehind(t *testing.T) {
	const connections = 100
	mutexes := map[uintptr]bool{}
	for range connections {
		c := openPlain(t)
		mutexes[c.mutex.mutex] = true
		require.NoError(t, c.Close())
	}
	require.Less(t, len(mutexes), connections)
}

func TestAMutexThatIsElsewhereIsNamed(t *testing.T) {
	c := openPlain(t)
	c.PutMutexBack()
	defer func() { require.NoError(t, c.Close()) }()
	elsewhere := libc.Xcalloc(c.tls, 1, 1<<12)
	defer libc.Xfree(c.tls, elsewhere)
	_, err := mutexAt(elsewhere, c.mutex.mutex)
	require.ErrorContains(t, err, "modernc.org/sqlite")
	require.ErrorContains(t, err, "mutex")
}
