package sync_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// line is a TCP proxy whose connections a test makes bad. What it is told
// holds for connections that exist, too.
type line struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
}

// newLine begins to relay to an address until the test ends.
func newLine(t testing.TB, upstream string) *line {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // its faults tell of themselves
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, strings.ReplaceAll(t.Name(), "/", "_"), "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &line{t, p}
}

// spoil adds a fault by toxiproxy's name for it.
func (l *line) spoil(kind, stream, attributes string) {
	l.t.Helper()
	text := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": %s}`, kind+stream, kind, stream, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		l.t.Fatal(err)
	}
}

// mend takes all faults out.
func (l *line) mend() { l.proxy.Toxics.ResetToxics(context.Background()) }

// waits are how long a worker waits for an answer of the service and of the database.
type waits struct{ service, database time.Duration }

// impatient is a worker whose requests go by way of addr.
func (r *rig) impatient(t testing.TB, s *store.Store, addr string, wait waits) *defsync.Worker {
	t.Helper()
	endpoints, err := defender.CloudEndpoints("commercial")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := defender.New(defender.Config{Tenant: "contoso", TenantID: r.app.TenantID, ClientID: r.app.ClientID,
		Credential: defender.Secret(func() (string, error) { return r.app.Secret, nil }), Transport: transport,
		Dialect: r.opt.dialect, Login: "http://" + addr, BaseURL: "http://" + addr, Audience: endpoints.GraphAudience,
		Limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}, Backoff: time.Millisecond, Timeout: wait.service, HuntTimeout: wait.service})
	if err != nil {
		t.Fatal(err)
	}
	schedule, err := defsync.ParseSchedule("@every 5m")
	if err != nil {
		t.Fatal(err)
	}
	tenant := defsync.Tenant{Name: "contoso", ID: r.app.TenantID, Dialect: r.opt.dialect, Source: client}
	if len(r.opt.hunts) > 0 {
		tenant.Hunter, tenant.Streams = client, r.huntStreams(schedule, 30*time.Minute)
	}
	for _, name := range r.streams() {
		if len(r.opt.hunts) == 0 {
			tenant.Streams = append(tenant.Streams, defsync.Stream{Name: name, Schedule: schedule,
				Start: defsync.Start{Age: 180 * 24 * time.Hour}, Overlap: 30 * time.Minute, Settle: 2 * time.Minute})
		}
	}
	w, err := defsync.NewWorker(defsync.WorkerConfig{Store: s, Tenants: []defsync.Tenant{tenant}, Owner: "impatient", Command: "sync",
		Now: r.clock.Now, Patience: wait.database})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// flagged makes a pass over a line that lets only small answers through: what
// did not come is an error or is listed, and never nothing.
func (r *rig) flagged(t testing.TB, w *defsync.Worker) {
	t.Helper()
	for _, res := range w.Sync(t.Context(), "", nil) {
		switch {
		case res.Outcome == defsync.OutcomeFailed && res.Err != nil:
		case res.Outcome == defsync.OutcomePartial && res.Gaps+res.Quarantined > 0:
		case res.Outcome == defsync.OutcomeOK && len(r.opt.hunts) > 0: // by narrower windows
		default:
			t.Errorf("%s ended %s with %d gaps: %v", res.Stream, res.Outcome, res.Gaps, res.Err)
		}
	}
	if value[int64](t, r.db, `SELECT count(*) FROM sync.checkpoints`) > 0 {
		r.vouched(t)
	}
}

