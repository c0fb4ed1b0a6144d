package sync_test

import (
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// clock is a time that a test moves by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a whole product in one process: a simulated tenant behind HTTP, a
// client, a worker, and a database of its own.
type rig struct {
	clock  *clock
	world  *defendersim.World
	sim    *defendersim.Sim
	url    string
	store  *store.Store
	worker *defsync.Worker
}

// rigOptions differ between tests; the zero value is Graph over a small world.
type rigOptions struct {
	dialect   defender.Dialect // "" is Graph
	world     defendersim.WorldOptions
	sim       defendersim.Options
	overlap   time.Duration // 0 is 30 minutes
	documents *defendersim.Documents
}

func newRig(t testing.TB, opt rigOptions) *rig {
	t.Helper()
	r := &rig{clock: newClock(), store: storetest.New(t)}
	if opt.dialect == "" {
		opt.dialect = defender.Graph
	}
	if opt.documents == nil {
		opt.world.Now = r.clock.Now
		opt.world.AlertsTouchIncident = opt.dialect == defender.Older
		r.world = defendersim.NewWorld(opt.world)
		opt.sim.World = r.world
	}
	opt.sim.Documents, opt.sim.Now = opt.documents, r.clock.Now
	r.sim = defendersim.New(opt.sim)
	server := httptest.NewServer(r.sim)
	t.Cleanup(server.Close)
	r.url = server.URL
	r.worker = r.newWorker(t, r.store, opt)
	return r
}

// newWorker is another worker on the same tenant, as of another process.
func (r *rig) newWorker(t testing.TB, s *store.Store, opt rigOptions) *defsync.Worker {
	t.Helper()
	tenant := defsync.Tenant{Name: "contoso", ID: r.sim.Config().TenantID, Dialect: opt.dialect, Source: r.newClient(t, opt.dialect)}
	if opt.overlap == 0 {
		opt.overlap = 30 * time.Minute
	}
	schedule, err := defsync.ParseSchedule("@every 5m")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{defsync.IncidentsStream, defsync.AlertsStream}
	if opt.dialect == defender.Older {
		names = names[:1]
	}
	for _, name := range names {
		tenant.Streams = append(tenant.Streams, defsync.Stream{Name: name, Schedule: schedule,
			Start: defsync.Start{Age: 180 * 24 * time.Hour}, Overlap: opt.overlap, Settle: 2 * time.Minute})
	}
	w, err := defsync.NewWorker(defsync.WorkerConfig{Store: s, Tenants: []defsync.Tenant{tenant},
		Owner: t.Name(), Command: "sync", Now: r.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (r *rig) newClient(t testing.TB, dialect defender.Dialect) *defender.Client {
	t.Helper()
	app := r.sim.Config()
	endpoints, err := defender.CloudEndpoints("commercial")
	if err != nil {
		t.Fatal(err)
	}
	cfg := defender.Config{Tenant: "contoso", TenantID: app.TenantID, ClientID: app.ClientID,
		Credential: defender.Secret(func() (string, error) { return r.sim.Config().Secret, nil }),
		Dialect:    dialect, Login: r.url, BaseURL: r.url, Audience: endpoints.GraphAudience,
		Limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}, Backoff: time.Millisecond}
	if dialect == defender.Older {
		cfg.Audience = endpoints.DefenderAudience
	}
	client, err := defender.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// sync makes one pass of every stream and fails unless all are complete.
func (r *rig) sync(t testing.TB) []defsync.Result {
	t.Helper()
	results := r.worker.Sync(t.Context(), "", nil)
	for _, res := range results {
		if res.Outcome != defsync.OutcomeComplete {
			t.Fatalf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
		}
	}
	return results
}
