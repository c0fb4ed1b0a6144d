package defendersim_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

// TestHuntEncodings writes the same row in all the ways.
func TestHuntEncodings(t *testing.T) {
	for name, tc := range map[string]struct {
		encoding    defendersim.HuntEncoding
		graph       []string // pieces of the answer
		older, lack string   // a piece of the older answer, and of neither
	}{
		"likeliest":     {defendersim.HuntEncoding{}, []string{`"IsLocal":true`, `"Price":12.3400`, `"Fields":{"a":[1,"x"]}`, `"Score":1.5`}, `"IsLocal":true,"Score":1.5,"Price":12.3400`, "@odata.type"},
		"bool 1":        {defendersim.HuntEncoding{BoolAs: "1"}, []string{`"IsLocal":1`}, `"IsLocal":1,`, `"IsLocal":true`},
		"bool True":     {defendersim.HuntEncoding{BoolAs: "True"}, []string{`"IsLocal":"True"`}, `"IsLocal":"True"`, `"IsLocal":true`},
		"dynamic text":  {defendersim.HuntEncoding{DynamicAsString: true}, []string{`"Fields":"{\"a\":[1,\"x\"]}"`}, `"Fields":"{\"a\":[1,\"x\"]}"`, `"Fields":{`},
		"decimal text":  {defendersim.HuntEncoding{DecimalAsString: true}, []string{`"Price":"12.3400"`}, `"Price":"12.3400"`, `"Price":12`},
		"odata":         {defendersim.HuntEncoding{AnnotateODataTypes: true}, []string{`"LogonId@odata.type":"#Int64","LogonId":9007199254740993`}, `"LogonId":9007199254740993`, `"Port@odata.type"`},
		"camel":         {defendersim.HuntEncoding{CamelRowKeys: true}, []string{`"deviceName":"alpha`, `"logonId":`, `"logonID":7`, `{"name":"DeviceName"`}, `"DeviceName":"alpha`, `"Timestamp":"2026-11-22T09:00:00.1234567Z","deviceName"`},
		"pascal schema": {defendersim.HuntEncoding{PascalSchemaOnGraph: true}, []string{`"schema":[{"Name":"Timestamp","Type":"DateTime"}`}, `"Schema":[{"Name":"Timestamp"`, `"name":`},
		"ordered":       {defendersim.HuntEncoding{SchemaOrderedRowKeys: true}, []string{`{"Timestamp":"2026-11-22T09:00:00.1234567Z","DeviceName":"alpha beta.exe","LogonId":9007199254740993,"LogonID":7,"Port":443,`}, `{"Timestamp":"2026`, "@odata.type"},
	} {
		s := huntTenant(t, defendersim.Options{HuntEncoding: tc.encoding})
		graph, older := s.ask(graphHunt, "DeviceEvents | where Port == 443").text, s.ask(olderHunt, "DeviceEvents | where Port == 443").text
		for _, piece := range tc.graph {
			if !strings.Contains(graph, piece) {
				t.Errorf("%s: no %s in %s", name, piece, graph)
			}
		}
		if !strings.Contains(older, tc.older) || strings.Contains(graph, tc.lack) {
			t.Errorf("%s: %s\n%s", name, graph, older)
		}
	}
}

func TestOmitNulls(t *testing.T) {
	s := huntTenant(t, defendersim.Options{HuntEncoding: defendersim.HuntEncoding{OmitNulls: true, AnnotateODataTypes: true, SchemaOrderedRowKeys: true}})
	s.sim.Hunting().AddRows("DeviceEvents", defendersim.HuntRow{Ticks: s.clock.at(time.Minute), Values: []any{nil, nil, int64(9)}})
	for query, want := range map[string]string{
		"DeviceEvents | where DeviceName == 'gamma'":                             `"results":[{"Timestamp":"2026-11-22T11:00:00.1234567Z","DeviceName":"gamma"}]}`,
		"DeviceEvents | where LogonId == 9":                                      `"results":[{"Timestamp":"2026-11-22T11:59:00.1234567Z","DeviceName":"","LogonId@odata.type":"#Int64","LogonId":9}]}`,
		"DeviceEvents | where LogonId == 9 | project LogonID":                    `"results":[{}]}`,
		"DeviceEvents | where LogonId == 9 | project Port, LogonId, Score, Took": `"results":[{"LogonId@odata.type":"#Int64","LogonId":9}]}`,
	} {
		if f := s.ask(graphHunt, query); !strings.HasSuffix(f.text, want) {
			t.Errorf("%s: %s", query, f.text)
		}
	}
}

