package translate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// decoded reads JSON with numbers as they are written.
func decoded(t *testing.T, doc []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decode %.80q: %v", doc, err)
	}
	return v
}

// leaves counts the values of a document that hold no others, by the names on
// the way to them. Empty objects and arrays are leaves too.
func leaves(v any, path string, into map[string]int) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			leaves(inner, path+"."+name, into)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		for _, inner := range v {
			leaves(inner, path+"[]", into)
		}
		if len(v) > 0 {
			return
		}
	}
	into[fmt.Sprintf("%s=%v", path, v)]++
}

// storedLeaves are the leaves of everything that the rows keep of the records.
func storedLeaves(t *testing.T, tr Rows, prefix string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	for _, i := range tr.Incidents {
		leaves(decoded(t, i.Raw), "[]", found)
	}
	for _, a := range tr.Alerts {
		leaves(decoded(t, a.Raw), prefix, found)
		for _, e := range a.Evidence {
			list := ".evidence[]"
			if raw := decoded(t, e.Raw).(map[string]any); raw["entityType"] != nil {
				list = ".entities[]"
			} else if _, older := raw["mdatpDeviceId"]; older {
				list = ".devices[]"
			}
			leaves(decoded(t, e.Raw), prefix+list, found)
		}
	}
	return found
}

// split are the arrays that become rows; an empty one leaves nothing behind.
var split = []string{".alerts=[]", ".evidence=[]", ".devices=[]", ".entities=[]"}

func compareLeaves(t *testing.T, records []jsontext.Value, found map[string]int) {
	t.Helper()
	want := make(map[string]int)
	for _, r := range records {
		leaves(decoded(t, r), "[]", want)
	}
	if len(want) < 20 {
		t.Errorf("only %d leaves: the sample was not read", len(want))
	}
	for leaf, n := range want {
		if slices.ContainsFunc(split, func(s string) bool { return strings.HasSuffix(leaf, s) }) {
			continue
		}
		if found[leaf] != n {
			t.Errorf("%s: served %d times, stored %d times", leaf, n, found[leaf])
		}
	}
}

// published are the records of a sample: the elements of value, or the document.
func published(t *testing.T, name string) []jsontext.Value {
	t.Helper()
	body := sharedFile(t, "incidents", name)
	o, err := defender.ParseObject(body)
	if err != nil {
		t.Fatal(err)
	}
	records, ok, err := o.Array("value")
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return []jsontext.Value{body}
	}
	return records
}

func TestPublishedIncidents(t *testing.T) {
	for _, sample := range []struct {
		file    string
		dialect defender.Dialect
	}{
		{"elastic-mock-incident-0.json", defender.Graph},
		{"elastic-mock-legacy-0.json", defender.Older},
		{"msdocs-api-list-incidents.json", defender.Older},
		{"rapid7-get_incident.json", defender.Older},
		{"rapid7-list_incidents.json", defender.Older},
	} {
		t.Run(sample.file, func(t *testing.T) {
			records := published(t, sample.file)
			tr := Incidents(sample.dialect, sampleTenant, records, translatedAt)
			if len(tr.Incidents) != len(records) || len(tr.Quarantine) != 0 || len(tr.Changes) != 0 {
				t.Errorf("%d of %d stored, quarantine %v, changes %v", len(tr.Incidents), len(records), quarantined(tr), tr.Changes)
			}
			compareLeaves(t, records, storedLeaves(t, tr, "[].alerts[]"))
			for i, record := range records {
				agreeWithServed(t, sample.dialect, tr.Incidents[i], decoded(t, record).(map[string]any))
			}
		})
	}
}

func TestPublishedAlerts(t *testing.T) {
	for _, file := range []string{"stix-shifter-graph-alert_v2.json", "stix-shifter-graph-alertV2_respons.json"} {
		t.Run(file, func(t *testing.T) {
			records := published(t, file)
			tr := Alerts(sampleTenant, records, translatedAt)
			if len(tr.Alerts) != len(records) || len(tr.Quarantine) != 0 {
				t.Errorf("%d of %d stored, quarantine %v", len(tr.Alerts), len(records), quarantined(tr))
			}
			compareLeaves(t, records, storedLeaves(t, tr, "[]"))
		})
	}
}

// agreeWithServed compares an incident's typed columns with what was served, by
// another way than the translation's tables.
func agreeWithServed(t *testing.T, d defender.Dialect, row store.Incident, served map[string]any) {
	t.Helper()
	names := map[string]string{"id": "id", "name": "displayName", "updated": "lastUpdateDateTime", "created": "createdDateTime"}
	if d == defender.Older {
		names = map[string]string{"id": "incidentId", "name": "incidentName", "updated": "lastUpdateTime", "created": "createdTime"}
	}
	same := func(what, got string, want any) {
		if fmt.Sprint(want) != got {
			t.Errorf("%s: stored %q, served %q", what, got, want)
		}
	}
	same("id", IncidentKey(row.IncidentID), served[names["id"]])
	same("name", *row.DisplayName, served[names["name"]])
	sameTime(t, row.LastUpdateDateTime, served[names["updated"]])
	sameTime(t, *row.CreatedDateTime, served[names["created"]])
	older := map[string]string{"Active": "active", "Unknown": "unknown", "NotAvailable": "unknown"}
	for what, column := range map[string]*string{"status": row.Status, "severity": row.Severity,
		"classification": row.Classification, "determination": row.Determination} {
		want := served[what].(string)
		if w, ok := older[want]; ok {
			want = w
		}
		same(what, *column, strings.ToLower(want[:1])+want[1:])
	}
	if tags, _ := served["tags"].([]any); len(tags) != len(row.CustomTags) {
		t.Errorf("tags %v stored as %v", tags, row.CustomTags)
	}
	if comments, _ := served["comments"].([]any); len(comments) != len(row.CommentRows) {
		t.Errorf("comments %v stored as %v", comments, row.CommentRows)
	}
}

// sameTime wants the served time cut, never rounded, to six digits.
func sameTime(t *testing.T, got time.Time, served any) {
	t.Helper()
	base, fraction, _ := strings.Cut(strings.TrimSuffix(served.(string), "Z"), ".")
	want := base + "." + (fraction + "000000")[:6] + "Z"
	if s := got.Format("2006-01-02T15:04:05.000000Z"); s != want {
		t.Errorf("time %v stored as %s, want %s", served, s, want)
	}
}
