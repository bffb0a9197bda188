package cluster_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/cluster"
	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestWhatThreeNodesHaveSurvivesTheLossOfTheLeader(t *testing.T) {
	t.Parallel()
	nodes, _ := three(t)
	write(t, nodes[1], "CREATE TABLE IF NOT EXISTS t (n)")
	write(t, nodes[2], "INSERT INTO t VALUES (1)")
	lost := index(t, nodes, nodes[0])
	require.NoError(t, nodes[lost].Close())
	for i, c := range nodes {
		if i != lost {
			eventually(t, "another leader", func(context.Context) bool { return leader(t, c).ID != nodes[lost].ID() })
			require.GreaterOrEqual(t, number(t, c, "SELECT count(*) FROM t"), 1)
		}
	}
}

func TestANodeComesBackAsWhoItWas(t *testing.T) {
	t.Parallel()
	cfg := config(t, addresses(t, 1)[0])
	c := open(t, cfg)
	info, err := os.Stat(cfg.Dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	write(t, c, "CREATE TABLE IF NOT EXISTS t (n)")
	write(t, c, "INSERT INTO t VALUES (1)")
	require.NoError(t, c.Shutdown(t.Context()))
	require.NoError(t, c.Close())

	again := open(t, cfg)
	require.Equal(t, c.ID(), again.ID())
	require.Equal(t, cfg.Address, again.Address())
	require.GreaterOrEqual(t, number(t, again, "SELECT count(*) FROM t"), 1)
}

func TestAnAddressMayBeOfAnyKind(t *testing.T) {
	t.Parallel()
	_, port, err := net.SplitHostPort(addresses(t, 1)[0])
	require.NoError(t, err)
	first := open(t, config(t, "localhost:"+port))
	second := open(t, config(t, addresses(t, 1)[0], "localhost:"+port))
	eventually(t, "a stand-by", func(ctx context.Context) bool {
		members, err := second.Members(ctx)
		return err == nil && len(members) == 2 && members[1].Role == "stand-by"
	})
	require.NoError(t, first.Handover(within(t, long)))
	eventually(t, "its leadership", func(context.Context) bool { return leader(t, first).ID == second.ID() })
	write(t, first, "CREATE TABLE IF NOT EXISTS t (n)")
}

func TestAWholeClusterThatWasEndedComesBack(t *testing.T) {
	t.Parallel()
	nodes, cfgs := three(t)
	write(t, nodes[0], "CREATE TABLE IF NOT EXISTS t (n)")
	for _, c := range nodes {
		require.NoError(t, c.Close())
	}
	// None is ready before two are.
	opened := make(chan error, len(cfgs))
	again := make([]*cluster.Cluster, len(cfgs))
	for i, cfg := range cfgs {
		go func() {
			var err error
			again[i], err = cluster.Open(t.Context(), cfg)
			opened <- err
		}()
	}
	for range cfgs {
		require.NoError(t, <-opened)
	}
	for _, c := range again {
		require.Zero(t, number(t, c, "SELECT count(*) FROM t"))
		defer c.Close()
	}
}

func TestLeadershipIsHandedOverBeforeTheEnd(t *testing.T) {
	t.Parallel()
	nodes, _ := three(t)
	led := index(t, nodes, nodes[0])
	require.NoError(t, nodes[led].Handover(within(t, long)))
	next := nodes[(led+1)%3]
	eventually(t, "another leader", func(context.Context) bool { return leader(t, next).ID != nodes[led].ID() })
	// It goes on, as a member like the others.
	write(t, nodes[led], "CREATE TABLE IF NOT EXISTS t (n)")
	require.NoError(t, nodes[led].Shutdown(within(t, long)))
	write(t, next, "INSERT INTO t VALUES (1)")
	_, err := nodes[led].Members(t.Context())
	require.ErrorIs(t, err, pool.ErrClosed)
	require.ErrorIs(t, nodes[led].Handover(t.Context()), pool.ErrClosed)
	require.ErrorIs(t, nodes[led].Leave(t.Context()), pool.ErrClosed)
}

func TestWritesOfOthersGoOnWhileANodeShutsDown(t *testing.T) {
	t.Parallel()
	nodes, _ := three(t)
	led := index(t, nodes, nodes[0])
	other := nodes[(led+1)%3]
	write(t, other, "CREATE TABLE IF NOT EXISTS t (n)")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	var written atomic.Int64
	go func() {
		for ctx.Err() == nil {
			if _, err := other.StoreWriter().ExecContext(t.Context(), "INSERT INTO t VALUES (?)", written.Load()); err != nil {
				ended <- err
				return
			}
			written.Add(1)
		}
		ended <- nil
	}()
	more := func() {
		t.Helper()
		before := written.Load()
		eventually(t, "more is written", func(context.Context) bool { return written.Load() > before+10 || len(ended) > 0 })
	}
	more()
	require.NoError(t, nodes[led].Shutdown(within(t, long)))
	more()
	cancel()
	require.NoError(t, <-ended)
	require.EqualValues(t, written.Load(), number(t, other, "SELECT count(*) FROM t"))
}

func TestANodeIsNotShutDownByItsOwnTransaction(t *testing.T) {
	t.Parallel()
	c := open(t, config(t, addresses(t, 1)[0]))
	require.NoError(t, c.StoreInTx(t.Context(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
		require.ErrorIs(t, c.Shutdown(ctx), pool.ErrDeadlock)
		_, err := tx.ExecContext(ctx, "CREATE TABLE t (n)")
		return err
	}))
	require.Zero(t, number(t, c, "SELECT count(*) FROM t"))
	require.NoError(t, c.Shutdown(t.Context()))
	require.NoError(t, c.Shutdown(t.Context()))
	_, err := c.StoreWriter().ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	require.ErrorIs(t, err, pool.ErrClosed)
}

func TestTheVoteIsHandedOverToWhoHasNone(t *testing.T) {
	t.Parallel()
	at := addresses(t, 2)
	first := open(t, config(t, at[0]))
	second := open(t, config(t, at[1], at[0]))
	eventuallyVoters(t, first, 1)
	// The second has a copy, and no vote: the first alone is a majority.
	require.NoError(t, first.Shutdown(within(t, long)))
	eventually(t, "its leadership", func(context.Context) bool { return leader(t, second).ID == second.ID() })
	write(t, second, "CREATE TABLE IF NOT EXISTS t (n)")
}

func TestAMemberLeavesForGood(t *testing.T) {
	t.Parallel()
	nodes, cfgs := three(t)
	led := index(t, nodes, nodes[0])
	require.NoError(t, nodes[led].Leave(within(t, long)))
	rest := nodes[(led+1)%3]
	members, err := rest.Members(t.Context())
	require.NoError(t, err)
	require.Len(t, members, 2)
	write(t, rest, "CREATE TABLE IF NOT EXISTS t (n)")
	require.NoError(t, nodes[led].Close())

	_, err = cluster.Open(t.Context(), cfgs[led])
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "has left")
	require.NoError(t, os.RemoveAll(cfgs[led].Dir))
	cfgs[led].Join = []string{rest.Address()}
	require.NotEqual(t, nodes[led].ID(), open(t, cfgs[led]).ID())
}

