package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	defsync "defendersync/sync"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(configSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// validate checks a YAML text against the schema, as an editor does.
func validate(t *testing.T, schema *jsonschema.Schema, text string) error {
	t.Helper()
	encoded, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(doc)
}

func TestSchemaAcceptsTheShippedFile(t *testing.T) {
	shipped, err := os.ReadFile("../../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, compileSchema(t), string(shipped)); err != nil {
		t.Error(err)
	}
}

func TestSchemaAcceptsNoOverlapAndNoSettle(t *testing.T) {
	schema := compileSchema(t)
	for _, none := range []string{"0", `"0"`, "0s"} {
		text := "tenants: [{name: c, tenant_id: 11111111-2222-3333-4444-555555555555, client_id: 11111111-2222-3333-4444-555555555555, credential: {client_secret: x}}]\n" +
			"streams: {defaults: {overlap: " + none + "}, alerts: {settle: " + none + "}}\n"
		if err := validate(t, schema, text); err != nil {
			t.Errorf("%s: %v", none, err)
		}
		c, err := parseConfig("c.yaml", []byte(text), fakeEnvironment(nil, nil), testNow)
		if err != nil {
			t.Errorf("%s: %v", none, err)
			continue
		}
		if s := c.Streams; s.Alerts.Overlap.duration != 0 || s.Alerts.Settle.duration != 0 || s.Incidents.Settle.duration == 0 {
			t.Errorf("%s: %+v", none, s)
		}
	}
}

func TestSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	schema := compileSchema(t)
	const right = `data_dir: ./data
database: {url: "", max_connections: 4}
server: {listen: "127.0.0.1:8080"}
tenants:
  - name: contoso
    tenant_id: 11111111-2222-3333-4444-555555555555
    client_id: aaaaaaaa-2222-3333-4444-555555555555
    credential: {client_secret: x}
    api: graph
    endpoints: {graph: "https://graph.example"}
    limits: {share: 100%, incidents_per_minute: 50}
streams:
  defaults: {schedule: "@hourly", start: 30d, overlap: 30m}
  incidents: {start: 2026-01-01, enabled: true}
`
	if err := validate(t, schema, right); err != nil {
		t.Fatal(err)
	}
	env := fakeEnvironment(nil, nil)
	for _, c := range [][2]string{
		{"data_dir", "datadir"}, {"./data", "7"}, {"url: \"\"", "url: mysql://h/d"}, {"connections: 4", "connections: four"},
		{"connections: 4", "connections: 1"}, {"127.0.0.1:8080", "127.0.0.1"}, {"name: contoso", "name: con toso"},
		{"tenant_id: 1", "tenant_id: x"}, {"    client_id: aaaaaaaa-2222-3333-4444-555555555555\n", ""},
		{"{client_secret: x}", "{}"}, {"{client_secret: x}", "{client_secret: x, client_secret_file: y}"},
		{"{client_secret: x}", "{certificate_file: y}"}, {"{client_secret: x}", "{client_secret: x, managed_identity: {}}"},
		{"api: graph", "api: rest"}, {"https://graph.example", "http://graph.example"}, {"share: 100%", "share: 0%"},
		{"share: 100%", "share: 100"}, {"minute: 50", "minute: 0"}, {"@hourly", "TZ=UTC"}, {"start: 30d", "start: soon"},
		{"overlap: 30m", "overlap: 30"}, {"overlap: 30m", "overlap: -1m"}, {"enabled: true", "enabled: maybe"}, {"streams:", "stream:"},
	} {
		text := strings.Replace(right, c[0], c[1], 1)
		if err := validate(t, schema, text); err == nil {
			t.Errorf("the schema accepts %q in place of %q", c[1], c[0])
		}
		if _, err := parseConfig("c.yaml", []byte(text), env, testNow); err == nil {
			t.Errorf("the decoder accepts %q in place of %q", c[1], c[0])
		}
	}
}

