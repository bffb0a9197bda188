package dqlite_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	lib "modernc.org/sqlite/lib"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// writing are callers that write 1, 2, 3 and so on into table m, where nothing keeps a value
// from being there twice, by a statement each.
func writing(ctx context.Context, s *dqlite.Store, n int) (all []func() error) {
	for i := range n {
		all = append(all, func() error { return do(ctx, s.StoreWriter(), fmt.Sprintf("INSERT INTO m VALUES (%d)", i+1)) })
	}
	return all
}

// written is how often each value is in table m.
func (c *cluster) written() map[int]int {
	c.t.Helper()
	rows, err := c.db.QueryContext(context.Background(), "SELECT v FROM m")
	all, err := numbers(rows, err)
	require.NoError(c.t, err)
	times := map[int]int{}
	for _, v := range all {
		times[v]++
	}
	return times
}

// once are the values 1 to n, each of them there once.
func once(n int) map[int]int {
	times := map[int]int{}
	for i := range n {
		times[i+1] = 1
	}
	return times
}

// slow is a connection on which words take 100 microseconds to the other side.
type slow struct{ net.Conn }

func (s slow) Write(b []byte) (int, error) {
	time.Sleep(100 * time.Microsecond)
	return s.Conn.Write(b)
}

func TestTheStatementsOfABatchTakeOneRoundTrip(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.sql("CREATE TABLE m (v)")
		s := c.open(quiet, func(cfg *dqlite.Config) {
			cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				conn, err := c.dial(ctx, address)
				return slow{conn}, err
			}
		})
		h := hold(t, s)
		began := time.Now()
		var over sync.WaitGroup
		for _, call := range writing(t.Context(), s, 100) {
			over.Go(func() {
				if err := call(); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		h.letGo()
		over.Wait()
		require.Equal(t, 500*time.Microsecond, time.Since(began), "COMMIT of the holder, BEGIN, the first, all others, COMMIT")
		require.Equal(t, once(100), c.written())
		require.EqualValues(t, 100, s.Stats().BatchMembers)
		require.EqualValues(t, 1, s.Stats().Batches)
		require.NoError(t, <-h.ended)
		atRest(t, s)
	})
}

// TestAPipelineIsBounded: by how many statements go at once, and by their bytes. One that is
// larger goes by itself.
func TestAPipelineIsBounded(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.sql("CREATE TABLE m (v, label)")
		var mu sync.Mutex
		most, bytes := 0, 0 // written at once
		s := c.open(quiet, func(cfg *dqlite.Config) {
			cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				conn, err := c.dial(ctx, address)
				return counting{conn, func(requests, n int) {
					mu.Lock()
					defer mu.Unlock()
					if most = max(most, requests); requests > 1 {
						bytes = max(bytes, n)
					}
				}}, err
			}
		})
		var in []func() error
		for i := range 500 {
			size := 0
			switch {
			case i == 350, i == 450:
				size = 40_000
			case i > 300:
				size = i
			}
			var label any = make([]byte, size)
			if i%2 == 0 {
				label = strings.Repeat("x", size)
			}
			in = append(in, func() error { return do(t.Context(), s.StoreWriter(), "INSERT INTO m VALUES (?, ?)", i+1, label) })
		}
		require.Equal(t, none(500), queue(t, s, in...))
		require.Equal(t, once(500), c.written())
		require.EqualValues(t, 500, s.Stats().BatchMembers)
		require.EqualValues(t, 1, s.Stats().Batches)
		require.Equal(t, 2*128-1, most, "with the guards")
		require.Less(t, bytes, 50_000)
		require.Greater(t, bytes, 25_000)
		atRest(t, s)
	})
}

func TestABatchOfSlowStatementsIsShort(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.sql("CREATE TABLE m (v)")
		s := c.open()
		c.on(func(a asked) verdict {
			if strings.HasPrefix(a.text, "INSERT") {
				time.Sleep(30 * time.Millisecond)
			}
			return verdict{}
		})
		require.Equal(t, none(40), queue(t, s, writing(t.Context(), s, 40)...))
		require.Equal(t, once(40), c.written())
		require.EqualValues(t, 3, s.Stats().Batches, "17 each: one, and 16 behind it")
		atRest(t, s)
	})
}

