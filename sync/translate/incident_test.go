package translate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

var translatedAt = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func translated(d defender.Dialect, records ...string) Rows {
	return Incidents(d, sampleTenant, jsonRecords(records), translatedAt)
}

func jsonRecords(records []string) []jsontext.Value {
	all := make([]jsontext.Value, len(records))
	for i, r := range records {
		all[i] = jsontext.Value(r)
	}
	return all
}

// oneIncident translates a record that must become one row and nothing else.
func oneIncident(t *testing.T, d defender.Dialect, record string) (store.Incident, Rows) {
	t.Helper()
	got := translated(d, record)
	if len(got.Incidents) != 1 || len(got.Quarantine) != 0 {
		t.Fatalf("%d incidents, quarantine %v", len(got.Incidents), quarantined(got))
	}
	return got.Incidents[0], got
}

func quarantined(got Rows) []string {
	var all []string
	for _, q := range got.Quarantine {
		all = append(all, q.Kind+" "+q.Key+": "+q.Reason)
	}
	return all
}

func instantOf(s string) *time.Time {
	parsed, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return &parsed
}

func ptr[T any](v T) *T { return &v }

// bareRows compares rows without what every row has.
var bareRows = cmp.Options{
	cmp.FilterPath(func(path cmp.Path) bool {
		switch path.Last().String() {
		case ".Served", ".ContentHash", ".Raw", ".Comments", ".TenantID", ".SyncedAt":
			return true
		}
		return false
	}, cmp.Ignore()),
}

func TestGraphIncident(t *testing.T) {
	got, tr := oneIncident(t, defender.Graph, sampleIncident(81))
	want := store.Incident{
		IncidentID: 81, DisplayName: ptr("Multi-stage incident on multiple endpoints"), Description: ptr("One “quoted” line"),
		Status: ptr("active"), Severity: ptr("medium"), Classification: ptr("truePositive"), Determination: ptr("multiStagedAttack"),
		AssignedTo: ptr("kai@contoso.com"), CustomTags: []string{"Demo"}, SystemTags: []string{"Credential Phish"},
		CreatedDateTime: instantOf("2026-07-22T18:37:11.523333Z"), LastUpdateDateTime: *instantOf("2026-07-22T18:37:58.913456Z"),
		LastModifiedBy: ptr("Microsoft 365 Defender-IncidentCreation"), TenantID2: ptr("b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c"),
		PriorityScore:  ptr(int32(18)),
		IncidentWebURL: ptr("https://security.microsoft.com/incident2/81/overview?tid=b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c"),
		CommentRows: []store.Comment{{IncidentID: 81, CommentNo: 1, Comment: ptr("seen"), CreatedByDisplayName: ptr("David"),
			CreatedDateTime: instantOf("2026-07-22T19:00:00.123456Z")}},
	}
	if diff := cmp.Diff(want, got, bareRows); diff != "" {
		t.Error(diff)
	}
	if len(tr.Changes) != 0 {
		t.Errorf("changes: %v", tr.Changes)
	}
	if got.TenantID != sampleTenant || got.CommentRows[0].TenantID != sampleTenant || !got.SyncedAt.Equal(translatedAt) {
		t.Errorf("tenant %q, synced at %v", got.TenantID, got.SyncedAt)
	}
	if string(got.Served) != sampleIncident(81) {
		t.Error("Served is not what was served")
	}
	if !tr.Times[0].Equal(got.LastUpdateDateTime) {
		t.Errorf("Times = %v", tr.Times)
	}
}

func TestOlderIncident(t *testing.T) {
	got, tr := oneIncident(t, defender.Older, `{"incidentId":924521,"incidentUri":"https://x/2","redirectIncidentId":924520,
		"incidentName":"Mimikatz","createdTime":"2020-09-06T12:18:03.6266667Z","lastUpdateTime":"2020-09-06T12:18:03.8199999Z",
		"assignedTo":null,"classification":"Unknown","determination":"NotAvailable","status":"Redirected","severity":"UnSpecified",
		"tags":["a","b"],"comments":[{"comment":"test","createdBy":"secop","createdTime":"2021-01-26T01:00:37.8404534Z"}],"alerts":[]}`)
	want := store.Incident{
		IncidentID: 924521, RedirectIncidentID: ptr(int64(924520)), DisplayName: ptr("Mimikatz"), Status: ptr("redirected"),
		Severity: ptr("unknown"), Classification: ptr("unknown"), Determination: ptr("unknown"), CustomTags: []string{"a", "b"},
		CreatedDateTime: instantOf("2020-09-06T12:18:03.626666Z"), LastUpdateDateTime: *instantOf("2020-09-06T12:18:03.819999Z"),
		IncidentWebURL: ptr("https://x/2"),
		CommentRows: []store.Comment{{IncidentID: 924521, CommentNo: 1, Comment: ptr("test"), CreatedByDisplayName: ptr("secop"),
			CreatedDateTime: instantOf("2021-01-26T01:00:37.840453Z")}},
	}
	if diff := cmp.Diff(want, got, bareRows); diff != "" {
		t.Error(diff)
	}
	if len(tr.Changes) != 0 {
		t.Errorf("changes: %v", tr.Changes)
	}
}

