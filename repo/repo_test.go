package repo_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/internal/sqlstore"
	"github.com/sqlane/sqlane/internal/trial"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/sqlane/sqlane/repo"
	"github.com/sqlane/sqlane/schema"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ gen.Querier = (*repo.Repo)(nil)
	_ gen.Querier = (*repo.Tx)(nil)
	_ repo.Reader = (*repo.Repo)(nil)
	_ repo.Reader = (*repo.Tx)(nil)
)

// open makes an index, in a file if cfg has no Path.
func open(t *testing.T, cfg pool.Config) (*pool.Pool, *repo.Repo) {
	t.Helper()
	p := pooltest.New(t, pooltest.File(), pooltest.Migrations(schema.FS, migrate.Table(schema.VersionTable)), pooltest.Config(func(c *pool.Config) {
		c.AcquireTimeout = -1 // the machine may be slow
		c.MaxConns, c.Tracer = cfg.MaxConns, cfg.Tracer
		if cfg.Path != "" {
			c.Path = cfg.Path
		}
	}))
	return p, repo.New(p)
}

// onPools runs a test on an index in memory and on one in a file.
func onPools(t *testing.T, test func(t *testing.T, p *pool.Pool, r *repo.Repo)) {
	for name, path := range map[string]string{"memory": pool.Memory, "file": ""} {
		t.Run(name, func(t *testing.T) {
			p, r := open(t, pool.Config{Path: path})
			test(t, p, r)
		})
	}
}

// everywhere runs a test on these and on a Store that is no pool: what it asks for
// is what every Store promises.
func everywhere(t *testing.T, test func(t *testing.T, r *repo.Repo)) {
	onPools(t, func(t *testing.T, _ *pool.Pool, r *repo.Repo) { test(t, r) })
	t.Run("database/sql", func(t *testing.T) {
		s, err := sqlstore.Open(filepath.Join(t.TempDir(), "index.db"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		require.NoError(t, schema.Up(t.Context(), s.DB()))
		test(t, repo.New(s))
	})
	if s := trial.Cluster(t); s != nil {
		t.Run("cluster", func(t *testing.T) {
			require.NoError(t, schema.Up(t.Context(), s.DB()))
			test(t, repo.New(s))
		})
	}
}

var errUndo = errors.New("undo this")

// add makes a tab; any Querier will do.
func add(ctx context.Context, q gen.Querier, name string) error {
	_, err := q.CreateTab(ctx, gen.CreateTabParams{Name: name, FilterDef: "{}"})
	return err
}

// has tells whether the tab can be seen.
func has(ctx context.Context, t *testing.T, q repo.Reader, name string) bool {
	t.Helper()
	tabs, err := q.ListTabs(ctx)
	require.NoError(t, err)
	for _, tab := range tabs {
		if tab.Name == name {
			return true
		}
	}
	return false
}

// apart runs f in a goroutine and waits for its end, however it comes.
func apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// addAndCount is written against gen.Querier: it knows nothing of transactions.
func addAndCount(ctx context.Context, q gen.Querier, names ...string) (int, error) {
	for _, name := range names {
		if err := add(ctx, q, name); err != nil {
			return 0, err
		}
	}
	tabs, err := q.ListTabs(ctx)
	return len(tabs), err
}

func TestOneFunctionRunsInsideAndOutsideATransaction(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		n, err := addAndCount(t.Context(), r, "a", "b")
		require.NoError(t, err)
		require.Equal(t, 9, n)
		require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
			n, err = addAndCount(ctx, tx, "c", "d")
			return err
		}))
		require.Equal(t, 11, n)
		require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, _ *repo.Tx) error {
			n, err = addAndCount(ctx, r, "e")
			return err
		}))
		require.Equal(t, 12, n)
		require.NoError(t, r.Batch(t.Context(), func(ctx context.Context, tx *repo.Tx) error {
			n, err = addAndCount(ctx, tx, "f")
			return err
		}))
		require.Equal(t, 13, n)
	})
}

func TestAReadOutsideATransactionIsNoBatchAndGivesItsLeaseBack(t *testing.T) {
	onPools(t, func(t *testing.T, p *pool.Pool, r *repo.Repo) {
		before := p.Stats()
		version, err := r.GetSchemaVersion(t.Context())
		require.NoError(t, err)
		require.Positive(t, version)
		after := p.Stats()
		require.Equal(t, before.Acquires+1, after.Acquires)
		require.Equal(t, before.BatchMembers, after.BatchMembers)
		require.Equal(t, before.Committed, after.Committed)
		require.Zero(t, after.InUse)
	})
}

