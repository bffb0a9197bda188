package pool_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// sqldbEverywhere runs a test in each journal mode and in memory, with several
// connections and, unless time is short, with one, on a pool whose own work must
// never be BUSY.
func sqldbEverywhere(t *testing.T, test func(t *testing.T, p *pool.Pool)) {
	for _, conns := range []int{4, 1}[:rounds.Of(1, 2, 2)] {
		t.Run(fmt.Sprintf("MaxConns %d", conns), func(t *testing.T) {
			everywhere(t, pool.Config{MaxConns: conns, MinConns: conns, BusyTimeout: -1}, test)
		})
	}
}

func sqldbConn(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	return conn
}

// sqldbCount counts the rows of n that a test added.
func sqldbCount(t *testing.T, on dbtx) int64 {
	t.Helper()
	n, err := number(t.Context(), on, "SELECT count(*) FROM n WHERE id >= 10")
	require.NoError(t, err)
	return n
}

// sqldbDescriptors lists the files in dir that this process has open.
func sqldbDescriptors(t *testing.T, dir string) (open []string) {
	t.Helper()
	links, _ := filepath.Glob("/proc/self/fd/*") // none but on Linux
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil && strings.HasPrefix(name, dir) {
			open = append(open, name)
		}
	}
	return open
}

func TestEachOperationOfTheDBGivesItsLeaseBack(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		ctx, db := t.Context(), p.DB()
		stmt, err := db.PrepareContext(ctx, "SELECT v FROM n WHERE id = ?")
		require.NoError(t, err)
		defer stmt.Close()
		var v int
		scan := func(row *sql.Row) error { return row.Scan(&v) }
		for name, operation := range map[string]func() error{
			"exec":     func() error { return do(ctx, db, "UPDATE n SET v = 7") },
			"query":    func() error { return scan(db.QueryRowContext(ctx, "SELECT v FROM n")) },
			"write":    func() error { return scan(db.QueryRowContext(ctx, "UPDATE n SET v = 7 RETURNING v")) },
			"prepared": func() error { return scan(stmt.QueryRowContext(ctx, 1)) },
			"ping":     func() error { return db.PingContext(ctx) },
			"commit": func() error {
				tx, err := db.BeginTx(ctx, nil)
				return errors.Join(err, do(ctx, tx, "UPDATE n SET v = 7"), tx.Commit())
			},
			"rollback": func() error {
				tx, err := db.BeginTx(ctx, nil)
				return errors.Join(err, do(ctx, tx, "DELETE FROM n"), tx.Rollback())
			},
			"conn": func() error {
				conn, err := db.Conn(ctx)
				return errors.Join(err, do(ctx, conn, "UPDATE n SET v = 7"), conn.Close())
			},
			"rows": func() error {
				rows, err := db.QueryContext(ctx, "SELECT 1 UNION SELECT 2")
				return errors.Join(err, rows.Err(), rows.Close())
			},
		} {
			require.NoError(t, operation(), name)
			require.Zero(t, p.Stats().InUse, name)
		}

		for name, failing := range map[string]func() error{
			"syntax":  func() error { return do(ctx, db, "SELEKT") },
			"prepare": func() error { _, err := db.PrepareContext(ctx, "SELECT nothing FROM nowhere"); return err },
			"no rows": func() error { return scan(db.QueryRowContext(ctx, "SELECT v FROM n WHERE id = 99")) },
			"scan":    func() error { return scan(db.QueryRowContext(ctx, "SELECT 'text'")) },
			"binding": func() error { return scan(stmt.QueryRowContext(ctx)) },
			"begin": func() error {
				_, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSnapshot})
				return err
			},
			"unique": func() error { return do(ctx, db, "INSERT INTO n VALUES (1, 1)") },
		} {
			require.Error(t, failing(), name)
			require.Zero(t, p.Stats().InUse, name)
		}
		requireAtRest(t, p)
	})
}

func TestBeginTxChoosesTheLockByTheIsolationLevel(t *testing.T) {
	// In a rollback journal each level shows to another connection.
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path, JournalMode: "delete"})
	outsider, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(0)")
	require.NoError(t, err)
	defer outsider.Close()
	outsider.SetMaxOpenConns(1)
	mayRead := func() bool {
		_, err := number(t.Context(), outsider, "SELECT count(*) FROM n")
		return err == nil
	}
	mayWrite := func() bool { return do(t.Context(), outsider, "BEGIN IMMEDIATE; ROLLBACK") == nil }

	for _, test := range []struct {
		name        string
		opts        *sql.TxOptions
		read, write bool
	}{
		{"none", nil, true, false},
		{"default", &sql.TxOptions{}, true, false},
		{"serializable", &sql.TxOptions{Isolation: sql.LevelSerializable}, true, false},
		{"linearizable", &sql.TxOptions{Isolation: sql.LevelLinearizable}, false, false},
		{"read-only", &sql.TxOptions{ReadOnly: true}, true, true},
		{"read-only, linearizable", &sql.TxOptions{Isolation: sql.LevelLinearizable, ReadOnly: true}, true, true},
	} {
		tx, err := p.DB().BeginTx(t.Context(), test.opts)
		require.NoError(t, err, test.name)
		require.Equal(t, test.read, mayRead(), test.name)
		require.Equal(t, test.write, mayWrite(), test.name)
		require.NoError(t, tx.Commit(), test.name)
		require.True(t, mayWrite(), test.name)
	}
	requireAtRest(t, p)
}

func TestBeginTxRefusesOtherIsolationLevelsByName(t *testing.T) {
	p := open(t, pool.Config{})
	for _, level := range []sql.IsolationLevel{
		sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelWriteCommitted,
		sql.LevelRepeatableRead, sql.LevelSnapshot, sql.IsolationLevel(99),
	} {
		for _, readOnly := range []bool{false, true} {
			_, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{Isolation: level, ReadOnly: readOnly})
			require.ErrorIs(t, err, pool.ErrConfig)
			require.ErrorContains(t, err, level.String())
			var own *pool.Error
			require.ErrorAs(t, err, &own)
		}
	}
	requireAtRest(t, p)
}

func TestATransactionOfTheDBCommitsOrRollsBack(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for i, opts := range []*sql.TxOptions{nil, {Isolation: sql.LevelSerializable}, {Isolation: sql.LevelLinearizable}} {
			for _, commit := range []bool{true, false} {
				tx, err := p.DB().BeginTx(t.Context(), opts)
				require.NoError(t, err)
				require.NoError(t, do(t.Context(), tx, "INSERT INTO n VALUES (?, 1)", 10+i))
				if commit {
					require.NoError(t, tx.Commit())
					require.NoError(t, do(t.Context(), p.DB(), "UPDATE n SET id = -id WHERE id = ?", 10+i))
				} else {
					require.NoError(t, tx.Rollback())
				}
				require.ErrorIs(t, tx.Commit(), sql.ErrTxDone)
				require.ErrorIs(t, tx.Rollback(), sql.ErrTxDone)
				require.ErrorIs(t, do(t.Context(), tx, "SELECT 1"), sql.ErrTxDone)
				require.Zero(t, sqldbCount(t, p.DB()))
			}
		}
		require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM n WHERE id <= -10"))
		require.EqualValues(t, 3, p.Stats().RolledBack)
		requireAtRest(t, p)
	})
}

