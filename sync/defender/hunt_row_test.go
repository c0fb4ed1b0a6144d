package defender

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// splitRows decodes rows that come as JSON under columns that come in one string.
func splitRows(t *testing.T, columns, rows string) (*keeper, error) {
	t.Helper()
	var schema []string
	for _, name := range strings.Split(columns, " ") {
		quoted, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(name, "?"))
		if err != nil {
			t.Fatal(err)
		}
		schema = append(schema, `{"name":`+string(quoted)+`}`)
	}
	_, sink, err := decodeAll(t, `{"schema":[`+strings.Join(schema, ",")+`],"results":[`+rows+`]}`)
	return sink, err
}

func TestRowsAreMatchedToColumns(t *testing.T) {
	for name, tc := range map[string]struct{ columns, rows, want string }{
		"in order":          {"A B C", `{"A":1,"B":2,"C":3}`, "A=1 B=2 C=3"},
		"in no order":       {"A B C", `{"C":3,"A":1,"B":2},{"B":5,"C":6,"A":4}`, "A=1 B=2 C=3; A=4 B=5 C=6"},
		"with holes":        {"A B C", `{"C":3},{"A":1,"C":3},{"B":2},{}`, "A=- B=- C=3; A=1 B=- C=3; A=- B=2 C=-; A=- B=- C=-"},
		"none is kept":      {"A B", `{"A":1,"B":2},{"B":3}`, "A=1 B=2; A=- B=3"},
		"every kind":        {"A B C D E F", `{"A":"","B":null,"C":true,"D":-1.5e9,"E":{"x":["}","\""]},"F":[{"]":"\\"}]}`, `A="" B=null C=true D=-1.5e9 E={"x":["}","\""]} F=[{"]":"\\"}]`},
		"spaced":            {"A B", "{ \"A\" :\n1 ,\t\"B\"\r:[ 1 , 2 ] }", "A=1 B=[ 1 , 2 ]"},
		"slashes":           {"A B", `{"A":"\\","B":"\\\"\\\\"}`, `A="\\" B="\\\"\\\\"`},
		"case":              {"Timestamp B", `{"timestamp":1,"b":2},{"TIMESTAMP":3}`, "Timestamp=1 B=2; Timestamp=3 B=-"},
		"case twins":        {"LogonId LogonID", `{"LogonId":1,"LogonID":2},{"LogonID":2,"LogonId":1}`, "LogonId=1 LogonID=2; LogonId=1 LogonID=2"},
		"one twin":          {"LogonId LogonID", `{"LogonID":2},{"LogonId":1}`, "LogonId=- LogonID=2; LogonId=1 LogonID=-"},
		"camel twins":       {"LogonId LogonID", `{"logonID":2,"logonId":1},{"logonID":2}`, "LogonId=1 LogonID=2; LogonId=- LogonID=2"},
		"exact comes first": {"LogonId", `{"LogonID":2,"LogonId":1},{"LogonId":1,"LogonID":2},{"LogonID":2}`, "LogonId=1 +LogonID=2; LogonId=1 +LogonID=2; LogonId=2"},
		"two look alike":    {"A", `{"a":1},{"A":2,"a":1}`, "A=1; A=2 +a=1"},
		"last wins":         {"A B", `{"A":1,"A":2,"B":3,"A":4}`, "A=4 B=3"},
		"last alike wins":   {"A", `{"a":1,"a":2}`, "A=2"},
		"last stray wins":   {"A", `{"x":1,"y":2,"x":3},{"x":4}`, "A=- +x=3 +y=2; A=- +x=4"},
		"annotations":       {"A B", `{"@odata.type":"t","A@odata.type":"#Int64","A":1,"B@odata.count":1,"a@odata":2}`, "A=1 B=-"},
		"a column like one": {"A@odata.x", `{"A@odata.x":1,"a@odata.x":2}`, "A@odata.x=1"},
		"strays":            {"A", `{"x y":1,"A":2,"":3}`, "A=2 +x y=1 +=3"},
		"escaped names":     {"A \"", `{"\u0041":1,"\"":2},{"A":1,"\u0041":3},{"\u0041":4,"A":5,"\u0078":6,"x":7}`, "A=1 \"=2; A=3 \"=-; A=5 \"=- +x=7"},
		"a name of escapes": {`a\b`, `{"a\\b":1,"a\b":2}`, "a\\b=1 +a\b=2"},
		"prefixes":          {"A AB ABC", `{"AB":2,"A":1,"ABC":3,"ABCD":4}`, "A=1 AB=2 ABC=3 +ABCD=4"},
		"columns twice":     {"A A B", `{"A":1,"A":2,"B":3},{"A":4},{"A":5,"a":6}`, "A=2 A=- B=3; A=4 A=- B=-; A=5 A=- B=- +a=6"},
		"no UTF-8":          {"A", "{\"\xff\":1,\"\xfe\":2,\"A\":\"\xff\"}", "A=\"\xff\" +\uFFFD=2"},
	} {
		t.Run(name, func(t *testing.T) {
			sink, err := splitRows(t, tc.columns, tc.rows)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(sink.rows, "; "); got != tc.want || len(sink.odd) > 0 {
				t.Errorf("%s\nbecomes %s, want\n        %s", tc.rows, got, tc.want)
			}
		})
	}
}

