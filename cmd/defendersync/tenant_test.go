package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	defsync "defendersync/sync"
	"defendersync/sync/defender"

	"github.com/google/go-cmp/cmp"
)

const twoTenants = `
tenants:
  - name: one
    tenant_id: 11111111-2222-3333-4444-555555555555
    client_id: aaaaaaaa-2222-3333-4444-555555555555
    credential: {client_secret: x}
    cloud: gcc-high
    limits: {incidents_per_minute: 45, share: 50%}
    endpoints: {login: "https://proxy.example/login/"}
  - name: two
    tenant_id: 22222222-2222-3333-4444-555555555555
    client_id: bbbbbbbb-2222-3333-4444-555555555555
    credential: {client_secret: y}
    api: defender
    oauth: v1
    endpoints: {defender: "https://eu.api.security.microsoft.com"}
    audiences: {defender: "https://security.microsoft.com/mtp/"}
streams:
  defaults: {overlap: 1h}
  incidents: {schedule: "@hourly", start: 2026-01-01}
`

func parseText(t *testing.T, text string) *config {
	t.Helper()
	c, err := parseConfig("c.yaml", []byte(text), fakeEnvironment(nil, nil), testNow)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The audience stays the cloud's when a base URL is replaced, unless it is
// replaced too, and that to the letter.
func TestClientConfig(t *testing.T) {
	c := parseText(t, twoTenants)
	type wire struct{ Login, Base, Audience, OAuth string }
	for i, want := range []wire{
		{"https://proxy.example/login", "https://graph.microsoft.us", "https://graph.microsoft.us", "v2"},
		{"https://login.microsoftonline.com", "https://eu.api.security.microsoft.com", "https://security.microsoft.com/mtp/", "v1"},
	} {
		cfg, err := c.Tenants[i].clientConfig(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, wire{cfg.Login, cfg.BaseURL, cfg.Audience, cfg.OAuth}); diff != "" {
			t.Errorf("tenant %d: %s", i, diff)
		}
		form, err := cfg.Credential.Form(t.Context(), "")
		if err != nil || form.Get("client_secret") != []string{"x", "y"}[i] {
			t.Errorf("tenant %d: the credential is %v, %v", i, form, err)
		}
		if _, err := defender.New(cfg); err != nil {
			t.Errorf("tenant %d: %v", i, err)
		}
	}
	if got, want := c.Tenants[0].Limits.incidents(), (defender.Limits{PerMinute: 22, PerHour: 750}); got != want {
		t.Errorf("limits %v, want %v", got, want)
	}
}

func TestStreamsOfATenantAreThoseOfItsAPI(t *testing.T) {
	c := parseText(t, twoTenants)
	graph, older := c.streamsOf(c.Tenants[0]), c.streamsOf(c.Tenants[1])
	if len(graph) != 2 || len(older) != 1 || older[0].Name != defsync.IncidentsStream {
		t.Fatalf("graph has %v, the older API %v", graph, older)
	}
	incidents, alerts := graph[0], graph[1]
	if incidents.Schedule.String() != "@hourly" || incidents.Start.At.Year() != 2026 || incidents.Overlap.Hours() != 1 || incidents.Settle.Minutes() != 2 {
		t.Errorf("incidents: %+v", incidents)
	}
	if alerts.Schedule.String() != "*/5 * * * *" || alerts.Start.Age.Hours() != 30*24 || alerts.Overlap.Hours() != 1 {
		t.Errorf("alerts: %+v", alerts)
	}
	c.Streams.Incidents.Enabled = false
	if got := c.streamsOf(c.Tenants[1]); got != nil {
		t.Errorf("disabled, and there is %v", got)
	}
}

func TestChoose(t *testing.T) {
	c := parseText(t, twoTenants)
	for _, k := range []struct {
		tenant  string
		streams []string
		want    int
		err     string
	}{
		{"", nil, 2, ""},
		{"two", nil, 1, ""},
		{"two", []string{"incidents"}, 1, ""},
		{"", []string{"alerts", "incidents"}, 2, ""},
		{"three", nil, 0, `unknown tenant "three": known are one, two`},
		{"two", []string{"alerts"}, 0, `unknown stream "alerts": known are incidents`},
		{"", []string{"incidents", "x"}, 0, `unknown stream "x": known are incidents, alerts`},
	} {
		got, err := c.choose(k.tenant, k.streams)
		var exit *exitError
		if k.err == "" && (err != nil || len(got) != k.want) {
			t.Errorf("%+v: %d tenants, %v", k, len(got), err)
		}
		if k.err != "" && (!errors.As(err, &exit) || exit.code != exitUsage || !strings.Contains(err.Error(), k.err)) {
			t.Errorf("%+v: error %v", k, err)
		}
	}
}

func TestConsentURLIsTheCloudsOwn(t *testing.T) {
	tenant := parseText(t, twoTenants).Tenants[0]
	tenant.Endpoints.Login = ""
	got, err := consentURL(tenant)
	const want = "https://login.microsoftonline.us/11111111-2222-3333-4444-555555555555/adminconsent?client_id=aaaaaaaa-2222-3333-4444-555555555555"
	if got != want || err != nil {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

// An audience is a name, of an app too, and nothing is sent to it.
func TestAudiences(t *testing.T) {
	for text, want := range map[string]bool{
		"https://graph.microsoft.com": true, "https://security.microsoft.com/mtp/": true, "api://33333333-2222-3333-4444-555555555555": true, "http://name.of/app": true,
		"graph.microsoft.com": false, "api://": false, "https://user:secret@graph.microsoft.com": false, "ftp://x": false, "https://x?y": false,
	} {
		var a audienceURL
		if err := a.setText(text); (err == nil) != want || want && string(a) != text {
			t.Errorf("%q: %q, %v", text, a, err)
		}
	}
}
