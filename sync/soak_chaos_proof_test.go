//go:build soak && linux

package sync_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// breaking is something that is done to the whole, and how often.
type breaking struct {
	name   string
	weight int
	do     func(*soak)
}

var breakings = []breaking{
	{"kill", 6, (*soak).killWorker},
	{"stop by SIGTERM", 3, (*soak).stopWorker},
	{"SIGSTOP past the lease", 2, (*soak).freezeLong},
	{"SIGSTOP for a moment", 2, (*soak).freezeShort},
	{"backends terminated", 3, (*soak).terminateBackends},
	{"PostgreSQL stopped fast", 1, func(s *soak) { s.restartServer(false) }},
	{"PostgreSQL stopped at once", 2, func(s *soak) { s.restartServer(true) }},
	{"table locked", 3, (*soak).lockTable},
	{"line to a tenant", 5, (*soak).spoilTenantLine},
	{"line to the database", 4, (*soak).spoilDatabaseLine},
	{"command beside", 6, (*soak).commandBeside},
	{"command killed", 2, (*soak).commandKilled},
}

// breakThings does one thing after the other, as the seed says, for as long as
// it is told to. Whatever was broken is whole again when it returns.
func (s *soak) breakThings(length time.Duration) {
	total := 0
	for _, b := range breakings {
		total += b.weight
	}
	told := time.Now()
	for time.Since(s.began) < length {
		n := s.chance.IntN(total)
		i := slices.IndexFunc(breakings, func(b breaking) bool { n -= b.weight; return n < 0 })
		s.journal.did("broke " + breakings[i].name)
		breakings[i].do(s)
		pause(s.t.Context(), between(s.chance, 500*time.Millisecond, 8*time.Second))
		if time.Since(told) > time.Minute {
			told = time.Now()
			_, broken := s.journal.of("broke ")
			_, faults := s.journal.of("fault ")
			s.t.Logf("%s: %d things broken, %d faults of the services", time.Since(s.began).Round(time.Second), broken, faults)
		}
	}
}

func (s *soak) pause(least, most time.Duration) { pause(s.t.Context(), between(s.chance, least, most)) }

func (s *soak) killWorker() {
	defer s.journal.during("kill", "")()
	s.first.kill()
	s.pause(0, 3*time.Second)
	s.first.start()
}

func (s *soak) stopWorker() {
	defer s.journal.during("stop", "")()
	s.first.stop()
	s.pause(0, 3*time.Second)
	s.first.start()
}

// freezeLong stops a worker for longer than its lease lasts: the other one takes
// its tenants, and what the frozen one was about to write comes too late.
func (s *soak) freezeLong() { s.freeze(16*time.Second, 25*time.Second) }

func (s *soak) freezeShort() { s.freeze(200*time.Millisecond, 6*time.Second) }

func (s *soak) freeze(least, most time.Duration) {
	defer s.journal.during("freeze", "")()
	w := []*worker{s.first, s.second}[s.chance.IntN(2)]
	w.signal(syscall.SIGSTOP, false)
	s.pause(least, most)
	w.signal(syscall.SIGCONT, false)
}

