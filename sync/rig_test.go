package sync_test

import (
	"cmp"
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	"github.com/jackc/pgx/v5/pgxpool"
)

// clock is a time that a test moves by hand, and that may go by itself too.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	going time.Time // since when; zero for a clock that stands
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.going.IsZero() {
		return c.now
	}
	return c.now.Add(time.Since(c.going))
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
	url    string // of the simulated tenant
	dsn    string // of the database
	app    defendersim.Config
	db     *pgxpool.Pool
	store  *store.Store
	tenant defsync.Tenant // as the newest worker has it
	worker *defsync.Worker
	opt    rigOptions
}

// rigOptions differ between tests; the zero value is Graph over a small world.
type rigOptions struct {
	dialect   defender.Dialect // "" is Graph
	world     defendersim.WorldOptions
	sim       defendersim.Options
	overlap   time.Duration // 0 is 30 minutes
	start     int           // days back; 0 is 180
	documents *defendersim.Documents
	schedule  string          // "" is every five minutes
	limits    defender.Limits // of the client, which then counts calls in the database; the zero value is none
	patience  time.Duration   // of the worker; 0 is its own

	now   time.Time       // when it begins; zero for a fixed day
	hunts []*defsync.Hunt // hunting streams, read instead of incidents and alerts

	// changing is how far the clock moves before every request is answered.
	changing time.Duration
	going    bool // the clock goes by itself
}

func newRig(t testing.TB, opt rigOptions) *rig {
	t.Helper()
	if opt.dialect == "" {
		opt.dialect = defender.Graph
	}
	r := &rig{clock: newClock(), dsn: storetest.URL(t)}
	if !opt.now.IsZero() {
		r.clock.now = opt.now
	}
	if opt.going {
		r.clock.going = time.Now()
	}
	r.store = r.openStore(t)
	if opt.documents == nil {
		opt.world.Now = r.clock.Now
		opt.world.AlertsTouchIncident = opt.dialect == defender.Older
		r.world = defendersim.NewWorld(opt.world)
		opt.sim.World = r.world
	}
	opt.sim.Documents, opt.sim.Now = opt.documents, r.clock.Now
	if opt.changing > 0 {
		opt.sim.OnRequest = func(int) { r.clock.advance(opt.changing) }
	}
	r.sim = defendersim.New(opt.sim)
	server := httptest.NewServer(r.sim)
	t.Cleanup(server.Close)
	r.url, r.app, r.opt = server.URL, r.sim.Config(), opt
	r.worker = r.newWorker(t, r.store, "first")
	r.db = r.openPool(t)
	return r
}

// openStore opens the database once more, as another process would.
func (r *rig) openStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), r.dsn, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// openPool is for what a test looks up, or breaks, in the database itself.
func (r *rig) openPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(r.dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 1
	db, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// newWorker is another worker on the same tenant, as of another process.
func (r *rig) newWorker(t testing.TB, s *store.Store, owner string) *defsync.Worker {
	t.Helper()
	opt := r.opt
	tenant := defsync.Tenant{Name: "contoso", ID: r.app.TenantID, Dialect: opt.dialect, Source: r.newClient(t, opt.dialect)}
	if opt.overlap == 0 {
		opt.overlap = 30 * time.Minute
	}
	schedule, err := defsync.ParseSchedule(cmp.Or(opt.schedule, "@every 5m"))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{defsync.IncidentsStream, defsync.AlertsStream}
	if opt.dialect == defender.Older {
		names = names[:1]
	}
	if len(opt.hunts) > 0 {
		names = nil
		tenant.Hunter, tenant.Streams = r.huntClient(t, opt.dialect), r.huntStreams(schedule, opt.overlap)
	}
	for _, name := range names {
		tenant.Streams = append(tenant.Streams, defsync.Stream{Name: name, Schedule: schedule,
			Start: defsync.Start{Age: time.Duration(cmp.Or(opt.start, 180)) * 24 * time.Hour}, Overlap: opt.overlap, Settle: 2 * time.Minute})
	}
	r.tenant = tenant
	w, err := defsync.NewWorker(defsync.WorkerConfig{Store: s, Tenants: []defsync.Tenant{tenant},
		Owner: owner, Command: "sync", Now: r.clock.Now, Patience: opt.patience})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (r *rig) newClient(t testing.TB, dialect defender.Dialect) *defender.Client {
	t.Helper()
	endpoints, err := defender.CloudEndpoints("commercial")
	if err != nil {
		t.Fatal(err)
	}
	cfg := defender.Config{Tenant: "contoso", TenantID: r.app.TenantID, ClientID: r.app.ClientID,
		Credential: defender.Secret(func() (string, error) { return r.app.Secret, nil }),
		Dialect:    dialect, Login: r.url, BaseURL: r.url, Audience: endpoints.GraphAudience,
		Limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}, Backoff: time.Millisecond}
	if r.opt.limits != (defender.Limits{}) {
		cfg.Limits, cfg.Now = r.opt.limits, r.clock.Now
		cfg.OnCall = func(ctx context.Context, at time.Time) error {
			return r.store.RecordCall(ctx, r.app.TenantID, defsync.QuotaFamily, at)
		}
	}
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
		if res.Outcome != defsync.OutcomeOK {
			t.Fatalf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
		}
	}
	return results
}

// status is what `status --json` says of each stream at the rig's time.
func (r *rig) status(t testing.TB) []defsync.StreamStatus {
	t.Helper()
	status, err := defsync.ReadStatus(t.Context(), r.store, []defsync.Tenant{r.tenant}, nil, r.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return status.Tenants[0].Streams
}
