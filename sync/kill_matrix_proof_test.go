package sync_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// play is one kind of work that is ended at its points.
type play struct {
	name string
	rig  func(testing.TB) *rig
	job  func(*rig) childJob
	// before is what was there before the work; nil for an empty database.
	before func(testing.TB, *stage)
	points []string // that it has to reach, without those of all
	// planned work counts what is ahead. Whoever goes on has not, and cuts its
	// windows otherwise: what a kill cost shows in requests without a commit.
	planned bool
}

// everyPlay is every kind of stream, and both dialects.
func everyPlay() []play {
	return []play{
		{name: "incidents", rig: tenantRig(defender.Graph, 14, 8), job: passOf(defsync.IncidentsStream), points: incidentPoints},
		{name: "older incidents", rig: tenantRig(defender.Older, 10, 0), job: passOf(defsync.IncidentsStream), points: incidentPoints},
		{name: "alerts", rig: tenantRig(defender.Graph, 8, 0), job: passOf(defsync.AlertsStream), points: alertPoints},
		{name: "hunting", rig: huntRigOf(defender.Graph, 0), job: passOf(huntNames[0]), points: huntPoints, planned: true},
		{name: "older hunting without a key", rig: huntRigOf(defender.Older, 1), job: passOf(huntNames[1]), points: huntPoints, planned: true},
		{name: "backfill", rig: huntRigOf(defender.Older, 0), job: backfillOf(huntNames[0]), points: huntPoints, planned: true},
		{name: "snapshot", rig: weaknessRig, job: passOf(weaknessStream), before: fewWeaknesses, points: snapshotPoints},
		{name: "replace", rig: replaceRig, job: passOf("hunting/vulnerable"), before: fewWeaknesses, points: resultPoints},
	}
}

var huntNames = []string{"hunting/device_process_events", "hunting/alert_evidence"}

// Points that have to be reached. Statements of a batch have only a before, but for the last.
var (
	commonPoints = []string{"fetch/before", "fetch/headers", "fetch/middle", "fetch/after", "call/before", "call/unacknowledged", "call/acknowledged",
		"lease/take/before", "lease/take/unacknowledged", "lease/take/commit/before", "lease/take/commit/unacknowledged", "lease/lock/before",
		"lease/release/before", "lease/release/unacknowledged", "run/start/before", "run/start/unacknowledged", "run/finish/before",
		"run/finish/unacknowledged", "stage/coverage/before", "stage/checkpoints/before", "stage/checkpoints/unacknowledged",
		"commit/before", "commit/unacknowledged", "commit/acknowledged", "tidy/before", "tidy/unacknowledged"}
	alertPoints = []string{"stage/alerts/before", "stage/alerts/unacknowledged", "stage/alert_evidence/before", "stage/alert_techniques/before",
		"stage/entities/before", "stage/entity_sightings/before"}
	incidentPoints = append([]string{"stage/incidents/before", "stage/incident_comments/before"}, alertPoints...)
	huntPoints     = []string{"stage/rows/before", "stage/rows/sent", "stage/rows/unacknowledged", "migration/before", "migration/commit/before",
		"migration/commit/unacknowledged"}
	resultPoints   = []string{"stage/rows/before", "stage/rows/sent", "stage/rows/unacknowledged"}
	snapshotPoints = append([]string{"stage/hunting_parts/before", "stage/hunting_parts/unacknowledged", "stage/old_parts/before"}, resultPoints...)
)

func tenantRig(d defender.Dialect, incidents, tie int) func(testing.TB) *rig {
	return func(t testing.TB) *rig {
		return newRig(t, rigOptions{dialect: d, limits: unlimited, world: defendersim.WorldOptions{Seed: 8, Incidents: incidents, Tie: tie}})
	}
}

var unlimited = defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}

func huntRigOf(d defender.Dialect, table int) func(testing.TB) *rig {
	return func(t testing.TB) *rig {
		return newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d, limits: unlimited}, tables: fortyHours(), hunts: threeHunts()[table : table+1], cap: 60})
	}
}

