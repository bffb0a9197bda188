//go:build linux

package trio

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sqlane/sqlane/internal/wire"
)

// Build compiles cluster/cmd/node, which needs cgo and libdqlite, and returns the
// path of what it has put into dir.
func Build(ctx context.Context, dir string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	binary, err := filepath.Abs(filepath.Join(dir, "node"))
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/node")
	cmd.Dir = filepath.Join(filepath.Dir(file), "..", "..", "cluster")
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building cluster/cmd/node: %w\n%s", err, out)
	}
	return binary, nil
}

// Options of a cluster.
type Options struct {
	Binary string // of cluster/cmd/node
	Dir    string // of the nodes' folders and logs, for this cluster alone
	Nodes  int    // default: 3
	// Args are for all nodes. Default: -plaintext.
	Args []string
	// TLS is how to ask the nodes if Args say so. Default: nil, in the clear.
	TLS *tls.Config
	// Addresses are the nodes', as many as there are. Default: free ports on loopback.
	Addresses []string
	// Prefix is what node i's command is run by, such as "ip netns exec NAME", and must
	// become that command's process. Default: nothing.
	Prefix func(i int) []string
	// Dial reaches the nodes where that is not by TCP from here.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// StartTimeout is the longest that a node may take to be READY. Default: 1m.
	StartTimeout time.Duration
}

// Trio is a cluster of processes. It is safe for concurrent use, but that of one node
// only one call at a time may be made.
type Trio struct {
	o     Options
	nodes []*process
}

type process struct {
	address, dir string
	command      []string // what is before the arguments
	args         []string

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // It is closed when the process has ended, and err is its end.
	err   error
}

// Start starts a cluster and returns once all nodes are members. They end with ctx, at
// once; whoever wants them to end in order calls End.
func Start(ctx context.Context, o Options) (*Trio, error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Args == nil {
		o.Args = []string{"-plaintext"}
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = time.Minute
	}
	addresses := o.Addresses
	if addresses == nil {
		var err error
		if addresses, err = FreeAddresses(o.Nodes); err != nil {
			return nil, err
		}
	}
	t := &Trio{o: o}
	for i, address := range addresses {
		p := &process{address: address, dir: filepath.Join(o.Dir, "node"+strconv.Itoa(i+1)), command: []string{o.Binary}}
		if o.Prefix != nil {
			p.command = append(o.Prefix(i), o.Binary)
		}
		p.args = append([]string{"-dir", p.dir, "-address", address, "-stdin", "-start", o.StartTimeout.String()}, o.Args...)
		if i > 0 {
			p.args = append(p.args, "-join", strings.Join(addresses[:i], ","))
		}
		t.nodes = append(t.nodes, p)
		if err := t.start(ctx, p); err != nil {
			t.Close()
			return nil, err
		}
	}
	return t, nil
}

// FreeAddresses are of ports on loopback at which nobody listens, and which the system
// gives to nobody who does not ask for them by number.
func FreeAddresses(n int) ([]string, error) {
	var free []string
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		defer l.Close() // so that none is found twice
		if free = append(free, address); len(free) == n {
			return free, nil
		}
	}
	return nil, errors.New("there are no free ports between 10000 and 30000")
}

// start starts the node and waits until it is ready.
func (t *Trio) start(ctx context.Context, p *process) error {
	if err := os.MkdirAll(t.o.Dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(p.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, p.command[0], append(p.command[1:len(p.command):len(p.command)], p.args...)...)
	cmd.Stderr = log
	// Ctrl-C is for whoever has the cluster, who ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	// The node ends with it: nothing survives a test that dies.
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.ended = cmd, ended
	p.mu.Unlock()
	ready := make(chan bool, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		ready <- line == "READY "+p.address+"\n"
		io.Copy(io.Discard, stdout)
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(ended)
	}()
	select {
	case ok := <-ready:
		if ok {
			return nil
		}
	case <-time.After(t.o.StartTimeout + 10*time.Second):
	}
	p.kill()
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("node at %s was not ready: it said\n%s", p.address, last(said))
}

func last(log []byte) string { return string(log[max(0, len(log)-2000):]) }

func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return errors.New("the node was never started")
	}
	return p.cmd.Process.Signal(s)
}

