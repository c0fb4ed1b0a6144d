package kql

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTablesOfQuery(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                   nil,
		"print 1":                            nil,
		"DeviceEvents":                       {"DeviceEvents"},
		"  DeviceEvents|take 1":              {"DeviceEvents"},
		"deviceevents | take 1":              nil,
		"MyDeviceEvents | DeviceEventsOther": nil,
		"union AlertInfo, DeviceEvents, AlertInfo":                                        {"AlertInfo", "DeviceEvents"},
		"DeviceEvents // AlertInfo":                                                       {"DeviceEvents"},
		"// AlertInfo\nDeviceEvents":                                                      {"DeviceEvents"},
		`DeviceEvents | where A == "AlertInfo" or B == 'AlertInfo'`:                       {"DeviceEvents"},
		`DeviceEvents | where A == @"\" or AlertInfo == "a\"b"`:                           {"DeviceEvents", "AlertInfo"},
		"DeviceEvents | where A == ```AlertInfo``` or B == h'AlertInfo'":                  {"DeviceEvents"},
		"['DeviceEvents'] | join [\"AlertInfo\"] on X":                                    {"DeviceEvents", "AlertInfo"},
		"DeviceEvents | where A['AlertInfo'] == 1":                                        {"DeviceEvents"},
		"DeviceEvents | where A in (dynamic(['AlertInfo']))":                              {"DeviceEvents"},
		"DeviceEvents | where A.AlertInfo == 1 or $AlertInfo":                             {"DeviceEvents"},
		"DeviceEvents | extend X = AlertInfo(1)":                                          {"DeviceEvents"},
		"DeviceEvents | extend AlertInfo = 1":                                             {"DeviceEvents"},
		"let f = (AlertInfo: string) { DeviceEvents }; f('')":                             {"DeviceEvents"},
		"let AlertInfo = datatable(A: string)['a']; DeviceEvents | join (AlertInfo) on A": {"DeviceEvents"},
		"let DeviceEvents = DeviceEvents | where A == 1; DeviceEvents":                    nil,
		"let f = () { let DeviceEvents = DeviceEvents; DeviceEvents }; f()":               {"DeviceEvents"},
		"DeviceEvents | where A between (1 ..AlertInfo)":                                  {"DeviceEvents", "AlertInfo"},
		"search in (DeviceEvents, AlertInfo) 'x'":                                         {"DeviceEvents", "AlertInfo"},
		"GraphApiAuditEvents | union GraphAPIAuditEvents":                                 {"GraphApiAuditEvents", "GraphAPIAuditEvents"},
		"DeviceTvmSoftwareInventory | join DeviceInfo on DeviceId // AlertInfo":           {"DeviceTvmSoftwareInventory", "DeviceInfo"},
	} {
		if diff := cmp.Diff(want, Parse(text).Tables()); diff != "" {
			t.Errorf("%s\n(-want +got):\n%s", text, diff)
		}
	}
}

func TestClock(t *testing.T) {
	for text, want := range map[string][]string{
		"DeviceEvents": nil,
		"let since = ago(7d);\nDeviceEvents\n| where Timestamp between (since .. now ())": {"ago() (line 1)", "now() (line 3)"},
		"DeviceEvents | where X == 'ago(1d)' // now()":                                    nil,
		"DeviceEvents | project ago, now | where a.now() == 1":                            nil,
		"DeviceEvents | where Timestamp > ago(1d) and T2 > ago(2d)":                       {"ago() (line 1)", "ago() (line 1)"},
	} {
		if diff := cmp.Diff(want, Parse(text).Clock()); diff != "" {
			t.Errorf("%s\n(-want +got):\n%s", text, diff)
		}
	}
}

