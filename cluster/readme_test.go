package cluster_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/cluster"
	"github.com/sqlane/sqlane/internal/guides"
	"github.com/stretchr/testify/require"
)

func firstProgram(ctx context.Context, dir, address string, join []string, tls *tls.Config) error {
	c, err := cluster.Open(ctx, cluster.Config{
		Dir:     dir,     // a folder of this node alone
		Address: address, // "10.0.0.1:9001": the node listens there, and others reach it there
		Join:    join,    // addresses of members; none for the very first node
		TLS:     tls,     // see below
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.StoreWriter().ExecContext(ctx, "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"); err != nil {
		return err
	}
	if _, err := c.StoreWriter().ExecContext(ctx, "INSERT INTO notes (text) VALUES (?)", "on a majority of the nodes when this returns"); err != nil {
		return err
	}
	// The end of what README.md shows.
	return shutdown(c)
}

func nodesTLS(certFile, keyFile, caFile string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s has no certificate", caFile)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots}, nil
}

func shutdown(c *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return c.Shutdown(ctx)
}

func removeDead(ctx context.Context, c *cluster.Cluster, dead string) error {
	members, err := c.Members(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Address == dead {
			return c.Remove(ctx, m.ID)
		}
	}
	return nil
}

func recoverAlone(dir, address string, tls *tls.Config) error {
	return cluster.Recover(cluster.Config{Dir: dir, Address: address, TLS: tls})
}

func TestWhatTheReadmeShowsRuns(t *testing.T) {
	t.Parallel()
	guides.Shown(t, "README.md", "readme_test.go")
	authority, dir := newAuthority(t), t.TempDir()
	pair := authority.config(t).Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	file := func(name, kind string, der []byte) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return name
	}
	security, err := nodesTLS(file("cert", "CERTIFICATE", pair.Certificate[0]), file("key", "PRIVATE KEY", key), file("ca", "CERTIFICATE", authority.cert.Raw))
	require.NoError(t, err)

	at, node := addresses(t, 1)[0], filepath.Join(dir, "node")
	require.NoError(t, firstProgram(t.Context(), node, at, nil, security))
	require.NoError(t, recoverAlone(node, at, security))
	c, err := cluster.Open(t.Context(), cluster.Config{Dir: node, Address: at, TLS: security, Logger: quiet})
	require.NoError(t, err)
	defer c.Close()
	require.NotZero(t, number(t, c, "SELECT count(*) FROM notes"))
	require.NoError(t, removeDead(t.Context(), c, "10.0.0.9:9001"))
	require.Error(t, removeDead(t.Context(), c, at)) // it is the own one
	backup := filepath.Join(dir, "backup.db")
	require.NoError(t, c.Backup(t.Context(), backup))
	require.FileExists(t, backup)
}
