package defender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

const emptyHunt = `{"schema":[{"name":"A","type":"Int64"}],"results":[]}`

// keeper is a sink that keeps everything as text.
type keeper struct {
	columns []HuntColumn
	rows    []string // "A=1 B=- +Other=2"
	odd     []string
	begins  int
	fail    error // of the next row
}

func (k *keeper) Begin(columns []HuntColumn) error {
	k.begins++
	k.columns, k.rows, k.odd = slices.Clone(columns), nil, nil
	return nil
}

func (k *keeper) Row(values []jsontext.Value, rest []HuntMember) error {
	var parts []string
	for i, v := range values {
		if v == nil {
			v = jsontext.Value("-")
		}
		parts = append(parts, k.columns[i].Name+"="+string(v))
	}
	for _, m := range rest {
		parts = append(parts, "+"+m.Name+"="+string(m.Value))
	}
	k.rows = append(k.rows, strings.Join(parts, " "))
	return k.fail
}

func (k *keeper) Odd(raw []byte) error {
	k.odd = append(k.odd, string(raw))
	return nil
}

// testHunt is any query over testWindow.
func testHunt() HuntRequest {
	w := testWindow()
	return HuntRequest{Query: "DeviceInfo", Since: w.Since, Until: w.Until}
}

func hunt(ctx context.Context, c *Client) (*HuntAnswer, error) {
	return c.Hunt(ctx, testHunt(), new(keeper))
}

// huntFake is a wire that answers as it is told, or with an empty result.
func huntFake(answer func(*http.Request) (*http.Response, error)) *wireFake {
	if answer == nil {
		answer = script(says(200, emptyHunt))
	}
	return &wireFake{answer: answer}
}

// posted reads what a request would send, and again what it would send once more.
func posted(t *testing.T, req *http.Request) string {
	t.Helper()
	again, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	first, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	second, err := io.ReadAll(again)
	if err != nil || string(first) != string(second) || req.ContentLength != int64(len(first)) {
		t.Errorf("posts %q, then %q, %v; length %d", first, second, err, req.ContentLength)
	}
	return string(first)
}

