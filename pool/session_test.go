package pool_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// family is a parent whose rows take their children along.
const family = `
CREATE TABLE mother (id INTEGER PRIMARY KEY, v);
CREATE TABLE kid (pid INTEGER REFERENCES mother ON DELETE CASCADE);
INSERT INTO mother VALUES (1, 'a'), (2, 'b');
INSERT INTO kid VALUES (1), (2);
`

// rebuild is how SQLite changes a table for which ALTER TABLE has no words
// (https://www.sqlite.org/lang_altertable.html#otheralter).
var rebuild = []string{
	"PRAGMA foreign_keys=OFF",
	"CREATE TABLE next (id INTEGER PRIMARY KEY, v TEXT NOT NULL)",
	"INSERT INTO next SELECT id, v FROM mother",
	"DROP TABLE mother",
	"ALTER TABLE next RENAME TO mother",
	"PRAGMA foreign_keys=ON",
}

func TestATableRebuiltThroughTheDBKeepsItsChildren(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		run(t, p, family)
		for range 2 {
			for _, query := range rebuild {
				require.NoError(t, do(t.Context(), p.DB(), query), query)
			}
			require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM kid"))
		}
		require.EqualValues(t, 1, get(t, p, "PRAGMA foreign_keys"))
		n, err := number(t.Context(), p.DB(), "PRAGMA foreign_keys")
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		requireAtRest(t, p)
	})
}

func TestWhatTheDBSetsStaysForItAndForNobodyElse(t *testing.T) {
	for _, c := range []struct{ set, see, back string }{
		{"PRAGMA foreign_keys = off", "SELECT foreign_keys = 0 FROM pragma_foreign_keys", "PRAGMA foreign_keys = on"},
		{"PRAGMA legacy_alter_table = on", "SELECT legacy_alter_table FROM pragma_legacy_alter_table", "PRAGMA legacy_alter_table = 0"},
		{"PRAGMA ignore_check_constraints = 1", "SELECT ignore_check_constraints FROM pragma_ignore_check_constraints", "PRAGMA ignore_check_constraints(off)"},
		{"PRAGMA recursive_triggers(1)", "SELECT recursive_triggers FROM pragma_recursive_triggers", "PRAGMA recursive_triggers(0)"},
		{"PRAGMA case_sensitive_like = on", "SELECT NOT 'A' LIKE 'a'", "PRAGMA case_sensitive_like = off"},
		{"PRAGMA busy_timeout = 3", "SELECT timeout = 3 FROM pragma_busy_timeout", "PRAGMA busy_timeout = 0"},
		{"PRAGMA cache_size = 77", "SELECT cache_size = 77 FROM pragma_cache_size", "PRAGMA cache_size = -2000"},
		{"CREATE TEMP TABLE mine (x)", "SELECT count(*) > 0 FROM sqlite_temp_schema", "DROP TABLE mine"},
		{"CREATE TEMP VIEW mine AS SELECT 1", "SELECT count(*) > 0 FROM sqlite_temp_schema", "DROP VIEW mine"},
		{"ATTACH ':memory:' AS mine", "SELECT count(*) > 0 FROM pragma_database_list WHERE name = 'mine'", "DETACH mine"},
	} {
		t.Run(c.set, func(t *testing.T) {
			sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
				own := sql.OpenDB(p.Connector())
				defer func() { require.NoError(t, own.Close()) }()
				seen := func(on dbtx) int64 {
					n, err := number(t.Context(), on, c.see)
					require.NoError(t, err)
					return n
				}
				require.NoError(t, do(t.Context(), p.DB(), c.set))
				for range 3 {
					require.EqualValues(t, 1, seen(p.DB()))
					require.Zero(t, get(t, p, c.see), "a lease")
					require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(_ context.Context, tx *pool.Tx) error {
						require.Zero(t, seen(tx), "a transaction")
						return nil
					}))
					require.Zero(t, seen(own), "another *sql.DB")
				}
				tx, err := p.DB().BeginTx(t.Context(), nil)
				require.NoError(t, err)
				require.EqualValues(t, 1, seen(tx), "its own transaction")
				require.NoError(t, do(t.Context(), tx, "INSERT INTO n VALUES (10, 1)"))
				require.NoError(t, tx.Commit())

				s := p.Stats()
				require.LessOrEqual(t, s.Open, s.MaxConns, "it stands beside the others")
				require.NoError(t, do(t.Context(), p.DB(), c.back))
				require.Zero(t, seen(p.DB()))
				require.NoError(t, do(t.Context(), p.DB(), c.set))
				require.NoError(t, p.DB().Close())
				require.Zero(t, seen(p.DB()), "another *sql.DB")
				requireAtRest(t, p)
			})
		})
	}
}

