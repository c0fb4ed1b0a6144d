package sync_test

import (
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	defsync "defendersync/sync"
)

// TestTermMatrix tells a process to stop, by SIGTERM, at the named points of
// every kind of work. It gives up what it waits for, says in sync.runs that it
// was interrupted, gives the tenant back and ends by itself with exit 130; one
// that had done its work ends with 0. The next one goes on at once (P1, P7, P8).
func TestTermMatrix(t *testing.T) {
	var cases, longest atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d processes were told to stop, and ended within %s", cases.Load(), time.Duration(longest.Load()).Round(time.Millisecond))
	})
	for _, p := range everyPlay() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, p.rig(t))
			calm := s.calm(t, p)
			for _, at := range p.terms(t, calm) {
				took := s.termAt(t, p, at, calm)
				longest.Store(max(longest.Load(), int64(took)))
				cases.Add(1)
				if t.Failed() {
					t.Fatalf("told to stop at %s, the %d. time", at.name, at.nth)
				}
			}
		})
	}
}

// terms are the points of the matrix, less where it only matters who was killed.
func (p play) terms(t *testing.T, calm rehearsal) (all []point) {
	t.Helper()
	for i, at := range p.kills(t, calm) {
		if *every || i%2 == len(p.name)%2 {
			all = append(all, at)
		}
	}
	return all
}

// termAt does the work in a process that is told to stop at the point, and is
// answered nothing more there.
func (s *stage) termAt(t *testing.T, p play, at point, calm rehearsal) (took time.Duration) {
	t.Helper()
	s.prepare(t, p)
	before := s.spent(t)
	c := make(chan *child, 1)
	var told time.Time
	s.arm(at, func(name string, gone <-chan struct{}) bool {
		worker := <-c
		_ = worker.cmd.Process.Signal(syscall.SIGTERM) // an error is that it has just ended
		told = time.Now()
		if finishing.MatchString(name) {
			return false
		}
		select {
		case <-gone:
		case <-worker.dead:
		}
		return true
	})
	worker := s.start(t, p.job(s.rig))
	c <- worker
	worker.ended(t)
	took = time.Since(told)
	if !s.reached() {
		t.Fatalf("the point was not reached: %v", s.counted())
	}
	s.leftInOrder(t, p, at, worker)
	if done := p.job(s.rig).Backfill == nil && s.passedBy(t, p, s.clock.Now()); !done {
		s.again(t, p)
	}
	p.cheap(t, s.spent(t).since(before), calm.cost)
	s.intact(t, p)
	return took
}

// finishing is what is done to its end though the process was told to stop.
var finishing = regexp.MustCompile(`^(run/finish|lease/release)/`)

// leftInOrder fails unless the process said how its work ended, where it should,
// and left the tenant to others. One that was told before it knew that it had the
// tenant cannot give it back: others wait for the end of that lease.
func (s *stage) leftInOrder(t *testing.T, p play, at point, c *child) {
	t.Helper()
	const outcomes = `SELECT coalesce(string_agg(outcome, ',' ORDER BY started_at DESC), '') FROM sync.runs WHERE stream = $1 AND started_at >= $2`
	runs := value[string](t, s.db, outcomes, p.job(s.rig).Stream, s.clock.Now())
	switch code := c.cmd.ProcessState.ExitCode(); {
	case code == 130 && (runs == string(defsync.OutcomeInterrupted) || runs == ""):
	case code == 0 && runs == string(defsync.OutcomeOK):
	default:
		t.Errorf("exit %d, and sync.runs says %q: %s", code, runs, c.told())
	}
	if n := value[int64](t, s.db, `SELECT count(*) FROM sync.leases WHERE until > clock_timestamp()`); n != 0 && !strings.HasPrefix(at.name, "lease/take/") {
		t.Error("the tenant was not given back")
	}
}
