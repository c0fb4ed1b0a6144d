package sync_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	"github.com/jackc/pgx/v5/pgxpool"
)

// weeks is one simulation. But for wire, all that it holds is made inside of its
// bubble.
type weeks struct {
	seed   int
	length int             // in weeks
	dsn    string          // of the database
	wire   *storetest.Wire // the line that the workers have to it

	db      *pgxpool.Pool // of the checks, beside the line
	tenants []*weeksTenant
	running *weeksWorker
	fates   []fate // of the quarters that are still to come
	dying   fate   // what a line that is about to end, or has, means

	workers, asked, checks, gapsSeen int
	met                              [doubled + 1]int
	peaks                            map[string]int64 // the most rows of each table of state
}

// weeksTenant is a tenant of the simulation with what is known of it.
type weeksTenant struct {
	*rig   // its world and its service, as the comparisons want them
	weeks  *weeks
	name   string
	tables *defendersim.HuntTables
	wire   *weeksWire
	lag    atomic.Int64 // how late changes of the world become visible, as a time.Duration
	fresh  atomic.Int64 // until when a copy of the world is not too old, in Unix nanoseconds
	serial int64        // of the last hunting row
	recent []sensed     // rows that checks still look at
	bad    int          // records that can never be stored
	lied   time.Time    // until then what a wrong clock has had a stream vouch for may be to come

	weather weather
}

// Every stream reads again half an hour before where it stands; what comes later
// than lateness is for the comparison to find.
const (
	weeksOverlap = 30 * time.Minute
	lateness     = 25 * time.Minute
	weeksSettle  = 2 * time.Minute
	weeksSpan    = 10 * 24 * time.Hour // of the history at first
	weeksHuntCap = 150                 // rows in one answer
)

// begin makes the tenants, the database's own witness, and the first worker.
func (w *weeks) begin(t *testing.T) {
	config, err := pgxpool.ParseConfig(lasting(t, w.dsn))
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 2
	if w.db, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	w.peaks = map[string]int64{}
	for _, d := range dialects {
		w.tenants = append(w.tenants, w.newTenant(t, d))
	}
	w.exec(t, weeksWitness)
	w.start(t)
}

func (w *weeks) end() {
	if w.running != nil {
		w.stop()
	}
	w.db.Close()
}

func (w *weeks) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := w.db.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// newTenant is the tenant that is read through d. Both are in one worker, each
// with streams of its own.
func (w *weeks) newTenant(t *testing.T, d defender.Dialect) *weeksTenant {
	tn := &weeksTenant{weeks: w, name: string(d), tables: defendersim.NewHunting()}
	tn.rig = &rig{db: w.db, opt: rigOptions{dialect: d}}
	id := map[defender.Dialect]string{defender.Graph: defendersim.DefaultTenant, defender.Older: "5d2f0b7c-91c3-4f0e-8a44-3b1f6c0de902"}[d]
	tn.world = defendersim.NewWorld(defendersim.WorldOptions{Seed: uint64(w.seed), Incidents: 20, Span: weeksSpan, TenantID: id,
		Now:                 func() time.Time { return time.Now().Add(-time.Duration(tn.lag.Load())) },
		AlertsTouchIncident: d == defender.Older})
	opt := defendersim.Options{World: tn.world, Now: time.Now, Hunting: tn.tables, HuntCap: weeksHuntCap, SkipToken: w.seed%2 == 1}
	if d == defender.Graph {
		opt.Order = []defendersim.Order{defendersim.OrderAsked, defendersim.OrderNewest, defendersim.OrderAsked, defendersim.OrderNone}[w.seed%4]
	}
	tn.sim = defendersim.New(opt)
	tn.app = tn.sim.Config()
	tn.wire = newWeeksWire(tn.sim.Transport(), tn.id(), map[string]defender.Limits{
		defsync.QuotaFamily: {PerMinute: 12, PerHour: 200}, defsync.HuntFamily: {PerMinute: 8, Concurrent: 2}})
	tn.weather = weather{now: map[string]func(){}, until: map[string]time.Time{}}
	for _, s := range tn.script() {
		s.hunt.Cap, s.hunt.AutoMigrate, s.hunt.Reconcile = weeksHuntCap, true, schedule(t, s.compared)
		h, err := s.hunt.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		tn.opt.hunts = append(tn.opt.hunts, h)
	}
	tn.newTables(w.chance(0, 3))
	return tn
}

func (tn *weeksTenant) id() string { return tn.app.TenantID }

