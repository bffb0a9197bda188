// Command tasks serves a list of tasks that many people share.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.org/tasks/schema"
	"example.org/tasks/store"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "the address to listen on")
	db := flag.String("db", "tasks.db", "the database file")
	traces := flag.Bool("traces", false, "write what requests do to standard output, as JSON")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "tasks takes no %q; tasks -help tells what it takes\n", flag.Arg(0))
		os.Exit(2)
	}
	var spans io.Writer
	if *traces {
		spans = os.Stdout
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	if err := run(ctx, *addr, *db, spans); err != nil {
		slog.Error("tasks failed", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends; then it lets what runs finish, and leaves the database as
// one file.
func run(ctx context.Context, addr, db string, spans io.Writer) error {
	log := slog.Default()
	traces, err := newTraces(spans)
	if err != nil {
		return err
	}
	defer traces.Shutdown(context.WithoutCancel(ctx)) // last, with the spans of the end
	tracer, err := traceQueries(traces)
	if err != nil {
		return err
	}

	p, err := pool.Open(ctx, pool.Config{
		Path:          db,
		MaxWaiters:    1000,                   // one more is ErrOverloaded, and told to come back
		LeakThreshold: time.Minute,            // whoever holds a connection that long is named in the log,
		SlowQuery:     100 * time.Millisecond, // and so is a slow query, with its plan
		Logger:        log,
		Tracer:        tracer,
	})
	if err != nil {
		return err
	}
	defer p.Close()
	m, err := migrate.New(schema.Files)
	if err != nil {
		return err
	}
	if err := m.Up(ctx, p); err != nil {
		return err
	}

	streams, endStreams := context.WithCancel(context.Background())
	defer endStreams()
	s := &server{pool: p, tasks: store.New(p), log: log, traces: traces, limit: 2 * time.Second, streams: streams}
	web := &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
	}
	web.RegisterOnShutdown(endStreams) // Shutdown waits for them too

	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	log.Info("serving", "url", "http://"+listener.Addr().String())
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	log.Info("shutting down")
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(web.Shutdown(patience), p.Shutdown(patience)) // requests first, then what they use
}
