package dqlite_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	lib "modernc.org/sqlite/lib"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// undecided are the ends of a commit of which nobody knows what came.
var undecided = map[string]verdict{
	"cut off before it was done":         {cut: true},
	"cut off after it was done":          {cut: true, applied: true},
	"the leader dies before":             {dies: true},
	"the leader dies after":              {dies: true, applied: true},
	"leadership lost before it was done": {code: wire.CodeLeadershipLost},
	"leadership lost after it was done":  {code: wire.CodeLeadershipLost, applied: true},
	"the disk fails before it was done":  {code: lib.SQLITE_IOERR},
	"the disk fails after it was done":   {code: lib.SQLITE_IOERR, applied: true},
	"the node is ending":                 {code: lib.SQLITE_ABORT},
	"silence before it was done":         {mute: true},
	"silence after it was done":          {mute: true, applied: true},
}

func TestACommitThatIsNotAnsweredIsUnknownAndNotRunAgain(t *testing.T) {
	for name, v := range some(undecided) {
		for way, insert := range some(work) {
			if v.mute && way == "by DB" {
				continue // whose statements wait as long as their context, on a node that answers otherwise
			}
			t.Run(name+", "+way, func(t *testing.T) {
				inCluster(t, func(t *testing.T, c *cluster) {
					s := c.open()
					begins := "COMMIT"
					if way == "by DB" {
						begins = "INSERT"
					}
					c.once(begins, v)
					err := insert(t.Context(), s)
					require.ErrorIs(t, err, dqlite.ErrCommitUnknown)
					require.NotErrorIs(t, err, pool.ErrTxLost)
					require.Equal(t, 1, c.count("INSERT"))
					require.EqualValues(t, 1, s.Stats().CommitUnknown)
					var want []int
					if v.applied {
						want = []int{1}
					}
					require.Equal(t, want, c.values())
					if v.dies {
						c.elect(c.nodes[1])
					}
					c.on(nil)
					require.NoError(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (9)"))
					atRest(t, s)
				})
			})
		}
	}
}

func TestACommitThatWasRefusedIsDoneAgainWhereThatIsAllowed(t *testing.T) {
	for name, code := range map[string]int{"not the leader": wire.CodeNotLeader, "no database": wire.CodeNotFound} {
		for way, insert := range some(work) {
			if way == "by DB" {
				continue // which has no COMMIT
			}
			t.Run(name+", "+way, func(t *testing.T) {
				inCluster(t, func(t *testing.T, c *cluster) {
					s := c.open()
					c.once("COMMIT", verdict{code: code})
					err := insert(t.Context(), s)
					again := way != "in a transaction" && way != "in a Deferred one" && way != "in a transaction of DB"
					if again {
						require.NoError(t, err)
						require.Equal(t, []int{1}, c.values())
						require.Equal(t, 2, c.count("INSERT"))
					} else {
						require.ErrorIs(t, err, pool.ErrTxLost)
						require.Empty(t, c.values())
						require.Equal(t, 1, c.count("INSERT"))
					}
					require.Zero(t, s.Stats().CommitUnknown)
					require.NoError(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (9)"))
					atRest(t, s)
				})
			})
		}
	}
}

// TestACommitThatWasNotSentIsLost: the connection ends between the last statement and COMMIT,
// which the Store finds out while it writes.
func TestACommitThatWasNotSentIsLost(t *testing.T) {
	for _, level := range []pool.Level{pool.Deferred, pool.Immediate, pool.Exclusive} {
		inCluster(t, func(t *testing.T, c *cluster) {
			s, runs := c.open(), 0
			fn := func(ctx context.Context, tx pool.StoreTx) error {
				runs++
				err := do(ctx, tx, "INSERT INTO n (v) VALUES (1)")
				if runs == 1 {
					c.nodes[0].cutOff()
				}
				return err
			}
			err := s.StoreInTx(t.Context(), level, fn)
			require.ErrorIs(t, err, pool.ErrTxLost)
			require.NotErrorIs(t, err, dqlite.ErrCommitUnknown)
			require.Empty(t, c.values())
			runs = 0
			require.NoError(t, s.StoreInTx(t.Context(), level, fn, pool.Repeatable()))
			require.Equal(t, 2, runs)
			require.Equal(t, []int{1}, c.values())
			c.sql("DELETE FROM n")
			runs = 0
			require.NoError(t, s.StoreBatch(t.Context(), fn))
			require.Equal(t, 2, runs)
			require.Equal(t, []int{1}, c.values())
			atRest(t, s)
		})
	}
}

func TestAStoreThatEndsBeforeTheCommitLosesTheTransaction(t *testing.T) {
	for name, begin := range map[string]func(s *dqlite.Store, fn txFunc) error{
		"transaction": func(s *dqlite.Store, fn txFunc) error { return s.StoreInTx(context.Background(), pool.Immediate, fn) },
		"deferred":    func(s *dqlite.Store, fn txFunc) error { return s.StoreInTx(context.Background(), pool.Deferred, fn) },
		"batch":       func(s *dqlite.Store, fn txFunc) error { return s.StoreBatch(context.Background(), fn) },
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) {
				s := c.open()
				err := begin(s, func(ctx context.Context, tx pool.StoreTx) error {
					require.NoError(t, do(ctx, tx, "INSERT INTO n (v) VALUES (1)"))
					require.NoError(t, s.Close())
					return nil
				})
				require.Error(t, err)
				require.NotErrorIs(t, err, dqlite.ErrCommitUnknown)
				require.True(t, errors.Is(err, pool.ErrTxLost) || errors.Is(err, pool.ErrClosed), err)
				synctest.Wait()
				require.Empty(t, c.values())
				require.Zero(t, c.count("COMMIT"))
			})
		})
	}
}

