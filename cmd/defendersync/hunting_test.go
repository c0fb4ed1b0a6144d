package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// huntedTenant is a simulated tenant with hunting tables, and a configuration
// that reads two of them.
func huntedTenant(t *testing.T) (*defendersim.Sim, *config) {
	t.Helper()
	world := defendersim.NewWorld(defendersim.WorldOptions{Seed: 7, Incidents: 3})
	sim := defendersim.New(defendersim.Options{World: world, Hunting: world.DemoHunting(1)})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	app := sim.Config()
	return sim, parseText(t, fmt.Sprintf(`
tenants:
  - name: contoso
    tenant_id: %s
    client_id: %s
    credential: {client_secret: %q}
    endpoints: {login: %[4]q, graph: %[4]q}
streams: {hunting: [{table: AlertEvidence}, {table: DeviceTvmSoftwareVulnerabilities}]}
`, app.TenantID, app.ClientID, app.Secret, server.URL))
}

// Advanced hunting has limits of its own and the token of everything else.
func TestHuntingHasItsOwnLimitsAndNoTokenOfItsOwn(t *testing.T) {
	c := parseText(t, twoTenants+"  hunting: [{table: DeviceEvents}]\n")
	for i, want := range []defender.Limits{{PerMinute: 7, Concurrent: huntsAtOnce}, {PerMinute: 15, Concurrent: huntsAtOnce}} {
		if got := c.Tenants[i].Limits.hunting(); got != want {
			t.Errorf("tenant %d: limits %+v, want %+v", i, got, want)
		}
	}
	sim, c := huntedTenant(t)
	for _, r := range oneSync(t, c, storetest.URL(t)) {
		if r.Outcome != defsync.OutcomeOK {
			t.Errorf("%s: %s, %v", r.Stream, r.Outcome, r.Err)
		}
	}
	if tokens, hunts := sim.Calls(defendersim.Token), sim.Calls(defendersim.Hunting); tokens != 1 || hunts == 0 {
		t.Errorf("%d tokens for %d hunting calls, want one", tokens, hunts)
	}
}

func TestWithoutHuntingThereIsNoClientForIt(t *testing.T) {
	c := parseText(t, twoTenants+"  hunting: [{table: DeviceEvents, enabled: false}]\n")
	tenant, err := c.tenant(c.Tenants[0], nil, slog.New(slog.DiscardHandler))
	if err != nil || tenant.Hunter != nil {
		t.Errorf("hunter %v, %v", tenant.Hunter, err)
	}
}

// A pause that the service wants of hunting is kept by the commands that follow,
// the doctor among them, and is none of incidents and alerts.
func TestHuntingPauseOutlivesTheProcess(t *testing.T) {
	sim, c := huntedTenant(t)
	db := storetest.URL(t)
	sim.Inject(defendersim.Fault{Kind: defendersim.FaultThrottle, Endpoint: defendersim.Hunting, RetryAfter: time.Hour, Times: 1})
	for n := range 2 {
		for _, r := range oneSync(t, c, db) {
			_, throttled := errors.AsType[*defender.ThrottledError](r.Err)
			if hunts(r.Stream) != throttled {
				t.Errorf("command %d, %s: %v", n+1, r.Stream, r.Err)
			}
		}
	}
	e, client := examOf(t, c, db)
	for stream, err := range e.callAll(t.Context(), client) {
		if _, throttled := errors.AsType[*defender.ThrottledError](err); hunts(stream) != throttled {
			t.Errorf("the doctor's call for %s: %v", stream, err)
		}
	}
	if calls := sim.Calls(defendersim.Hunting); calls != 1 {
		t.Errorf("%d hunting calls, want 1", calls)
	}
	tenant, err := c.tenant(c.Tenants[0], e.db.Store, nil)
	if err != nil {
		t.Fatal(err)
	}
	status, err := defsync.ReadStatus(t.Context(), e.db.Store, []defsync.Tenant{tenant}, nil, time.Now())
	if err != nil || status.Tenants[0].Hunting == nil || status.Tenants[0].Hunting.BlockedUntil == nil || status.Tenants[0].Quota.BlockedUntil != nil {
		t.Errorf("status %+v, %v; want it to name the wait of hunting alone", status, err)
	}
}

