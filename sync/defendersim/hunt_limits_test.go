package defendersim_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

// numbers is a table of n rows of one integer each, a second apart.
func numbers(c *clock, n int) *defendersim.HuntTables {
	h := defendersim.NewHunting()
	h.AddTable(defendersim.HuntTable{Name: "Numbers", Time: "Timestamp", Columns: []defendersim.HuntColumn{{"Timestamp", "datetime"}, {"N", "long"}}})
	for i := range n {
		h.AddRows("Numbers", defendersim.HuntRow{Ticks: c.at(time.Duration(n-i) * time.Second), Values: []any{nil, int64(i)}})
	}
	return h
}

func TestHuntCap(t *testing.T) {
	s := serve(t, defendersim.Options{Hunting: numbers(newClock(), 25), HuntCap: 10})
	for query, want := range map[string]int{"Numbers": 10, "Numbers | where N < 10": 10, "Numbers | where N < 9": 9, "Numbers | take 11": 10, "Numbers | count": 1} {
		f := s.ask(graphHunt, query)
		if len(f.Results) != want || !strings.HasSuffix(f.text, "]}") || strings.Contains(f.text, "nextLink") {
			t.Errorf("%s: %d rows, want %d: %s", query, len(f.Results), want, f.text)
		}
	}
	if n := s.ask(graphHunt, "Numbers | count").cells()[0]; n != "25" {
		t.Errorf("counted %s", n)
	}
	first := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
	if got := s.ask(graphHunt, "Numbers | project N").sortedCells(); slices.Equal(got, first) {
		t.Error("what is cut off is the newest")
	}
}

const tooBig = "Query execution has exceeded the allowed result size. Optimize your query by limiting the amount of results and try again."

func TestHuntMaxBytes(t *testing.T) {
	whole := len(serve(t, defendersim.Options{Hunting: numbers(newClock(), 25)}).ask(graphHunt, "Numbers").text)
	for limit, fits := range map[int]bool{whole: true, whole - 1: false, 100: false} {
		s := serve(t, defendersim.Options{Hunting: numbers(newClock(), 25), HuntMaxBytes: int64(limit)})
		if fits {
			s.ask(graphHunt, "Numbers")
			continue
		}
		s.refused(graphHunt, kql("Numbers"), 400, "BadRequest", tooBig)
		s.refused(olderHunt, kql("Numbers"), 400, "BadRequest", tooBig)
	}
}

func TestHuntingPerMinute(t *testing.T) {
	s := huntTenant(t, defendersim.Options{Limits: defendersim.Limits{HuntingPerMinute: 2, NoRetryAfter: true}})
	s.ask(graphHunt, "DeviceEvents")
	s.clock.Advance(20 * time.Second)
	s.ask(olderHunt, "DeviceEvents")
	s.refused(graphHunt, kql("DeviceEvents"), 429, "TooManyRequests", "Too many requests.")
	s.refused(olderHunt, kql("DeviceEvents"), 429, "429", "API calls quota exceeded! Maximum allowed 2 per 00:01:00 for the key Destination+TenantID+AppID. You can send requests again in 40 seconds.")
	s.values("/v1.0/security/incidents?$top=1") // has a quota of its own
	s.clock.Advance(40 * time.Second)
	s.ask(graphHunt, "DeviceEvents")
}

