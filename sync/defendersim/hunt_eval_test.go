package defendersim_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

// kqlTenant serves a small table of which every cell is known.
func kqlTenant(t *testing.T) *tenant {
	t.Helper()
	c := newClock()
	return serve(t, defendersim.Options{Hunting: kqlTables(t), World: defendersim.NewWorld(defendersim.WorldOptions{Incidents: 1, Now: c.Now})})
}

func kqlTables(t testing.TB) *defendersim.HuntTables {
	h := defendersim.NewHunting()
	h.AddTable(defendersim.HuntTable{Name: "E", Time: "Timestamp", Columns: []defendersim.HuntColumn{{"Timestamp", "datetime"}, {"Host", "string"}, {"N", "long"}, {"Ok", "bool"}, {"Cmd", "string"}}})
	add := func(clockTime, host string, n any, ok any, cmd string) {
		at, err := time.Parse(time.RFC3339, "2026-11-22T"+clockTime+"Z")
		if err != nil {
			t.Fatal(err)
		}
		h.AddRows("E", defendersim.HuntRow{Ticks: int64(defendersim.TicksOf(at)), Values: []any{nil, host, n, ok, cmd}})
	}
	add("09:00:00", "a", int64(1), true, "powershell.exe -enc SQBF")
	add("09:30:00", "A", int64(2), false, `say "hi" \ there`)
	add("09:59:59.9999999", "b", int64(3), nil, "")
	add("10:00:00", "b", nil, true, "it's // no comment")
	add("10:00:00.0000001", "c", int64(-4), true, "encoded")
	h.AddTable(defendersim.HuntTable{Name: "Soft", Columns: []defendersim.HuntColumn{{"Name", "string"}, {"Tags", "dynamic"}}})
	h.AddRows("Soft", defendersim.HuntRow{Values: []any{"x", json.RawMessage(`["t"]`)}}, defendersim.HuntRow{Values: []any{"y"}})
	return h
}