// terminateBackends ends connections, all or some, as an administrator does.
func (s *soak) terminateBackends() {
	defer s.journal.during("terminate", "")()
	const some = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND application_name <> 'soak' AND pid % $1 = 0`
	for range 1 + s.chance.IntN(3) {
		if _, err := s.admin.Exec(s.t.Context(), some, 1+s.chance.IntN(3)); err != nil {
			s.t.Errorf("terminate backends: %v", err)
		}
		s.pause(0, time.Second)
	}
}

func (s *soak) restartServer(crash bool) {
	defer s.journal.during("database", "")()
	halt(s.t, s.server, crash)
	s.pause(0, 8*time.Second)
	s.server = s.start()
	s.admin.Reset()
}

// lockTable is somebody who alters a table and takes their time.
func (s *soak) lockTable() {
	tables := []string{"sync.leases", "sync.checkpoints", "sync.quota", "sync.runs", "sync.coverage", "defender.incidents", "defender.alerts", "defender.entities"}
	table := tables[s.chance.IntN(len(tables))]
	length := between(s.chance, time.Second, 12*time.Second)
	ctx, cancel := context.WithTimeout(s.t.Context(), length)
	defer cancel()
	defer s.journal.during("lock", "")()
	err := pgx.BeginFunc(s.t.Context(), s.admin, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE `+table+` IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	if err != nil && ctx.Err() == nil {
		s.t.Errorf("lock %s: %v", table, err)
	}
}

// toxic is a fault of a line, which its attributes are printed into.
type toxic struct{ kind, stream, attributes string }

var toxics = []toxic{
	{"latency", "downstream", `{"latency": 150, "jitter": 120}`},
	{"latency", "upstream", `{"latency": 80, "jitter": 60}`},
	{"slicer", "downstream", `{"average_size": 900, "size_variation": 700, "delay": 200}`},
	{"bandwidth", "downstream", `{"rate": 60}`},
	{"slow_close", "downstream", `{"delay": 300}`},
	{"limit_data", "downstream", `{"bytes": 9000}`},
	{"limit_data", "upstream", `{"bytes": 700}`},
	{"reset_peer", "downstream", `{"timeout": 300}`},
	{"reset_peer", "upstream", `{"timeout": 0}`},
	{"timeout", "downstream", `{"timeout": 1500}`},
	{"timeout", "upstream", `{"timeout": 1500}`},
}

func (s *soak) spoilTenantLine() {
	x := s.tenants[s.chance.IntN(len(s.tenants))]
	defer s.journal.during("line", x.plan.name)()
	s.spoil(x.line, "tenant line ")
}

func (s *soak) spoilDatabaseLine() {
	defer s.journal.during("database line", "")()
	s.spoil(s.database, "database line ")
}

func (s *soak) spoil(l *line, count string) {
	c := toxics[s.chance.IntN(len(toxics))]
	s.journal.did(count + c.kind + " " + c.stream)
	l.spoil(c.kind, c.stream, c.attributes)
	s.pause(time.Second, 8*time.Second)
	l.mend()
}

// aCommand is what people run while the worker runs.
func (s *soak) aCommand() []string {
	tenant := s.tenants[s.chance.IntN(len(s.tenants))].plan.name
	switch s.chance.IntN(7) {
	case 0:
		return []string{"sync", "--tenant", tenant}
	case 1:
		return []string{"sync", "incidents", "--tenant", tenant}
	case 2:
		return []string{"quarantine", "retry"}
	case 3:
		return []string{"backfill", "hunting/device_process_events", "--from", "2d", "--tenant", tenant}
	case 4:
		return []string{"reconcile", "hunting/alert_evidence", "--tenant", tenant}
	case 5:
		return []string{"health"}
	}
	return []string{"status", "--json"}
}

// commandBeside runs a command to its end. It may fail while everything around
// it does, but it ends with a code that is documented, and says why.
func (s *soak) commandBeside() {
	args := s.aCommand()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	s.judgeCommand(args, s.run(ctx, args...), ctx.Err() != nil)
}

// commandKilled kills a command with SIGKILL in the middle, unless it is done by then.
func (s *soak) commandKilled() {
	defer s.journal.during("kill", "")()
	ctx, cancel := context.WithTimeout(s.t.Context(), between(s.chance, 200*time.Millisecond, 8*time.Second))
	defer cancel()
	args := s.aCommand()
	s.judgeCommand(args, s.run(ctx, args...), ctx.Err() != nil)
}

// documented are the exit codes of a command that was rightly called and not interrupted.
var documented = []int{0, 1, 3, 75}

func (s *soak) judgeCommand(args []string, r result, killed bool) {
	line := strings.Join(args, " ")
	switch {
	case killed && r.code == -1:
		return
	case !slices.Contains(documented, r.code):
		s.t.Errorf("`%s` ended with %d: %s", line, r.code, r.stderr)
	case r.code != 0 && strings.TrimSpace(r.stderr) == "":
		s.t.Errorf("`%s` ended with %d and said nothing", line, r.code)
	case args[0] == "status" && r.code == 0 && !json.Valid([]byte(r.stdout)):
		s.t.Errorf("`%s` printed no JSON: %.300s", line, r.stdout)
	}
	if crash.MatchString(r.stderr) {
		s.t.Errorf("`%s` crashed: %.2000s", line, r.stderr)
	}
}

// comeToRest ends all faults and all changes, lets the workers catch up, ends
// them, and does what a person would who wants to be sure.
func (s *soak) comeToRest() {
	var all sync.WaitGroup
	for _, x := range s.tenants {
		all.Go(x.heal)
	}
	all.Wait()
	s.database.mend()
	for _, x := range s.tenants {
		x.world.Freeze()
	}
	still := time.Now()
	s.t.Logf("%s: all faults are off", time.Since(s.began).Round(time.Second))
	s.until("all streams are past the end of the changes", 15*time.Minute, func() error { return s.caughtUp(still) })
	s.until("the worker is ready", 5*time.Minute, func() error { return s.watch.ready() })
	s.first.stop()
	s.second.stop()
	s.until("all connections are closed", time.Minute, func() error { return s.connected() })
	s.finally("sync")
	s.finally("quarantine", "retry")
	compare := []string{"reconcile", "hunting/device_process_events", "hunting/alert_evidence"}
	s.finally(compare...) // hours in which a key folds rows differ, and are known from then on
	s.last(compare...)
	s.discard()
	s.last("sync")
}

// finally runs a command whose findings are nobody's fault.
func (s *soak) finally(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 15*time.Minute)
	defer cancel()
	r := s.run(ctx, args...)
	if r.code != 0 && r.code != 3 {
		s.t.Errorf("at the end `%s` ended with %d: %s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r
}

// last runs one that must have nothing left to say.
func (s *soak) last(args ...string) {
	s.t.Helper()
	if r := s.finally(args...); r.code != 0 {
		s.t.Errorf("in the end `%s` ended with %d: %s\n%s", strings.Join(args, " "), r.code, r.stderr, r.stdout)
	}
}

// discard lets go of records in quarantine that hold no whole record, and of no other.
func (s *soak) discard() {
	s.t.Helper()
	const kept = `SELECT id::text, position(convert_to($1, 'UTF8') IN payload) > 0, reason FROM sync.quarantine ORDER BY id`
	for _, q := range query[struct {
		ID     string
		Cut    bool
		Reason string
	}](s.t, s.admin, kept, soakCut) {
		if !q.Cut {
			s.t.Errorf("%s is still in quarantine: %s", q.ID, q.Reason)
			continue
		}
		s.journal.did("discarded")
		s.finally("quarantine", "retry", "--discard", q.ID)
	}
}

// caughtUp is why not every stream has read everything up to a time.
func (s *soak) caughtUp(to time.Time) error {
	const behind = `SELECT count(*), coalesce(string_agg(stream, ', '), '') FROM sync.checkpoints
		WHERE passed_at IS NULL OR passed_at < $1 OR resume_point IS NOT NULL
			OR watermark < $1 AND stream <> 'hunting/device_tvm_software_vulnerabilities'`
	var n int64
	var which string
	if err := s.admin.QueryRow(s.t.Context(), behind, to).Scan(&n, &which); err != nil {
		return err
	}
	if have := value[int64](s.t, s.admin, `SELECT count(*) FROM sync.checkpoints`); n > 0 || have < s.streamCount() {
		return fmt.Errorf("%d of %d streams are behind: %s", n, have, which)
	}
	return nil
}

// streamCount is how many streams the tenants have together: the older API's has no alerts.
func (s *soak) streamCount() int64 { return 6 + 5 + 6 }

// connected is who has a connection to the database although they have ended.
func (s *soak) connected() error {
	const who = `SELECT coalesce(string_agg(application_name, ', '), '') FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND application_name <> 'soak'`
	if names := value[string](s.t, s.admin, who); names != "" {
		return fmt.Errorf("%s", names)
	}
	return nil
}