func TestAReadOutsideATransactionDoesNotWaitForTheWriter(t *testing.T) {
	_, r := open(t, pool.Config{})
	require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
		require.NoError(t, add(ctx, tx, "mine"))
		require.True(t, has(ctx, t, r, "mine"))
		require.False(t, has(t.Context(), t, r, "mine"), "this context carries no transaction")
		return nil
	}))
	require.True(t, has(t.Context(), t, r, "mine"))
}

func TestAWriteOutsideATransactionIsBatched(t *testing.T) {
	onPools(t, func(t *testing.T, p *pool.Pool, r *repo.Repo) {
		before := p.Stats()
		require.NoError(t, add(t.Context(), r, "a"))
		after := p.Stats()
		require.Equal(t, before.BatchMembers+1, after.BatchMembers)
		require.Equal(t, before.Batches+1, after.Batches)
		require.Equal(t, before.Committed+1, after.Committed)
		require.NoError(t, r.Batch(t.Context(), func(ctx context.Context, tx *repo.Tx) error { return add(ctx, tx, "b") }))
		require.Equal(t, after.BatchMembers+1, p.Stats().BatchMembers)
	})
}

func TestWritersThatWaitTogetherAreMembersOfBatches(t *testing.T) {
	onPools(t, func(t *testing.T, p *pool.Pool, r *repo.Repo) {
		const writers = 5
		before := p.Stats()
		errs := make(chan error, writers)
		require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(context.Context, *repo.Tx) error {
			for i := range writers {
				go func() { errs <- add(t.Context(), r, fmt.Sprint(i)) }()
			}
			for p.Stats().WriteQueue < writers {
				runtime.Gosched()
			}
			return nil
		}))
		for range writers {
			require.NoError(t, <-errs)
		}
		after := p.Stats()
		require.Equal(t, before.BatchMembers+writers, after.BatchMembers)
		require.LessOrEqual(t, after.Batches, before.Batches+writers)
		for i := range writers {
			require.True(t, has(t.Context(), t, r, fmt.Sprint(i)))
		}
	})
}

func TestAMethodOfRepoJoinsTheTransactionOfItsContext(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		for name, run := range map[string]func(context.Context, func(context.Context, *repo.Tx) error) error{
			"InTx": func(ctx context.Context, fn func(context.Context, *repo.Tx) error) error {
				return r.InTx(ctx, pool.Immediate, fn)
			},
			"Batch": r.Batch,
		} {
			err := run(t.Context(), func(ctx context.Context, tx *repo.Tx) error {
				require.NoError(t, add(ctx, r, "through the repo"))
				require.NoError(t, add(ctx, tx, "through the transaction"))
				for _, q := range []repo.Reader{r, tx} {
					require.True(t, has(ctx, t, q, "through the repo"))
					require.True(t, has(ctx, t, q, "through the transaction"))
				}
				return errUndo
			})
			require.Same(t, errUndo, err, name)
			require.False(t, has(t.Context(), t, r, "through the repo"), name)
			require.False(t, has(t.Context(), t, r, "through the transaction"), name)
		}
	})
}

func TestInTxBatchAndSavepointWithinATransactionAreUndoneAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
			inTx := func(ctx context.Context, fn func(context.Context, *repo.Tx) error) error {
				return r.InTx(ctx, pool.Immediate, fn)
			}
			for i, nested := range []func(context.Context, func(context.Context, *repo.Tx) error) error{inTx, r.Batch, tx.Savepoint} {
				require.NoError(t, nested(ctx, func(ctx context.Context, tx *repo.Tx) error {
					require.Same(t, errUndo, tx.Savepoint(ctx, func(ctx context.Context, tx *repo.Tx) error {
						require.NoError(t, add(ctx, tx, fmt.Sprint("undone deep down ", i)))
						return errUndo
					}))
					return add(ctx, r, fmt.Sprint("kept ", i))
				}))
				require.Same(t, errUndo, nested(ctx, func(ctx context.Context, tx *repo.Tx) error {
					require.NoError(t, add(ctx, tx, fmt.Sprint("undone ", i)))
					require.True(t, has(ctx, t, r, fmt.Sprint("undone ", i)))
					return errUndo
				}))
				require.False(t, has(ctx, t, tx, fmt.Sprint("undone ", i)))
			}
			return add(ctx, tx, "kept after all")
		}))
		for i := range 3 {
			require.True(t, has(t.Context(), t, r, fmt.Sprint("kept ", i)))
			require.False(t, has(t.Context(), t, r, fmt.Sprint("undone ", i)))
			require.False(t, has(t.Context(), t, r, fmt.Sprint("undone deep down ", i)))
		}
		require.True(t, has(t.Context(), t, r, "kept after all"))
	})
}

