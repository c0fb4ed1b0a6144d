package store_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"defendersync/store"
)

// encoding is one way in which a value is served, and what is stored of it.
type encoding struct {
	json  string
	want  string // the column as text, "NULL" for none
	extra string // of the value in extra; "" for none
}

// fits is a value that its column holds.
func fits(json, want string) encoding { return encoding{json: json, want: want} }

// odd is a value that it does not: extra has it as served.
func odd(json string) encoding { return encoding{json: json, want: "NULL", extra: json} }

// Every documented type in every encoding that is documented, was seen, or may
// be feared.
var encodings = map[string][]encoding{
	"SByte": {
		fits(`true`, "true"), fits(`false`, "false"), fits(`1`, "true"), fits(`0`, "false"), fits(`"True"`, "true"), fits(`"false"`, "false"),
		fits(`"1"`, "true"), fits(`null`, "NULL"), fits(`""`, "NULL"), odd(`2`), odd(`"yes"`), odd(`[true]`), odd(`-1`),
	},
	"Boolean": {fits(`true`, "true"), fits(`0`, "false"), odd(`{}`)},
	"Int16":   {fits(`-7`, "-7")},
	"Byte":    {fits(`255`, "255")},
	"UInt16":  {fits(`65535`, "65535")},
	"Int32": {
		fits(`2147483647`, "2147483647"), fits(`-2147483648`, "-2147483648"), fits(`"42"`, "42"), fits(`5.0`, "5"), fits(`1e3`, "1000"), fits(`0.0`, "0"),
		fits(`""`, "NULL"), odd(`2147483648`), odd(`5.5`), odd(`"x"`), odd(`true`), odd(`"NaN"`), odd(`"0x10"`), odd(`1e40`),
	},
	"UInt32": {fits(`4294967295`, "4294967295")},
	"Int64": {
		fits(`9007199254740993`, "9007199254740993"), fits(`9223372036854775807`, "9223372036854775807"), fits(`-9223372036854775808`, "-9223372036854775808"),
		fits(`"9007199254740993"`, "9007199254740993"), fits(`9.007199254740993e15`, "9007199254740993"), odd(`9223372036854775808`), odd(`18446744073709551615`), odd(`1e19`),
	},
	"UInt64": {fits(`18446744073709551615`, "18446744073709551615")},
	"SqlDecimal": {
		fits(`"2.50"`, "2.50"), fits(`2.50`, "2.50"), fits(`-0.00012345`, "-0.00012345"), fits(`12345678901234567890.123456789`, "12345678901234567890.123456789"),
		fits(`1e5`, "100000"), fits(`1.25e-3`, "0.00125"), fits(`0`, "0"), fits(`0.000`, "0.000"), fits(`-0`, "0"), fits(`10000`, "10000"), fits(`99999999`, "99999999"),
		fits(`"NaN"`, "NaN"), fits(`"Infinity"`, "Infinity"), fits(`"-Infinity"`, "-Infinity"), fits(`1E+2`, "100"), fits(`0.1`, "0.1"), fits(`1000.0001`, "1000.0001"),
		odd(`"1,5"`), odd(`"-"`), odd(`"1.2.3"`), odd(`"1e"`), odd(`"."`), odd(`"1-2"`), odd(`"--1"`), {`1e99999`, "NULL", `"1e99999"`},
	},
	"Double": {
		fits(`0.5`, "0.5"), fits(`-1e300`, "-1e+300"), fits(`"NaN"`, "NaN"), fits(`"Infinity"`, "Infinity"), fits(`"-Infinity"`, "-Infinity"), fits(`"1.5"`, "1.5"),
		fits(`3`, "3"), odd(`1e400`), odd(`"0x1p3"`), odd(`"1_000"`), odd(`"many"`), odd(`false`),
	},
	"Guid": {
		fits(`"6f9619ff-8b86-d011-b42d-00cf4fc964ff"`, "6f9619ff-8b86-d011-b42d-00cf4fc964ff"), fits(`"6F9619FF-8B86-D011-B42D-00CF4FC964FF"`, "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
		fits(`"{6f9619ff-8b86-d011-b42d-00cf4fc964ff}"`, "6f9619ff-8b86-d011-b42d-00cf4fc964ff"), fits(`"6f9619ff8b86d011b42d00cf4fc964ff"`, "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
		odd(`"6f9619ff-8b86-d011-b42d-00cf4fc964f"`), odd(`"6f9619ff-8b86-d011-b42d-00cf4fc964fg"`), odd(`7`), odd(`"6f9619ff+8b86-d011-b42d-00cf4fc964ff"`),
	},
	"TimeSpan": {
		fits(`"00:00:19.0468750"`, "00:00:19.046875"), fits(`"1.02:03:04"`, "1 day 02:03:04"), fits(`"-1.02:03:04.5"`, "-1 days -02:03:04.5"),
		fits(`"10675199.02:48:05.4775807"`, "10675199 days 02:48:05.47758"), fits(`"PT1H30M"`, "01:30:00"), fits(`"P2DT3.25S"`, "2 days 00:00:03.25"), fits(`"-PT5S"`, "-00:00:05"),
		fits(`"P1W"`, "7 days"), odd(`"25:00:00"`), odd(`"00:00"`), odd(`12`), odd(`"P1Y"`), odd(`"PT"`), odd(`"P"`), odd(`"x"`), odd(`"1.2.3:04:05"`), odd(`"PT1.5H"`), odd(`"P999999999W"`),
		odd(`"PT999999999H999999999H999999999H"`), odd(`"1234567890.00:00:00"`),
	},
	"DateTime": {
		fits(`"2026-11-20T06:38:35.7664356Z"`, "2026-11-20 06:38:35.766435"), fits(`"2026-11-20T06:38:35.9999999Z"`, "2026-11-20 06:38:35.999999"),
		fits(`"1999-12-31T23:59:59.9999999Z"`, "1999-12-31 23:59:59.999999"), fits(`"2026-11-20T09:37:48Z"`, "2026-11-20 09:37:48"), fits(`"2026-11-20T09:37:48"`, "2026-11-20 09:37:48"),
		fits(`"2026-11-20"`, "2026-11-20 00:00:00"), fits(`"2026-11-20T09:37+02:00"`, "2026-11-20 07:37:00"), fits(`"2026-11-20 09:37:48.1-0130"`, "2026-11-20 11:07:48.1"),
		fits(`"0001-01-01T00:00:00Z"`, "0001-01-01 00:00:00"), fits(`"9999-12-31T23:59:59.9999999Z"`, "9999-12-31 23:59:59.999999"), fits(`"2024-02-29T00:00:00Z"`, "2024-02-29 00:00:00"),
		odd(`"2026-02-29T00:00:00Z"`), odd(`"2026-13-01"`), odd(`"2026-11-20T24:00:00Z"`), odd(`"yesterday"`), odd(`1763619468`), odd(`"2026-11-20T09:37:60Z"`), odd(`"2026-11-20T09:37:48 PM"`),
		fits(`""`, "NULL"),
	},
	"Object": {
		fits(`{"a": [1, 2.50]}`, `{"a": [1, 2.50]}`), fits(`"{\"a\":1}"`, `{"a": 1}`), fits(`"[1,2]"`, `[1, 2]`), fits(`"{not json"`, `"{not json"`), fits(`"text"`, `"text"`), fits(`7`, "7"),
		fits(`true`, "true"), fits(`null`, "NULL"), fits(`""`, "NULL"), fits(`"a\u0000b"`, "\"a\uFFFDb\""), fits(`{"a":"\u0000"}`, "{\"a\": \"\uFFFD\"}"),
		fits(`"{\"a\":\"\\u0000\"}"`, "{\"a\": \"\uFFFD\"}"), fits(`9007199254740993`, "9007199254740993"),
	},
	"String": {
		fits(`"plain"`, "plain"), fits(`""`, ""), fits(`null`, "NULL"), fits(`"C:\\Windows\\\"x\""`, `C:\Windows\"x"`), fits(`"\u00e9\ud83d\ude42\n\t\/"`, "é🙂\n\t/"),
		fits(`"a\u0000b"`, "a\uFFFDb"), fits("\"a\x00b\"", "a\uFFFDb"), fits(`"\ud800x"`, "\uFFFDx"), fits(`"\ud83d\u0041"`, "\uFFFDA"), fits("\"\xff\xfe\"", "\uFFFD\uFFFD"),
		fits(`5`, "5"), fits(`true`, "true"), fits(`{"a":1}`, `{"a":1}`), fits(`"\u00"`, "\uFFFD00"), fits(`"\q"`, "q"),
	},
	"Hologram": {fits(`{"x": 1}`, `{"x": 1}`), fits(`"s"`, `"s"`), fits(`12`, "12")},
}

func TestHuntEncodings(t *testing.T) {
	w := newWorker(t)
	for typed, cases := range encodings {
		t.Run(typed, func(t *testing.T) {
			w.t = t
			h := hunterOn(w, store.HuntSpec{Name: "Values" + typed, Key: []string{"N"}, AutoMigrate: true})
			cols := columns("N", "Int32", "Value", typed)
			var rows []row
			var want []string
			for n, c := range cases {
				rows = append(rows, row{"N": fmt.Sprint(n), "Value": c.json})
				extra := "NULL"
				if c.extra != "" {
					extra = `{"Value": ` + c.extra + `}`
				}
				want = append(want, fmt.Sprintf("%d %s %s", n, c.want, extra))
			}
			h.answer(cols, rows...)
			value := "value::text"
			if typed == "DateTime" {
				value = "(value AT TIME ZONE 'UTC')::text"
			}
			got := h.query(`SELECT n, coalesce(` + value + `, 'NULL'), coalesce(extra::text, 'NULL') FROM hunting.values_` + store.SnakeCase(typed) + ` ORDER BY n`)
			for i := range got {
				if strings.Contains(want[i], "1e400") || strings.Contains(want[i], "1e40}") || strings.Contains(want[i], "1e19") {
					got[i], want[i] = strings.Fields(got[i])[1], strings.Fields(want[i])[1] // jsonb writes the number out
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			h.want(`SELECT count(*) FROM sync.quarantine`, "0")
		})
	}
}

// Documents and numbers beyond what PostgreSQL takes are kept as text.
func TestHuntExtremeValues(t *testing.T) {
	h := newHunter(t, store.HuntSpec{Key: []string{"N"}, AutoMigrate: true})
	cols := columns("N", "Int32", "Value", "Object", "Number", "SqlDecimal")
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	h.answer(cols,
		row{"N": "1", "Value": deep},
		row{"N": "2", "Value": `{"n": 1e999999}`},
		row{"N": "3", "Number": strings.Repeat("9", 900) + "." + strings.Repeat("1", 90)},
		row{"N": "4", "Number": "1" + strings.Repeat("0", 2000)},
		row{"N": "5", "Number": "1e-9000"},
		row{"N": "6", "Number": "1e9000"},
		row{"N": "7", "Value": `{"a":`, "Rest": `[1,`},
		row{"N": "8", "Value": quoted(deep)},
		row{"N": "10", "Value": "[" + strings.Repeat("7", 2000) + "]"},
		row{"N": "9", "Value": `{"a":1,"a":2}`, "Rest\x00": `"\u0000"`})
	h.want(`SELECT n, value IS NULL, length(extra->>'Value') FROM hunting.device_events WHERE n = 1`, "1 true 40000")
	h.want(`SELECT value::text FROM hunting.device_events WHERE n = 2`, `{"n": "1e999999"}`)
	h.want(`SELECT length(number::text) FROM hunting.device_events WHERE n IN (3, 6) ORDER BY n`, "991", "9001")
	h.want(`SELECT number IS NULL, length(extra->>'Number') FROM hunting.device_events WHERE n = 4`, "true 2001")
	h.want(`SELECT number = '1e-9000', scale(number) FROM hunting.device_events WHERE n = 5`, "true 9000")
	h.want(`SELECT value IS NULL, extra::text FROM hunting.device_events WHERE n = 7`, `true {"Rest": "[1,", "Value": "{\"a\":"}`)
	h.want(`SELECT jsonb_typeof(value) FROM hunting.device_events WHERE n = 8`, "string")
	h.want(`SELECT jsonb_typeof(value->0), length(value->>0) FROM hunting.device_events WHERE n = 10`, "string 2000")
	h.want(`SELECT value::text, extra::text FROM hunting.device_events WHERE n = 9`, "{\"a\": 2} {\"Rest\uFFFD\": \"\uFFFD\"}")
}

// Whatever is served where, PostgreSQL takes what is made of it, and every value
// is somewhere.
func TestHuntGarbage(t *testing.T) {
	w := newWorker(t)
	w.lease = longLease(t, w)
	h := hunterOn(w, store.HuntSpec{Key: []string{"N"}, AutoMigrate: true})
	cols := columns("N", "Int32")
	var seeds []string
	for _, typed := range slices.Sorted(maps.Keys(encodings)) {
		cols = append(cols, store.HuntColumn{Name: "C" + typed, Type: typed})
		for _, e := range encodings[typed] {
			seeds = append(seeds, e.json)
		}
	}
	seed := rapid.SampledFrom(seeds)
	noise := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789-+.eE:TZP[]{}\",\\u \x00é\U0001F642nDHMSfalse")), 0, 12, -1)
	h.add(cols) // makes the table
	rapid.Check(t, func(rt *rapid.T) {
		r := row{"N": "1"}
		for _, c := range cols[1:] {
			value := seed.Draw(rt, "seed")
			switch rapid.IntRange(0, 3).Draw(rt, "how") {
			case 0:
				at := rapid.IntRange(0, len(value)).Draw(rt, "at")
				value = value[:at] + noise.Draw(rt, "noise") + value[at:]
			case 1:
				value = quoted(noise.Draw(rt, "text"))
			case 2:
				value = noise.Draw(rt, "raw")
			}
			r[c.Name] = value
		}
		h.exec(`TRUNCATE hunting.device_events`)
		if got, want := h.answer(cols, r), (store.Counts{Inserted: 1}); got != want {
			rt.Fatalf("%+v, want %+v", got, want)
		}
		for _, c := range cols[1:] {
			missing := fmt.Sprintf(`SELECT count(*) FROM hunting.device_events WHERE %s IS NULL AND NOT coalesce(extra, '{}') ? '%s'`, store.SnakeCase(c.Name), c.Name)
			empty := strings.Trim(r[c.Name], " ")
			if h.query(missing)[0] != "0" && empty != "" && empty != "null" && empty != `""` && empty != `"` {
				rt.Fatalf("%s: %q is nowhere", c.Name, r[c.Name])
			}
		}
	})
	h.want(`SELECT count(*) FROM sync.quarantine`, "0")
}
