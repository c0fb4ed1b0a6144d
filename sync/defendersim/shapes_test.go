package defendersim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"defendersync/sync/defendersim"
)

// shared finds a file or folder of published material beside the repository.
// A test that needs one is skipped where there is none.
func shared(t *testing.T, path ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		p := filepath.Join(append([]string{dir, "shared"}, path...)...)
		if _, err := os.Stat(p); err == nil {
			return p
		}
		if dir == filepath.Dir(dir) {
			t.Skipf("published material %v is not on this machine", path)
		}
	}
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	p := filepath.Join(os.Getenv("DEFENDERSYNC_FIXTURES"), "incidents", name)
	if os.Getenv("DEFENDERSYNC_FIXTURES") == "" {
		p = shared(t, "fixtures", "incidents", name)
	}
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// schema is Microsoft's own description of the Graph types.
type schema struct {
	Types map[string]struct {
		Base  string
		Props []struct{ Name, Type string }
	}
	Enums map[string][]string
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	b, err := os.ReadFile(shared(t, "reference", "graph_security_schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// props maps the properties of a type, inherited ones included, to their types.
func (s *schema) props(name string) map[string]string {
	m := map[string]string{}
	for t := s.Types[name]; ; t = s.Types[t.Base] {
		for _, p := range t.Props {
			m[p.Name] = p.Type
		}
		switch t.Base {
		case "entity":
			m["id"] = "Edm.String"
			return m
		case "":
			return m
		}
	}
}

// check compares an object with its type: the same keys, enums of the known
// members, and so on inside.
func (s *schema) check(t *testing.T, where, name string, v map[string]any) {
	t.Helper()
	props := s.props(name)
	got := map[string]any{}
	for k, x := range v {
		if !strings.HasPrefix(k, "@odata") {
			got[k] = x
		}
	}
	have, want := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(props))
	if fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("%s: %s has %v\nwant %v", where, name, have, want)
	}
	for k, x := range got {
		s.checkValue(t, where+"."+k, props[k], x)
	}
}

func (s *schema) checkValue(t *testing.T, where, kind string, v any) {
	t.Helper()
	if inner, ok := strings.CutPrefix(kind, "Collection("); ok {
		list, ok := v.([]any)
		if !ok {
			t.Errorf("%s is %T, want a list", where, v)
		}
		for _, x := range list {
			s.checkValue(t, where, strings.TrimSuffix(inner, ")"), x)
		}
		return
	}
	members, enum := s.Enums[kind]
	object, isObject := v.(map[string]any)
	switch {
	case v == nil || kind == "dictionary":
	case enum && !slices.Contains(members, fmt.Sprint(v)):
		t.Errorf("%s is %v, which is no %s", where, v, kind)
	case isObject:
		if named, ok := object["@odata.type"].(string); ok {
			kind = strings.TrimPrefix(named, "#microsoft.graph.security.")
		}
		if kind != "agentSessionEvidence" { // in no schema, on purpose
			s.check(t, where, kind, object)
		}
	}
}

func TestGraphShapes(t *testing.T) {
	schema := readSchema(t)
	s := serve(t, defendersim.Options{World: defendersim.NewWorld(defendersim.WorldOptions{Seed: 2, Incidents: 250, Now: newClock().Now})})
	kinds := map[string]bool{}
	for _, in := range s.all("/v1.0/security/incidents?$expand=alerts", "Prefer", preferUnknown) {
		for _, a := range in["alerts"].([]any) {
			alert := a.(map[string]any)
			schema.check(t, fmt.Sprint("alert ", alert["id"]), "alert", alert)
			for _, ev := range alert["evidence"].([]any) {
				kinds[ev.(map[string]any)["@odata.type"].(string)] = true
			}
			if t.Failed() {
				return
			}
		}
		delete(in, "alerts")
		schema.check(t, fmt.Sprint("incident ", in["id"]), "incident", in)
	}
	if len(kinds) < 26 {
		t.Errorf("only %d kinds of evidence: %v", len(kinds), kinds)
	}
}

// TestFoldedMembers wants no member after unknownFutureValue without Prefer.
func TestFoldedMembers(t *testing.T) {
	schema := readSchema(t)
	s := serve(t, defendersim.Options{})
	folded := 0
	for _, a := range s.all("/v1.0/security/alerts_v2?$top=500") {
		for property, enum := range map[string]string{"serviceSource": "serviceSource", "detectionSource": "detectionSource", "status": "alertStatus"} {
			members := schema.Enums[enum]
			last := slices.Index(members, "unknownFutureValue")
			switch at := slices.Index(members, a[property].(string)); {
			case at > last || at < 0:
				t.Fatalf("%s is %v", property, a[property])
			case at == last:
				folded++
			}
		}
	}
	if folded == 0 {
		t.Error("nothing was folded")
	}
}

// TestOlderShapes compares the older API's objects with the published sample.
func TestOlderShapes(t *testing.T) {
	var sample struct{ Value []map[string]any }
	if err := json.Unmarshal(fixture(t, "msdocs-api-list-incidents.json"), &sample); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]string{}
	collect(want, "incident", sample.Value)
	s := serve(t, defendersim.Options{})
	got := map[string]map[string]string{}
	collect(got, "incident", s.values("/api/incidents?$top=100"))
	for where, keys := range want {
		for k, kind := range keys {
			ours, ok := got[where][k]
			if !ok {
				t.Errorf("%s has no %s", where, k)
			} else if kind != "null" && ours != "null" && ours != kind {
				t.Errorf("%s.%s is %s, want %s", where, k, ours, kind)
			}
		}
	}
}