// counting is a connection that tells how many requests are written at once, and their bytes.
type counting struct {
	net.Conn
	wrote func(requests, n int)
}

func (c counting) Write(b []byte) (int, error) {
	requests := 0
	for at := 0; at < len(b); requests++ {
		at += 8 + 8*int(binary.LittleEndian.Uint32(b[at:]))
	}
	c.wrote(requests, len(b))
	return c.Conn.Write(b)
}

func TestEachOfAPipelineLearnsWhatItsOwnStatementChanged(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.sql("CREATE TABLE m (v INTEGER PRIMARY KEY)")
		s := c.open()
		type change struct{ id, rows int64 }
		got := make([]change, 4)
		var in []func() error
		for i, text := range []string{"INSERT INTO m VALUES (10)", "INSERT INTO m VALUES (20), (21)", "UPDATE m SET v = v + 100", "DELETE FROM m WHERE v = 5"} {
			in = append(in, func() error {
				res, err := s.StoreWriter().ExecContext(t.Context(), text)
				if err == nil {
					got[i].id, _ = res.LastInsertId()
					got[i].rows, _ = res.RowsAffected()
				}
				return err
			})
		}
		in = append(in, func() error {
			none, err := numbers(s.StoreWriter().QueryContext(t.Context(), "INSERT INTO m VALUES (7)"))
			require.Empty(t, none)
			return err
		})
		require.Equal(t, none(5), queue(t, s, in...))
		require.Equal(t, []change{{10, 1}, {21, 2}, {0, 3}, {0, 0}}, got)
		require.Equal(t, map[int]int{110: 1, 120: 1, 121: 1, 7: 1}, c.written())
		require.Equal(t, 5, c.count("BEGIN"), "the holder's and the batch's, and a guard between each two of four")
		atRest(t, s)
	})
}

// TestAFailureInAPipelineCostsNobodyElse: at each place in it, by each kind of failure.
func TestAFailureInAPipelineCostsNobodyElse(t *testing.T) {
	for name, test := range some(map[string]struct {
		text   string
		v      verdict // if the node makes it fail
		errors string
	}{
		"a constraint":                 {text: "INSERT INTO n (v) VALUES (1000), (NULL)", errors: "NOT NULL"},
		"OR FAIL":                      {text: "INSERT OR FAIL INTO n (v) VALUES (1000), (1000)", errors: "UNIQUE"},
		"OR ROLLBACK":                  {text: "INSERT OR ROLLBACK INTO n (v) VALUES (1000), (1000)", errors: "UNIQUE"},
		"a trigger's FAIL":             {text: "INSERT INTO first VALUES (1000)", errors: "the trigger fails"},
		"a trigger's ROLLBACK":         {text: "INSERT INTO second VALUES (1000)", errors: "the trigger undoes all"},
		"no such table":                {text: "INSERT INTO nowhere VALUES (1000)", errors: "no such table"},
		"not to be sent":               {text: "INSERT INTO n (label) VALUES ('\x00')", errors: "NUL"},
		"out of memory":                {v: verdict{code: lib.SQLITE_NOMEM, undoes: true}, errors: "refused"},
		"full":                         {v: verdict{code: lib.SQLITE_FULL, undoes: true}, errors: "refused"},
		"an I/O error":                 {v: verdict{code: lib.SQLITE_IOERR, undoes: true}, errors: "refused"},
		"a constraint that undoes all": {v: verdict{code: lib.SQLITE_CONSTRAINT, undoes: true}, errors: "refused"},
		"full, and nothing was undone": {v: verdict{code: lib.SQLITE_FULL}, errors: "refused"},
	}) {
		t.Run(name, func(t *testing.T) {
			for at := range 5 {
				inCluster(t, func(t *testing.T, c *cluster) {
					c.sql("CREATE TABLE m (v)")
					c.sql("CREATE TABLE first (v)")
					c.sql("CREATE TABLE second (v)")
					if strings.HasPrefix(name, "a trigger") {
						c.sql("CREATE TRIGGER fails AFTER INSERT ON first BEGIN SELECT RAISE(FAIL, 'the trigger fails'); END")
						c.sql("CREATE TRIGGER rolls AFTER INSERT ON second BEGIN SELECT RAISE(ROLLBACK, 'the trigger undoes all'); END")
					}
					s := c.open()
					in := writing(t.Context(), s, 5)
					if test.text != "" {
						in[at] = func() error { return do(t.Context(), s.StoreWriter(), test.text) }
					} else {
						c.times(1, fmt.Sprintf("INSERT INTO m VALUES (%d)", at+1), test.v)
					}
					want := once(5)
					delete(want, at+1)
					for i, err := range queue(t, s, in...) {
						if i == at {
							require.ErrorContains(t, err, test.errors)
						} else {
							require.NoError(t, err, i)
						}
					}
					require.Equal(t, want, c.written())
					for _, table := range []string{"n", "first", "second"} {
						require.Zero(t, get(t, t.Context(), s.StoreReader(), "SELECT count(*) FROM "+table), table)
					}
					require.Zero(t, s.Stats().CommitUnknown)
					atRest(t, s)
				})
			}
		})
	}
}

