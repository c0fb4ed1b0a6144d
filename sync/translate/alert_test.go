package translate

import (
	"fmt"
	"strings"
	"testing"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/google/go-cmp/cmp"
)

// oneAlert translates a record that must become one row and nothing else.
func oneAlert(t *testing.T, record string) (store.Alert, Rows) {
	t.Helper()
	got := Alerts(sampleTenant, jsonRecords([]string{record}), translatedAt)
	if len(got.Alerts) != 1 || len(got.Quarantine) != 0 {
		t.Fatalf("%d alerts, quarantine %v", len(got.Alerts), quarantined(got))
	}
	return got.Alerts[0], got
}

func TestGraphAlert(t *testing.T) {
	record := strings.NewReplacer(`"comments":[]`, `"comments":[{"comment":"c"}]`, `"additionalData":null`, `"additionalData":{"a":1}`,
		`"resolvedDateTime":null`, `"resolvedDateTime":"2026-07-23T00:00:00Z"`).Replace(sampleAlert("da1", 81, sampleEvidence[3]))
	got, tr := oneAlert(t, record)
	want := store.Alert{
		AlertID: "da1", IncidentID: ptr(int64(81)), ProviderAlertID: ptr("x-da1"), Title: ptr("Suspicious execution of hidden file"),
		Description:        ptr("A hidden file has been launched.\n\nThis activity could indicate a compromised host."),
		RecommendedActions: ptr("Collect artifacts\n\tReview the timeline"), Category: ptr("DefenseEvasion"), Categories: []string{"DefenseEvasion"},
		Status: ptr("new"), Severity: ptr("low"), Classification: ptr("unknown"), Determination: ptr("unknown"), InvestigationState: ptr("queued"),
		ServiceSource: ptr("microsoftDefenderForEndpoint"), DetectionSource: ptr("antivirus"),
		DetectorID: ptr("e0da400f-affd-43ef-b1d5-afc2eb6f2756"), ProductName: ptr("Microsoft Defender for Endpoint"),
		TenantID2: ptr("b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c"), MitreTechniques: []string{"T1564.001"}, SystemTags: []string{},
		AdditionalData: []byte(`{"a":1}`), CustomDetails: []byte(`{}`),
		CreatedDateTime: instantOf("2026-07-22T18:37:11.333333Z"), LastUpdateDateTime: *instantOf("2026-07-22T18:39:50.563333Z"),
		ResolvedDateTime:      instantOf("2026-07-23T00:00:00Z"),
		FirstActivityDateTime: instantOf("2026-07-22T18:36:00Z"), LastActivityDateTime: instantOf("2026-07-22T18:37:00Z"),
		AlertWebURL: ptr("https://security.microsoft.com/alerts/x"), IncidentWebURL: ptr("https://security.microsoft.com/incidents/x"),
		Evidence: []store.Evidence{{AlertID: "da1", EvidenceNo: 1, EvidenceType: "ip", CreatedDateTime: instantOf("2026-04-27T12:19:27.72Z"),
			Verdict: ptr("suspicious"), RemediationStatus: ptr("none"), Roles: []string{"attacker"}, Tags: []string{},
			IPAddress: ptr("203.0.113.7"), CountryLetterCode: ptr("NL")}},
	}
	if diff := cmp.Diff(want, got, bareRows); diff != "" {
		t.Error(diff)
	}
	if string(got.Comments) != `[{"comment":"c"}]` || string(got.Served) != record || got.TenantID != sampleTenant ||
		got.Evidence[0].TenantID != sampleTenant || !got.SyncedAt.Equal(translatedAt) {
		t.Errorf("comments %s, tenants %s and %s", got.Comments, got.TenantID, got.Evidence[0].TenantID)
	}
	if len(tr.Changes) != 0 || !tr.Times[0].Equal(got.LastUpdateDateTime) {
		t.Errorf("changes %v, times %v", tr.Changes, tr.Times)
	}
}