func TestNobodyWaitsForTheConnectionThatCarriesState(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 2, AcquireTimeout: time.Minute}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA cache_size = 77"))
		rows, err := p.DB().QueryContext(t.Context(), "SELECT 1 UNION SELECT 2") // it is at work
		require.NoError(t, err)
		require.True(t, rows.Next())
		l := acquire(t, p)
		l.Release()
		require.NoError(t, rows.Close())
		requireAtRest(t, p)
	})
}

func TestALoopOverRowsOfTheDBWritesWhereItsStateIs(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1})
	run(t, p, family)
	require.NoError(t, do(t.Context(), p.DB(), "PRAGMA foreign_keys=OFF"))
	rows, err := p.DB().QueryContext(t.Context(), "SELECT id FROM mother")
	require.NoError(t, err)
	for rows.Next() {
		var id int64
		require.NoError(t, rows.Scan(&id))
		require.NoError(t, do(t.Context(), p.DB(), "DELETE FROM mother WHERE id = ?", id))
	}
	require.NoError(t, rows.Err())
	require.NoError(t, do(t.Context(), p.DB(), "PRAGMA foreign_keys=ON"))
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM kid"), "none was taken along")
}

func TestATransactionBegunAsTextOnTheDBGoesOnUntilItIsEndedThere(t *testing.T) {
	for _, begin := range [][]string{{"BEGIN"}, {"BEGIN IMMEDIATE"}, {"BEGIN EXCLUSIVE"}, {"SAVEPOINT a"}, {"BEGIN IMMEDIATE; SELECT 1"}} {
		t.Run(begin[0], func(t *testing.T) {
			sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
				for _, end := range []string{"ROLLBACK", "COMMIT"} {
					for _, query := range append(begin, "INSERT INTO n VALUES (10, 1)", "INSERT INTO n VALUES (11, 1)") {
						require.NoError(t, do(t.Context(), p.DB(), query), query)
					}
					require.EqualValues(t, 2, sqldbCount(t, p.DB()), "it sees its own rows")
					require.NoError(t, do(t.Context(), p.DB(), end))
					require.Error(t, do(t.Context(), p.DB(), end), "none is open any more")
					require.EqualValues(t, map[string]int64{"ROLLBACK": 0, "COMMIT": 2}[end], sqldbCount(t, p.DB()))
					requireAtRest(t, p)
				}
			})
		})
	}
}

func TestATextTransactionOfTheDBHoldsTheWriteLane(t *testing.T) {
	inTurn(t, pool.Config{AcquireTimeout: 50 * time.Millisecond}, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, do(t.Context(), p.DB(), "BEGIN IMMEDIATE"))
		err := p.Batch(t.Context(), doing("INSERT INTO n VALUES (12, 1)"))
		require.ErrorIs(t, err, pool.ErrAcquireTimeout, "not BUSY")
		require.ErrorContains(t, err, "left open")
		require.ErrorContains(t, err, "support_test.go")
		require.NoError(t, do(t.Context(), p.DB(), "COMMIT"))
		require.NoError(t, p.Batch(t.Context(), doing("INSERT INTO n VALUES (12, 1)")))
		requireAtRest(t, p)
	})
}

