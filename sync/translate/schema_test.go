package translate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// sharedFile reads a published sample or the reference schema, which are kept
// beside the repository and may be absent.
func sharedFile(t *testing.T, path ...string) []byte {
	t.Helper()
	fixtures := os.Getenv("DEFENDERSYNC_FIXTURES")
	if fixtures == "" {
		fixtures = filepath.Join("..", "..", "..", "shared", "fixtures")
	}
	body, err := os.ReadFile(filepath.Join(append([]string{fixtures}, path...)...))
	if os.IsNotExist(err) {
		t.Skipf("the published samples are not here, so nothing was compared: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// graphSchema is Microsoft's own description of the security resources.
type graphSchema struct {
	Types map[string]struct {
		Base  string
		Props []struct{ Name, Type string }
	}
	Enums map[string][]string
}

func readSchema(t *testing.T) graphSchema {
	t.Helper()
	var s graphSchema
	if err := json.Unmarshal(sharedFile(t, "..", "reference", "graph_security_schema.json"), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// sample is a value of a type of the schema, every property set.
func (s graphSchema) sample(typ string, depth int) any {
	if inner, ok := strings.CutPrefix(typ, "Collection("); ok {
		return []any{s.sample(strings.TrimSuffix(inner, ")"), depth)}
	}
	if members, ok := s.Enums[typ]; ok {
		return members[len(members)-1]
	}
	switch typ {
	case "Edm.String", "Edm.Guid":
		return "12"
	case "Edm.Int32", "Edm.Int64":
		return 12
	case "Edm.Double":
		return 1.5
	case "Edm.Boolean":
		return true
	case "Edm.DateTimeOffset":
		return "2026-01-02T03:04:05.1234567Z"
	}
	return s.object(typ, depth)
}

func (s graphSchema) object(typ string, depth int) map[string]any {
	o := map[string]any{}
	if depth == 0 {
		return o
	}
	if def := s.Types[typ]; def.Base != "" {
		o = s.object(def.Base, depth)
	}
	for _, p := range s.Types[typ].Props {
		o[p.Name] = s.sample(p.Type, depth-1)
	}
	if strings.HasSuffix(typ, "Evidence") {
		o["@odata.type"] = "#microsoft.graph.security." + typ
	}
	return o
}

func jsonOf(t *testing.T, v any) jsontext.Value {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// columnsOf are the columns of a row type and whether the row has a value there.
func columnsOf(row any) map[string]bool {
	v := reflect.ValueOf(row)
	columns := make(map[string]bool)
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("db"); tag != "" {
			columns[tag] = !v.Field(i).IsZero()
		}
	}
	return columns
}

// Every property of the incident has its column by the rule, and gets there.
func TestSchemaOfIncident(t *testing.T) {
	s := readSchema(t)
	record := s.object("incident", 3)
	record["id"] = "12"
	got := Incidents(defender.Graph, sampleTenant, []jsontext.Value{jsonOf(t, record)}, translatedAt)
	if len(got.Incidents) != 1 || len(got.Changes) != 0 {
		t.Fatalf("%v, changes %v", quarantined(got), got.Changes)
	}
	columns := columnsOf(got.Incidents[0])
	for name := range record {
		column := map[string]string{"id": "incident_id", "tenantId": "tenant_id_2"}[name]
		if column == "" {
			column = store.SnakeCase(name)
		}
		if filled, ok := columns[column]; !ok || !filled {
			t.Errorf("%s: column %s exists %v, filled %v", name, column, ok, filled)
		}
	}
	if len(record) < 20 {
		t.Errorf("only %d properties", len(record))
	}
}

func TestSchemaOfAlert(t *testing.T) {
	s := readSchema(t)
	record := s.object("alert", 3)
	record["id"] = "12"
	record["additionalData"], record["customDetails"] = map[string]any{"a": 1}, map[string]any{"b": 1}
	got, tr := oneAlert(t, string(jsonOf(t, record)))
	if len(tr.Changes) != 1 { // the evidence of the sample is of the abstract base type
		t.Errorf("changes %v", tr.Changes)
	}
	columns := columnsOf(got)
	for name := range record {
		if name == "evidence" {
			continue
		}
		column := map[string]string{"id": "alert_id", "tenantId": "tenant_id_2"}[name]
		if column == "" {
			column = store.SnakeCase(name)
		}
		if filled, ok := columns[column]; !ok || !filled {
			t.Errorf("%s: column %s exists %v, filled %v", name, column, ok, filled)
		}
	}
	if len(record) < 33 || len(got.Evidence) != 1 {
		t.Errorf("%d properties, %d pieces of evidence", len(record), len(got.Evidence))
	}
}

// Every type of evidence is known, translates without a complaint, and fills
// each column that has the name of one of its properties.
func TestSchemaOfEvidence(t *testing.T) {
	s := readSchema(t)
	types := 0
	for name, def := range s.Types {
		if def.Base != "alertEvidence" {
			continue
		}
		types++
		got, tr := evidenceOf(t, string(jsonOf(t, s.object(name, 4))))
		if len(tr.Changes) != 0 {
			t.Errorf("%s: changes %v", name, tr.Changes)
		}
		if want := store.SnakeCase(strings.TrimSuffix(name, "Evidence")); got[0].EvidenceType != want {
			t.Errorf("%s is %s", name, got[0].EvidenceType)
		}
		columns := columnsOf(got[0])
		for _, p := range append(def.Props, s.Types["alertEvidence"].Props...) {
			if filled, ok := columns[store.SnakeCase(p.Name)]; ok && !filled {
				t.Errorf("%s.%s: its column is empty", name, p.Name)
			}
		}
	}
	if types != 48 || types != len(graphEvidence) {
		t.Errorf("%d types in the schema, %d known", types, len(graphEvidence))
	}
}

// Properties that are nested or have another name than their column.
func TestSchemaOfNestedEvidence(t *testing.T) {
	s := readSchema(t)
	tests := map[string]string{
		"userEvidence":              "account_name domain_name user_sid azure_ad_user_id user_principal_name display_name",
		"mailboxEvidence":           "account_name user_sid primary_address",
		"processEvidence":           "sha1 sha256 md5 file_name file_path file_size account_name parent_process_file_name parent_process_file_path",
		"fileEvidence":              "sha1 sha256 md5 file_name file_path file_size",
		"networkConnectionEvidence": "ip_address",
		"cloudLogonSessionEvidence": "account_name host_name",
		"hostLogonSessionEvidence":  "account_name mde_device_id host_name",
		"kubernetesPodEvidence":     "ip_address resource_name",
		"amazonResourceEvidence":    "resource_id resource_name",
		"analyzedMessageEvidence":   "sender_address",
		"servicePrincipalEvidence":  "app_id object_id display_name",
		"gitHubUserEvidence":        "account_name display_name primary_address object_id url",
		"cloudApplicationEvidence":  "app_id display_name",
		"aiAgentEvidence":           "object_id display_name",
		"dnsEvidence":               "domain_name ip_address",
		"sasTokenEvidence":          "resource_id",
	}
	for name, want := range tests {
		got, _ := evidenceOf(t, string(jsonOf(t, s.object(name, 4))))
		columns := columnsOf(got[0])
		for column := range strings.FieldsSeq(want) {
			if !columns[column] {
				t.Errorf("%s: %s is empty", name, column)
			}
		}
	}
}

// Every member of every enum that has a column is known, and stays as it is.
func TestSchemaOfEnums(t *testing.T) {
	s := readSchema(t)
	enums := map[string]enumeration{
		"incidentStatus": enumIncidentStatus, "alertStatus": enumAlertStatus, "alertSeverity": enumSeverity,
		"alertClassification": enumClassification, "alertDetermination": enumDetermination,
		"investigationState": enumInvestigationState, "serviceSource": enumServiceSource, "detectionSource": enumDetectionSource,
		"evidenceVerdict": enumVerdict, "evidenceRemediationStatus": enumRemediationStatus, "evidenceRole": enumRole,
		"deviceHealthStatus": enumHealthStatus, "deviceRiskScore": enumRiskScore, "onboardingStatus": enumOnboardingStatus,
		"defenderAvStatus": enumDefenderAVStatus, "detectionStatus": enumDetectionStatus,
		"teamsMessageDeliveryAction": enumTeamsAction, "teamsDeliveryLocation": enumTeamsLocation,
	}
	for name, e := range enums {
		if len(s.Enums[name]) == 0 {
			t.Errorf("no enum %s", name)
		}
		for _, m := range s.Enums[name] {
			for _, spelling := range []string{m, strings.ToUpper(m[:1]) + m[1:]} {
				if got, known := e.member(spelling); got != m || !known {
					t.Errorf("%s: member(%q) = %q, %v", name, spelling, got, known)
				}
			}
		}
	}
}

// The tables name no column that the rows do not have, and leave none unused.
func TestEveryEvidenceColumnIsUsed(t *testing.T) {
	columns := columnsOf(store.Evidence{})
	for _, made := range []string{"tenant_id", "alert_id", "evidence_no", "evidence_type", "raw"} {
		delete(columns, made)
	}
	for column := range columns {
		if evidenceSetters[column] == nil && evidenceTexts[column] == nil {
			t.Errorf("nothing sets %s", column)
		}
	}
	if got := len(evidenceSetters) + len(evidenceTexts); got != len(columns) {
		t.Errorf("%d setters for %d columns", got, len(columns))
	}
}