// wait returns how the process ended.
func (p *process) wait() error {
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended == nil {
		return nil
	}
	<-ended
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *process) kill() {
	p.signal(syscall.SIGKILL) // it may have ended
	p.wait()
}

// Len is how many nodes there are.
func (t *Trio) Len() int { return len(t.nodes) }

// Address is node i's.
func (t *Trio) Address(i int) string { return t.nodes[i].address }

// Addresses are the nodes'.
func (t *Trio) Addresses() []string {
	var all []string
	for _, p := range t.nodes {
		all = append(all, p.address)
	}
	return all
}

// Dir is node i's folder.
func (t *Trio) Dir(i int) string { return t.nodes[i].dir }

// Log is what node i has said lately.
func (t *Trio) Log(i int) string {
	said, _ := os.ReadFile(t.nodes[i].dir + ".log")
	return last(said)
}

// PID is node i's process.
func (t *Trio) PID(i int) int {
	p := t.nodes[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Kill ends node i with SIGKILL, and returns once it has ended. A paused one ends too.
func (t *Trio) Kill(i int) { t.nodes[i].kill() }

// Stop pauses node i with SIGSTOP.
func (t *Trio) Stop(i int) error { return t.nodes[i].signal(syscall.SIGSTOP) }

// Continue has node i go on.
func (t *Trio) Continue(i int) error { return t.nodes[i].signal(syscall.SIGCONT) }

// End ends node i with SIGTERM: it hands over. The error is that of its exit code.
func (t *Trio) End(i int) error {
	if err := t.nodes[i].signal(syscall.SIGTERM); err != nil {
		return err
	}
	return t.nodes[i].wait()
}

// Restart starts node i, which has ended, and returns once it is a member again.
func (t *Trio) Restart(ctx context.Context, i int) error { return t.start(ctx, t.nodes[i]) }

// Wipe removes the folder of node i, which has ended, as a lost disk does. It joins
// anew when it is started, by the others.
func (t *Trio) Wipe(i int) error {
	p := t.nodes[i]
	if n := len(p.args); p.args[n-2] == "-join" {
		p.args = p.args[:n-2]
	}
	p.args = append(p.args, "-join", strings.Join(t.Addresses(), ","))
	return os.RemoveAll(p.dir)
}

// Close ends all nodes at once.
func (t *Trio) Close() {
	for _, p := range t.nodes {
		p.kill()
	}
}

func (t *Trio) dial(ctx context.Context, address string) (net.Conn, error) {
	if t.o.Dial != nil {
		return t.o.Dial(ctx, address)
	}
	if t.o.TLS == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	return (&tls.Dialer{Config: t.o.TLS}).DialContext(ctx, "tcp", address)
}

// ask asks node i who leads and who the members are.
func (t *Trio) ask(ctx context.Context, i int) (leader wire.Node, members []wire.Node, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := wire.Dial(ctx, t.dial, t.Address(i))
	if err != nil {
		return leader, nil, err
	}
	defer conn.Close()
	if leader, err = conn.Leader(ctx); err != nil {
		return leader, nil, err
	}
	members, err = conn.Members(ctx)
	return leader, members, err
}

// Leader waits for a node that says of itself that it leads, while a majority says so,
// and returns which it is.
func (t *Trio) Leader(ctx context.Context) (int, error) {
	for {
		votes, claims := map[string]int{}, []int{}
		for i := range t.nodes {
			leader, _, err := t.ask(ctx, i)
			if err != nil {
				continue
			}
			votes[leader.Address]++
			if leader.Address == t.Address(i) {
				claims = append(claims, i)
			}
		}
		for _, i := range claims {
			if 2*votes[t.Address(i)] > len(t.nodes) {
				return i, nil
			}
		}
		if err := pause(ctx); err != nil {
			return 0, fmt.Errorf("no leader was found among %v: %w", t.Addresses(), err)
		}
	}
}

// Voters waits until the leader says that n nodes vote. Then one of three may be lost.
func (t *Trio) Voters(ctx context.Context, n int) error {
	for {
		i, err := t.Leader(ctx)
		if err != nil {
			return err
		}
		voters := 0
		_, members, err := t.ask(ctx, i)
		for _, m := range members {
			if m.Role == wire.Voter {
				voters++
			}
		}
		if err == nil && voters == n {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("there are %d voters, not %d: %w", voters, n, err)
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}