func TestHuntHasItsFixedShape(t *testing.T) {
	const query = "DeviceInfo // \"é\" <&>\n| take 1\t"
	for name, tc := range map[string]struct {
		dialect           func(*Config)
		url, body, prefer string
	}{
		"graph": {nil, "https://graph.example/v1.0/security/runHuntingQuery",
			`{"Query":"DeviceInfo // \"é\" <&>\n| take 1\t","Timespan":"2026-11-20T09:00:00.0000000Z/2026-11-20T10:00:01.0000000Z"}`, "include-unknown-enum-members"},
		"older": {older, "https://api.example/api/advancedhunting/run", `{"Query":"DeviceInfo // \"é\" <&>\n| take 1\t"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			fake := huntFake(nil)
			req := testHunt()
			req.Query = query
			if _, err := newTestClient(t, fake, tc.dialect).Hunt(t.Context(), req, new(keeper)); err != nil {
				t.Fatal(err)
			}
			sent := fake.calls[0]
			if got := posted(t, sent); sent.Method != "POST" || sent.URL.String() != tc.url || got != tc.body {
				t.Errorf("%s %s\n%s, want POST %s\n%s", sent.Method, sent.URL, got, tc.url, tc.body)
			}
			want := http.Header{"Authorization": {"Bearer " + testToken(1)}, "Accept": {"application/json"}, "Accept-Encoding": {"gzip"},
				"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {"defendersync/test"}}
			if tc.prefer != "" {
				want.Set("Prefer", tc.prefer)
			}
			if diff := cmp.Diff(want, sent.Header); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTimespanLeavesNothingOut(t *testing.T) {
	day := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		since, until time.Duration
		want         string
	}{
		{0, time.Hour, "2026-11-20T10:00:00.0000000Z/2026-11-20T11:00:00.0000000Z"},
		{1, 2, "2026-11-20T10:00:00.0000000Z/2026-11-20T10:00:01.0000000Z"},
		{time.Second - 1, time.Second + 1, "2026-11-20T10:00:00.0000000Z/2026-11-20T10:00:02.0000000Z"},
	} {
		if got := timespan(day.Add(tc.since), day.Add(tc.until)); got != tc.want {
			t.Errorf("[%s, %s) is %s, want %s", tc.since, tc.until, got, tc.want)
		}
	}
}

func TestHuntsThatAreNeverSent(t *testing.T) {
	at := time.Unix(5, 0)
	for want, req := range map[string]HuntRequest{
		"run hunting query: the query is empty":                                                           {Query: " \n", Since: at, Until: at.Add(1)},
		"run hunting query: the query is not valid UTF-8":                                                 {Query: "a\xff", Since: at, Until: at.Add(1)},
		"run hunting query: window [1970-01-01T00:00:05.0000000Z, 1970-01-01T00:00:05.0000000Z) is empty": {Query: "a", Since: at, Until: at},
	} {
		fake := huntFake(nil)
		_, err := newTestClient(t, fake, nil).Hunt(t.Context(), req, new(keeper))
		if err == nil || err.Error() != want || fake.sent()+fake.tokensSent() != 0 {
			t.Errorf("err = %v, %d calls; want %s", err, fake.sent(), want)
		}
	}
}

func TestHuntOverTheWire(t *testing.T) {
	const date = "Sun, 22 Nov 2026 10:00:00 GMT"
	graph := `{"@odata.context":"c","schema":[{"name":"A","type":"Int64"},{"name":"B","type":"String"}],"results":[{"A":1,"B":"x"},{"B":"","A":null}, 7]}`
	olderBody := `{"Stats":{"ExecutionTime":4.6,"cpu":[{"user":"00:00:19"}]},"Schema":[{"Name":"A","Type":"Int64"},{"Name":"B","Type":"String"}],"Results":[{"A":1,"B":"x"},{"B":"","A":null}, 7]}`
	for name, tc := range map[string]struct {
		dialect func(*Config)
		body    string
		answer  func() *http.Response
	}{
		"graph":         {nil, graph, says(200, graph, "Date", date)},
		"graph, gzip":   {nil, graph, says(200, gzipped(graph), "Date", date, "Content-Encoding", "gzip")},
		"graph, part":   {nil, graph, says(206, graph, "Date", date)},
		"older":         {older, olderBody, says(200, olderBody, "Date", date)},
		"older, gzip":   {older, olderBody, says(200, gzipped(olderBody), "Date", date, "Content-Encoding", "gzip")},
		"camel, spaced": {older, " " + graph + "\n", says(200, " "+graph+"\n", "Date", date)},
	} {
		t.Run(name, func(t *testing.T) {
			sink := new(keeper)
			got, err := newTestClient(t, huntFake(script(tc.answer)), tc.dialect).Hunt(t.Context(), testHunt(), sink)
			if err != nil {
				t.Fatal(err)
			}
			columns := []HuntColumn{{"A", "Int64"}, {"B", "String"}}
			want := &HuntAnswer{Columns: columns, Rows: 3, Bytes: int64(len(tc.body)), Incomplete: name == "graph, part",
				ServerTime: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"A=1 B=\"x\"", "A=null B=\"\""}, sink.rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if !slices.Equal(sink.columns, columns) || !slices.Equal(sink.odd, []string{"7"}) || sink.begins != 1 {
				t.Errorf("sink has %+v", sink)
			}
		})
	}
}

// A real server and the real transport, for what a fake cannot show: that the
// body is sent, and sent again after a refusal.
func TestHuntOverTheRealTransport(t *testing.T) {
	var bodies []string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /"+testTenant+"/oauth2/v2.0/token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"expires_in":3599,"access_token":"opaque"}`)
	})
	mux.HandleFunc("POST /v1.0/security/runHuntingQuery", func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || req.ContentLength != int64(len(body)) {
			t.Errorf("%d bytes of %d, %v", len(body), req.ContentLength, err)
		}
		if bodies = append(bodies, string(body)); len(bodies) == 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, emptyHunt)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	c := newTestClient(t, new(wireFake), func(c *Config) {
		c.Login, c.BaseURL, c.Transport = srv.URL, srv.URL, srv.Client().Transport
	})
	if _, err := hunt(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if len(bodies) != 2 || bodies[0] != bodies[1] || !strings.HasPrefix(bodies[0], `{"Query":"DeviceInfo","Timespan":"`) {
		t.Errorf("posted %q, want the same twice", bodies)
	}
}

// Each send begins anew, and the rows of one that broke off are not kept.
func TestHuntIsSentAgain(t *testing.T) {
	broken := says(200, `{"schema":[{"name":"Old"}],"results":[{"Old":1},{"Ol`)
	whole := says(200, `{"schema":[{"name":"A"}],"results":[{"A":1}]}`)
	for name, bad := range map[string]func() *http.Response{
		"500":        says(500, `{"error":{"code":"UnknownError","message":""}}`),
		"503":        says(503, ""),
		"429":        says(429, `{"error":{"code":"TooManyRequests","message":"Too many requests."}}`),
		"401":        says(401, ""),
		"cut":        broken,
		"gzip cut":   says(200, gzipped(emptyHunt)[:30], "Content-Encoding", "gzip"),
		"garbage":    says(200, `{"schema":[{"name":"A"}],"results":[{"A":2}]} x`),
		"two":        says(200, emptyHunt+emptyHunt),
		"page":       says(200, "<html>", "Content-Type", "text/html"),
		"empty":      says(200, ""),
		"no schema":  says(200, `{"results":[]}`),
		"no results": says(200, `{"schema":[]}`),
		"reset":      func() *http.Response { return brokenBody(`{"schema":[],"results":[{}`) },
		"try later":  says(400, `{"error":{"code":"BadRequest","message":"An unexpected error occurred during query execution. Please try again in a few minutes."}}`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := huntFake(script(bad, whole))
				sink := new(keeper)
				got, err := newTestClient(t, fake, nil).Hunt(t.Context(), testHunt(), sink)
				if err != nil {
					t.Fatal(err)
				}
				if fake.sent() != 2 || posted(t, fake.calls[0]) != posted(t, fake.calls[1]) {
					t.Errorf("%d sends, want the same twice", fake.sent())
				}
				if got.Rows != 1 || !slices.Equal(sink.rows, []string{"A=1"}) || !slices.Equal(sink.columns, []HuntColumn{{Name: "A"}}) {
					t.Errorf("%d rows, sink has %+v", got.Rows, sink)
				}
			})
		})
	}
}