// huntingRight has each key of a table and of a query once.
const huntingRight = `
    - {table: DeviceEvents, reconcile: "17 3 * * *", retention: 400d, columns: {drop: [A], hash: [B]}, key: [K], time_column: T, on_new_column: fail, entities: [SHA256]}
    - {table: EmailEvents, mode: snapshot, schedule: "0 4 * * *", enabled: true, start: 3d, overlap: 0, settle: 1m, reconcile: ""}
    - {name: logons, query: "IdentityLogonEvents | count", mode: replace, lookback: 3d, window: timespan}
    - {name: local, query: "DeviceEvents", mode: events, row_local: true}
`

func TestSchemaRefusesWhatTheDecoderRefusesInHunting(t *testing.T) {
	schema, right := compileSchema(t), huntingFile(huntingRight)
	if err := validate(t, schema, right); err != nil {
		t.Fatal(err)
	}
	parseText(t, right)
	for _, c := range [][2]string{
		{"table: DeviceEvents", "tabel: DeviceEvents"}, {"table: DeviceEvents", "table: Device Events"}, {"table: DeviceEvents", "table: 7"},
		{"table: DeviceEvents", "enabled: true"}, {"table: DeviceEvents", "table: DeviceEvents, name: x"}, {"table: DeviceEvents", "table: DeviceEvents, query: x"},
		{"name: logons, ", ""}, {"query: \"DeviceEvents\", ", ""}, {"IdentityLogonEvents | count", " "}, {"mode: snapshot", "mode: append"},
		{"on_new_column: fail", "on_new_column: drop"}, {"window: timespan", "window: prelude"}, {"row_local: true", "row_local: 1"},
		{"reconcile: \"17", "reconcile: \"TZ=UTC 17"}, {"retention: 400d", "retention: 400"}, {"lookback: 3d", "lookback: soon"},
		{"drop: [A]", "drop: A"}, {"drop: [A]", "keep: [A]"}, {"key: [K]", "key: [K, K]"}, {"key: [K]", "key: [\"\"]"},
		{"time_column: T", "time_column: \"\""}, {"[SHA256]", "SHA256"}, {"[SHA256]", "[Sha]"}, {"[SHA256]", "[SHA256, SHA256]"}, {"settle: 1m", "settle: -1m"}, {"schedule: \"0", "schedule: \"TZ=UTC 0"},
	} {
		text := strings.Replace(right, c[0], c[1], 1)
		if text == right {
			t.Fatalf("the file holds no %q", c[0])
		}
		if err := validate(t, schema, text); err == nil {
			t.Errorf("the schema accepts %q in place of %q", c[1], c[0])
		}
		if _, err := parseConfig("c.yaml", []byte(text), fakeEnvironment(nil, nil), testNow); err == nil {
			t.Errorf("the decoder accepts %q in place of %q", c[1], c[0])
		}
	}
}

// The editor offers the columns that the decoder knows.
func TestSchemaKnowsTheColumnsOfEntities(t *testing.T) {
	schema, columns := compileSchema(t), defsync.HuntEntityColumns()
	right := strings.Replace(huntingFile(huntingRight), "[SHA256]", "["+strings.Join(columns, ", ")+"]", 1)
	if err := validate(t, schema, right); err != nil {
		t.Error(err)
	}
	for i, c := range columns {
		if slices.Contains(columns[:i], c) {
			t.Errorf("%s is there twice", c)
		}
	}
	parseText(t, right)
}

// The key of columns.hash is in every row: nobody is to take it for more than a
// pseudonym, wherever it is offered.
func TestHashIsCalledAPseudonym(t *testing.T) {
	shipped, err := os.ReadFile("../../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	roles, err := os.ReadFile("../../docs/roles.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"config.yaml": string(shipped), "config.schema.json": string(configSchema), "roles.md": string(roles)} {
		text = strings.Join(strings.Fields(strings.ReplaceAll(text, "#", "")), " ")
		for _, want := range []string{"a pseudonym", "who knows the names can", "work out whose it is", "belongs in"} {
			if !strings.Contains(strings.ReplaceAll(text, "whoever knows", "who knows"), want) {
				t.Errorf("%s does not say %q", name, want)
			}
		}
		if strings.Contains(text, "keyed hash") {
			t.Errorf("%s promises a keyed hash", name)
		}
	}
}