// Graph's own documentation shows the older names for tags and comments.
func TestGraphIncidentWithOlderNames(t *testing.T) {
	got, tr := oneIncident(t, defender.Graph, `{"id":"7","lastUpdateDateTime":"2026-01-01T00:00:00Z","tags":["Demo"],
		"comments":[{"comment":"c","createdBy":"David","createdTime":"2021-09-30T12:07:37.2756993Z"}]}`)
	if diff := cmp.Diff([]string{"Demo"}, got.CustomTags); diff != "" {
		t.Error(diff)
	}
	want := []store.Comment{{IncidentID: 7, CommentNo: 1, Comment: ptr("c"), CreatedByDisplayName: ptr("David"),
		CreatedDateTime: instantOf("2021-09-30T12:07:37.275699Z")}}
	if diff := cmp.Diff(want, got.CommentRows, bareRows); diff != "" {
		t.Error(diff)
	}
	if len(tr.Changes) != 0 {
		t.Errorf("changes: %v", tr.Changes)
	}
	both, _ := oneIncident(t, defender.Graph, `{"id":"7","lastUpdateDateTime":"2026-01-01T00:00:00Z","customTags":["mine"],"tags":["other"]}`)
	if diff := cmp.Diff([]string{"mine"}, both.CustomTags); diff != "" {
		t.Error(diff)
	}
}

