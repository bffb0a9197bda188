package pooltest_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	lib "modernc.org/sqlite/lib"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
)

func journals(t *testing.T, test func(t *testing.T, opts ...pooltest.Option)) {
	for _, mode := range []pool.JournalMode{pool.JournalWAL, pool.JournalDelete, pool.JournalTruncate, pool.JournalPersist} {
		t.Run(string(mode), func(t *testing.T) {
			test(t, pooltest.Migrations(notes), pooltest.File(), pooltest.Config(func(c *pool.Config) { c.JournalMode = mode }))
		})
	}
}

func add(ctx context.Context, q pool.Querier, text string) error {
	_, err := q.Exec(ctx, "INSERT INTO notes (text) VALUES (?)", text)
	return err
}

// long is a text that needs pages of its own.
func long(first byte, kilobytes int) string {
	return string(append([]byte{first}, make([]byte, kilobytes<<10)...))
}

func requireCode(t testing.TB, err error, want int) {
	t.Helper()
	code, ok := pool.Code(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, want, code, "%v", err)
}

func TestAFullDiskLetsFreePagesBeFilledAndLosesTheTransaction(t *testing.T) {
	test := func(t *testing.T, opts ...pooltest.Option) {
		p := pooltest.New(t, opts...)
		w := p.Writer()
		require.NoError(t, add(t.Context(), w, long('a', 100)))
		pooltest.Fail(t, p, pooltest.DiskFull)
		for _, level := range []pool.Level{pool.Deferred, pool.Immediate, pool.Exclusive} {
			err := p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
				requireCode(t, add(ctx, tx, long('b', 100)), lib.SQLITE_FULL)
				return nil
			})
			require.ErrorIs(t, err, pool.ErrTxLost)
			requireCode(t, err, lib.SQLITE_FULL)
		}
		requireCode(t, add(t.Context(), w, long('b', 100)), lib.SQLITE_FULL)
		exec1(t, p, "DELETE FROM notes WHERE id > 1")
		require.NoError(t, add(t.Context(), w, long('c', 90)), "what was deleted makes room")
		requireCode(t, add(t.Context(), w, long('d', 90)), lib.SQLITE_FULL)
		pooltest.Heal(t, p)
		require.NoError(t, add(t.Context(), w, long('d', 90)))
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		defer l.Release()
		require.NoError(t, add(t.Context(), l, long('e', 200)), "and everywhere")
	}
	everywhere(t, test)
	journals(t, test)
}

func TestAFaultMeetsTheTransactionThatIsUnderWay(t *testing.T) {
	everywhere(t, func(t *testing.T, opts ...pooltest.Option) {
		p := pooltest.New(t, opts...)
		for fault, code := range map[*pooltest.Fault]int{&pooltest.DiskFull: lib.SQLITE_FULL, &pooltest.LostTx: lib.SQLITE_INTERRUPT} {
			for _, level := range []pool.Level{pool.Deferred, pool.Immediate} {
				err := p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
					require.NoError(t, add(ctx, tx, "second"))
					pooltest.Fail(t, p, *fault)
					requireCode(t, add(ctx, tx, long('x', 100)), code)
					pooltest.Heal(t, p)
					require.ErrorIs(t, add(ctx, tx, "third"), pool.ErrTxLost)
					return nil
				})
				require.ErrorIs(t, err, pool.ErrTxLost)
			}
		}
		require.EqualValues(t, 1, number(t, p, "SELECT count(*) FROM notes"))
	})
}

func TestTheLimitOfPagesIsTheTestsOwnAgainOnceTheDiskIsHealed(t *testing.T) {
	p := pooltest.New(t, pooltest.Config(func(c *pool.Config) { c.Pragmas = map[string]string{"max_page_count": "10"}; c.MaxConns = 1 }))
	exec1(t, p, "CREATE TABLE t (a)")
	pooltest.Fail(t, p, pooltest.DiskFull)
	_, err := p.Writer().Exec(t.Context(), "INSERT INTO t VALUES (zeroblob(10000))")
	requireCode(t, err, lib.SQLITE_FULL)
	pooltest.Heal(t, p)
	exec1(t, p, "INSERT INTO t VALUES (zeroblob(10000))")
	_, err = p.Writer().Exec(t.Context(), "INSERT INTO t VALUES (zeroblob(100000))")
	requireCode(t, err, lib.SQLITE_FULL)
	require.EqualValues(t, 10, number(t, p, "SELECT max_page_count FROM pragma_max_page_count"))
}

