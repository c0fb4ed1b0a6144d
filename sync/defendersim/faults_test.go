package defendersim_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

func TestLimits(t *testing.T) {
	s := serve(t, defendersim.Options{Limits: defendersim.Limits{IncidentsPerMinute: 3, IncidentsPerHour: 5}})
	graph, older := "/v1.0/security/incidents?$top=1", "/api/incidents?$top=1"
	for range 3 {
		s.values(graph)
		s.clock.Advance(10 * time.Second)
	}
	res, err := s.request(graph)
	if err != nil {
		t.Fatal(err)
	}
	body := decode(t, res)
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "30" || body["error"].(map[string]any)["code"] != "TooManyRequests" {
		t.Errorf("%d, Retry-After %q, %v", res.StatusCode, res.Header.Get("Retry-After"), body)
	}
	s.failure(older, 429, "429", "API calls quota exceeded! Maximum allowed 3 per 00:01:00 for the key Destination+TenantID+AppID. You can send requests again in 30 seconds.")
	s.clock.Advance(30 * time.Second)
	s.values(graph)
	s.clock.Advance(time.Minute)
	s.values(older)
	s.failure(older, 429, "429", "Maximum allowed 5 per 01:00:00")
	s.values("/v1.0/security/alerts_v2") // has a quota of its own
}

func TestRetryAfterLeftOut(t *testing.T) {
	s := serve(t, defendersim.Options{Limits: defendersim.Limits{IncidentsPerMinute: 1, NoRetryAfter: true}})
	s.values("/api/incidents")
	for target, want := range map[string]string{"/api/incidents": "", "/v1.0/security/incidents": "60"} {
		res, err := s.request(target)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get("Retry-After"); res.StatusCode != 429 || got != want {
			t.Errorf("%s: %d, Retry-After %q, want %q", target, res.StatusCode, got, want)
		}
	}
}

const oneIncident = "/v1.0/security/incidents?$top=2&$expand=alerts"

func TestFaultAnswers(t *testing.T) {
	s := serve(t, defendersim.Options{})
	for name, tc := range map[string]struct {
		fault  defendersim.Fault
		status int
		body   string
		header [2]string
	}{
		"status":       {defendersim.Fault{Status: 503, RetryAfter: 7 * time.Second}, 503, `"code":"ServiceUnavailable"`, [2]string{"Retry-After", "7"}},
		"status, body": {defendersim.Fault{Status: 500, Body: "oops"}, 500, "oops", [2]string{}},
		"throttle":     {defendersim.Fault{Kind: defendersim.FaultThrottle, RetryAfter: 5 * time.Second}, 429, "TooManyRequests", [2]string{"Retry-After", "5"}},
		"throttle, no": {defendersim.Fault{Kind: defendersim.FaultThrottle}, 429, "TooManyRequests", [2]string{"Retry-After", ""}},
		"html":         {defendersim.Fault{Kind: defendersim.FaultNotJSON}, 200, "<html>", [2]string{"Content-Type", "text/html; charset=utf-8"}},
		"partial":      {defendersim.Fault{Kind: defendersim.FaultPartial}, 206, `"value":[{`, [2]string{"Warning", `199 - "Microsoft/MDATP/504/10000"`}},
		"foreign next": {defendersim.Fault{Kind: defendersim.FaultForeignNext}, 200, `"@odata.nextLink":"https://graph.attacker.example/`, [2]string{}},
	} {
		tc.fault.Times = 1
		s.sim.Inject(tc.fault)
		res, err := s.request(oneIncident)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tc.status || !strings.Contains(string(b), tc.body) {
			t.Errorf("%s: %d %v %.200s", name, res.StatusCode, err, b)
		}
		if k := tc.header[0]; k != "" && res.Header.Get(k) != tc.header[1] {
			t.Errorf("%s: %s is %q, want %q", name, k, res.Header.Get(k), tc.header[1])
		}
		if n := len(s.values(oneIncident)); n != 2 {
			t.Errorf("%s: afterwards %d records", name, n)
		}
	}
}

func TestFaultCuts(t *testing.T) {
	s := serve(t, defendersim.Options{})
	whole := len(get(t, s, oneIncident))
	s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultCut, Times: 2}) // Go's client tries a cut GET once more
	if _, err := s.request(oneIncident); err == nil {
		t.Error("cut: no error")
	}
	s.sim.ClearFaults()
	s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultCutHalf, Times: 1})
	res, err := s.request(oneIncident, "Accept-Encoding", "identity")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err == nil || len(b) == 0 || len(b) >= whole {
		t.Errorf("cut half: %v after %d of %d bytes", err, len(b), whole)
	}
	s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultTruncated, Times: 1})
	if got := len(get(t, s, oneIncident)); got != whole/2 {
		t.Errorf("truncated: %d of %d bytes", got, whole)
	}
}