func TestWhatJoinsATransactionIsNoTransactionOfItsOwn(t *testing.T) {
	onPools(t, func(t *testing.T, p *pool.Pool, r *repo.Repo) {
		join := func(ctx context.Context, tx *repo.Tx) error {
			undo := func(context.Context, *repo.Tx) error { return errUndo }
			require.Same(t, errUndo, tx.Savepoint(ctx, undo))
			require.Same(t, errUndo, r.Batch(ctx, undo))
			require.Same(t, errUndo, r.InTx(ctx, pool.Immediate, undo))
			return errors.Join(add(ctx, r, "a"), add(ctx, tx, "b"))
		}
		before := p.Stats()
		require.NoError(t, r.InTx(t.Context(), pool.Immediate, join))
		after := p.Stats()
		require.Equal(t, before.Committed+1, after.Committed)
		require.Equal(t, before.RolledBack, after.RolledBack)
		require.Equal(t, before.BatchMembers, after.BatchMembers)
	})
}

func TestAViewSeesOneSnapshotWhileAnotherGoroutineCommits(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		written := make(chan error, 1)
		require.NoError(t, r.View(t.Context(), func(ctx context.Context, q repo.Reader) error {
			before, err := q.ListTabs(ctx)
			require.NoError(t, err)
			outside := t.Context()
			go func() { written <- add(outside, r, "new") }()
			if !strings.HasSuffix(t.Name(), "/memory") { // there the writer waits for the view's end
				require.NoError(t, <-written)
				written <- nil
				require.True(t, has(outside, t, r, "new"), "it is committed")
			}
			for _, q := range []repo.Reader{q, r} {
				again, err := q.ListTabs(ctx)
				require.NoError(t, err)
				require.Equal(t, before, again)
			}
			return nil
		}))
		require.NoError(t, <-written)
		require.True(t, has(t.Context(), t, r, "new"))
	})
}

func TestAViewWithinATransactionSeesItsWritesAndRefusesMore(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
			require.NoError(t, add(ctx, tx, "before"))
			require.NoError(t, r.View(ctx, func(ctx context.Context, q repo.Reader) error {
				require.True(t, has(ctx, t, q, "before"))
				require.ErrorIs(t, add(ctx, r, "meanwhile"), pool.ErrReadOnly)
				return nil
			}))
			return add(ctx, tx, "after")
		}))
		require.True(t, has(t.Context(), t, r, "before"))
		require.False(t, has(t.Context(), t, r, "meanwhile"))
		require.True(t, has(t.Context(), t, r, "after"))
	})
}

func TestAViewsContextMakesEveryWriteReadOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		require.NoError(t, r.View(t.Context(), func(ctx context.Context, _ repo.Reader) error {
			write := func(ctx context.Context, tx *repo.Tx) error { return add(ctx, tx, "no") }
			require.ErrorIs(t, add(ctx, r, "no"), pool.ErrReadOnly)
			require.ErrorIs(t, r.Batch(ctx, write), pool.ErrReadOnly)
			require.ErrorIs(t, r.InTx(ctx, pool.Deferred, write), pool.ErrReadOnly)
			require.ErrorIs(t, r.InTx(ctx, pool.Immediate, write), pool.ErrNestedLevel)
			return nil
		}))
		require.False(t, has(t.Context(), t, r, "no"))
	})
}

func TestAViewInAViewLeavesItReadOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		view := func(ctx context.Context) {
			require.NoError(t, r.View(ctx, func(ctx context.Context, _ repo.Reader) error {
				require.NoError(t, r.View(ctx, func(ctx context.Context, _ repo.Reader) error {
					require.ErrorIs(t, add(ctx, r, "no"), pool.ErrReadOnly)
					return nil
				}))
				require.ErrorIs(t, add(ctx, r, "no"), pool.ErrReadOnly)
				return nil
			}))
		}
		view(t.Context())
		require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
			view(ctx)
			return add(ctx, tx, "after")
		}))
		require.True(t, has(t.Context(), t, r, "after"))
		require.False(t, has(t.Context(), t, r, "no"))
	})
}