func TestAReadOnlyTransactionOfTheDBIsAView(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		tx, err := p.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		require.NoError(t, err)
		defer tx.Rollback()
		for _, write := range []string{
			"INSERT INTO n VALUES (10, 1)", "DELETE FROM n", "UPDATE n SET v = 1", "CREATE TABLE x (a)", "DROP TABLE n",
			"PRAGMA user_version = 7", "SELECT 1; INSERT INTO n VALUES (10, 1)", "WITH c AS (SELECT 1) INSERT INTO n SELECT 10, 1 FROM c",
		} {
			require.ErrorIs(t, do(ctx, tx, write), pool.ErrReadOnly, write)
			stmt, err := tx.PrepareContext(ctx, write)
			require.NoError(t, err)
			_, err = stmt.ExecContext(ctx)
			require.ErrorIs(t, err, pool.ErrReadOnly, write)
		}
		var id int
		require.ErrorIs(t, tx.QueryRowContext(ctx, "INSERT INTO n VALUES (10, 1) RETURNING id").Scan(&id), pool.ErrReadOnly)
		require.Zero(t, sqldbCount(t, tx), "it reads on")
		require.NoError(t, tx.Commit())
		require.Zero(t, sqldbCount(t, p.DB()))
		requireAtRest(t, p)
	})
}

func TestAReadOnlyTransactionOfTheDBReadsOneSnapshot(t *testing.T) {
	p := open(t, pool.Config{})
	tx, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	require.Zero(t, sqldbCount(t, tx))
	require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (10, 1)"))
	require.Zero(t, sqldbCount(t, tx))
	require.NoError(t, tx.Rollback())
	require.EqualValues(t, 1, sqldbCount(t, p.DB()))
}

func TestATransactionOfTheDBIsRolledBackWhenItsContextEnds(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for _, opts := range []*sql.TxOptions{nil, {Isolation: sql.LevelLinearizable}} {
			ctx, cancel := context.WithCancel(t.Context())
			tx, err := p.DB().BeginTx(ctx, opts)
			require.NoError(t, err)
			require.NoError(t, do(t.Context(), tx, "INSERT INTO n VALUES (10, 1)"))
			cancel()
			require.Error(t, tx.Commit())
			waitFor(t, "the lease is back", func() bool { return p.Stats().InUse == 0 })
			require.ErrorIs(t, tx.Commit(), sql.ErrTxDone)
			require.ErrorIs(t, do(t.Context(), tx, "INSERT INTO n VALUES (11, 1)"), sql.ErrTxDone)
			require.Zero(t, sqldbCount(t, p.DB()))
		}
		requireAtRest(t, p)
	})
}

func TestAStatementThatRunsWhenItsTransactionsContextEndsIsInterrupted(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		tx, err := p.DB().BeginTx(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (10, 1)"))
		require.ErrorIs(t, do(ctx, tx, "INSERT INTO n VALUES (11, ("+endless(onSignal(t, cancel))+"))"), context.Canceled)
		require.Error(t, tx.Commit())
		waitFor(t, "the lease is back", func() bool { return p.Stats().InUse == 0 })
		require.Zero(t, sqldbCount(t, p.DB()))
		requireAtRest(t, p)
	})
}

func TestATransactionOfTheDBThatSQLiteRolledBackIsLost(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		tx, err := p.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, do(t.Context(), tx, "INSERT INTO n VALUES (10, 1)"))
		require.Error(t, do(t.Context(), tx, "INSERT INTO n VALUES (11, -13)"))
		require.ErrorIs(t, do(t.Context(), tx, "INSERT INTO n VALUES (12, 1)"), pool.ErrTxLost)
		require.ErrorIs(t, tx.Commit(), pool.ErrTxLost)
		require.Zero(t, sqldbCount(t, p.DB()))
		requireAtRest(t, p)
	})
}

func TestTransactionControlAsTextWorksOnAPinnedConn(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for _, words := range [][3]string{
			{"BEGIN", "COMMIT", "ROLLBACK"},
			{"BEGIN DEFERRED TRANSACTION", "END TRANSACTION", "ROLLBACK TRANSACTION"},
			{"begin immediate", "commit transaction", "rollback"},
			{" BEGIN EXCLUSIVE ; ", "END;", "ROLLBACK -- all of it"},
			{"SAVEPOINT outermost", "RELEASE outermost", "ROLLBACK TO outermost; RELEASE outermost"},
		} {
			begin, commit, rollback := words[0], words[1], words[2]
			conn := sqldbConn(t, p.DB())
			require.NoError(t, do(t.Context(), conn, begin), begin)
			require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (10, 1)"))
			require.NoError(t, do(t.Context(), conn, rollback), rollback)
			require.Zero(t, sqldbCount(t, conn), rollback)

			require.NoError(t, do(t.Context(), conn, begin), begin)
			require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (10, 1)"))
			require.NoError(t, do(t.Context(), conn, "SAVEPOINT inner"))
			require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (11, 1)"))
			require.NoError(t, do(t.Context(), conn, "ROLLBACK TO inner"))
			require.NoError(t, do(t.Context(), conn, "RELEASE inner"))
			require.NoError(t, do(t.Context(), conn, commit), commit)
			require.EqualValues(t, 1, sqldbCount(t, conn), commit)
			require.Error(t, do(t.Context(), conn, "COMMIT"), "nothing is open")
			require.NoError(t, conn.Close())

			require.EqualValues(t, 1, sqldbCount(t, p.DB()), commit)
			require.NoError(t, do(t.Context(), p.DB(), "DELETE FROM n WHERE id >= 10"))
			requireAtRest(t, p)
		}
	})
}

func TestPreparedTransactionControlWorksOnAPinnedConn(t *testing.T) {
	p := open(t, pool.Config{})
	conn := sqldbConn(t, p.DB())
	for range 3 {
		for _, text := range []string{"BEGIN IMMEDIATE", "INSERT INTO n(v) VALUES (1)", "COMMIT"} {
			stmt, err := conn.PrepareContext(t.Context(), text)
			require.NoError(t, err)
			_, err = stmt.ExecContext(t.Context())
			require.NoError(t, err)
			require.NoError(t, stmt.Close())
		}
	}
	require.NoError(t, conn.Close())
	require.EqualValues(t, 4, get(t, p, "SELECT count(*) FROM n"))
	requireAtRest(t, p)
}

