package kql

import (
	"errors"
	"strings"
	"testing"
)

// rowLocal are queries that look at one row at a time, in all the ways there
// are to write them.
var rowLocal = []string{
	"DeviceEvents",
	"DeviceEvents;",
	"DeviceEvents | where FileName == 'a' | project FileName, Timestamp | sort by Timestamp desc",
	"DeviceEvents | filter A == 1 | extend B = strcat(A, 'x') | project-away A | project-keep B | project-rename C = B | project-reorder C | order by C | render timechart",
	"DeviceEvents | parse A with * 'x' B 'y' * | parse-where kind=regex A with 'x' C | parse-kv D as (E: string) with (pair_delimiter=';')",
	"DeviceEvents | mv-expand A = todynamic(B) to typeof(string) limit 10 | mvexpand C",
	"DeviceEvents | mv-apply A = todynamic(B) on (where A.x == 1 | summarize N = count(), L = make_list(A.y) | top 1 by N)",
	"(DeviceEvents | where A == 1) | project A",
	"((DeviceEvents)) | project A",
	"['DeviceEvents'] | where ['A B'] == 1",
	"let a = DeviceEvents; a",
	"let a = DeviceEvents | where A == 1; let b = a | extend C = 1; b | where C == 1",
	"let a = (DeviceEvents | where A == 1); a | project A",
	"let f = (x: string, y: long = 1) { DeviceEvents | where A == x and B == y }; f('a', 1) | project A",
	"let f = () { let a = DeviceEvents | where A == 1; a | project A }; f()",
	"let f = view () { DeviceEvents }; f",
	"let f = (x: string) { tolower(x) }; DeviceEvents | where f(A) == 'a'",
	"let names = dynamic(['a', 'b']); DeviceEvents | where A in~ (names) or A has_any (names) or A !in ('x')",
	"let names = datatable(N: string)['a', 'b']; DeviceEvents | where A in (names)",
	"let names = datatable(N: string)['a', 'b'] | where N != 'a' | summarize make_set(N); DeviceEvents | where A in (names)",
	"let names = datatable(N: string)['a']; DeviceEvents | where A in ((names | project tolower(N)))",
	"let n = range x from 1 to 3 step 1; let p = print X = 1; DeviceEvents | where A in (n) or A in (p)",
	"let since = ago(7d); DeviceEvents | where Timestamp > since and Timestamp < now()",
	"DeviceEvents | extend X = split(A, ',')[0], Y = parse_json(B)['c'].d | where X in (Y)",
	"DeviceEvents | where A in ('summarize', \"join\") // | summarize count()",
	"DeviceEvents | where (A == 1 or (B == 2)) and not(C has 'x') and D between (1 .. 2)",
	"DeviceEvents | extend summarize = 1 | project summarize, count",
	"DeviceEvents | where ingestion_time() > datetime(2026-01-01)",
	"DeviceTvmInfoGathering | where DeviceId == 'x'",
}

func TestRowLocal(t *testing.T) {
	for _, text := range rowLocal {
		if err := Parse(text).RowLocal(); err != nil {
			t.Errorf("%s\nit %v", text, err)
		}
	}
}