// get returns a body that arrives whole.
func get(t *testing.T, s *tenant, target string, header ...string) []byte {
	t.Helper()
	res, err := s.request(target, header...)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFaultChoice(t *testing.T) {
	s := serve(t, defendersim.Options{})
	remove := s.sim.Inject(defendersim.Fault{Status: 500, Endpoint: defendersim.Alerts, Skip: 1, Times: 1,
		Match: func(r *http.Request) bool { return r.URL.Query().Get("$top") == "1" }})
	s.values("/v1.0/security/incidents?$top=1")
	s.values("/v1.0/security/alerts_v2?$top=2")
	s.values("/v1.0/security/alerts_v2?$top=1") // skipped
	s.failure("/v1.0/security/alerts_v2?$top=1", 500, "InternalServerError", "Injected")
	s.values("/v1.0/security/alerts_v2?$top=1") // once only
	remove()
	remove = s.sim.Inject(defendersim.Fault{Status: 503, Endpoint: defendersim.Token})
	c := s.sim.Config()
	if status, body := s.post("/"+c.TenantID+"/oauth2/v2.0/token", nil); status != 503 || body["error_codes"].([]any)[0] != 90033.0 {
		t.Errorf("token: %d %v", status, body)
	}
	remove()
	s.token(graphScope)
}

func TestFaultSlow(t *testing.T) {
	s := serve(t, defendersim.Options{})
	s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultSlow, Delay: 30 * time.Millisecond, Times: 1})
	began := time.Now()
	s.values(oneIncident)
	if d := time.Since(began); d < 30*time.Millisecond {
		t.Errorf("answered after %v", d)
	}
}

func TestDuplicates(t *testing.T) {
	s := serve(t, defendersim.Options{})
	s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultDuplicate})
	got := ids(s.values("/v1.0/security/incidents?$top=3"), "id")
	if len(got) != 4 || len(slices.Compact(got)) != 3 {
		t.Errorf("%v", got)
	}
}

func TestPoison(t *testing.T) {
	s := serve(t, defendersim.Options{})
	in := withAlerts(s.sim.World())
	id := fmt.Sprint(in.ID)
	at := "lastUpdateDateTime eq " + in.LastUpdate.Format(time.RFC3339Nano)
	s.sim.Poison(id, false)
	s.failure("/v1.0/security/incidents?$expand=alerts&$filter="+at, 500, "UnknownError", "")
	s.values("/v1.0/security/incidents?$filter=" + at)
	s.failure("/v1.0/security/incidents/"+id+"?$expand=alerts", 500, "UnknownError", "")
	s.values("/v1.0/security/incidents/" + id + "/alerts")
	s.failure("/api/incidents?$filter=lastUpdateTime eq "+in.LastUpdate.Format(time.RFC3339Nano), 500, "InternalServerError", "")
	s.sim.Poison(id, true)
	s.failure("/v1.0/security/incidents/"+id+"/alerts", 500, "UnknownError", "")
	s.sim.Heal(id)
	s.values("/v1.0/security/incidents?$expand=alerts&$filter=" + at)
}

func TestExpandLimit(t *testing.T) {
	s := serve(t, defendersim.Options{ExpandLimit: 3})
	id := s.sim.World().AddIncident(4)
	s.failure(fmt.Sprintf("/v1.0/security/incidents/%d?$expand=alerts", id), 500, "UnknownError", "")
	s.values(fmt.Sprintf("/v1.0/security/incidents/%d/alerts", id))
}

func TestOverlayAndAdd(t *testing.T) {
	s := serve(t, defendersim.Options{})
	in := withAlerts(s.sim.World())
	at := in.LastUpdate.Format(time.RFC3339Nano)
	s.sim.Overlay(fmt.Sprint(in.ID), []byte(`{"id":7,"displayName":"a\u0000b","status":["x"]}`))
	target := "/v1.0/security/incidents?$filter=lastUpdateDateTime eq " + at
	if got := string(get(t, s, target)); !strings.Contains(got, `"a\u0000b"`) {
		t.Errorf("overlay: %s", got)
	}
	s.sim.Overlay(fmt.Sprint(in.ID), nil)
	s.sim.Add(defendersim.Incidents, in.LastUpdate, []byte("{\"name\":\"\xff\"}"))
	if got := string(get(t, s, target)); !strings.Contains(got, "\xff") {
		t.Errorf("added: %s", got)
	}
	if got := string(get(t, s, "/v1.0/security/incidents?$filter=lastUpdateDateTime gt "+at)); strings.Contains(got, "\xff") {
		t.Error("an added record ignores the filter")
	}
}