func TestReadsHaveNothingToCommit(t *testing.T) {
	for name, v := range some(undecided) {
		for way, read := range map[string]func(*dqlite.Store, txFunc) error{
			"view":     func(s *dqlite.Store, fn txFunc) error { return s.StoreView(context.Background(), fn) },
			"deferred": func(s *dqlite.Store, fn txFunc) error { return s.StoreInTx(context.Background(), pool.Deferred, fn) },
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				inCluster(t, func(t *testing.T, c *cluster) {
					s := c.open()
					c.once("COMMIT", v)
					require.NoError(t, read(s, doing("SELECT count(*) FROM n")))
					require.Zero(t, s.Stats().CommitUnknown)
					atRest(t, s)
				})
			})
		}
	}
}

func TestABusyCommitIsTriedAgainUntilItIsNot(t *testing.T) {
	for way, insert := range some(work) {
		if way == "by DB" {
			continue
		}
		inCluster(t, func(t *testing.T, c *cluster) {
			s := c.open()
			c.times(3, "COMMIT", verdict{code: wire.CodeBusy})
			require.NoError(t, insert(t.Context(), s), way)
			require.Equal(t, []int{1}, c.values(), way)
			require.Equal(t, 1, c.count("INSERT"), way)
			require.EqualValues(t, 3, s.Stats().Busy, way)
			c.sql("DELETE FROM n")
			c.times(1_000_000, "COMMIT", verdict{code: wire.CodeBusy})
			require.ErrorIs(t, insert(t.Context(), s), pool.ErrBusy, way)
			require.Empty(t, c.values(), way)
			c.on(nil)
			require.NoError(t, insert(t.Context(), s), way)
			atRest(t, s)
		})
	}
}

func TestAViolatedConstraintAtTheCommitUndoesTheTransaction(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.sql("CREATE TABLE child (of INTEGER REFERENCES n DEFERRABLE INITIALLY DEFERRED)")
		s := c.open()
		for name, begin := range map[string]func(fn txFunc) error{
			"transaction": func(fn txFunc) error { return s.StoreInTx(t.Context(), pool.Immediate, fn) },
			"batch":       func(fn txFunc) error { return s.StoreBatch(t.Context(), fn) },
		} {
			err := begin(doing("INSERT INTO child VALUES (7)"))
			require.ErrorContains(t, err, "FOREIGN KEY", name)
			require.NotErrorIs(t, err, dqlite.ErrCommitUnknown, name)
			require.NoError(t, begin(doing("INSERT INTO child VALUES (NULL)")), name)
		}
		_, err := numbers(s.StoreReader().QueryContext(t.Context(), "SELECT count(*) FROM child"))
		require.NoError(t, err)
		tx, err := s.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.Exec("INSERT INTO child VALUES (8)")
		require.NoError(t, err)
		require.ErrorContains(t, tx.Commit(), "FOREIGN KEY")
		require.Equal(t, 2, get(t, t.Context(), s.StoreReader(), "SELECT count(*) FROM child"))
		atRest(t, s)
	})
}

// TestAcknowledgedWorkIsNotRunTwice has the leader change again and again at every point.
func TestAcknowledgedWorkIsNotRunTwice(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		turn := make(chan int, 1)
		turn <- 0
		c.on(func(a asked) verdict {
			n := <-turn
			n++
			turn <- n
			switch {
			case strings.HasPrefix(a.text, "PRAGMA"):
			case n%13 == 0:
				return verdict{cut: true}
			case n%17 == 0:
				return verdict{code: wire.CodeNotLeader}
			case n%29 == 0:
				return verdict{code: wire.CodeLeadershipLost, applied: true}
			}
			return verdict{}
		})
		acknowledged, unknown := map[int]bool{}, map[int]bool{}
		for i := range 300 {
			var err error
			text := fmt.Sprintf("INSERT INTO n (v) VALUES (%d)", i)
			switch i % 3 {
			case 0:
				err = do(t.Context(), s.StoreWriter(), text)
			case 1:
				err = s.StoreBatch(t.Context(), doing(text))
			case 2:
				err = s.StoreInTx(t.Context(), pool.Immediate, doing(text), pool.Repeatable())
			}
			acknowledged[i], unknown[i] = err == nil, errors.Is(err, dqlite.ErrCommitUnknown)
		}
		c.on(nil)
		there := map[int]bool{}
		for _, v := range c.values() {
			there[v] = true
		}
		for i := range 300 {
			if !unknown[i] {
				require.Equal(t, acknowledged[i], there[i], i)
			}
		}
		require.NotZero(t, s.Stats().CommitUnknown)
		atRest(t, s)
	})
}