func TestATextTransactionOfTheDBThatSQLiteLostCannotHalfCommit(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		for _, end := range []string{"COMMIT", "ROLLBACK"} {
			require.NoError(t, do(t.Context(), p.DB(), "BEGIN IMMEDIATE"))
			require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (10, 1)"))
			require.Error(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (11, -13)"), "it rolls back")
			require.ErrorIs(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (12, 1)"), pool.ErrTxLost)
			if err := do(t.Context(), p.DB(), end); end == "COMMIT" {
				require.ErrorIs(t, err, pool.ErrTxLost)
			} else {
				require.NoError(t, err)
			}
			require.Zero(t, sqldbCount(t, p.DB()))
		}
		requireAtRest(t, p)
	})
}

func TestAScriptThatFailsInItsTransactionLeavesNoneBehind(t *testing.T) {
	var log bytes.Buffer
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, do(t.Context(), p.DB(), "BEGIN; INSERT INTO n VALUES (10, 1); ROLLBACK"))
		require.Error(t, do(t.Context(), p.DB(), "BEGIN; INSERT INTO n VALUES (11, 1); INSERT INTO nowhere VALUES (1); COMMIT"))
		require.Zero(t, sqldbCount(t, p.DB()))
		requireAtRest(t, p)
	})
	p := open(t, pool.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.Error(t, do(t.Context(), p.DB(), "BEGIN; INSERT INTO nowhere VALUES (1)"))
	require.Contains(t, log.String(), "a transaction begun as text")
}

func TestOperationsAtTheSameTimeStayOutOfEachOthersTransactions(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		db := p.DB()
		require.NoError(t, do(t.Context(), db, "PRAGMA cache_size = 77"))
		require.NoError(t, do(t.Context(), db, "CREATE TABLE log (who, what)"))
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 5 {
					switch i % 4 {
					case 0: // undone
						tx, err := db.BeginTx(t.Context(), nil)
						if assert.NoError(t, err) {
							assert.NoError(t, do(t.Context(), tx, "INSERT INTO log VALUES (?, 'undone')", i))
							runtime.Gosched()
							assert.NoError(t, tx.Rollback())
						}
					case 1: // kept
						assert.NoError(t, do(t.Context(), db, "INSERT INTO log VALUES (?, 'kept')", i))
					case 2: // undone, as text on a conn
						conn, err := db.Conn(t.Context())
						if assert.NoError(t, err) {
							assert.NoError(t, do(t.Context(), conn, "BEGIN IMMEDIATE"))
							assert.NoError(t, do(t.Context(), conn, "INSERT INTO log VALUES (?, 'undone')", i))
							runtime.Gosched()
							assert.NoError(t, do(t.Context(), conn, "ROLLBACK"))
							assert.NoError(t, conn.Close())
						}
					default:
						n, err := number(t.Context(), db, "SELECT count(*) FROM log WHERE what = 'undone'")
						assert.NoError(t, err)
						assert.Zero(t, n)
						n, err = number(t.Context(), db, "PRAGMA cache_size")
						assert.NoError(t, err)
						assert.EqualValues(t, 77, n)
					}
				}
			})
		}
		wg.Wait()
		n, err := number(t.Context(), db, "SELECT count(*) FROM log")
		require.NoError(t, err)
		require.EqualValues(t, 10, n)
		requireAtRest(t, p)
	})
}

func TestAnOperationOutsideTheSessionsTransactionTimesOutAndSaysWhy(t *testing.T) {
	p := open(t, pool.Config{AcquireTimeout: 20 * time.Millisecond})
	require.NoError(t, do(t.Context(), p.DB(), "PRAGMA cache_size = 77"))
	tx, err := p.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	err = do(t.Context(), p.DB(), "SELECT 1")
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.ErrorContains(t, err, "another operation of this *sql.DB is in a transaction")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, do(ctx, p.DB(), "SELECT 1"), context.Canceled)
	require.NoError(t, tx.Commit())
	require.NoError(t, do(t.Context(), p.DB(), "SELECT 1"))
}

func TestAConnClosedInItsOwnTextTransactionOnASessionIsRolledBack(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, do(t.Context(), p.DB(), "PRAGMA cache_size = 77"))
		conn := sqldbConn(t, p.DB())
		require.NoError(t, do(t.Context(), conn, "BEGIN"))
		require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (10, 1)"))
		require.NoError(t, conn.Close())
		require.Zero(t, sqldbCount(t, p.DB()))
		n, err := number(t.Context(), p.DB(), "PRAGMA cache_size")
		require.NoError(t, err)
		require.EqualValues(t, 77, n, "what it had set before stays")
		requireAtRest(t, p)
	})
}