// TestHuntValues serves the values that a type has at its edges.
func TestHuntValues(t *testing.T) {
	for mode, reals := range map[string][]string{"": {`"NaN"`, `"Infinity"`, `"-Infinity"`}, "null": {"null", "null", "null"}, "bare": {"NaN", "Infinity", "-Infinity"}} {
		h := defendersim.NewHunting()
		h.AddTable(defendersim.HuntTable{Name: "V", Columns: []defendersim.HuntColumn{{"R", "real"}, {"L", "long"}, {"T", "datetime"}, {"D", "timespan"}, {"S", "string"}, {"X", "UInt64"}}})
		far := defendersim.TicksOf(time.Date(9999, 12, 31, 23, 59, 59, 999_999_900, time.UTC))
		h.AddRows("V",
			defendersim.HuntRow{Values: []any{math.NaN(), int64(math.MaxInt64), far, "-1.00:00:00", "a\x00\xff", uint64(math.MaxUint64)}},
			defendersim.HuntRow{Values: []any{math.Inf(1), int64(math.MinInt64), "2026-11-22T00:00:00", nil, json.RawMessage("\"\xff\""), nil}},
			defendersim.HuntRow{Values: []any{math.Inf(-1), uint64(1 << 63), defendersim.HuntTicks(-1), "00:00:00.0000001", json.RawMessage(`5`), nil}})
		s := serve(t, defendersim.Options{Hunting: h})
		_, body, err := s.read(olderHunt, "V | sort by L asc")
		want := `"Schema":[{"Name":"R","Type":"Double"},{"Name":"L","Type":"Int64"},{"Name":"T","Type":"DateTime"},{"Name":"D","Type":"TimeSpan"},{"Name":"S","Type":"String"},{"Name":"X","Type":"UInt64"}],"Results":[` +
			`{"R":` + reals[1] + `,"L":-9223372036854775808,"T":"2026-11-22T00:00:00","D":null,"S":"` + "\xff" + `","X":null},` +
			`{"R":` + reals[0] + `,"L":9223372036854775807,"T":"9999-12-31T23:59:59.9999999Z","D":"-1.00:00:00","S":"a\u0000` + "\ufffd" + `","X":18446744073709551615},` +
			`{"R":` + reals[2] + `,"L":9223372036854775808,"T":"1969-12-31T23:59:59.9999999Z","D":"00:00:00.0000001","S":5,"X":null}]}`
		if mode != "" {
			s = serve(t, defendersim.Options{Hunting: h, HuntEncoding: defendersim.HuntEncoding{NaNAs: mode}})
			_, body, err = s.read(olderHunt, "V | sort by L asc")
		}
		if err != nil || !strings.HasSuffix(body, want) {
			t.Errorf("%q: %v\n got %s\nwant %s", mode, err, body, want)
		}
	}
}

// TestTimeAsText serves a row's time as it was given, and finds it by its ticks.
func TestTimeAsText(t *testing.T) {
	s := huntTenant(t, defendersim.Options{})
	s.sim.Hunting().AddRows("DeviceEvents", defendersim.HuntRow{Ticks: s.clock.at(30 * time.Minute), Values: []any{"2026-11-22T12:30:00.1234567+01:00", "text"}})
	f := s.ask(graphHunt, "DeviceEvents | where Timestamp > datetime(2026-11-22T11:29:00Z) | project Timestamp, DeviceName")
	if want := []string{"2026-11-22T12:30:00.1234567+01:00|text"}; !slices.Equal(f.cells(), want) {
		t.Errorf("got %q", f.cells())
	}
}

func TestTicks(t *testing.T) {
	for _, text := range []string{"0001-01-01T00:00:00Z", "1969-12-31T23:59:59.9999999Z", "2026-11-22T09:00:00.1234567Z", "9999-12-31T23:59:59.9999999Z"} {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := defendersim.TicksOf(at).Time(); !got.Equal(at) {
			t.Errorf("%s became %s", at, got)
		}
	}
}
