package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// A thread of the library waits meanwhile. It has four, and needs them for its
	// disk too.
	dialTimeout      = 2 * time.Second
	handshakeTimeout = 10 * time.Second
	// What was sent and is not acknowledged for so long has no one to receive it.
	sendTimeout = 10 * time.Second
)

// A gate is what stands between the network and dqlite's library, which knows neither
// TLS nor names of hosts. The library's own socket is open to this process alone.
type gate struct {
	address  string
	tls      *tls.Config // as the user gave it; nil is plaintext
	server   *tls.Config // for whoever connects
	log      *slog.Logger
	listener net.Listener
	library  string // the library's socket, once open is called

	ctx    context.Context // ends when nobody is let in or out any more
	shut   context.CancelFunc
	conns  context.Context // ends the connections that there are
	cut    context.CancelFunc
	mu     sync.Mutex
	closed bool           // no goroutine is started any more
	work   sync.WaitGroup // the goroutines
	// Those of them that have asked for a change of the members.
	changes sync.WaitGroup
}

// listen takes the address, and lets nobody in yet.
func listen(ctx context.Context, address string, cfg *tls.Config, log *slog.Logger) (*gate, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: control}
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	g := &gate{address: address, tls: cfg, log: log, listener: listener}
	if cfg != nil {
		g.server = serverTLS(cfg)
	}
	g.ctx, g.shut = context.WithCancel(context.Background())
	g.conns, g.cut = context.WithCancel(context.Background())
	return g, nil
}

// run starts a goroutine that close waits for, and tells whether it did.
func (g *gate) run(fn func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.work.Go(fn)
	}
	return !g.closed
}

// runChange is run for what end gives a while.
func (g *gate) runChange(fn func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.changes.Add(1)
		g.work.Go(func() {
			defer g.changes.Done()
			fn()
		})
	}
	return !g.closed
}

// open lets others in to the library.
func (g *gate) open(library string) {
	g.library = library
	g.run(func() {
		for {
			conn, err := g.listener.Accept()
			switch {
			case g.ctx.Err() != nil:
				if err == nil {
					conn.Close()
				}
				return
			case err != nil: // too many open files, say
				g.log.Warn("cluster: accepting a connection failed", "address", g.address, "error", err)
				select {
				case <-g.ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			default:
				if !g.run(func() { g.letIn(conn) }) {
					conn.Close()
				}
			}
		}
	})
}

func (g *gate) letIn(conn net.Conn) {
	if g.server != nil {
		ctx, cancel := context.WithTimeout(g.ctx, handshakeTimeout)
		secured := tls.Server(conn, g.server)
		err := secured.HandshakeContext(ctx)
		cancel()
		if err != nil {
			conn.Close()
			if g.ctx.Err() == nil && err != io.EOF {
				g.log.Warn("cluster: a connection was refused", "address", g.address, "from", conn.RemoteAddr().String(), "error", err)
			}
			return
		}
		conn = secured
	}
	inside, err := g.dialLibrary(g.ctx)
	if err != nil {
		conn.Close()
		return
	}
	g.join(conn, inside)
}

func (g *gate) dialLibrary(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", g.library)
}

// dial connects to a node: to the own one without the network.
func (g *gate) dial(ctx context.Context, address string) (net.Conn, error) {
	if address == g.address && g.library != "" {
		return g.dialLibrary(ctx)
	}
	dialer := net.Dialer{KeepAliveConfig: keepAlive, Control: control}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil || g.tls == nil {
		return conn, err
	}
	secured := tls.Client(conn, clientTLS(g.tls, address))
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", address, err)
	}
	return secured, nil
}

// dialForLibrary gives the library one end of a pair of sockets.
func (g *gate) dialForLibrary(address string) (int, error) {
	ctx, cancel := context.WithTimeout(g.ctx, dialTimeout)
	defer cancel()
	conn, err := g.dial(ctx, address)
	if err != nil {
		return 0, err
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		conn.Close()
		return 0, err
	}
	file := os.NewFile(uintptr(pair[0]), "dqlite")
	inside, err := net.FileConn(file)
	file.Close()
	if err != nil {
		conn.Close()
		syscall.Close(pair[1])
		return 0, err
	}
	if !g.run(func() { g.join(conn, inside) }) {
		conn.Close()
		inside.Close()
	}
	return pair[1], nil
}

// join copies between two connections until one of them ends.
func (g *gate) join(outside, inside net.Conn) {
	end := func() {
		inside.Close()
		outside.Close()
	}
	defer context.AfterFunc(g.conns, func() {
		inside.Close()
		// To say goodbye to a peer that takes nothing would take seconds.
		if secured, ok := outside.(*tls.Conn); ok {
			secured.NetConn().Close()
		}
		outside.Close()
	})()
	var both sync.WaitGroup
	both.Go(func() { io.Copy(outside, inside); end() })
	both.Go(func() { io.Copy(inside, outside); end() })
	both.Wait()
}

// close lets nobody in or out. The connections stay for the library to end.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.shut()
	g.listener.Close()
}

// end is called after close, when the library has ended. It gives changes that another
// node was asked for a while: see change.
func (g *gate) end() {
	changed := make(chan struct{})
	go func() { defer close(changed); g.changes.Wait() }()
	select {
	case <-changed:
	case <-time.After(sendTimeout):
	}
	g.cut()
	g.work.Wait()
	<-changed
}

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: 3 * time.Second, Count: 3}

// control has a connection fail whose peer is gone from the network. TCP alone would
// try for a quarter of an hour. Connections that are accepted have what the listener has.
func control(_, _ string, raw syscall.RawConn) error {
	const tcpUserTimeout = 0x12 // linux/tcp.h
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(sendTimeout.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}
