package sync_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// badRecord is an incident as no documentation has it. In raw, %s is where its
// last update belongs; names are Graph's.
type badRecord struct {
	name, raw string
	// check must be true of the row; "" wants the bytes in quarantine.
	check string
}

var badRecords = []badRecord{
	{"wrong types", `{"id":"900001","displayName":17,"severity":["x"],"status":{},"createdDateTime":5,"comments":{},"lastUpdateDateTime":"%s","alerts":[]}`,
		`incident_id = 900001 AND display_name IS NULL AND severity IS NULL AND raw->'severity' = '["x"]'`},
	{"NUL", `{"id":"900002","displayName":"a\u0000b","lastUpdateDateTime":"%s","alerts":[]}`, `incident_id = 900002 AND display_name = U&'a\FFFDb'`},
	{"invalid UTF-8", "{\"id\":\"900003\",\"displayName\":\"a\xffb\",\"lastUpdateDateTime\":\"%s\",\"alerts\":[]}",
		`incident_id = 900003 AND display_name = U&'a\FFFDb'`},
	{"half a surrogate", `{"id":"900004","displayName":"a\ud800b","lastUpdateDateTime":"%s","alerts":[]}`,
		`incident_id = 900004 AND display_name = U&'a\FFFDb'`},
	{"more than 2^53", `{"id":9007199254740993,"redirectIncidentId":9223372036854775807,"new":18446744073709551617,"lastUpdateDateTime":"%s"}`,
		`incident_id = 9007199254740993 AND redirect_incident_id = 9223372036854775807 AND raw->>'new' = '18446744073709551617'`},
	{"unknown member", `{"id":"900006","status":"hibernating","lastUpdateDateTime":"%s","alerts":[]}`, `incident_id = 900006 AND status = 'hibernating'`},
	{"alerts of another type", `{"id":"900007","alerts":"none","lastUpdateDateTime":"%s"}`, `incident_id = 900007 AND raw->>'alerts' = 'none'`},
	{"a time that is none", `{"id":"900008","createdDateTime":"soon","lastUpdateDateTime":"%s"}`, `incident_id = 900008 AND created_date_time IS NULL`},
	{"a name twice", `{"id":"900009","displayName":"x","displayName":"y","lastUpdateDateTime":"%s"}`, `incident_id = 900009 AND display_name = 'y'`},
	{"a number beyond numeric", `{"id":"900010","new":1e999999,"lastUpdateDateTime":"%s"}`, `incident_id = 900010 AND raw->>'new' = '1e999999'`},
	{"a new property", `{"id":"900011","riskOwner":{"a":[1,2]},"lastUpdateDateTime":"%s"}`, `incident_id = 900011 AND raw->'riskOwner'->'a'->1 = '2'`},
	{"no last update", `{"id":"900012","createdDateTime":"%s"}`, `incident_id = 900012 AND last_update_date_time = created_date_time`},
	{"no id", `{"displayName":"x","lastUpdateDateTime":"%s"}`, ""},
	{"no time", `{"id":"900013","alerts":[]}`, ""},
	{"an id that is none", `{"id":"twelve","lastUpdateDateTime":"%s"}`, ""},
	{"an id beyond bigint", `{"id":99999999999999999999,"lastUpdateDateTime":"%s"}`, ""},
	{"a text", `"an incident"`, ""},
	{"a number", `42`, ""},
	{"null", `null`, ""},
	{"a list", `[{"id":"1"}]`, ""},
}

// olderNames turns the properties of a bad record into the older API's.
var olderNames = strings.NewReplacer(`"id"`, `"incidentId"`, "displayName", "incidentName", "lastUpdateDateTime", "lastUpdateTime", "createdDateTime", "createdTime")

// bytes is the record as served at a time.
func (b badRecord) bytes(d defender.Dialect, at time.Time) []byte {
	raw := b.raw
	if strings.Contains(raw, "%s") {
		raw = fmt.Sprintf(raw, at.Format("2006-01-02T15:04:05.0000000Z"))
	}
	if d == defender.Older {
		raw = olderNames.Replace(raw)
	}
	return []byte(raw)
}

// TestBadRecords serves each kind of bad record among good ones. What fits is
// stored, what cannot be is in quarantine with its bytes, and no other record
// is missing.
func TestBadRecords(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 21, Incidents: 120}})
		bad := map[string][]byte{}
		for i, b := range badRecords {
			at := r.clock.Now().Add(-time.Duration(i+1) * 37 * time.Hour)
			bad[b.name] = b.bytes(d, at)
			r.sim.Add(listOf(d), at, bad[b.name])
		}
		for _, res := range r.worker.Sync(t.Context(), "", nil) {
			if want := defsync.OutcomePartial; res.Stream == defsync.IncidentsStream && res.Outcome != want {
				t.Errorf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
			}
		}
		for _, b := range badRecords {
			if b.check == "" {
				r.isQuarantined(t, b.name, bad[b.name])
			} else if n := value[int64](t, r.db, `SELECT count(*) FROM defender.incidents WHERE `+b.check); n != 1 {
				t.Errorf("%s: %d rows are as expected of %s", b.name, n, bad[b.name])
			}
		}
		if n := value[int64](t, r.db, `SELECT count(DISTINCT change) FROM sync.schema_changes`); n < 3 {
			t.Errorf("%d kinds of schema change, want new_property, type_changed and unknown_enum_member", n)
		}
		r.forget(t)
		r.equalsWorld(t)
		r.vouched(t)
	})
}

