package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/nodes"
	"github.com/sqlane/sqlane/internal/sqlstore"
	"github.com/sqlane/sqlane/internal/terminal"
	"github.com/sqlane/sqlane/pool"
)

func TestWhereTheIndexIsHasToBeSaidOnce(t *testing.T) {
	for want, args := range map[string][]string{
		"-db and -cluster exclude each other":              {"-db", "x", "-cluster", "a:1", "-plaintext"},
		`-cluster: "a" is no address; write HOST:PORT,`:    {"-cluster", "b:1,a", "-plaintext"},
		"-tls-cert, -tls-key and -tls-ca, or -plaintext":   {"-cluster", "a:1"},
		"-tls-key and -tls-ca, or -plaintext":              {"-cluster", "a:1", "-tls-ca", "x"},
		"-tls-key or -tls-ca exclude each other":           {"-cluster", "a:1", "-tls-ca", "x", "-plaintext"},
		"-database, -plaintext and the -tls flags are for": {"-plaintext"},
		"-plaintext and the -tls flags are for -cluster":   {"-db", "x", "-database", "y"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, misused, run(t.Context(), append(args, "summary"), &out, &errs))
		require.Empty(t, out.String())
		require.Contains(t, errs.String(), want)
		require.Contains(t, errs.String(), "; fileindex -help tells more\n")
	}
}

func TestAClusterThatIsNotThereIsOneLineThatSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	at := l.Addr().String()
	for _, args := range [][]string{{"summary"}, {"index", t.TempDir()}, {"watch", "."}} {
		var out, errs bytes.Buffer
		code := runWith(t.Context(), append([]string{"-stats", "-cluster", at, "-plaintext"}, args...), &out, &errs, pool.Config{MaxConns: 8, AcquireTimeout: time.Millisecond})
		require.Equal(t, failed, code)
		require.Empty(t, out.String())
		require.Regexp(t, `^fileindex: the cluster has no leader, or none within reach: (connection refused: no node runs there|no answer in time: [^;]+); `+
			`most of its nodes must run, and sqlane cluster status `+at+` tells which do\n$`, errs.String())
	}
	for want, args := range map[string][]string{
		"-tls-cert and -tls-key: open none: ":      {"-tls-cert", "none", "-tls-key", "none", "-tls-ca", "none"},
		`Database "a/b": letters, digits, dots, d`: {"-plaintext", "-database", "a/b"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, failed, run(t.Context(), append([]string{"-cluster", at, "summary"}, args...), &out, &errs))
		require.Empty(t, out.String())
		require.Contains(t, errs.String(), want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	require.Equal(t, interrupted, run(ctx, []string{"-cluster", at, "-plaintext", "summary"}, &out, &errs))
	require.Equal(t, "fileindex: interrupted\n", errs.String())
}

func TestWhatGoesWrongOnAClusterIsExplained(t *testing.T) {
	c := newCluster(pool.Config{}, []string{"a:1", "b:2"}, "", &nodes.Security{Plaintext: true})
	a := &app{at: c}
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for want, err := range map[string]error{
		"lost during a commit, and nobody knows whether that took place; run this again": dqlite.ErrCommitUnknown,
		"has no leader, or none within reach: connection refused: ":                      &pool.Error{Err: dqlite.ErrNoQuorum, Cause: errors.Join(errors.New("a"), refused)},
		"most of its nodes must run, and sqlane cluster status a:1,b:2 tells which do":   dqlite.ErrNoQuorum,
		"the cluster's leader was lost in the midst; run this again":                     fmt.Errorf("view: %w", pool.ErrTxLost),
		"another program writes to fileindex.db on a:1,b:2; try again when that has":     pool.ErrBusy,
		`something\x0aelse`: errors.New("something\nelse"),
	} {
		require.Contains(t, a.explain(err), want)
	}
	for _, err := range []error{dqlite.ErrNoQuorum, pool.ErrTxLost} {
		require.True(t, c.passes(fmt.Errorf("watch: %w", err)), "watch goes on")
	}
	require.False(t, c.passes(pool.ErrBusy))
	require.Nil(t, c.debug())
}

// forgetful is a Store whose leader is lost again and again: before a view's end, and at
// once before or behind a commit.
type forgetful struct {
	*sqlstore.Store
	db   *sql.DB
	n    atomic.Int64
	lost atomic.Int64
}

func (f *forgetful) DB() *sql.DB { return f.db }

func (f *forgetful) lose() bool {
	return f.n.Add(1)%2 == 1 && f.lost.Add(1) < 10
}

func (f *forgetful) StoreView(ctx context.Context, fn func(context.Context, pool.StoreTx) error) error {
	err := f.Store.StoreView(ctx, fn)
	if err == nil && f.lose() {
		return pool.ErrTxLost
	}
	return err
}

func (f *forgetful) StoreBatch(ctx context.Context, fn func(context.Context, pool.StoreTx) error) error {
	err := f.Store.StoreBatch(ctx, fn)
	if err == nil && f.lose() {
		return dqlite.ErrCommitUnknown
	}
	return err
}

// losing is a place whose Store is that one.
type losing struct {
	cluster
	store store
}

func (l *losing) open(context.Context, command) (store, error) { return l.store, nil }

func TestAnIndexRunGoesOnWhenLeadersAreLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	s, err := sqlstore.Open(path)
	require.NoError(t, err)
	db, err := sql.Open("sqlite", path) // it is closed with the schema made
	require.NoError(t, err)
	f := &forgetful{Store: s, db: db}
	root := filepath.Join(goRoot(t), "src", "net")
	files, dirs, size, _ := walked(t, root)
	var out bytes.Buffer
	a := &app{at: &losing{store: f}, out: &out, err: io.Discard, json: true, args: []string{root}, line: terminal.NewLine(io.Discard)}
	require.NoError(t, a.on(t.Context(), commands()["index"]))
	require.Positive(t, f.lost.Load())
	var reports []report
	require.NoError(t, json.Unmarshal(out.Bytes(), &reports))
	reports[0].Duration = 0
	require.Equal(t, []report{{Path: root, Files: files, Directories: dirs, Bytes: size, Added: files + dirs}}, reports)
}

