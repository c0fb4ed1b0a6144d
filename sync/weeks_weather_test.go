package sync_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"defendersync/sync/defendersim"
)

// weather is what is wrong with a tenant's service at present.
type weather struct {
	hour  int
	now   map[string]func() // how each thing that is wrong is made right again
	until map[string]time.Time
}

// last lets something be wrong for a while.
func (w *weather) last(what string, d time.Duration, end func()) {
	if before := w.now[what]; before != nil {
		before()
	}
	w.now[what], w.until[what] = end, time.Now().Add(d)
}

// turnWeather ends what is over and draws what comes. Half of the time nothing
// is wrong.
func (tn *weeksTenant) turnWeather() {
	w := &tn.weather
	w.hour++
	for what, until := range w.until {
		if !until.After(time.Now()) {
			w.now[what]()
			delete(w.now, what)
			delete(w.until, what)
		}
	}
	rnd := tn.weeks.chance(uint64(w.hour), 10+uint64(len(tn.opt.dialect)))
	tn.lag.Store(rnd.Int64N(2) * rnd.Int64N(int64(lateness)))
	for len(w.now) < 3 && rnd.IntN(4) == 0 {
		turn := pick(rnd, weathers...)
		what, d, end := turn(tn, rnd)
		w.last(what, d, end)
	}
}

// clearUp makes everything right again.
func (tn *weeksTenant) clearUp() {
	for _, end := range tn.weather.now {
		end()
	}
	tn.weather.now, tn.weather.until = map[string]func(){}, map[string]time.Time{}
	tn.lag.Store(0)
}

// weathers are what can be wrong: each begins it, and says what it is, how long
// it lasts and how it ends.
var weathers = []func(*weeksTenant, *rand.Rand) (string, time.Duration, func()){
	(*weeksTenant).throttled, (*weeksTenant).throttled, (*weeksTenant).failing, (*weeksTenant).failing,
	(*weeksTenant).garbled, (*weeksTenant).garbled, (*weeksTenant).garbled, (*weeksTenant).lying, (*weeksTenant).lying,
	(*weeksTenant).late, (*weeksTenant).down, (*weeksTenant).lockedOut, (*weeksTenant).tooMuch, (*weeksTenant).behind, (*weeksTenant).behind,
}

// inject hits a share of the requests.
func (tn *weeksTenant) inject(rnd *rand.Rand, share float64, f defendersim.Fault) func() {
	dice := rand.New(rand.NewPCG(rnd.Uint64(), 4)) // the simulator asks one request at a time
	f.Match = func(r *http.Request) bool {
		if f.Kind == defendersim.FaultDuplicate && strings.HasPrefix(queryOf(r), evidenceTable.Name) {
			return false // a table without a key has as many of a row as are served
		}
		return dice.Float64() < share
	}
	return tn.sim.Inject(f)
}

// about is the length of most of what goes wrong.
func about(rnd *rand.Rand) time.Duration { return time.Duration(10+rnd.IntN(110)) * time.Minute }

// throttled asks for waits in every form there is, and in some that are none.
func (tn *weeksTenant) throttled(rnd *rand.Rand) (string, time.Duration, func()) {
	f := defendersim.Fault{Kind: defendersim.FaultThrottle, RetryAfter: time.Duration(rnd.IntN(90)) * time.Second}
	share := 0.1 + rnd.Float64()/2
	switch rnd.IntN(5) {
	case 0:
		f.Header = http.Header{"Retry-After": {pick(rnd, "0.5", "1e2", "-5", "0", "soon", "", "007", " 30", "1800")}}
	case 1:
		date := time.Now().Add(time.Duration(rnd.IntN(7200)-1200) * time.Second).UTC().Format(http.TimeFormat)
		f.Header = http.Header{"Retry-After": {date}}
	case 2:
		f.Kind, f.Status = defendersim.FaultStatus, pick(rnd, 503, 408, 500)
	case 3:
		f.Times, f.RetryAfter = 1, time.Duration(1+rnd.IntN(8))*time.Hour
	}
	return "throttled", about(rnd), tn.inject(rnd, share, f)
}

// failing is answers that are none.
func (tn *weeksTenant) failing(rnd *rand.Rand) (string, time.Duration, func()) {
	f := defendersim.Fault{Kind: pick(rnd, defendersim.FaultStatus, defendersim.FaultCut, defendersim.FaultCutHalf, defendersim.FaultTruncated,
		defendersim.FaultTruncatedGzip, defendersim.FaultNotJSON), Status: pick(rnd, 500, 502, 503, 504, 404, 400, 401, 302)}
	return fmt.Sprint("failing ", f.Kind), about(rnd), tn.inject(rnd, 0.1+rnd.Float64()*0.6, f)
}

// garbled is answers with more, or less, than they should have.
func (tn *weeksTenant) garbled(rnd *rand.Rand) (string, time.Duration, func()) {
	f := defendersim.Fault{Kind: pick(rnd, defendersim.FaultPartial, defendersim.FaultPartial, defendersim.FaultDuplicate, defendersim.FaultBadBytes,
		defendersim.FaultDuplicateKeys, defendersim.FaultLostNext, defendersim.FaultForeignNext)}
	return fmt.Sprint("garbled ", f.Kind), about(rnd), tn.inject(rnd, 0.1+rnd.Float64()*0.6, f)
}

