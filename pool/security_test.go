package pool_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// The database file is somebody else's here. Whatever stands in it, it may not
// make the program do what the program's own SQL does not say.

// spies counts the calls of spy, a function of the program's that says neither
// that it is innocuous nor that it is for direct use only. It is deterministic,
// so that it may stand anywhere in a schema.
var spies atomic.Int64

func spied(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
	spies.Add(1)
	return int64(1), nil
}

// forge makes a database file with a plain, trusting connection.
func forge(t testing.TB, script string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "forged.db")
	db := plain(t, path)
	defer func() { require.NoError(t, db.Close()) }()
	_, err := db.Exec(script)
	require.NoError(t, err)
	return path
}

// plain is one connection of the driver's, without a pool. It syncs nothing.
func plain(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=synchronous(off)")
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	return db
}

// hostile are schemas that call a function, and statements that know nothing of
// it. Some of the files SQLite refuses at once.
var hostile = []struct {
	name, schema, statement string
	atOnce                  bool
}{
	{"a trigger", "CREATE TABLE t (a); CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT spy('x'); END", "INSERT INTO t VALUES (1)", false},
	{"a trigger's condition", "CREATE TABLE t (a); CREATE TRIGGER r BEFORE INSERT ON t WHEN spy('x') BEGIN SELECT 1; END", "INSERT INTO t VALUES (1)", false},
	{"a trigger on deleting", "CREATE TABLE t (a); INSERT INTO t VALUES (1); CREATE TRIGGER r AFTER DELETE ON t BEGIN SELECT spy('x'); END", "DELETE FROM t", false},
	{"a trigger behind a foreign key", "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE t (p REFERENCES p ON DELETE CASCADE); INSERT INTO p VALUES (1); INSERT INTO t VALUES (1); CREATE TRIGGER r AFTER DELETE ON t BEGIN SELECT spy('x'); END", "PRAGMA foreign_keys = on; DELETE FROM p", false},
	{"a view", "CREATE VIEW t AS SELECT spy('x') AS a", "SELECT * FROM t", false},
	{"a view of a view", "CREATE VIEW v AS SELECT 1 AS a WHERE spy('x'); CREATE VIEW t AS SELECT * FROM v", "SELECT count(*) FROM t", false},
	{"a view that is written", "CREATE VIEW t AS SELECT 1 AS a; CREATE TRIGGER r INSTEAD OF INSERT ON t BEGIN SELECT spy('x'); END", "INSERT INTO t VALUES (1)", false},
	{"a view in a trigger", "CREATE VIEW v AS SELECT spy('x'); CREATE TABLE t (a); CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT * FROM v; END", "INSERT INTO t VALUES (1)", false},
	{"a constraint", "CREATE TABLE t (a CHECK (spy('x')))", "INSERT INTO t VALUES (1)", true},
	{"a default", "CREATE TABLE t (a, b DEFAULT (spy('x')))", "INSERT INTO t (a) VALUES (1)", false},
	{"a generated column", "CREATE TABLE t (a, b AS (spy(a))); INSERT INTO t VALUES (1)", "SELECT * FROM t", true},
	{"a stored column", "CREATE TABLE t (a, b AS (spy(a)) STORED)", "INSERT INTO t VALUES (1)", true},
	{"an index", "CREATE TABLE t (a); CREATE INDEX i ON t (spy(a))", "INSERT INTO t VALUES (1)", true},
	{"a partial index", "CREATE TABLE t (a); CREATE INDEX i ON t (a) WHERE spy(a)", "INSERT INTO t VALUES (1)", true},
}

