//go:build soak && linux

package sync_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"defendersync/store/pglocal"
	"defendersync/store/storetest"
	"defendersync/sync/defender"

	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	soakMinutes = flag.Float64("minutes", 10, "how long TestSoak breaks things")
	soakSeed    = flag.Uint64("seed", 1, "what TestSoak draws its faults from")
)

// soak is the real program over a long time: processes that read three tenants
// into one database, lines between them that go bad, and somebody who breaks
// whatever there is.
type soak struct {
	t       *testing.T
	program *program
	tenants []*soakTenant
	clock   *clock
	chance  *rand.Rand // of the breaking, which is all done by the test's own goroutine
	began   time.Time

	start    func() *pglocal.Server
	server   *pglocal.Server
	database *line         // between the workers and the server
	dsn      string        // by way of it
	admin    *pgxpool.Pool // past it

	first, second *worker // the one that is killed again and again, and the one that lives on
	journal       *journal
	watch         *watch
}

// TestSoak runs two workers for minutes, three tenants that change, and all
// faults at once, in an order that a seed says. Then it lets everything come to
// rest, and compares: nothing is lost, nothing twice, nothing has grown.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: make soak MINUTES=%g SEED=%d; the workers' logs are in %s", *soakMinutes, *soakSeed, s.program.dir)
		}
	})
	ctx, rest := context.WithCancel(t.Context())
	var living, troubled sync.WaitGroup
	for _, tenant := range s.tenants {
		living.Go(func() { tenant.live(ctx) })
		troubled.Go(func() { tenant.trouble(ctx) })
	}
	s.watch.begin(t)
	s.breakThings(time.Duration(*soakMinutes * float64(time.Minute)))
	rest()
	living.Wait()
	troubled.Wait()
	s.comeToRest()
	s.watch.end()
	defer func() { t.Log("\n" + s.report()) }() // whatever the judgement ends with
	s.judge()
}

// newSoak sets everything up and starts the two workers.
func newSoak(t *testing.T) *soak {
	s := &soak{t: t, program: buildProgram(t), clock: &clock{now: time.Now(), going: time.Now()}, began: time.Now(), chance: rand.New(rand.NewPCG(*soakSeed, 6)),
		journal: &journal{counts: map[string]int{}}}
	s.start = durableServer(t, scratch(t))
	s.server = s.start()
	wire := storetest.NewWire(t, s.server.URL(pglocal.Database))
	s.database = newLine(t, wire.Addr)
	s.dsn = wire.URL(s.database.proxy.Listen)
	s.admin = s.pool("")
	for i, plan := range soakPlans {
		s.tenants = append(s.tenants, newSoakTenant(s, plan, uint64(i)))
	}
	s.program.configure(t, s.tenants)
	s.watch = newWatch(s)
	s.first, s.second = s.newWorker("first"), s.newWorker("second")
	s.finally("migrate", "up")
	s.first.start()
	s.second.start()
	return s
}

// soakPlan is what the tenants differ in.
type soakPlan struct {
	name    string
	dialect defender.Dialect
	// What the worker is allowed: one tenant's limits are felt all the time.
	incidents, hunting int
	lifetime           time.Duration // of tokens
}

var soakPlans = []soakPlan{
	{"alpha", defender.Graph, 120, 60, 2 * time.Minute},
	{"beta", defender.Older, 60, 45, time.Hour},
	{"gamma", defender.Graph, 45, 25, 5 * time.Minute},
}

// durableServer is ownServer for data that has to outlive an immediate stop.
func durableServer(t *testing.T, dir string) (start func() *pglocal.Server) {
	var running *pglocal.Server
	t.Cleanup(func() {
		if err := running.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		_, _ = pglocal.Remove(dir)
	})
	return func() *pglocal.Server {
		var err error
		if running, err = pglocal.Start(context.Background(), pglocal.Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		return running
	}
}

// pool is a connection of the test's own, as a role where one is named.
func (s *soak) pool(role string) *pgxpool.Pool {
	s.t.Helper()
	config, err := pgxpool.ParseConfig(s.server.URL(pglocal.Database))
	if err != nil {
		s.t.Fatal(err)
	}
	config.MaxConns = 2
	config.ConnConfig.RuntimeParams["application_name"] = "soak"
	if role != "" {
		config.ConnConfig.RuntimeParams["role"] = role
	}
	pool, err := pgxpool.NewWithConfig(s.t.Context(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(pool.Close)
	return pool
}

// until polls a condition, whose error is why it does not hold yet. It is for
// what has to come sooner or later, however slow the machine is.
func (s *soak) until(what string, limit time.Duration, holds func() error) bool {
	s.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := holds()
		if err == nil {
			return true
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%s: not within %s: %v", what, limit, err)
			return false
		}
		pause(s.t.Context(), 500*time.Millisecond)
	}
}

// pause lets time go by; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// between draws a duration.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// A journal counts what was done, and remembers when things were not as usual.
type journal struct {
	mu       sync.Mutex
	counts   map[string]int
	troubles []soakTrouble
}

// soakTrouble is a stretch of time in which something was broken.
type soakTrouble struct {
	from, to time.Time // to is zero while it lasts
	kind     string
	tenant   string // "" is all
}

// did counts.
func (j *journal) did(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts[what]++
}

// during notes a stretch of trouble, until the function that it returns is called.
func (j *journal) during(kind, tenant string) (over func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.troubles)
	j.troubles = append(j.troubles, soakTrouble{from: time.Now(), kind: kind, tenant: tenant})
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.troubles[n].to = time.Now()
	}
}

// disturbed says whether there was trouble of some kind for a tenant between two times.
func (j *journal) disturbed(tenant string, from, to time.Time, kinds ...string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.troubles, func(x soakTrouble) bool {
		return (x.tenant == "" || x.tenant == tenant) && x.from.Before(to) && (x.to.IsZero() || x.to.After(from)) && slices.Contains(kinds, x.kind)
	})
}

// of lists the counts whose names begin with prefix, and their sum.
func (j *journal) of(prefix string) (list string, sum int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []string
	for name, n := range j.counts {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			all = append(all, fmt.Sprintf("%s %d", rest, n))
			sum += n
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", "), sum
}

// facts lists what was noted once each.
func (j *journal) facts(prefix string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []string
	for name := range j.counts {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			all = append(all, rest)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
