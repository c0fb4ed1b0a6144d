package web

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// served starts Serve and answers the base URL, and what ends it and answers its error.
func served(t *testing.T, h http.Handler, log *slog.Logger) (base string, stop func() error) {
	t.Helper()
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln, h, log) }()
	return "http://" + ln.Addr().String(), func() error { cancel(); return <-ended }
}

// leakFree fails the test if it leaves goroutines behind, others' apart.
func leakFree(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func get(t *testing.T, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return string(body), err
}

// newClient closes its idle connections at the end of the test, which goleak wants.
func newClient(t *testing.T) *http.Client {
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestServeUntilTold(t *testing.T) {
	leakFree(t)
	base, stop := served(t, NewHandler(Config{Status: steady(sample()), Version: "v1"}), nil)
	client := newClient(t)
	if body, err := get(t, client, base+"/healthz"); err != nil || body != "ok\n" {
		t.Fatalf("answered %q, %v", body, err)
	}
	if err := stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := get(t, client, base+"/healthz"); err == nil {
		t.Error("still answers after its end")
	}
}

func TestServeLetsRequestsEnd(t *testing.T) {
	leakFree(t)
	arrived, finish := make(chan struct{}), make(chan struct{})
	base, stop := served(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "whole")
	}), nil)
	type answer struct {
		body string
		err  error
	}
	got := make(chan answer, 1)
	client := newClient(t)
	go func() {
		body, err := get(t, client, base)
		got <- answer{body, err}
	}()
	<-arrived
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	close(finish)
	if a := <-got; a.err != nil || a.body != "whole" {
		t.Errorf("a request under way got %q, %v", a.body, a.err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestServeCutsOffTheRest holds a request longer than the grace: its context
// ends and Serve returns within seconds all the same.
func TestServeCutsOffTheRest(t *testing.T) {
	leakFree(t)
	arrived, cut := make(chan struct{}), make(chan struct{})
	base, stop := served(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(cut)
	}), nil)
	client := newClient(t)
	failed := make(chan error, 1)
	go func() { _, err := get(t, client, base); failed <- err }()
	<-arrived
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < shutdownGrace/2 || took > 3*shutdownGrace {
		t.Errorf("took %s to end, with a grace of %s", took, shutdownGrace)
	}
	<-cut
	if err := <-failed; err == nil {
		t.Error("the request that was cut off got an answer")
	}
}

func TestServeToldBeforeItBegins(t *testing.T) {
	leakFree(t)
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Serve(ctx, ln, http.NotFoundHandler(), nil); err != nil {
		t.Error(err)
	}
}

func TestServeSaysThatItsListenerBroke(t *testing.T) {
	leakFree(t)
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), ln, http.NotFoundHandler(), nil); err == nil {
		t.Error("ended without an error")
	}
}

func TestListenOnATakenPort(t *testing.T) {
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = Listen(t.Context(), ln.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "server.listen") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

func TestPanicIsLoggedAndServingGoesOn(t *testing.T) {
	var logged syncBuffer
	var calls atomic.Int32
	base, stop := served(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			panic("broken page")
		}
		_, _ = io.WriteString(w, "ok")
	}), slog.New(slog.NewTextHandler(&logged, nil)))
	client := newClient(t)
	if _, err := get(t, client, base); err == nil {
		t.Error("the panic was answered")
	}
	if body, err := get(t, client, base); err != nil || body != "ok" {
		t.Errorf("then answered %q, %v", body, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(logged.String(), "broken page") {
		t.Errorf("logged %q", logged.String())
	}
}

// TestNoClientCanHoldOn keeps idle and slow sockets from adding up.
func TestNoClientCanHoldOn(t *testing.T) {
	s := newServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	for name, limit := range map[string]time.Duration{"header": s.ReadHeaderTimeout, "read": s.ReadTimeout, "write": s.WriteTimeout, "idle": s.IdleTimeout} {
		if limit <= 0 || limit > time.Minute {
			t.Errorf("the %s time-out is %s", name, limit)
		}
	}
	if s.WriteTimeout <= statusTimeout+readyTimeout {
		t.Errorf("answers may take longer than the write time-out, %s", s.WriteTimeout)
	}
}

// syncBuffer is a log that is written and read by different goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
