package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/pool"
)

// open opens a pool that the test's end closes.
func open(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func execute1(t *testing.T, p *pool.Pool, text string) {
	t.Helper()
	lease, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer lease.Release()
	_, err = lease.Exec(t.Context(), text)
	require.NoError(t, err, text)
}

// database is a file in WAL mode that nobody uses, in a directory of its own.
func database(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path})
	execute1(t, p, text)
	require.NoError(t, p.Close())
	return path
}

// examine runs doctor and sees that it changes nothing.
func examine(t *testing.T, path string) (code int, lines []string, stderr string) {
	t.Helper()
	before := tree(t, filepath.Dir(path))
	delete(before, path+"-shm") // an index of the log in memory, by which readers tell of themselves
	code, stdout, stderr := sqlane(t, "doctor", path)
	after := tree(t, filepath.Dir(path))
	delete(after, path+"-shm")
	require.Equal(t, before, after)
	return code, strings.Split(strings.TrimSuffix(stdout, "\n"), "\n"), stderr
}

func TestAWholeDatabaseHasFactsAlone(t *testing.T) {
	path := database(t, `CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
		CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent, other TEXT REFERENCES parent (name));
		CREATE INDEX parents ON child (parent); CREATE INDEX others ON child (other);
		CREATE TABLE pair (a INTEGER REFERENCES parent, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
		CREATE TABLE node (id INTEGER PRIMARY KEY AUTOINCREMENT REFERENCES node);
		CREATE VIRTUAL TABLE words USING fts5 (text);
		INSERT INTO parent VALUES (1, 'one'); INSERT INTO child VALUES (1, 1, 'one')`)
	code, lines, stderr := examine(t, path)
	require.Equal(t, done, code, stderr)
	require.Empty(t, stderr)
	for _, line := range lines {
		require.True(t, strings.HasPrefix(line, "fact: "), line)
	}
	require.Regexp(t, `^fact: \d+ pages of 4,096 bytes, \d+ KiB, 0 of them free; WAL mode, UTF-8$`, lines[0])
	require.Contains(t, lines, "fact: child takes 12 KiB, 8.0 KiB of that its indexes")
	require.NoFileExists(t, path+"-shm", "nobody uses it")
}

func TestKeysThatAreMissingAreAdviceAndNoFailure(t *testing.T) {
	path := database(t, `CREATE TABLE parent (a INTEGER, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
		CREATE TABLE "odd "" child" (id INTEGER PRIMARY KEY, b INTEGER, a INTEGER, FOREIGN KEY (a, b) REFERENCES parent);
		CREATE TABLE keyless (x TEXT UNIQUE)`)
	code, lines, _ := examine(t, path)
	require.Equal(t, done, code)
	require.Equal(t, []string{
		`advice: no index has odd " child (a, b): to delete a row of parent, or change its key, reads all of odd " child; CREATE INDEX ... ON "odd "" child" ("a", "b")`,
		"advice: keyless has no primary key: nothing names a row for good, and sessions pass it over",
	}, lines[:2])
	require.NotContains(t, strings.Join(lines[2:], "\n"), "advice")
}

func TestBrokenReferencesAreFaultsInEachTable(t *testing.T) {
	path := database(t, `PRAGMA foreign_keys = off; CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
		CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent);
		CREATE TABLE misfit (id INTEGER PRIMARY KEY, name TEXT REFERENCES parent (name));
		CREATE TABLE pair (a INTEGER REFERENCES gone, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
		INSERT INTO child VALUES (7, 1), (8, 2), (9, NULL); INSERT INTO misfit VALUES (1, 'x'); INSERT INTO pair VALUES (1, 'x')`)
	code, lines, _ := examine(t, path)
	require.Equal(t, failed, code)
	all := strings.Join(lines, "\n")
	require.Contains(t, all, "fault: references of child to rows of parent that are not there: 2, such as that of row 7\n")
	require.Contains(t, all, "fault: references of pair to rows of gone that are not there: 1, such as that of row ?\n")
	require.Contains(t, all, `fault: foreign keys of misfit: SQL logic error: foreign key mismatch - "misfit" referencing "parent"`)
}

// scribble writes over the bytes of a page, counted from 1.
func scribble(t *testing.T, path string, page int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	at := (page - 1) * 4096
	if page == 1 {
		at += 100
	}
	_, err = f.WriteAt([]byte(strings.Repeat("\xaa", 3000)), at)
	require.NoError(t, err)
}

func TestDamageIsAFaultWhereverItIs(t *testing.T) {
	for _, page := range []int64{1, 3} {
		path := database(t, `CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY, x TEXT, a INTEGER REFERENCES a);
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO b SELECT i, hex(randomblob(100)), NULL FROM n`)
		scribble(t, path, page)
		code, lines, stderr := examine(t, path)
		require.Equal(t, failed, code, page)
		require.Empty(t, stderr)
		require.True(t, strings.HasPrefix(lines[0], "fault: "), lines)
		require.Equal(t, page != 1, strings.HasPrefix(lines[len(lines)-1], "fact: "), "without a schema there is nothing else to look at")
	}
}

func TestALiveDatabaseIsReadWithItsLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path})
	execute1(t, p, "CREATE TABLE keyless (x)")
	err := p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO keyless VALUES (1)")
		require.NoError(t, err)
		code, lines, stderr := examine(t, path)
		require.Equal(t, done, code, stderr)
		require.Contains(t, lines, "advice: keyless has no primary key: nothing names a row for good, and sessions pass it over")
		require.Contains(t, lines, fmt.Sprintf("fact: the log has %s", bytesOf(size(path+"-wal"))))
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, p.HealthCheck(t.Context()))
	execute1(t, p, "INSERT INTO keyless VALUES (2)")
}

