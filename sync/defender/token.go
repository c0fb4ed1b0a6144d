package defender

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	refreshEarly = 5 * time.Minute
	retryEarly   = time.Minute      // between attempts to replace a token that is still good
	tokenTimeout = 30 * time.Second // for one token request
)

// TokenSource holds one tenant's token for one audience, in memory only. All
// clients of the tenant share it; it is safe for concurrent use.
type TokenSource struct {
	cfg Config
	url string

	gate    *limiter      // closed by the endpoint's Retry-After
	turn    chan struct{} // held while looking at or fetching the token: one fetch at a time
	current *token        // guarded by turn
	err     error         // what the last fetch ended with; guarded by turn
	fetches atomic.Int64
}

// token is one answer of the token endpoint. Its identity, not its value, is
// what a 401 refuses: an endpoint may issue the same value twice.
type token struct {
	value           string
	refresh, expiry time.Time
}

// NewTokenSource makes a token source from the fields of cfg that concern
// tokens. It sends nothing.
func NewTokenSource(cfg Config) (*TokenSource, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := cfg.checkToken(); err != nil {
		return nil, err
	}
	path := "/oauth2/v2.0/token"
	if cfg.OAuth == "v1" {
		path = "/oauth2/token"
	}
	s := &TokenSource{
		cfg:  cfg,
		url:  strings.TrimSuffix(cfg.Login, "/") + "/" + url.PathEscape(cfg.TenantID) + path,
		turn: make(chan struct{}, 1),
	}
	s.gate = newGate(&s.cfg)
	return s, nil
}

// get returns a token that is good for some time yet. A token that the API
// has refused is given as refused (else nil) and is not returned again.
//
// However many callers need a new token at once, one request is made: the
// others wait for it and share what comes of it, be it an error.
func (s *TokenSource) get(ctx context.Context, refused *token) (*token, error) {
	before := s.fetches.Load()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.turn }()

	if refused != nil && s.current == refused {
		s.current = nil
	}
	if s.current != nil && s.cfg.Now().Before(s.current.refresh) {
		return s.current, nil
	}
	if s.fetches.Load() != before && s.current == nil && s.err != nil {
		return nil, s.err
	}
	return s.replace(ctx)
}

// doubt has a token replaced before it is used again, if that can be done: a
// role that is granted from now on is in the next one only, and this one is good
// for an hour.
func (s *TokenSource) doubt(ctx context.Context, t *token) {
	select {
	case s.turn <- struct{}{}:
		t.refresh = time.Time{}
		<-s.turn
	case <-ctx.Done():
	}
}

// replace fetches a new token. While the old one is still good, failing to
// replace it early is no reason to stop.
func (s *TokenSource) replace(ctx context.Context) (*token, error) {
	fresh, err := retry(ctx, s.gate, "request token", 0, func() (*token, *failure) { return s.request(ctx) })
	if ctx.Err() != nil && err != nil {
		return nil, err // says nothing of the endpoint, so it is not shared
	}
	s.fetches.Add(1)
	s.err = err
	now := s.cfg.Now()
	switch {
	case err == nil:
		s.current = fresh
	case s.current != nil && now.Before(s.current.expiry):
		s.current.refresh = now.Add(retryEarly)
		if s.current.expiry.Before(s.current.refresh) {
			s.current.refresh = s.current.expiry
		}
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "token could not be replaced early",
			slog.String("tenant", s.cfg.Tenant), slog.Time("good_until", s.current.expiry), slog.Any("error", err))
	default:
		s.current = nil
		return nil, err
	}
	return s.current, nil
}

// request makes one token request. The credential is read anew for it.
func (s *TokenSource) request(ctx context.Context) (*token, *failure) {
	place, err := s.gate.admit(ctx)
	if err != nil {
		return nil, &failure{err: err}
	}
	defer s.gate.answered(place)
	form, err := s.cfg.Credential.Form(ctx, s.url)
	if err != nil {
		return nil, &failure{err: fmt.Errorf("read credential: %w", err)}
	}
	asked := s.cfg.Now()
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{
		Transport: tokenTransport{s.cfg.Transport, s.cfg.UserAgent},
		// A redirect would carry the secret to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	answer, err := s.grant(form).Token(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, &failure{err: fmt.Errorf("request token: no answer within %s", tokenTimeout), again: true}
	}
	if err != nil {
		return nil, tokenFailure(err, form, asked)
	}
	lifetime := time.Until(answer.Expiry) // oauth2 counts by the system's clock, which cfg.Now need not be
	expiry := asked.Add(lifetime)
	return &token{value: answer.AccessToken, expiry: expiry, refresh: expiry.Add(-min(refreshEarly, lifetime/5))}, nil
}

// grant is the client-credentials request with the audience as each version
// of the endpoint spells it.
func (s *TokenSource) grant(form url.Values) *clientcredentials.Config {
	g := &clientcredentials.Config{
		ClientID:       s.cfg.ClientID,
		TokenURL:       s.url,
		EndpointParams: url.Values{},
		AuthStyle:      oauth2.AuthStyleInParams, // detecting it would cost a refused request
	}
	for name, values := range form {
		g.EndpointParams[name] = values
	}
	if s.cfg.OAuth == "v1" {
		g.EndpointParams.Set("resource", s.cfg.Audience)
	} else {
		g.Scopes = []string{strings.TrimSuffix(s.cfg.Audience, "/") + "/.default"}
	}
	return g
}

// tokenFailure says what went wrong without repeating anything of form.
func tokenFailure(err error, form url.Values, now time.Time) *failure {
	if e, ok := errors.AsType[*TokenError](err); ok { // a success without a token
		return &failure{err: e, again: true}
	}
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok { // no answer, or one cut short
		return &failure{err: fmt.Errorf("request token: %w", netError(err)), again: true}
	}
	e := parseTokenError(refused, form)
	f := &failure{err: e, again: e.transient(), throttled: e.Status == http.StatusTooManyRequests}
	if f.again {
		f.after = retryAfter(refused.Response.Header, now)
	}
	return f
}

// roles returns the application roles that the token's payload lists. The
// signature is not checked: this is for messages, never for a decision.
func (t *token) roles() ([]string, error) {
	parts := strings.Split(t.value, ".")
	if len(parts) != 3 {
		return nil, errors.New("token is opaque: it has no readable payload")
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil, errors.New("token is opaque: its payload is not base64")
	}
	claims, err := ParseObject(jsontext.Value(payload))
	if err != nil {
		return nil, errors.New("token is opaque: its payload is not a JSON object")
	}
	roles, _, err := claims.Strings("roles")
	return roles, err
}

// netError makes a transport's error fit to be shown: without the URL that
// an http.Client repeats, and with words for a connection that just ended.
func netError(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the connection was closed before an answer came (%w)", err)
	}
	return err
}

// redact removes a secret that an answer echoes.
func redact(text, secret string) string {
	if len(secret) < 4 { // would tear words apart, and is no secret
		return text
	}
	return strings.ReplaceAll(text, secret, "[redacted]")
}
