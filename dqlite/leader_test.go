package dqlite_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// all are the ways to work, reading and writing.
func all() map[string]func(context.Context, *dqlite.Store) error {
	ways := map[string]func(context.Context, *dqlite.Store) error{}
	for name, f := range work {
		ways["write "+name] = f
	}
	for name, f := range reading {
		ways["read "+name] = f
	}
	return ways
}

// TestAllGoesOnOnTheNewLeader has the leader become another one in each way while there are
// connections to the old one, of which nothing but their use tells.
func TestAllGoesOnOnTheNewLeader(t *testing.T) {
	for name, change := range map[string]func(c *cluster){
		"it hands over":  func(c *cluster) { c.elect(c.nodes[1]) },
		"it is killed":   func(c *cluster) { c.nodes[0].kill(); c.elect(c.nodes[1]) },
		"it restarts":    func(c *cluster) { c.nodes[0].kill(); c.nodes[0].start(); c.elect(c.nodes[0]) },
		"it is replaced": func(c *cluster) { c.nodes[0].kill(); c.nodes[0].start(); c.elect(c.nodes[2]) },
		"the others are elected later": func(c *cluster) {
			c.nodes[0].kill()
			time.AfterFunc(3*time.Second, func() { c.elect(c.nodes[1]) })
		},
	} {
		for way, run := range some(all()) {
			t.Run(name+", "+way, func(t *testing.T) {
				inCluster(t, func(t *testing.T, c *cluster) {
					s := c.open(quiet)
					for _, warm := range reading {
						require.NoError(t, warm(t.Context(), s))
					}
					for name, warm := range work {
						require.NoError(t, warm(t.Context(), s), name)
						c.sql("DELETE FROM n")
					}
					change(c)
					require.NoError(t, run(t.Context(), s))
					if strings.HasPrefix(way, "write") {
						require.Equal(t, []int{1}, c.values())
					}
					c.sql("DELETE FROM n")
					for _, name := range []string{"write by itself", "write in a transaction", "write by DB", "read by itself"} {
						require.NoError(t, all()[name](t.Context(), s), name)
						c.sql("DELETE FROM n")
					}
					require.Zero(t, s.Stats().CommitUnknown)
					atRest(t, s)
				})
			})
		}
	}
}

func TestWithoutALeaderAllIsErrNoQuorumAndNothingIsDone(t *testing.T) {
	for name, lose := range map[string]func(c *cluster){
		"none is elected":    func(c *cluster) { c.elect(nil) },
		"all are down":       func(c *cluster) { c.elect(nil); c.nodes[0].kill(); c.nodes[1].kill(); c.nodes[2].kill() },
		"one is left":        func(c *cluster) { c.nodes[0].kill(); c.nodes[1].kill() },
		"all are paused":     func(c *cluster) { c.nodes[0].pause(); c.nodes[1].pause(); c.nodes[2].pause() },
		"the leader is lost": func(c *cluster) { c.nodes[0].kill() },
	} {
		for way, run := range some(all()) {
			t.Run(name+", "+way, func(t *testing.T) {
				inCluster(t, func(t *testing.T, c *cluster) {
					s := c.open(func(cfg *dqlite.Config) { cfg.AcquireTimeout = 3 * time.Second })
					lose(c)
					began := time.Now()
					if name == "all are paused" && (way == "read by DB" || way == "read ping" || strings.HasPrefix(way, "write by DB")) {
						return // one statement waits for its context, or the leader's silence
					}
					err := run(t.Context(), s)
					require.Error(t, err)
					require.False(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled), "%v", err)
					if !errors.Is(err, dqlite.ErrNoQuorum) {
						require.Equal(t, "all are paused", name, "%v", err)
					}
					require.Less(t, time.Since(began), 50*time.Second)
					require.Empty(t, c.values())
					require.Zero(t, c.count("COMMIT"))

					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					began = time.Now()
					require.ErrorIs(t, run(ctx, s), context.DeadlineExceeded)
					require.Less(t, time.Since(began), 2*time.Second)

					for _, n := range c.nodes {
						n.resume()
						n.start()
					}
					c.elect(c.nodes[2])
					require.NoError(t, run(t.Context(), s))
					atRest(t, s)
				})
			})
		}
	}
}

