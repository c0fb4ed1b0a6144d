package defender

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testTenant = "11111111-2222-3333-4444-555555555555"
	testSecret = "s3cr3t~value"
)

// wireFake stands for everything behind the transport: the token endpoint,
// which numbers its tokens, and an API that answers as the test says.
type wireFake struct {
	t      *testing.T
	answer func(*http.Request) (*http.Response, error) // nil: an empty page
	token  func(n int, req *http.Request) (*http.Response, error)

	mu     sync.Mutex
	calls  []*http.Request // to the API
	tokens []string        // form bodies of token requests
}

func (w *wireFake) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == "login.example" {
		return w.roundTripToken(req)
	}
	w.mu.Lock()
	w.calls = append(w.calls, req)
	w.mu.Unlock()
	if w.answer == nil {
		return reply(200, `{"value":[]}`), nil
	}
	return w.answer(req)
}

func (w *wireFake) roundTripToken(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		w.t.Errorf("read token request: %v", err)
	}
	w.mu.Lock()
	w.tokens = append(w.tokens, string(body))
	n := len(w.tokens)
	w.mu.Unlock()
	if w.token != nil {
		return w.token(n, req)
	}
	return tokenReply(n), nil
}

func (w *wireFake) sent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls)
}

func (w *wireFake) tokensSent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.tokens)
}

func tokenReply(n int) *http.Response {
	return reply(200, fmt.Sprintf(`{"token_type":"Bearer","expires_in":3600,"access_token":%q}`, testToken(n)))
}

// testToken is the nth token, with roles to read in its payload.
func testToken(n int) string {
	payload := fmt.Sprintf(`{"jti":"%d","roles":["SecurityIncident.Read.All","Other.Read"]}`, n)
	return "head." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".sig"
}

// reply builds an answer; headers come as name, value, name, value.
func reply(status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Status: strconv.Itoa(status), Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func gzipped(body string) string {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write([]byte(body)) // a bytes.Buffer takes everything
	_ = zw.Close()
	return b.String()
}

// script answers each call with the next reply, and the last one for ever.
func script(replies ...func() *http.Response) func(*http.Request) (*http.Response, error) {
	var mu sync.Mutex
	n := 0
	return func(*http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		next := replies[min(n, len(replies)-1)]
		n++
		return next(), nil
	}
}

func says(status int, body string, headers ...string) func() *http.Response {
	return func() *http.Response { return reply(status, body, headers...) }
}

func testConfig(w *wireFake) Config {
	return Config{
		Tenant: "contoso", TenantID: testTenant, ClientID: "app", Dialect: Graph,
		Credential: Secret(func() (string, error) { return testSecret, nil }),
		Login:      "https://login.example", BaseURL: "https://graph.example", Audience: "https://graph.example",
		UserAgent: "defendersync/test", Transport: w,
	}
}

// newTestClient makes a client on w; change may alter its configuration.
func newTestClient(t *testing.T, w *wireFake, change func(*Config)) *Client {
	t.Helper()
	w.t = t
	cfg := testConfig(w)
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func older(c *Config) {
	c.Dialect, c.BaseURL, c.Audience = Older, "https://api.example", "https://api.example"
}

// testWindow is any window with digits to lose.
func testWindow() Request {
	since := time.Date(2026, 11, 20, 10, 0, 0, 123456000, time.FixedZone("CET", 3600))
	return Request{Since: since, Until: since.Add(time.Hour)}
}

func incidents(ctx context.Context, c *Client) (*Page, error) { return c.Incidents(ctx, testWindow()) }
