package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

// incidents are the calls per minute and per hour that the tenant's share allows.
func (l limitsConfig) incidents() defender.Limits {
	return defender.Limits{PerMinute: l.Share.of(l.IncidentsPerMinute), PerHour: l.Share.of(l.IncidentsPerHour)}
}

// huntsAtOnce keeps some of a tenant's processing resources for its analysts.
const huntsAtOnce = 2

// hunting are the calls of advanced hunting that the tenant's share allows.
func (l limitsConfig) hunting() defender.Limits {
	return defender.Limits{PerMinute: l.Share.of(l.HuntingPerMinute), Concurrent: huntsAtOnce}
}

// status are the limits as the status shows them.
func (l limitsConfig) status() defsync.Limits {
	incidents := l.incidents()
	return defsync.Limits{PerMinute: incidents.PerMinute, PerHour: incidents.PerHour, HuntingPerMinute: l.hunting().PerMinute}
}

// of is the part of a limit, rounded down: a share is never exceeded. The
// small addend undoes the error of a binary fraction such as 0.29 × 100.
func (s share) of(limit positive) int { return int(float64(s)*float64(limit) + 1e-9) }

// endpoints are the cloud's, where the file does not replace them. An audience
// stays the cloud's when a base URL is replaced.
func (t tenantConfig) endpoints() (defender.Endpoints, error) {
	e, err := defender.CloudEndpoints(string(t.Cloud))
	if err != nil {
		return e, err
	}
	return defender.Endpoints{
		Login:            cmp.Or(string(t.Endpoints.Login), e.Login),
		Graph:            cmp.Or(string(t.Endpoints.Graph), e.Graph),
		Defender:         cmp.Or(string(t.Endpoints.Defender), e.Defender),
		GraphAudience:    cmp.Or(string(t.Audiences.Graph), e.GraphAudience),
		DefenderAudience: cmp.Or(string(t.Audiences.Defender), e.DefenderAudience),
	}, nil
}

// reader is how the tenant's secret is read, anew each time it is called.
func (c credentialConfig) reader() func() (string, error) {
	if c.ClientSecretFile.read != nil {
		return c.ClientSecretFile.read
	}
	return c.ClientSecret.read
}

// clientConfig is what the tenant's client is made of, but for the record of its calls.
func (t tenantConfig) clientConfig(log *slog.Logger) (defender.Config, error) {
	e, err := t.endpoints()
	if err != nil {
		return defender.Config{}, err
	}
	base, audience := e.Graph, e.GraphAudience
	if t.dialect() == defender.Older {
		base, audience = e.Defender, e.DefenderAudience
	}
	return defender.Config{
		Tenant:     string(t.Name),
		TenantID:   string(t.TenantID),
		ClientID:   string(t.ClientID),
		Credential: defender.Secret(t.Credential.reader()),
		Dialect:    t.dialect(),
		Login:      e.Login,
		BaseURL:    base,
		Audience:   audience,
		OAuth:      string(t.OAuth),
		UserAgent:  "defendersync/" + version(),
		Log:        log,
		Limits:     t.Limits.incidents(),
	}, nil
}

func (t tenantConfig) dialect() defender.Dialect { return defender.Dialect(t.API) }

// callFamily is a kind of call that has limits of its own.
type callFamily struct {
	name    string
	block   func(s *store.Store, ctx context.Context, tenantID string, until time.Time) error
	blocked func(s *store.Store, ctx context.Context, tenantID string) (time.Time, error)
}

func incidentCalls() callFamily {
	return callFamily{defsync.QuotaFamily, (*store.Store).Block, (*store.Store).BlockedUntil}
}

func huntingCalls() callFamily {
	return callFamily{defsync.HuntFamily, (*store.Store).BlockHunting, (*store.Store).HuntingBlockedUntil}
}

// recent are the calls of the last hour on record, by their seconds.
func (f callFamily) recent(ctx context.Context, s *store.Store, tenantID string) ([]time.Time, error) {
	recorded, err := s.RecentCalls(ctx, tenantID, f.name, time.Now().Add(-time.Hour))
	var calls []time.Time
	for _, c := range recorded {
		calls = append(calls, slices.Repeat([]time.Time{c.Second}, c.Calls)...)
	}
	return calls, err
}

// limited is a client that can be told what others have called.
type limited interface {
	Seed(calls []time.Time)
	CloseUntil(until time.Time, message string)
}

