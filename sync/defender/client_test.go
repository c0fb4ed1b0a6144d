package defender

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRequestsHaveTheirFixedShape(t *testing.T) {
	const a, b = "2026-11-20T09:00:00.1234560Z", "2026-11-20T10:00:00.1234560Z"
	w := testWindow()
	with := func(change func(*Request)) Request { r := w; change(&r); return r }
	graphFilter := "$filter=lastUpdateDateTime ge " + a + " and lastUpdateDateTime lt " + b + "&$orderby=lastUpdateDateTime asc"
	olderFilter := "$filter=lastUpdateTime ge " + a + " and lastUpdateTime lt " + b
	for name, tc := range map[string]struct {
		dialect func(*Config)
		call    func(*Client) (*Page, error)
		want    string
	}{
		"graph incidents":       {nil, listIncidents(w), "https://graph.example/v1.0/security/incidents?" + graphFilter + "&$top=50&$expand=alerts"},
		"graph incidents alone": {nil, listIncidents(with(func(r *Request) { r.NoAlerts, r.Top = true, 7 })), "https://graph.example/v1.0/security/incidents?" + graphFilter + "&$top=7"},
		"graph alerts":          {nil, listAlerts(w), "https://graph.example/v1.0/security/alerts_v2?" + graphFilter + "&$top=500"},
		"graph over the cap":    {nil, listAlerts(with(func(r *Request) { r.Top = 501 })), "https://graph.example/v1.0/security/alerts_v2?" + graphFilter + "&$top=500"},
		"incident's alerts":     {nil, alertsOf("a/b", ""), "https://graph.example/v1.0/security/incidents/a%2Fb/alerts"},
		"older incidents":       {older, listIncidents(w), "https://api.example/api/incidents?" + olderFilter + "&$top=100"},
		"older skip":            {older, listIncidents(with(func(r *Request) { r.Skip = 100 })), "https://api.example/api/incidents?" + olderFilter + "&$top=100&$skip=100"},
		"base with a path":      {func(c *Config) { c.BaseURL = "http://127.0.0.1:8080/sim/" }, alertsOf("7", ""), "http://127.0.0.1:8080/sim/v1.0/security/incidents/7/alerts"},
		"next": {nil, listIncidents(with(func(r *Request) { r.Next = "https://graph.example:443/v1.0/x?$skiptoken=a%20b+c%2F&y" })),
			"https://graph.example:443/v1.0/x?$skiptoken=a%20b+c%2F&y"},
		"next of an incident's alerts": {nil, alertsOf("7", "https://graph.example/y?$skip=5"), "https://graph.example/y?$skip=5"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := new(wireFake)
			if _, err := tc.call(newTestClient(t, fake, tc.dialect)); err != nil {
				t.Fatal(err)
			}
			got, want := fake.calls[0].URL.String(), tc.want
			if !strings.HasPrefix(name, "next") {
				got = strings.NewReplacer("%20", " ", "%3A", ":").Replace(got)
			}
			if got != want {
				t.Errorf("sent\n%s, want\n%s", got, want)
			}
		})
	}
}

func listIncidents(r Request) func(*Client) (*Page, error) {
	return func(c *Client) (*Page, error) { return c.Incidents(context.Background(), r) }
}

func listAlerts(r Request) func(*Client) (*Page, error) {
	return func(c *Client) (*Page, error) { return c.Alerts(context.Background(), r) }
}

func alertsOf(id, next string) func(*Client) (*Page, error) {
	return func(c *Client) (*Page, error) { return c.IncidentAlerts(context.Background(), id, next) }
}

func TestHeaders(t *testing.T) {
	for name, tc := range map[string]struct {
		dialect func(*Config)
		prefer  string
	}{"graph": {nil, "include-unknown-enum-members"}, "older": {older, ""}} {
		t.Run(name, func(t *testing.T) {
			fake := new(wireFake)
			if _, err := incidents(t.Context(), newTestClient(t, fake, tc.dialect)); err != nil {
				t.Fatal(err)
			}
			got := fake.calls[0].Header
			for header, want := range map[string]string{
				"Authorization": "Bearer " + testToken(1), "Prefer": tc.prefer,
				"Accept-Encoding": "gzip", "User-Agent": "defendersync/test",
			} {
				if got.Get(header) != want {
					t.Errorf("%s = %q, want %q", header, got.Get(header), want)
				}
			}
		})
	}
}