func TestASecondWriterWaitsForATransactionBegunAsText(t *testing.T) {
	for _, begin := range []string{"BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "SAVEPOINT s"} {
		t.Run(begin, func(t *testing.T) {
			sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
				conn := sqldbConn(t, p.DB())
				require.NoError(t, do(t.Context(), conn, begin))
				require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (10, 1)"))
				var wg sync.WaitGroup
				for i, second := range []func() error{
					func() error { return p.InTx(t.Context(), pool.Immediate, doing("INSERT INTO n VALUES (11, 1)")) },
					func() error { return do(t.Context(), p.DB(), "INSERT INTO n VALUES (12, 1)") },
					func() error {
						tx, err := p.DB().BeginTx(t.Context(), nil)
						if err != nil {
							return err
						}
						return errors.Join(do(t.Context(), tx, "INSERT INTO n VALUES (13, 1)"), tx.Commit())
					},
				} {
					wg.Go(func() { assert.NoError(t, second()) })
					waitFor(t, "it waits", func() bool { return p.Stats().Waiting == i+1 })
				}
				require.EqualValues(t, 1, sqldbCount(t, conn), "they wait")
				commit := "COMMIT"
				if begin == "SAVEPOINT s" {
					commit = "RELEASE s"
				}
				require.NoError(t, do(t.Context(), conn, commit))
				require.NoError(t, conn.Close()) // with one connection they wait for that
				wg.Wait()
				require.EqualValues(t, 4, sqldbCount(t, p.DB()))
				requireAtRest(t, p)
			})
		})
	}
}

func TestAConnClosedInATransactionBegunAsTextIsRolledBack(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for _, begin := range []string{"BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "SAVEPOINT s"} {
			conn := sqldbConn(t, p.DB())
			require.NoError(t, do(t.Context(), conn, begin))
			require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (10, 1)"))
			require.NoError(t, conn.Close())
			require.Zero(t, sqldbCount(t, p.DB()), begin)

			next := sqldbConn(t, p.DB())
			require.Error(t, do(t.Context(), next, "COMMIT"), "no transaction is open")
			require.NoError(t, do(t.Context(), next, "BEGIN"))
			require.NoError(t, do(t.Context(), next, "ROLLBACK"))
			require.NoError(t, next.Close())
			requireAtRest(t, p)
		}
	})
}

func TestATransactionOfTheDBIsNotEndedByText(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		tx, err := p.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, do(t.Context(), tx, "INSERT INTO n VALUES (10, 1)"))
		for _, text := range []string{"COMMIT", "END", "ROLLBACK", "BEGIN", "SELECT 1; COMMIT; BEGIN"} {
			require.ErrorIs(t, do(t.Context(), tx, text), pool.ErrTxControl, text)
		}
		require.EqualValues(t, 1, sqldbCount(t, tx), "it is alive")
		require.NoError(t, tx.Rollback())
		require.Zero(t, sqldbCount(t, p.DB()))
		requireAtRest(t, p)
	})
}

func TestAConnHasOneTransactionAtATime(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		conn := sqldbConn(t, p.DB())
		defer conn.Close()
		for _, opts := range []*sql.TxOptions{nil, {ReadOnly: true}} {
			tx, err := conn.BeginTx(t.Context(), opts)
			require.NoError(t, err)
			_, err = conn.BeginTx(t.Context(), nil)
			require.Error(t, err)
			_, err = conn.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
			require.Error(t, err)
			require.ErrorIs(t, do(t.Context(), conn, "COMMIT"), pool.ErrTxControl, "what the Conn sends is in the transaction too")
			require.NoError(t, tx.Commit())
		}

		require.NoError(t, do(t.Context(), conn, "BEGIN"))
		_, err := conn.BeginTx(t.Context(), nil)
		require.Error(t, err)
		require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (10, 1)"))
		require.NoError(t, do(t.Context(), conn, "COMMIT"), "that of the text is alive")
		require.EqualValues(t, 1, sqldbCount(t, conn))
		require.NoError(t, conn.Close())
		requireAtRest(t, p)
	})
}

func TestAStatementPreparedOnTheDBRunsOnAnyLease(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		insert, err := p.DB().PrepareContext(t.Context(), "INSERT INTO n VALUES (?, ?)")
		require.NoError(t, err)
		count, err := p.DB().PrepareContext(t.Context(), "SELECT count(*) FROM n WHERE id >= ?")
		require.NoError(t, err)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_, err := insert.ExecContext(t.Context(), 10+i, i)
				assert.NoError(t, err)
				var n int
				assert.NoError(t, count.QueryRowContext(t.Context(), 10).Scan(&n))
				assert.Positive(t, n)
			})
		}
		wg.Wait()
		require.EqualValues(t, 20, sqldbCount(t, p.DB()))
		require.NoError(t, insert.Close())
		require.NoError(t, count.Close())
		_, err = insert.ExecContext(t.Context(), 50, 1)
		require.Error(t, err)
		requireAtRest(t, p)
	})
}

func TestAStatementPreparedForATransactionIsPartOfIt(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		general, err := p.DB().PrepareContext(ctx, "INSERT INTO n VALUES (?, 1)")
		require.NoError(t, err)
		defer general.Close()
		tx, err := p.DB().BeginTx(ctx, nil)
		require.NoError(t, err)
		own, err := tx.PrepareContext(ctx, "INSERT INTO n VALUES (?, 1)")
		require.NoError(t, err)
		for i := range 5 {
			_, err = own.ExecContext(ctx, 10+2*i)
			require.NoError(t, err)
			_, err = tx.StmtContext(ctx, general).ExecContext(ctx, 11+2*i)
			require.NoError(t, err)
		}
		require.EqualValues(t, 10, sqldbCount(t, tx))
		require.NoError(t, tx.Rollback())
		require.Zero(t, sqldbCount(t, p.DB()))

		_, err = own.ExecContext(ctx, 10)
		require.Error(t, err, "it ended with its transaction")
		_, err = general.ExecContext(ctx, 10)
		require.NoError(t, err, "this one did not")
		require.EqualValues(t, 1, sqldbCount(t, p.DB()))
		requireAtRest(t, p)
	})
}

func TestAStatementPreparedOnAConnFollowsItsTransactionsAndEndsWithIt(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		conn := sqldbConn(t, p.DB())
		stmt, err := conn.PrepareContext(ctx, "INSERT INTO n VALUES (?, 1)")
		require.NoError(t, err)
		defer stmt.Close()
		tx, err := conn.BeginTx(ctx, nil)
		require.NoError(t, err)
		_, err = tx.StmtContext(ctx, stmt).ExecContext(ctx, 10)
		require.NoError(t, err)
		require.NoError(t, tx.Rollback())
		require.Zero(t, sqldbCount(t, conn))

		require.NoError(t, do(ctx, conn, "BEGIN"))
		_, err = stmt.ExecContext(ctx, 10)
		require.NoError(t, err)
		require.NoError(t, do(ctx, conn, "ROLLBACK"))
		require.Zero(t, sqldbCount(t, conn))

		_, err = stmt.ExecContext(ctx, 10)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		_, err = stmt.ExecContext(ctx, 11)
		require.ErrorIs(t, err, sql.ErrConnDone)
		_, err = stmt.QueryContext(ctx, 11)
		require.ErrorIs(t, err, sql.ErrConnDone)
		require.EqualValues(t, 1, sqldbCount(t, p.DB()))
		requireAtRest(t, p)
	})
}

