package sync_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestLaggingReplicas reads worlds that change from a service of several machines,
// some of which lag behind by up to a few minutes, within the overlap. No version
// ever goes back, and what a machine that lags says after everything was read as
// it is changes nothing any more, but for one thing: an alert that was moved without
// a new version of its own is back in its old incident until the next pass.
func TestLaggingReplicas(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		for seed := range fewer(40, 8, 2) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				readReplicas(t, d, seed)
			})
		}
	})
}

func readReplicas(t *testing.T, d defender.Dialect, seed int) {
	rnd := rand.New(rand.NewPCG(uint64(seed), 7))
	var r *rig
	opt := lifeOptions(d, seed)
	frozen := false
	opt.sim.OnAnswer = func(n int) {
		if n%(5+seed%9) == 0 && !frozen {
			r.sim.Replicate()
		}
	}
	r = newRig(t, opt)
	r.admin(t, weeksWitness)
	some := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStale, Match: func(*http.Request) bool { return rnd.Float64() < 0.4 }})
	r.sim.Replicate()
	for range 5 {
		r.worker.Sync(t.Context(), "", nil)
		r.world.StepN(6)
		r.clock.advance(2 * time.Minute)
	}
	r.sim.Replicate()
	r.world.StepN(30)
	r.world.Freeze()
	frozen = true
	some()
	r.clock.advance(5 * time.Minute)
	r.sync(t)
	r.equalsWorld(t)

	behind := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStale})
	r.clock.advance(time.Minute)
	r.sync(t)
	if diff := cmp.Diff(worldContents(r.world, d), stored(t, r.db), cmpopts.IgnoreFields(alertRow{}, "IncidentID")); diff != "" {
		t.Errorf("an old answer was stored (-world +database):\n%s", diff[:min(len(diff), 6000)])
	}
	behind()
	r.clock.advance(time.Minute)
	r.sync(t)
	r.equalsWorld(t)
	for _, wrong := range query[struct{ What string }](t, r.db, `SELECT what FROM witness.wrongs`) {
		t.Error(wrong.What)
	}
	r.vouched(t)
}