// close lets no call through that comes before a wait is over that the service
// asked for.
func (f callFamily) close(ctx context.Context, s *store.Store, tenantID string, client limited) error {
	until, err := f.blocked(s, ctx, tenantID)
	if err == nil && until.After(time.Now()) {
		client.CloseUntil(until, "the service asked an earlier run to wait until "+until.UTC().Format(time.RFC3339))
	}
	return err
}

// record makes a client put its calls on record, and the waits that the service
// asks for. What it has to know of earlier ones the worker tells it when it
// takes the tenant.
func record(cfg *defender.Config, s *store.Store, f callFamily) {
	id, name, log := cfg.TenantID, cfg.Tenant, cfg.Log
	cfg.OnCall = func(ctx context.Context, at time.Time) error {
		return s.RecordCall(ctx, id, f.name, at)
	}
	cfg.OnBlock = func(ctx context.Context, until time.Time) {
		ctx, cancel := context.WithTimeout(ctx, blockTimeout)
		defer cancel()
		if err := f.block(s, ctx, id, until); err != nil && log != nil {
			log.Error("a wait that the service asked for could not be recorded: a restart before its end would not obey it",
				"tenant", name, "until", until, "err", err)
		}
	}
}

// hunterConfig is the configuration of a client for advanced hunting beside one
// of that configuration, whose tokens it uses, too.
func (t tenantConfig) hunterConfig(cfg defender.Config, beside *defender.Client) defender.Config {
	cfg.Tokens, cfg.Limits = beside.Tokens(), t.Limits.hunting()
	return cfg
}

// blockTimeout is how long a worker that may be told to stop takes to record a
// wait that the service asks for.
const blockTimeout = 5 * time.Second

// streamsOf are the enabled streams that the tenant's API has.
func (c *config) streamsOf(t tenantConfig) []defsync.Stream {
	var streams []defsync.Stream
	for _, s := range []struct {
		name string
		streamConfig
	}{{defsync.IncidentsStream, c.Streams.Incidents}, {defsync.AlertsStream, c.Streams.Alerts}} {
		if s.Enabled && defender.Permissions(t.dialect(), s.name) != nil {
			streams = append(streams, s.stream(s.name))
		}
	}
	for i := range c.Streams.Hunting {
		if h := &c.Streams.Hunting[i]; h.Enabled {
			streams = append(streams, h.stream())
		}
	}
	return streams
}

// stream is a stream of that name as the worker needs it.
func (s streamConfig) stream(name string) defsync.Stream {
	return defsync.Stream{
		Name:     name,
		Schedule: s.Schedule.Schedule,
		Start:    defsync.Start(s.Start),
		Overlap:  time.Duration(s.Overlap.duration),
		Settle:   time.Duration(s.Settle.duration),
	}
}

// choose checks the names of a tenant and of streams that a command was given
// and answers the tenants meant.
func (c *config) choose(tenant string, streams []string) ([]tenantConfig, error) {
	var chosen []tenantConfig
	var names []string
	for _, t := range c.Tenants {
		names = append(names, string(t.Name))
		if tenant == "" || tenant == string(t.Name) {
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 {
		return nil, usageErrorf("--tenant: unknown tenant %q: known are %s", tenant, join(names))
	}
	known := make(map[string]bool)
	var list []string
	for _, t := range chosen {
		for _, s := range c.streamsOf(t) {
			if !known[s.Name] {
				known[s.Name] = true
				list = append(list, s.Name)
			}
		}
	}
	for _, s := range streams {
		if !known[s] {
			return nil, usageErrorf("unknown stream %q: known are %s", s, join(list))
		}
	}
	return chosen, nil
}

// tenant is what the worker needs of a configured tenant. Its calls go on record in s.
func (c *config) tenant(t tenantConfig, s *store.Store, log *slog.Logger) (defsync.Tenant, error) {
	cfg, err := t.clientConfig(log)
	if err != nil {
		return defsync.Tenant{}, err
	}
	record(&cfg, s, incidentCalls())
	client, err := defender.New(cfg)
	if err != nil {
		return defsync.Tenant{}, fmt.Errorf("tenant %s: %w", t.Name, err)
	}
	tenant := defsync.Tenant{Name: cfg.Tenant, ID: cfg.TenantID, Dialect: cfg.Dialect, Source: client, Streams: c.streamsOf(t)}
	if !c.Streams.hunts() {
		return tenant, nil
	}
	cfg = t.hunterConfig(cfg, client)
	record(&cfg, s, huntingCalls())
	if tenant.Hunter, err = defender.New(cfg); err != nil {
		return defsync.Tenant{}, fmt.Errorf("tenant %s: %w", t.Name, err)
	}
	return tenant, nil
}
