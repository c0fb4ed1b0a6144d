package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	defsync "defendersync/sync"

	"github.com/google/go-cmp/cmp"
)

// huntingFile is a file with these lines under streams.hunting.
func huntingFile(lines string) string {
	return fmt.Sprintf(oneTenant, "client_secret: x") + "streams:\n  hunting:\n" + lines
}

func parseHunting(t *testing.T, lines string) []huntingConfig {
	t.Helper()
	return parseText(t, huntingFile(lines)).Streams.Hunting
}

// What the contract's own example comes to.
func TestHuntingConfig(t *testing.T) {
	got := parseHunting(t, `
    - table: DeviceProcessEvents
      schedule: "*/15 * * * *"
      reconcile: "17 4 * * *"
      columns: {drop: [AccountSid], hash: [AccountUpn]}
      retention: 400d
    - table: DeviceTvmSoftwareVulnerabilities
      mode: snapshot
      schedule: "0 4 * * *"
    - name: encoded_powershell
      schedule: "@hourly"
      query: |
        DeviceProcessEvents
        | where ProcessCommandLine has "-enc"
      mode: events
      row_local: true
      time_column: Timestamp
      key: [DeviceId, Timestamp, ReportId]
      on_new_column: add
    - name: LateNightLogons
      query: "IdentityLogonEvents | summarize count() by AccountUpn"
      mode: replace
      lookback: 12h
`)
	var all []string
	for i := range got {
		s := got[i].stream()
		h := s.Hunt
		all = append(all, fmt.Sprintf("%s %s table=%s mode=%s time=%s key=%v drop=%v hash=%v keep=%s back=%s reconcile=%q migrate=%t",
			s.Name, s.Schedule, h.Table, h.Mode, h.TimeColumn, h.Key, h.Drop, h.Hash, h.Retention, h.Lookback, h.Reconcile, h.AutoMigrate))
	}
	want := []string{
		`hunting/device_process_events */15 * * * * table=DeviceProcessEvents mode=events time=Timestamp key=[DeviceId Timestamp ReportId] ` +
			`drop=[AccountSid] hash=[AccountUpn] keep=9600h0m0s back=0s reconcile="17 4 * * *" migrate=true`,
		`hunting/device_tvm_software_vulnerabilities 0 4 * * * table=DeviceTvmSoftwareVulnerabilities mode=snapshot time= ` +
			`key=[DeviceId SoftwareVendor SoftwareName SoftwareVersion CveId] drop=[] hash=[] keep=0s back=0s reconcile="" migrate=true`,
		`hunting/encoded_powershell @hourly table= mode=events time=Timestamp key=[DeviceId Timestamp ReportId] ` +
			`drop=[] hash=[] keep=0s back=720h0m0s reconcile="" migrate=true`,
		`hunting/late_night_logons */5 * * * * table= mode=replace time= key=[] drop=[] hash=[] keep=0s back=12h0m0s reconcile="" migrate=true`,
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	if q := got[2].hunt.Query; q != "DeviceProcessEvents\n| where ProcessCommandLine has \"-enc\"\n" {
		t.Errorf("the query is %q, and not the bytes of the file", q)
	}
}

// No list of columns of entities and an empty one are not the same.
func TestEntitiesOfAStream(t *testing.T) {
	for lines, want := range map[string][]string{
		"    - {table: DeviceEvents}":                                 nil,
		"    - {table: DeviceEvents, entities: }":                     nil,
		"    - {table: DeviceEvents, entities: []}":                   {},
		"    - {table: DeviceEvents, entities: [sha256, DeviceName]}": {"SHA256", "DeviceName"},
		"    - {table: DeviceTvmSoftwareInventory, entities: []}":     {},
		"    - {table: DeviceEvents, columns: {hash: [AccountName]}}": nil,
	} {
		if diff := cmp.Diff(want, parseHunting(t, lines)[0].hunt.Entities); diff != "" {
			t.Errorf("%s (-want +got):\n%s", lines, diff)
		}
	}
}

func TestReconcileIsDailyUnlessToldOtherwise(t *testing.T) {
	for lines, want := range map[string]string{
		"    - {table: DeviceEvents}":                                "17 3 * * *",
		"    - {table: DeviceEvents, reconcile: \"@weekly\"}":        "@weekly",
		"    - {table: DeviceEvents, reconcile: \"\"}":               "",
		"    - {table: DeviceTvmSoftwareInventory}":                  "",
		"    - {table: DeviceTvmSoftwareInventory, reconcile: \"\"}": "",
		"    - {table: DeviceEvents, mode: snapshot}":                "",
		"    - {table: NeverHeardOf}":                                "17 3 * * *",
		"    - {name: q, query: DeviceEvents, mode: replace}":        "",
	} {
		if got := parseHunting(t, lines)[0].hunt.Reconcile.String(); got != want {
			t.Errorf("%s: %q, want %q", lines, got, want)
		}
	}
}

// A query is somebody's text: what looks like an expansion and is none stays.
func TestQueryIsSentAsWritten(t *testing.T) {
	env := fakeEnvironment(map[string]string{"HOST": "srv-1"}, fstest.MapFS{"q.kql": {Data: []byte("DeviceEvents // ${HOST} é\n")}})
	for in, want := range map[string]string{
		`DeviceEvents | where A has "${jndi:ldap://"`: `DeviceEvents | where A has "${jndi:ldap://"`,
		`DeviceEvents | where A has "${"`:             `DeviceEvents | where A has "${"`,
		`A | where B == "${::-j}${lower:n}${}"`:       `A | where B == "${::-j}${lower:n}${}"`,
		`A | where B == "${HOST}" // ${NO:-x}`:        `A | where B == "srv-1" // x`,
		`${file:q.kql}`:                               "DeviceEvents // ${HOST} é",
	} {
		var q queryText
		if err := q.setSource(in, env); err != nil || string(q) != want {
			t.Errorf("%s: %q, %v; want %q", in, q, err, want)
		}
	}
	for in, want := range map[string]string{
		"${NOT_SET}":       "the environment variable NOT_SET is not set",
		"${file:none.kql}": "cannot read the file none.kql",
		" \n\t":            "is empty",
		"${NO:-}":          "is empty",
	} {
		if err := new(queryText).setSource(in, env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

// What is allowed and hardly meant is told, with the name of the stream.
func TestHuntingWarnings(t *testing.T) {
	for lines, want := range map[string]string{
		"{table: DeviceProcesEvents}":              "hunting/device_proces_events: DeviceProcesEvents is no table that is known here; was DeviceProcessEvents meant? Case counts",
		"{table: deviceevents}":                    "hunting/deviceevents: deviceevents is no table that is known here; was DeviceEvents meant? Case counts",
		"{table: MyOwn_CL}":                        "",
		"{table: DeviceEvents}":                    "",
		"{table: DeviceEvents, start: 30d}":        "",
		"{table: DeviceEvents, start: 31d}":        "hunting/device_events: start 31d is further back than the 30 days that advanced hunting sees: reading begins there",
		"{table: DeviceEvents, start: 2020-01-31}": "hunting/device_events: start 2020-01-31T00:00:00Z is further back than the 30 days that advanced hunting sees: reading begins there",
		"{table: DeviceTvmSoftwareInventory}":      `hunting/device_tvm_software_inventory: is read whole on the schedule of streams.defaults (*/5 * * * *); write one of its own, such as "0 4 * * *"`,
		"{table: DeviceEvents, mode: snapshot, schedule: \"@daily\", overlap: 1h}": "hunting/device_events: overlap means nothing in mode snapshot, which reads everything each time",
		"{table: DeviceTvmSoftwareInventory, enabled: false}":                      "",
	} {
		c := parseText(t, huntingFile("    - "+lines+"\n"))
		if got := strings.Join(c.warnings(), "\n"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", lines, got, want)
		}
	}
	c := parseText(t, huntingFile("    - {name: everything, query: \"union Device*\", mode: replace, schedule: \"@daily\"}"))
	if got := c.warnings(); len(got) != 1 || !strings.HasPrefix(got[0], "hunting/everything: ") {
		t.Errorf("%q, want that the union escapes the prelude", got)
	}
}

// The examples of the shipped file are right when somebody takes the # out.
func TestShippedHuntingExamplesAreRight(t *testing.T) {
	shipped, err := os.ReadFile("../../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	before, examples, found := strings.Cut(string(shipped), "  # hunting:\n")
	if !found {
		t.Fatal("there are no examples")
	}
	text := before + "  hunting:\n" + strings.ReplaceAll(examples, "  #   ", "    ")
	if err := validate(t, compileSchema(t), text); err != nil {
		t.Error(err)
	}
	env := fakeEnvironment(map[string]string{"DEFENDER_TENANT_ID": "11111111-2222-3333-4444-555555555555",
		"DEFENDER_CLIENT_ID": "11111111-2222-3333-4444-555555555555", "DEFENDER_CLIENT_SECRET": "x"}, nil)
	c, err := parseConfig("config.yaml", []byte(text), env, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if warnings := c.warnings(); len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
	var modes []string
	for _, s := range c.streamsOf(c.Tenants[0])[2:] {
		modes = append(modes, string(s.Hunt.Mode))
	}
	if got := strings.Join(modes, " "); got != "events events snapshot events replace" {
		t.Errorf("modes %s", got)
	}
}

// The README's example is a configuration.
func TestReadmeConfigurationIsRight(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	if err := validate(t, compileSchema(t), text); err != nil {
		t.Error(err)
	}
	env := fakeEnvironment(map[string]string{"DEFENDER_TENANT_ID": "11111111-2222-3333-4444-555555555555",
		"DEFENDER_CLIENT_ID": "11111111-2222-3333-4444-555555555555"}, fstest.MapFS{"run/secrets/defender": {Data: []byte("x")}})
	inner := env.readFile
	env.readFile = func(path string) ([]byte, error) { return inner(strings.TrimPrefix(path, "/")) }
	c, err := parseConfig("README.md", []byte(text), env, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(c.streamsOf(c.Tenants[0])); got != 5 || len(c.warnings()) > 0 {
		t.Errorf("%d streams, want 5; warnings %q", got, c.warnings())
	}
}

// streams.defaults hold for hunting, too.
func TestHuntingTakesTheDefaults(t *testing.T) {
	text := fmt.Sprintf(oneTenant, "client_secret: x") + `
streams:
  defaults: {schedule: "@every 7m", start: 3d, overlap: 11m, settle: 9s}
  hunting: [{table: DeviceEvents, settle: 0}, {table: EmailEvents, enabled: false}]
`
	streams := parseText(t, text).streamsOf(tenantConfig{API: "defender"})
	if len(streams) != 2 {
		t.Fatalf("%d streams, want incidents and the table that is enabled", len(streams))
	}
	s := streams[1]
	if s.Name != "hunting/device_events" || s.Schedule.String() != "@every 7m" || s.Start.Age != 72*time.Hour || s.Overlap != 11*time.Minute || s.Settle != 0 {
		t.Errorf("%+v", s)
	}
	if s.Hunt.Mode != defsync.ModeEvents {
		t.Errorf("mode %s", s.Hunt.Mode)
	}
}

// The configuration of deploy/compose.yaml is right, with what that sets.
func TestDeployedConfigIsRight(t *testing.T) {
	text, err := os.ReadFile("../../deploy/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, compileSchema(t), string(text)); err != nil {
		t.Error(err)
	}
	env := fakeEnvironment(map[string]string{"DEFENDER_TENANT_ID": "11111111-2222-3333-4444-555555555555",
		"DEFENDER_CLIENT_ID": "11111111-2222-3333-4444-555555555555", "DATABASE_URL": "postgres://defendersync@postgres/defender"}, nil)
	env.readFile = func(string) ([]byte, error) { return []byte("x"), nil }
	c, err := parseConfig("config.yaml", text, env, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if warnings := c.warnings(); len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
}