func TestHuntingCPU(t *testing.T) {
	for _, header := range []bool{false, true} {
		s := serve(t, defendersim.Options{Hunting: numbers(newClock(), 1000), Limits: defendersim.Limits{HuntingCPU: 110 * time.Millisecond, HuntingRetryAfter: header}})
		s.ask(graphHunt, "Numbers | count") // 60 ms
		s.ask(graphHunt, "Numbers | count") // the one that crosses the line still runs
		if used := s.sim.HuntingCPU(); used != 120*time.Millisecond {
			t.Errorf("used %v", used)
		}
		s.clock.Advance(4*time.Minute - 123_456_700)
		res := s.hunt(graphHunt, kql("Numbers"))
		e := decode(t, res)["error"].(map[string]any)
		want := "You have exceeded processing resources allocated to this tenant. You can run queries again in 00:11:00."
		if res.StatusCode != 429 || e["code"] != "TooManyRequests" || e["message"] != want {
			t.Errorf("%d %v", res.StatusCode, e)
		}
		if got := res.Header.Get("Retry-After"); got != map[bool]string{true: "660"}[header] {
			t.Errorf("Retry-After %q", got)
		}
		s.refused(olderHunt, kql("Numbers"), 429, "429", want)
		s.clock.Advance(11*time.Minute - time.Nanosecond)
		s.refused(graphHunt, kql("Numbers"), 429, "TooManyRequests", strings.Replace(want, "00:11:00", "00:00:01", 1))
		s.clock.Advance(time.Nanosecond) // 12:15
		s.ask(graphHunt, "Numbers | count")
		if used := s.sim.HuntingCPU(); used != 60*time.Millisecond {
			t.Errorf("used %v in the next cycle", used)
		}
	}
}

// TestHuntingFaults breaks answers in all the ways.
func TestHuntingFaults(t *testing.T) {
	s := serve(t, defendersim.Options{Hunting: numbers(newClock(), 5)})
	for name, tc := range map[string]struct {
		fault  defendersim.Fault
		status int
		body   string
	}{
		"time-out": {defendersim.Fault{Status: 504}, 504, `"code":"GatewayTimeout"`},
		"unknown":  {defendersim.Fault{Status: 500, Body: `{"error":{"code":"UnknownError","message":""}}`}, 500, `UnknownError`},
		"throttle": {defendersim.Fault{Kind: defendersim.FaultThrottle}, 429, "TooManyRequests"},
		"html":     {defendersim.Fault{Kind: defendersim.FaultNotJSON}, 200, "<html>"},
		"slow":     {defendersim.Fault{Kind: defendersim.FaultSlow, Delay: time.Millisecond}, 200, `"results":[{`},
	} {
		for _, path := range []string{graphHunt, olderHunt} {
			tc.fault.Times = 1
			s.sim.Inject(tc.fault)
			status, body, err := s.read(path, "Numbers")
			if want := strings.Replace(tc.body, "results", map[string]string{graphHunt: "results", olderHunt: "Results"}[path], 1); err != nil || status != tc.status ||
				!strings.Contains(body, want) && name != "throttle" {
				t.Errorf("%s: %d %v %s", name, status, err, body)
			}
			if n := len(s.ask(path, "Numbers").Results); n != 5 {
				t.Errorf("%s: afterwards %d rows", name, n)
			}
		}
	}
}

// read returns whatever comes of a query.
func (s *tenant) read(path, query string) (int, string, error) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(kql(query)))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Authorization", "Bearer "+bearer(s.t, s.sim, path))
	req.Header.Set("Accept-Encoding", "identity")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

func TestHuntingCuts(t *testing.T) {
	s := serve(t, defendersim.Options{Hunting: numbers(newClock(), 5)})
	whole := s.ask(graphHunt, "Numbers").text
	s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultCut, Times: 1})
	if _, _, err := s.read(graphHunt, "Numbers"); err == nil {
		t.Error("cut: no error")
	}
	s.sim.ClearFaults()
	s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultCutHalf, Times: 1})
	if _, body, err := s.read(graphHunt, "Numbers"); err == nil || body != whole[:len(whole)/2] {
		t.Errorf("cut half: %v %s", err, body)
	}
	s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultTruncated, Times: 1})
	if _, body, err := s.read(graphHunt, "Numbers"); err != nil || body != whole[:len(whole)/2] {
		t.Errorf("truncated: %v %s", err, body)
	}
}

