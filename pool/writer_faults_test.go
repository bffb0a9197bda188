package pool_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// 1
func TestAWriterOfAReadOnlyPoolIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	require.NoError(t, open(t, pool.Config{Path: path}).Close())
	p, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	require.ErrorIs(t, send(t.Context(), p, insert, 2), pool.ErrReadOnly)
	require.ErrorIs(t, sendRows(t.Context(), p, insert+" RETURNING id", 2), pool.ErrReadOnly)
	var id int64
	require.ErrorIs(t, p.Writer().QueryRowContext(t.Context(), insert+" RETURNING id", 2).Scan(&id), pool.ErrReadOnly)
}

// 2, 3, 4
func TestHalfAStatementThatFailedIsNeverCommitted(t *testing.T) {
	besideOthers(t) // for it takes long
	for _, bad := range []struct {
		name, query string
		known, args []any
	}{
		{"a wrong type in a STRICT table", "INSERT INTO typed VALUES (?), (?)", []any{1, 2}, []any{3, "x"}},
		{"an UPDATE of a STRICT table", "UPDATE typed SET a = iif(a = 10, ?, ?)", []any{10, 11}, []any{3, "x"}},
		{"an aggregate that overflows", "INSERT INTO heap SELECT sum(x) FROM many WHERE x <= ? GROUP BY x > 1", []any{1}, []any{int64(9223372036854775807)}},
		{"a subquery that overflows", "UPDATE many SET x = iif(x = 1, 7, (SELECT sum(m.x + ?) FROM many AS m WHERE m.x > 1))", []any{int64(-9223372036854775800)}, []any{0}},
		{"OR FAIL within a BEFORE trigger", "INSERT INTO quiet VALUES (?)", []any{"well"}, []any{"twice"}},
		{"OR FAIL within an INSTEAD OF trigger", "INSERT INTO keys VALUES (?)", []any{1}, []any{"twice"}},
		{"triggers nested too deep", "INSERT INTO deep VALUES (?)", []any{2000}, []any{0}},
		{"a script that creates", "CREATE TABLE made (a); INSERT INTO n VALUES (1, 0)", nil, nil},
		{"a script that drops", "DROP TABLE heap; INSERT INTO n VALUES (1, 0)", nil, nil},
		{"a script that sets", "PRAGMA user_version = 7; INSERT INTO n VALUES (1, 0)", nil, nil},
	} {
		for _, at := range []int{0, 2} {
			t.Run(bad.name, func(t *testing.T) {
				everywhere(t, pool.Config{Pragmas: map[string]string{"recursive_triggers": "on"}}, func(t *testing.T, p *pool.Pool) {
					run(t, p, writerTables+`
						CREATE TABLE typed (a INTEGER) STRICT; INSERT INTO typed VALUES (10), (11);
						CREATE TABLE many (x); INSERT INTO many VALUES (1), (9223372036854775807), (9223372036854775807);
						CREATE TRIGGER twice BEFORE INSERT ON quiet WHEN new.k = 'twice' BEGIN INSERT INTO failing VALUES (50), (51), (50); END;
						CREATE VIEW keys AS SELECT k FROM failing;
						CREATE TRIGGER instead INSTEAD OF INSERT ON keys WHEN new.k = 'twice' BEGIN INSERT INTO failing VALUES (50), (51), (50); END;
						CREATE TABLE deep (a); CREATE TRIGGER deeper AFTER INSERT ON deep WHEN new.a < 1500 BEGIN INSERT INTO deep VALUES (new.a + 1); END;`)
					know(t, p, insert, 3)
					if bad.known != nil {
						require.NoError(t, send(t.Context(), p, bad.query, bad.known...))
					}
					run(t, p, "DELETE FROM heap; UPDATE many SET x = 1 WHERE rowid = 1; UPDATE many SET x = 9223372036854775807 WHERE rowid > 1")
					contentsNow := func() string { return readContents(t, p) }
					run(t, p, "INSERT INTO n VALUES (100, 0), (101, 0)")
					want := contentsNow()
					run(t, p, "DELETE FROM n WHERE id >= 100")
					queue := []func(){sends(t, p, insert, 100), sends(t, p, insert, 101)}
					failing := func() { assert.Error(t, send(t.Context(), p, bad.query, bad.args...)) }
					if at == 0 {
						queue = append([]func(){failing}, queue...)
					} else {
						queue = append(queue, failing)
					}
					lineUp(t, p, queue...)
					require.Equal(t, want, contentsNow())
				})
			})
		}
	}
}

// 3b
func TestASchemaChangeThatWasCancelledIsNotCommitted(t *testing.T) {
	p := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	name := onSignal(t, cancel)
	lineUp(t, p, sends(t, p, insert, 100), func() {
		assert.ErrorIs(t, sendRows(ctx, p, "CREATE TABLE made AS SELECT signal('"+name+"') AS a"), context.Canceled)
	})
	require.Zero(t, get(t, p, "SELECT count(*) FROM sqlite_schema WHERE name = 'made'"))
}

// 5
func TestAWritersColumnTypesAreToldBesideATimeToo(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, "CREATE TABLE moments (id INTEGER PRIMARY KEY, at DATETIME)")
	rows, err := p.Writer().QueryContext(t.Context(), "INSERT INTO moments (at) VALUES (?) RETURNING id, at", time.Now())
	require.NoError(t, err)
	defer rows.Close()
	types, err := rows.ColumnTypes()
	require.NoError(t, err)
	require.Equal(t, "INTEGER", types[0].DatabaseTypeName())
	require.Equal(t, "DATETIME", types[1].DatabaseTypeName())
}

// 6
func TestAFunctionInTheSchemaExitsInItsOwnMember(t *testing.T) {
	for name, schema := range map[string]string{
		"a CHECK":         "CREATE TABLE checked (a CHECK (leave(a, 'exit')))",
		"a later trigger": "CREATE TABLE checked (a)",
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, pool.Config{Pragmas: map[string]string{"trusted_schema": "on"}})
			const query = "INSERT INTO checked VALUES (?)"
			run(t, p, schema)
			know(t, p, query, 1)
			if name == "a later trigger" {
				know(t, p, "CREATE TRIGGER later AFTER INSERT ON checked BEGIN SELECT leave(new.a, 'exit'); END")
			}
			var returned [3]bool
			var queue []func()
			for i := range returned {
				queue = append(queue, func() {
					var wg sync.WaitGroup
					wg.Go(func() {
						_ = send(t.Context(), p, query, 2+i) // 3 exits
						returned[i] = true
					})
					wg.Wait()
				})
			}
			lineUp(t, p, queue...)
			require.Equal(t, [3]bool{true, false, true}, returned)
		})
	}
}