func TestSinkErrorEndsTheCall(t *testing.T) {
	full := errors.New("spool is full")
	body := `{"schema":[{"name":"A"}],"results":[{"A":1},{"A":2}]}`
	for name, err := range map[string]error{"its own": full, "one that the client knows": fmt.Errorf("%w: %w", full, &TimeoutError{})} {
		fake := huntFake(script(says(200, body)))
		sink := &keeper{fail: err}
		_, got := newTestClient(t, fake, nil).Hunt(t.Context(), testHunt(), sink)
		if !errors.Is(got, full) || isA[*OversizeError](got) || fake.sent() != 1 || len(sink.rows) != 1 {
			t.Errorf("%s: %v after %d sends and %d rows, want it after 1 and 1", name, got, fake.sent(), len(sink.rows))
		}
	}
}

// slowSink takes its time over a row, and then does not take it.
type slowSink struct {
	keeper
	takes time.Duration
}

func (s *slowSink) Row(values []jsontext.Value, rest []HuntMember) error {
	time.Sleep(s.takes)
	return s.keeper.Row(values, rest)
}

// A sink that fails late has not run out of the service's time.
func TestLateSinkErrorIsNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("spool is full")
		fake := huntFake(script(says(200, `{"schema":[{"name":"A"}],"results":[{"A":1}]}`)))
		sink := &slowSink{keeper{fail: full}, DefaultHuntTimeout + time.Second}
		_, err := newTestClient(t, fake, nil).Hunt(t.Context(), testHunt(), sink)
		if !errors.Is(err, full) || isA[*OversizeError](err) || fake.sent() != 1 {
			t.Errorf("%v after %d sends", err, fake.sent())
		}
	})
}

func TestHuntPermissions(t *testing.T) {
	for name, tc := range map[string]struct {
		dialect func(*Config)
		d       Dialect
		need    string
	}{"graph": {nil, Graph, "ThreatHunting.Read.All"}, "older": {older, Older, "AdvancedHunting.Read.All"}} {
		fake := huntFake(script(says(403, `{"error":{"code":"Forbidden","message":"no"}}`)))
		_, err := hunt(t.Context(), newTestClient(t, fake, tc.dialect))
		pe, ok := errors.AsType[*PermissionError](err)
		if !ok || !slices.Equal(pe.Need, []string{tc.need}) || pe.Call != "run hunting query" || fake.sent() != 1 {
			t.Errorf("%s: %v after %d sends", name, err, fake.sent())
		}
		if got := Permissions(tc.d, "hunting/device_info"); !slices.Equal(got, []string{tc.need}) {
			t.Errorf("%s: permissions %q", name, got)
		}
	}
}

// The time for a hunt is its own: the service may take 200 s.
func TestHuntHasItsOwnTime(t *testing.T) {
	for name, tc := range map[string]struct {
		takes  time.Duration
		change func(*Config)
		want   string // "" is success
	}{
		"at the service's end": {200 * time.Second, nil, ""},
		"over":                 {211 * time.Second, nil, "run hunting query: too much for one answer: no answer within 3m30s"},
		"configured":           {11 * time.Second, func(c *Config) { c.HuntTimeout = 10 * time.Second }, "run hunting query: too much for one answer: no answer within 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := huntFake(func(req *http.Request) (*http.Response, error) {
					return reply(200, emptyHunt), sleep(req.Context(), tc.takes)
				})
				_, err := hunt(t.Context(), newTestClient(t, fake, tc.change))
				if tc.want == "" && err == nil {
					return
				}
				e, ok := errors.AsType[*OversizeError](err)
				if !ok || !e.Timeout || err.Error() != tc.want || fake.sent() != 1 {
					t.Errorf("%v after %d sends, want %q", err, fake.sent(), tc.want)
				}
			})
		})
	}
}

func TestCancelEndsAHunt(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"the answer": func(req *http.Request) (*http.Response, error) { return nil, sleep(req.Context(), time.Hour) },
		"the body":   func(req *http.Request) (*http.Response, error) { return stalledBody(req.Context()), nil },
		"cpu":        script(says(429, `{"error":{"message":"You have exceeded processing resources allocated to this tenant."}}`, "Retry-After", "200")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(10*time.Second, cancel)
				start := time.Now()
				_, err := hunt(ctx, newTestClient(t, huntFake(answer), nil))
				if !errors.Is(err, context.Canceled) || time.Since(start) != 10*time.Second {
					t.Errorf("%v after %s, want canceled after 10s", err, time.Since(start))
				}
			})
		})
	}
}