// TestLineToTheTenant makes the line to the tenant bad in each way. What is only
// slow is waited for; what breaks or stands makes the pass fail in time and in
// clear words; and when the line is mended the next pass is complete.
func TestLineToTheTenant(t *testing.T) {
	for _, c := range []struct {
		name                     string
		kind, stream, attributes string
		fails                    bool
		says                     string
	}{
		{"latency", "latency", "downstream", `{"latency": 20, "jitter": 15}`, false, ""},
		{"latency both ways", "latency", "upstream", `{"latency": 20, "jitter": 15}`, false, ""},
		{"small pieces", "slicer", "downstream", `{"average_size": 700, "size_variation": 600, "delay": 50}`, false, ""},
		{"bandwidth too small for a page", "bandwidth", "downstream", `{"rate": 900}`, false, ""},
		{"slow close", "slow_close", "downstream", `{"delay": 100}`, false, ""},
		{"cut in the body", "limit_data", "downstream", `{"bytes": 12000}`, true, ""},
		{"cut in the head", "limit_data", "downstream", `{"bytes": 20}`, true, ""},
		{"reset", "reset_peer", "downstream", `{"timeout": 0}`, true, "reset"},
		{"reset of the request", "reset_peer", "upstream", `{"timeout": 0}`, true, ""},
		{"peer vanishes after the request", "timeout", "downstream", `{"timeout": 0}`, true, "no answer within"},
		{"peer vanishes before the request", "timeout", "upstream", `{"timeout": 0}`, true, "no answer within"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, rigOptions{world: defendersim.WorldOptions{Seed: 2, Incidents: 54}}, func(t *testing.T, r *faulty) {
				l := newLine(t, strings.TrimPrefix(r.url, "http://"))
				w := r.impatient(t, r.store, l.proxy.Listen, waits{service: 400 * time.Millisecond})
				if c.fails {
					// The token came over a good line, and so did the first request.
					r.onAnswer(func(n int) {
						if n == 1 {
							l.spoil(c.kind, c.stream, c.attributes)
						}
					})
					if c.kind == "limit_data" {
						r.flagged(t, w)
					} else {
						t.Log(r.broken(t, w, c.says))
					}
					r.onAnswer(func(int) {})
					l.mend()
				} else {
					l.spoil(c.kind, c.stream, c.attributes)
				}
				r.worker = w
				if c.kind == "limit_data" {
					w.Sync(t.Context(), "", nil)
					for _, again := range w.Replay(t.Context(), r.quarantine(t)) {
						if !again.Stored {
							t.Errorf("%s stays in quarantine: %v", again.ID, again.Err)
						}
					}
				}
				r.sync(t)
				r.whole(t)
			})
		})
	}
}

// TestLineToTheDatabase does the same to the line between the worker and its
// database, after the first answer of the service.
func TestLineToTheDatabase(t *testing.T) {
	for _, c := range []struct {
		name                     string
		kind, stream, attributes string
		fails                    bool
		says                     string
	}{
		{"latency", "latency", "downstream", `{"latency": 5, "jitter": 3}`, false, ""},
		{"small pieces", "slicer", "upstream", `{"average_size": 3000, "size_variation": 2500, "delay": 20}`, false, ""},
		{"bandwidth", "bandwidth", "upstream", `{"rate": 3000}`, false, ""},
		{"slow close", "slow_close", "downstream", `{"delay": 50}`, false, ""},
		{"cut in an answer", "limit_data", "downstream", `{"bytes": 60}`, true, ""},
		{"cut in a statement", "limit_data", "upstream", `{"bytes": 500}`, true, ""},
		{"reset", "reset_peer", "downstream", `{"timeout": 0}`, true, ""},
		{"peer vanishes after the statement", "timeout", "downstream", `{"timeout": 0}`, true, "the database does not answer"},
		{"peer vanishes before the statement", "timeout", "upstream", `{"timeout": 0}`, true, "the database does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, rigOptions{world: defendersim.WorldOptions{Seed: 2, Incidents: 54}}, func(t *testing.T, r *faulty) {
				wire := storetest.NewWire(t, r.dsn)
				l := newLine(t, wire.Addr)
				s, err := store.Open(t.Context(), wire.URL(l.proxy.Listen), 3)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(s.Close)
				w := r.impatient(t, s, strings.TrimPrefix(r.url, "http://"), waits{service: time.Minute, database: time.Second})
				if c.fails {
					r.onAnswer(func(n int) {
						if n == 1 {
							l.spoil(c.kind, c.stream, c.attributes)
						}
					})
					t.Log(r.broken(t, w, c.says))
					l.mend()
					r.admin(t, `UPDATE sync.leases SET until = clock_timestamp()`)
				} else {
					l.spoil(c.kind, c.stream, c.attributes)
				}
				// What the line left of the pool's connections is found out one by one.
				r.recover(t, r.impatient(t, s, strings.TrimPrefix(r.url, "http://"), waits{service: time.Minute, database: time.Minute}), nil)
				r.whole(t)
			})
		})
	}
}