// lying is a clock that is wrong: of one machine of the service, or of all.
func (tn *weeksTenant) lying(rnd *rand.Rand) (string, time.Duration, func()) {
	off := time.Duration(rnd.Int64N(int64(pick(rnd, 10*time.Minute, 3*time.Hour, 72*time.Hour)))) * time.Duration(1-2*rnd.IntN(2))
	f := defendersim.Fault{Kind: defendersim.FaultSlow, DateOff: off}
	if rnd.IntN(6) == 0 {
		f.DateOff, f.Header = 0, http.Header{"Date": {pick(rnd, "", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT")}}
	}
	d := about(rnd)
	tn.lied = time.Now().Add(d + 2*time.Hour) // a full hour ends it, and an hour of the future is believed
	return "lying", d, tn.inject(rnd, pick(rnd, 0.1, 0.5, 1), f)
}

// behind is machines of the service that lag behind the others: what they show of
// the world is older than what was shown before, but not by more than lateness.
func (tn *weeksTenant) behind(rnd *rand.Rand) (string, time.Duration, func()) {
	share := pick(rnd, 0.3, 0.6, 1)
	dice := rand.New(rand.NewPCG(rnd.Uint64(), 5))
	end := tn.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStale, Match: func(*http.Request) bool {
		return time.Now().UnixNano() < tn.fresh.Load() && dice.Float64() < share
	}})
	tn.replicate()
	return "behind", about(rnd), end
}

// replicate copies the world for the machines that lag behind, which may show the
// copy for as long as the latest change in it that they do not show is not too late.
func (tn *weeksTenant) replicate() {
	tn.sim.Replicate()
	tn.fresh.Store(time.Now().Add(lateness - time.Duration(tn.lag.Load())).UnixNano())
}

// late is answers that take long, to begin or to end.
func (tn *weeksTenant) late(rnd *rand.Rand) (string, time.Duration, func()) {
	if rnd.IntN(3) == 0 {
		tn.wire.slow.Store(rnd.Int64N(int64(20 * time.Second)))
		return "slow line", about(rnd), func() { tn.wire.slow.Store(0) }
	}
	f := defendersim.Fault{Kind: defendersim.FaultSlow, Delay: time.Duration(rnd.Int64N(int64(4 * time.Minute)))}
	return "slow", about(rnd), tn.inject(rnd, 0.1+rnd.Float64()/2, f)
}

// down is an outage of hours.
func (tn *weeksTenant) down(rnd *rand.Rand) (string, time.Duration, func()) {
	f := defendersim.Fault{Kind: pick(rnd, defendersim.FaultStatus, defendersim.FaultCut, defendersim.FaultNotJSON), Status: pick(rnd, 500, 503, 504)}
	long := pick(rnd, time.Hour, time.Hour, 2*time.Hour, 9*time.Hour) // each hour of an outage is asked through, every ten minutes
	return "down", long, tn.inject(rnd, 1, f)
}

// lockedOut is tokens that are lost, or not given.
func (tn *weeksTenant) lockedOut(rnd *rand.Rand) (string, time.Duration, func()) {
	tn.sim.RevokeTokens()
	switch rnd.IntN(4) {
	case 0:
		tn.sim.ExpireSecret()
		return "secret expired", about(rnd), func() { tn.sim.SetSecret(tn.app.Secret) }
	case 1:
		tn.sim.SetRoles([]string{}, []string{})
		return "roles taken", about(rnd), func() {
			tn.sim.SetRoles(nil, nil)
			tn.sim.RevokeTokens()
		}
	case 2:
		f := defendersim.Fault{Endpoint: defendersim.Token, Kind: pick(rnd, defendersim.FaultStatus, defendersim.FaultThrottle, defendersim.FaultCut,
			defendersim.FaultNotJSON, defendersim.FaultSlow), Status: 503, RetryAfter: time.Duration(rnd.IntN(100)) * time.Second, Delay: time.Duration(rnd.IntN(40)) * time.Second}
		return "no tokens", about(rnd), tn.inject(rnd, pick(rnd, 0.5, 1), f)
	}
	return "tokens revoked", time.Minute, func() {}
}

// tooMuch is what only hunting hears: of answers that are too large, and of
// processing that is used up.
func (tn *weeksTenant) tooMuch(rnd *rand.Rand) (string, time.Duration, func()) {
	f := defendersim.Fault{Kind: defendersim.FaultStatus, Status: 400,
		Body: `{"error":{"code":"BadRequest","message":"Query execution has exceeded the allowed result size."}}`}
	if rnd.IntN(2) == 0 {
		f.Status, f.Body = 429, `{"error":{"code":"TooManyRequests","message":"You have exceeded processing resources allocated to this tenant."}}`
	}
	f.Query = func(kql, _ string) bool { return !strings.Contains(kql, "2000-01-01") } // a probe is never too much
	f.Endpoint = cmp.Or(map[bool]defendersim.Endpoint{true: defendersim.OlderHunting}[tn.name == "defender"], defendersim.Hunting)
	return "too much", about(rnd), tn.inject(rnd, 0.1+rnd.Float64()*0.4, f)
}
