package main

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sqlane/sqlane/internal/trio"
	"github.com/stretchr/testify/require"
)

// certificate writes one for 127.0.0.1, which is its own authority, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pair := s.TLS.Certificates[0]
	secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return name
	}
	return write("cert.pem", "CERTIFICATE", pair.Certificate[0]), write("key.pem", "PRIVATE KEY", secret)
}

func TestANodeThatIsToldToEndEndsAsItShould(t *testing.T) {
	cert, key := certificate(t)
	at, err := trio.FreeAddresses(1)
	require.NoError(t, err)
	out, stdout := io.Pipe()
	var stderr strings.Builder
	code := make(chan int, 1)
	go func() {
		code <- run([]string{
			"-dir", filepath.Join(t.TempDir(), "node"), "-address", at[0], "-latency", "20ms",
			"-tls-cert", cert, "-tls-key", key, "-tls-ca", cert,
		}, strings.NewReader(""), stdout, &stderr)
		stdout.Close()
	}()
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "it ended before it was ready")
	require.Equal(t, "READY "+at[0], lines.Text())
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	require.Equal(t, done, <-code, &stderr)
	require.False(t, lines.Scan())
}

func TestACertificateThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	for _, c := range []struct{ cert, key, ca, says string }{
		{key, key, cert, "-tls-cert " + key + " and -tls-key " + key + ": tls: "},
		{cert, "gone", cert, "-tls-key gone: open gone: no such file"},
		{cert, key, "gone", "-tls-ca: open gone: no such file"},
		{cert, key, key, "-tls-ca: " + key + " has no certificate"},
	} {
		var stdout, stderr strings.Builder
		code := run([]string{"-dir", "d", "-address", "127.0.0.1:9001", "-tls-cert", c.cert, "-tls-key", c.key, "-tls-ca", c.ca}, nil, &stdout, &stderr)
		require.Equal(t, misused, code)
		require.Empty(t, stdout.String())
		require.True(t, strings.HasPrefix(stderr.String(), "node: -tls-"), stderr.String())
		require.Contains(t, stderr.String(), c.says)
		require.NoDirExists(t, "d")
	}
}