func TestALoopOverAPreparedQueryMayRunTheSameInside(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 5})
	ctx := t.Context()
	require.NoError(t, do(ctx, p.DB(), "INSERT INTO n VALUES (2, 0), (3, 0)"))
	conn := sqldbConn(t, p.DB())
	defer conn.Close()
	tx, err := p.DB().BeginTx(ctx, nil)
	require.NoError(t, err)
	defer tx.Rollback()

	for name, on := range map[string]dbtx{"DB": p.DB(), "Conn": conn, "Tx": tx} {
		for _, with := range []struct {
			text string
			args []any
		}{{"SELECT id FROM n ORDER BY id", nil}, {"SELECT id FROM n WHERE id >= ? ORDER BY id", []any{1}}} {
			stmt, err := on.PrepareContext(ctx, with.text)
			require.NoError(t, err, name)
			ids := func(each func()) (ids []int) {
				rows, err := stmt.QueryContext(ctx, with.args...)
				require.NoError(t, err, name)
				defer rows.Close()
				for rows.Next() {
					var id int
					require.NoError(t, rows.Scan(&id), name)
					ids = append(ids, id)
					each()
				}
				require.NoError(t, rows.Err(), name)
				return ids
			}
			require.Equal(t, []int{1, 2, 3}, ids(func() {
				require.Equal(t, []int{1, 2, 3}, ids(func() {}), name)
			}), name)
			require.NoError(t, stmt.Close())
		}
	}
}

func TestRowsLeftOpenEndWithTheirTransaction(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for _, query := range []string{"SELECT 1 UNION SELECT 2", "INSERT INTO n(v) VALUES (1), (2), (3) RETURNING id"} {
			for _, commit := range []bool{true, false} {
				tx, err := p.DB().BeginTx(t.Context(), nil)
				require.NoError(t, err)
				rows, err := tx.QueryContext(t.Context(), query)
				require.NoError(t, err)
				require.True(t, rows.Next())
				if commit {
					require.NoError(t, tx.Commit())
				} else {
					require.NoError(t, tx.Rollback())
				}
				require.False(t, rows.Next())
				require.NoError(t, rows.Close())
			}
		}
		require.EqualValues(t, 4, get(t, p, "SELECT count(*) FROM n"))
		requireAtRest(t, p)
	})
}

func TestRowsLeftOpenHoldTheirLeaseUntilTheirContextEnds(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		ctx, cancel := context.WithCancel(t.Context())
		rows, err := p.DB().QueryContext(ctx, "INSERT INTO n VALUES (10, 1), (11, 1) RETURNING id")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.Equal(t, 1, p.Stats().InUse)
		cancel()
		waitFor(t, "the lease is back", func() bool { return p.Stats().InUse == 0 })
		require.False(t, rows.Next())
		require.ErrorIs(t, rows.Err(), context.Canceled)
		requireAtRest(t, p)
	})
}

// sqldbContext is a context that ends on demand, with an error of choice.
type sqldbContext struct {
	context.Context
	done chan struct{}
	err  error
}

func (c sqldbContext) Done() <-chan struct{} { return c.done }

func (c sqldbContext) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

func TestAContextThatEndsBetweenRowsIsTheRowsError(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		conn := sqldbConn(t, p.DB())
		defer conn.Close()
		for _, expected := range []error{context.Canceled, context.DeadlineExceeded} {
			for _, on := range []dbtx{p.DB(), conn} {
				ctx := sqldbContext{t.Context(), make(chan struct{}), expected}
				rows, err := on.QueryContext(ctx, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c")
				require.NoError(t, err)
				require.True(t, rows.Next())
				close(ctx.done)
				require.False(t, rows.Next())
				require.ErrorIs(t, rows.Err(), expected)
				require.NoError(t, rows.Close())
			}
		}
		require.NoError(t, do(t.Context(), conn, "SELECT 1"), "the connection goes on")
		require.NoError(t, conn.Close())
		requireAtRest(t, p)
	})
}

func TestAContextThatEndsDuringAStepIsTheOperationsError(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for name, operation := range map[string]func(ctx context.Context, query string) error{
			"exec":   func(ctx context.Context, query string) error { return do(ctx, p.DB(), query) },
			"query":  func(ctx context.Context, query string) error { _, err := number(ctx, p.DB(), query); return err },
			"script": func(ctx context.Context, query string) error { return do(ctx, p.DB(), "SELECT 1; "+query) },
			"prepared": func(ctx context.Context, query string) error {
				stmt, err := p.DB().PrepareContext(ctx, query)
				require.NoError(t, err)
				defer stmt.Close()
				_, err = stmt.ExecContext(ctx)
				return err
			},
			"a later row": func(ctx context.Context, query string) error {
				rows, err := p.DB().QueryContext(ctx, "SELECT 0 UNION ALL SELECT * FROM ("+query+")")
				require.NoError(t, err)
				defer rows.Close()
				require.True(t, rows.Next())
				require.False(t, rows.Next())
				return rows.Err()
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			require.ErrorIs(t, operation(ctx, endless(onSignal(t, cancel))), context.Canceled, name)
			waitFor(t, "the lease is back", func() bool { return p.Stats().InUse == 0 })
		}
		requireAtRest(t, p)
	})
}

