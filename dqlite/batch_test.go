package dqlite_test

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// queue has the callers wait for the write lane in their order, and then lets them work.
// It returns what came of each.
func queue(t *testing.T, s *dqlite.Store, callers ...func() error) []error {
	t.Helper()
	h := hold(t, s)
	errs := make([]error, len(callers))
	var over sync.WaitGroup
	for i, call := range callers {
		over.Go(func() { errs[i] = call() })
		synctest.Wait()
	}
	h.letGo()
	require.NoError(t, <-h.ended)
	over.Wait()
	return errs
}

// inserting are callers that insert 1, 2, 3 and so on, by statements and functions in turn.
func inserting(ctx context.Context, s *dqlite.Store, n int) (all []func() error) {
	for i := range n {
		text := fmt.Sprintf("INSERT INTO n (v) VALUES (%d)", i+1)
		all = append(all, func() error {
			if i%2 == 0 {
				return do(ctx, s.StoreWriter(), text)
			}
			return s.StoreBatch(ctx, doing(text))
		})
	}
	return all
}

func none(n int) []error { return make([]error, n) }

func TestThoseWhoWaitNextToEachOtherShareACommit(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		require.Equal(t, none(10), queue(t, s, inserting(t.Context(), s, 10)...))
		require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, c.values(), "in their order")
		require.Equal(t, 2, c.count("COMMIT"), "the holder's, and one for all")
		got := s.Stats()
		require.EqualValues(t, 1, got.Batches)
		require.EqualValues(t, 10, got.BatchMembers)
		atRest(t, s)
	})
}

func TestABatchOvertakesNobody(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		in := inserting(t.Context(), s, 4)
		alone := func() error {
			return s.StoreInTx(t.Context(), pool.Immediate, doing("INSERT INTO n (v) VALUES (100)"))
		}
		require.Equal(t, none(5), queue(t, s, in[0], in[1], alone, in[2], in[3]))
		require.Equal(t, []int{1, 2, 100, 3, 4}, c.values())
		require.EqualValues(t, 2, s.Stats().Batches)
		atRest(t, s)
	})
}