const olderAlertSample = `{"alertId":"da63","incidentId":924521,"providerAlertId":"63","serviceSource":"MicrosoftDefenderATP",
	"creationTime":"2020-09-06T12:18:03.3285366Z","lastUpdatedTime":"2020-09-06T12:18:04.2566667Z","resolvedTime":"2020-09-07T00:00:00Z",
	"firstActivity":"2020-09-06T12:15:07.7272048Z","lastActivity":"2020-09-06T12:15:08.7272048Z","title":"t","description":"d",
	"category":"Malware","status":"InProgress","severity":"Informational","investigationId":5,"investigationState":"UnsupportedOs",
	"classification":"TruePositive","determination":"CompromisedUser","detectionSource":"WindowsDefenderAv","detectorId":"det",
	"assignedTo":"Automation","actorName":"actor","threatFamilyName":"Mimikatz","mitreTechniques":["T1003"],"devices":[%s],"entities":[%s]}`

func TestOlderAlert(t *testing.T) {
	got, tr := oneAlert(t, fmt.Sprintf(olderAlertSample, "", ""))
	want := store.Alert{
		AlertID: "da63", IncidentID: ptr(int64(924521)), ProviderAlertID: ptr("63"), Title: ptr("t"), Description: ptr("d"), Category: ptr("Malware"),
		Status: ptr("inProgress"), Severity: ptr("informational"), Classification: ptr("truePositive"), Determination: ptr("compromisedAccount"),
		InvestigationState: ptr("unsupportedOs"), ServiceSource: ptr("microsoftDefenderForEndpoint"), DetectionSource: ptr("antivirus"),
		DetectorID: ptr("det"), AssignedTo: ptr("Automation"), ActorDisplayName: ptr("actor"), ThreatFamilyName: ptr("Mimikatz"),
		MitreTechniques: []string{"T1003"},
		CreatedDateTime: instantOf("2020-09-06T12:18:03.328536Z"), LastUpdateDateTime: *instantOf("2020-09-06T12:18:04.256666Z"),
		ResolvedDateTime:      instantOf("2020-09-07T00:00:00Z"),
		FirstActivityDateTime: instantOf("2020-09-06T12:15:07.727204Z"), LastActivityDateTime: instantOf("2020-09-06T12:15:08.727204Z"),
	}
	if diff := cmp.Diff(want, got, bareRows); diff != "" {
		t.Error(diff)
	}
	if len(tr.Changes) != 0 {
		t.Errorf("changes %v", tr.Changes)
	}
	if raw := string(got.Raw); !strings.Contains(raw, `"investigationId":5`) || strings.Contains(raw, "devices") || strings.Contains(raw, "entities") {
		t.Errorf("raw %s", raw)
	}
}

// An alert belongs to the incident that it names, not to the list it came in.
func TestAlertsIncident(t *testing.T) {
	got := translated(defender.Graph, sampleIncident(1, sampleAlert("moved", 2), sampleAlert("own", 1),
		`{"id":"orphan","lastUpdateDateTime":"2026-01-01T00:00:00Z"}`, `{"id":"bad","incidentId":"x","lastUpdateDateTime":"2026-01-01T00:00:00Z"}`))
	want := map[string]int64{"moved": 2, "own": 1, "orphan": 1, "bad": 1}
	for _, a := range got.Alerts {
		if a.IncidentID == nil || *a.IncidentID != want[a.AlertID] {
			t.Errorf("%s is of incident %v, want %d", a.AlertID, a.IncidentID, want[a.AlertID])
		}
	}
	if len(got.Alerts) != len(want) {
		t.Errorf("%d alerts", len(got.Alerts))
	}
	alone, _ := oneAlert(t, `{"id":"orphan","lastUpdateDateTime":"2026-01-01T00:00:00Z"}`)
	if alone.IncidentID != nil {
		t.Errorf("an alert that names no incident is of %d", *alone.IncidentID)
	}
	if alone.ContentHash == got.Alerts[2].ContentHash {
		t.Error("the incident that an alert was given does not count in its hash")
	}
}