func TestAContextThatEndedGetsNothingFromTheDB(t *testing.T) {
	p := open(t, pool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	db := p.DB()
	require.ErrorIs(t, do(ctx, db, "INSERT INTO n VALUES (10, 1)"), context.Canceled)
	require.ErrorIs(t, db.PingContext(ctx), context.Canceled)
	_, err := db.BeginTx(ctx, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = db.Conn(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = db.PrepareContext(ctx, "SELECT 1")
	require.ErrorIs(t, err, context.Canceled)
	_, err = number(ctx, db, "SELECT 1")
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, sqldbCount(t, db))
	requireAtRest(t, p)
}

func TestRawGivesADriverConnectionThatKeepsThePoolsRules(t *testing.T) {
	p := open(t, pool.Config{})
	conn := sqldbConn(t, p.DB())
	require.NoError(t, conn.Raw(func(under any) error {
		c, ok := under.(interface {
			driver.Conn
			driver.ExecerContext
			driver.QueryerContext
			driver.ConnPrepareContext
			driver.ConnBeginTx
			driver.Pinger
		})
		require.True(t, ok, "%T", under)
		require.NoError(t, c.Ping(t.Context()))
		_, err := c.ExecContext(t.Context(), "BEGIN IMMEDIATE", nil)
		require.NoError(t, err)
		stmt, err := c.Prepare("INSERT INTO n VALUES (?, ?)")
		require.NoError(t, err)
		_, err = stmt.(driver.StmtExecContext).ExecContext(t.Context(), []driver.NamedValue{{Ordinal: 1, Value: int64(10)}, {Ordinal: 2, Value: int64(1)}})
		require.NoError(t, err)
		require.NoError(t, stmt.Close())
		tx, err := c.BeginTx(t.Context(), driver.TxOptions{})
		require.Error(t, err, "one is open")
		require.Nil(t, tx)
		return nil
	}))
	require.EqualValues(t, 1, sqldbCount(t, conn))
	require.Zero(t, sqldbCount(t, p.DB()), "not yet committed")
	require.NoError(t, do(t.Context(), conn, "COMMIT"))
	require.NoError(t, conn.Close())
	require.EqualValues(t, 1, sqldbCount(t, p.DB()))

	conn = sqldbConn(t, p.DB())
	require.Same(t, errOurs, conn.Raw(func(any) error { return errOurs }), "unchanged")
	require.NoError(t, do(t.Context(), conn, "SELECT 1"))
	require.NoError(t, conn.Close())
	require.ErrorIs(t, conn.Raw(func(any) error { return nil }), sql.ErrConnDone)
	requireAtRest(t, p)
}

func TestADriverConnectionClosedThroughRawHarmsNobody(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		conn := sqldbConn(t, p.DB())
		require.NoError(t, do(t.Context(), conn, "BEGIN"))
		require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (10, 1)"))
		var kept driver.Conn
		var stmt driver.Stmt
		require.NoError(t, conn.Raw(func(under any) (err error) {
			kept = under.(driver.Conn)
			stmt, err = kept.Prepare("INSERT INTO n VALUES (11, 1)")
			require.NoError(t, err)
			require.NoError(t, kept.Close())
			return kept.Close()
		}))
		require.Zero(t, p.Stats().InUse)

		next := sqldbConn(t, p.DB()) // the same connection underneath
		require.NoError(t, do(t.Context(), next, "BEGIN; INSERT INTO n VALUES (12, 1)"))
		require.ErrorIs(t, do(t.Context(), conn, "COMMIT"), pool.ErrReleased)
		_, err := conn.BeginTx(t.Context(), nil)
		require.ErrorIs(t, err, pool.ErrReleased)
		_, err = kept.Prepare("SELECT 1")
		require.ErrorIs(t, err, pool.ErrReleased)
		_, err = stmt.(driver.StmtExecContext).ExecContext(t.Context(), nil)
		require.ErrorIs(t, err, pool.ErrReleased)
		require.NoError(t, conn.Close())
		require.NoError(t, kept.Close())
		require.EqualValues(t, 1, sqldbCount(t, next))
		require.NoError(t, do(t.Context(), next, "COMMIT"))
		require.NoError(t, next.Close())
		require.EqualValues(t, 1, sqldbCount(t, p.DB()))
		requireAtRest(t, p)
	})
}

func TestAConnCalledBadThroughRawIsGivenBack(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		conn := sqldbConn(t, p.DB())
		require.NoError(t, do(t.Context(), conn, "BEGIN"))
		require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (10, 1)"))
		require.ErrorIs(t, conn.Raw(func(any) error { return driver.ErrBadConn }), driver.ErrBadConn)
		require.Zero(t, p.Stats().InUse)
		require.ErrorIs(t, do(t.Context(), conn, "COMMIT"), sql.ErrConnDone)
		require.ErrorIs(t, conn.Close(), sql.ErrConnDone)
		require.Zero(t, sqldbCount(t, p.DB()))
		requireAtRest(t, p)
	})
}

func TestPingReachesTheDatabase(t *testing.T) {
	p := open(t, pool.Config{})
	conn := sqldbConn(t, p.DB())
	require.NoError(t, conn.PingContext(t.Context()))
	before := p.Stats().Acquires
	require.NoError(t, p.DB().PingContext(t.Context()))
	require.Equal(t, before+1, p.Stats().Acquires)
	require.NoError(t, conn.Close())
	require.ErrorIs(t, conn.PingContext(t.Context()), sql.ErrConnDone)
	require.NoError(t, p.Close())
	require.Error(t, p.DB().PingContext(t.Context()))
}

func TestAScriptRunsAsFarAsItCan(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		ctx, db := t.Context(), p.DB()
		res, err := db.ExecContext(ctx, `
			-- a script; with a comment
			CREATE TABLE x (a TEXT); INSERT INTO x VALUES ('a;b'), ('c');
			CREATE TRIGGER tr AFTER INSERT ON x BEGIN UPDATE n SET v = v + 1; SELECT 1; END;
			INSERT INTO x VALUES ('d');;`)
		require.NoError(t, err)
		affected, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, affected, "the last statement's")
		require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM x"))
		require.EqualValues(t, 1, get(t, p, "SELECT v FROM n"))

		require.ErrorContains(t, do(ctx, db, "INSERT INTO x VALUES ('e'); INSERT INTO nowhere VALUES (1); INSERT INTO x VALUES ('f')"), "nowhere")
		require.EqualValues(t, 4, get(t, p, "SELECT count(*) FROM x"))

		last, err := number(ctx, db, "INSERT INTO n VALUES (10, 1); SELECT 5; SELECT count(*) FROM n")
		require.NoError(t, err)
		require.EqualValues(t, 2, last, "the last statement's rows")

		for _, nothing := range []string{"", " \n", ";", "-- nothing", "/* nothing */ ; ;"} {
			require.NoError(t, do(ctx, db, nothing), "%q", nothing)
			_, err = number(ctx, db, nothing)
			require.ErrorIs(t, err, sql.ErrNoRows, "%q", nothing)
		}
		requireAtRest(t, p)
	})
}

func TestEachStatementOfAScriptGetsAllArguments(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (@id, @v); UPDATE n SET v = v + @v WHERE id = @id", sql.Named("id", 10), sql.Named("v", 4)))
	require.EqualValues(t, 8, get(t, p, "SELECT v FROM n WHERE id = 10"))
}