func listOf(d defender.Dialect) defendersim.Endpoint {
	if d == defender.Older {
		return defendersim.OlderIncidents
	}
	return defendersim.Incidents
}

func (r *rig) isQuarantined(t testing.TB, name string, served []byte) {
	t.Helper()
	for _, q := range r.quarantine(t) {
		if bytes.Contains(q.Payload, served) && q.Reason != "" {
			return
		}
	}
	t.Errorf("%s: %s is not in quarantine", name, served)
}

// forget deletes the bad records, so that the rest can be compared.
func (r *rig) forget(t testing.TB) {
	t.Helper()
	if _, err := r.db.Exec(t.Context(), `DELETE FROM defender.incidents WHERE incident_id >= 900000`); err != nil {
		t.Fatal(err)
	}
}

// TestUnreadableRecord serves bytes that make their whole page unreadable. The
// page is narrowed down to them, and they are set aside alone.
func TestUnreadableRecord(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 22, Incidents: 120}})
		broken := []byte(`{"id":"900001","displayName":"cut o`)
		r.sim.Add(listOf(d), r.clock.Now().Add(-300*time.Hour), broken)
		for _, res := range r.worker.Sync(t.Context(), "", nil) {
			if res.Err != nil {
				t.Errorf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
			}
		}
		r.fewCalls(t, 1)
		r.isQuarantined(t, "unreadable", broken)
		r.equalsWorld(t)
		r.vouched(t)
	})
}

// TestFaultsOnTheWire breaks answers in every way that passes. Nothing is lost
// and nothing is there twice.
func TestFaultsOnTheWire(t *testing.T) {
	for name, f := range map[string]defendersim.Fault{
		"cut":            {Kind: defendersim.FaultCut, Skip: 1, Times: 2},
		"cut half":       {Kind: defendersim.FaultCutHalf, Skip: 1, Times: 2},
		"truncated":      {Kind: defendersim.FaultTruncated, Skip: 1, Times: 2},
		"not JSON":       {Kind: defendersim.FaultNotJSON, Skip: 1, Times: 2},
		"throttled":      {Kind: defendersim.FaultThrottle, Skip: 1, Times: 1, RetryAfter: time.Second},
		"a burst of 5xx": {Kind: defendersim.FaultStatus, Status: 503, Skip: 1, Times: 3},
		"duplicates":     {Kind: defendersim.FaultDuplicate},
		"slow":           {Kind: defendersim.FaultSlow, Delay: 20 * time.Millisecond, Times: 3},
		"token refused":  {Kind: defendersim.FaultStatus, Endpoint: defendersim.Token, Status: 503, Times: 2},
	} {
		t.Run(name, func(t *testing.T) {
			eachDialect(t, func(t *testing.T, d defender.Dialect) {
				r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 23, Incidents: 120}})
				r.sim.Inject(f)
				r.sync(t)
				r.equalsWorld(t)
				r.vouched(t)
				r.unmarked(t)
			})
		})
	}
}

// TestPartialAnswer is a 206: the service says that something is missing. What
// came is stored, the window is a gap, and the next pass fills it.
func TestPartialAnswer(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 24, Incidents: 120}})
		r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultPartial, Endpoint: listOf(d), Skip: 1, Times: 1})
		res := r.worker.Sync(t.Context(), "", []string{defsync.IncidentsStream})[0]
		if res.Outcome != defsync.OutcomePartial || res.Gaps == 0 || res.Err != nil {
			t.Errorf("the pass ended %s with %d gaps: %v", res.Outcome, res.Gaps, res.Err)
		}
		r.vouched(t)
		r.clock.advance(time.Minute)
		r.sync(t)
		r.equalsWorld(t)
		r.vouched(t)
	})
}

// TestPartialAnswerLacksALateRecord: what was complete is read again because late
// records are expected, and the answer lacks the one that came. No later pass
// reads it once more by itself: it has to be flagged.
func TestPartialAnswerLacksALateRecord(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 24, Incidents: 20}})
		r.sync(t)
		late := r.clock.Now().Add(-20 * time.Minute)
		r.sim.Add(listOf(d), late, badRecord{raw: `{"id":"900001","lastUpdateDateTime":"%s"}`}.bytes(d, late))
		r.clock.advance(10 * time.Minute)
		off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultPartial, Endpoint: listOf(d)})
		r.worker.Sync(t.Context(), "", nil)
		off()
		flagged := value[bool](t, r.db, `SELECT count(*) > 0 FROM sync.gaps WHERE stream = 'incidents' AND $1 >= from_time AND $1 < to_time`, late)
		if !flagged {
			t.Error("what the service said is missing is neither stored nor flagged")
		}
		r.vouched(t)
		r.clock.advance(3 * time.Hour)
		r.sync(t)
		if n := value[int64](t, r.db, `SELECT count(*) FROM defender.incidents WHERE incident_id = 900001`); n != 1 {
			t.Errorf("%d incidents are stored of the late one", n)
		}
	})
}
