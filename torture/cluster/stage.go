package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/trio"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/torture/bank"
	"github.com/sqlane/sqlane/torture/trial"
)

// patience is the longest wait for what must come, on a machine ten times as slow as one on
// which elections take three seconds.
const patience = 3 * time.Minute

const nodes = 3

// stage is a cluster, and whoever works on it.
type stage struct {
	*trio.Trio
	plan   trial.Plan
	dir    string
	rng    *rand.Rand
	stores []*dqlite.Store
	dial   func(context.Context, string) (net.Conn, error)
}

// open starts a cluster.
func open(ctx context.Context, plan trial.Plan, node, name string, change ...func(*trio.Options)) (*stage, error) {
	dir, err := plan.MakeDir("cluster " + name)
	if err != nil {
		return nil, err
	}
	o := trio.Options{
		Binary: node, Dir: dir, StartTimeout: patience,
		Args: []string{"-plaintext"}, // a leader that is silent for 3 s is replaced
	}
	for _, c := range change {
		c(&o)
	}
	plan.Progress("%s: the cluster starts", name)
	t, err := trio.Start(context.WithoutCancel(ctx), o)
	if err != nil {
		return nil, err
	}
	s := &stage{Trio: t, plan: plan, dir: dir, rng: plan.Rand(name), dial: o.Dial}
	if s.dial == nil {
		s.dial = new(tcp).dial
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := t.Voters(limited, nodes); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

type tcp struct{ net.Dialer }

func (d *tcp) dial(ctx context.Context, address string) (net.Conn, error) {
	return d.DialContext(ctx, "tcp", address)
}

// config is how a process reaches the cluster.
func config(members []string, database string) dqlite.Config {
	return dqlite.Config{
		Members: members, Database: database, Plaintext: true, MaxConns: 6,
		// Processes that write without a pause starve each other: their queues are several.
		AcquireTimeout: 30 * time.Second, BusyTimeout: 15 * time.Second,
	}
}

// open opens a Store, as another process would.
func (s *stage) open(ctx context.Context, database string, change ...func(*dqlite.Config)) (*dqlite.Store, error) {
	cfg := config(s.Addresses(), database)
	cfg.Dial = s.dial
	for _, c := range change {
		c(&cfg)
	}
	store, err := dqlite.Open(ctx, cfg)
	if err == nil {
		s.stores = append(s.stores, store)
	}
	return store, err
}

// close ends everything.
func (s *stage) close() (err error) {
	for _, store := range s.stores {
		err = errors.Join(err, store.Close())
	}
	s.Close()
	return err
}

// leader is which node leads.
func (s *stage) leader(ctx context.Context) (int, error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.Leader(limited)
}

// whole waits until all nodes are up and vote.
func (s *stage) whole(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.Voters(limited, nodes)
}

// audit looks at the bank as every node has it. Each must get to hold all that was
// acknowledged; one that was away has to catch up first.
func (s *stage) audit(ctx context.Context, database string, run int, acks []bank.Ack) (lost int, err error) {
	for i := range nodes {
		deadline := time.Now().Add(patience)
		for {
			var missing int
			missing, err = s.auditNode(ctx, i, database, run, acks)
			if err == nil && missing == 0 {
				break
			}
			if ctx.Err() != nil || time.Now().After(deadline) || i == 0 && s.leads(ctx, i) {
				return missing, fmt.Errorf("node %d: %w", i+1, errors.Join(err, errors.New("see what it said: "+s.Log(i))))
			}
			time.Sleep(200 * time.Millisecond) // it may be behind
		}
	}
	return 0, nil
}

func (s *stage) leads(ctx context.Context, i int) bool {
	leader, err := s.leader(ctx)
	return err == nil && leader == i
}

func (s *stage) auditNode(ctx context.Context, i int, database string, run int, acks []bank.Ack) (lost int, err error) {
	dir := filepath.Join(s.dir, "audit")
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return 0, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := wire.Dial(limited, s.dial, s.Address(i))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	files, err := conn.Dump(limited, database)
	if err != nil {
		return 0, err
	}
	path := filepath.Join(dir, "bank.db")
	for _, f := range files {
		name := path
		if strings.HasSuffix(f.Name, "-wal") {
			name += "-wal"
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			return 0, err
		}
	}
	return new(bank.Auditor).Audit(ctx, path, run, acks)
}

// lostLeader reports what a Store may say when its leader is gone, or does not come, or
// others are always before it.
func lostLeader(err error) bool {
	for _, is := range []error{pool.ErrTxLost, pool.ErrUnhealthy, pool.ErrBusy, pool.ErrConflict, pool.ErrAcquireTimeout, dqlite.ErrCommitUnknown, dqlite.ErrNoQuorum} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// rest waits a little, and reports false if the context has ended.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
