package store_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"defendersync/store"
)

func TestCleanText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"plain é 漢 🙂", "plain é 漢 🙂"},
		{"a\x00b", "a\uFFFDb"},
		{"a\xffb", "a\uFFFDb"},
		{"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"}, // a surrogate in UTF-8's clothes
		{"kept \uFFFD", "kept \uFFFD"},
	} {
		if got := store.CleanText(tt.in); got != tt.want {
			t.Errorf("CleanText(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestCleanJSON(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"a": [1, 2.50, -0, 1E+2, true, null]}`, `{"a": [1, 2.50, -0, 1E+2, true, null]}`},
		{`{"a": [1, 2.50, -0, 1E+2, true, "\u0000"]}`, `{"a":[1,2.50,-0,1E+2,true,"\uFFFD"]}`},
		{`9007199254740993`, `9007199254740993`},
		{`123456789012345678901234567890.123456789`, `123456789012345678901234567890.123456789`},
		{`"a\u0000b"`, `"a\uFFFDb"`},
		{"\"a\x00b\"", `"a\uFFFDb"`},
		{`"\\u0000"`, `"\\u0000"`}, // an escaped backslash, then text
		{`{"k\u0000": 1}`, `{"k\uFFFD":1}`},
		{`"\ud800"`, `"\uFFFD"`},
		{`"\uDC00x"`, `"\uFFFDx"`},
		{`"\ud83d\ude42"`, `"🙂"`},
		{`"\ud83d\u0041"`, `"\uFFFDA"`},
		{"\"\xff\"", `"\uFFFD"`},
		{`"<&>\u00e9"`, `"<&>\u00e9"`},
		{`{"a":1,"a":2}`, `{"a":1,"a":2}`},
		{`[1e999999, 1e-999999, 1e99999999999999999999]`, `["1e999999","1e-999999","1e99999999999999999999"]`},
		{" [ ] \n", " [ ] \n"},
	} {
		got, err := store.CleanJSON([]byte(tt.in))
		if err != nil {
			t.Errorf("CleanJSON(%q): %v", tt.in, err)
			continue
		}
		want := strings.ReplaceAll(tt.want, `\uFFFD`, "\uFFFD")
		if string(got) != want {
			t.Errorf("CleanJSON(%q) = %q, want %q", tt.in, got, want)
		}
	}
}

func TestCleanJSONRefuses(t *testing.T) {
	for _, in := range []string{"", " ", "{", `{"a":`, "nul", `"a`, "[1] [2]", "1 2", `{"a":1}x`, "\x00", "01", "\"a\nb\""} {
		if got, err := store.CleanJSON([]byte(in)); err == nil {
			t.Errorf("CleanJSON(%q) = %q, want an error", in, got)
		}
	}
}

// FuzzCleanJSON checks what jsonb asks of a document, and that cleaning again
// changes nothing.
func FuzzCleanJSON(f *testing.F) {
	for _, s := range []string{`{"a":"\u0000","b":["\ud800",1e9]}`, "\"\xff\"", `[-0.0,1E400]`, `{"a":1,"a":{}}`, "[1]2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := store.CleanJSON(in)
		if err != nil {
			return
		}
		if !utf8.Valid(got) || !json.Valid(got) || strings.Contains(string(got), "\x00") {
			t.Fatalf("CleanJSON(%q) = %q", in, got)
		}
		again, err := store.CleanJSON(got)
		if err != nil || string(again) != string(got) {
			t.Fatalf("CleanJSON(%q) = %q, %v: not stable", got, again, err)
		}
	})
}

// Most documents are clean, and cost no copy.
func TestCleanJSONReturnsWhatIsClean(t *testing.T) {
	clean := []byte(`{"a": [1, "é", {"b": null}]}`)
	if got, err := store.CleanJSON(clean); err != nil || &got[0] != &clean[0] {
		t.Errorf("CleanJSON copies %s, %v", clean, err)
	}
}