func TestNotRowLocal(t *testing.T) {
	for text, want := range map[string]string{
		"DeviceEvents\n| where A == 1\n\n| summarize count() by B":          "uses summarize (line 4), whose result over a window is not the union of its parts",
		"DeviceEvents | take 10":                                            "uses take (line 1)",
		"DeviceEvents | limit 10":                                           "uses limit",
		"DeviceEvents | top 5 by A":                                         "uses top (",
		"DeviceEvents | top-nested 5 of A by count()":                       "uses top-nested",
		"DeviceEvents | sample 5":                                           "uses sample (",
		"DeviceEvents | sample-distinct 5 of A":                             "uses sample-distinct",
		"DeviceEvents | count":                                              "uses count",
		"DeviceEvents | distinct A":                                         "uses distinct",
		"DeviceEvents | make-series count() on A":                           "uses make-series",
		"DeviceEvents | join AlertInfo on A":                                "uses join",
		"DeviceEvents | join kind=inner (DeviceEvents | where A == 1) on B": "uses join",
		"DeviceEvents | lookup (datatable(A: string)['a']) on A":            "uses lookup",
		"DeviceEvents | union AlertInfo":                                    "uses union",
		"union DeviceEvents, AlertInfo":                                     "uses union",
		"DeviceEvents | serialize N = row_number()":                         "uses serialize",
		"DeviceEvents | evaluate bag_unpack(A)":                             "uses evaluate",
		"DeviceEvents | invoke FileProfile('SHA1')":                         "uses invoke (line 1), which is not known to work on each row by itself",
		"DeviceEvents | getschema":                                          "uses getschema",
		"DeviceEvents | search 'x'":                                         "uses search",
		"search in (DeviceEvents) 'x'":                                      "uses search",
		"find in (DeviceEvents) where A == 1":                               "uses find",
		"DeviceEvents | as T":                                               "uses as",
		"DeviceEvents | partition by A (take 1)":                            "uses partition",
		"DeviceEvents | Where A == 1":                                       "uses Where",
		"set notruncation; DeviceEvents":                                    "uses set",
		"let a = DeviceEvents | distinct A; a":                              "uses distinct",
		"let f = () { DeviceEvents | count }; f()":                          "uses count",
		"(DeviceEvents | take 1) | project A":                               "uses take",

		"DeviceEvents | extend N = row_number()":                                          "calls row_number (line 1), which looks at the rows around",
		"DeviceEvents | sort by A | extend N = prev(A)":                                   "calls prev",
		"DeviceEvents | where rand() < 0.1":                                               "calls rand (line 1), which may give something else each time",
		"DeviceEvents | extend A = new_guid()":                                            "calls new_guid",
		"let a = toscalar(DeviceEvents | count);\nDeviceEvents | where A > a":             "calls toscalar (line 1), whose value over a window says nothing of the window's parts",
		"let a = materialize(DeviceEvents | where A == 1); a":                             "calls materialize",
		"let a = externaldata(A: string)['u']; DeviceEvents | where A in (a)":             "calls externaldata",
		"let a = externaldata(A: string)['u'] | project A; DeviceEvents | where A in (a)": "calls externaldata",
		"DeviceEvents | where saved_function(A)":                                          "calls saved_function (line 1), which is not known",
		"DeviceEvents | extend saved = saved(A)":                                          "calls saved (line 1), which is not known",
		"DeviceEvents | where A in (_GetWatchlist('x'))":                                  "calls _GetWatchlist",

		"DeviceEvents\n| where A in (DeviceEvents | project A)":                                  "reads DeviceEvents inside an operator (line 2)",
		"DeviceEvents | where A in (AlertInfo)":                                                  "reads AlertInfo inside an operator",
		"let a = DeviceEvents | project A; datatable(A: string)['x'] | where A in (a)":           "reads a inside an operator",
		"let a = DeviceEvents | project A; DeviceEvents | where A in (a)":                        "reads DeviceEvents more than once (line 1, line 1)",
		"let a = DeviceEvents;\nlet b = a;\nlet c = a; b":                                        "reads a more than once (line 2, line 3)",
		"let a = DeviceEvents; let b = DeviceEvents; a":                                          "reads DeviceEvents more than once",
		"let f = (t: (A: string)) { t | where A == 1 }; f(DeviceEvents)":                         "reads DeviceEvents inside",
		"let a = AlertInfo; DeviceEvents | where A == 1":                                         "reads more than one table: AlertInfo and DeviceEvents",
		"let a = DeviceEvents; let f = () { let a = 1; a }; f()":                                 "gives a a second meaning",
		"let a = DeviceEvents; let b = a; print 1":                                               "has a result that is not made of the rows of DeviceEvents",
		"DeviceEvents; DeviceEvents":                                                             "has more than one result",
		"DeviceEvents | where A in ((Watchlist | project A))":                                    "reads Watchlist (line 1), which is neither",
		"DeviceEvents | where A in (Watchlist)":                                                  "reads Watchlist",
		"DeviceEvents | where A !in~ (Watchlist)":                                                "reads Watchlist",
		"let w = Watchlist; DeviceEvents | where A in (w)":                                       "reads Watchlist",
		"let w = Watchlist | project A; DeviceEvents | where A in (w)":                           "reads Watchlist",
		"let w = datatable(A: string)['a'] | take 1; DeviceEvents | where A in (w)":              "uses take",
		"let w = datatable(A: string)['a'] | join Watchlist on A; DeviceEvents | where A in (w)": "uses join",
		"DeviceEvents | extend X = (where A == 1 | project A)":                                   "reads where (line 1)",
		"Watchlist | where A in (DeviceEvents | project A)":                                      "reads Watchlist (line 1)",

		"":                                       "names no table that is known",
		"print 1":                                "names no table that is known",
		"SigninLogs | where A == 1":              "names no table that is known",
		"deviceevents | where A == 1":            "names no table that is known",
		"union Device* | where A == 1":           "reads tables that it does not name: union Device* (line 1)",
		"DeviceEvents | where A in (table('x'))": "reads tables that it does not name: table() (line 1)",
		"let DeviceEvents = DeviceEvents | where A == 1; DeviceEvents": "reads tables that it does not name: DeviceEvents beside",
		"DeviceTvmSoftwareInventory | where A == 1":                    "reads DeviceTvmSoftwareInventory, which has no time column",

		"| where A in (DeviceEvents)":   "has an operator without an input",
		"DeviceEvents |":                "has a pipe that no operator follows",
		"DeviceEvents | | where A == 1": "has a pipe that no operator follows",
		"DeviceEvents | 'x'":            "has a pipe that no operator follows",
		"DeviceEvents where A == 1":     "goes on after DeviceEvents (line 1)",
		"let = DeviceEvents":            "has a let without a name",
		"let a DeviceEvents; a":         "has a let without a name",
		"DeviceEvents | where " + strings.Repeat("(", 200) + "A" + strings.Repeat(")", 200): "nests more than",
	} {
		err := Parse(text).RowLocal()
		var h *hurdle
		if !errors.As(err, &h) {
			t.Errorf("%s\nis row-local, and should not be: %s", text, want)
			continue
		}
		if !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\nit %v\nwant %s", text, err, want)
		}
		if h.topic == "" || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s\nit has the topic %q and says %q", text, h.topic, err)
		}
	}
}
