package defender

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, raw string) Object {
	t.Helper()
	o, err := ParseObject(jsontext.Value(raw))
	if err != nil {
		t.Fatalf("ParseObject(%q): %v", raw, err)
	}
	return o
}

func TestObjectKeepsOrderAndCase(t *testing.T) {
	o := parse(t, ` {"b":1,"LogonId":2,"LogonID":3,"b":4,"n":null} `)
	if diff := cmp.Diff([]string{"b", "LogonId", "LogonID", "n"}, o.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"b": "4", "LogonId": "2", "LogonID": "3", "n": "null"} {
		if v, ok := o.Get(name); !ok || string(v) != want {
			t.Errorf("Get(%s) = %s, %v; want %s", name, v, ok, want)
		}
	}
	if !o.Has("n") || o.Has("N") {
		t.Errorf("Has: n %v, N %v; want true, false", o.Has("n"), o.Has("N"))
	}
}

func TestObjectKeepsValuesAsServed(t *testing.T) {
	const inner = `{ "x" : [1.50, "\u0041"] }`
	o := parse(t, `{"a":`+inner+` , "z":1}`)
	if v, _ := o.Get("a"); string(v) != inner {
		t.Errorf("Get(a) = %q, want the served bytes %q", v, inner)
	}
}

func TestObjectValuesCanBeAppendedTo(t *testing.T) {
	o := parse(t, `{"a":[1,2],"b":3}`)
	a, _ := o.Get("a")
	elems, _, _ := o.Array("a")
	_, _ = append(a, "xxxxxx"...), append(elems[0], "x"...)
	if b, _ := o.Get("b"); string(b) != "3" || string(elems[1]) != "2" {
		t.Errorf("neighbours became %s and %s", b, elems[1])
	}
}

func TestObjectAbsentAndNullAreNotErrors(t *testing.T) {
	o := parse(t, `{"null":null}`)
	for _, name := range []string{"null", "absent"} {
		for kind, get := range getters(o) {
			if ok, err := get(name); ok || err != nil {
				t.Errorf("%s of %s: ok %v, err %v; want false, nil", kind, name, ok, err)
			}
		}
	}
}

func TestObjectWrongKindIsTypeError(t *testing.T) {
	o := parse(t, `{"s":"x","n":1.5,"b":true,"o":{},"a":[1],"big":9223372036854775808}`)
	fits := map[string]string{"Text": "s", "Bool": "b", "Object": "o", "Array": "a"}
	for kind, get := range getters(o) {
		for _, name := range o.Names() {
			ok, err := get(name)
			if fits[kind] == name {
				if !ok || err != nil {
					t.Errorf("%s of %s: %v, %v", kind, name, ok, err)
				}
				continue
			}
			var te *TypeError
			if ok || !errors.As(err, &te) || te.Name != name || te.Want == "" || te.Got == "" {
				t.Errorf("%s of %s: ok %v, err %v; want a *TypeError that names it", kind, name, ok, err)
			}
		}
	}
}

func getters(o Object) map[string]func(string) (bool, error) {
	return map[string]func(string) (bool, error){
		"Text":    func(n string) (bool, error) { _, ok, err := o.Text(n); return ok, err },
		"Int64":   func(n string) (bool, error) { _, ok, err := o.Int64(n); return ok, err },
		"Bool":    func(n string) (bool, error) { _, ok, err := o.Bool(n); return ok, err },
		"Time":    func(n string) (bool, error) { _, ok, err := o.Time(n); return ok, err },
		"Array":   func(n string) (bool, error) { _, ok, err := o.Array(n); return ok, err },
		"Object":  func(n string) (bool, error) { _, ok, err := o.Object(n); return ok, err },
		"Strings": func(n string) (bool, error) { _, ok, err := o.Strings(n); return ok, err },
	}
}

func TestObjectInt64(t *testing.T) {
	o := parse(t, `{"n":9007199254740993,"s":"9223372036854775807","neg":-3}`)
	for name, want := range map[string]int64{"n": 9007199254740993, "s": 9223372036854775807, "neg": -3} {
		if got, ok, err := o.Int64(name); got != want || !ok || err != nil {
			t.Errorf("Int64(%s) = %d, %v, %v; want %d", name, got, ok, err, want)
		}
	}
}

func TestObjectTextReplacesInvalidUTF8(t *testing.T) {
	o := parse(t, "{\"raw\":\"a\xffb\",\"lone\":\"a\\ud800b\",\"nul\":\"a\\u0000b\",\"k\xfe\":1}")
	for name, want := range map[string]string{"raw": "a\uFFFDb", "lone": "a\uFFFDb", "nul": "a\x00b"} {
		if got, _, err := o.Text(name); got != want || err != nil {
			t.Errorf("Text(%s) = %q, %v; want %q", name, got, err, want)
		}
	}
	if !o.Has("k\uFFFD") {
		t.Errorf("names = %q, want the invalid byte replaced", o.Names())
	}
}