func TestUnbounded(t *testing.T) {
	for text, want := range map[string][]string{
		"DeviceEvents | take 1":                                        nil,
		"union Device*":                                                {"union Device* (line 1)"},
		"union withsource=T kind=outer\n *":                            {"union * (line 1)"},
		"union AlertInfo, D*vent* | where A == 1":                      {"union D*vent* (line 1)"},
		"AlertInfo\n| union isfuzzy=true Device* | take 1":             {"union Device* (line 2)"},
		"union AlertInfo, (DeviceEvents | extend A = 2*3)":             nil,
		"union AlertInfo, DeviceEvents | extend A = B * C":             nil,
		"AlertInfo | join (union DeviceEvents) on A | where B * C > 1": nil,
		"search 'x'":                          {"search (line 1)"},
		"search kind=case_sensitive A:'x'":    {"search (line 1)"},
		"search in (DeviceEvents) 'x'":        nil,
		"search kind=default in (Alert*) 'x'": {"search in Alert* (line 1)"},
		"search A in ('x')":                   {"search (line 1)"},
		"DeviceEvents | search 'x'":           nil,
		"let a = search 'x'; a":               {"search (line 1)"},
		"find where A == 1":                   {"find (line 1)"},
		"find withsource=T in (DeviceEvents, AlertInfo) where A == 1":   nil,
		"DeviceEvents | join (find in (Al*) where A == 1) on B":         {"find in Al* (line 1)"},
		"DeviceEvents | where find == 1 and search has 'x'":             nil,
		"// search\nDeviceEvents | where A == 'union *'":                nil,
		"table('DeviceEvents')\n| union database('d').AlertInfo":        {"table() (line 1)", "database() (line 2)"},
		"workspace('w').DeviceEvents":                                   {"workspace() (line 1)"},
		"DeviceEvents | extend table = 1":                               nil,
		"let AlertInfo = datatable(A: string)['a']; AlertInfo":          nil,
		"let DeviceEvents = DeviceEvents | where A == 1;\nDeviceEvents": {"DeviceEvents beside the query's own DeviceEvents (line 1)"},
		"let a = AlertInfo;\nlet AlertInfo = a; AlertInfo":              {"AlertInfo beside the query's own AlertInfo (line 1)"},
		"search":         {"search (line 1)"},
		"union":          nil,
		"union union A*": {"union A* (line 1)"},
		"find in":        {"find (line 1)"},
		"find in (":      {"find (line 1)"},
	} {
		if diff := cmp.Diff(want, Parse(text).Unbounded()); diff != "" {
			t.Errorf("%s\n(-want +got):\n%s", text, diff)
		}
	}
}

func TestWindowed(t *testing.T) {
	since := time.Date(2026, 11, 20, 0, 0, 0, 100, time.UTC)
	until := since.Add(time.Hour)
	const window = "Timestamp >= datetime(2026-11-20T00:00:00.0000001Z) and "
	for text, want := range map[string]string{
		"DeviceEvents | take 1 // x": "let DeviceEvents = DeviceEvents | where " + window + "Timestamp < datetime(2026-11-20T01:00:00.0000001Z);\n",
		"CallActivityEvents":         "let CallActivityEvents = CallActivityEvents | where Activity" + window + "ActivityTimestamp < datetime(2026-11-20T01:00:00.0000001Z);\n",
		"DeviceTvmSoftwareInventory": "",
		"print 1":                    "",
		"search 'x'":                 "",
		"MyTable_CL | take 1":        "",
		"AlertInfo | join DeviceTvmSoftwareInventory on A | join AlertEvidence on B\r\n": "let AlertInfo = AlertInfo | where " + window + "Timestamp < datetime(2026-11-20T01:00:00.0000001Z);\n" +
			"let AlertEvidence = AlertEvidence | where " + window + "Timestamp < datetime(2026-11-20T01:00:00.0000001Z);\n",
		"let AlertInfo = AlertInfo | where A == 1; AlertInfo": "",
	} {
		q := Parse(text)
		if got := q.Windowed(since, until); got != want+text {
			t.Errorf("got\n%s\nwant\n%s", got, want+text)
		}
		if q.Text() != text {
			t.Errorf("the text is %q, was %q", q.Text(), text)
		}
	}
}

func TestQueryGivesCopies(t *testing.T) {
	q := Parse("search 'x' | where Timestamp > ago(1d) and A in (AlertInfo)")
	for _, list := range []func() []string{q.Tables, q.Clock, q.Unbounded} {
		list()[0] = "changed"
		if strings.Contains(list()[0], "changed") {
			t.Error("a caller changed the query")
		}
	}
}