func TestHooksAndLog(t *testing.T) {
	var calls []string
	s := serve(t, defendersim.Options{ChangeEvery: 2,
		OnRequest: func(n int) { calls = append(calls, fmt.Sprint("request ", n)) },
		OnAnswer:  func(n int) { calls = append(calls, fmt.Sprint("answer ", n)) }})
	state := func() string { return fmt.Sprint(s.sim.World().Incidents(), s.sim.World().Alerts()) }
	before := state()
	s.values("/v1.0/security/incidents?$top=1", "User-Agent", "defendersync/x")
	if state() != before {
		t.Error("changed too early")
	}
	s.failure("/v1.0/security/incidents?$top=51", 400, "", "limit")
	if state() == before {
		t.Error("did not change after the second request")
	}
	if want := "[request 1 answer 1 request 2 answer 2]"; fmt.Sprint(calls) != want {
		t.Errorf("%v, want %s", calls, want)
	}
	log := s.sim.Requests()
	if len(log) != 4 || s.sim.Calls() != 2 || s.sim.Calls(defendersim.Token) != 2 || s.sim.Calls(defendersim.Incidents) != 2 {
		t.Fatalf("%d requests, %d calls", len(log), s.sim.Calls())
	}
	last := log[3]
	if last.Seq != 4 || last.Status != 400 || last.RawQuery != "$top=51" || last.Path != "/v1.0/security/incidents" || last.Method != "GET" {
		t.Errorf("%+v", last)
	}
	if log[1].Header.Get("User-Agent") != "defendersync/x" || log[1].Header.Get("Authorization") != "" {
		t.Errorf("headers %v", log[1].Header)
	}
	s.sim.ForgetRequests()
	s.values("/v1.0/security/incidents?$top=1")
	if len(s.sim.Requests()) != 2 || s.sim.Calls() != 1 {
		t.Errorf("%d requests, %d calls after forgetting", len(s.sim.Requests()), s.sim.Calls())
	}
}

func TestWire(t *testing.T) {
	s := serve(t, defendersim.Options{})
	res, err := s.request("/v1.0/security/incidents", "Accept-Encoding", "gzip")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Date") != "Sun, 22 Nov 2026 12:00:00 GMT" || res.Header.Get("request-id") == "" {
		t.Errorf("headers %v", res.Header)
	}
	_, next := s.onePage("/v1.0/security/incidents?$top=2&$filter=status ne 'redirected'")
	if !strings.HasPrefix(next, s.url+"/v1.0/security/incidents?") || !strings.Contains(next, "$skip=2") || !strings.Contains(next, "$filter=") {
		t.Errorf("next link %s", next)
	}
}

// TestTransport asks without a network.
func TestTransport(t *testing.T) {
	s := serve(t, defendersim.Options{})
	client := &http.Client{Transport: s.sim.Transport()}
	ask := func() ([]byte, error) {
		req, err := http.NewRequest(http.MethodGet, "https://graph.microsoft.com/v1.0/security/incidents?$top=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+bearer(t, s.sim, "/v1.0"))
		res, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		return io.ReadAll(res.Body)
	}
	if b, err := ask(); err != nil || !strings.Contains(string(b), `"@odata.nextLink":"https://graph.microsoft.com/v1.0/`) {
		t.Errorf("%v %.200s", err, b)
	}
	for _, kind := range []defendersim.FaultKind{defendersim.FaultCut, defendersim.FaultCutHalf} {
		s.sim.Inject(defendersim.Fault{Kind: kind, Times: 1})
		if _, err := ask(); err == nil {
			t.Errorf("fault %d: no error", kind)
		}
	}
}

func TestFaultBytes(t *testing.T) {
	s := serve(t, defendersim.Options{})
	first := s.values("/v1.0/security/incidents?$top=1")[0]["id"].(string)
	for _, tc := range []struct {
		fault defendersim.Fault
		body  string
		times int
	}{
		{defendersim.Fault{Kind: defendersim.FaultBadBytes}, "{\"bad\":\"\x00\\u0000 \\ud800 \xff\xc3(\",\"id\":", 2},
		{defendersim.Fault{Kind: defendersim.FaultDuplicateKeys}, fmt.Sprintf(`{"id":%[1]q,"id":%[1]q,`, first), 1},
		{defendersim.Fault{Kind: defendersim.FaultLostNext}, "nextLink", 0},
	} {
		tc.fault.Times = 1
		s.sim.Inject(tc.fault)
		if body := get(t, s, oneIncident); strings.Count(string(body), tc.body) != tc.times {
			t.Errorf("%v: not %d times %s in %.300s", tc.fault.Kind, tc.times, tc.body, body)
		}
		if n := len(s.values(oneIncident)); n != 2 {
			t.Errorf("%v: afterwards %d records", tc.fault.Kind, n)
		}
	}
}

func TestFaultTruncatedGzip(t *testing.T) {
	s := serve(t, defendersim.Options{})
	s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultTruncatedGzip, Times: 1})
	z, err := gzip.NewReader(bytes.NewReader(get(t, s, oneIncident, "Accept-Encoding", "gzip")))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v after %d bytes, want an unexpected end", err, len(b))
	}
}

func TestFaultHeaders(t *testing.T) {
	s := serve(t, defendersim.Options{})
	s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultThrottle, DateOff: -time.Hour, Times: 1,
		Header: http.Header{"Retry-After": {"soon"}, "Request-Id": nil}})
	res, err := s.request(oneIncident)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	date, err := http.ParseTime(res.Header.Get("Date"))
	if off := s.clock.Now().Sub(date); err != nil || off < time.Hour || off > time.Hour+time.Second {
		t.Errorf("the Date is off by %s, %v", off, err)
	}
	if res.Header.Get("Retry-After") != "soon" || res.Header.Get("request-id") != "" {
		t.Errorf("the headers are %v", res.Header)
	}
}