func TestTheStateOfASecondConnectionIsTakenBackAndLogged(t *testing.T) {
	var log bytes.Buffer
	p := open(t, pool.Config{MaxConns: 4, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	first, second := sqldbConn(t, p.DB()), sqldbConn(t, p.DB())
	require.NoError(t, do(t.Context(), first, "PRAGMA cache_size = 77"))
	require.NoError(t, do(t.Context(), second, "PRAGMA foreign_keys = 0"))
	require.NoError(t, first.Close())
	require.NoError(t, second.Close())
	n, err := number(t.Context(), p.DB(), "SELECT cache_size + foreign_keys FROM pragma_cache_size, pragma_foreign_keys")
	require.NoError(t, err)
	require.EqualValues(t, 78, n)
	require.Contains(t, log.String(), "PRAGMA foreign_keys")
	requireAtRest(t, p)
}

func TestStateThatIsLostWithItsConnectionIsToldOnce(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, do(t.Context(), p.DB(), "PRAGMA foreign_keys = 0"))
	conn := sqldbConn(t, p.DB())
	require.NoError(t, conn.Raw(func(c any) error {
		pool.Break(c)
		return nil
	}))
	require.NoError(t, conn.Close())
	err := do(t.Context(), p.DB(), "SELECT 1")
	require.ErrorIs(t, err, pool.ErrUnhealthy)
	require.ErrorContains(t, err, "PRAGMA foreign_keys")
	n, err := number(t.Context(), p.DB(), "PRAGMA foreign_keys")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	requireAtRest(t, p)
}

func TestAPoolClosesOverTheStateOfItsDBs(t *testing.T) {
	for _, shut := range []func(*pool.Pool) error{(*pool.Pool).Close, func(p *pool.Pool) error { return p.Shutdown(t.Context()) }} {
		everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
			own := sql.OpenDB(p.Connector())
			require.NoError(t, do(t.Context(), own, "CREATE TEMP TABLE mine (x)"))
			rows, err := own.QueryContext(t.Context(), "SELECT 1 FROM mine")
			require.NoError(t, err)
			require.NoError(t, rows.Close())
			require.NoError(t, do(t.Context(), p.DB(), "BEGIN IMMEDIATE"))
			require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (10, 1)"))
			require.NoError(t, shut(p))
			require.ErrorIs(t, do(t.Context(), own, "SELECT 1"), pool.ErrClosed)
			require.NoError(t, own.Close())
		})
	}
}

func TestAForeignKeysPragmaThatATransactionWouldIgnoreIsAnError(t *testing.T) {
	everywhere(t, pool.Config{}, func(t *testing.T, p *pool.Pool) {
		for _, off := range []string{"PRAGMA foreign_keys = off", "pragma Foreign_Keys(0)", "PRAGMA main.foreign_keys = 'no'", "PRAGMA foreign_keys = ''", "PRAGMA foreign_keys = banana", "PRAGMA foreign_keys = 256", "PRAGMA foreign_keys = 0x0"} {
			refused := func(err error) {
				require.ErrorIs(t, err, errors.ErrUnsupported, off)
				require.ErrorContains(t, err, "before the transaction begins")
			}
			require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
				refused(do(ctx, tx, off))
				return tx.Savepoint(ctx, func(ctx context.Context, tx *pool.Tx) error {
					refused(do(ctx, tx, "SELECT 1; "+off))
					return do(ctx, tx, "SELECT 1")
				})
			}))
			require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
				_, err := tx.QueryContext(ctx, off)
				refused(err)
				return nil
			}))
			refused(p.Batch(t.Context(), doing(off)))
			_, err := p.Writer().ExecContext(t.Context(), off)
			refused(err)
			tx, err := p.DB().BeginTx(t.Context(), nil)
			require.NoError(t, err)
			refused(do(t.Context(), tx, off))
			require.NoError(t, tx.Rollback())
			conn := sqldbConn(t, p.DB())
			require.NoError(t, do(t.Context(), conn, "BEGIN"))
			refused(do(t.Context(), conn, off))
			require.NoError(t, do(t.Context(), conn, "COMMIT"))
			require.NoError(t, conn.Close())
		}
		for _, on := range []string{"PRAGMA foreign_keys = on", "PRAGMA foreign_keys = TRUE", "PRAGMA foreign_keys = yes", "PRAGMA foreign_keys = 1", "PRAGMA foreign_keys = 0x01", "PRAGMA foreign_keys = '2'", "PRAGMA foreign_keys"} {
			require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing(on)), on)
		}
		require.Zero(t, p.Stats().Dirty)
		requireAtRest(t, p)
	})
}