func TestArgumentsComeBackAsTheyWere(t *testing.T) {
	p := open(t, pool.Config{})
	ctx, db := t.Context(), p.DB()
	when := time.Date(2024, 2, 29, 12, 34, 56, 789000000, time.UTC)
	for name, value := range map[string]any{
		"integer": int64(math.MaxInt64), "negative": int64(math.MinInt64), "real": 1.5, "text": "a\x00b 'quoted' \u2603",
		"blob": []byte{0, 1, 255}, "null": nil, "empty text": "",
	} {
		var got any
		require.NoError(t, db.QueryRowContext(ctx, "SELECT ?", value).Scan(&got), name)
		require.Equal(t, value, got, name)
		require.NoError(t, db.QueryRowContext(ctx, "SELECT :a WHERE :b = 2", sql.Named("b", 2), sql.Named("a", value)).Scan(&got), name)
		require.Equal(t, value, got, name)
	}

	require.NoError(t, do(ctx, db, "CREATE TABLE kinds (d DATETIME, b BOOLEAN, empty BLOB, none TEXT)"))
	require.NoError(t, do(ctx, db, "INSERT INTO kinds VALUES ($d, $b, $empty, $none)",
		sql.Named("d", when), sql.Named("b", true), sql.Named("empty", []byte{}), sql.Named("none", nil)))
	var (
		d     time.Time
		b     bool
		empty []byte
		none  sql.NullString
		text  *string
	)
	require.NoError(t, db.QueryRowContext(ctx, "SELECT d, b, empty, none, none FROM kinds").Scan(&d, &b, &empty, &none, &text))
	require.True(t, when.Equal(d), d)
	require.True(t, b)
	require.Empty(t, empty)
	require.False(t, none.Valid)
	require.Nil(t, text)

	_, err := number(ctx, db, "SELECT ?, ?", 1)
	require.Error(t, err, "one is missing")
	_, err = number(ctx, db, "SELECT :x", sql.Named("y", 1))
	require.Error(t, err, "it has another name")
	_, err = number(ctx, db, "SELECT ?", struct{}{})
	require.Error(t, err, "no such type")
	requireAtRest(t, p)
}

func TestResultsCountRowsAndNameTheLastID(t *testing.T) {
	p := open(t, pool.Config{})
	res, err := p.DB().ExecContext(t.Context(), "INSERT INTO n VALUES (41, 1), (42, 1)")
	require.NoError(t, err)
	id, err := res.LastInsertId()
	require.NoError(t, err)
	require.EqualValues(t, 42, id)
	affected, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 2, affected)
}

func TestRowsTellTheirColumns(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, do(t.Context(), p.DB(), "CREATE TABLE kinds (i INTEGER, r REAL, t VARCHAR(10), b BLOB); INSERT INTO kinds VALUES (1, 1.5, 'x', x'00')"))
		rows, err := p.DB().QueryContext(t.Context(), "SELECT i, r, t, b, i + 1 AS sum FROM kinds")
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		names, err := rows.Columns()
		require.NoError(t, err)
		require.Equal(t, []string{"i", "r", "t", "b", "sum"}, names)
		columns, err := rows.ColumnTypes()
		require.NoError(t, err)
		for i, expected := range []struct {
			declared string
		}{
			{"INTEGER"},
			{"REAL"},
			{"VARCHAR(10)"},
			{"BLOB"},
			{""},
		} {
			require.Equal(t, names[i], columns[i].Name())
			require.Equal(t, expected.declared, columns[i].DatabaseTypeName())
			require.Equal(t, reflect.TypeFor[any](), columns[i].ScanType())
		}
		length, ok := columns[2].Length()
		require.True(t, ok)
		require.EqualValues(t, int64(math.MaxInt64), length)
		_, ok = columns[0].Length()
		require.False(t, ok)
		require.False(t, rows.NextResultSet())
		require.NoError(t, rows.Close())
		_, err = rows.ColumnTypes()
		require.Error(t, err)
		requireAtRest(t, p)
	})
}

func TestNestedUseOfTheOnlyReadLaneTimesOut(t *testing.T) {
	soonBesideOthers(t)
	for _, conns := range []int{1, 2} {
		t.Run(fmt.Sprintf("MaxConns %d", conns), func(t *testing.T) {
			inTurn(t, pool.Config{MaxConns: conns, AcquireTimeout: 20 * time.Millisecond}, func(t *testing.T, p *pool.Pool) {
				rows, err := p.DB().QueryContext(pool.WithLabel(t.Context(), "the outer query"), "SELECT 1 UNION SELECT 2")
				require.NoError(t, err)
				defer rows.Close()
				require.True(t, rows.Next())
				for name, nested := range map[string]func() error{
					"write": func() error { return do(t.Context(), p.DB(), "INSERT INTO n VALUES (10, 1)") },
					"begin": func() error { _, err := p.DB().BeginTx(t.Context(), nil); return err },
					"read":  func() error { _, err := number(t.Context(), p.DB(), "SELECT 1"); return err },
				} {
					err := nested()
					require.ErrorIs(t, err, pool.ErrAcquireTimeout, name)
					require.ErrorContains(t, err, fmt.Sprintf("1 of %d connections are held", conns), name)
					require.ErrorContains(t, err, "the outer query", name)
				}
				require.True(t, rows.Next(), "the rows go on")
				require.NoError(t, rows.Close())
				require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (10, 1)"))
				requireAtRest(t, p)
			})
		})
	}
}

func TestRowsOpenWhileAnotherWritesOnASecondReadLane(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3})
	require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (2, 0), (3, 0)"))
	rows, err := p.DB().QueryContext(t.Context(), "SELECT id FROM n")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var id int
		require.NoError(t, rows.Scan(&id))
		require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (?, 1)", id+10))
	}
	require.NoError(t, rows.Err())
	require.EqualValues(t, 3, sqldbCount(t, p.DB()))
}

func TestAWriteThroughTheDBWithTheContextOfAWritingTransactionIsADeadlock(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for _, level := range []pool.Level{pool.Immediate, pool.Exclusive} {
			require.NoError(t, p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
				assert.ErrorIs(t, do(ctx, p.DB(), "INSERT INTO n VALUES (10, 1)"), pool.ErrDeadlock)
				assert.ErrorIs(t, do(ctx, p.DB(), "SELECT 1; INSERT INTO n VALUES (10, 1)"), pool.ErrDeadlock)
				_, err := number(ctx, p.DB(), "INSERT INTO n VALUES (10, 1) RETURNING id")
				assert.ErrorIs(t, err, pool.ErrDeadlock)
				_, err = p.DB().BeginTx(ctx, nil)
				assert.ErrorIs(t, err, pool.ErrDeadlock)
				if conn, err := p.DB().Conn(ctx); err == nil {
					assert.ErrorIs(t, do(ctx, conn, "BEGIN IMMEDIATE"), pool.ErrDeadlock)
					assert.NoError(t, conn.Close())
				} else {
					assert.ErrorIs(t, err, pool.ErrDeadlock, "one connection serves all")
				}
				return do(ctx, tx, "INSERT INTO n VALUES (11, 1)")
			}))
			require.NoError(t, do(t.Context(), p.DB(), "DELETE FROM n WHERE id = 11"))
		}
		requireAtRest(t, p)
	})
}

