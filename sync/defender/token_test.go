package defender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func newTestTokens(t *testing.T, w *wireFake, change func(*Config)) *TokenSource {
	t.Helper()
	w.t = t
	cfg := testConfig(w)
	if change != nil {
		change(&cfg)
	}
	s, err := NewTokenSource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTokenRequestShape(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		url    string
		form   url.Values
	}{
		"v2": {nil, "/oauth2/v2.0/token", url.Values{"scope": {"https://graph.example/.default"}}},
		"v1": {func(c *Config) { c.OAuth = "v1" }, "/oauth2/token", url.Values{"resource": {"https://graph.example"}}},
		"v2, audience with a path": {func(c *Config) { c.Audience = "https://security.example/mtp/" }, "/oauth2/v2.0/token",
			url.Values{"scope": {"https://security.example/mtp/.default"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got *http.Request
			fake := &wireFake{token: func(n int, req *http.Request) (*http.Response, error) { got = req; return tokenReply(n), nil }}
			if _, err := newTestTokens(t, fake, tc.change).get(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if want := "https://login.example/" + testTenant + tc.url; got.URL.String() != want || got.Method != "POST" {
				t.Errorf("%s %s, want POST %s", got.Method, got.URL, want)
			}
			for k, v := range map[string]string{"grant_type": "client_credentials", "client_id": "app", "client_secret": testSecret} {
				tc.form.Set(k, v)
			}
			if fake.tokens[0] != tc.form.Encode() {
				t.Errorf("form = %s, want %s", fake.tokens[0], tc.form.Encode())
			}
			if got.Header.Get("User-Agent") != "defendersync/test" || got.Header.Get("Authorization") != "" {
				t.Errorf("headers = %v", got.Header)
			}
		})
	}
}

func TestTokenIsKeptAndReplacedEarly(t *testing.T) {
	for expiresIn, early := range map[string]time.Duration{
		"3600": refreshEarly, `"3600"`: refreshEarly, "100": 20 * time.Second,
	} {
		t.Run(expiresIn, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &wireFake{token: func(n int, _ *http.Request) (*http.Response, error) {
					return reply(200, fmt.Sprintf(`{"access_token":"t%d","expires_in":%s,"expires_on":"x"}`, n, expiresIn)), nil
				}}
				s := newTestTokens(t, fake, nil)
				first, err := s.get(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(first.expiry) - early - time.Nanosecond)
				if again, err := s.get(t.Context(), nil); err != nil || again != first {
					t.Errorf("a nanosecond before its replacement: %v, %v", again, err)
				}
				time.Sleep(time.Nanosecond)
				if next, err := s.get(t.Context(), nil); err != nil || next.value != "t2" {
					t.Errorf("when it is due: %v, %v", next, err)
				}
			})
		})
	}
}

func TestTokenIsFetchedOnceForEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &wireFake{token: func(n int, _ *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply(200, `{"access_token":"same","expires_in":3600}`), nil // identity counts, not the value
		}}
		s := newTestTokens(t, fake, nil)
		all := func(refused *token) (got *token) {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					tok, err := s.get(t.Context(), refused)
					if err != nil || tok == refused {
						t.Errorf("token %v, %v", tok, err)
					}
				})
			}
			wg.Wait()
			got, _ = s.get(t.Context(), nil)
			return got
		}
		first := all(nil)
		if fake.tokensSent() != 1 {
			t.Fatalf("%d requests for the first token, want 1", fake.tokensSent())
		}
		all(first)
		if fake.tokensSent() != 2 {
			t.Errorf("%d requests after twenty 401s, want 2", fake.tokensSent())
		}
	})
}

func TestTokenErrorIsSharedByThoseWhoWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &wireFake{token: func(int, *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply(401, `{"error":"invalid_client","error_codes":[7000215]}`), nil
		}}
		s := newTestTokens(t, fake, nil)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := s.get(t.Context(), nil); !isA[*TokenError](err) {
					t.Errorf("err = %v, want a *TokenError", err)
				}
			})
		}
		wg.Wait()
		if fake.tokensSent() != 1 {
			t.Errorf("%d requests, want 1", fake.tokensSent())
		}
		if _, err := s.get(t.Context(), nil); !isA[*TokenError](err) || fake.tokensSent() != 2 {
			t.Errorf("a later caller: %v, %d requests; want its own request", err, fake.tokensSent())
		}
	})
}

func TestCancelledFetchIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &wireFake{token: func(n int, req *http.Request) (*http.Response, error) {
			if n == 1 {
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			return tokenReply(n), nil
		}}
		s := newTestTokens(t, fake, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.get(ctx, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("err = %v, want canceled", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := s.get(t.Context(), nil); err != nil {
				t.Errorf("the other caller: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestGoodTokenOutlivesAFailedReplacement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &wireFake{token: func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return tokenReply(n), nil
			}
			return reply(401, `{"error_codes":[7000222]}`), nil
		}}
		s := newTestTokens(t, fake, nil)
		first, err := s.get(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(56 * time.Minute)
		for range 3 {
			if tok, err := s.get(t.Context(), nil); err != nil || tok != first {
				t.Fatalf("while it is good: %v, %v", tok, err)
			}
		}
		if fake.tokensSent() != 2 {
			t.Errorf("%d requests, want 2: one a minute is enough", fake.tokensSent())
		}
		time.Sleep(4 * time.Minute)
		if _, err := s.get(t.Context(), nil); !isA[*TokenError](err) {
			t.Errorf("when it has expired: %v, want a *TokenError", err)
		}
	})
}

func TestSecretIsReadForEachToken(t *testing.T) {
	secrets := []string{"old-secret", "new-secret"}
	fake := new(wireFake)
	s := newTestTokens(t, fake, func(c *Config) {
		c.Credential = Secret(func() (string, error) { return secrets[fake.tokensSent()], nil })
	})
	first, err := s.get(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.get(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for i, want := range secrets {
		if !strings.Contains(fake.tokens[i], want) {
			t.Errorf("request %d does not hold %s", i, want)
		}
	}
}

func TestUnreadableSecretIsNotRetried(t *testing.T) {
	missing := errors.New("open secret: no such file")
	reads := 0
	fake := new(wireFake)
	s := newTestTokens(t, fake, func(c *Config) {
		c.Credential = Secret(func() (string, error) { reads++; return "", missing })
	})
	if _, err := s.get(t.Context(), nil); !errors.Is(err, missing) || reads != 1 || fake.tokensSent() != 0 {
		t.Errorf("err = %v, %d reads, %d requests", err, reads, fake.tokensSent())
	}
}

func TestTokenErrors(t *testing.T) {
	described := func(code string) string {
		return `{"error":"invalid_client","error_description":"AADSTS` + code + `: The thing is wrong.\r\nTrace ID: abc\r\nCorrelation ID: def"}`
	}
	for name, tc := range map[string]struct {
		status int
		body   string
		code   int
		says   string
	}{
		"wrong secret":       {401, described("7000215"), 7000215, "secret is wrong"},
		"expired secret":     {401, described("7000222"), 7000222, "expired"},
		"app not in tenant":  {400, described("700016"), 700016, "not known in this tenant"},
		"disabled":           {400, described("7000112"), 7000112, "disabled"},
		"tenant":             {400, described("90002"), 90002, "tenant_id"},
		"tenant's form":      {400, described("900023"), 900023, "GUID"},
		"scope":              {400, described("70011"), 70011, "scope"},
		"default scope":      {400, described("1002012"), 1002012, "scope"},
		"API not there":      {400, described("500011"), 500011, "API is not known"},
		"conditional access": {400, described("53003"), 53003, "Conditional Access"},
		"code in a list":     {401, `{"error_codes":[7000222],"error_description":"x"}`, 7000222, "expired"},
		"unknown":            {400, described("999999"), 999999, "The thing is wrong."},
		"unknown, one line":  {400, `{"error_description":"AADSTS999999: Odd. Trace ID: abc Correlation ID: def"}`, 999999, "Odd."},
		"no code":            {400, `{"error":"invalid_request"}`, 0, "check endpoints.login"},
		"a proxy's page":     {404, `<html>`, 0, "check endpoints.login"},
		"redirect":           {302, ``, 0, "redirects"},
		"echoed secret":      {400, `{"error_description":"AADSTS1: ` + testSecret + ` is bad"}`, 1, "[redacted] is bad"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &wireFake{token: func(int, *http.Request) (*http.Response, error) {
				return reply(tc.status, tc.body, "Location", "https://evil.example/"), nil
			}}
			_, err := newTestTokens(t, fake, nil).get(t.Context(), nil)
			te, ok := errors.AsType[*TokenError](err)
			if !ok || te.Code != tc.code || te.Status != tc.status || !strings.Contains(te.Advice, tc.says) {
				t.Fatalf("err = %#v, want code %d saying %q", err, tc.code, tc.says)
			}
			if theirs := strings.HasPrefix(name, "unknown") || strings.HasPrefix(name, "echoed"); (te.Fix == "") != theirs || !strings.HasSuffix(te.Advice, te.Fix) {
				t.Errorf("to fix %q: %q", te.Advice, te.Fix)
			}
			for _, leak := range []string{testSecret, "Trace", "abc", "\n"} {
				if strings.Contains(err.Error(), leak) {
					t.Errorf("error %q holds %q", err, leak)
				}
			}
			if fake.tokensSent() != 1 {
				t.Errorf("%d requests, want 1", fake.tokensSent())
			}
		})
	}
}

// A success without a token is most often a proxy's, or another server's.
func TestSuccessWithoutAToken(t *testing.T) {
	for name, tc := range map[string]struct{ kind, body, want string }{
		"page":     {"text/html; charset=utf-8", "<html>Sign in", "the answer is no JSON object (text/html)"},
		"text":     {"text/plain", "access_token=x", "the answer is no JSON object (text/plain)"},
		"array":    {"", "[]", "the answer is no JSON object (no content type)"},
		"no token": {"application/json", `{"ok":true}`, "the answer holds no access_token (application/json)"},
		"empty":    {"application/json", `{"access_token":"","expires_in":3600}`, "the answer holds no access_token (application/json)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &wireFake{token: func(int, *http.Request) (*http.Response, error) {
					return reply(200, tc.body, "Content-Type", tc.kind), nil
				}}
				_, err := newTestTokens(t, fake, nil).get(t.Context(), nil)
				want := "token endpoint answered 200: " + tc.want + ": check endpoints.login and any proxy in between"
				if err == nil || err.Error() != want {
					t.Errorf("err = %v\nwant  %s", err, want)
				}
			})
		})
	}
}