func TestALostTransactionIsLostAndOneStatementAloneIsNot(t *testing.T) {
	everywhere(t, func(t *testing.T, opts ...pooltest.Option) {
		p := pooltest.New(t, opts...)
		pooltest.Fail(t, p, pooltest.LostTx)
		for _, level := range []pool.Level{pool.Deferred, pool.Immediate, pool.Exclusive} {
			err := p.InTx(t.Context(), level, func(ctx context.Context, tx *pool.Tx) error {
				require.ErrorIs(t, tx.QueryRow(ctx, "SELECT id FROM notes WHERE text <> 'first'").Scan(new(int)), sql.ErrNoRows)
				_ = add(ctx, tx, "second") // who swallows it finds out
				return nil
			})
			require.ErrorIs(t, err, pool.ErrTxLost)
			requireCode(t, err, lib.SQLITE_INTERRUPT)
		}
		require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
			var n int
			return tx.QueryRow(ctx, "SELECT count(*) FROM notes").Scan(&n)
		}))
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		defer l.Release()
		require.NoError(t, add(t.Context(), l, "alone"))
		pooltest.Heal(t, p)
		require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error { return add(ctx, tx, "second") }))
		require.EqualValues(t, 3, p.Stats().Lost)
	})
}

func TestTheNthWriteFailsAndAllAfterItUntilHealed(t *testing.T) {
	journals(t, func(t *testing.T, opts ...pooltest.Option) {
		p := pooltest.New(t, opts...)
		failed := 0
		for n := 1; ; n++ {
			pooltest.Fail(t, p, pooltest.IOError(n))
			err := add(t.Context(), p.Writer(), "second")
			if err == nil { // it takes fewer writes than that
				break
			}
			failed++
			code, _ := pool.Code(err)
			require.Equal(t, lib.SQLITE_IOERR, code&0xff, "%v", err)
			require.Error(t, add(t.Context(), p.Writer(), "second"), "and the next one")
			pooltest.Heal(t, p)
			require.Zero(t, number(t, p, "SELECT count(*) FROM notes WHERE text = 'second'"))
		}
		if number(t, p, "SELECT journal_mode = 'wal' FROM pragma_journal_mode") == 0 {
			require.Equal(t, 3, failed, "the first page, the table's and the index's")
		}
		require.Greater(t, failed, 1)
		pooltest.Heal(t, p)
		require.NoError(t, add(t.Context(), p.Writer(), "third"))
	})
}

func TestConnectionsThatComeLaterMeetTheFaultToo(t *testing.T) {
	p := pooltest.New(t, pooltest.Migrations(notes), pooltest.File())
	pooltest.Fail(t, p, pooltest.IOError(1))
	var leases []*pool.Lease
	for range 3 {
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		leases = append(leases, l)
	}
	for _, l := range leases {
		err := add(t.Context(), l, "second")
		requireCode(t, err, lib.SQLITE_IOERR_WRITE)
		l.Release()
	}
}

func TestAMovedFileIsErrMovedAndComesBack(t *testing.T) {
	var path string
	p := pooltest.New(t, pooltest.Migrations(notes), pooltest.File(), pooltest.Config(func(c *pool.Config) { path = c.Path }))
	pooltest.Fail(t, p, pooltest.Moved)
	require.NoFileExists(t, path)
	require.ErrorIs(t, add(t.Context(), p.Writer(), "second"), pool.ErrMoved)
	require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrMoved)
	pooltest.Heal(t, p)
	require.NoError(t, add(t.Context(), p.Writer(), "second"))
	pooltest.Fail(t, p, pooltest.Moved) // to the end
}

func TestALockIsHeldAsAnotherProcessHoldsIt(t *testing.T) {
	journals(t, func(t *testing.T, opts ...pooltest.Option) {
		p := pooltest.New(t, append(opts, pooltest.Config(func(c *pool.Config) { c.BusyTimeout = time.Millisecond }))...)
		pooltest.Fail(t, p, pooltest.Locked(0))
		require.ErrorIs(t, add(t.Context(), p.Writer(), "second"), pool.ErrBusy)
		require.EqualValues(t, 1, number(t, p, "SELECT count(*) FROM notes"), "others may read")
		pooltest.Heal(t, p)
		require.NoError(t, add(t.Context(), p.Writer(), "second"))
		pooltest.Fail(t, p, pooltest.Locked(time.Hour)) // to the end
	})
}

func TestALockGoesWhenItsTimeIsOver(t *testing.T) {
	p := pooltest.New(t, pooltest.Migrations(notes), pooltest.File(), pooltest.Config(func(c *pool.Config) { c.BusyTimeout = time.Minute }))
	pooltest.Fail(t, p, pooltest.Locked(5*time.Millisecond))
	require.NoError(t, add(t.Context(), p.Writer(), "second"))
	pooltest.Heal(t, p)
}

