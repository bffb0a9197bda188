package pool_test

import (
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

func TestAFailedRunLeavesItsStatementCompiled(t *testing.T) {
	besideOthers(t) // for it takes long
	times := rounds.Of(100, 1000, 1000)
	for name, c := range map[string]struct {
		query string
		args  []any
	}{
		"UNIQUE":             {"INSERT INTO n VALUES (?, 0)", []any{1}},
		"UNIQUE, RETURNING":  {"INSERT INTO n VALUES (?, 0) RETURNING id", []any{1}},
		"NOT NULL":           {"INSERT INTO ruled (v) VALUES (?)", []any{nil}},
		"CHECK":              {"UPDATE ruled SET v = ?", []any{-1}},
		"a failing function": {"SELECT abs(? - 9223372036854775807)", []any{-1}},
	} {
		for _, rows := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				p := open(t, pool.Config{MaxConns: 1})
				run(t, p, "INSERT INTO ruled (id) VALUES (1)")
				l := acquire(t, p)
				defer l.Release()
				before := p.Stats()
				for range times {
					var err error
					if rows {
						var v any
						err = l.QueryRowContext(t.Context(), c.query, c.args...).Scan(&v)
					} else {
						err = do(t.Context(), l, c.query, c.args...)
					}
					var e *sqlite.Error
					require.ErrorAs(t, err, &e)
				}
				after := p.Stats()
				require.EqualValues(t, 1, after.StatementMisses-before.StatementMisses)
				require.EqualValues(t, times-1, after.StatementHits-before.StatementHits)
			})
		}
	}
}

func TestAFailedMemberLeavesItsStatementCompiled(t *testing.T) {
	p := open(t, pool.Config{})
	const insert = "INSERT INTO n VALUES (?, 0)"
	for range 10 { // with what comes before and after it
		require.Equal(t, dberr.ErrDuplicate, dberr.Kind(send(t.Context(), p, insert, 1)))
	}
	before := p.Stats().StatementMisses
	for range 100 {
		require.Equal(t, dberr.ErrDuplicate, dberr.Kind(send(t.Context(), p, insert, 1)))
	}
	require.Equal(t, before, p.Stats().StatementMisses)
	require.NoError(t, send(t.Context(), p, insert, 2))
}

// TestAFailureIsTheDriversOwnError compares with the driver alone: type, code and
// text.
func TestAFailureIsTheDriversOwnError(t *testing.T) {
	const more = "CREATE TABLE strict (i INTEGER) STRICT; INSERT INTO ruled (id, u) VALUES (1, 1);" +
		"CREATE TRIGGER says BEFORE INSERT ON heap WHEN new.b = 'no' BEGIN SELECT RAISE(ABORT, 'no, says the trigger'); END"
	p := open(t, pool.Config{MaxConns: 1})
	run(t, p, more)
	bare, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "bare.db")+"?_pragma=foreign_keys(1)")
	require.NoError(t, err)
	defer bare.Close()
	bare.SetMaxOpenConns(1)
	require.NoError(t, do(t.Context(), bare, tables+more))
	l := acquire(t, p)
	defer l.Release()
	limitLength(t, l)
	conn := sqldbConn(t, bare)
	_, err = sqlite.Limit(conn, limitOfLength, 1_000_000)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	for _, c := range []struct {
		query string
		args  []any
	}{
		{"INSERT INTO n VALUES (1, 0)", nil},
		{"INSERT INTO n VALUES ('one', 0)", nil},
		{"INSERT INTO ruled (u) VALUES (?)", []any{1}},
		{"INSERT INTO ruled (v) VALUES (NULL)", nil},
		{"INSERT INTO ruled (v) VALUES (-1)", nil},
		{"INSERT INTO strict VALUES (?)", []any{"text with % and \u00e9"}},
		{"INSERT INTO heap VALUES ('no')", nil},
		{"INSERT INTO child VALUES (1, 99)", nil},
		{"SELECT abs(-9223372036854775808)", nil},
		{"SELECT json('{')", nil},
		{"SELECT zeroblob(3000000000)", nil},
		{"SELECT 'a' REGEXP '('", nil},
		{"INSERT INTO nowhere VALUES (1)", nil},
		{"SELECT printf('%.*c', 2000000, 'x')", nil},
	} {
		for range 2 {
			var want, got *sqlite.Error
			require.ErrorAs(t, do(t.Context(), bare, c.query, c.args...), &want, c.query)
			err := do(t.Context(), l, c.query, c.args...)
			require.ErrorAs(t, err, &got, c.query)
			require.Equal(t, want, got)
			require.Equal(t, want.Error(), err.Error(), "as it is")
			code, ok := pool.Code(err)
			require.True(t, ok)
			require.Equal(t, want.Code(), code)
		}
	}
}

// limitOfLength is SQLITE_LIMIT_LENGTH (https://www.sqlite.org/c3ref/limit.html).
const limitOfLength = 0

// limitLength has nothing longer than a million bytes on a lease.
func limitLength(t *testing.T, l *pool.Lease) {
	t.Helper()
	require.NoError(t, l.Raw(t.Context(), func(conn driver.Conn) error {
		db := sql.OpenDB(theOne{conn})
		c, err := db.Conn(t.Context())
		require.NoError(t, err)
		require.NoError(t, db.Close())
		_, err = sqlite.Limit(c, limitOfLength, 1_000_000)
		return err
	}))
}

func TestAnArgumentThatIsTooBigIsTheDriversError(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	l := acquire(t, p)
	limitLength(t, l)
	err := do(t.Context(), l, "SELECT ?", strings.Repeat("x", 1_000_001))
	require.NoError(t, do(t.Context(), l, "SELECT ?", strings.Repeat("x", 1_000_000)))
	l.Release()
	var e *sqlite.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 18, e.Code())
	require.ErrorContains(t, err, "string or blob too big (18)")
	require.EqualValues(t, 1, get(t, p, "SELECT 1"))
}