func TestWhatIsLostForeverIsNotTriedForever(t *testing.T) {
	x := &indexer{loses: new(cluster).loses}
	for err, want := range map[error]int{nil: 1, pool.ErrTxLost: 10, dqlite.ErrCommitUnknown: 10, dqlite.ErrNoQuorum: 1, pool.ErrBusy: 1} {
		n := 0
		require.Equal(t, err, x.surely(t.Context(), func() error { n++; return err }))
		require.Equal(t, want, n, "%v", err)
	}
	x.loses = new(file).loses
	n := 0
	require.Equal(t, pool.ErrTxLost, x.surely(t.Context(), func() error { n++; return pool.ErrTxLost }))
	require.Equal(t, 1, n, "a file loses no transaction through no fault of its own")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x.loses = new(cluster).loses
	require.Equal(t, pool.ErrTxLost, x.surely(ctx, func() error { n++; return pool.ErrTxLost }))
	require.Equal(t, 2, n)
}

// onCluster runs commands on a new database of the cluster that SQLANE_CLUSTER names.
type onCluster struct {
	t     *testing.T
	flags []string
}

func (c onCluster) run(args ...string) (code int, stdout, stderr string) {
	c.t.Helper()
	var out, errs bytes.Buffer
	code = runWith(c.t.Context(), append(c.flags, args...), &out, &errs, pool.Config{MaxConns: 8, AcquireTimeout: -1, WatchInterval: watchInterval})
	return code, out.String(), errs.String()
}