func TestAlertTimes(t *testing.T) {
	tests := []struct{ name, times, stored string }{
		{"its own", `"lastUpdateDateTime":"2026-01-03T00:00:00.1234567Z","createdDateTime":"2026-01-02T00:00:00Z"`, "2026-01-03T00:00:00.123456Z"},
		{"created", `"createdDateTime":"2026-01-02T00:00:00Z"`, "2026-01-02T00:00:00Z"},
		{"created, bad update", `"lastUpdateDateTime":5,"createdDateTime":"2026-01-02T00:00:00Z"`, "2026-01-02T00:00:00Z"},
		{"its incident's", `"title":"t"`, "2026-07-22T18:37:58.913456Z"},
	}
	for _, test := range tests {
		record := fmt.Sprintf(`{"id":"a",%s}`, test.times)
		got := translated(defender.Graph, sampleIncident(1, record))
		if len(got.Alerts) != 1 || !got.Alerts[0].LastUpdateDateTime.Equal(*instantOf(test.stored)) {
			t.Errorf("%s: %+v", test.name, got.Alerts)
		}
		if reported := len(got.Changes) == 1; reported != (test.name != "its own") {
			t.Errorf("%s: changes %v", test.name, got.Changes)
		}
	}
}

func TestAlertQuarantine(t *testing.T) {
	tests := map[string]struct{ record, key, reason string }{
		"no id":        {`{"lastUpdateDateTime":"2026-01-01T00:00:00Z"}`, "", "no id"},
		"empty id":     {`{"id":"","lastUpdateDateTime":"2026-01-01T00:00:00Z"}`, "", "no id"},
		"id a list":    {`{"id":[],"lastUpdateDateTime":"2026-01-01T00:00:00Z"}`, "", "id: want string, got array"},
		"no time":      {`{"id":"a"}`, "a", "no usable lastUpdateDateTime"},
		"older, no id": {`{"alertId":null,"lastUpdatedTime":"2026-01-01T00:00:00Z"}`, "", "no alertId"},
		"a string":     {`"x"`, "", "want object, got string"},
	}
	for name, test := range tests {
		got := Alerts(sampleTenant, jsonRecords([]string{test.record}), translatedAt)
		if len(got.Quarantine) != 1 || len(got.Alerts) != 0 || len(got.Times) != 1 {
			t.Errorf("%s: %v, %d alerts, %d times", name, quarantined(got), len(got.Alerts), len(got.Times))
			continue
		}
		q := got.Quarantine[0]
		if q.Kind != "alert" || string(q.Payload) != test.record || !strings.Contains(q.Reason, test.reason) {
			t.Errorf("%s: %s %q, payload %s", name, q.Kind, q.Reason, q.Payload)
		}
		if test.key != "" && q.Key != test.key || test.key == "" && !strings.HasPrefix(q.Key, "sha256:") {
			t.Errorf("%s: key %q", name, q.Key)
		}
	}
	inline := translated(defender.Graph, sampleIncident(1, "17", sampleAlert("good", 1), "null"))
	if len(inline.Incidents) != 1 || len(inline.Alerts) != 1 || len(inline.Quarantine) != 2 {
		t.Errorf("inline: %v", quarantined(inline))
	}
}

func TestAlertIDsAreTextOrDigits(t *testing.T) {
	got, _ := oneAlert(t, `{"id":9007199254740993,"lastUpdateDateTime":"2026-01-01T00:00:00Z","evidence":[{}]}`)
	if got.AlertID != "9007199254740993" || got.Evidence[0].AlertID != got.AlertID {
		t.Errorf("id %q, evidence of %q", got.AlertID, got.Evidence[0].AlertID)
	}
	got, _ = oneAlert(t, `{"id":"a\u0000b","lastUpdateDateTime":"2026-01-01T00:00:00Z"}`)
	if got.AlertID != "a\uFFFDb" {
		t.Errorf("id %q", got.AlertID)
	}
}
