package defendersim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

// clock is a time that only tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock {
	return &clock{t: time.Date(2026, 11, 22, 12, 0, 0, 123_456_700, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// tenant is a Sim behind a server, and a client of it.
type tenant struct {
	t     *testing.T
	sim   *defendersim.Sim
	url   string
	clock *clock
}

func serve(t *testing.T, opt defendersim.Options) *tenant {
	t.Helper()
	c := newClock()
	if opt.World == nil && opt.Documents == nil {
		opt.World = defendersim.NewWorld(defendersim.WorldOptions{Seed: 1, Incidents: 120, Now: c.Now})
	}
	opt.Now = c.Now
	sim := defendersim.New(opt)
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	return &tenant{t, sim, srv.URL, c}
}

const (
	graphScope = "https://graph.microsoft.com"
	olderScope = "https://api.security.microsoft.com"
)

func (s *tenant) token(audience string) string {
	s.t.Helper()
	c := s.sim.Config()
	status, body := s.post("/"+c.TenantID+"/oauth2/v2.0/token", url.Values{"grant_type": {"client_credentials"},
		"client_id": {c.ClientID}, "client_secret": {c.Secret}, "scope": {audience + "/.default"}})
	if status != http.StatusOK {
		s.t.Fatalf("token: %d %v", status, body)
	}
	return body["access_token"].(string)
}

func (s *tenant) post(path string, form url.Values) (int, map[string]any) {
	s.t.Helper()
	res, err := http.PostForm(s.url+path, form)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, decode(s.t, res)
}

func decode(t *testing.T, res *http.Response) map[string]any {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %.300q", err, b)
	}
	return v
}

// request sends a GET with a token for the API that the path belongs to.
// Header values come in pairs.
func (s *tenant) request(target string, header ...string) (*http.Response, error) {
	s.t.Helper()
	if !strings.HasPrefix(target, "http") {
		path, query, _ := strings.Cut(target, "?")
		target = s.url + path + "?" + strings.NewReplacer(" ", "%20", "+", "%2B").Replace(query)
	}
	req, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	audience := graphScope
	if strings.Contains(target, "/api/") {
		audience = olderScope
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+s.token(audience))
	}
	return http.DefaultClient.Do(req)
}

func (s *tenant) get(target string, header ...string) (int, map[string]any) {
	s.t.Helper()
	res, err := s.request(target, header...)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, decode(s.t, res)
}

// values returns a page's records, which must be a 200.
func (s *tenant) values(target string, header ...string) []map[string]any {
	s.t.Helper()
	list, _ := s.onePage(target, header...)
	return list
}

func (s *tenant) onePage(target string, header ...string) (list []map[string]any, next string) {
	s.t.Helper()
	status, body := s.get(target, header...)
	if status != http.StatusOK {
		s.t.Fatalf("%s: %d %v", target, status, body)
	}
	for _, v := range body["value"].([]any) {
		list = append(list, v.(map[string]any))
	}
	next, _ = body["@odata.nextLink"].(string)
	return list, next
}

// all follows next links to the end.
func (s *tenant) all(target string, header ...string) []map[string]any {
	s.t.Helper()
	var list []map[string]any
	for target != "" {
		page, next := s.onePage(target, header...)
		list, target = append(list, page...), next
	}
	return list
}

// failure checks an answer's status, the code and a piece of the message.
func (s *tenant) failure(target string, status int, code, message string) {
	s.t.Helper()
	got, body := s.get(target)
	e, _ := body["error"].(map[string]any)
	if got != status || e["code"] != code || !strings.Contains(e["message"].(string), message) {
		s.t.Errorf("%s: got %d %v, want %d %q %q", target, got, e, status, code, message)
	}
}