func TestClosingTheDBLeavesThePoolOpen(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		db := p.DB()
		require.Same(t, db, p.DB())
		require.NoError(t, do(t.Context(), db, "INSERT INTO n VALUES (10, 1)"))
		require.NoError(t, db.Close())
		require.NoError(t, db.Close())
		require.Error(t, do(t.Context(), db, "SELECT 1"))
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM n WHERE id = 10"))

		next := p.DB()
		require.NotSame(t, db, next)
		require.NoError(t, db.Close(), "once more harms nobody")
		require.Same(t, next, p.DB())
		require.EqualValues(t, 1, sqldbCount(t, next))
		requireAtRest(t, p)
	})
}

func TestAConnOutlivesItsDB(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		db := p.DB()
		conn := sqldbConn(t, db)
		require.NoError(t, do(t.Context(), conn, "BEGIN; INSERT INTO n VALUES (10, 1)"))
		require.NoError(t, db.Close())
		require.NoError(t, do(t.Context(), conn, "COMMIT"))
		require.NoError(t, conn.Close())
		require.EqualValues(t, 1, sqldbCount(t, p.DB()))
		requireAtRest(t, p)
	})
}

func TestAPoolClosesUnderWhateverTheDBHasOpen(t *testing.T) {
	byItself(t)
	for _, mode := range []string{"wal", "delete", "memory"} {
		t.Run(mode, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			cfg := pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), JournalMode: pool.JournalMode(mode), MaxConns: 8}
			if mode == "memory" {
				cfg.Path, cfg.JournalMode = pool.Memory, ""
			}
			p := open(t, cfg)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			db := p.DB()
			stmt, err := db.PrepareContext(ctx, "SELECT v FROM n WHERE id = ?")
			require.NoError(t, err)
			conn := sqldbConn(t, db)
			own, err := conn.PrepareContext(ctx, "SELECT v FROM n WHERE id = ?")
			require.NoError(t, err)
			ownRows, err := own.QueryContext(ctx, 1)
			require.NoError(t, err)
			rows, err := db.QueryContext(ctx, "SELECT 1 UNION SELECT 2 UNION SELECT 3")
			require.NoError(t, err)
			require.True(t, rows.Next())
			view, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
			require.NoError(t, err)
			text := sqldbConn(t, db)
			require.NoError(t, do(ctx, text, "BEGIN"))
			tx := view
			if mode == "wal" { // elsewhere the rows would keep the writer waiting
				tx, err = db.BeginTx(ctx, nil)
				require.NoError(t, err)
				require.NoError(t, do(ctx, tx, "INSERT INTO n VALUES (10, 1)"))
			}
			inTx, err := tx.PrepareContext(ctx, "SELECT v FROM n WHERE id = ?")
			require.NoError(t, err)

			require.NoError(t, p.Close())
			require.Empty(t, sqldbDescriptors(t, filepath.Dir(cfg.Path)))

			require.False(t, rows.Next())
			require.ErrorIs(t, rows.Err(), pool.ErrClosed)
			require.False(t, ownRows.Next())
			require.ErrorIs(t, ownRows.Err(), pool.ErrClosed)
			require.NoError(t, rows.Close())
			require.NoError(t, ownRows.Close())
			for _, on := range []dbtx{conn, text, view, tx} {
				require.ErrorIs(t, do(ctx, on, "SELECT 1"), pool.ErrClosed)
				_, err = number(ctx, on, "SELECT 1")
				require.ErrorIs(t, err, pool.ErrClosed)
				_, err = on.PrepareContext(ctx, "SELECT 1")
				require.ErrorIs(t, err, pool.ErrClosed)
			}
			for _, prepared := range []*sql.Stmt{own, inTx} {
				_, err = prepared.ExecContext(ctx, 1)
				require.ErrorIs(t, err, pool.ErrClosed)
				require.NoError(t, prepared.Close())
			}
			_, err = stmt.ExecContext(ctx, 1)
			require.Error(t, err)
			require.NoError(t, stmt.Close())
			_, err = conn.BeginTx(ctx, nil)
			require.ErrorIs(t, err, pool.ErrClosed)
			require.ErrorIs(t, do(ctx, text, "COMMIT"), pool.ErrClosed)
			require.ErrorIs(t, tx.Commit(), pool.ErrClosed)
			_ = view.Rollback() // the same as tx, perhaps
			require.NoError(t, conn.Close())
			require.NoError(t, text.Close())
			require.Error(t, do(ctx, db, "SELECT 1"))
			require.Error(t, do(ctx, p.DB(), "SELECT 1"))
			require.NoError(t, db.Close())
			require.Zero(t, p.Stats().Open)
			require.NoError(t, p.Close())
			goleak.VerifyNone(t, before)

			if mode != "memory" {
				again, err := pool.Open(t.Context(), cfg)
				require.NoError(t, err)
				require.Zero(t, get(t, again, "SELECT count(*) FROM n WHERE id = 10"), "nobody committed it")
				require.NoError(t, again.Close())
			}
		})
	}
}

func TestAPoolClosesWhileAStatementOfTheDBRuns(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		running := make(chan struct{})
		query := endless(onSignal(t, func() { close(running) }))
		var wg sync.WaitGroup
		wg.Go(func() { assert.ErrorIs(t, do(t.Context(), p.DB(), query), pool.ErrClosed) })
		<-running
		require.NoError(t, p.Close())
		wg.Wait()
	})
}

func TestAPoolThatShutsDownRefusesTheDBAndLetsItsWorkFinish(t *testing.T) {
	p := open(t, pool.Config{})
	tx, err := p.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, do(t.Context(), tx, "INSERT INTO n VALUES (10, 1)"))
	db := p.DB()
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, p.Shutdown(t.Context())) })
	waitFor(t, "it refuses", func() bool { return errors.Is(do(t.Context(), db, "SELECT 1"), pool.ErrClosed) })
	require.EqualValues(t, 1, sqldbCount(t, tx))
	require.NoError(t, tx.Commit())
	wg.Wait()
	require.Error(t, do(t.Context(), db, "SELECT 1"))
}