func TestObjectNested(t *testing.T) {
	o := parse(t, `{"s":["a",null,"b"],"e":[],"a":[ {"x":1} , 2],"o":{"in":"side"}}`)
	if got, ok, err := o.Strings("s"); !ok || err != nil || cmp.Diff([]string{"a", "b"}, got) != "" {
		t.Errorf("Strings(s) = %q, %v, %v", got, ok, err)
	}
	if got, ok, err := o.Strings("e"); !ok || err != nil || len(got) != 0 {
		t.Errorf("Strings(e) = %q, %v, %v; want present and empty", got, ok, err)
	}
	mixed := parse(t, `{"m":["a",5,null,{},"b"],"n":[1,[]]}`)
	if got, ok, err := mixed.Strings("m"); !ok || err == nil || cmp.Diff([]string{"a", "b"}, got) != "" {
		t.Errorf("Strings(m) = %q, %v, %v; want the strings and an error about the others", got, ok, err)
	}
	if got, ok, err := mixed.Strings("n"); ok || err == nil || got != nil {
		t.Errorf("Strings(n) = %q, %v, %v; want nothing but an error", got, ok, err)
	}
	if got, _, err := o.Array("a"); err != nil || len(got) != 2 || string(got[0]) != `{"x":1}` || string(got[1]) != "2" {
		t.Errorf("Array(a) = %s, %v", got, err)
	}
	in, _, err := o.Object("o")
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := in.Text("in"); got != "side" {
		t.Errorf("Object(o).Text(in) = %q", got)
	}
}

func TestParseObjectRejects(t *testing.T) {
	var te *TypeError
	if _, err := ParseObject(jsontext.Value(`[1]`)); !errors.As(err, &te) || te.Got != "array" {
		t.Errorf("array: %v, want a *TypeError", err)
	}
	for _, raw := range []string{``, ` `, `{`, `{"a"}`, `{"a":1`, `{"a":1}}`, `{"a":1} 2`, `{"a":tru}`, `nonsense`} {
		if _, err := ParseObject(jsontext.Value(raw)); err == nil {
			t.Errorf("ParseObject(%q) succeeded", raw)
		}
	}
}

func TestParseTime(t *testing.T) {
	day := time.Date(2026, 11, 20, 10, 30, 5, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"2026-11-20T10:30:05Z":            day,
		"2026-11-20T10:30:05":             day,
		"2026-11-20T12:30:05+02:00":       day,
		"2026-11-20T10:30:05.3333333Z":    day.Add(333333300),
		"2026-11-20T10:30:05.3":           day.Add(300 * time.Millisecond),
		"2026-11-20T10:30:05.123456789Z":  day.Add(123456789),
		"2026-11-20T10:30:05.1234567899Z": day.Add(123456789),
		"0001-01-01T00:00:00Z":            {},
	} {
		got, err := ParseTime(s)
		if err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("ParseTime(%s) = %v, %v; want %v in UTC", s, got, err, want)
		}
	}
	for _, s := range []string{"", "2026-11-20", "10:30", "2026-13-01T00:00:00Z", "2026-11-20T10:30:05 UTC", "yesterday"} {
		if got, err := ParseTime(s); err == nil {
			t.Errorf("ParseTime(%q) = %v, want an error", s, got)
		}
	}
}

func TestTruncateMicroCutsDown(t *testing.T) {
	in := time.Date(2026, 11, 20, 0, 0, 0, 333333999, time.UTC)
	if got := TruncateMicro(in).Nanosecond(); got != 333333000 {
		t.Errorf("TruncateMicro kept %d ns, want 333333000", got)
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-11-20T10:30:05.3333333Z", "2026-11-20T10:30:05", "2026-11-20T12:30:05+02:00", "", "T"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTime(s)
		if err != nil {
			return
		}
		if again, err := ParseTime(got.Format(time.RFC3339Nano)); err == nil && !again.Equal(got) {
			t.Errorf("ParseTime(%q) = %v, which reads back as %v", s, got, again)
		}
	})
}

func FuzzParseObject(f *testing.F) {
	for _, s := range []string{`{"a":1,"a":[{}]}`, "{\"a\xff\":\"\xff\"}", `{"a":{"b":"\ud800"}}`, `[]`, `{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := ParseObject(raw)
		if err != nil {
			return
		}
		for _, name := range o.Names() {
			v, ok := o.Get(name)
			if !ok || !strings.Contains(string(raw), string(v)) {
				t.Errorf("Get(%q) = %q, which is not part of %q", name, v, raw)
			}
			for kind, get := range getters(o) {
				var te *TypeError
				if _, err := get(name); err != nil && !errors.As(err, &te) {
					t.Errorf("%s(%q) of %q: %v", kind, name, raw, err)
				}
			}
		}
	})
}
