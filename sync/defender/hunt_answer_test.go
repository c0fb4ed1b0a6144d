package defender

import (
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// decodeAll decodes a body in one go and byte by byte, which must not differ.
func decodeAll(t *testing.T, body string) (*HuntAnswer, *keeper, error) {
	t.Helper()
	whole, pieces := new(keeper), new(keeper)
	got, err := decodeHunt(strings.NewReader(body), whole)
	slow, slowErr := decodeHunt(iotest.OneByteReader(strings.NewReader(body)), pieces)
	if (err == nil) != (slowErr == nil) {
		t.Fatalf("%q: whole %v, byte by byte %v", body, err, slowErr)
	}
	if err != nil {
		return nil, whole, err
	}
	if diff := cmp.Diff(got, slow) + cmp.Diff(whole, pieces, cmp.AllowUnexported(keeper{})); diff != "" {
		t.Fatalf("%q, whole and byte by byte:\n%s", body, diff)
	}
	return got, whole, nil
}

func TestDecodeHunt(t *testing.T) {
	const ab = `"schema":[{"name":"A","type":"Int64"},{"name":"B","type":"String"}]`
	for body, want := range map[string]struct {
		rows, odd  []string
		incomplete bool
	}{
		`{` + ab + `,"results":[]}`:                                                                {},
		`{` + ab + `,"results":[{}]}`:                                                              {rows: []string{"A=- B=-"}},
		` { "results" : [ { "B" : "x" , "A" : 1 } ] , ` + ab + ` } `:                               {rows: []string{`A=1 B="x"`}},
		`{"Stats":{"schema":[7],"results":[[]]},` + ab + `,"results":[{"A":1}],"x":0}`:             {rows: []string{"A=1 B=-"}},
		`{"RESULTS":[{"A":1}],"SCHEMA":[{"NAME":"A"},{"Name":"B"}]}`:                               {rows: []string{"A=1 B=-"}},
		`{` + ab + `,"results":[1,"x",null,[{"A":1}],{"A":2}]}`:                                    {rows: []string{"A=2 B=-"}, odd: []string{"1", `"x"`, "null", `[{"A":1}]`}},
		`{` + ab + `,"results":[{"A":1}],"results":[{"A":2}]}`:                                     {rows: []string{"A=1 B=-", "A=2 B=-"}},
		`{` + ab + `,"results":[{"A":1}],"error":{"code":"Partial","message":"m"}}`:                {rows: []string{"A=1 B=-"}, incomplete: true},
		`{"error":"broke off",` + ab + `,"results":[{"A":1}]}`:                                     {rows: []string{"A=1 B=-"}, incomplete: true},
		`{"error":null,` + ab + `,"results":[{"A":1}]}`:                                            {rows: []string{"A=1 B=-"}},
		`{"schema":[{"name":"A","type":null,"more":1},{"type":3,"name":"B"}],"results":[{"A":1}]}`: {rows: []string{"A=1 B=-"}},
		`{"schema":[],"results":[{"A":1}]}`:                                                        {rows: []string{"+A=1"}},
	} {
		got, sink, err := decodeAll(t, body)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if diff := cmp.Diff(want.rows, sink.rows) + cmp.Diff(want.odd, sink.odd); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
		if got.Rows != int64(len(want.rows)+len(want.odd)) || got.Incomplete != want.incomplete || sink.begins != 1 {
			t.Errorf("%s: %+v, begun %d times", body, got, sink.begins)
		}
	}
}

func TestDecodeHuntRejects(t *testing.T) {
	const a = `"schema":[{"name":"A"}]`
	for body, want := range map[string]string{
		``:                                     "unexpected EOF",
		`null`:                                 "want an object, got null",
		`[]`:                                   "want an object, got array",
		`<html>`:                               "invalid",
		`{}`:                                   "the answer has no schema",
		`{"results":[]}`:                       "the answer has no schema",
		`{"results":[{"A":1}]}`:                "the answer has no schema",
		`{` + a + `}`:                          "the answer has no results",
		`{` + a + `,"results":null}`:           "results: want array, got null",
		`{` + a + `,"results":{}}`:             "results: want array, got object",
		`{"results":"x",` + a + `}`:            "results: want array, got string",
		`{"schema":null,"results":[]}`:         "schema: want array, got null",
		`{"schema":[1],"results":[]}`:          "schema: column: want object, got number",
		`{"schema":[{}],"results":[]}`:         "schema: a column has no name",
		`{"schema":[{"name":7}],"results":[]}`: "schema: a column has no name",
		`{` + a + `,` + a + `,"results":[]}`:   "the answer has two schemas",
		`{"results":[],"results":[],` + a:      "the answer has two results before a schema",
		`{` + a + `,"results":[`:               "unexpected EOF",
		`{` + a + `,"results":[{"A":1}`:        "unexpected EOF",
		`{` + a + `,"results":[{"A":1}]`:       "unexpected EOF",
		`{"results":[{"A":1}`:                  "unexpected EOF",
		`{` + a + `,"results":[{"A":}]}`:       "invalid",
		`{` + a + `,"results":[]}{}`:           "data after the answer",
		`{` + a + `,"results":[]} x`:           "invalid",
		`{"error":{"code":"c","message":"m"}}`: "the answer is a success and holds an error: c: m",
		`{` + a + `,"error":"down"}`:           "the answer is a success and holds an error: down",
		`{"error":"down","results":[]}`:        "the answer is a success and holds an error: down",
	} {
		_, _, err := decodeAll(t, body)
		if err == nil || err == io.EOF || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

func TestHuntDecodeErrorKeepsABoundedSample(t *testing.T) {
	body := `{"schema":[],"results":["` + strings.Repeat("x", 2*maxDecodeSample)
	_, err := readHunt(reply(200, body), 1<<20, new(keeper))
	if e, ok := errors.AsType[*DecodeError](err); !ok || string(e.Body) != body[:maxDecodeSample] || !strings.Contains(e.Reason, "unexpected EOF") {
		t.Errorf("err = %v, want a *DecodeError with the first %d bytes", err, maxDecodeSample)
	}
}

// Bytes that no decoder takes cost no row, and what is reported is what was served.
func TestHuntTakesWhatIsServed(t *testing.T) {
	body := "\uFEFF{\"schema\":[{\"name\":\"A\"}],\"results\":[{\"A\":\"x\x00\ty\"},{\"A\":\"\xff\"},{\"A\":9007199254740993}]}"
	sink := new(keeper)
	got, err := readHunt(reply(200, body), 1000, sink)
	if err != nil || got.Bytes != int64(len(body)) {
		t.Fatalf("%+v, %v; want %d bytes", got, err, len(body))
	}
	if diff := cmp.Diff([]string{`A="x\u0000\u0009y"`, "A=\"\xff\"", "A=9007199254740993"}, sink.rows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// meteredSink measures the memory in use while rows come by.
type meteredSink struct {
	nowhere
	rows int
	peak uint64
}

func (m *meteredSink) Row(values []jsontext.Value, rest []HuntMember) error {
	if m.rows++; m.rows%5000 == 0 {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		m.peak = max(m.peak, now.HeapInuse)
	}
	return m.nowhere.Row(values, rest)
}

func TestHuntMemoryDoesNotGrowWithTheAnswer(t *testing.T) {
	body, rows := newHuntTable().body(60 << 20)
	resp := reply(200, "")
	resp.Body = io.NopCloser(body)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sink := new(meteredSink)
	got, err := readHunt(resp, DefaultHuntMaxBody, sink)
	if err != nil || got.Rows != rows || got.Bytes < 59<<20 {
		t.Fatalf("%+v, %v; want %d rows", got, err, rows)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4<<20 {
		t.Errorf("%d bytes allocated for %d", allocated, got.Bytes)
	}
	if mallocs := after.Mallocs - before.Mallocs; int64(mallocs) > rows/10 {
		t.Errorf("%d allocations for %d rows", mallocs, rows)
	}
	if grown := int64(sink.peak) - int64(before.HeapInuse); grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// However it is malformed, an answer fills no more memory than its parts may.
func TestHuntMemoryIsBounded(t *testing.T) {
	endless := func(begin string, of string) io.Reader {
		return io.MultiReader(strings.NewReader(begin), &repeated{text: of})
	}
	const a = `{"schema":[{"name":"A"}],"results":[`
	for name, tc := range map[string]struct {
		body  io.Reader
		limit int64
		want  string
	}{
		"a value":       {endless(a+`{"A":"`, "x"), maxHuntRow, "a row is larger than 16777216 bytes"},
		"a row":         {endless(a+`{"A":1`, `,"B":1`), maxHuntRow, "a row is larger than 16777216 bytes"},
		"an odd row":    {endless(a+`[1`, `,1`), maxHuntRow, "a row is larger than 16777216 bytes"},
		"a schema":      {endless(`{"schema":[{}`, `,{"name":"A"}`), maxHuntSchema, "the schema is larger than 1048576 bytes"},
		"early rows":    {endless(`{"results":[{}`, `,{"A":1}`), maxHuntEarly, "what precedes the schema is larger than 8388608 bytes"},
		"a member":      {endless(`{"Stats":"`, `x`), maxHuntRow, "the answer's frame is larger than 16777216 bytes"},
		"a member name": {endless(`{"`, `x`), maxHuntRow, "the answer's frame is larger than 16777216 bytes"},
		"an error":      {endless(`{"error":["x"`, `,1`), maxHuntRow, "the answer's frame is larger than 16777216 bytes"},
		"space":         {endless(a, ` `), maxHuntRow, "a row is larger than 16777216 bytes"},
	} {
		body := &countingReader{r: tc.body}
		resp := reply(200, "")
		resp.Body = io.NopCloser(body)
		_, err := readHunt(resp, DefaultHuntMaxBody, new(nowhere))
		if e, ok := errors.AsType[*OversizeError](err); !ok || e.Reason != tc.want || e.Timeout {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
		if int64(body.n) > 2*tc.limit+1<<20 {
			t.Errorf("%s: %d bytes read, want about %d", name, body.n, tc.limit)
		}
	}
}

// repeated is one text, for ever.
type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(p), nil
}

// The bound on the whole body is one on what it inflates to.
func TestHuntBodyBound(t *testing.T) {
	var body strings.Builder
	body.WriteString(`{"schema":[{"name":"A"}],"results":[{}`)
	for range 100_000 {
		body.WriteString(`,{"A":"0123456789"}`)
	}
	body.WriteString(`]}`)
	zipped := gzipped(body.String())
	for limit, fits := range map[int64]bool{int64(body.Len()): true, int64(body.Len()) - 1: false, 1 << 20: false} {
		_, err := readHunt(reply(200, zipped, "Content-Encoding", "gzip"), limit, new(nowhere))
		if fits != (err == nil) || !fits && !isA[*TooLargeError](err) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestPublishedHuntingSamples(t *testing.T) {
	for name, want := range map[string]string{"msdocs-api-advanced-hunting-2.json": "Timestamp DateTime", "rapid7-advanced_hunting.json": "Timestamp DateTime"} {
		body := huntFixture(t, name)
		if body == "" {
			continue
		}
		got, sink, err := decodeAll(t, body)
		if err != nil || got.Rows != 2 || len(sink.rows) != 2 {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		if first := sink.columns[0]; first.Name+" "+first.Type != want || strings.Contains(strings.Join(sink.rows, ""), "-}") || strings.Contains(sink.rows[0], "+") {
			t.Errorf("%s: columns %v, rows %q", name, sink.columns, sink.rows)
		}
	}
}

// huntFixture reads a published sample, or says that there is none.
func huntFixture(t *testing.T, name string) string {
	t.Helper()
	return fixture(t, filepath.Join("..", "hunting", name))
}

func FuzzDecodeHunt(f *testing.F) {
	for _, s := range []string{
		`{"schema":[{"name":"A"}],"results":[{"A":1},{"a":2},3]}`, `{"results":[{"B":1}],"Schema":[{"Name":"B","Type":"x"}]}`,
		`{"schema":[],"results":[`, `{"error":"x"}`, `{"schema":[{"name":"A"},{"name":"a"}],"results":[{"A":1,"A":2,"\u0041":3,"x@odata.type":""}]} `,
		"{\"schema\":[{\"name\":\"\xff\"}],\"results\":[{\"\xfe\":\"\\\"\\\\\"}],\"Stats\":{}}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, sink, err := decodeAll(t, body)
		if err != nil {
			return
		}
		if got.Rows != int64(len(sink.rows)+len(sink.odd)) || !slices.Equal(got.Columns, sink.columns) || !jsontext.Value(body).IsValid(lenient()...) {
			t.Errorf("%q: %+v, sink has %+v", body, got, sink)
		}
	})
}