// collect notes the keys of objects, by where they stand, and their types.
func collect(into map[string]map[string]string, where string, list []map[string]any) {
	for _, v := range list {
		if into[where] == nil {
			into[where] = map[string]string{}
		}
		for k, x := range v {
			if x != nil || into[where][k] == "" {
				into[where][k] = kindOf(x)
			}
			if inner, ok := x.([]any); ok {
				collect(into, k, objects(inner))
			}
		}
	}
}

func kindOf(v any) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprintf("%T", v)
}

func objects(list []any) []map[string]any {
	var out []map[string]any
	for _, v := range list {
		if o, ok := v.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}

// TestDialectsAgree compares one world in both dialects.
func TestDialectsAgree(t *testing.T) {
	s := serve(t, defendersim.Options{})
	older := map[string]map[string]any{}
	for _, in := range s.values("/api/incidents?$top=100") {
		older[fmt.Sprint(in["incidentId"])] = in
	}
	compared := 0
	for _, in := range s.all("/v1.0/security/incidents?$expand=alerts", "Prefer", preferUnknown) {
		o, ok := older[in["id"].(string)]
		if !ok {
			continue
		}
		compared++
		if o["incidentName"] != in["displayName"] || o["lastUpdateTime"] != in["lastUpdateDateTime"] || o["createdTime"] != in["createdDateTime"] ||
			!strings.EqualFold(o["status"].(string), in["status"].(string)) || fmt.Sprint(o["tags"]) != fmt.Sprint(in["customTags"]) {
			t.Errorf("incident %v: %v %v", in["id"], o["incidentName"], in["displayName"])
		}
		a, b := objects(o["alerts"].([]any)), objects(in["alerts"].([]any))
		if fmt.Sprint(ids(a, "alertId")) != fmt.Sprint(ids(b, "id")) {
			t.Errorf("incident %v: alerts differ", in["id"])
		}
	}
	if compared != 100 {
		t.Errorf("compared %d", compared)
	}
}

// TestOlderVocabulary wants only spellings that are documented.
func TestOlderVocabulary(t *testing.T) {
	s := serve(t, defendersim.Options{})
	allowed := map[string]string{
		"status":         "Active InProgress Resolved Redirected AwaitingAction",
		"severity":       "UnSpecified Informational Low Medium High",
		"classification": "Unknown FalsePositive TruePositive InformationalExpectedActivity",
		"determination":  "NotAvailable Malware SecurityTesting UnwantedSoftware Other MultiStagedAttack MaliciousUserActivity CompromisedAccount Phishing LineOfBusinessApplication ConfirmedActivity NotMalicious NoEnoughDataToValidate",
	}
	devices, entities := 0, 0
	for _, in := range s.values("/api/incidents?$top=100") {
		for k, words := range allowed {
			if !slices.Contains(strings.Fields(words), fmt.Sprint(in[k])) {
				t.Errorf("%s is %v", k, in[k])
			}
		}
		for _, a := range objects(in["alerts"].([]any)) {
			devices += len(a["devices"].([]any))
			for _, e := range objects(a["entities"].([]any)) {
				entities++
				if len(e) != 34 {
					t.Fatalf("entity has %d keys: %v", len(e), e)
				}
			}
		}
	}
	if devices == 0 || entities == 0 {
		t.Errorf("%d devices, %d entities", devices, entities)
	}
}

// TestPublishedDocuments serves published samples byte for byte.
func TestPublishedDocuments(t *testing.T) {
	var sample struct{ Value []json.RawMessage }
	if err := json.Unmarshal(fixture(t, "msdocs-api-list-incidents.json"), &sample); err != nil {
		t.Fatal(err)
	}
	graph := fixture(t, "elastic-mock-incident-0.json")
	var older [][]byte
	for _, v := range sample.Value {
		older = append(older, v)
	}
	docs, err := defendersim.NewDocuments([][]byte{graph}, nil, older)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, defendersim.Options{Documents: docs})
	body := get(t, s, "/api/incidents?$filter=lastUpdateTime ge 2020-01-01T00:00:00Z and lastUpdateTime lt 2026-01-01T00:00:00Z")
	for _, doc := range older {
		if !strings.Contains(string(body), string(doc)) {
			t.Errorf("not served as it is: %.80s", doc)
		}
	}
	if body := get(t, s, "/v1.0/security/incidents?$expand=alerts"); !strings.Contains(string(body), string(graph)) {
		t.Error("the Graph incident is not served as it is")
	}
}

