package defendersim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

// hunt sends a hunting query to the dialect that the path is of. Header
// values come in pairs.
func (s *tenant) hunt(path, body string, header ...string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Authorization", "Bearer "+bearer(s.t, s.sim, path))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

const (
	graphHunt = "/v1.0/security/runHuntingQuery"
	olderHunt = "/api/advancedhunting/run"
)

// kql is the body of a request for a query.
func kql(query string, timespan ...string) string {
	body := map[string]string{"Query": query}
	for _, t := range timespan {
		body["Timespan"] = t
	}
	b, _ := json.Marshal(body) // texts
	return string(b)
}

// found is a whole answer of either dialect.
type found struct {
	Schema  []struct{ Name, Type string }
	Results []map[string]any
	Stats   map[string]any
	text    string
}

func (s *tenant) ask(path, query string, timespan ...string) *found {
	s.t.Helper()
	res := s.hunt(path, kql(query, timespan...))
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %v %.300s", query, res.StatusCode, err, b)
	}
	f := &found{text: string(b)}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(f); err != nil {
		s.t.Fatalf("%s: %v in %.300s", query, err, b)
	}
	return f
}

// refused checks the error that a query meets.
func (s *tenant) refused(path, body string, status int, code, message string) {
	s.t.Helper()
	res := s.hunt(path, body)
	e, _ := decode(s.t, res)["error"].(map[string]any)
	if res.StatusCode != status || e["code"] != code || e["message"] != message {
		s.t.Errorf("%s %.80s: got %d %v, want %d %s %s", path, body, res.StatusCode, e, status, code, message)
	}
}

// cells writes rows as texts, by column, so that answers can be compared.
func (f *found) cells() []string {
	var list []string
	for _, row := range f.Results {
		var b strings.Builder
		for i, c := range f.Schema {
			if i > 0 {
				b.WriteByte('|')
			}
			v := row[c.Name]
			if nested, ok := v.(map[string]any); ok {
				v, _ = json.Marshal(nested)
				v = string(v.([]byte))
			}
			fmt.Fprint(&b, v)
		}
		list = append(list, b.String())
	}
	return list
}

// sortedCells are the cells where the order says nothing.
func (f *found) sortedCells() []string { return slices.Sorted(slices.Values(f.cells())) }

// at is a time before the clock's, as ticks.
func (c *clock) at(before time.Duration) int64 {
	return int64(defendersim.TicksOf(c.Now().Add(-before)))
}

// eventTable is a table with a column of each type.
var eventTable = defendersim.HuntTable{Name: "DeviceEvents", Time: "Timestamp", Columns: []defendersim.HuntColumn{
	{"Timestamp", "datetime"}, {"DeviceName", "string"}, {"LogonId", "long"}, {"LogonID", "long"}, {"Port", "int"}, {"IsLocal", "bool"},
	{"Score", "real"}, {"Price", "decimal"}, {"Id", "guid"}, {"Took", "timespan"}, {"Fields", "dynamic"}, {"Created", "datetime"}}}

// newHunting is a table of three rows, an hour apart, the newest an hour old.
func newHunting(c *clock) *defendersim.HuntTables {
	h := defendersim.NewHunting()
	h.AddTable(eventTable)
	h.AddRows("DeviceEvents",
		defendersim.HuntRow{Ticks: c.at(3 * time.Hour), Values: []any{nil, "alpha beta.exe", int64(1<<53 + 1), int64(7), int64(443), true,
			1.5, "12.3400", "11111111-2222-4333-8444-555555555555", "1.02:03:04.5000000", json.RawMessage(`{"a":[1,"x"]}`), defendersim.HuntTicks(c.at(4*time.Hour) / 1e7 * 1e7)}},
		defendersim.HuntRow{Ticks: c.at(2 * time.Hour), Values: []any{nil, "Alpha\x00\"ü", int64(-5), nil, int64(80), false, 0.25, "7", nil, "00:00:01", json.RawMessage(`"text"`), nil}},
		defendersim.HuntRow{Ticks: c.at(time.Hour), Values: []any{nil, "gamma"}},
	)
	return h
}

func huntTenant(t *testing.T, opt defendersim.Options) *tenant {
	t.Helper()
	opt.Hunting = newHunting(newClock()) // the clocks all begin alike
	return serve(t, opt)
}

