package migrate_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// These make the test binary a program that migrates a file: by the driver alone or
// through a pool, with a copy before it or without, and killed at some point or not.
const (
	childMode   = "SQLANE_TEST_MIGRATE"
	childPath   = "SQLANE_TEST_MIGRATE_PATH"
	childBackup = "SQLANE_TEST_MIGRATE_BACKUP"
	childKill   = "SQLANE_TEST_MIGRATE_KILL"
)

// once are migrations that show if they were applied twice, as does bears if it was
// killed in one without a transaction.
func once() fstest.MapFS {
	return files(family, rebuild,
		noTx+"ALTER TABLE child ADD COLUMN note TEXT;\nUPDATE child SET note = ifnull(note, '') || id;",
		"INSERT INTO restricted VALUES (1);\nUPDATE parent SET name = name || 'x';")
}

func bears() fstest.MapFS {
	return files(family, rebuild,
		noTx+"DROP TABLE IF EXISTS log;\nCREATE TABLE log (id INTEGER PRIMARY KEY, a);\nINSERT INTO log (a) VALUES (1), (2);\nVACUUM;",
		"INSERT INTO restricted VALUES (1);\nUPDATE parent SET name = name || 'x';")
}

// inGo is a migration of each kind in Go.
func inGo() migrate.Option {
	return migrate.GoMigrations(
		goose.NewGoMigration(10, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO restricted VALUES (2)")
			return err
		}}, nil),
		goose.NewGoMigration(11, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS by_go (a); DELETE FROM by_go")
			if err == nil {
				_, err = db.ExecContext(ctx, "INSERT INTO by_go VALUES (1)")
			}
			return err
		}}, nil),
	)
}

func beChild() int {
	if err := childUp(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func childUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // it is not to outlive the test
	defer cancel()
	path, point := os.Getenv(childPath), int64(-1)
	opts, files := []migrate.Option{inGo()}, once()
	if kill := os.Getenv(childKill); kill != "" {
		files = bears()
		var err error
		if point, err = strconv.ParseInt(kill, 10, 64); err != nil {
			return err
		}
	}
	if backup := os.Getenv(childBackup); backup != "" {
		opts = append(opts, migrate.Backup(backup))
	}
	m, err := migrate.New(files, opts...)
	if err != nil {
		return err
	}
	killer := &killer{left: point}
	var d migrate.Database
	if os.Getenv(childMode) == "pool" {
		p, err := pool.Open(ctx, pool.Config{Path: path, Synchronous: pool.SyncOff, BusyTimeout: time.Minute, Tracer: killer})
		if err != nil {
			return err
		}
		defer p.Close()
		d = p
	} else {
		db := sql.OpenDB(&spy{path: path, more: "&_pragma=busy_timeout(60000)", before: func(string) error { killer.tick(); return nil }})
		defer db.Close()
		d = plain{db}
	}
	if os.Getenv(childKill) == "" { // all start at once
		fmt.Println("ready")
		if _, err := io.ReadAll(os.Stdin); err != nil {
			return err
		}
	}
	killer.armed.Store(true)
	return m.Up(ctx, d)
}

// killer kills its own process at some point.
type killer struct {
	armed atomic.Bool
	mu    sync.Mutex
	left  int64
}

func (k *killer) tick() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.armed.Load() {
		return
	}
	if k.left == 0 {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err == nil {
			select {} // it comes at once
		}
		panic(err)
	}
	k.left--
}

func (k *killer) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	if op.Name == "acquire" {
		return ctx, nil
	}
	k.tick()
	return ctx, func(pool.TraceEnd) { k.tick() }
}

func child(t testing.TB, mode, path string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), childMode+"="+mode, childPath+"="+path), env...)
	return cmd
}

