package kql

import (
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"
)

var out = flag.String("out", "", "write the texts that are sent to this file, for the check with Microsoft's parser")

// sentText is a text as it would be sent, for .ci/kql/check.mjs.
type sentText struct {
	ID        string   `json:"id"`
	Original  *string  `json:"original,omitempty"` // the user's own; absent where the text is all ours
	Sent      string   `json:"sent"`
	Tables    []string `json:"tables"`
	Shadowed  []string `json:"shadowed,omitempty"`
	Unbounded bool     `json:"unbounded,omitempty"`
	Events    bool     `json:"events,omitempty"`
}

// awkward are queries whose windowing is not obvious. The parser knows what
// their names mean.
var awkward = []string{
	`search in (DeviceEvents) "x"`,
	`find in (DeviceEvents, AlertInfo) where Timestamp > ago(1d)`,
	`find where FileName == "x"`,
	`search "x"`,
	`union Device* | where FileName == "x"`,
	`union withsource=T DeviceEvents, Alert* | where 2 * 3 == 6`,
	`union DeviceEvents, (AlertInfo | extend X = 2*3)`,
	`table("DeviceEvents") | take 1`,
	`database("hunting").DeviceEvents | take 1`,
	`['DeviceEvents'] | where FileName == "a"`,
	`DeviceEvents | join kind=inner ["AlertInfo"] on Timestamp`,
	`DeviceEvents | extend AlertInfo = parse_json(AdditionalFields) | where AlertInfo.x == 1`,
	`DeviceEvents | where AdditionalFields['AlertInfo'] == "x" and dynamic(["AlertInfo"])[0] == "y"`,
	`let DeviceEvents = datatable(FileName: string)["a"]; DeviceEvents | where FileName == "a"`,
	`let DeviceEvents = DeviceEvents | where FileName == "a"; DeviceEvents | take 1`,
	`let f = () { let DeviceEvents = DeviceEvents | where FileName == "a"; DeviceEvents | count }; f()`,
	`let f = (AlertInfo: string) { DeviceEvents | where FileName == AlertInfo }; f("a")`,
	`let 2022names = dynamic(["a"]); DeviceEvents | where FileName in (2022names)`,
	"DeviceEvents // AlertInfo\n| where FileName in (@'C:\\', h\"AlertInfo\", ```\nAlertInfo | \" ```, ~~~ AlertInfo ~~~) // DeviceInfo",
	`DeviceEvents | where ActionType == "a\"b|AlertInfo" or ActionType == @"a""AlertInfo"`,
	`CallActivityEvents | where CallId == "1" | union DeviceTvmSoftwareInventory`,
	`DeviceEvents | where FileName in (DeviceEvents | project FileName)`,
	`let f = (x: string) { DeviceEvents | where FileName == x }; f("a") | project FileName`,
	`DeviceEvents | mv-apply A = todynamic(AdditionalFields) on (where A.x == 1 | summarize N = count())`,
	"\ufeffDeviceEvents\u00a0| where FileName == 'a'\u2028// AlertInfo",
}

// TestTexts writes what would be sent for every query of the samples, and for
// every known table.
func TestTexts(t *testing.T) {
	if *out == "" {
		t.Skip("no -out file; make kql gives one")
	}
	since := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	until := since.Add(time.Hour)
	var texts []sentText
	for _, s := range samples(t) {
		texts = append(texts, shadowed(s.ID, s.Query, since, until))
	}
	for _, text := range awkward {
		texts = append(texts, shadowed(text, text, since, until))
	}
	for _, table := range Tables() {
		for _, s := range []Scan{
			{Table: table.Name, Time: table.Time, Since: since, Until: until, Slice: Slice{Of: 8, At: 3}, Drop: table.Key},
			{Table: table.Name, Time: table.Time, Since: since, Until: until},
			{Table: table.Name},
		} {
			texts = append(texts, sentText{ID: table.Name, Sent: s.Text(), Tables: []string{table.Name}},
				sentText{ID: table.Name + " counted", Sent: s.CountText(), Tables: []string{table.Name}})
		}
	}
	write(t, texts)
}

func shadowed(id, text string, since, until time.Time) sentText {
	q := Parse(text)
	s := sentText{ID: id, Original: &text, Sent: q.Windowed(since, until), Tables: q.Tables(),
		Unbounded: len(q.Unbounded()) > 0, Events: q.RowLocal() == nil}
	if s.Tables == nil {
		s.Tables = []string{}
	}
	for _, name := range s.Tables {
		if table, _ := Lookup(name); table.Time != "" {
			s.Shadowed = append(s.Shadowed, name)
		}
	}
	return s
}

func write(t *testing.T, texts []sentText) {
	t.Helper()
	f, err := os.Create(*out)
	if err != nil {
		t.Fatal(err)
	}
	e := json.NewEncoder(f)
	e.SetEscapeHTML(false)
	for _, text := range texts {
		if err := e.Encode(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
