// Command node runs one node of a cluster, for tests, benchmarks and trying it out.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sqlane/sqlane/cluster"
)

const usage = `node runs one node of a cluster until it is interrupted. It prints

  READY ADDRESS

on standard output once the cluster has taken it up, and its log on standard error.

Usage: node -dir DIR -address HOST:PORT [-join HOST:PORT,...] SECURITY

  -dir DIR         the node's folder; it is made if it is missing
  -address         where the node listens and others reach it
  -join            members of the cluster that a new node joins; without it a new
                   node is the first of a new cluster
  -database NAME   the database that the program itself looks at; default main.db.
                   Other programs name theirs themselves
  -latency TIME    how long a message takes between nodes, as 20ms: a leader that
                   is silent for fifteen times as long is replaced; default 200ms
  -start TIME      how long to wait for the cluster; default 1m
  -stdin           end at once when standard input ends

SECURITY is -plaintext, or all of

  -tls-cert FILE   the node's certificate
  -tls-key FILE    its key
  -tls-ca FILE     the certificate of the authority that the cluster's nodes have
                   theirs from

SIGTERM and Ctrl-C have it hand over to the others first, for ten seconds at most; a
second one ends it at once.

Exit codes: 0 it ended as it should, 1 it could not start or hand over, 2 wrong usage.
`

// Exit codes.
const (
	done    = 0
	failed  = 1
	misused = 2
)

const handoverTimeout = 10 * time.Second

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cfg, endWithStdin, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return done
	case err != nil:
		fmt.Fprintf(stderr, "node: %v\n\n%s", err, usage)
		return misused
	}
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if endWithStdin {
		go func() {
			io.Copy(io.Discard, stdin)
			os.Exit(failed)
		}()
	}
	c, err := cluster.Open(ctx, cfg)
	if err != nil {
		fmt.Fprintf(stderr, "node: %v\n", err)
		return failed
	}
	fmt.Fprintf(stdout, "READY %s\n", c.Address())
	<-ctx.Done()
	stop() // a second signal ends the process
	ctx, cancel := context.WithTimeout(context.Background(), handoverTimeout)
	defer cancel()
	if err := c.Shutdown(ctx); err != nil {
		fmt.Fprintf(stderr, "node: %v\n", err)
		return failed
	}
	return done
}

func parse(args []string) (cfg cluster.Config, endWithStdin bool, err error) {
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.StringVar(&cfg.Dir, "dir", "", "")
	flags.StringVar(&cfg.Address, "address", "", "")
	join := flags.String("join", "", "")
	flags.StringVar(&cfg.Database, "database", "", "")
	flags.DurationVar(&cfg.NetworkLatency, "latency", 0, "")
	flags.DurationVar(&cfg.StartTimeout, "start", 0, "")
	flags.BoolVar(&endWithStdin, "stdin", false, "")
	flags.BoolVar(&cfg.Plaintext, "plaintext", false, "")
	cert, key, ca := flags.String("tls-cert", "", ""), flags.String("tls-key", "", ""), flags.String("tls-ca", "", "")
	if err := flags.Parse(args); err != nil {
		return cfg, false, err
	}
	switch given := [...]bool{*cert != "", *key != "", *ca != ""}; {
	case flags.NArg() > 0:
		return cfg, false, fmt.Errorf("%q is no argument", flags.Arg(0))
	case cfg.Dir == "" || cfg.Address == "":
		return cfg, false, errors.New("-dir and -address are needed")
	case cfg.Plaintext && given != [3]bool{}:
		return cfg, false, errors.New("-plaintext and -tls-... exclude each other")
	case !cfg.Plaintext && given != [3]bool{true, true, true}:
		return cfg, false, errors.New("-tls-cert, -tls-key and -tls-ca are needed, or -plaintext")
	}
	if *join != "" {
		cfg.Join = strings.Split(*join, ",")
	}
	if !cfg.Plaintext {
		cfg.TLS, err = load(*cert, *key, *ca)
	}
	return cfg, endWithStdin, err
}

func load(cert, key, ca string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert %s and -tls-key %s: %w", cert, key, err)
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("-tls-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("-tls-ca: %s has no certificate", ca)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots}, nil
}