// everything is all that a database says of itself.
func everything(t testing.TB, path string) (all []string) {
	t.Helper()
	d := openPlain(t, path, "")
	queries := []string{
		"SELECT type || ' ' || name || ' ' || ifnull(sql, '') FROM sqlite_schema ORDER BY 1",
		"SELECT version_id || ' is applied' FROM goose_db_version ORDER BY version_id",
		"PRAGMA integrity_check",
		"SELECT 'broken' FROM pragma_foreign_key_check",
	}
	rows, err := d.db.QueryContext(t.Context(), "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version' ORDER BY 1")
	require.NoError(t, err)
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		queries = append(queries, "SELECT * FROM "+name)
	}
	require.NoError(t, rows.Err())
	for _, query := range queries {
		rows, err := d.db.QueryContext(t.Context(), query)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			require.NoError(t, rows.Scan(values...))
			for i := range values {
				values[i] = *values[i].(*any)
			}
			all = append(all, fmt.Sprint(query, values))
		}
		require.NoError(t, rows.Err())
	}
	return all
}

// alone is what the migrations make when nothing disturbs them.
func alone(t *testing.T, files fstest.MapFS) []string {
	t.Helper()
	path := newPath(t)
	require.NoError(t, migrator(t, files, inGo()).Up(t.Context(), openPlain(t, path, "")))
	all := everything(t, path)
	require.Contains(t, strings.Join(all, "\n"), "11 is applied")
	return all
}

func TestSixProgramsThatStartAtOnceAllEndWellAndApplyEachMigrationOnce(t *testing.T) {
	want := alone(t, once())
	for range rounds.Of(1, 3, 30) {
		path := newPath(t)
		backup := filepath.Join(t.TempDir(), "before.db")
		var start []io.Closer
		var children []*exec.Cmd
		var said []*strings.Builder
		for i := range 6 {
			cmd := child(t, []string{"pool", "plain"}[i%2], path, childBackup+"="+backup)
			out := new(strings.Builder)
			cmd.Stderr = out
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			ready, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			line, err := bufio.NewReader(ready).ReadString('\n')
			require.NoError(t, err, out)
			require.Equal(t, "ready\n", line)
			start, children, said = append(start, in), append(children, cmd), append(said, out)
		}
		for _, in := range start {
			require.NoError(t, in.Close())
		}
		for i, cmd := range children {
			require.NoError(t, cmd.Wait(), said[i])
		}
		require.Equal(t, want, everything(t, path))
		require.NoFileExists(t, path+"-migrate")
		require.NotContains(t, everythingIn(t, backup), "parent", "the copy was made before the first one")
	}
}

// everythingIn is the schema of a database that need have none of goose's.
func everythingIn(t *testing.T, path string) string {
	t.Helper()
	require.FileExists(t, path)
	return one(t, openPlain(t, path, ""), "SELECT ifnull(group_concat(name), '') FROM sqlite_schema")
}

func TestGoroutinesThatStartAtOnceAllEndWellAndApplyEachMigrationOnce(t *testing.T) {
	want := alone(t, once())
	for round := range rounds.Of(2, 10, 100) {
		path := newPath(t)
		m := migrator(t, once(), inGo(), migrate.Backup(filepath.Join(t.TempDir(), "before.db")))
		p, q := openPool(t, pool.Config{Path: path}), openPool(t, pool.Config{Path: path, MaxConns: 1})
		errs := make(chan error)
		for i := range 6 {
			go func() { errs <- m.Up(t.Context(), []migrate.Database{p, q}[i%2]) }()
		}
		for range 6 {
			require.NoError(t, <-errs, "round %d", round)
		}
		require.Equal(t, want, everything(t, path))
		require.NoFileExists(t, path+"-migrate")
	}
}

func TestKilledAtAnyPointTheNextUpGoesOn(t *testing.T) {
	want := alone(t, bears())
	for _, mode := range []string{"pool", "plain"} {
		t.Run(mode, func(t *testing.T) {
			killed := 0
			for point, stride := 0, rounds.Of(61, 7, 1); ; point += stride {
				path := newPath(t)
				out, err := child(t, mode, path, childKill+"="+strconv.Itoa(point)).CombinedOutput()
				if err == nil {
					break // it was done before
				}
				require.Empty(t, string(out), "point %d", point)
				killed++
				require.NoError(t, migrator(t, bears(), inGo()).Up(t.Context(), openPlain(t, path, "")), "point %d", point)
				require.Equal(t, want, everything(t, path), "point %d", point)
			}
			require.Greater(t, killed, 1)
		})
	}
}
