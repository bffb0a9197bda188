package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	plainsqlite "github.com/sqlane/sqlane/internal/sqlite/plain"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// The pool decides of each statement whether it writes and whether it controls
// transactions. Here SQLite decides too, on an identical database without a
// pool, by what it then does; and the two must agree.

// classifySetup is what the pool sets on its connections, and something to work on.
const (
	classifyPragmas = "PRAGMA foreign_keys=on; PRAGMA trusted_schema=off;"
	classifyTables  = `
CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER UNIQUE ON CONFLICT ROLLBACK, s TEXT COLLATE NOCASE);
CREATE TABLE u (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t ON DELETE CASCADE);
CREATE INDEX ts ON t (s);
CREATE VIEW w AS SELECT id, v FROM t;
CREATE TRIGGER wi INSTEAD OF INSERT ON w BEGIN INSERT INTO t VALUES (new.id, new.v, 'w'); END;
INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c');
INSERT INTO u VALUES (1, 1), (2, 2);`
)

// verdict is what SQLite, left alone, makes of a statement.
type verdict struct {
	sound    bool // it can be prepared
	readOnly bool // sqlite3_stmt_readonly
	changes  bool // the database is another one afterwards
	controls bool // it ran, and began or ended a transaction, somewhere
	rolls    bool // it failed in a transaction, and took that along
}

// judge runs the statement on fresh databases: in autocommit, in a transaction,
// and in a savepoint that is one.
func judge(t *testing.T, text string) verdict {
	var v verdict
	for i, before := range []string{"", "BEGIN IMMEDIATE", "SAVEPOINT sp"} {
		db := plainsqlite.Open(t, classifyPragmas+classifyTables)
		require.NoError(t, db.Exec(before))
		image, autocommit := db.Image(), db.Autocommit()
		stmt, _, err := db.Prepare(text)
		if err != nil || stmt == (plainsqlite.Stmt{}) {
			continue // RELEASE sp is sound too where there is no savepoint, so others decide
		}
		v.sound = true
		v.readOnly = db.ReadOnly(stmt)
		err = db.Run(stmt)
		flipped := db.Autocommit() != autocommit
		v.controls = v.controls || err == nil && flipped
		v.rolls = v.rolls || err != nil && flipped && i > 0
		v.changes = v.changes || i == 0 && db.Image() != image
	}
	return v
}

// classifyPools are the kinds of pool: they lock and connect differently.
func classifyPools(t testing.TB) map[string]*pool.Pool {
	pools := map[string]*pool.Pool{}
	for name, cfg := range map[string]pool.Config{
		"memory": {Path: pool.Memory},
		"file":   {Path: filepath.Join(t.TempDir(), "a.db"), Synchronous: "off"},
	} {
		p, err := pool.Open(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		_, err = l.ExecContext(t.Context(), classifyTables)
		require.NoError(t, err)
		l.Release()
		pools[name] = p
	}
	return pools
}

// runThrough runs a statement to its end, with or without a look at its rows.
func runThrough(ctx context.Context, on dbtx, text string, asQuery bool) error {
	if !asQuery {
		_, err := on.ExecContext(ctx, text)
		return err
	}
	rows, err := on.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	for rows.Next() { // to the end: some statements fail late
	}
	return errors.Join(rows.Err(), rows.Close())
}

// readContents reads the whole database through a View, as the pool's other
// callers see it.
func readContents(t *testing.T, p *pool.Pool) (all string) {
	t.Helper()
	require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) (err error) {
		all, err = contents(ctx, tx)
		return err
	}))
	return all
}