// fortyHours makes two tables of few hours, which one answer counts, with
// exact duplicates and a microsecond that one answer does not hold.
func fortyHours() *defendersim.HuntTables {
	tables := defendersim.NewHunting()
	tables.AddTable(processTable)
	tables.AddTable(evidenceTable)
	add := func(at time.Time, id int) {
		tables.AddRows(processTable.Name, process(at, id))
		row := defendersim.HuntRow{Ticks: int64(defendersim.TicksOf(at)), Values: []any{nil, fmt.Sprint(id), "File", "ab", int64(id % 3), 0.25, "1.02:03:04.5000000"}}
		tables.AddRows(evidenceTable.Name, row)
		if id%10 == 0 {
			tables.AddRows(processTable.Name, process(at, id))
			tables.AddRows(evidenceTable.Name, row)
		}
	}
	now := newClock().Now()
	for i := range 120 {
		add(now.Add(-10*time.Minute-time.Duration(i)*20*time.Minute), i)
	}
	for i := range 90 {
		add(now.Add(-20*time.Hour), 1000+i)
	}
	return tables
}

func weaknessRig(t testing.TB) *rig {
	opt := manyWeaknesses(100, 40)
	opt.limits = unlimited
	return newHuntRig(t, opt)
}

func replaceRig(t testing.TB) *rig {
	opt := manyWeaknesses(100, 400)
	opt.limits = unlimited
	opt.hunts = []defsync.Hunt{{Name: "vulnerable", Mode: defsync.ModeReplace, Query: weaknessTable.Name + "\n| where isnotempty(CveId)"}}
	return newHuntRig(t, opt)
}

// fewWeaknesses stores another result first, so that rows vanish and change.
func fewWeaknesses(t testing.TB, s *stage) {
	all := s.opt.sim.Hunting.Rows(weaknessTable.Name, s.clock.Now())
	was := slices.Clone(all[:len(all)/2])
	for i := range 20 {
		was[i] = weakness(i%7, 5000+i, "High")
	}
	s.opt.sim.Hunting.Replace(weaknessTable.Name, was...)
	s.sync(t)
	s.opt.sim.Hunting.Replace(weaknessTable.Name, all...)
	s.clock.advance(time.Hour)
}

func passOf(stream string) func(*rig) childJob {
	return func(*rig) childJob { return childJob{Stream: stream} }
}

func backfillOf(stream string) func(*rig) childJob {
	return func(*rig) childJob {
		now := newClock().Now() // the same range for whoever goes on
		return childJob{Stream: stream, Backfill: &defsync.BackfillRequest{Stream: stream, From: now.Add(-29 * 24 * time.Hour), To: now, Parallel: 1}}
	}
}

// killsOf chooses occurrences of a point that comes n times: the first, the
// second, the last, and one in between.
func killsOf(n int) []int {
	all := []int{1, 2, n/2 + 1, n}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(i int) bool { return i > n })
}

// TestKillMatrix ends a process with SIGKILL at every named point of every kind
// of work, at several of its occurrences, and lets another go on. The database
// then holds the source, the ledger has no hole, the kill cost one request at
// most, and nothing is there twice or left behind (P1, P3, P7, P8).
func TestKillMatrix(t *testing.T) {
	var cases atomic.Int64
	t.Cleanup(func() { t.Logf("%d processes were killed", cases.Load()) })
	for _, p := range everyPlay() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, p.rig(t))
			calm := s.calm(t, p)
			for _, at := range p.kills(t, calm) {
				s.killAt(t, p, at, calm)
				cases.Add(1)
				if t.Failed() {
					t.Fatalf("killed at %s, the %d. time", at.name, at.nth)
				}
			}
		})
	}
}

// rehearsal is what the work is when nobody is killed.
type rehearsal struct {
	points map[string]int
	cost
}

// cost is how many requests were made, and how many commits.
type cost struct{ calls, commits int }