// examOf is the doctor at a tenant, with the client that it has made.
func examOf(t *testing.T, c *config, url string) (*tenantExam, *defender.Client) {
	t.Helper()
	s := openStore(t, url)
	cfg, err := c.Tenants[0].clientConfig(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e := &tenantExam{cfg: c, tenant: c.Tenants[0], client: cfg, db: &database{Store: s}, report: &report{}}
	client, err := e.newClient(t.Context(), cfg, incidentCalls())
	if err != nil {
		t.Fatal(err)
	}
	return e, client
}

// noted is a client that notes what it is told.
type noted struct {
	defsync.Source
	defsync.Hunter
	calls int
	until time.Time
}

func (n *noted) Seed(calls []time.Time)               { n.calls += len(calls) }
func (n *noted) CloseUntil(until time.Time, _ string) { n.until = until }

// A plan and a check of a query make their calls without the lease, and so each
// client has to be told what was called before, and which wait was asked for.
func TestCallsWithoutTheLeaseAreCounted(t *testing.T) {
	const id = "11111111-2222-3333-4444-555555555555"
	ctx, lists, hunting := t.Context(), new(noted), new(noted)
	s := &session{db: &database{Store: storetest.New(t)}, tenants: []defsync.Tenant{{ID: id, Source: lists, Hunter: hunting}, {ID: id}}}
	now := time.Now()
	for family, calls := range map[string]int{defsync.QuotaFamily: 3, defsync.HuntFamily: 2} {
		for range calls {
			if err := s.db.RecordCall(ctx, id, family, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.db.Acquire(ctx, id, "somebody", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := s.db.BlockHunting(ctx, id, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.recall(ctx); err != nil {
		t.Fatal(err)
	}
	if lists.calls != 3 || !lists.until.IsZero() {
		t.Errorf("incidents were told of %d calls and a wait until %s, want 3 and none", lists.calls, lists.until)
	}
	if hunting.calls != 2 || hunting.until.Sub(now).Round(time.Second) != time.Hour {
		t.Errorf("hunting was told of %d calls and a wait until %s, want 2 and an hour", hunting.calls, hunting.until)
	}
}

// The doctor tries a query without its prelude where the service does not like it.
func TestDoctorAsksAgainWithoutThePrelude(t *testing.T) {
	sim, c := huntedTenant(t)
	e, client := examOf(t, c, storetest.URL(t))
	hunter, err := e.newClient(t.Context(), c.Tenants[0].hunterConfig(e.client, client), huntingCalls())
	if err != nil {
		t.Fatal(err)
	}
	sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Status: 400, Endpoint: defendersim.Hunting,
		Body:  `{"error":{"code":"BadRequest","message":"A recognition error occurred."}}`,
		Query: func(kql, _ string) bool { return strings.HasPrefix(kql, "let AlertEvidence") }})
	h, err := defsync.Hunt{Name: "q", Query: "AlertEvidence | where true", RowLocal: true, Mode: defsync.ModeEvents}.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	if err := (caller{Client: hunter}).hunt(t.Context(), h, time.Now()); err != nil || sim.Calls(defendersim.Hunting) != 2 {
		t.Errorf("%v after %d calls, want an answer to the second", err, sim.Calls(defendersim.Hunting))
	}
	h.Query = "AlertEvidence | where"
	if err := (caller{Client: hunter}).hunt(t.Context(), h, time.Now()); !huntAnswered(err) || !strings.Contains(huntFix(err), "query NAME --check") {
		t.Errorf("%v", err)
	}
}