func TestTheLastMemberCannotLeave(t *testing.T) {
	t.Parallel()
	c := open(t, config(t, addresses(t, 1)[0]))
	require.ErrorContains(t, c.Leave(t.Context()), "the last member")
	write(t, c, "CREATE TABLE IF NOT EXISTS t (n)")
}

func TestAMemberThatDoesNotComeBackIsRemoved(t *testing.T) {
	t.Parallel()
	nodes, cfgs := three(t)
	require.NoError(t, nodes[2].Close())
	require.NoError(t, nodes[0].Remove(within(t, long), nodes[2].ID()))
	require.NoError(t, nodes[1].Remove(within(t, long), nodes[2].ID())) // it is gone
	members, err := nodes[0].Members(t.Context())
	require.NoError(t, err)
	require.Len(t, members, 2)
	require.Error(t, nodes[0].Remove(t.Context(), nodes[0].ID()))
	// It comes back all the same.
	cfgs[2].Join = []string{nodes[0].Address()}
	_, err = cluster.Open(t.Context(), cfgs[2])
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "removed from the cluster")
}

func TestANodeWhoseDiskIsGoneJoinsAnew(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]int{"the first": 0, "another": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes, cfgs := three(t)
			write(t, nodes[0], "CREATE TABLE IF NOT EXISTS t (n)")
			write(t, nodes[0], "INSERT INTO t VALUES (1)")
			require.NoError(t, nodes[lost].Close())
			require.NoError(t, os.RemoveAll(cfgs[lost].Dir))
			cfgs[lost].Join = []string{cfgs[0].Address, cfgs[1].Address, cfgs[2].Address}
			again := open(t, cfgs[lost])
			require.NotEqual(t, nodes[lost].ID(), again.ID())
			eventuallyVoters(t, again, 3)
			members, err := again.Members(t.Context())
			require.NoError(t, err)
			require.Len(t, members, 3)
			// It counts for a majority.
			require.NoError(t, nodes[1].Close())
			require.GreaterOrEqual(t, number(t, again, "SELECT count(*) FROM t"), 1)
			write(t, again, "INSERT INTO t VALUES (2)")
		})
	}
}

