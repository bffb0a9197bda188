package dqlite_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"math/big"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

func TestAFaultyConfigIsErrConfig(t *testing.T) {
	for says, change := range map[string]func(*dqlite.Config){
		"Members is empty": func(cfg *dqlite.Config) { cfg.Members = nil },
		"is no address":    func(cfg *dqlite.Config) { cfg.Members = []string{"here"} },
		"no address":       func(cfg *dqlite.Config) { cfg.Members = []string{"here:"} },
		"make a name":      func(cfg *dqlite.Config) { cfg.Database = "a/b" },
		"Database \"..\"":  func(cfg *dqlite.Config) { cfg.Database = ".." },
		"neither TLS":      func(cfg *dqlite.Config) { cfg.Plaintext = false },
		"both TLS":         func(cfg *dqlite.Config) { cfg.TLS = new(tls.Config) },
		"MaxConns is 1":    func(cfg *dqlite.Config) { cfg.MaxConns = 1 },
		"MaxWaiters is -1": func(cfg *dqlite.Config) { cfg.MaxWaiters = -1 },
	} {
		cfg := dqlite.Config{Members: []string{"127.0.0.1:1"}, Plaintext: true}
		change(&cfg)
		_, err := dqlite.Open(t.Context(), cfg)
		require.ErrorIs(t, err, pool.ErrConfig)
		require.ErrorContains(t, err, says)
	}
	var nobody context.Context
	_, err := dqlite.Open(nobody, dqlite.Config{Members: []string{"127.0.0.1:1"}, Plaintext: true})
	require.ErrorIs(t, err, fs.ErrInvalid)
}

// TestDialingIsByTCPUnlessItIsToldOtherwise: nobody listens there.
func TestDialingIsByTCPUnlessItIsToldOtherwise(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	_, err = dqlite.Open(t.Context(), dqlite.Config{Members: []string{address}, Plaintext: true, AcquireTimeout: 1})
	require.ErrorIs(t, err, dqlite.ErrNoQuorum)
	_, err = dqlite.Open(t.Context(), dqlite.Config{Members: []string{address}, Plaintext: true, AcquireTimeout: 100 * time.Millisecond})
	require.ErrorContains(t, err, "refused")
}

func TestNodesAreSpokenToByTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	inCluster(t, func(t *testing.T, c *cluster) {
		cert := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"node1", "node2"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
		require.NoError(t, err)
		signed, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		roots := x509.NewCertPool()
		roots.AddCert(signed)
		theirs := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		// secure puts TLS between a client and its node.
		secure := func(ctx context.Context, address string) (net.Conn, error) {
			node, err := c.dial(ctx, address)
			if err != nil {
				return nil, err
			}
			here, there := net.Pipe()
			go func() {
				defer node.Close()
				server := tls.Server(there, theirs)
				defer server.Close()
				if server.Handshake() != nil {
					return
				}
				go pipe(server, node)
				pipe(node, server)
			}()
			return here, nil
		}
		// One is asked after the other: of two handshakes at once with the same certificate the
		// race detector does not see how crypto/tls's cache orders them.
		after := func(cfg *dqlite.Config) { cfg.Members, cfg.HeartbeatInterval = cfg.Members[:1], -1 }
		s, err := dqlite.Open(t.Context(), c.config(after, func(cfg *dqlite.Config) {
			cfg.Plaintext, cfg.Dial, cfg.TLS = false, secure, &tls.Config{RootCAs: roots}
		}))
		require.NoError(t, err)
		require.NoError(t, do(t.Context(), s.StoreWriter(), "INSERT INTO n (v) VALUES (1)"))
		require.NoError(t, s.Close())
		require.Equal(t, []int{1}, c.values())
		_, err = dqlite.Open(t.Context(), c.config(after, func(cfg *dqlite.Config) {
			cfg.Plaintext, cfg.Dial, cfg.TLS, cfg.AcquireTimeout = false, secure, &tls.Config{RootCAs: x509.NewCertPool()}, time.Second
		}))
		require.ErrorIs(t, err, dqlite.ErrNoQuorum)
		require.ErrorContains(t, err, "unknown authority")
		synctest.Wait()
	})
}

// pipe carries what is read to where it is written, and closes both.
func pipe(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}