func TestWhoWaitsInTheLaneForALeaderIsToldSo(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open(func(cfg *dqlite.Config) { cfg.AcquireTimeout = 4 * time.Second })
		c.elect(nil)
		failed := make(chan error, 3)
		for range 3 {
			go func() { failed <- do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (1)") }()
		}
		for range 3 {
			require.ErrorIs(t, <-failed, dqlite.ErrNoQuorum)
		}
		require.NotZero(t, s.Stats().Timeouts)
		require.Empty(t, c.values())
		require.Empty(t, s.Stats().Leader)
	})
}

// TestTheWaitForALeaderInTheMidstOfABeginIsErrNoQuorum: the leader is found when the time for
// the beginning as a whole is over.
func TestTheWaitForALeaderInTheMidstOfABeginIsErrNoQuorum(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open(quiet, func(cfg *dqlite.Config) { cfg.AcquireTimeout = 3 * time.Second })
		c.on(func(a asked) verdict {
			if a.text != "BEGIN IMMEDIATE" {
				return verdict{}
			}
			time.Sleep(2 * time.Second)
			return verdict{dies: true}
		})
		time.AfterFunc(4*time.Second, func() { c.elect(c.nodes[1]) })
		err := work["in a transaction"](t.Context(), s)
		require.ErrorIs(t, err, dqlite.ErrNoQuorum)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		c.on(nil)
		require.NoError(t, work["in a transaction"](t.Context(), s))
		require.Equal(t, []int{1}, c.values())
		atRest(t, s)
	})
}

func TestASilentLeaderIsGivenUpOnceOthersElectedAnother(t *testing.T) {
	for way, run := range some(all()) {
		t.Run(way, func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) {
				s := c.open()
				require.NoError(t, run(t.Context(), s))
				c.sql("DELETE FROM n")
				c.nodes[0].pause()
				c.nodes[0].named = c.nodes[0]
				time.AfterFunc(2*time.Second, func() { c.elect(c.nodes[1]) })
				began := time.Now()
				err := run(t.Context(), s)
				require.Less(t, time.Since(began), 8*time.Second)
				switch way {
				case "write in a transaction", "write in a Deferred one", "write in a transaction of DB", "read in a view", "read by DB",
					"read in a view of DB", "read ping", "write by DB": // of which a statement was under way
					if err != nil && way == "write by DB" {
						require.ErrorIs(t, err, dqlite.ErrCommitUnknown)
					}
				default:
					require.NoError(t, err)
				}
				c.sql("DELETE FROM n")
				require.NoError(t, run(t.Context(), s), "the new one")
				require.EqualValues(t, 1, s.Stats().LeaderChanges)
				require.Equal(t, c.nodes[1].address, s.Stats().Leader)
				leader, err := s.Leader(t.Context())
				require.NoError(t, err)
				require.Equal(t, dqlite.Member{ID: 2, Address: c.nodes[1].address, Role: "voter", Leader: true}, leader)
				c.nodes[0].resume()
				atRest(t, s)
			})
		})
	}
}

// TestALeaderThatIsSilentAloneIsGivenUpAfterAWhile: nobody else says to lead.
func TestALeaderThatIsSilentAloneIsGivenUpAfterAWhile(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		var log strings.Builder
		s := c.open(func(cfg *dqlite.Config) {
			cfg.AcquireTimeout = -1
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		for range 2 { // and what was heard of it before says nothing about the second time
			c.nodes[0].pause()
			began := time.Now()
			ended := make(chan error)
			go func() { ended <- reading["by itself"](t.Context(), s) }()
			time.Sleep(9 * time.Second)
			synctest.Wait()
			require.Empty(t, ended)
			time.Sleep(6 * time.Second)
			c.nodes[0].resume()
			require.NoError(t, <-ended)
			require.Less(t, time.Since(began), 20*time.Second)
			time.Sleep(20 * time.Second)
		}
		require.NoError(t, s.Close())
		require.Equal(t, 2, strings.Count(log.String(), "it does not answer"), log.String())
		require.Zero(t, s.Stats().LeaderChanges)
	})
}