// contents is everything in a database, as text.
func contents(ctx context.Context, on dbtx) (all string, err error) {
	tables, err := readRows(ctx, on, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
	if err != nil {
		return "", err
	}
	queries := []string{"SELECT * FROM pragma_user_version, pragma_application_id", "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"}
	for _, table := range tables {
		queries = append(queries, "SELECT '"+table+"', * FROM "+table)
	}
	for _, query := range queries {
		rows, err := readRows(ctx, on, query)
		if err != nil {
			return "", err
		}
		all += strings.Join(rows, "\n") + "\n"
	}
	return all, nil
}

// readRows reads a query's rows as text.
func readRows(ctx context.Context, on dbtx, query string) (all []string, err error) {
	rows, err := on.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = v.String
		}
		all = append(all, strings.Join(row, ","))
	}
	return all, rows.Err()
}

// isExplained reports EXPLAIN, behind comments that the grammar below may make.
func isExplained(text string) bool {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "-- SELECT 1;\n"), "/* ; */")
	return strings.HasPrefix(strings.ToUpper(strings.TrimSpace(text)), "EXPLAIN")
}

var errClassifyUndo = errors.New("undo it")

// classify compares the pool with the verdict. plainRead is true for what a
// reader would call a read, whatever SQLite says.
func classify(t *testing.T, p *pool.Pool, text string, v verdict, plainRead, asQuery bool) {
	ctx := t.Context()
	before := readContents(t, p)

	var inView error
	require.NoError(t, p.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
		inView = runThrough(ctx, tx, text, asQuery)
		n, err := number(ctx, tx, "SELECT 42")
		require.NoError(t, err, "the view is alive after %v", inView)
		require.EqualValues(t, 42, n)
		return nil
	}))
	switch {
	case v.controls:
		require.ErrorIs(t, inView, pool.ErrTxControl, "in a view")
	case errors.Is(inView, pool.ErrTxControl) && isExplained(text):
		// EXPLAIN BEGIN is refused like BEGIN, to nobody's harm.
	case v.changes || v.sound && !v.readOnly:
		require.ErrorIs(t, inView, pool.ErrReadOnly, "in a view")
	case plainRead:
		require.NoError(t, inView, "a plain read in a view")
	}
	require.Equal(t, before, readContents(t, p), "a view changes nothing (%v)", inView)

	level := pool.Deferred
	if asQuery {
		level = pool.Immediate
	}
	var inTx error
	require.ErrorIs(t, p.InTx(ctx, level, func(ctx context.Context, tx *pool.Tx) error {
		require.NoError(t, runThrough(ctx, tx, "INSERT INTO u VALUES (99, 1)", false))
		inTx = runThrough(ctx, tx, text, asQuery)
		n, err := number(ctx, tx, "SELECT 42")
		if v.rolls && inTx != nil && !errors.Is(inTx, pool.ErrTxControl) {
			require.ErrorIs(t, err, pool.ErrTxLost, "SQLite rolled back with %v", inTx)
			was, _ := pool.Code(inTx)
			is, _ := pool.Code(err)
			require.Equal(t, was, is, "the cause comes along")
			return errClassifyUndo
		}
		require.NoError(t, err, "the transaction is alive after %v", inTx)
		require.EqualValues(t, 42, n)
		return errClassifyUndo
	}), errClassifyUndo)
	if v.controls {
		require.ErrorIs(t, inTx, pool.ErrTxControl, "in a transaction")
	} else {
		require.NotErrorIs(t, inTx, pool.ErrReadOnly, "in a transaction")
	}
	if plainRead {
		require.NoError(t, inTx, "a plain read in a transaction")
	}
	require.Equal(t, before, readContents(t, p), "what was rolled back is undone (%v)", inTx)

	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	onLease := runThrough(ctx, l, text, asQuery)
	if v.controls {
		require.ErrorIs(t, onLease, pool.ErrTxControl, "on a lease")
	} else {
		require.NotErrorIs(t, onLease, pool.ErrReadOnly, "on a lease")
	}
	if plainRead {
		require.NoError(t, onLease, "a plain read on a lease")
	}
	// Were a transaction open on the lease, others would not see this.
	_, err = l.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS seen (x); INSERT INTO seen VALUES (1)")
	require.NoError(t, err, "the lease works after %v", onLease)
	require.Contains(t, readContents(t, p), "seen")
	l.Release()
}