// TestAMembersEndIsItsOwn has one member among five fail in each way.
func TestAMembersEndIsItsOwn(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	bad := doing("INSERT INTO n (v) VALUES (100)")
	for name, fail := range some(map[string]func(t *testing.T, s *dqlite.Store) error{
		"an error": func(t *testing.T, s *dqlite.Store) error {
			return s.StoreBatch(t.Context(), func(ctx context.Context, tx pool.StoreTx) error {
				tx.AfterCommit(func() { t.Error("called after work that was undone") })
				require.NoError(t, bad(ctx, tx))
				return errOurs
			})
		},
		"a panic": func(t *testing.T, s *dqlite.Store) (err error) {
			defer func() { err = recover().(error) }()
			return s.StoreBatch(t.Context(), func(ctx context.Context, tx pool.StoreTx) error {
				require.NoError(t, bad(ctx, tx))
				panic(errOurs)
			})
		},
		"Goexit": func(t *testing.T, s *dqlite.Store) error {
			over := make(chan struct{})
			go func() {
				defer close(over)
				_ = s.StoreBatch(t.Context(), func(ctx context.Context, tx pool.StoreTx) error {
					require.NoError(t, bad(ctx, tx))
					runtime.Goexit()
					return nil
				})
			}()
			<-over
			return errOurs
		},
		"a constraint": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorContains(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (100), (NULL)"), "NOT NULL")
			return errOurs
		},
		"a constraint in a function": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorContains(t, s.StoreBatch(t.Context(), doing("INSERT INTO n (v) VALUES (100)", "INSERT INTO n (v) VALUES (100)")), "UNIQUE")
			return errOurs
		},
		"a constraint in a script": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorContains(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (100); INSERT INTO n (v) VALUES (NULL)"), "NOT NULL")
			return errOurs
		},
		"ON CONFLICT FAIL": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorContains(t, do(t.Context(), s.StoreWriter(), "INSERT OR FAIL INTO n (v) VALUES (100), (100)"), "UNIQUE")
			return errOurs
		},
		"ON CONFLICT ROLLBACK": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorContains(t, do(t.Context(), s.StoreWriter(), "INSERT OR ROLLBACK INTO n (v) VALUES (100), (100)"), "UNIQUE")
			return errOurs
		},
		"ON CONFLICT ROLLBACK in a function": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorContains(t, s.StoreBatch(t.Context(), doing("INSERT OR ROLLBACK INTO n (v) VALUES (100), (100)")), "UNIQUE")
			return errOurs
		},
		"ON CONFLICT ROLLBACK swallowed": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorIs(t, s.StoreBatch(t.Context(), func(ctx context.Context, tx pool.StoreTx) error {
				_ = do(ctx, tx, "INSERT OR ROLLBACK INTO n (v) VALUES (100), (100)")
				require.ErrorIs(t, do(ctx, tx, "INSERT INTO n (v) VALUES (100)"), pool.ErrTxLost)
				return nil
			}), pool.ErrTxLost)
			return errOurs
		},
		"no such table": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorContains(t, do(t.Context(), s.StoreWriter(), "INSERT INTO nowhere VALUES (1)"), "no such table")
			return errOurs
		},
		"what cannot be sent": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorContains(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v, label) VALUES (100, ?)", "a\x00b"), "NUL")
			return errOurs
		},
		"a deferred foreign key": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorContains(t, do(t.Context(), s.StoreWriter(), "INSERT INTO child VALUES (77)"), "FOREIGN KEY")
			return errOurs
		},
		"a context that had ended": func(t *testing.T, s *dqlite.Store) error {
			require.ErrorIs(t, s.StoreBatch(ended, bad), context.Canceled)
			return errOurs
		},
		"a context that ends in it": func(t *testing.T, s *dqlite.Store) error {
			ctx, cancel := context.WithCancel(t.Context())
			require.ErrorIs(t, s.StoreBatch(ctx, func(ctx context.Context, tx pool.StoreTx) error {
				require.NoError(t, bad(ctx, tx))
				cancel()
				require.ErrorIs(t, do(ctx, tx, "INSERT INTO n (v) VALUES (101)"), context.Canceled)
				return nil
			}), context.Canceled)
			return errOurs
		},
		"rows that are left open": func(t *testing.T, s *dqlite.Store) error {
			return s.StoreBatch(t.Context(), func(ctx context.Context, tx pool.StoreTx) error {
				rows, err := tx.QueryContext(ctx, "INSERT INTO n (v) VALUES (100), (101), (102), (103), (104) RETURNING v")
				require.NoError(t, err)
				require.True(t, rows.Next())
				return cmp.Or(rows.Err(), errOurs)
			})
		},
	}) {
		for _, at := range []int{0, 1, 2, 4} {
			t.Run(fmt.Sprint(name, ", ", at), func(t *testing.T) {
				inCluster(t, func(t *testing.T, c *cluster) {
					c.sql("CREATE TABLE child (of INTEGER REFERENCES n DEFERRABLE INITIALLY DEFERRED)")
					s := c.open()
					in := inserting(t.Context(), s, 4)
					in = slices.Insert(in, at, func() error { return fail(t, s) })
					want := slices.Insert(none(4), at, errOurs)
					require.Equal(t, want, queue(t, s, in...))
					got := c.values()
					slices.Sort(got) // those who run again do so behind
					require.Equal(t, []int{1, 2, 3, 4}, got)
					atRest(t, s)
				})
			})
		}
	}
}

