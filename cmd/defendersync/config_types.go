package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	defsync "defendersync/sync"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	labelForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	guidForm  = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

// tenantName is a tenant's label in commands, metrics and pages.
type tenantName string

func (n *tenantName) setText(s string) error {
	if !labelForm.MatchString(s) {
		return errors.New("is not a name; write up to 63 letters, digits, dots, dashes and underscores, a letter or digit first")
	}
	*n = tenantName(s)
	return nil
}

// guid is kept in lower case.
type guid string

func (g *guid) setText(s string) error {
	s = strings.ToLower(s)
	if !guidForm.MatchString(s) {
		return errors.New("is not a GUID; copy it from the app's overview page, such as 11111111-2222-3333-4444-555555555555")
	}
	*g = guid(s)
	return nil
}

type apiName string

func (a *apiName) setText(s string) error { return oneOf((*string)(a), s, "graph", "defender") }

type cloudName string

func (c *cloudName) setText(s string) error {
	return oneOf((*string)(c), s, "commercial", "gcc", "gcc-high", "dod")
}

type oauthVersion string

func (o *oauthVersion) setText(s string) error { return oneOf((*string)(o), s, "v2", "v1") }

func oneOf(to *string, s string, known ...string) error {
	if !slices.Contains(known, s) {
		return fmt.Errorf("is not known; write %s or %s", strings.Join(known[:len(known)-1], ", "), known[len(known)-1])
	}
	*to = s
	return nil
}

// positive is a whole number above zero.
type positive int

func (p *positive) setText(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return errors.New("is not a whole number above 0")
	}
	*p = positive(n)
	return nil
}

// share is a part of a limit, above 0 and up to 1, written as a percentage.
type share float64

func (p *share) setText(s string) error {
	number, ok := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(v >= 1 && v <= 100) {
		return errors.New("is not a share; write a percentage up to 100%, such as 50%")
	}
	*p = share(v / 100)
	return nil
}

type duration time.Duration

func (d *duration) setText(s string) error {
	v, err := defsync.ParseDuration(s)
	if err != nil {
		return errors.New("is not a positive duration; write one such as 90s, 12h, 30d or 1d12h")
	}
	*d = duration(v)
	return nil
}

// margin is a duration that may be nothing, which differs from not being set.
type margin struct {
	duration
	set bool
}

func marginOf(d time.Duration) margin { return margin{duration(d), true} }

func (m *margin) setText(s string) error {
	v, err := defsync.ParseMargin(s)
	if err != nil {
		return errors.New("is not a duration; write one such as 90s, 12h or 1d12h, or 0s for none")
	}
	*m = marginOf(v)
	return nil
}

// String writes whole days as days, as the file does.
func (d duration) String() string {
	const day = 24 * time.Hour
	v := time.Duration(d)
	switch {
	case v >= day && v%day == 0:
		return strconv.Itoa(int(v/day)) + "d"
	case v >= time.Hour && v%time.Hour == 0:
		return strings.TrimSuffix(v.String(), "0m0s")
	case v >= time.Minute && v%time.Minute == 0:
		return strings.TrimSuffix(v.String(), "0s")
	}
	return v.String()
}

type schedule struct{ defsync.Schedule }

func (s *schedule) setText(text string) error {
	v, err := defsync.ParseSchedule(text)
	if err != nil {
		return fmt.Errorf("is no schedule that can be kept: %w", err)
	}
	s.Schedule = v
	return nil
}

// startPoint is an age, a date or a time.
type startPoint defsync.Start

func (p *startPoint) setText(s string) error {
	if age, err := defsync.ParseDuration(s); err == nil {
		*p = startPoint{Age: age}
		return nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
		if at, err := time.Parse(layout, s); err == nil {
			*p = startPoint{At: at.UTC()}
			return nil
		}
	}
	return errors.New("is not a start; write an age such as 180d, a date such as 2026-01-31, or a time such as 2026-01-31T08:00:00Z")
}

func (p startPoint) String() string {
	if !p.At.IsZero() {
		return p.At.Format(time.RFC3339)
	}
	return duration(p.Age).String()
}

// baseURL is the root of a service, without a slash at its end.
type baseURL string

func (b *baseURL) setText(s string) error {
	if err := checkWebURL(s); err != nil {
		return err
	}
	*b = baseURL(strings.TrimRight(s, "/"))
	return nil
}

var errUserinfo = errors.New("holds a user name or a password; leave them out, credential is the place for a secret")

// audienceURL names a service to the token endpoint and is kept to the letter.
type audienceURL string

func (a *audienceURL) setText(s string) error {
	u, err := url.Parse(s)
	if err == nil && u.User != nil {
		return errUserinfo
	}
	if err != nil || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "api" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("is not an audience; write a URI such as https://graph.microsoft.com or api://client-id")
	}
	*a = audienceURL(s)
	return nil
}

// checkWebURL wants https, or http to this machine: a token sent over plain
// HTTP belongs to everyone on the way.
func checkWebURL(s string) error {
	u, err := url.Parse(s)
	if err == nil && u.User != nil {
		return errUserinfo
	}
	if err != nil || u.Hostname() == "" || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("is not a base URL; write one such as https://graph.microsoft.com")
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return errors.New("is not an https URL; http is allowed for this machine only (localhost, 127.0.0.1)")
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// listenAddress is host:port, or empty for no HTTP at all.
type listenAddress string

func (l *listenAddress) setText(s string) error {
	if s != "" {
		_, port, err := net.SplitHostPort(s)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n > 65535 {
			return errors.New(`is not an address; write host:port such as 127.0.0.1:8080, or "" for no HTTP`)
		}
	}
	*l = listenAddress(s)
	return nil
}

// databaseURL may hold a password: it prints as [redacted], and errors do not repeat it.
type databaseURL string

func (d *databaseURL) setText(s string) error {
	if s == "" {
		*d = ""
		return nil
	}
	const example = "write one such as postgres://user:password@host:5432/database, special characters of the password percent-encoded"
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return errors.New("is not a PostgreSQL URL; " + example)
	}
	if _, err := pgconn.ParseConfig(s); err != nil {
		return errors.New("is a PostgreSQL URL with a part that is not understood; " + example)
	}
	*d = databaseURL(s)
	return nil
}

func (*databaseURL) confidential()               {}
func (databaseURL) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (databaseURL) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (databaseURL) MarshalText() ([]byte, error) { return []byte(redacted), nil }