func TestWorkWhoseContextEndsIsUndone(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		ctx, cancel := context.WithCancel(t.Context())
		err := r.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
			require.NoError(t, add(ctx, tx, "too late"))
			cancel()
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, has(t.Context(), t, r, "too late"))
		require.NoError(t, add(t.Context(), r, "too late"), "the write lane is free")
	})
}

func TestInTxRefusesALevelThatIsStrongerThanTheOuterOne(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		for _, level := range []pool.Level{pool.Deferred, pool.Immediate, pool.Exclusive} {
			require.NoError(t, r.InTx(t.Context(), level, func(ctx context.Context, tx *repo.Tx) error {
				for stronger := level + 1; stronger <= pool.Exclusive; stronger++ {
					err := r.InTx(ctx, stronger, func(context.Context, *repo.Tx) error { panic("begun") })
					require.ErrorIs(t, err, pool.ErrNestedLevel)
				}
				require.NoError(t, add(ctx, tx, level.String()))
				return r.InTx(ctx, level, func(ctx context.Context, tx *repo.Tx) error {
					return add(ctx, tx, level.String()+", nested")
				})
			}))
			require.True(t, has(t.Context(), t, r, level.String()))
			require.True(t, has(t.Context(), t, r, level.String()+", nested"))
		}
		require.ErrorIs(t, r.InTx(t.Context(), pool.Exclusive+1, nil), pool.ErrConfig)
	})
}

func TestThePoolsTransactionHasTheLevelThatInTxIsGiven(t *testing.T) {
	onPools(t, func(t *testing.T, p *pool.Pool, r *repo.Repo) {
		for _, level := range []pool.Level{pool.Deferred, pool.Immediate, pool.Exclusive} {
			require.NoError(t, r.InTx(t.Context(), level, func(ctx context.Context, _ *repo.Tx) error {
				require.Equal(t, level, p.TxFromContext(ctx).Level())
				return nil
			}))
		}
	})
}

func TestRepeatablePassesThroughToThePool(t *testing.T) {
	p, r := open(t, pool.Config{}) // in memory the outer read would keep the writer out
	run := func(name string, opts ...pool.TxOption) (runs int, err error) {
		err = r.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *repo.Tx) error {
			runs++
			require.False(t, has(ctx, t, tx, name))
			if runs == 1 {
				require.NoError(t, add(t.Context(), r, fmt.Sprint("faster than ", name)))
			}
			return add(ctx, tx, name)
		}, opts...)
		return runs, err
	}
	runs, err := run("once")
	require.ErrorIs(t, err, pool.ErrConflict)
	require.Equal(t, 1, runs)
	require.False(t, has(t.Context(), t, r, "once"))
	retries := p.Stats().Retries
	runs, err = run("again", pool.Repeatable())
	require.NoError(t, err)
	require.Equal(t, 2, runs)
	require.Equal(t, retries+1, p.Stats().Retries)
	require.True(t, has(t.Context(), t, r, "again"))
}

func TestAPanicOrGoexitRollsBackAndGoesOn(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		for name, leave := range map[string]func(){"a panic": func() { panic(errUndo) }, "Goexit": runtime.Goexit} {
			write := func(ctx context.Context, tx *repo.Tx) error {
				defer leave()
				return add(ctx, tx, name)
			}
			for from, run := range map[string]func(ctx context.Context) error{
				"InTx":  func(ctx context.Context) error { return r.InTx(ctx, pool.Immediate, write) },
				"Batch": func(ctx context.Context) error { return r.Batch(ctx, write) },
				"View": func(ctx context.Context) error {
					return r.View(ctx, func(context.Context, repo.Reader) error { defer leave(); return nil })
				},
				"Savepoint": func(ctx context.Context) error {
					return r.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *repo.Tx) error { return tx.Savepoint(ctx, write) })
				},
			} {
				returned, recovered := false, any(nil)
				apart(func() {
					defer func() { recovered = recover() }()
					_ = run(t.Context())
					returned = true
				})
				require.False(t, returned, "%s from %s", name, from)
				require.Equal(t, name == "a panic", recovered == errUndo, "%s from %s", name, from)
				require.False(t, has(t.Context(), t, r, name), "%s from %s", name, from)
			}
			require.NoError(t, add(t.Context(), r, name), "the write lane is free")
		}
	})
}

