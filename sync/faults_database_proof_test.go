package sync_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"defendersync/migrations"
	"defendersync/store/pglocal"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// faulty is a rig whose tenant tells a test of its answers.
type faulty struct {
	*rig
	answered atomic.Pointer[func(n int)]
}

// onAnswer has f called before each answer is sent.
func (r *faulty) onAnswer(f func(n int)) { r.answered.Store(&f) }

// eachKind runs a test on both kinds of commit: of incidents with their alerts,
// and of hunting rows. The rig's calls are put on record, as the program's are.
func eachKind(t *testing.T, opt rigOptions, test func(t *testing.T, r *faulty)) {
	opt.limits = defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}
	for _, kind := range []string{"incidents", "hunting"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r, opt := &faulty{}, opt
			opt.sim.OnAnswer = func(n int) {
				if f := r.answered.Load(); f != nil {
					(*f)(n)
				}
			}
			if kind == "hunting" {
				r.rig = newHuntRig(t, huntOptions{rigOptions: opt, tables: filled(opt.world.Seed, 400), hunts: threeHunts()[:2], cap: 150})
			} else {
				opt.world.Incidents = cmp.Or(opt.world.Incidents, 220)
				r.rig = newRig(t, opt)
			}
			test(t, r)
		})
	}
}

// whole fails unless the database holds what the tenant does, every instant is
// vouched for, nothing is there twice and no run is left without its end.
func (r *rig) whole(t testing.TB) {
	t.Helper()
	if len(r.opt.hunts) > 0 {
		r.huntEqualsSource(t)
	} else {
		r.equalsWorld(t)
	}
	r.vouched(t)
	r.unmarked(t)
}

// admin does something to the database that no program of ours would.
func (r *rig) admin(t testing.TB, sql string) {
	t.Helper()
	if _, err := r.db.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%v: %s", err, sql)
	}
}

// setting changes what the database's next connections begin with, "" to take that back.
func (r *rig) setting(t testing.TB, name, value string) {
	t.Helper()
	database := r.db.Config().ConnConfig.Database
	if value == "" {
		r.admin(t, fmt.Sprintf(`ALTER DATABASE %q RESET %s`, database, name))
		return
	}
	r.admin(t, fmt.Sprintf(`ALTER DATABASE %q SET %s = '%s'`, database, name, value))
}

// broken makes a pass of the first stream that must fail, say why in the words given and leave its
// record behind, and returns what it said.
func (r *rig) broken(t testing.TB, w *defsync.Worker, says ...string) string {
	t.Helper()
	first := defsync.IncidentsStream
	if len(r.opt.hunts) > 0 {
		first = defsync.HuntingStream(r.opt.hunts[0].Name)
	}
	res := w.Sync(t.Context(), "", []string{first})[0]
	if res.Outcome != defsync.OutcomeFailed || res.Err == nil {
		t.Fatalf("%s ended %s: %v, want it failed", res.Stream, res.Outcome, res.Err)
	}
	text := res.Err.Error()
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("the error does not say %q: %s", s, text)
		}
	}
	return text
}

// recover makes passes until one of each stream is complete, and counts the
// results that were not. It fails where a run is left without its end.
func (r *rig) recover(t testing.TB, w *defsync.Worker, before func()) (failed int) {
	t.Helper()
	for range 300 {
		if before != nil {
			before()
		}
		complete := true
		for _, res := range w.Sync(t.Context(), "", nil) {
			if res.Outcome == defsync.OutcomeOK {
				continue
			}
			complete = false
			failed++
			if res.Outcome != defsync.OutcomeFailed || res.Err == nil {
				t.Fatalf("%s ended %s: %v, want it failed or complete", res.Stream, res.Outcome, res.Err)
			}
		}
		if n := value[int64](t, r.db, `SELECT count(*) FROM sync.runs WHERE outcome = 'running'`); n != 0 {
			t.Errorf("%d runs are left as running by passes that have ended", n)
		}
		if complete {
			return failed
		}
	}
	t.Fatal("no pass was complete in the end")
	return 0
}