func schedule(t *testing.T, cron string) (s defsync.Schedule) {
	t.Helper()
	if cron == "" {
		return s
	}
	s, err := defsync.ParseSchedule(cron)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// weeksWorker is one process's worth of worker: its clients have no memory of
// what others called.
type weeksWorker struct {
	*defsync.Worker
	store  *store.Store
	n      int
	cancel context.CancelFunc
	ended  chan struct{}
}

// start starts another worker, beside the one that runs, if one does.
func (w *weeks) start(t *testing.T) {
	t.Helper()
	w.running = w.newWorker(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.running.cancel = cancel
	go func() {
		defer close(w.running.ended)
		w.running.Run(ctx)
	}()
}

func (w *weeks) newWorker(t *testing.T) *weeksWorker {
	t.Helper()
	w.workers++
	dsn := w.dsn
	if f := w.nextFate(); f == killed || f == cutOff {
		dsn = w.wire.URL(w.wire.Addr) // a way that costs time, and ends
	}
	s, err := store.Open(t.Context(), lasting(t, dsn), 4)
	if err != nil {
		t.Fatal(err)
	}
	cfg := defsync.WorkerConfig{Store: s, Owner: fmt.Sprintf("worker %d", w.workers), Command: "run"}
	if *weeksSeed >= 0 {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	one := &weeksWorker{store: s, n: w.workers, ended: make(chan struct{})}
	for _, tn := range w.tenants {
		cfg.Tenants = append(cfg.Tenants, tn.tenant(t, s, one.n))
	}
	if one.Worker, err = defsync.NewWorker(cfg); err != nil {
		t.Fatal(err)
	}
	return one
}

// lasting keeps a pool's connections open: by this clock one would be idle for
// too long after almost every pass, and to open another costs more than the pass.
func lasting(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for _, limit := range []string{"pool_max_conn_lifetime", "pool_max_conn_idle_time"} {
		q.Set(limit, "72h")
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// stop tells the worker to stop, waits for it, and closes what it had open.
func (w *weeks) stop() {
	w.running.stop()
	w.running = nil
}

func (one *weeksWorker) stop() {
	if one.cancel != nil {
		one.cancel()
		<-one.ended
	}
	one.store.Close()
}

// tenant is the tenant as the command line makes it of its configuration.
func (tn *weeksTenant) tenant(t *testing.T, s *store.Store, worker int) defsync.Tenant {
	t.Helper()
	endpoints, err := defender.CloudEndpoints("commercial")
	if err != nil {
		t.Fatal(err)
	}
	cfg := defender.Config{Tenant: tn.name, TenantID: tn.id(), ClientID: tn.app.ClientID,
		Credential: defender.Secret(func() (string, error) { return tn.app.Secret, nil }), Dialect: tn.opt.dialect,
		Login: endpoints.Login, BaseURL: endpoints.Graph, Audience: endpoints.GraphAudience, Transport: tn.wire.of(worker, tn.weeks.wire.IsDown)}
	if tn.opt.dialect == defender.Older {
		cfg.BaseURL, cfg.Audience = endpoints.Defender, endpoints.DefenderAudience
	}
	cfg = tn.recorded(cfg, s, defsync.QuotaFamily, s.Block)
	source, err := defender.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Tokens = source.Tokens()
	hunter, err := defender.New(tn.recorded(cfg, s, defsync.HuntFamily, s.BlockHunting))
	if err != nil {
		t.Fatal(err)
	}
	return defsync.Tenant{Name: tn.name, ID: tn.id(), Dialect: tn.opt.dialect, Source: source, Hunter: hunter, Streams: tn.streams(t)}
}

func (tn *weeksTenant) recorded(cfg defender.Config, s *store.Store, family string, block func(context.Context, string, time.Time) error) defender.Config {
	cfg.Limits = tn.wire.limits[family]
	cfg.OnCall = func(ctx context.Context, at time.Time) error { return s.RecordCall(ctx, tn.id(), family, at) }
	cfg.OnBlock = func(ctx context.Context, until time.Time) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_ = block(ctx, tn.id(), until) // where the database is gone, nobody can know of the wait later
	}
	return cfg
}

// streams are the tenant's, each on its own schedule.
func (tn *weeksTenant) streams(t *testing.T) []defsync.Stream {
	t.Helper()
	names, crons := []string{defsync.IncidentsStream, defsync.AlertsStream}, []string{"7 */3 * * *", "@every 3h10m"}
	if tn.opt.dialect == defender.Older {
		names = names[:1]
	}
	var all []defsync.Stream
	for i, name := range names {
		all = append(all, defsync.Stream{Name: name, Schedule: schedule(t, crons[i]), Start: defsync.Start{At: tn.beginning()},
			Overlap: weeksOverlap, Settle: weeksSettle})
	}
	for i, h := range tn.opt.hunts {
		all = append(all, defsync.Stream{Name: defsync.HuntingStream(h.Name), Schedule: schedule(t, tn.script()[i].cron), Hunt: h,
			Start: defsync.Start{At: weeksBegin.Add(-26 * time.Hour)}, Overlap: weeksOverlap, Settle: weeksSettle})
	}
	return all
}

// beginning is before everything that the world holds.
func (tn *weeksTenant) beginning() time.Time {
	return weeksBegin.Add(-weeksSpan - 24*time.Hour)
}

// pick draws one of several.
func pick[T any](rnd *rand.Rand, from ...T) T { return from[rnd.IntN(len(from))] }