func TestANodeWhoseLogIsGoneMakesNoPromisesAnew(t *testing.T) {
	t.Parallel()
	cfg := config(t, addresses(t, 1)[0])
	require.NoError(t, open(t, cfg).Close())
	files, err := os.ReadDir(cfg.Dir)
	require.NoError(t, err)
	for _, f := range files {
		if f.Name() != "node.json" {
			require.NoError(t, os.Remove(filepath.Join(cfg.Dir, f.Name())))
		}
	}
	_, err = cluster.Open(t.Context(), cfg)
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "lost the log")
}

func TestANodeThatWasAwayForLongCatchesUp(t *testing.T) {
	t.Parallel()
	nodes, cfgs := three(t, func(cfg *cluster.Config) { *cfg = cfg.WithSnapshots(16, 16) })
	write(t, nodes[0], "CREATE TABLE IF NOT EXISTS t (n)")
	require.NoError(t, nodes[2].Close())
	for i := range 100 {
		write(t, nodes[0], "INSERT INTO t VALUES (?)", i)
	}
	snapshots, err := filepath.Glob(filepath.Join(cfgs[0].Dir, "snapshot-*"))
	require.NoError(t, err)
	require.NotEmpty(t, snapshots)
	again := open(t, cfgs[2])
	// Both are needed now: what is written has reached it, after all that was before.
	require.NoError(t, nodes[1].Close())
	write(t, again, "INSERT INTO t VALUES (100)")
	snapshots, err = filepath.Glob(filepath.Join(cfgs[2].Dir, "snapshot-*"))
	require.NoError(t, err)
	require.NotEmpty(t, snapshots)
	// What it has serves when it leads.
	if leader(t, again).ID != again.ID() {
		require.NoError(t, nodes[0].Handover(within(t, long)))
	}
	eventually(t, "its leadership", func(context.Context) bool { return leader(t, again).ID == again.ID() })
	require.GreaterOrEqual(t, number(t, again, "SELECT count(*) FROM t"), 101)
}

func TestAnAddressThatIsInUseIsRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	cfg := config(t, l.Addr().String())
	_, err = cluster.Open(t.Context(), cfg)
	require.ErrorContains(t, err, "address already in use")
	require.ErrorContains(t, err, cfg.Address)
	require.ErrorContains(t, err, cfg.Dir)
	require.ErrorContains(t, err, "another Address")
	cfg.Address = addresses(t, 1)[0]
	open(t, cfg)
}

func TestADirIsOneNodesAlone(t *testing.T) {
	t.Parallel()
	at := addresses(t, 2)
	cfg := config(t, at[0])
	c := open(t, cfg)
	cfg.Address = at[1]
	_, err := cluster.Open(t.Context(), cfg)
	require.ErrorContains(t, err, "runs in it already")
	require.NoError(t, c.Close())
	_, err = cluster.Open(t.Context(), cfg)
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, at[0])
	cfg.Dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, "photo.jpg"), nil, 0o600))
	_, err = cluster.Open(t.Context(), cfg)
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "photo.jpg")
}

func TestAClusterOutOfReachIsNamedAndMayBeJoinedLater(t *testing.T) {
	t.Parallel()
	at := addresses(t, 3)
	cfg := config(t, at[0], at[1], at[2])
	cfg.StartTimeout = time.Second
	_, err := cluster.Open(t.Context(), cfg)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, at[1])
	require.ErrorContains(t, err, at[2])
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("not now"))
	_, err = cluster.Open(ctx, cfg)
	require.ErrorIs(t, err, context.Canceled)

	// It may found one of its own instead, and elsewhere.
	other := config(t, at[2], at[1])
	other.StartTimeout = time.Millisecond
	_, err = cluster.Open(t.Context(), other)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	other.StartTimeout, other.Join = long, nil
	require.EqualValues(t, 1, open(t, other).ID())

	open(t, config(t, at[1]))
	cfg.StartTimeout, cfg.Join = long, at[1:2]
	c := open(t, cfg)
	members, err := c.Members(t.Context())
	require.NoError(t, err)
	require.Len(t, members, 2)
}

