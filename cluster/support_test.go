package cluster_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/cluster"
	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/trio"
	"github.com/stretchr/testify/require"
)

// long is as long as anything may take on a machine ten times as slow.
const long = 2 * time.Minute

var quiet = slog.New(slog.DiscardHandler)

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func addresses(t testing.TB, n int) []string {
	free, err := trio.FreeAddresses(n)
	require.NoError(t, err)
	return free
}

// config is that of a node with a folder of its own.
func config(t testing.TB, address string, join ...string) cluster.Config {
	return cluster.Config{
		Dir: filepath.Join(t.TempDir(), "node"), Address: address, Join: join, Plaintext: true,
		StartTimeout: long, AcquireTimeout: long, BusyTimeout: long, Logger: quiet,
	}
}

func open(t testing.TB, cfg cluster.Config) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// three are the nodes of a cluster.
func three(t testing.TB, change ...func(*cluster.Config)) (nodes []*cluster.Cluster, cfgs []cluster.Config) {
	t.Helper()
	at := addresses(t, 3)
	for i, address := range at {
		cfg := config(t, address, at[:i]...)
		for _, c := range change {
			c(&cfg)
		}
		cfgs = append(cfgs, cfg)
		nodes = append(nodes, open(t, cfg))
	}
	eventuallyVoters(t, nodes[0], 3)
	return nodes, cfgs
}

func eventually(t testing.TB, what string, is func(ctx context.Context) bool) {
	t.Helper()
	ctx := within(t, long)
	for !is(ctx) {
		select {
		case <-ctx.Done():
			require.Fail(t, "never: "+what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func eventuallyVoters(t testing.TB, c *cluster.Cluster, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d voters", n), func(ctx context.Context) bool {
		members, err := c.Members(ctx)
		voters := 0
		for _, m := range members {
			if m.Role == "voter" {
				voters++
			}
		}
		return err == nil && voters == n
	})
}

func leader(t testing.TB, c *cluster.Cluster) (found dqlite.Member) {
	t.Helper()
	eventually(t, "a leader", func(ctx context.Context) bool {
		l, err := c.Leader(ctx)
		found = l
		return err == nil
	})
	return found
}

// index is which of the nodes leads.
func index(t testing.TB, nodes []*cluster.Cluster, ask *cluster.Cluster) int {
	t.Helper()
	l := leader(t, ask)
	for i, c := range nodes {
		if c.ID() == l.ID {
			return i
		}
	}
	require.Fail(t, "a stranger leads")
	return 0
}

// write runs a statement. It may run more than once.
func write(t testing.TB, c *cluster.Cluster, query string, args ...any) {
	t.Helper()
	for {
		_, err := c.StoreWriter().ExecContext(within(t, long), query, args...)
		if errors.Is(err, cluster.ErrCommitUnknown) {
			continue
		}
		require.NoError(t, err)
		return
	}
}

// number is what a query of one number says.
func number(t testing.TB, c *cluster.Cluster, query string) (n int) {
	t.Helper()
	require.NoError(t, c.StoreReader().QueryRowContext(within(t, long), query).Scan(&n))
	return n
}

// An authority gives certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{pool: x509.NewCertPool()}
	a.cert, a.key, _ = issue(t, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.pool.AddCert(a.cert)
	return a
}

func issue(t testing.TB, by *authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert, key, der
}

// config is that of a node on loopback.
func (a *authority) config(t testing.TB) *tls.Config {
	_, key, der := issue(t, a, &x509.Certificate{
		Subject: pkix.Name{CommonName: "node"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: a.pool}
}
