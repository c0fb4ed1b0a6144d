package sync_test

import (
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

// TestKilledAtRenewal ends a process while its lease is being renewed, in the
// middle of an answer: the points of a renewal are no part of a short pass.
func TestKilledAtRenewal(t *testing.T) {
	for _, end := range []string{"before", "unacknowledged", "acknowledged"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			p := play{rig: tenantRig(defender.Graph, 14, 8), job: func(*rig) childJob {
				return childJob{Stream: defsync.IncidentsStream, Patience: 4 * time.Second} // of which half passes before a renewal
			}}
			s := newStage(t, p.rig(t))
			calm := s.calm(t, p)
			at, renewed := point{"lease/renewal/" + end, 1}, make(chan struct{})
			s.onEvery(func(name string) {
				switch {
				case name == at.name:
					close(renewed)
				case name == "fetch/middle":
					<-renewed
				}
			})
			s.killAt(t, p, at, calm)
		})
	}
}
