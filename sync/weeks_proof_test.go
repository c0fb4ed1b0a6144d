package sync_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"defendersync/store/storetest"
)

var (
	weeksSeed   = flag.Int("weeks.seed", -1, "simulate the weeks of this seed only, and log what the worker says")
	weeksSeeds  = flag.Int("weeks.seeds", 0, "how many seeds to simulate weeks of; 0 is as many as are quick")
	weeksLength = flag.Int("weeks.weeks", 0, "how many weeks to simulate; 0 is two, and one under -short")
)

// quickWeeks is how many seeds take about as long as a quick test may.
const quickWeeks = 1

const quarterHour = 15 * time.Minute

// weeksBegin is a Monday.
var weeksBegin = time.Date(2026, time.March, 2, 0, 0, 0, 0, time.UTC)

// TestWeeks lets a worker live through weeks of a clock of its own, on its own
// schedule, over two tenants that change and a service that fails and lies in
// every way that the seed draws. The worker is stopped, killed and cut off from
// its database. After each commit and each quarter of an hour what has been
// promised so far is looked at; at the end the database equals the world.
//
// A seed draws the world, the weather of each hour and the fate of the workers.
// What happens within one instant is up to the scheduler, and how long a retry
// waits to chance: a seed that failed comes close to what it did, not more.
func TestWeeks(t *testing.T) {
	first, end := 0, cmp.Or(*weeksSeeds, quickWeeks)
	if *weeksSeed >= 0 {
		first, end = *weeksSeed, *weeksSeed+1
	}
	length := cmp.Or(*weeksLength, fewer(2, 2, 1))
	for seed := first; seed < end; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			dsn := storetest.URL(t) // what is outside has to be there before the bubble is
			w := &weeks{seed: seed, length: length, dsn: dsn, wire: storetest.NewWire(t, dsn)}
			began := time.Now()
			synctest.Test(t, w.live)
			t.Logf("%d weeks in %s: %s", length, time.Since(began).Round(100*time.Millisecond), w.sum())
			if t.Failed() {
				t.Logf("replay: go test ./sync -run '^TestWeeks$' -count=1 -v -weeks.seed=%d -weeks.weeks=%d", seed, length)
			}
		})
	}
}

// live is the life of one seed, inside its bubble.
func (w *weeks) live(t *testing.T) {
	time.Sleep(time.Until(weeksBegin)) // a bubble's clock begins in 2000
	quarters := w.length * 7 * 24 * 4
	w.fates = w.drawFates(quarters)
	w.begin(t)
	defer w.end()
	for n := range quarters {
		f := w.fates[0]
		w.fates = w.fates[1:]
		w.quarter(t, n, f)
		if t.Failed() {
			t.Logf("it is the quarter %d of %d, %s", n, quarters, time.Now().UTC().Format(time.RFC3339))
			return
		}
	}
	w.conclude(t)
}

// quarter is what happens in a quarter of an hour: the weather turns at full
// hours, the world changes at random instants, and so does the worker's fate.
func (w *weeks) quarter(t *testing.T, n int, f fate) {
	rnd := w.chance(uint64(n), 1)
	if n%4 == 0 {
		for _, tn := range w.tenants {
			tn.turnWeather()
		}
	}
	var at []time.Duration
	for range rnd.IntN(2) {
		at = append(at, time.Duration(rnd.Int64N(int64(quarterHour))))
	}
	slices.Sort(at)
	end := time.Now().Add(quarterHour)
	w.meet(t, f, rnd)
	for _, d := range at {
		time.Sleep(time.Until(end.Add(d - quarterHour)))
		for _, tn := range w.tenants {
			tn.world.Step()
		}
	}
	time.Sleep(time.Until(end))
	for _, tn := range w.tenants {
		if tn.weather.now["behind"] != nil {
			tn.replicate()
		}
		tn.newRows(rnd, n)
		tn.upset(rnd)
	}
	w.mendLine(t)
	w.check(t)
	if n%96 == 95 {
		w.measure(t)
	}
}

// chance is the randomness of one purpose at one step.
func (w *weeks) chance(step, purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(w.seed)<<8|purpose, step))
}

// fate is what happens to a worker in a quarter of an hour.
type fate int

const (
	spared  fate = iota
	stopped      // told to stop, as by SIGTERM, and started again
	killed       // its line to the database ends for good, whatever is on it
	cutOff       // the line comes back, and the worker lives on
	doubled      // another one is started, and the first is told to stop in the next quarter
)

// drawFates gives each worker about a day and a half. The last day is quiet.
func (w *weeks) drawFates(quarters int) []fate {
	rnd := w.chance(0, 2)
	all := make([]fate, quarters)
	for n := 20 + rnd.IntN(60); n < quarters-96; n += 60 + rnd.IntN(180) {
		all[n] = stopped + fate(rnd.IntN(4))
	}
	return all
}

// nextFate is how the worker that is started now will end.
func (w *weeks) nextFate() fate {
	for _, f := range w.fates {
		if f != spared {
			return f
		}
	}
	return spared
}

// meet lets a worker meet its fate at a random instant of the quarter that
// begins now.
func (w *weeks) meet(t *testing.T, f fate, rnd *rand.Rand) {
	w.met[f]++
	switch f {
	case stopped:
		time.Sleep(time.Duration(rnd.Int64N(int64(quarterHour / 3))))
		w.stop()
		w.start(t)
	case killed, cutOff:
		w.dying = f
		w.wire.Down(rnd.Int64N(300))
	case doubled:
		first := w.running
		w.start(t)
		time.Sleep(quarterHour / 3)
		first.stop()
	}
}

// mendLine is the end of an outage of the line to the database: it comes back,
// to the worker or to the next one.
func (w *weeks) mendLine(t *testing.T) {
	if w.dying == spared || !w.wire.IsDown() {
		return
	}
	if w.dying == killed {
		w.stop() // which its database does not hear of
	}
	w.wire.Up()
	w.exec(t, `UPDATE sync.leases SET until = clock_timestamp()`) // the database's clock goes on, too: this one's does not
	if w.dying == killed {
		w.start(t)
	}
	w.dying = spared
}

// sum is what was lived through.
func (w *weeks) sum() string {
	var parts []string
	for _, tn := range w.tenants {
		parts = append(parts, fmt.Sprintf("%s: %d requests, %d of them failed", tn.name, tn.wire.total, tn.wire.failed))
	}
	return fmt.Sprintf("%s; %d checks, in which %d gaps were seen; workers: %d stopped, %d killed, %d cut off, %d doubled; at most %v rows of state",
		strings.Join(parts, "; "), w.checks, w.gapsSeen, w.met[stopped], w.met[killed], w.met[cutOff], w.met[doubled], w.peaks)
}
