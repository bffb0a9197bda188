package nodes_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/nodes"
)

func parsed(t *testing.T, args ...string) *nodes.Security {
	t.Helper()
	s, flags := new(nodes.Security), flag.NewFlagSet("", flag.ContinueOnError)
	s.Flags(flags)
	require.NoError(t, flags.Parse(args))
	return s
}

func TestItHasToBeSaidHowNodesAreSpokenTo(t *testing.T) {
	all := []string{"-tls-cert", "a", "-tls-key", "b", "-tls-ca", "c"}
	require.NoError(t, parsed(t, all...).Check())
	require.NoError(t, parsed(t, "-plaintext").Check())
	for i := 0; i <= 4; i += 2 {
		require.ErrorContains(t, parsed(t, all[:i]...).Check(), "-tls-cert, -tls-key and -tls-ca, or -plaintext")
		require.ErrorContains(t, parsed(t, all[2:][:i]...).Check(), "-tls-cert, -tls-key and -tls-ca, or -plaintext")
		require.ErrorContains(t, parsed(t, slices.Concat(all[i:i+2], []string{"-plaintext"})...).Check(), "exclude each other")
	}
	for _, name := range nodes.Names() {
		require.Contains(t, nodes.Help, "-"+name)
	}
	how, err := parsed(t, "-plaintext").TLS()
	require.NoError(t, err)
	require.Nil(t, how)
}

// certificate is one of 127.0.0.1, which is its own authority, in files.
func certificate(t *testing.T) (pair tls.Certificate, cert, key string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pair = s.TLS.Certificates[0]
	secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(kind string, b []byte) string {
		name := filepath.Join(dir, kind)
		require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600))
		return name
	}
	return pair, write("CERTIFICATE", pair.Certificate[0]), write("PRIVATE KEY", secret)
}

func TestFilesThatAreNoCertificatesAreNamed(t *testing.T) {
	pair, cert, key := certificate(t)
	how, err := parsed(t, "-tls-cert", cert, "-tls-key", key, "-tls-ca", cert).TLS()
	require.NoError(t, err)
	require.Equal(t, pair.Certificate, how.Certificates[0].Certificate)
	for want, args := range map[string][]string{
		"-tls-cert and -tls-key: open none":    {"-tls-cert", "none", "-tls-key", key, "-tls-ca", cert},
		"-tls-cert and -tls-key: tls: ":        {"-tls-cert", key, "-tls-key", key, "-tls-ca", cert},
		"-tls-ca: open none":                   {"-tls-cert", cert, "-tls-key", key, "-tls-ca", "none"},
		"-tls-ca: " + key + " has no certific": {"-tls-cert", cert, "-tls-key", key, "-tls-ca", key},
	} {
		_, err := parsed(t, args...).TLS()
		require.ErrorContains(t, err, want)
	}
}

func TestAListOfAddressesIsTakenApart(t *testing.T) {
	all, err := nodes.Addresses("a:1, b:2,[::1]:3,a:1")
	require.NoError(t, err)
	require.Equal(t, []string{"a:1", "b:2", "[::1]:3"}, all)
	for _, list := range []string{"", "a", "a:1,", ":1", "a:", "a:1,b", "::1:3"} {
		_, err := nodes.Addresses(list)
		require.ErrorContains(t, err, "is no address; write HOST:PORT,HOST:PORT", list)
	}
}

// spoken is the error of a client that speaks TLS, or not, to a server that does, or not.
func spoken(t *testing.T, client, server *tls.Config) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	served := make(chan struct{})
	defer func() { <-served }()
	go func() {
		defer close(served)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if server != nil {
			c = tls.Server(c, server)
		}
		_, _ = c.Write([]byte("these are thirty-two bytes, or so"))
		_, _ = io.Copy(io.Discard, c)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	if client != nil {
		client.ServerName = "127.0.0.1"
		c = tls.Client(c, client)
	}
	if _, err = c.Write([]byte("hello, who are you?")); err == nil {
		_, err = io.ReadFull(c, make([]byte, 32))
	}
	return err
}

func TestWhatIsWrongWithANodeIsSaidInWords(t *testing.T) {
	pair, cert, key := certificate(t)
	how := func() *tls.Config {
		c, err := parsed(t, "-tls-cert", cert, "-tls-key", key, "-tls-ca", cert).TLS()
		require.NoError(t, err)
		return c
	}
	server := &tls.Config{Certificates: []tls.Certificate{pair}}
	require.NoError(t, spoken(t, how(), server))
	require.NoError(t, spoken(t, nil, nil))
	strict := server.Clone()
	strict.ClientAuth, strict.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	stranger := how()
	stranger.RootCAs = x509.NewCertPool()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for want, err := range map[string]error{
		"what is there speaks no TLS; say -plaintext":                           spoken(t, how(), nil),
		"its certificate is not to be believed, by -tls-ca: x509: ":             spoken(t, stranger, server),
		"it refuses the certificate of -tls-cert: tls: ":                        spoken(t, how(), strict),
		"the host nowhere\\n is not known: no such host":                        &net.DNSError{Name: "nowhere\n", Err: "no such host"},
		"the connection was closed, as where one side speaks TLS and":           spoken(t, nil, server),
		"the connection was closed, as where one side speaks TLS and the other": fmt.Errorf("read: %w", syscall.ECONNRESET),
		"connection refused: no node runs there":                                errors.Join(errors.New("another"), refused),
		"no answer in time: ":                                                   fmt.Errorf("asking: %w", context.DeadlineExceeded),
		"no answer in time: it ":                                                os.ErrDeadlineExceeded,
		`something\x1belse`:                                                     errors.New("something\x1belse"),
	} {
		require.Error(t, err, want)
		require.True(t, strings.HasPrefix(nodes.Why(err), want), "%q is not %q, of %v", nodes.Why(err), want, err)
	}
}
