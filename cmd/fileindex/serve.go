package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// defaultAddr is where serve listens unless it is told otherwise.
const defaultAddr = "127.0.0.1:8080"

// serve runs the serve command, until it is interrupted.
func serve(ctx context.Context, a *app) error {
	addr := cmp.Or(a.addr, defaultAddr)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use; name another address with -addr", addr)
	case err != nil:
		return fmt.Errorf("%w; name another address with -addr", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	index := newSite(a)
	_, _, _, first := index.now()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		index.watch(ctx)
	}()
	select {
	case <-first: // so that no page is without a summary
	case <-watched:
	}
	mux := http.NewServeMux()
	mux.Handle("/", index)
	at := servedAt{Index: "http://" + listener.Addr().String() + "/"}
	if index.debug != nil {
		mux.Handle("/debug/pool/", index.debug)
		at.Pool = at.Index + "debug/pool/"
	}
	server := &http.Server{
		Handler:           onlyFor(listener.Addr(), mux),
		BaseContext:       func(net.Listener) context.Context { return ctx }, // what goes on for long ends with it
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if a.json {
		err = printJSON(a.out, at)
	} else {
		_, err = fmt.Fprint(a.out, at)
	}
	if err != nil {
		stop() // nobody knows where it is
	}
	said := err
	select {
	case err = <-served:
	case <-ctx.Done():
		patience, enough := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer enough()
		if server.Shutdown(patience) != nil {
			_ = server.Close()
		}
		err = said
	}
	stop()
	<-watched
	return err
}

// servedAt is where serve is to be found.
type servedAt struct {
	Index string `json:"index"`
	Pool  string `json:"pool,omitempty"` // "" if there is none
}

func (at servedAt) String() string {
	text := fmt.Sprintf("the index: %s\n", at.Index)
	if at.Pool != "" {
		text += fmt.Sprintf("its pool:  %s\n", at.Pool)
	}
	return text
}

// onlyFor refuses requests that name another host than this machine, where no other one
// can reach it: a page of somebody else's whose name was made to lead here is not to
// read the answer.
func onlyFor(addr net.Addr, h http.Handler) http.Handler {
	if at, err := netip.ParseAddrPort(addr.String()); err != nil || !at.Addr().IsLoopback() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			http.Error(w, "there is no such host here", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}