// TestKQL asks in all the ways; rows are compared without regard to order,
// unless the query sorts.
func TestKQL(t *testing.T) {
	s := kqlTenant(t)
	const window = "let E = E | where Timestamp >= datetime(2026-11-22T09:30:00.0000000Z) and Timestamp < datetime(2026-11-22T10:00:00.0000000Z);\n"
	for query, want := range map[string]string{
		"E | where N == 1 | project Host":                                           "a",
		"E | where N != 1 | project N":                                              "-4 2 3 <nil>",
		"E | where N >= 2 or N < 0 | project N":                                     "-4 2 3",
		"E | where N > 1 and N <= 2 | project N":                                    "2",
		"E | where (N == 1 or N == 2) and not(Ok) | project N":                      "2",
		"E | where Host =~ 'A' | project N":                                         "1 2",
		"E | where Host !~ 'A' | project N":                                         "-4 3 <nil>",
		"E | where Host in ('a', \"c\") | project N":                                "-4 1",
		"E | where Host !in ('a', 'c') | project N":                                 "2 3 <nil>",
		"E | where Host in~ ('a') | project N":                                      "1 2",
		"let hosts = dynamic(['b', 'c']); E | where Host in (hosts) | project N":    "-4 3 <nil>",
		"E | where Cmd has 'ENC' | project N":                                       "1",
		"E | where Cmd has 'enc' or Cmd has 'there' | project N":                    "1 2",
		"E | where Cmd !has 'enc' | count":                                          "4",
		"E | where Cmd contains 'enc' | project N":                                  "-4 1",
		"E | where Cmd !contains 'enc' | count":                                     "3",
		"E | where Cmd startswith 'ENC' | project N":                                "-4",
		"E | where Cmd endswith 'sqbf' | project N":                                 "1",
		"E | where Cmd endswith_cs 'sqbf' | count":                                  "0",
		"E | where Cmd has_any ('hi', 'encoded') | project N":                       "-4 2",
		"E | where Cmd has_all ('hi', 'there') | project N":                         "2",
		"E | where isnotempty(Cmd) | count":                                         "4",
		"E | where isempty(Cmd) | project N":                                        "3",
		"E | where isnull(N) | project Host":                                        "b",
		"E | where Ok == true | count":                                              "3",
		"E | where Ok | count":                                                      "3",
		"E | where N between (1 .. 2) | project N":                                  "1 2",
		"E | where N !between (1 .. 2) | project N":                                 "-4 3 <nil>",
		"E | where N * 2 + 1 == 7 | project N":                                      "3",
		"E | where N == -4 | project Half = N / 2":                                  "-2",
		"E | where Timestamp > ago(121m) | project N":                               "<nil> 3 -4",
		"E | where Timestamp >= ago(3d) and Timestamp < now() - 2h | project N":     "-4 1 2 3 <nil>",
		"E | where Timestamp == datetime(2026-11-22 10:00) | project Host":          "b",
		"E | where datetime(2026-11-22T10:00:00.0000001Z) <= Timestamp | project N": "-4",
		"E | where Timestamp between (datetime(2026-11-22T09:30:00Z) .. datetime(2026-11-22T09:59:59.9999999Z)) | project N": "2 3",
		"let since = datetime(2026-11-22T10:00:00Z); E | where Timestamp > since | project N":                                "-4",
		"let n = 2; let m = n + 1; E | where N == m | project N":                                                             "3",
		window + "E | project N":                                                                                           "2 3",
		window + "E | where N > 2 | count":                                                                                 "1",
		window + "let X = E | where N > 1; X | where N < 3 | project N":                                                    "2",
		"let X = E | where N > 1 | project N; let Y = X | where N < 3; Y":                                                  "2",
		"(E | where N > 1) | where N < 3 | project N":                                                                      "2",
		`E | where Cmd == "say \"hi\" \\ there" | count`:                                                                   "1",
		`E | where Cmd == 'say "hi" \\ there' | count`:                                                                     "1",
		`E | where Cmd == @"say ""hi"" \ there" | count`:                                                                   "1",
		"E | where Cmd == ```say \"hi\" \\ there``` | count":                                                               "1",
		`E | where Cmd == h'it\'s // no comment' | count`:                                                                  "1",
		`E | where Cmd == @'it''s // no comment' | count`:                                                                  "1",
		"// first\nE // a table\n| where N == 1 // ' \" ``` |\n// x\n| count // the end":                                   "1",
		"E\r\n|\twhere N==1|count;":                                                                                        "1",
		"E | take 0":                                                                                                       "",
		"E | limit 2 | count":                                                                                              "2",
		"E | top 1 by Timestamp asc | project N":                                                                           "1",
		"E | distinct Host":                                                                                                "A a b c",
		"E | project Host, Ok | distinct *":                                                                                "A|false a|true b|<nil> b|true c|true",
		"E | summarize Rows = count()":                                                                                     "5",
		"E | where N > 99 | summarize Rows = count()":                                                                      "0",
		"E | where N > 99 | summarize Rows = count() by Host":                                                              "",
		"E | summarize Rows = count() by Hour = bin(Timestamp, 1h)":                                                        "2026-11-22T09:00:00Z|3 2026-11-22T10:00:00Z|2",
		"E | summarize count() by bin(Timestamp, 30m)":                                                                     "2026-11-22T09:00:00Z|1 2026-11-22T09:30:00Z|2 2026-11-22T10:00:00Z|2",
		"E | summarize count() by bin(Timestamp, 1d), Ok":                                                                  "2026-11-22T00:00:00Z|<nil>|1 2026-11-22T00:00:00Z|false|1 2026-11-22T00:00:00Z|true|3",
		"E | summarize arg_max(Timestamp, *) by Host | project Host, N":                                                    "A|2 a|1 b|<nil> c|-4",
		"E | summarize arg_min(Timestamp, N), sum(N), dcount(Host), Most = max(N) by Ok":                                   "<nil>|2026-11-22T09:59:59.9999999Z|3|3|1|3 false|2026-11-22T09:30:00Z|2|2|1|2 true|2026-11-22T09:00:00Z|1|-3|3|1",
		"E | where N == 1 | summarize make_set(Host)":                                                                      "[a]",
		"E | summarize countif(N > 1), min(N)":                                                                             "2|-4",
		"E | extend M = N, Kind = 'k', N = N + 1 | where Host == 'c' | project-away Timestamp, Cmd, Ok":                    "c|-3|-4|k",
		"E | extend X = 1 | where Cmd == 'encoded' | project Cmd, X":                                                       "encoded|1",
		"E | where N == 1 | project-keep N, Host":                                                                          "a|1",
		"E | where N == 1 | project-away T*, Cmd | project-rename Device = Host":                                           "a|1|true",
		"E | where N == 1 | project Cmd, N, Host":                                                                          "powershell.exe -enc SQBF|1|a",
		"E | where N == 1 | project toupper(Host), strcat(Host, '-', N), strlen(Cmd)":                                      "A|a-1|24",
		"E | where N == 3 | project Ago = datetime(2026-11-22T12:00:00Z) - Timestamp, iff(Ok, 'yes', 'no')":                "02:00:00.0000001|no",
		"E | where tolower(Host) == 'a' | project tolong('7'), todatetime('2026-01-02'), coalesce(Ok, true)":               "7|2026-01-02T00:00:00Z|false 7|2026-01-02T00:00:00Z|true",
		"E | where Cmd matches regex 'h[i-k]\"' | project N":                                                               "2",
		"E | where N == 1 | project extract('(\\\\w+)[.]exe', 1, Cmd), case(N == 2, 'b', Ok, 'c', 'd')":                    "powershell|c",
		"E | where N == 1 | project-reorder N, C* | project-away Ok, T*":                                                   "1|powershell.exe -enc SQBF|a",
		"Soft | where Tags[0] == 't' | project Name":                                                                       "x",
		"Soft | project J = parse_json('{\"a\":{\"b\":[1,true]}}') | take 1 | project J.a.b[0], X = J.a, J.c, J['a'].b[1]": `1|{"b":[1,true]}|<nil>|true`,
		"Soft | getschema":    "Name|0|System.String|string Tags|1|System.Object|dynamic",
		"Soft | project Name": "x y",
		"Soft | where tostring(Tags) == '[\"t\"]' | project Name":        "x",
		"Soft | where isnull(Tags) | project Name, tostring(pack_all())": `y|{"Name":"y","Tags":null}`,
	} {
		wanted := strings.Fields(want)
		slices.Sort(wanted)
		got := s.ask(graphHunt, query).sortedCells()
		if len(got) == 1 {
			wanted = []string{want} // which may hold spaces
		}
		if !slices.Equal(got, wanted) {
			t.Errorf("%s\n got %q\nwant %q", query, got, wanted)
		}
	}
}