func TestCallsThatAreNeverSent(t *testing.T) {
	empty := Request{Since: time.Unix(5, 0), Until: time.Unix(5, 0)}
	skipping := testWindow()
	skipping.Skip = 1
	next := func(link string) func(*Client) (*Page, error) { return listIncidents(Request{Next: link}) }
	for name, tc := range map[string]struct {
		dialect func(*Config)
		call    func(*Client) (*Page, error)
	}{
		"next to another host":     {nil, next("https://evil.example/v1.0/security/incidents")},
		"next to another scheme":   {nil, next("http://graph.example/v1.0/security/incidents")},
		"next to another port":     {nil, next("https://graph.example:444/v1.0/security/incidents")},
		"next, scheme alone":       {nil, next("http://graph.example:443/v1.0/security/incidents")},
		"next with a user":         {nil, next("https://graph.example@evil.example/")},
		"next with our name":       {nil, next("https://user@graph.example/")},
		"next without host":        {nil, next("/v1.0/security/incidents?$skip=50")},
		"next that is no URL":      {nil, next("https://graph.example/%zz")},
		"next of alerts elsewhere": {nil, alertsOf("1", "https://evil.example/")},
		"empty window":             {nil, listIncidents(empty)},
		"skip on Graph":            {nil, listIncidents(skipping)},
		"alerts of the older API":  {older, listAlerts(testWindow())},
		"an incident's, older API": {older, alertsOf("1", "")},
		"no id":                    {nil, alertsOf("", "")},
		"an id that climbs":        {nil, alertsOf("..", "")},
	} {
		t.Run(name, func(t *testing.T) {
			fake := new(wireFake)
			if _, err := tc.call(newTestClient(t, fake, tc.dialect)); err == nil {
				t.Error("no error")
			}
			if fake.sent()+fake.tokensSent() != 0 {
				t.Errorf("%d calls and %d token requests were sent", fake.sent(), fake.tokensSent())
			}
		})
	}
}

func TestPageOverTheWire(t *testing.T) {
	const date = "Sun, 22 Nov 2026 10:00:00 GMT"
	body := `{"@odata.context":"x","value":[{"id":"1"}, {"id":"2"}],"@odata.nextLink":"https://graph.example/next"}`
	for name, answer := range map[string]func() *http.Response{
		"plain":   says(200, body, "Date", date),
		"gzip":    says(200, gzipped(body), "Date", date, "Content-Encoding", "gzip"),
		"partial": says(206, body, "Date", date),
	} {
		t.Run(name, func(t *testing.T) {
			page, err := incidents(t.Context(), newTestClient(t, &wireFake{answer: script(answer)}, nil))
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Records) != 2 || string(page.Records[1]) != `{"id":"2"}` || page.Next != "https://graph.example/next" {
				t.Errorf("page = %s, next %q", page.Records, page.Next)
			}
			if want := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC); !page.ServerTime.Equal(want) {
				t.Errorf("server time = %v, want %v", page.ServerTime, want)
			}
			if page.Incomplete != (name == "partial") {
				t.Errorf("incomplete = %v", page.Incomplete)
			}
		})
	}
}