func TestAHostileSchemaRunsNoFunctionOfTheProgram(t *testing.T) {
	byItself(t)
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			path := forge(t, h.schema)
			trusting := plain(t, forge(t, h.schema))
			before := spies.Load()
			_, err := trusting.Exec(h.statement)
			require.NoError(t, err)
			require.NoError(t, trusting.Close())
			require.Greater(t, spies.Load(), before, "the attack is a real one")
			_, statement, scripted := strings.Cut(h.statement, "; ")
			if !scripted {
				statement = h.statement
			}

			before = spies.Load()
			p, err := pool.Open(t.Context(), pool.Config{Path: path})
			if h.atOnce {
				require.ErrorContains(t, err, "unsafe use of spy()")
				require.True(t, pool.IsCorrupt(err), "%v", err)
				require.Equal(t, before, spies.Load(), "the function ran")
				return
			}
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			l, err := p.Acquire(t.Context())
			require.NoError(t, err)
			for name, on := range map[string]dbtx{"lease": l, "DB": p.DB()} {
				for _, asQuery := range []bool{false, true} {
					require.ErrorContains(t, runThrough(t.Context(), on, statement, asQuery), "unsafe use of spy()", name)
				}
			}
			l.Release()
			for _, level := range []pool.Level{pool.Deferred, pool.Immediate, pool.Exclusive} {
				require.ErrorContains(t, p.InTx(t.Context(), level, doing(statement)), "unsafe use of spy()")
			}
			require.ErrorContains(t, p.Batch(t.Context(), doing(statement)), "unsafe use of spy()")

			// Nor does anything that looks at all of the schema.
			require.NoError(t, p.HealthCheck(t.Context()))
			require.NoError(t, p.Backup(t.Context(), filepath.Join(t.TempDir(), "copy.db")))
			for _, text := range []string{"ANALYZE", "REINDEX", "VACUUM", "PRAGMA integrity_check", "PRAGMA foreign_key_check", "PRAGMA optimize", "ALTER TABLE t RENAME TO u", "SELECT * FROM pragma_table_xinfo('t')"} {
				_ = runThrough(t.Context(), p.DB(), text, true) // some fail, and may
			}
			require.Equal(t, before, spies.Load(), "the function ran")

			// What the program's own SQL says runs.
			require.EqualValues(t, 1, get(t, p, "SELECT spy('x')"))
			require.Equal(t, before+1, spies.Load())
		})
	}
}

func TestAHostileSchemaOpenedForReadingRunsNoFunctionEither(t *testing.T) {
	byItself(t)
	for _, schema := range []string{"CREATE VIEW t AS SELECT spy('x') AS a", "CREATE TABLE t (a, b AS (spy(a))); INSERT INTO t VALUES (1)"} {
		path := forge(t, schema)
		before := spies.Load()
		p, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true})
		if err == nil {
			err = p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error { return runThrough(ctx, tx, "SELECT * FROM t", true) })
			require.NoError(t, p.Close())
		}
		require.ErrorContains(t, err, "unsafe use of spy()")
		require.Equal(t, before, spies.Load())
	}
}

// TestASchemaCannotAttach: what stands in a file reaches no other file. SQLite's
// grammar has no ATTACH inside a trigger, and a schema that was edited to have
// one is malformed.
func TestASchemaCannotAttach(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere.db")
	for _, body := range []string{"ATTACH '" + elsewhere + "' AS x", "VACUUM INTO '" + elsewhere + "'", "PRAGMA trusted_schema = on", "DETACH main"} {
		path := forge(t, `CREATE TABLE t (a); CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END; PRAGMA writable_schema = on;
			UPDATE sqlite_schema SET sql = 'CREATE TRIGGER r AFTER INSERT ON t BEGIN `+strings.ReplaceAll(body, "'", "''")+`; END' WHERE name = 'r'`)
		p, err := pool.Open(t.Context(), pool.Config{Path: path})
		if err == nil {
			err = do(t.Context(), p.DB(), "INSERT INTO t VALUES (1)")
			require.NoError(t, p.Close())
		}
		require.ErrorContains(t, err, "malformed database schema", body)
		require.True(t, pool.IsCorrupt(err), "%v", err)
		require.NoFileExists(t, elsewhere)
	}
}

// TestWhatTheProgramAttachesIsGoneWithItsLease: ATTACH in the program's own SQL
// is allowed, on a lease, and ends with it. What is attached is not trusted
// more than the main file.
func TestWhatTheProgramAttachesIsGoneWithItsLease(t *testing.T) {
	byItself(t)
	other := forge(t, "CREATE TABLE o (a); CREATE TRIGGER r AFTER INSERT ON o BEGIN SELECT spy('x'); END")
	p := open(t, pool.Config{MaxConns: 2})
	l, err := p.Acquire(t.Context())
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), l, "ATTACH ? AS other", other))
	before := spies.Load()
	require.ErrorContains(t, do(t.Context(), l, "INSERT INTO o VALUES (1)"), "unsafe use of spy()")
	require.Equal(t, before, spies.Load())
	l.Release()
	for range 3 {
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM pragma_database_list"))
	}
}

