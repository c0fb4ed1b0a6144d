//go:build unix

package sync_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

// pausePoints are those behind which a process that was stopped may wake up to
// find the tenant another's.
var pausePoints = []string{"run/start/before", "run/start/unacknowledged", "call/before", "call/acknowledged", "fetch/before", "fetch/middle", "fetch/after",
	"stage/incidents/before", "stage/alerts/before", "stage/rows/before", "stage/rows/sent", "stage/hunting_parts/before", "lease/lock/before",
	"stage/coverage/before", "stage/checkpoints/before", "commit/before", "commit/unacknowledged"}

// TestPauseMatrix stops a process with SIGSTOP at the named points, lets another
// take the tenant and go on in a source that has changed, and wakes the first
// one with SIGCONT. It writes nothing any more, says that it has lost the tenant,
// and the database is the source (P6).
func TestPauseMatrix(t *testing.T) {
	var cases atomic.Int64
	t.Cleanup(func() { t.Logf("%d processes were stopped, and woke up too late", cases.Load()) })
	for _, p := range everyPlay() {
		if p.job(nil).Backfill != nil {
			continue // whose range does not grow
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, p.rig(t))
			calm := s.calm(t, p)
			for i, name := range pausePoints {
				n := min(calm.points[name], 2)
				if turn := i + len(p.name); n == 0 || !*every && turn%2 > 0 || testing.Short() && turn%8 > 0 {
					continue
				}
				nth := 1 + (i+len(p.name))%n
				if strings.HasPrefix(name, "stage/") {
					nth = 1 // the world goes on from case to case, and there may not be a second
				}
				s.pauseAt(t, p, point{name, nth}, true)
				cases.Add(1)
				if t.Failed() {
					t.Fatalf("stopped at %s", name)
				}
			}
		})
	}
}

// TestPausedPastItsLease is the same once more, with a lease that ends by itself.
func TestPausedPastItsLease(t *testing.T) {
	t.Parallel()
	p := play{rig: tenantRig(defender.Graph, 14, 8), job: passOf(defsync.IncidentsStream)}
	s := newStage(t, p.rig(t))
	s.pauseAt(t, p, point{"fetch/middle", 2}, false)
}

// pauseAt does the work in a process that is stopped at the point until another
// has made its pass.
func (s *stage) pauseAt(t *testing.T, p play, at point, expire bool) {
	t.Helper()
	s.prepare(t, p)
	c, stopped, woken := make(chan *child, 1), make(chan struct{}), make(chan struct{})
	s.arm(at, func(string, <-chan struct{}) bool {
		worker := <-c
		_ = worker.cmd.Process.Signal(syscall.SIGSTOP) // an error is that it has ended, which the test sees
		c <- worker
		close(stopped)
		<-woken
		return false
	})
	worker := s.start(t, p.job(s.rig))
	c <- worker
	select {
	case <-stopped:
	case <-worker.dead:
		t.Fatalf("the point was not reached: %s", worker.told())
	}
	s.change(t)
	terminated := s.overtake(t, expire)
	before, revisions := s.written(t), s.spent(t).commits
	if err := worker.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	close(woken)
	worker.ended(t)
	if code := worker.cmd.ProcessState.ExitCode(); code != 75 && !(terminated && code == 1) {
		t.Errorf("exit %d: %s", code, worker.told())
	}
	for table, mark := range s.written(t) {
		if before[table] != mark {
			t.Errorf("rows of %s were written by the late one", table)
		}
	}
	if n := s.spent(t).commits; n != revisions {
		t.Errorf("the late one moved a checkpoint: revision %d, was %d", n, revisions)
	}
	s.last(t)
	s.equalsSource(t)
	s.vouched(t)
	if n := value[int64](t, s.db, `SELECT count(*) FROM sync.runs WHERE outcome = 'running'`); n != 0 {
		t.Errorf("%d runs are still under way", n)
	}
}

// change makes time pass at the source, and what it holds another.
func (s *stage) change(t *testing.T) {
	t.Helper()
	s.clock.advance(10 * time.Minute)
	if len(s.opt.hunts) == 0 {
		s.world.StepN(4)
		s.clock.advance(10 * time.Minute)
		return
	}
	for _, table := range s.opt.sim.Hunting.Tables() {
		switch table {
		case processTable.Name:
			s.opt.sim.Hunting.AddRows(table, process(s.clock.Now().Add(-9*time.Minute), 7000))
		case weaknessTable.Name:
			s.opt.sim.Hunting.AddRows(table, weakness(1, 9000+s.sim.Calls(), "High"))
		}
	}
}

// overtake makes the pass of another worker. Where the stopped one holds a lock
// that this waits for, the server ends its connection, as it does by itself when
// a transaction has been idle for a minute.
func (s *stage) overtake(t *testing.T, expire bool) (terminated bool) {
	t.Helper()
	const over = `UPDATE sync.leases SET until = clock_timestamp() WHERE $1`
	const end = `SELECT count(pg_terminate_backend(b)) FROM pg_stat_activity AS a, unnest(pg_blocking_pids(a.pid)) AS b WHERE a.datname = current_database()`
	w := s.newWorker(t, s.store, "second")
	done := make(chan []defsync.Result)
	go func() {
		if _, err := s.db.Exec(t.Context(), over, expire); err != nil {
			t.Error(err)
		}
		done <- w.Sync(t.Context(), "", nil)
	}()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case results := <-done:
			for _, res := range results {
				if res.Outcome != defsync.OutcomeOK {
					t.Fatalf("the second one ended %s: %v", res.Outcome, res.Err)
				}
			}
			return terminated
		case <-ticker.C:
			terminated = value[int64](t, s.watch, end) > 0 || terminated
		}
	}
}

// written is a digest of where each row version is, in all tables but that of
// the calls, which are on record whoever makes them.
func (s *stage) written(t *testing.T) map[string]string {
	t.Helper()
	marks := map[string]string{}
	const tables = `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
		WHERE schemaname IN ('defender', 'hunting', 'sync') AND tablename NOT LIKE 'goose%' AND tablename NOT IN ('quota', 'leases')`
	for _, table := range query[struct{ Name string }](t, s.db, tables) {
		marks[table.Name] = value[string](t, s.db,
			`SELECT count(*) || ' ' || coalesce(md5(string_agg(format('%s %s', ctid, xmin), ',' ORDER BY ctid)), '') FROM `+table.Name)
	}
	return marks
}