// TestHuntingSpoiled serves a row too many and one too few.
func TestHuntingSpoiled(t *testing.T) {
	s := serve(t, defendersim.Options{Hunting: numbers(newClock(), 3)})
	for _, path := range []string{graphHunt, olderHunt} {
		for _, rows := range []int{0, 1, 2, 3} {
			query := fmt.Sprintf("Numbers | where N < %d | sort by N asc | project N", rows)
			all := []string{"0", "1", "2"}[:rows]
			s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultDuplicate, Times: 1})
			twice := append(slices.Clone(all[:min(rows, 1)]), all...)
			if got := s.ask(path, query).cells(); !slices.Equal(got, twice) {
				t.Errorf("duplicate of %d: %v", rows, got)
			}
			s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultPartial, Times: 1})
			res := s.hunt(path, kql(query))
			body := fmt.Sprint(decode(t, res))
			if res.StatusCode != 206 || res.Header.Get("Warning") == "" || strings.Count(body, "map[N:") != max(0, rows-1) || rows > 0 && strings.Contains(body, fmt.Sprintf("map[N:%d]", rows-1)) {
				t.Errorf("partial of %d: %d %s", rows, res.StatusCode, body)
			}
		}
	}
}

// TestHuntingGarbled serves a name twice in the first row, and beside the rows
// what no text can hold.
func TestHuntingGarbled(t *testing.T) {
	s := serve(t, defendersim.Options{Hunting: numbers(newClock(), 3)})
	for _, path := range []string{graphHunt, olderHunt} {
		const query = "Numbers | sort by N asc | project N"
		s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultDuplicateKeys, Times: 1})
		if _, body, err := s.read(path, query); err != nil || !strings.Contains(body, `{"N":0,"N":0},{"N":1},{"N":2}`) {
			t.Errorf("%s: %v %s", path, err, body)
		}
		s.sim.Inject(defendersim.Fault{Kind: defendersim.FaultBadBytes, Times: 1})
		if _, body, err := s.read(path, query); err != nil || strings.Count(body, "\xff\xc3(") != 1 || !strings.Contains(body, `{"N":0},{"N":1},{"N":2}`) {
			t.Errorf("%s: %v %s", path, err, body)
		}
	}
}

// TestFaultByQuery hits the queries that a test chooses, and no other request.
func TestFaultByQuery(t *testing.T) {
	s := serve(t, defendersim.Options{Hunting: numbers(newClock(), 3)})
	s.sim.Inject(defendersim.Fault{Status: 504, Query: func(query, timespan string) bool { return strings.Contains(query, "take") && timespan == "P1D" }})
	for query, want := range map[string]int{kql("Numbers | take 1", "P1D"): 504, kql("Numbers | take 1", "P2D"): 200, kql("Numbers", "P1D"): 200} {
		if res := s.hunt(graphHunt, query); res.StatusCode != want {
			t.Errorf("%s: %d", query, res.StatusCode)
		}
	}
	s.values("/v1.0/security/incidents?$top=1")
	s.sim.ClearFaults()
	s.sim.Inject(defendersim.Fault{Status: 504, Query: func(string, string) bool { return true }})
	s.values("/v1.0/security/incidents?$top=1")
	s.sim.ClearFaults()
	s.sim.Inject(defendersim.Fault{Status: 503, Endpoint: defendersim.OlderHunting})
	s.ask(graphHunt, "Numbers")
	if res := s.hunt(olderHunt, kql("Numbers")); res.StatusCode != 503 {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestHuntingHooks(t *testing.T) {
	var calls []int
	s := serve(t, defendersim.Options{Hunting: numbers(newClock(), 3), OnAnswer: func(n int) { calls = append(calls, n) }})
	s.ask(graphHunt, "Numbers")
	s.values("/v1.0/security/incidents?$top=1")
	s.ask(olderHunt, "Numbers")
	if !slices.Equal(calls, []int{1, 2, 3}) {
		t.Errorf("%v", calls)
	}
}

// TestHuntingTransport asks without a network, and gets a compressed answer.
func TestHuntingTransport(t *testing.T) {
	s := serve(t, defendersim.Options{Hunting: numbers(newClock(), 100)})
	req, err := http.NewRequest(http.MethodPost, "https://graph.microsoft.com"+graphHunt, strings.NewReader(kql("Numbers")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("Authorization", "Bearer "+bearer(t, s.sim, graphHunt))
	res, err := (&http.Client{Transport: s.sim.Transport()}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || res.Header.Get("Content-Encoding") != "gzip" || len(b) > 2000 {
		t.Errorf("%d %v, %d bytes, %v", res.StatusCode, err, len(b), res.Header)
	}
}
