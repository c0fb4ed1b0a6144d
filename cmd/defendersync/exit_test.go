package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"defendersync/store"
	"defendersync/store/pglocal"
)

func TestExitCodeAndItsOneLine(t *testing.T) {
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	held := fmt.Errorf("take the lease: %w", store.ErrLeaseHeld)
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		code int
		said string
	}{
		"nothing":          {context.Background(), nil, 0, ""},
		"a plain error":    {context.Background(), errors.New("boom"), 1, "defendersync: boom\n"},
		"two errors":       {context.Background(), errors.Join(errors.New("one"), errors.New("two")), 1, "defendersync: one; two\n"},
		"usage":            {context.Background(), usageErrorf("--x: no"), 2, "defendersync: --x: no\n"},
		"configuration":    {context.Background(), problems{{"c", 1, 2, "a", "b"}, {"c", 3, 4, "", "d"}}, 2, "c:1:2: a: b\nc:3:4: d\n"},
		"interrupted":      {stopped, fmt.Errorf("read: %w", context.Canceled), 130, "defendersync: interrupted\n"},
		"failed on stop":   {stopped, errors.New("boom"), 1, "defendersync: boom\n"},
		"told already":     {context.Background(), &exitError{exitFailed, nil}, 1, ""},
		"held":             {context.Background(), &exitError{exitLocked, held}, 75, "defendersync: " + held.Error() + "\n"},
		"wrapped":          {context.Background(), fmt.Errorf("x: %w", usageErrorf("y")), 2, "defendersync: y\n"},
		"a choice of ways": {context.Background(), fmt.Errorf("private PostgreSQL: %w", pglocal.ErrNoBinaries), 1, "defendersync: private PostgreSQL: " + pglocal.ErrNoBinaries.Error() + "\n"},
	} {
		var said strings.Builder
		if code := exitCode(c.ctx, c.err, &said); code != c.code || said.String() != c.said {
			t.Errorf("%s: exit %d saying %q, want %d saying %q", name, code, said.String(), c.code, c.said)
		}
	}
}

func TestAnAddressThatCannotBeHadNamesItsKey(t *testing.T) {
	for want, err := range map[string]error{
		"write another port in server.listen, or stop the program that has this one": syscall.EADDRINUSE,
		"write another address in server.listen":                                     syscall.EADDRNOTAVAIL,
	} {
		if got := listenAdvice(fmt.Errorf("listen: %w", err)); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

func TestHealthIsAskedOnThisMachine(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080/healthz",
		":8080":          "http://localhost:8080/healthz",
		"0.0.0.0:80":     "http://localhost:80/healthz",
		"[::]:80":        "http://localhost:80/healthz",
		"[::1]:80":       "http://[::1]:80/healthz",
		"worker:80":      "http://worker:80/healthz",
	} {
		if got := healthURL(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}
