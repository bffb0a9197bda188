// Package nodes is how programs are told of the nodes of a dqlite cluster on the
// command line, and how they say what is wrong with one.
package nodes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/sqlane/sqlane/internal/terminal"
)

// Help is what a program's usage says of the flags.
const Help = `  -tls-cert FILE, -tls-key FILE, -tls-ca FILE
             the certificate that nodes are shown, its key, and the certificate
             of the authority that theirs are from, as PEM
  -plaintext instead: nodes are spoken to in the clear
`

// Security is how nodes are spoken to. Its zero value is not told yet.
type Security struct {
	Plaintext     bool
	cert, key, ca string
}

// Flags adds the flags.
func (s *Security) Flags(to *flag.FlagSet) {
	to.StringVar(&s.cert, "tls-cert", "", "")
	to.StringVar(&s.key, "tls-key", "", "")
	to.StringVar(&s.ca, "tls-ca", "", "")
	to.BoolVar(&s.Plaintext, "plaintext", false, "")
}

// Names are the names of the flags.
func Names() []string { return []string{"tls-cert", "tls-key", "tls-ca", "plaintext"} }

// Check says what is wrong with the flags: that they do not say how.
func (s *Security) Check() error {
	switch given := [...]bool{s.cert != "", s.key != "", s.ca != ""}; {
	case s.Plaintext && given != [3]bool{}:
		return errors.New("-plaintext and -tls-cert, -tls-key or -tls-ca exclude each other")
	case !s.Plaintext && given != [3]bool{true, true, true}:
		return errors.New("a cluster needs -tls-cert, -tls-key and -tls-ca, or -plaintext if it speaks in the clear")
	}
	return nil
}

// TLS reads the files; nil is in the clear.
func (s *Security) TLS() (*tls.Config, error) {
	if s.Plaintext {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	text, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, fmt.Errorf("-tls-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("-tls-ca: %s has no certificate", s.ca)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots}, nil
}

// Addresses takes a list apart, HOST:PORT,HOST:PORT. One that is there twice is so once.
func Addresses(list string) ([]string, error) {
	var all []string
	for address := range strings.SplitSeq(list, ",") {
		address = strings.TrimSpace(address)
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("%q is no address; write HOST:PORT,HOST:PORT", address)
		}
		if !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	return all, nil
}

// Why is what an error of a node, or of several, means, in words and with what to do; of
// several errors that one which says most.
func Why(err error) string {
	var (
		record  tls.RecordHeaderError
		verify  *tls.CertificateVerificationError
		network *net.OpError
		host    *net.DNSError
	)
	switch {
	case errors.As(err, &record):
		return "what is there speaks no TLS; say -plaintext if that is meant"
	case errors.As(err, &verify):
		return terminal.Plain(fmt.Sprintf("its certificate is not to be believed, by -tls-ca: %v", verify.Err))
	case errors.As(err, &network) && network.Op == "remote error":
		return terminal.Plain(fmt.Sprintf("it refuses the certificate of -tls-cert: %v", network.Err))
	case errors.As(err, &host):
		return terminal.Plain(fmt.Sprintf("the host %s is not known: %s", host.Name, host.Err))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the connection was closed, as where one side speaks TLS and the other does not; see -plaintext and -tls-cert"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no node runs there"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time: it is paused, overloaded or cut off"
	}
	return terminal.Plain(err.Error())
}
