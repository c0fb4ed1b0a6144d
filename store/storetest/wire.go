package storetest

import (
	"context"
	"io"
	"math"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Wire is a TCP relay between a program under test and its database, with a
// fault in it that the test places: at the nth piece that a client sends from
// now on, counted over all its connections. It has no fault at first.
type Wire struct {
	Addr string // where it listens

	network, server string
	config          *pgx.ConnConfig
	pass            func(server, client net.Conn) // until one of the two ends
	fault           atomic.Pointer[wireFault]
	left            atomic.Int64 // pieces that still pass before the wire is down; under zero: it is

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// wireFault is what happens to one piece.
type wireFault struct {
	left    atomic.Int64 // pieces that still pass
	landed  bool         // the piece arrives, and only its answer is lost
	stall   bool         // the connection stands from here on
	reached chan struct{}
}

// NewWire begins to relay to the database at dsn until the test ends.
func NewWire(t testing.TB, dsn string) *Wire {
	t.Helper()
	w := &Wire{}
	w.pass = w.pieces
	w.listen(t, dsn)
	return w
}

// listen begins to relay.
func (w *Wire) listen(t testing.TB, dsn string) {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	w.Addr, w.config, w.conns = ln.Addr().String(), config, map[net.Conn]struct{}{}
	w.network, w.server = "tcp", net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	w.Up()
	if filepath.IsAbs(config.Host) {
		w.network, w.server = "unix", filepath.Join(config.Host, ".s.PGSQL."+strconv.Itoa(int(config.Port)))
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.relay(client) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		w.Sever()
		running.Wait()
	})
}

// URL is the database's address by way of another listener, such as w.Addr.
func (w *Wire) URL(addr string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(w.config.User, w.config.Password), Host: addr,
		Path: "/" + w.config.Database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Cut breaks the connection that sends piece n, counted from 0. What it returns
// is closed when that has happened.
func (w *Wire) Cut(n int64, landed bool) <-chan struct{} {
	return w.place(n, &wireFault{landed: landed})
}

// Stall lets the connection that sends piece n stand: it neither passes what
// comes nor ends.
func (w *Wire) Stall(n int64) <-chan struct{} { return w.place(n, &wireFault{stall: true}) }

func (w *Wire) place(n int64, f *wireFault) <-chan struct{} {
	f.reached = make(chan struct{})
	f.left.Store(n)
	w.fault.Store(f)
	return f.reached
}

// Heal takes the fault out.
func (w *Wire) Heal() { w.fault.Store(nil) }

// Sever breaks every connection there is.
func (w *Wire) Sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}

// Down breaks every connection when n more pieces have passed, and takes no new
// one until [Wire.Up]. Unlike a fault it is no one connection's.
func (w *Wire) Down(n int64) { w.left.Store(n) }

// Up ends what Down began.
func (w *Wire) Up() { w.left.Store(math.MaxInt64) }

// IsDown reports whether Down has come into effect.
func (w *Wire) IsDown() bool { return w.left.Load() < 0 }

// keep remembers a connection until it ends.
func (w *Wire) keep(c net.Conn) (forget func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = struct{}{}
	return func() {
		c.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.conns, c)
	}
}

func (w *Wire) relay(client net.Conn) {
	defer w.keep(client)()
	if w.IsDown() {
		return
	}
	server, err := (&net.Dialer{}).DialContext(context.Background(), w.network, w.server)
	if err != nil {
		return
	}
	defer w.keep(server)()
	w.pass(server, client)
}

// pieces passes what comes as it comes.
func (w *Wire) pieces(server, client net.Conn) {
	var answers sync.WaitGroup
	answers.Go(func() {
		defer client.Close()
		_, _ = io.Copy(client, server)
	})
	w.send(server, client)
	server.Close()
	answers.Wait()
}

// send passes what the client sends, piece by piece, up to the fault.
func (w *Wire) send(server, client net.Conn) {
	piece := make([]byte, 64<<10)
	for {
		n, err := client.Read(piece)
		if err != nil {
			return
		}
		if left := w.left.Add(-1); left < 0 {
			w.Sever()
			return
		}
		f := w.fault.Load()
		hit := f != nil && f.left.Add(-1) == -1
		if hit && f.stall {
			close(f.reached)
			_, _ = io.Copy(io.Discard, client) // until it ends
			return
		}
		if !hit || f.landed {
			if _, err := server.Write(piece[:n]); err != nil {
				return
			}
		}
		if hit {
			close(f.reached)
			return
		}
	}
}