// kinds of statement, as a person would sort them.
const (
	reads    = "reads"
	writes   = "writes"
	controls = "controls"
	fails    = "fails"   // it cannot be prepared
	harmless = "neither" // of the connection alone, or refused inside a transaction
)

func TestStatementsAreReadsWritesOrTransactionControl(t *testing.T) {
	besideOthers(t) // for it takes long
	for _, c := range []struct{ kind, text string }{
		{reads, "SELECT 1"},
		{reads, "select * from t"},
		{reads, "SELECT * FROM w"},
		{reads, "/* UPDATE */ SELECT 'DELETE FROM t' -- COMMIT"},
		{reads, "VALUES (1), (2)"},
		{reads, "WITH q AS (SELECT 1) SELECT * FROM q"},
		{reads, "WITH RECURSIVE q(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM q WHERE x < 9) SELECT * FROM q"},
		{reads, "EXPLAIN SELECT * FROM t"},
		{reads, "EXPLAIN QUERY PLAN SELECT * FROM t"},
		{reads, "PRAGMA table_info(t)"},
		{reads, "PRAGMA user_version"},
		{reads, "PRAGMA journal_mode"},
		{reads, "PRAGMA foreign_key_check"},
		{reads, "PRAGMA integrity_check"},
		{reads, "SELECT * FROM pragma_table_info('t')"},
		{reads, `SELECT 1 AS "commit"`},

		{writes, "INSERT INTO t VALUES (4, 40, 'd')"},
		{writes, "insert into t values (4, 40, 'd') returning id"},
		{writes, "INSERT INTO w VALUES (4, 40)"},
		{writes, "INSERT OR ROLLBACK INTO t VALUES (1, 10, 'a')"},
		{writes, "INSERT INTO t VALUES (4, 10, 'v is unique')"},
		{writes, "REPLACE INTO t VALUES (1, 11, 'a')"},
		{writes, "UPDATE t SET s = 'x'"},
		{writes, "UPDATE t SET s = 'x' WHERE 0"},
		{writes, "DELETE FROM t"},
		{writes, "DELETE FROM t RETURNING *"},
		{writes, "WITH q AS (SELECT 1 AS x) DELETE FROM t WHERE id IN (SELECT x FROM q)"},
		{writes, "WITH q AS (SELECT 7 AS x) INSERT INTO t SELECT x, x, x FROM q RETURNING id"},
		{writes, "-- only a comment\nWITH q AS (SELECT 1) UPDATE t SET v = NULL"},
		{writes, "EXPLAIN DELETE FROM t"}, // harmlessly taken for one
		{writes, "CREATE TABLE c (x)"},
		{writes, "CREATE TEMP TABLE c (x)"},
		{writes, "CREATE INDEX c ON t (v, s)"},
		{writes, "CREATE VIEW c AS SELECT 1"},
		{writes, "CREATE TRIGGER c AFTER DELETE ON t BEGIN SELECT 1; SELECT 2; END;"},
		{writes, "ALTER TABLE t ADD COLUMN c"},
		{writes, "ALTER TABLE t RENAME TO c"},
		{writes, "DROP TABLE u"},
		{writes, "DROP INDEX ts"},
		{writes, "ANALYZE"},
		{writes, "REINDEX"},
		{writes, "REINDEX ts"},
		{writes, "VACUUM"},
		{writes, "PRAGMA user_version = 7"},
		{writes, "PRAGMA application_id = 7"},
		{writes, "PRAGMA optimize(0x10002)"},

		{controls, "BEGIN"},
		{controls, "begin immediate transaction"},
		{controls, "BEGIN EXCLUSIVE"},
		{controls, "/* a */ BEGIN -- b"},
		{controls, "COMMIT"},
		{controls, "END"},
		{controls, "END TRANSACTION"},
		{controls, "ROLLBACK"},
		{controls, "rollback transaction"},
		{controls, "SAVEPOINT x"},
		{controls, "RELEASE sp"},
		{controls, "ReLeAsE SavePoint sp"},

		{fails, "SELEC 1"},
		{fails, "SELECT 'a"},
		{fails, "CREATE TRIGGER c AFTER DELETE ON t BEGIN SELECT 1;"},
		{fails, "INSERT INTO nowhere VALUES (1)"},
		{harmless, "PRAGMA cache_size = 100"},
		{harmless, "PRAGMA wal_checkpoint"},
		{harmless, "EXPLAIN COMMIT"},
		{harmless, ""},
		{harmless, "-- nothing"},
	} {
		t.Run(c.text, func(t *testing.T) {
			v := judge(t, c.text)
			if c.kind == controls {
				require.True(t, v.controls, "so says SQLite")
			} else {
				require.False(t, v.controls, "so says SQLite")
			}
			if c.kind == fails {
				require.False(t, v.sound, "so says SQLite")
			}
			for name, p := range classifyPools(t) {
				t.Run(name, func(t *testing.T) {
					var inView error
					require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
						inView = runThrough(ctx, tx, c.text, false)
						return nil
					}))
					switch c.kind {
					case writes:
						require.ErrorIs(t, inView, pool.ErrReadOnly)
					case controls:
						require.ErrorIs(t, inView, pool.ErrTxControl)
					case fails:
						require.Error(t, inView)
						require.NotErrorIs(t, inView, pool.ErrReadOnly)
						require.NotErrorIs(t, inView, pool.ErrTxControl)
					case reads:
						require.NoError(t, inView)
					}
					classify(t, p, c.text, withPragmas(c.text, v), c.kind == reads, false)
				})
			}
		})
	}
}

