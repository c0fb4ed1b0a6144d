package main

import (
	"cmp"

	"defendersync/sync/defender"
)

// incidents are the calls per minute and per hour that the tenant's share allows.
func (l limitsConfig) incidents() (perMinute, perHour int) {
	return l.Share.of(l.IncidentsPerMinute), l.Share.of(l.IncidentsPerHour)
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