// A lifetime that cannot be read costs a token's long life, not the token.
func TestTokenLifetime(t *testing.T) {
	for served, want := range map[string]time.Duration{
		`,"expires_in":3600`: time.Hour, `,"expires_in":"3599.5"`: 3599 * time.Second, `,"expires_in":3599.9`: 3599 * time.Second,
		`,"expires_in":""`: assumeLifetime, `,"expires_in":"soon"`: assumeLifetime, `,"expires_in":null`: assumeLifetime,
		`,"expires_in":[]`: assumeLifetime, `,"expires_in":0`: assumeLifetime, `,"expires_in":-5`: assumeLifetime, `,"expires_in":"NaN"`: assumeLifetime,
		`,"expires_in":1e300`: math.MaxInt32 * time.Second, ``: assumeLifetime,
	} {
		synctest.Test(t, func(t *testing.T) {
			fake := &wireFake{token: func(int, *http.Request) (*http.Response, error) {
				return reply(200, "\uFEFF"+`{"token_type":"Bearer","access_token":"abc"`+served+`}`, "Content-Type", "text/plain"), nil
			}}
			tok, err := newTestTokens(t, fake, nil).get(t.Context(), nil)
			if err != nil || tok.value != "abc" || time.Until(tok.expiry) != want || fake.tokensSent() != 1 {
				t.Errorf("%s: %+v, %v after %d requests; want one for %s", served, tok, err, fake.tokensSent(), want)
			}
		})
	}
}