// withPragmas corrects the verdict where SQLite's own word is not about the
// database: to ask for the journal mode is not read-only to sqlite3_stmt_readonly.
func withPragmas(text string, v verdict) verdict {
	if !v.changes && strings.Contains(strings.ToLower(text), "journal_mode") {
		v.readOnly = true
	}
	return v
}

func TestTransactionControlIsRefusedAnywhereInAScript(t *testing.T) {
	for name, p := range classifyPools(t) {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{"SELECT 1; COMMIT", "COMMIT; SELECT 1", "; ;ROLLBACK;", "SELECT 1; BEGIN; SELECT 2", "SELECT 1; SAVEPOINT a; RELEASE a"} {
				for _, asQuery := range []bool{false, true} {
					require.ErrorIs(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
						require.NoError(t, runThrough(ctx, tx, "INSERT INTO u VALUES (99, 1)", false))
						require.ErrorIs(t, runThrough(ctx, tx, text, asQuery), pool.ErrTxControl, text)
						n, err := number(ctx, tx, "SELECT count(*) FROM u WHERE id = 99")
						require.NoError(t, err)
						require.EqualValues(t, 1, n)
						return errClassifyUndo
					}), errClassifyUndo)
					require.NotContains(t, readContents(t, p), "u,99")
				}
			}
		})
	}
}

// speaker makes SQL out of bytes: each decides one choice of the grammar.
type speaker struct {
	choices []byte
	depth   int
}

func (s *speaker) choose(n int) int {
	if len(s.choices) == 0 {
		return 0
	}
	c := int(s.choices[0]) % n
	s.choices = s.choices[1:]
	return c
}

func (s *speaker) one(of ...string) string { return of[s.choose(len(of))] }

// gap is what may stand between two words, and misleads who reads text.
func (s *speaker) gap() string {
	return s.one(" ", " ", " ", "\n", "\t", "/* ; COMMIT */", " -- ROLLBACK;\n", "/**/", " /* ' */ ", "\r\n", "\f", "\n\v", "\ufeff", "--\n", "/* /* */", "/***/")
}

