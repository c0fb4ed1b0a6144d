package kql

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A piece of a query, as written and without what is in its strings and
// comments.
type piece struct{ full, bare string }

var pieces = []piece{
	{"DeviceEvents", "DeviceEvents"},
	{"AlertInfo", "AlertInfo"},
	{"DeviceTvmSoftwareInventory", "DeviceTvmSoftwareInventory"},
	{"['EmailEvents']", "['EmailEvents']"},
	{"| where", "| where"},
	{"| join (", "| join ("},
	{")", ")"},
	{"let EmailEvents =", "let EmailEvents ="},
	{";", ";"},
	{"A ==", "A =="},
	{".", "."},
	{"union", "union"},
	{`"DeviceInfo"`, `""`},
	{`'it\'s DeviceInfo'`, `''`},
	{`"\\"`, `""`},
	{`@"C:\"`, `""`},
	{`@'DeviceInfo '' " // '`, `''`},
	{`h"DeviceInfo | union *"`, `""`},
	{"```\nDeviceInfo \" ' //\n```", "''"},
	{"~~~DeviceInfo ``` ~~~", "''"},
	{"// DeviceInfo \" ' ``` @\"\n", "\n"},
	{"// search in (DeviceInfo) \r\n", "\n"},
}

// TestStringsAndCommentsAreNotRead compares what is found in a query with what
// is found when its strings are empty and its comments are gone.
func TestStringsAndCommentsAreNotRead(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var full, bare strings.Builder
		for _, p := range rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 30).Draw(rt, "pieces") {
			full.WriteString(p.full + " ")
			bare.WriteString(p.bare + " ")
		}
		q, without := Parse(full.String()), Parse(bare.String())
		if diff := cmp.Diff(without.Tables(), q.Tables()); diff != "" {
			rt.Errorf("%s\nwithout its strings and comments -, with +:\n%s", full.String(), diff)
		}
		if len(q.Unbounded()) != len(without.Unbounded()) {
			rt.Errorf("%s\nescapes by %q, and without strings and comments by %q", full.String(), q.Unbounded(), without.Unbounded())
		}
		if (q.RowLocal() == nil) != (without.RowLocal() == nil) {
			rt.Errorf("%s\nit %v, and without strings and comments it %v", full.String(), q.RowLocal(), without.RowLocal())
		}
	})
}

// TestWindowedEndsInTheText draws any text, and checks the rest of what holds
// of any query.
func TestWindowedEndsInTheText(t *testing.T) {
	text := rapid.Custom(func(rt *rapid.T) string {
		parts := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{" DeviceEvents ", "AlertInfo|", "\"", "'", "```", "//", "\n", "let ", "=", ";", "(", ")", "['", "']", "@"})))
		return strings.Join(parts.Draw(rt, "parts"), "")
	})
	rapid.Check(t, func(rt *rapid.T) { holds(rt, text.Draw(rt, "text")) })
}

// holds checks what is true of every text.
func holds(t interface{ Fatalf(string, ...any) }, text string) {
	q := Parse(text)
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sent := q.Windowed(since, since.Add(time.Hour))
	prelude, whole := strings.CutSuffix(sent, text)
	if !whole {
		t.Fatalf("%q is sent as %q", text, sent)
	}
	lines := strings.Split(prelude, "\n")
	for _, name := range q.Tables() {
		table, known := Lookup(name)
		if !known || !strings.Contains(text, name) {
			t.Fatalf("%q: found the table %q", text, name)
		}
		if has := slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "let "+name+" = "+name+" | where ") }); has != (table.Time != "") {
			t.Fatalf("%q: a line for %s: %v", text, name, has)
		}
	}
	if q.RowLocal() == nil && (len(q.Tables()) != 1 || len(q.Unbounded()) > 0) {
		t.Fatalf("%q is row-local with the tables %q and %q", text, q.Tables(), q.Unbounded())
	}
	if err := q.RowLocal(); err != nil && err.Error() == "" {
		t.Fatalf("%q: no reason", text)
	}
}

// TestOneMoreOperator appends what looks at many rows to what looks at one.
func TestOneMoreOperator(t *testing.T) {
	for _, text := range rowLocal {
		text = strings.TrimSuffix(text, ";")
		for _, more := range []string{"summarize count()", "take 1", "distinct *", "join (datatable(A: string)['a']) on A",
			"where A in (DeviceEvents)", "extend Z = prev(A)", "project Z = toscalar(DeviceEvents | count)", "nonsense"} {
			if Parse(text+"\n| "+more).RowLocal() == nil {
				t.Errorf("row-local with %s:\n%s", more, text)
			}
		}
		if err := Parse(text + "\n| where Z == 1 // summarize").RowLocal(); err != nil {
			t.Errorf("%s\nand a filter: it %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range slices.Concat(rowLocal, awkward) {
		f.Add(text)
	}
	for _, text := range []string{"\"a\\", "@'", "```", "h~~~", "((([{", ")]}", "['", "let let = let", "union *", "search in (", "\xff\xfe", "1.", "0x", "|||", "let f = (", "DeviceEvents | mv-apply a on (where"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		wellLexed(t, text, lex(text))
		holds(t, text)
		if diff := cmp.Diff(Parse(text).Tables(), Parse(text+"\n// DeviceEvents 'x").Tables()); diff != "" {
			t.Errorf("%q: a comment after it changes its tables:\n%s", text, diff)
		}
	})
}