// TestWhatStandsBehindAnUndoneTransactionIsNotDoneTwice: SQLite undoes the transaction of a
// pipeline at one statement, and the connection ends at a later one, when nobody has seen the
// answers yet.
func TestWhatStandsBehindAnUndoneTransactionIsNotDoneTwice(t *testing.T) {
	for _, v := range []verdict{{cut: true}, {dies: true}, {cut: true, applied: true}, {code: wire.CodeNotLeader}, {code: wire.CodeLeadershipLost, applied: true}} {
		inCluster(t, func(t *testing.T, c *cluster) {
			c.sql("CREATE TABLE m (v)")
			s := c.open()
			var mu sync.Mutex
			undone, ended := false, false
			c.on(func(a asked) verdict {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case a.text == "INSERT INTO m VALUES (3)" && !undone:
					undone = true
					return verdict{code: lib.SQLITE_NOMEM, undoes: true}
				case a.text == "INSERT INTO m VALUES (6)" && !ended:
					ended = true
					if v.dies {
						go c.elect(c.nodes[1])
					}
					return v
				}
				return verdict{}
			})
			errs := queue(t, s, writing(t.Context(), s, 8)...)
			want := once(8)
			if errs[2] != nil { // it was heard of before the end
				require.ErrorContains(t, errs[2], "refused")
				delete(want, 3)
				errs[2] = nil
			}
			require.Equal(t, none(8), errs)
			require.Equal(t, want, c.written())
			require.Zero(t, s.Stats().CommitUnknown)
			c.on(nil)
			atRest(t, s)
		})
	}
}

// TestAGuardThatFailsLeavesWhatIsBehindItUnknown: a node without memory may begin no
// transaction in place of the one that is undone.
func TestAGuardThatFailsLeavesWhatIsBehindItUnknown(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.sql("CREATE TABLE m (v)")
		s := c.open()
		var mu sync.Mutex
		failed := 0
		c.on(func(a asked) verdict {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.text == "INSERT INTO m VALUES (3)" && failed == 0:
				failed = 1
				return verdict{code: lib.SQLITE_NOMEM, undoes: true}
			case a.text == "BEGIN" && failed == 1:
				failed = 2
				return verdict{code: lib.SQLITE_NOMEM}
			}
			return verdict{}
		})
		errs := queue(t, s, writing(t.Context(), s, 6)...)
		require.ErrorContains(t, errs[2], "refused")
		require.ErrorIs(t, errs[3], dqlite.ErrCommitUnknown)
		errs[2], errs[3] = nil, nil
		require.Equal(t, none(6), errs)
		want := once(6)
		delete(want, 3)
		require.Equal(t, want, c.written(), "4 was committed by itself")
		require.EqualValues(t, 1, s.Stats().CommitUnknown)
		atRest(t, s)
	})

	// Where the one behind it fails for certain, or was refused, nothing is unknown.
	for name, v := range map[string]verdict{"refused": {code: wire.CodeNotLeader}, "failed": {code: lib.SQLITE_FULL}} {
		inCluster(t, func(t *testing.T, c *cluster) {
			c.sql("CREATE TABLE m (v)")
			s := c.open()
			var mu sync.Mutex
			guards := 0
			c.on(func(a asked) verdict {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case a.text == "BEGIN":
					if guards++; guards == 2 {
						return verdict{code: lib.SQLITE_NOMEM}
					}
				case a.text == "INSERT INTO m VALUES (4)" && guards == 2:
					guards++
					return v
				}
				return verdict{}
			})
			require.Equal(t, none(6), queue(t, s, writing(t.Context(), s, 6)...), name)
			require.Equal(t, once(6), c.written(), name)
			require.Zero(t, s.Stats().CommitUnknown, name)
			atRest(t, s)
		})
	}
}