// A secret that is a common word is blanked where the service repeats it, and
// not in our own sentences, which would tell what it is.
func TestRedactionTellsNoSecret(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret."}`: "AADSTS7000215: the client secret is wrong: ",
		`{"error":"invalid_client","error_description":"AADSTS999999: wrong is no secret."}`:     "AADSTS999999: [redacted] is no secret.",
	} {
		fake := &wireFake{token: func(int, *http.Request) (*http.Response, error) { return reply(401, body), nil }}
		s := newTestTokens(t, fake, func(c *Config) { c.Credential = Secret(func() (string, error) { return "wrong", nil }) })
		if _, err := s.get(t.Context(), nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
}

func TestTransientTokenErrorsAreRetried(t *testing.T) {
	transient := map[string]func() (*http.Response, error){
		"429":        func() (*http.Response, error) { return reply(429, ""), nil },
		"503":        func() (*http.Response, error) { return reply(503, ""), nil },
		"connection": func() (*http.Response, error) { return nil, errors.New("connection reset") },
		"cut":        func() (*http.Response, error) { return reply(200, `{"access_tok`), nil },
	}
	for _, code := range []string{"90006", "90012", "90024", "90033", "90055", "90090"} {
		transient[code] = func() (*http.Response, error) { return reply(400, `{"error_codes":[`+code+`]}`), nil }
	}
	for name, bad := range transient {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &wireFake{token: func(n int, _ *http.Request) (*http.Response, error) {
					if n < maxSends {
						return bad()
					}
					return tokenReply(n), nil
				}}
				if _, err := newTestTokens(t, fake, nil).get(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				always := &wireFake{token: func(int, *http.Request) (*http.Response, error) { return bad() }}
				if _, err := newTestTokens(t, always, nil).get(t.Context(), nil); err == nil || always.tokensSent() != maxSends {
					t.Errorf("err = %v after %d requests, want an error after %d", err, always.tokensSent(), maxSends)
				}
			})
		})
	}
}

func TestTokenRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := "30"
		fake := &wireFake{token: func(n int, _ *http.Request) (*http.Response, error) {
			if n%2 == 1 {
				return reply(429, "", "Retry-After", wait), nil
			}
			return tokenReply(n), nil
		}}
		s := newTestTokens(t, fake, nil)
		start := time.Now()
		tok, err := s.get(t.Context(), nil)
		if took := time.Since(start); err != nil || took < 30*time.Second || took > 31*time.Second {
			t.Errorf("took %s, %v", took, err)
		}
		wait = "3600"
		for range 2 {
			if _, err := s.get(t.Context(), tok); !isA[*ThrottledError](err) {
				t.Errorf("err = %v, want a *ThrottledError", err)
			}
		}
		if fake.tokensSent() != 3 {
			t.Errorf("%d requests, want 3", fake.tokensSent())
		}
	})
}

func TestSharedTokenSource(t *testing.T) {
	fake := new(wireFake)
	first := newTestClient(t, fake, nil)
	second := newTestClient(t, fake, func(c *Config) { c.Tokens, c.Credential = first.Tokens(), nil })
	for _, c := range []*Client{first, second} {
		if _, err := incidents(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if fake.tokensSent() != 1 {
		t.Errorf("%d token requests, want 1", fake.tokensSent())
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		fake := &wireFake{
			token: func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return reply(503, `{"error_description":"`+testSecret+`"}`), nil
				}
				return tokenReply(n), nil
			},
			answer: script(says(500, `{"error":{"message":"`+testToken(2)+`"}}`), says(429, `{"error":{"message":"`+testToken(2)+`"}}`)),
		}
		c := newTestClient(t, fake, func(c *Config) {
			c.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		_, err := incidents(t.Context(), c)
		if err == nil || !strings.Contains(out.String(), "request failed") {
			t.Fatalf("err = %v, log:\n%s", err, out.String())
		}
		for _, text := range []string{out.String(), err.Error()} {
			if strings.Contains(text, testSecret) || strings.Contains(text, testToken(2)) {
				t.Errorf("a secret in:\n%s", text)
			}
		}
	})
}