// words joins, with gaps and in mixed case. What is quoted stays as it is.
func (s *speaker) words(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		for _, word := range strings.Fields(part) {
			switch {
			case strings.ContainsAny(word, "'\"`["):
			case s.choose(4) == 1:
				word = strings.ToLower(word)
			case s.choose(8) == 1:
				word = strings.ToLower(word[:1]) + strings.ToUpper(word[1:])
			}
			if b.Len() > 0 {
				b.WriteString(s.gap())
			}
			b.WriteString(word)
		}
	}
	return b.String()
}

func (s *speaker) value() string {
	return s.one("1", "7", "NULL", "'x'", "'; COMMIT; --'", "v", "id + 1", "( SELECT count(*) FROM u )")
}

// table writes a table's name in one of the ways that SQLite reads.
func (s *speaker) table(name string) string {
	return s.one(name, name, `"`+name+`"`, "["+name+"]", "`"+name+"`", "main."+name, `"main"."`+name+`"`, "'"+name+"'", "main.["+name+"]")
}

func (s *speaker) where() string {
	return s.one("", "WHERE 0", "WHERE id = 1", "WHERE id IN ( SELECT t FROM u )", "WHERE s = 'begin'")
}

func (s *speaker) read() string {
	s.depth++
	if s.depth > 3 {
		return "SELECT 1"
	}
	switch s.choose(10) {
	case 5:
		return "SELECT * FROM " + s.table(s.one("t", "u", "w"))
	case 6:
		return s.read() + " " + s.one("UNION ALL", "EXCEPT", "INTERSECT") + " SELECT 1"
	case 7:
		return `SELECT id AS "commit", row_number() OVER ( ORDER BY v ) AS [rollback;] FROM t`
	case 8:
		return "SELECT CASE WHEN EXISTS ( " + s.read() + " ) THEN 1 ELSE 0 END"
	case 9:
		return "SELECT * FROM " + s.one("pragma_table_list", "pragma_user_version", "json_each('[1,2]')", "pragma_index_info('ts')", "t NOT INDEXED", "t INDEXED BY ts WHERE s > ''")
	case 0:
		return "SELECT * FROM " + s.one("t", "w", "sqlite_schema", "pragma_table_info('t')") + " " + s.one("", "WHERE id = 1", "LIMIT 1")
	case 1:
		return "VALUES (1, 'delete')"
	case 2:
		return "SELECT " + s.one("1", "'end'", "count(*)", "max(v)") + " FROM t " + s.where()
	case 3:
		return "WITH q AS ( " + s.read() + " ) SELECT count(*) FROM q"
	default:
		return "SELECT * FROM ( " + s.read() + " )"
	}
}

func (s *speaker) write() string {
	with := s.one("", "", "WITH q AS ( SELECT 1 )", "WITH RECURSIVE q(x) AS ( SELECT 1 UNION ALL SELECT x+1 FROM q WHERE x < 5 )")
	returning := s.one("", "", "RETURNING id", "RETURNING *")
	or := s.one("", "", "OR IGNORE", "OR REPLACE", "OR ROLLBACK", "OR ABORT", "OR FAIL")
	switch s.choose(10) {
	case 5:
		return with + " INSERT " + or + " INTO " + s.table("t") + " SELECT id + 10 , v + 100 , s FROM " + s.table("t") + " " + s.where() + " " + returning
	case 6:
		return with + " INSERT INTO t VALUES ( 1 , 11 , 'x' ) ON CONFLICT " + s.one("DO NOTHING", "( id ) DO UPDATE SET v = excluded.v", "( id ) DO UPDATE SET s = 'commit' WHERE 0") + " " + returning
	case 7:
		return with + " UPDATE " + or + " " + s.table("t") + " SET s = u.id FROM u WHERE u.t = t.id " + returning
	case 8:
		return "INSERT INTO " + s.table("u") + " DEFAULT VALUES " + returning
	case 9:
		return with + " DELETE FROM " + s.table(s.one("t", "u")) + " WHERE EXISTS ( " + s.read() + " ) " + returning
	case 0:
		return with + " INSERT " + or + " INTO t VALUES ( " + s.one("1", "8", "NULL") + " , " + s.one("10", "80", "NULL") + " , " + s.one("'a'", "NULL") + " ) " + returning
	case 1:
		return with + " UPDATE " + or + " t SET " + s.one("v", "s", "id") + " = " + s.value() + " " + s.where() + " " + returning
	case 2:
		return with + " DELETE FROM t " + s.where() + " " + returning
	case 3:
		return with + " INSERT INTO w VALUES ( 9 , " + s.one("90", "10") + " )"
	default:
		return with + " REPLACE INTO u VALUES ( 1 , " + s.one("1", "2", "77") + " ) " + returning
	}
}