// terminateAll ends every connection of the database but the test's own.
const terminateAll = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`

// terminating makes the database end the connection that writes, at every n-th
// statement or so, in whichever table a commit writes to, and at COMMIT.
func (r *rig) terminating(t testing.TB, seed uint64) {
	t.Helper()
	r.admin(t, `CREATE SEQUENCE hits`)
	r.admin(t, fmt.Sprintf(`CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF abs(hashint8(nextval('hits') + %d)) %% 29 = 0 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
		RETURN NULL;
	END $$`, seed*1000))
	r.admin(t, `CREATE CONSTRAINT TRIGGER die_at_commit AFTER INSERT OR UPDATE ON sync.checkpoints
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()`)
}

// spread gives the trigger to every table that there is by now.
func (r *rig) spread(t testing.TB) {
	t.Helper()
	for _, table := range query[struct{ Name string }](t, r.db, `
		SELECT format('%I.%I', schemaname, tablename) FROM pg_tables AS p
		WHERE (schemaname IN ('defender', 'hunting') OR schemaname = 'sync' AND tablename IN ('coverage', 'checkpoints', 'quota', 'runs'))
			AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'die' AND tgrelid = format('%I.%I', schemaname, tablename)::regclass)`) {
		r.admin(t, `CREATE TRIGGER die AFTER INSERT OR UPDATE OR DELETE ON `+table.Name+` FOR EACH STATEMENT EXECUTE FUNCTION die()`)
	}
}

// TestTerminatedBackends ends the worker's connections as an administrator does,
// where a seed says: inside the statements of commits, at COMMIT itself, and all
// at once between a request and its commit.
func TestTerminatedBackends(t *testing.T) {
	for seed := range uint64(fewer(3, 2, 1)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			eachKind(t, rigOptions{world: defendersim.WorldOptions{Seed: seed}}, func(t *testing.T, r *faulty) {
				chance, all := rand.New(rand.NewPCG(seed, 4)), 0
				var mu sync.Mutex
				r.onAnswer(func(int) {
					mu.Lock()
					defer mu.Unlock()
					if chance.IntN(5) == 0 {
						all++
						r.admin(t, terminateAll)
					}
				})
				r.terminating(t, seed)
				failed := r.recover(t, r.worker, func() { r.spread(t) })
				hits := value[int64](t, r.db, `SELECT last_value FROM hits`)
				t.Logf("%d passes failed, all connections ended %d times, %d statements at risk", failed, all, hits)
				if failed < 3 {
					t.Errorf("only %d passes failed", failed)
				}
				r.whole(t)
			})
		})
	}
}

// ownServer starts a PostgreSQL that a test may stop, and returns how to start
// it again, which also says where it is.
func ownServer(t *testing.T, dir string) (start func() *pglocal.Server) {
	t.Helper()
	var running *pglocal.Server
	t.Cleanup(func() {
		if err := running.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		_, _ = pglocal.Remove(dir)
	})
	return func() *pglocal.Server {
		t.Helper()
		var err error
		if running, err = pglocal.Start(context.Background(), pglocal.Options{Dir: dir, Throwaway: true}); err != nil {
			t.Fatal(err)
		}
		return running
	}
}

// scratch is a directory that the account of a server can enter.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "defendersync-test-*")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// moveTo puts the rig on another server.
func (r *rig) moveTo(t *testing.T, dsn string) {
	t.Helper()
	r.dsn = dsn
	r.db = r.openPool(t)
	if _, err := migrations.Up(t.Context(), r.db); err != nil {
		t.Fatal(err)
	}
	r.store = r.openStore(t)
	r.worker = r.newWorker(t, r.store, "moved")
}

// halt stops a server politely, or as a crash does.
func halt(t *testing.T, s *pglocal.Server, crash bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if crash {
		cancel()
	}
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// TestServerStops stops the server, now politely and now as a crash does, and
// starts it again: while answers are on their way into it, and under a worker
// that follows its schedule.
func TestServerStops(t *testing.T) {
	t.Parallel()
	start := ownServer(t, scratch(t))
	server := start()
	t.Run("pass", func(t *testing.T) { stopInPasses(t, start, server) })
	server = start() // or attach to what runs
	if _, err := adminOf(t, server).Exec(t.Context(), `CREATE DATABASE run`); err != nil {
		t.Fatal(err)
	}
	t.Run("run", func(t *testing.T) { stopUnderRun(t, start, server) })
}

// adminOf is a connection to a server's first database.
func adminOf(t *testing.T, s *pglocal.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL(pglocal.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func stopInPasses(t *testing.T, start func() *pglocal.Server, server *pglocal.Server) {
	var now atomic.Pointer[pglocal.Server]
	now.Store(server)
	stops, stopped := 0, make(chan struct{}, 1)
	opt := rigOptions{world: defendersim.WorldOptions{Seed: 4, Incidents: 260}, limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}}
	opt.sim.OnAnswer = func(n int) {
		if n%3 == 0 && stops < 4 {
			stops++
			go func(crash bool) {
				halt(t, now.Load(), crash)
				stopped <- struct{}{}
			}(stops%2 == 0)
		}
	}
	r := newRig(t, opt)
	r.moveTo(t, server.URL(pglocal.Database))
	failed := 0
	for complete := false; !complete; {
		complete = true
		for _, res := range r.worker.Sync(t.Context(), "", nil) {
			switch {
			case res.Outcome == defsync.OutcomeFailed && res.Err != nil:
				complete = false
				failed++
			case res.Outcome != defsync.OutcomeOK:
				t.Fatalf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
			}
		}
		select {
		case <-stopped:
			now.Store(start())
			r.db = r.openPool(t)
			r.expireLease(t)
			complete = false
		default:
		}
	}
	t.Logf("stopped %d times, %d passes failed", stops, failed)
	if stops < 4 || failed == 0 {
		t.Errorf("the server was stopped %d times and %d passes failed: too few", stops, failed)
	}
	r.whole(t)
}

// stopUnderRun restarts the server under a worker that nobody restarts.
func stopUnderRun(t *testing.T, start func() *pglocal.Server, server *pglocal.Server) {
	answers := make(chan struct{}, 1<<14)
	opt := rigOptions{going: true, schedule: "@every 1s", world: defendersim.WorldOptions{Seed: 5, Incidents: 60},
		limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}}
	opt.sim.ChangeEvery = 1
	opt.sim.OnAnswer = func(int) { answers <- struct{}{} }
	r := newRig(t, opt)
	r.moveTo(t, server.URL("run"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.worker.Run(ctx)
	}()
	passes := func() int64 {
		return value[int64](t, r.openPool(t), `SELECT count(*) FROM sync.runs WHERE outcome = 'ok' AND stream = 'incidents'`)
	}
	for _, crash := range []bool{false, true} {
		for before := passes(); passes() < before+2; {
			<-answers
		}
		halt(t, server, crash)
		for len(answers) > 0 {
			<-answers
		}
		server = start()
	}
	for before := passes(); passes() < before+2; {
		<-answers
	}
	cancel()
	<-ended
	r.world.Freeze()
	r.clock.advance(10 * time.Minute)
	r.db = r.openPool(t)
	r.sync(t)
	r.equalsWorld(t)
	r.vouched(t)
	if n := value[int64](t, r.db, `SELECT count(*) FROM sync.runs WHERE outcome = 'running'`); n != 0 {
		t.Errorf("%d runs are left as running", n)
	}
}