func TestAPanicInASavepointLeavesTheTransactionToGoOn(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		require.NoError(t, r.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
			require.PanicsWithValue(t, errUndo, func() {
				_ = tx.Savepoint(ctx, func(ctx context.Context, tx *repo.Tx) error {
					require.NoError(t, add(ctx, tx, "undone"))
					panic(errUndo)
				})
			})
			return add(ctx, tx, "kept")
		}))
		require.True(t, has(t.Context(), t, r, "kept"))
		require.False(t, has(t.Context(), t, r, "undone"))
	})
}

const (
	accounts = 10
	balance  = 1_000_000
)

func account(directory int64, i int, size int64) gen.UpsertFileParams {
	at := column.At(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	name := fmt.Sprint(i)
	return gen.UpsertFileParams{
		DirectoryID: directory, Path: "/bank/" + name, Name: name, NameLower: name, Size: &size,
		DateCreated: at, DateModified: at, CloudProvider: column.NoCloud, CloudStatus: column.Local, IndexedAt: at,
	}
}

// transfer moves bytes between two accounts, and logs it.
func transfer(ctx context.Context, q gen.Querier, directory int64, from, to int) error {
	for i, by := range map[int]int64{from: -7, to: 7} {
		f, err := q.GetFileByPath(ctx, fmt.Sprint("/bank/", i))
		if err != nil {
			return err
		}
		if _, err := q.UpsertFile(ctx, account(directory, i, *f.Size+by)); err != nil {
			return err
		}
	}
	_, err := q.AppendLog(ctx, gen.AppendLogParams{Timestamp: column.At(time.Unix(1, 0)), Operation: column.Indexed, Path: "/bank"})
	return err
}

// audit fails if bytes appeared or vanished.
func audit(ctx context.Context, q repo.Reader, directory int64) error {
	total, err := q.CountFiles(ctx, "/bank")
	if err != nil {
		return err
	}
	entries, err := q.ListEntries(ctx, directory)
	if err != nil {
		return err
	}
	var sum int64
	for _, e := range entries {
		sum += *e.Size
	}
	if want := int64(accounts * balance); sum != want || total.TotalSize != want {
		return fmt.Errorf("%d and %d bytes instead of %d", sum, total.TotalSize, want)
	}
	return nil
}

func TestAHundredGoroutinesWriteAndReadAndEveryCallSucceeds(t *testing.T) {
	everywhere(t, func(t *testing.T, r *repo.Repo) {
		const goroutines = 100
		times := rounds.Of(1, 3, 3)
		ctx := t.Context()
		dir, err := r.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: "/bank"})
		require.NoError(t, err)
		for i := range accounts {
			_, err := r.UpsertFile(ctx, account(dir.ID, i, balance))
			require.NoError(t, err)
		}
		work := []func(from, to int) error{
			func(from, to int) error {
				return r.Batch(ctx, func(ctx context.Context, tx *repo.Tx) error { return transfer(ctx, tx, dir.ID, from, to) })
			},
			func(from, to int) error {
				return r.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *repo.Tx) error { return transfer(ctx, tx, dir.ID, from, to) })
			},
			func(from, to int) error {
				return r.InTx(ctx, pool.Deferred, func(ctx context.Context, _ *repo.Tx) error {
					return transfer(ctx, r, dir.ID, from, to)
				}, pool.Repeatable())
			},
			func(from, to int) error { // the wrong one is undone
				return r.InTx(ctx, pool.Exclusive, func(ctx context.Context, tx *repo.Tx) error {
					err := tx.Savepoint(ctx, func(ctx context.Context, tx *repo.Tx) error {
						_, err := tx.UpsertFile(ctx, account(dir.ID, from, 0))
						return errors.Join(err, errUndo)
					})
					if err.Error() != errUndo.Error() {
						return err
					}
					return transfer(ctx, tx, dir.ID, from, to)
				})
			},
		}
		errs := make(chan error, 2*goroutines*times)
		var all sync.WaitGroup
		for g := range goroutines {
			all.Go(func() {
				for i := range times {
					errs <- work[(g+i)%len(work)](g%accounts, (g+1+i)%accounts)
					errs <- r.View(ctx, func(ctx context.Context, q repo.Reader) error { return audit(ctx, q, dir.ID) })
				}
			})
		}
		all.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
		require.NoError(t, audit(ctx, r, dir.ID))
		transfers, err := r.RecentLog(ctx, int64(10*goroutines*times))
		require.NoError(t, err)
		require.Len(t, transfers, goroutines*times)
	})
}