func TestAViolatedConstraintUndoesOneStatementOfABatchAlone(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		in := inserting(t.Context(), s, 4)
		in[2] = func() error { return do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (1)") }
		errs := queue(t, s, in...)
		require.ErrorContains(t, errs[2], "UNIQUE")
		require.Equal(t, []int{1, 2, 4}, c.values())
		require.EqualValues(t, 1, s.Stats().Batches, "nobody ran again")
		require.EqualValues(t, 3, s.Stats().BatchMembers)
		require.Zero(t, s.Stats().Retries)

		// What the schema says of conflicts may undo more: everybody runs again.
		c.sql("CREATE TABLE strict (v UNIQUE ON CONFLICT FAIL)")
		in = []func() error{
			func() error { return do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (10)") },
			func() error { return do(t.Context(), s.StoreWriter(), "INSERT INTO strict VALUES (1), (2), (1)") },
			func() error { return do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (11)") },
		}
		errs = queue(t, s, in...)
		require.NoError(t, errs[0])
		require.ErrorContains(t, errs[1], "UNIQUE")
		require.NoError(t, errs[2])
		require.Zero(t, get(t, t.Context(), s.StoreReader(), "SELECT count(*) FROM strict"))
		atRest(t, s)
	})
}

// TestALostBatchRunsAgain has the leader go at each statement of a batch.
func TestALostBatchRunsAgain(t *testing.T) {
	for name, v := range some(map[string]verdict{
		"cut off":         {cut: true},
		"not the leader":  {code: wire.CodeNotLeader},
		"leadership lost": {code: wire.CodeLeadershipLost},
	}) {
		for _, begins := range []string{"BEGIN IMMEDIATE", "SAVEPOINT", "RELEASE", "INSERT INTO n (v) VALUES (1)", "INSERT INTO n (v) VALUES (2)", "INSERT INTO n (v) VALUES (3)", "INSERT INTO n (v) VALUES (4)"} {
			t.Run(name+", "+begins, func(t *testing.T) {
				inCluster(t, func(t *testing.T, c *cluster) {
					s := c.open()
					var called []int
					callers := inserting(t.Context(), s, 4)
					callers[3] = func() error {
						return s.StoreBatch(t.Context(), func(ctx context.Context, tx pool.StoreTx) error {
							tx.AfterCommit(func() { called = append(called, 4) })
							return do(ctx, tx, "INSERT INTO n (v) VALUES (4)")
						})
					}
					h := hold(t, s)
					c.once(begins, v)
					h.letGo()
					require.NoError(t, <-h.ended)
					require.Equal(t, none(4), queue(t, s, callers...))
					got := c.values()
					slices.Sort(got)
					require.Equal(t, []int{1, 2, 3, 4}, got)
					require.Equal(t, []int{4}, called, "once, though its function ran more than once")
					atRest(t, s)
				})
			})
		}
	}
}

func TestACommitOfABatchThatIsNotAnsweredIsUnknownToAll(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		var n atomic.Int32
		c.on(func(a asked) verdict {
			if a.text == "COMMIT" {
				if n.Add(1) == 2 { // the first is the holder's
					return verdict{cut: true, applied: true}
				}
			}
			return verdict{}
		})
		for _, err := range queue(t, s, inserting(t.Context(), s, 4)...) {
			require.ErrorIs(t, err, dqlite.ErrCommitUnknown)
		}
		require.Equal(t, []int{1, 2, 3, 4}, c.values())
		require.Zero(t, s.Stats().Batches)
		atRest(t, s)
	})
}

func TestACommitOfABatchThatWasRefusedIsDoneAgainForAll(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		var n atomic.Int32
		c.on(func(a asked) verdict {
			if a.text == "COMMIT" {
				if n.Add(1) == 2 {
					return verdict{code: wire.CodeNotLeader}
				}
			}
			return verdict{}
		})
		require.Equal(t, none(4), queue(t, s, inserting(t.Context(), s, 4)...))
		got := c.values()
		slices.Sort(got)
		require.Equal(t, []int{1, 2, 3, 4}, got)
		atRest(t, s)
	})
}