func TestWhatIsSetAlreadyMayBeSet(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1}, func(t *testing.T, p *pool.Pool) {
		mode := wordOf(t, p, "PRAGMA journal_mode")
		require.Equal(t, mode, wordOf(t, p, "PRAGMA journal_mode = "+mode))
		require.Equal(t, mode, wordOf(t, p, "PRAGMA main.Journal_Mode('"+mode+"')"))
		require.Equal(t, "normal", wordOf(t, p, "PRAGMA locking_mode = NORMAL"))
		if mode == "memory" {
			require.Equal(t, mode, wordOf(t, p, "PRAGMA journal_mode = WAL"), "SQLite's own answer")
		}
		for _, query := range []string{"PRAGMA foreign_keys = on", "PRAGMA trusted_schema = off", "PRAGMA busy_timeout = 5000", "PRAGMA synchronous = off"} {
			run(t, p, query)
		}
		require.Zero(t, p.Stats().Dirty, "nothing has changed")
		require.EqualValues(t, 1, p.Stats().Created)
		for _, query := range []string{"PRAGMA journal_mode = off", "PRAGMA journal_mode = truncate", "PRAGMA locking_mode = exclusive"} {
			l := acquire(t, p)
			require.ErrorIs(t, do(t.Context(), l, query), pool.ErrConfig, query)
			l.Release()
		}
	})
}

// wordOf reads one text on a lease.
func wordOf(t *testing.T, p *pool.Pool, query string) (word string) {
	t.Helper()
	l := acquire(t, p)
	defer l.Release()
	require.NoError(t, l.QueryRowContext(t.Context(), query).Scan(&word))
	return word
}

func TestAConnectorMakesADBOfItsOwn(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		reading, writing := sql.OpenDB(p.Connector()), sql.OpenDB(p.Connector())
		reading.SetMaxOpenConns(2)
		writing.SetMaxOpenConns(1)
		require.NoError(t, do(t.Context(), writing, "INSERT INTO n VALUES (10, 1)"))
		require.EqualValues(t, 1, sqldbCount(t, reading))
		require.NoError(t, writing.Close())
		require.EqualValues(t, 1, sqldbCount(t, reading))
		require.NoError(t, reading.Close())
		require.Error(t, do(t.Context(), reading, "SELECT 1"))
		require.EqualValues(t, 1, sqldbCount(t, p.DB()), "DB is another")
		require.NotSame(t, p.DB(), reading)
		require.Equal(t, p.DB().Driver(), reading.Driver())
		requireAtRest(t, p)
	})
}