// TestALeaderThatCameBackIsGivenUpForItsLastSilenceAlone: it is silent again before it was
// asked whether it leads.
func TestALeaderThatCameBackIsGivenUpForItsLastSilenceAlone(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		var log strings.Builder
		s := c.open(func(cfg *dqlite.Config) {
			cfg.HeartbeatInterval = 5 * time.Second
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		c.nodes[0].pause()
		time.Sleep(19 * time.Second)
		c.nodes[0].resume()
		require.NoError(t, reading["by itself"](t.Context(), s))
		c.nodes[0].pause()
		time.Sleep(7 * time.Second)
		require.NoError(t, s.Close())
		require.Equal(t, 1, strings.Count(log.String(), "it does not answer"), log.String())
	})
}

func TestALeaderThatFollowsAnotherIsGivenUp(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		rows, err := s.StoreReader().QueryContext(t.Context(), "SELECT 1")
		require.NoError(t, err)
		require.NoError(t, rows.Close())
		c.elect(c.nodes[2])
		time.Sleep(time.Second)
		synctest.Wait()
		require.Zero(t, c.connections(), "to the old one")
		require.NoError(t, reading["by itself"](t.Context(), s))
		atRest(t, s)
	})
}

func TestTheMajoritySaysWhoLeads(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open()
		c.nodes[0].named = c.nodes[0] // it was cut off from the others, not from here
		c.nodes[0].cutOff()
		c.elect(c.nodes[1])
		require.NoError(t, work["by itself"](t.Context(), s))
		require.Equal(t, c.nodes[1].address, s.Stats().Leader)

		// Nor does it count that it goes on to answer, for whoever asks all of them.
		c.nodes[0].lost = true
		for range 10 {
			fresh, err := dqlite.Open(t.Context(), c.config())
			require.NoError(t, err)
			require.Equal(t, c.nodes[1].address, fresh.Stats().Leader)
			require.NoError(t, fresh.Close())
		}
		c.nodes[0].lost = false

		// One that was removed, and one that is down, are among those that are asked.
		c.nodes[0].named, c.nodes[2].named = c.nodes[2], nil
		c.nodes[2].kill()
		another := c.open(func(cfg *dqlite.Config) { cfg.Members = append(cfg.Members, "gone:1") })
		require.NoError(t, reading["by itself"](t.Context(), another))
		require.Len(t, another.Stats().Members, 4)
	})
}

func TestAMemberThatIsUpIsEnough(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		s := c.open(func(cfg *dqlite.Config) { cfg.Members = []string{c.nodes[2].address} })
		require.ElementsMatch(t, []string{c.nodes[0].address, c.nodes[1].address, c.nodes[2].address}, s.Stats().Members)
		members, err := s.Members(t.Context())
		require.NoError(t, err)
		require.Len(t, members, 3)
		require.True(t, members[0].Leader)
		c.nodes[0].kill()
		c.nodes[2].kill()
		c.elect(c.nodes[1])
		require.NoError(t, work["by itself"](t.Context(), s), "the others are known")
	})
}