func TestTheDefencesAreUpOnEveryConnection(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 3}, func(t *testing.T, p *pool.Pool) {
		each := func(ctx context.Context, on dbtx) {
			for pragma, want := range map[string]int64{"trusted_schema": 0, "cell_size_check": 1, "foreign_keys": 1, "writable_schema": 0} {
				n, err := number(ctx, on, "PRAGMA "+pragma)
				require.NoError(t, err, pragma)
				require.Equal(t, want, n, pragma)
			}
			for text, fault := range map[string]string{
				"SELECT load_extension('evil')":                                          "not authorized",
				"SELECT load_extension('evil', 'entry')":                                 "not authorized",
				"PRAGMA writable_schema = on; UPDATE sqlite_schema SET sql = ''":         "may not be modified",
				"INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 2, '')":            "may not be modified",
				"DELETE FROM sqlite_schema":                                              "may not be modified",
				"DROP TABLE sqlite_schema":                                               "may not be dropped",
				"SELECT fts3_tokenizer('simple', x'0102030405060708')":                   "fts3", // disabled, or no such function
				"UPDATE sqlite_dbpage SET data = zeroblob(4096)":                         "",
				"CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f_data VALUES (1, 2)": "may not be modified",
				"ALTER TABLE sqlite_schema RENAME TO x":                                  "may not be altered",
				"CREATE TABLE sqlite_evil (a)":                                           "reserved",
			} {
				require.ErrorContains(t, do(ctx, on, text), fault, text)
			}
			require.NoError(t, do(ctx, on, "DROP TABLE IF EXISTS f"))
			// What is only ignored: SQLite says nothing and does nothing.
			require.NoError(t, do(ctx, on, "PRAGMA writable_schema = on"))
			n, err := number(ctx, on, "PRAGMA writable_schema")
			require.NoError(t, err)
			require.Zero(t, n)
		}
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		each(t.Context(), l)
		l.Release()
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			each(ctx, tx)
			return nil
		}))
		require.EqualValues(t, 5, get(t, p, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"))
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n"))
	})
}

// corruptible is a whole database of some pages, of every kind.
func corruptible(t testing.TB) []byte {
	t.Helper()
	path := forge(t, `PRAGMA page_size = 512; PRAGMA auto_vacuum = incremental;
CREATE TABLE t (id INTEGER PRIMARY KEY, v, s TEXT); CREATE INDEX ts ON t (s); CREATE INDEX tv ON t (v) WHERE v > 5;
CREATE TABLE w (k PRIMARY KEY, v) WITHOUT ROWID;
CREATE VIEW tw AS SELECT t.id, w.v FROM t JOIN w ON w.k = t.v;
CREATE TRIGGER r AFTER DELETE ON t BEGIN DELETE FROM w WHERE k = old.v; END;
CREATE VIRTUAL TABLE f USING fts5(x);
INSERT INTO f VALUES ('some words to find'), ('other words'); 
WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 60) INSERT INTO t SELECT x, x % 9, 'text ' || x FROM c;
INSERT INTO t VALUES (100, 1.5, zeroblob(3000)), (101, NULL, 'long' || hex(zeroblob(900)));
INSERT INTO w SELECT v, count(*) FROM t WHERE v IS NOT NULL GROUP BY v; DELETE FROM t WHERE id BETWEEN 10 AND 20;`)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	return whole
}

// corruptUse does everything that a program might with the forged file.
var corruptUse = []string{
	"SELECT * FROM t", "SELECT * FROM t WHERE s = 'text 7'", "SELECT * FROM t WHERE v > 6 ORDER BY v", "SELECT * FROM w", "SELECT * FROM tw", "SELECT * FROM f WHERE f MATCH 'words'",
	"PRAGMA integrity_check", "PRAGMA foreign_key_check", "SELECT * FROM sqlite_schema",
	"INSERT INTO t (v, s) VALUES (7, 'new')", "UPDATE t SET s = s || 'x'", "DELETE FROM t WHERE id % 2", "INSERT INTO f VALUES ('more words')", "REPLACE INTO w VALUES (1, zeroblob(2000))",
	"ALTER TABLE t ADD COLUMN c DEFAULT 1", "CREATE TABLE IF NOT EXISTS n (a)", "DROP TABLE w", "PRAGMA incremental_vacuum", "ANALYZE", "REINDEX", "VACUUM",
}