// TestKQLOrder asks for an order.
func TestKQLOrder(t *testing.T) {
	s := kqlTenant(t)
	for query, want := range map[string]string{
		"E | top 2 by N | project N":                       "3 2",
		"E | sort by N | project N":                        "3 2 1 -4 <nil>",
		"E | order by Host asc, N desc | project Host, N":  "A|2 a|1 b|3 b|<nil> c|-4",
		"E | sort by Timestamp asc nulls last | project N": "1 2 3 <nil> -4",
	} {
		if got := strings.Join(s.ask(olderHunt, query).cells(), " "); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

// TestKQLValues works out expressions.
func TestKQLValues(t *testing.T) {
	s := kqlTenant(t)
	for expression, want := range map[string]string{
		"1 + 2 * 3 - 4 / 2": "5", "(1 + 2) * 3": "9", "7 % 4": "3", "7 / 2": "3", "7.0 / 2": "3.5", "1 / 0": "<nil>", "-N": "-1", "+N": "1", "2 - -3": "5", "1.5 * 2": "3",
		"1h + 30m": "01:30:00", "1d": "1.00:00:00", "-1d - 1s": "-1.00:00:01", "1.5h": "01:30:00", "90s": "00:01:30", "100ms": "00:00:00.1000000", "1tick": "00:00:00.0000001", "2 * 1h": "02:00:00", "1h / 2": "00:30:00", "3h / 2h": "1.5",
		"1microsecond": "00:00:00.0000010", "time(1.02:03:04)": "1.02:03:04", "timespan(-00:00:01)": "-00:00:01", "timespan(2h)": "02:00:00", "totimespan('0:01')": "<nil>",
		"datetime(2026-11-22) + 1h": "2026-11-22T01:00:00Z", "1h + datetime(2026-11-22)": "2026-11-22T01:00:00Z", "datetime('2026-11-22 10:00:00.5') - 30m": "2026-11-22T09:30:00.5Z", "datetime(2026-11-22) - datetime(2026-11-20T12:00:00Z)": "1.12:00:00",
		"datetime(2026-11-22T12:00:00+02:00)": "2026-11-22T10:00:00Z", "datetime(null)": "<nil>", "todatetime('never')": "<nil>", "now()": "2026-11-22T12:00:00.1234567Z", "ago(1h)": "2026-11-22T11:00:00.1234567Z", "ago(0.5d)": "2026-11-22T00:00:00.1234567Z",
		"startofday(Timestamp)": "2026-11-22T00:00:00Z", "bin(datetime(2026-11-22T11:59:59.9999999Z), 7d)": "2026-11-16T00:00:00Z", "bin(7, 5)": "5", "bin(-7, 5)": "-10", "bin(7.5, 0.5)": "7.5", "bin(1h + 59m, 1h)": "01:00:00", "bin(1, 0)": "<nil>",
		"int(7)": "7", "long(-7)": "-7", "real(1.50)": "1.5", "bool(true)": "true", "int(null)": "<nil>", "toint('x')": "<nil>", "todouble('1e3')": "1000", "guid(74be27de-1e4e-49d9-b579-fe0b331d3642)": "74be27de-1e4e-49d9-b579-fe0b331d3642", "decimal(1.10)": "1.10",
		"tostring(Timestamp)": "2026-11-22T09:00:00.0000000Z", "tostring(1h)": "01:00:00", "tostring(Ok)": "true", "tostring(1.5)": "1.5", "strlen('ü')": "1", "strcat('a', 1, true)": "a1true", "hash('a') == hash('a')": "true", "hash('ab') == hash('ba')": "false", "hash('a') == hash('b')": "false",
		"not(true)": "false", "isnull(int(null))": "true", "isnotnull(N)": "true", "isempty('')": "true", "coalesce(int(null), 3)": "3", "iff(N > 5, 'big', 'small')": "small", "case(N > 5, 'big', N > 0, 'small', 'none')": "small",
		"'a' < 'b'": "true", "true > false": "true", "1 < 1.5": "true", "1 == 1.0": "true", "1h > 59m": "true", "'1' == 1": "false", "int(null) == int(null)": "false", "1 != int(null)": "true", "Host in ('x', 'a')": "true", "true and not(false) or false": "true",
		`"a\tb\u00e9\x41"`: "a\tbéA", `'\\'`: `\`, `@'\'`: `\`, `@"a""b"`: `a"b`, "```a\nb```": "a\nb", "~~~a'b~~~": "a'b", `H"x"`: "x", "dynamic({'a': 1}).a + 1": "2", "dynamic([1,2])[1]": "2", "dynamic([1])[5]": "<nil>", "dynamic(null)": "<nil>", "parse_json('x')": "<nil>",
		"extract('a(.)', 1, 'xab')": "b", "extract('a(.)', 2, 'xab')": "", "extract('(', 1, 'x')": "", "'abc' matches regex '^a.c$'": "true", "'abc' has 'ab'": "false", "'x.ab-c' has 'ab'": "true", "'ab' contains_cs 'B'": "false",
	} {
		if got := s.ask(olderHunt, "E | where N == 1 | project X = "+expression).cells()[0]; got != want {
			t.Errorf("%s: got %q, want %q", expression, got, want)
		}
	}
}

// TestKQLTypes looks at the types that results have.
func TestKQLTypes(t *testing.T) {
	s := kqlTenant(t)
	for projected, want := range map[string]string{
		"E | project Timestamp, Host, N, Ok":                                        "Timestamp:DateTime Host:String N:Int64 Ok:Boolean",
		"E | project N + 1, A = N * 1.5, B = Timestamp - 1h, C = now() - Timestamp": "Column1:Int64 A:Double B:DateTime C:TimeSpan",
		"E | project bin(Timestamp, 1h), tostring(N), X = 1h / 2h, Y = 2 * 1h":      "Timestamp:DateTime Column2:String X:Double Y:TimeSpan",
		"E | count": "Count:Int64",
		"E | summarize count(), dcount(Host), max(Timestamp), sum(N) by Ok, bin(Timestamp, 1d), strlen(Host)": "Ok:Boolean Timestamp:DateTime Column3:Int64 count_:Int64 dcount_Host:Int64 max_Timestamp:DateTime sum_N:Int64",
		"E | summarize arg_max(Timestamp, *) by Host":                                                         "Host:String Timestamp:DateTime N:Int64 Ok:Boolean Cmd:String",
		"E | summarize Hosts = make_set(Host), take_any(N)":                                                   "Hosts:Object take_any_N:Int64",
		"E | extend Timestamp = 1, Host = Host":                                                               "Timestamp:Int64 Host:String N:Int64 Ok:Boolean Cmd:String",
		"Soft | project Tags.a.b, Tags[0], T = parse_json(Name).x":                                            "Tags_a_b:Object Tags_0:Object T:Object",
	} {
		var got []string
		for _, c := range s.ask(graphHunt, projected).Schema {
			got = append(got, c.Name+":"+c.Type)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", projected, got, want)
		}
	}
}