func (c onCluster) ok(args ...string) string {
	c.t.Helper()
	code, stdout, stderr := c.run(args...)
	require.Zero(c.t, code, stderr)
	return stdout
}

func (c onCluster) watching(args ...string) *watcher {
	return started(c.t, func(ctx context.Context, stdout, stderr io.Writer) int {
		return run(ctx, append(c.flags[:len(c.flags):len(c.flags)], args...), stdout, stderr)
	})
}

func TestEveryCommandRunsOnACluster(t *testing.T) {
	addresses := os.Getenv("SQLANE_CLUSTER")
	if addresses == "" {
		return // what needs none is tested above
	}
	database := rand.Text() + ".db"
	c := onCluster{t, []string{"-cluster", addresses, "-plaintext", "-database", database}}
	t.Chdir(t.TempDir())
	put(t, database, 1) // a file of the same name is another thing

	code, _, stderr := c.run("summary")
	require.Equal(t, failed, code)
	require.Equal(t, "fileindex: there is no index at "+database+" on "+addresses+"; make one with fileindex index\n", stderr)

	root := filepath.Join(goRoot(t), "src", "net")
	files, dirs, size, _ := walked(t, root)
	whole := report{Path: root, Files: files, Directories: dirs, Bytes: size}
	index := func(dir string) report {
		var reports []report
		require.NoError(t, json.Unmarshal([]byte(c.ok("-json", "index", dir)), &reports))
		reports[0].Duration = 0
		return reports[0]
	}
	first, second := whole, whole
	first.Added, second.Unchanged = files+dirs, files+dirs
	require.Equal(t, first, index(root))
	require.Equal(t, second, index(root))

	own := t.TempDir()
	put(t, filepath.Join(own, "dir", "clustered.go"), 5000)
	put(t, filepath.Join(own, "dir", "gone"), 1)
	require.EqualValues(t, 3, index(own).Added)

	w := c.watching("watch", own)
	require.Contains(t, w.next(w.stdout), own+": 2 files and 1 directories, ")
	s := served{watcher: c.watching("serve", "-addr", "127.0.0.1:0"), client: &http.Client{Transport: new(http.Transport)}}
	t.Cleanup(s.client.CloseIdleConnections)
	_, s.url, _ = strings.Cut(s.until("the index: "), "the index: ")

	put(t, filepath.Join(own, "dir", "clustered.go"), 5001)
	require.NoError(t, os.Remove(filepath.Join(own, "dir", "gone")))
	put(t, filepath.Join(own, "new"), 2)
	require.Equal(t, report{Path: own, Files: 2, Directories: 1, Bytes: 5003, Added: 1, Changed: 2, Removed: 1}, index(own))
	require.Contains(t, w.until("2 files and 1 directories, 4.9 KiB"), "code 4.9 KiB")
	code, stdout, stderr := w.end()
	require.Equal(t, interrupted, code, stdout+stderr)

	status, body := s.get("?q=clustered")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "clustered.go")
	require.Contains(t, body, database+" on "+addresses)
	require.NotContains(t, body, "debug/pool")
	status, _ = s.get("debug/pool/")
	require.Equal(t, http.StatusNotFound, status)
	code, stdout, stderr = s.end()
	require.Equal(t, done, code, stderr)
	require.NotContains(t, stdout, "pool")

	require.Contains(t, c.ok("search", "clustered"), filepath.Join(own, "dir", "clustered.go"))
	require.Contains(t, c.ok("list", own), "4.9 KiB")
	require.Contains(t, c.ok("largest", "-n", "1"), root)
	require.Contains(t, c.ok("summary"), "total")
	require.Equal(t, 4, strings.Count(c.ok("log"), "\n"))
	require.Regexp(t, `the cluster's connections:\nLeader +[0-9.:]+\n`, c.ok("-stats", "log"))
	require.Contains(t, c.ok("-stats", "-json", "log"), `"Leader":"`)
}