// A row with more strays than a row can have is kept whole, and what is
// remembered of names does not grow with the answer.
func TestRowsOfManyNames(t *testing.T) {
	row := func(from, n int, form string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"`+form+`":1`, from+i)
		}
		return `{"A":1` + b.String() + `}`
	}
	for form, most := range map[string]int{"x%d": maxStray, "x%d@odata.type": 2 * maxLearned} {
		sink := &keeper{columns: []HuntColumn{{Name: "A"}}}
		rows := newHuntRows(sink.columns, sink)
		for i := range 30 {
			rows.n++
			if err := rows.add(jsontext.Value(row(i*maxStray, maxStray, form))); err != nil {
				t.Fatal(err)
			}
		}
		if len(sink.rows) != 30 || len(sink.odd) != 0 || len(rows.known) > 3*maxLearned || len(rows.byRaw) > 3*maxLearned {
			t.Errorf("%s: %d rows, %d odd, %d names known", form, len(sink.rows), len(sink.odd), len(rows.byRaw))
		}
		odd := row(0, 3*most, form)
		rows.n++
		if err := rows.add(jsontext.Value(odd)); err != nil || len(sink.odd) != 1 || sink.odd[0] != odd {
			t.Errorf("%s: %v, %d odd rows", form, err, len(sink.odd))
		}
		rows.n++
		if err := rows.add(jsontext.Value(`{"A":7,"x1":8}`)); err != nil || sink.rows[30] != "A=7 +x1=8" {
			t.Errorf("%s: %v, then %q", form, err, sink.rows[30])
		}
	}
}

// expectRow is what a row should become, found without any haste.
func expectRow(columns []HuntColumn, row Object) string {
	values := make([]jsontext.Value, len(columns))
	var rest, late []HuntMember
	for _, name := range row.Names() {
		v, _ := row.Get(name)
		exact, like := -1, -1
		for i, c := range columns {
			switch {
			case c.Name == name && exact < 0:
				exact = i
			case strings.EqualFold(c.Name, name) && like < 0:
				like = i
			}
		}
		for i, c := range columns {
			if strings.EqualFold(c.Name, name) && c.Name[1:] == name[1:] && !slices.ContainsFunc(columns[:i], func(b HuntColumn) bool { return b.Name == c.Name }) {
				like = i
			}
		}
		switch {
		case exact >= 0:
			values[exact] = v
		case strings.Contains(name, "@odata"):
		case like >= 0:
			late = append(late, HuntMember{columns[like].Name + "\x00" + name, v})
		default:
			rest = append(rest, HuntMember{name, v})
		}
	}
	for _, m := range late {
		column, name, _ := strings.Cut(m.Name, "\x00")
		i := 0
		for columns[i].Name != column {
			i++
		}
		if values[i] == nil {
			values[i] = m.Value
		} else {
			rest = append(rest, HuntMember{name, m.Value})
		}
	}
	sink := &keeper{columns: columns}
	_ = sink.Row(values, rest) // a keeper fails only when told to
	return sink.rows[0]
}

// drawRow is a row of names that are easily taken for each other.
func drawRow(t *rapid.T) string {
	if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
		return rapid.SampledFrom([]string{"1", `"}"`, "null", "[{}]"}).Draw(t, "element")
	}
	names := []string{"LogonId", "LogonID", "logonid", "logonId", "Timestamp", "timestamp", "TIMESTAMP", "Report", "ReportId",
		`Logon\u0049d`, `Re\"port`, "x", "X", "", "x@odata.type", "Timestamp@odata.type", "é", "É", "\xff"}
	values := []string{"1", "-2.5e3", "true", "null", `""`, `"a\\"`, `"\"},{\""`, `{"a":"]}\"","b":[{}]}`, `[[],"["]`, "\"\xff\""}
	space := rapid.SampledFrom([]string{"", " ", "\r\n\t"})
	var members []string
	for range rapid.IntRange(0, 8).Draw(t, "members") {
		s := space.Draw(t, "space")
		members = append(members, s+`"`+rapid.SampledFrom(names).Draw(t, "name")+`"`+s+":"+s+rapid.SampledFrom(values).Draw(t, "value")+s)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// However rows are worded, haste finds what care does.
func TestRowsBecomeWhatTheyShould(t *testing.T) {
	names := rapid.SampledFrom([]string{"LogonId", "LogonID", "Timestamp", `Re"port`, "ReportId", "É", "x@odata.type"})
	rapid.Check(t, func(rt *rapid.T) {
		columns := rapid.SliceOfN(names, 1, 5).Draw(rt, "columns")
		rows := make([]string, rapid.IntRange(0, 6).Draw(rt, "rows"))
		for i := range rows {
			rows[i] = drawRow(rt)
		}
		checkRows(t, strings.Join(columns, " "), strings.Join(rows, ","))
	})
}

// checkRows compares rows with what they should become, if they are JSON.
func checkRows(t *testing.T, columns, rows string) {
	t.Helper()
	sink, err := splitRows(t, columns, rows)
	if err != nil {
		return
	}
	wrapped, err := ParseObject(jsontext.Value(`{"rows":[` + rows + `]}`))
	if err != nil {
		return // the rows end their array and begin something else
	}
	elems, _, err := wrapped.Array("rows")
	if err != nil {
		t.Fatal(err)
	}
	var want, odd []string
	for _, e := range elems {
		if o, err := ParseObject(e); err != nil {
			odd = append(odd, string(e))
		} else {
			want = append(want, expectRow(sink.columns, o))
		}
	}
	if diff := cmp.Diff(want, sink.rows) + cmp.Diff(odd, sink.odd); diff != "" {
		t.Errorf("columns %q, rows %q (-want +got):\n%s", columns, rows, diff)
	}
}

func FuzzHuntRows(f *testing.F) {
	f.Add("A B", `{"A":1,"B":2},{"b":[],"A":"\\\""}`)
	f.Add("LogonId LogonID", `{"LogonID":1,"logonid":2,"LogonId":3,"logonID":{"a":"}"}}`)
	f.Add("A", `{"a":1,"a":2,"x":1,"x":{},"\u0041":0,"\u0061":5,"@odata":1},7`)
	f.Add("x@odata", "{ \"X@odata\" : 1 , \"\xff\":2, \"\\ud800\":3}")
	f.Fuzz(checkRows)
}