func TestALockThatAPipelineMeetsIsWaitedFor(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.sql("CREATE TABLE m (v)")
		s := c.open()
		c.times(3, "INSERT INTO m VALUES (3)", verdict{code: wire.CodeBusy})
		require.Equal(t, none(5), queue(t, s, writing(t.Context(), s, 5)...))
		require.Equal(t, once(5), c.written())
		require.EqualValues(t, 1, s.Stats().Batches)
		require.EqualValues(t, 5, s.Stats().BatchMembers)
		require.EqualValues(t, 3, s.Stats().Busy)
		atRest(t, s)
	})
	t.Run("but not behind a transaction that is undone", func(t *testing.T) {
		inCluster(t, func(t *testing.T, c *cluster) {
			c.sql("CREATE TABLE m (v)")
			s := c.open()
			left := map[string]verdict{
				"INSERT INTO m VALUES (3)": {code: wire.CodeBusy},
				"INSERT INTO m VALUES (5)": {code: lib.SQLITE_FULL, undoes: true},
			}
			c.on(func(a asked) verdict {
				v := left[a.text]
				delete(left, a.text)
				return v
			})
			errs := queue(t, s, writing(t.Context(), s, 5)...)
			require.ErrorContains(t, errs[4], "refused")
			require.Equal(t, none(4), errs[:4])
			require.Equal(t, once(4), c.written())
			atRest(t, s)
		})
	})
}

// TestWhateverBefallsAPipelineNobodyIsToldWhatIsNotSo has nodes do at random what they can.
func TestWhateverBefallsAPipelineNobodyIsToldWhatIsNotSo(t *testing.T) {
	faults := []verdict{
		{cut: true},
		{cut: true, applied: true},
		{code: wire.CodeNotLeader},
		{code: wire.CodeLeadershipLost},
		{code: wire.CodeLeadershipLost, applied: true},
		{code: lib.SQLITE_NOMEM, undoes: true},
		{code: lib.SQLITE_FULL, undoes: true},
		{code: lib.SQLITE_CONSTRAINT},
		{code: wire.CodeBusy},
		{code: lib.SQLITE_IOERR, undoes: true},
		{code: 1},
	}
	for seed := range rounds.Of(20, 100, 2000) {
		inCluster(t, func(t *testing.T, c *cluster) {
			c.sql("CREATE TABLE m (v)")
			s := c.open()
			dice := rand.New(rand.NewPCG(uint64(seed), 1))
			var mu sync.Mutex
			left, story, begun := 1+dice.IntN(5), []string{}, false
			c.on(func(a asked) verdict {
				mu.Lock()
				defer mu.Unlock()
				v := verdict{}
				// The guard holds: what befalls it has a test of its own.
				begun = begun || strings.HasPrefix(a.text, "INSERT")
				if begun && left > 0 && a.text != "BEGIN" && !strings.HasPrefix(a.text, "SELECT") && dice.IntN(8) == 0 {
					left--
					v = faults[dice.IntN(len(faults))]
				}
				story = append(story, fmt.Sprintf("%s %+v", a.text, v))
				return v
			})
			errs := queue(t, s, writing(t.Context(), s, 12)...)
			c.on(nil)
			synctest.Wait()
			times := c.written()
			for i, err := range errs {
				switch n := times[i+1]; {
				case err == nil && n != 1, n > 1, err != nil && !errors.Is(err, dqlite.ErrCommitUnknown) && n != 0:
					t.Errorf("seed %d: %d is there %d times, and it was told %v\n%s", seed, i+1, n, err, strings.Join(story, "\n"))
				}
			}
			require.NoError(t, s.StoreInTx(t.Context(), pool.Immediate, doing("INSERT INTO m VALUES (100)")))
			atRest(t, s)
		})
	}
}
