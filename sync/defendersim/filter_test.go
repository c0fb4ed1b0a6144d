package defendersim

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func day(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }

var filterRecords = []record{
	&incident{Incident: Incident{ID: 1, Status: "active", Severity: "high", AssignedTo: "o'hara@x", LastUpdate: day(1), Created: day(1)}},
	&incident{Incident: Incident{ID: 2, Status: "resolved", Severity: "low", LastUpdate: day(2).Add(100), Created: day(1)}},
	&incident{Incident: Incident{ID: 3, Status: "active", Severity: "low", LastUpdate: day(3), Created: day(3)}},
}

func TestFilter(t *testing.T) {
	for text, want := range map[string]string{
		"lastUpdateDateTime ge 2026-11-01T00:00:00Z":                                                                "1 2 3",
		"lastUpdateDateTime gt 2026-11-01T00:00:00.0000000Z":                                                        "2 3",
		"lastUpdateDateTime ge 2026-11-02T00:00:00.0000001Z and lastUpdateDateTime lt 2026-11-03T00:00:00.0000000Z": "2",
		"lastUpdateDateTime ge 2026-11-02T00:00:00.0000002Z and lastUpdateDateTime le 2026-11-03T00:00:00.0000000Z": "3",
		"lastUpdateDateTime eq 2026-11-03T01:00:00+01:00":                                                           "3",
		"lastUpdateDateTime ne 2026-11-03T00:00:00Z":                                                                "1 2",
		"status eq 'active'":                                                 "1 3",
		"status eq 'active' and severity eq 'high'":                          "1",
		"status ne 'active' or severity eq 'high'":                           "1 2",
		"severity eq 'low' and status eq 'active' or severity eq 'high'":     "1 3",
		"severity eq 'low' and (status eq 'resolved' or severity eq 'high')": "2",
		"not (status eq 'active')":                                           "2",
		"assignedTo eq null":                                                 "2 3",
		"assignedTo ne null":                                                 "1",
		"assignedTo eq 'o''hara@x'":                                          "1",
		"assignedTo eq ''":                                                   "",
		"createdDateTime lt 2026-11-02T00:00:00Z and (lastUpdateDateTime gt 2026-11-01T12:00:00Z or status eq 'active')": "1 2",
	} {
		f, err := parseFilter(text, graphIncidentSyntax)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		from, to := bounds(f)
		x := index[record]{}
		x.load(filterRecords)
		for _, r := range x.between(from, to) {
			if f.match(r) {
				got = append(got, r.id())
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
}

func TestFilterRefusals(t *testing.T) {
	for _, text := range []string{
		"", "status", "status eq", "status eq active", "status eq 'active", "status like 'a'", "status gt 'a'",
		"displayName eq 'x'", "status eq 'active' and", "(status eq 'active'", "status eq 'active')", "status eq 'a' status eq 'b'",
		"lastUpdateDateTime ge '2026-11-01T00:00:00Z'", "lastUpdateDateTime ge 2026-11-01", "lastUpdateDateTime ge 2026-11-01T00:00:00",
		"lastUpdateDateTime ge 2026-11-01T00:00:00.00000001Z", "lastUpdateDateTime ge 2026-11-01T00:00:00 00:00",
		"evidence/any(e: e/userAccount eq 'x')",
	} {
		if _, err := parseFilter(text, graphIncidentSyntax); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if _, err := parseFilter("severity eq 'High'", olderSyntax); err == nil {
		t.Error("the older API does not filter by severity")
	}
	if _, err := parseFilter("status eq 'Active' and createdTime gt 2020-09-06T00:00:00Z", olderSyntax); err != nil {
		t.Error(err)
	}
	if _, err := parseFilter("investigationState eq 'benign'", graphAlertSyntax); err == nil {
		t.Error("alerts_v2 does not filter by investigationState")
	}
}

// TestIndex compares the index with a sort, through many changes.
func TestIndex(t *testing.T) {
	w := NewWorld(WorldOptions{Seed: 5, Incidents: 50})
	w.StepN(500)
	if !slices.IsSortedFunc(w.incidentIndex.list, byUpdate) || len(w.incidentIndex.list) != len(w.order) {
		t.Errorf("%d incidents indexed of %d", len(w.incidentIndex.list), len(w.order))
	}
	if !slices.IsSortedFunc(w.alertIndex.list, byUpdate) || len(w.alertIndex.list) != len(w.all) {
		t.Errorf("%d alerts indexed of %d", len(w.alertIndex.list), len(w.all))
	}
	from := w.order[20].LastUpdate
	n := 0
	for _, in := range w.order {
		if !in.LastUpdate.Before(from) {
			n++
		}
	}
	if got := w.incidentIndex.between(from, time.Time{}); len(got) != n {
		t.Errorf("%d incidents from %v, want %d", len(got), from, n)
	}
	if got := w.incidentIndex.between(from, from); len(got) == 0 || !got[0].LastUpdate.Equal(from) {
		t.Errorf("%d incidents at %v", len(got), from)
	}
}
