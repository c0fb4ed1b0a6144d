package defender

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func records(p *Page) []string {
	var all []string
	for _, r := range p.Records {
		all = append(all, string(r))
	}
	return all
}

func TestDecodePage(t *testing.T) {
	for body, want := range map[string]struct {
		records []string
		next    string
	}{
		`{"value":[]}`: {},
		`{"@odata.context":"c","@odata.count":2,"value":[{"a":1}, {"a":2}],"@odata.nextLink":"n"}`: {[]string{`{"a":1}`, `{"a":2}`}, "n"},
		`{"@odata.nextLink":"n","value":[{"a":1}]}`:                                                {[]string{`{"a":1}`}, "n"},
		` {"value":[ 1 , null,"x",[{}] ],"@odata.nextLink":null} `:                                 {[]string{"1", "null", `"x"`, "[{}]"}, ""},
		`{"odd":{"value":[7]},"value":[{ "a" : 1.0 }],"more":[[]]}`:                                {[]string{`{ "a" : 1.0 }`}, ""},
		`{"value":[1],"value":[2]}`:                                                                {[]string{"1", "2"}, ""},
		"{\"value\":[\"a\xffb\",{\"k\":1,\"k\":2}]}":                                               {[]string{"\"a\xffb\"", `{"k":1,"k":2}`}, ""},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(body), "byte by byte": iotest.OneByteReader(strings.NewReader(body))} {
			page, err := decodePage(r)
			if err != nil {
				t.Errorf("%s, %s: %v", body, name, err)
				continue
			}
			if diff := cmp.Diff(want.records, records(page)); diff != "" || page.Next != want.next {
				t.Errorf("%s, %s: next %q (-want +got):\n%s", body, name, page.Next, diff)
			}
		}
	}
}

// An answer with records and an error behind them broke off: what came is good,
// and not all.
func TestErrorBehindRecordsIsIncomplete(t *testing.T) {
	for body, incomplete := range map[string]bool{
		`{"value":[{"a":1}],"error":{"code":"x"}}`: true,
		`{"error":"gone","value":[{"a":1}]}`:       true,
		`{"value":[{"a":1}],"error":null}`:         false,
	} {
		page, err := decodePage(strings.NewReader(body))
		if err != nil || page.Incomplete != incomplete || len(page.Records) != 1 {
			t.Errorf("%s: %+v, %v", body, page, err)
		}
	}
}

func TestDecodePageRejects(t *testing.T) {
	for _, body := range []string{
		``, ` `, `null`, `[]`, `[{"value":[]}]`, `"x"`, `{}`, `{"Value":[]}`, `{"value":null}`, `{"value":{}}`, `{"value":"x"}`,
		`{"value":[]`, `{"value":[`, `{"value":[{}`, `{"value":[{}],`, `{"value":[]} x`, `{"value":[]}{}`, `{"value":[],"@odata.nextLink":5}`,
		`{"error":{"code":"x"}}`, `<html>`, `{"value":[{"a":}]}`, "{\"value\":[\"\x00\"]}",
	} {
		if page, err := decodePage(strings.NewReader(body)); err == nil || err == io.EOF {
			t.Errorf("decodePage(%q) = %q, %v; want an error", body, records(page), err)
		}
	}
}

func TestDecodeErrorKeepsABoundedSample(t *testing.T) {
	body := `{"value":["` + strings.Repeat("x", 2*maxDecodeSample)
	_, err := readPage(&http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body))}, 1<<20)
	de, ok := errors.AsType[*DecodeError](err)
	if !ok || string(de.Body) != body[:maxDecodeSample] || !strings.Contains(de.Reason, "unexpected EOF") {
		t.Fatalf("err = %v, want a *DecodeError with the first %d bytes", err, maxDecodeSample)
	}
}

func TestBodyBoundIsExact(t *testing.T) {
	const body = `{"value":[{"a":1}]}`
	for limit, fits := range map[int64]bool{int64(len(body)): true, int64(len(body)) - 1: false, 1: false} {
		_, err := readPage(&http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body))}, limit)
		if tl, ok := errors.AsType[*TooLargeError](err); ok == fits || (ok && tl.Limit != limit) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestBoundedReaderPassesNoMoreThanItsLimit(t *testing.T) {
	got, err := io.ReadAll(&boundedReader{r: strings.NewReader("abcdef"), left: 4, limit: 4})
	if string(got) != "abcd" || !isA[*TooLargeError](err) {
		t.Errorf("read %q, %v; want abcd and a *TooLargeError", got, err)
	}
}

// A small body that inflates to a huge one must stop at the bound.
func TestGzipBombStopsAtTheBound(t *testing.T) {
	bomb := gzipped(`{"value":["` + strings.Repeat("x", 64<<20) + `"]}`)
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Encoding": {"gzip"}}, Body: io.NopCloser(strings.NewReader(bomb))}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readPage(resp, 1<<20); !isA[*TooLargeError](err) {
		t.Errorf("err = %v, want a *TooLargeError", err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8<<20 {
		t.Errorf("%d bytes allocated for a body bounded to 1 MiB", allocated)
	}
}

// fixture reads a published sample; "" with a word in the log where the samples are not installed.
func fixture(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("DEFENDERSYNC_FIXTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "fixtures")
	}
	b, err := os.ReadFile(filepath.Join(dir, "incidents", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Logf("published sample %s is not installed: set DEFENDERSYNC_FIXTURES to check against it", name)
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPublishedSamples(t *testing.T) {
	for name, want := range map[string]int{"msdocs-api-list-incidents.json": 1, "rapid7-list_incidents.json": 1} {
		body := fixture(t, name)
		if body == "" {
			continue
		}
		page, err := decodePage(strings.NewReader(body))
		if err != nil || len(page.Records) < want {
			t.Errorf("%s: %v, want at least %d records", name, err, want)
			continue
		}
		for _, r := range page.Records {
			o, err := ParseObject(r)
			if err != nil || !o.Has("incidentId") || !strings.Contains(body, string(r)) {
				t.Errorf("%s: record %v, names %q", name, err, o.Names())
			}
		}
	}
	if body := fixture(t, "rapid7-invalid_json_response.json"); body != "" {
		if _, err := decodePage(strings.NewReader(body)); err == nil {
			t.Error("the invalid sample was decoded")
		}
	}
}

func FuzzDecodePage(f *testing.F) {
	for _, s := range []string{`{"value":[]}`, `{"value":[{"a":1},2],"@odata.nextLink":"n"}`, "{\"value\":[\"\xff\"],\"value\":[]}", `{"value":[`, `{"a":{"value":[]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		page, err := decodePage(bytes.NewReader(body))
		slow, slowErr := decodePage(iotest.OneByteReader(bytes.NewReader(body)))
		if (err == nil) != (slowErr == nil) {
			t.Fatalf("whole: %v, byte by byte: %v", err, slowErr)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(records(page), records(slow)); diff != "" || page.Next != slow.Next {
			t.Errorf("whole and byte by byte differ:\n%s", diff)
		}
		for _, r := range page.Records {
			if !bytes.Contains(body, r) {
				t.Errorf("record %q is not as served", r)
			}
			if v := jsontext.Value(bytes.Clone(r)); !v.IsValid(lenient()...) {
				t.Errorf("record %q is not JSON", r)
			}
		}
	})
}