const handMade = `{"id": "7", "displayName": "a\/b", "status": "active",  "severity": "low",
	"createdDateTime": "2026-11-01T00:00:00Z", "lastUpdateDateTime": "2026-11-02T00:00:00.1234567Z", "x": 1e400,
	"alerts": [ {"id": "da1", "incidentId": "7"}, {} ]}`

func TestDocuments(t *testing.T) {
	docs, err := defendersim.NewDocuments([][]byte{[]byte(handMade)}, [][]byte{[]byte(`{"id":"da1","incidentId":"7","lastUpdateDateTime":"2026-11-03T00:00:00Z"}`)},
		[][]byte{[]byte(`{"incidentId":7,"lastUpdateTime":"2026-11-02T00:00:00Z","status":"Active"}`)})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, defendersim.Options{Documents: docs})
	if body := string(get(t, s, "/v1.0/security/incidents?$expand=alerts&$filter=status eq 'active'")); !strings.Contains(body, handMade) {
		t.Errorf("not served as it is: %s", body)
	}
	bare := string(get(t, s, "/v1.0/security/incidents"))
	if strings.Contains(bare, "alerts\"") || !strings.Contains(bare, `"x":1e400`) || !strings.Contains(bare, `"a\/b"`) {
		t.Errorf("without expand: %s", bare)
	}
	for target, want := range map[string]int{
		"/v1.0/security/incidents/7/alerts": 2,
		"/v1.0/security/alerts_v2":          1,
		"/v1.0/security/incidents?$filter=lastUpdateDateTime gt 2026-11-02T00:00:00.1234567Z": 0,
		"/api/incidents?$filter=status eq 'Active'":                                           1,
		"/api/incidents?$filter=lastUpdateTime lt 2026-11-02T00:00:00Z":                       0,
	} {
		if got := len(s.values(target)); got != want {
			t.Errorf("%s: %d records, want %d", target, got, want)
		}
	}
	if status, one := s.get("/api/incidents/7"); status != 200 || one["status"] != "Active" {
		t.Errorf("older incident: %d %v", status, one)
	}
}

func TestDocumentsAreChecked(t *testing.T) {
	for _, raw := range []string{"", "{", `{"displayName":"x"}`, `{"id":"1","lastUpdateDateTime":"yesterday"}`} {
		if _, err := defendersim.NewDocuments([][]byte{[]byte(raw)}, nil, nil); err == nil {
			t.Errorf("%q was taken", raw)
		}
	}
}