func (s *speaker) define() string {
	return s.one(
		"CREATE TABLE c ( x )", "CREATE TABLE IF NOT EXISTS t ( x )", "CREATE TABLE c AS SELECT * FROM t", "CREATE TEMP TABLE c ( x )",
		"CREATE UNIQUE INDEX c ON t ( v , s )", "CREATE VIEW c AS SELECT 1", "CREATE TRIGGER c AFTER DELETE ON t BEGIN DELETE FROM u ; SELECT CASE WHEN 1 THEN 2 END ; END",
		"DROP TABLE u", "DROP TABLE IF EXISTS c", "DROP VIEW w", "DROP INDEX ts", "DROP TRIGGER wi",
		"ALTER TABLE t ADD COLUMN c", "ALTER TABLE t RENAME TO c", "ALTER TABLE t RENAME COLUMN s TO c", "ALTER TABLE t DROP COLUMN s",
		"VACUUM", "ANALYZE", "ANALYZE t", "REINDEX", "REINDEX ts", "REINDEX NOCASE",
	)
}

func (s *speaker) control() string {
	return s.one(
		"BEGIN", "BEGIN DEFERRED", "BEGIN IMMEDIATE TRANSACTION", "BEGIN EXCLUSIVE", "COMMIT", "COMMIT TRANSACTION", "END", "END TRANSACTION",
		"ROLLBACK", "ROLLBACK TRANSACTION", "ROLLBACK TO sp", "ROLLBACK TRANSACTION TO SAVEPOINT sp", "SAVEPOINT sp", "SAVEPOINT other", "RELEASE sp", "RELEASE SAVEPOINT sp", "RELEASE other",
	)
}

func (s *speaker) pragma() string {
	return "PRAGMA " + s.one(
		"user_version", "user_version = 5", "application_id", "application_id = 5", "table_info(t)", "index_list(t)", "foreign_key_check", "quick_check",
		"optimize", "optimize(0x10002)", "journal_mode", "wal_checkpoint", "incremental_vacuum", "schema_version", "data_version", "cache_size = 50",
		"main.user_version", "user_version(6)", "main.application_id = 0x7", "integrity_check(1)", "table_xinfo('t')", "table_list", "database_list", "temp.user_version", "compile_options", "cache_size", "wal_checkpoint(TRUNCATE)",
		"foreign_keys", "foreign_keys = off", "defer_foreign_keys = on", "recursive_triggers = on", "freelist_count", "page_count", "query_only",
	)
}

// sentence is one statement. plainRead is true if it is a read by its grammar.
func (s *speaker) sentence() (text string, plainRead bool) {
	text, plainRead, _ = s.clause()
	text = s.one("", "", " ", "-- SELECT 1;\n", "/* ; */") + text + s.one("", ";", " ; ", "; -- ;", ";;", "/* ;")
	return text, plainRead
}

// clause is a sentence without what may stand around it.
func (s *speaker) clause() (text string, plainRead, control bool) {
	switch s.choose(7) {
	case 0, 1:
		text, plainRead = s.read(), true
	case 2:
		text = s.write()
	case 3:
		text = s.define()
	case 4, 5:
		text, control = s.control(), true
	default:
		text = s.pragma()
	}
	switch s.choose(8) {
	case 1:
		text = "EXPLAIN " + text
	case 2:
		text = "EXPLAIN QUERY PLAN " + text
	}
	return s.words(text), plainRead, control
}

