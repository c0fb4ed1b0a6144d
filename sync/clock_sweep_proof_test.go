package sync_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

// jump is what two clocks do behind some answer of a pass, or before it: 0.
type jump struct {
	name          string
	ours, service time.Duration // how far
	at            int
}

// jumps are those of the sweep. The service's clock is believed up to an hour
// ahead of ours.
func jumps() (all []jump) {
	const day = 24 * time.Hour
	for _, at := range []int{0, 2} {
		for _, off := range []time.Duration{time.Minute, -time.Minute, 5 * time.Hour, -5 * time.Hour, 31 * day, -31 * day} {
			if at > 0 && off.Abs() < time.Hour {
				continue // which is nothing that a pass would notice
			}
			all = append(all, jump{fmt.Sprintf("ours by %s at answer %d", off, at), off, 0, at},
				jump{fmt.Sprintf("the service's by %s at answer %d", off, at), 0, off, at})
		}
	}
	return all
}

// skewed is a stage whose worker, and whose service's Date, have clocks of their
// own. The stage's clock is the world's, and what the service goes by.
type skewed struct {
	*stage
	ours    *clock
	mu      sync.Mutex
	service time.Duration // how far its Date is off
	next    *jump         // that is to come
	answers int
	allowed time.Time // no watermark is to be later
}

func newSkewed(t *testing.T, r *rig) *skewed {
	s := &skewed{stage: newStage(t, r), ours: &clock{now: r.clock.Now()}}
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	s.url = front.URL
	truth := s.clock
	s.clock = s.ours
	s.worker = s.newWorker(t, s.store, "skewed")
	s.clock = truth
	return s
}

// ServeHTTP answers as the tenant does, with a Date that is off.
func (s *skewed) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	answer := httptest.NewRecorder()
	s.stage.ServeHTTP(answer, req)
	s.answered()
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Date", s.clock.Now().Add(s.service).UTC().Format(http.TimeFormat))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// answered lets the clocks jump where it is time.
func (s *skewed) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers++; s.next != nil && s.answers > s.next.at {
		s.jump(*s.next)
	}
}

func (s *skewed) jump(j jump) {
	s.ours.advance(j.ours)
	s.service, s.next = s.service+j.service, nil
}

// later makes a pass after a while in which something has changed.
func (s *skewed) later(t *testing.T, while time.Duration) {
	t.Helper()
	before := s.clock.Now()
	s.clock.advance(while)
	s.change(t)
	s.ours.advance(s.clock.Now().Sub(before))
	s.pass(t)
}

// pass makes one, and looks at what it vouches for.
func (s *skewed) pass(t *testing.T) {
	t.Helper()
	for _, res := range s.worker.Sync(t.Context(), "", nil) {
		if res.Err != nil && strings.Contains(res.Err.Error(), "a new stream would begin too late") {
			continue // nothing of it is stored until the clock is right
		}
		if res.Outcome != defsync.OutcomeOK && res.Outcome != defsync.OutcomePartial {
			t.Errorf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
		}
	}
	s.mu.Lock()
	limit := s.clock.Now().Add(min(max(s.service, 0), time.Hour) + time.Second) // a watermark moves by a microsecond at least
	s.mu.Unlock()
	if limit.After(s.allowed) {
		s.allowed = limit
	}
	if at := value[time.Time](t, s.db, `SELECT max(watermark) FROM sync.checkpoints`); at.After(s.allowed) {
		t.Errorf("a watermark is at %s, and the service's clock at %s", at.UTC(), s.clock.Now())
	}
	s.vouched(t)
}

// sweep makes passes before, with and after a jump.
func (s *skewed) sweep(t *testing.T, j jump) {
	if j.at > 0 {
		s.next = &j
	}
	s.pass(t)
	if s.next != nil {
		t.Fatalf("the first pass had no more than %d answers: the clocks did not jump", j.at)
	}
	if j.at == 0 {
		s.jump(j)
	}
	for range 2 {
		s.later(t, 15*time.Minute)
	}
	s.jump(jump{ours: -j.ours, service: -j.service})
	for range 4 {
		s.later(t, 20*time.Minute)
	}
	s.equalsSource(t)
	const gaps = `SELECT coalesce(string_agg(format('%s %s..%s %s', stream, from_time, to_time, reason), E'\n'), '') FROM sync.gaps`
	if left := value[string](t, s.db, gaps); left != "" {
		t.Errorf("gaps that are left:\n%s", left)
	}
}

// TestClockSweep lets the process's clock, and the service's Date, jump between
// and within passes, stay off for some, and jump back. No watermark is ever in
// the service's future, but for as far as a Date is believed; no instant is
// unknown; and when the clocks are right again no record is missing (P3).
func TestClockSweep(t *testing.T) {
	kinds := map[string]func(testing.TB) *rig{
		"incidents": tenantRig(defender.Graph, 14, 0), "older": tenantRig(defender.Older, 10, 0), "hunting": huntRigOf(defender.Graph, 0), "snapshot": weaknessRig,
	}
	for kind, rig := range kinds {
		for i, j := range jumps() {
			if turn := i + len(kind); !*every && turn%2 > 0 || testing.Short() && turn%10 > 0 {
				continue
			}
			t.Run(kind+"/"+j.name, func(t *testing.T) {
				t.Parallel()
				newSkewed(t, rig(t)).sweep(t, j)
			})
		}
	}
}