// A real server and the real transport, for what a fake cannot show.
func TestRealTransport(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /"+testTenant+"/oauth2/v2.0/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"expires_in":3599,"access_token":"opaque"}`)
	})
	mux.HandleFunc("GET /v1.0/security/incidents", func(w http.ResponseWriter, req *http.Request) {
		if req.FormValue("$top") != "50" || req.Header.Get("Authorization") != "Bearer opaque" {
			t.Errorf("request %s with %q", req.URL, req.Header)
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, gzipped(`{"value":[{"id":"1"}]}`))
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	c := newTestClient(t, new(wireFake), func(c *Config) {
		c.Login, c.BaseURL, c.Transport = srv.URL, srv.URL, srv.Client().Transport
	})
	page, err := incidents(t.Context(), c)
	if err != nil || len(page.Records) != 1 || page.ServerTime.IsZero() {
		t.Errorf("page = %+v, %v", page, err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	fake := &wireFake{answer: script(says(302, "", "Location", "https://evil.example/take"))}
	_, err := incidents(t.Context(), newTestClient(t, fake, nil))
	var se *StatusError
	if !errors.As(err, &se) || se.Status != 302 || !strings.Contains(se.Message, "evil.example") {
		t.Errorf("err = %v, want a *StatusError that names the target", err)
	}
	if fake.sent() != 1 {
		t.Errorf("%d calls sent, want 1", fake.sent())
	}
}

func TestPermissionError(t *testing.T) {
	graph403 := func(have string) string {
		return `{"error":{"code":"Forbidden","message":"Missing application roles. API required roles: SecurityIncident.Read.All,SecurityIncident.ReadWrite.All, application roles: ` + have + `.","innerError":{}}}`
	}
	need := []string{"SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"}
	inToken := []string{"SecurityIncident.Read.All", "Other.Read"}
	for name, tc := range map[string]struct {
		dialect    func(*Config)
		body       string
		need, have []string
	}{
		"roles in the message": {nil, graph403("ThreatHunting.Read.All,User.Read.All"), need, []string{"ThreatHunting.Read.All", "User.Read.All"}},
		"none in the message":  {nil, graph403(""), need, nil},
		"graph, no message":    {nil, `{"error":{"code":"Forbidden","message":""}}`, need, inToken},
		"older":                {older, `{"error":{"code":"Forbidden","message":"no","target":"x"}}`, []string{"Incident.Read.All", "Incident.ReadWrite.All"}, inToken},
		"not JSON":             {nil, `<html>403</html>`, need, inToken},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &wireFake{answer: script(says(403, tc.body))}
			_, err := incidents(t.Context(), newTestClient(t, fake, tc.dialect))
			var pe *PermissionError
			if !errors.As(err, &pe) {
				t.Fatalf("err = %v, want a *PermissionError", err)
			}
			if !slices.Equal(pe.Need, tc.need) || !slices.Equal(pe.Have, tc.have) || pe.Call != "list incidents" {
				t.Errorf("%+v, want need %q, have %q", pe, tc.need, tc.have)
			}
			if strings.Count(err.Error(), "list incidents") != 1 || fake.sent() != 1 {
				t.Errorf("%d calls, error %q", fake.sent(), err)
			}
		})
	}
}

// TestGrantedRoleIsSeen grants the missing role while the token that lacks it
// is good for most of an hour.
func TestGrantedRoleIsSeen(t *testing.T) {
	fake := &wireFake{answer: script(says(403, `{"error":{"code":"Forbidden","message":""}}`), says(200, `{"value":[]}`))}
	c := newTestClient(t, fake, nil)
	var pe *PermissionError
	if _, err := incidents(t.Context(), c); !errors.As(err, &pe) {
		t.Fatalf("err = %v, want a *PermissionError", err)
	}
	for range 2 {
		if _, err := incidents(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if fake.tokensSent() != 2 {
		t.Errorf("%d tokens were asked for, want one more after the 403", fake.tokensSent())
	}
}

func TestStatusError(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for name, tc := range map[string]struct {
		answer func() *http.Response
		want   StatusError
	}{
		"empty code": {says(400, `{"error":{"code":"","message":"The limit of '50' for Top query has been exceeded.","details":[],"innerError":{"request-id":"r1"}}}`),
			StatusError{400, "", "The limit of '50' for Top query has been exceeded.", "r1"}},
		"lower case inner": {says(404, `{"error":{"code":"ResourceNotFound","message":"m","innererror":{"request-id":"r2"}}}`), StatusError{404, "ResourceNotFound", "m", "r2"}},
		"header id":        {says(400, `{"error":{"code":"c","message":"m","innerError":{"request-id":"r3"}}}`, "request-id", "h"), StatusError{400, "c", "m", "h"}},
		"older target":     {says(400, `{"error":{"code":"ODataError","message":"Invalid\r\n OData","target":"t"}}`), StatusError{400, "ODataError", "Invalid OData", "t"}},
		"not about roles":  {says(403, `{"error":{"code":"DisabledFeature","message":"off"}}`), StatusError{403, "DisabledFeature", "off", ""}},
		"text":             {says(400, "upstream\n bad \xff"), StatusError{400, "", "upstream bad \uFFFD", ""}},
		"a proxy's page": {says(400, "\r\n<html>bad</html>", "Content-Type", "text/html; charset=utf-8"),
			StatusError{400, "", "text/html where JSON should be: a proxy in between may have answered", ""}},
		"raw control":  {says(400, "\uFEFF{\"error\":{\"code\":\"c\",\"message\":\"a\tb\x00\"}}"), StatusError{400, "c", "a b", ""}},
		"gateway":      {says(400, `{"statusCode":400,"message":"m"}`), StatusError{400, "", "m", ""}},
		"string error": {says(400, `{"error":"c","message":"m"}`), StatusError{400, "c", "m", ""}},
		"bounded":      {says(400, `{"error":{"message":"`+long+`"}}`), StatusError{400, "", long[:maxMessage] + "…", ""}},
		"gzip bomb":    {says(400, gzipped(strings.Repeat(" ", 1<<20)), "Content-Encoding", "gzip"), StatusError{400, "", "", ""}},
		"echoed token": {says(400, `{"error":{"message":"bad token `+testToken(1)+`"}}`), StatusError{400, "", "bad token [redacted]", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &wireFake{answer: script(tc.answer)}
			_, err := incidents(t.Context(), newTestClient(t, fake, nil))
			var se *StatusError
			if !errors.As(err, &se) {
				t.Fatalf("err = %v, want a *StatusError", err)
			}
			if diff := cmp.Diff(tc.want, *se); diff != "" || fake.sent() != 1 {
				t.Errorf("%d calls (-want +got):\n%s", fake.sent(), diff)
			}
		})
	}
}

func TestOnCallErrorStopsTheCall(t *testing.T) {
	broken := errors.New("disk full")
	fake := new(wireFake)
	c := newTestClient(t, fake, func(c *Config) {
		c.Limits.PerMinute = 1
		c.OnCall = func(context.Context, time.Time) error { return broken }
	})
	for range 2 { // the second shows that the first gave its place back
		if _, err := incidents(t.Context(), c); !errors.Is(err, broken) {
			t.Fatalf("err = %v, want %v", err, broken)
		}
	}
	if fake.sent() != 0 {
		t.Errorf("%d calls sent without a record", fake.sent())
	}
}

func TestErrorBodyIsReadThroughALimit(t *testing.T) {
	body := &countingReader{r: io.LimitReader(iotest.OneByteReader(neverEnding('x')), 1<<20)}
	r := readRefusal(&http.Response{Body: io.NopCloser(body)})
	if body.n > maxErrorBody || len([]rune(r.message)) > maxMessage+1 {
		t.Errorf("read %d bytes, kept %d; want at most %d and %d", body.n, len(r.message), maxErrorBody, maxMessage)
	}
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestMeterAndOnCallCountEverySend(t *testing.T) {
	var recorded int
	fake := &wireFake{answer: script(says(500, ""), says(401, ""), says(200, `{"value":[]}`))}
	c := newTestClient(t, fake, func(c *Config) {
		c.Backoff = time.Nanosecond
		c.OnCall = func(context.Context, time.Time) error { recorded++; return nil }
	})
	var m Meter
	if _, err := incidents(ContextWithMeter(t.Context(), &m), c); err != nil {
		t.Fatal(err)
	}
	if m.Calls.Load() != 3 || recorded != 3 {
		t.Errorf("meter %d, recorded %d, want 3 and 3", m.Calls.Load(), recorded)
	}
}

func TestRoles(t *testing.T) {
	roles, err := newTestClient(t, new(wireFake), nil).Roles(t.Context())
	if want := []string{"SecurityIncident.Read.All", "Other.Read"}; err != nil || !slices.Equal(roles, want) {
		t.Errorf("roles = %q, %v; want %q", roles, err, want)
	}
	for _, value := range []string{"opaque", "a.!.c", "a.e30.c", "a.W10.c"} {
		roles, err := (&token{value: value}).roles()
		if len(roles) != 0 || (err == nil) != (value == "a.e30.c") { // {} has no roles, and that is no error
			t.Errorf("roles of %q = %q, %v", value, roles, err)
		}
	}
}

func TestNewRejects(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"api \"soap\"":     func(c *Config) { c.Dialect = "soap" },
		"oauth":            func(c *Config) { c.OAuth = "v3" },
		"tenant id":        func(c *Config) { c.TenantID = "" },
		"client id":        func(c *Config) { c.ClientID = "" },
		"audience":         func(c *Config) { c.Audience = "" },
		"credential":       func(c *Config) { c.Credential = nil },
		"login":            func(c *Config) { c.Login = "login.example" },
		"API base":         func(c *Config) { c.BaseURL = "ftp://graph.example" },
		"user, query":      func(c *Config) { c.BaseURL = "https://u:hunter2@graph.example" },
		"API base URL can": func(c *Config) { c.BaseURL = "https://u:hunter2@graph.example/%zz" },
	} {
		cfg := testConfig(&wireFake{t: t})
		change(&cfg)
		_, err := New(cfg)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}

func TestCloudEndpoints(t *testing.T) {
	for cloud, want := range map[string]Endpoints{
		"commercial": {"https://login.microsoftonline.com", "https://graph.microsoft.com", "https://api.security.microsoft.com", "https://graph.microsoft.com", "https://api.security.microsoft.com"},
		"dod":        {"https://login.microsoftonline.us", "https://dod-graph.microsoft.us", "https://api-gov.security.microsoft.us", "https://dod-graph.microsoft.us", "https://api-gov.security.microsoft.us"},
	} {
		if got, err := CloudEndpoints(cloud); err != nil || got != want {
			t.Errorf("%s: %+v, %v", cloud, got, err)
		}
	}
	for _, cloud := range []string{"gcc", "gcc-high"} {
		if got, err := CloudEndpoints(cloud); err != nil || !strings.HasSuffix(got.Defender, ".microsoft.us") {
			t.Errorf("%s: %+v, %v", cloud, got, err)
		}
	}
	if _, err := CloudEndpoints("china"); err == nil {
		t.Error("china: no error")
	}
}
