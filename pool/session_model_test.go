package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// sessionWorld is a *sql.DB and what a program holds of it.
type sessionWorld struct {
	db       *sql.DB
	prepared []*sql.Stmt
}

// sessionTables are those of both worlds.
const sessionTables = `
CREATE TABLE mother (id INTEGER PRIMARY KEY, v CHECK (v <> 'bad'));
CREATE TABLE kid (pid INTEGER REFERENCES mother ON DELETE CASCADE);
CREATE TABLE late (pid INTEGER REFERENCES mother DEFERRABLE INITIALLY DEFERRED);
INSERT INTO mother VALUES (1, 'a'), (2, 'b');
INSERT INTO kid VALUES (1), (2);
`

// sessionWords are what the program says; the empty ones are for what it has to
// say elsewhere.
var sessionWords = []string{
	"BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "COMMIT", "END", "ROLLBACK", "COMMIT", "ROLLBACK",
	"SAVEPOINT a", "SAVEPOINT b", "RELEASE a", "RELEASE b", "ROLLBACK TO a", "ROLLBACK TO b",
	"PRAGMA foreign_keys = off", "PRAGMA foreign_keys = on",
	"PRAGMA ignore_check_constraints = on", "PRAGMA ignore_check_constraints = off",
	"PRAGMA recursive_triggers = on", "PRAGMA recursive_triggers = off",
	"PRAGMA legacy_alter_table = 1", "PRAGMA legacy_alter_table = 0",
	"PRAGMA case_sensitive_like = on", "PRAGMA case_sensitive_like = off",
	"PRAGMA cache_size = 77", "PRAGMA cache_size = -2000",
	"PRAGMA user_version = 7",
	"CREATE TEMP TABLE mine (x)", "DROP TABLE mine", "INSERT INTO mine VALUES (1)",
	"CREATE TEMP TRIGGER tr AFTER INSERT ON kid BEGIN INSERT INTO mother (v) VALUES ('by trigger'); END", "DROP TRIGGER tr",
	"ATTACH ':memory:' AS aside", "CREATE TABLE aside.z (x)", "INSERT INTO z VALUES (1)",
	"INSERT INTO mother (v) VALUES ('c')", "INSERT INTO mother (v) VALUES ('bad')", "INSERT INTO mother (id) VALUES (1)",
	"INSERT INTO kid VALUES (1)", "INSERT INTO kid VALUES (99)", "INSERT INTO late VALUES (99)", "DELETE FROM late",
	"DELETE FROM mother WHERE id = (SELECT max(id) FROM mother)", "UPDATE mother SET v = v || '.'",
	"CREATE TABLE other (x)", "DROP TABLE other", "ALTER TABLE other RENAME TO another", "DROP TABLE another",
	"SAVEPOINT a; INSERT INTO mother (v) VALUES ('s'); RELEASE a",
	"INSERT INTO mother (v) VALUES ('one'); PRAGMA recursive_triggers = on; INSERT INTO mother (v) VALUES ('bad'); PRAGMA cache_size = 78",
	"PRAGMA cache_size = 79; SELECT 1", "VACUUM", "REINDEX", "ANALYZE", "nonsense",
	"INSERT INTO mother (v) VALUES ('r') ON CONFLICT DO NOTHING", "DROP TABLE IF EXISTS mine",
}

// sessionLooks are what it asks.
var sessionLooks = []string{
	"SELECT group_concat(id || ifnull(v, '-')) FROM mother", "SELECT group_concat(pid) FROM kid", "SELECT count(*) FROM late",
	"PRAGMA foreign_keys", "PRAGMA ignore_check_constraints", "PRAGMA recursive_triggers", "PRAGMA legacy_alter_table",
	"PRAGMA cache_size", "PRAGMA user_version", "SELECT 'a' LIKE 'A'",
	"SELECT count(*) FROM mine", "SELECT count(*) FROM aside.z", "SELECT group_concat(name) FROM sqlite_temp_schema",
	"SELECT group_concat(name) FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'", "SELECT group_concat(name) FROM pragma_database_list WHERE name <> 'temp'",
	"INSERT INTO mother (v) VALUES ('back') RETURNING v", "DELETE FROM late RETURNING pid",
}

