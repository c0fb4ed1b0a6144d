package defender

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestEverySendIsOnRecord breaks connections that are used again, before an
// answer comes: net/http would send the request once more by itself, and the
// service could count calls that are in no limit and on no record.
func TestEverySendIsOnRecord(t *testing.T) {
	var served, recorded atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/oauth2/") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"token_type":"Bearer","expires_in":3600,"access_token":"` + testToken(1) + `"}`))
			return
		}
		if n := served.Add(1); n%2 == 0 { // the one before has left its connection open
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte(`{"value":[]}`))
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := newTestClient(t, new(wireFake), func(c *Config) {
		c.Transport, c.Login, c.BaseURL, c.Backoff = transport, server.URL, server.URL, time.Millisecond
		c.OnCall = func(context.Context, time.Time) error { recorded.Add(1); return nil }
	})
	var m Meter
	for range 10 {
		if _, err := incidents(ContextWithMeter(t.Context(), &m), c); err != nil {
			t.Fatal(err)
		}
	}
	if s := served.Load(); s != recorded.Load() || s != m.Calls.Load() {
		t.Errorf("the service was sent %d requests, %d are on record and %d were counted", s, recorded.Load(), m.Calls.Load())
	}
	if served.Load() < 15 {
		t.Errorf("%d requests: no connection broke", served.Load())
	}
}

// TestUnsentRequestIsNoCall: where nothing was sent the transport may try again.
func TestUnsentRequestIsNoCall(t *testing.T) {
	ctx, done := once(t.Context())
	defer done()
	hooks := httptrace.ContextClientTrace(ctx)
	hooks.GetConn("a")
	hooks.GetConn("a")
	if ctx.Err() != nil {
		t.Errorf("a request that was never sent was given up: %v", context.Cause(ctx))
	}
	near, far := net.Pipe()
	defer near.Close()
	hooks.WroteRequest(httptrace.WroteRequestInfo{})
	hooks.GetConn("a")
	hooks.GotConn(httptrace.GotConnInfo{Conn: far})
	if !errors.Is(context.Cause(ctx), errSent) {
		t.Errorf("a request that was sent is sent again: %v", context.Cause(ctx))
	}
	if err := far.SetDeadline(time.Time{}); err == nil {
		t.Error("the next connection is open, and would take what is written to it")
	}
}

// TestGateIsLookedAtAgain lets the service ask for silence while a call that was
// let in already waits to be put on record.
func TestGateIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *Client
		began := time.Now()
		calls := 0
		fake := &wireFake{answer: script(says(200, `{"value":[]}`))}
		c = newTestClient(t, fake, func(cfg *Config) {
			cfg.Limits.PerMinute = 2 // the place that was not used is given back
			cfg.OnCall = func(context.Context, time.Time) error {
				if calls++; calls == 1 {
					time.Sleep(3 * time.Second) // a database that is slow
					c.CloseUntil(time.Now().Add(20*time.Second), "wait")
				}
				return nil
			}
		})
		if _, err := incidents(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited < 23*time.Second || calls != 2 {
			t.Errorf("sent after %s, recorded %d times; want it after the 23s that were asked for, recorded anew", waited, calls)
		}
	})
}