// spent is the cost up to now.
func (s *stage) spent(t testing.TB) cost {
	t.Helper()
	return cost{s.sim.Calls(), int(value[int64](t, s.db, `SELECT coalesce(sum(revision), 0)::bigint FROM sync.checkpoints`))}
}

func (c cost) since(was cost) cost { return cost{c.calls - was.calls, c.commits - was.commits} }

// calm does the work in a process that is left alone.
func (s *stage) calm(t *testing.T, p play) rehearsal {
	t.Helper()
	s.prepare(t, p)
	before := s.spent(t)
	s.arm(point{}, nil)
	c := s.start(t, p.job(s.rig))
	c.ended(t)
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("exit %d: %s", code, c.told())
	}
	was := rehearsal{s.counted(), s.spent(t).since(before)}
	s.again(t, p)
	s.intact(t, p)
	return was
}

// prepare is the database as it is before the work.
func (s *stage) prepare(t testing.TB, p play) {
	t.Helper()
	s.empty(t)
	s.admin(t, `VACUUM`) // what hundreds of cases leave behind would slow them down
	if p.before != nil {
		p.before(t, s)
	}
}

// kills lists where to kill, and fails where a name has not come: it has moved.
func (p play) kills(t *testing.T, calm rehearsal) (all []point) {
	t.Helper()
	for _, name := range slices.Concat(commonPoints, p.points) {
		if calm.points[name] == 0 {
			t.Errorf("the point %s is never reached", name)
		}
	}
	delete(calm.points, "lease/release/acknowledged") // by then the process may have ended by itself
	for i, name := range slices.Sorted(maps.Keys(calm.points)) {
		for _, nth := range p.chosen(name, i, killsOf(calm.points[name])) {
			all = append(all, point{name, nth})
		}
	}
	return all
}

// alike is what all kinds of work do in the same way.
var alike = regexp.MustCompile(`^(call|lease/take|lease/release|run|tidy|migration)/`)

// chosen are the occurrences of the i-th point that there is time for: one, of
// which the number changes from point to point. What is alike is divided among the
// kinds, and so is every second of the other points.
func (p play) chosen(name string, i int, nth []int) []int {
	commit, turn := strings.HasPrefix(name, "commit/"), i+len(p.name)
	switch {
	case *every:
		return nth
	case testing.Short() && (turn%8 > 0 || p.name != "incidents" && p.name != "snapshot"):
		return nil
	case !commit && strings.HasSuffix(name, "/acknowledged"), alike.MatchString(name) && turn%6 > 0, !commit && turn%2 > 0:
		return nil
	default:
		return nth[turn%len(nth):][:1]
	}
}

// killAt does the work in a process that is killed at the point, and lets
// another worker go on.
func (s *stage) killAt(t *testing.T, p play, at point, calm rehearsal) {
	t.Helper()
	s.prepare(t, p)
	before := s.spent(t)
	c := make(chan *child, 1)
	s.arm(at, func(string, <-chan struct{}) bool {
		(<-c).kill()
		return true
	})
	worker := s.start(t, p.job(s.rig))
	c <- worker
	worker.ended(t)
	if !s.reached() {
		t.Fatalf("the point %s was not reached %d times: %v", at.name, at.nth, s.counted())
	}
	if !worker.killed() {
		t.Fatalf("the process ended by itself: %s", worker.told())
	}
	ended := p.job(s.rig).Backfill == nil && s.passedBy(t, p, s.clock.Now())
	if !ended {
		s.again(t, p)
	}
	p.cheap(t, s.spent(t).since(before), calm.cost)
	s.intact(t, p)
}

// cheap fails where a kill cost more than one request.
func (p play) cheap(t testing.TB, killed, calm cost) {
	t.Helper()
	if !p.planned && killed.calls > calm.calls+1 {
		t.Errorf("%d requests, and %d without a kill: more than one was repeated", killed.calls, calm.calls)
	}
	if lost := killed.calls - killed.commits; lost > calm.calls-calm.commits+1 {
		t.Errorf("%d requests led to no commit, and %d without a kill", lost, calm.calls-calm.commits)
	}
}