// asked is what a query answers.
func asked(on dbtx, query string) string {
	rows, err := on.QueryContext(context.Background(), query)
	return answered(rows, err)
}

func answered(rows *sql.Rows, err error) string {
	if err != nil {
		return worldOutcome("", err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var v any
		if err := rows.Scan(&v); err != nil {
			return "scan: " + err.Error()
		}
		all = append(all, fmt.Sprint(v))
	}
	return worldOutcome(strings.Join(all, ";"), rows.Err())
}

// said is what a statement does.
func said(on dbtx, query string) string {
	res, err := on.ExecContext(context.Background(), query)
	return done(query, res, err)
}

func done(query string, res sql.Result, err error) string {
	what := ""
	if err == nil {
		id, _ := res.LastInsertId()
		n, _ := res.RowsAffected()
		switch {
		case strings.Contains(query, ";"):
		case strings.HasPrefix(query, "INSERT"):
			what = fmt.Sprint(n, " rows, id ", id)
		case strings.HasPrefix(query, "DELETE"), strings.HasPrefix(query, "UPDATE"):
			what = fmt.Sprint(n, " rows")
		}
	}
	return worldOutcome(what, err)
}

// worldOutcome tells errors apart by SQLite's code.
func worldOutcome(what string, err error) string {
	var e *sqlite.Error
	switch {
	case err == nil:
		return what
	case errors.Is(err, errors.ErrUnsupported): // PRAGMA foreign_keys in a transaction, of which SQLite says nothing
		return what
	case errors.As(err, &e):
		return fmt.Sprint("code ", e.Code())
	}
	return "error"
}

// A step of the program does the same in each world.
type sessionStep func(w *sessionWorld) string

func sessionSteps(r *rand.Rand) (name string, step sessionStep) {
	word := func() string { return sessionWords[r.IntN(len(sessionWords))] }
	look := sessionLooks[r.IntN(len(sessionLooks))]
	// words without transactions of their own, for where the end of one would tell
	plain := func() string {
		for {
			if w := word(); !beginsOrEnds(w) {
				return w
			}
		}
	}
	switch r.IntN(12) {
	case 0:
		return "detach", func(w *sessionWorld) string { // outside of transactions: IMMEDIATE locks what is attached
			return said(w.db, "ROLLBACK") + " | " + said(w.db, "DETACH aside")
		}
	case 1, 2, 3:
		query := word()
		return query, func(w *sessionWorld) string { return said(w.db, query) }
	case 4, 5, 6:
		return look, func(w *sessionWorld) string { return asked(w.db, look) }
	case 7: // a transaction
		words, commit, keep := []string{plain(), plain(), plain()}, r.IntN(2) == 0, r.IntN(3) == 0
		if keep {
			words = append(words, "SAVEPOINT c", plain(), "ROLLBACK TO c", "RELEASE c")
		}
		return fmt.Sprint("tx ", words, commit), func(w *sessionWorld) string {
			tx, err := w.db.BeginTx(context.Background(), nil)
			if err != nil {
				return worldOutcome("", err)
			}
			var all []string
			for _, query := range words {
				all = append(all, said(tx, query))
			}
			all = append(all, asked(tx, look))
			if commit {
				all = append(all, worldOutcome("", tx.Commit()))
				_ = tx.Rollback()
			} else {
				all = append(all, worldOutcome("", tx.Rollback()))
			}
			return strings.Join(all, " | ")
		}
	case 8, 9: // a conn
		words := []string{plain(), plain()}
		switch r.IntN(4) {
		case 0:
			words = append([]string{"BEGIN"}, append(words, "ROLLBACK")...)
		case 1:
			words = append([]string{"SAVEPOINT d"}, append(words, "RELEASE d", "ROLLBACK")...) // here what a conn leaves open is rolled back
		case 2:
			words = []string{word()} // what is left open by one is everybody's
		}
		return fmt.Sprint("conn ", words, look), func(w *sessionWorld) string {
			conn, err := w.db.Conn(context.Background())
			if err != nil {
				return worldOutcome("", err)
			}
			var all []string
			for _, query := range words {
				all = append(all, said(conn, query))
			}
			if len(words) > 1 {
				all = append(all, asked(conn, look))
			}
			all = append(all, worldOutcome("", conn.Close()))
			return strings.Join(all, " | ")
		}
	case 10: // prepare
		query := word()
		for onSchema(query) { // compiled once, it is faulty only when it is run
			query = word()
		}
		return "prepare " + query, func(w *sessionWorld) string {
			s, err := w.db.PrepareContext(context.Background(), query)
			if err == nil {
				w.prepared = append(w.prepared, s)
			}
			return worldOutcome("", err)
		}
	default:
		which, end := r.IntN(1<<20), r.IntN(3) == 0
		return fmt.Sprint("prepared ", which), func(w *sessionWorld) string {
			if len(w.prepared) == 0 {
				return ""
			}
			i := which % len(w.prepared)
			res, err := w.prepared[i].ExecContext(context.Background())
			got := done("", res, err)
			if end {
				got += worldOutcome("", w.prepared[i].Close())
				w.prepared = append(w.prepared[:i:i], w.prepared[i+1:]...)
			}
			return got
		}
	}
}

func beginsOrEnds(query string) bool {
	for _, word := range []string{"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"} {
		if strings.HasPrefix(query, word) {
			return true
		}
	}
	return false
}

// onSchema reports a statement that is faulty at some times and at others not, or a
// PRAGMA: the driver alone acts when it is prepared, not when it is run. Of a
// script the driver prepares the beginning.
func onSchema(query string) bool {
	if strings.Contains(query, ";") {
		return true
	}
	for _, word := range []string{"CREATE", "DROP", "ALTER", "INSERT INTO mine", "INSERT INTO z", "PRAGMA"} {
		if strings.HasPrefix(query, word) {
			return true
		}
	}
	return false
}

func TestTheDBAnswersAsOneOnTheDriverAloneWithOneIdleConnectionDoes(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for seed := range uint64(rounds.Of(1, 5, 200)) {
			var trail []string
			r := rand.New(rand.NewPCG(seed, 14))
			run(t, p, "DROP TABLE IF EXISTS kid; DROP TABLE IF EXISTS late; DROP TABLE IF EXISTS mother; DROP TABLE IF EXISTS other; DROP TABLE IF EXISTS another; DROP TABLE IF EXISTS mine; PRAGMA user_version = 0")
			run(t, p, "DROP TABLE IF EXISTS child; DROP TABLE IF EXISTS parent; DROP TABLE IF EXISTS n; DROP TABLE IF EXISTS heap; DROP TABLE IF EXISTS ruled")
			run(t, p, sessionTables)
			plain, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "plain.db")+"?_pragma=foreign_keys(1)&_pragma=trusted_schema(0)")
			require.NoError(t, err)
			plain.SetMaxOpenConns(1)
			require.NoError(t, do(t.Context(), plain, sessionTables))
			ours, theirs := &sessionWorld{db: p.DB()}, &sessionWorld{db: plain}
			for range 60 {
				name, step := sessionSteps(r)
				got, want := step(ours), step(theirs)
				trail = append(trail, name+" -> "+got)
				require.Equal(t, want, got, "seed %d:\n%s", seed, strings.Join(trail, "\n"))
			}
			for _, look := range sessionLooks {
				require.Equal(t, asked(plain, look), asked(p.DB(), look), "seed %d: %s\n%s", seed, look, strings.Join(trail, "\n"))
			}
			for _, w := range []*sessionWorld{ours, theirs} {
				for _, s := range w.prepared {
					require.NoError(t, s.Close())
				}
				require.NoError(t, w.db.Close())
			}
			run(t, p, "DELETE FROM kid; DELETE FROM late") // whose mothers were deleted while foreign keys were off
			requireAtRest(t, p)
		}
	})
}