// copied is a copy of a database's files, as a crash leaves them.
func copied(t *testing.T, path string, suffixes ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	for _, suffix := range append(suffixes, "") {
		text, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		put(t, string(text), to+suffix)
	}
	return to
}

func TestTheLogOfAProgramThatWasKilledIsReadAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path})
	execute1(t, p, "CREATE TABLE keyless (x)")
	for _, suffixes := range [][]string{{"-wal", "-shm"}, {"-wal"}} {
		to := copied(t, path, suffixes...)
		for range 2 {
			code, lines, stderr := examine(t, to)
			require.Equal(t, done, code, stderr)
			require.Contains(t, lines[0], "keyless has no primary key")
		}
	}
}

func TestALargeLogAndManyFreePagesAreAdvice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path})
	execute1(t, p, `CREATE TABLE b (id INTEGER PRIMARY KEY, x BLOB); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO b SELECT i, zeroblob(4000) FROM n; DELETE FROM b`)
	to := copied(t, path, "-wal")
	require.NoError(t, os.Truncate(to+"-wal", largeLog)) // what follows the last commit is no part of the log
	code, stdout, _ := sqlane(t, "doctor", to)
	require.Equal(t, done, code)
	require.Regexp(t, `(?m)^advice: 2\.\d MiB of 2\.\d MiB are free pages; VACUUM gives them back$`, stdout)
	require.Contains(t, stdout, "advice: the log has grown to 64 MiB: ")
}

func TestManyTablesAreToldInOneLineBeyondTheLargest(t *testing.T) {
	var text strings.Builder
	for i := range mostTables + 5 {
		fmt.Fprintf(&text, "CREATE TABLE t%d (id INTEGER PRIMARY KEY);", i)
	}
	_, lines, _ := examine(t, database(t, text.String()))
	require.Equal(t, "fact: 6 smaller tables take 24 KiB", lines[len(lines)-1]) // sqlite_schema's are among all
	require.Len(t, lines, 1+mostTables+1)
}

func TestWhatIsNoDatabaseIsOneClearLine(t *testing.T) {
	dir, err := os.MkdirTemp("", "d") // a socket's name must be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	socket, err := net.Listen("unix", filepath.Join(dir, "socket"))
	require.NoError(t, err)
	defer socket.Close()
	put(t, "not a database, but longer than the header of one is", dir, "text")
	put(t, "SQLite", dir, "short")
	for name, says := range map[string]string{
		"gone": "there is no file %s", "": "%s is a directory, no database", "socket": "%s is no file of bytes, and so no database",
		"text": "%s is no SQLite database, or an encrypted one", "short": "%s is no SQLite database, or an encrypted one",
	} {
		path := filepath.Join(dir, name)
		before := tree(t, dir)
		code, stdout, stderr := sqlane(t, "doctor", path)
		require.Equal(t, failed, code)
		require.Empty(t, stdout)
		require.Equal(t, "sqlane: "+fmt.Sprintf(says, path)+"\n", stderr)
		require.Equal(t, before, tree(t, dir))
	}
	code, lines, stderr := examine(t, put(t, "", dir, "empty"))
	require.Equal(t, done, code, stderr)
	require.Equal(t, []string{"fact: 0 pages of 4,096 bytes, 0 B, 0 of them free; a rollback journal, UTF-8"}, lines)
}

func TestWhatThisProgramLacksEndsOnePartAlone(t *testing.T) {
	path := database(t, "CREATE TABLE keyless (x TEXT COLLATE nocase UNIQUE)")
	db, err := sql.Open("sqlite", path) // without the pool's defensive mode
	require.NoError(t, err)
	_, err = db.Exec("PRAGMA writable_schema = on; UPDATE sqlite_schema SET sql = replace(sql, 'nocase', 'theirs')")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	code, lines, stderr := examine(t, path)
	require.Equal(t, done, code, stderr)
	require.Equal(t, "advice: looking at every page ended early, for the database needs what its own program has: SQL logic error: no such collation sequence: theirs (257)", lines[0])
	require.Contains(t, lines[1], "keyless has no primary key")
}

func TestALockedDatabaseIsOneClearLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: pool.JournalDelete})
	execute1(t, p, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
	err := p.InTx(t.Context(), pool.Exclusive, func(context.Context, *pool.Tx) error {
		code, stdout, stderr := sqlane(t, "doctor", path)
		require.Equal(t, failed, code)
		require.Empty(t, stdout)
		require.Equal(t, "sqlane: "+path+" is locked by another program; try again when that has finished\n", stderr)
		return nil
	})
	require.NoError(t, err)
}

func TestAHotJournalIsOneClearLineAndStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: pool.JournalDelete, Pragmas: map[string]string{"cache_size": "1", "cache_spill": "1"}})
	execute1(t, p, "CREATE TABLE b (id INTEGER PRIMARY KEY, x BLOB); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO b SELECT i, zeroblob(4000) FROM n")
	var to string
	err := p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE b SET x = randomblob(4000)")
		to = copied(t, path, "-journal")
		return err
	})
	require.NoError(t, err)
	code, _, stderr := examine(t, to)
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "was left in the middle of a transaction")
}

func TestADatabaseThatSomebodyOpensMeanwhileIsLookedAtAgain(t *testing.T) {
	path := database(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
	info, err := os.Stat(path)
	require.NoError(t, err)
	quiet := &quietly{info}
	require.False(t, quiet.changed(path))
	p := open(t, pool.Config{Path: path})
	execute1(t, p, "INSERT INTO t VALUES (1)")
	require.True(t, quiet.changed(path), "a log")
	require.NoError(t, p.Close())
	require.True(t, quiet.changed(path), "the log has gone into the file")
	require.False(t, (*quietly)(nil).changed(path))
}
