package kql

import (
	"strings"
	"testing"
	"time"
)

var (
	scanFrom = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	scanTo   = scanFrom.Add(time.Hour)
)

func TestScanText(t *testing.T) {
	const window = "\n| where Timestamp >= datetime(2026-11-20T00:00:00.0000000Z) and Timestamp < datetime(2026-11-20T01:00:00.0000000Z)"
	for _, c := range []struct {
		what        string
		scan        Scan
		text, count string
	}{{
		what:  "everything",
		scan:  Scan{Table: "DeviceProcessEvents", Time: "Timestamp", Since: scanFrom, Until: scanTo, Slice: Slice{Of: 8, At: 3}, Drop: []string{"AccountSid"}},
		text:  "DeviceProcessEvents" + window + "\n| where hash(tostring(pack_all()), 8) == 3\n| project-away AccountSid",
		count: "DeviceProcessEvents" + window + "\n| where hash(tostring(pack_all()), 8) == 3\n| summarize Rows = count() by Hour = bin(Timestamp, 1h)",
	}, {
		what:  "a window",
		scan:  Scan{Table: "DeviceProcessEvents", Time: "Timestamp", Since: scanFrom, Until: scanTo},
		text:  "DeviceProcessEvents" + window,
		count: "DeviceProcessEvents" + window + "\n| summarize Rows = count() by Hour = bin(Timestamp, 1h)",
	}, {
		what:  "no window of a table with a time",
		scan:  Scan{Table: "DeviceTvmInfoGathering", Time: "Timestamp"},
		text:  "DeviceTvmInfoGathering",
		count: "DeviceTvmInfoGathering\n| summarize Rows = count() by Hour = bin(Timestamp, 1h)",
	}, {
		what:  "a snapshot",
		scan:  Scan{Table: "DeviceTvmSoftwareInventory", Since: scanFrom, Until: scanTo, Drop: []string{"DeviceName", "OSPlatform"}},
		text:  "DeviceTvmSoftwareInventory\n| project-away DeviceName, OSPlatform",
		count: "DeviceTvmSoftwareInventory\n| summarize Rows = count()",
	}, {
		what:  "a slice of a snapshot",
		scan:  Scan{Table: "ExposureGraphNodes", Slice: Slice{Of: 2}},
		text:  "ExposureGraphNodes\n| where hash(tostring(pack_all()), 2) == 0",
		count: "ExposureGraphNodes\n| where hash(tostring(pack_all()), 2) == 0\n| summarize Rows = count()",
	}, {
		what:  "another time column",
		scan:  Scan{Table: "CallActivityEvents", Time: "ActivityTimestamp", Since: scanFrom, Until: scanTo},
		text:  "CallActivityEvents" + strings.ReplaceAll(window, "Timestamp", "ActivityTimestamp"),
		count: "CallActivityEvents" + strings.ReplaceAll(window, "Timestamp", "ActivityTimestamp") + "\n| summarize Rows = count() by Hour = bin(ActivityTimestamp, 1h)",
	}, {
		what:  "names that need brackets",
		scan:  Scan{Table: "my-table_CL", Time: "it's", Since: scanFrom, Until: scanTo, Drop: []string{"a b", `c\d`}},
		text:  `['my-table_CL']` + strings.ReplaceAll(window, "Timestamp", `['it\'s']`) + "\n| project-away ['a b'], ['c\\\\d']",
		count: `['my-table_CL']` + strings.ReplaceAll(window, "Timestamp", `['it\'s']`) + "\n| summarize Rows = count() by Hour = bin(['it\\'s'], 1h)",
	}} {
		if got := c.scan.Text(); got != c.text {
			t.Errorf("%s:\n%s\nwant\n%s", c.what, got, c.text)
		}
		if got := c.scan.CountText(); got != c.count {
			t.Errorf("%s, counted:\n%s\nwant\n%s", c.what, got, c.count)
		}
	}
}

func TestScanTimes(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	s := Scan{Table: "T", Time: "Timestamp", Since: time.Date(2026, 11, 20, 1, 0, 0, 123456789, berlin), Until: time.Date(2026, 11, 20, 1, 0, 0, 123457000, berlin)}
	want := "T\n| where Timestamp >= datetime(2026-11-20T00:00:00.1234567Z) and Timestamp < datetime(2026-11-20T00:00:00.1234570Z)"
	if got := s.Text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"DeviceEvents": "DeviceEvents",
		"_a1":          "_a1",
		"1a":           "['1a']",
		"":             "['']",
		"a b":          "['a b']",
		"a*":           "['a*']",
		"größe":        "['größe']",
		"where":        "['where']",
		"Where":        "Where",
		`a'] | take 1`: `['a\'] | take 1']`,
		`\'`:           `['\\\'']`,
		"a\nb\u2028c":  `['a\u000ab\u2028c']`,
		"a//b":         "['a//b']",
		"a\"b":         `['a"b']`,
	} {
		if got := name(in); got != want {
			t.Errorf("name(%q) = %s, want %s", in, got, want)
		}
	}
}

// TestNameIsOneToken looks at what is written with the reader: whatever the
// name, it is one token that says it.
func TestNameIsOneToken(t *testing.T) {
	for _, in := range []string{"DeviceEvents", "a b", "it's", `back\slash`, `a'] | union *`, "a]b", `"`, "日本", "a // b"} {
		tokens := lex(name(in))
		if len(tokens) != 1 || tokens[0].text != in || !tokens[0].named() {
			t.Errorf("%q is written as %s, which reads as %+v", in, name(in), tokens)
		}
	}
}
