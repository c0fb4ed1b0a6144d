//go:build soak && linux

package sync_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"defendersync/sync/defendersim"
)

// trouble breaks the tenant's service, a few answers at a time, until ctx ends.
func (x *soakTenant) trouble(ctx context.Context) {
	kinds := x.serviceFaults()
	for pause(ctx, between(x.luck, 300*time.Millisecond, 4*time.Second)) {
		kind := kinds[x.luck.IntN(len(kinds))]
		x.s.journal.did("fault " + kind.name)
		kind.do()
		if len(x.restored) > 4 {
			x.restore(len(x.restored) / 2)
		}
	}
}

// restore takes back what has been wrong for longest.
func (x *soakTenant) restore(n int) {
	for _, f := range x.restored[:n] {
		f()
	}
	x.restored = x.restored[n:]
}

// heal takes all faults out.
func (x *soakTenant) heal() {
	x.sim.ClearFaults()
	x.face.cutTo(0)
	x.face.lieBy(0, 0)
	x.restore(len(x.restored))
	x.line.mend()
}

// serviceFault is a kind of fault.
type serviceFault struct {
	name string
	do   func()
}

func (x *soakTenant) serviceFaults() []serviceFault {
	status := func(code int) func() {
		return func() {
			x.inject(defendersim.Fault{Kind: defendersim.FaultStatus, Status: code, RetryAfter: x.seconds(4)})
		}
	}
	kind := func(k defendersim.FaultKind) func() { return func() { x.inject(defendersim.Fault{Kind: k}) } }
	return []serviceFault{
		{"429 with Retry-After", func() {
			x.inject(defendersim.Fault{Kind: defendersim.FaultThrottle, RetryAfter: time.Duration(1+x.luck.IntN(12)) * time.Second})
		}},
		{"429 without", kind(defendersim.FaultThrottle)},
		{"token 429", func() {
			x.inject(defendersim.Fault{Kind: defendersim.FaultThrottle, Endpoint: defendersim.Token, RetryAfter: 3 * time.Second})
			x.sim.RevokeTokens()
		}},
		{"token 503", func() {
			x.inject(defendersim.Fault{Kind: defendersim.FaultStatus, Status: 503, Endpoint: defendersim.Token})
			x.sim.RevokeTokens()
		}},
		{"500", status(500)}, {"502", status(502)}, {"503", status(503)}, {"504", status(504)}, {"408", status(408)},
		{"cut before the answer", kind(defendersim.FaultCut)},
		{"cut in the body", kind(defendersim.FaultCutHalf)},
		{"half of the JSON", kind(defendersim.FaultTruncated)},
		{"HTML", kind(defendersim.FaultNotJSON)},
		{"206", kind(defendersim.FaultPartial)},
		{"foreign link", kind(defendersim.FaultForeignNext)},
		{"slow", func() {
			x.inject(defendersim.Fault{Kind: defendersim.FaultSlow, Delay: between(x.luck, 100*time.Millisecond, 3*time.Second)})
		}},
		{"duplicate", x.duplicate},
		{"gzip to cut", func() { x.face.cutTo(1 + x.luck.IntN(2)) }},
		{"Date behind", func() { x.face.lieBy(-between(x.luck, time.Minute, 2*time.Hour), 1+x.luck.IntN(4)) }},
		{"Date ahead", func() { x.face.lieBy(between(x.luck, time.Second, 3*time.Hour), 1+x.luck.IntN(4)) }},
		{"bad bytes", x.onLists(defendersim.FaultBadBytes)},
		{"names twice", x.onLists(defendersim.FaultDuplicateKeys)},
		{"tokens revoked", x.sim.RevokeTokens},
		{"secret rotated", x.rotate},
		{"permissions gone", x.disown},
		{"poisoned incident", x.poison},
		{"record garbled", x.garble},
		{"record garbled", x.garble},
	}
}

func (x *soakTenant) seconds(most int) time.Duration {
	return time.Duration(x.luck.IntN(most)) * time.Second
}

// inject breaks a few of the next answers, on any endpoint where none is named.
func (x *soakTenant) inject(f defendersim.Fault) {
	f.Skip, f.Times = x.luck.IntN(3), 1+x.luck.IntN(3)
	remove := x.sim.Inject(f)
	x.restored = append(x.restored, remove)
}

// duplicate serves a record twice, but not a row of the table without a key: of
// those each one counts, and there would be two.
func (x *soakTenant) duplicate() {
	x.inject(defendersim.Fault{Kind: defendersim.FaultDuplicate, Match: func(r *http.Request) bool {
		return !strings.Contains(queryOf(r), evidenceTable.Name)
	}})
}

// onLists is a fault of lists. What a hunting answer says is the row, and one
// that says something else is another row.
func (x *soakTenant) onLists(kind defendersim.FaultKind) func() {
	return func() {
		x.inject(defendersim.Fault{Kind: kind, Match: func(r *http.Request) bool { return r.Method == http.MethodGet }})
	}
}

func (x *soakTenant) rotate() {
	secret := fmt.Sprintf("rotated~%d", x.luck.Int64())
	x.sim.SetSecret(secret)
	x.sim.RevokeTokens()
	x.writeSecret(x.s.t, secret)
}

// disown takes the app's permissions away. Those given back are in the next
// token only, and the present one stays good.
func (x *soakTenant) disown() {
	x.sim.SetRoles([]string{}, []string{})
	x.sim.RevokeTokens()
	x.restored = append(x.restored, func() { x.sim.SetRoles(nil, nil) })
}

func (x *soakTenant) someIncident() defendersim.Incident {
	all := x.world.Incidents()
	return all[max(0, len(all)-1-x.luck.IntN(60))]
}

// poison makes an incident unreadable, at first also by the call for its alerts alone.
func (x *soakTenant) poison() {
	id := fmt.Sprint(x.someIncident().ID)
	x.sim.Poison(id, x.luck.IntN(2) == 0)
	x.restored = append(x.restored, func() { x.sim.Heal(id) })
}

// garble serves something else in an incident's place, until it changes again:
// what names the incident and is bad in another way, or no JSON at all.
func (x *soakTenant) garble() {
	in := x.someIncident()
	id := fmt.Sprint(in.ID)
	raw := []byte(`{"id":"` + id + `","displayName":"` + soakCut)
	if bad := badRecords[x.luck.IntN(len(badRecords))]; strings.Contains(bad.raw, `"id":"9000`) {
		raw = ownID.ReplaceAll(bad.bytes(x.plan.dialect, in.LastUpdate), []byte(`"`+id+`"`))
	}
	x.sim.Overlay(id, raw)
	x.touch(in.ID)
	x.restored = append(x.restored, func() {
		x.sim.Overlay(id, nil)
		x.touch(in.ID)
	})
}

// soakCut ends a record in the middle. What holds it can never be stored, and
// is all that may be left in quarantine.
const soakCut = "cut off by the soak"

// ownID is the id of a bad record.
var ownID = regexp.MustCompile(`"9000\d\d"`)

// touch moves an incident's last update.
func (x *soakTenant) touch(id int64) {
	if err := x.world.Edit(id, func(*defendersim.Incident) {}); err != nil {
		x.s.t.Error(err)
	}
}