func TestFaultsThatHaveNoMeaningFailTheTest(t *testing.T) {
	var own *pool.Pool
	path := filepath.Join(t.TempDir(), "own.db")
	own, err := pool.Open(t.Context(), pool.Config{Path: path})
	require.NoError(t, err)
	defer func() { require.NoError(t, own.Close()) }()
	for _, c := range []struct {
		name, says string
		fail       func(t testing.TB)
	}{
		{"Moved in memory", "Moved has no meaning for a database in memory", func(t testing.TB) { pooltest.Fail(t, pooltest.New(t), pooltest.Moved) }},
		{"IOError in memory", "IOError(3) has no meaning", func(t testing.TB) { pooltest.Fail(t, pooltest.New(t), pooltest.IOError(3)) }},
		{"Locked in memory", "Locked(1s) has no meaning", func(t testing.TB) { pooltest.Fail(t, pooltest.New(t), pooltest.Locked(time.Second)) }},
		{"IOError of nothing", "no such write", func(t testing.TB) { pooltest.Fail(t, pooltest.New(t, pooltest.File()), pooltest.IOError(0)) }},
		{"Moved twice", "exists already", func(t testing.TB) {
			p := pooltest.New(t, pooltest.File())
			pooltest.Fail(t, p, pooltest.Moved)
			pooltest.Fail(t, p, pooltest.Moved)
		}},
		{"Locked and moved", "Locked(0s)", func(t testing.TB) {
			p := pooltest.New(t, pooltest.File())
			pooltest.Fail(t, p, pooltest.Moved)
			pooltest.Fail(t, p, pooltest.Locked(0))
		}},
		{"Fault{}", "zero Fault", func(t testing.TB) { pooltest.Fail(t, pooltest.New(t), pooltest.Fault{}) }},
		{"another pool", "not opened by pooltest.New", func(t testing.TB) { pooltest.Fail(t, own, pooltest.DiskFull) }},
		{"another pool's Heal", "not opened by pooltest.New", func(t testing.TB) { pooltest.Heal(t, own) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			says := run(t, func(t testing.TB) {
				c.fail(t)
				t.Errorf("it goes on")
			})
			require.Contains(t, says, c.says)
			require.NotContains(t, says, "it goes on")
		})
	}
}

func TestWhatCannotBeHealedFailsTheTest(t *testing.T) {
	says := run(t, func(t testing.TB) {
		var path string
		p := pooltest.New(t, pooltest.File(), pooltest.Config(func(c *pool.Config) { path = c.Path }))
		pooltest.Fail(t, p, pooltest.Moved)
		require.NoError(t, p.Close())
		require.NoError(t, os.Rename(path+".moved", path+".elsewhere"))
		pooltest.Heal(t, p)
	})
	require.Contains(t, says, "Heal")
	require.Contains(t, says, "no such file")

	says = run(t, func(t testing.TB) {
		var path string
		p := pooltest.New(t, pooltest.File(), pooltest.Config(func(c *pool.Config) { path = c.Path }))
		pooltest.Fail(t, p, pooltest.Moved)
		require.NoError(t, os.Remove(path+".moved"))
	})
	require.Contains(t, says, "no such file", "at the end")
}

func TestFaultsMayComeWhileOthersWork(t *testing.T) {
	everywhere(t, func(t *testing.T, opts ...pooltest.Option) {
		p := pooltest.New(t, append(opts, pooltest.Config(func(c *pool.Config) { c.AcquireTimeout = -1 }))...)
		faults := []pooltest.Fault{pooltest.DiskFull, pooltest.LostTx}
		if len(opts) > 1 {
			faults = append(faults, pooltest.IOError(2), pooltest.Locked(time.Millisecond))
		}
		var workers sync.WaitGroup
		stop := make(chan struct{})
		for worker := range 4 {
			workers.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					_ = p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
						_, err := tx.Exec(ctx, "INSERT INTO notes (text) VALUES (?)", long(byte('a'+worker), i%20)+string(rune(i)))
						return err
					})
				}
			})
		}
		for range rounds.Of(1, 10, 100) {
			for _, f := range faults {
				before := p.Stats().Acquires
				pooltest.Fail(t, p, f)
				assert.Eventually(t, func() bool { return p.Stats().Acquires > before }, time.Minute, time.Millisecond)
				pooltest.Heal(t, p)
			}
		}
		close(stop)
		workers.Wait()
		exec1(t, p, "INSERT INTO notes (text) VALUES ('the last')")
	})
}
