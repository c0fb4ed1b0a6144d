package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// A Retry-After is obeyed by the commands that follow too (P5): of three in a
// row, each a process of its own with a worker of its own, only the first calls.
func TestRetryAfterOutlivesTheProcess(t *testing.T) {
	sim := defendersim.New(defendersim.Options{World: defendersim.NewWorld(defendersim.WorldOptions{Seed: 7, Incidents: 3})})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	sim.Inject(defendersim.Fault{Kind: defendersim.FaultThrottle, RetryAfter: time.Hour, Times: 1})
	app, db := sim.Config(), storetest.URL(t)
	c := parseText(t, fmt.Sprintf(`
tenants:
  - name: contoso
    tenant_id: %s
    client_id: %s
    credential: {client_secret: %q}
    endpoints: {login: %[4]q, graph: %[4]q}
`, app.TenantID, app.ClientID, app.Secret, server.URL))
	for n := range 3 {
		for _, r := range oneSync(t, c, db) {
			throttled, ok := errors.AsType[*defender.ThrottledError](r.Err)
			if !ok || throttled.RetryAfter < 59*time.Minute {
				t.Errorf("command %d, %s: %v; want it to wait an hour", n+1, r.Stream, r.Err)
			}
		}
	}
	doctorObeys(t, c, db)
	if calls := sim.Calls(); calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}

// doctorObeys fails unless the doctor's client knows of the wait, and the status
// shows it.
func doctorObeys(t *testing.T, c *config, url string) {
	t.Helper()
	e, client := examOf(t, c, url)
	for stream, err := range e.callAll(t.Context(), client) {
		if _, ok := errors.AsType[*defender.ThrottledError](err); !ok {
			t.Errorf("the doctor's call for %s: %v; want it not to be made", stream, err)
		}
	}
	tenant := defsync.Tenant{Name: "contoso", ID: e.client.TenantID}
	status, err := defsync.ReadStatus(t.Context(), e.db.Store, []defsync.Tenant{tenant}, nil, time.Now())
	if err != nil || status.Tenants[0].Quota.BlockedUntil == nil {
		t.Errorf("status %+v, %v; want it to name the wait", status, err)
	}
}

// oneSync makes one pass of everything with nothing kept from an earlier one
// but what is in the database.
func oneSync(t *testing.T, c *config, db string) []defsync.Result {
	t.Helper()
	s := openStore(t, db)
	tenant, err := c.tenant(c.Tenants[0], s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w, err := defsync.NewWorker(defsync.WorkerConfig{Store: s, Tenants: []defsync.Tenant{tenant}, Owner: t.Name(), Command: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	return w.Sync(t.Context(), "", nil)
}

func openStore(t *testing.T, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