func FuzzClassifier(f *testing.F) {
	// One of each kind, and what mutations can grow from.
	for _, seeds := range []struct{ kind, choices byte }{{0, 5}, {2, 15}, {3, 22}, {4, 17}, {6, 23}} {
		for choice := byte(0); choice < seeds.choices; choice += byte(rounds.Of(20, 1, 1)) {
			f.Add([]byte{seeds.kind, choice, choice / 2, choice / 3, 0, choice % 4, 0, 0, choice})
		}
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		s := &speaker{choices: choices}
		text, plainRead := s.sentence()
		asQuery := s.choose(2) == 1
		t.Logf("%q", text)
		v := withPragmas(text, judge(t, text))
		for name, p := range classifyPools(t) {
			t.Logf("%s: %+v", name, v)
			classify(t, p, text, v, plainRead && v.sound, asQuery)
		}
	})
}

// FuzzScripts runs texts of several statements through the pool and, by a plain
// connection, without it: what is in the database afterwards must be the same,
// up to the first statement that controls transactions.
func FuzzScripts(f *testing.F) {
	for i := byte(0); i < 40; i += byte(rounds.Of(20, 1, 1)) {
		f.Add([]byte{3, 2, i, i / 2, 0, 0, i / 3, 6, i, 0, 0, 3, i, 0, 0, 1, 0, i % 7, 2, i, 0, 0})
		f.Add([]byte{i, i % 7, 2, 0, i, 0, 0, 1, 0, 0, 4, i, 0, 0, 1, 2, i, 0, 1, i})
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		s := &speaker{choices: choices}
		var script, before strings.Builder
		controlled := false
		for range 1 + s.choose(4) {
			s.depth = 0
			text, _, control := s.clause()
			controlled = controlled || control
			text += s.one(";", " ; ", ";;", "; -- ;\n", ";/* ; */", "\n;\t")
			script.WriteString(text)
			if !controlled {
				before.WriteString(text)
			}
		}
		t.Logf("%q", script.String())
		want, failed := plainContents(t, before.String())
		for name, p := range classifyPools(t) {
			was := readContents(t, p)
			require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
				err := runThrough(ctx, tx, script.String(), false)
				require.True(t, !controlled || err != nil, "in a view")
				return nil
			}))
			require.Equal(t, was, readContents(t, p), "%s: a view changes nothing", name)
			require.ErrorIs(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
				err := runThrough(ctx, tx, script.String(), false)
				require.True(t, !controlled || err != nil, "in a transaction")
				return errClassifyUndo
			}), errClassifyUndo)
			require.Equal(t, was, readContents(t, p), "%s: what was rolled back is undone", name)

			l, err := p.Acquire(t.Context())
			require.NoError(t, err)
			err = runThrough(t.Context(), l, script.String(), false)
			l.Release()
			switch {
			case failed != nil:
				require.Error(t, err, "%s: it fails without a pool: %v", name, failed)
			case controlled:
				require.ErrorIs(t, err, pool.ErrTxControl, name)
			default:
				require.NoError(t, err, name)
			}
			require.Equal(t, want, readContents(t, p), "%s, with %v; without a pool %v", name, err, failed)
		}
	})
}

// plainContents runs a script without a pool and returns what is there then.
func plainContents(t *testing.T, script string) (all string, failed error) {
	db := plain(t, filepath.Join(t.TempDir(), "plain.db"))
	defer func() { require.NoError(t, db.Close()) }()
	_, err := db.ExecContext(t.Context(), classifyPragmas+"PRAGMA journal_mode=wal; PRAGMA synchronous=off;"+classifyTables)
	require.NoError(t, err)
	_, failed = db.ExecContext(t.Context(), script)
	all, err = contents(t.Context(), db)
	require.NoError(t, err)
	return all, failed
}
