package sync_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// TestPublishedSamples serves what others have published of the APIs through
// the simulator, over HTTP and into PostgreSQL. Every value of every document is
// found again in a column raw, under the same names, as often as it was served.
func TestPublishedSamples(t *testing.T) {
	for name, set := range sampleSets {
		t.Run(name, func(t *testing.T) {
			d, incidents, alerts := set.dialect, samples(t, set.incidents), samples(t, set.alerts)
			var graph, older [][]byte
			if d == defender.Older {
				older = incidents
			} else {
				graph = incidents
			}
			docs, err := defendersim.NewDocuments(graph, alerts, older)
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, rigOptions{dialect: d, documents: docs, start: 20 * 365})
			r.sync(t)
			want, got := map[string]int{}, storedLeaves(t, r)
			for _, doc := range incidents {
				countLeaves(read(t, doc), "incident", want)
			}
			for _, doc := range alerts {
				countLeaves(read(t, doc), "incident.alerts[]", want)
			}
			if len(want) < 70 {
				t.Errorf("only %d different values: the samples were not read", len(want))
			}
			for leaf, n := range want {
				if got[leaf] != n && !emptyList(leaf) {
					t.Errorf("served %d times, stored %d times: %s", n, got[leaf], leaf)
				}
			}
			t.Logf("%d incidents, %d alerts, %d different values", len(incidents), len(alerts), len(want))
			typedAgree(t, r)
		})
	}
}

// sampleSet is some published answers and documents that fit together: several
// have published another version of the same alert.
type sampleSet struct {
	dialect           defender.Dialect
	incidents, alerts []string
}

var sampleSets = map[string]sampleSet{
	"graph incident": {defender.Graph, []string{"elastic-mock-incident-0.json"}, nil},
	"graph alert":    {defender.Graph, nil, []string{"stix-shifter-graph-alert_v2.json"}},
	"graph answer":   {defender.Graph, nil, []string{"stix-shifter-graph-alertV2_respons.json"}},
	"older": {defender.Older, []string{"elastic-mock-legacy-0.json", "elastic-mock-legacy-1.json", "msdocs-api-list-incidents.json",
		"rapid7-list_incidents.json"}, nil},
}

// samples are the documents of some files, each incident once.
func samples(t *testing.T, files []string) (docs [][]byte) {
	t.Helper()
	seen := map[string]bool{}
	for _, file := range files {
		for _, doc := range documentsOf(t, file) {
			var key struct{ ID, IncidentID any }
			if err := json.Unmarshal(doc, &key); err != nil {
				t.Fatal(err)
			}
			if k := fmt.Sprint(key.ID, key.IncidentID); !seen[k] {
				seen[k] = true
				docs = append(docs, doc)
			}
		}
	}
	return docs
}

// documentsOf are the elements of a file's "value", or the file.
func documentsOf(t *testing.T, file string) [][]byte {
	t.Helper()
	dir := os.Getenv("DEFENDERSYNC_FIXTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "fixtures")
	}
	body, err := os.ReadFile(filepath.Join(dir, "incidents", file))
	if os.IsNotExist(err) {
		t.Skipf("the published samples are not here, so nothing was compared: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Value []json.RawMessage }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Value == nil {
		return [][]byte{body}
	}
	var docs [][]byte
	for _, v := range answer.Value {
		docs = append(docs, v)
	}
	return docs
}

func read(t *testing.T, doc []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.80q", err, doc)
	}
	return v
}

// countLeaves counts the values that hold no others, by the names that lead to them.
func countLeaves(v any, path string, into map[string]int) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			countLeaves(inner, path+"."+name, into)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		for _, inner := range v {
			countLeaves(inner, path+"[]", into)
		}
		if len(v) > 0 {
			return
		}
	}
	into[fmt.Sprintf("%s=%v", path, v)]++
}

// emptyList tells the arrays that become rows: an empty one leaves none.
func emptyList(leaf string) bool {
	return slices.ContainsFunc([]string{".alerts=[]", ".evidence=[]", ".devices=[]", ".entities=[]"},
		func(s string) bool { return strings.HasSuffix(leaf, s) })
}

// storedLeaves are the leaves of all raw columns, put where they were served.
func storedLeaves(t *testing.T, r *rig) map[string]int {
	t.Helper()
	const documents = `
		SELECT 'incident', raw::text FROM defender.incidents
		UNION ALL
		SELECT 'incident.alerts[]', raw::text FROM defender.alerts
		UNION ALL
		SELECT 'incident.alerts[].' || CASE WHEN raw ? 'entityType' THEN 'entities[]' WHEN raw ? '@odata.type' THEN 'evidence[]' ELSE 'devices[]' END,
			raw::text
		FROM defender.alert_evidence`
	found := map[string]int{}
	for _, row := range query[struct{ Path, Raw string }](t, r.db, documents) {
		countLeaves(read(t, []byte(row.Raw)), row.Path, found)
	}
	return found
}

// typedAgree compares typed columns with raw in SQL, in either dialect's names.
func typedAgree(t *testing.T, r *rig) {
	t.Helper()
	const disagree = `
		SELECT incident_id::text, 'incident' FROM defender.incidents
		WHERE incident_id::text IS DISTINCT FROM coalesce(raw->>'id', raw->>'incidentId')
			OR display_name IS DISTINCT FROM coalesce(raw->>'displayName', raw->>'incidentName')
			OR assigned_to IS DISTINCT FROM raw->>'assignedTo'
			OR lower(status) IS DISTINCT FROM lower(raw->>'status')
			OR abs(extract(epoch FROM last_update_date_time - coalesce(raw->>'lastUpdateDateTime', raw->>'lastUpdateTime')::timestamptz)) > 0.000001
		UNION ALL
		SELECT alert_id, 'alert' FROM defender.alerts
		WHERE alert_id IS DISTINCT FROM coalesce(raw->>'id', raw->>'alertId')
			OR incident_id::text IS DISTINCT FROM raw->>'incidentId'
			OR title IS DISTINCT FROM raw->>'title'
			OR category IS DISTINCT FROM raw->>'category'
			OR lower(severity) IS DISTINCT FROM replace(lower(raw->>'severity'), 'unspecified', 'unknown')
			OR abs(extract(epoch FROM last_update_date_time - coalesce(raw->>'lastUpdateDateTime', raw->>'lastUpdatedTime')::timestamptz)) > 0.000001
		UNION ALL
		SELECT alert_id || ' ' || evidence_no, 'evidence' FROM defender.alert_evidence
		WHERE verdict IS NOT NULL AND lower(verdict) <> lower(raw->>'verdict')
			OR raw->>'entityType' IN ('User', 'Ip', 'Url') AND lower(raw->>'entityType') <> evidence_type
			OR (account_name, ip_address, url) IS DISTINCT FROM (raw->>'accountName', raw->>'ipAddress', raw->>'url') AND raw ? 'entityType'`
	for _, row := range query[struct{ Key, What string }](t, r.db, disagree) {
		t.Errorf("%s %s: a column is not what raw holds", row.What, row.Key)
	}
}