func TestRawHandsOutTheDriversConnection(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1}, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		require.NoError(t, l.Raw(t.Context(), func(conn driver.Conn) error {
			b, err := conn.(interface{ Serialize() ([]byte, error) }).Serialize()
			require.NoError(t, err)
			require.Contains(t, string(b[:16]), "SQLite format 3")
			_, err = conn.(driver.ExecerContext).ExecContext(t.Context(), "PRAGMA foreign_keys = 0", nil)
			require.NoError(t, err)
			db := sql.OpenDB(theOne{conn})
			c, err := db.Conn(t.Context())
			require.NoError(t, err)
			require.NoError(t, db.Close())
			was, err := sqlite.Limit(c, 2, 10) // SQLITE_LIMIT_COLUMN
			require.NoError(t, err)
			require.Positive(t, was)
			return conn.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(nil)
		}))
		require.Error(t, do(t.Context(), l, "CREATE TABLE wide (a,b,c,d,e,f,g,h,i,j,k)"), "the limit")
		require.ErrorIs(t, do(t.Context(), l, "BEGIN"), pool.ErrTxControl, "the pool's authorizer is back")
		require.Equal(t, errOurs, l.Raw(t.Context(), func(driver.Conn) error { return errOurs }))
		l.Release()
		require.ErrorIs(t, l.Raw(t.Context(), func(driver.Conn) error { return nil }), pool.ErrReleased)
		require.EqualValues(t, 1, get(t, p, "PRAGMA foreign_keys"), "the next lease")
		run(t, p, "CREATE TABLE wide (a,b,c,d,e,f,g,h,i,j,k)")
		require.EqualValues(t, 1, p.Stats().Dirty)
		requireAtRest(t, p)
	})
}

// theOne is a connector of a connection that is there.
type theOne struct{ conn driver.Conn }

func (o theOne) Connect(context.Context) (driver.Conn, error) { return o.conn, nil }
func (theOne) Driver() driver.Driver                          { return nil }

func TestRawHasTheWriteLane(t *testing.T) {
	p := open(t, pool.Config{AcquireTimeout: 20 * time.Millisecond})
	l := acquire(t, p)
	defer l.Release()
	require.NoError(t, l.Raw(t.Context(), func(driver.Conn) error {
		require.ErrorIs(t, p.Batch(context.Background(), doing("INSERT INTO n VALUES (10, 1)")), pool.ErrAcquireTimeout)
		return nil
	}))
	require.NoError(t, p.Batch(t.Context(), doing("INSERT INTO n VALUES (10, 1)")))
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
		require.ErrorIs(t, l.Raw(ctx, func(driver.Conn) error { return nil }), pool.ErrDeadlock)
		return nil
	}))
}

func TestAConnectionClosedInRawIsReplaced(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1, Logger: slog.New(slog.DiscardHandler)}, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		rows, err := l.QueryContext(t.Context(), "SELECT 1 UNION SELECT 2")
		require.NoError(t, err)
		require.NoError(t, l.Raw(t.Context(), driver.Conn.Close))
		require.ErrorIs(t, do(t.Context(), l, "SELECT 1"), pool.ErrClosed)
		require.False(t, rows.Next())
		_ = rows.Close()
		l.Release()
		run(t, p, "INSERT INTO n VALUES (10, 1)")
		requireAtRest(t, p)
	})
}

