package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

func TestOutcomeOfSeveralPasses(t *testing.T) {
	someone := &store.HeldError{Owner: "somebody", Until: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	complete := defsync.Result{Tenant: "a", Stream: "incidents", Outcome: defsync.OutcomeOK}
	partial := defsync.Result{Tenant: "a", Stream: "alerts", Outcome: defsync.OutcomePartial, Gaps: 2, Quarantined: 1}
	held := defsync.Result{Tenant: "b", Stream: "alerts", Outcome: defsync.OutcomeLocked, Err: fmt.Errorf("store: acquire tenant 11111111: %w", someone)}
	failed := defsync.Result{Tenant: "c", Stream: "alerts", Outcome: defsync.OutcomeFailed, Err: errors.New("boom")}
	lost := defsync.Result{Tenant: "b", Stream: "incidents", Outcome: defsync.OutcomeInterrupted, Err: fmt.Errorf("store: commit 11111111: %w", store.ErrFenced)}
	interrupted := defsync.Result{Tenant: "d", Stream: "alerts", Outcome: defsync.OutcomeInterrupted, Err: context.Canceled}
	for _, c := range []struct {
		results []defsync.Result
		code    int
		said    string
	}{
		{nil, 0, ""},
		{[]defsync.Result{complete, complete}, 0, ""},
		{[]defsync.Result{complete, partial}, exitPartial, "alerts of a: 2 gaps, 1 record in quarantine\n"},
		{[]defsync.Result{held, partial}, exitLocked, "try later: alerts of b: somebody holds the tenant until 2026-11-23T00:00:00Z\n"},
		{[]defsync.Result{lost, complete}, exitLocked, "try later: incidents of b: the lease on the tenant was lost to another worker\n"},
		{[]defsync.Result{failed, held, partial}, exitFailed, "alerts of c: boom"},
		{[]defsync.Result{failed, interrupted}, exitInterrupted, "interrupted"},
	} {
		var said strings.Builder
		if code := exitCode(context.Background(), outcome(c.results), &said); code != c.code || !strings.Contains(said.String(), c.said) {
			t.Errorf("%v: exit %d saying %q, want %d with %q", c.results, code, said.String(), c.code, c.said)
		}
	}
}

// Streams that failed alike are told together, and each sentence once.
func TestOutcomeRepeatsNothing(t *testing.T) {
	answer := func(call, id string) error {
		return fmt.Errorf("list %s: %w", call, &defender.StatusError{Status: 500, Message: "boom", RequestID: id})
	}
	fail := func(tenant, stream string, err error) defsync.Result {
		return defsync.Result{Tenant: tenant, Stream: stream, Outcome: defsync.OutcomeFailed, Err: err}
	}
	for _, c := range []struct {
		results []defsync.Result
		want    string
	}{
		{[]defsync.Result{fail("contoso", "incidents", errors.Join(answer("incidents", "1"), answer("incidents", "2")))},
			"incidents of contoso: service answered 500: boom (request-id 1)"},
		{[]defsync.Result{fail("contoso", "incidents", answer("incidents", "1")), fail("contoso", "alerts", answer("alerts", "2"))},
			"incidents and alerts of contoso: service answered 500: boom (request-id 1)"},
		{[]defsync.Result{fail("contoso", "incidents", errors.New("a; b")), fail("fabrikam", "incidents", errors.New("a\nb\na"))},
			"incidents of contoso: a; b; incidents of fabrikam: a; b"},
		{[]defsync.Result{fail("contoso", "incidents", errors.New("a")), fail("contoso", "alerts", errors.New("b"))},
			"incidents of contoso: a; alerts of contoso: b"},
		{[]defsync.Result{fail("contoso", "incidents", errors.New("a")), fail("contoso", "alerts", errors.New("a")),
			fail("contoso", "hunting/x", fmt.Errorf("run hunting query: %w", errors.New("a")))},
			"incidents, alerts and hunting/x of contoso: a"},
	} {
		if err := outcome(c.results); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

func TestWhatAnotherWorkerHasIsLocked(t *testing.T) {
	for err, want := range map[error]string{
		store.ErrLeaseHeld: "locked", store.ErrFenced: "interrupted", errors.New("boom"): "failed",
	} {
		r := defsync.Result{Outcome: defsync.OutcomeFailed, Err: fmt.Errorf("x: %w", err)}
		if got := told(r); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	if got := told(defsync.Result{Outcome: defsync.OutcomePartial}); got != "partial" {
		t.Errorf("got %s", got)
	}
}