func TestHuntingGraph(t *testing.T) {
	s := huntTenant(t, defendersim.Options{})
	f := s.ask(graphHunt, "DeviceEvents | where Port == 443")
	const head = `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.security.huntingQueryResults","schema":[{"name":"Timestamp","type":"DateTime"},{"name":"DeviceName","type":"String"},` +
		`{"name":"LogonId","type":"Int64"},{"name":"LogonID","type":"Int64"},{"name":"Port","type":"Int32"},{"name":"IsLocal","type":"Boolean"},{"name":"Score","type":"Double"},{"name":"Price","type":"SqlDecimal"},` +
		`{"name":"Id","type":"Guid"},{"name":"Took","type":"TimeSpan"},{"name":"Fields","type":"Object"},{"name":"Created","type":"DateTime"}],"results":[{`
	if !strings.HasPrefix(f.text, head) || !strings.HasSuffix(f.text, "}]}") || f.Stats != nil {
		t.Errorf("got %s", f.text)
	}
	want := []string{`2026-11-22T09:00:00.1234567Z|alpha beta.exe|9007199254740993|7|443|true|1.5|12.3400|11111111-2222-4333-8444-555555555555|1.02:03:04.5000000|{"a":[1,"x"]}|2026-11-22T08:00:00Z`}
	if !slices.Equal(f.cells(), want) {
		t.Errorf("got %q", f.cells())
	}
	if strings.Index(f.text, `"DeviceName":"alpha`) < strings.Index(f.text, `"LogonID":7`) && strings.Index(f.text, `"LogonID":7`) < strings.Index(f.text, `"Took":`) && strings.Index(f.text, `"Took":`) < strings.Index(f.text, `"Created":"`) {
		t.Error("the keys of a row keep the schema's order, which the service does not promise")
	}
}

func TestHuntingOlder(t *testing.T) {
	s := huntTenant(t, defendersim.Options{})
	f := s.ask(olderHunt, "DeviceEvents | where Port == 80")
	if !strings.HasPrefix(f.text, `{"Stats":{"ExecutionTime":`) || !strings.Contains(f.text, `,"Schema":[{"Name":"Timestamp","Type":"DateTime"},`) ||
		!strings.Contains(f.text, `{"Name":"IsLocal","Type":"SByte"}`) || !strings.Contains(f.text, `"Results":[{"Timestamp":"2026-11-22T10:00:00.1234567Z","DeviceName":"Alpha\u0000\"ü","LogonId":-5,"LogonID":null,"Port":80,`) {
		t.Errorf("got %s", f.text)
	}
	usage := f.Stats["resource_usage"].(map[string]any)
	if cpu := usage["cpu"].(map[string]any)["total cpu"]; cpu != "00:00:00.0500300" {
		t.Errorf("total cpu %v", cpu)
	}
	if rows := f.Stats["dataset_statistics"].([]any)[0].(map[string]any)["table_row_count"]; fmt.Sprint(rows) != "1" {
		t.Errorf("table_row_count %v", rows)
	}
}

func TestHuntingNulls(t *testing.T) {
	s := huntTenant(t, defendersim.Options{})
	f := s.ask(olderHunt, "DeviceEvents | where DeviceName == 'gamma'")
	if want := []string{"2026-11-22T11:00:00.1234567Z|gamma|<nil>|<nil>|<nil>|<nil>|<nil>|<nil>|<nil>|<nil>|<nil>|<nil>"}; !slices.Equal(f.cells(), want) {
		t.Errorf("got %q", f.cells())
	}
	s.sim.Hunting().AddRows("DeviceEvents", defendersim.HuntRow{Ticks: newClock().at(time.Minute), Values: []any{nil, nil, int64(9)}})
	if f := s.ask(olderHunt, "DeviceEvents | where LogonId == 9 and DeviceName == '' | project DeviceName"); !slices.Equal(f.cells(), []string{""}) || !strings.Contains(f.text, `"DeviceName":""`) {
		t.Errorf("a text is never null: %s", f.text)
	}
}

func TestHuntingRequests(t *testing.T) {
	s := huntTenant(t, defendersim.Options{})
	ok := s.hunt(graphHunt, `{"query":"DeviceEvents | count","timespan":"P1D"}`)
	if body := decode(t, ok); ok.StatusCode != 200 || ok.Header.Get("Date") != "Sun, 22 Nov 2026 12:00:00 GMT" {
		t.Errorf("%d %v %v", ok.StatusCode, ok.Header, body)
	}
	const unread = "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format."
	s.refused(olderHunt, `{"query":"DeviceEvents"}`, 400, "MissingRequiredParameter", "Parameter Query is missing")
	s.refused(olderHunt, `{"Query":5}`, 400, "InvalidRequestBody", "Invalid request body")
	s.refused(olderHunt, `DeviceEvents`, 400, "InvalidRequestBody", "Invalid request body")
	s.refused(graphHunt, `[]`, 400, "BadRequest", unread)
	s.refused(graphHunt, `{}`, 400, "BadRequest", "The parameter 'query' is required.")
	s.refused(graphHunt, kql("DeviceEvents", "yesterday"), 400, "BadRequest", "The value 'yesterday' of the parameter 'timespan' is not a valid ISO 8601 time interval.")
	s.refused(graphHunt, kql(strings.Repeat(" ", 1<<20)), 413, "RequestEntityTooLarge", "The request body is too large.")
	res := s.hunt(graphHunt, kql("DeviceEvents"), "Content-Type", "text/plain")
	if body := fmt.Sprint(decode(t, res)); res.StatusCode != 400 || !strings.Contains(body, unread) {
		t.Errorf("no content type: %d %s", res.StatusCode, body)
	}
	for kind, want := range map[string]string{"application/json": "0", "application/json; charset=utf-8": "1"} {
		res := s.hunt(graphHunt, kql("DeviceEvents | where DeviceName contains 'ü' | count"), "Content-Type", kind)
		if body := fmt.Sprint(decode(t, res)["results"]); body != "[map[Count:"+want+"]]" {
			t.Errorf("%s: %s, want %s", kind, body, want)
		}
	}
	get, err := s.request(graphHunt)
	if err != nil {
		t.Fatal(err)
	}
	if get.Body.Close(); get.StatusCode != 404 {
		t.Errorf("GET: %d", get.StatusCode)
	}
}