func TestTheDriversOwnInterfacesAreReachedThroughAConnOfTheDB(t *testing.T) {
	p := open(t, pool.Config{})
	conn := sqldbConn(t, p.DB())
	commits, rollbacks, updates := 0, 0, 0
	require.NoError(t, conn.Raw(func(c any) error {
		info, err := c.(interface {
			ColumnInfo(query string) ([]sqlite.ColumnInfo, error)
		}).ColumnInfo("SELECT v AS w FROM n")
		require.NoError(t, err)
		require.Equal(t, "v", info[0].OriginName)
		readOnly, err := c.(interface{ IsReadOnly(string) (bool, error) }).IsReadOnly("main")
		require.NoError(t, err)
		require.False(t, readOnly)
		b, err := c.(interface{ Serialize() ([]byte, error) }).Serialize()
		require.NoError(t, err)
		require.NotEmpty(t, b)
		_, _, err = c.(sqlite.DBStatus).Status(sqlite.DBStatusCacheUsed, false)
		require.NoError(t, err)
		_, err = c.(sqlite.FileControl).FileControlDataVersion("main")
		require.NoError(t, err)
		backup, err := c.(interface {
			NewBackup(string) (*sqlite.Backup, error)
		}).NewBackup("file:" + filepath.Join(t.TempDir(), "copy.db"))
		require.NoError(t, err)
		more, err := backup.Step(-1)
		require.NoError(t, err)
		require.False(t, more)
		require.NoError(t, backup.Finish())

		was, err := c.(sqlite.FileControl).FileControlPersistWAL("main", -1)
		require.NoError(t, err)
		now, err := c.(sqlite.FileControl).FileControlPersistWAL("main", was)
		require.NoError(t, err)
		require.Equal(t, was, now)
		hooks := c.(sqlite.HookRegisterer)
		hooks.RegisterCommitHook(func() int32 { commits++; return 0 })
		hooks.RegisterRollbackHook(func() { rollbacks++ })
		hooks.RegisterPreUpdateHook(func(sqlite.SQLitePreUpdateData) { updates++ })
		return c.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(func(action sqlite.AuthorizerActionCode, table, _, _, _ string) sqlite.AuthorizerReturnCode {
			if action == sqlite.AuthRead && table == "heap" {
				return sqlite.AuthorizerDeny
			}
			return sqlite.AuthorizerOK
		})
	}))
	require.NoError(t, do(t.Context(), conn, "INSERT INTO n VALUES (10, 1)"))
	require.NoError(t, conn.Close())
	require.Error(t, do(t.Context(), p.DB(), "SELECT b FROM heap"), "it stays with the DB")
	require.NoError(t, do(t.Context(), p.DB(), "BEGIN"))
	require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO n VALUES (11, 1)"))
	require.NoError(t, do(t.Context(), p.DB(), "ROLLBACK"))
	require.Equal(t, []int{1, 1, 2}, []int{commits, rollbacks, updates})
	run(t, p, "SELECT b FROM heap")

	conn = sqldbConn(t, p.DB())
	require.NoError(t, conn.Raw(func(c any) error {
		c.(sqlite.HookRegisterer).RegisterCommitHook(nil)
		require.NoError(t, c.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(nil))
		b, err := c.(interface{ Serialize() ([]byte, error) }).Serialize()
		require.NoError(t, err)
		b[18], b[19] = 1, 1 // in memory there is no log (https://www.sqlite.org/c3ref/deserialize.html)
		return c.(interface{ Deserialize([]byte) error }).Deserialize(b)
	}))
	require.NoError(t, do(t.Context(), conn, "DELETE FROM n"))
	require.NoError(t, conn.Close())
	require.Equal(t, 1, commits)
	require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM n"), "the pool's database is not the copy")
	require.NoError(t, p.DB().Close())
	requireAtRest(t, p)

	conn = sqldbConn(t, p.DB())
	var kept any
	require.NoError(t, conn.Raw(func(c any) error { kept = c; return nil }))
	require.NoError(t, conn.Close())
	_, err := kept.(interface {
		ColumnInfo(query string) ([]sqlite.ColumnInfo, error)
	}).ColumnInfo("SELECT 1")
	require.ErrorIs(t, err, pool.ErrReleased)
}

func TestRowsOfATempTableThatOnConnectMadeStayWithWhoWroteThem(t *testing.T) {
	everywhere(t, pool.Config{MaxConns: 1, OnConnect: func(ctx context.Context, lease *pool.Lease) error {
		return do(ctx, lease, "CREATE TEMP TABLE own (a); INSERT INTO own VALUES (1)")
	}}, func(t *testing.T, p *pool.Pool) {
		for range 2 { // prepared, and from the cache
			run(t, p, "INSERT INTO own VALUES (2)")
			require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM own"), "the next lease")
		}
		require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO own VALUES (3)"))
		n, err := number(t.Context(), p.DB(), "SELECT count(*) FROM own")
		require.NoError(t, err)
		require.EqualValues(t, 2, n, "the same *sql.DB")
		require.EqualValues(t, 1, get(t, p, "SELECT count(*) FROM own"), "a lease")
		require.NoError(t, p.DB().Close())

		require.NoError(t, do(t.Context(), p.DB(), "DROP TABLE own; CREATE TEMP TABLE mine (a)"))
		require.NoError(t, do(t.Context(), p.DB(), "INSERT INTO mine VALUES (1)"))
		require.NoError(t, do(t.Context(), p.DB(), "DROP TABLE mine"))
		n, err = number(t.Context(), p.DB(), "SELECT count(*) FROM sqlite_temp_schema")
		require.NoError(t, err)
		require.Zero(t, n, "OnConnect's table is gone for it")
		requireAtRest(t, p)
	})
}
