package translate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// accounted checks what holds of every translation of incidents: each record is
// a row or in quarantine, and what was kept is clean JSON.
func accounted(t testing.TB, records []jsontext.Value, tr Rows) {
	t.Helper()
	set := 0
	for _, q := range tr.Quarantine {
		if q.Kind == KindIncident {
			set++
		}
		if q.Reason == "" || q.Key == "" {
			t.Errorf("quarantine without a reason or a key: %+v", q)
		}
	}
	if len(tr.Incidents)+set != len(records) || len(tr.Times) != len(records) {
		t.Errorf("%d records: %d rows, %d in quarantine, %d times", len(records), len(tr.Incidents), set, len(tr.Times))
	}
	clean := func(what string, doc []byte) {
		if !json.Valid(doc) || strings.Contains(string(doc), `\u0000`) || strings.Contains(string(doc), "\x00") {
			t.Errorf("%s is not clean: %q", what, doc)
		}
	}
	for _, i := range tr.Incidents {
		clean("raw of an incident", i.Raw)
		if i.LastUpdateDateTime.IsZero() || i.LastUpdateDateTime.Nanosecond()%1000 != 0 {
			t.Errorf("incident updated at %v", i.LastUpdateDateTime)
		}
	}
	for _, a := range tr.Alerts {
		clean("raw of an alert", a.Raw)
		if a.AlertID == "" || a.LastUpdateDateTime.IsZero() {
			t.Errorf("alert %q updated at %v", a.AlertID, a.LastUpdateDateTime)
		}
		for _, e := range a.Evidence {
			clean("raw of evidence", e.Raw)
			if e.EvidenceType == "" || strings.Contains(e.EvidenceType, "\x00") {
				t.Errorf("evidence of type %q", e.EvidenceType)
			}
		}
	}
}

func FuzzIncidents(f *testing.F) {
	f.Add([]byte(sampleIncident(1, sampleAlert("a", 1, sampleEvidence[:]...))), true)
	f.Add([]byte(fmt.Sprintf(`{"incidentId":1,"lastUpdateTime":"2026-01-01T00:00:00Z","alerts":[`+olderAlertSample+`]}`,
		`{"mdatpDeviceId":"d"}`, `{"entityType":"Registry"},{"entityType":"\u0000"}`)), false)
	f.Add([]byte("{\"id\":\"1\",\"\xff\":\"\xfe\",\"createdDateTime\":\"0001-01-01T00:00:00Z\"}"), true)
	f.Add([]byte(`{"id":"1","id":2,"lastUpdateDateTime":"9999-12-31T23:59:59.9999999Z","alerts":[{"id":"\ud800","evidence":[1e999999]}]}`), true)
	f.Add([]byte(`[[[`), false)
	f.Fuzz(func(t *testing.T, record []byte, graph bool) {
		dialect := map[bool]defender.Dialect{true: defender.Graph, false: defender.Older}[graph]
		records := []jsontext.Value{record}
		accounted(t, records, Incidents(dialect, sampleTenant, records, translatedAt))
		alerts := Alerts(sampleTenant, records, translatedAt)
		if len(alerts.Alerts)+len(alerts.Quarantine) != 1 || len(alerts.Times) != 1 {
			t.Errorf("as an alert: %d rows, %v", len(alerts.Alerts), quarantined(alerts))
		}
	})
}

// Whatever kinds the known properties take, a record with an id and a time is a
// row, and all that was served is in its documents.
func TestAnyKindsOfValues(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		record := wildObject(rt, "incident", maps.Keys(graphIncident))
		record["id"], record["lastUpdateDateTime"] = "77", "2026-01-01T00:00:00Z"
		alert := wildObject(rt, "alert", maps.Keys(graphAlert))
		alert["id"], alert["createdDateTime"] = "a", "2026-01-01T00:00:00Z"
		kinds := slices.Sorted(maps.Keys(graphEvidence))
		piece := rapid.SampledFrom(kinds).Draw(rt, "type")
		e := wildObject(rt, "evidence", maps.Keys(graphEvidence[piece].shape))
		e["@odata.type"] = "#microsoft.graph.security." + piece
		alert["evidence"] = []any{e}
		record["alerts"] = []any{alert}

		served := jsonOf(t, record)
		tr := Incidents(defender.Graph, sampleTenant, []jsontext.Value{served}, translatedAt)
		accounted(t, []jsontext.Value{served}, tr)
		if len(tr.Incidents) != 1 || len(tr.Alerts) != 1 || len(tr.Alerts[0].Evidence) != 1 {
			rt.Fatalf("%d incidents, %d alerts, %v", len(tr.Incidents), len(tr.Alerts), quarantined(tr))
		}
		want, got := make(map[string]int), storedLeaves(t, tr, "[].alerts[]")
		leaves(decoded(t, served), "[]", want)
		if !maps.Equal(want, got) {
			rt.Fatalf("served %v\nstored %v", want, got)
		}
	})
}

// wildObject gives some of the names values of any kind.
func wildObject(t *rapid.T, label string, names func(func(string) bool)) map[string]any {
	o := map[string]any{}
	for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(slices.Sorted(names)), rapid.ID).Draw(t, label) {
		o[name] = anyJSON(2).Draw(t, name)
	}
	return o
}