// endure opens a file that was tampered with, and uses it. Everything may fail;
// nothing may crash, hang or be said by anything but an error.
func endure(t *testing.T, image []byte) {
	path := filepath.Join(t.TempDir(), "forged.db")
	require.NoError(t, os.WriteFile(path, image, 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := pool.Open(ctx, pool.Config{Path: path, MaxConns: 2, Synchronous: "off", HealthCheckInterval: -1})
	if err != nil {
		require.NoError(t, ctx.Err(), "it hangs while opening")
		require.Nil(t, p)
		return
	}
	before := spies.Load()
	for i, text := range corruptUse {
		err := runThrough(ctx, p.DB(), text, i%2 == 0)
		require.NoError(t, ctx.Err(), "%s hangs: %v", text, err)
	}
	_ = p.HealthCheck(ctx) // may say that it is unhealthy
	_ = p.Backup(ctx, path+".copy")
	require.NoError(t, ctx.Err(), "it hangs")
	require.Equal(t, before, spies.Load())
	_ = p.Close() // the last checkpoint may fail
	require.Empty(t, sqldbDescriptors(t, filepath.Dir(path)))
}

// tamper applies changes of three bytes each, a place and a new value, and cuts
// the image where one asks for it.
func tamper(image, changes []byte) []byte {
	image = append([]byte(nil), image...)
	for ; len(changes) >= 4; changes = changes[4:] {
		at := (int(changes[0])<<8 | int(changes[1])) % len(image)
		switch changes[2] % 4 {
		case 0:
			image[at] ^= 1 << (changes[3] % 8)
		case 1:
			image[at] = changes[3]
		case 2: // a page in another's place
			from, to := at/512*512, int(changes[3])*512%(len(image)/512*512)
			copy(image[to:to+512], image[from:from+min(512, len(image)-from)])
		case 3:
			if changes[3] > 250 && at > 1024 {
				image = image[:at/512*512+int(changes[3]%2)]
			} else {
				image[at] = 0xff
			}
		}
	}
	return image
}

func FuzzCorruptFile(f *testing.F) {
	whole := corruptible(f)
	f.Add([]byte{})
	for _, i := range []byte{0, 15, 16, 17, 18, 19, 20, 21, 24, 28, 31, 32, 36, 40, 44, 47, 48, 52, 56, 59, 60, 64, 92, 96} { // the header's fields
		f.Add([]byte{0, i, 1, 0xff})
	}
	for page := 0; page < len(whole)/512; page += rounds.Of(64, 1, 1) { // each page's own header, and some cells
		at := page * 512
		for _, offset := range []int{0, 3, 5, 8, 300}[page%2:] {
			f.Add([]byte{byte((at + offset) >> 8), byte(at + offset), 1, 0x7f, byte((at + offset + 1) >> 8), byte(at + offset + 1), 0, 3})
		}
	}
	for i := byte(0); i < 32; i += byte(rounds.Of(31, 1, 1)) {
		f.Add([]byte{i, 0, 2, i * 7, i * 3, i * 5, 3, 255})
	}
	f.Fuzz(func(t *testing.T, changes []byte) { endure(t, tamper(whole, changes[:min(len(changes), 64)])) })
}

// TestAProgramMayTrustItsOwnSchema: one that uses its functions in it says so.
func TestAProgramMayTrustItsOwnSchema(t *testing.T) {
	byItself(t)
	path := filepath.Join(t.TempDir(), "app.db")
	for _, name := range []string{"trusted_schema", "TRUSTED_SCHEMA"} {
		p, err := pool.Open(t.Context(), pool.Config{Path: path, Pragmas: map[string]string{name: "on", "cache_size": "-1000"}})
		require.NoError(t, err)
		before := spies.Load()
		require.NoError(t, do(t.Context(), p.DB(), "CREATE TABLE IF NOT EXISTS t (a CHECK (spy('x'))); INSERT INTO t VALUES (1)"))
		require.Greater(t, spies.Load(), before)
		require.NoError(t, p.Close())
	}
}
