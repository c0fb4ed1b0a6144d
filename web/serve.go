package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// shutdownGrace is how long requests under way may take to end.
const shutdownGrace = 3 * time.Second

// Listen takes an address such as 127.0.0.1:8080, so that a port in use is
// known before any work starts. Serve closes what it returns.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve HTTP on server.listen: %w", err)
	}
	return ln, nil
}

// Serve answers requests on ln until ctx ends, and then within shutdownGrace
// returns nil, with every connection closed. log, which may be nil, gets what
// goes wrong with single requests.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	server := newServer(h, log)
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		shutdown(ctx, server)
	})
	err := server.Serve(ln)
	if stop() { // ctx goes on: the listener broke
		return errors.Join(fmt.Errorf("serve HTTP: %w", err), server.Close())
	}
	<-ended
	return nil
}

// newServer bounds what a client can hold up: slow headers, slow bodies, slow
// reading, idle connections.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// shutdown lets requests end, and cuts off those that don't.
func shutdown(ctx context.Context, server *http.Server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // nothing is left to do about a socket that won't close
	}
}