// TestAMemberCancelledWhileItWaitsLeavesTheOthers: before its turn, and while another's
// statement is under way.
func TestAMemberCancelledWhileItWaitsLeavesTheOthers(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		ctx, cancel := context.WithCancel(t.Context())
		in := inserting(t.Context(), s, 5)
		in[1], in[2] = inserting(ctx, s, 5)[1], inserting(ctx, s, 5)[2]
		h := hold(t, s)
		errs := make([]error, 5)
		var over sync.WaitGroup
		for i, call := range in {
			over.Go(func() { errs[i] = call() })
			synctest.Wait()
		}
		require.Equal(t, 5, s.Stats().WriteQueue)
		cancel()
		synctest.Wait()
		require.Equal(t, 3, s.Stats().WriteQueue)
		h.letGo()
		over.Wait()
		require.ErrorIs(t, errs[1], context.Canceled)
		require.ErrorIs(t, errs[2], context.Canceled)
		require.Equal(t, []int{1, 4, 5}, c.values())
		require.NoError(t, <-h.ended)

		// In a shared transaction a statement is not stopped, which would cost the connection.
		c.sql("DELETE FROM n")
		ctx, cancel = context.WithCancel(t.Context())
		in = inserting(t.Context(), s, 3)
		in[2] = inserting(ctx, s, 3)[2]
		c.on(func(a asked) verdict {
			if strings.HasSuffix(a.text, "(3)") {
				cancel()
			}
			return verdict{}
		})
		before := s.Stats()
		require.Equal(t, none(3), queue(t, s, in...), "it was too late")
		require.Equal(t, []int{1, 2, 3}, c.values())
		require.Equal(t, before.Connected, s.Stats().Connected)
		require.Equal(t, before.Retries, s.Stats().Retries)

		// The first one's is: nobody else's work is lost with it.
		c.sql("DELETE FROM n")
		ctx, cancel = context.WithCancel(t.Context())
		in = inserting(t.Context(), s, 3)
		in[0] = inserting(ctx, s, 3)[0]
		release := make(chan struct{})
		c.on(func(a asked) verdict {
			if strings.HasSuffix(a.text, "(1)") {
				cancel()
				<-release
			}
			return verdict{}
		})
		errs = queue(t, s, in...)
		close(release)
		require.ErrorIs(t, errs[0], context.Canceled)
		require.NoError(t, errs[1])
		require.NoError(t, errs[2])
		synctest.Wait()
		require.Equal(t, []int{2, 3}, c.values())
		atRest(t, s)
	})
}

func TestAMemberThatChangesItsConnectionSharesItWithNobodyAfterIt(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		in := inserting(t.Context(), s, 3)
		in[1] = func() error { return do(t.Context(), s.StoreWriter(), "PRAGMA user_version=7") }
		require.Equal(t, none(3), queue(t, s, in...))
		require.EqualValues(t, 2, s.Stats().Batches)
		require.Equal(t, 7, get(t, t.Context(), s.StoreReader(), "PRAGMA user_version"))
		atRest(t, s)
	})
}

func TestABatchIsBounded(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		c.on(func(a asked) verdict {
			if strings.HasPrefix(a.text, "INSERT") {
				time.Sleep(30 * time.Millisecond)
			}
			return verdict{}
		})
		require.Equal(t, none(6), queue(t, s, inserting(t.Context(), s, 6)...))
		require.EqualValues(t, 3, s.Stats().Batches)
		atRest(t, s)
	})
}

func TestAHundredGoroutinesWrite(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				for k := range 3 {
					text := fmt.Sprintf("INSERT INTO n (v) VALUES (%d)", 3*i+k)
					var err error
					switch (i + k) % 4 {
					case 0:
						err = do(t.Context(), s.StoreWriter(), text)
					case 1:
						err = s.StoreBatch(t.Context(), doing(text))
					case 2:
						err = s.StoreInTx(t.Context(), pool.Deferred, doing("SELECT count(*) FROM n", text), pool.Repeatable())
					case 3:
						err = s.StoreInTx(t.Context(), pool.Immediate, doing(text))
					}
					if err != nil {
						t.Error(err)
					}
					if _, err := numbers(s.StoreReader().QueryContext(t.Context(), "SELECT v FROM n LIMIT 5")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		got := c.values()
		slices.Sort(got)
		require.Len(t, slices.Compact(got), 300)
		require.Less(t, s.Stats().Batches, s.Stats().BatchMembers)
		atRest(t, s)
	})
}
