package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/trio"
	"github.com/sqlane/sqlane/torture/trial"
	"golang.org/x/sys/unix"
)

// network is a bridge with a network namespace for each node and one for clients who are
// beside none of them.
type network struct {
	prefix string
	places []string // the nodes' namespaces, then the clients' own, which has the bridge
}

const hub = nodes // where the clients are who are beside no node

func (n *network) address(i int) string { return fmt.Sprintf("10.213.97.%d", 1+i) }

// ip runs iproute2's command.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// newNetwork makes it, or says why it cannot be made here.
func newNetwork() (n *network, missing string) {
	if os.Geteuid() != 0 {
		return nil, "this is not root"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, "there is no command ip (Debian: iproute2)"
	}
	n = &network{prefix: fmt.Sprintf("sqlane%d", os.Getpid())}
	var errs []error
	do := func(args ...string) {
		if len(errs) == 0 {
			if err := ip(args...); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for i := range nodes + 1 {
		n.places = append(n.places, fmt.Sprintf("%s-%d", n.prefix, i))
		do("netns", "add", n.places[i])
		do("-n", n.places[i], "link", "set", "lo", "up")
	}
	do("-n", n.places[hub], "link", "add", "bridge", "type", "bridge")
	do("-n", n.places[hub], "addr", "add", n.address(hub)+"/24", "dev", "bridge")
	do("-n", n.places[hub], "link", "set", "bridge", "up")
	for i := range nodes {
		port := fmt.Sprintf("port%d", i)
		do("link", "add", "eth0", "netns", n.places[i], "type", "veth", "peer", "name", port, "netns", n.places[hub])
		do("-n", n.places[hub], "link", "set", port, "master", "bridge", "up")
		do("-n", n.places[i], "addr", "add", n.address(i)+"/24", "dev", "eth0")
		do("-n", n.places[i], "link", "set", "eth0", "up")
	}
	if len(errs) > 0 {
		n.remove()
		return nil, "network namespaces cannot be made: " + errs[0].Error()
	}
	return n, ""
}

func (n *network) remove() (err error) {
	for _, place := range n.places {
		if _, there := os.Stat(filepath.Join("/run/netns", place)); there == nil {
			err = errors.Join(err, ip("netns", "del", place))
		}
	}
	return err
}

// cut has everything that node from sends to node to disappear, of connections that there
// are too.
func (n *network) cut(from, to int) error {
	return ip("-n", n.places[from], "route", "add", "blackhole", n.address(to)+"/32")
}

func (n *network) heal(from, to int) error {
	return ip("-n", n.places[from], "route", "del", "blackhole", n.address(to)+"/32")
}

// dial connects from a place. The socket is made by a thread that is there.
func (n *network) dial(place int) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (conn net.Conn, err error) {
		runtime.LockOSThread() // and a thread that does not come back ends with the goroutine
		home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			return nil, err
		}
		defer home.Close()
		away, err := os.Open(filepath.Join("/run/netns", n.places[place]))
		if err != nil {
			return nil, err
		}
		defer away.Close()
		if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
			return nil, err
		}
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
		if failed := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); failed != nil {
			if conn != nil {
				conn.Close()
			}
			return nil, failed
		}
		runtime.UnlockOSThread()
		return conn, err
	}
}

// cutOff cuts nodes off from each other, in one direction or both, for less and for more
// than it takes to elect another leader. Some clients are beside each node, where they
// are cut off with it, and some reach them all.
func cutOff(ctx context.Context, plan trial.Plan, node, name string) []trial.Row {
	n, missing := newNetwork()
	if missing != "" {
		return []trial.Row{{Section: Section, Name: name, Note: "NOT CHECKED: " + missing}}
	}
	rows := n.cutOff(ctx, plan, node, name)
	if err := n.remove(); err != nil {
		rows[0].Err = errors.Join(rows[0].Err, err)
	}
	return rows
}

func (n *network) cutOff(ctx context.Context, plan trial.Plan, node, name string) []trial.Row {
	s, err := open(ctx, plan, node, name, func(o *trio.Options) {
		o.Prefix = func(i int) []string { return []string{"ip", "netns", "exec", n.places[i]} }
		o.Dial = n.dial(hub)
		for i := range nodes {
			o.Addresses = append(o.Addresses, n.address(i)+":9001")
		}
	})
	if err != nil {
		return []trial.Row{{Section: Section, Name: name, Err: err}}
	}
	at := func(database string) (all []*dqlite.Store, err error) {
		for place := range nodes + 1 {
			store, err := s.open(ctx, database, func(cfg *dqlite.Config) { cfg.Dial = n.dial(place) })
			if err != nil {
				return nil, err
			}
			all = append(all, store)
		}
		return all, nil
	}
	rows := disturb(ctx, s, name, at, plan.Times(40, 4), func(b *bankers, i int) (err error) {
		leader, err := s.leader(ctx)
		if err != nil {
			return err
		}
		away := leader
		if i%4 == 3 || i%8 == 6 {
			away = (leader + 1 + s.rng.IntN(nodes-1)) % nodes
		}
		type way struct{ from, to int }
		var ways []way
		for other := range nodes {
			if other == away || i%8 == 5 && other == (away+1)%nodes { // one alone is cut off from it
				continue
			}
			if i%4 != 1 { // else it hears them, and they don't hear it
				ways = append(ways, way{other, away})
			}
			if i%4 != 2 { // else they hear it, and it doesn't hear them
				ways = append(ways, way{away, other})
			}
		}
		defer func() {
			for _, w := range ways {
				err = errors.Join(err, n.heal(w.from, w.to))
			}
		}()
		for _, w := range ways {
			if err := n.cut(w.from, w.to); err != nil {
				return err
			}
		}
		if i%2 == 0 {
			err = b.getOn(ctx, hub)
		}
		trial.Pause(ctx, s.rng, 4*time.Second)
		return err
	})
	rows[0].Err = errors.Join(rows[0].Err, s.close())
	return rows
}
