package defender

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of Config.
const (
	DefaultBackoff = 500 * time.Millisecond
	DefaultMaxWait = 5 * time.Minute
	DefaultTimeout = 2 * time.Minute
	DefaultMaxBody = 32 << 20

	DefaultHuntTimeout = 210 * time.Second // the service itself gives up after 200 s at most
	DefaultHuntMaxBody = 256 << 20
)

// Config is all that a Client needs to know. The fields up to OAuth have no
// default; of the others the zero value is ready to use.
type Config struct {
	Tenant     string // label for logs
	TenantID   string
	ClientID   string
	Credential Credential
	Dialect    Dialect
	Login      string // base URL of the token endpoint, see CloudEndpoints
	BaseURL    string // of the API that Dialect names; only its scheme and host ever get the token
	Audience   string // whom the token is for; not always the BaseURL
	OAuth      string // "v2" (scope, also "") or "v1" (resource)

	Tokens    *TokenSource // shared with other clients of the tenant and audience; nil: one of its own
	UserAgent string
	Transport http.RoundTripper // nil: http.DefaultTransport
	Now       func() time.Time  // nil: time.Now
	Log       *slog.Logger      // nil: silence

	Limits Limits
	Seed   []time.Time // calls of the last hour made by earlier processes, see Client.Seed
	// OnCall is told of each API call right before it is sent, to remember
	// it for a later Seed. Its error stops the call.
	OnCall func(ctx context.Context, at time.Time) error
	// OnBlock is told when the service asks for a wait of more than a second,
	// to remember it for a later Client.CloseUntil. The context is not done
	// when the call's is.
	OnBlock func(ctx context.Context, until time.Time)

	Backoff time.Duration // wait before the first retry, doubled for each further one up to 30 s
	MaxWait time.Duration // a longer Retry-After is not sat out but returned as a *ThrottledError
	Timeout time.Duration // for one send, its body included
	MaxBody int64         // bytes of one answer after decompression

	HuntTimeout time.Duration // Timeout and MaxBody of a Hunt
	HuntMaxBody int64
}

// Limits are the most calls in any sliding window, and the most in flight at
// once; 0 is no limit. The operator's share of the quota is already applied.
type Limits struct{ PerMinute, PerHour, Concurrent int }

// Endpoints are one cloud's base URLs and the audiences of its tokens.
type Endpoints struct {
	Login, Graph, Defender          string
	GraphAudience, DefenderAudience string
}

// CloudEndpoints returns the endpoints of commercial, gcc, gcc-high or dod.
func CloudEndpoints(cloud string) (Endpoints, error) {
	var e Endpoints
	switch cloud {
	case "commercial":
		e = Endpoints{Login: "https://login.microsoftonline.com", Graph: "https://graph.microsoft.com", Defender: "https://api.security.microsoft.com"}
	case "gcc":
		e = Endpoints{Login: "https://login.microsoftonline.com", Graph: "https://graph.microsoft.com", Defender: "https://api-gcc.security.microsoft.us"}
	case "gcc-high":
		e = Endpoints{Login: "https://login.microsoftonline.us", Graph: "https://graph.microsoft.us", Defender: "https://api-gov.security.microsoft.us"}
	case "dod":
		e = Endpoints{Login: "https://login.microsoftonline.us", Graph: "https://dod-graph.microsoft.us", Defender: "https://api-gov.security.microsoft.us"}
	default:
		return Endpoints{}, fmt.Errorf("unknown cloud %q: want commercial, gcc, gcc-high or dod", cloud)
	}
	e.GraphAudience, e.DefenderAudience = e.Graph, e.Defender
	return e, nil
}

// withDefaults checks what every user of a Config needs and fills the rest.
func (c Config) withDefaults() (Config, error) {
	if c.OAuth == "" {
		c.OAuth = "v2"
	}
	if c.OAuth != "v1" && c.OAuth != "v2" {
		return c, fmt.Errorf("oauth %q: want v1 or v2", c.OAuth)
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Backoff = orDefault(c.Backoff, DefaultBackoff)
	c.MaxWait = orDefault(c.MaxWait, DefaultMaxWait)
	c.Timeout = orDefault(c.Timeout, DefaultTimeout)
	c.MaxBody = orDefault(c.MaxBody, DefaultMaxBody)
	c.HuntTimeout = orDefault(c.HuntTimeout, DefaultHuntTimeout)
	c.HuntMaxBody = orDefault(c.HuntMaxBody, DefaultHuntMaxBody)
	return c, nil
}

func orDefault[T time.Duration | int64](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// checkToken checks the fields that a token request is made of.
func (c Config) checkToken() error {
	for _, f := range []struct{ name, value string }{
		{"tenant id", c.TenantID}, {"client id", c.ClientID}, {"audience", c.Audience},
	} {
		if f.value == "" {
			return fmt.Errorf("%s is missing", f.name)
		}
	}
	if c.Credential == nil {
		return errors.New("credential is missing")
	}
	_, err := parseBase("login", c.Login)
	return err
}

// parseBase reads a base URL: http or https, a host, perhaps a path, nothing more.
func parseBase(name, raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(raw, "/"))
	if err != nil {
		return nil, fmt.Errorf("%s URL cannot be parsed", name) // url.Error repeats the URL, which may hold a password
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, fmt.Errorf("%s URL %q: want https://HOST", name, u.Redacted())
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%s URL %q: want no user, query or fragment", name, u.Redacted())
	}
	if u.Path == "" { // else JoinPath would make a relative one, which no server takes
		u.Path = "/"
	}
	return u, nil
}