// TestALostTransactionIsErrTxLostAndRunsAgainIfItMay: the leader is gone in the midst.
func TestALostTransactionIsErrTxLostAndRunsAgainIfItMay(t *testing.T) {
	for name, lose := range map[string]func(c *cluster){
		"moved":      func(c *cluster) { c.elect(c.nodes[1]) },
		"killed":     func(c *cluster) { c.nodes[0].kill(); c.elect(c.nodes[1]) },
		"cut off":    func(c *cluster) { c.nodes[0].cutOff() },
		"cut amidst": func(c *cluster) { c.once("INSERT INTO n (v) VALUES (2)", verdict{cut: true}) },
		"moved then": func(c *cluster) {
			c.once("INSERT INTO n (v) VALUES (2)", verdict{code: wire.CodeLeadershipLost})
		},
		"a word":     func(c *cluster) { c.once("INSERT INTO n (v) VALUES (2)", verdict{code: wire.CodeNotFound}) },
		"at a point": func(c *cluster) { c.once("SAVEPOINT", verdict{cut: true}) },
		"in a view":  func(c *cluster) { c.once("PRAGMA query_only=1", verdict{cut: true}) },
	} {
		for _, level := range []pool.Level{pool.Deferred, pool.Immediate} {
			t.Run(name+" "+level.String(), func(t *testing.T) {
				inCluster(t, func(t *testing.T, c *cluster) {
					s, runs := c.open(), 0
					var seen []error
					swallow := false
					fn := func(ctx context.Context, tx pool.StoreTx) error {
						runs++
						if err := do(ctx, tx, "INSERT INTO n (v) VALUES (1)"); err != nil {
							return err
						}
						if runs == 1 {
							lose(c)
						}
						errs := []error{
							tx.Savepoint(ctx, doing("SELECT 1")),
							s.StoreView(ctx, doing("SELECT 1")),
							do(ctx, tx, "INSERT INTO n (v) VALUES (2)"),
							do(ctx, tx, "INSERT INTO n (v) VALUES (3)"),
						}
						seen = nil
						for _, err := range errs {
							if err != nil {
								seen = append(seen, err)
							}
						}
						if swallow || len(seen) == 0 {
							return nil
						}
						return seen[0]
					}
					for _, swallow = range []bool{false, true} {
						runs = 0
						c.elect(c.nodes[0])
						c.nodes[0].start()
						err := s.StoreInTx(t.Context(), level, fn)
						require.ErrorIs(t, err, pool.ErrTxLost)
						require.NotEmpty(t, seen)
						for _, err := range seen {
							require.ErrorIs(t, err, pool.ErrTxLost)
						}
						require.Empty(t, c.values())
						require.Equal(t, 1, runs)
					}
					runs = 0
					c.elect(c.nodes[0])
					c.nodes[0].start()
					require.NoError(t, s.StoreInTx(t.Context(), level, fn, pool.Repeatable()))
					require.Equal(t, 2, runs)
					require.Equal(t, []int{1, 2, 3}, c.values())
					atRest(t, s)
				})
			})
		}
	}
}

func TestAStatementThatEndsItsNodeMeetsTwoAtMost(t *testing.T) {
	for way, run := range map[string]func(*dqlite.Store) error{
		"read": func(s *dqlite.Store) error { return do(context.Background(), s.StoreReader(), "SELECT 'poison'") },
		"write": func(s *dqlite.Store) error {
			return do(context.Background(), s.StoreWriter(), "DELETE FROM n WHERE 'poison'")
		},
		"batch": func(s *dqlite.Store) error {
			return s.StoreBatch(context.Background(), doing("DELETE FROM n WHERE 'poison'"))
		},
		"repeatable": func(s *dqlite.Store) error {
			return s.StoreInTx(context.Background(), pool.Immediate, doing("SELECT 'poison'"), pool.Repeatable())
		},
	} {
		inCluster(t, func(t *testing.T, c *cluster) {
			s := c.open()
			c.on(func(a asked) verdict {
				if strings.Contains(a.text, "poison") {
					go func() {
						time.Sleep(time.Second)
						a.node.start()
						c.elect(c.nodes[a.node.id%3])
					}()
					return verdict{dies: true}
				}
				return verdict{}
			})
			err := run(s)
			require.Error(t, err, way)
			require.NotErrorIs(t, err, dqlite.ErrNoQuorum, way)
			met := 0
			for _, text := range c.texts() {
				if strings.Contains(text, "poison") {
					met++
				}
			}
			require.Equal(t, 2, met, way)
			time.Sleep(2 * time.Second)
			require.NoError(t, reading["by itself"](t.Context(), s), way)
			atRest(t, s)
		})
	}
}

func TestOpenWaitsForALeader(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.elect(nil)
		_, err := dqlite.Open(t.Context(), c.config())
		require.ErrorIs(t, err, dqlite.ErrNoQuorum)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = dqlite.Open(ctx, c.config())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, dqlite.ErrNoQuorum)
		time.AfterFunc(3*time.Second, func() { c.elect(c.nodes[2]) })
		s, err := dqlite.Open(t.Context(), c.config(func(cfg *dqlite.Config) { cfg.AcquireTimeout = -1 }))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		synctest.Wait()
		require.Zero(t, c.connections())
	})
}