func TestHuntingRoles(t *testing.T) {
	s := huntTenant(t, defendersim.Options{GraphRoles: []string{"SecurityIncident.Read.All"}, OlderRoles: []string{}})
	s.refused(graphHunt, kql("DeviceEvents"), 403, "Forbidden", "Missing application roles. API required roles: ThreatHunting.Read.All, application roles: SecurityIncident.Read.All.")
	s.refused(olderHunt, kql("DeviceEvents"), 403, "Forbidden", "Missing application roles. API required roles: AdvancedHunting.Read.All, application roles: .")
	s.sim.SetRoles([]string{"ThreatHunting.Read.All"}, []string{"AdvancedHunting.Read.All"})
	if n := len(s.ask(graphHunt, "DeviceEvents").Results) + len(s.ask(olderHunt, "DeviceEvents").Results); n != 6 {
		t.Errorf("%d rows", n)
	}
}

func TestHuntingLog(t *testing.T) {
	s := huntTenant(t, defendersim.Options{})
	s.ask(graphHunt, "DeviceEvents // all\n", "P1D")
	s.ask(olderHunt, "DeviceEvents | take 1")
	log := s.sim.Requests()
	one, two := log[len(log)-3], log[len(log)-1]
	if one.Endpoint != defendersim.Hunting || one.Query != "DeviceEvents // all\n" || one.Timespan != "P1D" || one.Status != 200 || one.Method != "POST" {
		t.Errorf("%+v", one)
	}
	if two.Endpoint != defendersim.OlderHunting || two.Query != "DeviceEvents | take 1" || two.Timespan != "" {
		t.Errorf("%+v", two)
	}
	if n := s.sim.Calls(defendersim.Hunting, defendersim.OlderHunting); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestHuntingTimespan(t *testing.T) {
	s := huntTenant(t, defendersim.Options{})
	s.sim.Hunting().AddRows("DeviceEvents", defendersim.HuntRow{Ticks: s.clock.at(30*24*time.Hour - 1), Values: []any{nil, "old"}},
		defendersim.HuntRow{Ticks: s.clock.at(30*24*time.Hour + 100), Values: []any{nil, "older"}})
	const rows = "DeviceEvents | project DeviceName"
	for timespan, want := range map[string]string{
		"": "gamma alpha Alpha old", "P30D": "gamma alpha Alpha old", "P365D": "gamma alpha Alpha old", "PT150M": "gamma Alpha", "P1W": "gamma alpha Alpha",
		"2026-11-22T10:00:00Z/2026-11-22T11:00:00Z": "Alpha", "2026-11-22T10:00:00.1234567Z/2026-11-22T11:00:00.1234567Z": "Alpha", "2026-11-22T10:00:00Z/PT1H": "Alpha",
		"PT2H/2026-11-22T11:00:00Z": "Alpha alpha", "2026-11-22T10:30:00Z": "gamma", "2026-11-22": "gamma alpha Alpha", "2026-10-01/2026-11-22": "old",
	} {
		var got []string
		for _, c := range s.ask(graphHunt, rows, timespan).sortedCells() {
			got = append(got, strings.FieldsFunc(c, func(r rune) bool { return r == ' ' || r == 0 })[0])
		}
		wanted := strings.Fields(want)
		if slices.Sort(wanted); !slices.Equal(got, wanted) {
			t.Errorf("%s: %q, want %q", timespan, got, wanted)
		}
	}
	if n := len(s.ask(olderHunt, rows, "PT1M").Results); n != 4 {
		t.Errorf("the older API took a timespan: %d rows", n)
	}
	for _, bad := range []string{"P", "PT", "P1Y", "P1D/P1D", "a/b", "2026-11-22T10:00:00Z/", "/"} {
		if res := s.hunt(graphHunt, kql(rows, bad)); res.StatusCode != 400 {
			t.Errorf("%q: %d", bad, res.StatusCode)
		}
	}
}
