package defender

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// readFiltered reads body through a filter, in one go and byte by byte from
// either side.
func readFiltered(t *testing.T, body string) string {
	t.Helper()
	var all []string
	for _, r := range []io.Reader{
		newJSONFilter(strings.NewReader(body)),
		newJSONFilter(iotest.OneByteReader(strings.NewReader(body))),
		iotest.OneByteReader(newJSONFilter(strings.NewReader(body))),
		newJSONFilter(iotest.DataErrReader(strings.NewReader(body))),
	} {
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		all = append(all, string(b))
	}
	for _, other := range all {
		if other != all[0] {
			t.Fatalf("%q becomes %q and, in other pieces, %q", body, all[0], other)
		}
	}
	return all[0]
}

func TestJSONFilter(t *testing.T) {
	for body, want := range map[string]string{
		"":                                 "",
		"{":                                "{",
		"\xEF\xBB":                         "\xEF\xBB",
		"\uFEFF":                           "",
		"\uFEFF{\"a\":1}":                  `{"a":1}`,
		"\uFEFF\uFEFF":                     "\uFEFF",
		"[\"\uFEFF\"]":                     "[\"\uFEFF\"]",
		"\t{\n\"a\":\r\n[\"b\"]\x00}":      "\t{\n\"a\":\r\n[\"b\"]\x00}",
		"\"\x00\"":                         `"\u0000"`,
		"\"a\tb\nc\x1f\x7f\"":              "\"a\\u0009b\\u000ac\\u001f\x7f\"",
		"{\"\x01\":\"\\\"\x02\"}":          `{"\u0001":"\"\u0002"}`,
		`"\\"` + "\t" + `"\\` + "\t" + `"`: `"\\"` + "\t" + `"\\\u0009"`,
		"\"\\\x00\"":                       `"\\\u0000"`,
		"\"cut\x00":                        `"cut\u0000`,
	} {
		if got := readFiltered(t, body); got != want {
			t.Errorf("%q becomes %q, want %q", body, got, want)
		}
	}
}

// The bound on a read is no bound on the body, and expanding loses nothing.
func TestJSONFilterOfALongText(t *testing.T) {
	for _, c := range []string{"x", "\x00"} {
		body := `"` + strings.Repeat(c, 3*filterChunk) + `"`
		want := strings.ReplaceAll(body, "\x00", `\u0000`)
		if got := readFiltered(t, body); got != want {
			t.Errorf("%d bytes of %q become %d, want %d", len(body), c, len(got), len(want))
		}
	}
}

// Eight bytes at once are what one byte at a time would be.
func TestPlainBytes(t *testing.T) {
	special := []byte{0, 1, '\t', 0x1f, ' ', '!', '"', '#', '[', '\\', ']', 0x7f, 0x80, 0x9f, 0xa0, 0xa2, 0xdc, 0xff}
	rapid.Check(t, func(rt *rapid.T) {
		b := rapid.SliceOfN(rapid.OneOf(rapid.Just(byte('x')), rapid.SampledFrom(special), rapid.Byte()), 0, 30).Draw(rt, "bytes")
		want := 0
		for want < len(b) && b[want] >= ' ' && b[want] != '"' && b[want] != '\\' {
			want++
		}
		if got := plain(b); got != want {
			rt.Fatalf("%d plain bytes in %q, want %d", got, b, want)
		}
	})
}

func TestJSONFilterPassesErrorsOn(t *testing.T) {
	for _, body := range []string{"", "{", `{"a":1}`, "\"a\x00"} {
		got, err := io.ReadAll(newJSONFilter(io.MultiReader(strings.NewReader(body), iotest.ErrReader(iotest.ErrTimeout))))
		if want := strings.ReplaceAll(body, "\x00", `\u0000`); err != iotest.ErrTimeout || string(got) != want {
			t.Errorf("%q: %q, %v", body, got, err)
		}
	}
}

func TestRawControlCharactersLoseNoRecord(t *testing.T) {
	body := "\uFEFF{\"value\":[{\"id\":\"1\",\"a\":\"x\x00y\tz\"},{\"id\":\"2\"}]}"
	for name, r := range map[string]func() (*Page, error){
		"plain": func() (*Page, error) { return readPage(reply(200, body), 1000) },
		"gzip":  func() (*Page, error) { return readPage(reply(200, gzipped(body), "Content-Encoding", "gzip"), 1000) },
	} {
		page, err := r()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff([]string{`{"id":"1","a":"x\u0000y\u0009z"}`, `{"id":"2"}`}, records(page)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	_, err := readPage(reply(200, body[:20]), 1000)
	if d, ok := err.(*DecodeError); !ok || string(d.Body) != body[:20] {
		t.Errorf("err = %#v, want the bytes as served", err)
	}
}

func FuzzJSONFilter(f *testing.F) {
	for _, s := range []string{`{"a":"b\\\"c\u0000"}`, "\uFEFF[]", "\"\x00\"", "\"\\\t\"", ` ["\\",{"x":1}] `, "\"\xff\x01\""} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, body []byte, piece int) {
		piece = 1 + max(piece, -piece-1)%64
		got, err := io.ReadAll(newJSONFilter(pieces{bytes.NewReader(body), piece}))
		if err != nil {
			t.Fatal(err)
		}
		if jsontext.Value(body).IsValid(lenient()...) && !bytes.Equal(got, body) {
			t.Fatalf("%q is valid and becomes %q", body, got)
		}
		if again := readFiltered(t, string(got)); again != string(got) && !bytes.HasPrefix(got, byteOrderMark) {
			t.Fatalf("%q becomes %q and that becomes %q", body, got, again)
		}
		text := strings.Map(func(r rune) rune {
			if r == '"' || r == '\\' {
				return -1
			}
			return r
		}, string(body))
		if quoted := readFiltered(t, `"`+text+`"`); unquote(jsontext.Value(quoted)) != text {
			t.Fatalf("the text %q becomes %q", text, quoted)
		}
	})
}

// pieces gives at most n bytes at once.
type pieces struct {
	r io.Reader
	n int
}

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

func BenchmarkJSONFilter(b *testing.B) {
	body := []byte(`{"value":[` + strings.Repeat(`{"id":"1","title":"Suspicious \"thing\"","n":17},`, 20_000) + `{}]}`)
	buf := make([]byte, filterChunk)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		f := newJSONFilter(bytes.NewReader(body))
		for err := error(nil); err == nil; {
			_, err = f.Read(buf)
		}
	}
}
