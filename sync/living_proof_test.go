package sync_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// lives are the worlds that change while they are read: each seed another one.
const lives = 50

// TestLivingWorld reads worlds that change every few requests. Frozen and read
// once more, the database equals the world: every record in its last version,
// every alert with the incident that holds it now.
func TestLivingWorld(t *testing.T) {
	seeds := fewer(lives, 20, 6)
	for _, d := range dialects {
		for seed := range seeds {
			t.Run(fmt.Sprintf("%s/%d", d, seed), func(t *testing.T) {
				t.Parallel()
				liveAndFreeze(t, lifeOptions(d, seed))
			})
		}
	}
}

// every has every seed, kill and cut there is in place of those that the quick
// suite has time for.
var every = flag.Bool("every", false, "every seed, kill and cut there is: half an hour")

// fewer is how many cases there are, how many of them the quick suite has, and
// under -short how many are enough for the race detector, which slows everything
// down several times.
func fewer(all, quick, short int) int {
	switch {
	case *every:
		return all
	case testing.Short():
		return short
	}
	return quick
}

// lifeOptions make the worlds differ in pace, in paging, in what the service
// does about $orderby, and in ties: some have one wider than a page.
func lifeOptions(d defender.Dialect, seed int) rigOptions {
	opt := rigOptions{dialect: d, changing: time.Duration(1+seed%7) * 3 * time.Second}
	opt.world = defendersim.WorldOptions{Seed: uint64(seed), Incidents: 40 + seed%5*10}
	opt.sim.ChangeEvery = 1 + seed%5
	opt.sim.SkipToken = seed%2 == 1
	if d == defender.Graph {
		opt.sim.Order = []defendersim.Order{defendersim.OrderAsked, defendersim.OrderAsked, defendersim.OrderNewest, defendersim.OrderNone}[seed%4]
	}
	switch seed % 6 {
	case 1:
		opt.world.Tie = 7
	case 4:
		opt.world.Tie, opt.world.Incidents = 55, 70
		if d == defender.Older {
			opt.world.Tie, opt.world.Incidents = 104, 115
		}
	}
	return opt
}

// liveAndFreeze makes three passes through a changing world, one through the
// frozen one, and compares.
func liveAndFreeze(t *testing.T, opt rigOptions) {
	r := newRig(t, opt)
	for range 3 {
		r.worker.Sync(t.Context(), "", nil)
		r.world.StepN(3)
		r.clock.advance(4 * time.Minute)
	}
	r.world.Freeze()
	r.clock.advance(5 * time.Minute)
	for _, res := range r.worker.Sync(t.Context(), "", nil) {
		if res.Outcome != defsync.OutcomeOK {
			t.Errorf("%s ended %s: %v, %d gaps", res.Stream, res.Outcome, res.Err, res.Gaps)
		}
	}
	r.equalsWorld(t)
	r.vouched(t)
}

// TestTieThatChangesWhileItIsPaged takes records out of a tie wider than a page
// while its later pages are read: the ones behind move up past the reader. They
// lie before the overlap, and no later pass would find them.
func TestTieThatChangesWhileItIsPaged(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		var r *rig
		var tied []int64
		opt := rigOptions{dialect: d, overlap: time.Second, world: defendersim.WorldOptions{Seed: 9, Incidents: 320, Tie: 230}}
		opt.sim.OnAnswer = func(int) {
			asked := r.sim.Requests()
			if !strings.Contains(asked[len(asked)-1].RawQuery, "skip=") || len(tied) < 226 {
				return
			}
			if err := r.world.Edit(tied[0], func(i *defendersim.Incident) { i.Severity = "high" }); err != nil {
				t.Error(err)
			}
			tied = tied[1:]
		}
		r = newRig(t, opt)
		tied = tiedIDs(r.world)
		r.sync(t)
		if len(tied) == 230 {
			t.Fatalf("%d incidents are left of the tie: it was not paged", len(tied))
		}
		tied = nil // the world stands still
		r.clock.advance(5 * time.Minute)
		r.sync(t)
		r.equalsWorld(t)
		r.vouched(t)
	})
}

// TestPoisonedTieThatChangesWhileItIsPaged does it where one of them cannot be
// read with its alerts, so that all are read without, and their alerts alone.
func TestPoisonedTieThatChangesWhileItIsPaged(t *testing.T) {
	t.Parallel()
	var r *rig
	var tied []int64
	opt := rigOptions{overlap: time.Second, world: defendersim.WorldOptions{Seed: 9, Incidents: 160, Tie: 70}}
	opt.sim.OnAnswer = func(n int) {
		asked := r.sim.Requests()
		if last := asked[len(asked)-1]; len(tied) < 69 || last.Endpoint == defendersim.Alerts ||
			last.Endpoint == defendersim.Incidents && strings.Contains(last.RawQuery, "expand") {
			return
		}
		if err := r.world.Edit(tied[0], func(i *defendersim.Incident) { i.Severity = "high" }); err != nil {
			t.Error(err)
		}
		tied = tied[1:]
	}
	r = newRig(t, opt)
	tied = tiedIDs(r.world)
	r.sim.Poison(fmt.Sprint(tied[len(tied)-1]), false)
	r.sync(t)
	if len(tied) == 70 {
		t.Fatalf("%d incidents are left of the tie: it was not paged", len(tied))
	}
	tied = nil // the world stands still
	r.clock.advance(5 * time.Minute)
	r.sync(t)
	r.equalsWorld(t)
	r.vouched(t)
}

// tiedIDs are the incidents that share the commonest last update.
func tiedIDs(w *defendersim.World) (ids []int64) {
	byTime := map[time.Time][]int64{}
	for _, i := range w.Incidents() {
		at := cut(i.LastUpdate)
		if byTime[at] = append(byTime[at], i.ID); len(byTime[at]) > len(ids) {
			ids = byTime[at]
		}
	}
	return ids
}