// passedBy says whether the pass that began at begun has committed all that it had to.
func (s *stage) passedBy(t testing.TB, p play, begun time.Time) bool {
	t.Helper()
	return value[bool](t, s.db, `SELECT count(*) > 0 FROM sync.checkpoints WHERE stream = $1 AND resume_point IS NULL AND passed_at >= $2`,
		p.job(s.rig).Stream, begun)
}

// again does the work once more, by another worker who need not wait for the lease.
func (s *stage) again(t testing.TB, p play) {
	t.Helper()
	s.expireLease(t)
	s.clock.advance(time.Second)
	w := s.newWorker(t, s.store, "next")
	job := p.job(s.rig)
	var results []defsync.Result
	if job.Backfill != nil {
		results = w.Backfill(t.Context(), *job.Backfill)
	} else {
		results = w.Sync(t.Context(), "", []string{job.Stream})
	}
	for _, res := range results {
		if res.Outcome != defsync.OutcomeOK {
			t.Fatalf("the next one ended %s: %v", res.Outcome, res.Err)
		}
	}
}

// intact makes a pass of all streams, by which the world is complete, and fails
// unless the database is the source, each record is counted once, and nothing is
// left behind: no run under way, no part, no file.
func (s *stage) intact(t testing.TB, p play) {
	t.Helper()
	s.last(t)
	s.equalsSource(t)
	s.vouched(t)
	s.unmarked(t)
	if rows, stored := s.countedRows(t), s.storedCount(t); rows != stored {
		t.Errorf("the checkpoints have counted %d rows, and %d are stored", rows, stored)
	}
	if n := value[int64](t, s.db, `SELECT count(*) FROM sync.hunting_parts`); n != 0 {
		t.Errorf("%d parts are left", n)
	}
	files, err := os.ReadDir(s.scratch)
	if err != nil || len(files) > 0 {
		t.Errorf("files are left: %v, %v", files, err)
	}
}

// last makes a pass of all streams.
func (s *stage) last(t testing.TB) {
	t.Helper()
	s.expireLease(t)
	s.clock.advance(time.Second)
	s.worker = s.newWorker(t, s.store, "last")
	s.sync(t)
}

// equalsSource compares what is valid now with what the tenant holds.
func (s *stage) equalsSource(t testing.TB) {
	t.Helper()
	if len(s.opt.hunts) == 0 {
		s.equalsWorld(t)
		return
	}
	h := s.opt.hunts[0]
	if h.Mode == defsync.ModeEvents {
		s.huntEqualsSource(t)
		return
	}
	table, want := weaknessTable, []string{}
	for _, row := range s.opt.sim.Hunting.Rows(table.Name, s.clock.Now()) {
		want = append(want, canonical(table, row))
	}
	slices.Sort(want)
	if len(h.Key) > 0 {
		want = slices.Compact(want)
	}
	table.Name = h.Name
	if h.Mode == defsync.ModeSnapshot {
		table.Name += "_current"
	}
	sameRows(t, table.Name, s.storedRows(t, table), want)
}

// countedRows is how many rows all streams say they have inserted.
func (s *stage) countedRows(t testing.TB) int64 {
	t.Helper()
	return value[int64](t, s.db, `SELECT coalesce(sum(rows), 0)::bigint FROM sync.checkpoints`)
}

// storedCount is how many were: those that were replaced since have to be
// counted by what replaced them.
func (s *stage) storedCount(t testing.TB) int64 {
	t.Helper()
	if len(s.opt.hunts) == 0 {
		return value[int64](t, s.db, `SELECT (SELECT count(*) FROM defender.incidents) + (SELECT count(*) FROM defender.alerts)`)
	}
	n := value[int64](t, s.db, fmt.Sprintf(`SELECT count(*) FROM hunting.%q`, store.SnakeCase(s.opt.hunts[0].Name)))
	if s.opt.hunts[0].Mode == defsync.ModeReplace {
		n += value[int64](t, s.db, `SELECT rows - $1 FROM sync.checkpoints`, n)
	}
	return n
}