// sqldbMigrations rebuild a table that others refer to, which needs foreign keys
// off and so no transaction.
var sqldbMigrations = fstest.MapFS{
	"00001_make.sql": {Data: []byte(`-- +goose Up
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owner ON DELETE CASCADE);
INSERT INTO owner VALUES (1, 'Ann'), (2, 'Bob');
INSERT INTO pet VALUES (1, 1), (2, 1), (3, 2);
-- +goose Down
DROP TABLE pet;
DROP TABLE owner;
`)},
	"00002_rebuild.sql": {Data: []byte(`-- +goose NO TRANSACTION
-- +goose Up
PRAGMA foreign_keys=off;
BEGIN IMMEDIATE;
CREATE TABLE owner_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO owner_new SELECT id, name FROM owner;
DROP TABLE owner;
ALTER TABLE owner_new RENAME TO owner;
PRAGMA foreign_key_check;
COMMIT;
PRAGMA foreign_keys=on;
-- +goose Down
PRAGMA foreign_keys=off;
BEGIN;
CREATE TABLE owner_old (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO owner_old SELECT id, name FROM owner;
DROP TABLE owner;
ALTER TABLE owner_old RENAME TO owner;
COMMIT;
PRAGMA foreign_keys=on;
`)},
	"00003_trigger.sql": {Data: []byte(`-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER named AFTER INSERT ON owner BEGIN
  UPDATE owner SET name = upper(name) WHERE id = new.id;
END;
-- +goose StatementEnd
-- +goose Down
DROP TRIGGER named;
`)},
}

func TestGooseMigratesThroughTheDB(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		ctx := t.Context()
		provider, err := goose.NewProvider(goose.DialectSQLite3, p.DB(), sqldbMigrations, goose.WithDisableGlobalRegistry(true))
		require.NoError(t, err)
		requireVersion := func(version int64) {
			t.Helper()
			current, target, err := provider.GetVersions(ctx)
			require.NoError(t, err)
			require.Equal(t, version, current)
			require.EqualValues(t, 3, target)
			pending, err := provider.HasPending(ctx)
			require.NoError(t, err)
			require.Equal(t, version < 3, pending)
			statuses, err := provider.Status(ctx)
			require.NoError(t, err)
			for _, s := range statuses {
				require.Equal(t, s.Source.Version <= version, s.State == goose.StateApplied, s.Source.Path)
			}
			if version > 0 {
				require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM pet"), "the rebuild deleted nothing")
				require.Equal(t, version >= 2, get(t, p, "SELECT \"notnull\" FROM pragma_table_info('owner') WHERE name = 'name'") == 1)
			}
			require.EqualValues(t, version, get(t, p, "SELECT max(version_id) FROM goose_db_version"))
			requireAtRest(t, p)
		}

		requireVersion(0)
		require.NoError(t, provider.Ping(ctx))
		results, err := provider.Up(ctx)
		require.NoError(t, err)
		require.Len(t, results, 3)
		requireVersion(3)
		results, err = provider.Up(ctx)
		require.NoError(t, err)
		require.Empty(t, results)
		result, err := provider.Down(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 3, result.Source.Version)
		requireVersion(2)
		_, err = provider.DownTo(ctx, 0)
		require.NoError(t, err)
		requireVersion(0)
		_, err = provider.Down(ctx)
		require.ErrorIs(t, err, goose.ErrNoNextVersion)
		for version := range int64(2) {
			_, err = provider.UpByOne(ctx)
			require.NoError(t, err)
			requireVersion(version + 1)
		}
		_, err = provider.DownTo(ctx, 1)
		require.NoError(t, err)
		requireVersion(1)
		_, err = provider.UpTo(ctx, 2)
		require.NoError(t, err)
		requireVersion(2)
		_, err = provider.ApplyVersion(ctx, 2, false)
		require.NoError(t, err)
		requireVersion(1)
		_, err = provider.ApplyVersion(ctx, 2, true)
		require.NoError(t, err)
		_, err = provider.ApplyVersion(ctx, 2, true)
		require.ErrorIs(t, err, goose.ErrAlreadyApplied)
		requireVersion(2)
		_, err = provider.Up(ctx)
		require.NoError(t, err)
		requireVersion(3)

		// Each connection has its foreign keys back.
		require.Error(t, do(ctx, p.DB(), "INSERT INTO pet VALUES (4, 99)"))
		require.NoError(t, do(ctx, p.DB(), "INSERT INTO owner VALUES (3, 'cid')"))
		var name string
		require.NoError(t, p.DB().QueryRowContext(ctx, "SELECT name FROM owner WHERE id = 3").Scan(&name))
		require.Equal(t, "CID", name)

		require.NoError(t, provider.Close())
		require.EqualValues(t, 3, get(t, p, "SELECT count(*) FROM pet"), "goose closes the DB, not the pool")
	})
}

func TestAMigrationThatFailsMidwayLeavesNothingOpen(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for name, migration := range map[string]string{
			"in a transaction":      "-- +goose Up\nCREATE TABLE x (a);\nINSERT INTO nowhere VALUES (1);\n",
			"outside a transaction": "-- +goose NO TRANSACTION\n-- +goose Up\nPRAGMA foreign_keys=off;\nBEGIN;\nCREATE TABLE x (a);\nINSERT INTO nowhere VALUES (1);\nCOMMIT;\nPRAGMA foreign_keys=on;\n",
		} {
			provider, err := goose.NewProvider(goose.DialectSQLite3, p.DB(), fstest.MapFS{"00001_fails.sql": {Data: []byte(migration)}}, goose.WithDisableGlobalRegistry(true))
			require.NoError(t, err)
			_, err = provider.Up(t.Context())
			require.ErrorContains(t, err, "nowhere", name)
			require.Zero(t, get(t, p, "SELECT count(*) FROM sqlite_schema WHERE name = 'x'"), name)
			require.EqualValues(t, 1, get(t, p, "PRAGMA foreign_keys"), name)
			requireAtRest(t, p)
		}
	})
}

func TestManyGoroutinesUseTheDBInEveryWay(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		ctx, db := t.Context(), p.DB()
		ways := map[string]func() error{
			"exec": func() error { return do(ctx, db, "UPDATE n SET v = v + 1 WHERE id = 1") },
			"tx": func() error {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				return errors.Join(do(ctx, tx, "UPDATE n SET v = v + 1 WHERE id = 1"), tx.Commit())
			},
			"text": func() error {
				conn, err := db.Conn(ctx)
				if err != nil {
					return err
				}
				return errors.Join(do(ctx, conn, "BEGIN IMMEDIATE"), do(ctx, conn, "UPDATE n SET v = v + 1 WHERE id = 1"), do(ctx, conn, "COMMIT"), conn.Close())
			},
			"returning": func() error { _, err := number(ctx, db, "UPDATE n SET v = v + 1 WHERE id = 1 RETURNING v"); return err },
			"script":    func() error { return do(ctx, db, "BEGIN IMMEDIATE; UPDATE n SET v = v + 1 WHERE id = 1; COMMIT") },
		}
		var wg sync.WaitGroup
		for _, name := range slices.Sorted(maps.Keys(ways)) {
			for range 4 {
				wg.Go(func() {
					for range 5 {
						assert.NoError(t, ways[name](), name)
					}
				})
			}
		}
		wg.Wait()
		require.EqualValues(t, len(ways)*4*5, get(t, p, "SELECT v FROM n WHERE id = 1"))
		requireAtRest(t, p)
	})
}