func TestANodeThatHasNoMajoritySaysSo(t *testing.T) {
	t.Parallel()
	nodes, cfgs := three(t)
	for _, c := range nodes {
		require.NoError(t, c.Close())
	}
	cfgs[0].StartTimeout = time.Second
	_, err := cluster.Open(t.Context(), cfgs[0])
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "majority")
}

func TestAMajorityThatIsLostIsGivenUpByHand(t *testing.T) {
	t.Parallel()
	nodes, cfgs := three(t)
	write(t, nodes[0], "CREATE TABLE IF NOT EXISTS t (n)")
	for _, c := range nodes {
		require.NoError(t, c.Close())
	}
	require.NoError(t, cluster.Recover(cfgs[1]))
	c := open(t, cfgs[1])
	require.Equal(t, nodes[1].ID(), c.ID())
	members, err := c.Members(t.Context())
	require.NoError(t, err)
	require.Equal(t, []dqlite.Member{{ID: c.ID(), Address: c.Address(), Role: "voter", Leader: true}}, members)
	require.Zero(t, number(t, c, "SELECT count(*) FROM t"))
	// The others join anew.
	require.NoError(t, os.RemoveAll(cfgs[2].Dir))
	cfgs[2].Join = []string{c.Address()}
	open(t, cfgs[2])

	require.ErrorContains(t, cluster.Recover(cfgs[1]), "runs in it already")
	require.ErrorIs(t, cluster.Recover(config(t, cfgs[0].Address)), pool.ErrConfig)
}

func TestNodesKeepStrangersOut(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	_, cfgs := three(t, func(cfg *cluster.Config) {
		cfg.Plaintext, cfg.TLS = false, authority.config(t)
	})
	stranger := newAuthority(t).config(t)
	stranger.RootCAs = authority.pool // it believes the cluster, which does not believe it
	for name, change := range map[string]func(*cluster.Config){
		"in the clear":                  func(cfg *cluster.Config) {},
		"with another's certificate":    func(cfg *cluster.Config) { cfg.Plaintext, cfg.TLS = false, stranger },
		"who believe another authority": func(cfg *cluster.Config) { cfg.Plaintext, cfg.TLS = false, newAuthority(t).config(t) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, addresses(t, 1)[0], cfgs[0].Address, cfgs[1].Address)
			cfg.StartTimeout = time.Second
			change(&cfg)
			_, err := cluster.Open(t.Context(), cfg)
			require.Error(t, err)
			require.ErrorContains(t, err, cfgs[1].Address)
		})
	}
	fourth := config(t, addresses(t, 1)[0], cfgs[2].Address)
	fourth.Plaintext, fourth.TLS = false, authority.config(t)
	members, err := open(t, fourth).Members(t.Context())
	require.NoError(t, err)
	require.Len(t, members, 4)
}

func TestAConfigurationsFaultsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := cluster.Open(t.Context(), cluster.Config{Address: "0.0.0.0:9001", Join: []string{"here"}, NetworkLatency: 1})
	require.ErrorIs(t, err, pool.ErrConfig)
	for _, said := range []string{"Dir is empty", "0.0.0.0:9001", `"here"`, "NetworkLatency", "Plaintext", "TLS"} {
		require.ErrorContains(t, err, said)
	}
	for said, change := range map[string]func(*cluster.Config){
		"no port":      func(cfg *cluster.Config) { cfg.Address = "127.0.0.1:0" },
		"no host":      func(cfg *cluster.Config) { cfg.Address = ":9001" },
		"but the node": func(cfg *cluster.Config) { cfg.Join = []string{cfg.Address} },
		"both TLS":     func(cfg *cluster.Config) { cfg.TLS = newAuthority(t).config(t) },
		"no Certificates": func(cfg *cluster.Config) {
			cfg.Plaintext, cfg.TLS = false, newAuthority(t).config(t)
			cfg.TLS.Certificates = nil
		},
		"GetConfigForClient": func(cfg *cluster.Config) {
			cfg.Plaintext, cfg.TLS = false, newAuthority(t).config(t)
			cfg.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
		},
		"no RootCAs": func(cfg *cluster.Config) {
			cfg.Plaintext, cfg.TLS = false, newAuthority(t).config(t)
			cfg.TLS.RootCAs = nil
		},
	} {
		cfg := config(t, "127.0.0.1:9001")
		change(&cfg)
		_, err := cluster.Open(t.Context(), cfg)
		require.ErrorIs(t, err, pool.ErrConfig)
		require.ErrorContains(t, err, said)
	}
}