// One member that does not fit costs itself, not its list.
func TestListsKeepWhatFits(t *testing.T) {
	got, tr := oneIncident(t, defender.Graph, `{"id":"7","lastUpdateDateTime":"2026-01-01T00:00:00Z","customTags":["good",5],"systemTags":[5],
		"alerts":[{"id":"a","lastUpdateDateTime":"2026-01-01T00:00:00Z","mitreTechniques":["T1",null,5],
			"evidence":[{"@odata.type":"#microsoft.graph.security.ipEvidence","roles":["Attacker",{}],"tags":["t",[]]}]}]}`)
	alert := tr.Alerts[0]
	for name, list := range map[string]struct{ got, want []string }{
		"customTags": {got.CustomTags, []string{"good"}}, "systemTags": {got.SystemTags, nil}, "mitreTechniques": {alert.MitreTechniques, []string{"T1"}},
		"roles": {alert.Evidence[0].Roles, []string{"attacker"}}, "tags": {alert.Evidence[0].Tags, []string{"t"}},
	} {
		if diff := cmp.Diff(list.want, list.got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if !strings.Contains(string(got.Raw), `["good",5]`) || !strings.Contains(string(alert.Raw), `["T1",null,5]`) {
		t.Errorf("raw has lost a member: %s, %s", got.Raw, alert.Raw)
	}
	var changed []string
	for _, c := range tr.Changes {
		if c.Change == typeChanged && strings.HasPrefix(c.Detail, "expected array of strings, got array with ") {
			changed = append(changed, c.Property)
		}
	}
	if diff := cmp.Diff([]string{"customTags", "systemTags", "mitreTechniques", "evidence.roles", "evidence.tags"}, changed); diff != "" {
		t.Error(diff)
	}
}

func TestIncidentIDs(t *testing.T) {
	for _, id := range []string{`"81"`, `81`, `"9007199254740993"`, `9007199254740993`} {
		for _, d := range []struct {
			defender.Dialect
			id, updated string
		}{{defender.Graph, "id", "lastUpdateDateTime"}, {defender.Older, "incidentId", "lastUpdateTime"}} {
			got, _ := oneIncident(t, d.Dialect, fmt.Sprintf(`{%q:%s,"redirectIncidentId":%[2]s,%q:"2026-01-01T00:00:00Z"}`, d.id, id, d.updated))
			if want := strings.Trim(id, `"`); IncidentKey(got.IncidentID) != want || IncidentKey(*got.RedirectIncidentID) != want {
				t.Errorf("%s %s: id %d, redirected to %d", d.Dialect, id, got.IncidentID, *got.RedirectIncidentID)
			}
		}
	}
}

// What a tenant's older payloads hold is replayed after it has moved to Graph.
func TestIncidentInTheOtherDialect(t *testing.T) {
	older := `{"incidentId":5,"incidentName":"n","lastUpdateTime":"2026-01-01T00:00:00Z","status":"InProgress",
		"alerts":[{"alertId":"a","incidentId":5,"lastUpdatedTime":"2026-01-01T00:00:00Z","devices":[{"mdatpDeviceId":"d"}]}]}`
	for _, expected := range []defender.Dialect{defender.Graph, defender.Older} {
		got, tr := oneIncident(t, expected, older)
		if got.IncidentID != 5 || *got.DisplayName != "n" || len(tr.Alerts) != 1 || len(tr.Alerts[0].Evidence) != 1 {
			t.Errorf("expecting %s: %+v", expected, got)
		}
	}
	both := `{"id":"8","incidentId":9,"lastUpdateDateTime":"2026-01-01T00:00:00Z","lastUpdateTime":"2026-01-01T00:00:00Z"}`
	for expected, id := range map[defender.Dialect]int64{defender.Graph: 8, defender.Older: 9} {
		if got, _ := oneIncident(t, expected, both); got.IncidentID != id {
			t.Errorf("expecting %s: id %d of %s", expected, got.IncidentID, both)
		}
	}
	got, _ := oneIncident(t, defender.Older, `{"id":"6","displayName":"n","lastUpdateDateTime":"2026-01-01T00:00:00Z"}`)
	if got.IncidentID != 6 || *got.DisplayName != "n" {
		t.Errorf("%+v", got)
	}
}

func TestIncidentTimes(t *testing.T) {
	tests := map[string]struct {
		record        string
		stored, noted string
	}{
		"truncated down":       {`{"id":"1","lastUpdateDateTime":"2026-01-01T00:00:00.9999999Z"}`, "2026-01-01T00:00:00.999999Z", "2026-01-01T00:00:00.999999Z"},
		"another zone":         {`{"id":"1","lastUpdateDateTime":"2026-01-01T02:00:00+02:00"}`, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		"no zone":              {`{"id":"1","lastUpdateDateTime":"2026-01-01T00:00:00"}`, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		"created, no update":   {`{"id":"1","createdDateTime":"2026-01-01T00:00:00Z"}`, "2026-01-01T00:00:00Z", ""},
		"created, null update": {`{"id":"1","createdDateTime":"2026-01-01T00:00:00Z","lastUpdateDateTime":null}`, "2026-01-01T00:00:00Z", ""},
		"created, bad update":  {`{"id":"1","createdDateTime":"2026-01-01T00:00:00Z","lastUpdateDateTime":"soon"}`, "2026-01-01T00:00:00Z", ""},
	}
	for name, test := range tests {
		got, tr := oneIncident(t, defender.Graph, test.record)
		if !got.LastUpdateDateTime.Equal(*instantOf(test.stored)) || got.LastUpdateDateTime.Location() != time.UTC {
			t.Errorf("%s: stored %v, want %s", name, got.LastUpdateDateTime, test.stored)
		}
		if test.noted == "" {
			if !tr.Times[0].IsZero() || len(tr.Changes) != 1 || tr.Changes[0].Property != "lastUpdateDateTime" {
				t.Errorf("%s: Times %v, changes %v", name, tr.Times, tr.Changes)
			}
		} else if !tr.Times[0].Equal(*instantOf(test.noted)) {
			t.Errorf("%s: Times %v, want %s", name, tr.Times, test.noted)
		}
	}
}

func TestIncidentQuarantine(t *testing.T) {
	tests := map[string]struct{ record, key, reason string }{
		"no id":         {`{"lastUpdateDateTime":"2026-01-01T00:00:00Z"}`, "", "no id"},
		"null id":       {`{"id":null,"lastUpdateDateTime":"2026-01-01T00:00:00Z"}`, "", "no id"},
		"id no number":  {`{"id":"abc","lastUpdateDateTime":"2026-01-01T00:00:00Z"}`, "abc", "id: want integer"},
		"id too big":    {`{"id":99999999999999999999,"lastUpdateDateTime":"2026-01-01T00:00:00Z"}`, "99999999999999999999", "id: want integer"},
		"id an object":  {`{"id":{},"lastUpdateDateTime":"2026-01-01T00:00:00Z"}`, "", "id: want integer, got object"},
		"no time":       {`{"id":"5"}`, "5", "no usable lastUpdateDateTime"},
		"a number":      {`5`, "", "want object, got number"},
		"null":          {`null`, "", "want object, got null"},
		"an array":      {`[]`, "", "want object, got array"},
		"cut off":       {`{"id":"5"`, "", "unexpected EOF"},
		"empty":         {``, "", ""},
		"two documents": {`{"id":"5"} {}`, "", "more than one value"},
	}
	for name, test := range tests {
		got := translated(defender.Graph, test.record)
		if len(got.Quarantine) != 1 || len(got.Incidents) != 0 || len(got.Times) != 1 {
			t.Errorf("%s: %d in quarantine, %d incidents, %d times", name, len(got.Quarantine), len(got.Incidents), len(got.Times))
			continue
		}
		q := got.Quarantine[0]
		if q.Kind != "incident" || string(q.Payload) != test.record || !strings.Contains(q.Reason, test.reason) {
			t.Errorf("%s: %s %q, payload %s", name, q.Kind, q.Reason, q.Payload)
		}
		if keyed := strings.HasPrefix(q.Key, "sha256:"); test.key != "" && q.Key != test.key || test.key == "" && !keyed {
			t.Errorf("%s: key %q, want %q", name, q.Key, test.key)
		}
	}
}

// Two records without an id must not share one place in quarantine.
func TestQuarantineKeysDiffer(t *testing.T) {
	got := translated(defender.Graph, `{"displayName":"a"}`, `{"displayName":"b"}`, `{"displayName":"a"}`)
	if q := got.Quarantine; len(q) != 3 || q[0].Key == q[1].Key || q[0].Key != q[2].Key {
		t.Errorf("%v", quarantined(got))
	}
}

// One bad record costs nothing but itself, and its alerts are taken all the same.
func TestBadIncidentAmongGood(t *testing.T) {
	bad := strings.Replace(sampleIncident(2, sampleAlert("a2", 2)), `"id":"2"`, `"id":"two"`, 1)
	got := translated(defender.Graph, sampleIncident(1), bad, sampleIncident(3))
	if len(got.Incidents) != 2 || len(got.Quarantine) != 1 || len(got.Times) != 3 {
		t.Fatalf("%d incidents, %v, %d times", len(got.Incidents), quarantined(got), len(got.Times))
	}
	if len(got.Alerts) != 1 || *got.Alerts[0].IncidentID != 2 {
		t.Errorf("alerts %v", got.Alerts)
	}
	if got.Times[1].IsZero() {
		t.Error("the time of a record in quarantine is not noted")
	}
}

func TestIncidentMisfits(t *testing.T) {
	record := `{"id":"1","lastUpdateDateTime":"2026-01-01T00:00:00Z","displayName":5,"status":true,"severity":"epic",
		"customTags":"x","systemTags":[1],"priorityScore":4294967296,"redirectIncidentId":"x","comments":{},"createdDateTime":1,
		"brandNew":{"a":1},"x@odata.context":"c","alerts":"none"}`
	got, tr := oneIncident(t, defender.Graph, record)
	want := []store.SchemaChange{
		{Object: "incident", Property: "displayName", Change: "type_changed", Detail: "expected string, got number"},
		{Object: "incident", Property: "status", Change: "type_changed", Detail: "expected string, got boolean"},
		{Object: "incident", Property: "severity", Change: "unknown_enum_member", Detail: "epic"},
		{Object: "incident", Property: "customTags", Change: "type_changed", Detail: "expected array, got string"},
		{Object: "incident", Property: "systemTags", Change: "type_changed", Detail: "expected array of strings, got array with number"},
		{Object: "incident", Property: "priorityScore", Change: "type_changed", Detail: "expected 32-bit integer, got greater number"},
		{Object: "incident", Property: "redirectIncidentId", Change: "type_changed", Detail: "expected integer, got string that is no 64-bit integer"},
		{Object: "incident", Property: "comments", Change: "type_changed", Detail: "expected array, got object"},
		{Object: "incident", Property: "createdDateTime", Change: "type_changed", Detail: "expected time, got number"},
		{Object: "incident", Property: "brandNew", Change: "new_property"},
		{Object: "incident", Property: "alerts", Change: "type_changed", Detail: "expected array, got string"},
	}
	if diff := cmp.Diff(want, tr.Changes); diff != "" {
		t.Error(diff)
	}
	wantRow := store.Incident{IncidentID: 1, LastUpdateDateTime: *instantOf("2026-01-01T00:00:00Z"), Severity: ptr("epic")}
	if diff := cmp.Diff(wantRow, got, bareRows); diff != "" {
		t.Error(diff)
	}
	var served, raw any
	if err := json.Unmarshal([]byte(record), &served); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got.Raw, &raw); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(served, raw); diff != "" {
		t.Errorf("raw lost something: %s", diff)
	}
}

func TestComments(t *testing.T) {
	got, tr := oneIncident(t, defender.Graph, `{"id":"1","lastUpdateDateTime":"2026-01-01T00:00:00Z",
		"comments":[{"comment":"a\u0000b","createdByDisplayName":7},"loose",null,{"createdDateTime":"never"}]}`)
	want := []store.Comment{{IncidentID: 1, CommentNo: 1, Comment: ptr("a\uFFFDb")}, {IncidentID: 1, CommentNo: 2},
		{IncidentID: 1, CommentNo: 3}, {IncidentID: 1, CommentNo: 4}}
	if diff := cmp.Diff(want, got.CommentRows, bareRows); diff != "" {
		t.Error(diff)
	}
	if want := "[{\"comment\":\"a\uFFFDb\",\"createdByDisplayName\":7},\"loose\",null,{\"createdDateTime\":\"never\"}]"; string(got.Comments) != want {
		t.Errorf("comments %s", got.Comments)
	}
	var properties []string
	for _, c := range tr.Changes {
		properties = append(properties, c.Property+" "+c.Detail)
	}
	wantChanges := []string{"comments.createdByDisplayName expected string, got number", "comments expected object, got string",
		"comments expected object, got null", "comments.createdDateTime expected time, got string that is no RFC 3339 time"}
	if diff := cmp.Diff(wantChanges, properties); diff != "" {
		t.Error(diff)
	}
}

// A tenant that serves data as names must not flood the ledger of changes.
func TestChangesAreBoundedAndEachOnce(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `,"p%d":1`, i)
	}
	once := `{"id":"1","lastUpdateDateTime":"2026-01-01T00:00:00Z","new":1,"` + strings.Repeat("é", 5000) + `":1}`
	got := translated(defender.Graph, once, once)
	if len(got.Changes) != 2 || len(got.Changes[1].Property) > 210 {
		t.Errorf("%d changes", len(got.Changes))
	}
	got = translated(defender.Graph, `{"id":"1","lastUpdateDateTime":"2026-01-01T00:00:00Z"`+b.String()+`}`)
	if len(got.Changes) != maxChanges || len(got.Incidents) != 1 {
		t.Errorf("%d changes, %d incidents", len(got.Changes), len(got.Incidents))
	}
}

func TestPartialAlerts(t *testing.T) {
	record := strings.Replace(sampleIncident(9, sampleAlert("a", 9)), `"alerts":`, `"alerts@odata.nextLink":"https://x","alerts":`, 1)
	_, tr := oneIncident(t, defender.Graph, record)
	if diff := cmp.Diff([]string{"9"}, tr.Partial); diff != "" {
		t.Error(diff)
	}
}

// What PostgreSQL can't hold is replaced in every row; what was served is kept
// for a replay, of the alerts inside too.
func TestCleanRowsAndServedBytes(t *testing.T) {
	alert := "{ \"id\":\"a\\u0000\",\"lastUpdateDateTime\":\"2026-01-01T00:00:00Z\",\"title\":\"x\xffy\",\"mitreTechniques\":[\"T\\u0000\"]," +
		"\"evidence\":[{\"n\\u0000\":\"\\ud800\",\"verdict\":\"new\\u0000\",\"@odata.type\":\"a\\u0000b\"}]}"
	record := `{"id":"1", "lastUpdateDateTime":"2026-01-01T00:00:00Z","big":9007199254740993,"displayName":"a\u0000b","customTags":["\u0000"],"alerts":[` + alert + `]}`
	got, tr := oneIncident(t, defender.Graph, record)
	a := tr.Alerts[0]
	if *got.DisplayName != "a\uFFFDb" || got.CustomTags[0] != "\uFFFD" || !strings.Contains(string(got.Raw), "9007199254740993") {
		t.Errorf("incident %s", got.Raw)
	}
	if a.AlertID != "a\uFFFD" || *a.Title != "x\uFFFDy" || a.MitreTechniques[0] != "T\uFFFD" {
		t.Errorf("alert %s", a.Raw)
	}
	if e := a.Evidence[0]; e.EvidenceType != "a_b" || *e.Verdict != "new\uFFFD" {
		t.Errorf("evidence %s %q %q", e.Raw, e.EvidenceType, *e.Verdict)
	}
	accounted(t, jsonRecords([]string{record}), tr)
	if string(got.Served) != record || string(a.Served) != alert {
		t.Errorf("served %s and %s", got.Served, a.Served)
	}
}
